//! What a shard keeps for each attached front: answers being gathered, replies waiting for the ring, and requests
//! whose ring space is not free yet.

use crate::clock::{Cut, FrontId, FrontSlot, Label, ShardId};
use crate::message::{self, Answer, Outcome, Reply};
use crate::outbox::{BufferPool, Outbox};
use rkyv::util::AlignedVec;
use std::collections::VecDeque;
use wal::Lsn;

/// All attached fronts, by slot.
#[derive(Default)]
pub(crate) struct Fronts {
    slots: Vec<Option<Attached>>,
    reply: Reply,
}

struct Attached {
    id: FrontId,
    answers: Vec<Answer>,
    /// Bytes of rows in them.
    answer_bytes: usize,
    outbox: Outbox,
    /// Requests taken whose ring space is not free yet.
    releases: VecDeque<Taken>,
    /// Writes among them, or still on the ring, that were refused without being logged; ascending.
    refused: VecDeque<u64>,
    /// Whether one of them is not in a reply yet.
    refused_unsealed: bool,
}

struct Taken {
    sequence: u64,
    /// The record that must be durable; none for a request that was not logged.
    lsn: Lsn,
    /// The ring's token for the end of the request.
    token: u64,
}

impl Fronts {
    /// `refused` are the writes that an earlier life of the shard has refused for good.
    pub(crate) fn attach(&mut self, slot: FrontSlot, id: FrontId, refused: impl Iterator<Item = u64>) {
        let index = usize::from(slot.0);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        assert!(self.slots[index].is_none(), "front slot {slot} is taken");
        self.slots[index] = Some(Attached {
            id,
            answers: Vec::new(),
            answer_bytes: 0,
            outbox: Outbox::default(),
            releases: VecDeque::new(),
            refused: refused.collect(),
            refused_unsealed: false,
        });
    }

    pub(crate) fn detach(&mut self, slot: FrontSlot) {
        if let Some(front) = self.slots.get_mut(usize::from(slot.0)) {
            *front = None;
        }
    }

    /// The front in `slot`.
    pub(crate) fn id(&self, slot: FrontSlot) -> Option<FrontId> {
        self.slots.get(usize::from(slot.0))?.as_ref().map(|front| front.id)
    }

    /// Whether the ring has all replies made for the front.
    pub(crate) fn is_drained(&self, slot: FrontSlot) -> bool {
        self.get(slot).is_some_and(|front| front.outbox.is_empty())
    }

    /// Bytes of rows in the answers that are not in a reply yet.
    pub(crate) fn gathered_bytes(&self, slot: FrontSlot) -> usize {
        self.get(slot).map_or(0, |front| front.answer_bytes)
    }

    /// Gathers an answer; dropped if the front is gone.
    pub(crate) fn answer(&mut self, id: FrontId, sequence: u64, outcome: Outcome) {
        if let Some(front) = self.slots.iter_mut().flatten().find(|front| front.id == id) {
            front.answer_bytes += match &outcome {
                Outcome::Found { rows, .. }
                | Outcome::Scanned { rows, .. }
                | Outcome::Ranged { rows, .. } => rows.rows.len(),
                Outcome::Written { .. } | Outcome::Refused { .. } => 0,
            };
            front.answers.push(Answer { sequence, outcome });
        }
    }

    /// Notes that a write is refused without being logged; the answer is gathered like any other.
    pub(crate) fn refuse(&mut self, slot: FrontSlot, sequence: u64) {
        let front = self.get_mut(slot).expect("requests come from attached fronts");
        front.refused.push_back(sequence);
        front.refused_unsealed = true;
    }

    /// Whether a write was refused before.
    pub(crate) fn has_refused(&self, slot: FrontSlot, sequence: u64) -> bool {
        self.get(slot).is_some_and(|front| front.refused.contains(&sequence))
    }

    /// Whether a refusal waits to be put into a reply. Until then no later write may be logged: if the shard died, the
    /// refused one would be found on the ring again and look as if it had been logged before the later one.
    pub(crate) fn has_unsealed_refusal(&self, slot: FrontSlot) -> bool {
        self.get(slot).is_some_and(|front| front.refused_unsealed)
    }

    /// Makes one reply of the answers gathered for each front that may have it; drops those of the others.
    pub(crate) fn seal(
        &mut self,
        me: ShardId,
        label: Label,
        cut: &Cut,
        pool: &mut BufferPool,
        may_publish: impl Fn(FrontSlot) -> bool,
    ) {
        for (index, front) in self.slots.iter_mut().enumerate() {
            let Some(front) = front.as_mut().filter(|front| !front.answers.is_empty()) else { continue };
            front.answer_bytes = 0;
            if !may_publish(FrontSlot(index as u16)) {
                front.answers.clear();
                continue;
            }
            self.reply.clock.set(me, label, cut);
            self.reply.refused.clear();
            self.reply.refused.extend(&front.refused);
            front.refused_unsealed = false;
            std::mem::swap(&mut self.reply.answers, &mut front.answers);
            front.outbox.push(label, message::write_reply(&self.reply, pool.take()));
            self.reply.answers.clear();
            std::mem::swap(&mut self.reply.answers, &mut front.answers);
        }
    }

    pub(crate) fn outgoing(&self, slot: FrontSlot) -> Option<(Label, &[u8])> {
        self.get(slot)?.outbox.front()
    }

    pub(crate) fn sent(&mut self, slot: FrontSlot) -> Option<AlignedVec> {
        self.get_mut(slot)?.outbox.pop()
    }

    /// The request that ends at `token` has been taken and its ring space may go once `lsn` is durable.
    pub(crate) fn release_when_durable(&mut self, slot: FrontSlot, sequence: u64, lsn: Lsn, token: u64) {
        let front = self.get_mut(slot).expect("requests come from attached fronts");
        front.releases.push_back(Taken { sequence, lsn, token });
    }

    /// The token up to which the front's ring may be released. An answer that was not logged exists only in memory until
    /// the ring has it, so its request stays on the ring until then.
    pub(crate) fn releasable(&mut self, slot: FrontSlot, durable: Lsn) -> Option<u64> {
        let front = self.get_mut(slot)?;
        if !front.outbox.is_empty() {
            return None;
        }
        let mut released = None;
        while let Some(taken) = front.releases.pop_front_if(|taken| taken.lsn <= durable) {
            while front.refused.pop_front_if(|sequence| *sequence <= taken.sequence).is_some() {}
            released = Some(taken.token);
        }
        released
    }

    fn get(&self, slot: FrontSlot) -> Option<&Attached> {
        self.slots.get(usize::from(slot.0))?.as_ref()
    }

    fn get_mut(&mut self, slot: FrontSlot) -> Option<&mut Attached> {
        self.slots.get_mut(usize::from(slot.0))?.as_mut()
    }
}
