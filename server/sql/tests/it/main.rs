//! Tests of the crate from outside: statements on one shard.

mod alter;
mod changes;
mod comments;
mod copy;
mod database;
mod differential;
mod errors;
mod explain;
mod locking;
mod postgres;
mod prepare;
mod ranges;
mod roles;
mod slt;
mod statements;
