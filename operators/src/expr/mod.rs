//! Expressions over the columns of a row: what filters, maps and join conditions compute.
//!
//! An [`Expr`] is what a plan holds: a tree with columns by name, archived with the plan. [`Expr::resolve`] turns it
//! into a [`BoundExpr`] for rows of given columns: columns become positions, every value gets a type, conversions
//! become explicit and constant parts are computed once. [`BoundExpr::eval`] then runs on rows in place.
//!
//! The rules, which are those of SQL, with the choices of Postgres where engines differ unless said otherwise:
//! - NULL propagates through arithmetic, comparisons and functions; AND, OR, NOT follow three-valued logic.
//! - Numbers are promoted Int -> Numeric -> Float, Date -> Timestamp. A text *literal* takes the type of the other
//!   side (`col("day").lt("2013-02-01")`). Nothing else is converted silently.
//! - What has no value (division by zero, a result out of range, text that is no number in a cast, a date that does
//!   not exist) is NULL and counted in [`Scratch::errors`], so that one bad row does not stop a dataflow.
//! - Integer division truncates towards zero; `%` has the sign of the dividend. Decimals are rounded half away from
//!   zero, floats half to even. A quotient of decimals has at least 16 significant digits.
//! - Floats: -0.0 is 0.0; there is one NaN, equal to itself and greater than everything else. A finite computation
//!   that gives an infinity counts as out of range.
//! - Text compares by bytes; `length`, `substr` and the like count characters.
//! - Date - Date is Int days, Date +- Int is Date, Timestamp - Timestamp is Float seconds. Intervals are bytes, see
//!   [`Interval`], with functions for what SQL has operators for.
//!
//! There is no `now()` and no `random()`: the value of an expression is a function of the row alone.

mod array;
mod bound;
mod cast;
mod date;
mod digest;
mod format;
mod function;
mod interval;
pub mod json;
mod like;
mod literal;
mod math;
mod member;
mod number;
mod regex;
mod replace;
mod resolve;
mod span;
mod string;
mod template;
mod text;

#[cfg(test)]
mod tests;

pub use bound::{BoundExpr, NoValue, Scratch};
pub use interval::Interval;
pub use literal::Literal;
pub(crate) use number::quotient_scale;

use crate::value::Type;

/// Arrays as texts, see `array_quote` and the like at [`call`].
pub mod arrays {
    pub use super::array::{array, elements};
}

/// Patterns of regular expressions.
pub mod patterns {
    pub use super::regex::is_pattern;
}

/// Division of the civil calendar, for code that makes or prints dates outside of expressions.
pub mod calendar {
    pub use super::date::{date_from_civil, parse_date, parse_timestamp, timestamp_from_civil};
    pub use super::format::datum_text;
}

/// Deepest nesting of an expression; resolving and evaluating recurse, so this bounds the stack they need.
pub const EXPR_DEPTH_MAX: usize = 200;

/// The two-sided operators of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
}

/// The comparisons. The last two treat NULL as a value like any other and are never NULL themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `IS DISTINCT FROM`
    Distinct,
    /// `IS NOT DISTINCT FROM`
    NotDistinct,
}

/// An expression as a plan holds it: columns by name, types not yet known. Build it with [`col`], [`lit`],
/// [`case`], [`call`] and the methods.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(serialize_bounds(
    __S: rkyv::ser::Writer + rkyv::ser::Allocator,
    __S::Error: rkyv::rancor::Source,
))]
#[rkyv(deserialize_bounds(__D::Error: rkyv::rancor::Source))]
#[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext)))]
pub enum Expr {
    /// The column of this name.
    Column(String),
    /// The column at this position, from 0.
    ColumnAt(u32),
    /// A constant.
    Literal(Literal),
    /// `-x`
    Negate(#[rkyv(omit_bounds)] Box<Expr>),
    /// `left op right` on numbers, dates and timestamps.
    Arithmetic(ArithmeticOp, #[rkyv(omit_bounds)] Box<Expr>, #[rkyv(omit_bounds)] Box<Expr>),
    /// `left op right` on any two values of one type.
    Compare(CompareOp, #[rkyv(omit_bounds)] Box<Expr>, #[rkyv(omit_bounds)] Box<Expr>),
    /// All of these; TRUE when empty.
    And(#[rkyv(omit_bounds)] Vec<Expr>),
    /// Any of these; FALSE when empty.
    Or(#[rkyv(omit_bounds)] Vec<Expr>),
    /// `NOT x`
    Not(#[rkyv(omit_bounds)] Box<Expr>),
    /// `x IS NULL`
    IsNull(#[rkyv(omit_bounds)] Box<Expr>),
    /// `CASE WHEN condition THEN value .. ELSE otherwise END`: the conditions, asked in order; a value for each; the
    /// value when none is true.
    Case(#[rkyv(omit_bounds)] Vec<Expr>, #[rkyv(omit_bounds)] Vec<Expr>, #[rkyv(omit_bounds)] Box<Expr>),
    /// `CAST(x AS type)`
    Cast(#[rkyv(omit_bounds)] Box<Expr>, Type),
    /// The first that is not NULL.
    Coalesce(#[rkyv(omit_bounds)] Vec<Expr>),
    /// `NULLIF(x, y)`: NULL when equal, else x.
    NullIf(#[rkyv(omit_bounds)] Box<Expr>, #[rkyv(omit_bounds)] Box<Expr>),
    /// `x IN (list)`
    InList(#[rkyv(omit_bounds)] Box<Expr>, #[rkyv(omit_bounds)] Vec<Expr>),
    /// `x LIKE pattern`: `%` any characters, `_` one, `\` takes the next literally. ILIKE if the flag is set: letters
    /// compare without regard to case.
    Like(#[rkyv(omit_bounds)] Box<Expr>, #[rkyv(omit_bounds)] Box<Expr>, bool),
    /// A function by name (lower case), see the list at [`call`].
    Call(String, #[rkyv(omit_bounds)] Vec<Expr>),
    /// A value of this type that is put in later, by its number: NULL until then. See [`Expr::with_parameters`].
    Parameter(u32, Type),
}

/// The column of this name.
pub fn col(name: impl Into<String>) -> Expr {
    Expr::Column(name.into())
}

/// The column at this position, from 0.
pub fn col_at(index: u32) -> Expr {
    Expr::ColumnAt(index)
}

/// A constant: `lit(1)`, `lit("text")`, `lit(2.5)`, `lit(true)`, [`null`].
pub fn lit(value: impl Into<Literal>) -> Expr {
    Expr::Literal(value.into())
}

/// The constant NULL; it takes the type that its place asks for.
pub fn null() -> Expr {
    Expr::Literal(Literal::Null)
}

/// `CASE WHEN .. THEN .. ELSE otherwise END`; pass [`null`] for a CASE without ELSE.
pub fn case<C: Into<Expr>, V: Into<Expr>>(
    branches: impl IntoIterator<Item = (C, V)>,
    otherwise: impl Into<Expr>,
) -> Expr {
    let (conditions, values) =
        branches.into_iter().map(|(condition, value)| (condition.into(), value.into())).unzip();
    Expr::Case(conditions, values, Box::new(otherwise.into()))
}

/// The first of the values that is not NULL.
pub fn coalesce<E: Into<Expr>>(values: impl IntoIterator<Item = E>) -> Expr {
    Expr::Coalesce(values.into_iter().map(Into::into).collect())
}

/// All of these are true.
pub fn all<E: Into<Expr>>(conditions: impl IntoIterator<Item = E>) -> Expr {
    Expr::And(conditions.into_iter().map(Into::into).collect())
}

/// Any of these is true.
pub fn any<E: Into<Expr>>(conditions: impl IntoIterator<Item = E>) -> Expr {
    Expr::Or(conditions.into_iter().map(Into::into).collect())
}

/// A function by name. Text: `lower`, `upper`, `length` (characters; bytes of a bytea), `octet_length`, `substr`,
/// `trim`, `ltrim`, `rtrim`, `replace`, `concat` (skips NULLs), `left`, `right`, `lpad`, `rpad`, `reverse`,
/// `position(needle, text)`, `strpos`/`instr(text, needle)`, `starts_with`. Numbers: `abs`, `round`, `floor`, `ceil`,
/// `trunc`, `sign`, `mod`, `power`, `sqrt`, `least`, `greatest` (any comparable type; skip NULLs), `int2`, `int4` (the
/// integer, if it has so many bytes), `float4` (the nearest float of 32 bits). Dates:
/// `extract(field, t)`, `date_trunc(unit, t)`, `make_date(y, m, d)`, `make_timestamp(y, m, d, h, m, s)`,
/// `to_timestamp(seconds)`, `add_seconds(t, seconds)`, `date(t)`.
///
/// The rarer ones: texts and regular expressions in `string.rs`, JSON in `member.rs`, intervals in `span.rs`,
/// mathematics in `math.rs`, templates of times and numbers in `template.rs`; the names are in the tables there.
pub fn call<E: Into<Expr>>(function: &str, arguments: impl IntoIterator<Item = E>) -> Expr {
    Expr::Call(function.to_ascii_lowercase(), arguments.into_iter().map(Into::into).collect())
}

/// `EXTRACT(field FROM t)`; fields are year, quarter, month, week (ISO), day, hour, minute, dow (Sunday is 0),
/// isodow, doy, isoyear, decade, century, millennium, julian, microseconds as Int, and milliseconds, second (with its fraction) and epoch as Float.
pub fn extract(field: &str, time: impl Into<Expr>) -> Expr {
    call("extract", [lit(field), time.into()])
}

/// `DATE_TRUNC(unit, t)`: the timestamp at which the second, minute, hour, day, week, month, quarter or year began.
pub fn date_trunc(unit: &str, time: impl Into<Expr>) -> Expr {
    call("date_trunc", [lit(unit), time.into()])
}

impl<T: Into<Literal>> From<T> for Expr {
    fn from(value: T) -> Expr {
        Expr::Literal(value.into())
    }
}

// The names are those of SQL's operators; the traits of `std::ops` would not cover comparisons and logic, and two
// styles in one plan read badly.
#[allow(clippy::should_implement_trait)]
impl Expr {
    fn arithmetic(self, op: ArithmeticOp, right: impl Into<Expr>) -> Expr {
        Expr::Arithmetic(op, Box::new(self), Box::new(right.into()))
    }

    fn compare(self, op: CompareOp, right: impl Into<Expr>) -> Expr {
        Expr::Compare(op, Box::new(self), Box::new(right.into()))
    }

    /// `self + right`
    pub fn add(self, right: impl Into<Expr>) -> Expr {
        self.arithmetic(ArithmeticOp::Add, right)
    }

    /// `self - right`
    pub fn sub(self, right: impl Into<Expr>) -> Expr {
        self.arithmetic(ArithmeticOp::Sub, right)
    }

    /// `self * right`
    pub fn mul(self, right: impl Into<Expr>) -> Expr {
        self.arithmetic(ArithmeticOp::Mul, right)
    }

    /// `self / right`
    pub fn div(self, right: impl Into<Expr>) -> Expr {
        self.arithmetic(ArithmeticOp::Div, right)
    }

    /// `self % right`
    pub fn rem(self, right: impl Into<Expr>) -> Expr {
        self.arithmetic(ArithmeticOp::Rem, right)
    }

    /// `-self`
    pub fn neg(self) -> Expr {
        Expr::Negate(Box::new(self))
    }

    /// `self = right`
    pub fn eq(self, right: impl Into<Expr>) -> Expr {
        self.compare(CompareOp::Eq, right)
    }

    /// `self <> right`
    pub fn ne(self, right: impl Into<Expr>) -> Expr {
        self.compare(CompareOp::Ne, right)
    }

    /// `self < right`
    pub fn lt(self, right: impl Into<Expr>) -> Expr {
        self.compare(CompareOp::Lt, right)
    }

    /// `self <= right`
    pub fn le(self, right: impl Into<Expr>) -> Expr {
        self.compare(CompareOp::Le, right)
    }

    /// `self > right`
    pub fn gt(self, right: impl Into<Expr>) -> Expr {
        self.compare(CompareOp::Gt, right)
    }

    /// `self >= right`
    pub fn ge(self, right: impl Into<Expr>) -> Expr {
        self.compare(CompareOp::Ge, right)
    }

    /// `self IS DISTINCT FROM right`
    pub fn is_distinct_from(self, right: impl Into<Expr>) -> Expr {
        self.compare(CompareOp::Distinct, right)
    }

    /// `self IS NOT DISTINCT FROM right`
    pub fn is_not_distinct_from(self, right: impl Into<Expr>) -> Expr {
        self.compare(CompareOp::NotDistinct, right)
    }

    /// `self BETWEEN low AND high`, both included.
    pub fn between(self, low: impl Into<Expr>, high: impl Into<Expr>) -> Expr {
        self.clone().ge(low).and(self.le(high))
    }

    /// `self AND right`
    pub fn and(self, right: impl Into<Expr>) -> Expr {
        Expr::And(vec![self, right.into()])
    }

    /// `self OR right`
    pub fn or(self, right: impl Into<Expr>) -> Expr {
        Expr::Or(vec![self, right.into()])
    }

    /// `NOT self`
    pub fn not(self) -> Expr {
        Expr::Not(Box::new(self))
    }

    /// `self IS NULL`
    pub fn is_null(self) -> Expr {
        Expr::IsNull(Box::new(self))
    }

    /// `self IS NOT NULL`
    pub fn is_not_null(self) -> Expr {
        self.is_null().not()
    }

    /// `CAST(self AS kind)`
    pub fn cast(self, kind: Type) -> Expr {
        Expr::Cast(Box::new(self), kind)
    }

    /// `NULLIF(self, other)`
    pub fn nullif(self, other: impl Into<Expr>) -> Expr {
        Expr::NullIf(Box::new(self), Box::new(other.into()))
    }

    /// `self IN (list)`
    pub fn in_list<E: Into<Expr>>(self, list: impl IntoIterator<Item = E>) -> Expr {
        Expr::InList(Box::new(self), list.into_iter().map(Into::into).collect())
    }

    /// `self LIKE pattern`
    pub fn like(self, pattern: impl Into<Expr>) -> Expr {
        Expr::Like(Box::new(self), Box::new(pattern.into()), false)
    }

    /// `self ILIKE pattern`
    pub fn ilike(self, pattern: impl Into<Expr>) -> Expr {
        Expr::Like(Box::new(self), Box::new(pattern.into()), true)
    }

    /// `self || right`: NULL when either side is. Values that are not text are written as text.
    pub fn concat(self, right: impl Into<Expr>) -> Expr {
        Expr::Call("||".to_owned(), vec![self, right.into()])
    }
}
