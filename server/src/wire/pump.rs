//! The bridge between sessions and the shards: the one task that owns the [`Front`].
//!
//! Sessions put requests here and get a [`Ticket`] for each, whose answer they await. Lookups are gathered until the pump's turn
//! comes, which is after all sessions that have something to read have had theirs: those of one shard, view, limit and token
//! leave as one request, whoever asked. A shard that is away keeps nobody waiting who asks another one. When there is nothing to do, the pump sleeps on the front's doorbell; a shard that dies
//! makes nothing fail, answers only come later.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use operators::{Range, RangePosition, Row, Rows, ScanPosition, TableId, ViewId, WriteKind};
use runtime::ShardId;
use runtime::front::{
    Completion, Definition, Front, FrontError, Outcome, RequestError, RequestId, Share, Token,
};
use runtime::message::Refusal;
use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixStream};

/// Keys that leave in one request: with 32 bytes each they are a fraction of a ring, and their rows of one reply.
const GATHERED_COUNT_MAX: u32 = 256;
/// How long the pump sleeps at most, since not everything is rung for.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// How long the pump stays awake for the answers of lookups: a shard that is awake needs less, and a sleep costs the front and
/// the shard together about half of that.
const AWAKE_MAX: Duration = Duration::from_micros(40);
/// How often the pump looks for answers before it lets the event loop look for messages of clients: about as long as that takes.
const TURNS_AWAKE: u32 = 4;

/// See the [module's documentation](self).
pub struct Pump {
    state: RefCell<State>,
}

struct State {
    front: Front,
    slots: Vec<Slot>,
    free: Vec<usize>,
    gathered: Vec<Gathered>,
    /// Whose answers are what comes back.
    under_way: HashMap<RequestId, Asker>,
    /// How many of those are lookups.
    lookup_count: usize,
    /// Sessions that wait until the front takes more.
    crowded: Vec<Waker>,
    /// The pump, while it sleeps.
    pump: Option<Waker>,
    /// Whether something was asked since the pump's last turn.
    is_asked: bool,
    completions: Vec<Completion>,
}

/// Where the answer to a ticket goes.
enum Slot {
    Free,
    /// Nothing has come; who is to be woken.
    Waiting(Option<Waker>),
    Done(Answer),
    /// Nobody waits any more, but the answer is still to come.
    Abandoned,
}

enum Asker {
    One(usize),
    /// Slots and how many keys each has, in the order of the keys.
    Many(Vec<(usize, u32)>),
}

/// Lookups that leave together.
struct Gathered {
    /// The shard that has the key; none if there are several keys, which are nobody else's.
    shard: Option<ShardId>,
    view: ViewId,
    limit: u32,
    token: Token,
    keys: Rows,
    members: Vec<(usize, u32)>,
}

/// What came of a request.
pub type Answer = Result<Answered, RequestError>;

/// What came of a request that was not refused.
#[derive(Debug)]
pub enum Answered {
    /// A write is durable and applied.
    Written {
        /// Rows that changed.
        changed: u32,
        /// What a later read must be given to show it.
        at: Token,
    },
    /// A write has found other rows than it was made for: nothing was done.
    Conflict {
        /// What a later read must be given to show them.
        at: Token,
        /// What they are.
        error: RequestError,
    },
    /// The catalogue has changed.
    Defined,
    /// Rows that a lookup found.
    Found(Found),
    /// A piece of a view, and where the next one begins.
    Scanned {
        /// The rows.
        rows: Rows,
        /// None after the last piece.
        next: Option<ScanPosition>,
    },
    /// A piece of a range: see [`Outcome::Ranged`].
    Ranged {
        /// How many rows it has of each prefix.
        counts: Vec<u32>,
        /// The rows.
        rows: Rows,
        /// Where the last prefix counted goes on.
        next: Option<RangePosition>,
    },
}

/// The rows of a lookup: a part of what came for several.
#[derive(Debug, Clone)]
pub struct Found {
    rows: Rc<Rows>,
    start: usize,
    end: usize,
    /// How many rows there are.
    pub count: u32,
}

impl Found {
    /// The rows' bytes, one row after another.
    pub fn bytes(&self) -> &[u8] {
        &self.rows.rows[self.start..self.end]
    }

    /// The rows by themselves.
    pub fn to_rows(&self) -> Rows {
        Rows { count: self.count, rows: self.bytes().to_vec() }
    }
}

/// A request's number in the queue. Dropping it gives the answer up.
pub struct Ticket {
    pump: Rc<Pump>,
    slot: usize,
}

impl Pump {
    /// A pump for this front.
    pub fn new(front: Front) -> Rc<Pump> {
        let state = State {
            front,
            slots: Vec::new(),
            free: Vec::new(),
            gathered: Vec::new(),
            under_way: HashMap::new(),
            lookup_count: 0,
            crowded: Vec::new(),
            pump: None,
            is_asked: false,
            completions: Vec::new(),
        };
        Rc::new(Pump { state: RefCell::new(state) })
    }

    /// Does something with the front by itself.
    pub fn with_front<T>(&self, act: impl FnOnce(&mut Front) -> T) -> T {
        act(&mut self.state.borrow_mut().front)
    }

    /// Looks keys up, in a state that shows what the token names.
    pub fn look_up(self: &Rc<Self>, token: &Token, view: ViewId, keys: &Rows, limit: u32) -> Ticket {
        let mut state = self.state.borrow_mut();
        let slot = state.new_slot();
        let shard = match keys.count {
            // A view that the front does not know is refused when the request leaves.
            1 => state.front.owner_of_key(view, Row::at(&keys.rows)).ok(),
            _ => None,
        };
        let fits = |group: &&mut Gathered| {
            shard.is_some()
                && group.shard == shard
                && group.view == view
                && group.limit == limit
                && group.keys.count + keys.count <= GATHERED_COUNT_MAX
                && group.token == *token
        };
        match state.gathered.iter_mut().find(fits) {
            Some(group) => {
                group.keys.rows.extend_from_slice(&keys.rows);
                group.keys.count += keys.count;
                group.members.push((slot, keys.count));
            }
            None => {
                let members = vec![(slot, keys.count)];
                state.gathered.push(Gathered {
                    shard,
                    view,
                    limit,
                    token: token.clone(),
                    keys: keys.clone(),
                    members,
                });
            }
        }
        state.wake_pump();
        drop(state);
        Ticket { pump: self.clone(), slot }
    }

    /// Writes rows, once the front takes more.
    ///
    /// # Errors
    ///
    /// What the front refuses by itself.
    pub async fn write(
        self: &Rc<Self>,
        table: TableId,
        kind: WriteKind,
        rows: &Rows,
    ) -> Result<Ticket, RequestError> {
        self.ask(|front| front.write(table, kind, rows)).await
    }

    /// Carries out a share of writes, once the front takes more.
    ///
    /// # Errors
    ///
    /// What the front refuses by itself.
    pub async fn commit(self: &Rc<Self>, share: &Share) -> Result<Ticket, RequestError> {
        self.ask(|front| front.commit(share)).await
    }

    /// Asks for a piece of what a shard holds of a view.
    ///
    /// # Errors
    ///
    /// What the front refuses by itself.
    pub async fn scan(
        self: &Rc<Self>,
        token: &Token,
        view: ViewId,
        shard: ShardId,
        from: ScanPosition,
    ) -> Result<Ticket, RequestError> {
        self.ask(|front| front.scan_after(token, view, shard, from)).await
    }

    /// Asks for a piece of what a shard holds of a range of an ordered view.
    ///
    /// # Errors
    ///
    /// What the front refuses by itself.
    pub async fn range(
        self: &Rc<Self>,
        token: &Token,
        (view, shard): (ViewId, ShardId),
        range: &Range,
        from: Option<&RangePosition>,
    ) -> Result<Ticket, RequestError> {
        self.ask(|front| front.range_after(token, view, shard, range, from)).await
    }

    /// Changes the catalogue.
    ///
    /// # Errors
    ///
    /// What the front refuses by itself.
    pub async fn define(self: &Rc<Self>, definition: &Definition) -> Result<Ticket, RequestError> {
        self.ask(|front| front.define(definition.clone())).await
    }

    async fn ask(
        self: &Rc<Self>,
        mut ask: impl FnMut(&mut Front) -> Result<RequestId, FrontError>,
    ) -> Result<Ticket, RequestError> {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            match ask(&mut state.front) {
                Ok(request) => {
                    let slot = state.new_slot();
                    state.under_way.insert(request, Asker::One(slot));
                    state.wake_pump();
                    Poll::Ready(Ok(Ticket { pump: self.clone(), slot }))
                }
                Err(FrontError::Busy) => {
                    state.crowded.push(context.waker().clone());
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(refused(&error))),
            }
        })
        .await
    }

    /// Runs until the database is gone.
    ///
    /// # Errors
    ///
    /// Always one: why it ended.
    pub async fn run(self: Rc<Self>) -> Result<(), FrontError> {
        let (bell, stream) = self
            .with_front(|front| {
                let bell = std::os::unix::net::UnixDatagram::from(front.bell_fd().try_clone_to_owned()?);
                let stream = std::os::unix::net::UnixStream::from(front.stream_fd().try_clone_to_owned()?);
                Ok::<_, io::Error>((UnixDatagram::from_std(bell)?, UnixStream::from_std(stream)?))
            })
            .map_err(|error| FrontError::Gone(error.to_string()))?;
        let mut ticks = tokio::time::interval(SLEEP_MAX);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut moved_at = Instant::now();
        loop {
            if self.state.borrow().is_asked {
                moved_at = Instant::now();
            }
            if self.turns()? {
                moved_at = Instant::now();
                tokio::task::yield_now().await;
                continue;
            }
            if self.awaits_lookups() && moved_at.elapsed() < AWAKE_MAX {
                tokio::task::yield_now().await;
                continue;
            }
            if !self.with_front(Front::prepare_sleep) {
                self.with_front(|front| front.woken(false));
                continue;
            }
            let rung = poll_fn(|context| {
                self.state.borrow_mut().pump = Some(context.waker().clone());
                if bell.poll_recv_ready(context).is_ready() {
                    take_readiness(|nothing| bell.try_io(Interest::READABLE, nothing));
                    return Poll::Ready(Ok(true));
                }
                if stream.poll_read_ready(context).is_ready() {
                    take_readiness(|nothing| stream.try_io(Interest::READABLE, nothing));
                    return Poll::Ready(self.with_front(Front::hear).map(|()| false));
                }
                let is_due = ticks.poll_tick(context).is_ready();
                if is_due || self.state.borrow().is_asked { Poll::Ready(Ok(false)) } else { Poll::Pending }
            })
            .await?;
            self.with_front(|front| front.woken(rung));
        }
    }

    /// Takes turns until something comes: one, or a few while the answers of lookups are to come; whether anything has.
    fn turns(&self) -> Result<bool, FrontError> {
        for _ in 0..TURNS_AWAKE {
            if self.turn()? {
                return Ok(true);
            }
            if !self.awaits_lookups() {
                return Ok(false);
            }
            // The shard that is asked may be on this core.
            std::thread::yield_now();
        }
        Ok(false)
    }

    fn awaits_lookups(&self) -> bool {
        self.state.borrow().lookup_count > 0
    }

    /// Sends what is gathered and takes what has come; whether anything has.
    fn turn(&self) -> Result<bool, FrontError> {
        let state = &mut *self.state.borrow_mut();
        state.is_asked = false;
        state.send_gathered()?;
        let mut completions = std::mem::take(&mut state.completions);
        state.front.poll(&mut completions)?;
        let any = !completions.is_empty();
        for completion in completions.drain(..) {
            state.complete(completion);
        }
        state.completions = completions;
        if any {
            state.crowded.drain(..).for_each(Waker::wake);
        }
        Ok(any)
    }
}

impl State {
    fn new_slot(&mut self) -> usize {
        if let Some(slot) = self.free.pop() {
            self.slots[slot] = Slot::Waiting(None);
            return slot;
        }
        self.slots.push(Slot::Waiting(None));
        self.slots.len() - 1
    }

    fn wake_pump(&mut self) {
        self.is_asked = true;
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    fn send_gathered(&mut self) -> Result<(), FrontError> {
        while let Some(group) = self.gathered.first() {
            match self.front.lookup_after(&group.token, group.view, &group.keys, group.limit) {
                Ok(request) => {
                    let group = self.gathered.swap_remove(0);
                    self.under_way.insert(request, Asker::Many(group.members));
                    self.lookup_count += 1;
                }
                Err(FrontError::Busy) => return Ok(()),
                Err(error @ FrontError::Gone(_)) => return Err(error),
                Err(error) => {
                    let group = self.gathered.swap_remove(0);
                    let error = refused(&error);
                    group.members.iter().for_each(|(slot, _)| self.settle(*slot, Err(error.clone())));
                }
            }
        }
        Ok(())
    }

    fn complete(&mut self, completion: Completion) {
        let Some(asker) = self.under_way.remove(&completion.request) else { return };
        self.lookup_count -= usize::from(matches!(asker, Asker::Many(_)));
        match (asker, completion.outcome) {
            (Asker::One(slot), Outcome::Written { changed }) => {
                self.settle(slot, Ok(Answered::Written { changed, at: completion.at }));
            }
            (Asker::One(slot), Outcome::Defined { .. }) => self.settle(slot, Ok(Answered::Defined)),
            (Asker::One(slot), Outcome::Scanned { rows, next }) => {
                self.settle(slot, Ok(Answered::Scanned { rows, next }));
            }
            (Asker::One(slot), Outcome::Ranged { counts, rows, next }) => {
                self.settle(slot, Ok(Answered::Ranged { counts, rows, next }));
            }
            (Asker::Many(members), Outcome::Found { counts, rows }) => {
                self.share_out(&members, &counts, rows)
            }
            (Asker::One(slot), Outcome::Failed(error))
                if matches!(error.reason, Refusal::Changed | Refusal::DuplicateKey) =>
            {
                self.settle(slot, Ok(Answered::Conflict { at: completion.at, error }));
            }
            (Asker::One(slot), Outcome::Failed(error)) => self.settle(slot, Err(error)),
            (Asker::Many(members), Outcome::Failed(error)) => {
                members.iter().for_each(|(slot, _)| self.settle(*slot, Err(error.clone())));
            }
            _ => unreachable!("requests are answered in kind"),
        }
    }

    /// Gives each its part of the rows that were found for all.
    fn share_out(&mut self, members: &[(usize, u32)], counts: &[u32], rows: Rows) {
        let rows = Rc::new(rows);
        let mut counts = counts.iter();
        let mut end = 0;
        for (slot, keys) in members {
            let count = counts.by_ref().take(*keys as usize).sum();
            let start = end;
            for _ in 0..count {
                end += Row::at(&rows.rows[end..]).bytes_all().len();
            }
            self.settle(*slot, Ok(Answered::Found(Found { rows: rows.clone(), start, end, count })));
        }
    }

    fn settle(&mut self, slot: usize, answer: Answer) {
        match std::mem::replace(&mut self.slots[slot], Slot::Done(answer)) {
            Slot::Waiting(waker) => waker.into_iter().for_each(Waker::wake),
            Slot::Abandoned => {
                self.slots[slot] = Slot::Free;
                self.free.push(slot);
            }
            Slot::Free | Slot::Done(_) => unreachable!("a request is answered once"),
        }
    }
}

impl Ticket {
    /// The answer, if it has come.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        let mut state = self.pump.state.borrow_mut();
        match std::mem::replace(&mut state.slots[self.slot], Slot::Waiting(None)) {
            Slot::Done(answer) => Poll::Ready(answer),
            _ => {
                state.slots[self.slot] = Slot::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// The answer. It is to be taken once.
    pub async fn answer(mut self) -> Answer {
        let answer = poll_fn(|context| self.poll(context)).await;
        // It has been taken, so the slot is free as if the answer had come to nobody.
        self.pump.state.borrow_mut().slots[self.slot] = Slot::Done(Err(taken()));
        answer
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.pump.state.borrow_mut();
        if matches!(state.slots[self.slot], Slot::Done(_)) {
            state.slots[self.slot] = Slot::Free;
            state.free.push(self.slot);
        } else {
            state.slots[self.slot] = Slot::Abandoned;
        }
    }
}

/// Makes the event loop tell of what comes after now. What has come is read by the front, of which the loop knows nothing.
fn take_readiness(attempt: impl FnOnce(fn() -> io::Result<()>) -> io::Result<()>) {
    // It always fails: that is how the loop learns that there is nothing left.
    let _ = attempt(|| Err(io::ErrorKind::WouldBlock.into()));
}

fn taken() -> RequestError {
    RequestError { reason: Refusal::Invalid, message: "the answer has been taken".to_owned() }
}

/// What the front refuses by itself, as if a shard had.
fn refused(error: &FrontError) -> RequestError {
    let reason = match error {
        FrontError::Unknown(_) => Refusal::Unknown,
        FrontError::Gone(_) => Refusal::OutcomeUnknown,
        _ => Refusal::Invalid,
    };
    RequestError { reason, message: error.to_string() }
}
