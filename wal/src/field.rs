//! Little-endian fields at fixed offsets of byte slices. Reading is total: bytes from a disk may be anything, so a
//! field that does not fit is `None`, never a panic. Writing is into buffers of our own, where a misfit is a bug.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

/// The `u32` at `at`, if the slice holds it.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

/// The `u64` at `at`, if the slice holds it.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(field.try_into().ok()?))
}

/// Copies `field` to `at`.
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes
        .get_mut(at..at + field.len())
        .expect("headers are written into buffers of their own size")
        .copy_from_slice(field);
}
