//! `sakia` without a command: shards up on the data folder until a signal says otherwise.
//!
//! It says what runs where at the start, and then only what a person would want to know: a shard that died and was
//! restored, or one that is not restarted any more.

use std::process::ExitCode;
use std::time::Duration;

use runtime::live::supervisor::{Options, Supervisor};

use crate::cli::ServeOptions;
use crate::doctor;
use crate::error::Error;
use crate::signals::{Stop, signal_name};

/// How often the loop looks for news.
const TICK: Duration = Duration::from_millis(200);
/// How long shards may take to serve at the start: they replay their logs first.
const SERVING_TIMEOUT: Duration = Duration::from_secs(3600);

/// Serves until SIGTERM or SIGINT.
pub fn run(options: &ServeOptions) -> Result<ExitCode, Error> {
    doctor::require_startable()?;
    let stop = Stop::listen()?;
    let shards = options.shards.unwrap_or_else(doctor::core_count);
    let start = Options { stall_timeout: options.stall_timeout, ..Options::new(&options.data, shards) };
    let supervisor = Supervisor::start(start)?;
    supervisor.wait_serving(SERVING_TIMEOUT)?;
    announce(options, &supervisor);
    watch(&supervisor, &stop);
    supervisor.stop()?;
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Says what runs where.
fn announce(options: &ServeOptions, supervisor: &Supervisor) {
    println!("sakia {} serves {}", env!("CARGO_PKG_VERSION"), options.data.display());
    println!("  supervisor  pid {}", std::process::id());
    for status in supervisor.status() {
        println!("  shard {:<4}  pid {}, core {}", status.shard.0, status.pid, status.core);
    }
}

/// Tells the news until a signal comes.
fn watch(supervisor: &Supervisor, stop: &Stop) {
    let mut told = 0;
    loop {
        let request = stop.wait(TICK);
        let recoveries = supervisor.recoveries();
        for recovery in &recoveries[told..] {
            println!(
                "shard {} was ended by {} and restored in {:.1} ms",
                recovery.shard.0,
                signal_name(recovery.signal),
                recovery.caught_up_ms
            );
        }
        told = recoveries.len();
        if let Some(request) = request {
            println!("{}: stopping", request.name());
            return;
        }
    }
}
