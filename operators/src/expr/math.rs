//! Functions of numbers beside the everyday ones of `function.rs`. On floats they are those of the C library's names; a
//! result out of range is none.

use rust_decimal::{Decimal, RoundingStrategy};

use super::function::{FLOAT, Function, INT, NUMERIC, Parameter, Signature, signature};
use crate::value::{Datum, Type, canonical_float};

/// A function of numbers whose result is NULL when any argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MathFunction {
    Ln,
    Log10,
    Exp,
    Cbrt,
    Sin,
    Cos,
    Tan,
    Cot,
    Asin,
    Acos,
    Atan,
    Atan2,
    Sinh,
    Cosh,
    Tanh,
    Degrees,
    Radians,
    /// Cuts off digits behind a place.
    TruncDigits,
    /// The whole part of a quotient.
    Quotient,
    Gcd,
    Lcm,
    BitAnd,
    BitOr,
    BitXor,
    BitNot,
    ShiftLeft,
    ShiftRight,
    WidthBucket,
    Scale,
}

pub(super) const SIGNATURES: &[Signature] = {
    use MathFunction as M;
    use Type::{Float, Int, Numeric};
    const fn of(name: &'static str, function: M, takes: &'static [Parameter], gives: Type) -> Signature {
        signature(name, Function::Math(function), takes, 0, Some(gives))
    }
    &[
        of("ln", M::Ln, &[FLOAT], Float),
        of("log10", M::Log10, &[FLOAT], Float),
        of("exp", M::Exp, &[FLOAT], Float),
        of("cbrt", M::Cbrt, &[FLOAT], Float),
        of("sin", M::Sin, &[FLOAT], Float),
        of("cos", M::Cos, &[FLOAT], Float),
        of("tan", M::Tan, &[FLOAT], Float),
        of("cot", M::Cot, &[FLOAT], Float),
        of("asin", M::Asin, &[FLOAT], Float),
        of("acos", M::Acos, &[FLOAT], Float),
        of("atan", M::Atan, &[FLOAT], Float),
        of("atan2", M::Atan2, &[FLOAT, FLOAT], Float),
        of("sinh", M::Sinh, &[FLOAT], Float),
        of("cosh", M::Cosh, &[FLOAT], Float),
        of("tanh", M::Tanh, &[FLOAT], Float),
        of("degrees", M::Degrees, &[FLOAT], Float),
        of("radians", M::Radians, &[FLOAT], Float),
        of("trunc_digits", M::TruncDigits, &[NUMERIC, INT], Numeric),
        of("div", M::Quotient, &[NUMERIC, NUMERIC], Numeric),
        of("gcd", M::Gcd, &[INT, INT], Int),
        of("lcm", M::Lcm, &[INT, INT], Int),
        of("bit_and", M::BitAnd, &[INT, INT], Int),
        of("bit_or", M::BitOr, &[INT, INT], Int),
        of("bit_xor", M::BitXor, &[INT, INT], Int),
        of("bit_not", M::BitNot, &[INT], Int),
        of("shift_left", M::ShiftLeft, &[INT, INT], Int),
        of("shift_right", M::ShiftRight, &[INT, INT], Int),
        of("width_bucket", M::WidthBucket, &[FLOAT, FLOAT, FLOAT, INT], Int),
        of("scale", M::Scale, &[NUMERIC], Int),
    ]
};

impl MathFunction {
    /// Computes the function of arguments that are not NULL.
    pub(super) fn call<'a>(self, arguments: &[Datum<'_>]) -> Option<Datum<'a>> {
        use Datum::{Float, Int, Numeric};
        match arguments {
            [Float(value)] => self.of_float(*value).map(Float),
            [Float(y), Float(x)] => Some(Float(canonical_float(y.atan2(*x)))),
            [Float(value), Float(low), Float(high), Int(count)] => {
                width_bucket(*value, *low, *high, *count).map(Int)
            }
            [Int(value)] => Some(Int(!value)),
            [Int(left), Int(right)] => self.of_ints(*left, *right).map(Int),
            [Numeric(value), Int(digits)] => Some(Numeric(trunc_digits(*value, *digits))),
            [Numeric(left), Numeric(right)] => {
                left.checked_div(*right).map(|value| Numeric(value.trunc().normalize()))
            }
            [Numeric(value)] => Some(Int(value.normalize().scale().into())),
            _ => unreachable!("{self:?} does not take {arguments:?}"),
        }
    }

    fn of_float(self, value: f64) -> Option<f64> {
        let result = match self {
            Self::Ln if value <= 0.0 => return None,
            Self::Log10 if value <= 0.0 => return None,
            Self::Asin | Self::Acos if value.abs() > 1.0 => return None,
            Self::Ln => value.ln(),
            Self::Log10 => value.log10(),
            Self::Exp => value.exp(),
            Self::Cbrt => value.cbrt(),
            Self::Sin => value.sin(),
            Self::Cos => value.cos(),
            Self::Tan => value.tan(),
            Self::Cot => 1.0 / value.tan(),
            Self::Asin => value.asin(),
            Self::Acos => value.acos(),
            Self::Atan => value.atan(),
            Self::Sinh => value.sinh(),
            Self::Cosh => value.cosh(),
            Self::Tanh => value.tanh(),
            Self::Degrees => value.to_degrees(),
            Self::Radians => value.to_radians(),
            other => unreachable!("{other:?} does not take one float"),
        };
        (result.is_finite() || !value.is_finite()).then(|| canonical_float(result))
    }

    fn of_ints(self, left: i64, right: i64) -> Option<i64> {
        // As the processors that PostgreSQL runs on do it.
        let amount = u32::try_from(right.rem_euclid(64)).expect("below 64");
        match self {
            Self::Gcd => i64::try_from(gcd(left.unsigned_abs(), right.unsigned_abs())).ok(),
            Self::Lcm if left == 0 || right == 0 => Some(0),
            Self::Lcm => {
                let (left, right) = (left.unsigned_abs(), right.unsigned_abs());
                i64::try_from((left / gcd(left, right)).checked_mul(right)?).ok()
            }
            Self::BitAnd => Some(left & right),
            Self::BitOr => Some(left | right),
            Self::BitXor => Some(left ^ right),
            Self::ShiftLeft => Some(left << amount),
            Self::ShiftRight => Some(left >> amount),
            other => unreachable!("{other:?} does not take two integers"),
        }
    }
}

fn gcd(mut left: u64, mut right: u64) -> u64 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

fn trunc_digits(value: Decimal, digits: i64) -> Decimal {
    if digits >= 0 {
        let places = u32::try_from(digits.min(28)).expect("at most 28");
        return value.round_dp_with_strategy(places, RoundingStrategy::ToZero).normalize();
    }
    // A decimal has at most 29 digits before the point.
    let step = 10i128.pow(u32::try_from(digits.max(-29).unsigned_abs()).expect("at most 29"));
    let whole = value.trunc();
    let whole = whole.mantissa() / 10i128.pow(whole.scale());
    Decimal::from_i128_with_scale(whole / step * step, 0).normalize()
}

/// The number of the bucket among `count` of equal width, 0 below and one more above.
fn width_bucket(value: f64, low: f64, high: f64, count: i64) -> Option<i64> {
    if count <= 0 || value.is_nan() || !low.is_finite() || !high.is_finite() || low == high {
        return None;
    }
    let (distance, width) = if low < high { (value - low, high - low) } else { (low - value, low - high) };
    if distance < 0.0 {
        return Some(0);
    }
    if distance >= width {
        return count.checked_add(1);
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "below the count")]
    let bucket = (distance / width * count as f64) as i64;
    Some(bucket + 1)
}
