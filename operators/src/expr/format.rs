//! Values as text, in the form that Postgres prints and casts read back.

use std::fmt::{Result, Write};

use super::date::{DAY, HOUR, MINUTE, SECOND, civil, day_of};
use super::number::StackText;
use crate::value::Datum;

/// Writes the value's text. NULL writes nothing.
pub fn datum_text(datum: Datum<'_>, out: &mut impl Write) -> Result {
    match datum {
        Datum::Null => Ok(()),
        Datum::Bool(value) => write!(out, "{value}"),
        Datum::Int(value) => write!(out, "{value}"),
        Datum::Float(value) => float(value, out),
        Datum::Text(value) => out.write_str(value),
        Datum::Bytes(value) => {
            out.write_str("\\x")?;
            value.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
        Datum::Timestamp(value) => timestamp(value, out),
        Datum::Date(value) => date(value, out),
        Datum::Numeric(value) => write!(out, "{value}"),
    }
}

/// The shortest digits that read back as the same float; an exponent where the plain form has many zeros.
fn float(value: f64, out: &mut impl Write) -> Result {
    if value.is_nan() {
        return out.write_str("NaN");
    }
    if value.is_infinite() {
        return out.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let mut scientific = StackText::new();
    write!(scientific, "{value:e}")?;
    let (digits, exponent) = scientific.as_str().split_once('e').unwrap_or(("0", "0"));
    let exponent: i32 = exponent.parse().map_err(|_| std::fmt::Error)?;
    if (-4..15).contains(&exponent) {
        write!(out, "{value}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{digits}e{sign}{:02}", exponent.abs())
    }
}

fn date(days: i64, out: &mut impl Write) -> Result {
    match civil(days) {
        Some(date) if date.year < 0 => {
            write!(out, "-{:04}-{:02}-{:02}", -date.year, date.month, date.day)
        }
        Some(date) => write!(out, "{:04}-{:02}-{:02}", date.year, date.month, date.day),
        // Outside of the calendar's range: the number itself, which does not read back as a date.
        None => write!(out, "day {days}"),
    }
}

fn timestamp(micros: i64, out: &mut impl Write) -> Result {
    date(day_of(micros), out)?;
    let time = micros.rem_euclid(DAY);
    write!(out, " {:02}:{:02}:{:02}", time / HOUR, time / MINUTE % 60, time / SECOND % 60)?;
    let mut fraction = time % SECOND;
    if fraction == 0 {
        return Ok(());
    }
    let mut digits: usize = 6;
    while fraction % 10 == 0 {
        fraction /= 10;
        digits -= 1;
    }
    write!(out, ".{fraction:0digits$}")
}
