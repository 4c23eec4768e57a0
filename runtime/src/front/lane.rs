//! A front's way to one shard: the two rings, the requests that wait for room, and what each answer belongs to.

use super::RequestError;
use crate::clock::{ArchivedTreeClock, FrontId, Label, ShardId};
use crate::live::bell::Bell;
use crate::live::control::{ControlPage, Phase, ShardWord};
use crate::live::layout::RunFolder;
use crate::message::{self, ArchivedAnswer, Ask, Refusal, Request};
use crate::ring::{Consumer, Producer, RingError, RingMemory};
use rkyv::util::AlignedVec;
use std::collections::VecDeque;

/// Requests of a front that wait for room on one ring: with more it is told to wait.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// Requests of a front to one shard that may be without an answer.
const UNANSWERED_COUNT_MAX: usize = 1 << 16;
/// Buffers kept for reuse.
const POOL_COUNT_MAX: usize = 64;

/// What a request's answer belongs to: a number that the front gives and gets back.
pub(super) type Purpose = u64;

/// See the [module's documentation](self).
pub(super) struct Lane {
    shard: ShardId,
    front: FrontId,
    requests: Producer,
    replies: Consumer,
    bell: Option<Bell>,
    /// Sequence number of the newest request.
    sequence: u64,
    queue: VecDeque<(u64, AlignedVec)>,
    queue_bytes: usize,
    pool: Vec<AlignedVec>,
    /// For each request from `oldest` on, what its answer belongs to; none once it has come.
    unanswered: VecDeque<Option<Purpose>>,
    oldest: u64,
    unanswered_count: usize,
    /// Requests that were not even sent, because the shard is in quarantine.
    turned_away: Vec<Purpose>,
    /// The label on the newest reply.
    label: Label,
}

impl Lane {
    pub(super) fn open(run: &RunFolder, shard: ShardId, front: FrontId) -> Result<Lane, RingError> {
        let folder = run.front(front);
        Ok(Lane {
            shard,
            front,
            requests: Producer::attach(&RingMemory::open(&folder.requests(shard))?)?,
            replies: Consumer::attach(&RingMemory::open(&folder.replies(shard))?)?,
            // Without a bell the shard finds requests at its next heartbeat.
            bell: Bell::connect(&run.shard_bell(shard)).ok(),
            sequence: 0,
            queue: VecDeque::new(),
            queue_bytes: 0,
            pool: Vec::new(),
            unanswered: VecDeque::new(),
            oldest: 1,
            unanswered_count: 0,
            turned_away: Vec::new(),
            label: Label(0),
        })
    }

    /// Whose it is.
    pub(super) fn shard(&self) -> ShardId {
        self.shard
    }

    /// Whether it takes another request.
    pub(super) fn has_room(&self) -> bool {
        self.queue_bytes < QUEUE_BYTES_MAX && self.unanswered_count < UNANSWERED_COUNT_MAX
    }

    /// Whether requests wait for room on the ring.
    pub(super) fn is_queueing(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The label on the newest reply: the state of the shard that this front has seen.
    pub(super) fn label(&self) -> Label {
        self.label
    }

    /// Sends a request, or queues it while the ring is full.
    pub(super) fn send(&mut self, page: &ControlPage, body: Ask, purpose: Purpose) -> Ask {
        if self.is_down(page) {
            self.turned_away.push(purpose);
            return body;
        }
        self.sequence += 1;
        let request = Request { front: self.front.0, sequence: self.sequence, body };
        let bytes = message::write_request(&request, self.pool.pop().unwrap_or_default());
        self.unanswered.push_back(Some(purpose));
        self.unanswered_count += 1;
        self.queue_bytes += bytes.len();
        self.queue.push_back((self.sequence, bytes));
        self.flush(page);
        request.body
    }

    /// Moves what waits onto the ring, as far as there is room.
    pub(super) fn flush(&mut self, page: &ControlPage) {
        let mut sent = false;
        while let Some((sequence, bytes)) = self.queue.front() {
            if self.requests.push(*sequence, bytes).is_err() {
                break;
            }
            sent = true;
            let (_, mut buffer) = self.queue.pop_front().expect("there is one");
            self.queue_bytes -= buffer.len();
            if self.pool.len() < POOL_COUNT_MAX {
                buffer.clear();
                self.pool.push(buffer);
            }
        }
        if let (true, Some(bell)) = (sent, &self.bell) {
            bell.after_publish(page.shard(self.shard, ShardWord::Sleeping));
        }
    }

    /// The answer of this purpose will come with another.
    pub(super) fn change_purpose(&mut self, from: Purpose, to: Purpose) {
        let purposes = self.unanswered.iter_mut().flatten().chain(&mut self.turned_away);
        purposes.filter(|purpose| **purpose == from).for_each(|purpose| *purpose = to);
    }

    /// Whether the shard is in quarantine, and so silent until the server is restarted.
    pub(super) fn is_down(&self, page: &ControlPage) -> bool {
        page.phase(self.shard) == Phase::Quarantined
    }

    /// Fails all that the shard has been asked and has not answered. All its replies must have been read.
    pub(super) fn give_up(&mut self, run: &RunFolder, mut fail: impl FnMut(Purpose, RequestError)) {
        if self.unanswered.is_empty() && self.turned_away.is_empty() {
            return;
        }
        let why = std::fs::read_to_string(run.quarantine(self.shard)).unwrap_or_default();
        let error = |reason, what: &str| RequestError {
            reason,
            message: format!("shard {} is in quarantine, and {what}: {why}", self.shard),
        };
        let unknown = error(
            Refusal::OutcomeUnknown,
            "a write that it was asked for may yet be applied when it is restored",
        );
        let untouched = error(Refusal::Down, "nothing was done");
        // What still waited for room on the ring has not been seen by the shard.
        let first_queued = self.queue.front().map_or(u64::MAX, |(sequence, _)| *sequence);
        for (sequence, purpose) in (self.oldest..).zip(self.unanswered.drain(..)) {
            let error = if sequence < first_queued { &unknown } else { &untouched };
            purpose.into_iter().for_each(|purpose| fail(purpose, error.clone()));
            self.oldest = sequence + 1;
        }
        self.turned_away.drain(..).for_each(|purpose| fail(purpose, untouched.clone()));
        self.queue.clear();
        (self.queue_bytes, self.unanswered_count) = (0, 0);
    }

    /// Whether replies wait to be read.
    pub(super) fn has_replies(&self) -> bool {
        self.replies.has_more()
    }

    /// Reads all replies; answers that have been seen before (a shard that was restarted may say things twice) are
    /// passed over.
    pub(super) fn read(
        &mut self,
        page: &ControlPage,
        mut take: impl FnMut(Purpose, &ArchivedAnswer, &ArchivedTreeClock),
    ) -> Result<(), Broken> {
        let mut end = None;
        while let Some(frame) = self.replies.peek().map_err(|e| Broken(e.to_string()))? {
            let reply =
                message::read_reply(frame.payload).map_err(|e| Broken(format!("unreadable reply: {e}")))?;
            if frame.label < self.label.0 {
                return Err(Broken(format!(
                    "a reply of label {} after one of label {}",
                    frame.label, self.label
                )));
            }
            self.label = Label(frame.label);
            for answer in reply.answers.iter() {
                let index = answer.sequence.to_native().checked_sub(self.oldest).map(|index| index as usize);
                let purpose = index.and_then(|index| self.unanswered.get_mut(index)).and_then(Option::take);
                if let Some(purpose) = purpose {
                    self.unanswered_count -= 1;
                    take(purpose, answer, &reply.clock);
                }
            }
            let token = frame.token;
            self.replies.advance(token);
            end = Some(token);
        }
        while self.unanswered.front().is_some_and(Option::is_none) {
            self.unanswered.pop_front();
            self.oldest += 1;
        }
        if let Some(token) = end {
            self.replies.release(token);
            if let Some(bell) = &self.bell {
                bell.after_release(page.shard(self.shard, ShardWord::Sleeping));
            }
        }
        Ok(())
    }
}

/// A shard that does not keep to the rules, and how.
#[derive(Debug)]
pub(super) struct Broken(pub(super) String);
