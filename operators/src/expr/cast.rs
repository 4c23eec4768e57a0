//! Conversions between types. `None` is a cast that has no result.

use bumpalo::collections::{String as BumpString, Vec as BumpVec};
use rust_decimal::Decimal;

use super::bound::Scratch;
use super::date::{DAY, day_of, parse_date, parse_timestamp};
use super::format::datum_text;
use super::number::{float_to_int, float_to_numeric, int_to_float, numeric_to_float, numeric_to_int};
use super::text::TEXT_BYTES_MAX;
use crate::value::{Datum, Type, canonical_float};

/// Whether SQL knows a cast between the types at all; that a value has no result in it is another matter.
pub(super) fn is_possible(from: Type, to: Type) -> bool {
    let number = |ty| matches!(ty, Type::Int | Type::Float | Type::Numeric);
    from == to
        || from == Type::Text
        || to == Type::Text
        || (number(from) && number(to))
        || matches!(
            (from, to),
            (Type::Bool, Type::Int)
                | (Type::Int, Type::Bool)
                | (Type::Date, Type::Timestamp)
                | (Type::Timestamp, Type::Date)
        )
}

/// Whether the cast has a result for every value.
pub(super) fn is_total(from: Type, to: Type) -> bool {
    from == to
        || matches!(
            (from, to),
            (Type::Int, Type::Float | Type::Numeric | Type::Bool)
                | (Type::Numeric, Type::Float)
                | (Type::Bool, Type::Int)
                | (Type::Timestamp, Type::Date)
                | (Type::Bool | Type::Int | Type::Float | Type::Timestamp | Type::Date, Type::Text)
        )
}

/// Converts a value that is not NULL.
pub(super) fn cast<'a>(value: Datum<'a>, to: Type, scratch: &'a Scratch) -> Option<Datum<'a>> {
    if value.ty() == Some(to) {
        return Some(value);
    }
    match (value, to) {
        (Datum::Text(text), _) => parse(text, to, scratch),
        (value, Type::Text) => {
            let mut text = BumpString::new_in(scratch.texts());
            datum_text(value, &mut text).expect("memory takes any text");
            (text.len() <= TEXT_BYTES_MAX).then(|| Datum::Text(text.into_bump_str()))
        }
        (Datum::Int(value), Type::Float) => Some(Datum::Float(int_to_float(value))),
        (Datum::Int(value), Type::Numeric) => Some(Datum::Numeric(Decimal::from(value).normalize())),
        (Datum::Int(value), Type::Bool) => Some(Datum::Bool(value != 0)),
        (Datum::Bool(value), Type::Int) => Some(Datum::Int(i64::from(value))),
        (Datum::Float(value), Type::Int) => float_to_int(value).map(Datum::Int),
        (Datum::Float(value), Type::Numeric) => float_to_numeric(value).map(Datum::Numeric),
        (Datum::Numeric(value), Type::Int) => numeric_to_int(value).map(Datum::Int),
        (Datum::Numeric(value), Type::Float) => Some(Datum::Float(numeric_to_float(value))),
        (Datum::Timestamp(value), Type::Date) => Some(Datum::Date(day_of(value))),
        (Datum::Date(value), Type::Timestamp) => value.checked_mul(DAY).map(Datum::Timestamp),
        (value, to) => unreachable!("resolve refuses a cast of {value:?} to {to}"),
    }
}

/// Reads a value from its text; blanks around it do not matter.
fn parse<'a>(text: &'a str, to: Type, scratch: &'a Scratch) -> Option<Datum<'a>> {
    let word = text.trim();
    match to {
        Type::Bool => parse_bool(word).map(Datum::Bool),
        Type::Int => word.parse().ok().map(Datum::Int),
        Type::Float => parse_float(word).map(Datum::Float),
        Type::Text => Some(Datum::Text(text)),
        Type::Bytes => parse_bytes(text, scratch).map(Datum::Bytes),
        Type::Timestamp => parse_timestamp(word).map(Datum::Timestamp),
        Type::Date => parse_date(word).map(Datum::Date),
        Type::Numeric => parse_numeric(word).map(Datum::Numeric),
    }
}

fn parse_bool(word: &str) -> Option<bool> {
    let is = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    if is(&["true", "t", "yes", "y", "on", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

fn parse_float(word: &str) -> Option<f64> {
    let value: f64 = word.parse().ok()?;
    // "1e400" parses as infinity, but only a word may name one.
    let named = word.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    (named || !value.is_infinite()).then(|| canonical_float(value))
}

pub(super) fn parse_numeric(word: &str) -> Option<Decimal> {
    let scientific = word.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    let value = if scientific { Decimal::from_scientific_lossy(word) } else { word.parse() };
    // Underscores between digits are Rust's, not SQL's.
    value.ok().filter(|_| !word.contains('_')).map(|value| value.normalize())
}

/// `\x` and hexadecimal digits, or the text's own bytes.
fn parse_bytes<'a>(text: &'a str, scratch: &'a Scratch) -> Option<&'a [u8]> {
    let Some(digits) = text.strip_prefix("\\x") else {
        return Some(text.as_bytes());
    };
    let digits = digits.as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = BumpVec::with_capacity_in(digits.len() / 2, scratch.texts());
    for pair in digits.chunks_exact(2) {
        bytes.push(nibble(pair[0])? << 4 | nibble(pair[1])?);
    }
    Some(bytes.into_bump_slice())
}
