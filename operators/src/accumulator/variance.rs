//! Variances and standard deviations, exact up to the last rounding.
//!
//! Kept are how many values there are, their sum and the sum of their squares, both exact: the variance is
//! `(n * squares - sum^2) / (n * (n - 1))`, and what is lost to cancellation elsewhere is not lost here.
//!
//! ```text
//! decimals:  the state of a sum, then 8 words: the sum of squares in units of 10^-56, two's complement
//! floats:    the state of a sum, then another one, of the squares; each square is exact as the sum of two floats
//! ```
//!
//! A square of decimals has at most 380 bits; with 63 for weights, 63 for how many there are, and a sign it fits 512.
//! The result of decimals has as many digits as PostgreSQL gives it.

use rust_decimal::Decimal;

use super::big::{add_magnitude, divide, low, multiply, read_magnitude};
use super::{decimal_sum, float_sum, inline};
use crate::value::Datum;

const SQUARES_WORDS: usize = 8;
const _: () = assert!(SQUARES_WORDS * 64 > 380 + 63 + 63);

pub(super) const DECIMAL_BYTES: usize = decimal_sum::BYTES + SQUARES_WORDS * 8;
pub(super) const FLOAT_BYTES: usize = 2 * float_sum::BYTES;

/// Which of the functions: of a sample or of all there is, and whether its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) sample: bool,
    pub(super) root: bool,
}

impl Form {
    /// What the sum of squared distances times `n` is divided by; none if there are too few values.
    fn divisor(self, count: i64) -> Option<u128> {
        let count = u128::try_from(count).ok().filter(|count| *count > 0)?;
        let other = if self.sample { count - 1 } else { count };
        (other > 0).then(|| count * other)
    }
}

#[inline]
pub(super) fn add_decimal(state: &mut [u8], value: Decimal, weight: i64) {
    let (sum, squares) = state.split_at_mut(decimal_sum::BYTES);
    decimal_sum::add(sum, value, weight);
    let (units, _) = decimal_sum::units(value);
    let mut product = [0u64; 7];
    product[..6].copy_from_slice(&square(units));
    let beyond = multiply(&mut product, weight.unsigned_abs());
    assert_eq!(beyond, 0, "380 bits times 64 fit seven words");
    add_magnitude(squares, 0, &product, weight < 0);
}

fn square(words: [u64; 3]) -> [u64; 6] {
    let mut result = [0u64; 6];
    for (shift, factor) in words.into_iter().enumerate() {
        let mut carry = 0u128;
        for (at, word) in words.into_iter().enumerate() {
            let sum = u128::from(word) * u128::from(factor) + u128::from(result[shift + at]) + carry;
            result[shift + at] = low(sum);
            carry = sum >> 64;
        }
        result[shift + 3] = low(carry);
    }
    result
}

pub(super) fn decimal_result(state: &[u8], form: Form) -> Datum<'static> {
    decimal_variance(state, form).map_or(Datum::Null, Datum::Numeric)
}

fn decimal_variance(state: &[u8], form: Form) -> Option<Decimal> {
    /// Words of `n * squares`, and of the square of the sum.
    const WORDS: usize = 10;
    let count = inline::count(state);
    let divisor = form.divisor(count)?;
    let (sum, squares) = state.split_at(decimal_sum::BYTES);
    let mut distance = [0u64; WORDS];
    if read_magnitude(squares, &mut distance[..SQUARES_WORDS]) {
        return None;
    }
    multiply(&mut distance, count.unsigned_abs());
    let mut words = [0u64; 5];
    read_magnitude(&sum[8..], &mut words);
    let mut bytes: Vec<u8> = distance.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (at, factor) in words.into_iter().enumerate() {
        let mut product = [words[0], words[1], words[2], words[3], words[4], 0];
        multiply(&mut product, factor);
        add_magnitude(&mut bytes, at, &product, true);
    }
    // Below zero only while retractions are ahead of what they retract.
    if read_magnitude(&bytes, &mut distance) {
        return None;
    }
    quotient(digits(distance), divisor, form.root)
}

/// Digits behind the point of the squares.
const SQUARES_SCALE: usize = 56;

/// The decimal digits of a number.
fn digits(mut words: [u64; 10]) -> Vec<u8> {
    let mut all = Vec::new();
    while words.iter().any(|word| *word != 0) {
        all.push(divide(&mut words, 10) as u8);
    }
    // At least one in front of the point.
    all.resize(all.len().max(SQUARES_SCALE + 1), 0);
    all.reverse();
    all
}

/// Digits over a divisor, or the root of that, with as many digits as PostgreSQL gives it.
fn quotient(digits: Vec<u8>, divisor: u128, root: bool) -> Option<Decimal> {
    let scale = scale(&digits, divisor);
    let point = digits.len() - SQUARES_SCALE;
    let (mut value, mut remainder) = (0u128, 0u128);
    for digit in digits[..point + scale.min(SQUARES_SCALE)].iter() {
        remainder = remainder.checked_mul(10)?.checked_add(u128::from(*digit))?;
        value = value.checked_mul(10)?.checked_add(remainder / divisor)?;
        remainder %= divisor;
    }
    let rounded = value.checked_add(u128::from(remainder.checked_mul(2)? >= divisor))?;
    let result = if root { square_root(rounded, scale)? } else { rounded };
    let scale = u32::try_from(scale).ok()?;
    Decimal::try_from_i128_with_scale(i128::try_from(result).ok()?, scale).ok().map(|value| value.normalize())
}

/// Digits behind the point: at least 16 that say something, by the first digits to the base 10,000 of both.
fn scale(digits: &[u8], divisor: u128) -> usize {
    const SIGNIFICANT_MIN: i64 = 16;
    /// Digits of a decimal, with some room for those before the point.
    const SCALE_MAX: i64 = 28;
    let divisor: Vec<u8> = divisor.to_string().bytes().map(|digit| digit - b'0').collect();
    let (weight, first) = leading(digits, digits.len() - SQUARES_SCALE);
    let (divisor_weight, divisor_first) = leading(&divisor, divisor.len());
    let quotient = weight - divisor_weight - i64::from(first <= divisor_first);
    let wanted = (SIGNIFICANT_MIN - quotient * 4).clamp(0, SCALE_MAX);
    usize::try_from(wanted).expect("not negative")
}

/// The place of the first digit to the base 10,000, 0 being right before the point, and that digit.
fn leading(digits: &[u8], point: usize) -> (i64, u32) {
    let Some(first) = digits.iter().position(|digit| *digit != 0) else { return (0, 0) };
    let before = i64::try_from(point).expect("few digits") - i64::try_from(first).expect("few digits");
    let weight = (before - 1).div_euclid(4);
    let end =
        usize::try_from(i64::try_from(point).expect("few digits") - weight * 4).expect("behind the first");
    let group =
        (first..end).fold(0, |group, at| group * 10 + u32::from(digits.get(at).copied().unwrap_or(0)));
    (weight, group)
}

/// The root of a number of `scale` digits behind the point, with as many itself, rounded.
fn square_root(value: u128, scale: usize) -> Option<u128> {
    let mut digits: Vec<u8> = value.to_string().bytes().map(|digit| digit - b'0').collect();
    // With twice as many digits behind the point the root has as many as asked for; two more round it.
    digits.extend(std::iter::repeat_n(0, scale + 2));
    if !digits.len().is_multiple_of(2) {
        digits.insert(0, 0);
    }
    let (mut root, mut rest) = (0u128, 0u128);
    for pair in digits.chunks_exact(2) {
        rest = rest.checked_mul(100)?.checked_add(u128::from(pair[0] * 10 + pair[1]))?;
        let twenty = root.checked_mul(20)?;
        let digit = (0..10).rev().find(|digit| (twenty + digit) * digit <= rest).expect("0 always fits");
        rest -= (twenty + digit) * digit;
        root = root.checked_mul(10)?.checked_add(digit)?;
    }
    Some((root + 5) / 10)
}

#[inline]
pub(super) fn add_float(state: &mut [u8], value: f64, weight: i64) {
    let (sum, squares) = state.split_at_mut(float_sum::BYTES);
    float_sum::add(sum, value, weight);
    let square = value * value;
    float_sum::add(squares, square, weight);
    if square.is_finite() {
        float_sum::add(squares, value.mul_add(value, -square), weight);
    }
}

pub(super) fn float_result(state: &[u8], form: Form) -> Datum<'static> {
    float_variance(state, form).map_or(Datum::Null, Datum::Float)
}

fn float_variance(state: &[u8], form: Form) -> Option<f64> {
    let count = inline::count(state);
    form.divisor(count)?;
    let (sum, squares) = state.split_at(float_sum::BYTES);
    let (sum, squares) = (two_parts(sum), two_parts(squares));
    if !sum.0.is_finite() || sum.0.is_nan() {
        return Some(f64::NAN);
    }
    if !squares.0.is_finite() {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    let count = count as f64;
    let all = times(squares, (count, 0.0));
    let of_mean = times(sum, sum);
    let distance = (all.0 - of_mean.0) + (all.1 - of_mean.1);
    let divisor = if form.sample { count - 1.0 } else { count };
    let variance = (distance / count / divisor).max(0.0);
    Some(if form.root { variance.sqrt() } else { variance })
}

/// An exact sum as a float and what that leaves over.
fn two_parts(state: &[u8]) -> (f64, f64) {
    let float = |state: &[u8]| match float_sum::sum(state) {
        Datum::Float(value) => value,
        _ => 0.0,
    };
    let first = float(state);
    if !first.is_finite() {
        return (first, 0.0);
    }
    let mut rest = state.to_vec();
    float_sum::add(&mut rest, first, -1);
    // Of nothing there is no sum, but here the count says nothing.
    inline::add_count(&mut rest, 2);
    (first, float(&rest))
}

/// The product of two numbers of two parts each.
fn times(left: (f64, f64), right: (f64, f64)) -> (f64, f64) {
    let product = left.0 * right.0;
    let rest = left.0.mul_add(right.0, -product) + left.0 * right.1 + left.1 * right.0;
    let sum = product + rest;
    (sum, rest - (sum - product))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimals(values: &[&str], form: Form) -> String {
        let mut state = vec![0; DECIMAL_BYTES];
        values.iter().for_each(|value| add_decimal(&mut state, value.parse().expect("a decimal"), 1));
        let result = decimal_result(&state, form).to_string();
        values.iter().for_each(|value| add_decimal(&mut state, value.parse().expect("a decimal"), -1));
        assert!(state.iter().all(|byte| *byte == 0), "all was taken away again");
        result
    }

    /// The results are those of PostgreSQL 15.
    #[test]
    fn of_decimals() {
        let form = |sample, root| Form { sample, root };
        assert_eq!(decimals(&["1", "2", "4"], form(true, true)), "1.5275252316519467");
        assert_eq!(decimals(&["1", "2", "4"], form(true, false)), "2.3333333333333333");
        assert_eq!(decimals(&["1", "2", "4"], form(false, false)), "1.5555555555555556");
        assert_eq!(decimals(&["1", "2", "4"], form(false, true)), "1.2472191289246471");
        assert_eq!(decimals(&["10.5", "-3.25", "100"], form(true, true)), "56.0652521621012599");
        assert_eq!(decimals(&["5"], form(false, true)), "0");
        assert_eq!(decimals(&["5"], form(true, true)), "NULL");
        assert_eq!(decimals(&["0.001", "0.002"], form(true, true)), "0.000707106781186547524401");
        assert_eq!(
            decimals(&["1000000000", "2000000000", "2500000001"], form(true, false)),
            "583333334000000000"
        );
    }

    #[test]
    fn of_floats() {
        let mut state = vec![0; FLOAT_BYTES];
        let form = Form { sample: true, root: false };
        // Far from zero, where the distances are lost to rounding unless the sums are exact.
        let values = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0];
        values.iter().for_each(|value| add_float(&mut state, *value, 1));
        assert_eq!(float_result(&state, form), Datum::Float(30.0));
        values.iter().for_each(|value| add_float(&mut state, *value, -1));
        assert!(state.iter().all(|byte| *byte == 0));
        assert_eq!(float_result(&state, form), Datum::Null);
    }
}
