//! Batches: deltas in one message, and the buffers that they are gathered in.
//!
//! A frame is a signed weight (i64, little endian) and a row. Frames lie one after another, so the same bytes are
//! written once by the sender and read in place by the receiver, archived or not.

use crate::row::{Row, u64_at};

/// Deltas as they travel in a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Batch {
    /// How many deltas there are.
    pub count: u32,
    /// The frames, without gaps.
    pub deltas: Vec<u8>,
}

/// Where operators put their output: a batch that is cleared and filled again.
pub type DeltaBuffer = Batch;

/// A place in a batch between two deltas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    count: u32,
    length: usize,
}

impl Batch {
    /// No deltas.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a row with its weight. A weight of zero is nothing and is left out.
    #[inline]
    pub fn push(&mut self, row: Row<'_>, weight: i64) {
        if weight == 0 {
            return;
        }
        self.deltas.extend_from_slice(&weight.to_le_bytes());
        self.deltas.extend_from_slice(row.bytes_all());
        self.count += 1;
    }

    /// Appends a frame with a row of `length` zeros, to be filled in.
    #[inline]
    pub(crate) fn push_zeroed(&mut self, length: usize, weight: i64) -> &mut [u8] {
        debug_assert_ne!(weight, 0);
        let start = self.deltas.len();
        self.deltas.resize(start + 8 + length, 0);
        self.count += 1;
        let (head, row) = self.deltas[start..].split_at_mut(8);
        head.copy_from_slice(&weight.to_le_bytes());
        row
    }

    /// Appends frames as they are.
    #[inline]
    pub fn push_frames(&mut self, deltas: Deltas<'_>, count: u32) {
        self.deltas.extend_from_slice(deltas.0);
        self.count += count;
    }

    /// The deltas in order.
    #[inline]
    pub fn deltas(&self) -> Deltas<'_> {
        Deltas(&self.deltas)
    }

    /// Where its deltas end now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { count: self.count, length: self.deltas.len() }
    }

    /// The deltas since a mark.
    pub(crate) fn since(&self, mark: Mark) -> Deltas<'_> {
        Deltas(&self.deltas[mark.length..])
    }

    /// Forgets the deltas since a mark.
    pub(crate) fn truncate(&mut self, mark: Mark) {
        self.count = mark.count;
        self.deltas.truncate(mark.length);
    }

    /// Whether there are no deltas.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }

    /// Forgets all deltas and keeps the memory, unless it is more than `keep` bytes.
    #[inline]
    pub fn clear_and_trim(&mut self, keep: usize) {
        self.clear();
        if self.deltas.capacity() > keep {
            self.deltas = Vec::new();
        }
    }

    /// Forgets all deltas and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.count = 0;
        self.deltas.clear();
    }
}

/// Iterates over frames, native or archived.
#[derive(Debug, Clone, Copy)]
pub struct Deltas<'a>(pub &'a [u8]);

impl<'a> Deltas<'a> {
    /// The row of the first delta; there must be one.
    #[inline]
    pub(crate) fn first_row(self) -> Row<'a> {
        Row::at(&self.0[8..])
    }

    /// How many deltas there are; walks over all of them.
    pub fn count_frames(self) -> u32 {
        self.count() as u32
    }
}

impl<'a> Iterator for Deltas<'a> {
    type Item = (Row<'a>, i64);

    #[inline]
    fn next(&mut self) -> Option<(Row<'a>, i64)> {
        if self.0.is_empty() {
            return None;
        }
        let weight = u64_at(self.0, 0) as i64;
        let row = Row::at(&self.0[8..]);
        self.0 = &self.0[8 + row.bytes_all().len()..];
        Some((row, weight))
    }
}
