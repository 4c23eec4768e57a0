//! The ingest link: client writes that are in the log and not consumed yet.
//!
//! The order of the log is the order of the link; it is the one place where order matters, because upserts of one key
//! do not commute. A write may be consumed once its record is durable. A shard that starts again finds on the rings
//! requests that its log holds already: they are told apart by the front's id and sequence number.

use crate::clock::FrontId;
use crate::outbox::BufferPool;
use rkyv::util::AlignedVec;
use std::collections::{BTreeMap, VecDeque};
use wal::Lsn;

/// Writes waiting for consumption, in order, and what is known of every front's requests.
#[derive(Default)]
pub(crate) struct Ingest {
    /// Writes logged so far: the position of the newest.
    position: u64,
    /// Record of the newest write.
    newest: Lsn,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    /// The newest sequence number logged of each front that ever wrote here.
    sequences: BTreeMap<FrontId, u64>,
}

/// A write that is in the log.
pub(crate) struct Pending {
    /// Its place on the link, from 1.
    pub(crate) position: u64,
    /// Its record.
    pub(crate) lsn: Lsn,
    /// The request.
    pub(crate) request: AlignedVec,
}

impl Ingest {
    /// Notes a write whose record is `lsn`. The request is copied, since its ring may be released before it is consumed.
    pub(crate) fn logged(
        &mut self,
        front: FrontId,
        sequence: u64,
        lsn: Lsn,
        request: &[u8],
        pool: &mut BufferPool,
    ) {
        assert!(lsn > self.newest, "the link has the order of the log");
        let mut copy = pool.take();
        copy.extend_from_slice(request);
        self.position += 1;
        self.newest = lsn;
        self.pending_bytes += copy.len();
        self.pending.push_back(Pending { position: self.position, lsn, request: copy });
        let newest = self.sequences.entry(front).or_default();
        *newest = sequence.max(*newest);
    }

    /// Whether the front's request was logged before.
    pub(crate) fn knows(&self, front: FrontId, sequence: u64) -> bool {
        self.sequences.get(&front).is_some_and(|newest| sequence <= *newest)
    }

    /// Takes the oldest write for consumption.
    pub(crate) fn take(&mut self) -> Option<Pending> {
        let write = self.pending.pop_front()?;
        self.pending_bytes -= write.request.len();
        Some(write)
    }

    /// Record of the oldest write that waits.
    pub(crate) fn oldest(&self) -> Option<Lsn> {
        self.pending.front().map(|write| write.lsn)
    }

    /// Position of the newest write.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the writes that wait.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }
}
