//! What a shard has published but the ring has not taken yet.
//!
//! A shard never waits for a full ring: its results lie here, in order, until the host has moved them. Their size is
//! bounded by the shard, which stops consuming client writes while an outbox is over its limit.

use crate::clock::Label;
use rkyv::util::AlignedVec;
use std::collections::VecDeque;

/// Messages for one receiver, oldest first.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: VecDeque<(Label, AlignedVec)>,
    bytes: usize,
}

impl Outbox {
    /// Adds a message behind the others. Two messages may carry one label only towards fronts, whose answers to
    /// lookups change no state.
    pub(crate) fn push(&mut self, label: Label, message: AlignedVec) {
        assert!(self.queue.back().is_none_or(|(last, _)| *last <= label), "results leave in order of label");
        self.bytes += message.len();
        self.queue.push_back((label, message));
    }

    /// The oldest message.
    pub(crate) fn front(&self) -> Option<(Label, &[u8])> {
        self.queue.front().map(|(label, message)| (*label, message.as_slice()))
    }

    /// Takes the oldest message away, once the ring has it.
    pub(crate) fn pop(&mut self) -> Option<AlignedVec> {
        let (_, message) = self.queue.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Buffers that have been used and can be used again, so that publishing allocates nothing once warm.
#[derive(Default)]
pub(crate) struct BufferPool(Vec<AlignedVec>);

impl BufferPool {
    /// Buffers kept at most; with the size limit below it bounds what the pool holds to 16 MiB.
    const COUNT_MAX: usize = 64;
    /// A larger buffer is given back to the allocator.
    const BYTES_MAX: usize = 256 << 10;

    pub(crate) fn take(&mut self) -> AlignedVec {
        self.0.pop().unwrap_or_default()
    }

    pub(crate) fn give(&mut self, mut buffer: AlignedVec) {
        if self.0.len() < Self::COUNT_MAX && buffer.capacity() <= Self::BYTES_MAX {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}
