//! Recovery of the machine: when all shards have died, the rings are gone and the logs end with no common point.
//!
//! A log may then hold a message whose sender's own log no longer leads to it (or whose sender has meanwhile gone
//! another way to the same cut, which a resumed record tells). The steps from that message on are **trimmed**: they are
//! void and will be taken again. That may orphan what the trimmed shard had sent, so it is repeated until nothing
//! moves. Client writes are never trimmed. Afterwards each shard replays alone and publishes again what its receivers,
//! by their own logs, have not consumed.
//!
//! Nothing is cut out of a log, where trimmed steps lie between acknowledged writes: a [`Trim`] beside the log says
//! which step records are void. Finding the trims again after a crash in the middle gives the same result.

use crate::clock::{Label, ShardId};
use crate::message;
use crate::record::{self, BadRecord, Record};
use wal::Lsn;

/// Voids the step records up to record `lsn` that lead to a label above `label`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// The newest record of the log when it was trimmed.
    pub lsn: Lsn,
    /// The label up to which steps stand.
    pub label: Label,
}

impl Trim {
    /// Bytes of a trim in a file.
    pub const BYTES: usize = 16;

    /// Whether a step record is void.
    pub fn voids(&self, lsn: Lsn, label: Label) -> bool {
        lsn <= self.lsn && label > self.label
    }

    /// The trim as it lies in a file: record number, then label, little endian.
    pub fn to_bytes(self) -> [u8; Trim::BYTES] {
        let mut bytes = [0; Trim::BYTES];
        bytes[..8].copy_from_slice(&self.lsn.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.label.0.to_le_bytes());
        bytes
    }

    /// The reverse of [`Trim::to_bytes`].
    pub fn from_bytes(bytes: [u8; Trim::BYTES]) -> Trim {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Trim { lsn: Lsn(word(0)), label: Label(word(8)) }
    }
}

/// What the log of one shard says about its steps.
#[derive(Debug)]
pub struct History {
    me: ShardId,
    trims: Vec<Trim>,
    /// The label to which the steps lead.
    end: Label,
    newest: Lsn,
    /// For each shard, the messages consumed of it: own label after the step, sender's label.
    consumed: Vec<Vec<(Label, Label)>>,
    /// Resumed records: n0, and the receivers that had seen more.
    resumed: Vec<(Label, Vec<(ShardId, Label)>)>,
    trimmed: bool,
}

/// A record that cannot be read, or does not follow from those before it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The record makes no sense.
    #[error(transparent)]
    Record(#[from] BadRecord),
    /// The message in a received record cannot be read.
    #[error("record {lsn:?}: its message cannot be read: {source}")]
    Message {
        /// Which record.
        lsn: Lsn,
        /// What is wrong.
        source: rkyv::rancor::Error,
    },
    /// Labels of step records must count up.
    #[error("record {lsn:?} leads to label {label}, but the one before it led to {before}")]
    Order {
        /// Which record.
        lsn: Lsn,
        /// Its label.
        label: Label,
        /// The label before it.
        before: Label,
    },
    /// The message is of a shard that does not exist.
    #[error("record {lsn:?} holds a message of shard {shard}, and there are {shards} shards")]
    Foreign {
        /// Which record.
        lsn: Lsn,
        /// The sender named.
        shard: ShardId,
        /// Shards there are.
        shards: usize,
    },
}

impl History {
    /// The history of shard `me` of `shards`, before its first record.
    pub fn new(me: ShardId, shards: u16, trims: Vec<Trim>) -> History {
        let consumed = vec![Vec::new(); usize::from(shards)];
        History { me, trims, end: Label(0), newest: Lsn(0), consumed, resumed: Vec::new(), trimmed: false }
    }

    /// Stands for a log that cannot be read: it is taken to lead to everything that others have consumed of it.
    pub fn unreadable(me: ShardId, shards: u16) -> History {
        History { end: Label(u64::MAX - 1), ..History::new(me, shards, Vec::new()) }
    }

    /// Takes the next record of the log.
    pub fn note(&mut self, kind: u8, lsn: Lsn, payload: &[u8]) -> Result<(), HistoryError> {
        self.newest = lsn;
        match record::read(kind, payload)? {
            Record::Ingest(_) => {}
            Record::Consumed { label, .. } => self.step_to(lsn, label)?,
            Record::Received { label, message } if !self.is_void(lsn, label) => {
                let message =
                    message::read_message(message).map_err(|source| HistoryError::Message { lsn, source })?;
                let shard = message.clock.shard();
                let shards = self.consumed.len();
                let list = self.consumed.get_mut(usize::from(shard.0));
                let list = list.ok_or(HistoryError::Foreign { lsn, shard, shards })?;
                list.push((label, message.clock.label()));
                self.step_to(lsn, label)?;
            }
            Record::Received { .. } => {}
            Record::Resumed { from, ahead } => {
                if !self.trims.iter().any(|trim| lsn <= trim.lsn && from >= trim.label) {
                    self.resumed.push((from, ahead));
                }
            }
        }
        Ok(())
    }

    fn is_void(&self, lsn: Lsn, label: Label) -> bool {
        self.trims.iter().any(|trim| trim.voids(lsn, label))
    }

    fn step_to(&mut self, lsn: Lsn, label: Label) -> Result<(), HistoryError> {
        if self.is_void(lsn, label) {
            return Ok(());
        }
        if label <= self.end {
            return Err(HistoryError::Order { lsn, label, before: self.end });
        }
        self.end = label;
        Ok(())
    }

    /// The label to which the steps that stand lead.
    pub fn end(&self) -> Label {
        self.end
    }

    /// How far this shard has consumed `sender`.
    pub fn consumed_of(&self, sender: ShardId) -> Label {
        self.consumed[usize::from(sender.0)].last().map_or(Label(0), |(_, position)| *position)
    }

    /// The trims that stand beside the log now, and whether one was added.
    pub fn trims(&self) -> (&[Trim], bool) {
        (&self.trims, self.trimmed)
    }

    /// Keeps only the steps up to `label`.
    fn cut_after(&mut self, label: Label) {
        assert!(label < self.end);
        for list in &mut self.consumed {
            list.truncate(list.partition_point(|(own, _)| *own <= label));
        }
        self.resumed.retain(|(from, _)| *from < label);
        self.end = label;
        self.trims.push(Trim { lsn: self.newest, label });
        self.trimmed = true;
    }

    /// The first label of this shard that a receiver may not have consumed, if it has consumed up to `position`: one
    /// that the log does not lead to, or one inside an interval that was gone through another way.
    fn first_orphan(&self, receiver: ShardId, position: Label) -> Option<Label> {
        let lost = (position > self.end).then_some(Label(self.end.0 + 1));
        let other_way = self.resumed.iter().filter_map(|(from, ahead)| {
            let (_, seen) = ahead.iter().find(|(shard, _)| *shard == receiver)?;
            (*from < position && position < *seen).then_some(Label(from.0 + 1))
        });
        lost.into_iter().chain(other_way).min()
    }
}

/// Trims the histories of all shards, in the order of their ids, until no log holds an orphan.
pub fn trim(histories: &mut [History]) {
    assert!(histories.iter().enumerate().all(|(index, history)| usize::from(history.me.0) == index));
    while trim_once(histories) {}
}

fn trim_once(histories: &mut [History]) -> bool {
    for receiver in 0..histories.len() {
        let keep = (0..histories.len()).filter(|sender| *sender != receiver).filter_map(|sender| {
            let position = histories[receiver].consumed_of(histories[sender].me);
            let orphan = histories[sender].first_orphan(histories[receiver].me, position)?;
            let list = &histories[receiver].consumed[sender];
            let (label, _) = list[list.partition_point(|(_, position)| *position < orphan)];
            Some(Label(label.0 - 1))
        });
        if let Some(label) = keep.min() {
            histories[receiver].cut_after(label);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Cut, Link, TreeClock};
    use crate::message::Message;
    use rkyv::util::AlignedVec;

    fn received(own: u64, from: u16, position: u64) -> AlignedVec {
        let message = Message {
            clock: TreeClock::new(ShardId(from), Label(position), &Cut::new(ShardId(from), 3)),
            shares: Vec::new(),
        };
        let bytes = message::write_message(&message, AlignedVec::new());
        let mut payload = AlignedVec::new();
        payload.extend_from_slice(&record::received_header(Label(own)));
        payload.extend_from_slice(&bytes);
        payload
    }

    fn history(me: u16, steps: &[(u16, u64)]) -> History {
        let mut history = History::new(ShardId(me), 3, Vec::new());
        for (k, (from, position)) in steps.iter().enumerate() {
            let (label, lsn) = (k as u64 + 1, Lsn(k as u64 + 1));
            let noted = if *from == me {
                history.note(record::CONSUMED, lsn, &record::consumed(Link::Ingest, *position, Label(label)))
            } else {
                history.note(record::RECEIVED, lsn, &received(label, *from, *position))
            };
            noted.expect("the record is whole");
        }
        history
    }

    #[test]
    fn a_lost_sender_orphans_a_chain() {
        // Shard 0 lost its step 2, of which shard 1 has a result, of which shard 2 has a result.
        let mut histories = vec![
            history(0, &[(0, 1)]),
            history(1, &[(0, 1), (1, 1), (0, 2)]),
            history(2, &[(1, 2), (1, 3), (2, 1)]),
        ];
        trim(&mut histories);
        let ends: Vec<u64> = histories.iter().map(|history| history.end().0).collect();
        assert_eq!(ends, [1, 2, 1]);
        assert_eq!(histories[2].trims(), (&[Trim { lsn: Lsn(3), label: Label(1) }][..], true));
        assert_eq!(histories[1].consumed_of(ShardId(0)), Label(1));
    }

    #[test]
    fn an_interval_gone_through_another_way_is_trimmed() {
        let mut sender = history(0, &[(0, 1), (0, 2), (0, 3), (0, 4)]);
        let ahead = record::resumed(Label(1), &[(ShardId(1), Label(4))]);
        sender.note(record::RESUMED, Lsn(9), &ahead).expect("whole");
        let inside = history(1, &[(0, 1), (0, 3)]);
        let through = history(2, &[(0, 3)]);
        let mut histories = vec![sender, inside, through];
        trim(&mut histories);
        let ends: Vec<u64> = histories.iter().map(|history| history.end().0).collect();
        assert_eq!(ends, [4, 1, 1], "only shard 1 had seen label 4 when shard 0 resumed");
    }

    #[test]
    fn a_trim_voids_what_was_there_and_not_what_comes() {
        let trim = Trim { lsn: Lsn(7), label: Label(3) };
        assert_eq!(Trim::from_bytes(trim.to_bytes()), trim);
        assert!(trim.voids(Lsn(7), Label(4)));
        assert!(!trim.voids(Lsn(7), Label(3)));
        assert!(!trim.voids(Lsn(8), Label(4)));
    }
}
