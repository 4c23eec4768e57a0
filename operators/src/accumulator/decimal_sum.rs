//! Exact sums and means of decimals.
//!
//! Every decimal is a whole multiple of 10^-28 with at most 96 + 94 bits; 63 more for weights, 63 for how many there
//! are, and a sign make 317. A result that has more digits than a decimal can hold is rounded once, half away from
//! zero, to as many digits after the point as fit; one whose whole part does not fit is NULL.
//!
//! ```text
//! i64 weight of the values that are not NULL
//! 5 words: the sum in units of 10^-28, two's complement
//! ```

use rust_decimal::{Decimal, RoundingStrategy};

use super::big::{add_magnitude, divide, low, multiply, read_magnitude};
use super::inline;
use crate::expr::quotient_scale;
use crate::value::Datum;

const SUM_WORDS: usize = 5;

pub(super) const BYTES: usize = 8 + SUM_WORDS * 8;

const _: () = assert!(SUM_WORDS * 64 > 96 + 94 + 63 + 63);

/// Digits after the point of the units.
const SCALE: u32 = 28;

/// The size of a decimal in units of 10^-28, and whether it is negative.
#[inline]
pub(crate) fn units(value: Decimal) -> ([u64; 3], bool) {
    let mantissa = value.mantissa();
    let size = mantissa.unsigned_abs();
    let mut words = [low(size), low(size >> 64), 0];
    // 10^19 is the greatest power of ten in a word.
    let zeros = SCALE - value.scale();
    multiply(&mut words, 10u64.pow(zeros.min(19)));
    multiply(&mut words, 10u64.pow(zeros.saturating_sub(19)));
    (words, mantissa < 0)
}

#[inline]
pub(super) fn add(state: &mut [u8], value: Decimal, weight: i64) {
    inline::add_count(state, weight);
    let (words, negative) = units(value);
    let mut product = [words[0], words[1], words[2], 0];
    let beyond = multiply(&mut product, weight.unsigned_abs());
    assert_eq!(beyond, 0, "190 bits times 64 fit four words");
    add_magnitude(&mut state[8..], 0, &product, negative != (weight < 0));
}

pub(super) fn sum(state: &[u8]) -> Datum<'static> {
    if inline::count(state) <= 0 { Datum::Null } else { rounded(state, 1) }
}

pub(super) fn avg(state: &[u8]) -> Datum<'static> {
    match u64::try_from(inline::count(state)) {
        Err(_) | Ok(0) => Datum::Null,
        Ok(count) => match (rounded(state, 1), rounded(state, count)) {
            // As a quotient of the two has it. A sum that is no decimal has no mean of more digits than fit.
            (Datum::Numeric(sum), Datum::Numeric(mean)) => {
                let scale = quotient_scale(sum, Decimal::from(count));
                let rounded = mean.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero);
                Datum::Numeric(rounded.normalize())
            }
            (_, mean) => mean,
        },
    }
}

/// The sum over the divisor, with as many digits after the point as fit. Works on twice the value, rounded down: its
/// last bit then tells whether the value is at or above the middle, however many divisions have rounded down.
fn rounded(state: &[u8], divisor: u64) -> Datum<'static> {
    let mut words = [0; SUM_WORDS + 1];
    let negative = read_magnitude(&state[8..], &mut words[..SUM_WORDS]);
    multiply(&mut words, 2);
    divide(&mut words, divisor);
    for scale in (0..=SCALE).rev() {
        if let Some(mantissa) = half(&words) {
            let signed = if negative { -mantissa } else { mantissa };
            return Datum::Numeric(Decimal::from_i128_with_scale(signed, scale).normalize());
        }
        divide(&mut words, 10);
    }
    Datum::Null
}

/// Half of the number, rounded up, if a decimal's mantissa can hold it.
fn half(words: &[u64]) -> Option<i128> {
    let small = words[2..].iter().all(|word| *word == 0);
    let value = u128::from(words[0]) | u128::from(words[1]) << 64;
    let half = value / 2 + value % 2;
    if small && half < 1 << 96 { i128::try_from(half).ok() } else { None }
}
