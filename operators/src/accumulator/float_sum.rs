//! Exact sums and means of floats.
//!
//! Every finite float is a whole multiple of 2^-1074 below 2^1024, so the sum of any of them is a whole number of
//! 2^-1074, kept here in full: 1074 + 1024 bits, 63 more for weights, 63 for how many there are, and a sign. Adding is
//! integer addition, hence independent of order, and taking away undoes it exactly. The result is rounded once, to
//! the nearest float with ties to even. NaN and the infinities are counted apart.
//!
//! ```text
//! i64 weight of all values that are not NULL
//! i64 weight of NaN, i64 of infinity, i64 of -infinity
//! 35 words: the sum of the finite values in units of 2^-1074, two's complement
//! ```
//!
//! An addition touches three words, and more only when a carry runs on; a result walks over all of them.

use super::big::{add_magnitude, divide, low, read_magnitude, set_word, top_bit, word};
use super::inline;
use crate::value::Datum;

const SUM_WORDS: usize = 35;
const HEAD_WORDS: usize = 4;
const HEAD_BYTES: usize = HEAD_WORDS * 8;
const NAN: usize = 1;
const INFINITY: usize = 2;
const NEGATIVE_INFINITY: usize = 3;

pub(super) const BYTES: usize = (HEAD_WORDS + SUM_WORDS) * 8;

const _: () = assert!(SUM_WORDS * 64 > 1074 + 1024 + 63 + 63);

/// Bits of the fraction in a float's encoding.
const FRACTION_BITS: u32 = 52;

#[inline]
pub(super) fn add(state: &mut [u8], value: f64, weight: i64) {
    inline::add_count(state, weight);
    if !value.is_finite() {
        let place = if value.is_nan() {
            NAN
        } else if value > 0.0 {
            INFINITY
        } else {
            NEGATIVE_INFINITY
        };
        set_word(state, place, word(state, place).wrapping_add(weight.cast_unsigned()));
        return;
    }
    let bits = value.to_bits();
    let exponent = bits >> FRACTION_BITS & 0x7ff;
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    // Subnormals have the exponent of the least normal numbers, without the hidden bit.
    let (mantissa, shift) =
        if exponent == 0 { (fraction, 0) } else { (fraction | 1 << FRACTION_BITS, exponent - 1) };
    let product = u128::from(mantissa) * u128::from(weight.unsigned_abs());
    let at = usize::try_from(shift / 64).expect("below 32");
    let bit = shift % 64;
    // At most 117 bits, moved by up to 63: three words.
    let upper = if bit == 0 { 0 } else { low(product >> 64) >> (64 - bit) };
    let magnitude = [low(product << bit), low((product << bit) >> 64), upper];
    let negative = (value < 0.0) != (weight < 0);
    add_magnitude(&mut state[HEAD_BYTES..], at, &magnitude, negative);
}

pub(super) fn sum(state: &[u8]) -> Datum<'static> {
    special(state).unwrap_or_else(|| {
        let mut words = [0; SUM_WORDS];
        let negative = read_magnitude(&state[HEAD_BYTES..], &mut words);
        Datum::Float(signed(nearest_float(&words, 0, false), negative))
    })
}

pub(super) fn avg(state: &[u8]) -> Datum<'static> {
    special(state).unwrap_or_else(|| {
        // One word below the units, so that the quotient has bits to round by.
        let mut words = [0; SUM_WORDS + 1];
        let negative = read_magnitude(&state[HEAD_BYTES..], &mut words[1..]);
        let remainder = divide(&mut words, inline::count(state).unsigned_abs());
        Datum::Float(signed(nearest_float(&words, 64, remainder != 0), negative))
    })
}

/// The result if it is not a matter of the finite sum.
fn special(state: &[u8]) -> Option<Datum<'static>> {
    let present = |place| word(state, place).cast_signed() > 0;
    if inline::count(state) <= 0 {
        Some(Datum::Null)
    } else if present(NAN) || (present(INFINITY) && present(NEGATIVE_INFINITY)) {
        Some(Datum::Float(f64::NAN))
    } else if present(INFINITY) {
        Some(Datum::Float(f64::INFINITY))
    } else if present(NEGATIVE_INFINITY) {
        Some(Datum::Float(f64::NEG_INFINITY))
    } else {
        None
    }
}

fn signed(size: f64, negative: bool) -> f64 {
    if negative && size != 0.0 { -size } else { size }
}

/// The float nearest to `words` in units of 2^-(1074 + extra), ties to even; `inexact` says that something less than a
/// unit was cut off.
///
/// Seen as an integer, the encoding of a float is `(exponent - 1) << 52` plus its 53-bit mantissa, and its exponent is 1 when
/// one unit of the mantissa is 2^-1074. So cutting the number down to 53 bits (fewer if that would go below
/// 2^-1074) gives the encoding, and a carry out of the rounded mantissa moves the exponent by itself.
fn nearest_float(words: &[u64], extra: usize, inexact: bool) -> f64 {
    let Some(top) = top_bit(words) else {
        return 0.0;
    };
    let cut = top.saturating_sub(FRACTION_BITS as usize).max(extra);
    let mantissa = bits_from(words, cut);
    let half = cut > 0 && bit(words, cut - 1);
    let beyond = inexact || (cut > 1 && any_below(words, cut - 1));
    let up = half && (beyond || mantissa & 1 == 1);
    let encoding = ((cut - extra) as u64) << FRACTION_BITS;
    let encoding = encoding + mantissa + u64::from(up);
    if encoding >= f64::INFINITY.to_bits() { f64::INFINITY } else { f64::from_bits(encoding) }
}

/// The bits from number `from` on; the caller knows that they are at most 53.
fn bits_from(words: &[u64], from: usize) -> u64 {
    let (index, shift) = (from / 64, from % 64);
    let lower = words.get(index).copied().unwrap_or(0) >> shift;
    let upper = words.get(index + 1).copied().unwrap_or(0);
    if shift == 0 { lower } else { lower | upper << (64 - shift) }
}

fn bit(words: &[u64], at: usize) -> bool {
    words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

/// Whether any bit below number `at` is set.
fn any_below(words: &[u64], at: usize) -> bool {
    let whole = (at / 64).min(words.len());
    let rest = words.get(whole).copied().unwrap_or(0);
    words[..whole].iter().any(|word| *word != 0) || rest & ((1 << (at % 64)) - 1) != 0
}
