//! The hangman of the demo: every so often a random shard gets a random signal.
//!
//! Only a shard that serves is killed. One that is still being restored is left alone until it is done: otherwise kills
//! that come faster than a log can be replayed would keep a shard from ever coming back, which is what the supervisor's
//! guard against crashes in a loop is for, not this.

use std::time::{Duration, Instant};

use runtime::ShardId;
use runtime::live::Supervisor;
use runtime::live::control::Phase;
use rustix::process::Signal;

use super::show::Show;
use crate::cli::DemoOptions;
use crate::signals::signal_name;

/// How shards die: at once, by a bad access, by their own decision, by not answering any more.
const SIGNALS: [Signal; 4] = [Signal::KILL, Signal::SEGV, Signal::ABORT, Signal::STOP];

/// Decides when who is killed, and tells what became of it.
pub struct Killer {
    random: fastrand::Rng,
    /// `None`: nobody is killed.
    every: Option<Duration>,
    next: Instant,
    /// Recoveries that were shown.
    shown: usize,
}

impl Killer {
    /// A killer as the options have it.
    pub fn new(options: &DemoOptions) -> Killer {
        Killer {
            random: fastrand::Rng::with_seed(options.seed),
            every: (!options.no_kill).then_some(options.kill_every),
            next: Instant::now() + options.kill_every,
            shown: 0,
        }
    }

    /// Kills a shard if it is time.
    pub fn tick(&mut self, supervisor: &Supervisor, show: &Show) {
        let Some(every) = self.every else { return };
        if Instant::now() < self.next {
            return;
        }
        let status = supervisor.status();
        let serving = status.iter().filter(|status| status.phase == Phase::Running && status.pid.is_some());
        let serving: Vec<ShardId> = serving.map(|status| status.shard).collect();
        let Some(shard) = self.random.choice(serving) else { return };
        let signal = self.random.choice(SIGNALS).expect("there are signals");
        if !supervisor.kill(shard, signal.as_raw()) {
            // It ended by itself in this very moment; the next tick finds another.
            return;
        }
        show.line(format!("  shard {} gets {}", shard.0, signal_name(signal.as_raw())));
        self.next += every;
        // After a long pause there is one kill, not all that were missed.
        self.next = self.next.max(Instant::now());
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
