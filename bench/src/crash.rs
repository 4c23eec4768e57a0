//! Crash injection: who is killed when, and what became of it.
//!
//! Shards are killed one at a time, each when it serves, so that every kill has a recovery of its own to report; deaths in the
//! middle of recoveries are the simulator's work. The killing of everything at once goes through the supervisor's process
//! group.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use runtime::ShardId;
use runtime::live::supervisor::Supervisor;
use rustix::process::Signal;

use crate::cli::SignalChoice;
use crate::counters::Counters;
use crate::engine::{self, HostProcess};
use crate::error::Error;
use crate::report::{Kill, MachineKill};
use crate::vote::generator::Shared;

/// Between two looks whether it is time, or whether a shard is back.
const TICK: Duration = Duration::from_millis(1);
/// How long a recovery may take. Without checkpoints it grows with the log.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(300);

/// When to kill, and when to stop killing.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Time between two kills.
    pub every: Duration,
    /// The run ends after so many, if that was asked for.
    pub kills_max: Option<u32>,
    /// The first kill is `every` after this.
    pub start_ns: u64,
}

/// Kills shards of `supervisor` until the run ends; ends it itself after the last kill when their number is limited. Returns
/// the kills, and what the killed processes had counted.
pub fn kill_shards(
    supervisor: &Supervisor,
    shared: &Shared,
    schedule: Schedule,
    choice: SignalChoice,
    seed: u64,
) -> Result<(Vec<Kill>, Counters), Error> {
    let mut rng = Rng::with_seed(seed);
    let (mut kills, mut lost) = (Vec::new(), Counters::default());
    let mut next_ns = schedule.start_ns + schedule.every.as_nanos() as u64;
    while wait_until(shared, next_ns) {
        let shard = ShardId(rng.u16(..shared.shards));
        let (signal, name) = pick_signal(choice, &mut rng);
        let known = supervisor.recoveries().len();
        lost.add(&Counters::of_shard(supervisor, shard));
        let at_ns = shared.now_ns();
        shared.windows.open(shard);
        kill(supervisor, shard, signal)?;
        let kill = wait_recovered(supervisor, shard, known)?;
        shared.windows.close(shard, shared.now_ns());
        let at_seconds = at_ns.saturating_sub(schedule.start_ns) as f64 / 1e9;
        kills.push(Kill { at_seconds, signal: name.to_owned(), ..kill });
        if schedule.kills_max.is_some_and(|max| kills.len() >= max as usize) {
            shared.end_ns.store(shared.now_ns(), Ordering::Relaxed);
            break;
        }
        next_ns = shared.now_ns().max(next_ns + schedule.every.as_nanos() as u64);
    }
    Ok((kills, lost))
}

/// Kills the supervisor and all shards, again and again, until the run ends.
pub fn kill_everything(
    host: &mut HostProcess,
    folder: &std::path::Path,
    shared: &Shared,
    schedule: Schedule,
) -> Result<Vec<MachineKill>, Error> {
    let mut kills = Vec::new();
    let mut next_ns = schedule.start_ns + schedule.every.as_nanos() as u64;
    while wait_until(shared, next_ns) {
        let at_ns = shared.now_ns();
        (0..shared.shards).for_each(|shard| shared.windows.open(ShardId(shard)));
        host.kill_and_restart()?;
        drop(engine::connect(folder)?);
        let back_ns = shared.now_ns();
        (0..shared.shards).for_each(|shard| shared.windows.close(ShardId(shard), back_ns));
        let at_seconds = at_ns.saturating_sub(schedule.start_ns) as f64 / 1e9;
        kills.push(MachineKill { at_seconds, connected_ms: (back_ns - at_ns) as f64 / 1e6 });
        if schedule.kills_max.is_some_and(|max| kills.len() >= max as usize) {
            shared.end_ns.store(shared.now_ns(), Ordering::Relaxed);
            break;
        }
        next_ns = shared.now_ns().max(next_ns + schedule.every.as_nanos() as u64);
    }
    Ok(kills)
}

/// Sends `signal` to `shard` and waits until it has caught up.
pub fn kill_and_wait(supervisor: &Supervisor, shard: ShardId, signal: Signal) -> Result<Kill, Error> {
    let known = supervisor.recoveries().len();
    kill(supervisor, shard, signal)?;
    wait_recovered(supervisor, shard, known)
}

/// Sends `signal` to `shard`.
pub fn kill(supervisor: &Supervisor, shard: ShardId, signal: Signal) -> Result<(), Error> {
    match supervisor.kill(shard, signal.as_raw()) {
        true => Ok(()),
        false => {
            Err(Error::Engine { action: "kill a shard", reason: format!("shard {} has no process", shard.0) })
        }
    }
}

/// Waits for a time; false when the run ends before.
fn wait_until(shared: &Shared, at_ns: u64) -> bool {
    loop {
        let now_ns = shared.now_ns();
        if now_ns >= shared.end_ns.load(Ordering::Relaxed) {
            return false;
        }
        if now_ns >= at_ns {
            return true;
        }
        std::thread::sleep(TICK.min(Duration::from_nanos(at_ns - now_ns)));
    }
}

/// Waits for a recovery of `shard` beyond the first `known` ones.
pub fn wait_recovered(supervisor: &Supervisor, shard: ShardId, known: usize) -> Result<Kill, Error> {
    let begin = Instant::now();
    while begin.elapsed() < RECOVERY_TIMEOUT {
        let recoveries = supervisor.recoveries();
        if let Some(recovery) = recoveries.iter().skip(known).find(|recovery| recovery.shard == shard) {
            return Ok(Kill {
                at_seconds: 0.0,
                signal: String::new(),
                shard: shard.0,
                detected_ms: recovery.detected_ms,
                restarted_ms: recovery.restarted_ms,
                replayed_ms: recovery.replayed_ms,
                steered_ms: recovery.steered_ms,
                caught_up_ms: recovery.caught_up_ms,
            });
        }
        engine::check_quarantine(supervisor)?;
        std::thread::sleep(TICK);
    }
    Err(Error::Timeout { what: "the recovery of a shard", seconds: RECOVERY_TIMEOUT.as_secs() })
}

fn pick_signal(choice: SignalChoice, rng: &mut Rng) -> (Signal, &'static str) {
    const ALL: [SignalChoice; 4] =
        [SignalChoice::Kill, SignalChoice::Segv, SignalChoice::Abrt, SignalChoice::Stop];
    match choice {
        SignalChoice::Kill => (Signal::KILL, "KILL"),
        SignalChoice::Segv => (Signal::SEGV, "SEGV"),
        SignalChoice::Abrt => (Signal::ABORT, "ABRT"),
        SignalChoice::Stop => (Signal::STOP, "STOP"),
        SignalChoice::Random => pick_signal(ALL[rng.usize(..ALL.len())], rng),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_signals_are_of_every_kind() {
        let mut rng = Rng::with_seed(1);
        let mut names: Vec<&str> = (0..100).map(|_| pick_signal(SignalChoice::Random, &mut rng).1).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, ["ABRT", "KILL", "SEGV", "STOP"]);
    }
}
