//! Records: the unit that is appended and replayed, and the names by which records are known.
//!
//! A record is a 16-byte header, the payload, and zeros up to the next multiple of 16, so that every payload starts
//! 16-aligned wherever its flush does. The checksum starts from a seed made of the log's identity and the
//! incarnation of the writer: bytes of another log, or of a dead writer of this one, never pass for a record, even
//! where a tear has put the two side by side.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fmt;

use crate::field::{put, u32_at};
use crate::segment::Identity;

/// The number of a record in its log, counted from 1. `Lsn(0)` stands for "nothing yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The number of the record after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a record is, in the words of whoever appended it; the log only carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKind(pub u8);

/// One life of a log's writer, counted from 1. Each writer takes a number above every one its log has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The next life.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Size of the header before each payload.
pub const RECORD_HEADER_BYTES: usize = 16;
/// Records, and so payloads, start at multiples of this.
pub const RECORD_ALIGNMENT: usize = 16;
/// The largest payload: 256 MiB. A flush of one such record still fits 32-bit lengths sixteen times over.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// The space a record with this much payload takes, padding included.
pub(crate) fn record_bytes(payload_bytes: usize) -> usize {
    (RECORD_HEADER_BYTES + payload_bytes).next_multiple_of(RECORD_ALIGNMENT)
}

/// The state from which the checksum of each record of `incarnation` starts.
pub(crate) fn record_seed(identity: &Identity, incarnation: Incarnation) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity.0);
    hasher.update(&incarnation.0.to_le_bytes());
    hasher.finalize()
}

fn checksum(seed: u32, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(record);
    hasher.finalize()
}

/// Fills `record`, which is `record_bytes` long for this payload, with the header, the concatenation of `parts`, and zeros.
pub(crate) fn write_record(record: &mut [u8], lsn: Lsn, kind: RecordKind, parts: &[&[u8]], seed: u32) {
    let mut end = RECORD_HEADER_BYTES;
    for part in parts {
        put(record, end, part);
        end += part.len();
    }
    let payload_bytes = u32::try_from(end - RECORD_HEADER_BYTES).expect("payloads are far below 4 GiB");
    let mut header = [0; RECORD_HEADER_BYTES];
    put(&mut header, 4, &payload_bytes.to_le_bytes());
    // The low half of the number is enough: a record is only ever looked for where its flush says it is.
    put(&mut header, 8, &(lsn.0 & u64::from(u32::MAX)).to_le_bytes());
    put(&mut header, 12, &[kind.0, 0, 0, 0]);
    put(record, 0, &header);

    let (covered, padding) = record.split_at_mut(end);
    assert!(padding.len() < RECORD_ALIGNMENT, "the record is as long as its payload needs");
    padding.fill(0);
    let crc = checksum(seed, covered.get(4..).expect("a record has a header"));
    put(record, 0, &crc.to_le_bytes());
}

/// A record found at the start of some bytes.
pub(crate) struct RawRecord<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) payload: &'a [u8],
    /// Distance to the next record.
    pub(crate) bytes: usize,
}

/// Reads the record at the start of `bytes` without checking its checksum: for bytes that `check_record` has passed.
pub(crate) fn read_record(bytes: &[u8]) -> Option<RawRecord<'_>> {
    let payload_bytes = u32_at(bytes, 4)? as usize;
    let payload = bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES.checked_add(payload_bytes)?)?;
    let kind = RecordKind(*bytes.get(12)?);
    Some(RawRecord { kind, payload, bytes: record_bytes(payload_bytes) })
}

/// The distance to the next record if the record `lsn` stands whole at the start of `bytes`.
pub(crate) fn check_record(bytes: &[u8], lsn: Lsn, seed: u32) -> Option<usize> {
    let payload_bytes = u32_at(bytes, 4)? as usize;
    if payload_bytes > PAYLOAD_BYTES_MAX || u64::from(u32_at(bytes, 8)?) != lsn.0 & u64::from(u32::MAX) {
        return None;
    }
    let covered = bytes.get(4..RECORD_HEADER_BYTES + payload_bytes)?;
    (u32_at(bytes, 0)? == checksum(seed, covered)).then(|| record_bytes(payload_bytes))
}
