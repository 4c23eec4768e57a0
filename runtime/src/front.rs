//! The library by which a local process is a front: it writes with acknowledgements and looks rows up, over rings in
//! shared memory.
//!
//! A [`Front`] belongs to one thread. Requests do not block: they are routed to the shards that own their keys, given to
//! the rings (or queued while a ring is full), and answered by [`Completion`]s that [`Front::poll`] and [`Front::wait`]
//! collect. The death of a shard is only a delay: its rings survive it, and what it had not answered is answered by the
//! next process. Only a shard in quarantine has no next process: what it is asked fails, and what it had not answered too. What a front has been told by a shard is never taken back: replies of one shard never go back in label.
//!
//! Reads can be made to show what a session has written ([`Front::lookup_after`] with its [`Token`]).
//!
//! Costs: a request is copied into its archive and into the ring; nothing is allocated for a key or a row. A batch of
//! operations should be one request a shard.

mod assembly;
mod definition;
mod lane;
mod progress;
mod read;
mod report;
mod share;
mod sleep;
mod token;

pub use definition::Definition;
pub use progress::Progress;
pub use report::ShardReport;
pub use share::Share;
pub use token::{Token, TokenError};

use crate::clock::{FrontId, FrontSlot, Label, ShardId};
use crate::live::bell;
use crate::live::control::{ControlPage, FrontWord, ON_FLAG, WANTS_ROOM, WANTS_WORDS};
use crate::live::layout::{self, RunFolder};
use crate::live::registration::{self, Registered};
use crate::live::sys;
use crate::message::{ArchivedAnswer, ArchivedOutcome, Ask, Refusal, TableWrite};
use crate::rounds::{Reads, Waits};
use assembly::Assemblies;
use definition::Definitions;
use lane::{Broken, Lane};
use operators::hash::{KeyColumns, hash_key, owner};
use operators::{Plan, RangePosition, Row, Rows, ScanPosition, TableId, ViewId, WriteKind};
use read::{Body, KnownView};
use std::fmt;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Rows of a write beyond this many bytes go to the shard in several requests, each atomic in itself.
pub const WRITE_BYTES_MAX: usize = 256 << 10;
/// How long a sleeping front may fail to notice what nobody rings for.
const NAP_MAX: Duration = Duration::from_millis(100);
/// Polls that found nothing between two looks whether the database is still there.
const IDLE_POLLS: u32 = 1024;

/// Names a request until its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The end of a request.
#[derive(Debug)]
pub struct Completion {
    /// Which request.
    pub request: RequestId,
    /// What came of it.
    pub outcome: Outcome,
    /// Of a write: what a later read must be given to show it, or to show why it was refused. Empty for reads.
    pub at: Token,
}

/// What came of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The write is durable and applied.
    Written {
        /// Rows inserted, replaced or deleted.
        changed: u32,
    },
    /// The rows found.
    Found {
        /// How many rows for each key, in the order of the keys.
        counts: Vec<u32>,
        /// The rows, key after key.
        rows: Rows,
    },
    /// A piece of what a shard holds of a view; it may be empty although others follow.
    Scanned {
        /// The rows, in an order of their own.
        rows: Rows,
        /// Where the next piece begins; none after the last.
        next: Option<ScanPosition>,
    },
    /// A piece of a range on one shard.
    Ranged {
        /// How many rows it has of each prefix. It may end before the last of them.
        counts: Vec<u32>,
        /// The rows, prefix after prefix, each in the order of the range.
        rows: Rows,
        /// Where the last prefix counted goes on, if that is not over.
        next: Option<RangePosition>,
    },
    /// The definition is durable, and shards are taking it up.
    Defined {
        /// Its number in the catalogue.
        entry: u64,
    },
    /// It was refused; of a write that went to several shards, some may have applied their part.
    Failed(RequestError),
}

impl Outcome {
    /// Whether it comes of the rows that a table had when the request's turn came.
    fn tells_of_rows(&self) -> bool {
        match self {
            Outcome::Written { .. } => true,
            Outcome::Failed(error) => matches!(error.reason, Refusal::Changed | Refusal::DuplicateKey),
            _ => false,
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// Which kind of refusal.
    pub reason: Refusal,
    /// What, where, and what to do.
    pub message: String,
}

/// Why a front cannot do what it is asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrontError {
    /// Too much waits already; collect completions and try again.
    #[error("too many requests are under way; collect completions first")]
    Busy,
    /// No database serves from the folder, or it is full.
    #[error("cannot join the database in {folder}: {reason}")]
    Join {
        /// The data folder.
        folder: String,
        /// Why.
        reason: String,
    },
    /// The database has ended. The outcome of requests without completion is unknown; join again.
    #[error("the database has ended: {0}")]
    Gone(String),
    /// There is no such table or view.
    #[error("there is no {0}")]
    Unknown(String),
    /// Rows or keys do not fit the table or view.
    #[error("{0}")]
    Invalid(String),
    /// A blocking call's request was refused.
    #[error(transparent)]
    Refused(#[from] RequestError),
}

/// A local process's connection to all shards.
pub struct Front {
    page: ControlPage,
    slot: FrontSlot,
    id: FrontId,
    stream: UnixStream,
    bell: UnixDatagram,
    run: RunFolder,
    plan: Plan,
    plan_entry: u64,
    definitions: Definitions,
    lanes: Vec<Lane>,
    next_request: u64,
    assemblies: Assemblies,
    /// Rows on their way to each shard, while a request is being split.
    split: Vec<Rows>,
    idle_polls: u32,
    /// What is known of each view of the plan.
    views: Vec<KnownView>,
    reads: Reads<Body>,
    /// The shards that waiting reads wait for, when they were last looked at.
    waits: Waits,
}

impl Front {
    /// Joins the database that serves from the data folder `folder`.
    pub fn connect(folder: &Path) -> Result<Front, FrontError> {
        let join = |reason: &dyn fmt::Display| FrontError::Join {
            folder: folder.display().to_string(),
            reason: reason.to_string(),
        };
        let run = layout::find_run_folder(folder).map_err(|e| join(&format_args!("is it running? ({e})")))?;
        let page = ControlPage::open(&run.control()).map_err(|e| join(&e))?;
        let Registered { slot, id, stream, bell } = registration::register(&run).map_err(|e| join(&e))?;
        let lanes = page.shard_ids().map(|shard| Lane::open(&run, shard, id)).collect::<Result<Vec<_>, _>>();
        let lanes = lanes.map_err(|e| join(&e))?;
        let split = lanes.iter().map(|_| Rows::new()).collect();
        let mut front = Front {
            page,
            slot,
            id,
            stream,
            bell,
            run,
            plan: Plan::default(),
            plan_entry: 0,
            definitions: Definitions::default(),
            lanes,
            next_request: 0,
            assemblies: Assemblies::default(),
            split,
            idle_polls: 0,
            views: Vec::new(),
            reads: Reads::default(),
            waits: Waits::default(),
        };
        front.refresh_plan()?;
        Ok(front)
    }

    /// The tables and views, as of the last [`Front::refresh_plan`].
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Number of shards.
    pub fn shards(&self) -> u16 {
        self.page.shards()
    }

    /// This front's id.
    pub fn id(&self) -> FrontId {
        self.id
    }

    /// The newest state of a shard that this front has been told of.
    pub fn label(&self, shard: ShardId) -> Label {
        self.lanes[usize::from(shard.0)].label()
    }

    /// The shard that owns a row of a table, or a primary key of it where `kind` is a delete.
    pub fn owner_of_row(&self, table: TableId, kind: WriteKind, row: Row<'_>) -> Result<ShardId, FrontError> {
        Ok(self.owner(row, &self.table_key(table, kind)?))
    }

    /// The shard that owns a key of a view. Of an ordered view whose key has several columns, a row of all but the last will do.
    pub fn owner_of_key(&self, view: ViewId, key: Row<'_>) -> Result<ShardId, FrontError> {
        let known = self.views.get(view.0 as usize).ok_or_else(|| unknown("view", view.0))?;
        Ok(self.owner(key, &known.spread))
    }

    fn owner(&self, row: Row<'_>, key: &KeyColumns) -> ShardId {
        ShardId(owner(hash_key(row, key), self.shards()))
    }

    /// Writes rows, each on the shard that owns it.
    pub fn write(&mut self, table: TableId, kind: WriteKind, rows: &Rows) -> Result<RequestId, FrontError> {
        let spec = self.plan.tables.get(table.0 as usize).ok_or_else(|| unknown("table", table.0))?;
        let schema = if kind == WriteKind::Delete { spec.key_schema() } else { spec.schema() };
        let name = &spec.name;
        Rows::validate(&rows.rows, &schema).map_err(|e| FrontError::Invalid(format!("table {name}: {e}")))?;
        let key = self.table_key(table, kind)?;
        self.check_room()?;
        let request = self.new_request();
        self.assemblies.begin_write(request);
        let mut split = std::mem::take(&mut self.split);
        for row in rows.iter() {
            let shard = self.owner(row, &key);
            let share = &mut split[usize::from(shard.0)];
            if !share.is_empty() && share.rows.len() + row.len() > WRITE_BYTES_MAX {
                self.send_write(shard, table, kind, share, request);
            }
            share.push(row);
        }
        for (share, shard) in split.iter_mut().zip(0..).filter(|(share, _)| !share.is_empty()) {
            self.send_write(ShardId(shard), table, kind, share, request);
        }
        self.split = split;
        self.assemblies.sent(request);
        Ok(request)
    }

    fn send_write(
        &mut self,
        shard: ShardId,
        table: TableId,
        kind: WriteKind,
        share: &mut Rows,
        request: RequestId,
    ) {
        let purpose = self.assemblies.add_write_part(request);
        let body = Ask::Write(TableWrite { table: table.0, kind, rows: std::mem::take(share) });
        if let Ask::Write(TableWrite { rows, .. }) =
            self.lanes[usize::from(shard.0)].send(&self.page, body, purpose)
        {
            *share = rows;
            share.clear();
        }
    }

    /// Writes rows that `shard` owns all; at most [`WRITE_BYTES_MAX`] of them, for the write is one request and applied
    /// wholly or not at all.
    pub fn write_at(
        &mut self,
        shard: ShardId,
        table: TableId,
        kind: WriteKind,
        rows: &Rows,
    ) -> Result<RequestId, FrontError> {
        if rows.rows.len() > crate::message::REQUEST_BYTES_MAX {
            return Err(FrontError::Invalid(format!(
                "a request takes {WRITE_BYTES_MAX} bytes of rows; split it"
            )));
        }
        self.check_room_at(shard)?;
        let request = self.new_request();
        let mut share = std::mem::take(&mut self.split[usize::from(shard.0)]);
        share.clone_from(rows);
        let body = Ask::Write(TableWrite { table: table.0, kind, rows: share });
        let purpose = Assemblies::single(request);
        let sent = self.lanes[usize::from(shard.0)].send(&self.page, body, purpose);
        if let Ask::Write(TableWrite { mut rows, .. }) = sent {
            rows.clear();
            self.split[usize::from(shard.0)] = rows;
        }
        Ok(request)
    }

    /// Collects completions without waiting.
    pub fn poll(&mut self, completions: &mut Vec<Completion>) -> Result<(), FrontError> {
        let before = completions.len();
        self.collect(completions)?;
        if completions.len() > before {
            self.idle_polls = 0;
            return Ok(());
        }
        self.idle_polls += 1;
        if self.idle_polls >= IDLE_POLLS {
            self.idle_polls = 0;
            self.check_alive()?;
        }
        Ok(())
    }

    fn collect(&mut self, completions: &mut Vec<Completion>) -> Result<(), FrontError> {
        let first = completions.len();
        if self.definitions.is_waiting() {
            self.check_alive()?;
            self.definitions.take_answers(completions)?;
        }
        let Front { lanes, page, assemblies, run, .. } = self;
        assemblies.take_finished(completions);
        for lane in lanes.iter_mut() {
            // Looked at before the replies are read: a shard in quarantine has said all that it will say.
            let down = lane.is_down(page);
            if lane.has_replies() {
                let shard = lane.shard();
                lane.read(page, |purpose, answer, clock| {
                    let (outcome, mut at) = (outcome_of(answer), Token::default());
                    if outcome.tells_of_rows() {
                        at.note(shard, clock.ingest());
                    }
                    assemblies.answer(purpose, outcome, at, completions);
                })
                .map_err(|Broken(reason)| FrontError::Gone(reason))?;
            }
            if down {
                lane.give_up(run, |purpose, error| {
                    assemblies.answer(purpose, Outcome::Failed(error), Token::default(), completions);
                });
            } else if lane.is_queueing() {
                lane.flush(page);
            }
        }
        self.check_reads(first, completions);
        Ok(())
    }

    /// Collects completions; if there are none, sleeps until some come or `timeout` is over.
    pub fn wait(&mut self, timeout: Duration, completions: &mut Vec<Completion>) -> Result<(), FrontError> {
        let before = completions.len();
        self.poll(completions)?;
        let deadline = Instant::now() + timeout;
        while completions.len() == before {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.nap(left.min(NAP_MAX))?;
            self.collect(completions)?;
        }
        Ok(())
    }

    /// Sleeps until a shard rings, or, while a definition is under way, the supervisor answers.
    fn nap(&mut self, longest: Duration) -> Result<(), FrontError> {
        let on_flag = if self.definitions.is_waiting() { 0 } else { ON_FLAG };
        if let Some(wants) = self.fall_asleep(on_flag) {
            if on_flag == 0 {
                self.sleep_on_sockets(longest)?;
            } else {
                self.sleep_on_flag(wants, longest)?;
            }
        }
        bell::wake_up(self.flag());
        Ok(())
    }

    fn sleep_on_sockets(&mut self, longest: Duration) -> Result<(), FrontError> {
        let ready = sys::poll_readable(&[self.bell.as_raw_fd(), self.stream.as_raw_fd()], longest)
            .map_err(|e| FrontError::Gone(e.to_string()))?;
        if ready[0] {
            bell::drain(&self.bell);
        }
        if ready[1] {
            self.check_alive()?;
        }
        Ok(())
    }

    fn sleep_on_flag(&mut self, wants: u64, longest: Duration) -> Result<(), FrontError> {
        bell::sleep_on_flag(self.flag(), wants, longest);
        // Not rung: is anybody there to ring?
        if self.flag().load(Ordering::Relaxed) != 0 { self.check_alive() } else { Ok(()) }
    }

    /// What this process says of its sleep.
    fn flag(&self) -> &AtomicU64 {
        self.page.front(self.slot, FrontWord::Sleeping)
    }

    /// Says that this process sleeps, where, and for what it is to be rung, which is returned; none if there is something to
    /// collect already.
    fn fall_asleep(&mut self, on_flag: u64) -> Option<u64> {
        let wants_room = if self.lanes.iter().any(Lane::is_queueing) { WANTS_ROOM } else { 0 };
        let mut wants = on_flag | wants_room;
        let waits = self.waits;
        if self.reads.waiting_count() > 0 {
            wants |= WANTS_WORDS;
            self.page.front(self.slot, FrontWord::WaitsFor).store(waits.0, Ordering::Relaxed);
        }
        bell::fall_asleep(self.flag(), wants);
        // What happens from here on is rung for; what has happened before is seen now.
        let has_moved = self.advance_reads() || self.waits.0 & !waits.0 != 0;
        let has_more = has_moved || self.assemblies.has_finished();
        (!has_more && !self.lanes.iter().any(Lane::has_replies)).then_some(wants)
    }

    /// Takes what the supervisor has said; an error if it has gone.
    fn check_alive(&mut self) -> Result<(), FrontError> {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(FrontError::Gone("its supervisor has closed the connection".into())),
                Ok(count) => self.definitions.hear(&bytes[..count]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(FrontError::Gone(e.to_string())),
            }
        }
    }

    /// Writes and waits for the acknowledgement. Returns how many rows changed. Completions of other requests that come
    /// meanwhile are kept for the next poll.
    pub fn write_wait(&mut self, table: TableId, kind: WriteKind, rows: &Rows) -> Result<u32, FrontError> {
        let request = self.write(table, kind, rows)?;
        match self.wait_for(request)? {
            Outcome::Written { changed } => Ok(changed),
            Outcome::Failed(error) => Err(error.into()),
            _ => unreachable!("a write is answered as one"),
        }
    }

    /// Looks up and waits for the rows; the counts are those of [`Outcome::Found`].
    pub fn lookup_wait(
        &mut self,
        view: ViewId,
        keys: &Rows,
        limit: u32,
    ) -> Result<(Vec<u32>, Rows), FrontError> {
        let request = self.lookup(view, keys, limit)?;
        match self.wait_for(request)? {
            Outcome::Found { counts, rows } => Ok((counts, rows)),
            Outcome::Failed(error) => Err(error.into()),
            _ => unreachable!("a lookup is answered as one"),
        }
    }

    fn wait_for(&mut self, request: RequestId) -> Result<Outcome, FrontError> {
        let mut completions = Vec::new();
        loop {
            self.wait(NAP_MAX, &mut completions)?;
            if let Some(index) = completions.iter().position(|completion| completion.request == request) {
                let wanted = completions.swap_remove(index);
                self.assemblies.keep(completions);
                return Ok(wanted.outcome);
            }
        }
    }

    fn table_key(&self, table: TableId, kind: WriteKind) -> Result<KeyColumns, FrontError> {
        let spec = self.plan.tables.get(table.0 as usize).ok_or_else(|| unknown("table", table.0))?;
        let key = spec.key_columns();
        Ok(if kind == WriteKind::Delete { key.of_key_row() } else { key })
    }

    fn check_room(&self) -> Result<(), FrontError> {
        if self.lanes.iter().all(Lane::has_room) { Ok(()) } else { Err(FrontError::Busy) }
    }

    fn check_room_at(&self, shard: ShardId) -> Result<(), FrontError> {
        if self.lanes[usize::from(shard.0)].has_room() { Ok(()) } else { Err(FrontError::Busy) }
    }

    fn new_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("slot", &self.slot).field("id", &self.id).finish_non_exhaustive()
    }
}

fn unknown(what: &str, id: u32) -> FrontError {
    FrontError::Unknown(format!("{what} with id {id} in this database's plan"))
}

fn outcome_of(answer: &ArchivedAnswer) -> Outcome {
    match &answer.outcome {
        ArchivedOutcome::Written { changed } => Outcome::Written { changed: changed.to_native() },
        ArchivedOutcome::Found { counts, rows } => Outcome::Found {
            counts: counts.iter().map(|count| count.to_native()).collect(),
            rows: Rows { count: rows.count.to_native(), rows: rows.rows.to_vec() },
        },
        ArchivedOutcome::Scanned { rows, next } => Outcome::Scanned {
            rows: Rows { count: rows.count.to_native(), rows: rows.rows.to_vec() },
            next: next.as_ref().map(|next| next.to_native()),
        },
        ArchivedOutcome::Ranged { counts, rows, next } => Outcome::Ranged {
            counts: counts.iter().map(|count| count.to_native()).collect(),
            rows: Rows { count: rows.count.to_native(), rows: rows.rows.to_vec() },
            next: next.as_ref().map(|next| next.to_native()),
        },
        ArchivedOutcome::Refused { reason, message } => {
            let reason = match reason {
                crate::message::ArchivedRefusal::Invalid => Refusal::Invalid,
                crate::message::ArchivedRefusal::Unknown => Refusal::Unknown,
                crate::message::ArchivedRefusal::DuplicateKey => Refusal::DuplicateKey,
                crate::message::ArchivedRefusal::DiskFull => Refusal::DiskFull,
                crate::message::ArchivedRefusal::Building => Refusal::Building,
                crate::message::ArchivedRefusal::TooLarge => Refusal::TooLarge,
                crate::message::ArchivedRefusal::Down => Refusal::Down,
                crate::message::ArchivedRefusal::OutcomeUnknown => Refusal::OutcomeUnknown,
                crate::message::ArchivedRefusal::Stale => Refusal::Stale,
                crate::message::ArchivedRefusal::Changed => Refusal::Changed,
                crate::message::ArchivedRefusal::Failing(reason) => Refusal::Failing(*reason),
            };
            Outcome::Failed(RequestError { reason, message: message.to_string() })
        }
    }
}
