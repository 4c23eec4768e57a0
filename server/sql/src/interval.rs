//! Intervals, as far as they are a number of seconds: constants that are added to a time.

use crate::error::{Result, SqlError};
use sqlparser::ast::{Expr as Ast, Interval, Value};

/// The seconds of an interval constant; none if it is something else.
pub(crate) fn seconds(ast: &Ast) -> Result<Option<f64>> {
    match ast {
        Ast::Nested(inner) => seconds(inner),
        Ast::Interval(Interval { value, leading_field, last_field: None, .. }) => {
            let text = match &**value {
                Ast::Value(value) => match &value.value {
                    Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
                    _ => return Err(SqlError::unsupported(format!("the interval {ast}"))),
                },
                _ => return Err(SqlError::unsupported(format!("the interval {ast}"))),
            };
            let text = match leading_field {
                Some(field) => format!("{text} {field}"),
                None => text,
            };
            parse(&text).map(Some)
        }
        Ast::Cast { expr, data_type, .. } if data_type.to_string().eq_ignore_ascii_case("interval") => {
            match &**expr {
                Ast::Value(value) => match &value.value {
                    Value::SingleQuotedString(text) => parse(text).map(Some),
                    _ => Err(SqlError::unsupported(format!("the interval {ast}"))),
                },
                _ => Err(SqlError::unsupported("an interval that is no constant")),
            }
        }
        _ => Ok(None),
    }
}

/// `1 day 2 hours 03:04:05.5`, in any order.
fn parse(text: &str) -> Result<f64> {
    let wrong = || SqlError::new("22007", format!("invalid input for type interval: {text:?}"));
    let mut words = text.split_whitespace();
    let mut total = 0.0;
    let mut any = false;
    while let Some(word) = words.next() {
        any = true;
        if word.contains(':') {
            total += clock(word).ok_or_else(wrong)?;
            continue;
        }
        let split = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
        let number: f64 = word[..split].parse().map_err(|_| wrong())?;
        let unit = if split < word.len() { &word[split..] } else { words.next().ok_or_else(wrong)? };
        total += number * unit_seconds(unit).ok_or_else(wrong)??;
    }
    if any { Ok(total) } else { Err(wrong()) }
}

fn clock(word: &str) -> Option<f64> {
    let (sign, word) = match word.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, word),
    };
    let mut parts = word.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0.0))?;
    parts.next().is_none().then_some(sign * (hours * 3600.0 + minutes * 60.0 + seconds))
}

fn unit_seconds(unit: &str) -> Option<Result<f64>> {
    let unit = unit.to_ascii_lowercase();
    Some(Ok(match unit.strip_suffix('s').unwrap_or(&unit) {
        "microsecond" | "u" => 1e-6,
        "millisecond" | "m" if unit.starts_with("milli") || unit == "ms" => 1e-3,
        "second" | "sec" | "" => 1.0,
        "minute" | "min" | "m" => 60.0,
        "hour" | "hr" | "h" => 3600.0,
        "day" | "d" => 86_400.0,
        "week" | "w" => 604_800.0,
        "month" | "mon" | "year" | "yr" | "y" | "decade" | "centurie" | "century" => {
            return Some(Err(SqlError::unsupported("an interval of months or years")
                .hint("They differ in length. Write the interval in days.")));
        }
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn texts() {
        assert_eq!(parse("1 day 02:00:01.5"), Ok(93_601.5));
        assert_eq!(parse("2 weeks -3 hours"), Ok(1_198_800.0));
        assert_eq!(parse("90s"), Ok(90.0));
        assert_eq!(parse("250 ms"), Ok(0.25));
        assert_eq!(parse("1 month").expect_err("months").sqlstate, "0A000");
        assert_eq!(parse("soon").expect_err("no number").sqlstate, "22007");
    }
}
