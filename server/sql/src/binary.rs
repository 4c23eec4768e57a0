//! Values in PostgreSQL's binary form, both ways.
//!
//! [`decode`] makes the engine's value of the bytes that a client sends for a column or a parameter, [`encode`] appends
//! the bytes of a value of a row. All numbers are big endian, and no length is in it: the message around it has that.
//!
//! ```text
//! boolean          1 byte, 0 or 1             smallint, integer, bigint   2, 4, 8 bytes
//! real, double     4, 8 bytes, IEEE 754       text, varchar, char, bytea  the bytes
//! date             i32 days since 2000        timestamp, timestamptz      i64 microseconds since 2000
//! interval         i64 microseconds, i32 days, i32 months
//! uuid             16 bytes                   jsonb                       1, then the text
//! numeric          i16 count of digits, i16 weight of the first, u16 sign (0, or 0x4000 for minus),
//!                  u16 scale for printing, then the digits, i16 each, to the base 10,000
//! ```

use crate::error::{Result, SqlError};
use crate::json;
use crate::sql_type::{Element, SqlType};
use crate::text;
use operators::Datum;
use operators::expr::{Interval, Literal, arrays};
use rust_decimal::Decimal;

/// Days from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS * 86_400_000_000;

const NUMERIC_BASE: i128 = 10_000;
const NUMERIC_BASE_DIGITS: u32 = 4;
const NUMERIC_NEGATIVE: u16 = 0x4000;
const JSONB_VERSION: u8 = 1;

/// Appends the binary form of a value of type `ty` that is not NULL.
///
/// # Errors
///
/// A date or time that PostgreSQL's form has no room for.
pub fn encode(value: Datum<'_>, ty: SqlType, out: &mut Vec<u8>) -> Result<()> {
    match (ty, value) {
        (SqlType::Boolean, Datum::Bool(value)) => out.push(u8::from(value)),
        (SqlType::SmallInt, Datum::Int(value)) => {
            out.extend(narrow(i16::try_from(value), ty, value)?.to_be_bytes());
        }
        (SqlType::Integer, Datum::Int(value)) => {
            out.extend(narrow(i32::try_from(value), ty, value)?.to_be_bytes());
        }
        (SqlType::BigInt, Datum::Int(value)) => out.extend(value.to_be_bytes()),
        #[expect(clippy::cast_possible_truncation, reason = "it has been made of 32 bits")]
        (SqlType::Real, Datum::Float(value)) => out.extend((value as f32).to_be_bytes()),
        (SqlType::Double, Datum::Float(value)) => out.extend(value.to_be_bytes()),
        (SqlType::Numeric(form), Datum::Numeric(value)) => {
            encode_numeric(value, form.map(|(_, scale)| scale), out);
        }
        (SqlType::Date, Datum::Date(days)) => {
            let days = days.checked_sub(EPOCH_DAYS).and_then(|days| i32::try_from(days).ok());
            out.extend(days.ok_or_else(|| time_out_of_range(ty))?.to_be_bytes());
        }
        (SqlType::Timestamp | SqlType::TimestampTz, Datum::Timestamp(micros)) => {
            let micros = micros.checked_sub(EPOCH_MICROS).ok_or_else(|| time_out_of_range(ty))?;
            out.extend(micros.to_be_bytes());
        }
        (SqlType::Interval, Datum::Bytes(bytes)) => {
            let interval = Interval::from_bytes(bytes).ok_or_else(|| time_out_of_range(ty))?;
            out.extend(interval.micros.to_be_bytes());
            out.extend(interval.days.to_be_bytes());
            out.extend(interval.months.to_be_bytes());
        }
        (SqlType::Uuid, Datum::Text(text)) => {
            let digits: String = text.chars().filter(|digit| *digit != '-').collect();
            let value = u128::from_str_radix(&digits, 16);
            out.extend(value.map_err(|_| SqlError::new("22P02", "no uuid"))?.to_be_bytes());
        }
        (SqlType::Jsonb, Datum::Text(text)) => {
            out.push(JSONB_VERSION);
            out.extend(text.as_bytes());
        }
        (SqlType::Char(_), value @ Datum::Text(_)) => {
            let mut padded = String::new();
            text::print(ty, value, &mut padded);
            out.extend(padded.as_bytes());
        }
        (SqlType::Array(element), Datum::Text(text)) => encode_array(text, element, out)?,
        (_, Datum::Text(text)) => out.extend(text.as_bytes()),
        (_, Datum::Bytes(bytes)) => out.extend(bytes),
        (ty, value) => unreachable!("a value of type {ty} is not {value:?}"),
    }
    Ok(())
}

/// One dimension: its count, whether there are NULLs, the type of the elements, how many there are, the number of the
/// first; then each with its length, -1 for NULL.
fn encode_array(text: &str, element: Element, out: &mut Vec<u8>) -> Result<()> {
    let elements = arrays::elements(text).ok_or_else(|| malformed(SqlType::Array(element)))?;
    let any_null = elements.contains(&None);
    out.extend(i32::from(!elements.is_empty()).to_be_bytes());
    out.extend(i32::from(any_null).to_be_bytes());
    out.extend(element.ty().oid().to_be_bytes());
    if elements.is_empty() {
        return Ok(());
    }
    let length = |count: usize| i32::try_from(count).map_err(|_| malformed(SqlType::Array(element)));
    out.extend(length(elements.len())?.to_be_bytes());
    out.extend(1i32.to_be_bytes());
    for found in &elements {
        let start = out.len();
        out.extend((-1i32).to_be_bytes());
        if let Some(text) = found {
            encode(text::parse(element.ty(), text)?.datum(), element.ty(), out)?;
            let bytes = length(out.len() - start - 4)?;
            out[start..start + 4].copy_from_slice(&bytes.to_be_bytes());
        }
    }
    Ok(())
}

#[deny(clippy::indexing_slicing, clippy::unwrap_used)]
fn decode_array(bytes: &[u8], element: Element) -> Result<Literal> {
    let wrong = || malformed(SqlType::Array(element));
    let mut rest = bytes;
    let mut word = || {
        let (word, after) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        rest = after;
        Ok::<i32, SqlError>(i32::from_be_bytes(*word))
    };
    let (dimensions, _nulls, oid) = (word()?, word()?, word()?);
    if oid.cast_unsigned() != element.ty().oid() {
        return Err(wrong());
    }
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = word()?;
            word()?;
            count
        }
        _ => return Err(SqlError::unsupported("arrays of several dimensions")),
    };
    let mut texts: Vec<Option<String>> = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        let length = i32::from_be_bytes(*length);
        rest = after;
        if length == -1 {
            texts.push(None);
            continue;
        }
        let length = usize::try_from(length).map_err(|_| wrong())?;
        let (value, after) = rest.split_at_checked(length).ok_or_else(wrong)?;
        rest = after;
        let mut text = String::new();
        text::print(element.ty(), decode(value, element.ty())?.datum(), &mut text);
        texts.push(Some(text));
    }
    if !rest.is_empty() {
        return Err(wrong());
    }
    Ok(Literal::Text(arrays::array(texts.iter().map(Option::as_deref))))
}

fn narrow<T>(found: std::result::Result<T, std::num::TryFromIntError>, ty: SqlType, value: i64) -> Result<T> {
    found.map_err(|_| SqlError::new("22003", format!("{value} is out of range for type {ty}")))
}

fn time_out_of_range(ty: SqlType) -> SqlError {
    SqlError::new("22008", format!("a value of type {ty} is out of range for the binary form"))
        .hint("Ask for results as text.")
}

fn encode_numeric(value: Decimal, scale: Option<u8>, out: &mut Vec<u8>) {
    let value_scale = value.scale();
    // Digits to the base 10,000 begin and end at the point, so the mantissa is brought to a whole number of them.
    let missing = (NUMERIC_BASE_DIGITS - value_scale % NUMERIC_BASE_DIGITS) % NUMERIC_BASE_DIGITS;
    let mut rest = value.mantissa().abs() * 10i128.pow(missing);
    let behind_point = ((value_scale + missing) / NUMERIC_BASE_DIGITS) as i16;
    let mut digits: Vec<i16> = Vec::with_capacity(9);
    while rest > 0 {
        digits.push((rest % NUMERIC_BASE) as i16);
        rest /= NUMERIC_BASE;
    }
    let weight = digits.len() as i16 - behind_point - 1;
    let zeros_last = digits.iter().take_while(|digit| **digit == 0).count();
    let digits = &digits[zeros_last..];
    let sign = if value.is_sign_negative() && !digits.is_empty() { NUMERIC_NEGATIVE } else { 0 };
    out.extend((digits.len() as i16).to_be_bytes());
    out.extend((if digits.is_empty() { 0 } else { weight }).to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(scale.map_or(value_scale as u16, u16::from).to_be_bytes());
    digits.iter().rev().for_each(|digit| out.extend(digit.to_be_bytes()));
}

/// The value of type `ty` that the bytes say.
///
/// # Errors
///
/// Bytes that are none of the type's (22P03), and values that the type does not hold, as [`text::parse`].
#[deny(clippy::indexing_slicing, clippy::unwrap_used)]
pub fn decode(bytes: &[u8], ty: SqlType) -> Result<Literal> {
    let wrong = || malformed(ty);
    let value = match ty {
        SqlType::Boolean => match bytes {
            [value] => Literal::Bool(*value != 0),
            _ => return Err(wrong()),
        },
        SqlType::SmallInt => Literal::Int(i16::from_be_bytes(exact(bytes, ty)?).into()),
        SqlType::Integer => Literal::Int(i32::from_be_bytes(exact(bytes, ty)?).into()),
        SqlType::BigInt => Literal::Int(i64::from_be_bytes(exact(bytes, ty)?)),
        SqlType::Real => Literal::Float(f32::from_be_bytes(exact(bytes, ty)?).into()),
        SqlType::Double => Literal::Float(f64::from_be_bytes(exact(bytes, ty)?)),
        SqlType::Numeric(_) => Literal::from(decode_numeric(bytes, ty)?),
        SqlType::Date => {
            let days = i32::from_be_bytes(exact(bytes, ty)?);
            Literal::Date(i64::from(finite(days, i32::MIN, i32::MAX, ty)?) + EPOCH_DAYS)
        }
        SqlType::Timestamp | SqlType::TimestampTz => {
            let micros = finite(i64::from_be_bytes(exact(bytes, ty)?), i64::MIN, i64::MAX, ty)?;
            Literal::Timestamp(micros.checked_add(EPOCH_MICROS).ok_or_else(|| time_out_of_range(ty))?)
        }
        SqlType::Interval => {
            let (micros, rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
            let (days, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
            let interval = Interval {
                micros: i64::from_be_bytes(*micros),
                days: i32::from_be_bytes(*days),
                months: i32::from_be_bytes(exact(rest, ty)?),
            };
            Literal::Bytes(interval.to_bytes().to_vec())
        }
        SqlType::Uuid => {
            let digits = format!("{:032x}", u128::from_be_bytes(exact(bytes, ty)?));
            return text::parse(ty, &digits);
        }
        SqlType::Jsonb => match bytes {
            [JSONB_VERSION, text @ ..] => Literal::Text(json::canonical(utf8(text)?)?),
            _ => return Err(wrong()),
        },
        SqlType::Bytea => Literal::Bytes(bytes.to_owned()),
        SqlType::Array(element) => decode_array(bytes, element)?,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => return text::parse(ty, utf8(bytes)?),
    };
    text::fit(ty, value)
}

fn malformed(ty: SqlType) -> SqlError {
    SqlError::new("22P03", format!("invalid binary form of a value of type {ty}"))
}

fn exact<const N: usize>(bytes: &[u8], ty: SqlType) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| malformed(ty))
}

fn finite<T: PartialEq>(value: T, least: T, greatest: T, ty: SqlType) -> Result<T> {
    if value == least || value == greatest {
        return Err(SqlError::unsupported(format!("infinity as a value of type {ty}")));
    }
    Ok(value)
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| SqlError::new("22021", "invalid byte sequence for encoding UTF8"))
}

#[deny(clippy::indexing_slicing, clippy::unwrap_used)]
fn decode_numeric(bytes: &[u8], ty: SqlType) -> Result<Decimal> {
    /// Groups of four digits before the point that a decimal can have at most.
    const WEIGHT_MAX: i32 = 7;
    /// Groups behind the point that can still round its last digit.
    const WEIGHT_MIN: i32 = -8;
    let (head, digits) = bytes.split_first_chunk::<8>().ok_or_else(|| malformed(ty))?;
    let [c0, c1, w0, w1, s0, s1, _, _] = *head;
    let count = usize::from(u16::from_be_bytes([c0, c1]));
    let weight = i32::from(i16::from_be_bytes([w0, w1]));
    let negative = match u16::from_be_bytes([s0, s1]) {
        0 => false,
        NUMERIC_NEGATIVE => true,
        0xc000 | 0xd000 | 0xf000 => return Err(SqlError::unsupported("NaN and infinity as numeric")),
        _ => return Err(malformed(ty)),
    };
    if digits.len() != count * 2 {
        return Err(malformed(ty));
    }
    let digits = digits.chunks_exact(2).map(|pair| <[u8; 2]>::try_from(pair).map_or(0, u16::from_be_bytes));
    let mut text = String::from(if negative { "-" } else { "" });
    let mut place = weight.clamp(-1, WEIGHT_MAX + 1);
    // Zeros between the point and the first digit.
    let zeros = (-1 - weight).clamp(0, -WEIGHT_MIN);
    if weight < 0 {
        text.push_str("0.");
        (0..zeros).for_each(|_| text.push_str("0000"));
        place = -1 - zeros;
    }
    for digit in digits {
        if i128::from(digit) >= NUMERIC_BASE {
            return Err(malformed(ty));
        }
        if place > WEIGHT_MAX && digit > 0 {
            return Err(SqlError::new("22003", format!("a number is out of range for type {ty}")));
        }
        if place >= WEIGHT_MIN {
            text.push_str(if place == -1 && !text.contains('.') { "." } else { "" });
            text.push_str(&format!("{digit:04}"));
        }
        place = place.saturating_sub(1);
    }
    (0..=place.clamp(-1, WEIGHT_MAX)).for_each(|_| text.push_str("0000"));
    let text = if text.is_empty() || text == "-" { "0" } else { &text };
    text::decimal(text)
        .ok_or_else(|| SqlError::new("22003", format!("a number is out of range for type {ty}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("digits");
        (0..hexadecimal.len()).step_by(2).map(digit).collect()
    }

    /// The binary forms are those that PostgreSQL 15 sends.
    #[test]
    fn as_postgresql() {
        let cases = [
            (SqlType::Boolean, "t", "01"),
            (SqlType::SmallInt, "-2", "fffe"),
            (SqlType::Integer, "258", "00000102"),
            (SqlType::BigInt, "-1", "ffffffffffffffff"),
            (SqlType::Real, "1.5", "3fc00000"),
            (SqlType::Double, "-0.25", "bfd0000000000000"),
            (SqlType::Text, "aé", "61c3a9"),
            (SqlType::Char(3), "a", "612020"),
            (SqlType::Bytea, "\\xdead", "dead"),
            (SqlType::Date, "2000-01-02", "00000001"),
            (SqlType::Date, "1999-12-31", "ffffffff"),
            (SqlType::Timestamp, "2000-01-01 00:00:01", "00000000000f4240"),
            (SqlType::TimestampTz, "1999-12-31 23:59:59.999999+00", "ffffffffffffffff"),
            (SqlType::Interval, "1 mon 2 days 00:00:03", "00000000002dc6c00000000200000001"),
            (SqlType::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
            (SqlType::Jsonb, "[1, 2]", "015b312c20325d"),
            (
                SqlType::Array(Element::Integer),
                "{1,NULL}",
                "00000001000000010000001700000002000000010000000400000001ffffffff",
            ),
            (SqlType::Array(Element::Text), "{}", "000000000000000000000019"),
            (SqlType::Numeric(None), "0", "0000000000000000"),
            (SqlType::Numeric(None), "-12345.678", "0003000140000003000109291a7c"),
            (SqlType::Numeric(None), "0.00000001", "0001fffe000000080001"),
            (SqlType::Numeric(None), "100000000", "00010002000000000001"),
            (SqlType::Numeric(Some((10, 3))), "10000.5", "0003000100000003000100001388"),
        ];
        for (ty, text, form) in &cases {
            let value = text::parse(*ty, text).expect(text);
            let mut found = Vec::new();
            encode(value.datum(), *ty, &mut found).expect(text);
            assert_eq!(found, bytes(form), "{ty} {text}");
            assert_eq!(decode(&found, *ty).as_ref(), Ok(&value), "{ty} {text}");
        }
    }

    #[test]
    fn numbers_there_and_back() {
        let texts = [
            "1",
            "-1",
            "9999",
            "10000",
            "0.1",
            "0.0001",
            "0.00001",
            "12345678901234567890.12345678",
            "79228162514264337593543950335",
            "-0.0000000000000000000000000001",
            "1000000000000",
            "10.01",
        ];
        for text in texts {
            let ty = SqlType::Numeric(None);
            let value = text::parse(ty, text).expect(text);
            let mut found = Vec::new();
            encode(value.datum(), ty, &mut found).expect(text);
            assert_eq!(decode(&found, ty), Ok(value), "{text}");
        }
    }

    /// What comes from a network may be anything.
    #[test]
    fn malformed_bytes() {
        let state = |ty, form: &str| decode(&bytes(form), ty).expect_err(form).sqlstate;
        let numeric = SqlType::Numeric(None);
        assert_eq!(state(SqlType::Integer, "0000"), "22P03");
        assert_eq!(state(SqlType::Boolean, ""), "22P03");
        assert_eq!(state(SqlType::Text, "ff"), "22021");
        assert_eq!(state(SqlType::Text, "6100"), "22021");
        assert_eq!(state(SqlType::Jsonb, "7b7d"), "22P03");
        assert_eq!(state(SqlType::Jsonb, "017b"), "22P02");
        assert_eq!(state(SqlType::Date, "7fffffff"), "0A000");
        assert_eq!(state(SqlType::Timestamp, "7ffffffffffffffe"), "22008");
        assert_eq!(state(SqlType::Varchar(Some(1)), "6162"), "22001");
        assert_eq!(state(numeric, "7fff000000000000"), "22P03");
        assert_eq!(state(numeric, "00010000000000002710"), "22P03");
        assert_eq!(state(numeric, "0001002000000000"), "22P03");
        assert_eq!(state(numeric, "00010020000000000001"), "22003");
        assert_eq!(state(numeric, "00000000c0000000"), "0A000");
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let length = random.usize(..40);
            let mut form: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            form.iter_mut().take(7).for_each(|byte| *byte &= random.u8(..) & random.u8(..));
            for ty in [
                numeric,
                SqlType::Array(Element::BigInt),
                SqlType::Interval,
                SqlType::Timestamp,
                SqlType::Jsonb,
                SqlType::Real,
            ] {
                if let Ok(value) = decode(&form, ty) {
                    let mut again = Vec::new();
                    encode(value.datum(), ty, &mut again).expect("it was a value");
                    assert_eq!(decode(&again, ty), Ok(value), "{ty} {form:?}");
                }
            }
        }
    }
}
