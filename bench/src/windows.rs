//! When each shard was down, and how an operation relates to that.
//!
//! The thread that kills notes in [`KillWindows`] when a shard was killed and when it had caught up. But a generator that
//! issues at a rate has a backlog for it by then, and an operation that waits behind the backlog touches the killed shard as
//! well. So each generator keeps [`Touches`], where a window ends only when its lane to that shard has been emptied once.
//! An operation is judged when it is answered: did it overlap a window of its own shard, of another one, or of none? Only the
//! latest window of each shard is kept; an older operation has overlapped it anyway.

use std::sync::atomic::{AtomicU64, Ordering};

use runtime::ShardId;

/// The end of a window that has not ended.
const OPEN: u64 = u64::MAX;

/// The latest recovery of each shard, in nanoseconds of the run's time.
#[derive(Debug)]
pub struct KillWindows {
    windows: Vec<Window>,
}

/// From `start_ns` to `end_ns`; both 0 when the shard was never killed, `end_ns` is [`OPEN`] while it is down.
#[derive(Debug, Default)]
struct Window {
    start_ns: AtomicU64,
    end_ns: AtomicU64,
}

/// One generator's view of the windows.
#[derive(Debug)]
pub struct Touches {
    /// When the lane to each shard was first empty after the end of the latest window that it has seen.
    emptied_ns: Vec<u64>,
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
        window.end_ns.store(OPEN, Ordering::Relaxed);
        window.start_ns.store(now_ns, Ordering::Relaxed);
    }

    /// `shard` had caught up by `now_ns`.
    pub fn close(&self, shard: ShardId, now_ns: u64) {
        self.windows[usize::from(shard.0)].end_ns.store(now_ns, Ordering::Relaxed);
    }
}

impl Touches {
    /// The view of a generator that has not begun.
    pub fn new(shards: u16) -> Touches {
        Touches { emptied_ns: vec![0; usize::from(shards)] }
    }

    /// The lane to `shard` is empty.
    pub fn emptied(&mut self, windows: &KillWindows, shard: ShardId, now_ns: u64) {
        let end_ns = windows.windows[usize::from(shard.0)].end_ns.load(Ordering::Relaxed);
        let emptied_ns = &mut self.emptied_ns[usize::from(shard.0)];
        if end_ns != OPEN && *emptied_ns < end_ns {
            *emptied_ns = now_ns;
        }
    }

    /// How an operation on `shard`, due at `from_ns` and answered at `to_ns`, relates to the kills.
    pub fn touch(&self, windows: &KillWindows, shard: ShardId, from_ns: u64, to_ns: u64) -> Touch {
        let mut touch = Touch::Outside;
        for (index, (window, &emptied_ns)) in windows.windows.iter().zip(&self.emptied_ns).enumerate() {
            let end_ns = window.end_ns.load(Ordering::Relaxed);
            let start_ns = window.start_ns.load(Ordering::Relaxed);
            let over_ns = if end_ns == OPEN || emptied_ns < end_ns { OPEN } else { emptied_ns };
            if end_ns == 0 || start_ns > to_ns || over_ns < from_ns {
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
        let mut touches = Touches::new(3);
        fn check(touches: &Touches, windows: &KillWindows, shard: u16, from: u64, to: u64, expected: Touch) {
            assert_eq!(touches.touch(windows, ShardId(shard), from, to), expected, "{shard} {from} {to}");
        }
        check(&touches, &windows, 0, 5, 10, Touch::Outside);
        windows.open(ShardId(1), 20);
        check(&touches, &windows, 1, 15, 30, Touch::Killed);
        check(&touches, &windows, 0, 15, 30, Touch::Other);
        check(&touches, &windows, 0, 15, 19, Touch::Outside);
        windows.close(ShardId(1), 40);
        // Its backlog is still there.
        check(&touches, &windows, 1, 41, 50, Touch::Killed);
        check(&touches, &windows, 2, 41, 50, Touch::Other);
        touches.emptied(&windows, ShardId(1), 45);
        touches.emptied(&windows, ShardId(1), 90);
        check(&touches, &windows, 1, 44, 50, Touch::Killed);
        check(&touches, &windows, 1, 46, 50, Touch::Outside);
        check(&touches, &windows, 2, 44, 50, Touch::Other);
    }

    #[test]
    fn a_shard_that_is_killed_again_is_down_again() {
        let (windows, mut touches) = (KillWindows::new(1), Touches::new(1));
        windows.open(ShardId(0), 10);
        windows.close(ShardId(0), 20);
        touches.emptied(&windows, ShardId(0), 25);
        windows.open(ShardId(0), 30);
        touches.emptied(&windows, ShardId(0), 35);
        assert_eq!(touches.touch(&windows, ShardId(0), 32, 40), Touch::Killed);
        windows.close(ShardId(0), 50);
        assert_eq!(touches.touch(&windows, ShardId(0), 60, 70), Touch::Killed);
        touches.emptied(&windows, ShardId(0), 65);
        assert_eq!(touches.touch(&windows, ShardId(0), 66, 70), Touch::Outside);
    }

    #[test]
    fn its_own_shard_counts_before_others() {
        let (windows, touches) = (KillWindows::new(2), Touches::new(2));
        windows.open(ShardId(0), 10);
        windows.open(ShardId(1), 10);
        assert_eq!(touches.touch(&windows, ShardId(0), 0, 20), Touch::Killed);
        assert_eq!(touches.touch(&windows, ShardId(1), 0, 20), Touch::Killed);
    }
}
