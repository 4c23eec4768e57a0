//! A disk in memory that keeps its promises and no more: what was synced stays; of what was written and not
//! synced, a power loss leaves any subset of 512-byte sectors; a dead process's writes land whole, late, or never.

use std::collections::BTreeMap;

use wal::{
    Appender, Error, Flush, FlushId, Identity, Incarnation, Limits, LogStart, Lsn, RecordKind, Repair, Scan,
    SegmentId, Tail, scan, segment_header,
};

pub const SECTOR: usize = 512;

/// A write that is not yet known to be durable.
struct Pending {
    segment: SegmentId,
    offset: usize,
    bytes: Vec<u8>,
}

/// One segment: what is durable, and what a reader sees while the power is on.
struct Image {
    durable: Vec<u8>,
    seen: Vec<u8>,
}

pub struct Disk {
    pub start: LogStart,
    images: BTreeMap<SegmentId, Image>,
    /// Written to the device's cache, in order; readers see it, a power loss may take it.
    cached: Vec<Pending>,
}

impl Disk {
    pub fn new(segment_bytes: u64) -> Self {
        let start = LogStart::new(Identity(*b"a log for tests!"));
        let mut disk = Self { start, images: BTreeMap::new(), cached: Vec::new() };
        disk.add_segment(SegmentId(1), segment_bytes);
        disk
    }

    pub fn add_segment(&mut self, id: SegmentId, size: u64) {
        let mut bytes = vec![0; usize::try_from(size).expect("small")];
        let header = segment_header(&self.start.identity, id, size);
        bytes[..header.len()].copy_from_slice(&header);
        self.images.insert(id, Image { durable: bytes.clone(), seen: bytes });
    }

    /// A write that has reached the device, but is not synced.
    pub fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).expect("small");
        let image = self.images.get_mut(&segment).expect("a live segment");
        image.seen[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.cached.push(Pending { segment, offset, bytes: bytes.to_vec() });
    }

    /// A durable write: itself only, as of a single O_DSYNC request. Others stay in doubt.
    pub fn write_durably(&mut self, flush: &Flush) {
        let offset = usize::try_from(flush.offset).expect("small");
        let image = self.images.get_mut(&flush.segment).expect("a live segment");
        for bytes in [&mut image.seen, &mut image.durable] {
            bytes[offset..offset + flush.bytes().len()].copy_from_slice(flush.bytes());
        }
    }

    pub fn sync(&mut self, segment: SegmentId) {
        for pending in self.cached.extract_if(.., |pending| pending.segment == segment) {
            let image = self.images.get_mut(&segment).expect("a live segment");
            image.durable[pending.offset..pending.offset + pending.bytes.len()]
                .copy_from_slice(&pending.bytes);
        }
    }

    /// The power fails: of everything in the cache, and of the writes given, any sectors survive.
    pub fn lose_power(&mut self, in_flight: &[Flush], rng: &mut fastrand::Rng) {
        let mut writes = std::mem::take(&mut self.cached);
        writes.extend(in_flight.iter().map(|flush| Pending {
            segment: flush.segment,
            offset: usize::try_from(flush.offset).expect("small"),
            bytes: flush.bytes().to_vec(),
        }));
        for write in writes {
            let image = self.images.get_mut(&write.segment).expect("a live segment");
            // All, none, or some of it: the extremes are as likely as everything between.
            let likely = [0.0, 0.5, 0.9, 1.0][rng.usize(..4)];
            for (index, sector) in write.bytes.chunks(SECTOR).enumerate() {
                if rng.f64() < likely {
                    let at = write.offset + index * SECTOR;
                    image.durable[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        for image in self.images.values_mut() {
            image.seen.copy_from_slice(&image.durable);
        }
    }

    pub fn segments(&self) -> Vec<(SegmentId, &[u8])> {
        self.images.iter().map(|(id, image)| (*id, image.seen.as_slice())).collect()
    }

    pub fn scan(&self) -> Result<Scan<'_>, Error> {
        scan(&self.start, &self.segments())
    }

    pub fn zero(&mut self, repair: &Repair) {
        self.write(repair.segment, repair.offset, &vec![0; usize::try_from(repair.bytes).expect("small")]);
    }

    /// Makes the repairs and syncs of a tail; `after` of them only, if the power fails in the middle.
    pub fn repair(&mut self, tail: &Tail, mut after: usize) -> bool {
        for repair in &tail.repairs {
            if after == 0 {
                return false;
            }
            after -= 1;
            self.zero(repair);
        }
        for segment in &tail.syncs {
            if after == 0 {
                return false;
            }
            after -= 1;
            self.sync(*segment);
        }
        true
    }

    /// Bytes as they lie on the disk, to damage them.
    pub fn bytes_mut(&mut self, segment: SegmentId) -> &mut Vec<u8> {
        let image = self.images.get_mut(&segment).expect("a live segment");
        assert!(self.cached.is_empty(), "damage is done to what is durable");
        &mut image.seen
    }
}

/// A disk with a writer on it that flushes and completes at once: for logs with known contents.
pub struct Written {
    pub disk: Disk,
    pub appender: Appender,
}

impl Written {
    pub fn new(segment_bytes: u64) -> Self {
        let disk = Disk::new(segment_bytes);
        let tail = disk.scan().expect("a fresh log").tail().clone();
        Self {
            disk,
            appender: Appender::resume(
                &tail,
                Incarnation(1),
                Limits { in_flight_count: 4, flush_bytes: 64 << 10 },
            ),
        }
    }

    /// Appends a record and hands out its flush, adding a segment if one is needed.
    pub fn flush_of(&mut self, payload: &[u8]) -> Flush {
        self.appender.append(RecordKind(1), &[payload]);
        if let Some(least) = self.appender.wants_segment() {
            let id = self.appender.next_segment();
            self.disk.add_segment(id, least.max(64 << 10));
            self.appender.provide_segment(id, least.max(64 << 10));
        }
        self.appender.take_flush().expect("there is room")
    }

    pub fn complete(&mut self, flush: &Flush) -> FlushId {
        self.disk.write_durably(flush);
        self.appender.flushed(flush.id);
        flush.id
    }

    /// Appends a record durably.
    pub fn record(&mut self, payload: &[u8]) -> Flush {
        let flush = self.flush_of(payload);
        self.complete(&flush);
        flush
    }
}

/// All that was read, to be compared.
pub fn contents(scan: &Scan<'_>) -> Vec<(Lsn, Vec<u8>)> {
    scan.records().map(|record| (record.lsn, record.payload.to_vec())).collect()
}
