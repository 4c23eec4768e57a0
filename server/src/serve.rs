//! `sakia` without a command: shards up on the data folder until a signal says otherwise.
//!
//! It says what runs where at the start, and then only what a person would want to know: a shard that died and was
//! restored, or one that is not restarted any more.

use std::process::ExitCode;
use std::time::Duration;

use runtime::live::{FrontCommand, FrontStatus, Options, StartError, Supervisor};

use crate::cli::ServeOptions;
use crate::doctor;
use crate::error::Error;
use crate::signals::{Stop, signal_name};
use crate::wire;

/// How often the loop looks for news.
const TICK: Duration = Duration::from_millis(200);

/// Serves until SIGTERM or SIGINT.
pub fn run(options: &ServeOptions) -> Result<ExitCode, Error> {
    options.check_exposure()?;
    wire::check_tls(options.clients.tls().as_ref())?;
    doctor::require_startable()?;
    let stop = Stop::listen()?;
    let mut start = Options::new(&options.data, options.shards.unwrap_or_else(doctor::core_count));
    start.stall_timeout = options.stall_timeout;
    start.cores = doctor::core_ids();
    start.fronts = fronts(options)?;
    let supervisor = match Supervisor::start(start.clone()) {
        // One shard per core is only what a new folder gets; an old one keeps what it has.
        Err(StartError::ShardCount { existing, .. }) if options.shards.is_none() => {
            start.shards = existing;
            Supervisor::start(start.clone())?
        }
        started => started?,
    };
    // Shards replay their logs first, which may take a while; a signal ends that as well.
    while !(supervisor.wait_serving(TICK) && all_listen(&supervisor)?) {
        if let Some(request) = stop.wait(TICK) {
            println!("{}: stopped before all shards served", request.name());
            supervisor.stop();
            return Ok(ExitCode::SUCCESS);
        }
    }
    if let Err(error) = check_passwords(options) {
        supervisor.stop();
        return Err(error);
    }
    announce(options, &start, &supervisor);
    watch(&supervisor, &stop);
    supervisor.stop();
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Refuses to go on where strangers can connect and nobody could log in. Until it is known they are turned away.
fn check_passwords(options: &ServeOptions) -> Result<(), Error> {
    let Some(address) = options.clients.exposed() else { return Ok(()) };
    if options.clients.insecure {
        eprintln!(
            "warning: --insecure: whoever reaches {address} can connect without encryption, and reads and writes \
             everything unless a role has a password"
        );
        return Ok(());
    }
    if wire::has_passwords(&options.data)? { Ok(()) } else { Err(Error::NoPassword { address }) }
}

/// The processes beside the shards: those that serve clients, then the one that answers over HTTP.
fn fronts(options: &ServeOptions) -> Result<Vec<FrontCommand>, Error> {
    options.front_arguments().into_iter().chain(options.http_arguments()).map(own_command).collect()
}

/// This program as a process beside the shards.
pub fn own_command(arguments: Vec<String>) -> Result<FrontCommand, Error> {
    let program = std::env::current_exe()
        .map_err(|source| Error::System { what: "the program's own file cannot be found", source })?;
    Ok(FrontCommand { program, args: arguments.into_iter().map(Into::into).collect() })
}

/// Whether all fronts have said where they listen; an error if one has ended instead, having said why.
pub fn all_listen(supervisor: &Supervisor) -> Result<bool, Error> {
    let status = supervisor.front_status();
    match status.iter().filter(|front| front.said.is_none()).find_map(|front| front.last_end.as_ref()) {
        Some(end) => Err(Error::FrontEnded { end: end.clone() }),
        None => Ok(status.iter().all(|front| front.said.is_some())),
    }
}

/// Says what runs where.
fn announce(serve: &ServeOptions, options: &Options, supervisor: &Supervisor) {
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
    for (number, front) in supervisor.front_status().iter().enumerate() {
        let what = if number < usize::from(serve.fronts) { "front" } else { "http" };
        println!("  {what:<10}  {}", whereabouts(front));
    }
    println!("ready");
}

fn whereabouts(front: &FrontStatus) -> String {
    let pid = front.pid.map_or("none".to_owned(), |pid| pid.to_string());
    format!("pid {pid}, listens on {}", front.said.as_deref().unwrap_or("nothing"))
}

/// Tells the news until a signal comes.
fn watch(supervisor: &Supervisor, stop: &Stop) {
    let mut told = 0;
    let mut fronts = supervisor.front_status();
    let mut down = vec![false; usize::from(supervisor.shards())];
    loop {
        let request = stop.wait(TICK);
        tell_of_fronts(&mut fronts, supervisor.front_status());
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

/// Tells of fronts that have ended, and of those that listen again.
fn tell_of_fronts(known: &mut Vec<FrontStatus>, now: Vec<FrontStatus>) {
    for (before, now) in known.iter().zip(&now) {
        let has_ended = now.starts > before.starts || before.pid.is_some() && now.pid.is_none();
        if let (true, Some(end)) = (has_ended, &now.last_end) {
            println!("a front has ended: {end}");
        }
        if now.said.is_some() && (before.said.is_none() || now.starts > before.starts) {
            println!("a front again: {}", whereabouts(now));
        }
    }
    *known = now;
}
