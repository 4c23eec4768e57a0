//! The live writer for those who want nothing but a log: an [`Appender`] and a [`LogDisk`] in one.
//!
//! The policy of when to flush is the caller's: nothing goes out but by [`LogWriter::flush`].

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use crate::appender::Appender;
use crate::error::Error;
use crate::folder::LogFolder;
use crate::log_disk::LogDisk;
use crate::record::{Incarnation, Lsn, RecordKind};
use crate::scan::Tail;

/// How long the executor is held up at most.
const TURNS_PAUSE: Duration = Duration::from_millis(1);

/// The writing end of a log, on a Glommio executor. Clones are handles to the same writer.
#[derive(Clone, Debug)]
pub struct LogWriter {
    appender: Rc<RefCell<Appender>>,
    disk: LogDisk,
}

impl LogWriter {
    /// Continues the log in `folder` where `tail`, read from the same folder, ends: makes the repairs, takes the
    /// segments over, and begins to prepare the next one. Must be called on a Glommio executor.
    ///
    /// # Errors
    /// [`Error::Io`] for a failed repair or open, [`Error::InUse`] if a lock was lost to somebody else.
    ///
    /// # Panics
    /// If `incarnation` is not above every one that the log has seen: see [`Tail::next_incarnation`].
    pub async fn start(folder: LogFolder, tail: &Tail, incarnation: Incarnation) -> Result<Self, Error> {
        let appender = Rc::new(RefCell::new(Appender::resume(tail, incarnation, folder.options().limits)));
        let disk = LogDisk::start(folder, tail).await?;
        disk.exchange(&mut appender.borrow_mut());
        Ok(Self { appender, disk })
    }

    /// Asks the appender, after it has been told all that has happened on the disk.
    fn ask<R>(&self, question: impl FnOnce(&Appender) -> R) -> R {
        let mut appender = self.appender.borrow_mut();
        self.disk.exchange(&mut appender);
        question(&appender)
    }

    /// Appends a record in memory: see [`Appender::append`]. It is written by a later [`flush`](Self::flush).
    pub fn append(&self, kind: RecordKind, parts: &[&[u8]]) -> Lsn {
        self.appender.borrow_mut().append(kind, parts)
    }

    /// Sends out one flush of what is gathered. False if there is nothing to send, if the flushes in flight are at
    /// their limit, if there is no room, or if the log is poisoned.
    pub fn flush(&self) -> bool {
        if self.failure().is_some() {
            return false;
        }
        let mut appender = self.appender.borrow_mut();
        self.disk.exchange(&mut appender);
        let Some(flush) = appender.take_flush() else { return false };
        self.disk.write(flush);
        self.disk.submit();
        // What was sent may have used up the room.
        self.disk.exchange(&mut appender);
        true
    }

    /// The last record appended.
    #[must_use]
    pub fn appended(&self) -> Lsn {
        self.appender.borrow().appended()
    }

    /// The last record that, with all before it, is durable.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.ask(Appender::durable)
    }

    /// The incarnation of this writer.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.appender.borrow().incarnation()
    }

    /// Bytes that wait for a flush: zero if and only if there is nothing to flush.
    #[must_use]
    pub fn gathered_bytes(&self) -> u64 {
        self.appender.borrow().gathered_bytes()
    }

    /// How many flushes are in flight.
    #[must_use]
    pub fn in_flight_count(&self) -> usize {
        self.ask(Appender::in_flight_count)
    }

    /// Bytes of flushes that the segments prepared so far still take.
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        self.ask(Appender::room_bytes)
    }

    /// Why nothing can be written any more, if so: [`Error::Poisoned`].
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.disk.failure()
    }

    /// Whether the last attempt to prepare a segment found the disk full: see [`LogDisk::no_room`].
    #[must_use]
    pub fn no_room(&self) -> Option<Error> {
        self.disk.no_room()
    }

    /// Completes at the next change: a flush completed, room was found or not found, the log was poisoned. What
    /// happens after this call and before the future is first polled counts too. It holds the executor up while it waits, but for
    /// a turn now and then.
    pub fn changed(&self) -> impl Future<Output = ()> + use<> {
        let (disk, seen) = (self.disk.clone(), self.disk.changes());
        async move {
            disk.tend().await;
            while disk.changes() == seen {
                disk.sleep(TURNS_PAUSE);
                disk.tend().await;
                // Whoever else is on the executor gets a turn when the disk takes its time.
                if disk.changes() == seen {
                    glommio::yield_if_needed().await;
                }
            }
        }
    }

    /// Flushes, if need be again and again, until the record is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    ///
    /// # Panics
    /// If the record has not been appended.
    pub async fn wait_durable(&self, lsn: Lsn) -> Result<(), Error> {
        assert!(lsn <= self.appended(), "only what was appended becomes durable");
        while self.durable() < lsn {
            let changed = self.changed();
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            while self.flush() {}
            changed.await;
        }
        Ok(())
    }

    /// Ends writing: waits for what is in flight (what is only gathered is dropped), and closes the files.
    pub async fn close(self) {
        self.disk.begin_close();
        while self.disk.is_busy() {
            self.changed().await;
        }
        self.disk.close().await;
    }
}
