//! The loop of a shard: moves what its rings, its log and its fronts bring, and sleeps when they bring nothing.
//!
//! One round makes each move once, in an order that favours latency: what has become durable is consumed and answered
//! first, then what other shards sent, then new requests are taken; flushes start at the end of the round. Everything a
//! round takes is bounded, so the heartbeat is never far away.
//!
//! When to flush: at once when a client waits for a record and no flush is in flight. While one is, records gather for the
//! next, which goes out when that is complete or when it has become large: a device takes little longer for many records than
//! for one. Step records, for which nobody waits, go along with those, or when enough of them have gathered, or a moment after
//! the last work.

use super::{Fault, ShardArgs, Trouble};
use crate::clock::{FrontId, FrontSlot, Link, ShardId};
use crate::links::{FrontRings, LinkError, Links};
use crate::live::bell::{self, Bell, Nap};
use crate::live::control::{
    self, ControlPage, FrontWord, ON_FLAG, ShardWord, WANTS_ROOM, WANTS_WORDS, working_on,
};
use crate::live::layout::{self, RunFolder};
use crate::live::sys::{doorbell_from_stdin, monotonic_ns};
use crate::recovery::{Phase, Receiver};
use crate::ring::{Consumer, Producer, RingError, RingMemory};
use crate::rounds::{Teller, Waits};
use crate::shard::Shard;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;
use wal::LogDisk;

/// The most messages or requests of one link in one round.
const LINK_COUNT_MAX: u32 = 128;
/// A step that took longer than this is followed by one of half as many messages. What a message costs depends on its
/// rows and on the plan, and a step of many costly ones would look like a stall.
const STEP_NS: u64 = 20_000_000;
/// The most messages put on one ring in one round; the outbox is bounded by bytes, not by this.
const PUBLISH_COUNT_MAX: u32 = 1024;
/// Records that clients wait for are not held back for a flush in flight once they fill a write like that: the device takes it
/// at half the rate of single blocks, so the next one is better under way already.
const PIPELINED_FLUSH_BYTES: u64 = 64 << 10;
/// How often a busy shard lets others on its core go first.
const YIELD_NS: u64 = 50_000;
/// Step records alone are flushed once they fill a write that the disk likes.
const LAZY_FLUSH_BYTES: u64 = 128 << 10;
/// Fewer than that wait for so long in an idle shard; nobody waits for them, but ring space does.
const LAZY_FLUSH_NS: u64 = 2_000_000;
/// How long to look at the rings before sleeping: about what going to sleep and being rung costs.
const SPIN_NS: u64 = 5_000;
/// Writes are refused when the disk is full and the log has less room than that left.
const LOG_ROOM_BYTES: u64 = 2 << 20;
/// How often the memory estimate is renewed.
const MEMORY_REPORT_NS: u64 = 250_000_000;

/// A front as this shard knows it.
struct KnownFront {
    id: FrontId,
    /// None when the front has not made its doorbell, or has gone already: it then looks at its rings now and then.
    bell: Option<Bell>,
}

/// A shard with everything around it.
pub(super) struct Host {
    args: ShardArgs,
    run: RunFolder,
    pub(super) page: ControlPage,
    pub(super) shard: Shard,
    links: Links,
    /// Our own doorbell; none while the shard is not served yet.
    doorbell: UnixDatagram,
    fronts: Vec<Option<KnownFront>>,
    fronts_generation: u64,
    teller: Teller,
    /// Doorbells of the other shards, by id.
    bells: Vec<Option<Bell>>,
    /// When step records that nobody waits for are flushed; none while there is nothing or all that is in flight anyway.
    lazy_flush_at: Option<u64>,
    /// The most messages of the next step; between 1 and [`LINK_COUNT_MAX`].
    step_count_max: u32,
    last_yield: u64,
    last_memory_report: u64,
}

impl Host {
    pub(super) fn new(
        args: ShardArgs,
        page: ControlPage,
        run: RunFolder,
        shard: Shard,
        links: Links,
    ) -> Host {
        let bell = |other: ShardId| {
            // The supervisor has made the socket before it started anybody. Without a bell the receiver wakes late.
            (other != shard.id()).then(|| Bell::connect(&run.shard_bell(other)).ok()).flatten()
        };
        let bells = page.shard_ids().map(bell).collect();
        let fronts = (0..page.slots()).map(|_| None).collect();
        let teller = Teller::new(page.shards());
        Host {
            args,
            run,
            page,
            shard,
            links,
            doorbell: doorbell_from_stdin(),
            fronts,
            fronts_generation: 0,
            teller,
            bells,
            lazy_flush_at: None,
            step_count_max: LINK_COUNT_MAX,
            last_yield: 0,
            last_memory_report: 0,
        }
    }

    /// Before replay: the catalogue, and what all receivers have seen.
    pub(super) fn meet_receivers(&mut self) -> Result<(), Fault> {
        self.take_catalogue()?;
        self.links.ask_receivers(&mut self.shard)?;
        self.take_fronts();
        Ok(())
    }

    /// The loop. Returns when the database stops.
    pub(super) async fn serve(mut self, log: LogDisk) -> Result<(), Fault> {
        self.watch_doorbell(&log)?;
        let mut progress = Progress::default();
        loop {
            let now = monotonic_ns();
            self.beat(now);
            // Acquire: pairs with the supervisor's Release store.
            if self.page.stopping().load(Ordering::Acquire) != 0 {
                return self.stop(&log).await;
            }
            let before = self.watched();
            let round = self.round(&log)?;
            self.flush(&log, round.worked);
            self.report(&log, now);
            progress.note(&self.page, self.shard.id(), self.shard.phase(), &round);
            log.tend().await;
            if round.worked {
                self.maybe_yield(now);
            } else {
                self.rest(before, &log);
            }
        }
    }

    fn watch_doorbell(&self, log: &LogDisk) -> Result<(), Fault> {
        let bell = self.doorbell.try_clone().map_err(|e| Fault::new(Trouble::Failed, e))?;
        log.watch(bell.into());
        Ok(())
    }

    fn beat(&self, now: u64) {
        self.page.set(self.shard.id(), ShardWord::Heartbeat, now);
    }

    /// Makes each move once.
    fn round(&mut self, log: &LogDisk) -> Result<Round, Fault> {
        let mut round = Round::default();
        if let Some(failure) = log.failure() {
            return Err(Fault::new(Trouble::Failed, failure));
        }
        round.worked |= log.exchange(self.shard.log());
        let full = log.no_room().is_some()
            && self.shard.log().room_bytes() < self.shard.log().gathered_bytes() + LOG_ROOM_BYTES;
        self.shard.set_log_full(full);
        self.take_catalogue()?;
        self.take_fronts();
        self.step(Link::Control, &mut round)?;
        self.step(Link::Ingest, &mut round)?;
        // Whoever reads an acknowledgement finds on the board what it needs to read the write.
        let mut told = self.tell();
        self.publish_replies(&mut round)?;
        let me = self.shard.id();
        for from in self.page.shard_ids().filter(|from| *from != me) {
            self.step(Link::Shard(from), &mut round)?;
        }
        self.step(Link::Ticks, &mut round)?;
        self.publish_messages(&mut round)?;
        told |= self.tell();
        if self.shard.phase() == Phase::Running {
            self.admit(&mut round)?;
            self.publish_replies(&mut round)?;
        }
        self.release(told);
        Ok(round)
    }

    /// Tells readers how far this shard has come; whether there was anything to tell.
    fn tell(&mut self) -> bool {
        self.shard.phase() == Phase::Running
            && self.teller.tell(&self.shard, &self.links, &self.page, u32::MAX) > 0
    }

    fn step(&mut self, link: Link, round: &mut Round) -> Result<(), Fault> {
        let me = self.shard.id();
        self.page.set(me, ShardWord::WorkingOn, working_on::link(link));
        let begun = monotonic_ns();
        self.beat(begun);
        let count = self.links.step(&mut self.shard, link, self.step_count_max)?;
        if count > 0 && self.args.faults.abort_at.is_some_and(|label| self.shard.label() >= label) {
            std::process::abort();
        }
        if monotonic_ns() - begun > STEP_NS {
            self.step_count_max = (self.step_count_max / 2).max(1);
        } else if count >= self.step_count_max {
            self.step_count_max = (self.step_count_max * 2).min(LINK_COUNT_MAX);
        }
        self.page.set(me, ShardWord::WorkingOn, working_on::NOTHING);
        if count > 0 {
            self.page.set(me, ShardWord::Label, self.shard.label().0);
            round.took(count);
        }
        Ok(())
    }

    fn admit(&mut self, round: &mut Round) -> Result<(), Fault> {
        let me = self.shard.id();
        for index in 0..self.fronts.len() {
            if self.fronts[index].is_none() {
                continue;
            }
            let slot = FrontSlot(index as u16);
            self.page.set(me, ShardWord::WorkingOn, working_on::REQUESTS);
            match self.links.admit(&mut self.shard, slot, LINK_COUNT_MAX, || {
                // Acquire: pairs with the supervisor's Release store.
                self.page.catalogue_entries().load(Ordering::Acquire)
            }) {
                Ok(0) => {}
                Ok(count) => round.took(count),
                Err(LinkError::Ring { source, .. }) => self.evict(slot, &source),
                Err(error) => return Err(error.into()),
            }
            self.page.set(me, ShardWord::WorkingOn, working_on::NOTHING);
        }
        Ok(())
    }

    /// A front whose ring is broken hurts itself alone.
    fn evict(&mut self, slot: FrontSlot, error: &RingError) {
        self.links.detach(&mut self.shard, slot);
        if let Some(front) = self.fronts[usize::from(slot.0)].take() {
            self.cut_off(slot, front.id, error);
        }
    }

    fn publish_messages(&mut self, round: &mut Round) -> Result<(), Fault> {
        let me = self.shard.id();
        for to in self.page.shard_ids().filter(|to| *to != me) {
            if self.page.phase(to) == control::Phase::Quarantined {
                self.drop_messages(to);
                continue;
            }
            let count = self.links.publish(&mut self.shard, Receiver::Shard(to), PUBLISH_COUNT_MAX)?;
            if count > 0 {
                round.worked = true;
                if let Some(bell) = &self.bells[usize::from(to.0)] {
                    bell.after_publish(self.page.shard(to, ShardWord::Sleeping));
                }
            }
            round.backlog |= self.shard.outgoing(Receiver::Shard(to)).is_some();
        }
        Ok(())
    }

    /// A shard in quarantine starts again only when all do, and then gets anew whatever its log does not hold. If its
    /// messages were kept, they would fill ring and outbox until no client could write here any more.
    fn drop_messages(&mut self, to: ShardId) {
        while self.shard.outgoing(Receiver::Shard(to)).is_some() {
            self.shard.sent(Receiver::Shard(to));
        }
    }

    fn publish_replies(&mut self, round: &mut Round) -> Result<(), Fault> {
        let mut woken = false;
        for (index, front) in self.fronts.iter().enumerate() {
            let Some(front) = front else { continue };
            let slot = FrontSlot(index as u16);
            if self.links.publish(&mut self.shard, Receiver::Front(slot), PUBLISH_COUNT_MAX)? > 0 {
                round.worked = true;
                if let Some(bell) = &front.bell {
                    woken |= bell.after_publish(self.page.front(slot, FrontWord::Sleeping));
                }
            }
        }
        if woken {
            // A front that was put on this core goes first: its next request may join the work of this round.
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Frees ring space of what is durable, and wakes those who wait for it, or for what has been told.
    fn release(&mut self, told: bool) {
        self.links.release(&mut self.shard);
        let me = Waits::of(self.shard.id());
        // SeqCst: the stores of the released indexes and of what is told come before the loads of the flags; see `bell.rs`.
        fence(Ordering::SeqCst);
        for (index, bell) in self.bells.iter().enumerate() {
            let flag = self.page.shard(ShardId(index as u16), ShardWord::Sleeping);
            if let (Some(bell), true) = (bell, flag.load(Ordering::Relaxed) & WANTS_ROOM != 0) {
                bell.after_release(flag);
            }
        }
        for (index, front) in self.fronts.iter().enumerate() {
            let Some(bell) = front.as_ref().and_then(|front| front.bell.as_ref()) else { continue };
            let slot = FrontSlot(index as u16);
            let flag = self.page.front(slot, FrontWord::Sleeping);
            // Acquire: pairs with the front's Release store after it has said for whom it waits.
            let wants = flag.load(Ordering::Acquire);
            if wants & WANTS_ROOM != 0 {
                bell.after_release(flag);
            } else if told && wants & WANTS_WORDS != 0 {
                let waits = Waits(self.page.front(slot, FrontWord::WaitsFor).load(Ordering::Relaxed));
                if waits.0 & me.0 != 0 {
                    bell.after_telling(flag);
                }
            }
        }
    }

    /// Reads the catalogue entries that have been added.
    fn take_catalogue(&mut self) -> Result<(), Fault> {
        // Acquire: pairs with the supervisor's Release store after it has written the file.
        let entries = self.page.catalogue_entries().load(Ordering::Acquire);
        while self.shard.catalogue_len() < entries {
            let path = self.run.entry(self.shard.catalogue_len() + 1);
            let entry = layout::read_entry(&path)
                .map_err(|e| Fault::new(Trouble::Failed, format!("{}: {e}", path.display())))?;
            self.shard.add_entry(entry);
        }
        Ok(())
    }

    /// Attaches fronts that have come and detaches those that have gone.
    fn take_fronts(&mut self) {
        // Acquire: pairs with the supervisor's Release store after it has changed the slots.
        let generation = self.page.fronts_generation().load(Ordering::Acquire);
        if generation == self.fronts_generation {
            return;
        }
        self.fronts_generation = generation;
        for slot in (0..self.page.slots()).map(FrontSlot) {
            let (known, now) = (&mut self.fronts[usize::from(slot.0)], self.page.front_id(slot));
            if known.as_ref().map(|front| front.id) == now {
                continue;
            }
            if known.take().is_some() {
                self.links.detach(&mut self.shard, slot);
            }
            // A front evicted by this shard stays away until the supervisor has freed its slot.
            let evicted = self.page.front(slot, FrontWord::Evicted).load(Ordering::Relaxed);
            if let Some(id) = now.filter(|id| id.0 != evicted) {
                self.attach_front(slot, id);
            }
        }
    }

    fn attach_front(&mut self, slot: FrontSlot, id: FrontId) {
        let (folder, me) = (self.run.front(id), self.shard.id());
        let open = || -> Result<FrontRings, RingError> {
            let requests = Consumer::attach(&RingMemory::open(&folder.requests(me))?)?;
            let replies = Producer::attach(&RingMemory::open(&folder.replies(me))?)?;
            Ok(FrontRings { id, requests, replies })
        };
        match open() {
            Ok(rings) => match self.links.attach(&mut self.shard, slot, rings) {
                Ok(()) => {
                    let bell = Bell::connect(&folder.bell()).ok();
                    self.fronts[usize::from(slot.0)] = Some(KnownFront { id, bell });
                }
                // The front has written over what it was told.
                Err(error) => self.cut_off(slot, id, &error),
            },
            // It has gone again: its slot will change once more.
            Err(RingError::Io { .. }) => {}
            Err(error) => self.cut_off(slot, id, &error),
        }
    }

    /// Has the supervisor close the connection of a front that does not keep to the rules.
    fn cut_off(&self, slot: FrontSlot, id: FrontId, why: &dyn std::fmt::Display) {
        eprintln!("shard {}: front {slot} is cut off: {why}", self.shard.id());
        self.page.front(slot, FrontWord::Evicted).store(id.0, Ordering::Relaxed);
    }

    /// Starts the flushes that the policy asks for.
    fn flush(&mut self, log: &LogDisk, worked: bool) {
        let now = monotonic_ns();
        let steps_due = self.lazy_flush_at.is_some_and(|at| at <= now);
        if steps_due {
            self.lazy_flush_at = None;
        }
        let gathered = self.shard.log().gathered_bytes();
        let mut due = steps_due || gathered >= LAZY_FLUSH_BYTES;
        while due || self.wants_flush() {
            let Some(flush) = self.shard.take_flush() else { break };
            log.write(flush);
            due = self.shard.log().gathered_bytes() >= LAZY_FLUSH_BYTES;
        }
        log.submit();
        if !worked && self.lazy_flush_at.is_none() && self.shard.log().gathered_bytes() > 0 {
            self.lazy_flush_at = Some(now + LAZY_FLUSH_NS);
        }
    }

    /// Whether a client waits for a record that shall not wait for the flush before it.
    fn wants_flush(&mut self) -> bool {
        let log = self.shard.log();
        let is_time = log.in_flight_count() == 0 || log.gathered_bytes() >= PIPELINED_FLUSH_BYTES;
        is_time && self.shard.wants_flush()
    }

    /// Lets whoever else is on this core go first now and then: a front that the kernel has put here, which a busy shard would keep
    /// waiting for a time slice of some milliseconds.
    fn maybe_yield(&mut self, now: u64) {
        if now >= self.last_yield + YIELD_NS {
            std::thread::yield_now();
            self.last_yield = now;
        }
    }

    /// A number that changes with anything that a round would act on.
    fn watched(&self) -> u64 {
        let page = [self.page.fronts_generation(), self.page.catalogue_entries(), self.page.stopping()];
        let page = page.map(|word| word.load(Ordering::Relaxed));
        page.into_iter()
            .fold(self.links.activity(), |sum, word| sum.wrapping_add(word.wrapping_mul(0x9E37_79B9)))
    }

    /// Looks at the rings a little longer, then sleeps until something comes. It does not stay awake for the log: the kernel
    /// completes a synced write in a worker on the same core, which a busy loop would hold up.
    fn rest(&mut self, before: u64, log: &LogDisk) {
        let since = monotonic_ns();
        while monotonic_ns() - since < SPIN_NS {
            if self.watched() != before || log.has_completed() {
                return;
            }
            std::hint::spin_loop();
        }
        // With nothing in flight the flag is enough to wake on.
        let on_flag = if log.is_in_flight() { 0 } else { ON_FLAG };
        let wants_room = if self.wants_room() { WANTS_ROOM } else { 0 };
        let longest = self.lazy_flush_in().min(self.beat_interval());
        let nap = Nap::begin(self.page.shard(self.shard.id(), ShardWord::Sleeping), on_flag | wants_room);
        if self.watched() != before {
            return;
        }
        if on_flag != 0 {
            nap.sleep_on_flag(longest.min(log.pause()));
        } else if log.sleep(longest) {
            bell::drain(&self.doorbell);
        }
    }

    /// How long step records may still wait.
    fn lazy_flush_in(&self) -> Duration {
        let left = |at: u64| Duration::from_nanos(at.saturating_sub(monotonic_ns()));
        self.lazy_flush_at.map_or(Duration::MAX, left)
    }

    fn beat_interval(&self) -> Duration {
        Duration::from_millis((self.args.stall_timeout_ms / 5).max(1))
    }

    /// Whether results wait for room on a ring.
    fn wants_room(&self) -> bool {
        let shards = self.page.shard_ids().map(Receiver::Shard);
        let fronts =
            (0..self.page.slots()).map(FrontSlot).filter(|slot| self.fronts[usize::from(slot.0)].is_some());
        let mut receivers = shards.chain(fronts.map(Receiver::Front));
        receivers.any(|receiver| self.shard.outgoing(receiver).is_some())
    }

    fn report(&mut self, log: &LogDisk, now: u64) {
        let (me, counters) = (self.shard.id(), *self.shard.counters());
        let (bytes, flushes) = log.written();
        let words = [
            (ShardWord::Durable, self.shard.log().durable().0),
            (ShardWord::RowsWritten, counters.rows_written),
            (ShardWord::Lookups, counters.lookups),
            (ShardWord::MessagesSent, counters.messages_sent),
            (ShardWord::DeltasSent, counters.deltas_sent),
            (ShardWord::ClockBytes, counters.clock_bytes),
            (ShardWord::MessagesReceived, counters.messages_received),
            (ShardWord::Steps, counters.steps),
            (ShardWord::LogBytes, bytes),
            (ShardWord::LogFlushes, flushes),
            (ShardWord::LogFull, u64::from(log.no_room().is_some())),
        ];
        for (word, value) in words {
            self.page.set(me, word, value);
        }
        if now >= self.last_memory_report + MEMORY_REPORT_NS {
            self.last_memory_report = now;
            self.page.set(me, ShardWord::MemoryBytes, self.shard.dataflow().bytes());
        }
    }

    /// Makes durable what is gathered, then ends.
    async fn stop(mut self, log: &LogDisk) -> Result<(), Fault> {
        loop {
            self.beat(monotonic_ns());
            log.exchange(self.shard.log());
            if let Some(failure) = log.failure() {
                return Err(Fault::new(Trouble::Failed, failure));
            }
            while let Some(flush) = self.shard.take_flush() {
                log.write(flush);
            }
            log.submit();
            let appender = self.shard.log();
            if log.no_room().is_some() || (appender.gathered_bytes() == 0 && appender.in_flight_count() == 0)
            {
                break;
            }
            self.wait_for(log).await;
        }
        // An executor that ends before what runs beside it panics there.
        log.begin_close();
        while log.is_busy() {
            self.beat(monotonic_ns());
            self.wait_for(log).await;
        }
        Ok(())
    }

    /// Waits for what the disk does next.
    async fn wait_for(&self, log: &LogDisk) {
        if log.sleep(self.beat_interval()) {
            bell::drain(&self.doorbell);
        }
        log.tend().await;
    }
}

/// What a round did.
#[derive(Default)]
struct Round {
    worked: bool,
    /// Some link had more than a round takes.
    backlog: bool,
}

impl Round {
    fn took(&mut self, count: u32) {
        self.worked |= count > 0;
        self.backlog |= count >= LINK_COUNT_MAX;
    }
}

/// Tells on the control page how far the shard has come since its start.
#[derive(Default)]
struct Progress {
    steered: bool,
    caught_up: bool,
}

impl Progress {
    fn note(&mut self, page: &ControlPage, me: ShardId, phase: Phase, round: &Round) {
        if self.caught_up {
            return;
        }
        if phase != Phase::Running {
            return page.set_phase(me, control::Phase::Steering);
        }
        if !self.steered {
            self.steered = true;
            page.set(me, ShardWord::SteeredAt, monotonic_ns());
            page.set_phase(me, control::Phase::Running);
            return;
        }
        // Only a round that began in normal work can tell that nothing has been left behind.
        if !round.backlog {
            self.caught_up = true;
            page.set(me, ShardWord::CaughtUpAt, monotonic_ns());
        }
    }
}
