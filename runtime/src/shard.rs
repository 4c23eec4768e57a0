//! A shard: a plain state machine without I/O.
//!
//! Inputs come in as arguments: records to replay, requests of fronts, messages of other shards, catalogue entries,
//! and (through its log's [`Appender`]) word of what has become durable. Effects are left in buffers for the host to
//! move: records gathered in the appender, messages and replies in outboxes, and positions up to which rings may be
//! released. Nothing in here knows a file, a thread, a clock on the wall or a random number, so a run is determined by
//! the order of the calls; the live host and the simulator make the same ones (`links.rs`).
//!
//! A life goes: [`Shard::new`], [`Shard::seen_by`] and [`Shard::attach`] for every receiver, [`Shard::replay`] for every
//! record, [`Shard::end_replay`], then steps. A **step** consumes messages of one link ([`Shard::receive`],
//! [`Shard::consume_ingest`] or [`Shard::consume_control`]) and ends with [`Shard::end_step`], which runs the operators
//! and publishes.
//!
//! Invariants:
//! - only durable writes are consumed;
//! - a step record is appended for every message consumed, before anything computed from it can be published;
//! - messages leave for one receiver in order of label, and never twice with one label.

use crate::clock::{ArchivedTreeClock, Cut, FrontId, FrontSlot, Label, Link, ShardId, TreeClock};
use crate::front_state::Fronts;
use crate::ingest::Ingest;
use crate::machine::Trim;
use crate::message::{self, ArchivedAsk, ArchivedMessage, Message, Outcome, Refusal, Share};
use crate::outbox::{BufferPool, Outbox};
use crate::record::{self, Record};
use crate::recovery::{Phase, Receiver, Recovery};
use operators::{Batch, Dataflow, OperatorId, Outputs, Plan, PlanError, TableId};
use std::collections::VecDeque;
use std::fmt::Display;
use wal::{Appender, Flush, Lsn, RecordKind};

/// Rules of the recovery protocol that the simulator can switch off, to show that it would notice.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Consume again towards the cuts that receivers have seen.
    pub steering: bool,
    /// Log between which labels single messages may differ from what was sent the first time.
    pub resumed_records: bool,
    /// Log a request that is found on the ring again only once.
    pub dedup: bool,
}

/// What a shard is told about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which shard.
    pub me: ShardId,
    /// Of how many.
    pub shards: u16,
    /// Whether clocks are sent and steps are logged; without it a shard that dies cannot be restored. For measuring.
    pub causal_logging: bool,
    /// All on, but in the simulator.
    pub rules: Rules,
    /// Client writes are not consumed while results for another shard of more than this many bytes wait for its ring.
    pub outbox_bytes_max: usize,
    /// Requests are not taken while logged writes of more than this many bytes wait to be consumed.
    pub ingest_bytes_max: usize,
}

impl Settings {
    /// The defaults for shard `me` of `shards`.
    pub fn new(me: ShardId, shards: u16) -> Settings {
        Settings {
            me,
            shards,
            causal_logging: true,
            rules: Rules { steering: true, resumed_records: true, dedup: true },
            // A neighbour that is down for 10 s at 5 MB/s of exchanged results.
            outbox_bytes_max: 64 << 20,
            // Far more than a flush's worth, far less than memory.
            ingest_bytes_max: 16 << 20,
        }
    }
}

/// Why a shard cannot go on. The host ends the process; what to do next is the supervisor's matter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// A record, request or message is whole by its checksum but cannot be read.
    #[error("{from}: {what}")]
    Unreadable {
        /// Where it came from.
        from: String,
        /// What is wrong with it.
        what: String,
    },
    /// Receivers have seen results of writes that the log does not hold.
    #[error(
        "the log holds {held} client writes, but other shards or fronts have seen results of {seen}: its end is damaged; \
         restore the data folder from a backup"
    )]
    LostWrites {
        /// Writes in the log.
        held: u64,
        /// Writes whose results have been seen.
        seen: u64,
    },
    /// The catalogue holds a plan that cannot be installed.
    #[error("catalogue entry {position}: {source}")]
    Plan {
        /// Which entry, from 1.
        position: u64,
        /// What is wrong with it.
        source: PlanError,
    },
}

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

/// Counts for the status page; all since the process began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Rows written by clients.
    pub rows_written: u64,
    /// Keys looked up.
    pub lookups: u64,
    /// Messages published to other shards.
    pub messages_sent: u64,
    /// Deltas in them.
    pub deltas_sent: u64,
    /// Bytes of the clocks in them.
    pub clock_bytes: u64,
    /// Messages consumed of other shards.
    pub messages_received: u64,
    /// Steps taken.
    pub steps: u64,
}

/// Consumed messages whose ring space is free once their record is durable.
#[derive(Default)]
struct Releases(VecDeque<(Lsn, u64)>);

/// One shard.
pub struct Shard {
    pub(crate) settings: Settings,
    pub(crate) dataflow: Dataflow,
    outputs: Outputs,
    label: Label,
    cut: Cut,
    /// The newest clock received from each shard: the third level of the tree.
    received: Vec<TreeClock>,
    catalogue: Vec<Plan>,
    pub(crate) log: Appender,
    pub(crate) ingest: Ingest,
    outboxes: Vec<Outbox>,
    pub(crate) fronts: Fronts,
    pub(crate) recovery: Recovery,
    releases: Vec<Releases>,
    /// Step records of the log that are void.
    trims: Vec<Trim>,
    /// Set by the host while the log finds no room on the disk: writes are refused.
    pub(crate) log_is_full: bool,
    /// A client's write is among the gathered records.
    pub(crate) write_gathered: bool,
    /// Messages consumed since the last end of a step.
    open: u32,
    message: Message,
    /// Batches that have been sent and lend their memory to the next ones.
    spare_batches: Vec<Batch>,
    pub(crate) pool: BufferPool,
    pub(crate) counters: Counters,
}

impl Shard {
    /// Steps of the log that are replayed before the operators run: large enough to combine, small enough to stay in
    /// the cache.
    const REPLAY_GROUP: u32 = 64;

    /// A shard with nothing in it, about to replay. `log` continues the log that is replayed.
    pub fn new(settings: Settings, log: Appender) -> Shard {
        let Settings { me, shards, .. } = settings;
        assert!(me.0 < shards);
        let per_shard = usize::from(shards);
        Shard {
            dataflow: Dataflow::new(me.0, shards),
            outputs: Outputs::new(shards),
            label: Label(0),
            cut: Cut::new(me, shards),
            received: vec![TreeClock::default(); per_shard],
            catalogue: Vec::new(),
            log,
            ingest: Ingest::default(),
            outboxes: (0..per_shard).map(|_| Outbox::default()).collect(),
            fronts: Fronts::default(),
            recovery: Recovery::new(),
            releases: (0..per_shard).map(|_| Releases::default()).collect(),
            trims: Vec::new(),
            log_is_full: false,
            write_gathered: false,
            open: 0,
            message: Message::default(),
            spare_batches: Vec::new(),
            pool: BufferPool::default(),
            counters: Counters::default(),
            settings,
        }
    }

    // -- what the host asks

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.settings.me
    }

    /// How many input messages it has consumed.
    pub fn label(&self) -> Label {
        self.label
    }

    /// How far each link has been consumed.
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// Where it stands in its recovery.
    pub fn phase(&self) -> Phase {
        self.recovery.phase()
    }

    /// Its counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Its tables, operators and views.
    pub fn dataflow(&self) -> &Dataflow {
        &self.dataflow
    }

    /// The newest clock received from `shard`.
    pub fn newest_clock(&self, shard: ShardId) -> &TreeClock {
        &self.received[usize::from(shard.0)]
    }

    /// The log's gathering buffer: the host takes flushes from it and reports them done.
    pub fn log(&mut self) -> &mut Appender {
        &mut self.log
    }

    /// Whether a client is waiting for records that have been appended and not yet handed out for flushing.
    pub fn wants_flush(&self) -> bool {
        self.write_gathered
    }

    /// Takes a flush of gathered records for the host to write.
    pub fn take_flush(&mut self) -> Option<Flush> {
        let flush = self.log.take_flush();
        self.write_gathered &= self.log.gathered_bytes() > 0;
        flush
    }

    /// Told by the host when the log finds no room on the disk, and when it does again.
    pub fn set_log_full(&mut self, full: bool) {
        self.log_is_full = full;
    }

    // -- start

    /// Makes a catalogue entry available for consumption; entries come in order.
    pub fn add_plan(&mut self, plan: Plan) {
        self.catalogue.push(plan);
    }

    /// Catalogue entries available.
    pub fn catalogue_len(&self) -> u64 {
        self.catalogue.len() as u64
    }

    /// Tells what `shard` has seen: the label of the newest message on the ring to it, and that message; if the ring
    /// has had none, the label up to which `shard` had consumed this one when the ring was made.
    pub fn seen_by(&mut self, shard: ShardId, label: Label, newest: Option<&[u8]>) -> Result<(), ShardError> {
        let clock = newest.map(|bytes| {
            let from = format_args!("newest message on the ring to shard {shard}").to_string();
            let message = message::read_message(bytes).map_err(|e| unreadable(&from, e))?;
            self.own_clock(&from, label, &message.clock)
        });
        self.recovery.seen(Receiver::Shard(shard), label, clock.transpose()?);
        Ok(())
    }

    /// A front is there. `newest` is the newest reply on the ring to it with its label, if there is one; it counts only
    /// before replay.
    pub fn attach(
        &mut self,
        slot: FrontSlot,
        id: FrontId,
        newest: Option<(Label, &[u8])>,
    ) -> Result<(), ShardError> {
        if self.phase() != Phase::Replaying {
            self.fronts.attach(slot, id, std::iter::empty());
            return Ok(());
        }
        let Some((label, bytes)) = newest else {
            self.recovery.seen(Receiver::Front(slot), Label(0), None);
            self.fronts.attach(slot, id, std::iter::empty());
            return Ok(());
        };
        let from = format!("newest reply on the ring to front {slot}");
        let reply = message::read_reply(bytes).map_err(|e| unreadable(&from, e))?;
        self.recovery.seen(Receiver::Front(slot), label, Some(self.own_clock(&from, label, &reply.clock)?));
        self.fronts.attach(slot, id, reply.refused.iter().map(|sequence| sequence.to_native()));
        Ok(())
    }

    /// A front is gone; what waits for it is dropped.
    pub fn detach(&mut self, slot: FrontSlot) {
        if self.phase() == Phase::Replaying {
            self.recovery.forget(Receiver::Front(slot));
        }
        self.fronts.detach(slot);
    }

    fn own_clock(
        &self,
        from: &str,
        label: Label,
        clock: &ArchivedTreeClock,
    ) -> Result<TreeClock, ShardError> {
        let mut copy = TreeClock::default();
        copy.copy_from(clock);
        let links = self.cut.positions().len();
        if copy.shard() != self.id() || copy.label() != label || clock.link_count() != links {
            return Err(unreadable(
                from,
                format!("its clock {copy:?} is not one of this shard at label {label}"),
            ));
        }
        Ok(copy)
    }

    /// Tells which step records of the log are void; before replay.
    pub fn set_trims(&mut self, trims: Vec<Trim>) {
        self.trims = trims;
    }

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
                Link::Ingest => self.apply_ingest(from)?,
                _ => self.apply_control(self.cut.get(link) + 1)?,
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
        if self.open >= Self::REPLAY_GROUP || self.recovery.is_boundary(self.label) {
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

    // -- steps

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
            self.apply_ingest(&"ingest")?;
        }
        let position = self.cut.get(Link::Ingest);
        if position > before && self.settings.causal_logging {
            let record = record::consumed(Link::Ingest, position, self.label);
            self.log.append(RecordKind(record::CONSUMED), &[&record]);
        }
        Ok((position - before) as u32)
    }

    /// Writes wait while results pile up for a shard that does not take them; recovery must not wait.
    fn may_consume_ingest(&self) -> bool {
        let limit = self.settings.outbox_bytes_max;
        self.phase() != Phase::Running || self.outboxes.iter().all(|outbox| outbox.bytes() <= limit)
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

    fn apply_message(
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
        self.counters.messages_received += 1;
        Ok(())
    }

    fn apply_ingest(&mut self, from: &dyn Display) -> Result<(), ShardError> {
        let Some(write) = self.ingest.take() else {
            return Err(unreadable(from, "it consumes a write that the log does not hold"));
        };
        let request = message::read_request(&write.request).map_err(|e| unreadable(from, e))?;
        let ArchivedAsk::Write { table, kind, rows } = &request.body else {
            return Err(unreadable(from, "a request that is no write was logged"));
        };
        let table = TableId(table.to_native());
        let outcome = match self.dataflow.write(table, message::kind_of(kind), &rows.rows) {
            Ok(changed) => Outcome::Written { changed },
            Err(e) => Outcome::Refused { reason: Refusal::of_write(&e), message: e.to_string() },
        };
        self.counters.rows_written += u64::from(rows.count.to_native());
        self.fronts.answer(FrontId(request.front.to_native()), request.sequence.to_native(), outcome);
        self.pool.give(write.request);
        self.consumed(Link::Ingest, write.position);
        Ok(())
    }

    fn apply_control(&mut self, position: u64) -> Result<(), ShardError> {
        let plan = usize::try_from(position - 1).ok().and_then(|index| self.catalogue.get(index));
        let Some(plan) = plan else {
            return Err(unreadable(&"control", format!("the catalogue has no entry {position}")));
        };
        self.dataflow.install(plan).map_err(|source| ShardError::Plan { position, source })?;
        self.consumed(Link::Control, position);
        Ok(())
    }

    fn consumed(&mut self, link: Link, position: u64) {
        self.cut.advance(link, position);
        self.label.0 += 1;
        self.open += 1;
    }

    /// Runs the operators and hands their results to the outboxes of those to whom they are news.
    fn publish(&mut self) {
        self.open = 0;
        self.counters.steps += 1;
        self.dataflow.finish(&mut self.outputs);
        for shard in (0..self.settings.shards).map(ShardId) {
            if !self.recovery.may_publish(Receiver::Shard(shard), self.label) {
                continue;
            }
            for (exchange, batch) in self.outputs.for_shard_mut(shard.0) {
                let spare = self.spare_batches.pop().unwrap_or_default();
                let batch = std::mem::replace(batch, spare);
                self.message.shares.push(Share { exchange: exchange.0, batch });
            }
            if !self.message.shares.is_empty() {
                self.publish_message(shard);
            }
        }
        self.seal_replies();
    }

    fn publish_message(&mut self, to: ShardId) {
        assert_ne!(to, self.id(), "a shard's own share never leaves it");
        if self.settings.causal_logging {
            self.message.clock.set(self.id(), self.label, &self.cut);
            self.counters.clock_bytes += TreeClock::wire_bytes(self.cut.positions().len()) as u64;
        }
        self.counters.messages_sent += 1;
        self.counters.deltas_sent +=
            self.message.shares.iter().map(|share| u64::from(share.batch.count)).sum::<u64>();
        let bytes = message::write_message(&self.message, self.pool.take());
        self.outboxes[usize::from(to.0)].push(self.label, bytes);
        for mut share in self.message.shares.drain(..) {
            share.batch.clear();
            self.spare_batches.push(share.batch);
        }
    }

    /// Puts the answers gathered for each front into a reply that carries the present clock.
    pub(crate) fn seal_replies(&mut self) {
        let (recovery, me, label) = (&self.recovery, self.settings.me, self.label);
        self.fronts.seal(me, label, &self.cut, &mut self.pool, |slot| {
            recovery.may_publish(Receiver::Front(slot), label)
        });
    }

    // -- effects

    /// The oldest message that `to`'s ring has not taken.
    pub fn outgoing(&self, to: Receiver) -> Option<(Label, &[u8])> {
        match to {
            Receiver::Shard(shard) => self.outboxes[usize::from(shard.0)].front(),
            Receiver::Front(slot) => self.fronts.outgoing(slot),
        }
    }

    /// `to`'s ring has taken the oldest message.
    pub fn sent(&mut self, to: Receiver) {
        let buffer = match to {
            Receiver::Shard(shard) => self.outboxes[usize::from(shard.0)].pop(),
            Receiver::Front(slot) => self.fronts.sent(slot),
        };
        self.pool.give(buffer.expect("only what was there can have been sent"));
    }

    /// The token up to which the ring from `from` may be released: all before it is durable here.
    pub fn releasable(&mut self, from: ShardId) -> Option<u64> {
        self.releases[usize::from(from.0)].up_to(self.log.durable())
    }

    fn release_when_durable(&mut self, from: ShardId, token: u64) {
        let lsn = if self.settings.causal_logging { self.log.appended() } else { Lsn(0) };
        self.releases[usize::from(from.0)].0.push_back((lsn, token));
    }
}

impl Releases {
    /// The last token whose record is durable, with all before it.
    fn up_to(&mut self, durable: Lsn) -> Option<u64> {
        let mut released = None;
        while let Some((_, token)) = self.0.pop_front_if(|(lsn, _)| *lsn <= durable) {
            released = Some(token);
        }
        released
    }
}

fn unreadable(from: &(impl Display + ?Sized), what: impl ToString) -> ShardError {
    ShardError::Unreadable { from: from.to_string(), what: what.to_string() }
}
