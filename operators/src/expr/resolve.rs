//! From names to positions: types are found from the leaves up, conversions are put in, constants are computed.

use super::bound::{BoundExpr, Domain, Node, Scratch};
use super::date::{Field, Unit};
use super::function::{Function, Parameter, Signature, signatures};
use super::literal::Literal;
use super::{ArithmeticOp, CompareOp, EXPR_DEPTH_MAX, Expr, cast};
use crate::error::PlanError;
use crate::plan::{Column, column_index};
use crate::row::RowBuilder;
#[cfg(test)]
use crate::value::Datum;
use crate::value::Type;

impl Expr {
    /// The expression for rows of these columns, and the type of its values. The error says what does not fit; the
    /// caller adds the operator to it.
    pub fn resolve(&self, columns: &[Column]) -> Result<(BoundExpr, Type), PlanError> {
        let typed = Resolver { columns }.resolve(self, 0)?;
        // NULL alone has to be something; Postgres takes text too.
        let ty = typed.ty.unwrap_or(Type::Text);
        Ok((BoundExpr { node: typed.node, ty, nullable: typed.nullable }, ty))
    }
}

/// A resolved part. Only NULL has no type.
#[derive(Debug)]
struct Typed {
    node: Node,
    ty: Option<Type>,
    nullable: bool,
}

impl Typed {
    fn new(node: Node, ty: Type, nullable: bool) -> Typed {
        Typed { node, ty: Some(ty), nullable }
    }

    fn is_text_literal(&self) -> bool {
        matches!(self.node, Node::Literal(Literal::Text(_)))
    }

    /// Whether a parameter of this type takes the value, by promotion or as a literal, too.
    fn fits(&self, wanted: Type) -> bool {
        let Some(ty) = self.ty else {
            return true;
        };
        let time_literal = self.is_text_literal() && matches!(wanted, Type::Date | Type::Timestamp);
        promote(ty, wanted) == Some(wanted) || time_literal
    }

    fn name(&self) -> &'static str {
        self.ty.map_or("NULL", Type::name)
    }
}

/// A message for an operand of the wrong type.
fn expected(what: &str, wanted: &str, found: Type) -> PlanError {
    PlanError::types(format!("{what} needs {wanted}, not {found}"))
}

/// The type to which both are promoted.
fn promote(left: Type, right: Type) -> Option<Type> {
    match (left, right) {
        (left, right) if left == right => Some(left),
        (Type::Int, Type::Float | Type::Numeric) => Some(right),
        (Type::Float | Type::Numeric, Type::Int) => Some(left),
        (Type::Float, Type::Numeric) | (Type::Numeric, Type::Float) => Some(Type::Float),
        (Type::Date, Type::Timestamp) | (Type::Timestamp, Type::Date) => Some(Type::Timestamp),
        _ => None,
    }
}

fn is_number(ty: Type) -> bool {
    matches!(ty, Type::Int | Type::Float | Type::Numeric)
}

fn boxed(typed: Typed) -> Box<Node> {
    Box::new(typed.node)
}

fn nodes(list: Vec<Typed>) -> Vec<Node> {
    list.into_iter().map(|typed| typed.node).collect()
}

fn any_nullable(list: &[Typed]) -> bool {
    list.iter().any(|typed| typed.nullable)
}

/// The one type of values that stand for one another: sides of a comparison, branches of a CASE. Text literals and
/// NULL follow the others.
fn common_type(what: &str, list: &[Typed]) -> Result<Type, PlanError> {
    let mut common = None;
    for ty in list.iter().filter(|typed| !typed.is_text_literal()).filter_map(|typed| typed.ty) {
        common =
            match common {
                None => Some(ty),
                Some(before) => Some(promote(before, ty).ok_or_else(|| {
                    PlanError::types(format!("{what} cannot take {before} and {ty} together"))
                })?),
            };
    }
    Ok(common.unwrap_or(Type::Text))
}

/// Converts to a type that the value fits.
fn coerce(typed: Typed, to: Type) -> Result<Typed, PlanError> {
    match typed.ty {
        Some(ty) if ty == to => Ok(typed),
        None => Ok(Typed { ty: Some(to), ..typed }),
        Some(from) => {
            let literal =
                if let Node::Literal(Literal::Text(text)) = &typed.node { Some(text.clone()) } else { None };
            let nullable = typed.nullable || !cast::is_total(from, to);
            let cast = folded(Typed::new(Node::Cast(boxed(typed), to), to, nullable));
            match (literal, &cast.node) {
                (Some(text), Node::Cast(..)) => {
                    Err(PlanError::types(format!("{text:?} is not a value of type {to}")))
                }
                _ => Ok(cast),
            }
        }
    }
}

fn coerce_all(list: Vec<Typed>, to: Type) -> Result<Vec<Typed>, PlanError> {
    list.into_iter().map(|typed| coerce(typed, to)).collect()
}

fn condition(typed: Typed, what: &str) -> Result<Typed, PlanError> {
    match typed.ty {
        None | Some(Type::Bool) => Ok(Typed { ty: Some(Type::Bool), ..typed }),
        Some(other) => Err(expected(what, "bool", other)),
    }
}

/// Computes a node of constants now. One without a value stays, so that each row counts its error.
fn folded(typed: Typed) -> Typed {
    let constant = |node: &Node| matches!(node, Node::Literal(_));
    let foldable = match &typed.node {
        Node::Negate(input) | Node::Not(input) | Node::IsNull(input) | Node::Cast(input, _) => {
            constant(input)
        }
        Node::Arithmetic(_, _, left, right) | Node::Compare(_, left, right) | Node::NullIf(left, right) => {
            constant(left) && constant(right)
        }
        Node::Call(_, arguments) | Node::Concat(arguments) | Node::Extreme(_, arguments) => {
            arguments.iter().all(constant)
        }
        _ => false,
    };
    if !foldable {
        return typed;
    }
    let (mut builder, scratch) = (RowBuilder::new(), Scratch::new());
    builder.start(0);
    let value = Literal::from(typed.node.eval(builder.finish(), &scratch));
    if scratch.errors() > 0 {
        return typed;
    }
    Typed { nullable: value == Literal::Null, node: Node::Literal(value), ..typed }
}

struct Resolver<'a> {
    columns: &'a [Column],
}

impl Resolver<'_> {
    fn resolve(&self, expr: &Expr, depth: usize) -> Result<Typed, PlanError> {
        if depth > EXPR_DEPTH_MAX {
            return Err(PlanError::invalid(format!("an expression nests deeper than {EXPR_DEPTH_MAX}")));
        }
        let one = |expr: &Expr| self.resolve(expr, depth + 1);
        let many = |list: &[Expr]| list.iter().map(one).collect::<Result<Vec<Typed>, PlanError>>();
        let typed = match expr {
            Expr::Column(name) => self.column(column_index(self.columns, name)?),
            Expr::ColumnAt(index) => self.column_at(*index)?,
            Expr::Literal(value) => literal(value),
            Expr::Negate(input) => negate(one(input)?)?,
            Expr::Arithmetic(op, left, right) => arithmetic(*op, one(left)?, one(right)?)?,
            Expr::Compare(op, left, right) => compare(*op, one(left)?, one(right)?)?,
            Expr::And(list) => logic("AND", many(list)?, Node::And)?,
            Expr::Or(list) => logic("OR", many(list)?, Node::Or)?,
            Expr::Not(input) => {
                let input = condition(one(input)?, "NOT")?;
                let nullable = input.nullable;
                Typed::new(Node::Not(boxed(input)), Type::Bool, nullable)
            }
            Expr::IsNull(input) => Typed::new(Node::IsNull(boxed(one(input)?)), Type::Bool, false),
            Expr::Case(conditions, values, otherwise) => {
                case(many(conditions)?, many(values)?, one(otherwise)?)?
            }
            Expr::Cast(input, to) => explicit_cast(one(input)?, *to)?,
            Expr::Coalesce(list) => coalesce(many(list)?)?,
            Expr::NullIf(left, right) => null_if(one(left)?, one(right)?)?,
            Expr::InList(input, list) => in_list(one(input)?, many(list)?)?,
            Expr::Like(input, pattern, ignore_case) => like(one(input)?, one(pattern)?, *ignore_case)?,
            Expr::Call(name, arguments) => call(name, many(arguments)?)?,
            Expr::Parameter(_, ty) => Typed::new(Node::Literal(Literal::Null), *ty, true),
        };
        Ok(folded(typed))
    }

    fn column(&self, index: usize) -> Typed {
        let column = &self.columns[index];
        Typed::new(Node::Column(index, column.ty), column.ty, column.nullable)
    }

    fn column_at(&self, index: u32) -> Result<Typed, PlanError> {
        let found = usize::try_from(index).ok().filter(|index| *index < self.columns.len());
        found
            .map(|index| self.column(index))
            .ok_or_else(|| PlanError::unknown_column(&format!("number {index}"), self.columns))
    }
}

fn literal(value: &Literal) -> Typed {
    // By way of the datum, so that floats and decimals get their one form.
    let canonical = Literal::from(value.datum());
    Typed { ty: value.kind(), nullable: value.kind().is_none(), node: Node::Literal(canonical) }
}

fn negate(input: Typed) -> Result<Typed, PlanError> {
    match input.ty {
        None => Ok(input),
        // A float or decimal always has an opposite; the least integer has none.
        Some(ty) if is_number(ty) => {
            let nullable = input.nullable || ty == Type::Int;
            Ok(Typed::new(Node::Negate(boxed(input)), ty, nullable))
        }
        Some(ty) => Err(expected("unary -", "a number", ty)),
    }
}

fn op_name(op: ArithmeticOp) -> &'static str {
    match op {
        ArithmeticOp::Add => "+",
        ArithmeticOp::Sub => "-",
        ArithmeticOp::Mul => "*",
        ArithmeticOp::Div => "/",
        ArithmeticOp::Rem => "%",
    }
}

/// What the operator works on and gives, for operands of these types.
fn domain(op: ArithmeticOp, left: Type, right: Type) -> Option<(Domain, Type, Type, Type)> {
    use ArithmeticOp::{Add, Sub};
    use Type::{Date, Float, Int, Numeric, Timestamp};
    match (op, left, right) {
        (Add | Sub, Date, Int) => Some((Domain::DateDays, Date, Int, Date)),
        (Add, Int, Date) => Some((Domain::DaysDate, Int, Date, Date)),
        (Sub, Date, Date) => Some((Domain::Dates, Date, Date, Int)),
        (Sub, Timestamp | Date, Timestamp | Date) => Some((Domain::Timestamps, Timestamp, Timestamp, Float)),
        _ => match promote(left, right)? {
            Int => Some((Domain::Int, Int, Int, Int)),
            Float => Some((Domain::Float, Float, Float, Float)),
            Numeric => Some((Domain::Numeric, Numeric, Numeric, Numeric)),
            _ => None,
        },
    }
}

fn arithmetic(op: ArithmeticOp, left: Typed, right: Typed) -> Result<Typed, PlanError> {
    let wrong =
        || PlanError::types(format!("{} cannot take {} and {}", op_name(op), left.name(), right.name()));
    // NULL and text literals are taken for what the other side is; two of them for integers.
    let side = |typed: &Typed, other: &Typed| match (typed.ty, other.ty) {
        (Some(ty), _) if !typed.is_text_literal() => ty,
        (_, Some(ty)) if !other.is_text_literal() => ty,
        _ => Type::Int,
    };
    let (left_ty, right_ty) = (side(&left, &right), side(&right, &left));
    let (domain, left_ty, right_ty, result) = domain(op, left_ty, right_ty).ok_or_else(wrong)?;
    let (left, right) = (coerce(left, left_ty)?, coerce(right, right_ty)?);
    // Any of them can run out of range.
    Ok(Typed::new(Node::Arithmetic(domain, op, boxed(left), boxed(right)), result, true))
}

fn compare(op: CompareOp, left: Typed, right: Typed) -> Result<Typed, PlanError> {
    let nullable =
        !matches!(op, CompareOp::Distinct | CompareOp::NotDistinct) && (left.nullable || right.nullable);
    let (left, right) = common_pair("a comparison", left, right)?;
    // The conversion itself may have no value for some rows.
    let nullable = nullable
        || (left.nullable || right.nullable) && !matches!(op, CompareOp::Distinct | CompareOp::NotDistinct);
    Ok(Typed::new(Node::Compare(op, boxed(left), boxed(right)), Type::Bool, nullable))
}

fn common_pair(what: &str, left: Typed, right: Typed) -> Result<(Typed, Typed), PlanError> {
    let mut pair = [left, right];
    let common = common_type(what, &pair)?;
    for side in &mut pair {
        let taken = std::mem::replace(side, Typed { node: Node::And(Vec::new()), ty: None, nullable: true });
        *side = coerce(taken, common)?;
    }
    let [left, right] = pair;
    Ok((left, right))
}

fn logic(what: &str, list: Vec<Typed>, node: fn(Vec<Node>) -> Node) -> Result<Typed, PlanError> {
    let list = list.into_iter().map(|typed| condition(typed, what)).collect::<Result<Vec<_>, _>>()?;
    let nullable = any_nullable(&list);
    Ok(Typed::new(node(nodes(list)), Type::Bool, nullable))
}

fn case(conditions: Vec<Typed>, values: Vec<Typed>, otherwise: Typed) -> Result<Typed, PlanError> {
    if conditions.len() != values.len() {
        return Err(PlanError::invalid("CASE needs as many values as conditions"));
    }
    let mut results = values;
    results.push(otherwise);
    let common = common_type("CASE", &results)?;
    let mut results = coerce_all(results, common)?;
    let nullable = any_nullable(&results);
    let otherwise = results.pop().expect("the value otherwise was pushed");
    let conditions = conditions.into_iter().map(|typed| condition(typed, "CASE WHEN"));
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    let branches = nodes(conditions).into_iter().zip(nodes(results)).collect();
    Ok(Typed::new(Node::Case(branches, boxed(otherwise)), common, nullable))
}

fn explicit_cast(input: Typed, to: Type) -> Result<Typed, PlanError> {
    match input.ty {
        Some(from) if !cast::is_possible(from, to) => {
            Err(PlanError::types(format!("{from} cannot be cast to {to}")))
        }
        Some(from) if from != to => {
            let nullable = input.nullable || !cast::is_total(from, to);
            Ok(Typed::new(Node::Cast(boxed(input), to), to, nullable))
        }
        _ => Ok(Typed { ty: Some(to), ..input }),
    }
}

fn coalesce(list: Vec<Typed>) -> Result<Typed, PlanError> {
    if list.is_empty() {
        return Err(PlanError::invalid("COALESCE needs at least one value"));
    }
    let common = common_type("COALESCE", &list)?;
    let list = coerce_all(list, common)?;
    let nullable = list.iter().all(|typed| typed.nullable);
    Ok(Typed::new(Node::Coalesce(nodes(list)), common, nullable))
}

fn null_if(left: Typed, right: Typed) -> Result<Typed, PlanError> {
    let (left, right) = common_pair("NULLIF", left, right)?;
    let ty = left.ty.unwrap_or(Type::Text);
    Ok(Typed::new(Node::NullIf(boxed(left), boxed(right)), ty, true))
}

fn in_list(input: Typed, list: Vec<Typed>) -> Result<Typed, PlanError> {
    let mut all = list;
    all.insert(0, input);
    let common = common_type("IN", &all)?;
    let all = coerce_all(all, common)?;
    let nullable = any_nullable(&all);
    let mut list = nodes(all);
    let input = Box::new(list.remove(0));
    let constants =
        list.iter().map(|node| if let Node::Literal(value) = node { Some(value.clone()) } else { None });
    let node = match constants.collect::<Option<Vec<Literal>>>() {
        Some(mut set) => {
            let before = set.len();
            set.retain(|value| *value != Literal::Null);
            let with_null = set.len() < before;
            set.sort_by(|left, right| left.datum().order(&right.datum()));
            Node::InSet(input, set, with_null)
        }
        None => Node::InList(input, list),
    };
    Ok(Typed::new(node, Type::Bool, nullable))
}

fn like(input: Typed, pattern: Typed, ignore_case: bool) -> Result<Typed, PlanError> {
    let text = |typed: Typed| match typed.ty {
        None | Some(Type::Text) => Ok(typed),
        Some(other) => Err(expected("LIKE", "text", other)),
    };
    let (input, pattern) = (text(input)?, text(pattern)?);
    let nullable = input.nullable || pattern.nullable;
    Ok(Typed::new(
        Node::Like { input: boxed(input), pattern: boxed(pattern), ignore_case },
        Type::Bool,
        nullable,
    ))
}

fn call(name: &str, mut arguments: Vec<Typed>) -> Result<Typed, PlanError> {
    match name {
        "extract" | "date_part" => extract(arguments),
        "date_trunc" => date_trunc(arguments),
        "||" | "concat" => concat(name, arguments),
        "least" => extreme(name, std::cmp::Ordering::Less, arguments),
        "greatest" => extreme(name, std::cmp::Ordering::Greater, arguments),
        "date" if arguments.len() == 1 => explicit_cast(arguments.remove(0), Type::Date),
        "mod" if arguments.len() == 2 => {
            let right = arguments.remove(1);
            arithmetic(ArithmeticOp::Rem, arguments.remove(0), right)
        }
        _ => by_signature(name, arguments),
    }
}

fn by_signature(name: &str, arguments: Vec<Typed>) -> Result<Typed, PlanError> {
    let mut named = signatures().filter(|signature| signature.name == name).peekable();
    if named.peek().is_none() {
        return Err(PlanError::invalid(format!("there is no function {name:?}")));
    }
    let Some(signature) = named.find(|signature| accepts(signature, &arguments)) else {
        let types: Vec<&str> = arguments.iter().map(Typed::name).collect();
        return Err(PlanError::types(format!("{name} cannot take ({})", types.join(", "))));
    };
    let first = arguments.first().and_then(|typed| typed.ty);
    let converted: Result<Vec<Typed>, PlanError> = arguments
        .into_iter()
        .zip(signature.parameters)
        .map(|(argument, parameter)| match parameter {
            Parameter::Is(ty) => coerce(argument, *ty),
            Parameter::Number => Ok(argument),
        })
        .collect();
    let converted = converted?;
    let nullable = any_nullable(&converted) || !signature.function.is_total();
    let result = signature.result.or(first).unwrap_or(Type::Int);
    Ok(Typed::new(Node::Call(signature.function, nodes(converted)), result, nullable))
}

fn accepts(signature: &Signature, arguments: &[Typed]) -> bool {
    let most = signature.parameters.len();
    let counts = most - signature.optional..=most;
    counts.contains(&arguments.len())
        && arguments.iter().zip(signature.parameters).all(|(argument, parameter)| match parameter {
            Parameter::Is(ty) => argument.fits(*ty),
            Parameter::Number => argument.ty.is_none_or(is_number),
        })
}

/// Takes the name of a field or unit, which must be a constant, and the time that it is asked of.
fn name_and_time(what: &str, arguments: Vec<Typed>) -> Result<(String, Typed), PlanError> {
    let wrong = || PlanError::types(format!("{what} needs a constant name and a timestamp or date"));
    let [name, time] = <[Typed; 2]>::try_from(arguments).map_err(|_| wrong())?;
    match (name.node, time.ty) {
        (Node::Literal(Literal::Text(name)), None | Some(Type::Timestamp | Type::Date)) => Ok((name, time)),
        _ => Err(wrong()),
    }
}

fn extract(arguments: Vec<Typed>) -> Result<Typed, PlanError> {
    let (name, time) = name_and_time("extract", arguments)?;
    let field = Field::by_name(&name)
        .ok_or_else(|| PlanError::invalid(format!("extract knows no field {name:?}")))?;
    // Dates of any size are numbers, so their fields can be without a value; those of a timestamp never are.
    let of_date = time.ty == Some(Type::Date);
    let in_day = field.is_float() || matches!(field, Field::Hour | Field::Minute | Field::Microseconds);
    let time = if of_date && !in_day { time } else { coerce(time, Type::Timestamp)? };
    let nullable = time.nullable || of_date;
    let result = if field.is_float() { Type::Float } else { Type::Int };
    Ok(Typed::new(Node::Call(Function::Extract(field), vec![time.node]), result, nullable))
}

fn date_trunc(arguments: Vec<Typed>) -> Result<Typed, PlanError> {
    let (name, time) = name_and_time("date_trunc", arguments)?;
    let unit = Unit::by_name(&name)
        .ok_or_else(|| PlanError::invalid(format!("date_trunc knows no unit {name:?}")))?;
    let time = coerce(time, Type::Timestamp)?;
    Ok(Typed::new(Node::Call(Function::DateTrunc(unit), vec![time.node]), Type::Timestamp, true))
}

/// `||` of two is NULL when either is; `concat` passes NULLs over.
fn concat(name: &str, arguments: Vec<Typed>) -> Result<Typed, PlanError> {
    let bytes = arguments.iter().find(|typed| typed.ty == Some(Type::Bytes));
    if bytes.is_some() {
        return Err(expected(name, "text or what is written as text", Type::Bytes));
    }
    let texts = arguments.into_iter().map(|typed| explicit_cast(typed, Type::Text).map(folded));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    match (name, texts.len()) {
        ("||", 2) => Ok(Typed::new(Node::Call(Function::Append, nodes(texts)), Type::Text, true)),
        ("||", count) => Err(PlanError::invalid(format!("|| takes two values, not {count}"))),
        _ => Ok(Typed::new(Node::Concat(nodes(texts)), Type::Text, true)),
    }
}

fn extreme(name: &str, side: std::cmp::Ordering, arguments: Vec<Typed>) -> Result<Typed, PlanError> {
    if arguments.is_empty() {
        return Err(PlanError::invalid(format!("{name} needs at least one value")));
    }
    let common = common_type(name, &arguments)?;
    let arguments = coerce_all(arguments, common)?;
    let nullable = arguments.iter().all(|typed| typed.nullable);
    Ok(Typed::new(Node::Extreme(side, nodes(arguments)), common, nullable))
}

/// A datum that is never NULL where `nullable` says so; checked by the tests of this module.
#[cfg(test)]
pub(super) fn keeps_promise(expr: &BoundExpr, value: Datum<'_>) -> bool {
    value.ty().map_or(expr.nullable, |ty| ty == expr.ty)
}
