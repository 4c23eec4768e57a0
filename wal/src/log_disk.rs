//! The disk side of a live log: takes the flushes that an [`Appender`] hands out to the disk through an io_uring, brings
//! back which have completed, and prepares segments. The appender itself may live where there is no I/O.
//!
//! **Two ways.** Flushes, and the zeros that fill the next segment, go out on a ring of their own ([`LogRing`]). What is left of the
//! preparation and the closing of segments, which nobody waits for, are chores: tasks on the Glommio executor, which are
//! [tended](LogDisk::tend) now and then.
//!
//! **Durable when complete.** Segments are opened O_DIRECT and O_DSYNC, so the completion of a write says that it is
//! durable: one request per flush and no separate sync. Flushes in flight side by side pay for the latency of
//! each (measured on a fast disk at 4 KiB: 16 k/s one by one, 44 k/s with four in flight).
//!
//! **Failure.** A write that fails, or that is short, poisons the log: nothing more is sent out, because a second attempt
//! may succeed while the data is gone. What was in flight is in doubt, and stays so until a restart reads the log.
//! A full disk is not a failure: segments are filled before they are used, so it shows while the next one is prepared; appended
//! records wait in memory, and the preparation is tried again until there is room.
//!
//! **Locks.** Each segment's lock is held through the descriptor that is written through. If the process is killed,
//! requests in flight keep the descriptor, and so the lock, until they are done: see [`LogFolder`].
//!
//! Cost of a flush: no copy, as it is written from where it was gathered; one system call to send it, together with others of the
//! same moment; none to see that it is durable.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use glommio::io::{DmaFile, OpenOptions};

use crate::appender::Appender;
use crate::error::Error;
use crate::faults::Faults;
use crate::filling::Filling;
use crate::flush::{Flush, FlushBuffer, FlushId};
use crate::folder::{LOCK_RETRY, LogFolder, NewSegment};
use crate::log_ring::{Completed, LogRing, Write};
use crate::os;
use crate::pace::PIECE_BYTES_MAX;
use crate::scan::Tail;
use crate::segment::SegmentId;

/// How long to wait before a segment that found no room is prepared again.
const NO_ROOM_RETRY: Duration = Duration::from_millis(100);
/// How long chores wait for their next turn: long beside the turn, short beside what they wait for by themselves.
const CHORES_PAUSE: Duration = Duration::from_micros(100);
/// Long enough for the timer not to have expired when it is first looked at, short enough not to be felt.
const TURN: Duration = Duration::from_nanos(300);

/// The disk side of a log, on a Glommio executor. Clones are handles to the same one.
///
/// [`write`](Self::write) takes what [`Appender::take_flush`] hands out; [`exchange`](Self::exchange) tells the
/// appender what has become of it. Nothing is written or told at any other time, so the policy stays with the caller.
#[derive(Clone)]
pub struct LogDisk(Rc<Inner>);

impl std::fmt::Debug for LogDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogDisk").field("path", &self.0.path).finish_non_exhaustive()
    }
}

struct Inner {
    path: PathBuf,
    lock_deadline: Duration,
    faults: Faults,
    ring: RefCell<LogRing>,
    /// Counts what there is to [`exchange`](LogDisk::exchange), and other changes of the state.
    changes: Cell<u64>,
    /// The segment that is being filled.
    filling: RefCell<Option<Filling>>,
    /// What segments are filled with.
    zeros: Rc<FlushBuffer>,
    /// Tasks under way on the executor that want a turn, and when they had their last one.
    chores: Cell<usize>,
    tended_at: Cell<Instant>,
    /// Used in a thread of its own for what blocks in the preparation of a segment.
    folder: Arc<Mutex<LogFolder>>,
    /// The segments that can be written or still have flushes in flight.
    files: RefCell<BTreeMap<SegmentId, Rc<DmaFile>>>,
    /// Size of the newest segment.
    last_bytes: Cell<u64>,
    /// Room left when all is written that was gathered at the last exchange.
    spare_bytes: Cell<u64>,
    /// What the appender has not been told yet: flushes that are durable, a segment that is ready.
    completed: RefCell<Vec<FlushId>>,
    prepared: Cell<Option<(SegmentId, u64)>>,
    in_flight_count: Cell<usize>,
    preparing: Cell<bool>,
    closing: Cell<bool>,
    failure: RefCell<Option<Failure>>,
    no_room: Cell<Option<i32>>,
    sent_count: Cell<u64>,
    written_bytes: Cell<u64>,
    written_count: Cell<u64>,
}

/// What poisoned the log. `io::Error` cannot be cloned, and everybody who asks gets the reason.
struct Failure {
    path: PathBuf,
    errno: Option<i32>,
    text: String,
}

impl LogDisk {
    /// Takes over the log in `folder`, which has been read to `tail`: makes the repairs, and moves the locks to
    /// descriptors of its own.
    ///
    /// # Errors
    /// [`Error::Io`] for a failed repair or open, or where io_uring cannot be used; [`Error::InUse`] if a lock was lost to
    /// somebody else.
    pub async fn start(mut folder: LogFolder, tail: &Tail) -> Result<Self, Error> {
        folder.repair(tail)?;
        let ring =
            LogRing::new().map_err(|error| Error::io("set up an io_uring for", folder.path(), error))?;
        let lock_deadline = folder.options().lock_deadline;
        let mut files = BTreeMap::new();
        for (segment, _) in tail.open_segments() {
            // The folder's own lock keeps everybody else out between the release and the lock.
            folder.release(segment);
            files.insert(segment, Rc::new(open_segment(folder.path(), segment, lock_deadline).await?));
        }
        Ok(Self(Rc::new(Inner {
            path: folder.path().to_owned(),
            lock_deadline,
            faults: folder.options().faults.clone(),
            ring: RefCell::new(ring),
            changes: Cell::new(0),
            filling: RefCell::default(),
            zeros: Rc::new(FlushBuffer::zeros(PIECE_BYTES_MAX as usize)),
            chores: Cell::new(0),
            tended_at: Cell::new(Instant::now()),
            folder: Arc::new(Mutex::new(folder)),
            files: RefCell::new(files),
            last_bytes: Cell::new(tail.open_segments().next_back().expect("a log has a segment").1),
            spare_bytes: Cell::new(0),
            completed: RefCell::default(),
            prepared: Cell::new(None),
            in_flight_count: Cell::new(0),
            preparing: Cell::new(false),
            closing: Cell::new(false),
            failure: RefCell::default(),
            no_room: Cell::new(None),
            sent_count: Cell::new(0),
            written_bytes: Cell::new(0),
            written_count: Cell::new(0),
        })))
    }

    /// Has [sleeps](Self::sleep) end when this descriptor becomes readable, too.
    pub fn watch(&self, bell: OwnedFd) {
        self.0.ring.borrow_mut().watch(bell);
    }

    /// Takes a flush for the disk; [`submit`](Self::submit) sends it out. Once the log is poisoned nothing is sent, and the flush
    /// never completes.
    pub fn write(&self, flush: Flush) {
        let inner = &self.0;
        if inner.failure.borrow().is_some() {
            return;
        }
        let file = inner.files.borrow().get(&flush.segment).cloned();
        let file = file.expect("segments are open before they are provided");
        let nth = inner.sent_count.get() + 1;
        inner.sent_count.set(nth);
        if let Err(error) = inner.faults.before_write(nth) {
            return inner.poison(inner.path.join(flush.segment.file_name()), &error);
        }
        inner.in_flight_count.set(inner.in_flight_count.get() + 1);
        let bytes = inner.faults.write_bytes(nth, flush.bytes().len());
        inner.ring.borrow_mut().push(Write { file, flush, nth }, bytes);
    }

    /// Sends out what has been [taken](Self::write) and what is due of the next segment, in one system call.
    pub fn submit(&self) {
        self.0.fill_on();
        let submitted = self.0.ring.borrow_mut().submit();
        self.0.note(submitted);
    }

    /// Sends out what has been taken, and sleeps until a write is complete, the [watched](Self::watch) descriptor is
    /// readable, or the time is over: not for long while a segment is prepared. Whether the descriptor has become readable.
    pub fn sleep(&self, longest: Duration) -> bool {
        self.0.fill_on();
        let longest = longest.min(self.0.pause());
        let slept = self.0.ring.borrow_mut().sleep(longest);
        self.0.note(slept);
        self.0.reap();
        self.0.ring.borrow_mut().take_rung()
    }

    /// Whether a write has completed since the last look.
    #[must_use]
    pub fn has_completed(&self) -> bool {
        self.0.ring.borrow_mut().has_completed()
    }

    /// Whether something wants to be [tended](Self::tend) now and then.
    fn has_chores(&self) -> bool {
        self.0.chores.get() > 0
    }

    /// Gets the chores on, if there are any and they have not had a turn for a while. A turn of the executor's tasks and its
    /// io_uring costs about 7 us here, most of it in timers.
    pub async fn tend(&self) {
        if !self.has_chores() || self.0.tended_at.get().elapsed() < CHORES_PAUSE {
            return;
        }
        // A timer that is due when it is first looked at would not let anybody else have a turn.
        glommio::timer::sleep(TURN).await;
        self.0.tended_at.set(Instant::now());
    }

    /// A number that grows when there is something to [exchange](Self::exchange), or the state has changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.0.changes.get()
    }

    /// Tells the appender which flushes are durable and which segment is ready, and begins to prepare another
    /// one if it wants one. Returns whether there was news.
    pub fn exchange(&self, appender: &mut Appender) -> bool {
        let mut news = false;
        self.0.reap();
        for id in self.0.completed.borrow_mut().drain(..) {
            appender.flushed(id);
            news = true;
        }
        if news {
            self.0.close_left_segments(appender.current_segment());
        }
        if let Some((id, bytes)) = self.0.prepared.take() {
            appender.provide_segment(id, bytes);
            news = true;
        }
        self.0.spare_bytes.set(appender.spare_bytes());
        self.0.prepare_if_wanted(appender);
        news
    }

    /// Why nothing can be written any more, if so: [`Error::Poisoned`].
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        let failure = self.0.failure.borrow();
        let Failure { path, errno, text } = failure.as_ref()?;
        let source = errno.map_or_else(|| io::Error::other(text.clone()), io::Error::from_raw_os_error);
        Some(Error::Poisoned { path: path.clone(), source })
    }

    /// Whether the last attempt to prepare a segment found the disk full: [`Error::NoRoom`]. Flushes go out until
    /// [`Appender::room_bytes`] are used up, and again when there is room again, which is tried all the time.
    #[must_use]
    pub fn no_room(&self) -> Option<Error> {
        let source = io::Error::from_raw_os_error(self.0.no_room.get()?);
        Some(Error::NoRoom { path: self.0.path.clone(), source })
    }

    /// Bytes and number of the flushes written since the start.
    #[must_use]
    pub fn written(&self) -> (u64, u64) {
        (self.0.written_bytes.get(), self.0.written_count.get())
    }

    /// Whether a request is on its way whose completion only [`sleep`](Self::sleep) notices.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.0.ring.borrow().is_in_flight()
    }

    /// How long somebody who sleeps elsewhere, with nothing [in flight](Self::is_in_flight), may leave the next segment alone.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.0.pause()
    }

    /// Whether a write or a chore is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.in_flight_count.get() > 0 || self.has_chores() || self.0.filling.borrow().is_some()
    }

    /// Lets no further segment be prepared: the beginning of an orderly end. When the disk is no longer
    /// [busy](Self::is_busy), [`close`](Self::close) it.
    pub fn begin_close(&self) {
        self.0.closing.set(true);
    }

    /// Closes the files, and with them the locks. A file with a write still in flight is closed when that is done.
    pub async fn close(self) {
        self.begin_close();
        let files = std::mem::take(&mut *self.0.files.borrow_mut());
        for (_, file) in files {
            // Everything acknowledged is durable already; an error here concerns nobody.
            let _ = file.close_rc().await;
        }
    }
}

impl Inner {
    fn poison(&self, path: PathBuf, error: &io::Error) {
        let failure = || Failure { path, errno: error.raw_os_error(), text: error.to_string() };
        self.failure.borrow_mut().get_or_insert_with(failure);
        self.changed();
    }

    fn changed(&self) {
        self.changes.set(self.changes.get() + 1);
    }

    /// Requests that cannot be sent are as bad as writes that fail.
    fn note(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.poison(self.path.clone(), &error);
        }
    }

    /// Takes note of the writes that have completed.
    fn reap(&self) {
        loop {
            let completed = self.ring.borrow_mut().completed();
            let (write, result) = match completed {
                None => return,
                Some(Completed::Fill(result)) => {
                    self.filling.borrow_mut().as_mut().expect("it is being filled").completed(result);
                    continue;
                }
                Some(Completed::Flush(write, result)) => (write, result),
            };
            self.in_flight_count.set(self.in_flight_count.get() - 1);
            match self.outcome(&write, result) {
                Ok(bytes) => {
                    self.completed.borrow_mut().push(write.flush.id);
                    self.written_bytes.set(self.written_bytes.get() + bytes);
                    self.written_count.set(self.written_count.get() + 1);
                }
                Err(error) => self.poison(self.path.join(write.flush.segment.file_name()), &error),
            }
            self.changed();
        }
    }

    /// How many bytes have been written: all of the flush, or it is a failure.
    fn outcome(&self, write: &Write, result: io::Result<usize>) -> io::Result<u64> {
        let written = result?;
        self.faults.after_write(write.nth)?;
        let wanted = write.flush.bytes().len();
        if written != wanted {
            let text = format!("short write of {written} of {wanted} bytes at offset {}", write.flush.offset);
            return Err(io::Error::new(io::ErrorKind::WriteZero, text));
        }
        Ok(written as u64)
    }

    /// Starts a task on the executor.
    fn begin_chore(self: &Rc<Self>, chore: impl Future<Output = ()> + 'static) {
        self.chores.set(self.chores.get() + 1);
        let inner = Rc::clone(self);
        glommio::spawn_local(async move {
            chore.await;
            inner.chores.set(inner.chores.get() - 1);
            inner.changed();
        })
        .detach();
    }

    /// Closes the segments that have been left behind, once nothing is in flight to them.
    fn close_left_segments(self: &Rc<Self>, current: SegmentId) {
        let mut files = self.files.borrow_mut();
        let left = |(id, file): (&SegmentId, &Rc<DmaFile>)| {
            (*id < current && Rc::strong_count(file) == 1).then_some(*id)
        };
        while let Some(id) = files.iter().find_map(left) {
            let file = files.remove(&id).expect("just found");
            self.begin_chore(async move {
                // Its flushes are durable; an error here concerns nobody.
                let _ = file.close_rc().await;
            });
        }
    }

    fn prepare_if_wanted(self: &Rc<Self>, appender: &Appender) {
        if self.preparing.get() || self.closing.get() || self.failure.borrow().is_some() {
            return;
        }
        let Some(least) = appender.wants_segment() else { return };
        self.preparing.set(true);
        let (inner, id) = (Rc::clone(self), appender.next_segment());
        self.begin_chore(async move {
            inner.prepare(id, least).await;
            inner.preparing.set(false);
        });
    }

    /// Prepares a segment, waiting while there is no room.
    async fn prepare(&self, id: SegmentId, least: u64) {
        while !self.closing.get() {
            match self.prepare_once(id, least).await {
                Ok(Some(bytes)) => {
                    self.no_room.set(None);
                    self.last_bytes.set(bytes);
                    return self.prepared.set(Some((id, bytes)));
                }
                Ok(None) => return,
                Err(Error::NoRoom { source, .. }) => {
                    self.no_room.set(Some(source.raw_os_error().unwrap_or(libc::ENOSPC)));
                    self.changed();
                    glommio::timer::sleep(NO_ROOM_RETRY).await;
                }
                Err(Error::Io { path, source, .. }) => return self.poison(path, &source),
                Err(other) => {
                    return self.poison(self.path.join(id.file_name()), &io::Error::other(other.to_string()));
                }
            }
        }
    }

    /// Prepares a segment and returns its size; none if the log is closed meanwhile.
    async fn prepare_once(&self, id: SegmentId, least: u64) -> Result<Option<u64>, Error> {
        let last_bytes = self.last_bytes.get();
        let created = self
            .blocking(move |folder| folder.create_segment(id, folder.next_segment_bytes(least, last_bytes)));
        let new = created.await?;
        let filled = self.fill(&new).await;
        if self.closing.get() {
            // Nobody knows the file: whoever opens the log next fills it anew.
            return Ok(None);
        }
        let size = new.size;
        let adopted = self.blocking(move |folder| {
            folder.no_room_or_done(filled, id)?;
            folder.adopt_segment(&new)
        });
        adopted.await?;
        let file = open_segment(&self.path, id, self.lock_deadline).await?;
        self.files.borrow_mut().insert(id, Rc::new(file));
        Ok(Some(size))
    }

    /// Does with the folder what blocks.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut LogFolder) -> R + Send + 'static,
    ) -> R {
        let folder = Arc::clone(&self.folder);
        let work = move || work(&mut folder.lock().expect("no thread panics with the folder"));
        glommio::executor().spawn_blocking(work).await
    }

    /// Fills a segment, durably, and slowly enough for the flushes beside it. Stops if the log is closed.
    async fn fill(&self, new: &NewSegment) -> Result<(), Error> {
        let file = new.open_to_fill()?;
        let first = FlushBuffer::holding(&new.first_block());
        let filling = Filling::new(new.size, first, file, Rc::clone(&self.zeros), self.spare_bytes.get());
        *self.filling.borrow_mut() = Some(filling);
        // It goes on by itself; this task wants no turn before its end.
        self.chores.set(self.chores.get() - 1);
        let filled = poll_fn(|context| {
            self.filling.borrow_mut().as_mut().expect("only its end removes it").poll(context)
        });
        let filled = filled.await;
        *self.filling.borrow_mut() = None;
        filled.map_err(|error| Error::io("prepare", &new.path, error))
    }

    /// Gets on with the segment that is being filled.
    fn fill_on(&self) {
        let mut filling = self.filling.borrow_mut();
        let Some(filling) = filling.as_mut() else { return };
        if self.closing.get() {
            filling.stop();
        }
        if let Some(fill) = filling.next(self.spare_bytes.get()) {
            self.ring.borrow_mut().push_fill(fill);
        }
        if filling.is_done() && filling.wake() {
            self.chores.set(self.chores.get() + 1);
        }
    }

    /// How long nothing needs to be done for the next segment.
    fn pause(&self) -> Duration {
        if self.chores.get() > 0 {
            return CHORES_PAUSE;
        }
        self.filling.borrow().as_ref().map_or(Duration::MAX, Filling::pause)
    }
}

/// Opens a segment so that every write is durable when it completes, and locks it; waits for the lock until the deadline.
async fn open_segment(folder: &Path, id: SegmentId, deadline: Duration) -> Result<DmaFile, Error> {
    let path = folder.join(id.file_name());
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DSYNC).dma_open(&path).await;
    let file = opened.map_err(|error| Error::io("open", &path, error.into()))?;
    let begin = Instant::now();
    while !os::try_lock(&file).map_err(|error| Error::io("lock", &path, error))? {
        // Who has just filled it has closed it, but the kernel may let go of it a little later.
        if begin.elapsed() >= deadline {
            let waited_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            return Err(Error::InUse { path, waited_ms });
        }
        glommio::timer::sleep(LOCK_RETRY).await;
    }
    Ok(file)
}
