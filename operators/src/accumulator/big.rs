//! Integers of many 64-bit words, least significant first, as far as exact sums need them.
//!
//! A sum lies in a byte buffer as a two's complement number of fixed width, so that equal sums have equal bytes and
//! zero is all zeros. Additions wrap at the width, which is chosen so that no sum of 2^63 values reaches it.

/// The word at `index` of a state.
#[inline]
pub(super) fn word(state: &[u8], index: usize) -> u64 {
    let bytes = &state[index * 8..index * 8 + 8];
    u64::from_le_bytes(bytes.try_into().expect("the slice has 8 bytes"))
}

/// Sets the word at `index` of a state.
#[inline]
pub(super) fn set_word(state: &mut [u8], index: usize, value: u64) {
    state[index * 8..index * 8 + 8].copy_from_slice(&value.to_le_bytes());
}

/// Adds `magnitude` (or takes it away, if `negative`) to the number in `state`, from word `at` on. Stops as soon as no
/// carry is left.
#[inline]
pub(super) fn add_magnitude(state: &mut [u8], at: usize, magnitude: &[u64], negative: bool) {
    let count = state.len() / 8;
    let mut carry = false;
    let mut index = at;
    while index < count && (carry || index - at < magnitude.len()) {
        let operand = magnitude.get(index - at).copied().unwrap_or(0);
        let before = word(state, index);
        let (after, overflow) = if negative {
            let (first, borrow) = before.overflowing_sub(operand);
            let (second, again) = first.overflowing_sub(u64::from(carry));
            (second, borrow || again)
        } else {
            let (first, over) = before.overflowing_add(operand);
            let (second, again) = first.overflowing_add(u64::from(carry));
            (second, over || again)
        };
        set_word(state, index, after);
        carry = overflow;
        index += 1;
    }
}

/// Reads the number in `state` into `words`, which it fills: its size, and whether it is negative.
pub(super) fn read_magnitude(state: &[u8], words: &mut [u64]) -> bool {
    assert_eq!(state.len(), words.len() * 8);
    for (index, place) in words.iter_mut().enumerate() {
        *place = word(state, index);
    }
    let negative = words.last().is_some_and(|top| top >> 63 == 1);
    if negative {
        let mut carry = true;
        for place in words.iter_mut() {
            let (value, overflow) = (!*place).overflowing_add(u64::from(carry));
            *place = value;
            carry = overflow;
        }
    }
    negative
}

/// Multiplies in place and returns what does not fit.
#[inline]
pub(crate) fn multiply(words: &mut [u64], factor: u64) -> u64 {
    let mut carry = 0u128;
    for place in words.iter_mut() {
        let product = u128::from(*place) * u128::from(factor) + carry;
        *place = low(product);
        carry = product >> 64;
    }
    low(carry)
}

/// Divides in place, rounding down, and returns the remainder.
pub(super) fn divide(words: &mut [u64], divisor: u64) -> u64 {
    let mut remainder = 0u128;
    for place in words.iter_mut().rev() {
        let dividend = remainder << 64 | u128::from(*place);
        *place = low(dividend / u128::from(divisor));
        remainder = dividend % u128::from(divisor);
    }
    low(remainder)
}

/// The number of the highest bit that is set, from 0; none in zero.
pub(super) fn top_bit(words: &[u64]) -> Option<usize> {
    let index = words.iter().rposition(|word| *word != 0)?;
    Some(index * 64 + 63 - words[index].leading_zeros() as usize)
}

/// The low 64 bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is what it is meant to drop")]
pub(crate) fn low(value: u128) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_128_bits() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let mut state = [0u8; 16];
            let mut expected = 0i128;
            for _ in 0..20 {
                let magnitude = random.u128(..) >> random.u32(1..128);
                let negative = random.bool();
                let at = random.usize(0..2);
                let shifted = magnitude << (64 * at);
                expected = if negative {
                    expected.wrapping_sub(shifted.cast_signed())
                } else {
                    expected.wrapping_add(shifted.cast_signed())
                };
                add_magnitude(&mut state, at, &[low(magnitude), low(magnitude >> 64)], negative);
                assert_eq!(i128::from_le_bytes(state), expected);
            }
            let mut words = [0; 2];
            assert_eq!(read_magnitude(&state, &mut words), expected < 0);
            let size = expected.unsigned_abs();
            assert_eq!(words, [low(size), low(size >> 64)]);
            let divisor = random.u64(1..);
            let remainder = divide(&mut words, divisor);
            assert_eq!(u128::from(remainder), size % u128::from(divisor));
            assert_eq!(multiply(&mut words, divisor), 0);
            assert_eq!(words[0].wrapping_add(remainder), low(size));
        }
    }
}
