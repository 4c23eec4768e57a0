//! The aggregate operator: one row per group, with its aggregates.
//!
//! A group's row is there if and only if the weights of its input rows sum up to something positive. Groups are equal
//! by value and NULLs are equal to each other. A group is forgotten when its weight and all of its accumulators are
//! zero, which is to say, as far as they can tell, that nothing was consumed.
//!
//! ```text
//! weight i64 | touched u32 | states u32 | accumulators of fixed size | the group's row: its columns, the results
//! ```
//!
//! lies in an arena behind an index by the group's hash; accumulators that grow lie beside it, under `states`. The
//! row is the one that was sent last, so a retraction is copied, not computed, and others can read it in place.
//! Counting alone touches nothing else: the counts are patched into the row.
//!
//! Deltas are taken in groups of [`GROUP_DELTAS`]: hashed, their places brought into the cache, accumulated,
//! and then the rows that changed are sent. A group of rows that occurs many times in a step is sent once per such
//! group of deltas at most; after an exchange equal rows have been combined and it is usually once.

use crate::accumulator::{AggregateState, BoundAggregate};
use crate::arena::{Arena, Position};
use crate::batch::{DeltaBuffer, Deltas};
use crate::error::PlanError;
use crate::hash::{KeyColumns, hash_key, hash_row, keys_equal};
use crate::index::Index;
use crate::plan::{AggregateSpec, Column};
use crate::row::{Row, RowBuilder, u32_at, u64_at};
use crate::value::Datum;
use std::ops::RangeInclusive;

/// Deltas that are taken together.
const GROUP_DELTAS: usize = 512;

const TOUCHED_OFFSET: usize = 8;
const STATES_OFFSET: usize = 12;
const ACCUMULATORS_OFFSET: usize = 16;

/// Marks a group whose accumulators all have a fixed size.
const NO_STATES: u32 = u32::MAX;

/// One aggregate operator.
#[derive(Debug)]
pub struct Aggregation {
    /// The group's columns in an input row, and in a group's row.
    input_key: KeyColumns,
    group_key: KeyColumns,
    functions: Vec<Function>,
    /// Whether every function is the count of rows.
    counts_only: bool,
    /// Where the group's row begins in a block.
    row_offset: usize,
    arena: Arena,
    index: Index,
    /// The accumulators without a fixed size, by group; those not in use are empty.
    states: Vec<Box<[AggregateState]>>,
    free_states: Vec<u32>,
    touched: Vec<Touched>,
    hashes: Vec<u64>,
    work: Work,
}

#[derive(Debug)]
struct Function {
    bound: BoundAggregate,
    place: Place,
}

/// Where the accumulator of a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is the weight of the group.
    Weight,
    /// In the block.
    Block { offset: usize, size: usize },
    /// At this index among the group's states.
    States(usize),
}

/// A group that the deltas in hand have changed.
#[derive(Debug, Clone, Copy)]
struct Touched {
    hash: u64,
    position: Position,
    weight_before: i64,
}

/// Buffers that are used again.
#[derive(Debug, Default)]
struct Work {
    builder: RowBuilder,
    key: Vec<u8>,
    text: String,
}

impl Aggregation {
    /// The aggregation of `spec` over rows of `columns`.
    pub fn new(spec: &AggregateSpec, columns: &[Column]) -> Result<Self, PlanError> {
        let mut functions = Vec::with_capacity(spec.aggregates.len());
        let mut row_offset = ACCUMULATORS_OFFSET;
        let mut state_count = 0;
        for aggregate in &spec.aggregates {
            let bound = aggregate.resolve(columns)?;
            let place = match (bound.column(), bound.inline_bytes()) {
                (None, _) => Place::Weight,
                (Some(_), Some(size)) => {
                    row_offset += size;
                    Place::Block { offset: row_offset - size, size }
                }
                (Some(_), None) => {
                    state_count += 1;
                    Place::States(state_count - 1)
                }
            };
            functions.push(Function { bound, place });
        }
        assert_eq!(row_offset % 8, 0, "accumulators of fixed size take whole words");
        let input_key = KeyColumns::new(columns, &spec.group);
        Ok(Aggregation {
            group_key: input_key.of_key_row(),
            input_key,
            counts_only: functions.iter().all(|function| function.place == Place::Weight),
            functions,
            row_offset,
            arena: Arena::default(),
            index: Index::default(),
            states: Vec::new(),
            free_states: Vec::new(),
            touched: Vec::new(),
            hashes: Vec::new(),
            work: Work::default(),
        })
    }

    /// Takes the deltas of a step and sends what changes.
    pub fn run(&mut self, input: &DeltaBuffer, out: &mut DeltaBuffer) {
        let mut rest = input.deltas();
        while !rest.0.is_empty() {
            let group = rest;
            self.hashes.clear();
            self.hashes
                .extend(rest.by_ref().take(GROUP_DELTAS).map(|(row, _)| hash_key(row, &self.input_key)));
            self.touch(&self.hashes);
            self.accumulate(group);
            self.send(out);
        }
    }

    /// The row of a group if it is there, where `key` says which columns of `row` are the group's.
    #[inline]
    pub fn find(&self, hash: u64, row: Row<'_>, key: &KeyColumns) -> Option<Row<'_>> {
        let position = self.position(hash, row, key)?;
        let block = self.arena.bytes(position);
        (weight_of(block) > 0).then(|| Row::at(&block[self.row_offset..]))
    }

    /// The rows of all groups that are there, in no order that means anything.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let blocks = self.index.positions().map(|position| self.arena.bytes(position));
        blocks.filter(|block| weight_of(block) > 0).map(|block| Row::at(&block[self.row_offset..]))
    }

    /// Passes the groups' rows to `each` whose keys' hashes have their lower halves in `tags`.
    pub fn for_tags<'a>(&'a self, tags: RangeInclusive<u32>, mut each: impl FnMut(Row<'a>)) {
        self.index.for_tags(tags, |position| {
            let block = self.arena.bytes(position);
            if weight_of(block) > 0 {
                each(Row::at(&block[self.row_offset..]));
            }
        });
    }

    /// From hashes of groups to positions.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The row of the group at a position of the index, if it has one.
    pub(crate) fn row_at(&self, position: Position) -> Option<Row<'_>> {
        let block = self.arena.bytes(position);
        (weight_of(block) > 0).then(|| Row::at(&block[self.row_offset..]))
    }

    /// How many groups there are, those without a row included.
    pub fn group_count(&self) -> u64 {
        self.index.len() as u64
    }

    /// The group's columns in a group's row.
    pub fn key(&self) -> &KeyColumns {
        &self.group_key
    }

    /// Brings what keys of these hashes need into the cache: first the slots, then what lies at their positions.
    pub fn touch(&self, hashes: &[u64]) {
        self.index.touch(hashes, |position| self.arena.touch(position));
    }

    /// An order-free hash of the groups with their weights and accumulators.
    pub fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        let mut builder = RowBuilder::new();
        let mut sum = 0u64;
        for position in self.index.positions() {
            let block = self.arena.bytes(position);
            bytes.clear();
            bytes.extend_from_slice(&block[..8]);
            bytes.extend_from_slice(&block[ACCUMULATORS_OFFSET..self.row_offset]);
            let row = Row::at(&block[self.row_offset..]);
            builder.start(self.group_key.len());
            self.group_key.iter().for_each(|column| builder.copy(row, column.index, column.in_tail));
            builder.append_to(&mut bytes);
            let states = u32_at(block, STATES_OFFSET);
            if states != NO_STATES {
                self.states[states as usize].iter().for_each(|state| state.encode(&mut bytes));
            }
            sum = sum.wrapping_add(xxhash_rust::xxh3::xxh3_64(&bytes));
            if weight_of(block) > 0 {
                sum = sum.wrapping_add(hash_row(row));
            }
        }
        sum
    }

    /// Bytes taken from the system.
    pub fn held_bytes(&self) -> u64 {
        let states: usize = self.states.iter().flatten().map(AggregateState::bytes).sum();
        self.arena.held_bytes() + self.index.held_bytes() + states as u64
    }

    #[inline]
    fn position(&self, hash: u64, row: Row<'_>, key: &KeyColumns) -> Option<Position> {
        self.index.find(hash, |position| {
            let group = Row::at(&self.arena.bytes(position)[self.row_offset..]);
            keys_equal(row, key, group, &self.group_key)
        })
    }

    fn accumulate(&mut self, deltas: Deltas<'_>) {
        debug_assert!(self.touched.is_empty());
        for (at, (row, weight)) in deltas.take(self.hashes.len()).enumerate() {
            let hash = self.hashes[at];
            let position = match self.position(hash, row, &self.input_key) {
                Some(position) => position,
                None => self.new_group(hash, row),
            };
            let block = self.arena.bytes_mut(position);
            let weight_before = weight_of(block);
            put_weight(block, weight_before.wrapping_add(weight));
            if u32_at(block, TOUCHED_OFFSET) == 0 {
                put_u32(block, TOUCHED_OFFSET, 1);
                self.touched.push(Touched { hash, position, weight_before });
            }
            if !self.counts_only {
                self.update(position, row, weight);
            }
        }
    }

    fn update(&mut self, position: Position, row: Row<'_>, weight: i64) {
        let block = self.arena.bytes_mut(position);
        let states = u32_at(block, STATES_OFFSET) as usize;
        for function in &self.functions {
            match function.place {
                Place::Weight => {}
                Place::Block { offset, size } => {
                    function.bound.update_inline(&mut block[offset..offset + size], row, weight);
                }
                Place::States(index) => {
                    let state = &mut self.states[states][index];
                    function.bound.update(state, row, weight, &mut self.work.key);
                }
            }
        }
    }

    /// A group of weight zero. Its row has no results yet.
    fn new_group(&mut self, hash: u64, input: Row<'_>) -> Position {
        let states = self.new_states();
        let builder = &mut self.work.builder;
        builder.start(self.group_key.len() + self.functions.len());
        self.input_key.iter().for_each(|column| builder.copy(input, column.index, column.in_tail));
        for _ in &self.functions {
            // A count that has a slot already can be patched.
            if self.counts_only { builder.push(Datum::Int(0)) } else { builder.push_null() }
        }
        let row = builder.finish().bytes_all();
        let size = self.row_offset + row.len();
        let position = self.arena.allocate(size).expect("an aggregate stays below 32 GiB");
        let block = &mut self.arena.bytes_mut(position)[..size];
        block[..self.row_offset].fill(0);
        put_u32(block, STATES_OFFSET, states);
        block[self.row_offset..].copy_from_slice(row);
        self.index.insert(hash, position);
        position
    }

    fn new_states(&mut self) -> u32 {
        if !self.functions.iter().any(|function| matches!(function.place, Place::States(_))) {
            return NO_STATES;
        }
        if let Some(states) = self.free_states.pop() {
            return states;
        }
        let growing = self.functions.iter().filter(|function| matches!(function.place, Place::States(_)));
        self.states.push(growing.map(|function| function.bound.new_state()).collect());
        self.states.len() as u32 - 1
    }

    /// Sends what changed of the touched groups, and forgets those that are empty.
    fn send(&mut self, out: &mut DeltaBuffer) {
        let mut touched = std::mem::take(&mut self.touched);
        for group in touched.drain(..) {
            put_u32(self.arena.bytes_mut(group.position), TOUCHED_OFFSET, 0);
            if self.counts_only { self.send_counts(group, out) } else { self.send_results(group, out) }
        }
        self.touched = touched;
    }

    fn send_counts(&mut self, group: Touched, out: &mut DeltaBuffer) {
        let block = self.arena.bytes_mut(group.position);
        let weight = weight_of(block);
        let row = Row::at(&block[self.row_offset..]);
        let size = row.bytes_all().len();
        if group.weight_before > 0 && weight != group.weight_before {
            out.push(row, -1);
        }
        if weight > 0 && weight != group.weight_before {
            let first = self.row_offset + row.slot_offset(self.group_key.len());
            for slot in block[first..first + self.functions.len() * 8].chunks_exact_mut(8) {
                slot.copy_from_slice(&weight.to_le_bytes());
            }
            out.push(Row::at(&block[self.row_offset..]), 1);
        }
        if weight == 0 {
            self.index.remove(group.hash, group.position);
            self.arena.free(group.position, self.row_offset + size);
        }
    }

    fn send_results(&mut self, group: Touched, out: &mut DeltaBuffer) {
        let Work { builder, text, .. } = &mut self.work;
        let block = self.arena.bytes(group.position);
        let weight = weight_of(block);
        let old = Row::at(&block[self.row_offset..]);
        let (was_there, is_there) = (group.weight_before > 0, weight > 0);
        if !is_there {
            if was_there {
                out.push(old, -1);
            }
            return self.forget_if_empty(group);
        }
        builder.start(self.group_key.len() + self.functions.len());
        self.group_key.iter().for_each(|column| builder.copy(old, column.index, column.in_tail));
        for function in &self.functions {
            let states = u32_at(block, STATES_OFFSET) as usize;
            builder.push(match function.place {
                Place::Weight => Datum::Int(weight),
                Place::Block { offset, size } => function.bound.result_inline(&block[offset..offset + size]),
                Place::States(index) => function.bound.result(&self.states[states][index], text),
            });
        }
        let new = builder.finish();
        if was_there && old == new {
            return;
        }
        if was_there {
            out.push(old, -1);
        }
        out.push(new, 1);
        let old_size = old.bytes_all().len();
        self.store_row(group, old_size);
    }

    /// Puts the row in the builder in the place of the group's row of `old_size` bytes.
    fn store_row(&mut self, group: Touched, old_size: usize) {
        let row = self.work.builder.finish().bytes_all();
        let (from, to) = (self.row_offset + old_size, self.row_offset + row.len());
        let mut position = group.position;
        if !Arena::same_class(from, to) {
            let head = self.arena.bytes(position)[..self.row_offset].to_vec();
            self.arena.free(position, from);
            position = self.arena.allocate(to).expect("an aggregate stays below 32 GiB");
            self.arena.bytes_mut(position)[..self.row_offset].copy_from_slice(&head);
            self.index.replace(group.hash, group.position, position);
        }
        self.arena.bytes_mut(position)[self.row_offset..to].copy_from_slice(row);
    }

    fn forget_if_empty(&mut self, group: Touched) {
        let block = self.arena.bytes(group.position);
        let states = u32_at(block, STATES_OFFSET);
        let fixed_empty = block[ACCUMULATORS_OFFSET..self.row_offset].iter().all(|byte| *byte == 0);
        let states_empty =
            states == NO_STATES || self.states[states as usize].iter().all(AggregateState::is_empty);
        if weight_of(block) != 0 || !fixed_empty || !states_empty {
            return;
        }
        let size = self.row_offset + Row::at(&block[self.row_offset..]).bytes_all().len();
        self.index.remove(group.hash, group.position);
        self.arena.free(group.position, size);
        if states != NO_STATES {
            self.free_states.push(states);
        }
    }
}

#[inline]
fn weight_of(block: &[u8]) -> i64 {
    u64_at(block, 0) as i64
}

#[inline]
fn put_weight(block: &mut [u8], weight: i64) {
    block[..8].copy_from_slice(&weight.to_le_bytes());
}

#[inline]
fn put_u32(block: &mut [u8], at: usize, value: u32) {
    block[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
