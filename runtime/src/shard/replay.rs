//! Replay: the records of the log take the shard through the steps that it took before.
//!
//! Results are computed again on the way, and those that are news to a receiver are published; see `recovery.rs`.

use super::{Shard, ShardError, unreadable};
use crate::clock::{FrontId, Label, Link};
use crate::message;
use crate::record::{self, Record};
use crate::recovery::Phase;
use std::fmt::Display;
use wal::{Lsn, RecordKind};

/// Steps of the log that are replayed before the operators run: large enough to combine, small enough to stay in
/// the cache.
const REPLAY_GROUP: u32 = 64;

impl Shard {
    /// Takes one record of the log, in the log's order.
    pub fn replay(&mut self, kind: u8, lsn: Lsn, payload: &[u8]) -> Result<(), ShardError> {
        assert_eq!(self.phase(), Phase::Replaying);
        let from = &format_args!("log record {}", lsn.0);
        match record::read(kind, payload).map_err(|e| unreadable(from, e))? {
            Record::Ingest(request) => self.replay_ingest(from, lsn, request),
            Record::Consumed { label, .. } | Record::Received { label, .. } if self.is_void(lsn, label) => {
                Ok(())
            }
            Record::Consumed { link, position, label } => self.replay_consumed(from, link, position, label),
            Record::Received { label, message: bytes } => {
                let message = message::read_message(bytes).map_err(|e| unreadable(from, e))?;
                let (sender, position) = (message.clock.shard(), message.clock.label());
                self.apply_message(from, sender, position, message)?;
                self.end_of_replayed_step();
                self.check_label(from, label)
            }
            Record::Resumed { .. } => Ok(()),
        }
    }

    fn replay_ingest(&mut self, from: &dyn Display, lsn: Lsn, bytes: &[u8]) -> Result<(), ShardError> {
        let request = message::read_request(bytes).map_err(|e| unreadable(from, e))?;
        let (front, sequence) = (FrontId(request.front.to_native()), request.sequence.to_native());
        self.ingest.logged(front, sequence, lsn, bytes, &mut self.pool);
        Ok(())
    }

    fn replay_consumed(
        &mut self,
        from: &dyn Display,
        link: Link,
        position: u64,
        label: Label,
    ) -> Result<(), ShardError> {
        while self.cut.get(link) < position {
            match link {
                Link::Ingest => {
                    self.apply_ingest(from)?;
                }
                Link::Ticks => self.apply_ticks(from, position)?,
                Link::Control | Link::Shard(_) => self.apply_control(self.cut.get(link) + 1)?,
            }
            self.end_of_replayed_step();
        }
        self.check_label(from, label)
    }

    fn is_void(&self, lsn: Lsn, label: Label) -> bool {
        self.trims.iter().any(|trim| trim.voids(lsn, label))
    }

    fn check_label(&self, from: &dyn Display, label: Label) -> Result<(), ShardError> {
        if self.label == label {
            return Ok(());
        }
        Err(unreadable(from, format!("it leads to label {label}, but replay is at {}", self.label)))
    }

    /// Replayed steps publish in groups; a group ends where some receiver has seen the shard, so that what is news to it
    /// can be told from what is not.
    fn end_of_replayed_step(&mut self) {
        if self.open >= REPLAY_GROUP || self.recovery.is_boundary(self.label) {
            self.publish();
        }
    }

    /// All records have been replayed: work begins, by steering if receivers have seen more than the log holds.
    pub fn end_replay(&mut self) -> Result<(), ShardError> {
        if self.open > 0 {
            self.publish();
        }
        let n0 = self.label;
        let ahead = self.recovery.end_replay(n0, &self.cut, self.settings.rules.steering);
        let (held, seen) = (self.ingest.position(), self.recovery.last_limit(Link::Ingest));
        if seen > held {
            return Err(ShardError::LostWrites { held, seen });
        }
        if !ahead.is_empty() && self.settings.rules.resumed_records {
            self.log.append(RecordKind(record::RESUMED), &[&record::resumed(n0, &ahead)]);
        }
        Ok(())
    }
}
