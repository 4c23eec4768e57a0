//! Counts, and sums and means of integers.
//!
//! ```text
//! count:          i64 weight
//! sum of int8:    i64 weight of the values that are not NULL, i128 sum of value times weight
//! ```
//!
//! A product has at most 126 bits, so wrapping at 128 bits changes no sum that fits a result.

use crate::value::Datum;

pub(super) const COUNT_BYTES: usize = 8;
pub(super) const INT_SUM_BYTES: usize = 24;

/// The count at the front of every state of fixed size.
#[inline]
pub(super) fn count(state: &[u8]) -> i64 {
    i64::from_le_bytes(state[..8].try_into().expect("the slice has 8 bytes"))
}

#[inline]
pub(super) fn add_count(state: &mut [u8], weight: i64) {
    let sum = count(state).wrapping_add(weight);
    state[..8].copy_from_slice(&sum.to_le_bytes());
}

#[inline]
fn sum(state: &[u8]) -> i128 {
    i128::from_le_bytes(state[8..24].try_into().expect("the slice has 16 bytes"))
}

#[inline]
pub(super) fn add_int(state: &mut [u8], value: i64, weight: i64) {
    add_count(state, weight);
    let sum = sum(state).wrapping_add(i128::from(value) * i128::from(weight));
    state[8..24].copy_from_slice(&sum.to_le_bytes());
}

pub(super) fn int_sum(state: &[u8]) -> Datum<'static> {
    if count(state) <= 0 {
        return Datum::Null;
    }
    i64::try_from(sum(state)).map_or(Datum::Null, Datum::Int)
}

pub(super) fn int_avg(state: &[u8]) -> Datum<'static> {
    match u64::try_from(count(state)) {
        Err(_) | Ok(0) => Datum::Null,
        Ok(count) => {
            let sum = sum(state);
            let size = ratio(sum.unsigned_abs(), count);
            Datum::Float(if sum < 0 { -size } else { size })
        }
    }
}

/// The float nearest to `numerator / denominator`. The quotient is taken with at least 57 bits, more than the 53 of a
/// float and the one that decides rounding; the last bit stands for everything behind it.
fn ratio(numerator: u128, denominator: u64) -> f64 {
    if numerator == 0 {
        return 0.0;
    }
    let bits = 128 - numerator.leading_zeros();
    let shift = (58 + 64 - denominator.leading_zeros()).saturating_sub(bits);
    let shifted = numerator << shift;
    let quotient = shifted / u128::from(denominator);
    let inexact = !shifted.is_multiple_of(u128::from(denominator));
    #[expect(clippy::cast_precision_loss, reason = "this is the one rounding")]
    let rounded = (quotient | u128::from(inexact)) as f64;
    // A power of two, so this is exact.
    rounded / 2f64.powi(i32::try_from(shift).expect("at most 122"))
}

const _: () = assert!(COUNT_BYTES.is_multiple_of(8) && INT_SUM_BYTES.is_multiple_of(8));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_the_nearest_float() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            // Both exact as floats: then the division of floats itself rounds once.
            let numerator = random.u64(..) >> random.u32(11..64);
            let denominator = (random.u64(..) >> random.u32(11..64)).max(1);
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let expected = numerator as f64 / denominator as f64;
            assert_eq!(ratio(u128::from(numerator), denominator), expected, "{numerator} / {denominator}");
        }
        // 2^53 + 1 lies in the middle of two floats, and the even one is below; a third more tips it.
        let middle = (1u128 << 53) + 1;
        assert_eq!(ratio(middle, 1), 9_007_199_254_740_992.0);
        assert_eq!(ratio(middle * 3 + 1, 3), 9_007_199_254_740_994.0);
    }
}
