//! Intervals: constants, and the arithmetic that they take part in.

use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::sql_type::SqlType;
use crate::typed::Typed;
use operators::Type;
use operators::expr::{ArithmeticOp, Expr, Interval, Literal, call};
use sqlparser::ast::{Expr as Ast, Interval as IntervalAst, Value};

/// `INTERVAL '...' [unit]`
pub(crate) fn constant(ast: &IntervalAst) -> Result<Typed> {
    let IntervalAst { value, leading_field, last_field, .. } = ast;
    let text = match &**value {
        Ast::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
            _ => return Err(SqlError::unsupported(format!("the interval {ast}"))),
        },
        _ => return Err(SqlError::unsupported(format!("the interval {ast}"))),
    };
    let has_unit = text.contains(|found: char| found.is_ascii_alphabetic() || found == ':');
    let text = match (leading_field, last_field) {
        (Some(field), None) if !has_unit => format!("{text} {field}"),
        (_, None) => text,
        _ => return Err(SqlError::unsupported(format!("the interval {ast}"))),
    };
    let interval = Interval::parse(&text)
        .ok_or_else(|| SqlError::new("22007", format!("invalid input syntax for type interval: {text:?}")))?;
    Ok(Typed::new(Expr::Literal(Literal::Bytes(interval.to_bytes().to_vec())), SqlType::Interval))
}

/// Arithmetic in which a side is an interval, or whose result is one. None if it is neither.
pub(crate) fn arithmetic(
    binder: &Binder<'_>,
    op: ArithmeticOp,
    left: &Typed,
    right: &Typed,
) -> Result<Option<Typed>> {
    use ArithmeticOp::{Add, Div, Mul, Sub};
    use SqlType::{Interval as Span, Timestamp, TimestampTz};
    let convert = |typed: &Typed, ty| typed.clone().convert(ty, binder.parameters);
    let as_time = |ty| if ty == TimestampTz { TimestampTz } else { Timestamp };
    let result = match (op, left.known(), right.known()) {
        (Add | Sub, Some(Span), Some(Span) | None) | (Add | Sub, None, Some(Span)) => {
            let name = if op == Add { "interval_add" } else { "interval_sub" };
            Typed::new(call(name, [convert(left, Span)?, convert(right, Span)?]), Span)
        }
        (Add | Sub, Some(time), Some(Span)) if time.is_time() => {
            let ty = as_time(time);
            let name = if op == Add { "timestamp_after" } else { "timestamp_before" };
            let time = convert(left, time)?.cast(Type::Timestamp);
            Typed::new(call(name, [time, convert(right, Span)?]), ty)
        }
        (Add, Some(Span), Some(time)) if time.is_time() => {
            let interval = convert(left, Span)?;
            let ty = as_time(time);
            Typed::new(call("timestamp_after", [convert(right, time)?.cast(Type::Timestamp), interval]), ty)
        }
        (Mul, Some(Span), other) if other.is_none_or(SqlType::is_number) => {
            Typed::new(call("interval_multiply", [convert(left, Span)?, double(binder, right)?]), Span)
        }
        (Mul, other, Some(Span)) if other.is_none_or(SqlType::is_number) => {
            Typed::new(call("interval_multiply", [convert(right, Span)?, double(binder, left)?]), Span)
        }
        (Div, Some(Span), other) if other.is_none_or(SqlType::is_number) => {
            Typed::new(call("interval_divide", [convert(left, Span)?, double(binder, right)?]), Span)
        }
        (Sub, Some(l), r) if l.is_time() && l != SqlType::Date && r.is_none_or(SqlType::is_time) => {
            between(binder, left, right)?
        }
        (Sub, l, Some(r)) if r.is_time() && r != SqlType::Date && l.is_none_or(SqlType::is_time) => {
            between(binder, left, right)?
        }
        (_, Some(Span), _) | (_, _, Some(Span)) => return Err(no_arithmetic(op, left, right)),
        _ => return Ok(None),
    };
    Ok(Some(result))
}

fn no_arithmetic(op: ArithmeticOp, left: &Typed, right: &Typed) -> SqlError {
    let sign = ["+", "-", "*", "/", "%"][op as usize];
    let (left, right) = (left.type_name(), right.type_name());
    SqlError::new("42883", format!("operator does not exist: {left} {sign} {right}"))
}

fn double(binder: &Binder<'_>, typed: &Typed) -> Result<Expr> {
    typed.clone().convert(SqlType::Double, binder.parameters)
}

fn between(binder: &Binder<'_>, left: &Typed, right: &Typed) -> Result<Typed> {
    let side = |typed: &Typed, other: &Typed| -> Result<Expr> {
        let ty = typed.known().or(other.known()).unwrap_or(SqlType::Timestamp);
        Ok(typed.clone().convert(ty, binder.parameters)?.cast(Type::Timestamp))
    };
    Ok(Typed::new(call("timestamp_between", [side(left, right)?, side(right, left)?]), SqlType::Interval))
}

/// What an interval is compared by: its length.
pub(crate) fn length(expr: Expr, ty: SqlType) -> Expr {
    if ty == SqlType::Interval { call("interval_length", [expr]) } else { expr }
}
