//! The hangman of the demo: every so often a random shard gets a random signal.
//!
//! A kill waits until the last victim is restored and all have worked together for a while. A shard replays its whole log,
//! which takes seconds when a year of flights lies in it; kills that come faster than that would keep it from ever coming
//! back, and the year would never end. For the same reason there are no more kills once the stream has taken much longer
//! than it should: the run is to end within two minutes on a busy machine, too.

use std::time::{Duration, Instant};

use runtime::live::Supervisor;
use runtime::live::control::Phase;
use rustix::process::Signal;

use super::show::Show;
use crate::cli::DemoOptions;
use crate::signals::signal_name;

/// How shards die: at once, by a bad access, by their own decision, by not answering any more.
const SIGNALS: [Signal; 4] = [Signal::KILL, Signal::SEGV, Signal::ABORT, Signal::STOP];

/// Of the time between two kills, the share that all shards have together after a recovery: one half.
const TOGETHER_SHARE: u32 = 2;
/// After so long nobody is killed any more.
const KILLING_MAX: Duration = Duration::from_secs(50);

/// Decides when who is killed, and tells what became of it.
pub struct Killer {
    random: fastrand::Rng,
    /// `None`: nobody is killed.
    every: Option<Duration>,
    started: Instant,
    next: Instant,
    /// While a victim is away: how many recoveries there were when it was killed.
    recoveries_before: Option<usize>,
    /// Recoveries that were shown.
    shown: usize,
}

impl Killer {
    /// A killer as the options have it.
    pub fn new(options: &DemoOptions) -> Killer {
        let now = Instant::now();
        Killer {
            random: fastrand::Rng::with_seed(options.seed),
            every: (!options.no_kill).then_some(options.kill_every),
            started: now,
            next: now + options.kill_every,
            recoveries_before: None,
            shown: 0,
        }
    }

    /// Kills a shard if it is time.
    pub fn tick(&mut self, supervisor: &Supervisor, show: &Show) {
        let Some(every) = self.every else { return };
        let (now, recoveries) = (Instant::now(), supervisor.recoveries().len());
        if self.recoveries_before.is_some_and(|before| recoveries > before) {
            self.recoveries_before = None;
            self.next = self.next.max(now + every / TOGETHER_SHARE);
        }
        if self.recoveries_before.is_some() || now < self.next || now - self.started > KILLING_MAX {
            return;
        }
        let status = supervisor.status();
        let serving = status.iter().filter(|status| status.phase == Phase::Running);
        let Some(victim) = self.random.choice(serving.collect::<Vec<_>>()) else { return };
        let signal = self.random.choice(SIGNALS).expect("there are signals").as_raw();
        // If it ended by itself in this very moment, the next tick finds another.
        if supervisor.kill(victim.shard, signal) {
            self.recoveries_before = Some(recoveries);
            self.next = now + every;
            show.line(format!("  shard {} gets {}", victim.shard.0, signal_name(signal)));
        }
    }

    /// Shows the recoveries that are new.
    pub fn show_recoveries(&mut self, supervisor: &Supervisor, show: &Show) {
        let recoveries = supervisor.recoveries();
        for recovery in &recoveries[self.shown..] {
            show.line(format!(
                "  shard {} {} noticed after {:.1} ms, restored in {:.1} ms",
                recovery.shard.0,
                signal_name(recovery.signal),
                recovery.detected_ms,
                recovery.caught_up_ms,
            ));
        }
        self.shown = recoveries.len();
    }
}
