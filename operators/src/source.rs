//! Reading the state of another operator by key.
//!
//! A join or a view needs its input arranged by a key. Where an operator holds just that already (a table by its
//! primary key, an aggregate by its group) it is read there, which saves the copy and the work of keeping it;
//! otherwise the input's node keeps an arrangement, shared by all who need the same key. What lies behind a gate is read where
//! it was before, and what the gate has not let through yet is passed over.
//!
//! Sources are read after they have taken the deltas of the step. Who needs the state before subtracts those deltas.

use crate::aggregate::Aggregation;
use crate::arrangement::{Arrangement, Matches};
use crate::backfill::Gate;
use crate::dataflow::{Node, State};
use crate::hash::KeyColumns;
use crate::row::Row;
use crate::scan::Scanned;
use crate::table::Table;
use std::ops::RangeInclusive;

/// Where rows are kept by a certain key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the table of this node, by its primary key.
    Table(usize),
    /// In the aggregate of this node, by its group.
    Groups(usize),
    /// In this arrangement of this node.
    Arrangement(usize, usize),
}

/// Where rows by a certain key are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Where they are.
    pub place: Place,
    /// The node of the gate that they must have passed.
    pub gate: Option<usize>,
}

impl Place {
    #[inline]
    fn matches<'a>(self, nodes: &'a [Node], hash: u64, row: Row<'_>, key: &KeyColumns) -> Found<'a> {
        match self {
            Place::Table(node) => Found::Single(table(nodes, node).find(hash, row, key)),
            Place::Groups(node) => Found::Single(groups(nodes, node).find(hash, row, key)),
            Place::Arrangement(node, arrangement) => {
                Found::Several(nodes[node].arrangements[arrangement].matches(hash, row, key))
            }
        }
    }

    /// Passes the rows to `each` whose keys' hashes have their lower halves in `tags`.
    pub fn for_tags<'a>(
        self,
        nodes: &'a [Node],
        tags: RangeInclusive<u32>,
        mut each: impl FnMut(Row<'a>, i64),
    ) {
        match self {
            Place::Table(node) => table(nodes, node).for_tags(tags, |row| each(row, 1)),
            Place::Groups(node) => groups(nodes, node).for_tags(tags, |row| each(row, 1)),
            Place::Arrangement(node, arrangement) => {
                nodes[node].arrangements[arrangement].for_tags(tags, each);
            }
        }
    }

    /// The arrangement in which an ordered view has its rows.
    pub fn arrangement(self, nodes: &[Node]) -> &Arrangement {
        match self {
            Place::Arrangement(node, arrangement) => &nodes[node].arrangements[arrangement],
            _ => unreachable!("only arrangements have an order"),
        }
    }

    /// What a scan reads.
    pub fn scanned(self, nodes: &[Node]) -> Scanned<'_> {
        match self {
            Place::Table(node) => Scanned::Table(table(nodes, node)),
            Place::Groups(node) => Scanned::Groups(groups(nodes, node)),
            Place::Arrangement(node, arrangement) => {
                Scanned::Arrangement(&nodes[node].arrangements[arrangement])
            }
        }
    }

    /// About how many rows there are.
    pub fn row_count(self, nodes: &[Node]) -> u64 {
        match self {
            Place::Table(node) => table(nodes, node).row_count(),
            Place::Groups(node) => groups(nodes, node).group_count(),
            Place::Arrangement(node, arrangement) => nodes[node].arrangements[arrangement].row_count(),
        }
    }

    /// The columns of the key in a row.
    pub fn key(self, nodes: &[Node]) -> &KeyColumns {
        match self {
            Place::Table(node) => table(nodes, node).key(),
            Place::Groups(node) => groups(nodes, node).key(),
            Place::Arrangement(node, arrangement) => nodes[node].arrangements[arrangement].key(),
        }
    }
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
        SourceMatches {
            found: self.place.matches(nodes, hash, row, key),
            gate: self.gate.and_then(|node| gate_in_use(nodes, node)),
        }
    }

    /// The sum of the weights of a key's rows.
    pub fn weight(self, nodes: &[Node], hash: u64, row: Row<'_>, key: &KeyColumns) -> i64 {
        match self.place {
            Place::Arrangement(node, arrangement)
                if self.gate.is_none_or(|gate| gate_in_use(nodes, gate).is_none()) =>
            {
                nodes[node].arrangements[arrangement].weight(hash, row, key)
            }
            _ => {
                let matches = self.matches(nodes, hash, row, key);
                matches.fold(0, |sum, (_, weight)| sum.wrapping_add(weight))
            }
        }
    }

    /// Passes all rows to `each`, in no order that means anything.
    pub fn for_all<'a>(self, nodes: &'a [Node], mut each: impl FnMut(Row<'a>, i64)) {
        let gate = self.gate.and_then(|node| gate_in_use(nodes, node));
        let mut each = |row, weight| {
            if gate.is_none_or(|gate| gate.lets(row)) {
                each(row, weight);
            }
        };
        match self.place {
            Place::Table(node) => table(nodes, node).rows().for_each(|row| each(row, 1)),
            Place::Groups(node) => groups(nodes, node).rows().for_each(|row| each(row, 1)),
            Place::Arrangement(node, arrangement) => {
                nodes[node].arrangements[arrangement].rows().for_each(|(row, weight)| each(row, weight));
            }
        }
    }

    /// Brings what keys of these hashes need into the cache.
    pub fn touch(self, nodes: &[Node], hashes: &[u64]) {
        match self.place {
            Place::Table(node) => table(nodes, node).touch(hashes),
            Place::Groups(node) => groups(nodes, node).touch(hashes),
            Place::Arrangement(node, arrangement) => nodes[node].arrangements[arrangement].touch(hashes),
        }
    }
}

/// The rows of one key with their weights.
#[derive(Debug)]
pub struct SourceMatches<'a> {
    found: Found<'a>,
    gate: Option<&'a Gate>,
}

#[derive(Debug)]
enum Found<'a> {
    /// The key is unique.
    Single(Option<Row<'a>>),
    /// There can be any number.
    Several(Matches<'a>),
}

impl<'a> Iterator for SourceMatches<'a> {
    type Item = (Row<'a>, i64);

    #[inline]
    fn next(&mut self) -> Option<(Row<'a>, i64)> {
        loop {
            let item = match &mut self.found {
                Found::Single(row) => row.take().map(|row| (row, 1)),
                Found::Several(matches) => matches.next(),
            };
            match (self.gate, item) {
                (Some(gate), Some((row, _))) if !gate.lets(row) => {}
                _ => return item,
            }
        }
    }
}

fn table(nodes: &[Node], node: usize) -> &Table {
    match &nodes[node].state {
        State::Table(table) => table,
        _ => unreachable!("a source was made for a table, which stays while it is read"),
    }
}

fn groups(nodes: &[Node], node: usize) -> &Aggregation {
    match &nodes[node].state {
        State::Aggregate(_, aggregation) => aggregation,
        _ => unreachable!("a source was made for an aggregate, which stays while it is read"),
    }
}

/// The gate at a node.
pub fn gate(nodes: &[Node], node: usize) -> &Gate {
    match &nodes[node].state {
        State::Backfill(_, gate) => gate,
        _ => unreachable!("a source was made for a gate, which stays while it is read"),
    }
}

/// The gate at a node, unless it lets everything pass.
#[inline]
fn gate_in_use(nodes: &[Node], node: usize) -> Option<&Gate> {
    Some(gate(nodes, node)).filter(|gate| !gate.is_open())
}
