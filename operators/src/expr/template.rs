//! Times and numbers by templates: `to_char`, and back, `to_date` and `to_timestamp`, with the patterns of PostgreSQL that
//! are in everyday use. An unknown letter stands for itself, as there.

use std::fmt::Write;

use rust_decimal::{Decimal, RoundingStrategy};

use super::bound::Scratch;
use super::date::{DAY, Field, HOUR, MINUTE, SECOND, civil, date_from_civil, day_of, extract_date};
use super::function::{Function, NUMERIC, Parameter, Signature, TEXT, TIMESTAMP, signature};
use super::string::made;
use crate::value::{Datum, Type};

/// A function of a template whose result is NULL when any argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplateFunction {
    CharOfTime,
    CharOfNumber,
    TimestampOf,
}

pub(super) const SIGNATURES: &[Signature] = {
    use TemplateFunction as T;
    const fn of(name: &'static str, function: T, takes: &'static [Parameter], gives: Type) -> Signature {
        signature(name, Function::Template(function), takes, 0, Some(gives))
    }
    &[
        of("to_char_time", T::CharOfTime, &[TIMESTAMP, TEXT], Type::Text),
        of("to_char_number", T::CharOfNumber, &[NUMERIC, TEXT], Type::Text),
        of("to_timestamp_by", T::TimestampOf, &[TEXT, TEXT], Type::Timestamp),
    ]
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Names of months and days are filled up with blanks to this width.
const NAME_WIDTH: usize = 9;
const TEMPLATE_BYTES_MAX: usize = 1000;

impl TemplateFunction {
    /// Computes the function of arguments that are not NULL.
    pub(super) fn call<'a>(self, arguments: &[Datum<'a>], scratch: &'a Scratch) -> Option<Datum<'a>> {
        match (self, arguments) {
            (_, [_, Datum::Text(template)]) if template.len() > TEMPLATE_BYTES_MAX => None,
            (Self::CharOfTime, [Datum::Timestamp(time), Datum::Text(template)]) => {
                made(&time_text(*time, template)?, scratch.texts())
            }
            (Self::CharOfNumber, [Datum::Numeric(value), Datum::Text(template)]) => {
                made(&number_text(*value, template)?, scratch.texts())
            }
            (Self::TimestampOf, [Datum::Text(text), Datum::Text(template)]) => {
                read_time(text, template).map(Datum::Timestamp)
            }
            _ => unreachable!("{self:?} does not take {arguments:?}"),
        }
    }
}

/// Patterns of times; where one begins with another, the longer comes first.
const PATTERNS: &[&str] = &[
    "YYYY", "Y,YYY", "YYY", "YY", "Y", "IYYY", "IW", "ID", "Q", "MONTH", "Month", "month", "MON", "Mon",
    "mon", "MM", "MI", "MS", "WW", "W", "DAY", "Day", "day", "DDD", "DD", "DY", "Dy", "dy", "D", "HH24",
    "HH12", "HH", "SSSSS", "SSSS", "SS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "A.M.", "P.M.",
    "AM", "PM", "a.m.", "p.m.", "am", "pm", "CC", "J", "TZ", "OF",
];

/// A part of a template: a pattern with whether it is without filling, or characters that stand for themselves.
enum Part<'t> {
    Pattern(&'static str, bool),
    Literal(&'t str),
}

/// Cuts a template into its parts.
fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    let (mut rest, mut unfilled) = (template, false);
    std::iter::from_fn(move || {
        loop {
            if let Some(quoted) = rest.strip_prefix('"') {
                let end = quoted.find('"').unwrap_or(quoted.len());
                rest = quoted.get(end + 1..).unwrap_or_default();
                return Some(Part::Literal(&quoted[..end]));
            }
            if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
                (rest, unfilled) = (after, true);
                continue;
            }
            // In capitals or not, but for those whose capitals say something.
            let matches = |pattern: &&&str| {
                let cased = pattern.bytes().any(|byte| byte.is_ascii_lowercase()) || NAMES.contains(*pattern);
                let front = rest.get(..pattern.len());
                front.is_some_and(|front| front == **pattern || !cased && front.eq_ignore_ascii_case(pattern))
            };
            if let Some(pattern) = PATTERNS.iter().find(matches) {
                rest = &rest[pattern.len()..];
                return Some(Part::Pattern(pattern, std::mem::take(&mut unfilled)));
            }
            let length = rest.chars().next()?.len_utf8();
            let (literal, after) = rest.split_at(length);
            rest = after;
            return Some(Part::Literal(literal));
        }
    })
}

/// Patterns whose letters' case is that of the result.
const NAMES: &[&str] = &["MONTH", "MON", "DAY", "DY", "A.M.", "P.M.", "AM", "PM"];

fn time_text(time: i64, template: &str) -> Option<String> {
    let mut out = String::new();
    for part in parts(template) {
        match part {
            Part::Literal(text) => out.push_str(text),
            Part::Pattern(pattern, unfilled) => write_time(time, pattern, unfilled, &mut out)?,
        }
    }
    Some(out)
}

fn write_time(time: i64, pattern: &str, unfilled: bool, out: &mut String) -> Option<()> {
    let (days, micros) = (day_of(time), time.rem_euclid(DAY));
    let date = civil(days)?;
    let field = |field| extract_date(field, days);
    let (hour, fraction) = (micros / HOUR, micros % SECOND);
    let half = if hour % 12 == 0 { 12 } else { hour % 12 };
    let (value, width) = match pattern {
        "YYYY" => (date.year, 4),
        "Y,YYY" => {
            write!(out, "{},{:03}", date.year / 1000, date.year % 1000).ok()?;
            return Some(());
        }
        "YYY" => (date.year % 1000, 3),
        "YY" => (date.year % 100, 2),
        "Y" => (date.year % 10, 1),
        "IYYY" => (field(Field::IsoYear)?, 4),
        "IW" => (field(Field::Week)?, 2),
        "ID" => (field(Field::IsoDow)?, 1),
        "Q" => (field(Field::Quarter)?, 1),
        "MM" => (date.month, 2),
        "WW" => ((field(Field::Doy)? - 1) / 7 + 1, 2),
        "W" => ((date.day - 1) / 7 + 1, 1),
        "DDD" => (field(Field::Doy)?, 3),
        "DD" => (date.day, 2),
        "D" => (field(Field::Dow)? + 1, 1),
        "HH24" => (hour, 2),
        "HH12" | "HH" => (half, 2),
        "MI" => (micros / MINUTE % 60, 2),
        "SSSSS" | "SSSS" => (micros / SECOND, 1),
        "SS" => (micros / SECOND % 60, 2),
        "MS" => (fraction / 1000, 3),
        "US" => (fraction, 6),
        "CC" => (field(Field::Century)?, 2),
        "J" => (field(Field::Julian)?, 1),
        _ => return write_name(pattern, hour, fraction, (date.month, field(Field::Dow)?), unfilled, out),
    };
    let width = if unfilled { 1 } else { width };
    write!(out, "{value:0width$}").ok()
}

/// Patterns that are words; `names` are the month and the day of the week.
fn write_name(
    pattern: &str,
    hour: i64,
    fraction: i64,
    names: (i64, i64),
    unfilled: bool,
    out: &mut String,
) -> Option<()> {
    let month = MONTHS[usize::try_from(names.0 - 1).ok()?];
    let day = DAYS[usize::try_from(names.1).ok()?];
    let afternoon = hour >= 12;
    let (name, is_long) = match pattern {
        "MONTH" | "Month" | "month" => (month, true),
        "MON" | "Mon" | "mon" => (&month[..3], false),
        "DAY" | "Day" | "day" => (day, true),
        "DY" | "Dy" | "dy" => (&day[..3], false),
        "AM" | "PM" | "am" | "pm" => (if afternoon { "pm" } else { "am" }, false),
        "A.M." | "P.M." | "a.m." | "p.m." => (if afternoon { "p.m." } else { "a.m." }, false),
        "TZ" => ("", false),
        "OF" => ("+00", false),
        _ => {
            let digits = pattern.strip_prefix("FF")?.parse::<u32>().ok()?;
            let width = usize::try_from(digits).ok()?;
            write!(out, "{:0width$}", fraction / 10i64.pow(6 - digits)).ok()?;
            return Some(());
        }
    };
    let capital = |text: &str| pattern.starts_with(char::is_uppercase) && text.chars().nth(1).is_some();
    let second_is_capital =
        pattern.chars().filter(|c| c.is_alphabetic()).nth(1).is_some_and(char::is_uppercase);
    let name = match (capital(pattern), second_is_capital) {
        (true, true) => name.to_uppercase(),
        (true, false) => name.to_owned(),
        (false, _) => name.to_lowercase(),
    };
    let width = if is_long && !unfilled { NAME_WIDTH } else { 0 };
    write!(out, "{name:<width$}").ok()
}

/// What has been read of a time.
struct Read {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: Option<i64>,
    micros: i64,
    hour: i64,
    /// Whether the hour is one of twelve, and then whether of those after noon.
    of_twelve: bool,
    afternoon: bool,
}

/// The time that a text gives by a template. Blanks and signs between the parts may be others than the template's.
fn read_time(text: &str, template: &str) -> Option<i64> {
    let mut read = Read {
        year: 1,
        month: 1,
        day: 1,
        day_of_year: None,
        micros: 0,
        hour: 0,
        of_twelve: false,
        afternoon: false,
    };
    let mut rest = text.trim_start();
    let separators =
        |rest: &str| -> usize { rest.find(|found: char| found.is_alphanumeric()).unwrap_or(rest.len()) };
    for part in parts(template) {
        match part {
            Part::Literal(literal) if literal.chars().all(char::is_alphanumeric) => {
                rest = rest.get(literal.len()..).unwrap_or_default();
            }
            Part::Literal(_) => rest = &rest[separators(rest)..],
            Part::Pattern(pattern, unfilled) => {
                rest = rest.trim_start();
                rest = read.take(pattern, unfilled, rest)?;
            }
        }
    }
    read.finish()
}

impl Read {
    /// Takes one pattern off the front of a text, and returns the rest.
    fn take<'t>(&mut self, pattern: &str, unfilled: bool, text: &'t str) -> Option<&'t str> {
        let name = |names: &[&str], length: usize| {
            let found = names.iter().position(|name| {
                let name = &name[..length.min(name.len())];
                text.get(..name.len()).is_some_and(|front| front.eq_ignore_ascii_case(name))
            })?;
            Some((found as i64, names[found].len().min(length)))
        };
        let width = match pattern {
            "YYYY" | "IYYY" => 4,
            "YYY" | "DDD" | "MS" => 3,
            "US" => 6,
            "Y" | "Q" | "D" | "ID" | "W" => 1,
            "MONTH" | "Month" | "month" | "MON" | "Mon" | "mon" => {
                let length = if pattern.len() == 3 { 3 } else { NAME_WIDTH };
                let (month, length) = name(&MONTHS, length)?;
                self.month = month + 1;
                return Some(&text[length..]);
            }
            "DAY" | "Day" | "day" => return Some(&text[name(&DAYS, NAME_WIDTH)?.1..]),
            "DY" | "Dy" | "dy" => return Some(&text[name(&DAYS, 3)?.1..]),
            "AM" | "PM" | "am" | "pm" | "A.M." | "P.M." | "a.m." | "p.m." => {
                let front = text.get(..pattern.len())?;
                (self.of_twelve, self.afternoon) = (true, front.starts_with(['p', 'P']));
                return front.starts_with(['a', 'A', 'p', 'P']).then(|| &text[pattern.len()..]);
            }
            _ => 2,
        };
        let limit = if unfilled { usize::MAX } else { width };
        let length = text.bytes().take(limit).take_while(u8::is_ascii_digit).count();
        let value: i64 = text[..length].parse().ok()?;
        match pattern {
            "YYYY" => self.year = value,
            "YYY" | "YY" | "Y" => {
                self.year = if value < 70 {
                    2000 + value
                } else if value < 100 {
                    1900 + value
                } else {
                    1000 + value
                }
            }
            "MM" => self.month = value,
            "DD" => self.day = value,
            "DDD" => self.day_of_year = Some(value),
            "HH24" => self.hour = value,
            "HH12" | "HH" => (self.hour, self.of_twelve) = (value, true),
            "MI" => self.micros += (value < 60).then_some(value * MINUTE)?,
            "SS" => self.micros += (value < 60).then_some(value * SECOND)?,
            "MS" | "US" => {
                let digits = u32::try_from(length).ok().filter(|digits| (1..=6).contains(digits))?;
                self.micros += value * 10i64.pow(6 - digits);
            }
            _ => return None,
        }
        Some(&text[length..])
    }

    fn finish(&self) -> Option<i64> {
        let days = match self.day_of_year {
            Some(day) => date_from_civil(self.year, 1, 1)?.checked_add(day - 1)?,
            None => date_from_civil(self.year, self.month, self.day)?,
        };
        let hour = match (self.of_twelve, self.afternoon) {
            (false, _) => self.hour,
            (true, _) if !(1..=12).contains(&self.hour) => return None,
            (true, afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
        };
        (hour < 24).then(|| days.checked_mul(DAY)?.checked_add(hour * HOUR + self.micros))?
    }
}

/// A template of numbers, taken apart.
#[derive(Default)]
struct NumberTemplate {
    /// Places before the point from the left: true for 0, which is always shown; none for a comma.
    whole: Vec<Option<bool>>,
    fraction: Vec<bool>,
    has_point: bool,
    unfilled: bool,
    sign: Sign,
    /// What stands in front of and behind the number.
    front: String,
    back: String,
}

#[derive(Default, PartialEq, Clone, Copy)]
enum Sign {
    /// A blank or a minus in front of the digits.
    #[default]
    Blank,
    /// A minus or a plus right before the number, or right behind it.
    Before,
    Behind,
    /// A minus at the place of MI.
    MinusBefore,
    MinusBehind,
    Brackets,
}

fn number_template(template: &str) -> Option<NumberTemplate> {
    let mut found = NumberTemplate::default();
    let mut rest = template;
    while let Some(character) = rest.chars().next() {
        let any_digit = !found.whole.is_empty() || !found.fraction.is_empty();
        let word = |word: &str| rest.get(..word.len()).is_some_and(|front| front.eq_ignore_ascii_case(word));
        let length = match character {
            _ if word("FM") => {
                found.unfilled = true;
                2
            }
            _ if word("MI") => {
                found.sign = if any_digit { Sign::MinusBehind } else { Sign::MinusBefore };
                2
            }
            _ if word("PR") => {
                found.sign = Sign::Brackets;
                2
            }
            'S' | 's' => {
                found.sign = if any_digit { Sign::Behind } else { Sign::Before };
                1
            }
            '0' | '9' if found.has_point => {
                found.fraction.push(character == '0');
                1
            }
            '0' | '9' => {
                found.whole.push(Some(character == '0'));
                1
            }
            ',' | 'G' | 'g' if !found.has_point => {
                found.whole.push(None);
                1
            }
            '.' | 'D' | 'd' if !found.has_point => {
                found.has_point = true;
                1
            }
            'L' | 'l' | '$' => {
                if any_digit {
                    found.back.push('$')
                } else {
                    found.front.push('$')
                }
                1
            }
            '"' => {
                let quoted = rest[1..].split('"').next().unwrap_or_default();
                if any_digit {
                    found.back.push_str(quoted)
                } else {
                    found.front.push_str(quoted)
                }
                (quoted.len() + 2).min(rest.len())
            }
            'V' | 'v' | 'E' | 'e' | 'R' | 'r' => return None,
            other => {
                if any_digit {
                    found.back.push(other)
                } else {
                    found.front.push(other)
                }
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Some(found)
}

fn number_text(value: Decimal, template: &str) -> Option<String> {
    let template = number_template(template)?;
    let places = template.whole.iter().flatten().count();
    let scale = template.fraction.len().min(28);
    let rounded =
        value.round_dp_with_strategy(u32::try_from(scale).ok()?, RoundingStrategy::MidpointAwayFromZero);
    let negative = rounded.is_sign_negative() && !rounded.is_zero();
    let digits = format!("{:.scale$}", rounded.abs());
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let whole = if whole == "0" { "" } else { whole };
    let overflow = whole.len() > places;
    let mut shown = String::new();
    let mut started = false;
    let mut digit = 0;
    for place in &template.whole {
        let Some(always) = place else {
            shown.push(if started { ',' } else { ' ' });
            continue;
        };
        let index = (digit + whole.len()).checked_sub(places);
        digit += 1;
        // The last place before the point shows a zero if nothing comes behind it.
        let last = digit == places && (!template.has_point || template.unfilled && rounded.is_zero());
        let found = index.filter(|_| !overflow).and_then(|at| whole.as_bytes().get(at));
        match found {
            Some(byte) => {
                started = true;
                shown.push(char::from(*byte));
            }
            None if overflow => {
                started = true;
                shown.push('#');
            }
            None if *always || started || last => {
                started = true;
                shown.push('0');
            }
            None => shown.push(' '),
        }
    }
    if template.has_point {
        shown.push('.');
    }
    let mut fraction: String = if overflow { "#".repeat(scale) } else { fraction.to_owned() };
    if template.unfilled && !overflow {
        // Of the digits behind the point only those that say something are shown, and those that are asked for.
        let asked = template.fraction.iter().rposition(|always| *always).map_or(0, |at| at + 1);
        while fraction.len() > asked && fraction.ends_with('0') {
            fraction.pop();
        }
    }
    shown.push_str(&fraction);
    Some(signed(&template, &shown, negative))
}

fn signed(template: &NumberTemplate, shown: &str, negative: bool) -> String {
    let number = shown.trim_start();
    let blanks = if template.unfilled { "" } else { &shown[..shown.len() - number.len()] };
    let minus = if negative { "-" } else { "" };
    let or_blank = if negative {
        "-"
    } else if template.unfilled {
        ""
    } else {
        " "
    };
    let (front, back) = (&template.front, &template.back);
    match template.sign {
        Sign::Blank => format!("{front}{blanks}{or_blank}{number}{back}"),
        Sign::Before => format!("{blanks}{}{front}{number}{back}", if negative { "-" } else { "+" }),
        Sign::Behind => format!("{blanks}{front}{number}{back}{}", if negative { "-" } else { "+" }),
        Sign::MinusBefore => format!("{or_blank}{blanks}{front}{number}{back}"),
        Sign::MinusBehind => format!("{blanks}{front}{number}{back}{or_blank}"),
        Sign::Brackets if negative => format!("{blanks}<{front}{number}{back}>"),
        Sign::Brackets if template.unfilled => format!("{minus}{front}{number}{back}"),
        Sign::Brackets => format!("{blanks} {front}{number}{back} "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::calendar::parse_timestamp;

    /// The results are those of PostgreSQL 15.
    #[test]
    fn times() {
        let time = parse_timestamp("2024-03-05 14:07:09.0423").expect("a timestamp");
        let cases = [
            ("YYYY-MM-DD HH24:MI:SS", "2024-03-05 14:07:09"),
            ("Day, DD Month YYYY", "Tuesday  , 05 March     2024"),
            ("FMDay, FMDD FMMonth YYYY", "Tuesday, 5 March 2024"),
            ("Dy Mon MON mon DY", "Tue Mar MAR mar TUE"),
            ("HH12:MI AM hh p.m.", "02:07 PM 02 p.m."),
            ("IYYY-IW-ID DDD Q WW W D J", "2024-10-2 065 1 10 1 3 2460375"),
            ("MS US FF3 FF1", "042 042300 042 0"),
            ("\"Year\" YYYY \"Q\"Q", "Year 2024 Q1"),
            ("YY Y,YYY CC SSSS", "24 2,024 21 50829"),
            ("yyyy/mm/dd", "2024/03/05"),
        ];
        for (template, expected) in cases {
            assert_eq!(time_text(time, template).as_deref(), Some(expected), "{template}");
        }
    }

    #[test]
    fn times_back() {
        let at = |text| parse_timestamp(text);
        assert_eq!(read_time("05 Dec 2000", "DD Mon YYYY"), at("2000-12-05"));
        assert_eq!(read_time("2024-03-05 02:07 PM", "YYYY-MM-DD HH12:MI AM"), at("2024-03-05 14:07"));
        assert_eq!(read_time("20240305", "YYYYMMDD"), at("2024-03-05"));
        assert_eq!(read_time("3/5/24", "FMMM/FMDD/YY"), at("2024-03-05"));
        assert_eq!(read_time("2024 065", "YYYY DDD"), at("2024-03-05"));
        assert_eq!(read_time("2024 12:30:15.5", "YYYY HH24:MI:SS.MS"), at("2024-01-01 12:30:15.5"));
        assert_eq!(read_time("2024-02-30", "YYYY-MM-DD"), None);
        assert_eq!(read_time("x", "YYYY"), None);
    }

    /// The results are those of PostgreSQL 15.
    #[test]
    fn numbers() {
        let cases = [
            ("1234.5", "9999.99", " 1234.50"),
            ("-1234.5", "9,999.99", "-1,234.50"),
            ("1234567.891", "FM9,999,999.00", "1,234,567.89"),
            ("0.5", "FM999.99", ".5"),
            ("0.5", "990.00", "   0.50"),
            ("12", "0000", " 0012"),
            ("12345", "999", " ###"),
            ("-5", "S99", " -5"),
            ("5", "99S", " 5+"),
            ("-5", "99MI", " 5-"),
            ("5", "99MI", " 5 "),
            ("-5", "99PR", " <5>"),
            ("5", "99PR", "  5 "),
            ("12.3", "$99.99", "$ 12.30"),
            ("0", "99", "  0"),
            ("0", "FM99.99", "0."),
            ("5", "FM999", "5"),
        ];
        for (value, template, expected) in cases {
            let value: Decimal = value.parse().expect("a decimal");
            assert_eq!(number_text(value, template).as_deref(), Some(expected), "{value} by {template}");
        }
    }
}
