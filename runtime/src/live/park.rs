//! How the loop of a shard waits on its executor.
//!
//! The loop is one task; flushes, the doorbell and the heartbeat timer are others. [`Park::sleep`] lets them run until
//! one of them calls [`Park::wake`]. [`turn`] lets them run once without sleeping: Glommio looks at its io_uring only when
//! no task is ready, so a busy loop must step back now and then or no flush would ever be sent or seen to complete.
//! A turn costs about 7 us here, most of it in Glommio's own timers.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Long enough for the timer not to have expired when it is first looked at, short enough not to be felt.
const TURN: Duration = Duration::from_nanos(300);

/// Wakes the loop of a shard. Clones wake the same one.
#[derive(Clone, Default)]
pub(crate) struct Park(Rc<Inner>);

#[derive(Default)]
struct Inner {
    woken: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Park {
    /// Wakes the loop, or has its next sleep end at once.
    pub(crate) fn wake(&self) {
        self.0.woken.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }

    /// Sleeps until woken.
    pub(crate) async fn sleep(&self) {
        poll_fn(|context| {
            if self.0.woken.take() {
                return Poll::Ready(());
            }
            self.0.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Lets the other tasks and the io_uring have a turn.
pub(crate) async fn turn() {
    let mut timer = glommio::timer::Timer::new(TURN);
    poll_fn(|context| Pin::new(&mut timer).poll(context).map(|_| ())).await;
}
