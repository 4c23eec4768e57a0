//! Combining deltas: equal rows become one delta with the sum of their weights, and sums of zero disappear.
//!
//! One pass hashes every row into a small open-addressing table that refers to the rows where they lie; the rows
//! come out in the order of their first appearance. About 15 ns a row while the table fits the second-level cache
//! (10,000 deltas: 256 KiB).

use crate::batch::Deltas;
use crate::hash::hash_row;
use crate::row::Row;

/// Combines deltas in tables that it keeps.
#[derive(Debug, Default)]
pub struct Combiner {
    /// The tag of a row's hash above 1 + its index among the entries; 0 is empty.
    slots: Vec<u64>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where the row is: in which of the inputs, and from which byte on.
    input: usize,
    offset: usize,
    weight: i64,
}

impl Combiner {
    /// Passes each different row of `inputs` to `emit` once, with its summed weight unless that is zero. `count` is
    /// the number of deltas.
    pub fn combine<'a>(&mut self, inputs: [Deltas<'a>; 2], count: usize, mut emit: impl FnMut(Row<'a>, i64)) {
        if count <= 1 {
            inputs.into_iter().flatten().for_each(|(row, weight)| emit(row, weight));
            return;
        }
        self.entries.clear();
        self.slots.clear();
        self.slots.resize((count * 2).next_power_of_two(), 0);
        for (input, deltas) in inputs.iter().enumerate() {
            let mut rest = *deltas;
            loop {
                let offset = deltas.0.len() - rest.0.len() + size_of::<i64>();
                let Some((row, weight)) = rest.next() else { break };
                self.add(&inputs, row, Entry { input, offset, weight });
            }
        }
        for entry in self.entries.iter().filter(|entry| entry.weight != 0) {
            emit(row_of(&inputs, entry), entry.weight);
        }
    }

    #[inline]
    fn add(&mut self, inputs: &[Deltas<'_>; 2], row: Row<'_>, entry: Entry) {
        let hash = hash_row(row);
        let tag = hash >> 32;
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                self.entries.push(entry);
                self.slots[at] = tag << 32 | self.entries.len() as u64;
                return;
            }
            if slot >> 32 == tag {
                let known = &mut self.entries[slot as u32 as usize - 1];
                if row_of(inputs, known) == row {
                    known.weight = known.weight.wrapping_add(entry.weight);
                    return;
                }
            }
            at = (at + 1) & mask;
        }
    }
}

#[inline]
fn row_of<'a>(inputs: &[Deltas<'a>; 2], entry: &Entry) -> Row<'a> {
    Row::at(&inputs[entry.input].0[entry.offset..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::DeltaBuffer;
    use crate::row::RowBuilder;
    use crate::value::Datum;
    use std::collections::BTreeMap;

    #[test]
    fn sums_weights_and_drops_zeros() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut combiner = Combiner::default();
        let mut builder = RowBuilder::new();
        for count in [0, 1, 2, 7, 100, 3000] {
            let mut batches = [DeltaBuffer::new(), DeltaBuffer::new()];
            let mut expected: BTreeMap<i64, i64> = BTreeMap::new();
            for _ in 0..count {
                let (value, weight) = (random.i64(0..1 + count / 3), random.i64(-2..3));
                builder.start(1);
                builder.push(Datum::Int(value));
                batches[random.usize(0..2)].push(builder.finish(), weight);
                *expected.entry(value).or_default() += weight;
            }
            expected.retain(|_, weight| *weight != 0);
            let mut found = BTreeMap::new();
            let inputs = [batches[0].deltas(), batches[1].deltas()];
            let deltas = (batches[0].count + batches[1].count) as usize;
            combiner.combine(inputs, deltas, |row, weight| {
                assert_eq!(found.insert(row.int(0), weight), None, "each row once");
            });
            assert_eq!(found, expected);
        }
    }
}
