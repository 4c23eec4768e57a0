//! The command `sakia`: serve, show, check, measure.
//!
//! This crate holds what stands at the edge: the command line ([`cli`]), the server's life from start to signal
//! ([`serve`], [`signals`]), the examination of the machine ([`doctor`]) and the demonstration on real data ([`demo`]).
//! The engine is in the crates below: `runtime` keeps shards alive, `operators` computes, `wal` remembers, `bench`
//! measures. Nothing here touches rings, logs or io_uring other than to try whether the machine has it.
//!
//! Words: a **shard** is a process that owns a slice of every table and view; the **supervisor** is the process that
//! was started by hand and that starts the shards; a **front** is a client of the shards.
//!
//! Exit codes: 0 all is well, 1 it failed (the message says why), 2 the command line is wrong, 128 + n ended by signal
//! n.
#![forbid(unsafe_code)]

mod cli;
mod demo;
mod doctor;
mod error;
mod http;
mod serve;
mod shell;
mod signals;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use error::Error;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Demo(options)) => demo::run(&options),
        Some(Command::Doctor(options)) => Ok(doctor::run(&options)),
        Some(Command::Sql(options)) => shell::run(&options),
        Some(Command::Http(options)) => beside_shards(|| http::run(&options.data, options.listen)),
        Some(Command::Bench(command)) => bench::run(&command).map_err(Error::from),
        Some(Command::Sim(arguments)) => Ok(exit_code(runtime::sim::cli::execute(&arguments))),
        Some(Command::Front(options)) => beside_shards(|| {
            options.clients.check_exposure()?;
            wire::run(&options.into())
        }),
        Some(Command::Shard { arguments }) => {
            signals::leave_to_supervisor();
            Ok(runtime::live::shard_main(arguments))
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("sakia: {error}");
        ExitCode::FAILURE
    })
}

/// The life of a process that the supervisor starts, and ends by SIGTERM.
fn beside_shards(run: impl FnOnce() -> Result<(), Error>) -> Result<ExitCode, Error> {
    signals::leave_interrupts_to_supervisor();
    if runtime::live::live_with_supervisor() {
        run()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
