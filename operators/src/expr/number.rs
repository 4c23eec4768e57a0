//! Arithmetic on integers, floats and decimals. `None` is "no value": the caller makes it NULL and counts it.

use std::fmt::Write;

use rust_decimal::{Decimal, RoundingStrategy};

use super::ArithmeticOp;
use crate::value::canonical_float;

/// Text of bounded length on the stack, for number conversions that go by way of decimal digits.
pub(super) struct StackText {
    bytes: [u8; STACK_TEXT_BYTES],
    len: usize,
}

/// The longest text made here: a float below 2^52 in size has at most 16 digits before the point, plus sign and
/// point, plus up to `ROUND_DIGITS_MAX` after it.
const STACK_TEXT_BYTES: usize = 384;
const ROUND_DIGITS_MAX: i64 = 340;

impl StackText {
    pub(super) fn new() -> StackText {
        StackText { bytes: [0; STACK_TEXT_BYTES], len: 0 }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("whole strings were written")
    }
}

impl Write for StackText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A result of finite operands must be finite; infinities and NaN only come from operands that are such.
fn in_range(result: f64, operands_finite: bool) -> Option<f64> {
    (result.is_finite() || !operands_finite).then(|| canonical_float(result))
}

pub(super) fn int_arithmetic(op: ArithmeticOp, left: i64, right: i64) -> Option<i64> {
    match op {
        ArithmeticOp::Add => left.checked_add(right),
        ArithmeticOp::Sub => left.checked_sub(right),
        ArithmeticOp::Mul => left.checked_mul(right),
        ArithmeticOp::Div => left.checked_div(right),
        // i64::MIN % -1 is 0, which checked_rem takes for an overflow.
        ArithmeticOp::Rem if right == 0 => None,
        ArithmeticOp::Rem => Some(left.wrapping_rem(right)),
    }
}

pub(super) fn float_arithmetic(op: ArithmeticOp, left: f64, right: f64) -> Option<f64> {
    let finite = left.is_finite() && right.is_finite();
    match op {
        ArithmeticOp::Add => in_range(left + right, finite),
        ArithmeticOp::Sub => in_range(left - right, finite),
        ArithmeticOp::Mul => in_range(left * right, finite),
        ArithmeticOp::Div | ArithmeticOp::Rem if right == 0.0 => None,
        ArithmeticOp::Div => in_range(left / right, finite),
        ArithmeticOp::Rem => in_range(left % right, finite),
    }
}

pub(super) fn numeric_arithmetic(op: ArithmeticOp, left: Decimal, right: Decimal) -> Option<Decimal> {
    let result = match op {
        ArithmeticOp::Add => left.checked_add(right),
        ArithmeticOp::Sub => left.checked_sub(right),
        ArithmeticOp::Mul => left.checked_mul(right),
        ArithmeticOp::Div => left.checked_div(right).map(|value| {
            value.round_dp_with_strategy(quotient_scale(left, right), RoundingStrategy::MidpointAwayFromZero)
        }),
        ArithmeticOp::Rem => left.checked_rem(right),
    };
    result.map(|value| value.normalize())
}

/// Digits after the point of a quotient, by PostgreSQL's rule: at least 16 significant ones, as far as its digits to the
/// base 10,000 tell, and at least as many as the operands have.
pub(crate) fn quotient_scale(left: Decimal, right: Decimal) -> u32 {
    const SIGNIFICANT_MIN: i64 = 16;
    let ((left_weight, left_first), (right_weight, right_first)) = (leading(left), leading(right));
    let weight = left_weight - right_weight - i64::from(left_first <= right_first);
    let scale = (SIGNIFICANT_MIN - weight * 4).clamp(0, 28);
    u32::try_from(scale).expect("at most 28").max(left.scale()).max(right.scale())
}

/// The place of the first digit to the base 10,000, 0 being right before the point, and that digit.
fn leading(value: Decimal) -> (i64, u128) {
    let behind_point = value.scale().div_ceil(4);
    let missing = behind_point * 4 - value.scale();
    // At most 96 bits and 10 more.
    let mut digits = value.mantissa().unsigned_abs() * 10u128.pow(missing);
    if digits == 0 {
        return (0, 0);
    }
    let mut place = -i64::from(behind_point);
    while digits >= 10_000 {
        digits /= 10_000;
        place += 1;
    }
    (place, digits)
}

pub(super) fn float_power(base: f64, exponent: f64) -> Option<f64> {
    if base == 0.0 && exponent < 0.0 {
        return None;
    }
    let result = base.powf(exponent);
    if result.is_nan() && !base.is_nan() && !exponent.is_nan() {
        return None;
    }
    in_range(result, base.is_finite() && exponent.is_finite())
}

pub(super) fn float_sqrt(value: f64) -> Option<f64> {
    (value.is_nan() || value >= 0.0).then(|| canonical_float(value.sqrt()))
}

pub(super) fn float_sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        canonical_float(value)
    }
}

/// Rounds the *decimal value* of the float half away from zero: 0.125 to two digits is 0.13, and 2.675, which lies
/// a little below its name, is 2.67. Goes by way of exact decimal digits, since `x * 100` would itself round.
pub(super) fn float_round(value: f64, digits: i64) -> f64 {
    // From 2^52 on there are no fractional digits.
    const INTEGRAL: f64 = 4_503_599_627_370_496.0;
    if !value.is_finite() {
        return canonical_float(value);
    }
    if digits < 0 {
        let power = 10f64.powi(i32::try_from(-digits.max(-400)).expect("at most 400"));
        return if power.is_finite() { canonical_float((value / power).round() * power) } else { 0.0 };
    }
    if value.abs() >= INTEGRAL || digits > ROUND_DIGITS_MAX {
        return canonical_float(value);
    }
    if digits == 0 {
        return canonical_float(value.round());
    }
    // Only a value with a short binary fraction lies exactly in the middle, and then the product is exact.
    let power = 10f64.powi(i32::try_from(digits).expect("bounded above"));
    let scaled = value * power;
    if scaled.fract().abs() == 0.5 && value.mul_add(power, -scaled) == 0.0 {
        return canonical_float(scaled.round() / power);
    }
    let mut text = StackText::new();
    write!(text, "{value:.precision$}", precision = usize::try_from(digits).expect("not negative"))
        .expect("at most 16 + 340 digits, which fit");
    canonical_float(text.as_str().parse().expect("digits parse"))
}

/// Rounds to `digits` after the point, or before it when negative.
pub(super) fn numeric_round(value: Decimal, digits: i64) -> Option<Decimal> {
    if digits >= 0 {
        let places = u32::try_from(digits.min(28)).expect("at most 28");
        return Some(
            value.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero).normalize(),
        );
    }
    // 10^29 exceeds every decimal, so half of it rounds everything away.
    if digits < -29 {
        return Some(Decimal::ZERO);
    }
    let tens = u32::try_from(-digits).expect("at most 29");
    let step = 10i128.pow(tens);
    let whole = value.trunc().mantissa() / 10i128.pow(value.trunc().scale());
    // The fraction cannot lift a whole part to the middle that is not there already.
    let rounded = (whole.abs() + step / 2) / step * step * whole.signum();
    Decimal::try_from_i128_with_scale(rounded, 0).ok().map(|value| value.normalize())
}

/// The nearest integer, half to even.
pub(super) fn float_to_int(value: f64) -> Option<i64> {
    // 2^63; every float below it in size fits.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let rounded = value.round_ties_even();
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    (-LIMIT..LIMIT).contains(&rounded).then_some(rounded as i64)
}

/// The nearest integer, half away from zero.
pub(super) fn numeric_to_int(value: Decimal) -> Option<i64> {
    let rounded = value.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).normalize();
    i64::try_from(rounded.mantissa() / 10i128.pow(rounded.scale())).ok()
}

#[expect(clippy::cast_precision_loss, reason = "nearest float, as SQL asks")]
pub(super) fn int_to_float(value: i64) -> f64 {
    value as f64
}

/// The float nearest to the decimal, rounded once.
pub(super) fn numeric_to_float(value: Decimal) -> f64 {
    let mantissa = value.mantissa();
    // Both parts are exact floats, so the division rounds once.
    if mantissa.unsigned_abs() < 1 << 53 && value.scale() <= 22 {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let exact = mantissa as f64;
        return canonical_float(exact / 10f64.powi(i32::try_from(value.scale()).expect("at most 22")));
    }
    let mut text = StackText::new();
    write!(text, "{value}").expect("a decimal has at most 31 characters");
    canonical_float(text.as_str().parse().expect("digits parse"))
}

/// The decimal that the float's shortest text names, rounded to 28 digits after the point.
pub(super) fn float_to_numeric(value: f64) -> Option<Decimal> {
    // Half of the smallest decimal.
    if value.abs() < 5e-29 {
        return Some(Decimal::ZERO);
    }
    if !value.is_finite() {
        return None;
    }
    let mut text = StackText::new();
    write!(text, "{value:e}").expect("a float's shortest digits are few");
    Decimal::from_scientific_lossy(text.as_str()).ok().map(|value| value.normalize())
}
