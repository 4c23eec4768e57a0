//! Values as text, in PostgreSQL's form, both ways.
//!
//! [`parse`] makes the engine's value of what a client sends for a column or a parameter, and refuses what the type
//! does not hold; [`print`] writes a value of a row. A value goes there and back unchanged, but for the scale of a
//! `numeric` without one: 1.50 is kept as 1.5. Times are in UTC.

use crate::error::{Result, SqlError};
use crate::json;
use crate::sql_type::SqlType;
use operators::expr::calendar::{datum_text, parse_date, parse_timestamp};
use operators::expr::{Interval, Literal, arrays};
use operators::{Datum, Row};
use rust_decimal::{Decimal, RoundingStrategy};
use std::fmt::Write;

/// The value of type `ty` that `text` names.
pub fn parse(ty: SqlType, text: &str) -> Result<Literal> {
    if let Some(value) = parse_in_place(ty, text)? {
        return Ok(Literal::from(value));
    }
    let word = text.trim();
    let wrong = || wrong(ty, text);
    let value = match ty {
        SqlType::Numeric(_) => Literal::from(decimal(word).ok_or_else(wrong)?),
        SqlType::Varchar(_) | SqlType::Char(_) => Literal::Text(whole(text)?.to_owned()),
        SqlType::Bytea => Literal::Bytes(bytes(text).ok_or_else(wrong)?),
        SqlType::Interval => Literal::Bytes(Interval::parse(word).ok_or_else(wrong)?.to_bytes().to_vec()),
        SqlType::Uuid => Literal::Text(uuid(word).ok_or_else(wrong)?),
        SqlType::Jsonb => Literal::Text(json::canonical(text)?),
        SqlType::Array(element) => {
            let elements = arrays::elements(text).ok_or_else(wrong)?;
            let texts = elements
                .iter()
                .map(|found| found.as_deref().map(|text| canonical(element.ty(), text)).transpose());
            let texts = texts.collect::<Result<Vec<Option<String>>>>()?;
            Literal::Text(arrays::array(texts.iter().map(Option::as_deref)))
        }
        _ => unreachable!("values of {ty} are parsed in place"),
    };
    fit(ty, value)
}

/// The same without memory of its own, as the type holds it; none for types whose values need some.
pub(crate) fn parse_in_place(ty: SqlType, text: &str) -> Result<Option<Datum<'_>>> {
    let word = text.trim();
    let wrong = || wrong(ty, text);
    Ok(Some(match ty {
        SqlType::Boolean => Datum::Bool(boolean(word).ok_or_else(wrong)?),
        SqlType::SmallInt | SqlType::Integer | SqlType::BigInt => Datum::Int(integer(ty, word)?),
        SqlType::Real => Datum::Float(real(float(word).ok_or_else(wrong)?)?),
        SqlType::Double => Datum::Float(float(word).ok_or_else(wrong)?),
        SqlType::Text | SqlType::Varchar(None) => Datum::Text(whole(text)?),
        SqlType::Date => Datum::Date(parse_date(without_zone(word)).ok_or_else(wrong)?),
        SqlType::Timestamp | SqlType::TimestampTz => {
            Datum::Timestamp(parse_timestamp(word).ok_or_else(wrong)?)
        }
        _ => return Ok(None),
    }))
}

fn wrong(ty: SqlType, text: &str) -> SqlError {
    let word = text.trim();
    let kind = match ty {
        // It has the form of a date, but there is no such day or hour.
        _ if ty.is_time() && word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('-') => "22008",
        _ if ty.is_time() || ty == SqlType::Interval => "22007",
        SqlType::Bytea => "22023",
        _ => "22P02",
    };
    SqlError::new(kind, format!("invalid input for type {ty}: {text:?}"))
}

/// A text that can be one.
fn whole(text: &str) -> Result<&str> {
    if text.as_bytes().contains(&0) {
        return Err(SqlError::new("22021", "a text must not contain the character 0"));
    }
    Ok(text)
}

/// The text of a value as it is printed.
fn canonical(ty: SqlType, text: &str) -> Result<String> {
    let value = parse(ty, text)?;
    let mut printed = String::new();
    print(ty, value.datum(), &mut printed);
    Ok(printed)
}

/// A date without the time zone that some drivers write behind it: `2024-02-29 +00`.
fn without_zone(word: &str) -> &str {
    match word.split_once(' ') {
        Some((day, zone)) if zone.starts_with(['+', '-']) => day,
        _ => word,
    }
}

/// The value as the type holds it: rounded to its scale, without blanks at the end of a `char(n)`; an error if it is
/// too large or too long.
pub fn fit(ty: SqlType, value: Literal) -> Result<Literal> {
    match (ty, value) {
        (SqlType::SmallInt | SqlType::Integer, Literal::Int(value)) => in_range(ty, value).map(Literal::Int),
        (SqlType::Real, Literal::Float(value)) => real(value).map(Literal::Float),
        (SqlType::Numeric(Some((digits, scale))), value @ Literal::Numeric(_)) => {
            let Datum::Numeric(value) = value.datum() else { unreachable!("it is a numeric") };
            numeric(value, digits, scale).map(Literal::from)
        }
        (SqlType::Varchar(Some(length)), Literal::Text(text)) => {
            short_enough(text, length as usize, ty).map(Literal::Text)
        }
        (SqlType::Char(length), Literal::Text(mut text)) => {
            text.truncate(text.trim_end_matches(' ').len());
            short_enough(text, length as usize, ty).map(Literal::Text)
        }
        (_, value) => Ok(value),
    }
}

fn real(value: f64) -> Result<f64> {
    #[expect(clippy::cast_possible_truncation, reason = "a real has 32 bits")]
    let narrow = f64::from(value as f32);
    if narrow.is_infinite() && value.is_finite() {
        return Err(SqlError::new("22003", format!("{value} is out of range for type real")));
    }
    Ok(narrow)
}

fn numeric(value: Decimal, digits: u8, scale: u8) -> Result<Decimal> {
    let rounded =
        value.round_dp_with_strategy(u32::from(scale), RoundingStrategy::MidpointAwayFromZero).normalize();
    if rounded.abs() >= Decimal::from_i128_with_scale(10i128.pow(u32::from(digits - scale)), 0) {
        return Err(SqlError::new("22003", format!("{value} is out of range for numeric({digits},{scale})"))
            .detail(format!("It must be less than 10^{} in size.", digits - scale)));
    }
    Ok(rounded)
}

fn short_enough(mut text: String, length: usize, ty: SqlType) -> Result<String> {
    let Some((end, _)) = text.char_indices().nth(length) else { return Ok(text) };
    // Blanks beyond the length are cut off, as PostgreSQL does.
    if text[end..].bytes().all(|byte| byte == b' ') {
        text.truncate(end);
        return Ok(text);
    }
    Err(SqlError::new("22001", format!("value too long for type {ty}")))
}

fn boolean(word: &str) -> Option<bool> {
    let word = word.to_ascii_lowercase();
    let starts = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if starts("true", 1) || starts("yes", 1) || word == "on" || word == "1" {
        Some(true)
    } else if starts("false", 1) || starts("no", 1) || starts("off", 2) || word == "0" {
        Some(false)
    } else {
        None
    }
}

fn integer(ty: SqlType, word: &str) -> Result<i64> {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SqlError::new("22P02", format!("invalid input for type {ty}: {word:?}")));
    }
    let value = word.parse().map_err(|_| out_of_range(ty, word))?;
    in_range(ty, value)
}

/// The integer, if the type holds it.
pub(crate) fn in_range(ty: SqlType, value: i64) -> Result<i64> {
    let fits = match ty {
        SqlType::SmallInt => i16::try_from(value).is_ok(),
        SqlType::Integer => i32::try_from(value).is_ok(),
        _ => true,
    };
    if fits { Ok(value) } else { Err(out_of_range(ty, &value.to_string())) }
}

fn out_of_range(ty: SqlType, value: &str) -> SqlError {
    SqlError::new("22003", format!("{value} is out of range for type {ty}"))
}

fn float(word: &str) -> Option<f64> {
    let value: f64 = word.parse().ok()?;
    // "1e400" parses as infinity, but only a word may name one.
    let named = word.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    (named || !value.is_infinite()).then_some(value)
}

/// A decimal; digits that the engine has no room for are rounded away.
pub(crate) fn decimal(word: &str) -> Option<Decimal> {
    let scientific = word.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    let value = if scientific { Decimal::from_scientific_lossy(word) } else { word.parse() };
    value.ok().filter(|_| !word.contains('_')).map(|value| value.normalize())
}

/// `\x` and hexadecimal digits, or characters with `\\` and octal escapes.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        return hexadecimal(&digits);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                rest = after;
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            (b'\\', _) => return None,
            (byte, _) => bytes.push(*byte),
        }
    }
    Some(bytes)
}

fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    digits.chunks_exact(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

/// The canonical form: 32 hexadecimal digits in small letters, in five groups.
fn uuid(word: &str) -> Option<String> {
    let word = word.strip_prefix('{').and_then(|word| word.strip_suffix('}')).unwrap_or(word);
    let digits: String = word.chars().filter(|character| *character != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let d = digits.to_ascii_lowercase();
    Some(format!("{}-{}-{}-{}-{}", &d[..8], &d[8..12], &d[12..16], &d[16..20], &d[20..]))
}

/// Appends the text of a value of type `ty` that is not NULL.
pub fn print(ty: SqlType, value: Datum<'_>, out: &mut String) {
    let written = match (ty, value) {
        (SqlType::Boolean, Datum::Bool(value)) => out.write_str(if value { "t" } else { "f" }),
        #[expect(clippy::cast_possible_truncation, reason = "it has been made of 32 bits")]
        (SqlType::Real, Datum::Float(value)) if value.is_finite() => print_real(value as f32, out),
        (SqlType::Numeric(Some((_, scale))), Datum::Numeric(value)) => {
            write!(out, "{value:.scale$}", scale = usize::from(scale))
        }
        (SqlType::Char(length), Datum::Text(text)) => {
            write!(out, "{text:<length$}", length = length as usize)
        }
        (SqlType::Interval, Datum::Bytes(bytes)) => {
            // Other bytes cannot come here: a column of the type takes intervals only.
            Interval::from_bytes(bytes).unwrap_or_default().write(out)
        }
        (SqlType::TimestampTz, value) => datum_text(value, out).and_then(|()| out.write_str("+00")),
        (_, value) => datum_text(value, out),
    };
    written.expect("a string takes any text");
}

/// The shortest digits that read back as the same number of 32 bits.
fn print_real(value: f32, out: &mut String) -> std::fmt::Result {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("the form has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    if (-4..6).contains(&exponent) {
        write!(out, "{value}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{digits}e{sign}{:02}", exponent.abs())
    }
}

/// The text of a column of a row, or none for NULL.
pub fn column_text(ty: SqlType, row: Row<'_>, column: usize) -> Option<String> {
    let value = row.datum(column, ty.engine());
    (!value.is_null()).then(|| {
        let mut text = String::new();
        print(ty, value, &mut text);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql_type::Element;

    fn check(ty: SqlType, text: &str, expected: &str) {
        let value = parse(ty, text).unwrap_or_else(|error| panic!("{ty} {text:?}: {error}"));
        let mut printed = String::new();
        print(ty, value.datum(), &mut printed);
        assert_eq!(printed, expected, "{ty} {text:?}");
    }

    #[test]
    fn there_and_back() {
        check(SqlType::Boolean, " TRUE ", "t");
        check(SqlType::Boolean, "off", "f");
        check(SqlType::SmallInt, "-32768", "-32768");
        check(SqlType::BigInt, "+12", "12");
        check(SqlType::Double, "1e15", "1e+15");
        check(SqlType::Double, "-0.25", "-0.25");
        check(SqlType::Double, "infinity", "Infinity");
        check(SqlType::Real, "0.1", "0.1");
        check(SqlType::Real, "1e6", "1e+06");
        check(SqlType::Numeric(Some((6, 2))), "12.345", "12.35");
        check(SqlType::Numeric(Some((6, 2))), "7", "7.00");
        check(SqlType::Numeric(None), "1.50", "1.5");
        check(SqlType::Varchar(Some(3)), "abc  ", "abc");
        check(SqlType::Char(4), "ab ", "ab  ");
        check(SqlType::Bytea, "\\xDEad", "\\xdead");
        check(SqlType::Bytea, "a\\\\b\\001", "\\x615c6201");
        check(SqlType::Date, "2013-02-28", "2013-02-28");
        check(SqlType::Timestamp, "2013-02-28T09:05:00.5", "2013-02-28 09:05:00.5");
        check(SqlType::TimestampTz, "2013-02-28 09:05+01", "2013-02-28 08:05:00+00");
        check(SqlType::Interval, "1 year 2 mons -3 hours", "1 year 2 mons -03:00:00");
        check(SqlType::Array(Element::Integer), "{ 1, NULL,+2}", "{1,NULL,2}");
        check(SqlType::Array(Element::Text), "{a,\"b c\"}", "{a,\"b c\"}");
        check(SqlType::Uuid, "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        check(SqlType::Jsonb, "{\"bb\":1, \"a\" : [true,null]}", "{\"a\": [true, null], \"bb\": 1}");
    }

    #[test]
    fn what_the_type_does_not_hold() {
        let state = |ty, text| parse(ty, text).expect_err(text).sqlstate;
        assert_eq!(state(SqlType::SmallInt, "32768"), "22003");
        assert_eq!(state(SqlType::BigInt, "9223372036854775808"), "22003");
        assert_eq!(state(SqlType::Integer, "1.5"), "22P02");
        assert_eq!(state(SqlType::Numeric(Some((4, 2))), "99.995"), "22003");
        assert_eq!(state(SqlType::Varchar(Some(2)), "abc"), "22001");
        assert_eq!(state(SqlType::Date, "2013-02-30"), "22008");
        assert_eq!(state(SqlType::Uuid, "12"), "22P02");
        assert_eq!(state(SqlType::Double, "1e400"), "22P02");
        assert_eq!(state(SqlType::Jsonb, "{"), "22P02");
        assert_eq!(state(SqlType::Text, "\0"), "22021");
    }
}
