//! Tests of the crate from outside: statements on one shard.

mod alter;
mod changes;
mod database;
mod differential;
mod errors;
mod postgres;
mod roles;
mod slt;
mod statements;
