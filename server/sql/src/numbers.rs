//! Numbers for columns that count by themselves (serial, identity), and random uuids.
//!
//! Numbers are taken from a table in blocks: a row of it is a block that some front has taken, and no other can insert the
//! same row. So a number is never given twice, by whichever front and after whatever restart; what a front has not given of
//! its block when it ends is never given at all.

use operators::{Datum, WriteKind};
use operators::{RowBuilder, Rows, TableId, ViewId};
use std::collections::HashMap;

/// Numbers of a block.
pub(crate) const BLOCK: i64 = 256;

/// A column that counts: its table and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Counter {
    pub(crate) table: u32,
    pub(crate) column: u16,
}

/// The table of blocks, and the view that has those of a counter, the last first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockTable {
    pub(crate) table: TableId,
    pub(crate) view: ViewId,
}

/// Blocks to take: rows to insert at once, outside of any transaction. Then [`Numbers::reserved`] is told what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// The table of blocks.
    pub table: TableId,
    /// Always an insert.
    pub kind: WriteKind,
    /// One row a block.
    pub rows: Rows,
    counter: Counter,
    first: i64,
    count: i64,
}

/// The numbers that a front has taken and not given yet. A front has one of these.
#[derive(Debug)]
pub struct Numbers {
    counters: HashMap<Counter, Taken>,
    random: u64,
}

#[derive(Debug, Default)]
struct Taken {
    /// Ranges of numbers, the first one and the one behind the last.
    ranges: std::collections::VecDeque<(i64, i64)>,
    /// The first block that nobody is known to have.
    next_block: i64,
}

impl Numbers {
    /// None taken yet. `entropy` makes the uuids: it must differ from front to front and from start to start.
    pub fn new(entropy: u64) -> Numbers {
        Numbers { counters: HashMap::new(), random: entropy }
    }

    /// Whether blocks that were asked for are this front's now (the insert went well), or are another's.
    pub fn reserved(&mut self, reserve: &Reserve, is_taken: bool) {
        let taken = self.counters.entry(reserve.counter).or_default();
        let end = reserve.first + reserve.count;
        taken.next_block = taken.next_block.max(end);
        if is_taken {
            taken.ranges.push_back((reserve.first * BLOCK + 1, end * BLOCK + 1));
        }
    }

    /// Whether the blocks that others have taken are known.
    pub(crate) fn knows(&self, counter: Counter) -> bool {
        self.counters.contains_key(&counter)
    }

    /// Learns which blocks are taken: all before this one.
    pub(crate) fn learn(&mut self, counter: Counter, next_block: i64) {
        let taken = self.counters.entry(counter).or_default();
        taken.next_block = taken.next_block.max(next_block);
    }

    /// How many numbers are there to give.
    fn left(&self, counter: Counter) -> i64 {
        let ranges = self.counters.get(&counter).into_iter().flat_map(|taken| &taken.ranges);
        ranges.map(|(from, to)| to - from).sum()
    }

    /// What to take so that there are `count` numbers; nothing if there are.
    pub(crate) fn reserve(&self, table: TableId, counter: Counter, count: i64) -> Option<Reserve> {
        let lacking = count - self.left(counter);
        if lacking <= 0 {
            return None;
        }
        let first = self.counters.get(&counter).map_or(0, |taken| taken.next_block);
        let blocks = (lacking + BLOCK - 1) / BLOCK;
        let mut rows = Rows::new();
        let mut builder = RowBuilder::new();
        for block in first..first + blocks {
            let of = [i64::from(counter.table), i64::from(counter.column), block];
            rows.push_values(&mut builder, &of.map(Datum::Int));
        }
        Some(Reserve { table, kind: WriteKind::Insert, rows, counter, first, count: blocks })
    }

    /// The next number; there must be one.
    pub(crate) fn give(&mut self, counter: Counter) -> i64 {
        let ranges = &mut self.counters.get_mut(&counter).expect("numbers were reserved").ranges;
        let (from, to) = ranges.front_mut().expect("numbers were reserved");
        let number = *from;
        *from += 1;
        if *from == *to {
            ranges.pop_front();
        }
        number
    }

    /// A uuid of version 4.
    pub(crate) fn uuid(&mut self) -> String {
        let (a, b) = (self.bits(), self.bits());
        let (a, b) = (a & !0xf000 | 0x4000, b & !(0xc0 << 56) | 0x80 << 56);
        let hex = format!("{a:016x}{b:016x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// The next 64 bits of a splitmix generator.
    fn bits(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Counter, Numbers};
    use operators::TableId;

    #[test]
    fn what_another_front_has_is_passed_over() {
        let counter = Counter { table: 3, column: 0 };
        let mut numbers = Numbers::new(1);
        numbers.learn(counter, 2);
        let first = numbers.reserve(TableId(9), counter, BLOCK + 1).expect("there are none yet");
        assert_eq!(first.rows.count, 2);
        numbers.reserved(&first, false);
        let second = numbers.reserve(TableId(9), counter, 1).expect("there are none yet");
        numbers.reserved(&second, true);
        assert_eq!(numbers.give(counter), 4 * BLOCK + 1);
        assert_eq!(numbers.give(counter), 4 * BLOCK + 2);
        assert!(numbers.reserve(TableId(9), counter, BLOCK - 2).is_none());
        assert_ne!(numbers.uuid(), numbers.uuid());
        assert_eq!(numbers.uuid().as_bytes()[14], b'4');
    }
}
