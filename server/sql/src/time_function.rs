//! Functions of dates, times and intervals that are more than a call of the engine's.

use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::sql_type::SqlType;
use crate::typed::Typed;
use operators::Type;
use operators::expr::{Expr, call, lit};
use sqlparser::ast::Expr as Ast;

/// A date or a timestamp; a literal in quotes is taken for a timestamp.
pub(crate) fn time(binder: &Binder<'_>, argument: &Ast) -> Result<(Expr, SqlType)> {
    let typed = binder.bind(argument)?;
    match typed.known() {
        Some(ty) if ty.is_time() => Ok((typed.expr, ty)),
        Some(other) => Err(SqlError::new("42883", format!("a date or timestamp is needed, not {other}"))),
        None => Ok((typed.convert(SqlType::Timestamp, binder.parameters)?, SqlType::Timestamp)),
    }
}

/// The beginning of the unit that a time lies in.
pub(crate) fn date_trunc(binder: &Binder<'_>, unit: &Ast, argument: &Ast) -> Result<Typed> {
    let Ast::Value(unit) = unit else {
        return Err(SqlError::unsupported("date_trunc with a unit that is no constant"));
    };
    let unit = unit.value.clone().into_string().unwrap_or_default().to_lowercase();
    let units = [
        "microseconds",
        "milliseconds",
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "quarter",
        "year",
        "decade",
        "century",
        "millennium",
    ];
    if !units.contains(&unit.as_str()) {
        return Err(SqlError::new("22023", format!("date_trunc knows no unit {unit:?}"))
            .hint(format!("There are: {}.", units.join(", "))));
    }
    let (time, ty) = time(binder, argument)?;
    // A day begins at midnight of the session's time zone, which is UTC.
    let ty = if ty == SqlType::Date { SqlType::TimestampTz } else { ty };
    Ok(Typed::new(operators::expr::date_trunc(&unit, time), ty))
}

/// A part of a time or of an interval, as a double.
pub(crate) fn extract(binder: &Binder<'_>, field: &str, argument: &Ast) -> Result<Expr> {
    let field = field.to_lowercase();
    let field = match field.as_str() {
        "years" | "months" | "days" | "hours" | "minutes" | "seconds" => &field[..field.len() - 1],
        field => field,
    };
    let fields = [
        "millennium",
        "century",
        "decade",
        "year",
        "isoyear",
        "quarter",
        "month",
        "week",
        "day",
        "hour",
        "minute",
        "second",
        "milliseconds",
        "microseconds",
        "dow",
        "isodow",
        "doy",
        "julian",
        "epoch",
    ];
    if !fields.contains(&field) {
        return Err(SqlError::new("22023", format!("extract knows no field {field:?}"))
            .hint(format!("There are: {}.", fields.join(", "))));
    }
    let typed = binder.bind(argument)?;
    if typed.known() == Some(SqlType::Interval) {
        return Ok(call("interval_part", [lit(field), typed.expr]));
    }
    Ok(operators::expr::extract(field, time(binder, argument)?.0))
}

/// There is one time zone; between the two kinds of timestamp nothing changes in it.
pub(crate) fn at_time_zone(binder: &Binder<'_>, timestamp: &Ast, zone: &Ast) -> Result<Typed> {
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
