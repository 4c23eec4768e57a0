//! Why a shard cannot go on.

use operators::PlanError;
use std::fmt::Display;

/// Why a shard cannot go on. The host ends the process; what to do next is the supervisor's matter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// A record, request or message is whole by its checksum but cannot be read.
    #[error("{from}: {what}")]
    Unreadable {
        /// Where it came from.
        from: String,
        /// What is wrong with it.
        what: String,
    },
    /// Receivers have seen results of writes that the log does not hold.
    #[error(
        "the log holds {held} client writes, but other shards or fronts have seen results of {seen}: its end is damaged; \
         restore the data folder from a backup"
    )]
    LostWrites {
        /// Writes in the log.
        held: u64,
        /// Writes whose results have been seen.
        seen: u64,
    },
    /// The catalogue holds a plan that cannot be installed.
    #[error("catalogue entry {position}: {source}")]
    Plan {
        /// Which entry, from 1.
        position: u64,
        /// What is wrong with it.
        source: PlanError,
    },
}

pub(super) fn unreadable(from: &(impl Display + ?Sized), what: impl ToString) -> ShardError {
    ShardError::Unreadable { from: from.to_string(), what: what.to_string() }
}
