//! A projection: a row made of columns of one or two other rows, as they are.
//!
//! Joins and maps that only choose columns make their rows here. The length of a row is known before its first
//! byte is written, so it goes straight to where it is sent from; a row without NULLs costs one pass over its columns.

use crate::batch::DeltaBuffer;
use crate::row::{Row, RowBuilder};

/// Rows of up to this many columns keep all of their null bits in the header.
const SHORT_COLUMNS: usize = 16;

/// A column of the row that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectedColumn {
    /// 0 for the first row, 1 for the second.
    pub side: usize,
    /// The column of that row.
    pub index: usize,
    /// Whether its values lie in the tail.
    pub in_tail: bool,
}

/// Makes rows of columns of two rows.
#[derive(Debug, Default)]
pub struct Projection {
    columns: Vec<ProjectedColumn>,
    /// Those of the columns whose values lie in the tail.
    tails: Vec<ProjectedColumn>,
    builder: RowBuilder,
}

impl Projection {
    /// Rows of these columns.
    pub fn new(columns: Vec<ProjectedColumn>) -> Self {
        let tails = columns.iter().copied().filter(|column| column.in_tail).collect();
        Projection { columns, tails, builder: RowBuilder::new() }
    }

    /// Appends the row made of `first` and `second` to `out`.
    #[inline]
    pub fn append(&mut self, first: Row<'_>, second: Row<'_>, weight: i64, out: &mut DeltaBuffer) {
        if weight == 0 {
            return;
        }
        if first.has_null_bits() || second.has_null_bits() || self.columns.len() > SHORT_COLUMNS {
            return self.append_slowly(first, Some(second), weight, out);
        }
        let rows = [first.short(), second.short()];
        let fixed = 8 + self.columns.len() * 8;
        let tail: usize =
            self.tails.iter().map(|column| (rows[column.side].slot(column.index) >> 32) as usize).sum();
        let length = (fixed + tail).next_multiple_of(8);
        let row = out.push_zeroed(length, weight);
        let header = length as u64 | (self.columns.len() as u64) << 32;
        row[..8].copy_from_slice(&header.to_le_bytes());
        let (slots, tail) = row[8..].split_at_mut(fixed - 8);
        let mut tail_end = 0;
        for (column, slot) in self.columns.iter().zip(slots.as_chunks_mut().0) {
            let mut value = rows[column.side].slot(column.index);
            if column.in_tail {
                let bytes = [first, second][column.side].tail(value);
                value = (fixed + tail_end) as u64 | (bytes.len() as u64) << 32;
                tail[tail_end..tail_end + bytes.len()].copy_from_slice(bytes);
                tail_end += bytes.len();
            }
            *slot = value.to_le_bytes();
        }
    }

    /// Appends the row made of `first` and NULLs.
    pub fn append_alone(&mut self, first: Row<'_>, weight: i64, out: &mut DeltaBuffer) {
        self.append_slowly(first, None, weight, out);
    }

    fn append_slowly(&mut self, first: Row<'_>, second: Option<Row<'_>>, weight: i64, out: &mut DeltaBuffer) {
        self.builder.start(self.columns.len());
        for column in &self.columns {
            match (column.side, second) {
                (0, _) => self.builder.copy(first, column.index, column.in_tail),
                (_, Some(second)) => self.builder.copy(second, column.index, column.in_tail),
                (_, None) => self.builder.push_null(),
            }
        }
        out.push(self.builder.finish(), weight);
    }
}
