//! The io_uring on which the flushes of a log go out, and on which whoever writes the log sleeps.
//!
//! It is the log's own. Glommio's turn looks at three rings, sets timers and asks for a barrier before it sleeps, in some twenty
//! system calls for one write; here a write is sent by one call, a completion is read from shared memory without any, and the sleep
//! until one comes is one call, which a doorbell ends too.
//!
//! What fills the next segment goes out on it too, so that the wait for flushes is the wait for all.
//!
//! The memory of a request belongs to the kernel from [`LogRing::push`] until its completion has been taken, and stays alive with
//! the ring: dropping the ring waits for what is in flight.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use glommio::io::DmaFile;
use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::flush::{Flush, FlushBuffer};

/// Room for requests that have not been sent. A log has a handful in flight.
const ENTRIES: u32 = 64;
/// Marks the completions that come from the doorbell.
const BELL: u64 = u64::MAX;
/// Marks the completion of what fills the next segment.
const FILL: u64 = BELL - 1;

/// A flush on its way.
#[derive(Debug)]
pub(crate) struct Write {
    /// Where it is written to; open until it is done.
    pub(crate) file: Rc<DmaFile>,
    /// What is written.
    pub(crate) flush: Flush,
    /// Counts the flushes since the log was opened, from 1.
    pub(crate) nth: u64,
}

/// A request that fills the next segment.
#[derive(Debug)]
pub(crate) enum Fill {
    /// Writes the first `bytes` of `memory` at `offset`.
    Write { file: Rc<File>, memory: Rc<FlushBuffer>, bytes: usize, offset: u64 },
    /// Makes durable what was written.
    Sync { file: Rc<File> },
}

/// What has completed.
#[derive(Debug)]
pub(crate) enum Completed {
    /// A flush, and how many bytes of it were written.
    Flush(Write, io::Result<usize>),
    /// What fills the next segment.
    Fill(io::Result<usize>),
}

/// See the [module's documentation](self).
pub(crate) struct LogRing {
    ring: IoUring,
    /// The flushes in flight, by the number that their completion carries.
    writes: Vec<Option<Write>>,
    /// What fills the next segment, while it is in flight.
    fill: Option<Fill>,
    bell: Option<OwnedFd>,
    rung: bool,
}

impl LogRing {
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::new(ENTRIES)?;
        if !ring.params().is_feature_ext_arg() {
            let text = "io_uring cannot wait with a timeout here; Linux 5.13 or newer is needed";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(Self { ring, writes: Vec::new(), fill: None, bell: None, rung: false })
    }

    /// Ends [sleeps](Self::sleep) when the descriptor has become readable, too.
    pub(crate) fn watch(&mut self, bell: OwnedFd) {
        self.bell = Some(bell);
        self.arm();
    }

    fn arm(&mut self) {
        let Some(bell) = &self.bell else { return };
        let poll = opcode::PollAdd::new(Fd(bell.as_raw_fd()), libc::POLLIN as u32).multi(true);
        self.put(&poll.build().user_data(BELL));
    }

    /// Whether the descriptor has become readable since the last call.
    pub(crate) fn take_rung(&mut self) -> bool {
        std::mem::take(&mut self.rung)
    }

    /// Prepares a write of the first `bytes` of the flush; [`submit`](Self::submit) sends it out.
    pub(crate) fn push(&mut self, write: Write, bytes: usize) {
        let free = self.writes.iter().position(Option::is_none).unwrap_or_else(|| {
            self.writes.push(None);
            self.writes.len() - 1
        });
        let memory =
            write.flush.bytes().get(..bytes).expect("a flush is not shorter than what is written of it");
        let length = u32::try_from(memory.len()).expect("a flush is smaller than 4 GiB");
        let entry = opcode::Write::new(Fd(write.file.as_raw_fd()), memory.as_ptr(), length)
            .offset(write.flush.offset)
            .build()
            .user_data(free as u64);
        *self.writes.get_mut(free).expect("it was just found") = Some(write);
        self.put(&entry);
    }

    /// Prepares what fills the next segment, one request at a time.
    pub(crate) fn push_fill(&mut self, fill: Fill) {
        assert!(self.fill.is_none(), "a segment is filled by one request at a time");
        let entry = match &fill {
            Fill::Write { file, memory, bytes, offset } => {
                let memory = memory.bytes().get(..*bytes).expect("a piece is at most the whole");
                let length = u32::try_from(memory.len()).expect("a piece is smaller than 4 GiB");
                opcode::Write::new(Fd(file.as_raw_fd()), memory.as_ptr(), length).offset(*offset).build()
            }
            Fill::Sync { file } => {
                opcode::Fsync::new(Fd(file.as_raw_fd())).flags(FsyncFlags::DATASYNC).build()
            }
        };
        self.fill = Some(fill);
        self.put(&entry.user_data(FILL));
    }

    fn put(&mut self, entry: &squeue::Entry) {
        // SAFETY: the descriptor and the memory that the entry names are kept in `self.bell`, `self.writes` or `self.fill` until the
        // completion has been taken, and `drop` waits for it. The appender leaves the memory of a flush alone that somebody else
        // holds, and zeros are never written to.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("there is room for more requests than a log has in flight");
    }

    /// Sends out what has been pushed.
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        if self.ring.submission().is_empty() {
            return Ok(());
        }
        settled(self.ring.submit())
    }

    /// Sends out what has been pushed, and sleeps until something completes, the doorbell is rung, or the time is over.
    pub(crate) fn sleep(&mut self, longest: Duration) -> io::Result<()> {
        let time = Timespec::new().sec(longest.as_secs()).nsec(longest.subsec_nanos());
        settled(self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time)))
    }

    /// Whether something has completed that has not been taken.
    pub(crate) fn has_completed(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// The next that has completed.
    pub(crate) fn completed(&mut self) -> Option<Completed> {
        loop {
            let completion = self.ring.completion().next()?;
            let result = match completion.result() {
                failed @ ..0 => Err(io::Error::from_raw_os_error(-failed)),
                written => Ok(written as usize),
            };
            match completion.user_data() {
                BELL => {
                    self.rung = true;
                    if !cqueue::more(completion.flags()) {
                        self.arm();
                    }
                }
                FILL => {
                    self.fill = None;
                    return Some(Completed::Fill(result));
                }
                slot => {
                    let slot = usize::try_from(slot).ok().and_then(|slot| self.writes.get_mut(slot));
                    let write = slot.and_then(Option::take).expect("only what is in flight completes");
                    return Some(Completed::Flush(write, result));
                }
            }
        }
    }

    /// Whether something is to complete yet.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.fill.is_some() || self.writes.iter().any(Option::is_some)
    }
}

/// What went wrong, if that does not pass by itself: entries that were not sent stay where they are and go along with the next.
fn settled(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
            _ => Err(error),
        },
    }
}

impl Drop for LogRing {
    fn drop(&mut self) {
        self.bell = None;
        while self.is_in_flight() {
            match settled(self.ring.submit_and_wait(1)) {
                Ok(()) => while self.completed().is_some() {},
                // The kernel may still read the memory: it is left to it.
                Err(_) => {
                    std::mem::forget(std::mem::take(&mut self.writes));
                    return std::mem::forget(self.fill.take());
                }
            }
        }
    }
}
