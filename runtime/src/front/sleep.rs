//! Sleeping in an event loop: what [`Front::wait`] does in one call, cut in two.

use super::{Front, FrontError};
use crate::live::bell;
use std::os::fd::{AsFd, BorrowedFd};

impl Front {
    /// The first half of a sleep: says that this process sleeps. False if there is something to collect already;
    /// else the loop waits until [`Front::bell_fd`] or [`Front::stream_fd`] is readable, for 100 ms at most, because not
    /// everything is rung for. After either comes [`Front::woken`].
    pub fn prepare_sleep(&mut self) -> bool {
        self.fall_asleep(0).is_some()
    }

    /// The second half of a sleep; `rung` if the bell is readable.
    pub fn woken(&mut self, rung: bool) {
        bell::wake_up(self.flag());
        if rung {
            bell::drain(&self.bell);
        }
    }

    /// Readable when a shard has rung.
    pub fn bell_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Readable when the supervisor says something or has gone; [`Front::hear`] takes it.
    pub fn stream_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Takes what the supervisor has said.
    ///
    /// # Errors
    ///
    /// [`FrontError::Gone`] if it has ended.
    pub fn hear(&mut self) -> Result<(), FrontError> {
        self.check_alive()
    }
}
