//! Backfill: how operators that are added later get the rows that were there before them.
//!
//! A later plan reads what is installed through a **gate** only, one for each stream that it takes ([`Operator::Backfill`],
//! which the builder puts in). A gate divides its stream into [`SLICE_COUNT`] slices by a hash of each row and lets
//! through the slices below a threshold. The threshold rises with the **ticks** that the shard has consumed: tick by tick one slice more.
//!
//! **Why each row arrives exactly once.** With T the sum of all that the stream has sent, and t the threshold, what the gate
//! has sent in total is the part of T in slices below t. A delta in such a slice is passed on as it comes; one in a higher
//! slice is not, since it will be a part of T when its slice is opened; and opening a slice sends the part of T in it. So what a
//! gate has sent depends on T and t alone, which is the law of operators: a shard may consume its writes, the messages
//! of other shards, the catalogue and the ticks in any order, now and when it does it again, and arrives at the same.
//! There is no moment of "before" and "after" that shards would have to agree on.
//!
//! - *Shards get the new plan at different labels.* A gate looks at its own shard only: T is what is here. What passes and is for
//!   other shards goes through an exchange that is as new as the gate, so a message with it was sent after its
//!   sender consumed the catalogue's entry; its clock says so, and a receiver consumes that entry first
//!   (`NeedsControl` in the runtime's `shard/step.rs`). The receiver needs nothing but the entry for that, so nobody waits in a circle.
//! - *Messages that were sent earlier*, for exchanges that were there, are a part of T where they are consumed, whenever
//!   that is.
//! - *Ticks are numbered*, [`SLICE_COUNT`] for every gate in the order of their installation, also for those that were dropped
//!   since. So the threshold of each follows from the number of ticks in the cut, and not from what else was consumed before them.
//!
//! **Which streams.** Those whose T lies somewhere by a key: tables, aggregates, and whatever a join or a view has
//! arranged. Slices are by the hash of that key, the bits that its index is ordered by: so a slice is read without passing over
//! the rest. An exchange or a filter that nobody has arranged keeps nothing; the builder plans from
//! the table again then, with an exchange of its own. Who joins or looks up rows behind a gate by the key that they are
//! already kept by finds them there, through the threshold, without a copy.
//!
//! **Cost.** Opening a slice: as much as a write of its rows. While a gate is not wide open, each delta and each row found through it
//! takes one more hash; afterwards each delta is copied once. All rows of one key are in one slice: a
//! view with a single key is opened at once.

use crate::batch::DeltaBuffer;
use crate::dataflow::Node;
use crate::hash::{KeyColumns, hash_key};
use crate::row::Row;
use crate::source::Place;
use std::ops::RangeInclusive;

#[cfg(doc)]
use crate::plan::Operator;

/// Slices of a gate, and so its ticks: with ten million rows on a shard a slice has 2,400, a millisecond or two of work.
pub const SLICE_COUNT: u32 = 1 << SLICE_BITS;
const SLICE_BITS: u32 = 12;

/// One gate.
#[derive(Debug)]
pub struct Gate {
    /// Where the rows of the stream are kept.
    place: Place,
    /// The key that they are kept by.
    key: KeyColumns,
    /// The slices below are open, when the step is over.
    open: u32,
    /// The slices below have been sent.
    passed: u32,
}

impl Gate {
    /// A gate with no slice open, for a stream that is kept in `place` by `key`.
    pub fn new(place: Place, key: KeyColumns) -> Self {
        Gate { place, key, open: 0, passed: 0 }
    }

    /// Where the rows of the stream are kept.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Opens the slices below `slice`.
    pub fn open_to(&mut self, slice: u32) {
        assert!(self.open <= slice && slice <= SLICE_COUNT, "a gate is never closed again");
        self.open = slice;
    }

    /// How many slices are open.
    pub fn open_count(&self) -> u32 {
        self.open
    }

    /// Whether it lets everything pass.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open == SLICE_COUNT
    }

    /// Whether everything has passed; in the step that opens it wide only after its run.
    pub fn has_passed_all(&self) -> bool {
        self.passed == SLICE_COUNT
    }

    /// Whether this row has passed or passes in this step.
    pub fn lets(&self, row: Row<'_>) -> bool {
        self.is_open() || slice_of(row, &self.key) < self.open
    }

    /// Passes on the deltas in open slices, and all rows of the slices that this step opens.
    pub fn run(&mut self, nodes: &[Node], input: &DeltaBuffer, out: &mut DeltaBuffer) {
        if self.passed == SLICE_COUNT {
            out.push_frames(input.deltas(), input.count);
            return;
        }
        for (row, weight) in input.deltas() {
            if slice_of(row, &self.key) < self.passed {
                out.push(row, weight);
            }
        }
        if self.passed < self.open {
            self.place.for_tags(nodes, tags(self.passed, self.open), |row, weight| out.push(row, weight));
            self.passed = self.open;
        }
    }
}

#[inline]
fn slice_of(row: Row<'_>, key: &KeyColumns) -> u32 {
    (hash_key(row, key) as u32) >> (u32::BITS - SLICE_BITS)
}

/// The lower halves of the hashes in the slices from `first` to before `end`.
fn tags(first: u32, end: u32) -> RangeInclusive<u32> {
    assert!(first < end && end <= SLICE_COUNT);
    let shift = u32::BITS - SLICE_BITS;
    first << shift..=((end - 1) << shift | ((1 << shift) - 1))
}

/// All gates of a dataflow, and the ticks that open them.
#[derive(Debug, Default)]
pub struct Gates {
    /// The nodes of the gates in the order of their installation; none for those that were dropped.
    nodes: Vec<Option<usize>>,
    ticks: u64,
}

impl Gates {
    /// Adds a gate, or the place of one that has been dropped already.
    pub fn add(&mut self, node: Option<usize>) {
        self.nodes.push(node);
        assert!(self.ticks <= self.first_tick(self.nodes.len() - 1), "ticks are for gates that there are");
    }

    /// Forgets those that were added after the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.nodes.truncate(count);
    }

    /// How many gates there have ever been.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A gate is dropped. Its ticks remain, and do nothing.
    pub fn forget(&mut self, node: usize) {
        self.nodes.iter_mut().filter(|gate| **gate == Some(node)).for_each(|gate| *gate = None);
    }

    /// Ticks consumed.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Ticks for all gates.
    pub fn ticks_max(&self) -> u64 {
        self.first_tick(self.nodes.len())
    }

    fn first_tick(&self, gate: usize) -> u64 {
        gate as u64 * u64::from(SLICE_COUNT)
    }

    /// How many ticks make about `rows_max` rows pass; none when all gates are open. `rows` gives the rows behind the gate at a
    /// node.
    pub fn ticks_for(&self, rows_max: u64, rows: impl Fn(usize) -> u64) -> u64 {
        let slices = u64::from(SLICE_COUNT);
        let (mut ticks, mut budget) = (0, rows_max);
        while self.ticks + ticks < self.ticks_max() {
            let at = self.ticks + ticks;
            let left = slices - at % slices;
            let rows = self.nodes[(at / slices) as usize].map_or(0, &rows);
            let rows_left = (rows * left).div_ceil(slices);
            if rows_left > budget {
                let some = budget * slices / rows;
                return if ticks == 0 { some.clamp(1, left) } else { ticks + some.min(left) };
            }
            budget -= rows_left;
            ticks += left;
        }
        ticks
    }

    /// Counts ticks up to number `upto`, and passes the nodes whose gates these open to `each`, with the slice up to
    /// which each is open now.
    pub fn tick(&mut self, upto: u64, mut each: impl FnMut(usize, u32)) {
        assert!(self.ticks <= upto && upto <= self.ticks_max(), "tick {upto} of {}", self.ticks_max());
        let slices = u64::from(SLICE_COUNT);
        for gate in self.ticks / slices..upto.div_ceil(slices) {
            if let Some(node) = self.nodes[gate as usize] {
                each(node, (upto - gate * slices).min(slices) as u32);
            }
        }
        self.ticks = upto;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_all_hashes() {
        assert_eq!(tags(0, 1), 0..=0xf_ffff);
        assert_eq!(tags(1, 3), 0x10_0000..=0x2f_ffff);
        assert_eq!(tags(SLICE_COUNT - 1, SLICE_COUNT), 0xfff0_0000..=u32::MAX);
        assert_eq!(tags(0, SLICE_COUNT), 0..=u32::MAX);
    }

    #[test]
    fn ticks_are_as_many_as_rows_ask_for() {
        let mut gates = Gates::default();
        assert_eq!(gates.ticks_for(10, |_| unreachable!("there is no gate")), 0);
        (0..3).for_each(|node| gates.add(Some(node)));
        let rows = |node: usize| [1 << 20, 0, 100][node];
        assert_eq!(gates.ticks_for(10, rows), 1, "a slice is the least that can pass");
        assert_eq!(gates.ticks_for(1 << 10, rows), 4);
        assert_eq!(gates.ticks_for(u64::MAX >> 20, rows), 3 * 4096);
        let mut opened = Vec::new();
        gates.tick(4095, |node, slice| opened.push((node, slice)));
        // What is left of the first, the empty second, and a part of the third.
        assert_eq!(gates.ticks_for(256 + 50, rows), 1 + 4096 + 2048);
        gates.forget(1);
        gates.tick(2 * 4096 + 7, |node, slice| opened.push((node, slice)));
        assert_eq!(opened, [(0, 4095), (0, 4096), (2, 7)]);
        assert_eq!((gates.ticks(), gates.ticks_max()), (2 * 4096 + 7, 3 * 4096));
    }
}
