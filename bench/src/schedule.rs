//! When operations are due.
//!
//! At a rate the due times follow from the start and the rate alone (open loop): however late the answers are, no group
//! is skipped or put off, and latency counts from the due time. So a stall shows in every operation that it delayed,
//! also in those that were never sent because of it.

use crate::cli::Rate;

/// The due times of groups of operations, in nanoseconds of the run's own time.
#[derive(Debug, Clone)]
pub struct Schedule {
    start_ns: u64,
    end_ns: u64,
    /// Nanoseconds between two groups; `None` when a group is due as soon as there is room for it.
    interval_ns: Option<f64>,
    issued: u64,
}

/// What is to be done at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A group is due, since the time given.
    Due(u64),
    /// Nothing before this time.
    At(u64),
    /// A group may start whenever there is room.
    WhenRoom,
    /// The schedule is over.
    Over,
}

impl Schedule {
    /// The schedule of one of `generators` that share `rate`, issuing groups of `batch` operations.
    pub fn new(rate: Rate, batch: u32, generators: u16, start_ns: u64, end_ns: u64) -> Schedule {
        assert!(batch > 0, "a group has operations");
        assert!(generators > 0, "somebody must issue them");
        assert!(start_ns <= end_ns, "time goes forward");
        let interval_ns = match rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(f64::from(batch) * f64::from(generators) * 1e9 / rate),
        };
        Schedule { start_ns, end_ns, interval_ns, issued: 0 }
    }

    /// What is to be done at `now_ns`; says the same again until `issue` is called.
    pub fn next(&self, now_ns: u64) -> Next {
        let Some(interval_ns) = self.interval_ns else {
            return if now_ns < self.end_ns { Next::WhenRoom } else { Next::Over };
        };
        // Counted from the start each time, so that rounding does not add up: exact below 2^53 ns, 104 days.
        let due_ns = self.start_ns + (self.issued as f64 * interval_ns) as u64;
        match due_ns {
            due if due >= self.end_ns => Next::Over,
            due if due <= now_ns => Next::Due(due),
            due => Next::At(due),
        }
    }

    /// Whether room decides and not time.
    pub fn is_closed_loop(&self) -> bool {
        self.interval_ns.is_none()
    }

    /// The group that was due has been issued.
    pub fn issue(&mut self) {
        self.issued += 1;
    }

    /// Ends the schedule at `end_ns`: what is due later is not issued.
    pub fn end_at(&mut self, end_ns: u64) {
        self.end_ns = self.end_ns.min(end_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_generator_catches_up_without_skipping() {
        let mut schedule = Schedule::new(Rate::PerSecond(1000.0), 1, 1, 5_000_000, 15_000_000);
        assert_eq!(schedule.next(0), Next::At(5_000_000));
        assert_eq!(schedule.next(5_000_000), Next::Due(5_000_000));
        schedule.issue();
        assert_eq!(schedule.next(5_000_001), Next::At(6_000_000));
        // Ten milliseconds late, all that was due is still due, each since its own time.
        let mut dues = Vec::new();
        while let Next::Due(due) = schedule.next(20_000_000) {
            dues.push(due);
            schedule.issue();
        }
        assert_eq!(dues, (6..15).map(|ms| ms * 1_000_000).collect::<Vec<u64>>());
        assert_eq!(schedule.next(20_000_000), Next::Over);
    }

    #[test]
    fn the_rate_is_kept_to_the_operation() {
        for (rate, batch, generators) in [(1_000_000.0, 64, 1), (333_333.0, 100, 3), (7.0, 2, 1)] {
            let mut issued = 0;
            for _ in 0..generators {
                let mut schedule = Schedule::new(Rate::PerSecond(rate), batch, generators, 0, 10_000_000_000);
                while let Next::Due(_) = schedule.next(u64::MAX) {
                    schedule.issue();
                    issued += u64::from(batch);
                }
            }
            let expected = 10.0 * rate;
            let slack = f64::from(batch) * f64::from(generators);
            assert!((issued as f64 - expected).abs() <= slack, "{issued} of {expected}");
        }
    }

    #[test]
    fn at_the_maximum_room_decides() {
        let mut schedule = Schedule::new(Rate::Max, 64, 1, 0, 1000);
        assert_eq!(schedule.next(999), Next::WhenRoom);
        assert_eq!(schedule.next(1000), Next::Over);
        schedule.end_at(500);
        assert_eq!(schedule.next(500), Next::Over);
    }
}
