//! Rows, plans and operators: the pure core of a shard. Nothing here knows of threads, files or time.
#![forbid(unsafe_code)]

pub mod value;
pub mod row;
pub mod batch;
pub mod arena;
pub mod index;
pub mod arrangement;
pub mod table;
pub mod hash;
pub mod order;
pub mod sort_key;
pub mod error;
pub mod expr;
pub mod accumulator;
pub mod plan;
pub mod dataflow;
mod source;
mod projection;
mod map;
mod join;
mod aggregate;
mod combine;
mod exchange;
mod view;
pub mod distinct;
pub mod top_k;
#[cfg(test)]
mod testing;

pub use batch::{Batch, DeltaBuffer, Deltas};
pub use dataflow::{Dataflow, Outputs, WriteKind};
pub use error::{LookupError, PlanError, WriteError};
pub use order::{asc, desc};
pub use plan::{Column, JoinKind, OperatorId, Plan, PlanBuilder, Stream, TableId, ViewId, column};
pub use row::{Row, RowBuilder, Rows, RowsIter};
pub use value::{Datum, Type};
