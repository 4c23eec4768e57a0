//! The process of one shard as the simulator has it: the real shard and its real links, fed from a simulated disk.
//!
//! It starts by reading the log; its records are then replayed a few at a time, so that it can be killed in between.
//! Dropping it is its death: the ring ends are free again, everything else it knew is gone.

use super::Failure;
use super::board::SimBoard;
use super::disk::{Disk, Found, Prepared};
use super::front::Front;
use super::ground::Ground;
use crate::clock::{FrontSlot, Link, ShardId};
use crate::links::{FrontRings, LinkError, Links};
use crate::recovery::{Phase, Receiver};
use crate::ring::{Consumer, Producer, RingError};
use crate::rounds::Teller;
use crate::shard::{Settings, Shard};
use fastrand::Rng;
use wal::{Appender, FlushId};

/// A shard's process.
pub(super) struct Process {
    pub(super) shard: Shard,
    pub(super) links: Links,
    pub(super) teller: Teller,
    /// What is still to be replayed, newest first.
    records: Vec<Found>,
    /// The last attempt to prepare a segment found no room.
    no_room: bool,
}

/// Writes are refused when the disk is full and the log has less room than that left: for a few flushes of step records,
/// and less than the smallest segment.
const LOG_ROOM_BYTES: u64 = 8 << 10;

/// What happens to a process that starts.
pub(super) enum Start {
    /// It replays.
    Begun(Box<Process>),
    /// It died while it repaired its log.
    Died,
    /// A ring between shards cannot be used.
    Broken(LinkError),
}

impl Process {
    /// Starts a process for shard `me`.
    pub(super) fn start(
        ground: &Ground,
        me: ShardId,
        disk: &mut Disk,
        fronts: &[Option<Front>],
        rng: &mut Rng,
    ) -> Result<Start, Failure> {
        if ground.switches.fence {
            while disk.land_orphan(rng) {}
        }
        disk.open();
        let bad = |what: String| Failure(format!("shard {me} cannot start: {what}"));
        let read = disk.read().map_err(|e| bad(e.to_string()))?;
        if !repair(disk, &read.tail, rng) {
            return Ok(Start::Died);
        }
        let log = Appender::resume(&read.tail, read.tail.next_incarnation(), ground.limits);
        let mut settings = Settings::new(me, ground.shards);
        settings.rules = ground.switches.rules;
        settings.outbox_bytes_max = ground.outbox_bytes_max;
        settings.ingest_bytes_max = ground.ingest_bytes_max;
        settings.tick_rows = ground.tick_rows;
        let mut shard = Shard::new(settings, log);
        shard.set_trims(disk.trims.clone());
        ground.entries.iter().for_each(|entry| shard.add_entry(entry.clone()));

        let links = match attach_rings(ground, me, &mut shard) {
            Ok(links) => links,
            Err(error @ LinkError::Ring { .. }) => return Ok(Start::Broken(error)),
            Err(error) => return Err(bad(error.to_string())),
        };
        let mut records = read.records;
        records.reverse();
        let teller = Teller::new(ground.shards);
        let mut process = Process { shard, links, teller, records, no_room: false };
        for front in fronts.iter().flatten() {
            process.attach(front)?;
        }
        Ok(Start::Begun(Box::new(process)))
    }

    /// Tells the shard of a front, unless that one's rings are damaged.
    pub(super) fn attach(&mut self, front: &Front) -> Result<(), Failure> {
        let id = self.shard.id();
        let (requests, replies) = front.rings(id);
        let open = || -> Result<FrontRings, RingError> {
            let (requests, replies) = (Consumer::attach(requests)?, Producer::attach(replies)?);
            Ok(FrontRings { id: front.id, requests, replies })
        };
        let bad = |what: String| Failure(format!("shard {id} cannot attach front {}: {what}", front.id.0));
        match open() {
            Ok(rings) => {
                let attached = self.links.attach(&mut self.shard, front.slot, rings);
                attached.map_err(|e| bad(e.to_string()))
            }
            Err(_) if front.damaged => Ok(()),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    /// Replays up to `count_max` records. Returns how many; none once replay is over.
    pub(super) fn replay(&mut self, disk: &Disk, count_max: u32) -> Result<u32, Failure> {
        if self.shard.phase() != Phase::Replaying {
            return Ok(0);
        }
        let id = self.shard.id();
        let bad = |what: String| Failure(format!("shard {id} cannot replay: {what}"));
        for count in 0..count_max {
            let Some(found) = self.records.pop() else {
                self.shard.end_replay().map_err(|e| bad(e.to_string()))?;
                return Ok(count + 1);
            };
            self.shard.replay(found.kind, found.lsn, disk.payload(&found)).map_err(|e| bad(e.to_string()))?;
        }
        Ok(count_max)
    }

    /// Takes a step over `link`, and gives the shard what the catalogue has for it if a message needs that.
    pub(super) fn step(&mut self, ground: &Ground, link: Link, count_max: u32) -> Result<u32, LinkError> {
        if self.shard.phase() == Phase::Replaying {
            return Ok(0);
        }
        let count = self.links.step(&mut self.shard, link, count_max)?;
        if let Some(wanted) = self.links.control_wanted(&self.shard) {
            self.learn(ground, wanted);
        }
        Ok(count)
    }

    /// Gives the shard the catalogue up to entry `upto`. Returns whether there was anything new.
    pub(super) fn learn(&mut self, ground: &Ground, upto: u64) -> bool {
        let known = self.shard.catalogue_len();
        assert!(
            upto <= ground.catalogue.len() as u64,
            "nobody has consumed what the catalogue does not have"
        );
        (known..upto).for_each(|index| self.shard.add_entry(ground.entries[index as usize].clone()));
        known < upto
    }

    /// Tells up to `count_max` words; when all are told, that it serves. Returns whether there was anything to tell.
    pub(super) fn tell_words(&mut self, board: &SimBoard, count_max: u32) -> bool {
        if self.shard.phase() != Phase::Running {
            return false;
        }
        let count = self.teller.tell(&self.shard, &self.links, board, count_max);
        count > 0 || board.serves(self.shard.id())
    }

    /// Publishes up to `count_max` messages for one receiver.
    pub(super) fn publish(&mut self, to: Receiver, count_max: u32) -> Result<u32, LinkError> {
        self.links.publish(&mut self.shard, to, count_max)
    }

    /// Submits one flush, if there is anything to flush and a place for it.
    pub(super) fn flush(&mut self, ground: &Ground, disk: &mut Disk) -> bool {
        let Some(flush) = self.shard.take_flush() else { return false };
        let id = flush.id;
        disk.submit(flush);
        if !ground.switches.sync_before_ack {
            self.shard.log().flushed(id);
        }
        true
    }

    /// Takes note of a flush that is durable.
    pub(super) fn flushed(&mut self, ground: &Ground, id: FlushId) {
        if ground.switches.sync_before_ack {
            self.shard.log().flushed(id);
        }
    }

    /// Goes on with the preparation of the next segment, if one is wanted. Returns whether anything has changed.
    pub(super) fn prepare(&mut self, ground: &Ground, disk: &mut Disk) -> bool {
        let least = self.shard.log().wants_segment();
        if least.is_none() && !disk.is_preparing() {
            return false;
        }
        let least = least.unwrap_or(0).next_multiple_of(wal::BLOCK_BYTES);
        match disk.prepare(least.max(ground.segment_bytes)) {
            Prepared::NoRoom => !std::mem::replace(&mut self.no_room, true),
            Prepared::NotYet => true,
            Prepared::Ready(id, size) => {
                self.no_room = false;
                self.shard.log().provide_segment(id, size);
                true
            }
        }
    }

    /// Takes up to `count_max` requests of the front in `slot`, and refuses writes if the log will find no room.
    pub(super) fn admit(
        &mut self,
        ground: &Ground,
        slot: FrontSlot,
        count_max: u32,
    ) -> Result<u32, LinkError> {
        let log = self.shard.log();
        let full = self.no_room && log.room_bytes() < log.gathered_bytes() + LOG_ROOM_BYTES;
        self.shard.set_log_full(full);
        self.links.admit(&mut self.shard, slot, count_max, || ground.entries.len() as u64)
    }
}

/// Attaches the rings that join a shard with the others, and tells it how far those have seen it.
fn attach_rings(ground: &Ground, me: ShardId, shard: &mut Shard) -> Result<Links, LinkError> {
    let mut links = Links::default();
    for other in ground.others(me) {
        let broken = |source| LinkError::Ring { link: format!("shard {other}"), source };
        let inbound = Consumer::attach(ground.ring(other, me)).map_err(broken)?;
        let outbound = Producer::attach(ground.ring(me, other)).map_err(broken)?;
        links.join(other, inbound, outbound);
    }
    links.ask_receivers(shard)?;
    Ok(links)
}

/// Does what a scan has found to be necessary; false if the process died over it, or an error ended it.
pub(super) fn repair(disk: &mut Disk, tail: &wal::Tail, rng: &mut Rng) -> bool {
    for repair in &tail.repairs {
        if rng.u32(0..20) == 0 {
            disk.zero_some(repair, rng);
            return false;
        }
        disk.zero(repair);
    }
    for segment in &tail.syncs {
        if rng.u32(0..40) == 0 {
            return false;
        }
        disk.sync(*segment);
    }
    true
}
