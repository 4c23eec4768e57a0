//! The filling of the next segment with zeros, a piece at a time, over the log's own ring.
//!
//! A plain state machine: whoever has the ring asks for the [next](Filling::next) request in each of its rounds, and says when it is
//! done. [`Pace`] says how fast. There is one request at a time, and the last one is the sync of the file.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::flush::FlushBuffer;
use crate::folder::NewSegment;
use crate::log_ring::Fill;
use crate::pace::{IDLE_PAUSE, PAUSE, Pace};
use crate::segment::BLOCK_BYTES;

/// See the [module's documentation](self).
pub(crate) struct Filling {
    file: Rc<File>,
    size: u64,
    pace: Pace,
    started: Instant,
    filled: u64,
    /// The block at the beginning, and the zeros for all others.
    first: Rc<FlushBuffer>,
    zeros: Rc<FlushBuffer>,
    /// The room for flushes at the last look, and whether it had changed then.
    spare_bytes: u64,
    in_use: bool,
    state: State,
    /// Who waits for the end.
    waker: Option<Waker>,
}

enum State {
    /// A request can be made.
    Ready,
    /// One is under way.
    Waiting(Request),
    /// Filled, or ended before.
    Done(io::Result<()>),
}

#[derive(Clone, Copy)]
enum Request {
    Write,
    Sync,
}

impl Filling {
    /// Begins to fill a segment through this file, while there is room for `spare_bytes` of flushes.
    pub(crate) fn new(new: &NewSegment, file: File, zeros: Rc<FlushBuffer>, spare_bytes: u64) -> Self {
        Self {
            file: Rc::new(file),
            size: new.size,
            pace: Pace::new(new.size, spare_bytes),
            started: Instant::now(),
            filled: 0,
            first: Rc::new(FlushBuffer::holding(&new.first_block())),
            zeros,
            spare_bytes,
            in_use: true,
            state: State::Ready,
            waker: None,
        }
    }

    /// What is to be sent out now, if anything.
    pub(crate) fn next(&mut self, spare_bytes: u64) -> Option<Fill> {
        if !matches!(self.state, State::Ready) {
            return None;
        }
        self.in_use = spare_bytes != self.spare_bytes;
        self.spare_bytes = spare_bytes;
        if self.filled == self.size {
            self.state = State::Waiting(Request::Sync);
            return Some(Fill::Sync { file: Rc::clone(&self.file) });
        }
        let (memory, bytes) = match self.filled {
            0 => (&self.first, BLOCK_BYTES),
            filled => (&self.zeros, self.pace.piece(filled, self.started.elapsed(), spare_bytes)?),
        };
        self.state = State::Waiting(Request::Write);
        let (file, memory) = (Rc::clone(&self.file), Rc::clone(memory));
        let bytes = usize::try_from(bytes).expect("a piece fits memory");
        Some(Fill::Write { file, memory, bytes, offset: self.filled })
    }

    /// Takes what has come of the request under way: how much was written, if it was a write.
    pub(crate) fn completed(&mut self, result: io::Result<usize>) {
        self.state = match (std::mem::replace(&mut self.state, State::Ready), result) {
            (State::Waiting(_), Err(error)) => State::Done(Err(error)),
            (State::Waiting(Request::Sync), Ok(_)) => State::Done(Ok(())),
            // Less than all is written when the disk becomes full; the next piece then says so.
            (State::Waiting(Request::Write), Ok(written)) => match self.count(written as u64) {
                Ok(()) => State::Ready,
                failed => State::Done(failed),
            },
            (State::Ready | State::Done(_), _) => unreachable!("there was a request under way"),
        };
    }

    fn count(&mut self, written: u64) -> io::Result<()> {
        if written == 0 || !written.is_multiple_of(BLOCK_BYTES) {
            let text = format!("short write of {written} bytes at offset {}", self.filled);
            return Err(io::Error::new(io::ErrorKind::WriteZero, text));
        }
        self.filled += written;
        Ok(())
    }

    /// Ends it before the segment is filled, unless a request is under way.
    pub(crate) fn stop(&mut self) {
        if matches!(self.state, State::Ready) {
            self.state = State::Done(Ok(()));
        }
    }

    /// Whether it has ended, so that who [waits](Self::poll) wants a turn.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    /// How long until there may be something to send out.
    pub(crate) fn pause(&self) -> Duration {
        match self.state {
            State::Waiting(_) => Duration::MAX,
            _ if self.in_use => PAUSE,
            _ => IDLE_PAUSE,
        }
    }

    /// Wakes who waits for the end; false if that has been done.
    pub(crate) fn wake(&mut self) -> bool {
        self.waker.take().map(Waker::wake).is_some()
    }

    /// Waits for the end.
    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        match std::mem::replace(&mut self.state, State::Done(Ok(()))) {
            State::Done(result) => Poll::Ready(result),
            other => {
                self.state = other;
                self.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
