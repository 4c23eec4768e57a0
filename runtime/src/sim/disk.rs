//! The disk of one shard, in memory: the segments of its log, writes in flight, and what a power loss does to both.
//!
//! What a process reads is the *visible* content. A sector of it is *dirty* while the disk has only cached it: a power
//! loss keeps either the old or the new content of each dirty sector, and any subset of the sectors of each write in
//! flight. A flush is a write with its own sync, so it is durable when it completes; a write that outlives its process
//! becomes visible without being durable.

use crate::machine::Trim;
use fastrand::Rng;
use rkyv::util::AlignedVec;
use std::collections::BTreeMap;
use wal::{Flush, FlushId, Identity, LogStart, Place, Repair, SegmentId, segment_header};

/// What a disk writes at once: a power loss tears writes at multiples of it.
const SECTOR_BYTES: usize = 512;

type Sector = [u8; SECTOR_BYTES];

/// A log, and the trims beside it.
pub(super) struct Disk {
    identity: Identity,
    segments: Vec<Segment>,
    in_flight: Vec<Write>,
    /// Stored atomically, in a small file of its own.
    pub(super) trims: Vec<Trim>,
}

struct Segment {
    id: SegmentId,
    visible: AlignedVec,
    /// What the dirty sectors hold if the power goes now and they have bad luck, by number.
    durable: BTreeMap<usize, Sector>,
}

struct Write {
    flush: Flush,
    /// Its process is dead: nobody hears of its completion.
    orphaned: bool,
}

/// Where a record lies that a scan has found.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) kind: u8,
    pub(super) lsn: wal::Lsn,
    place: Place,
    length: usize,
}

/// What a scan gives.
pub(super) struct Read {
    pub(super) tail: wal::Tail,
    pub(super) records: Vec<Found>,
}

impl Disk {
    /// A disk with an empty log.
    pub(super) fn new(shard: u16, segment_bytes: u64) -> Disk {
        let mut identity = [0x5a; 16];
        identity[..2].copy_from_slice(&shard.to_le_bytes());
        let mut disk = Disk {
            identity: Identity(identity),
            segments: Vec::new(),
            in_flight: Vec::new(),
            trims: Vec::new(),
        };
        disk.add_segment(SegmentId(1), segment_bytes);
        disk
    }

    /// Makes a segment: durable, and found by a restart, all at once (the live host has a manifest for that).
    pub(super) fn add_segment(&mut self, id: SegmentId, size: u64) {
        let expected = self.segments.last().map_or(SegmentId(1), |segment| segment.id.next());
        assert_eq!(id, expected);
        let mut visible = AlignedVec::with_capacity(size as usize);
        visible.resize(size as usize, 0);
        let header = segment_header(&self.identity, id, size);
        visible[..header.len()].copy_from_slice(&header);
        self.segments.push(Segment { id, visible, durable: BTreeMap::new() });
    }

    /// Reads the log as a process would find it now.
    pub(super) fn read(&self) -> Result<Read, wal::Error> {
        let segments: Vec<(SegmentId, &[u8])> =
            self.segments.iter().map(|segment| (segment.id, segment.visible.as_slice())).collect();
        let scan = wal::scan(&LogStart::new(self.identity), &segments)?;
        let records = scan.records().map(|record| Found {
            kind: record.kind.0,
            lsn: record.lsn,
            place: record.place,
            length: record.payload.len(),
        });
        Ok(Read { tail: scan.tail().clone(), records: records.collect() })
    }

    /// The payload of a record, as it can be read now.
    pub(super) fn payload(&self, found: &Found) -> &[u8] {
        let start = found.place.offset as usize;
        &self.segment(found.place.segment).visible[start..start + found.length]
    }

    /// Begins a write.
    pub(super) fn submit(&mut self, flush: Flush) {
        self.in_flight.push(Write { flush, orphaned: false });
    }

    /// Completes any one write of the living process.
    pub(super) fn complete(&mut self, rng: &mut Rng) -> Option<FlushId> {
        let living: Vec<usize> = (0..self.in_flight.len()).filter(|&k| !self.in_flight[k].orphaned).collect();
        let chosen = *living.get(rng.usize(0..living.len().max(1)))?;
        let Write { flush, .. } = self.in_flight.swap_remove(chosen);
        self.segment_mut(flush.segment).write_durably(flush.offset as usize, flush.bytes());
        Some(flush.id)
    }

    /// The process that wrote is dead.
    pub(super) fn orphan(&mut self) {
        self.in_flight.iter_mut().for_each(|write| write.orphaned = true);
    }

    /// Lets any one write of a dead process land.
    pub(super) fn land_orphan(&mut self, rng: &mut Rng) -> bool {
        let orphans: Vec<usize> = (0..self.in_flight.len()).filter(|&k| self.in_flight[k].orphaned).collect();
        let Some(chosen) = orphans.get(rng.usize(0..orphans.len().max(1))) else { return false };
        let Write { flush, .. } = self.in_flight.swap_remove(*chosen);
        self.segment_mut(flush.segment).write(flush.offset as usize, flush.bytes());
        true
    }

    /// Fills a range with zeros, durably.
    pub(super) fn zero(&mut self, repair: &Repair) {
        let zeros = vec![0; repair.bytes as usize];
        self.segment_mut(repair.segment).write_durably(repair.offset as usize, &zeros);
    }

    /// Makes what a segment holds durable.
    pub(super) fn sync(&mut self, segment: SegmentId) {
        self.segment_mut(segment).durable.clear();
    }

    /// The power goes: of what is in flight or dirty, any subset of sectors persists.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        // Some power losses take nearly all of it, some nearly nothing.
        let chance = [0.05, 0.5, 0.95][rng.usize(0..3)];
        for Write { flush, .. } in std::mem::take(&mut self.in_flight) {
            let segment = self.segment_mut(flush.segment);
            for (index, sector) in flush.bytes().chunks(SECTOR_BYTES).enumerate() {
                if rng.f64() < chance {
                    segment.write(flush.offset as usize + index * SECTOR_BYTES, sector);
                }
            }
        }
        for segment in &mut self.segments {
            for (index, old) in std::mem::take(&mut segment.durable) {
                if rng.f64() >= chance {
                    segment.visible[index * SECTOR_BYTES..][..SECTOR_BYTES].copy_from_slice(&old);
                }
            }
        }
    }

    fn segment(&self, id: SegmentId) -> &Segment {
        &self.segments[id.0 as usize - 1]
    }

    fn segment_mut(&mut self, id: SegmentId) -> &mut Segment {
        &mut self.segments[id.0 as usize - 1]
    }
}

impl Segment {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset.is_multiple_of(SECTOR_BYTES));
        assert!(bytes.len().is_multiple_of(SECTOR_BYTES));
        for (index, new) in (offset / SECTOR_BYTES..).zip(bytes.chunks(SECTOR_BYTES)) {
            let at = index * SECTOR_BYTES;
            let old: Sector = self.visible[at..at + SECTOR_BYTES].try_into().expect("a whole sector");
            self.durable.entry(index).or_insert(old);
            self.visible[at..at + SECTOR_BYTES].copy_from_slice(new);
        }
    }

    fn write_durably(&mut self, offset: usize, bytes: &[u8]) {
        self.write(offset, bytes);
        for index in offset / SECTOR_BYTES..(offset + bytes.len()) / SECTOR_BYTES {
            self.durable.remove(&index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal::{Appender, Incarnation, Limits, Lsn, RecordKind};

    fn appender(disk: &Disk, incarnation: u64) -> Appender {
        let limits = Limits { in_flight_count: 4, flush_bytes: 4096 };
        Appender::resume(&disk.read().expect("whole").tail, Incarnation(incarnation), limits)
    }

    #[test]
    fn what_completed_survives_and_what_did_not_may() {
        let (mut kept, mut lost) = (0, 0);
        for seed in 0..50 {
            let mut rng = Rng::with_seed(seed);
            let mut disk = Disk::new(0, 1 << 16);
            let mut log = appender(&disk, 1);
            log.append(RecordKind(1), &[b"one"]);
            disk.submit(log.take_flush().expect("gathered"));
            log.flushed(disk.complete(&mut rng).expect("in flight"));
            log.append(RecordKind(1), &[&[7; 3000]]);
            disk.submit(log.take_flush().expect("gathered"));
            disk.lose_power(&mut rng);
            match disk.read().expect("a torn tail is no damage").tail.last {
                Lsn(1) => lost += 1,
                Lsn(2) => kept += 1,
                other => panic!("the log ends at {other}"),
            }
        }
        assert!(kept > 0);
        assert!(lost > 0);
    }

    #[test]
    fn a_write_of_a_dead_process_lands_late() {
        let mut rng = Rng::with_seed(1);
        let mut disk = Disk::new(0, 1 << 16);
        let mut dead = appender(&disk, 1);
        dead.append(RecordKind(1), &[b"late"]);
        disk.submit(dead.take_flush().expect("gathered"));
        disk.orphan();
        assert!(disk.complete(&mut rng).is_none());
        assert_eq!(disk.read().expect("whole").tail.last, Lsn(0));
        assert!(disk.land_orphan(&mut rng));
        let read = disk.read().expect("whole");
        assert_eq!(disk.payload(&read.records[0]), b"late");
        assert_eq!(read.tail.syncs, [SegmentId(1)], "it can be read but is not durable");
    }
}
