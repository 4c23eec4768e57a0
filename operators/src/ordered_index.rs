//! An ordered index: from the sort key of a key to where an arrangement has the rows of that key.
//!
//! It stands beside the index by hash and holds the same positions, one for each key, so what an arrangement knows of
//! groups and weights is true of both. A row that gives way to another one of the same key in the same place leaves it alone.
//!
//! Cost: O(log n) comparisons of bytes and one allocation for a key that comes, nothing for a row of a key that is there.

use crate::arena::Position;
use crate::row::Row;
use crate::sort_key::SortKey;
use std::collections::BTreeMap;
use std::ops::Bound;

/// What an entry takes beside its key: a B-tree's nodes are two thirds full on the average, and each key is allocated by itself.
const ENTRY_BYTES: usize = 48;

/// From where to where keys are read.
pub type Span<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Positions by sort key.
#[derive(Debug)]
pub struct OrderedIndex {
    key: SortKey,
    positions: BTreeMap<Box<[u8]>, Position>,
    /// The bytes of all keys.
    key_bytes: usize,
    /// Reused: the key of a row.
    wanted: Vec<u8>,
}

impl OrderedIndex {
    /// No keys, of the columns of this sort key.
    pub fn new(key: SortKey) -> Self {
        OrderedIndex { key, positions: BTreeMap::new(), key_bytes: 0, wanted: Vec::new() }
    }

    /// Adds the position of the key of `row`, which is not there yet.
    pub fn insert(&mut self, row: Row<'_>, position: Position) {
        self.encode(row);
        let before = self.positions.insert(self.wanted.as_slice().into(), position);
        assert!(before.is_none(), "a key has one position");
        self.key_bytes += self.wanted.len();
    }

    /// Puts another position in the place of that of the key of `row`, which is there.
    pub fn replace(&mut self, row: Row<'_>, to: Position) {
        self.encode(row);
        *self.positions.get_mut(self.wanted.as_slice()).expect("the key is there") = to;
    }

    /// Removes the key of `row`, which is there.
    pub fn remove(&mut self, row: Row<'_>) {
        self.encode(row);
        assert!(self.positions.remove(self.wanted.as_slice()).is_some(), "the key is there");
        self.key_bytes -= self.wanted.len();
    }

    /// The keys of a span, which must not end before it begins, with their positions.
    pub fn range(&self, span: Span<'_>) -> impl DoubleEndedIterator<Item = (&[u8], Position)> {
        self.positions.range::<[u8], _>(span).map(|(key, position)| (&**key, *position))
    }

    /// An estimate of the bytes held.
    pub fn held_bytes(&self) -> u64 {
        (self.key_bytes + self.positions.len() * ENTRY_BYTES + self.wanted.capacity()) as u64
    }

    fn encode(&mut self, row: Row<'_>) {
        self.wanted.clear();
        self.key.encode(row, &mut self.wanted);
    }
}
