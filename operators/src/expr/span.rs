//! Functions of intervals, which rows hold as bytes (see `interval.rs`), and of times by intervals.

use rust_decimal::Decimal;

use super::bound::Scratch;
use super::date::{DAY, HOUR, MINUTE, SECOND};
use super::function::{BYTES, FLOAT, Function, INT, Parameter, Signature, TEXT, TIMESTAMP, signature};
use super::interval::{Interval, SPAN_BYTES};
use super::number;
use super::string::made;
use crate::value::{Datum, Type};

/// A function of intervals whose result is NULL when any argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpanFunction {
    Parse,
    Text,
    Add,
    Sub,
    Negate,
    Multiply,
    Divide,
    /// What intervals of equal length have in common.
    Length,
    Months,
    Days,
    Micros,
    /// From months, days and microseconds.
    Of,
    /// From years, months, weeks, days, hours, minutes and seconds.
    Make,
    After,
    Before,
    Between,
    Age,
    JustifyDays,
    JustifyHours,
    JustifyBoth,
    /// A field, by its name.
    Part,
    Bin,
}

pub(super) const SIGNATURES: &[Signature] = {
    use SpanFunction as S;
    use Type::{Bytes, Int, Numeric, Text, Timestamp};
    const fn of(name: &'static str, function: S, takes: &'static [Parameter], gives: Type) -> Signature {
        signature(name, Function::Span(function), takes, 0, Some(gives))
    }
    &[
        of("interval_parse", S::Parse, &[TEXT], Bytes),
        of("interval_text", S::Text, &[BYTES], Text),
        of("interval_add", S::Add, &[BYTES, BYTES], Bytes),
        of("interval_sub", S::Sub, &[BYTES, BYTES], Bytes),
        of("interval_negate", S::Negate, &[BYTES], Bytes),
        of("interval_multiply", S::Multiply, &[BYTES, FLOAT], Bytes),
        of("interval_divide", S::Divide, &[BYTES, FLOAT], Bytes),
        of("interval_length", S::Length, &[BYTES], Bytes),
        of("interval_months", S::Months, &[BYTES], Int),
        of("interval_days", S::Days, &[BYTES], Int),
        of("interval_micros", S::Micros, &[BYTES], Int),
        of("interval_of", S::Of, &[INT, INT, INT], Bytes),
        of("make_interval", S::Make, &[INT, INT, INT, INT, INT, INT, FLOAT], Bytes),
        of("timestamp_after", S::After, &[TIMESTAMP, BYTES], Timestamp),
        of("timestamp_before", S::Before, &[TIMESTAMP, BYTES], Timestamp),
        of("timestamp_between", S::Between, &[TIMESTAMP, TIMESTAMP], Bytes),
        of("age", S::Age, &[TIMESTAMP, TIMESTAMP], Bytes),
        of("justify_days", S::JustifyDays, &[BYTES], Bytes),
        of("justify_hours", S::JustifyHours, &[BYTES], Bytes),
        of("justify_interval", S::JustifyBoth, &[BYTES], Bytes),
        of("interval_part", S::Part, &[TEXT, BYTES], Numeric),
        of("date_bin", S::Bin, &[BYTES, TIMESTAMP, TIMESTAMP], Timestamp),
    ]
};

impl SpanFunction {
    /// Computes the function of arguments that are not NULL.
    pub(super) fn call<'a>(self, arguments: &[Datum<'a>], scratch: &'a Scratch) -> Option<Datum<'a>> {
        use Datum::{Bytes, Float, Int, Numeric, Text, Timestamp};
        let read = Interval::from_bytes;
        let result = match (self, arguments) {
            (Self::Parse, [Text(text)]) => Interval::parse(text)?,
            (Self::Add, [Bytes(left), Bytes(right)]) => read(left)?.plus(read(right)?)?,
            (Self::Sub, [Bytes(left), Bytes(right)]) => read(left)?.plus(read(right)?.negated()?)?,
            (Self::Negate, [Bytes(bytes)]) => read(bytes)?.negated()?,
            (Self::Multiply, [Bytes(bytes), Float(factor)]) => read(bytes)?.scaled(|part| part * factor)?,
            (Self::Divide, [Bytes(bytes), Float(divisor)]) if *divisor != 0.0 => {
                read(bytes)?.scaled(|part| part / divisor)?
            }
            (Self::Divide, _) => return None,
            (Self::Of, [Int(months), Int(days), Int(micros)]) => Interval::new(*months, *days, *micros)?,
            (
                Self::Make,
                [Int(years), Int(months), Int(weeks), Int(days), Int(hours), Int(minutes), Float(seconds)],
            ) => {
                let time = hours.checked_mul(HOUR)?.checked_add(minutes.checked_mul(MINUTE)?)?;
                Interval::new(
                    years.checked_mul(12)?.checked_add(*months)?,
                    weeks.checked_mul(7)?.checked_add(*days)?,
                    time.checked_add(number::float_to_int(seconds * 1e6)?)?,
                )?
            }
            (Self::Between, [Timestamp(later), Timestamp(earlier)]) => Interval::between(*later, *earlier)?,
            (Self::Age, [Timestamp(later), Timestamp(earlier)]) => Interval::age(*later, *earlier)?,
            (Self::JustifyDays, [Bytes(bytes)]) => read(bytes)?.justified(false, true)?,
            (Self::JustifyHours, [Bytes(bytes)]) => read(bytes)?.justified(true, false)?,
            (Self::JustifyBoth, [Bytes(bytes)]) => read(bytes)?.justified(true, true)?,
            (Self::Text, [Bytes(bytes)]) => {
                let mut text = String::new();
                read(bytes)?.write(&mut text).ok()?;
                return made(&text, scratch.texts());
            }
            (Self::Length, [Bytes(bytes)]) => return bytes.get(..SPAN_BYTES).map(Bytes),
            (Self::Months, [Bytes(bytes)]) => return Some(Int(read(bytes)?.months.into())),
            (Self::Days, [Bytes(bytes)]) => return Some(Int(read(bytes)?.days.into())),
            (Self::Micros, [Bytes(bytes)]) => return Some(Int(read(bytes)?.micros)),
            (Self::After, [Timestamp(time), Bytes(bytes)]) => {
                return read(bytes)?.after(*time).map(Timestamp);
            }
            (Self::Before, [Timestamp(time), Bytes(bytes)]) => {
                return read(bytes)?.negated()?.after(*time).map(Timestamp);
            }
            (Self::Part, [Text(field), Bytes(bytes)]) => return part(field, read(bytes)?).map(Numeric),
            (Self::Bin, [Bytes(bytes), Timestamp(time), Timestamp(origin)]) => {
                return bin(read(bytes)?, *time, *origin).map(Timestamp);
            }
            _ => unreachable!("{self:?} does not take {arguments:?}"),
        };
        Some(Bytes(scratch.texts().alloc_slice_copy(&result.to_bytes())))
    }
}

/// The beginning of the stride, counted from the origin, in which the time lies.
fn bin(stride: Interval, time: i64, origin: i64) -> Option<i64> {
    if stride.months != 0 {
        return None;
    }
    let step =
        i64::from(stride.days).checked_mul(DAY)?.checked_add(stride.micros).filter(|step| *step > 0)?;
    time.checked_sub(time.checked_sub(origin)?.rem_euclid(step))
}

/// A field of an interval.
fn part(field: &str, interval: Interval) -> Option<Decimal> {
    let years = i64::from(interval.months / 12);
    let seconds = interval.micros % MINUTE;
    let whole = match field {
        "millennium" => years / 1000,
        "century" => years / 100,
        "decade" => years / 10,
        "year" => years,
        "quarter" => i64::from(interval.months % 12 / 3 + 1),
        "month" => i64::from(interval.months % 12),
        "day" => i64::from(interval.days),
        "hour" => interval.micros / HOUR,
        "minute" => interval.micros / MINUTE % 60,
        "microsecond" | "microseconds" => seconds,
        "second" => return Some(Decimal::new(seconds, 6).normalize()),
        "millisecond" | "milliseconds" => return Some(Decimal::new(seconds, 3).normalize()),
        "epoch" => {
            return Decimal::try_from_i128_with_scale(interval.epoch_micros(), 6)
                .ok()
                .map(|value| value.normalize());
        }
        _ => return None,
    };
    debug_assert_eq!(SECOND, 1_000_000, "the scales above");
    Some(Decimal::from(whole))
}
