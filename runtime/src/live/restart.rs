//! What the supervisor remembers of deaths: how long each recovery took, and whether a shard dies of its input.

use super::control::{ControlPage, ShardWord, working_on};
use super::process::End;
use crate::clock::{Label, ShardId};
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// The course of one recovery. Times are in milliseconds, counted from the death.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// Which shard.
    pub shard: ShardId,
    /// The signal that ended the process (that of [`super::Supervisor::kill`], if it was that); 0 if it ended by itself.
    pub signal: i32,
    /// CLOCK_MONOTONIC ns of the death. If nobody can know it: of its detection.
    pub died_at_ns: u64,
    /// When the supervisor noticed.
    pub detected_ms: f64,
    /// When the new process ran its own code.
    pub restarted_ms: f64,
    /// When it had replayed its log.
    pub replayed_ms: f64,
    /// When it was where others had seen it, and served again.
    pub steered_ms: f64,
    /// When it had consumed what had piled up meanwhile.
    pub caught_up_ms: f64,
}

/// The words of a recovery's times, in their order.
const TIMES: [ShardWord; 5] = [
    ShardWord::RecoveryDetected,
    ShardWord::RecoveryRestarted,
    ShardWord::RecoveryReplayed,
    ShardWord::RecoverySteered,
    ShardWord::RecoveryCaughtUp,
];

impl Recovery {
    /// Tells fronts of it.
    pub(crate) fn tell(&self, page: &ControlPage) {
        let times =
            [self.detected_ms, self.restarted_ms, self.replayed_ms, self.steered_ms, self.caught_up_ms];
        page.set(self.shard, ShardWord::RecoveryDiedAt, 0);
        // Release: whoever sees one of the words below sees the zero, and is not misled by what was there.
        fence(Ordering::Release);
        page.set(self.shard, ShardWord::RecoverySignal, self.signal as u64);
        for (word, ms) in TIMES.into_iter().zip(times) {
            page.set(self.shard, word, (ms * 1e6) as u64);
        }
        // Release: whoever sees the time of death sees the rest.
        page.shard(self.shard, ShardWord::RecoveryDiedAt).store(self.died_at_ns, Ordering::Release);
    }

    /// The newest one that the supervisor has told of.
    pub(crate) fn told(page: &ControlPage, shard: ShardId) -> Option<Recovery> {
        let died_at = page.shard(shard, ShardWord::RecoveryDiedAt);
        loop {
            // Acquire: pairs with the Release store in `tell`.
            let died_at_ns = died_at.load(Ordering::Acquire);
            let [detected_ms, restarted_ms, replayed_ms, steered_ms, caught_up_ms] =
                TIMES.map(|word| page.get(shard, word) as f64 / 1e6);
            let signal = page.get(shard, ShardWord::RecoverySignal) as i32;
            // Acquire: pairs with the fence in `tell`; if a word above is newer, the time of death is seen to have changed.
            fence(Ordering::Acquire);
            if died_at_ns == 0 {
                return None;
            }
            if died_at.load(Ordering::Relaxed) == died_at_ns {
                return Some(Recovery {
                    shard,
                    signal,
                    died_at_ns,
                    detected_ms,
                    restarted_ms,
                    replayed_ms,
                    steered_ms,
                    caught_up_ms,
                });
            }
        }
    }
}

/// A death as the crash-loop guard sees it.
#[derive(Clone, Copy, Debug)]
struct Crash {
    label: Label,
    working_on: u64,
    count: u32,
}

/// Decides whether and when a shard is started again.
#[derive(Debug, Default)]
pub(crate) struct CrashGuard {
    last: Option<Crash>,
    /// Deaths in a row of processes that did not live long.
    short_lives: u32,
}

/// What to do about a death.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start it again after so long.
    Restart(Duration),
    /// Leave it down, for this reason.
    Quarantine(String),
}

/// Deaths at one place after which a shard is not started again.
const CRASHES_MAX: u32 = 3;
/// Two deaths are at one place if no more messages lie between them than a step takes: a step that dies has not said
/// at which of its messages.
const SAME_PLACE_LABELS: u64 = 128;
/// A process that lived less long counts towards the backoff.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// Short lives before the first delay, so that a few kills in a row cost nothing.
const FREE_RESTARTS: u32 = 5;
const DELAY_FIRST: Duration = Duration::from_millis(50);
const DELAY_MAX: Duration = Duration::from_secs(5);

impl CrashGuard {
    /// A shard has died of itself (`fault` is what it said) while it was `working_on` something at `label`.
    pub(crate) fn crashed(
        &mut self,
        end: End,
        label: Label,
        working_on: u64,
        lived: Duration,
        fault: &str,
    ) -> Verdict {
        let same = |last: &Crash| {
            last.working_on == working_on && last.label.0.abs_diff(label.0) <= SAME_PLACE_LABELS
        };
        let count = if working_on == working_on::NOTHING {
            0
        } else {
            self.last.as_ref().filter(|last| same(last)).map_or(1, |last| last.count + 1)
        };
        self.last = Some(Crash { label, working_on, count });
        if count >= CRASHES_MAX {
            let what = working_on::describe(working_on);
            let said = if fault.is_empty() { String::new() } else { format!(", saying: {fault}") };
            return Verdict::Quarantine(format!(
                "died {count} times at label {label} while consuming {what}, last with {end}{said}; \
                 it is not started again until the server is"
            ));
        }
        Verdict::Restart(self.delay(lived))
    }

    /// A shard was killed from outside, which says nothing about its input.
    pub(crate) fn killed(&mut self) -> Verdict {
        Verdict::Restart(Duration::ZERO)
    }

    fn delay(&mut self, lived: Duration) -> Duration {
        if lived >= SHORT_LIFE {
            self.short_lives = 0;
            return Duration::ZERO;
        }
        self.short_lives += 1;
        match self.short_lives.checked_sub(FREE_RESTARTS + 1) {
            None => Duration::ZERO,
            Some(doublings) => (DELAY_FIRST * (1 << doublings.min(10))).min(DELAY_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Link;

    const SEGV: End = End::Signal(libc::SIGSEGV);

    #[test]
    fn three_deaths_at_one_place_are_enough() {
        let (mut guard, link) = (CrashGuard::default(), working_on::link(Link::Shard(ShardId(2))));
        let life = Duration::from_secs(2);
        for label in [900, 950] {
            assert_eq!(guard.crashed(SEGV, Label(label), link, life, ""), Verdict::Restart(Duration::ZERO));
        }
        let Verdict::Quarantine(why) = guard.crashed(SEGV, Label(950), link, life, "out of paper") else {
            panic!("the third death at one place")
        };
        for part in ["3 times", "label 950", "link shard 2", "SIGSEGV", "out of paper"] {
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn deaths_at_different_places_or_at_rest_are_not_the_input() {
        let (mut guard, link) = (CrashGuard::default(), working_on::link(Link::Ingest));
        let life = Duration::from_secs(2);
        for k in 0..20u64 {
            let working = if k.is_multiple_of(3) { working_on::NOTHING } else { link };
            assert!(matches!(guard.crashed(SEGV, Label(5), working, life, ""), Verdict::Restart(_)));
            guard.killed();
        }
        for k in 0..20u64 {
            assert!(matches!(guard.crashed(SEGV, Label(k * 1000), link, life, ""), Verdict::Restart(_)));
        }
    }

    #[test]
    fn short_lives_are_restarted_ever_more_slowly() {
        let (mut guard, mut delays) = (CrashGuard::default(), Vec::new());
        for _ in 0..20 {
            let verdict = guard.crashed(SEGV, Label(0), working_on::NOTHING, Duration::ZERO, "");
            let Verdict::Restart(delay) = verdict else { panic!("nothing was consumed") };
            delays.push(delay);
        }
        assert_eq!(delays[..6], [&[Duration::ZERO; 5][..], &[DELAY_FIRST]].concat());
        assert!(delays.is_sorted());
        assert_eq!(delays.last(), Some(&DELAY_MAX));
    }
}
