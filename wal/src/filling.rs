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
use crate::log_ring::Fill;
use crate::pace::Pace;
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
    /// Begins to fill a segment of `size` bytes that begins with `first`, through this file, while there is room for `spare_bytes`
    /// of flushes.
    pub(crate) fn new(
        size: u64,
        first: FlushBuffer,
        file: File,
        zeros: Rc<FlushBuffer>,
        spare_bytes: u64,
    ) -> Self {
        Self {
            file: Rc::new(file),
            size,
            pace: Pace::new(size, spare_bytes),
            started: Instant::now(),
            filled: 0,
            first: Rc::new(first),
            zeros,
            state: State::Ready,
            waker: None,
        }
    }

    /// What is to be sent out now, if anything.
    pub(crate) fn next(&mut self, spare_bytes: u64) -> Option<Fill> {
        if !matches!(self.state, State::Ready) {
            return None;
        }
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

    /// How long until there may be something to send out, if nothing completes and no room is used meanwhile.
    pub(crate) fn pause(&self) -> Duration {
        match self.state {
            State::Ready if self.filled == 0 || self.filled == self.size => Duration::ZERO,
            State::Ready => self.pace.due_after(self.filled).saturating_sub(self.started.elapsed()),
            State::Waiting(_) | State::Done(_) => Duration::MAX,
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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = (3 << 20) + BLOCK_BYTES;

    /// A filling that is in a hurry.
    fn filling() -> Filling {
        let first = FlushBuffer::zeros(BLOCK_BYTES as usize);
        let zeros = Rc::new(FlushBuffer::zeros(crate::pace::PIECE_BYTES_MAX as usize));
        Filling::new(SIZE, first, File::open("/dev/null").expect("it is there"), zeros, 0)
    }

    /// Offset and bytes of the next request, which is a write.
    fn write(filling: &mut Filling) -> (u64, usize) {
        match filling.next(0) {
            Some(Fill::Write { bytes, offset, .. }) => (offset, bytes),
            other => panic!("{other:?} is not a write"),
        }
    }

    fn end(filling: &mut Filling) -> io::Result<()> {
        assert!(filling.is_done() && filling.next(0).is_none());
        match filling.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("it has ended"),
        }
    }

    #[test]
    fn every_block_is_written_once_and_then_all_is_synced() {
        let (mut filling, mut filled) = (filling(), 0);
        while filled < SIZE {
            let (offset, bytes) = write(&mut filling);
            assert_eq!(offset, filled);
            assert!(filling.next(0).is_none() && filling.pause() == Duration::MAX, "one at a time");
            filling.completed(Ok(bytes));
            filled += bytes as u64;
        }
        assert_eq!(filled, SIZE);
        assert_eq!(filling.pause(), Duration::ZERO);
        assert!(matches!(filling.next(0), Some(Fill::Sync { .. })));
        assert!(filling.poll(&Context::from_waker(Waker::noop())).is_pending());
        filling.completed(Ok(0));
        assert!(filling.wake() && !filling.wake());
        end(&mut filling).expect("all is filled");
    }

    #[test]
    fn a_piece_that_is_not_due_waits_for_its_time() {
        let mut filling = filling();
        assert!(filling.next(SIZE).is_some(), "the first block is");
        filling.completed(Ok(BLOCK_BYTES as usize));
        filling.pace = Pace::new(SIZE, SIZE);
        assert!(filling.next(SIZE).is_none());
        assert!(filling.pause() > Duration::ZERO);
        filling.started -= filling.pause();
        assert!(filling.next(SIZE).is_some());
    }

    #[test]
    fn what_was_not_written_is_written_next() {
        let mut filling = filling();
        let (_, bytes) = write(&mut filling);
        filling.completed(Ok(bytes));
        assert_eq!(write(&mut filling).0, BLOCK_BYTES);
        filling.completed(Ok(2 * BLOCK_BYTES as usize));
        assert_eq!(write(&mut filling).0, 3 * BLOCK_BYTES);
    }

    #[test]
    fn an_error_ends_it_and_so_does_a_write_of_less_than_a_block() {
        let outcomes = [
            (Err(io::Error::from(io::ErrorKind::StorageFull)), io::ErrorKind::StorageFull),
            (Ok(0), io::ErrorKind::WriteZero),
            (Ok(17), io::ErrorKind::WriteZero),
        ];
        for (outcome, kind) in outcomes {
            let mut filling = filling();
            write(&mut filling);
            filling.completed(outcome);
            assert_eq!(end(&mut filling).expect_err("it failed").kind(), kind);
        }
    }

    #[test]
    fn it_is_stopped_when_no_request_is_under_way() {
        let mut filling = filling();
        let (_, bytes) = write(&mut filling);
        filling.stop();
        assert!(!filling.is_done(), "the kernel still reads the memory");
        filling.completed(Ok(bytes));
        filling.stop();
        end(&mut filling).expect("it was told to");
    }
}
