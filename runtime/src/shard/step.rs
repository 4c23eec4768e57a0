//! Steps: messages of one link are consumed, each with its record, and the operators run over all of them.

use super::{Shard, ShardError, unreadable};
use crate::clock::{FrontId, Label, Link, ShardId};
use crate::message::{self, ArchivedAsk, ArchivedMessage, ArchivedTableWrite, Outcome, Refusal};
use crate::record;
use crate::recovery::Phase;
use operators::{OperatorId, Write};
use std::fmt::Display;
use wal::RecordKind;

/// What became of a message that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is consumed.
    Taken,
    /// It was consumed before; the reader goes past it.
    Known,
    /// Steering does not let it be consumed yet.
    NotYet,
    /// Its sender knew the catalogue up to this entry, and this shard must consume that first.
    NeedsControl(u64),
}

impl Shard {
    /// Offers a message of `from`, with its frame's label and the ring's token for its end. The host goes on to the
    /// next one while they are taken, then ends the step.
    pub fn receive(
        &mut self,
        from: ShardId,
        label: Label,
        bytes: &[u8],
        token: u64,
    ) -> Result<Received, ShardError> {
        let link = Link::Shard(from);
        if label.0 <= self.cut.get(link) {
            self.release_when_durable(from, token);
            return Ok(Received::Known);
        }
        if label.0 > self.recovery.limit(link) {
            return Ok(Received::NotYet);
        }
        let what = &format_args!("message {label} of shard {from}");
        let message = message::read_message(bytes).map_err(|e| unreadable(what, e))?;
        if self.settings.causal_logging {
            if message.clock.shard() != from || message.clock.label() != label {
                return Err(unreadable(what, "its clock is not that of its frame"));
            }
            let needed = message.clock.control();
            if needed > self.cut.get(Link::Control) {
                return Ok(Received::NeedsControl(needed));
            }
        }
        self.apply_message(what, from, label, message)?;
        self.counters.messages_received += 1;
        if self.settings.causal_logging {
            self.log.append(RecordKind(record::RECEIVED), &[&record::received_header(self.label), bytes]);
        }
        self.release_when_durable(from, token);
        Ok(Received::Taken)
    }

    /// Consumes up to `count_max` durable writes. Returns how many.
    pub fn consume_ingest(&mut self, count_max: u32) -> Result<u32, ShardError> {
        let before = self.cut.get(Link::Ingest);
        let limit = self.recovery.limit(Link::Ingest).min(before + u64::from(count_max));
        if !self.may_consume_ingest() || self.next_control().is_some() {
            return Ok(0);
        }
        while self.cut.get(Link::Ingest) < limit
            && self.ingest.oldest().is_some_and(|lsn| lsn <= self.log.durable())
        {
            self.counters.rows_written += self.apply_ingest(&"ingest")?;
        }
        let position = self.cut.get(Link::Ingest);
        if position > before && self.settings.causal_logging {
            let record = record::consumed(Link::Ingest, position, self.label);
            self.log.append(RecordKind(record::CONSUMED), &[&record]);
        }
        Ok((position - before) as u32)
    }

    /// Writes, and ticks, wait while results pile up for a shard that does not take them; recovery must not wait.
    fn may_consume_ingest(&self) -> bool {
        let limit = self.settings.outbox_bytes_max;
        self.phase() != Phase::Running || self.outboxes.iter().all(|outbox| outbox.bytes() <= limit)
    }

    /// Consumes ticks, by which operators of later catalogue entries get the rows that were there before them: as many as make
    /// about `rows_max` rows flow. Returns how many. They are always there to be had, so the record says only how far.
    pub fn consume_ticks(&mut self, rows_max: u64) -> Result<u32, ShardError> {
        let (before, _) = self.dataflow.ticks();
        let limit = self.recovery.limit(Link::Ticks);
        let upto = (before + self.dataflow.ticks_for(rows_max)).min(limit);
        if upto <= before || !self.may_consume_ingest() {
            return Ok(0);
        }
        self.apply_ticks(&"ticks", upto)?;
        if self.settings.causal_logging {
            let record = record::consumed(Link::Ticks, upto, self.label);
            self.log.append(RecordKind(record::CONSUMED), &[&record]);
        }
        Ok((upto - before) as u32)
    }

    /// Consumes the next catalogue entry, if there is one. Returns whether there was.
    pub fn consume_control(&mut self) -> Result<bool, ShardError> {
        let Some(next) = self.next_control() else { return Ok(false) };
        self.apply_control(next)?;
        if self.settings.causal_logging {
            self.log
                .append(RecordKind(record::CONSUMED), &[&record::consumed(Link::Control, next, self.label)]);
        }
        Ok(true)
    }

    /// The catalogue entry that may be consumed now. It goes before client writes, which were admitted under some
    /// catalogue and must find at least that when they are consumed, also when the steps between are taken again.
    fn next_control(&self) -> Option<u64> {
        let next = self.cut.get(Link::Control) + 1;
        (next <= self.catalogue_len().min(self.recovery.limit(Link::Control))).then_some(next)
    }

    /// Ends a step: runs the operators over what was consumed and publishes their results.
    pub fn end_step(&mut self) {
        if self.open > 0 {
            self.publish();
            self.recovery.pass_targets(self.label, &self.cut);
        }
    }

    pub(super) fn apply_message(
        &mut self,
        from: &dyn Display,
        sender: ShardId,
        position: Label,
        message: &ArchivedMessage,
    ) -> Result<(), ShardError> {
        let link = Link::Shard(sender);
        if sender == self.id() || sender.0 >= self.settings.shards || position.0 <= self.cut.get(link) {
            return Err(unreadable(from, format!("label {position} of shard {sender} is out of turn")));
        }
        for share in message.shares.iter() {
            self.dataflow.apply(OperatorId(share.exchange.to_native()), &share.batch.deltas);
        }
        self.received[usize::from(sender.0)].copy_from(&message.clock);
        self.consumed(link, position.0);
        Ok(())
    }

    /// Applies the oldest write that waits; returns how many rows it has.
    pub(super) fn apply_ingest(&mut self, from: &dyn Display) -> Result<u64, ShardError> {
        let Some(write) = self.ingest.take() else {
            return Err(unreadable(from, "it consumes a write that the log does not hold"));
        };
        let request = message::read_request(&write.request).map_err(|e| unreadable(from, e))?;
        let written = match &request.body {
            ArchivedAsk::Write(write) => {
                let Write { table, kind, rows } = write.native();
                self.dataflow.write(table, kind, rows)
            }
            ArchivedAsk::Commit(writes) => {
                self.dataflow.write_all(writes.iter().map(ArchivedTableWrite::native))
            }
            _ => return Err(unreadable(from, "a request that is no write was logged")),
        };
        let outcome = match written {
            Ok(changed) => Outcome::Written { changed },
            Err(e) => Outcome::Refused { reason: Refusal::of_write(&e), message: e.to_string() },
        };
        let rows = request.body.writes().iter().map(|write| u64::from(write.rows.count.to_native())).sum();
        self.fronts.answer(FrontId(request.front.to_native()), request.sequence.to_native(), outcome);
        self.pool.give(write.request);
        self.consumed(Link::Ingest, write.position);
        Ok(rows)
    }

    pub(super) fn apply_control(&mut self, position: u64) -> Result<(), ShardError> {
        let entry = usize::try_from(position - 1).ok().and_then(|index| self.catalogue.get(index));
        let Some(entry) = entry else {
            return Err(unreadable(&"control", format!("the catalogue has no entry {position}")));
        };
        self.dataflow.extend(&entry.extension).map_err(|source| ShardError::Plan { position, source })?;
        self.consumed(Link::Control, position);
        Ok(())
    }

    pub(super) fn apply_ticks(&mut self, from: &dyn Display, upto: u64) -> Result<(), ShardError> {
        let (before, there) = self.dataflow.ticks();
        assert_eq!(before, self.cut.get(Link::Ticks), "only ticks consumed here open gates");
        if upto <= before || upto > there {
            return Err(unreadable(from, format!("tick {upto} does not lie between {before} and {there}")));
        }
        self.dataflow.tick(upto);
        self.consumed(Link::Ticks, upto);
        // Each tick is a message.
        self.label.0 += upto - before - 1;
        Ok(())
    }

    fn consumed(&mut self, link: Link, position: u64) {
        self.cut.advance(link, position);
        self.label.0 += 1;
        self.open += 1;
    }
}
