//! The orderly end of a front: sessions are told between two statements, and it waits for them.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// Whether the front is stopping, and how many sessions there still are.
#[derive(Debug, Default)]
pub struct Stopping {
    is_asked: Cell<bool>,
    asked: Notify,
    session_count: Cell<usize>,
    last_ended: Notify,
}

/// A session that has not ended.
#[derive(Debug)]
pub struct Present(Rc<Stopping>);

impl Stopping {
    /// Notes that there is a session, until what is returned is dropped.
    pub fn enter(self: &Rc<Self>) -> Present {
        self.session_count.set(self.session_count.get() + 1);
        Present(self.clone())
    }

    /// Asks all sessions to end, and waits until they have.
    pub async fn stop(&self) {
        self.is_asked.set(true);
        self.asked.notify_waiters();
        while self.session_count.get() > 0 {
            self.last_ended.notified().await;
        }
    }
}

impl Present {
    /// Waits until the session is asked to end.
    pub async fn until_asked(&self) {
        // Made before the look, so that a request between the two counts.
        let asked = self.0.asked.notified();
        if !self.0.is_asked.get() {
            asked.await;
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let left = self.0.session_count.get() - 1;
        self.0.session_count.set(left);
        if left == 0 {
            self.0.last_ended.notify_one();
        }
    }
}
