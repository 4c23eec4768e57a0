//! When each shard was down, and how an operation relates to that.
//!
//! The thread that kills notes in [`KillWindows`] when a shard was killed and when it had caught up. But a generator that
//! issues at a rate has a backlog for it by then, and an operation that waits behind the backlog touches the killed shard as
//! well. So each generator keeps [`Touches`], where a window ends only when its lane to that shard has been emptied once.
//! An operation is judged when it is answered: did it overlap a window of its own shard, of another one, or of none? Only the
//! latest window of each shard is kept, and whatever is answered after its start overlaps it, unless it was due after its end.

use std::sync::atomic::{AtomicU64, Ordering};

use runtime::ShardId;

/// The end of a window that has not ended.
const OPEN: u64 = u64::MAX;

/// The latest recovery of each shard, in nanoseconds of the run's time.
#[derive(Debug)]
pub struct KillWindows {
    /// Their ends: 0 when the shard was never killed, [`OPEN`] while it is down.
    ends_ns: Vec<AtomicU64>,
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
        KillWindows { ends_ns: (0..shards).map(|_| AtomicU64::new(0)).collect() }
    }

    /// `shard` is about to be killed.
    pub fn open(&self, shard: ShardId) {
        // Relaxed everywhere in this file: the figures guard no memory, and an answer that races with the kill may
        // count either way.
        self.ends_ns[usize::from(shard.0)].store(OPEN, Ordering::Relaxed);
    }

    /// `shard` had caught up by `now_ns`.
    pub fn close(&self, shard: ShardId, now_ns: u64) {
        self.ends_ns[usize::from(shard.0)].store(now_ns, Ordering::Relaxed);
    }
}

impl Touches {
    /// The view of a generator that has not begun.
    pub fn new(shards: u16) -> Touches {
        Touches { emptied_ns: vec![0; usize::from(shards)] }
    }

    /// The lane to `shard` is empty.
    pub fn emptied(&mut self, windows: &KillWindows, shard: ShardId, now_ns: u64) {
        let end_ns = windows.ends_ns[usize::from(shard.0)].load(Ordering::Relaxed);
        let emptied_ns = &mut self.emptied_ns[usize::from(shard.0)];
        if end_ns != OPEN && *emptied_ns < end_ns {
            *emptied_ns = now_ns;
        }
    }

    /// How an operation on `shard`, due at `due_ns` and answered now, relates to the kills.
    pub fn touch(&self, windows: &KillWindows, shard: ShardId, due_ns: u64) -> Touch {
        let mut touch = Touch::Outside;
        for (index, (end_ns, &emptied_ns)) in windows.ends_ns.iter().zip(&self.emptied_ns).enumerate() {
            let end_ns = end_ns.load(Ordering::Relaxed);
            let over_ns = if end_ns == OPEN || emptied_ns < end_ns { OPEN } else { emptied_ns };
            if end_ns == 0 || over_ns < due_ns {
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
        fn check(touches: &Touches, windows: &KillWindows, shard: u16, due: u64, expected: Touch) {
            assert_eq!(touches.touch(windows, ShardId(shard), due), expected, "{shard} {due}");
        }
        check(&touches, &windows, 0, 5, Touch::Outside);
        windows.open(ShardId(1));
        check(&touches, &windows, 1, 15, Touch::Killed);
        check(&touches, &windows, 0, 15, Touch::Other);
        windows.close(ShardId(1), 40);
        // Its backlog is still there.
        check(&touches, &windows, 1, 41, Touch::Killed);
        check(&touches, &windows, 2, 41, Touch::Other);
        touches.emptied(&windows, ShardId(1), 45);
        touches.emptied(&windows, ShardId(1), 90);
        check(&touches, &windows, 1, 44, Touch::Killed);
        check(&touches, &windows, 1, 46, Touch::Outside);
        check(&touches, &windows, 2, 44, Touch::Other);
    }

    #[test]
    fn a_shard_that_is_killed_again_is_down_again() {
        let (windows, mut touches) = (KillWindows::new(1), Touches::new(1));
        windows.open(ShardId(0));
        windows.close(ShardId(0), 20);
        touches.emptied(&windows, ShardId(0), 25);
        windows.open(ShardId(0));
        touches.emptied(&windows, ShardId(0), 35);
        assert_eq!(touches.touch(&windows, ShardId(0), 32), Touch::Killed);
        windows.close(ShardId(0), 50);
        assert_eq!(touches.touch(&windows, ShardId(0), 60), Touch::Killed);
        touches.emptied(&windows, ShardId(0), 65);
        assert_eq!(touches.touch(&windows, ShardId(0), 66), Touch::Outside);
    }

    #[test]
    fn its_own_shard_counts_before_others() {
        let (windows, touches) = (KillWindows::new(2), Touches::new(2));
        windows.open(ShardId(0));
        windows.open(ShardId(1));
        assert_eq!(touches.touch(&windows, ShardId(0), 0), Touch::Killed);
        assert_eq!(touches.touch(&windows, ShardId(1), 0), Touch::Killed);
    }
}
