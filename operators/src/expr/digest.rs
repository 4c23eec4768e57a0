//! The digest MD5 (RFC 1321), which is in use as a short name of a text. It keeps no secrets.

use std::sync::LazyLock;

/// The amounts of rotation, by round and step.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The digest as 32 hexadecimal digits.
pub(super) fn md5_text(bytes: &[u8]) -> String {
    let mut state = START;
    let mut chunks = bytes.chunks_exact(64);
    for chunk in &mut chunks {
        take(&mut state, chunk);
    }
    // The end: one bit, zeros, and the length in bits.
    let mut last = chunks.remainder().to_vec();
    last.push(0x80);
    while last.len() % 64 != 56 {
        last.push(0);
    }
    last.extend((bytes.len() as u64).wrapping_mul(8).to_le_bytes());
    last.chunks_exact(64).for_each(|chunk| take(&mut state, chunk));
    state.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect()
}

fn take(state: &mut [u32; 4], chunk: &[u8]) {
    let word = |at: usize| u32::from_le_bytes(chunk[at * 4..at * 4 + 4].try_into().expect("four bytes"));
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64 {
        let (mixed, at) = match step / 16 {
            0 => (b & c | !b & d, step),
            1 => (d & b | !d & c, 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        let sum = a.wrapping_add(mixed).wrapping_add(CONSTANTS[step]).wrapping_add(word(at % 16));
        (a, d, c) = (d, c, b);
        b = b.wrapping_add(sum.rotate_left(ROTATIONS[step / 16][step % 4]));
    }
    for (place, value) in state.iter_mut().zip([a, b, c, d]) {
        *place = place.wrapping_add(value);
    }
}

static CONSTANTS: LazyLock<[u32; 64]> = LazyLock::new(|| std::array::from_fn(constant));

/// `2^32 |sin(step + 1)|`, as the definition says.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is below 2^32 and positive")]
fn constant(step: usize) -> u32 {
    let angle = f64::from(u8::try_from(step + 1).expect("at most 64"));
    (angle.sin().abs() * 4_294_967_296.0) as u32
}

#[cfg(test)]
mod tests {
    use super::md5_text;

    #[test]
    fn the_test_suite_of_the_definition() {
        assert_eq!(md5_text(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5_text(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
        let long = b"12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(md5_text(long), "57edf4a22be3c955ac49da2e2107b67a");
    }
}
