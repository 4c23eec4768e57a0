//! An arrangement: the rows of a stream with their weights, by key.
//!
//! Weights may be negative for a while: a retraction that overtakes its insertion is kept and cancels later. A row
//! of weight zero is not kept, so the contents are a function of the multiset consumed.
//!
//! Most keys have one row, and then the index points at the row itself. A key with several rows has a group that heads a
//! list of them. To change a weight the row must be found by its identity: in a short list by walking, and from
//! [`WALK_COUNT_MAX`] rows on by a second index over whole rows, so the cost does not grow with the group.
//!
//! One that is **ordered** has its keys in an ordered index too (`ordered_index.rs`), from which ranges are read (`range.rs`).
//!
//! ```text
//! row:    next u32 (0: none) | previous u32 | weight i64 | row
//! group:  GROUP_MARK u32     | row count u32 | sum of weights i64 | first row u32 | 1 if in the second index, u32
//! ```

use crate::arena::{Arena, Position};
use crate::batch::{DeltaBuffer, Deltas};
use crate::hash::{KeyColumns, hash_key, hash_row, keys_equal};
use crate::index::{Index, position_of};
use crate::ordered_index::OrderedIndex;
use crate::row::{Row, u32_at, u64_at};
use crate::scan::Kept;
use crate::sort_key::SortKey;
use std::ops::RangeInclusive;

/// A group with more rows has them in the second index.
const WALK_COUNT_MAX: u32 = 16;

/// Deltas that are hashed, and whose places are brought into the cache, ahead of being applied.
const GROUP_DELTAS: usize = 128;

/// No row lies at this position: it would be in the last unit of the arena, and rows are longer than a unit.
const GROUP_MARK: u32 = u32::MAX;

const ROW_OFFSET: usize = 16;
const GROUP_BYTES: usize = 24;

/// Weighted rows by key.
#[derive(Debug)]
pub struct Arrangement {
    key: KeyColumns,
    arena: Arena,
    /// From a key's hash to its only row or its group.
    index: Index,
    /// From a row's hash to the row, for rows of large groups.
    row_index: Index,
    /// From a key's sort key to its only row or its group, if ranges of keys are read.
    ordered: Option<Box<OrderedIndex>>,
    row_count: u64,
    /// Reused: the hashes of the deltas of a group.
    hashes: Vec<u64>,
}

impl Arrangement {
    /// No rows, by this key.
    pub fn new(key: KeyColumns) -> Self {
        Arrangement {
            key,
            arena: Arena::default(),
            index: Index::default(),
            row_index: Index::default(),
            ordered: None,
            row_count: 0,
            hashes: Vec::new(),
        }
    }

    /// No rows, by this key and in the order of this sort key, which is of the same columns.
    pub fn ordered(key: KeyColumns, order: SortKey) -> Self {
        Arrangement { ordered: Some(Box::new(OrderedIndex::new(order))), ..Arrangement::new(key) }
    }

    /// The key columns in a row.
    pub fn key(&self) -> &KeyColumns {
        &self.key
    }

    /// Adds the weights of deltas.
    pub fn apply(&mut self, deltas: &DeltaBuffer) {
        let mut hashes = std::mem::take(&mut self.hashes);
        let mut rest = deltas.deltas();
        while !rest.0.is_empty() {
            let group = rest;
            hashes.clear();
            hashes.extend(rest.by_ref().take(GROUP_DELTAS).map(|(row, _)| hash_key(row, &self.key)));
            self.touch(&hashes);
            self.apply_group(group, &hashes);
        }
        self.hashes = hashes;
    }

    fn apply_group(&mut self, mut deltas: Deltas<'_>, hashes: &[u64]) {
        let mut at = 0;
        while at < hashes.len() {
            let (row, weight) = deltas.next().expect("there is a delta for each hash");
            if at + 1 < hashes.len() && hashes[at] == hashes[at + 1] && weight < 0 {
                let mut after = deltas;
                let (with, with_weight) = after.next().expect("there is a delta for each hash");
                if with_weight == -weight && self.replace_only_row(hashes[at], row, with, with_weight) {
                    deltas = after;
                    at += 2;
                    continue;
                }
            }
            self.add(hashes[at], row, weight);
            at += 1;
        }
    }

    /// The usual update of a view: the only row of a key gives way to another. Doing it in place spares the index.
    fn replace_only_row(&mut self, hash: u64, row: Row<'_>, with: Row<'_>, weight: i64) -> bool {
        let (from, to) = (row.bytes_all(), with.bytes_all());
        if !Arena::same_class(ROW_OFFSET + from.len(), ROW_OFFSET + to.len()) {
            return false;
        }
        let Some(position) = self.position(hash, row, &self.key) else { return false };
        let block = self.arena.bytes(position);
        if is_group(block) || weight_of(block) != weight || Row::at(&block[ROW_OFFSET..]) != row {
            return false;
        }
        if !keys_equal(row, &self.key, with, &self.key) {
            return false;
        }
        self.arena.bytes_mut(position)[ROW_OFFSET..ROW_OFFSET + to.len()].copy_from_slice(to);
        true
    }

    /// Adds `weight` to the weight of `row`; `hash` is that of its key.
    pub fn add(&mut self, hash: u64, row: Row<'_>, weight: i64) {
        let Some(position) = self.position(hash, row, &self.key) else {
            let position = self.new_row(row, weight, 0);
            self.index.insert(hash, position);
            if let Some(ordered) = &mut self.ordered {
                ordered.insert(row, position);
            }
            return;
        };
        if is_group(self.arena.bytes(position)) {
            return self.add_to_group(hash, position, row, weight);
        }
        if self.row_at(position) != row {
            return self.make_group(hash, position, row, weight);
        }
        let sum = self.add_weight(position, weight);
        if sum == 0 {
            self.index.remove(hash, position);
            if let Some(ordered) = &mut self.ordered {
                ordered.remove(row);
            }
            self.free_row(position);
        }
    }

    /// The rows of a key with their weights, where `key` says which columns of `row` are the key.
    #[inline]
    pub fn matches(&self, hash: u64, row: Row<'_>, key: &KeyColumns) -> Matches<'_> {
        let next = match self.position(hash, row, key) {
            None => 0,
            Some(position) => self.first_row(position).0,
        };
        Matches { arena: &self.arena, next }
    }

    /// The sum of the weights of a key's rows.
    pub fn weight(&self, hash: u64, row: Row<'_>, key: &KeyColumns) -> i64 {
        // The weight of a row and the sum of a group lie in the same place.
        self.position(hash, row, key).map_or(0, |position| weight_of(self.arena.bytes(position)))
    }

    /// All rows with their weights, in no order that means anything.
    pub fn rows(&self) -> impl Iterator<Item = (Row<'_>, i64)> {
        self.index
            .positions()
            .flat_map(|position| Matches { arena: &self.arena, next: self.first_row(position).0 })
    }

    /// Passes the rows with their weights to `each` whose keys' hashes have their lower halves in `tags`.
    pub fn for_tags<'a>(&'a self, tags: RangeInclusive<u32>, mut each: impl FnMut(Row<'a>, i64)) {
        self.index.for_tags(tags, |position| {
            let matches = Matches { arena: &self.arena, next: self.first_row(position).0 };
            matches.for_each(|(row, weight)| each(row, weight));
        });
    }

    /// From hashes of keys to positions.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// From sort keys of keys to positions, if the arrangement is ordered.
    pub(crate) fn ordered_index(&self) -> Option<&OrderedIndex> {
        self.ordered.as_deref()
    }

    /// What lies at a position of the index.
    pub(crate) fn kept(&self, position: Position) -> Kept<'_> {
        let block = self.arena.bytes(position);
        if is_group(block) {
            Kept::Group(Group { arrangement: self, position })
        } else {
            Kept::Row(Row::at(&block[ROW_OFFSET..]), weight_of(block))
        }
    }

    /// How many different rows there are.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// An order-free hash of the rows and their weights.
    pub fn digest(&self) -> u64 {
        let term = |(row, weight): (Row<'_>, i64)| hash_row(row).wrapping_mul(weight as u64);
        self.rows().map(term).fold(0, u64::wrapping_add)
    }

    /// Bytes taken from the system.
    pub fn held_bytes(&self) -> u64 {
        let ordered = self.ordered.as_ref().map_or(0, |ordered| ordered.held_bytes());
        self.arena.held_bytes() + self.index.held_bytes() + self.row_index.held_bytes() + ordered
    }

    /// Brings what keys of these hashes need into the cache: first the slots, then what lies at their positions.
    pub fn touch(&self, hashes: &[u64]) {
        self.index.touch(hashes, |position| self.arena.touch(position));
    }

    #[inline]
    fn position(&self, hash: u64, row: Row<'_>, key: &KeyColumns) -> Option<Position> {
        self.index.find(hash, |position| {
            let first = self.first_row(position);
            keys_equal(row, key, self.row_at(first), &self.key)
        })
    }

    /// The row at a position of the index, or the first row of the group there.
    #[inline]
    fn first_row(&self, position: Position) -> Position {
        let block = self.arena.bytes(position);
        if is_group(block) { Position(u32_at(block, 16)) } else { position }
    }

    #[inline]
    fn row_at(&self, position: Position) -> Row<'_> {
        Row::at(&self.arena.bytes(position)[ROW_OFFSET..])
    }

    fn make_group(&mut self, hash: u64, only: Position, row: Row<'_>, weight: i64) {
        let sum = weight_of(self.arena.bytes(only)).wrapping_add(weight);
        let first = self.new_row(row, weight, only.0);
        put_u32(self.arena.bytes_mut(only), 4, first.0);
        let group = self.arena.allocate(GROUP_BYTES).expect("an arrangement stays below 32 GiB");
        let block = self.arena.bytes_mut(group);
        put_u32(block, 0, GROUP_MARK);
        put_u32(block, 4, 2);
        put_weight(block, sum);
        put_u32(block, 16, first.0);
        put_u32(block, 20, 0);
        self.index.replace(hash, only, group);
        if let Some(ordered) = &mut self.ordered {
            ordered.replace(row, group);
        }
    }

    fn add_to_group(&mut self, hash: u64, group: Position, row: Row<'_>, weight: i64) {
        self.add_weight(group, weight);
        let block = self.arena.bytes(group);
        let (count, first, indexed) = (u32_at(block, 4), u32_at(block, 16), u32_at(block, 20) != 0);
        let row_hash = if indexed { hash_row(row) } else { 0 };
        if let Some(position) = self.find_in_group(first, indexed, row_hash, row) {
            if self.add_weight(position, weight) == 0 {
                self.remove_from_group(hash, group, position, row_hash);
            }
            return;
        }
        let position = self.new_row(row, weight, first);
        put_u32(self.arena.bytes_mut(Position(first)), 4, position.0);
        let block = self.arena.bytes_mut(group);
        put_u32(block, 4, count + 1);
        put_u32(block, 16, position.0);
        if indexed {
            self.row_index.insert(row_hash, position);
        } else if count + 1 > WALK_COUNT_MAX {
            self.index_group(group);
        }
    }

    fn find_in_group(&self, first: u32, indexed: bool, row_hash: u64, row: Row<'_>) -> Option<Position> {
        if indexed {
            return self.row_index.find(row_hash, |position| self.row_at(position) == row);
        }
        let mut at = first;
        while at != 0 {
            if self.row_at(Position(at)) == row {
                return Some(Position(at));
            }
            at = u32_at(self.arena.bytes(Position(at)), 0);
        }
        None
    }

    fn remove_from_group(&mut self, hash: u64, group: Position, position: Position, row_hash: u64) {
        let block = self.arena.bytes(group);
        let (count, indexed) = (u32_at(block, 4) - 1, u32_at(block, 20) != 0);
        let row = self.arena.bytes(position);
        let (next, previous) = (u32_at(row, 0), u32_at(row, 4));
        if next != 0 {
            put_u32(self.arena.bytes_mut(Position(next)), 4, previous);
        }
        if previous == 0 {
            put_u32(self.arena.bytes_mut(group), 16, next);
        } else {
            put_u32(self.arena.bytes_mut(Position(previous)), 0, next);
        }
        put_u32(self.arena.bytes_mut(group), 4, count);
        if indexed {
            self.row_index.remove(row_hash, position);
        }
        self.free_row(position);
        if count == 1 {
            self.dissolve_group(hash, group, indexed);
        }
    }

    /// One row is left: the index points at it again.
    fn dissolve_group(&mut self, hash: u64, group: Position, indexed: bool) {
        let only = self.first_row(group);
        if indexed {
            let row_hash = hash_row(self.row_at(only));
            self.row_index.remove(row_hash, only);
        }
        self.index.replace(hash, group, only);
        if let Some(ordered) = &mut self.ordered {
            ordered.replace(Row::at(&self.arena.bytes(only)[ROW_OFFSET..]), only);
        }
        self.arena.free(group, GROUP_BYTES);
    }

    fn index_group(&mut self, group: Position) {
        put_u32(self.arena.bytes_mut(group), 20, 1);
        let mut at = self.first_row(group).0;
        while at != 0 {
            let row_hash = hash_row(self.row_at(Position(at)));
            self.row_index.insert(row_hash, Position(at));
            at = u32_at(self.arena.bytes(Position(at)), 0);
        }
    }

    fn new_row(&mut self, row: Row<'_>, weight: i64, next: u32) -> Position {
        let bytes = row.bytes_all();
        let size = ROW_OFFSET + bytes.len();
        let position = self.arena.allocate(size).expect("an arrangement stays below 32 GiB");
        let block = self.arena.bytes_mut(position);
        put_u32(block, 0, next);
        put_u32(block, 4, 0);
        put_weight(block, weight);
        block[ROW_OFFSET..size].copy_from_slice(bytes);
        self.row_count += 1;
        position
    }

    fn free_row(&mut self, position: Position) {
        let size = ROW_OFFSET + self.row_at(position).bytes_all().len();
        self.arena.free(position, size);
        self.row_count -= 1;
    }

    /// Adds to the weight of a row or the sum of a group, and returns the new one.
    fn add_weight(&mut self, position: Position, weight: i64) -> i64 {
        let block = self.arena.bytes_mut(position);
        let sum = weight_of(block).wrapping_add(weight);
        put_weight(block, sum);
        sum
    }
}

/// A key with several rows.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    arrangement: &'a Arrangement,
    position: Position,
}

impl<'a> Group<'a> {
    /// The rows with their weights, in no order that means anything.
    pub(crate) fn rows(&self) -> Matches<'a> {
        let arrangement = self.arrangement;
        Matches { arena: &arrangement.arena, next: arrangement.first_row(self.position).0 }
    }

    /// The second index, in which the rows of large groups are found by the hashes of whole rows.
    pub(crate) fn row_index(&self) -> &'a Index {
        &self.arrangement.row_index
    }

    /// Whether reading all rows in pieces of `bytes_max` in the order of their hashes takes fewer steps by the second index,
    /// once over all large groups, than by going over this group for each piece.
    pub(crate) fn is_read_by_row_index(&self, bytes_max: usize) -> bool {
        let block = self.arrangement.arena.bytes(self.position);
        let (count, indexed) = (u64::from(u32_at(block, 4)), u32_at(block, 20) != 0);
        let first = self.arrangement.row_at(self.arrangement.first_row(self.position));
        let pieces = count * first.bytes_all().len() as u64 / bytes_max.max(1) as u64;
        indexed && count.saturating_mul(pieces) > self.row_index().len() as u64
    }

    /// The row that an entry of the second index stands for, with its weight, if it is one of this group.
    pub(crate) fn row_of_entry(&self, entry: u64) -> Option<(Row<'a>, i64)> {
        let arrangement = self.arrangement;
        let block = arrangement.arena.bytes(position_of(entry));
        let row = Row::at(&block[ROW_OFFSET..]);
        let first = arrangement.row_at(arrangement.first_row(self.position));
        keys_equal(row, &arrangement.key, first, &arrangement.key).then(|| (row, weight_of(block)))
    }
}

/// The rows of one key with their weights.
#[derive(Debug)]
pub struct Matches<'a> {
    arena: &'a Arena,
    next: u32,
}

impl<'a> Iterator for Matches<'a> {
    type Item = (Row<'a>, i64);

    #[inline]
    fn next(&mut self) -> Option<(Row<'a>, i64)> {
        if self.next == 0 {
            return None;
        }
        let block = self.arena.bytes(Position(self.next));
        self.next = u32_at(block, 0);
        Some((Row::at(&block[ROW_OFFSET..]), weight_of(block)))
    }
}

#[inline]
fn is_group(block: &[u8]) -> bool {
    u32_at(block, 0) == GROUP_MARK
}

#[inline]
fn weight_of(block: &[u8]) -> i64 {
    u64_at(block, 8) as i64
}

#[inline]
fn put_weight(block: &mut [u8], weight: i64) {
    block[8..16].copy_from_slice(&weight.to_le_bytes());
}

#[inline]
fn put_u32(block: &mut [u8], at: usize, value: u32) {
    block[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::column;
    use crate::row::RowBuilder;
    use crate::value::{Datum, Type};
    use std::collections::BTreeMap;
    use std::ops::Bound;

    /// Random deltas, negative weights included, against a map; few keys give large groups, many give small ones.
    fn check(seed: u64, keys: i64, values: i64) {
        let columns = [column("key", Type::Int), column("value", Type::Int)];
        let (key, order) = (KeyColumns::new(&columns, &[0]), SortKey::of_columns(&columns, &[0]));
        let mut arrangement = Arrangement::ordered(key, order);
        let mut model: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut builder = RowBuilder::new();
        for _ in 0..400 {
            let mut batch = DeltaBuffer::new();
            for _ in 0..random.usize(1..300) {
                let (key, value) = (random.i64(0..keys), random.i64(0..values));
                let weight =
                    if random.bool() { random.i64(-2..3) } else { -model.get(&(key, value)).unwrap_or(&0) };
                let mut add = |value, weight| {
                    builder.start(2);
                    builder.push(Datum::Int(key));
                    builder.push(Datum::Int(value));
                    batch.push(builder.finish(), weight);
                    *model.entry((key, value)).or_default() += weight;
                };
                add(value, weight);
                if random.bool() {
                    add(random.i64(0..values), -weight);
                }
            }
            model.retain(|_, weight| *weight != 0);
            arrangement.apply(&batch);
            let mut found: Vec<_> =
                arrangement.rows().map(|(row, w)| ((row.int(0), row.int(1)), w)).collect();
            found.sort_unstable();
            assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>());
            assert_eq!(arrangement.row_count(), model.len() as u64);
            check_order(&arrangement);
        }
        let key = arrangement.key().of_key_row();
        for id in 0..keys {
            builder.start(1);
            builder.push(Datum::Int(id));
            let row = builder.finish();
            let hash = hash_key(row, &key);
            let mut found: Vec<_> =
                arrangement.matches(hash, row, &key).map(|(row, w)| (row.int(1), w)).collect();
            found.sort_unstable();
            let expected: Vec<_> =
                model.iter().filter(|((k, _), _)| *k == id).map(|((_, v), w)| (*v, *w)).collect();
            assert_eq!(arrangement.weight(hash, row, &key), expected.iter().map(|(_, w)| w).sum::<i64>());
            assert_eq!(found, expected);
        }
    }

    /// Both indexes have the same positions, and the ordered one has them by the keys of their rows.
    fn check_order(arrangement: &Arrangement) {
        let ordered = arrangement.ordered_index().expect("it was made so");
        let all = ordered.range((Bound::Unbounded, Bound::Unbounded));
        let mut by_order: Vec<u32> = Vec::new();
        let mut last = None;
        for (_, position) in all {
            let key = arrangement.row_at(arrangement.first_row(position)).int(0);
            assert!(last.is_none_or(|last| last < key), "{last:?} comes before {key}");
            last = Some(key);
            by_order.push(position.0);
        }
        by_order.sort_unstable();
        let mut by_hash: Vec<u32> = arrangement.index.positions().map(|position| position.0).collect();
        by_hash.sort_unstable();
        assert_eq!(by_order, by_hash);
    }

    #[test]
    fn agrees_with_a_map() {
        check(1, 500, 2);
        check(2, 100, 30);
        check(3, 3, 300);
        check(4, 1, 2);
    }
}
