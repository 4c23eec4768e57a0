//! Workloads, load generators, crash injection and reports: the figures of the engine.
//!
//! Every benchmark is a subcommand of `sakia bench` (see [`cli`]) and checks its results as well as timing them: a run
//! whose results are wrong has failed, however fast it was. Nothing here is part of the engine; it sees the engine as
//! any other local process does, through the front library and the supervisor.
//!
//! Words: a **group** is the operations that are due together; it goes out as one **message** per shard and kind. A
//! **lane** is what waits for one shard. A **probe** measures write-to-visible. A **trial** is one engine from start to stop
//! with a measured **phase** of load in between. A **tally** is what the votes must add up to.

#![forbid(unsafe_code)]

pub mod cli;

mod clock;
mod log;
mod lookup;
mod overhead;
mod replay;
mod restart;
mod ring;
mod sql;
mod trial;
mod vote;

mod counters;
mod crash;
mod device;
mod engine;
mod folder;
mod schedule;
mod tally;
mod windows;
mod zipf;

mod latencies;
mod plot;
mod report;
mod svg;
mod timeline;

mod error;

pub use error::Error;

use std::process::ExitCode;

use cli::Command;

/// Runs a benchmark. The exit code is 1 when any result was wrong.
///
/// # Errors
/// When it could not give figures; see [`Error`].
pub fn run(command: &Command) -> Result<ExitCode, Error> {
    let right = match command {
        Command::Vote(arguments) => vote::run(arguments)?,
        Command::Overhead(arguments) => overhead::run(arguments)?,
        Command::Replay(arguments) => replay::run(arguments)?,
        Command::Lookup(arguments) => lookup::run(arguments)?,
        Command::Clock(arguments) => clock::run(arguments)?,
        Command::Restart(arguments) => always_right(restart::run(arguments)?),
        Command::Ring(arguments) => always_right(ring::run(arguments)?),
        Command::Log(arguments) => always_right(log::run(arguments)?),
        Command::Sql(arguments) => always_right(sql::run(arguments)?),
        Command::RingPeer(arguments) => always_right(ring::run_peer(arguments)?),
        Command::Host(arguments) => always_right(engine::run_host(arguments)?),
    };
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// For what has no results that could be wrong.
fn always_right((): ()) -> bool {
    true
}
