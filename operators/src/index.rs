//! An index: from the hash of a key to positions in an arena, by open addressing.
//!
//! An entry is one word: the lower half of the hash as a tag above the position below; 0 is empty. Its home slot
//! is the top bits of the tag, so entries can be moved to a larger table without looking at the rows. Collisions go
//! to the next slots; a removal shifts the entries behind it back, so there are no tombstones.
//!
//! At three quarters full a table of twice the size is put beside the old one, and each insertion moves a few
//! entries, whole clusters at a time: nothing ever waits for a rehash. Between, an entry lies in the old table only
//! if its home slot has not been passed yet. With 16 slots moved per insertion the move of `n` slots is over
//! after `n / 16` insertions, long before the new table (which takes `3n / 4` more) is full.

use crate::arena::Position;
use std::ops::RangeInclusive;

const SLOT_COUNT_MIN: usize = 64;

/// Slots of the old table that an insertion moves, at least.
const MOVE_COUNT: usize = 16;

/// Slots that are read at a time in the order of their tags: 4 KiB of them, so that those which the clusters at both ends reach
/// into count for little.
pub const WINDOW_SLOT_COUNT: usize = 512;

/// Positions by hash.
#[derive(Debug, Default)]
pub struct Index {
    table: Table,
    /// While growing: the smaller table that is being emptied.
    old: Option<Moving>,
    count: usize,
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<u64>,
    /// A tag shifted right by this is its home slot.
    shift: u32,
    count: usize,
}

#[derive(Debug)]
struct Moving {
    table: Table,
    /// Where the move began: an empty slot then, so no cluster reaches across it.
    start: usize,
    /// How many slots from `start` on have been passed. They are empty now.
    passed: usize,
}

impl Index {
    /// The position under this hash for which `is_match` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut is_match: impl FnMut(Position) -> bool) -> Option<Position> {
        if let Some(old) = &self.old
            && !old.has_passed(hash)
            && let Some(slot) = old.table.find(hash, &mut is_match)
        {
            return Some(position_of(old.table.slots[slot]));
        }
        self.table.find(hash, &mut is_match).map(|slot| position_of(self.table.slots[slot]))
    }

    /// Brings what searches for these hashes need into the cache: all home slots first, then, by way of `block`, the
    /// blocks that the slots refer to. Loads that do not depend on each other overlap, where a search after a
    /// search would wait for memory each time. `block` reads a byte at a position.
    #[inline]
    pub fn touch(&self, hashes: &[u64], block: impl Fn(Position) -> u8) {
        let mut seen = 0;
        for hash in hashes {
            seen ^= self.table.home_slot(*hash);
        }
        if let Some(old) = &self.old {
            for hash in hashes {
                seen ^= old.table.home_slot(*hash);
            }
        }
        let (mut bytes, mut last) = (0, None);
        for hash in hashes {
            // Equal keys often follow each other: a row and the one that takes its place.
            if last == Some(hash) {
                continue;
            }
            last = Some(hash);
            if let Some(position) = self.find(*hash, |_| true) {
                bytes ^= block(position);
            }
        }
        std::hint::black_box((seen, bytes));
    }

    /// Adds a position. It must not be there already.
    #[inline]
    pub fn insert(&mut self, hash: u64, position: Position) {
        debug_assert_ne!(position.0, 0);
        if self.old.is_some() {
            self.move_some();
        } else if (self.table.count + 1) * 4 > self.table.slots.len() * 3 {
            self.grow();
        }
        self.table.insert(entry(hash, position));
        self.count += 1;
    }

    /// Removes a position that is there.
    #[inline]
    pub fn remove(&mut self, hash: u64, position: Position) {
        let (table, slot) = self.slot_of(hash, position);
        table.remove(slot);
        self.count -= 1;
    }

    /// Puts `to` in the place of `from`, which is there.
    #[inline]
    pub fn replace(&mut self, hash: u64, from: Position, to: Position) {
        let (table, slot) = self.slot_of(hash, from);
        table.slots[slot] = entry(hash, to);
    }

    /// All positions, in no order that means anything.
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        let old = self.old.iter().flat_map(|old| &old.table.slots);
        self.table.slots.iter().chain(old).filter(|slot| **slot != 0).map(|slot| position_of(*slot))
    }

    /// Passes the positions under all hashes whose lower halves lie in `tags` to `each`, in no order that means anything.
    /// Homes are in the order of tags, so only those slots are looked at, and the clusters that they reach into.
    pub fn for_tags(&self, tags: RangeInclusive<u32>, mut each: impl FnMut(Position)) {
        let mut each = |entry| each(position_of(entry));
        if let Some(old) = &self.old {
            old.table.for_tags(&tags, &mut each);
        }
        self.table.for_tags(&tags, &mut each);
    }

    /// The tags from `first` on that have their homes in [`WINDOW_SLOT_COUNT`] slots.
    pub fn window(&self, first: u32) -> RangeInclusive<u32> {
        let tags =
            (WINDOW_SLOT_COUNT as u64) << if self.table.slots.is_empty() { 32 } else { self.table.shift };
        first..=u32::try_from(u64::from(first) + (tags - 1)).unwrap_or(u32::MAX)
    }

    /// Puts the entries under all hashes whose lower halves lie in `tags` into `entries`, in the order of tags.
    pub fn sorted_entries(&self, tags: RangeInclusive<u32>, entries: &mut Vec<u64>) {
        entries.clear();
        let tables = self.old.iter().map(|old| &old.table).chain([&self.table]);
        tables.for_each(|table| table.for_tags(&tags, &mut |entry| entries.push(entry)));
        entries.sort_unstable();
    }

    /// How many positions there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Bytes taken from the system.
    pub fn held_bytes(&self) -> u64 {
        let old = self.old.as_ref().map_or(0, |old| old.table.slots.len());
        ((self.table.slots.len() + old) * 8) as u64
    }

    #[inline]
    fn slot_of(&mut self, hash: u64, position: Position) -> (&mut Table, usize) {
        if let Some(old) = &mut self.old
            && !old.has_passed(hash)
            && let Some(slot) = old.table.find(hash, &mut |at| at == position)
        {
            return (&mut old.table, slot);
        }
        let slot = self.table.find(hash, &mut |at| at == position).expect("the position is in the index");
        (&mut self.table, slot)
    }

    #[cold]
    fn grow(&mut self) {
        let slots = (self.table.slots.len() * 2).max(SLOT_COUNT_MIN);
        let table = std::mem::replace(&mut self.table, Table::new(slots));
        if table.count > 0 {
            let start =
                table.slots.iter().position(|slot| *slot == 0).expect("a quarter of the slots is empty");
            self.old = Some(Moving { table, start, passed: 0 });
            self.move_some();
        }
    }

    /// Moves some clusters from the old table to the new one.
    fn move_some(&mut self) {
        let Some(old) = &mut self.old else { return };
        let slots = old.table.slots.len();
        let mask = slots - 1;
        let mut moved = 0;
        while old.passed < slots {
            let slot = &mut old.table.slots[(old.start + old.passed) & mask];
            if *slot == 0 && moved >= MOVE_COUNT {
                return;
            }
            if *slot != 0 {
                self.table.insert(*slot);
                *slot = 0;
                old.table.count -= 1;
            }
            old.passed += 1;
            moved += 1;
        }
        assert_eq!(old.table.count, 0, "every entry has been moved");
        self.old = None;
    }
}

impl Moving {
    /// Whether the entries with this hash have left the old table.
    #[inline]
    fn has_passed(&self, hash: u64) -> bool {
        let distance = self.table.home(hash as u32).wrapping_sub(self.start) & (self.table.slots.len() - 1);
        distance < self.passed
    }
}

impl Table {
    fn new(slots: usize) -> Self {
        assert!(slots.is_power_of_two());
        assert!(slots.trailing_zeros() <= u32::BITS, "tags of 32 bits tell homes of 32 bits apart");
        Table { slots: vec![0; slots], shift: u32::BITS - slots.trailing_zeros(), count: 0 }
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        // A shift by 32 happens only in a table of one slot, which does not exist.
        (tag >> self.shift) as usize
    }

    /// What lies in the home slot of a hash, or 0 if there are no slots.
    #[inline]
    fn home_slot(&self, hash: u64) -> u64 {
        self.slots.get(self.home(hash as u32)).copied().unwrap_or_default()
    }

    #[inline]
    fn find(&self, hash: u64, is_match: &mut impl FnMut(Position) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let tag = hash as u32;
        let mask = self.slots.len() - 1;
        let mut at = self.home(tag);
        loop {
            let slot = self.slots[at & mask];
            if slot == 0 {
                return None;
            }
            if tag_of(slot) == tag && is_match(position_of(slot)) {
                return Some(at & mask);
            }
            at += 1;
        }
    }

    fn for_tags(&self, tags: &RangeInclusive<u32>, each: &mut impl FnMut(u64)) {
        if self.slots.is_empty() {
            return;
        }
        let mask = self.slots.len() - 1;
        let (first, last) = (self.home(*tags.start()), self.home(*tags.end()));
        for at in first..first + self.slots.len() {
            let slot = self.slots[at & mask];
            if slot == 0 && at >= last {
                break;
            }
            if slot != 0 && tags.contains(&tag_of(slot)) {
                each(slot);
            }
        }
    }

    #[inline]
    fn insert(&mut self, entry: u64) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(tag_of(entry));
        while self.slots[at & mask] != 0 {
            at += 1;
        }
        self.slots[at & mask] = entry;
        self.count += 1;
    }

    #[inline]
    fn remove(&mut self, slot: usize) {
        let mask = self.slots.len() - 1;
        let mut hole = slot;
        let mut at = slot;
        loop {
            at = (at + 1) & mask;
            let entry = self.slots[at];
            if entry == 0 {
                break;
            }
            // An entry may move to the hole unless its home lies behind the hole.
            let distance_home = at.wrapping_sub(self.home(tag_of(entry))) & mask;
            let distance_hole = at.wrapping_sub(hole) & mask;
            if distance_home >= distance_hole {
                self.slots[hole] = entry;
                hole = at;
            }
        }
        self.slots[hole] = 0;
        self.count -= 1;
    }
}

#[inline]
fn entry(hash: u64, position: Position) -> u64 {
    u64::from(hash as u32) << 32 | u64::from(position.0)
}

/// The tag in an entry.
#[inline]
pub(crate) fn tag_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

/// The position in an entry.
#[inline]
pub(crate) fn position_of(entry: u64) -> Position {
    Position(entry as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Random insertions, removals and replacements against a map, through many growths; `spread` narrows the
    /// hashes to provoke collisions and clusters that wrap around.
    fn check(seed: u64, spread: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut index = Index::default();
        let mut model: HashMap<u32, u64> = HashMap::new();
        let mut alive = Vec::new();
        let mut next = 1;
        for step in 0..60_000 {
            let grow = if (step / 10_000) % 2 == 0 { 70 } else { 35 };
            if alive.is_empty() || random.u32(0..100) < grow {
                let hash = random.u64(..) | spread;
                index.insert(hash, Position(next));
                model.insert(next, hash);
                alive.push(next);
                next += 1;
            } else {
                let at = random.usize(0..alive.len());
                let position = alive.swap_remove(at);
                let hash = model.remove(&position).expect("alive");
                if random.bool() {
                    index.remove(hash, Position(position));
                } else {
                    index.replace(hash, Position(position), Position(next));
                    model.insert(next, hash);
                    alive.push(next);
                    next += 1;
                }
                assert_eq!(index.find(hash, |p| p.0 == position), None);
            }
            assert_eq!(index.len(), model.len());
        }
        for (position, hash) in &model {
            assert_eq!(index.find(*hash, |p| p.0 == *position), Some(Position(*position)));
        }
        let mut found: Vec<u32> = index.positions().map(|position| position.0).collect();
        found.sort_unstable();
        let mut expected: Vec<u32> = model.keys().copied().collect();
        expected.sort_unstable();
        assert_eq!(found, expected);
        let mut bounds: Vec<u32> = (0..random.usize(1..9)).map(|_| random.u32(1..) | spread as u32).collect();
        bounds.extend([0xfc00_0000, 0xffff_fffe, 1]);
        bounds.sort_unstable();
        bounds.dedup();
        let starts = std::iter::once(0).chain(bounds.iter().copied());
        let ends = bounds.iter().map(|bound| bound - 1).chain([u32::MAX]);
        let mut found = Vec::new();
        for (start, end) in starts.zip(ends) {
            let before = found.len();
            index.for_tags(start..=end, |position| found.push(position.0));
            assert!(found[before..].iter().all(|position| (start..=end).contains(&(model[position] as u32))));
        }
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn agrees_with_a_map() {
        for seed in 0..3 {
            check(seed, 0);
        }
    }

    #[test]
    fn agrees_with_a_map_when_hashes_crowd() {
        // All homes lie in the last 1/64 of the table, so clusters wrap around its end.
        check(7, 0xfc00_0000);
        // Only 16 different tags at a time.
        check(8, 0x03ff_ffff & !0xf);
    }
}
