//! The consuming end of a ring.

use super::frame::{Header, Kind};
use super::memory::{End, Indexes};
use super::spill::Spill;
use super::*;
use crate::map::Map;
use std::collections::BTreeMap;

/// The one who reads and releases. There is one at a time, enforced by [`Consumer::attach`].
pub struct Consumer<S: Storage = Map> {
    pub(super) memory: RingMemory<S>,
    /// As last seen.
    published: u64,
    read: u64,
    released: u64,
    /// Frames before this position have passed their checks.
    verified: u64,
    /// Spills of frames that have been looked at and not yet read, by position.
    spills: BTreeMap<u64, Spill>,
}

/// A message on a ring.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The label that its producer gave it.
    pub label: u64,
    /// The message; it begins at a multiple of 16.
    pub payload: &'a [u8],
    /// The end of it: for [`Consumer::advance`], [`Consumer::release`], and to look at the message after it.
    pub token: Token,
}

impl<S: Storage> Consumer<S> {
    /// Reads on from the oldest message that has not been released.
    pub fn attach(memory: &RingMemory<S>) -> Result<Consumer<S>, RingError> {
        memory.take_end(End::Consumer)?;
        let memory = memory.clone();
        let mut consumer =
            Consumer { memory, published: 0, read: 0, released: 0, verified: 0, spills: BTreeMap::new() };
        // On an error the drop of `consumer` frees the end again.
        let Indexes { published, released } = consumer.memory.indexes()?;
        (consumer.published, consumer.read, consumer.released) = (published, released, released);
        consumer.verified = released;
        consumer.memory.set_index(READ_AT, released);
        Ok(consumer)
    }

    /// The oldest message that has not been read.
    pub fn peek(&mut self) -> Result<Option<Frame<'_>>, RingError> {
        self.peek_at(Token(self.read))
    }

    /// The message after `token`, without having read those before it.
    pub fn peek_at(&mut self, token: Token) -> Result<Option<Frame<'_>>, RingError> {
        assert!(token.0 >= self.read, "what has been read is not read again");
        if token.0 >= self.published {
            self.load_published()?;
            if token.0 >= self.published {
                return Ok(None);
            }
        }
        let mut start = token.0;
        let (mut header, mut end) = self.memory.header(start, self.published)?;
        if header.kind == Kind::Skip {
            self.memory.verify(start, end, &header, &[])?;
            start = end;
            (header, end) = self.memory.header(start, self.published)?;
            if header.kind == Kind::Skip {
                return Err(self.memory.bad_frame(start, "a skip at the beginning of the memory"));
            }
        }
        self.frame(start, end, header).map(Some)
    }

    fn frame(&mut self, start: u64, end: u64, header: Header) -> Result<Frame<'_>, RingError> {
        // SAFETY: the frame is published and not released; `release` needs `&mut self`, so it stays while this is
        // borrowed.
        let payload = unsafe { self.memory.payload(start, header.length) };
        if end > self.verified {
            self.memory.verify(start, end, &header, payload)?;
            self.verified = end;
        }
        let payload = match header.kind {
            Kind::Spill => {
                if !self.spills.contains_key(&start) {
                    self.spills.insert(start, self.memory.spills().read(&self.memory, start, payload)?);
                }
                self.spills[&start].bytes()
            }
            _ => payload,
        };
        Ok(Frame { label: header.label, payload, token: Token(end) })
    }

    /// A number that changes when something is published. A hint: whoever acts on it looks at the messages themselves.
    #[inline]
    pub fn published_hint(&self) -> u64 {
        self.memory.index_hint(PUBLISHED_AT)
    }

    /// Whether there seems to be a message that has not been read. Costs one load.
    #[inline]
    pub fn has_more(&self) -> bool {
        self.published_hint() != index::encode(self.read)
    }

    /// Where the reader stands: the end of the last message read.
    pub fn position(&self) -> Token {
        Token(self.read)
    }

    /// Everything up to `token` has been read; it stays on the ring until it is released.
    pub fn advance(&mut self, token: Token) {
        assert!(token.0 >= self.read, "a reader never goes back");
        assert!(token.0 <= self.published);
        self.read = token.0;
        while self.spills.first_key_value().is_some_and(|(&start, _)| start < token.0) {
            self.spills.pop_first();
        }
        self.memory.set_index(READ_AT, token.0);
    }

    /// Everything up to `token` is no longer needed.
    pub fn release(&mut self, token: Token) {
        assert!(token.0 <= self.read, "only what has been read is released");
        if token.0 <= self.released {
            return;
        }
        self.released = token.0;
        self.memory.set_index(RELEASED_AT, token.0);
    }

    fn load_published(&mut self) -> Result<(), RingError> {
        let most = self.released + self.memory.capacity() as u64;
        self.published = self.memory.index(PUBLISHED_AT, self.published, most)?;
        Ok(())
    }
}

impl<S: Storage> Drop for Consumer<S> {
    fn drop(&mut self) {
        self.memory.free_end(End::Consumer);
    }
}
