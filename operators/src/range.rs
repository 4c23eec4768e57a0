//! Ranges: the rows of an ordered view whose keys agree in all columns but the last, in the order of that one.
//!
//! A range is read in pieces of bounded size, and each says where the next begins: a sort key, and how much of its rows has
//! been given. As with scans (`scan.rs`) both follow from the rows alone, so a position means the same whatever has been
//! written meanwhile and whatever has died: a row that is there throughout comes exactly once. Rows of one key come in the order
//! of their hashes.
//!
//! **NULL** is in no range that has an edge, as it is neither above nor below anything. Without edges all rows of a prefix are
//! read, and NULL is above all values.
//!
//! **Cost.** O(log n) for each prefix, then a step along a B-tree and a look at the row for each key. A key with more rows than
//! fit into what is left of a piece costs as much as in a scan.

use crate::arrangement::Arrangement;
use crate::ordered_index::{OrderedIndex, Span};
use crate::plan::{Column, ViewSpec};
use crate::row::{Row, RowError, Rows, RowsIter};
use crate::scan::{Piece, ScanPosition};
use crate::sort_key::SortKey;
use crate::value::Type;
use std::ops::Bound;

/// Keys that a piece goes over, at most: those whose rows are all owed give nothing.
const KEY_COUNT_MAX: u32 = 1 << 16;

/// What is read of an ordered view.
#[derive(Debug, Clone, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Range {
    /// Rows of the key's columns but the last. What is read of each comes one after another.
    pub prefixes: Rows,
    /// Where the last column begins.
    pub lower: Edge,
    /// Where the last column ends.
    pub upper: Edge,
    /// Whether the greatest come first.
    pub descending: bool,
    /// The most rows that are wanted of each prefix.
    pub limit: u32,
    /// The most rows of one piece.
    pub piece: u32,
}

/// Where a range begins or ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Edge {
    /// A row of just this column, which is not NULL; no row if there is no edge.
    pub value: Rows,
    /// Whether rows with this value are in the range.
    pub included: bool,
}

/// Where a range goes on: all rows before it have been given.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct RangePosition {
    /// The sort key of the next key.
    key: Vec<u8>,
    /// Where among the rows of that key.
    within: ScanPosition,
    /// How many rows of its prefix have been given.
    given: u32,
}

/// What comes beside the rows of a piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangePiece {
    /// How many rows it has of each prefix. It may end before the last of them.
    pub counts: Vec<u32>,
    /// Where the last prefix counted goes on, if that is not over.
    pub next: Option<RangePosition>,
}

/// A range whose bytes lie somewhere.
#[derive(Debug, Clone, Copy)]
pub struct RangeRef<'a> {
    prefixes: &'a [u8],
    lower: (&'a [u8], bool),
    upper: (&'a [u8], bool),
    descending: bool,
    limit: u32,
    piece: u32,
}

impl Range {
    /// Where its bytes lie.
    pub fn as_ref(&self) -> RangeRef<'_> {
        RangeRef {
            prefixes: &self.prefixes.rows,
            lower: (&self.lower.value.rows, self.lower.included),
            upper: (&self.upper.value.rows, self.upper.included),
            descending: self.descending,
            limit: self.limit,
            piece: self.piece,
        }
    }
}

impl ArchivedRange {
    /// Where its bytes lie. They may be anything.
    pub fn to_native(&self) -> RangeRef<'_> {
        RangeRef {
            prefixes: &self.prefixes.rows,
            lower: (&self.lower.value.rows, self.lower.included),
            upper: (&self.upper.value.rows, self.upper.included),
            descending: self.descending,
            limit: self.limit.to_native(),
            piece: self.piece.to_native(),
        }
    }
}

impl ArchivedRangePosition {
    /// The position.
    pub fn to_native(&self) -> RangePosition {
        RangePosition {
            key: self.key.to_vec(),
            within: self.within.to_native(),
            given: self.given.to_native(),
        }
    }
}

/// The columns of a view's key as ranges have them.
#[derive(Debug)]
pub struct RangeKeys {
    /// In a whole row.
    whole: SortKey,
    /// In a row of just the prefix.
    prefix: SortKey,
    prefix_schema: Vec<(Type, bool)>,
    /// In a row of just the last column.
    last: SortKey,
    last_schema: [(Type, bool); 1],
}

impl RangeKeys {
    /// Those of a view; none if it has no order.
    pub fn of(view: &ViewSpec) -> Option<RangeKeys> {
        let (last, prefix) = view.key.split_last().filter(|_| view.ordered)?;
        let column = |at: &u16| view.columns[usize::from(*at)].clone();
        let (prefix, last): (Vec<Column>, Column) = (prefix.iter().map(column).collect(), column(last));
        let places: Vec<u16> = (0..).take(prefix.len()).collect();
        // A prefix may have NULL, and finds the rows that do.
        let prefix_schema = prefix.iter().map(|column| (column.ty, true)).collect();
        Some(RangeKeys {
            whole: SortKey::of_columns(&view.columns, &view.key),
            prefix: SortKey::of_columns(&prefix, &places),
            prefix_schema,
            last_schema: [(last.ty, false)],
            last: SortKey::of_columns(&[last], &[0]),
        })
    }

    /// Checks that foreign bytes are a range of these keys.
    pub fn validate(&self, range: RangeRef<'_>) -> Result<(), RowError> {
        Rows::validate(range.prefixes, &self.prefix_schema)?;
        for (value, _) in [range.lower, range.upper] {
            Rows::validate(value, &self.last_schema)?;
        }
        Ok(())
    }

    /// Whether a whole row is in a range that has been checked.
    pub fn contains(&self, range: RangeRef<'_>, row: Row<'_>) -> bool {
        let mut key = Vec::new();
        self.whole.encode(row, &mut key);
        let mut edges = Edges::default();
        RowsIter(range.prefixes).any(|prefix| {
            edges.set(self, prefix, range);
            edges.contain(&key)
        })
    }

    /// Appends a piece of a range that has been checked to `into`, which is empty: rows of up to `bytes_max` bytes, but one at
    /// least where there are any nearby.
    pub(crate) fn read(
        &self,
        arrangement: &Arrangement,
        range: RangeRef<'_>,
        mut from: Option<RangePosition>,
        bytes_max: usize,
        into: &mut Rows,
    ) -> RangePiece {
        let ordered = arrangement.ordered_index().expect("views with ranges have ordered arrangements");
        let mut reading = Reading {
            ordered,
            descending: range.descending,
            rows_left: range.piece.max(1),
            keys_left: KEY_COUNT_MAX,
            piece: Piece::of_keys(arrangement, bytes_max, into),
        };
        let (mut counts, mut edges) = (Vec::new(), Edges::default());
        for prefix in RowsIter(range.prefixes) {
            edges.set(self, prefix, range);
            let from = from.take();
            let given = from.as_ref().map_or(0, |from| from.given);
            let (count, next) = reading.read(&mut edges, from, range.limit.saturating_sub(given));
            counts.push(count);
            let is_full = reading.rows_left == 0 || reading.keys_left == 0;
            if next.is_some() || is_full {
                let next = next.map(|(key, within)| RangePosition { key, within, given: given + count });
                return RangePiece { counts, next };
            }
        }
        RangePiece { counts, next: None }
    }
}

/// From where to where sort keys are read.
#[derive(Debug, Default)]
struct Edges {
    lower: Vec<u8>,
    lower_included: bool,
    upper: Vec<u8>,
    upper_included: bool,
}

impl Edges {
    /// Those of a range of one prefix. A value's sort key begins with 0, and NULL's is 1.
    fn set(&mut self, keys: &RangeKeys, prefix: Row<'_>, range: RangeRef<'_>) {
        const VALUES: u8 = 0;
        const NULL: u8 = 1;
        const BEYOND: u8 = 2;
        self.lower.clear();
        keys.prefix.encode(prefix, &mut self.lower);
        self.upper.clone_from(&self.lower);
        let values = [range.lower.0, range.upper.0].map(|value| RowsIter(value).next());
        match values[0] {
            Some(value) => keys.last.encode(value, &mut self.lower),
            None => self.lower.push(VALUES),
        }
        self.lower_included = values[0].is_none() || range.lower.1;
        match values {
            [_, Some(value)] => keys.last.encode(value, &mut self.upper),
            [Some(_), None] => self.upper.push(NULL),
            [None, None] => self.upper.push(BEYOND),
        }
        self.upper_included = values[1].is_some() && range.upper.1;
    }

    /// Leaves out what has been passed. A position may be made up.
    fn go_on(&mut self, from: &[u8], descending: bool) {
        if !descending && *from > *self.lower {
            self.lower.clear();
            self.lower.extend_from_slice(from);
            self.lower_included = true;
        }
        if descending && *from < *self.upper {
            self.upper.clear();
            self.upper.extend_from_slice(from);
            self.upper_included = true;
        }
    }

    /// The span, unless nothing is in it.
    fn span(&self) -> Option<Span<'_>> {
        let edge = |key, included| if included { Bound::Included(key) } else { Bound::Excluded(key) };
        let (lower, upper) = (self.lower.as_slice(), self.upper.as_slice());
        let is_empty = lower > upper || lower == upper && !(self.lower_included && self.upper_included);
        (!is_empty).then(|| (edge(lower, self.lower_included), edge(upper, self.upper_included)))
    }

    fn contain(&self, key: &[u8]) -> bool {
        self.span().is_some_and(|span| std::ops::RangeBounds::<[u8]>::contains(&span, key))
    }
}

/// A piece that is being read.
struct Reading<'a, 'b> {
    ordered: &'a OrderedIndex,
    descending: bool,
    /// Rows that it may still take.
    rows_left: u32,
    keys_left: u32,
    piece: Piece<'a, 'b>,
}

impl Reading<'_, '_> {
    /// Reads between these edges up to so many rows. Returns how many there were, and where to go on if it ended early.
    fn read(
        &mut self,
        edges: &mut Edges,
        from: Option<RangePosition>,
        limit: u32,
    ) -> (u32, Option<(Vec<u8>, ScanPosition)>) {
        if let Some(from) = &from {
            edges.go_on(&from.key, self.descending);
        }
        let Some(span) = edges.span() else { return (0, None) };
        let mut keys = self.ordered.range(span);
        let mut count = 0;
        while count < limit
            && let Some((key, position)) = if self.descending { keys.next_back() } else { keys.next() }
        {
            let start = from.as_ref().filter(|from| *from.key == *key).map(|from| from.within);
            let start = start.unwrap_or_default();
            if self.rows_left == 0 || self.keys_left == 0 {
                return (count, Some((key.to_vec(), start)));
            }
            self.keys_left -= 1;
            let rows_max = self.rows_left.min(limit - count);
            let (taken, next) = self.piece.take_key(position, start, rows_max);
            self.rows_left -= taken;
            count += taken;
            if let Some(next) = next.filter(|_| count < limit) {
                return (count, Some((key.to_vec(), next)));
            }
        }
        (count, None)
    }
}

#[cfg(test)]
mod tests;
