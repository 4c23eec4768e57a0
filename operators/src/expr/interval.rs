//! Intervals: months, days and microseconds, which are three things, since neither months nor days have one length.
//!
//! An interval lies in a row as 24 bytes (the engine's type is [`crate::Type::Bytes`]), which compare as intervals do:
//!
//! ```text
//! 0..16   its length in microseconds, a month being 30 days and a day 24 hours; big endian, sign flipped
//! 16..20  months, 20..24 days: big endian, sign flipped; the microseconds are what is left of the length
//! ```
//!
//! So the order is that of the lengths, and of two intervals of one length the one with fewer months comes first.

use std::fmt::Write;

use super::date::{DAY, HOUR, MINUTE, SECOND, civil, date_from_civil, day_of};

/// The bytes of an interval.
pub const INTERVAL_BYTES: usize = 24;
/// The bytes of an interval's length, which are the first of all.
pub const SPAN_BYTES: usize = 16;

const MONTH_DAYS: i64 = 30;
const SIGN_128: u128 = 1 << 127;
const SIGN_32: u32 = 1 << 31;

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    /// Whole months; a year is twelve.
    pub months: i32,
    /// Whole days.
    pub days: i32,
    /// The rest in microseconds; may be more than a day.
    pub micros: i64,
}

impl Interval {
    /// An interval, unless a part is out of range.
    pub fn new(months: i64, days: i64, micros: i64) -> Option<Interval> {
        Some(Interval { months: i32::try_from(months).ok()?, days: i32::try_from(days).ok()?, micros })
    }

    fn span(self) -> i128 {
        let days = i128::from(self.months) * i128::from(MONTH_DAYS) + i128::from(self.days);
        days * i128::from(DAY) + i128::from(self.micros)
    }

    /// The form that rows hold.
    pub fn to_bytes(self) -> [u8; INTERVAL_BYTES] {
        let mut bytes = [0; INTERVAL_BYTES];
        bytes[..16].copy_from_slice(&(self.span().cast_unsigned() ^ SIGN_128).to_be_bytes());
        bytes[16..20].copy_from_slice(&(self.months.cast_unsigned() ^ SIGN_32).to_be_bytes());
        bytes[20..].copy_from_slice(&(self.days.cast_unsigned() ^ SIGN_32).to_be_bytes());
        bytes
    }

    /// The interval of bytes that a row holds; none if they are not those of one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Interval> {
        let (span, rest) = bytes.split_first_chunk::<16>()?;
        let (months, days) = rest.split_first_chunk::<4>()?;
        let part = |bytes: [u8; 4]| (u32::from_be_bytes(bytes) ^ SIGN_32).cast_signed();
        let whole = Interval { months: part(*months), days: part(days.try_into().ok()?), micros: 0 };
        let span = (u128::from_be_bytes(*span) ^ SIGN_128).cast_signed();
        let micros = i64::try_from(span.checked_sub(whole.span())?).ok()?;
        Some(Interval { micros, ..whole })
    }

    /// `self + other`, part by part.
    pub fn plus(self, other: Interval) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
        })
    }

    /// `-self`
    pub fn negated(self) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }

    /// Each part by a function that scales it; what is left of a month goes to the days, of a day to the rest.
    pub fn scaled(self, by: impl Fn(f64) -> f64) -> Option<Interval> {
        let micro = |seconds: f64| (seconds * 1e6).round_ties_even() / 1e6;
        let (months_exact, days_exact) = (by(f64::from(self.months)), by(f64::from(self.days)));
        let (months, mut days) = (whole(months_exact)?, whole(days_exact)?);
        let from_months = micro((months_exact - months_exact.trunc()) * MONTH_DAYS as f64);
        let day_seconds = (DAY / SECOND) as f64;
        let rest = days_exact - days_exact.trunc() + from_months - from_months.trunc();
        let mut seconds = micro(rest * day_seconds);
        if seconds.abs() >= day_seconds {
            let over = (seconds / day_seconds).trunc();
            days = days.checked_add(whole(over)?)?;
            seconds -= over * day_seconds;
        }
        days = days.checked_add(whole(from_months)?)?;
        let micros = (by(micros_float(self.micros)) + seconds * 1e6).round_ties_even();
        Interval::new(months, days, whole(micros)?)
    }

    /// The timestamp this much later: first the months, where a day that does not exist becomes the month's last, then
    /// the days, then the rest.
    pub fn after(self, timestamp: i64) -> Option<i64> {
        let (mut days, time) = (day_of(timestamp), timestamp.rem_euclid(DAY));
        if self.months != 0 {
            let date = civil(days)?;
            let month = date.year * 12 + date.month - 1 + i64::from(self.months);
            let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
            let fits = |day: &i64| date_from_civil(year, month, *day);
            days = (date.day - 3..=date.day).rev().find_map(|day| fits(&day))?;
        }
        let moved = days.checked_add(i64::from(self.days))?.checked_mul(DAY)?;
        moved.checked_add(time)?.checked_add(self.micros)
    }

    /// `later - earlier`: whole days and the rest, of one sign.
    pub fn between(later: i64, earlier: i64) -> Option<Interval> {
        let micros = later.checked_sub(earlier)?;
        Interval::new(0, micros / DAY, micros % DAY)
    }

    /// `age(later, earlier)`: years, months and days as a calendar counts them.
    pub fn age(later: i64, earlier: i64) -> Option<Interval> {
        let ahead = later >= earlier;
        let (from, to) = if ahead { (earlier, later) } else { (later, earlier) };
        let (first, last) = (civil(day_of(from))?, civil(day_of(to))?);
        let mut micros = to.rem_euclid(DAY) - from.rem_euclid(DAY);
        let mut days = last.day - first.day;
        let mut months = (last.year - first.year) * 12 + last.month - first.month;
        if micros < 0 {
            micros += DAY;
            days -= 1;
        }
        if days < 0 {
            // The month of the earlier of the two arguments is the one that is cut into days.
            let next = (first.year * 12 + first.month, 1);
            let start = date_from_civil(first.year, first.month, 1)?;
            let end = date_from_civil(next.0.div_euclid(12), next.0.rem_euclid(12) + 1, next.1)?;
            days += end - start;
            months -= 1;
        }
        let age = Interval::new(months, days, micros)?;
        if ahead { Some(age) } else { age.negated() }
    }

    /// Days out of hours, months out of days, as asked for, and all of one sign.
    pub fn justified(self, hours: bool, days: bool) -> Option<Interval> {
        let mut months = i64::from(self.months);
        let (mut day, mut micros) = (i64::from(self.days), self.micros);
        if hours {
            day += micros / DAY;
            micros %= DAY;
        }
        if days {
            months += day / MONTH_DAYS;
            day %= MONTH_DAYS;
            if months > 0 && (day < 0 || hours && day == 0 && micros < 0) {
                day += MONTH_DAYS;
                months -= 1;
            } else if months < 0 && (day > 0 || hours && day == 0 && micros > 0) {
                day -= MONTH_DAYS;
                months += 1;
            }
        }
        if hours && day > 0 && micros < 0 {
            micros += DAY;
            day -= 1;
        } else if hours && day < 0 && micros > 0 {
            micros -= DAY;
            day += 1;
        }
        Interval::new(months, day, micros)
    }

    /// Its length in seconds: a month has 30 days, a year 365.25.
    pub fn epoch_micros(self) -> i128 {
        const YEAR: i128 = DAY as i128 * 36_525 / 100;
        let months = i128::from(self.months);
        let days = months % 12 * i128::from(MONTH_DAYS) + i128::from(self.days);
        months / 12 * YEAR + days * i128::from(DAY) + i128::from(self.micros)
    }

    /// Appends the text, in PostgreSQL's default style.
    pub fn write(self, out: &mut impl Write) -> std::fmt::Result {
        let (mut first, mut before_negative) = (true, false);
        let parts = [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")];
        for (value, unit) in parts.into_iter().filter(|(value, _)| *value != 0) {
            let blank = if first { "" } else { " " };
            let plus = if before_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            write!(out, "{blank}{plus}{value} {unit}{plural}")?;
            (first, before_negative) = (false, value < 0);
        }
        if !first && self.micros == 0 {
            return Ok(());
        }
        let blank = if first { "" } else { " " };
        let sign = match (self.micros < 0, before_negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let size = self.micros.unsigned_abs();
        let (hour, minute) = (size / HOUR.unsigned_abs(), size / MINUTE.unsigned_abs() % 60);
        write!(out, "{blank}{sign}{hour:02}:{minute:02}:{:02}", size / SECOND.unsigned_abs() % 60)?;
        let mut fraction = size % SECOND.unsigned_abs();
        if fraction == 0 {
            return Ok(());
        }
        let mut digits: usize = 6;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        write!(out, ".{fraction:0digits$}")
    }

    /// Reads a text: numbers with units, `hh:mm:ss`, `years-months`, ISO 8601's `P1Y2M3DT4H5M6S`; `ago` turns all of it
    /// round. A number by itself counts seconds.
    pub fn parse(text: &str) -> Option<Interval> {
        let text = text.trim();
        if let Some(iso) = text.strip_prefix(['P', 'p']) {
            return iso_8601(iso);
        }
        let lower = text.to_ascii_lowercase();
        let mut words = lower.split_whitespace().peekable();
        words.next_if(|word| *word == "@");
        words.peek()?;
        let mut sum = Parts::default();
        while let Some(word) = words.next() {
            if word == "ago" {
                return if words.next().is_none() { sum.finish()?.negated() } else { None };
            }
            if word.contains(':') {
                sum.micros = sum.micros.checked_add(clock(word)?)?;
                continue;
            }
            if let Some((years, months)) = years_and_months(word) {
                sum.add(years, "year")?;
                sum.add(months, "month")?;
                continue;
            }
            let split = word.find(|found: char| found.is_ascii_alphabetic()).unwrap_or(word.len());
            let number: f64 = number(&word[..split])?;
            let own = (split < word.len()).then(|| &word[split..]);
            let next = || words.next_if(|next| next.starts_with(|c: char| c.is_ascii_alphabetic()));
            let unit = own.or_else(next).filter(|unit| *unit != "ago");
            sum.add(number, unit.unwrap_or("second"))?;
        }
        sum.finish()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(value: f64) -> Option<i64> {
    // 2^63; every float below it in size fits.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (-LIMIT..LIMIT).contains(&value).then(|| value.trunc() as i64)
}

#[expect(clippy::cast_precision_loss, reason = "exact for 285 years, the nearest float beyond")]
fn micros_float(micros: i64) -> f64 {
    micros as f64
}

fn number(digits: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'-');
    digits.bytes().all(plain).then(|| digits.parse().ok()).flatten()
}

/// What has been read so far.
#[derive(Default)]
struct Parts {
    months: i64,
    days: i64,
    micros: i64,
}

impl Parts {
    fn add(&mut self, number: f64, unit: &str) -> Option<()> {
        let plural = unit.strip_suffix('s').filter(|unit| unit.len() > 1).unwrap_or(unit);
        let months = match plural {
            "millennium" | "millennia" | "mil" => 12_000.0,
            "century" | "centurie" | "cent" | "c" => 1200.0,
            "decade" | "dec" => 120.0,
            "year" | "yr" | "y" => 12.0,
            "month" | "mon" => return self.add_months(number),
            _ => return self.add_shorter(number, unit, plural),
        };
        // Of a year there are no parts smaller than months.
        self.months = self.months.checked_add(whole((number * months).round_ties_even())?)?;
        Some(())
    }

    fn add_months(&mut self, number: f64) -> Option<()> {
        self.months = self.months.checked_add(whole(number)?)?;
        self.add_days(number.fract() * MONTH_DAYS as f64)
    }

    fn add_days(&mut self, number: f64) -> Option<()> {
        self.days = self.days.checked_add(whole(number)?)?;
        self.add_micros(number.fract() * DAY as f64)
    }

    fn add_micros(&mut self, number: f64) -> Option<()> {
        self.micros = self.micros.checked_add(whole(number.round_ties_even())?)?;
        Some(())
    }

    fn add_shorter(&mut self, number: f64, unit: &str, plural: &str) -> Option<()> {
        match plural {
            "week" | "w" => self.add_days(number * 7.0),
            "day" | "d" => self.add_days(number),
            "hour" | "hr" | "h" => self.add_micros(number * HOUR as f64),
            "minute" | "min" | "m" if unit != "ms" => self.add_micros(number * MINUTE as f64),
            "second" | "sec" | "s" => self.add_micros(number * SECOND as f64),
            "millisecond" | "msec" | "m" | "ms" => self.add_micros(number * 1000.0),
            "microsecond" | "usec" | "us" | "u" => self.add_micros(number),
            _ => None,
        }
    }

    fn finish(&self) -> Option<Interval> {
        Interval::new(self.months, self.days, self.micros)
    }
}

/// `[-]hh:mm[:ss[.ffffff]]` in microseconds.
fn clock(word: &str) -> Option<i64> {
    let (negative, word) = match word.as_bytes().first()? {
        b'-' => (true, &word[1..]),
        b'+' => (false, &word[1..]),
        _ => (false, word),
    };
    let mut parts = word.split(':');
    let whole_part =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let hours: i64 = whole_part(parts.next()?)?;
    let minutes: i64 = whole_part(parts.next()?)?;
    let seconds = match parts.next() {
        Some(text) if text.starts_with(|c: char| c.is_ascii_digit()) => number(text)?,
        Some(_) => return None,
        None => 0.0,
    };
    if parts.next().is_some() || minutes > 59 || seconds >= 60.0 {
        return None;
    }
    let micros = hours.checked_mul(HOUR)?.checked_add(minutes * MINUTE)?;
    let micros = micros.checked_add(whole((seconds * 1e6).round_ties_even())?)?;
    Some(if negative { -micros } else { micros })
}

/// `[-]years-months`
fn years_and_months(word: &str) -> Option<(f64, f64)> {
    let sign = if word.starts_with('-') { -1.0 } else { 1.0 };
    let (years, months) = word.trim_start_matches(['+', '-']).split_once('-')?;
    let value =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<f64>().ok())?;
    Some((sign * value(years)?, sign * value(months)?))
}

/// What follows the `P`.
fn iso_8601(text: &str) -> Option<Interval> {
    let mut sum = Parts::default();
    let (mut rest, mut in_time, mut any) = (text, false, false);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(['T', 't']) {
            (rest, in_time) = (after, true);
            continue;
        }
        let end = rest.find(|found: char| found.is_ascii_alphabetic())?;
        let value = number(&rest[..end])?;
        match (rest.as_bytes()[end].to_ascii_uppercase(), in_time) {
            (b'Y', false) => sum.add(value, "year")?,
            (b'M', false) => sum.add(value, "month")?,
            (b'W', false) => sum.add(value, "week")?,
            (b'D', false) => sum.add(value, "day")?,
            (b'H', true) => sum.add(value, "hour")?,
            (b'M', true) => sum.add(value, "minute")?,
            (b'S', true) => sum.add(value, "second")?,
            _ => return None,
        }
        (rest, any) = (&rest[end + 1..], true);
    }
    if any { sum.finish() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::calendar::parse_timestamp;

    fn text(interval: Interval) -> String {
        let mut out = String::new();
        interval.write(&mut out).expect("a string takes any text");
        out
    }

    /// The results are those of PostgreSQL 15.
    #[test]
    fn texts() {
        let cases = [
            ("1 day 02:00:01.5", "1 day 02:00:01.5"),
            ("2 weeks -3 hours", "14 days -03:00:00"),
            ("90s", "00:01:30"),
            ("250 ms", "00:00:00.25"),
            ("1 year 2 months 3 days 04:05:06.789", "1 year 2 mons 3 days 04:05:06.789"),
            ("-1 year -2 mons +3 days -04:05:06", "-1 years -2 mons +3 days -04:05:06"),
            ("1.5 years", "1 year 6 mons"),
            ("1.5 months", "1 mon 15 days"),
            ("1.5 weeks", "10 days 12:00:00"),
            ("P1Y2M3DT4H5M6.5S", "1 year 2 mons 3 days 04:05:06.5"),
            ("1-2", "1 year 2 mons"),
            ("3 days ago", "-3 days"),
            ("@ 1 minute", "00:01:00"),
            ("100:00", "100:00:00"),
            ("0", "00:00:00"),
            ("1 mon -30 days", "1 mon -30 days"),
            ("-1 day 2 hours", "-1 days +02:00:00"),
            ("5 hours 30 min", "05:30:00"),
        ];
        for (given, expected) in cases {
            let interval = Interval::parse(given).unwrap_or_else(|| panic!("{given}"));
            assert_eq!(text(interval), expected, "{given}");
            assert_eq!(Interval::from_bytes(&interval.to_bytes()), Some(interval), "{given}");
        }
        for wrong in ["", "soon", "1 dy", "1:2:3:4", "P", "PT1Y", "1 day ago ago", "12:61", "9999999999 days"]
        {
            assert_eq!(Interval::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_compare_as_lengths() {
        let sorted =
            ["-1 mon", "-29 days", "-1 s", "0", "1 us", "1 day", "25 hours", "1 mon -1 us", "31 days"];
        let bytes = sorted.map(|text| Interval::parse(text).expect("an interval").to_bytes());
        assert!(bytes.is_sorted());
        assert_eq!(Interval::from_bytes(&[0; 24]), None);
        assert_eq!(Interval::from_bytes(&[128; 23]), None);
    }

    #[test]
    fn arithmetic_on_calendars() {
        let at = |text| parse_timestamp(text).expect("a timestamp");
        let interval = |text| Interval::parse(text).expect("an interval");
        assert_eq!(interval("1 month").after(at("2024-01-31")), Some(at("2024-02-29")));
        assert_eq!(
            interval("-1 month 1 day 01:00").after(at("2023-03-31 10:00")),
            Some(at("2023-03-01 11:00"))
        );
        assert_eq!(
            Interval::between(at("2024-01-03 01:00"), at("2024-01-01 02:00")).map(text),
            Some("1 day 23:00:00".into())
        );
        assert_eq!(
            Interval::age(at("2001-04-10"), at("1957-06-13")).map(text),
            Some("43 years 9 mons 27 days".into())
        );
        assert_eq!(
            Interval::age(at("1957-06-13"), at("2001-04-10")).map(text),
            Some("-43 years -9 mons -27 days".into())
        );
        assert_eq!(
            interval("1 mon 1 day 01:00").scaled(|part| part * 1.5).map(text),
            Some("1 mon 16 days 13:30:00".into())
        );
        assert_eq!(interval("1 day").scaled(|part| part / 0.0), None);
        assert_eq!(
            interval("35 days 25:00").justified(true, true).map(text),
            Some("1 mon 6 days 01:00:00".into())
        );
    }
}
