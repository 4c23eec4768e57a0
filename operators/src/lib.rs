//! Rows, plans and operators: the pure core of a shard.
//!
//! A [`Dataflow`] is one shard's instance of a [`Plan`]. Writes change its tables and queue deltas; deltas of other
//! shards are queued by exchange; [`Dataflow::finish`] runs everything queued through the operators, each once and in
//! topological order, and gives what is to be sent to other shards. Views are then read by key.
//!
//! **The law.** What an operator holds and has sent in total is a function of the multiset of what it has consumed, not
//! of the order. So weights may be negative for a while and are kept; ties are broken by whole rows; no clock, no
//! random number and no order of iteration reaches an output. A table is the one exception: it follows the order of
//! its writes.
//!
//! What the words mean here:
//! - **row**: values in a canonical encoding; equal rows have equal bytes. **delta**: a row with a signed weight.
//!   **batch**: deltas one after another.
//! - **key**: some columns of a row, in an order. Its hash names the shard that owns it.
//! - **operator**, **node**: one step of a plan, and that step at work. **exchange**: the operator that sends rows to
//!   the owners of their keys. **arrangement**: the rows of a stream, summed up, by key; if it is **ordered**, **ranges** of keys are
//!   read from it. **source**: wherever a node's
//!   rows are found by key, an arrangement or the state of the operator itself. **gate**: where a later plan takes a stream
//!   that is there already; **ticks** let the stream's rows through it, a slice at a time (`backfill.rs`).
//!
//! NULL follows SQL: in joins it equals nothing, in groups, in distinct rows and in lookups it equals itself; it sorts
//! last, and first when descending.
//!
//! What is not here: threads, files, time, randomness, unsafe code. What can go wrong from outside is an error
//! ([`PlanError`], [`WriteError`], [`LookupError`]); rows that come from outside are checked once, by
//! [`Rows::validate`], and trusted from there on.
#![forbid(unsafe_code)]

// Values, rows and what they are kept in.
pub mod batch;
pub mod error;
pub mod hash;
pub mod order;
pub mod row;
mod sort_key;
pub mod value;

// What a plan consists of.
pub mod accumulator;
pub mod expr;
pub mod plan;

// How it runs.
mod backfill;
pub mod dataflow;
mod exchange;
mod failing;
mod install;
mod range;
mod scan;
mod source;
mod view;

// The operators.
mod aggregate;
mod distinct;
mod join;
mod map;
mod projection;
mod replacement;
mod table;
mod top_k;

// What their state lies in.
mod arena;
mod arrangement;
mod combine;
mod index;
mod ordered_index;

#[cfg(test)]
mod testing;

pub use batch::{Batch, DeltaBuffer, Deltas};
pub use dataflow::{Dataflow, Outputs, Write, WriteKind};
pub use error::{LookupError, PlanError, WriteError};
pub use order::{asc, desc};
pub use plan::{Column, JoinKind, OperatorId, Plan, PlanBuilder, Stream, TableId, ViewId, column};
pub use range::{
    ArchivedRange, ArchivedRangePosition, Edge, Range, RangeKeys, RangePiece, RangePosition, RangeRef,
};
pub use row::{Row, RowBuilder, Rows, RowsIter};
pub use scan::{ArchivedScanPosition, ScanPosition};
pub use value::{Datum, Type};
