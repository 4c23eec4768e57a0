//! The disk of one shard, in memory: the segments of its log, writes in flight, and what a power loss does to both.
//!
//! What a process reads is the *visible* content. A sector of it is *dirty* while the disk has only cached it: a power
//! loss keeps either the old or the new content of each dirty sector, and any subset of the sectors of each write in
//! flight. A flush is a write with its own sync, so it is durable when it completes; a write that outlives its process
//! becomes visible without being durable. One that fails leaves any subset of its sectors, all of them dirty: none if
//! the write failed, all if only its sync did.
//!
//! Segments are prepared in stages, with room for a death between any two: a file that nobody names (whoever opens the log
//! next removes it), a name that a power loss may take back, a name that lasts. The room for them is limited.

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
    /// How many bytes new segments may take.
    pub(super) free_bytes: u64,
    preparing: Option<Preparing>,
}

struct Segment {
    id: SegmentId,
    /// A power loss leaves its name in the folder.
    lasting: bool,
    visible: AlignedVec,
    /// What the dirty sectors hold if the power goes now and they have bad luck, by number.
    durable: BTreeMap<usize, Sector>,
}

struct Write {
    flush: Flush,
    /// Its process is dead: nobody hears of its completion.
    orphaned: bool,
}

/// The segment on its way into the log.
#[derive(Clone, Copy)]
struct Preparing {
    size: u64,
    /// It is the newest of the segments, but its name does not last yet.
    named: bool,
}

/// How far a preparation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prepared {
    NoRoom,
    NotYet,
    Ready(SegmentId, u64),
}

/// What has become of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completion {
    Durable(FlushId),
    Failed,
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
            free_bytes: u64::MAX,
            preparing: None,
        };
        disk.add_segment(segment_bytes);
        disk.open();
        disk
    }

    /// What a process does first: no half-made segment stays, and the names that it has found last.
    pub(super) fn open(&mut self) {
        if let Some(Preparing { size, named: false }) = self.preparing.take() {
            self.free_bytes = self.free_bytes.saturating_add(size);
        }
        self.segments.iter_mut().for_each(|segment| segment.lasting = true);
    }

    /// Takes the preparation of a segment one stage further, or begins one of that size.
    pub(super) fn prepare(&mut self, size: u64) -> Prepared {
        match &mut self.preparing {
            None if size > self.free_bytes => Prepared::NoRoom,
            None => {
                self.free_bytes -= size;
                self.preparing = Some(Preparing { size, named: false });
                Prepared::NotYet
            }
            Some(Preparing { size, named: named @ false }) => {
                *named = true;
                let size = *size;
                self.add_segment(size);
                Prepared::NotYet
            }
            Some(Preparing { size, named: true }) => {
                let size = *size;
                self.preparing = None;
                let newest = self.segments.last_mut().expect("it was added when it was named");
                newest.lasting = true;
                Prepared::Ready(newest.id, size)
            }
        }
    }

    /// Whether a segment is being prepared.
    pub(super) fn is_preparing(&self) -> bool {
        self.preparing.is_some()
    }

    fn add_segment(&mut self, size: u64) {
        let id = self.segments.last().map_or(SegmentId(1), |segment| segment.id.next());
        let mut visible = AlignedVec::with_capacity(size as usize);
        visible.resize(size as usize, 0);
        let header = segment_header(&self.identity, id, size);
        visible[..header.len()].copy_from_slice(&header);
        self.segments.push(Segment { id, lasting: false, visible, durable: BTreeMap::new() });
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

    /// Completes any one write of the living process, with an error if it `fails`.
    pub(super) fn complete(&mut self, fails: bool, rng: &mut Rng) -> Option<Completion> {
        let flush = self.take_in_flight(false, rng)?;
        if fails {
            self.write_some(&flush, [0.0, 0.5, 1.0][rng.usize(0..3)], rng);
            return Some(Completion::Failed);
        }
        self.segment_mut(flush.segment).write_durably(flush.offset as usize, flush.bytes());
        Some(Completion::Durable(flush.id))
    }

    /// The process that wrote is dead.
    pub(super) fn orphan(&mut self) {
        self.in_flight.iter_mut().for_each(|write| write.orphaned = true);
    }

    /// Lets any one write of a dead process land.
    pub(super) fn land_orphan(&mut self, rng: &mut Rng) -> bool {
        let Some(flush) = self.take_in_flight(true, rng) else { return false };
        self.segment_mut(flush.segment).write(flush.offset as usize, flush.bytes());
        true
    }

    /// Any one of the writes in flight of the living process, or of dead ones.
    fn take_in_flight(&mut self, orphaned: bool, rng: &mut Rng) -> Option<Flush> {
        let candidates = || (0..self.in_flight.len()).filter(|&k| self.in_flight[k].orphaned == orphaned);
        let count = candidates().count();
        let chosen = candidates().nth(rng.usize(0..count.max(1)))?;
        Some(self.in_flight.swap_remove(chosen).flush)
    }

    /// Writes each sector of a flush with that chance.
    fn write_some(&mut self, flush: &Flush, chance: f64, rng: &mut Rng) {
        let segment = self.segment_mut(flush.segment);
        for (index, sector) in flush.bytes().chunks(SECTOR_BYTES).enumerate() {
            if rng.f64() < chance {
                segment.write(flush.offset as usize + index * SECTOR_BYTES, sector);
            }
        }
    }

    /// Fills a range with zeros, durably.
    pub(super) fn zero(&mut self, repair: &Repair) {
        let zeros = vec![0; repair.bytes as usize];
        self.segment_mut(repair.segment).write_durably(repair.offset as usize, &zeros);
    }

    /// What is left of filling a range with zeros when the process dies over it: any sectors, any of them durable.
    pub(super) fn zero_some(&mut self, repair: &Repair, rng: &mut Rng) {
        let segment = self.segment_mut(repair.segment);
        let end = (repair.offset + repair.bytes) as usize;
        for offset in (repair.offset as usize..end).step_by(SECTOR_BYTES) {
            match rng.u32(0..4) {
                0 => segment.write(offset, &[0; SECTOR_BYTES]),
                1 => segment.write_durably(offset, &[0; SECTOR_BYTES]),
                _ => {}
            }
        }
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
            self.write_some(&flush, chance, rng);
        }
        for segment in &mut self.segments {
            for (index, old) in std::mem::take(&mut segment.durable) {
                if rng.f64() >= chance {
                    segment.visible[index * SECTOR_BYTES..][..SECTOR_BYTES].copy_from_slice(&old);
                }
            }
        }
        if let Some(newest) = self.segments.pop_if(|segment| !segment.lasting && rng.bool()) {
            self.free_bytes = self.free_bytes.saturating_add(newest.visible.len() as u64);
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

    fn complete(disk: &mut Disk, rng: &mut Rng) -> FlushId {
        match disk.complete(false, rng) {
            Some(Completion::Durable(id)) => id,
            other => panic!("a write is in flight: {other:?}"),
        }
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
            log.flushed(complete(&mut disk, &mut rng));
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
        assert_eq!(disk.complete(false, &mut rng), None);
        assert_eq!(disk.read().expect("whole").tail.last, Lsn(0));
        assert!(disk.land_orphan(&mut rng));
        let read = disk.read().expect("whole");
        assert_eq!(disk.payload(&read.records[0]), b"late");
        assert_eq!(read.tail.syncs, [SegmentId(1)], "it can be read but is not durable");
    }
    #[test]
    fn a_write_that_failed_may_be_there_or_not() {
        let mut found = [0; 2];
        for seed in 0..50 {
            let mut rng = Rng::with_seed(seed);
            let mut disk = Disk::new(0, 1 << 16);
            let mut log = appender(&disk, 1);
            log.append(RecordKind(1), &[&[7; 3000]]);
            disk.submit(log.take_flush().expect("gathered"));
            assert_eq!(disk.complete(true, &mut rng), Some(Completion::Failed));
            let read = disk.read().expect("a torn tail is no damage");
            found[read.tail.last.0 as usize] += 1;
        }
        assert!(found[0] > 0 && found[1] > 0, "{found:?}");
    }

    #[test]
    fn a_segment_is_there_when_it_is_named_and_stays_when_its_name_lasts() {
        let mut lost = 0;
        for seed in 0..20 {
            let mut rng = Rng::with_seed(seed);
            let mut disk = Disk::new(0, 1 << 16);
            disk.free_bytes = 1 << 16;
            assert_eq!(disk.prepare(1 << 16), Prepared::NotYet);
            assert_eq!((disk.segments.len(), disk.free_bytes), (1, 0));
            disk.open();
            assert_eq!(disk.free_bytes, 1 << 16, "a file that nobody names is removed");
            assert_eq!(disk.prepare(1 << 17), Prepared::NoRoom);
            disk.prepare(1 << 16);
            assert_eq!(disk.prepare(1 << 16), Prepared::NotYet);
            assert_eq!(disk.segments.len(), 2);
            disk.lose_power(&mut rng);
            lost += u64::from(disk.free_bytes > 0);
            disk.open();
            let segments = disk.segments.len();
            disk.lose_power(&mut rng);
            assert_eq!(disk.segments.len(), segments);
        }
        assert!((1..20).contains(&lost));
    }
}
