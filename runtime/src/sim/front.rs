//! A simulated front: asks shards at random, reads their replies, and notices when one of them goes back in time.
//!
//! It has one pair of rings with each shard. What it has asked and been told goes into the ledger, which outlives it.

use super::Failure;
use super::board::SimBoard;
use super::ledger::{Answer, Ledger};
use super::session::Session;
use super::workload::{Drawn, EVENTS};
use crate::clock::{Cut, FrontId, FrontSlot, Label, ShardId, TreeClock};
use crate::message::{self, ArchivedOutcome, Ask, Request, TableWrite};
use crate::ring::{Consumer, Producer, RingMemory};
use fastrand::Rng;
use operators::{Plan, RowsIter};
use rkyv::util::AlignedVec;
use std::collections::{BTreeMap, VecDeque};

/// Requests that wait in a front's memory for one ring; above this it asks no more.
const QUEUE_COUNT_MAX: usize = 16;

/// A front that lives.
pub(super) struct Front {
    pub(super) slot: FrontSlot,
    pub(super) id: FrontId,
    /// A ring of it is: whoever meets that, it will be cut off.
    pub(super) damaged: bool,
    lanes: Vec<Lane>,
    /// In a world with readers.
    pub(super) session: Option<Session>,
}

/// What joins a front with one shard.
struct Lane {
    shard: ShardId,
    rings: (RingMemory, RingMemory),
    requests: Producer,
    replies: Consumer,
    sequence: u64,
    queue: VecDeque<(u64, AlignedVec)>,
    /// Requests without an answer.
    waiting: BTreeMap<u64, Waiting>,
    /// Label and cut of the newest reply.
    state: Option<(Label, Cut)>,
    /// The greatest count seen for each key of the view that never goes back.
    seen: BTreeMap<i64, i64>,
}

/// What became of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// There was none.
    Not,
    /// It waits, or is not possible yet.
    Waits,
    /// It is on its way to this shard.
    Sent(ShardId),
}

/// What an answer is for.
enum Waiting {
    /// A lookup of this key in the view that never goes back.
    Monotone(i64),
    /// Events that are inserted, each with its group and item.
    Events(Vec<(i64, i64, i64)>),
    /// A read of the session.
    Shown(u64),
    Other,
}

impl Front {
    /// A new front with empty rings.
    pub(super) fn new(
        slot: FrontSlot,
        id: FrontId,
        shards: u16,
        ring_bytes: usize,
        session: Option<Session>,
    ) -> Front {
        let lane = |shard| {
            let rings = (RingMemory::heap(ring_bytes, 0), RingMemory::heap(ring_bytes, 0));
            Lane {
                shard: ShardId(shard),
                requests: Producer::attach(&rings.0).expect("a new ring is whole and free"),
                replies: Consumer::attach(&rings.1).expect("a new ring is whole and free"),
                rings,
                sequence: 0,
                queue: VecDeque::new(),
                waiting: BTreeMap::new(),
                state: None,
                seen: BTreeMap::new(),
            }
        };
        Front { slot, id, damaged: false, lanes: (0..shards).map(lane).collect(), session }
    }

    /// The rings with a shard: of requests, of replies.
    pub(super) fn rings(&self, shard: ShardId) -> &(RingMemory, RingMemory) {
        &self.lanes[usize::from(shard.0)].rings
    }

    /// Requests that have no answer yet.
    pub(super) fn waiting_count(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }

    /// Their names, for a message.
    pub(super) fn waiting(&self) -> String {
        let lanes = self.lanes.iter().filter(|lane| !lane.waiting.is_empty());
        let names = lanes.map(|lane| format!("requests {:?} of shard {}", lane.waiting.keys(), lane.shard));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Asks, unless too much waits already. Returns whether it did.
    pub(super) fn ask(&mut self, drawn: Drawn, ledger: &mut Ledger) -> bool {
        let lane = &mut self.lanes[usize::from(drawn.to.0)];
        if lane.queue.len() >= QUEUE_COUNT_MAX {
            return false;
        }
        let waiting = match (drawn.monotone, &drawn.ask) {
            _ if drawn.spoilt => Waiting::Other,
            (Some(key), _) => Waiting::Monotone(key),
            (None, Ask::Write(TableWrite { table: EVENTS, rows, .. })) => {
                Waiting::Events(rows.iter().map(|row| (row.int(0), row.int(1), row.int(2))).collect())
            }
            _ => Waiting::Other,
        };
        let front = if drawn.spoilt { self.id.0 + 1_000_000 } else { self.id.0 };
        lane.send(self.id, front, drawn.ask, waiting, ledger);
        true
    }

    /// The session begins a read.
    pub(super) fn begin_read(
        &mut self,
        plan: &Plan,
        board: &SimBoard,
        rng: &mut Rng,
        ledger: &mut Ledger,
    ) -> Result<Begun, Failure> {
        let Front { id, lanes, session, .. } = self;
        let Some(session) = session.as_mut().filter(|_| lanes.iter().all(Lane::has_room)) else {
            return Ok(Begun::Not);
        };
        let mut sent = None;
        let begun = session.begin(plan, board, rng, |request, question| {
            let lane = &mut lanes[usize::from(question.to.0)];
            lane.send(*id, id.0, question.ask(), Waiting::Shown(request), ledger);
            sent = Some(question.to);
        });
        let begun = begun.map_err(|e| Failure(format!("front {}: {e}", id.0)))?;
        Ok(match sent {
            Some(to) => Begun::Sent(to),
            None if begun => Begun::Waits,
            None => Begun::Not,
        })
    }

    /// The session goes on with its reads. Returns whether any waits no longer.
    pub(super) fn advance_reads(&mut self, board: &SimBoard, ledger: &mut Ledger) -> Result<bool, Failure> {
        let Front { id, lanes, session, .. } = self;
        let Some(session) = session else { return Ok(false) };
        let moved = session.advance(board, |request, question| {
            let lane = &mut lanes[usize::from(question.to.0)];
            lane.send(*id, id.0, question.ask(), Waiting::Shown(request), ledger);
        });
        moved.map_err(|e| Failure(format!("front {}: {e}", id.0)))
    }

    /// Puts up to `count_max` requests for one shard on the ring. Returns how many fitted.
    pub(super) fn push(&mut self, shard: ShardId, count_max: u32) -> u32 {
        let lane = &mut self.lanes[usize::from(shard.0)];
        let mut count = 0;
        while count < count_max {
            let Some((sequence, bytes)) = lane.queue.front() else { break };
            if lane.requests.push(*sequence, bytes).is_err() {
                break;
            }
            lane.queue.pop_front();
            count += 1;
        }
        count
    }

    /// Reads up to `count_max` replies of one shard. Returns how many there were.
    pub(super) fn poll(
        &mut self,
        shard: ShardId,
        count_max: u32,
        ledger: &mut Ledger,
        board: &SimBoard,
    ) -> Result<u32, Failure> {
        let lane = &mut self.lanes[usize::from(shard.0)];
        let mut count = 0;
        while count < count_max {
            let frame = match lane.replies.peek() {
                Ok(Some(frame)) => frame,
                Err(e) if !self.damaged => return Err(Failure(format!("replies of shard {shard}: {e}"))),
                _ => break,
            };
            let (label, token) = (frame.label, frame.token);
            let bytes = {
                let mut copy = AlignedVec::<16>::new();
                copy.extend_from_slice(frame.payload);
                copy
            };
            let session = self.session.as_mut().map(|session| (session, board));
            lane.take_reply(self.id, label, &bytes, ledger, session)?;
            lane.replies.advance(token);
            lane.replies.release(token);
            count += 1;
        }
        Ok(count)
    }
}

impl Lane {
    fn has_room(&self) -> bool {
        self.queue.len() < QUEUE_COUNT_MAX
    }

    fn send(&mut self, id: FrontId, named: u64, body: Ask, waiting: Waiting, ledger: &mut Ledger) {
        self.sequence += 1;
        let sequence = self.sequence;
        let is_write = matches!(body, Ask::Write(_) | Ask::Commit(_));
        let bytes = message::write_request(&Request { front: named, sequence, body }, AlignedVec::new());
        ledger.asked((id, self.shard, sequence), is_write.then_some(&bytes));
        self.waiting.insert(sequence, waiting);
        self.queue.push_back((sequence, bytes));
    }

    fn take_reply(
        &mut self,
        id: FrontId,
        label: u64,
        bytes: &[u8],
        ledger: &mut Ledger,
        mut session: Option<(&mut Session, &SimBoard)>,
    ) -> Result<(), Failure> {
        let shard = self.shard;
        let bad = |what: String| Failure(format!("front {} reads from shard {shard}: {what}", id.0));
        let reply = message::read_reply(bytes).map_err(|e| bad(format!("a reply cannot be read: {e}")))?;
        let mut clock = TreeClock::default();
        clock.copy_from(&reply.clock);
        if clock.label().0 != label || clock.shard() != shard {
            return Err(bad(format!("the clock {clock:?} is not that of the frame, {label}")));
        }
        let newer = (clock.label(), clock.cut());
        if self.state.as_ref().is_some_and(|state| newer.0 < state.0 || !newer.1.covers(&state.1)) {
            return Err(bad(format!("the shard goes back from {:?} to {newer:?}", self.state)));
        }
        self.state = Some(newer);
        for answer in reply.answers.iter() {
            let sequence = answer.sequence.to_native();
            ledger.answered((id, shard, sequence), Answer::of(&answer.outcome))?;
            let checked = match (self.waiting.remove(&sequence), &mut session) {
                (Some(Waiting::Monotone(key)), _) => self.check_monotone(key, &answer.outcome),
                (Some(Waiting::Events(events)), Some((session, _))) => {
                    if let ArchivedOutcome::Written { changed } = &answer.outcome
                        && changed.to_native() > 0
                    {
                        session.written(shard, reply.clock.ingest(), &events);
                    }
                    Ok(())
                }
                (Some(Waiting::Shown(request)), Some((session, board))) => {
                    session.answered(board, request, &answer.outcome)
                }
                _ => Ok(()),
            };
            checked.map_err(bad)?;
        }
        Ok(())
    }

    fn check_monotone(&mut self, key: i64, outcome: &ArchivedOutcome) -> Result<(), String> {
        let ArchivedOutcome::Found { counts, rows } = outcome else { return Ok(()) };
        if counts.len() != 1 || u64::from(counts[0].to_native()) != u64::from(rows.count.to_native()) {
            return Err(format!(
                "one key was looked up, and {} were found for {} keys",
                rows.count,
                counts.len()
            ));
        }
        let count = RowsIter(&rows.rows).map(|row| row.int(1)).sum();
        let seen = self.seen.entry(key).or_default();
        if count < *seen {
            return Err(format!("the count of group {key} goes back from {seen} to {count}"));
        }
        *seen = count;
        Ok(())
    }
}
