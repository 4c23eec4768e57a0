//! Distinct: each row of positive weight once.
//!
//! Keeps the weight of every row seen, negative ones too, and sends +1 when a weight becomes positive and -1 when it
//! stops being so. What it has sent in total is therefore one copy of each row that is positive now, whatever the
//! order in which the weights came.

use crate::arena::{Arena, Position};
use crate::batch::DeltaBuffer;
use crate::hash::hash_row;
use crate::index::Index;
use crate::row::{Row, u64_at};

/// A block of the arena is the weight, then the row.
const ROW_OFFSET: usize = 8;

/// The weights of rows.
#[derive(Debug, Default)]
pub struct Distinct {
    arena: Arena,
    /// From a row's hash to its block.
    index: Index,
}

impl Distinct {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the deltas of a step and appends what changes in the set of positive rows.
    pub fn run(&mut self, input: &DeltaBuffer, out: &mut DeltaBuffer) {
        for (row, weight) in input.deltas() {
            let (before, after) = self.add(row, weight);
            out.push(row, i64::from(after > 0) - i64::from(before > 0));
        }
    }

    /// Adds to the weight of a row; gives the weight before and after.
    fn add(&mut self, row: Row<'_>, weight: i64) -> (i64, i64) {
        let hash = hash_row(row);
        let Some(position) = self.index.find(hash, |position| self.row_at(position) == row) else {
            if weight != 0 {
                self.insert(hash, row, weight);
            }
            return (0, weight);
        };
        let before = self.weight_at(position);
        let after = before.wrapping_add(weight);
        if after == 0 {
            self.index.remove(hash, position);
            self.arena.free(position, ROW_OFFSET + row.bytes_all().len());
        } else {
            self.arena.bytes_mut(position)[..8].copy_from_slice(&after.to_le_bytes());
        }
        (before, after)
    }

    fn insert(&mut self, hash: u64, row: Row<'_>, weight: i64) {
        let bytes = row.bytes_all();
        let size = ROW_OFFSET + bytes.len();
        let position = self.arena.allocate(size).expect("the rows of a distinct stay below 32 GiB");
        let block = self.arena.bytes_mut(position);
        block[..ROW_OFFSET].copy_from_slice(&weight.to_le_bytes());
        block[ROW_OFFSET..size].copy_from_slice(bytes);
        self.index.insert(hash, position);
    }

    #[inline]
    fn row_at(&self, position: Position) -> Row<'_> {
        Row::at(&self.arena.bytes(position)[ROW_OFFSET..])
    }

    #[inline]
    fn weight_at(&self, position: Position) -> i64 {
        u64_at(self.arena.bytes(position), 0).cast_signed()
    }

    /// All rows with their weights, in no order that means anything.
    pub fn rows(&self) -> impl Iterator<Item = (Row<'_>, i64)> {
        self.index.positions().map(|position| (self.row_at(position), self.weight_at(position)))
    }

    /// An order-free hash of the rows and their weights.
    pub fn digest(&self) -> u64 {
        let term = |(row, weight): (Row<'_>, i64)| hash_row(row).wrapping_mul(weight.cast_unsigned());
        self.rows().map(term).fold(0, u64::wrapping_add)
    }

    /// Bytes taken from the system.
    pub fn held_bytes(&self) -> u64 {
        self.arena.held_bytes() + self.index.held_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Zset, random_deltas, shuffled};

    /// After each batch the sum of what was sent is one copy of each positive row of the sum of what came.
    #[test]
    fn sends_the_set_of_positive_rows() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut distinct, mut consumed, mut sent) = (Distinct::new(), Zset::default(), Zset::default());
            for _ in 0..30 {
                let input = random_deltas(&mut random, 20);
                let mut output = DeltaBuffer::new();
                distinct.run(&input, &mut output);
                consumed.add(&input);
                sent.add(&output);
                let expected = consumed.map_weights(|weight| i64::from(weight > 0));
                assert_eq!(sent, expected, "seed {seed}");
            }
        }
    }

    #[test]
    fn order_does_not_show() {
        for seed in 0..40 {
            let mut random = fastrand::Rng::with_seed(seed);
            let input = random_deltas(&mut random, 200);
            let run = |input: &DeltaBuffer| {
                let (mut distinct, mut output) = (Distinct::new(), DeltaBuffer::new());
                distinct.run(input, &mut output);
                let mut sent = Zset::default();
                sent.add(&output);
                (distinct.digest(), sent)
            };
            let expected = run(&input);
            for _ in 0..5 {
                assert_eq!(run(&shuffled(&mut random, &input)), expected, "seed {seed}");
            }
        }
    }
}
