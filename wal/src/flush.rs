//! Flushes: the unit that is written. A flush is a 64-byte header, records back to back, and zeros up to the next
//! block; it lies whole in one segment. Its header carries the position up to which the log was known durable when
//! the flush was handed out, which is what tells a torn tail from damage when the log is read back.
//!
//! The header has a checksum of its own and each record has one; there is none over the whole, so that a byte
//! appended is summed once. A flush is whole if its header and all `count` records are.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fmt;
use std::sync::Arc;

use crate::field::{put, u32_at, u64_at};
use crate::record::{Incarnation, Lsn, RECORD_ALIGNMENT, check_record};
use crate::segment::{BLOCK_BYTES, Identity, SegmentId};

const MAGIC: &[u8; 8] = b"SAKFLUSH";
/// Size of the header before the first record.
pub const FLUSH_HEADER_BYTES: usize = 64;
const _: () = assert!(FLUSH_HEADER_BYTES.is_multiple_of(RECORD_ALIGNMENT));

/// The number of a flush in its log, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlushId(pub u64);

impl FlushId {
    /// The number of the flush after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for FlushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A write to be made: `bytes()` at `offset` of `segment`, durably, and then reported by
/// [`Appender::flushed`](crate::Appender::flushed).
#[derive(Debug)]
pub struct Flush {
    /// The number of this flush.
    pub id: FlushId,
    /// Where to write.
    pub segment: SegmentId,
    /// Where in the segment to write: a multiple of [`BLOCK_BYTES`].
    pub offset: u64,
    /// The first record in it.
    pub first: Lsn,
    /// The last record in it.
    pub last: Lsn,
    pub(crate) buffer: Arc<FlushBuffer>,
}

impl Flush {
    /// What to write: whole blocks, at an address that is a multiple of [`BLOCK_BYTES`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }
}

/// Memory in which a flush is gathered. It is aligned for direct I/O without unsafe code: the vector is a block longer than
/// needed and never moves, and the flush starts at the first multiple of a block in it.
#[derive(Debug)]
pub(crate) struct FlushBuffer {
    /// Initialised throughout (for the usual sizes by fresh pages of the kernel, so untouched ones cost nothing), but
    /// what lies behind `len` is left over from earlier flushes.
    memory: Vec<u8>,
    start: usize,
    /// Bytes so far, from `start`, header included.
    len: usize,
    /// How much a flush in here may take, a multiple of the block.
    capacity: usize,
}

impl FlushBuffer {
    /// A buffer for flushes up to `capacity` bytes, empty but for the place of the header.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.next_multiple_of(BLOCK_BYTES as usize);
        let memory = vec![0; capacity + BLOCK_BYTES as usize];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES as usize);
        assert!(start <= BLOCK_BYTES as usize, "byte pointers can always be aligned");
        Self { memory, start, len: FLUSH_HEADER_BYTES, capacity }
    }

    /// A buffer of `bytes` zeros.
    pub(crate) fn zeros(bytes: usize) -> Self {
        let mut buffer = Self::new(bytes);
        buffer.len = bytes;
        buffer
    }

    /// A buffer of just these bytes.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let mut buffer = Self::zeros(bytes.len());
        buffer.bytes_mut().copy_from_slice(bytes);
        buffer
    }

    /// Empties the buffer down to the header's place.
    pub(crate) fn clear(&mut self) {
        self.len = FLUSH_HEADER_BYTES;
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.len).expect("the buffer is as long as its capacity")
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + self.len).expect("the buffer is as long as its capacity")
    }

    /// Lengthens the flush; the contents of the new part are for the caller to fill in, all of it.
    pub(crate) fn extend(&mut self, bytes: usize) -> &mut [u8] {
        assert!(bytes <= self.capacity - self.len, "the caller has made sure of the room");
        let from = self.start + self.len;
        self.len += bytes;
        self.memory.get_mut(from..from + bytes).expect("the buffer is as long as its capacity")
    }

    /// Lengthens the flush with zeros up to a multiple of `unit`.
    pub(crate) fn pad(&mut self, unit: usize) {
        let bytes = self.len.next_multiple_of(unit) - self.len;
        self.extend(bytes).fill(0);
    }
}

/// The header of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlushHeader {
    pub(crate) incarnation: Incarnation,
    pub(crate) flush: FlushId,
    pub(crate) first: Lsn,
    /// Every record up to here was durable when the flush was handed out.
    pub(crate) durable: Lsn,
    /// Bytes used, header included, padding to the block excluded.
    pub(crate) bytes: u32,
    /// How many records, at least one.
    pub(crate) count: u32,
}

impl FlushHeader {
    pub(crate) fn last(&self) -> Lsn {
        Lsn(self.first.0 + u64::from(self.count) - 1)
    }

    /// The distance to the place of the next flush.
    pub(crate) fn padded_bytes(&self) -> u64 {
        u64::from(self.bytes).next_multiple_of(BLOCK_BYTES)
    }

    /// Writes the header over the first bytes of a flush.
    pub(crate) fn write(&self, identity: &Identity, flush: &mut [u8]) {
        assert!(self.count > 0, "a flush holds records");
        assert!(self.durable < self.first, "nothing is durable before it was written");
        put(flush, 0, MAGIC);
        put(flush, 8, &[0; 4]);
        put(flush, 16, &self.incarnation.0.to_le_bytes());
        put(flush, 24, &self.flush.0.to_le_bytes());
        put(flush, 32, &self.first.0.to_le_bytes());
        put(flush, 40, &self.durable.0.to_le_bytes());
        put(flush, 48, &self.bytes.to_le_bytes());
        put(flush, 52, &self.count.to_le_bytes());
        put(flush, 56, &[0; 8]);
        let crc = header_checksum(identity, flush).expect("the buffer starts with the header's place");
        put(flush, 12, &crc.to_le_bytes());
    }

    /// The header at the start of `bytes`, if a writer of this log has put one there.
    pub(crate) fn read(identity: &Identity, bytes: &[u8]) -> Option<Self> {
        if bytes.get(..8)? != MAGIC || u32_at(bytes, 12)? != header_checksum(identity, bytes)? {
            return None;
        }
        let header = Self {
            incarnation: Incarnation(u64_at(bytes, 16)?),
            flush: FlushId(u64_at(bytes, 24)?),
            first: Lsn(u64_at(bytes, 32)?),
            durable: Lsn(u64_at(bytes, 40)?),
            bytes: u32_at(bytes, 48)?,
            count: u32_at(bytes, 52)?,
        };
        let sane = header.count > 0 && header.durable < header.first;
        (sane && header.first.0.checked_add(u64::from(header.count)).is_some()).then_some(header)
    }

    /// Checks every record of the flush at the start of `bytes`; the error is the offset of the first that is not
    /// whole, and its number.
    pub(crate) fn check_records(&self, seed: u32, bytes: &[u8]) -> Result<(), (u64, Lsn)> {
        let end = self.bytes as usize;
        let mut at = FLUSH_HEADER_BYTES;
        for lsn in (self.first.0..=self.last().0).map(Lsn) {
            let record = bytes.get(at..end).and_then(|rest| check_record(rest, lsn, seed));
            at += record.ok_or((at as u64, lsn))?;
        }
        if at == end { Ok(()) } else { Err((at as u64, self.last())) }
    }
}

fn header_checksum(identity: &Identity, bytes: &[u8]) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity.0);
    hasher.update(bytes.get(..12)?);
    hasher.update(bytes.get(16..FLUSH_HEADER_BYTES)?);
    Some(hasher.finalize())
}
