//! The word that holds an index: the position, and a checksum of it.
//!
//! ```text
//! bits  0 to 51   position / 16
//! bits 52 to 63   those 52 bits folded to 12 by exclusive or, and a constant
//! ```
//!
//! One bit that flips always shows, and so do a word of zeros and one of ones; other garbage shows by its distance from the
//! last index, which is nearly always more than a capacity.

use super::ALIGNMENT;

/// Bits of a position in units of [`ALIGNMENT`].
const UNIT_BITS: u32 = 52;
const CHECK_BITS: u32 = 64 - UNIT_BITS;
const CHECK_SEED: u64 = 0x5a5;

/// No ring is published beyond this position: 72 PB, which takes two years at a gigabyte a second.
pub(super) const POSITION_MAX: u64 = ((1 << UNIT_BITS) - 1) * ALIGNMENT as u64;

/// The word for a position.
#[inline]
pub(super) fn encode(position: u64) -> u64 {
    assert!(position.is_multiple_of(ALIGNMENT as u64));
    assert!(position <= POSITION_MAX);
    let units = position / ALIGNMENT as u64;
    check(units) << UNIT_BITS | units
}

/// The position in a word, if the word is whole.
#[inline]
pub(super) fn decode(word: u64) -> Option<u64> {
    let units = word & ((1 << UNIT_BITS) - 1);
    (word >> UNIT_BITS == check(units)).then_some(units * ALIGNMENT as u64)
}

#[inline]
fn check(units: u64) -> u64 {
    let folded = units ^ units >> CHECK_BITS ^ units >> (2 * CHECK_BITS) ^ units >> (3 * CHECK_BITS);
    (folded ^ units >> (4 * CHECK_BITS) ^ CHECK_SEED) & ((1 << CHECK_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_read_and_others_are_not() {
        for position in [0, 16, 4096, 0x1234_5678_9ab0, POSITION_MAX] {
            let word = encode(position);
            assert_eq!(decode(word), Some(position));
            for bit in 0..64 {
                assert_eq!(decode(word ^ 1 << bit), None, "bit {bit} of {word:x}");
            }
        }
        assert_eq!(decode(0), None);
        assert_eq!(decode(u64::MAX), None);
    }
}
