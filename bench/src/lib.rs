//! Workloads, load generators, crash injection and reports: the figures of the engine.
//!
//! Every benchmark is a subcommand of `sakia bench` (see [`cli`]) and checks its results as well as timing them: a run
//! whose results are wrong has failed, however fast it was. Nothing here is part of the engine; it sees the engine as
//! any other local process does, through the front library and the supervisor.

#![forbid(unsafe_code)]

pub mod cli;
mod device;
mod error;
mod folder;
mod latencies;
mod log;
mod plot;
mod report;
mod ring;
mod schedule;
mod svg;
mod tally;
mod timeline;
mod vote;
mod windows;
mod zipf;

pub use error::Error;
