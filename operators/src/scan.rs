//! Scans: all rows of a view on one shard, in pieces of bounded size, while the view goes on changing.
//!
//! **The order.** Rows come in the order of the tags of their keys (the lower halves of the keys' hashes, by which the
//! indexes are ordered), and those of one tag in the order of the hashes of the whole rows. Both follow from the row alone: not from
//! when it came, where it lies or what lies beside it. So a [`ScanPosition`] means the same after any number of writes, after
//! the index has grown, and on a shard that died and was restored. A row that is there throughout lies on one side of each
//! position, and comes exactly once, whatever else is written. A row of weight n comes n times and is
//! continued in the middle of them. (Only should two rows of one tag have the same 64 bits of hash, and a piece end between
//! them, can a write to one of them move the other across.)
//!
//! **The way there.** The index is read a window of slots after the other, and the entries of a window are sorted: a few
//! hundred words. Most tags have one row, or some that all fit: these are copied as they come, and no row is hashed.
//! What lies under a tag that does not fit into a piece is read in the order of its rows' hashes, in one of two ways:
//! by going over all of them each time and keeping the first ones, or by the second index of an arrangement, which is
//! ordered by just these hashes but holds the rows of all other large groups as well. Whichever passes over fewer rows
//! by the end is taken.
//!
//! **Cost.** A piece looks at no more than [`SLOT_COUNT_MAX`] slots, and copies what it gives; memory beside that is for one window, or for
//! twice the rows of a piece. A key with n rows in p pieces takes n p steps, or as many as there are rows in large groups.

use crate::aggregate::Aggregation;
use crate::arena::Position;
use crate::arrangement::{Arrangement, Group};
use crate::hash::hash_row;
use crate::index::{Index, WINDOW_SLOT_COUNT, tag_of};
use crate::row::{Row, Rows};
use crate::table::Table;

/// Slots that a piece looks at, at most: two or three milliseconds in an index that has been emptied.
const SLOT_COUNT_MAX: usize = 1 << 20;
/// Rows under one tag that are kept before the first look at which of them will do.
const CHOSEN_COUNT_MIN: usize = 64;

/// Where a scan goes on: all rows before it have been given.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[rkyv(derive(Debug, Clone, Copy))]
pub struct ScanPosition {
    /// The tag of the next key.
    tag: u32,
    /// The next row's place among those of the tag; see [`place_of`].
    row: u64,
    /// How many times that row has been given.
    copies: u64,
}

impl ScanPosition {
    /// Before all rows.
    pub const START: ScanPosition = ScanPosition { tag: 0, row: 0, copies: 0 };
    /// After all rows, but for one whose hash and place are the largest there are.
    pub const END: ScanPosition = ScanPosition { tag: u32::MAX, row: u64::MAX, copies: u64::MAX };
    /// Length of the form in bytes.
    pub const BYTES: usize = 20;

    /// As bytes that mean nothing to others.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.tag.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.row.to_le_bytes());
        bytes[12..].copy_from_slice(&self.copies.to_le_bytes());
        bytes
    }

    /// The position of these bytes; none if they are not as long as one. Any position is a good one: a made-up one is
    /// somewhere between two rows.
    pub fn from_bytes(bytes: &[u8]) -> Option<ScanPosition> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (tag, rest) = bytes.split_first_chunk::<4>()?;
        let (row, rest) = rest.split_first_chunk::<8>()?;
        let copies = rest.first_chunk::<8>()?;
        Some(ScanPosition {
            tag: u32::from_le_bytes(*tag),
            row: u64::from_le_bytes(*row),
            copies: u64::from_le_bytes(*copies),
        })
    }

    fn at_tag(tag: u32) -> ScanPosition {
        ScanPosition { tag, row: 0, copies: 0 }
    }

    fn is_before_its_tag(self) -> bool {
        self.row == 0 && self.copies == 0
    }
}

impl ArchivedScanPosition {
    /// The position.
    pub fn to_native(&self) -> ScanPosition {
        ScanPosition { tag: self.tag.to_native(), row: self.row.to_native(), copies: self.copies.to_native() }
    }
}

/// What is scanned.
#[derive(Clone, Copy)]
pub(crate) enum Scanned<'a> {
    Table(&'a Table),
    Groups(&'a Aggregation),
    Arrangement(&'a Arrangement),
}

/// What lies at a position of an index.
#[derive(Clone, Copy)]
pub(crate) enum Kept<'a> {
    Nothing,
    Row(Row<'a>, i64),
    Group(Group<'a>),
}

impl<'a> Scanned<'a> {
    fn index(self) -> &'a Index {
        match self {
            Scanned::Table(table) => table.index(),
            Scanned::Groups(groups) => groups.index(),
            Scanned::Arrangement(arrangement) => arrangement.index(),
        }
    }

    fn kept(self, entry: u64) -> Kept<'a> {
        let position = crate::index::position_of(entry);
        match self {
            Scanned::Table(table) => Kept::Row(table.row_at(position), 1),
            Scanned::Groups(groups) => groups.row_at(position).map_or(Kept::Nothing, |row| Kept::Row(row, 1)),
            Scanned::Arrangement(arrangement) => arrangement.kept(position),
        }
    }
}

/// Appends the rows of positive weight from `from` on to `into`, which is empty: as many as make up to `bytes_max`, but one
/// at least where there are any nearby. Returns where to go on, or none after the last.
pub(crate) fn scan(
    scanned: Scanned<'_>,
    mut from: ScanPosition,
    bytes_max: usize,
    into: &mut Rows,
) -> Option<ScanPosition> {
    assert!(into.is_empty());
    let index = scanned.index();
    let mut piece = Piece { scanned, bytes_max, rows_left: u64::MAX, into };
    let mut entries = Vec::new();
    for _ in 0..SLOT_COUNT_MAX / WINDOW_SLOT_COUNT {
        let window = index.window(from.tag);
        let end = *window.end();
        index.sorted_entries(window, &mut entries);
        for same in entries.chunk_by(|a, b| tag_of(*a) == tag_of(*b)) {
            let tag = tag_of(same[0]);
            let start = if tag == from.tag { from } else { ScanPosition::at_tag(tag) };
            if let Some(next) = piece.take_tag(same, start) {
                return Some(next);
            }
        }
        from = ScanPosition::at_tag(end.checked_add(1)?);
    }
    Some(from)
}

/// A piece that is being filled.
pub(crate) struct Piece<'a, 'b> {
    scanned: Scanned<'a>,
    bytes_max: usize,
    /// The most rows that are taken of a key which is not taken whole.
    rows_left: u64,
    into: &'b mut Rows,
}

impl<'a, 'b> Piece<'a, 'b> {
    /// An empty one, to be filled key by key.
    pub(crate) fn of_keys(arrangement: &'a Arrangement, bytes_max: usize, into: &'b mut Rows) -> Self {
        assert!(into.is_empty());
        Piece { scanned: Scanned::Arrangement(arrangement), bytes_max, rows_left: 0, into }
    }

    /// Takes up to so many rows of the key at a position of the index, from `start` on and in the order of their hashes. Returns
    /// how many, and where to go on if there may be more. The first row of a piece always fits.
    #[inline]
    pub(crate) fn take_key(
        &mut self,
        position: Position,
        start: ScanPosition,
        rows_max: u32,
    ) -> (u32, Option<ScanPosition>) {
        let entry = u64::from(position.0);
        if let Kept::Row(row, 1) = self.scanned.kept(entry)
            && start == ScanPosition::START
            && (bytes_of(row, 1) <= self.room() || self.into.is_empty())
        {
            self.into.push(row);
            return (1, None);
        }
        self.rows_left = rows_max.into();
        let before = self.into.count;
        let chosen = Chosen::of(self.scanned, &[entry], start, self.bytes_max);
        let next = self.take_chosen(chosen, ScanPosition { tag: 0, ..start });
        (self.into.count - before, next)
    }

    /// Takes what lies under one tag, from `start` on. Returns where to go on if not all of it fits.
    fn take_tag(&mut self, same: &[u64], start: ScanPosition) -> Option<ScanPosition> {
        if start.is_before_its_tag() {
            if self.fits(same) {
                let scanned = self.scanned;
                for_rows(scanned, same, |row, weight| (0..weight).for_each(|_| self.into.push(row)));
                return None;
            }
            if !self.into.is_empty() {
                return Some(start);
            }
        }
        let chosen = Chosen::of(self.scanned, same, start, self.bytes_max);
        self.take_chosen(chosen, start)
    }

    fn room(&self) -> u64 {
        self.bytes_max.saturating_sub(self.into.rows.len()) as u64
    }

    /// Whether all rows under a tag fit into what is left.
    fn fits(&self, same: &[u64]) -> bool {
        let mut left = self.room();
        same.iter().all(|entry| {
            let mut take = |(row, weight): (Row<'_>, i64)| {
                let rest = left.checked_sub(bytes_of(row, weight));
                left = rest.unwrap_or(0);
                rest.is_some()
            };
            match self.scanned.kept(*entry) {
                Kept::Nothing => true,
                Kept::Row(row, weight) => take((row, weight)),
                Kept::Group(group) => group.rows().all(take),
            }
        })
    }

    fn take_chosen(&mut self, chosen: Chosen<'a>, start: ScanPosition) -> Option<ScanPosition> {
        for same in chosen.rows.chunk_by(|a, b| a.place == b.place) {
            let place = same[0].place;
            let mut skipped = if place == start.row { start.copies } else { 0 };
            let mut given = skipped;
            for Choice { row, weight, .. } in same {
                let there = (*weight).cast_unsigned();
                let left = there - there.min(skipped);
                skipped -= there.min(skipped);
                let fitting = self.room() / row.bytes_all().len() as u64;
                let fitting = fitting.max(u64::from(self.into.is_empty())).min(self.rows_left);
                let taken = left.min(fitting);
                (0..taken).for_each(|_| self.into.push(*row));
                self.rows_left -= taken;
                given += taken;
                if left > fitting {
                    return Some(ScanPosition { tag: start.tag, row: place, copies: given });
                }
            }
        }
        let row = chosen.bound.checked_add(1)?;
        Some(ScanPosition { tag: start.tag, row, copies: 0 })
    }
}

/// Passes all rows of positive weight under a tag to `each`.
fn for_rows<'a>(scanned: Scanned<'a>, same: &[u64], mut each: impl FnMut(Row<'a>, i64)) {
    let mut each = |row, weight: i64| {
        if weight > 0 {
            each(row, weight);
        }
    };
    for entry in same {
        match scanned.kept(*entry) {
            Kept::Nothing => {}
            Kept::Row(row, weight) => each(row, weight),
            Kept::Group(group) => group.rows().for_each(|(row, weight)| each(row, weight)),
        }
    }
}

/// Bytes that a row takes in a piece.
fn bytes_of(row: Row<'_>, weight: i64) -> u64 {
    (row.bytes_all().len() as u64).saturating_mul(u64::try_from(weight).unwrap_or(0))
}

/// Where a row comes among those of its tag: its hash with the halves changed, so that it is in the order of an
/// arrangement's second index.
fn place_of(row: Row<'_>) -> u64 {
    hash_row(row).rotate_left(u32::BITS)
}

/// The first rows under a tag from a place on: all of them up to `bound`.
struct Chosen<'a> {
    rows: Vec<Choice<'a>>,
    start: ScanPosition,
    bytes_wanted: u64,
    /// The last place up to which every row is chosen.
    bound: u64,
    /// How many rows may be chosen before those beyond what is wanted are dropped.
    count_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Choice<'a> {
    place: u64,
    row: Row<'a>,
    weight: i64,
}

impl<'a> Chosen<'a> {
    fn of(scanned: Scanned<'a>, same: &[u64], start: ScanPosition, bytes_max: usize) -> Chosen<'a> {
        let mut chosen = Chosen {
            rows: Vec::new(),
            start,
            bytes_wanted: bytes_max as u64,
            bound: u64::MAX,
            count_max: CHOSEN_COUNT_MIN,
        };
        for entry in same {
            match scanned.kept(*entry) {
                Kept::Nothing => {}
                Kept::Row(row, weight) => chosen.add(row, weight),
                Kept::Group(group) if group.is_read_by_row_index(bytes_max) => {
                    chosen.add_by_row_index(&group);
                }
                Kept::Group(group) => group.rows().for_each(|(row, weight)| chosen.add(row, weight)),
            }
        }
        chosen.prune();
        chosen
    }

    fn add(&mut self, row: Row<'a>, weight: i64) {
        let place = place_of(row);
        if weight <= 0 || place < self.start.row || place > self.bound {
            return;
        }
        self.rows.push(Choice { place, row, weight });
        if self.rows.len() >= self.count_max {
            self.prune();
            self.count_max = CHOSEN_COUNT_MIN.max(self.rows.len() * 2);
        }
    }

    fn add_by_row_index(&mut self, group: &Group<'a>) {
        let index = group.row_index();
        let mut entries = Vec::new();
        let mut tag = (self.start.row >> u32::BITS) as u32;
        let (mut count, mut bytes) = (0, 0u64);
        loop {
            let window = index.window(tag);
            let end = *window.end();
            index.sorted_entries(window, &mut entries);
            for (row, weight) in entries.iter().filter_map(|entry| group.row_of_entry(*entry)) {
                bytes = bytes.saturating_add(self.bytes_of(place_of(row), row, weight));
                self.add(row, weight);
            }
            let Some(next) = end.checked_add(1) else { return };
            count += WINDOW_SLOT_COUNT;
            if bytes > self.bytes_wanted || count >= SLOT_COUNT_MAX {
                return self.lower_bound_to((u64::from(next) << u32::BITS) - 1);
            }
            tag = next;
        }
    }

    /// Sorts the rows, and drops those that lie beyond what is wanted.
    fn prune(&mut self) {
        self.rows.sort_unstable();
        let mut bytes = 0u64;
        let enough = self.rows.iter().find(|choice| {
            bytes = bytes.saturating_add(self.bytes_of(choice.place, choice.row, choice.weight));
            bytes > self.bytes_wanted
        });
        if let Some(last) = enough {
            self.lower_bound_to(last.place);
        }
    }

    fn lower_bound_to(&mut self, place: u64) {
        self.bound = self.bound.min(place);
        let bound = self.bound;
        self.rows.retain(|choice| choice.place <= bound);
    }

    /// Bytes that a row adds to what is chosen. The row of which some copies have been given counts for nothing: it may have no more.
    fn bytes_of(&self, place: u64, row: Row<'_>, weight: i64) -> u64 {
        if place == self.start.row && self.start.copies > 0 { 0 } else { bytes_of(row, weight) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::KeyColumns;
    use crate::plan::column;
    use crate::row::RowBuilder;
    use crate::value::{Datum, Type};
    use std::collections::BTreeMap;

    /// Keys of few different tags, so that large groups, small ones and single rows lie under the same: each of them
    /// is read in its way, and what is given is all of it, once.
    #[test]
    fn tags_are_shared_by_keys_of_all_sizes() {
        let columns = [column("key", Type::Int), column("value", Type::Int)];
        let mut arrangement = Arrangement::new(KeyColumns::new(&columns, &[0]));
        let (mut random, mut builder) = (fastrand::Rng::with_seed(3), RowBuilder::new());
        let mut model = BTreeMap::new();
        for key in 0..40 {
            let hash = [7, 7 << 20, u64::from(u32::MAX)][key as usize % 3];
            for value in 0..[1, 5, 100, 700][random.usize(0..4)] {
                builder.start(2);
                builder.push(Datum::Int(key));
                builder.push(Datum::Int(value));
                let weight = [1, 1, 3, -2, 20][random.usize(0..5)];
                arrangement.add(hash, builder.finish(), weight);
                model.insert(builder.finish().bytes_all().to_vec(), weight);
            }
        }
        model.retain(|_, weight| *weight > 0);
        for bytes_max in [2000, 70_000, 1 << 24] {
            let mut found: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
            let mut from = Some(ScanPosition::START);
            while let Some(at) = from {
                let mut rows = Rows::new();
                from = scan(Scanned::Arrangement(&arrangement), at, bytes_max, &mut rows);
                assert!(rows.rows.len() <= bytes_max);
                rows.iter().for_each(|row| *found.entry(row.bytes_all().to_vec()).or_default() += 1);
            }
            assert_eq!(found, model, "in pieces of {bytes_max}");
        }
    }
}
