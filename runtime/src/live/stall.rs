//! Whether a process that gives no sign of life is stuck, or only waits for its turn.
//!
//! On a machine with more work than cores a healthy process may be silent for a while; killing it would make things worse.
//! So silence alone is judged slowly. It is judged quickly where the process is stopped, or has had the processor all that
//! time and still said nothing.

use std::fs;
use std::time::Duration;

/// A process that is neither stopped nor busy is killed after this many times the usual patience: it waits for a disk or
/// for a core.
const PATIENCE_WITHOUT_A_CORE: u32 = 10;

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Activity {
    stopped: bool,
    /// Processor time used so far.
    used: Duration,
}

impl Activity {
    /// Asks about a process; none if it has ended.
    pub(crate) fn of(pid: u32) -> Option<Activity> {
        Activity::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads a line of proc(5)'s `stat`: state is the third field, user and system time in ticks are the 14th and 15th.
    fn parse(stat: &str) -> Option<Activity> {
        // The name before may hold anything, blanks and parentheses too.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        // The kernel always reports 100 ticks a second to programs.
        Some(Activity {
            stopped: matches!(*fields.first()?, "T" | "t"),
            used: Duration::from_millis(ticks * 10),
        })
    }
}

/// For how long a process may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// When it is stopped.
    pub usual: Duration,
    /// When it works, which takes long where one step goes through all rows of a table.
    pub working: Duration,
}

impl Patience {
    /// The same in both cases.
    pub(crate) fn of(usual: Duration) -> Patience {
        Patience { usual, working: usual }
    }
}

/// Watches one process between its signs of life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StallWatch {
    /// The sign of life since which it is silent, and the processor time it had used when the silence was noticed.
    silence: Option<(u64, Duration)>,
}

impl StallWatch {
    /// Whether the process is stuck. `beat` identifies its last sign of life, `silent` ago.
    pub(crate) fn is_stuck(&mut self, pid: u32, beat: u64, silent: Duration, patience: Patience) -> bool {
        if silent < patience.usual / 4 {
            return false;
        }
        Activity::of(pid).is_some_and(|activity| self.judge(activity, beat, silent, patience))
    }

    fn judge(&mut self, activity: Activity, beat: u64, silent: Duration, patience: Patience) -> bool {
        let before = match self.silence {
            Some((since, used)) if since == beat => used,
            _ => {
                self.silence = Some((beat, activity.used));
                activity.used
            }
        };
        let busy = activity.used.saturating_sub(before) >= patience.usual / 2;
        let waits = patience.working.max(patience.usual * PATIENCE_WITHOUT_A_CORE);
        let enough = if busy { patience.working } else { waits };
        silent > patience.usual && (activity.stopped || silent > enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { usual: Duration::from_millis(500), working: Duration::from_millis(500) };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_kernels_line_is_read_whatever_the_name() {
        let line = "12 (a) b) T 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 1 0 5 6 7";
        assert_eq!(Activity::parse(line), Some(Activity { stopped: true, used: ms(420) }));
        assert_eq!(Activity::parse("12 (short) R 1"), None);
        assert!(Activity::of(std::process::id()).is_some_and(|me| !me.stopped));
    }

    #[test]
    fn silence_is_judged_by_what_the_process_does() {
        let at = |stopped, used| Activity { stopped, used: ms(used) };
        let mut watch = StallWatch::default();
        assert!(!watch.judge(at(false, 1000), 7, ms(200), PATIENCE));
        assert!(!watch.judge(at(false, 1010), 7, ms(600), PATIENCE), "it gets no core");
        assert!(watch.judge(at(true, 1010), 7, ms(600), PATIENCE), "it is stopped");
        assert!(watch.judge(at(false, 1300), 7, ms(600), PATIENCE), "it loops");
        assert!(!watch.judge(at(false, 1300), 8, ms(600), PATIENCE), "it has given a sign of life since");
        assert!(watch.judge(at(false, 1300), 8, ms(5100), PATIENCE), "it waits for ever");
    }

    #[test]
    fn long_work_takes_its_time() {
        let at = |stopped, used| Activity { stopped, used: ms(used) };
        let patience = Patience { usual: ms(500), working: ms(60_000) };
        let mut watch = StallWatch::default();
        assert!(!watch.judge(at(false, 1000), 7, ms(200), patience));
        assert!(!watch.judge(at(false, 9000), 7, ms(9000), patience), "it works");
        assert!(!watch.judge(at(false, 1010), 7, ms(9000), patience), "it gets no core for its work");
        assert!(watch.judge(at(true, 1010), 7, ms(600), patience), "it is stopped");
        assert!(watch.judge(at(false, 60_000), 7, ms(60_001), patience), "it loops");
    }
}
