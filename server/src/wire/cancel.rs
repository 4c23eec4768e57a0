//! Breaking off what a session does, on request of another connection or because its time is over.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use sql::SqlError;
use tokio::time::Instant;

/// What breaks off one session's statement.
#[derive(Debug, Default)]
pub struct Interrupt {
    /// What a request must know.
    secret: u32,
    /// Whether a statement is being run; between statements requests do nothing.
    is_busy: Cell<bool>,
    raised: Cell<bool>,
    /// When the time of the statement is over.
    deadline: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
}

impl Interrupt {
    /// For a session whose requests to cancel bring `secret`.
    pub fn new(secret: u32) -> Interrupt {
        Interrupt { secret, ..Interrupt::default() }
    }

    /// Whether a request with this secret is about this session.
    pub fn is_for(&self, secret: u32) -> bool {
        self.secret == secret
    }

    /// A statement begins, which may take so long.
    pub fn begin(&self, longest: Option<Duration>) {
        if !self.is_busy.replace(true) {
            self.deadline.set(longest.map(|longest| Instant::now() + longest));
        }
    }

    /// No statement is being run.
    pub fn end(&self) {
        self.is_busy.set(false);
        self.raised.set(false);
    }

    /// Breaks off the statement that is being run.
    pub fn raise(&self) {
        if self.is_busy.get() {
            self.raised.set(true);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }

    /// Fails if the statement is to be broken off.
    pub fn check(&self) -> Result<(), SqlError> {
        if self.raised.get() {
            return Err(SqlError::new("57014", "canceling statement due to user request"));
        }
        if self.deadline.get().is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(timeout());
        }
        Ok(())
    }

    /// What `work` comes to, unless the statement is broken off first.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, SqlError> {
        match self.deadline.get() {
            None => self.until_raised(work).await,
            Some(deadline) => match tokio::time::timeout_at(deadline, self.until_raised(work)).await {
                Ok(done) => done,
                Err(_) => Err(timeout()),
            },
        }
    }

    async fn until_raised<T>(&self, work: impl Future<Output = T>) -> Result<T, SqlError> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(value) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            if let Err(error) = self.check() {
                return Poll::Ready(Err(error));
            }
            self.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
}

fn timeout() -> SqlError {
    SqlError::new("57014", "canceling statement due to statement timeout")
}
