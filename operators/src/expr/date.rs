//! The civil (proleptic Gregorian) calendar on days and microseconds since 1970-01-01, without time zones.

/// Microseconds in a second.
pub(super) const SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub(super) const MINUTE: i64 = 60 * SECOND;
/// Microseconds in an hour.
pub(super) const HOUR: i64 = 60 * MINUTE;
/// Microseconds in a day.
pub(super) const DAY: i64 = 24 * HOUR;

/// Days from 1970-01-01 in either direction for which the calendar computes: some 2.7 million years. Every timestamp
/// lies inside, and no sum below can leave 64 bits.
const DAYS_MAX: i64 = 1_000_000_000;
const YEARS_MAX: i64 = 2_700_000;

/// 400 years repeat exactly, in this many days.
const ERA_DAYS: i64 = 146_097;
/// The number of 1970-01-01 in the count of days that astronomers have.
const JULIAN_EPOCH: i64 = 2_440_588;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// A date in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
}

/// The parts of a timestamp or date that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Dow,
    IsoDow,
    Doy,
    Epoch,
    IsoYear,
    Decade,
    Century,
    Millennium,
    Julian,
    Milliseconds,
    Microseconds,
}

impl Field {
    pub(super) fn by_name(name: &str) -> Option<Field> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => Field::Year,
            "quarter" => Field::Quarter,
            "month" => Field::Month,
            "week" => Field::Week,
            "day" => Field::Day,
            "hour" => Field::Hour,
            "minute" => Field::Minute,
            "second" => Field::Second,
            "dow" => Field::Dow,
            "isodow" => Field::IsoDow,
            "doy" => Field::Doy,
            "epoch" => Field::Epoch,
            "isoyear" => Field::IsoYear,
            "decade" => Field::Decade,
            "century" => Field::Century,
            "millennium" => Field::Millennium,
            "julian" => Field::Julian,
            "millisecond" | "milliseconds" => Field::Milliseconds,
            "microsecond" | "microseconds" => Field::Microseconds,
            _ => return None,
        })
    }

    /// Seconds, milliseconds and epoch have a fraction and are floats; the rest are integers.
    pub(super) fn is_float(self) -> bool {
        matches!(self, Field::Second | Field::Epoch | Field::Milliseconds)
    }
}

/// What a timestamp can be cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Millisecond,
    Microsecond,
}

impl Unit {
    pub(super) fn by_name(name: &str) -> Option<Unit> {
        Some(match name.to_ascii_lowercase().as_str() {
            "second" => Unit::Second,
            "minute" => Unit::Minute,
            "hour" => Unit::Hour,
            "day" => Unit::Day,
            "week" => Unit::Week,
            "month" => Unit::Month,
            "quarter" => Unit::Quarter,
            "year" => Unit::Year,
            "decade" => Unit::Decade,
            "century" => Unit::Century,
            "millennium" => Unit::Millennium,
            "millisecond" | "milliseconds" => Unit::Millisecond,
            "microsecond" | "microseconds" => Unit::Microsecond,
            _ => return None,
        })
    }
}

/// The date of a day number. Years start in March inside, so that the leap day is the last day of a year.
pub(super) fn civil(days: i64) -> Option<Civil> {
    if days.unsigned_abs() > DAYS_MAX.unsigned_abs() {
        return None;
    }
    let shifted = days + EPOCH;
    let era = shifted.div_euclid(ERA_DAYS);
    let day_of_era = shifted.rem_euclid(ERA_DAYS);
    // Take out the leap days passed in this era: one in 1460 days, none in 36524, one in 146096.
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / (ERA_DAYS - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31 30 31 30 31 31 30 31 30 31 31 days: 153 in every five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Some(Civil { year: 400 * era + year_of_era + i64::from(month <= 2), month, day })
}

/// Days since 1970-01-01 of a date; none if there is no such date.
pub fn date_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if year.unsigned_abs() > YEARS_MAX.unsigned_abs()
        || !(1..=12).contains(&month)
        || day < 1
        || day > month_days(year, month)
    {
        return None;
    }
    let shifted = year - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * ERA_DAYS + day_of_era - EPOCH)
}

/// Microseconds since 1970 of a day number and a time of day; none if out of range. A leap second (60) is none.
pub fn timestamp_from_civil(days: i64, hour: i64, minute: i64, micros_of_minute: i64) -> Option<i64> {
    let in_day =
        (0..24).contains(&hour) && (0..60).contains(&minute) && (0..MINUTE).contains(&micros_of_minute);
    if !in_day {
        return None;
    }
    days.checked_mul(DAY)?.checked_add(hour * HOUR + minute * MINUTE + micros_of_minute)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Monday is 1, Sunday 7. 1970-01-01 was a Thursday.
fn iso_day_of_week(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// The ISO week: weeks start on Monday and belong to the year of their Thursday.
fn iso_week(days: i64) -> Option<i64> {
    let thursday = days + 4 - iso_day_of_week(days);
    let start = date_from_civil(civil(thursday)?.year, 1, 1)?;
    Some((thursday - start) / 7 + 1)
}

/// The day of a timestamp; before 1970 too the day that contains it.
pub(super) fn day_of(timestamp: i64) -> i64 {
    timestamp.div_euclid(DAY)
}

/// An integer field of a timestamp.
pub(super) fn extract_int(field: Field, timestamp: i64) -> Option<i64> {
    let days = day_of(timestamp);
    let time = timestamp.rem_euclid(DAY);
    extract_date(field, days).or(match field {
        Field::Hour => Some(time / HOUR),
        Field::Minute => Some(time / MINUTE % 60),
        Field::Microseconds => Some(time % MINUTE),
        _ => None,
    })
}

/// An integer field of a date.
pub(super) fn extract_date(field: Field, days: i64) -> Option<i64> {
    let date = civil(days)?;
    match field {
        Field::Year => Some(date.year),
        Field::Quarter => Some((date.month + 2) / 3),
        Field::Month => Some(date.month),
        Field::Day => Some(date.day),
        Field::Week => iso_week(days),
        Field::Dow => Some(iso_day_of_week(days) % 7),
        Field::IsoDow => Some(iso_day_of_week(days)),
        Field::Doy => Some(days - date_from_civil(date.year, 1, 1)? + 1),
        Field::IsoYear => Some(civil(days + 4 - iso_day_of_week(days))?.year),
        Field::Decade => Some(date.year.div_euclid(10)),
        Field::Century => Some(since_year_one(date.year, 100)),
        Field::Millennium => Some(since_year_one(date.year, 1000)),
        Field::Julian => Some(days + JULIAN_EPOCH),
        Field::Hour
        | Field::Minute
        | Field::Second
        | Field::Epoch
        | Field::Milliseconds
        | Field::Microseconds => None,
    }
}

/// Centuries and the like are counted from the year 1 on, and before it from the year 0 back.
fn since_year_one(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { -((length - year) / length) }
}

/// A float field of a timestamp.
pub(super) fn extract_float(field: Field, timestamp: i64) -> Option<f64> {
    match field {
        Field::Second => Some(seconds(timestamp.rem_euclid(MINUTE))),
        #[expect(clippy::cast_precision_loss, reason = "below a minute")]
        Field::Milliseconds => Some(timestamp.rem_euclid(MINUTE) as f64 / 1000.0),
        Field::Epoch => Some(seconds(timestamp)),
        _ => None,
    }
}

/// Microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "exact for 285 years, the nearest float beyond")]
pub(super) fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// The timestamp at which the unit that contains this one began.
pub(super) fn truncate(unit: Unit, timestamp: i64) -> Option<i64> {
    let days = day_of(timestamp);
    let date = civil(days)?;
    let start = match unit {
        Unit::Microsecond => return Some(timestamp),
        Unit::Millisecond => return timestamp.checked_sub(timestamp.rem_euclid(1000)),
        Unit::Second => return timestamp.checked_sub(timestamp.rem_euclid(SECOND)),
        Unit::Minute => return timestamp.checked_sub(timestamp.rem_euclid(MINUTE)),
        Unit::Hour => return timestamp.checked_sub(timestamp.rem_euclid(HOUR)),
        Unit::Day => days,
        Unit::Week => days + 1 - iso_day_of_week(days),
        Unit::Month => date_from_civil(date.year, date.month, 1)?,
        Unit::Quarter => date_from_civil(date.year, (date.month - 1) / 3 * 3 + 1, 1)?,
        Unit::Year => date_from_civil(date.year, 1, 1)?,
        Unit::Decade => date_from_civil(date.year.div_euclid(10) * 10, 1, 1)?,
        Unit::Century => date_from_civil((date.year - 1).div_euclid(100) * 100 + 1, 1, 1)?,
        Unit::Millennium => date_from_civil((date.year - 1).div_euclid(1000) * 1000 + 1, 1, 1)?,
    };
    start.checked_mul(DAY)
}

/// A date as text: `2013-02-28`.
pub fn parse_date(text: &str) -> Option<i64> {
    let mut reader = Reader { rest: text.trim() };
    let days = reader.date()?;
    reader.rest.is_empty().then_some(days)
}

/// A timestamp as text: `2013-02-28 09:05`, with seconds, fraction, `T`, and an offset (`Z`, `+01`, `-05:30`), which
/// is taken off; or a date alone.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let mut reader = Reader { rest: text.trim() };
    let days = reader.date()?;
    if reader.rest.is_empty() {
        return days.checked_mul(DAY);
    }
    if !reader.take(b' ') && !reader.take(b'T') {
        return None;
    }
    let hour = reader.digits(2)?;
    if !reader.take(b':') {
        return None;
    }
    let minute = reader.digits(2)?;
    let micros = if reader.take(b':') { reader.digits(2)? * SECOND + reader.fraction()? } else { 0 };
    let offset = reader.offset()?;
    let local = timestamp_from_civil(days, hour, minute, micros)?;
    reader.rest.is_empty().then_some(local.checked_sub(offset)?)
}

/// Reads dates and times from the front of a text.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest.as_bytes().first() == Some(&byte);
        if found {
            // Only ASCII bytes are asked for, so this is a character's boundary.
            self.rest = &self.rest[1..];
        }
        found
    }

    fn digits(&mut self, count_max: usize) -> Option<i64> {
        let count = self.rest.bytes().take(count_max).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        // At most seven digits are asked for, which a number always holds.
        let value = digits.bytes().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        (count > 0).then_some(value)
    }

    fn date(&mut self) -> Option<i64> {
        let negative = self.take(b'-');
        let year = self.digits(7)?;
        if !self.take(b'-') {
            return None;
        }
        let month = self.digits(2)?;
        if !self.take(b'-') {
            return None;
        }
        let day = self.digits(2)?;
        date_from_civil(if negative { -year } else { year }, month, day)
    }

    /// The fraction of a second in microseconds; digits beyond the sixth are dropped.
    fn fraction(&mut self) -> Option<i64> {
        if !self.take(b'.') {
            return Some(0);
        }
        let before = self.rest.len();
        let value = self.digits(6)?;
        let missing = 6 - (before - self.rest.len());
        let kept = self.rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        self.rest = kept;
        Some(value * 10i64.pow(u32::try_from(missing).expect("at most 6")))
    }

    fn offset(&mut self) -> Option<i64> {
        if self.take(b'Z') {
            return Some(0);
        }
        let sign = match self.rest.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Some(0),
        };
        self.rest = &self.rest[1..];
        let hours = self.digits(2)?;
        let minutes = if self.take(b':') { self.digits(2)? } else { 0 };
        (hours < 24 && minutes < 60).then_some(sign * (hours * HOUR + minutes * MINUTE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the calendar day by day, which needs nothing but the lengths of the months.
    #[test]
    fn every_day_of_nine_hundred_years() {
        let mut expected = Civil { year: 1600, month: 1, day: 1 };
        let first = date_from_civil(1600, 1, 1).expect("a date");
        for days in first..first + 900 * 366 {
            assert_eq!(civil(days), Some(expected));
            assert_eq!(date_from_civil(expected.year, expected.month, expected.day), Some(days));
            expected.day += 1;
            if expected.day > month_days(expected.year, expected.month) {
                expected = Civil { year: expected.year, month: expected.month + 1, day: 1 };
            }
            if expected.month > 12 {
                expected = Civil { year: expected.year + 1, month: 1, day: 1 };
            }
        }
        assert_eq!(civil(0), Some(Civil { year: 1970, month: 1, day: 1 }));
        assert_eq!(civil(-1), Some(Civil { year: 1969, month: 12, day: 31 }));
    }

    #[test]
    fn the_far_ends_do_not_overflow() {
        for timestamp in [i64::MIN, i64::MAX, 0, -1] {
            for unit in [Unit::Second, Unit::Hour, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year] {
                truncate(unit, timestamp);
            }
            assert!(extract_int(Field::Year, timestamp).is_some());
            assert!(extract_int(Field::Week, timestamp).is_some());
        }
        for days in [i64::MIN, i64::MAX, DAYS_MAX, -DAYS_MAX, DAYS_MAX + 1] {
            extract_date(Field::Week, days);
        }
    }
}
