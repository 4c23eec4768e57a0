//! Tests of the crate from outside: statements on one shard.

mod database;
mod differential;
mod errors;
mod slt;
mod statements;
