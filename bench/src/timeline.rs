//! Throughput and tail latency over the course of a run, in slices of 100 ms.
//!
//! An operation counts in the slice in which it was answered. Slices are closed in order as time goes on, so there is
//! one small histogram at a time, whatever the length of the run.

use serde::Serialize;

use crate::latencies::Latencies;

/// Length of a slice.
pub const SLICE_NS: u64 = 100_000_000;

/// What happened in one slice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Slice {
    /// Operations answered.
    pub operations: u64,
    /// 99th percentile of their latencies in microseconds, 0 without operations.
    pub p99_us: f64,
}

/// The slices of one generator.
#[derive(Debug)]
pub struct Timeline {
    start_ns: u64,
    closed: Vec<Slice>,
    open: Latencies,
}

impl Timeline {
    /// A timeline that starts at `start_ns`.
    pub fn new(start_ns: u64) -> Timeline {
        Timeline { start_ns, closed: Vec::new(), open: Latencies::new() }
    }

    /// Records `count` operations answered at `now_ns`. What was answered before the start is left out; times do not go
    /// back.
    pub fn record(&mut self, now_ns: u64, latency_ns: u64, count: u64) {
        let Some(elapsed_ns) = now_ns.checked_sub(self.start_ns) else { return };
        let slice = (elapsed_ns / SLICE_NS) as usize;
        while self.closed.len() < slice {
            self.close();
        }
        self.open.record(latency_ns, count);
    }

    /// Ends the timeline.
    pub fn finish(mut self) -> Vec<Slice> {
        if self.open.count() > 0 {
            self.close();
        }
        self.closed
    }

    fn close(&mut self) {
        if self.open.count() == 0 {
            self.closed.push(Slice::default());
            return;
        }
        self.closed.push(Slice { operations: self.open.count(), p99_us: self.open.quantile_us(0.99) });
        self.open.clear();
    }
}

/// Puts the timelines of several generators together: operations add up, and of the percentiles the worst is taken.
pub fn merge(timelines: &[Vec<Slice>]) -> Vec<Slice> {
    let slices = timelines.iter().map(Vec::len).max().unwrap_or(0);
    let at = |index: usize| timelines.iter().filter_map(move |timeline| timeline.get(index));
    (0..slices)
        .map(|index| Slice {
            operations: at(index).map(|slice| slice.operations).sum(),
            p99_us: at(index).map(|slice| slice.p99_us).fold(0.0, f64::max),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_fall_into_the_slice_of_their_answer() {
        let mut timeline = Timeline::new(1_000_000_000);
        timeline.record(999_999_999, 1, 5);
        timeline.record(1_000_000_000, 1_000, 10);
        timeline.record(1_099_999_999, 1_000, 10);
        timeline.record(1_350_000_000, 2_000_000, 1);
        let slices = timeline.finish();
        assert_eq!(slices.iter().map(|slice| slice.operations).collect::<Vec<_>>(), vec![20, 0, 0, 1]);
        assert_eq!(slices[1].p99_us, 0.0);
        assert!(slices[3].p99_us > 1_990.0);
    }

    #[test]
    fn timelines_of_different_length_merge() {
        let one = vec![Slice { operations: 1, p99_us: 5.0 }];
        let two = vec![Slice { operations: 2, p99_us: 3.0 }, Slice { operations: 4, p99_us: 9.0 }];
        let merged = merge(&[one, two]);
        assert_eq!(merged, [Slice { operations: 3, p99_us: 5.0 }, Slice { operations: 4, p99_us: 9.0 }]);
        assert!(merge(&[]).is_empty());
    }
}
