//! Shards and the two hosts that drive them.
//!
//! A **shard** is a plain state machine: messages, requests and durable positions come in as arguments, log records and
//! outgoing messages are left in buffers for the host to move. The live host (one process and one pinned Glommio
//! executor a shard, rings in shared memory) and the simulated host (all shards on one thread, from one seed) drive
//! the same code through the same moves.
//!
//! Reading order is the order of the modules below. The words (label, cut, tree clock, step, link, steering, ...) are
//! explained where their types stand.

#![deny(unsafe_code)]

mod admit;
pub mod catalogue;
pub mod clock;
pub mod front;
mod front_state;
mod ingest;
pub mod links;
pub mod live;
pub mod machine;
pub mod map;
pub mod message;
mod outbox;
pub mod record;
pub mod recovery;
pub mod ring;
pub mod rounds;
pub mod shard;
pub mod sim;

pub use clock::{Cut, FrontId, FrontSlot, Label, Link, ShardId, TreeClock};
