//! `sakia` without a command: shards up on the data folder until a signal says otherwise.
//!
//! It says what runs where at the start, and then only what a person would want to know: a shard that died and was
//! restored, or one that is not restarted any more.

use std::process::ExitCode;
use std::time::Duration;

use runtime::live::{Options, StartError, Supervisor};

use crate::cli::ServeOptions;
use crate::doctor;
use crate::error::Error;
use crate::fronts::Fronts;
use crate::signals::{Stop, signal_name};

/// How often the loop looks for news.
const TICK: Duration = Duration::from_millis(200);

/// Serves until SIGTERM or SIGINT.
pub fn run(options: &ServeOptions) -> Result<ExitCode, Error> {
    options.clients.check_exposure()?;
    doctor::require_startable()?;
    let stop = Stop::listen()?;
    let mut start = Options::new(&options.data, options.shards.unwrap_or_else(doctor::core_count));
    start.stall_timeout = options.stall_timeout;
    start.cores = doctor::core_ids();
    let supervisor = match Supervisor::start(start.clone()) {
        // One shard per core is only what a new folder gets; an old one keeps what it has.
        Err(StartError::ShardCount { existing, .. }) if options.shards.is_none() => {
            start.shards = existing;
            Supervisor::start(start.clone())?
        }
        started => started?,
    };
    // They replay their logs first, which may take a while; a signal ends that as well.
    while !supervisor.wait_serving(TICK) {
        if let Some(request) = stop.wait(Duration::ZERO) {
            println!("{}: stopped before all shards served", request.name());
            supervisor.stop();
            return Ok(ExitCode::SUCCESS);
        }
    }
    let mut fronts = Fronts::start(options.front_arguments())?;
    announce(&start, &supervisor, &fronts.addresses());
    watch(&supervisor, &mut fronts, &stop);
    drop(fronts);
    supervisor.stop();
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Says what runs where.
fn announce(options: &Options, supervisor: &Supervisor, fronts: &[(u32, String)]) {
    println!("sakia {} serves {}", env!("CARGO_PKG_VERSION"), supervisor.folder().display());
    println!("  supervisor  pid {}", std::process::id());
    for status in supervisor.status() {
        let index = usize::from(status.shard.0);
        let pid = status.pid.map_or("none".to_owned(), |pid| pid.to_string());
        let core = options.cores.get(index % options.cores.len().max(1)).map_or(0, |core| *core);
        let log = runtime::live::layout::DataFolder(supervisor.folder().to_owned()).shard_log(status.shard);
        println!("  shard {index:<4}  pid {pid}, core {core}, log in {}", log.display());
        if let Some(why) = &status.quarantined {
            println!("    is down: {why}");
        }
    }
    for (pid, addresses) in fronts {
        println!("  front       pid {pid}, listens on {addresses}");
    }
    println!("ready");
}

/// Tells the news until a signal comes.
fn watch(supervisor: &Supervisor, fronts: &mut Fronts, stop: &Stop) {
    let mut told = 0;
    let mut down = vec![false; usize::from(supervisor.shards())];
    loop {
        let request = stop.wait(TICK);
        fronts.watch(|news| println!("{news}"));
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
        for (status, down) in supervisor.status().iter().zip(&mut down) {
            if let (Some(why), false) = (&status.quarantined, *down) {
                println!("shard {} is down: {why}", status.shard.0);
                *down = true;
            }
        }
        if let Some(request) = request {
            println!("{}: stopping", request.name());
            return;
        }
    }
}
