//! Rows on which an expression has no value: a division by zero, a number out of range.
//!
//! Such a row goes on with NULL, or not at all, and what is made of it is wrong. So each node counts them: its own, and those of the
//! nodes that it reads. A view that has any is not read. When the row is changed or deleted, what it had counted is taken back, and
//! the view is read again: counts are sums of weights, and obey the law of operators like rows do.
//!
//! An exchange tells all shards, since rows of any may come from such a row: deltas of the reason's number, beside those of its
//! rows. Without an exchange in between, what the other shards have is right, and is read.
//! A gate passes on what is behind it when it is wide open; until then nobody reads what comes through it.

use crate::batch::{Batch, Deltas};
use crate::expr::{NoValue, Scratch};
use crate::plan::OperatorId;
use crate::row::RowBuilder;
use crate::value::Datum;

/// Set in the id of an exchange where what it brings are not rows, but counts.
const COUNTS: u32 = 1 << 31;

/// How many rows fail, by reason.
type Counts = [i64; NoValue::COUNT];

/// What one node knows of rows that fail, its own and those before it.
#[derive(Debug, Default)]
pub struct Failing {
    total: Counts,
    /// What the step has changed.
    step: Counts,
    has_changed: bool,
}

impl Failing {
    /// One of the reasons why rows fail; none if no row does.
    pub fn reason(&self) -> Option<NoValue> {
        self.total.iter().position(|count| *count > 0).and_then(NoValue::of_number)
    }

    /// Counts what evaluating a row has come to, when `errors` is how many errors there were before.
    #[inline]
    pub fn count(&mut self, scratch: &Scratch, errors: u64, weight: i64) {
        if scratch.errors() != errors {
            self.add(scratch.no_value(), weight);
        }
    }

    #[cold]
    fn add(&mut self, why: Option<NoValue>, weight: i64) {
        let why = why.expect("an error has a reason");
        self.step[why.number()] += weight;
        self.has_changed = true;
    }

    /// What nodes that are read have changed in this step.
    #[inline]
    pub fn pass_on(&mut self, before: &Failing) {
        if before.has_changed {
            self.add_all(&before.step);
        }
    }

    /// All that a node has which is read from now on.
    pub fn pass_on_all(&mut self, before: &Failing) {
        self.add_all(&before.total);
        self.pass_on(before);
    }

    fn add_all(&mut self, counts: &Counts) {
        self.step.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        self.has_changed = true;
    }

    /// What other shards have told of an exchange.
    ///
    /// # Panics
    /// If it is not what [`Failing::tell`] wrote: the shards run different programs.
    pub fn receive(&mut self, counts: Deltas<'_>) {
        for (row, weight) in counts {
            self.add(NoValue::of_number(row.int(0) as usize), weight);
        }
    }

    /// Writes the changes of the step so far for another shard.
    pub fn tell(&self, batch: &mut Batch) {
        let mut builder = RowBuilder::new();
        for (number, count) in self.step.iter().enumerate() {
            builder.start(1);
            builder.push(Datum::Int(number as i64));
            batch.push(builder.finish(), *count);
        }
    }

    /// Whether the step has changed anything.
    #[inline]
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Ends the step.
    #[inline]
    pub fn end_step(&mut self) {
        if self.has_changed {
            self.total.iter_mut().zip(&self.step).for_each(|(sum, count)| *sum += count);
            (self.step, self.has_changed) = (Counts::default(), false);
        }
    }

    /// The counts, for a hash of all state.
    pub fn words(&self) -> [u64; NoValue::COUNT] {
        self.total.map(|count| count as u64)
    }
}

/// The id under which an exchange tells of rows that fail.
pub fn counts_of(exchange: OperatorId) -> OperatorId {
    OperatorId(exchange.0 | COUNTS)
}

/// The exchange that tells of rows that fail by this id, if it does.
pub fn counted_exchange(id: OperatorId) -> Option<OperatorId> {
    (id.0 & COUNTS != 0).then_some(OperatorId(id.0 & !COUNTS))
}
