//! The consuming end of a ring.

use super::spill::Spill;
use super::*;
use std::collections::BTreeMap;

/// The one who reads and releases. There is one at a time, enforced by [`Consumer::attach`].
pub struct Consumer {
    memory: RingMemory,
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

impl Consumer {
    /// Reads on from the oldest message that has not been released.
    pub fn attach(memory: &RingMemory) -> Result<Consumer, RingError> {
        memory.take_end(End::Consumer)?;
        let memory = memory.clone();
        let mut consumer =
            Consumer { memory, published: 0, read: 0, released: 0, verified: 0, spills: BTreeMap::new() };
        // On an error the drop of `consumer` frees the end again.
        let Indexes { published, released } = consumer.memory.indexes()?;
        (consumer.published, consumer.read, consumer.released) = (published, released, released);
        consumer.verified = released;
        // Release: whoever compares read indexes must not see it go back before the attach is complete.
        consumer.memory.index(READ_AT).store(released, Ordering::Release);
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
                    self.spills.insert(start, self.memory.0.spills.read(&self.memory, start, payload)?);
                }
                self.spills[&start].bytes()
            }
            _ => payload,
        };
        Ok(Frame { label: header.label, payload, token: Token(end) })
    }

    /// The producer's index as it is in memory now. A hint: it changes when something is published, and whoever acts on it
    /// looks at the messages themselves.
    #[inline]
    pub fn published_hint(&self) -> u64 {
        self.memory.index(PUBLISHED_AT).load(Ordering::Relaxed)
    }

    /// Whether there is a message that has not been read. Costs one load.
    #[inline]
    pub fn has_more(&self) -> bool {
        self.published_hint() > self.read
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
        // Release: pairs with readers' Acquire loads that compare it with labels.
        self.memory.index(READ_AT).store(token.0, Ordering::Release);
    }

    /// Everything up to `token` is no longer needed.
    pub fn release(&mut self, token: Token) {
        assert!(token.0 <= self.read, "only what has been read is released");
        if token.0 <= self.released {
            return;
        }
        self.released = token.0;
        // Release: pairs with the producer's Acquire load, so all reads of the space are over before it is reused.
        self.memory.index(RELEASED_AT).store(token.0, Ordering::Release);
    }

    fn load_published(&mut self) -> Result<(), RingError> {
        // Acquire: pairs with the producer's Release store, so the frames below the index are visible.
        let published = self.memory.index(PUBLISHED_AT).load(Ordering::Acquire);
        let sane = published >= self.published
            && published.is_multiple_of(ALIGNMENT as u64)
            && published - self.released <= self.memory.capacity() as u64;
        if !sane {
            return Err(self.memory.corrupt(PUBLISHED_AT, "bad published index"));
        }
        self.published = published;
        Ok(())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.memory.free_end(End::Consumer);
    }
}
