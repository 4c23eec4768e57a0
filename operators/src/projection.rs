//! A projection: a row made of columns of one or two other rows, as they are.
//!
//! Joins and maps that only choose columns make their rows here. The length of a row is known before its first
//! byte is written, so it goes straight to where it is sent from; a row without NULLs costs one pass over its columns.

use crate::batch::DeltaBuffer;
use crate::row::{Row, RowBuilder, slots_start};

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
    builder: RowBuilder,
}

impl Projection {
    /// Rows of these columns.
    pub fn new(columns: Vec<ProjectedColumn>) -> Self {
        Projection { columns, builder: RowBuilder::new() }
    }

    /// The columns.
    pub fn columns(&self) -> &[ProjectedColumn] {
        &self.columns
    }

    /// Appends the row made of `first` and `second` to `out`.
    #[inline]
    pub fn append(&mut self, first: Row<'_>, second: Row<'_>, weight: i64, out: &mut DeltaBuffer) {
        if weight == 0 {
            return;
        }
        if first.has_null_bits() || second.has_null_bits() || self.columns.len() > 16 {
            return self.append_slowly(first, Some(second), weight, out);
        }
        let rows = [first, second];
        let fixed = slots_start(self.columns.len()) + self.columns.len() * 8;
        let tail: usize = self
            .columns
            .iter()
            .filter(|c| c.in_tail)
            .map(|c| (rows[c.side].slot(c.index) >> 32) as usize)
            .sum();
        let length = (fixed + tail).next_multiple_of(8);
        let row = out.push_zeroed(length, weight);
        row[..4].copy_from_slice(&(length as u32).to_le_bytes());
        row[4..6].copy_from_slice(&(self.columns.len() as u16).to_le_bytes());
        let mut tail_end = fixed;
        for (column, at) in self.columns.iter().zip((8..).step_by(8)) {
            let mut slot = rows[column.side].slot(column.index);
            if column.in_tail {
                let value = rows[column.side].bytes(column.index);
                slot = tail_end as u64 | (value.len() as u64) << 32;
                row[tail_end..tail_end + value.len()].copy_from_slice(value);
                tail_end += value.len();
            }
            row[at..at + 8].copy_from_slice(&slot.to_le_bytes());
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
