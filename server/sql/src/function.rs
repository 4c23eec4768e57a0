//! Functions by name: their arguments, their results, and what computes them.

use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::names::object_name;
use crate::sql_type::SqlType;
use crate::typed::{Typed, cast, unify};
use operators::Type;
use operators::expr::{ArithmeticOp, Expr, call, coalesce, lit};
use sqlparser::ast::{
    CeilFloorKind, DateTimeField, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    TrimWhereField,
};

/// What an argument is converted to.
#[derive(Clone, Copy)]
enum Takes {
    Text,
    Integer,
    Double,
    Time,
}

/// Functions that the engine has by the same name: how they are called, how many arguments may be left out, and what
/// they give.
const PLAIN: &[(&str, &[Takes], usize, SqlType)] = {
    use SqlType::{Boolean, Date, Double, Integer as Int, Text as Txt, Timestamp, TimestampTz};
    use Takes::{Double as D, Integer as I, Text as T, Time};
    &[
        ("lower", &[T], 0, Txt),
        ("upper", &[T], 0, Txt),
        ("trim", &[T, T], 1, Txt),
        ("btrim", &[T, T], 1, Txt),
        ("ltrim", &[T, T], 1, Txt),
        ("rtrim", &[T, T], 1, Txt),
        ("replace", &[T, T, T], 0, Txt),
        ("left", &[T, I], 0, Txt),
        ("right", &[T, I], 0, Txt),
        ("lpad", &[T, I, T], 1, Txt),
        ("rpad", &[T, I, T], 1, Txt),
        ("reverse", &[T], 0, Txt),
        ("substr", &[T, I, I], 1, Txt),
        ("substring", &[T, I, I], 1, Txt),
        ("char_length", &[T], 0, Int),
        ("character_length", &[T], 0, Int),
        ("strpos", &[T, T], 0, Int),
        ("starts_with", &[T, T], 0, Boolean),
        ("power", &[D, D], 0, Double),
        ("pow", &[D, D], 0, Double),
        ("sqrt", &[D], 0, Double),
        ("make_date", &[I, I, I], 0, Date),
        ("make_timestamp", &[I, I, I, I, I, D], 0, Timestamp),
        ("to_timestamp", &[D], 0, TimestampTz),
        ("date", &[Time], 0, Date),
    ]
};

/// A call.
pub(crate) fn bind(binder: &Binder<'_>, function: &Function) -> Result<Typed> {
    let name = object_name(&function.name)?;
    if function.over.is_some() {
        return Err(SqlError::unsupported(format!("the window function {name}")));
    }
    if crate::aggregate::is_aggregate(&name) {
        return match binder.grouping {
            Some(grouping) => grouping.aggregate(&name, function, binder.parameters),
            None => Err(SqlError::new("42803", format!("the aggregate {name} is not allowed here"))
                .hint("Aggregates stand in select lists, in HAVING and in ORDER BY.")),
        };
    }
    let arguments = arguments(&name, function)?;
    match (name.as_str(), arguments.as_slice()) {
        ("now" | "current_timestamp" | "transaction_timestamp" | "statement_timestamp", []) => {
            Ok(Typed::new(binder.parameters.now()?, SqlType::TimestampTz))
        }
        ("localtimestamp", []) => Ok(Typed::new(binder.parameters.now()?, SqlType::Timestamp)),
        ("current_date", []) => Ok(Typed::new(binder.parameters.now()?.cast(Type::Date), SqlType::Date)),
        ("coalesce", [_, ..]) => {
            let (list, ty) = unify("COALESCE", all(binder, &arguments)?, binder.parameters)?;
            Ok(Typed::new(coalesce(list), ty))
        }
        ("least" | "greatest", [_, ..]) => {
            let (list, ty) = unify(&name, all(binder, &arguments)?, binder.parameters)?;
            Ok(Typed::new(call(&name, list), ty))
        }
        ("nullif", [_, _]) => {
            let (mut pair, ty) = unify("NULLIF", all(binder, &arguments)?, binder.parameters)?;
            let second = pair.pop().expect("two went in");
            Ok(Typed::new(pair.remove(0).nullif(second), ty))
        }
        ("concat", [_, ..]) => {
            let texts = all(binder, &arguments)?
                .into_iter()
                .map(|typed| Ok(cast(typed, SqlType::Text, binder.parameters)?.expr))
                .collect::<Result<Vec<Expr>>>()?;
            Ok(Typed::new(call("concat", texts), SqlType::Text))
        }
        ("mod", [left, right]) => {
            binder.arithmetic_on(ArithmeticOp::Rem, binder.bind(left)?, binder.bind(right)?)
        }
        ("length" | "octet_length", [argument]) => {
            let typed = binder.bind(argument)?;
            let ty = if typed.known() == Some(SqlType::Bytea) { SqlType::Bytea } else { SqlType::Text };
            let argument = typed.convert(ty, binder.parameters)?;
            Ok(Typed::new(call(&name, [argument]), SqlType::Integer))
        }
        ("abs" | "sign" | "floor" | "ceil" | "ceiling" | "trunc" | "round", [number, digits @ ..]) => {
            number_function(binder, &name, number, digits)
        }
        ("date_trunc", [unit, time]) => date_trunc(binder, unit, time),
        ("date_part", [Ast::Value(field), time]) => {
            let field = field.value.clone().into_string().unwrap_or_default();
            Ok(Typed::new(extract(binder, &field, time)?.cast(Type::Float), SqlType::Double))
        }
        _ => plain(binder, &name, &arguments),
    }
}

fn all(binder: &Binder<'_>, arguments: &[Ast]) -> Result<Vec<Typed>> {
    arguments.iter().map(|argument| binder.bind(argument)).collect()
}

/// The arguments of a call without anything special about it.
fn arguments(name: &str, function: &Function) -> Result<Vec<Ast>> {
    let special = function.filter.is_some()
        || function.null_treatment.is_some()
        || !function.within_group.is_empty()
        || function.parameters != FunctionArguments::None;
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::List(list)
            if list.clauses.is_empty() && list.duplicate_treatment.is_none() && !special =>
        {
            list
        }
        _ => return Err(SqlError::unsupported(format!("this form of a call of {name}"))),
    };
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
        _ => Err(SqlError::unsupported(format!("the argument {argument} of {name}"))),
    };
    list.args.iter().map(argument).collect()
}

fn plain(binder: &Binder<'_>, name: &str, arguments: &[Ast]) -> Result<Typed> {
    let mut known = PLAIN.iter().filter(|function| function.0 == name).peekable();
    if known.peek().is_none() {
        return Err(SqlError::new("42883", format!("there is no function {name}"))
            .hint("The crate's documentation lists the functions."));
    }
    let Some((_, takes, optional, result)) = known
        .find(|(_, takes, optional, _)| (takes.len() - optional..=takes.len()).contains(&arguments.len()))
    else {
        return Err(SqlError::new("42883", format!("{name} does not take {} arguments", arguments.len())));
    };
    debug_assert!(*optional <= takes.len());
    let converted: Vec<Expr> = arguments
        .iter()
        .zip(*takes)
        .map(|(argument, takes)| match takes {
            Takes::Text => binder.bind_as(argument, SqlType::Text),
            Takes::Integer => binder.bind_as(argument, SqlType::Integer),
            Takes::Double => binder.bind_as(argument, SqlType::Double),
            Takes::Time => Ok(time(binder, argument)?.0),
        })
        .collect::<Result<_>>()?;
    let name = if name == "character_length" { "char_length" } else { name };
    Ok(Typed::new(call(name, converted), *result))
}

fn time(binder: &Binder<'_>, argument: &Ast) -> Result<(Expr, SqlType)> {
    let typed = binder.bind(argument)?;
    match typed.known() {
        Some(ty) if ty.is_time() => Ok((typed.expr, ty)),
        Some(other) => Err(SqlError::new("42883", format!("a date or timestamp is needed, not {other}"))),
        None => Ok((typed.convert(SqlType::Timestamp, binder.parameters)?, SqlType::Timestamp)),
    }
}

fn number_function(binder: &Binder<'_>, name: &str, number: &Ast, digits: &[Ast]) -> Result<Typed> {
    let typed = binder.bind(number)?;
    let given = typed.known().unwrap_or(SqlType::Double).bare();
    if !given.is_number() {
        return Err(SqlError::new("42883", format!("{name} takes a number, not {given}")));
    }
    // Rounding an integer is rounding a double, unless digits are asked for.
    let ty = match (name, digits) {
        ("abs", []) => given,
        ("round" | "trunc", [_]) => SqlType::Numeric(None),
        (_, []) if given.is_integer() || given == SqlType::Real => SqlType::Double,
        (_, []) => given,
        _ => return Err(SqlError::new("42883", format!("{name} does not take so many arguments"))),
    };
    let expr = match given {
        SqlType::Double | SqlType::Real if matches!(ty, SqlType::Numeric(_)) => {
            typed.expr.cast(Type::Numeric)
        }
        _ => typed.convert(ty, binder.parameters)?,
    };
    let [digits] = digits else {
        return Ok(Typed::new(call(name, [expr]), ty));
    };
    if name == "trunc" {
        return Err(SqlError::unsupported("trunc with digits").hint("Use round."));
    }
    Ok(Typed::new(call(name, [expr, binder.bind_as(digits, SqlType::Integer)?]), ty))
}

fn date_trunc(binder: &Binder<'_>, unit: &Ast, argument: &Ast) -> Result<Typed> {
    let Ast::Value(unit) = unit else {
        return Err(SqlError::unsupported("date_trunc with a unit that is no constant"));
    };
    let unit = unit.value.clone().into_string().unwrap_or_default().to_lowercase();
    let units = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];
    if !units.contains(&unit.as_str()) {
        return Err(SqlError::new("22023", format!("date_trunc knows no unit {unit:?}"))
            .hint(format!("There are: {}.", units.join(", "))));
    }
    let (time, ty) = time(binder, argument)?;
    let ty = if ty == SqlType::TimestampTz { ty } else { SqlType::Timestamp };
    Ok(Typed::new(operators::expr::date_trunc(&unit, time), ty))
}

fn extract(binder: &Binder<'_>, field: &str, argument: &Ast) -> Result<Expr> {
    let field = field.to_lowercase();
    let fields = [
        "year", "quarter", "month", "week", "day", "hour", "minute", "second", "dow", "isodow", "doy",
        "epoch",
    ];
    if !fields.contains(&field.as_str()) {
        return Err(SqlError::new("22023", format!("extract knows no field {field:?}"))
            .hint(format!("There are: {}.", fields.join(", "))));
    }
    // A difference of times is known by its seconds alone.
    if let Ast::BinaryOp { left, op: sqlparser::ast::BinaryOperator::Minus, right } = unnested(argument)
        && field == "epoch"
        && crate::interval::seconds(right)?.is_none()
    {
        let (left, left_ty) = time(binder, left)?;
        let (right, right_ty) = time(binder, right)?;
        if left_ty != SqlType::Date || right_ty != SqlType::Date {
            return Ok(left.cast(Type::Timestamp).sub(right.cast(Type::Timestamp)));
        }
    }
    Ok(operators::expr::extract(&field, time(binder, argument)?.0))
}

fn unnested(ast: &Ast) -> &Ast {
    match ast {
        Ast::Nested(inner) => unnested(inner),
        other => other,
    }
}

/// What has a syntax of its own.
pub(crate) fn bind_special(binder: &Binder<'_>, ast: &Ast) -> Result<Typed> {
    match ast {
        Ast::Extract { field, expr, .. } => {
            let field = match field {
                DateTimeField::Custom(name) => name.value.clone(),
                other => other.to_string(),
            };
            Ok(Typed::new(extract(binder, &field, expr)?.cast(Type::Numeric), SqlType::Numeric(None)))
        }
        Ast::Ceil { expr, field } | Ast::Floor { expr, field } => {
            if !matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)) {
                return Err(SqlError::unsupported(ast.to_string()));
            }
            let name = if matches!(ast, Ast::Ceil { .. }) { "ceil" } else { "floor" };
            number_function(binder, name, expr, &[])
        }
        Ast::Position { expr, r#in } => {
            let needle = binder.bind_as(expr, SqlType::Text)?;
            let text = binder.bind_as(r#in, SqlType::Text)?;
            Ok(Typed::new(call("strpos", [text, needle]), SqlType::Integer))
        }
        Ast::Substring { expr, substring_from, substring_for, .. } => {
            let mut list = vec![binder.bind_as(expr, SqlType::Text)?];
            list.push(match substring_from {
                Some(from) => binder.bind_as(from, SqlType::Integer)?,
                None => lit(1),
            });
            if let Some(count) = substring_for {
                list.push(binder.bind_as(count, SqlType::Integer)?);
            }
            Ok(Typed::new(call("substr", list), SqlType::Text))
        }
        Ast::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                None | Some(TrimWhereField::Both) => "btrim",
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
            };
            let mut list = vec![binder.bind_as(expr, SqlType::Text)?];
            let characters = trim_characters.as_deref().and_then(|list| list.first());
            if let Some(what) = trim_what.as_deref().or(characters) {
                list.push(binder.bind_as(what, SqlType::Text)?);
            }
            Ok(Typed::new(call(name, list), SqlType::Text))
        }
        Ast::AtTimeZone { timestamp, time_zone } => at_time_zone(binder, timestamp, time_zone),
        Ast::Interval(_) => Err(SqlError::unsupported("an interval by itself")
            .hint("Add it to a date or timestamp, or count seconds with extract(epoch from ...).")),
        Ast::InSubquery { .. } | Ast::Exists { .. } => Err(SqlError::unsupported("a subquery in this place")
            .hint("IN and EXISTS stand in WHERE, joined by AND to what else is there.")),
        Ast::Subquery(_) => {
            Err(SqlError::unsupported("a subquery as a value").hint("Join with the subquery instead."))
        }
        _ => Err(SqlError::unsupported(format!("the expression {ast}"))),
    }
}

/// There is one time zone; between the two kinds of timestamp nothing changes in it.
fn at_time_zone(binder: &Binder<'_>, timestamp: &Ast, zone: &Ast) -> Result<Typed> {
    let utc = matches!(zone, Ast::Value(value)
        if matches!(value.value.clone().into_string().unwrap_or_default().to_ascii_lowercase().as_str(), "utc" | "gmt" | "z"));
    if !utc {
        return Err(SqlError::unsupported("a time zone other than UTC"));
    }
    let (time, ty) = time(binder, timestamp)?;
    Ok(match ty {
        SqlType::TimestampTz => Typed::new(time, SqlType::Timestamp),
        _ => Typed::new(time.cast(Type::Timestamp), SqlType::TimestampTz),
    })
}
