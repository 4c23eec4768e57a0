//! Reading the state of another operator by key.
//!
//! A join or a view needs its input arranged by a key. Where an operator holds just that already (a table by its
//! primary key, an aggregate by its group) it is read there, which saves the copy and the work of keeping it;
//! otherwise the input's node keeps an arrangement, shared by all who need the same key.
//!
//! Sources are read after they have taken the deltas of the step. Who needs the state before subtracts those deltas.

use crate::aggregate::Aggregation;
use crate::arrangement::Matches;
use crate::dataflow::{Node, State};
use crate::hash::KeyColumns;
use crate::row::Row;
use crate::table::Table;

/// Where rows by a certain key are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In the table of this node, by its primary key.
    Table(usize),
    /// In the aggregate of this node, by its group.
    Groups(usize),
    /// In this arrangement of this node.
    Arrangement(usize, usize),
}

impl Source {
    /// The rows of a key with their weights; `key` says which columns of `row` are the key.
    #[inline]
    pub fn matches<'a>(
        self,
        nodes: &'a [Node],
        hash: u64,
        row: Row<'_>,
        key: &KeyColumns,
    ) -> SourceMatches<'a> {
        match self {
            Source::Table(node) => SourceMatches::Single(table(nodes, node).find(hash, row, key)),
            Source::Groups(node) => SourceMatches::Single(groups(nodes, node).find(hash, row, key)),
            Source::Arrangement(node, arrangement) => {
                SourceMatches::Several(nodes[node].arrangements[arrangement].matches(hash, row, key))
            }
        }
    }

    /// The sum of the weights of a key's rows.
    pub fn weight(self, nodes: &[Node], hash: u64, row: Row<'_>, key: &KeyColumns) -> i64 {
        match self {
            Source::Table(node) => i64::from(table(nodes, node).find(hash, row, key).is_some()),
            Source::Groups(node) => i64::from(groups(nodes, node).find(hash, row, key).is_some()),
            Source::Arrangement(node, arrangement) => {
                nodes[node].arrangements[arrangement].weight(hash, row, key)
            }
        }
    }

    /// Passes all rows to `each`, in no order that means anything.
    pub fn for_all<'a>(self, nodes: &'a [Node], mut each: impl FnMut(Row<'a>, i64)) {
        match self {
            Source::Table(node) => table(nodes, node).rows().for_each(|row| each(row, 1)),
            Source::Groups(node) => groups(nodes, node).rows().for_each(|row| each(row, 1)),
            Source::Arrangement(node, arrangement) => {
                nodes[node].arrangements[arrangement].rows().for_each(|(row, weight)| each(row, weight));
            }
        }
    }

    /// Brings what keys of these hashes need into the cache.
    pub fn touch(self, nodes: &[Node], hashes: &[u64]) {
        match self {
            Source::Table(node) => table(nodes, node).touch(hashes),
            Source::Groups(node) => groups(nodes, node).touch(hashes),
            Source::Arrangement(node, arrangement) => nodes[node].arrangements[arrangement].touch(hashes),
        }
    }
}

/// The rows of one key with their weights.
#[derive(Debug)]
pub enum SourceMatches<'a> {
    /// The key is unique.
    Single(Option<Row<'a>>),
    /// There can be any number.
    Several(Matches<'a>),
}

impl<'a> Iterator for SourceMatches<'a> {
    type Item = (Row<'a>, i64);

    #[inline]
    fn next(&mut self) -> Option<(Row<'a>, i64)> {
        match self {
            SourceMatches::Single(row) => row.take().map(|row| (row, 1)),
            SourceMatches::Several(matches) => matches.next(),
        }
    }
}

fn table(nodes: &[Node], node: usize) -> &Table {
    match &nodes[node].state {
        State::Table(table) => table,
        _ => unreachable!("a source was made for a table, and nodes keep their kind"),
    }
}

fn groups(nodes: &[Node], node: usize) -> &Aggregation {
    match &nodes[node].state {
        State::Aggregate(_, aggregation) => aggregation,
        _ => unreachable!("a source was made for an aggregate, and nodes keep their kind"),
    }
}
