//! The functions by name: which arguments they take, what they give, and the dispatch to what computes them.

use bumpalo::Bump;
use rust_decimal::{Decimal, RoundingStrategy};

use super::bound::{NoValue, Scratch};
use super::date::{self, Field, Unit};
use super::math::{self, MathFunction};
use super::member::{self, JsonFunction};
use super::span::{self, SpanFunction};
use super::string::{self, StringFunction};
use super::template::{self, TemplateFunction};
use super::{number, text};
use crate::value::{Datum, Type};

/// No function takes more arguments (`make_interval` takes as many).
pub(super) const ARGUMENTS_MAX: usize = 7;

/// A function whose result is NULL when any argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Lower,
    Upper,
    Length,
    OctetLength,
    Substr,
    Trim,
    TrimFront,
    TrimBack,
    Replace,
    Append,
    Left,
    Right,
    PadFront,
    PadBack,
    Reverse,
    /// The text, then what is looked for.
    Find,
    /// What is looked for, then the text.
    Position,
    StartsWith,
    Abs,
    Round,
    Floor,
    Ceil,
    Trunc,
    Sign,
    Power,
    Sqrt,
    /// The integer itself, if it lies in this range.
    InRange(i64, i64),
    /// Whether a number of rows is at most one; no value if it is not.
    AtMostOne,
    Float4,
    Extract(Field),
    DateTrunc(Unit),
    MakeDate,
    MakeTimestamp,
    ToTimestamp,
    AddSeconds,
    String(StringFunction),
    Json(JsonFunction),
    Span(SpanFunction),
    Math(MathFunction),
    Template(TemplateFunction),
}

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    /// This type, or one that is promoted to it.
    Is(Type),
    /// Int, Float or Numeric.
    Number,
}

/// One way to call a function.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) function: Function,
    pub(super) parameters: &'static [Parameter],
    /// How many of the parameters, from the end, may be left out.
    pub(super) optional: usize,
    /// The type of the result; that of the first argument when none.
    pub(super) result: Option<Type>,
}

pub(super) const TEXT: Parameter = Parameter::Is(Type::Text);
pub(super) const INT: Parameter = Parameter::Is(Type::Int);
pub(super) const FLOAT: Parameter = Parameter::Is(Type::Float);
pub(super) const NUMERIC: Parameter = Parameter::Is(Type::Numeric);
pub(super) const BYTES: Parameter = Parameter::Is(Type::Bytes);
pub(super) const TIMESTAMP: Parameter = Parameter::Is(Type::Timestamp);
const NUMBER: Parameter = Parameter::Number;

pub(super) const fn signature(
    name: &'static str,
    function: Function,
    parameters: &'static [Parameter],
    optional: usize,
    result: Option<Type>,
) -> Signature {
    assert!(parameters.len() <= ARGUMENTS_MAX);
    Signature { name, function, parameters, optional, result }
}

/// All functions but those that look at their arguments' form (`extract`, `date_trunc`) or skip NULLs.
pub(super) fn signatures() -> impl Iterator<Item = &'static Signature> {
    let rarer =
        [string::SIGNATURES, member::SIGNATURES, span::SIGNATURES, math::SIGNATURES, template::SIGNATURES];
    SIGNATURES.iter().chain(rarer.into_iter().flatten())
}

const SIGNATURES: &[Signature] = {
    use Function as F;
    use Type::{Bool, Date, Float, Int, Text, Timestamp};
    &[
        signature("lower", F::Lower, &[TEXT], 0, Some(Text)),
        signature("upper", F::Upper, &[TEXT], 0, Some(Text)),
        signature("length", F::Length, &[TEXT], 0, Some(Int)),
        signature("length", F::OctetLength, &[BYTES], 0, Some(Int)),
        signature("char_length", F::Length, &[TEXT], 0, Some(Int)),
        signature("octet_length", F::OctetLength, &[TEXT], 0, Some(Int)),
        signature("octet_length", F::OctetLength, &[BYTES], 0, Some(Int)),
        signature("substr", F::Substr, &[TEXT, INT, INT], 1, Some(Text)),
        signature("substring", F::Substr, &[TEXT, INT, INT], 1, Some(Text)),
        signature("trim", F::Trim, &[TEXT, TEXT], 1, Some(Text)),
        signature("btrim", F::Trim, &[TEXT, TEXT], 1, Some(Text)),
        signature("ltrim", F::TrimFront, &[TEXT, TEXT], 1, Some(Text)),
        signature("rtrim", F::TrimBack, &[TEXT, TEXT], 1, Some(Text)),
        signature("replace", F::Replace, &[TEXT, TEXT, TEXT], 0, Some(Text)),
        signature("left", F::Left, &[TEXT, INT], 0, Some(Text)),
        signature("right", F::Right, &[TEXT, INT], 0, Some(Text)),
        signature("lpad", F::PadFront, &[TEXT, INT, TEXT], 1, Some(Text)),
        signature("rpad", F::PadBack, &[TEXT, INT, TEXT], 1, Some(Text)),
        signature("reverse", F::Reverse, &[TEXT], 0, Some(Text)),
        signature("strpos", F::Find, &[TEXT, TEXT], 0, Some(Int)),
        signature("instr", F::Find, &[TEXT, TEXT], 0, Some(Int)),
        signature("position", F::Position, &[TEXT, TEXT], 0, Some(Int)),
        signature("starts_with", F::StartsWith, &[TEXT, TEXT], 0, Some(Bool)),
        signature("abs", F::Abs, &[NUMBER], 0, None),
        signature("round", F::Round, &[NUMBER, INT], 1, None),
        signature("floor", F::Floor, &[NUMBER], 0, None),
        signature("ceil", F::Ceil, &[NUMBER], 0, None),
        signature("ceiling", F::Ceil, &[NUMBER], 0, None),
        signature("trunc", F::Trunc, &[NUMBER], 0, None),
        signature("sign", F::Sign, &[NUMBER], 0, None),
        signature("power", F::Power, &[FLOAT, FLOAT], 0, Some(Float)),
        signature("pow", F::Power, &[FLOAT, FLOAT], 0, Some(Float)),
        signature("sqrt", F::Sqrt, &[FLOAT], 0, Some(Float)),
        signature("int2", F::InRange(i16::MIN as i64, i16::MAX as i64), &[INT], 0, Some(Int)),
        signature("int4", F::InRange(i32::MIN as i64, i32::MAX as i64), &[INT], 0, Some(Int)),
        signature("at_most_one", F::AtMostOne, &[INT], 0, Some(Bool)),
        signature("float4", F::Float4, &[FLOAT], 0, Some(Float)),
        signature("make_date", F::MakeDate, &[INT, INT, INT], 0, Some(Date)),
        signature("make_timestamp", F::MakeTimestamp, &[INT, INT, INT, INT, INT, FLOAT], 0, Some(Timestamp)),
        signature("to_timestamp", F::ToTimestamp, &[FLOAT], 0, Some(Timestamp)),
        signature("add_seconds", F::AddSeconds, &[TIMESTAMP, FLOAT], 0, Some(Timestamp)),
    ]
};

impl Function {
    /// Whether there is a result for all arguments that are not NULL.
    pub(super) fn is_total(self) -> bool {
        matches!(
            self,
            Function::Length
                | Function::OctetLength
                | Function::Trim
                | Function::TrimFront
                | Function::TrimBack
                | Function::Left
                | Function::Right
                | Function::Find
                | Function::Position
                | Function::StartsWith
                | Function::Floor
                | Function::Ceil
                | Function::Trunc
                | Function::Sign
        )
    }

    /// Why there is no result, if there is none.
    pub(super) fn no_value(self) -> NoValue {
        match self {
            Function::Sqrt => NoValue::Root,
            Function::Substr => NoValue::Substring,
            Function::MakeDate => NoValue::Argument,
            Function::AtMostOne => NoValue::SeveralRows,
            _ => NoValue::OutOfRange,
        }
    }

    /// Computes the function of arguments that are not NULL.
    pub(super) fn call<'a>(self, arguments: &[Datum<'a>], scratch: &'a Scratch) -> Option<Datum<'a>> {
        let texts = scratch.texts();
        match self {
            Function::String(function) => return function.call(arguments, scratch),
            Function::Json(function) => return function.call(arguments, scratch),
            Function::Span(function) => return function.call(arguments, scratch),
            Function::Math(function) => return function.call(arguments),
            Function::Template(function) => return function.call(arguments, scratch),
            _ => {}
        }
        match arguments {
            [Datum::Text(text), rest @ ..] => self.of_text(text, rest, texts),
            [Datum::Bytes(bytes)] => Some(Datum::Int(i64::try_from(bytes.len()).ok()?)),
            [Datum::Timestamp(time), rest @ ..] => self.of_timestamp(*time, rest),
            [Datum::Date(days)] => match self {
                Function::Extract(field) => date::extract_date(field, *days).map(Datum::Int),
                _ => unreachable!("{self:?} takes no date"),
            },
            [Datum::Int(first), rest @ ..] => self.of_int(*first, rest),
            [Datum::Float(first), rest @ ..] => self.of_float(*first, rest),
            [Datum::Numeric(first), rest @ ..] => self.of_numeric(*first, rest),
            _ => unreachable!("{self:?} does not take {arguments:?}"),
        }
    }

    fn of_text<'a>(self, first: &'a str, rest: &[Datum<'a>], texts: &'a Bump) -> Option<Datum<'a>> {
        let trim = |front, back| match rest {
            [Datum::Text(unwanted)] => text::trim(first, unwanted, front, back),
            _ => text::trim(first, " ", front, back),
        };
        let pad = |before| match rest {
            [Datum::Int(count)] => text::pad(first, *count, " ", before, texts),
            [Datum::Int(count), Datum::Text(fill)] => text::pad(first, *count, fill, before, texts),
            _ => unreachable!("{self:?} does not take {rest:?}"),
        };
        let result = match (self, rest) {
            (Function::Lower, []) => text::lower(first, texts)?,
            (Function::Upper, []) => text::upper(first, texts)?,
            (Function::Reverse, []) => text::reverse(first, texts),
            (Function::Substr, [Datum::Int(from)]) => text::substr(first, *from, None)?,
            (Function::Substr, [Datum::Int(from), Datum::Int(count)]) => {
                text::substr(first, *from, Some(*count))?
            }
            (Function::Trim, _) => trim(true, true),
            (Function::TrimFront, _) => trim(true, false),
            (Function::TrimBack, _) => trim(false, true),
            (Function::PadFront, _) => pad(true)?,
            (Function::PadBack, _) => pad(false)?,
            (Function::Left, [Datum::Int(count)]) => text::left(first, *count),
            (Function::Right, [Datum::Int(count)]) => text::right(first, *count),
            (Function::Append, [Datum::Text(second)]) => text::concat([first, *second].into_iter(), texts)?,
            (Function::Replace, [Datum::Text(from), Datum::Text(to)]) => {
                text::replace(first, from, to, texts)?
            }
            _ => return Some(self.about_text(first, rest)),
        };
        Some(Datum::Text(result))
    }

    fn about_text<'a>(self, first: &str, rest: &[Datum<'_>]) -> Datum<'a> {
        match (self, rest) {
            (Function::Length, []) => Datum::Int(text::length(first)),
            (Function::OctetLength, []) => Datum::Int(i64::try_from(first.len()).expect("texts are short")),
            (Function::Find, [Datum::Text(needle)]) => Datum::Int(text::position(first, needle)),
            (Function::Position, [Datum::Text(second)]) => Datum::Int(text::position(second, first)),
            (Function::StartsWith, [Datum::Text(start)]) => Datum::Bool(first.starts_with(start)),
            _ => unreachable!("{self:?} does not take text and {rest:?}"),
        }
    }

    fn of_timestamp<'a>(self, time: i64, rest: &[Datum<'_>]) -> Option<Datum<'a>> {
        match (self, rest) {
            (Function::Extract(field), []) if field.is_float() => {
                date::extract_float(field, time).map(Datum::Float)
            }
            (Function::Extract(field), []) => date::extract_int(field, time).map(Datum::Int),
            (Function::DateTrunc(unit), []) => date::truncate(unit, time).map(Datum::Timestamp),
            (Function::AddSeconds, [Datum::Float(seconds)]) => {
                time.checked_add(micros(*seconds)?).map(Datum::Timestamp)
            }
            _ => unreachable!("{self:?} does not take a timestamp and {rest:?}"),
        }
    }

    fn of_int<'a>(self, first: i64, rest: &[Datum<'_>]) -> Option<Datum<'a>> {
        match (self, rest) {
            (Function::Abs, []) => first.checked_abs().map(Datum::Int),
            (Function::Sign, []) => Some(Datum::Int(first.signum())),
            (Function::Floor | Function::Ceil | Function::Trunc | Function::Round, []) => {
                Some(Datum::Int(first))
            }
            (Function::Round, [Datum::Int(digits)]) if *digits >= 0 => Some(Datum::Int(first)),
            (Function::Round, [Datum::Int(digits)]) => {
                number::numeric_to_int(number::numeric_round(Decimal::from(first), *digits)?).map(Datum::Int)
            }
            (Function::InRange(least, greatest), []) => {
                (least..=greatest).contains(&first).then_some(Datum::Int(first))
            }
            (Function::AtMostOne, []) => (first <= 1).then_some(Datum::Bool(true)),
            (Function::MakeDate, [Datum::Int(month), Datum::Int(day)]) => {
                date::date_from_civil(first, *month, *day).map(Datum::Date)
            }
            (
                Function::MakeTimestamp,
                [
                    Datum::Int(month),
                    Datum::Int(day),
                    Datum::Int(hour),
                    Datum::Int(minute),
                    Datum::Float(second),
                ],
            ) => {
                let days = date::date_from_civil(first, *month, *day)?;
                date::timestamp_from_civil(days, *hour, *minute, micros(*second)?).map(Datum::Timestamp)
            }
            _ => unreachable!("{self:?} does not take an integer and {rest:?}"),
        }
    }

    fn of_float<'a>(self, first: f64, rest: &[Datum<'_>]) -> Option<Datum<'a>> {
        let result = match (self, rest) {
            (Function::Abs, []) => first.abs(),
            (Function::Sign, []) => number::float_sign(first),
            (Function::Floor, []) => first.floor(),
            (Function::Ceil, []) => first.ceil(),
            (Function::Trunc, []) => first.trunc(),
            (Function::Round, []) => first.round_ties_even(),
            (Function::Round, [Datum::Int(digits)]) => number::float_round(first, *digits),
            (Function::Power, [Datum::Float(exponent)]) => number::float_power(first, *exponent)?,
            (Function::Sqrt, []) => number::float_sqrt(first)?,
            #[expect(clippy::cast_possible_truncation, reason = "that is what is asked for")]
            (Function::Float4, []) => f64::from(first as f32),
            (Function::ToTimestamp, []) => return micros(first).map(Datum::Timestamp),
            _ => unreachable!("{self:?} does not take a float and {rest:?}"),
        };
        // Rounding can lift the greatest floats out of range; an infinite operand stays what it is.
        let in_range = result.is_finite() || !first.is_finite() || self == Function::Power;
        in_range.then(|| Datum::Float(crate::value::canonical_float(result)))
    }

    fn of_numeric<'a>(self, first: Decimal, rest: &[Datum<'_>]) -> Option<Datum<'a>> {
        let towards = |strategy| first.round_dp_with_strategy(0, strategy).normalize();
        let result = match (self, rest) {
            (Function::Abs, []) => first.abs(),
            (Function::Sign, []) => Decimal::from(first.mantissa().signum()),
            (Function::Floor, []) => towards(RoundingStrategy::ToNegativeInfinity),
            (Function::Ceil, []) => towards(RoundingStrategy::ToPositiveInfinity),
            (Function::Trunc, []) => towards(RoundingStrategy::ToZero),
            (Function::Round, []) => number::numeric_round(first, 0)?,
            (Function::Round, [Datum::Int(digits)]) => number::numeric_round(first, *digits)?,
            _ => unreachable!("{self:?} does not take a decimal and {rest:?}"),
        };
        Some(Datum::Numeric(result))
    }
}

/// Seconds as whole microseconds.
fn micros(seconds: f64) -> Option<i64> {
    number::float_to_int(seconds * 1e6)
}
