//! What a generator needs of a front, so that its tests can put something else in its place.

use std::fmt;
use std::time::Duration;

use operators::{Rows, TableId, ViewId, WriteKind};
use runtime::ShardId;

/// Names a request until its answer has come.
pub type Ticket = u64;

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Too much is waiting for this shard: try again when answers have come.
    Busy,
    /// The whole machine is gone, and all that was under way with it.
    Gone(String),
    /// The engine does not understand it: a mistake of ours, or another plan than we think.
    Invalid(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Busy => write!(formatter, "too much is waiting"),
            Refused::Invalid(reason) => write!(formatter, "not understood: {reason}"),
            Refused::Gone(reason) => write!(formatter, "the machine is gone: {reason}"),
        }
    }
}

/// What came of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The write is durable and applied to so many rows.
    Written(u32),
    /// The rows of each key, key after key.
    Found {
        /// How many rows each key has.
        counts: Vec<u32>,
        /// The rows.
        rows: Rows,
    },
    /// The shard refused it.
    Failed(String),
}

/// An answer to a request.
#[derive(Debug)]
pub struct Answered {
    /// The request.
    pub ticket: Ticket,
    /// What came of it.
    pub outcome: Outcome,
}

/// A connection to all shards.
pub trait Port {
    /// Sends rows to a shard that owns all of them.
    fn write(
        &mut self,
        shard: ShardId,
        table: TableId,
        kind: WriteKind,
        rows: &Rows,
    ) -> Result<Ticket, Refused>;

    /// Asks a shard for the rows of keys that it owns all.
    fn lookup(&mut self, shard: ShardId, view: ViewId, keys: &Rows, limit: u32) -> Result<Ticket, Refused>;

    /// Appends the answers that have come; sleeps until there is one, but not longer than `timeout`.
    fn wait(&mut self, timeout: Duration, answers: &mut Vec<Answered>) -> Result<(), Refused>;

    /// Connects again after `Gone`; tickets given before mean nothing afterwards.
    fn reconnect(&mut self) -> Result<(), crate::Error>;
}
