//! When each shard was down, shared between the thread that kills and the generators.
//!
//! An operation is compared with the windows when it is answered: did it overlap the recovery of its own shard, of
//! another one, or of none? Only the latest window of each shard is kept; an operation older than that has overlapped
//! it anyway. The end of a window is known a moment after the fact, so a few operations count as "during" that were not:
//! that errs against us.

use std::sync::atomic::{AtomicU64, Ordering};

use runtime::ShardId;

/// The latest recovery of each shard, in nanoseconds of the run's time.
#[derive(Debug)]
pub struct KillWindows {
    windows: Vec<Window>,
}

/// From `start_ns` to `end_ns`; both 0 when the shard was never killed, `end_ns` is `u64::MAX` while it is down.
#[derive(Debug, Default)]
struct Window {
    start_ns: AtomicU64,
    end_ns: AtomicU64,
}

/// How an operation relates to the kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Its own shard was down at some time between its due time and its answer.
    Killed,
    /// Its shard was up all the time, but another one was down.
    Other,
    /// All shards were up.
    Outside,
}

impl KillWindows {
    /// No shard has been killed yet.
    pub fn new(shards: u16) -> KillWindows {
        KillWindows { windows: (0..shards).map(|_| Window::default()).collect() }
    }

    /// `shard` is about to be killed.
    pub fn open(&self, shard: ShardId, now_ns: u64) {
        let window = &self.windows[usize::from(shard.0)];
        // Relaxed everywhere in this file: the figures guard no memory, and an answer that races with the kill may
        // count either way.
        window.end_ns.store(u64::MAX, Ordering::Relaxed);
        window.start_ns.store(now_ns, Ordering::Relaxed);
    }

    /// `shard` had caught up by `now_ns`.
    pub fn close(&self, shard: ShardId, now_ns: u64) {
        self.windows[usize::from(shard.0)].end_ns.store(now_ns, Ordering::Relaxed);
    }

    /// How an operation on `shard`, due at `from_ns` and answered at `to_ns`, relates to the kills.
    pub fn touch(&self, shard: ShardId, from_ns: u64, to_ns: u64) -> Touch {
        let mut touch = Touch::Outside;
        for (index, window) in self.windows.iter().enumerate() {
            let end_ns = window.end_ns.load(Ordering::Relaxed);
            let start_ns = window.start_ns.load(Ordering::Relaxed);
            if end_ns == 0 || start_ns > to_ns || end_ns < from_ns {
                continue;
            }
            if index == usize::from(shard.0) {
                return Touch::Killed;
            }
            touch = Touch::Other;
        }
        touch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_judged_by_its_own_time() {
        let windows = KillWindows::new(3);
        let check = |shard, from, to, expected| assert_eq!(windows.touch(ShardId(shard), from, to), expected);
        check(0, 5, 10, Touch::Outside);
        windows.open(ShardId(1), 20);
        check(1, 15, 30, Touch::Killed);
        check(0, 15, 30, Touch::Other);
        check(0, 15, 19, Touch::Outside);
        windows.close(ShardId(1), 40);
        check(2, 39, 50, Touch::Other);
        check(1, 39, 50, Touch::Killed);
        check(1, 41, 50, Touch::Outside);
    }

    #[test]
    fn its_own_shard_counts_before_others() {
        let windows = KillWindows::new(2);
        windows.open(ShardId(0), 10);
        windows.open(ShardId(1), 10);
        assert_eq!(windows.touch(ShardId(0), 0, 20), Touch::Killed);
        assert_eq!(windows.touch(ShardId(1), 0, 20), Touch::Killed);
    }
}
