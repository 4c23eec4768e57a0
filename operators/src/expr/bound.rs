//! Expressions ready to run: columns by position, every type known, conversions explicit.
//!
//! The types of all operands were settled by `resolve`, so a value of another type here is a bug. Evaluation walks
//! the tree once per row; numbers and comparisons allocate nothing, texts that are made (not merely cut out of the
//! row) lie in the [`Scratch`] until it is reset.

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;

use bumpalo::Bump;

use super::function::{ARGUMENTS_MAX, Function};
use super::literal::Literal;
use super::regex::Patterns;
use super::{ArithmeticOp, CompareOp, cast, date, like, number, text};
use crate::row::Row;
use crate::value::{Datum, Type};

/// Why an expression has no value on a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoValue {
    /// A number was divided by zero, or its rest was asked for.
    DivisionByZero,
    /// The type cannot hold the result.
    OutOfRange,
    /// A text is no value of the type it is to be converted to.
    Text(Type),
    /// The root of a negative number.
    Root,
    /// The number of characters of a substring is negative.
    Substring,
    /// A function does not take these arguments.
    Argument,
    /// What is to be one row is several.
    SeveralRows,
}

impl NoValue {
    /// How many reasons there are.
    pub const COUNT: usize = 8;

    /// All of them; a text's type matters only in that dates and times have a reason of their own.
    const ALL: [NoValue; NoValue::COUNT] = [
        NoValue::DivisionByZero,
        NoValue::OutOfRange,
        NoValue::Text(Type::Int),
        NoValue::Text(Type::Timestamp),
        NoValue::Root,
        NoValue::Substring,
        NoValue::Argument,
        NoValue::SeveralRows,
    ];

    /// Its number among the reasons.
    pub fn number(self) -> usize {
        match self {
            NoValue::DivisionByZero => 0,
            NoValue::OutOfRange => 1,
            NoValue::Text(Type::Date | Type::Timestamp) => 3,
            NoValue::Text(_) => 2,
            NoValue::Root => 4,
            NoValue::Substring => 5,
            NoValue::Argument => 6,
            NoValue::SeveralRows => 7,
        }
    }

    /// The reason with this number.
    pub fn of_number(number: usize) -> Option<NoValue> {
        NoValue::ALL.get(number).copied()
    }
}

impl fmt::Display for NoValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoValue::DivisionByZero => "division by zero",
            NoValue::OutOfRange => "a value is out of range",
            NoValue::Text(Type::Date | Type::Timestamp) => "a text is no date or time",
            NoValue::Text(_) => "a text is no value of the type that it is converted to",
            NoValue::Root => "the square root of a negative number",
            NoValue::Substring => "a negative substring length",
            NoValue::Argument => "an argument that a function does not take",
            NoValue::SeveralRows => "more than one row returned by a subquery used as an expression",
        })
    }
}

/// What evaluation needs beside the row: room for texts, and the count of values that could not be computed.
/// Reset it after each row; its memory is kept, so nothing is allocated per row once it has grown.
#[derive(Debug, Default)]
pub struct Scratch {
    texts: Bump,
    /// Patterns that were compiled lately. What is found does not depend on them.
    patterns: Patterns,
    errors: Cell<u64>,
    latest: Cell<Option<NoValue>>,
}

impl Scratch {
    /// Empty scratch.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Frees the texts of the rows evaluated so far. The error count stays.
    #[inline]
    pub fn reset(&mut self) {
        // Most expressions make no text; this spares them the walk over the chunks.
        if self.texts.allocated_bytes() > 0 {
            self.texts.reset();
        }
    }

    /// How many results became NULL because they had no value: division by zero, out of range, failed cast.
    pub fn errors(&self) -> u64 {
        self.errors.get()
    }

    /// Why the latest of these results had none.
    pub fn no_value(&self) -> Option<NoValue> {
        self.latest.get()
    }

    /// Where texts are made.
    pub(super) fn texts(&self) -> &Bump {
        &self.texts
    }

    /// The patterns that were compiled lately.
    pub(super) fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// The value, or NULL and one more error.
    #[inline]
    pub(super) fn or_null<'a>(&self, value: Option<Datum<'a>>, why: impl FnOnce() -> NoValue) -> Datum<'a> {
        value.unwrap_or_else(|| {
            self.errors.set(self.errors.get() + 1);
            self.latest.set(Some(why()));
            Datum::Null
        })
    }
}

/// An expression resolved for rows of certain columns, see [`super::Expr::resolve`].
#[derive(Debug, Clone, PartialEq)]
pub struct BoundExpr {
    pub(super) node: Node,
    pub(super) ty: Type,
    pub(super) nullable: bool,
}

/// What arithmetic works on; both operands were converted to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    Int,
    Float,
    Numeric,
    /// A date and a number of days.
    DateDays,
    /// A number of days and a date.
    DaysDate,
    /// Two dates, giving days.
    Dates,
    /// Two timestamps, giving seconds.
    Timestamps,
}

/// A node of a resolved expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Column(usize, Type),
    Literal(Literal),
    Negate(Box<Node>),
    Arithmetic(Domain, ArithmeticOp, Box<Node>, Box<Node>),
    Compare(CompareOp, Box<Node>, Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    IsNull(Box<Node>),
    /// Pairs of condition and value, and the value otherwise.
    Case(Vec<(Node, Node)>, Box<Node>),
    Cast(Box<Node>, Type),
    Coalesce(Vec<Node>),
    NullIf(Box<Node>, Box<Node>),
    InList(Box<Node>, Vec<Node>),
    /// IN with constants: sorted and without NULL; the flag says that there was one.
    InSet(Box<Node>, Vec<Literal>, bool),
    Like {
        input: Box<Node>,
        pattern: Box<Node>,
        ignore_case: bool,
    },
    /// A function that is NULL when any argument is.
    Call(Function, Vec<Node>),
    /// The texts of those that are not NULL, one after another.
    Concat(Vec<Node>),
    /// The least (or greatest) of those that are not NULL.
    Extreme(Ordering, Vec<Node>),
}

impl BoundExpr {
    /// The type of the values.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// Whether a value can be NULL, also for want of a result (overflow and the like).
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// The column, if the expression is nothing but one: a map can then copy its bytes.
    pub fn as_column(&self) -> Option<usize> {
        match self.node {
            Node::Column(index, _) => Some(index),
            _ => None,
        }
    }

    /// The value for this row, borrowed from the row, the expression or the scratch.
    #[inline]
    pub fn eval<'a>(&'a self, row: Row<'a>, scratch: &'a Scratch) -> Datum<'a> {
        self.node.eval(row, scratch)
    }

    /// Whether the value is TRUE: what filters and join conditions ask. NULL is not.
    #[inline]
    pub fn is_true(&self, row: Row<'_>, scratch: &Scratch) -> bool {
        matches!(self.node.eval(row, scratch), Datum::Bool(true))
    }
}

impl Node {
    pub(super) fn eval<'a>(&'a self, row: Row<'a>, scratch: &'a Scratch) -> Datum<'a> {
        match self {
            Node::Column(index, ty) => row.datum(*index, *ty),
            Node::Literal(literal) => literal.datum(),
            Node::Negate(input) => negate(input.eval(row, scratch), scratch),
            Node::Arithmetic(domain, op, left, right) => {
                arithmetic(*domain, *op, left.eval(row, scratch), right.eval(row, scratch), scratch)
            }
            Node::Compare(op, left, right) => compare(*op, left.eval(row, scratch), right.eval(row, scratch)),
            Node::And(conditions) => all_agree(conditions, true, row, scratch),
            Node::Or(conditions) => all_agree(conditions, false, row, scratch),
            Node::Not(input) => match input.eval(row, scratch) {
                Datum::Bool(value) => Datum::Bool(!value),
                null => null,
            },
            Node::IsNull(input) => Datum::Bool(input.eval(row, scratch).is_null()),
            Node::Case(branches, otherwise) => branches
                .iter()
                .find(|(condition, _)| matches!(condition.eval(row, scratch), Datum::Bool(true)))
                .map_or(otherwise.as_ref(), |(_, value)| value)
                .eval(row, scratch),
            Node::Cast(input, to) => match input.eval(row, scratch) {
                Datum::Null => Datum::Null,
                value => scratch.or_null(cast::cast(value, *to, scratch), || match value {
                    Datum::Text(_) => NoValue::Text(*to),
                    _ => NoValue::OutOfRange,
                }),
            },
            Node::Coalesce(values) => first_value(values, row, scratch),
            Node::NullIf(left, right) => {
                let value = left.eval(row, scratch);
                let equal = compare(CompareOp::Eq, value, right.eval(row, scratch));
                if matches!(equal, Datum::Bool(true)) { Datum::Null } else { value }
            }
            Node::InList(input, list) => in_list(input.eval(row, scratch), list, row, scratch),
            Node::InSet(input, set, with_null) => in_set(input.eval(row, scratch), set, *with_null),
            Node::Like { input, pattern, ignore_case } => {
                match (input.eval(row, scratch), pattern.eval(row, scratch)) {
                    (Datum::Text(input), Datum::Text(pattern)) => {
                        Datum::Bool(like::matches(input, pattern, *ignore_case))
                    }
                    _ => Datum::Null,
                }
            }
            Node::Call(function, arguments) => call(*function, arguments, row, scratch),
            Node::Concat(parts) => {
                let texts = parts.iter().filter_map(|part| match part.eval(row, scratch) {
                    Datum::Text(part) => Some(part),
                    _ => None,
                });
                scratch.or_null(text::concat(texts, scratch.texts()).map(Datum::Text), || NoValue::OutOfRange)
            }
            Node::Extreme(side, values) => extreme(*side, values, row, scratch),
        }
    }
}

fn negate<'a>(value: Datum<'a>, scratch: &Scratch) -> Datum<'a> {
    match value {
        Datum::Int(value) => scratch.or_null(value.checked_neg().map(Datum::Int), || NoValue::OutOfRange),
        Datum::Float(value) => Datum::Float(0.0 - value),
        Datum::Numeric(value) => Datum::Numeric((-value).normalize()),
        _ => Datum::Null,
    }
}

#[inline]
fn arithmetic<'a>(
    domain: Domain,
    op: ArithmeticOp,
    left: Datum<'a>,
    right: Datum<'a>,
    scratch: &Scratch,
) -> Datum<'a> {
    let result = match (domain, left, right) {
        (_, Datum::Null, _) | (_, _, Datum::Null) => return Datum::Null,
        (Domain::Int, Datum::Int(left), Datum::Int(right)) => {
            number::int_arithmetic(op, left, right).map(Datum::Int)
        }
        (Domain::Float, Datum::Float(left), Datum::Float(right)) => {
            number::float_arithmetic(op, left, right).map(Datum::Float)
        }
        (Domain::Numeric, Datum::Numeric(left), Datum::Numeric(right)) => {
            number::numeric_arithmetic(op, left, right).map(Datum::Numeric)
        }
        (Domain::DateDays, Datum::Date(left), Datum::Int(right))
        | (Domain::DaysDate, Datum::Int(left), Datum::Date(right)) => {
            number::int_arithmetic(op, left, right).map(Datum::Date)
        }
        (Domain::Dates, Datum::Date(left), Datum::Date(right)) => {
            number::int_arithmetic(op, left, right).map(Datum::Int)
        }
        (Domain::Timestamps, Datum::Timestamp(left), Datum::Timestamp(right)) => {
            left.checked_sub(right).map(|micros| Datum::Float(date::seconds(micros)))
        }
        (domain, left, right) => unreachable!("resolved to {domain:?}, found {left:?} and {right:?}"),
    };
    scratch.or_null(result, || match (op, right) {
        (ArithmeticOp::Div | ArithmeticOp::Rem, Datum::Int(0)) => NoValue::DivisionByZero,
        (ArithmeticOp::Div | ArithmeticOp::Rem, Datum::Float(0.0)) => NoValue::DivisionByZero,
        (ArithmeticOp::Div | ArithmeticOp::Rem, Datum::Numeric(right)) if right.is_zero() => {
            NoValue::DivisionByZero
        }
        _ => NoValue::OutOfRange,
    })
}

#[inline]
fn compare<'a>(op: CompareOp, left: Datum<'_>, right: Datum<'_>) -> Datum<'a> {
    match op {
        CompareOp::Distinct => return Datum::Bool(left.order(&right) != Ordering::Equal),
        CompareOp::NotDistinct => return Datum::Bool(left.order(&right) == Ordering::Equal),
        _ if left.is_null() || right.is_null() => return Datum::Null,
        _ => {}
    }
    let order = left.order(&right);
    Datum::Bool(match op {
        CompareOp::Eq | CompareOp::NotDistinct => order.is_eq(),
        CompareOp::Ne | CompareOp::Distinct => order.is_ne(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::Le => order.is_le(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Ge => order.is_ge(),
    })
}

/// AND with `wanted` true, OR with false: decided by the first that is not as wanted, NULL if that never comes and
/// one was NULL.
fn all_agree<'a>(conditions: &'a [Node], wanted: bool, row: Row<'a>, scratch: &'a Scratch) -> Datum<'a> {
    let mut unknown = false;
    for condition in conditions {
        match condition.eval(row, scratch) {
            Datum::Bool(value) if value == wanted => {}
            Datum::Bool(value) => return Datum::Bool(value),
            _ => unknown = true,
        }
    }
    if unknown { Datum::Null } else { Datum::Bool(wanted) }
}

fn first_value<'a>(values: &'a [Node], row: Row<'a>, scratch: &'a Scratch) -> Datum<'a> {
    values.iter().map(|value| value.eval(row, scratch)).find(|value| !value.is_null()).unwrap_or(Datum::Null)
}

fn in_list<'a>(value: Datum<'a>, list: &'a [Node], row: Row<'a>, scratch: &'a Scratch) -> Datum<'a> {
    let mut unknown = false;
    for item in list {
        match compare(CompareOp::Eq, value, item.eval(row, scratch)) {
            Datum::Bool(true) => return Datum::Bool(true),
            Datum::Null => unknown = true,
            _ => {}
        }
    }
    if unknown { Datum::Null } else { Datum::Bool(false) }
}

fn in_set<'a>(value: Datum<'_>, set: &[Literal], with_null: bool) -> Datum<'a> {
    if value.is_null() {
        return if set.is_empty() && !with_null { Datum::Bool(false) } else { Datum::Null };
    }
    let found = set.binary_search_by(|item| item.datum().order(&value)).is_ok();
    if !found && with_null { Datum::Null } else { Datum::Bool(found) }
}

fn extreme<'a>(side: Ordering, values: &'a [Node], row: Row<'a>, scratch: &'a Scratch) -> Datum<'a> {
    let mut best = Datum::Null;
    for value in values {
        let value = value.eval(row, scratch);
        if !value.is_null() && (best.is_null() || value.order(&best) == side) {
            best = value;
        }
    }
    best
}

fn call<'a>(function: Function, arguments: &'a [Node], row: Row<'a>, scratch: &'a Scratch) -> Datum<'a> {
    let mut values = [Datum::Null; ARGUMENTS_MAX];
    for (place, argument) in values.iter_mut().zip(arguments) {
        *place = argument.eval(row, scratch);
        if place.is_null() {
            return Datum::Null;
        }
    }
    scratch.or_null(function.call(&values[..arguments.len()], scratch), || function.no_value())
}
