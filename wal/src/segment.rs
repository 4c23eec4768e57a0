//! Segments: the files of a log. A segment is one block of header and then zeros, all of it written and synced before
//! the first flush goes there, so that a commit later costs one device write and no change of the file's metadata.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fmt;

use crate::error::Error;
use crate::field::{put, u32_at, u64_at};

/// The version of the byte-level format that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 2;
/// The unit of writing: flushes start at multiples of it and are padded to it.
pub const BLOCK_BYTES: u64 = 4096;
/// Size of a log's first segment: small, so that a new log starts in a few milliseconds.
pub const FIRST_SEGMENT_BYTES: u64 = 4 << 20;
/// Size of the other segments, unless a single flush needs more.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// The largest segment: one flush with the largest record and the header block, rounded up generously.
pub const SEGMENT_BYTES_MAX: u64 = 512 << 20;

const MAGIC: &[u8; 8] = b"SAKIASEG";
const HEADER_BYTES: usize = 64;

/// The number of a segment in its log, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The number of the segment after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The name of the segment's file within the log's folder.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:08}.segment", self.0)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file_name())
    }
}

/// What tells one log from every other: drawn at random when the log is created.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 16]);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

/// A position in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The segment.
    pub segment: SegmentId,
    /// Bytes from the start of the segment.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.segment, self.offset)
    }
}

/// The first block of a segment of `size` bytes; all the rest of a fresh segment is zero.
///
/// # Panics
/// If `size` is not a multiple of [`BLOCK_BYTES`] that leaves room for a flush.
#[must_use]
pub fn segment_header(identity: &Identity, segment: SegmentId, size: u64) -> [u8; BLOCK_BYTES as usize] {
    assert!(size.is_multiple_of(BLOCK_BYTES), "a segment is whole blocks");
    assert!(size >= 2 * BLOCK_BYTES, "a segment has room for a flush");
    assert!(size <= SEGMENT_BYTES_MAX, "segment too large");
    let mut block = [0; BLOCK_BYTES as usize];
    put(&mut block, 0, MAGIC);
    put(&mut block, 8, &FORMAT_VERSION.to_le_bytes());
    put(&mut block, 16, &identity.0);
    put(&mut block, 32, &segment.0.to_le_bytes());
    put(&mut block, 40, &size.to_le_bytes());
    let crc = header_checksum(&block).expect("a block holds the header");
    put(&mut block, 12, &crc.to_le_bytes());
    block
}

fn header_checksum(bytes: &[u8]) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..12)?);
    hasher.update(bytes.get(16..HEADER_BYTES)?);
    Some(hasher.finalize())
}

/// Checks that `bytes` is the whole of `segment` of the log `identity`.
pub(crate) fn check_segment(identity: &Identity, segment: SegmentId, bytes: &[u8]) -> Result<(), Error> {
    let corrupt = |what: &str| Error::corrupt(Place { segment, offset: 0 }, what);
    if bytes.get(..8) != Some(MAGIC.as_slice()) {
        if bytes.len() < HEADER_BYTES {
            return Err(Error::Truncated {
                file: segment.file_name(),
                expected: BLOCK_BYTES,
                actual: bytes.len() as u64,
            });
        }
        return Err(corrupt("the segment header does not start with its magic number"));
    }
    // The version stands before the checksum, so that a later format may change everything behind it.
    let version = u32_at(bytes, 8).ok_or_else(|| corrupt("short header"))?;
    if version != FORMAT_VERSION {
        return Err(Error::Version { file: segment.file_name(), found: version, supported: FORMAT_VERSION });
    }
    if header_checksum(bytes).is_none() || header_checksum(bytes) != u32_at(bytes, 12) {
        return Err(corrupt("the checksum of the segment header does not match"));
    }
    let found_identity = bytes.get(16..32).unwrap_or_default();
    let found_segment = u64_at(bytes, 32).unwrap_or_default();
    if found_identity != identity.0 || found_segment != segment.0 {
        return Err(Error::Foreign { file: segment.file_name(), log: identity.to_string() });
    }
    let size = u64_at(bytes, 40).unwrap_or_default();
    if size > bytes.len() as u64 {
        return Err(Error::Truncated {
            file: segment.file_name(),
            expected: size,
            actual: bytes.len() as u64,
        });
    }
    if size < bytes.len() as u64 {
        return Err(corrupt("the file is longer than its segment header says"));
    }
    Ok(())
}
