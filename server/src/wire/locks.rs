//! Locks of rows, so that those who change the same ones through this front wait for each other.
//!
//! They make nothing right: a shard refuses to change a row that is not what it was read as, whoever has it locked. But who
//! waits is not refused, and so need not begin anew. A statement locks the rows it is about to change; in a transaction they
//! stay locked until its end. Sessions of several fronts do not wait for each other.
//!
//! SELECT ... FOR UPDATE has to show what a row is once it is locked. So locks count how often any was let go, and keep what
//! reads must be given to show what those who let go had written.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use runtime::front::Token;
use sql::SqlError;
use sql::locking::Wait;

/// Rows that one session has locked at most for what it changes; more are changed without.
const LOCKED_COUNT_MAX: usize = 10_000;
/// Rows that one session has locked at most, those among them that it asked for: some 20 MB of names.
const ASKED_COUNT_MAX: usize = 100_000;

/// A row: its table and its primary key.
pub type RowName = (u32, Box<[u8]>);

/// All locks of a front.
#[derive(Debug, Default)]
pub struct Locks {
    rows: RefCell<HashMap<Rc<RowName>, Lock>>,
    /// What each waiting session waits for.
    waits: RefCell<HashMap<u32, Rc<RowName>>>,
    /// How often a row was let go.
    releases: Cell<u64>,
    /// What was written by those who let go of rows.
    written: RefCell<Token>,
}

/// A row that is locked.
#[derive(Debug)]
struct Lock {
    holder: u32,
    waiting: VecDeque<(u32, Option<Waker>)>,
}

/// What one session has locked, until it is dropped.
#[derive(Debug)]
pub struct Held {
    locks: Rc<Locks>,
    session: u32,
    names: Vec<Rc<RowName>>,
    /// How long it waits for a row; for ever without.
    pub time_max: Option<Duration>,
}

/// A session that waits; it does so no longer when this is dropped.
struct Waiting<'a> {
    locks: &'a Locks,
    session: u32,
    name: &'a Rc<RowName>,
}

impl Held {
    /// Nothing yet.
    pub fn new(locks: &Rc<Locks>, session: u32) -> Held {
        Held { locks: locks.clone(), session, names: Vec::new(), time_max: None }
    }

    /// Locks rows, in the order in which they are given; whether it had to wait for any.
    ///
    /// # Errors
    ///
    /// A session that it would wait for waits for this one.
    pub async fn lock(&mut self, rows: impl ExactSizeIterator<Item = RowName>) -> Result<bool, SqlError> {
        if self.names.len() + rows.len() > LOCKED_COUNT_MAX {
            return Ok(false);
        }
        let mut has_waited = false;
        for row in rows {
            has_waited |= self.take_row(row, Wait::Long).await? == Taken::AfterWaiting;
        }
        Ok(has_waited)
    }

    /// Locks a row that is asked for; `wait` says what is done if another has it.
    ///
    /// # Errors
    ///
    /// 40P01 if a session that it would wait for waits for this one, 55P03 if it has waited too long, 53200 if it has too
    /// many.
    pub async fn take(&mut self, row: RowName, wait: Wait) -> Result<Taken, SqlError> {
        if self.names.len() >= ASKED_COUNT_MAX {
            return Err(SqlError::new("53200", "a session has too many rows locked")
                .detail(format!("It can lock up to {ASKED_COUNT_MAX}."))
                .hint("Lock fewer rows at once, by WHERE or LIMIT, or end the transaction."));
        }
        self.take_row(row, wait).await
    }

    async fn take_row(&mut self, row: RowName, wait: Wait) -> Result<Taken, SqlError> {
        let name = Rc::new(row);
        let mut taken = self.locks.take(self.session, &name);
        if taken == Taken::ByAnother && wait == Wait::Long {
            self.locks.check_deadlock(self.session, &name)?;
            let waiting = self.locks.wait(self.session, &name);
            match self.time_max {
                None => waiting.await,
                Some(longest) => tokio::time::timeout(longest, waiting).await.map_err(|_| too_long())?,
            }
            taken = Taken::AfterWaiting;
        }
        if matches!(taken, Taken::Now | Taken::AfterWaiting) {
            self.names.push(name);
        }
        Ok(taken)
    }

    /// Unlocks all of them; `written` is what reads must be given to show what the session has written.
    pub fn release(&mut self, written: &Token) {
        if !self.names.is_empty() {
            self.locks.written.borrow_mut().merge(written);
            self.release_all();
        }
    }

    fn release_all(&mut self) {
        self.names.drain(..).for_each(|name| self.locks.release(&name));
    }
}

fn too_long() -> SqlError {
    SqlError::new("55P03", "canceling statement due to lock timeout")
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release_all();
    }
}

/// What came of the wish to lock a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is its own already.
    Before,
    /// It is now.
    Now,
    /// It is now, and was another's before.
    AfterWaiting,
    /// It is another's.
    ByAnother,
}

impl Locks {
    /// How often a row was let go so far.
    pub fn releases(&self) -> u64 {
        self.releases.get()
    }

    /// What a read must be given to show all that was written by those who have let go of rows.
    pub fn written(&self) -> Ref<'_, Token> {
        self.written.borrow()
    }

    fn take(&self, session: u32, name: &Rc<RowName>) -> Taken {
        let mut rows = self.rows.borrow_mut();
        match rows.get(name) {
            None => {
                rows.insert(name.clone(), Lock { holder: session, waiting: VecDeque::new() });
                Taken::Now
            }
            Some(lock) if lock.holder == session => Taken::Before,
            Some(_) => Taken::ByAnother,
        }
    }

    /// Follows those who wait for each other from the holder of a row on.
    fn check_deadlock(&self, session: u32, name: &Rc<RowName>) -> Result<(), SqlError> {
        let (rows, waits) = (self.rows.borrow(), self.waits.borrow());
        let mut name = Some(name);
        while let Some(lock) = name.and_then(|name| rows.get(name)) {
            if lock.holder == session {
                return Err(SqlError::new("40P01", "deadlock detected")
                    .detail("Sessions wait in a circle for rows that the others have changed.")
                    .hint("Run the transaction again; change rows in the same order everywhere."));
            }
            name = waits.get(&lock.holder);
        }
        Ok(())
    }

    /// Waits until the row is the session's.
    async fn wait(&self, session: u32, name: &Rc<RowName>) {
        self.waits.borrow_mut().insert(session, name.clone());
        self.rows.borrow_mut().get_mut(name).expect("another has it").waiting.push_back((session, None));
        let waiting = Waiting { locks: self, session, name };
        poll_fn(|context| {
            let mut rows = self.rows.borrow_mut();
            let lock = rows.get_mut(waiting.name).expect("somebody has it");
            if lock.holder == session {
                return Poll::Ready(());
            }
            let place = lock.waiting.iter_mut().find(|(waiter, _)| *waiter == session).expect("it waits");
            place.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        // The row is to stay the session's.
        std::mem::forget(waiting);
    }

    /// Gives a row to who has waited longest.
    fn release(&self, name: &Rc<RowName>) {
        self.releases.set(self.releases.get() + 1);
        let mut rows = self.rows.borrow_mut();
        let lock = rows.get_mut(name).expect("it is locked");
        match lock.waiting.pop_front() {
            None => drop(rows.remove(name)),
            Some((next, waker)) => {
                lock.holder = next;
                self.waits.borrow_mut().remove(&next);
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut rows = self.locks.rows.borrow_mut();
        let lock = rows.get_mut(self.name).expect("somebody has it");
        if lock.holder == self.session {
            drop(rows);
            self.locks.release(self.name);
        } else {
            lock.waiting.retain(|(waiter, _)| *waiter != self.session);
            self.locks.waits.borrow_mut().remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Context;

    fn row(key: u8) -> RowName {
        (1, Box::new([key]))
    }

    fn poll<T>(work: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match work.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    fn lock(held: &mut Held, keys: &[u8]) -> Option<Result<bool, String>> {
        let keys: Vec<RowName> = keys.iter().map(|key| row(*key)).collect();
        poll(pin!(held.lock(keys.into_iter()))).map(|done| done.map_err(|error| error.sqlstate.to_owned()))
    }

    #[test]
    fn who_comes_first_has_the_row_until_the_end() {
        let locks = Rc::new(Locks::default());
        let (mut one, mut two) = (Held::new(&locks, 1), Held::new(&locks, 2));
        assert_eq!(lock(&mut one, &[1, 2, 1]), Some(Ok(false)));
        assert_eq!(lock(&mut two, &[3]), Some(Ok(false)));
        {
            let mut waits = pin!(two.lock([row(2)].into_iter()));
            assert!(poll(waits.as_mut()).is_none());
            drop(one);
            assert!(matches!(poll(waits.as_mut()), Some(Ok(true))));
        }
        assert_eq!(lock(&mut Held::new(&locks, 3), &[1]), Some(Ok(false)));
        assert_eq!(lock(&mut Held::new(&locks, 3), &[2]), None);
        drop(two);
        assert!(locks.rows.borrow().is_empty() && locks.waits.borrow().is_empty());
    }

    #[test]
    fn who_gives_up_waiting_is_passed_over() {
        let locks = Rc::new(Locks::default());
        let (mut one, mut two, mut three) =
            (Held::new(&locks, 1), Held::new(&locks, 2), Held::new(&locks, 3));
        assert_eq!(lock(&mut one, &[1]), Some(Ok(false)));
        assert_eq!(lock(&mut two, &[1]), None);
        let mut waits = Box::pin(three.lock([row(1)].into_iter()));
        assert!(poll(waits.as_mut()).is_none());
        drop(one);
        // It has the row, and gives up before it hears of it.
        drop(waits);
        assert_eq!(lock(&mut two, &[1]), Some(Ok(false)));
    }

    #[test]
    fn who_has_just_got_a_row_waits_no_longer() {
        let locks = Rc::new(Locks::default());
        let (mut one, mut two, mut three) =
            (Held::new(&locks, 1), Held::new(&locks, 2), Held::new(&locks, 3));
        assert_eq!(lock(&mut one, &[1]), Some(Ok(false)));
        let mut waits = pin!(two.lock([row(1)].into_iter()));
        assert!(poll(waits.as_mut()).is_none());
        drop(one);
        let mut next = pin!(three.lock([row(1)].into_iter()));
        assert!(poll(next.as_mut()).is_none());
        assert!(matches!(poll(waits.as_mut()), Some(Ok(true))));
    }

    #[test]
    fn nobody_waits_in_a_circle() {
        let locks = Rc::new(Locks::default());
        let (mut one, mut two, mut three) =
            (Held::new(&locks, 1), Held::new(&locks, 2), Held::new(&locks, 3));
        for (held, key) in [(&mut one, 1), (&mut two, 2), (&mut three, 3)] {
            assert_eq!(lock(held, &[key]), Some(Ok(false)));
        }
        let mut first = pin!(one.lock([row(2)].into_iter()));
        assert!(poll(first.as_mut()).is_none());
        let mut second = pin!(two.lock([row(3)].into_iter()));
        assert!(poll(second.as_mut()).is_none());
        assert_eq!(lock(&mut three, &[1]), Some(Err("40P01".to_owned())));
        drop(three);
        assert!(matches!(poll(second.as_mut()), Some(Ok(true))));
    }
}
