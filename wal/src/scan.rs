//! Reading a log back, without any I/O: from the bytes of its segments to its records, its end, and what has to be
//! repaired before anything is appended.
//!
//! **Chain.** Flush numbers and record numbers have no gaps, and incarnations never go down. So at each place there
//! is only one flush that can stand there; it follows the one before, or it starts a later segment because it did
//! not fit. Anything else, such as a flush of a lower incarnation (a late write of a dead process), counts as not
//! there.
//!
//! **The tail rule.** At the first place without its flush the log ends, or it is damaged. With several flushes in
//! flight a crash may well leave a later one whole and an earlier one missing, so a later flush as such proves
//! nothing. But each carries the position up to which the log was durable when it was handed out: if one says that
//! the missing flush had been durable, the log is damaged, and the scan fails without changing anything. Otherwise
//! nobody was ever told of what is missing or behind it: it is dropped, and zeroed before anything is appended.
//!
//! **How far to look.** Flushes in flight are at most [`WINDOW_BYTES`] long in all, or just one. So the search goes
//! on until a whole window has been zero; then nothing that was in flight together with what is missing can follow.
//!
//! Cost: each byte is read and summed once, in order, by [`scan`]; [`Scan::records`] then walks without summing
//! again and hands out payloads in place.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::appender::{Room, WINDOW_BYTES};
use crate::error::Error;
use crate::flush::{FLUSH_HEADER_BYTES, FlushHeader, FlushId};
use crate::record::{Incarnation, Lsn, RECORD_HEADER_BYTES, RecordKind, read_record, record_seed};
use crate::segment::{BLOCK_BYTES, Identity, Place, SegmentId, check_segment};

/// Where a log begins: the manifest knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStart {
    /// The identity of the log.
    pub identity: Identity,
    /// The first flush in the oldest segment.
    pub flush: FlushId,
    /// The first record in the oldest segment.
    pub record: Lsn,
}

impl LogStart {
    /// A log of which nothing has been removed.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self { identity, flush: FlushId(1), record: Lsn(1) }
    }
}

/// A range of a segment that must be filled with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The segment.
    pub segment: SegmentId,
    /// Where the range starts: a multiple of [`BLOCK_BYTES`].
    pub offset: u64,
    /// How long it is: a multiple of [`BLOCK_BYTES`].
    pub bytes: u64,
}

/// The end of a log that was read: all that is needed to go on writing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The identity of the log.
    pub identity: Identity,
    /// The highest incarnation seen, 0 if none.
    pub incarnation: Incarnation,
    /// The last record, 0 if there is none.
    pub last: Lsn,
    /// The number of the next flush.
    pub next_flush: FlushId,
    /// Ranges to be zeroed durably before anything is appended. Doing only some of them, or doing them twice, is harmless.
    pub repairs: Vec<Repair>,
    /// Segments to be synced, after the repairs and before anything is appended: a writer that died may have left
    /// flushes that can be read but are not yet durable, and the next one builds on them.
    pub syncs: Vec<SegmentId>,
    /// The segment in which the log ends, and the spare ones behind it.
    pub(crate) rooms: Vec<Room>,
}

impl Tail {
    /// Where the next flush goes, if it fits.
    #[must_use]
    pub fn end(&self) -> Place {
        let room = self.rooms.first().expect("a log has a segment");
        Place { segment: room.segment, offset: room.offset }
    }

    /// The segments that can still be written, oldest first, with their sizes. Never empty.
    pub fn open_segments(&self) -> impl DoubleEndedIterator<Item = (SegmentId, u64)> + '_ {
        self.rooms.iter().map(|room| (room.segment, room.size))
    }

    /// The incarnation for the next writer.
    #[must_use]
    pub fn next_incarnation(&self) -> Incarnation {
        self.incarnation.next()
    }
}

/// A record of a log that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// Its kind.
    pub kind: RecordKind,
    /// Its payload, in place: 16-aligned in the segment.
    pub payload: &'a [u8],
    /// Where the payload starts.
    pub place: Place,
}

/// The flushes of one segment.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Index of the segment among those scanned.
    index: usize,
    first: Lsn,
    last: Lsn,
}

/// A log that was read and is known to be whole.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    identity: Identity,
    segments: Vec<(SegmentId, &'a [u8])>,
    runs: Vec<Run>,
    tail: Tail,
}

impl<'a> Scan<'a> {
    /// The end of the log.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The first record, if there is any.
    #[must_use]
    pub fn first(&self) -> Option<Lsn> {
        self.runs.first().map(|run| run.first)
    }

    /// All records, in order.
    pub fn records(&self) -> Records<'_, 'a> {
        Records { scan: self, run: 0, flush: None }
    }

    /// All records from `lsn` on, in order. Whole segments and flushes before it are skipped.
    pub fn records_from(&self, lsn: Lsn) -> Records<'_, 'a> {
        let run = self.runs.partition_point(|run| run.last < lsn);
        let mut records = Records { scan: self, run, flush: None };
        records.skip_to(lsn);
        records
    }

    fn header_at(&self, index: usize, offset: usize) -> Option<FlushHeader> {
        FlushHeader::read(&self.identity, self.segments.get(index)?.1.get(offset..)?)
    }
}

/// The flush that a [`Records`] stands in.
#[derive(Clone, Copy, Debug)]
struct Standing {
    header: FlushHeader,
    offset: usize,
    /// The record to be read next, and where it starts.
    next: Lsn,
    at: usize,
}

impl Standing {
    fn new(header: FlushHeader, offset: usize) -> Self {
        Self { header, offset, next: header.first, at: offset + FLUSH_HEADER_BYTES }
    }

    fn next_offset(&self) -> usize {
        self.offset + usize::try_from(self.header.padded_bytes()).expect("flushes fit memory")
    }
}

/// Iterator over the records of a [`Scan`].
#[derive(Clone, Debug)]
pub struct Records<'s, 'a> {
    scan: &'s Scan<'a>,
    /// Index of the current run.
    run: usize,
    /// `None` before the first flush of the run.
    flush: Option<Standing>,
}

/// The scan has seen every byte that is walked here; only memory that changes under the reader can differ.
const UNCHANGED: &str = "segments do not change below the end of the log while they are read";

impl<'a> Records<'_, 'a> {
    /// Moves to the next flush, if there is one.
    fn next_flush(&mut self) -> Option<Standing> {
        loop {
            let run = self.scan.runs.get(self.run)?;
            let offset = match &self.flush {
                None => BLOCK_BYTES as usize,
                Some(standing) if standing.header.last() < run.last => standing.next_offset(),
                Some(_) => {
                    self.run += 1;
                    self.flush = None;
                    continue;
                }
            };
            let header = self.scan.header_at(run.index, offset).expect(UNCHANGED);
            let standing = Standing::new(header, offset);
            self.flush = Some(standing);
            return Some(standing);
        }
    }

    fn skip_to(&mut self, lsn: Lsn) {
        while let Some(standing) = self.next_flush() {
            if standing.header.last() >= lsn {
                break;
            }
        }
        while self.flush.is_some_and(|standing| standing.next < lsn) {
            self.next();
        }
    }
}

impl<'a> Iterator for Records<'_, 'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let mut standing = match self.flush {
            Some(standing) if standing.next <= standing.header.last() => standing,
            _ => self.next_flush()?,
        };
        let index = self.scan.runs.get(self.run).expect(UNCHANGED).index;
        let (segment, bytes) = *self.scan.segments.get(index).expect("runs are of scanned segments");
        let raw = bytes.get(standing.at..).and_then(read_record).expect(UNCHANGED);
        let offset = (standing.at + RECORD_HEADER_BYTES) as u64;
        let record = Record {
            lsn: standing.next,
            kind: raw.kind,
            payload: raw.payload,
            place: Place { segment, offset },
        };
        standing.next = standing.next.next();
        standing.at += raw.bytes;
        self.flush = Some(standing);
        Some(record)
    }
}

/// Reads a log from the bytes of all its segments, in order.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::Truncated`], [`Error::Foreign`], [`Error::Version`]: see the
/// [crate's documentation](crate) for what is damage and what is a torn tail.
///
/// # Panics
/// If there is no segment, or if the numbers of the segments do not ascend one by one.
pub fn scan<'a>(start: &LogStart, segments: &[(SegmentId, &'a [u8])]) -> Result<Scan<'a>, Error> {
    assert!(!segments.is_empty(), "a log has a segment");
    assert!(
        segments.iter().zip(segments.iter().skip(1)).all(|((one, _), (next, _))| one.next() == *next),
        "the segments of a log have no gaps"
    );
    for (segment, bytes) in segments {
        check_segment(&start.identity, *segment, bytes)?;
    }
    let mut walk = Walk::new(start, segments);
    while walk.step() {}
    let repairs = walk.look_behind_the_end()?;
    Ok(walk.finish(repairs))
}

/// The state of a scan: everything before the place (`index`, `offset`) is whole.
struct Walk<'a, 's> {
    identity: Identity,
    segments: &'s [(SegmentId, &'a [u8])],
    index: usize,
    offset: u64,
    next_flush: FlushId,
    next_record: Lsn,
    /// The incarnation of the last flush of the chain.
    incarnation: Incarnation,
    seed: u32,
    /// The highest incarnation seen anywhere.
    incarnation_max: Incarnation,
    /// The highest position that a flush of the chain knew to be durable.
    durable: Lsn,
    runs: Vec<Run>,
}

/// Why the flush looked for is not at a place: where in its segment that shows, and what.
struct Absence {
    offset: u64,
    what: String,
}

impl<'a, 's> Walk<'a, 's> {
    fn new(start: &LogStart, segments: &'s [(SegmentId, &'a [u8])]) -> Self {
        Self {
            identity: start.identity,
            segments,
            index: 0,
            offset: BLOCK_BYTES,
            next_flush: start.flush,
            next_record: start.record,
            incarnation: Incarnation(0),
            seed: record_seed(&start.identity, Incarnation(0)),
            incarnation_max: Incarnation(0),
            durable: Lsn(start.record.0 - 1),
            runs: Vec::new(),
        }
    }

    /// Moves over the next flush, in this segment or at the start of a later one; false at the end.
    fn step(&mut self) -> bool {
        if let Ok(header) = self.flush_at(self.index, self.offset) {
            self.move_over(self.index, self.offset, &header);
            return true;
        }
        for index in self.index + 1..self.segments.len() {
            if let Ok(header) = self.flush_at(index, BLOCK_BYTES) {
                self.move_over(index, BLOCK_BYTES, &header);
                return true;
            }
        }
        false
    }

    fn bytes_from(&self, index: usize, offset: u64) -> &'a [u8] {
        let segment = self.segments.get(index).map(|(_, bytes)| *bytes).unwrap_or_default();
        usize::try_from(offset).ok().and_then(|offset| segment.get(offset..)).unwrap_or_default()
    }

    /// The flush that continues the chain, if it stands whole at this place.
    fn flush_at(&mut self, index: usize, offset: u64) -> Result<FlushHeader, Absence> {
        let bytes = self.bytes_from(index, offset);
        let absent = |offset, what| Err(Absence { offset, what });
        let Some(header) = FlushHeader::read(&self.identity, bytes) else {
            return absent(
                offset,
                format!("the header of flush {} is not there or not whole", self.next_flush),
            );
        };
        self.incarnation_max = self.incarnation_max.max(header.incarnation);
        if header.incarnation < self.incarnation {
            return absent(offset, format!("a late write of incarnation {} stands here", header.incarnation));
        }
        if header.flush != self.next_flush || header.first != self.next_record {
            return absent(
                offset,
                format!("flush {} stands where {} belongs", header.flush, self.next_flush),
            );
        }
        match header.check_records(self.seed_of(header.incarnation), bytes) {
            Ok(()) => Ok(header),
            Err((at, lsn)) => absent(offset + at, format!("record {lsn} is not whole")),
        }
    }

    /// The seed of the records of an incarnation; kept for the current one, which is nearly always the one asked for.
    fn seed_of(&self, incarnation: Incarnation) -> u32 {
        if incarnation == self.incarnation { self.seed } else { record_seed(&self.identity, incarnation) }
    }

    fn move_over(&mut self, index: usize, offset: u64, header: &FlushHeader) {
        self.index = index;
        self.offset = offset + header.padded_bytes();
        self.next_flush = header.flush.next();
        self.next_record = header.last().next();
        self.seed = self.seed_of(header.incarnation);
        self.incarnation = header.incarnation;
        self.durable = self.durable.max(header.durable);
        match self.runs.last_mut() {
            Some(run) if run.index == index => run.last = header.last(),
            _ => self.runs.push(Run { index, first: header.first, last: header.last() }),
        }
    }

    /// Applies the tail rule to everything behind the end: what must be zeroed, or the damage found.
    fn look_behind_the_end(&mut self) -> Result<Vec<Repair>, Error> {
        let mut repairs: Vec<Repair> = Vec::new();
        let mut contradicted = false;
        for index in self.index..self.segments.len() {
            let from = if index == self.index { self.offset } else { BLOCK_BYTES };
            contradicted |= self.look_behind(index, from, &mut repairs);
        }
        if contradicted { Err(self.damage(&repairs)) } else { Ok(repairs) }
    }

    /// Looks for remains in one segment until a whole window has been zero. True if a flush says that the
    /// place where the chain ends had been durable.
    fn look_behind(&mut self, index: usize, from: u64, repairs: &mut Vec<Repair>) -> bool {
        let Some((segment, bytes)) = self.segments.get(index) else { return false };
        let mut contradicted = false;
        let mut offset = from;
        let mut until = from + WINDOW_BYTES;
        while offset < bytes.len() as u64 && offset <= until {
            let rest = self.bytes_from(index, offset);
            let block = rest.get(..BLOCK_BYTES as usize).unwrap_or(rest);
            if !is_zero(block) {
                until = until.max(offset + WINDOW_BYTES);
                add_block(repairs, *segment, offset);
                if let Some(header) = FlushHeader::read(&self.identity, block) {
                    // A large flush may hold more than a window of zeros.
                    until = until.max(offset + header.padded_bytes() + WINDOW_BYTES);
                    self.incarnation_max = self.incarnation_max.max(header.incarnation);
                    contradicted |=
                        header.incarnation >= self.incarnation && header.durable >= self.next_record;
                }
            }
            offset += BLOCK_BYTES;
        }
        contradicted
    }

    /// The error for a log whose missing flush had been durable. The flush is missing where the chain ends, or, if
    /// nothing at all is left there, at the start of the next segment with any remains.
    fn damage(&mut self, remains: &[Repair]) -> Error {
        let end = self.segments.get(self.index).map_or(SegmentId(0), |(segment, _)| *segment);
        let found = remains.first().map_or(end, |repair| repair.segment);
        let (index, offset) = match self.segments.iter().position(|(segment, _)| *segment == found) {
            Some(index) if found != end && !self.starts_later_chain(index) => (index, BLOCK_BYTES),
            _ => (self.index, self.offset),
        };
        let segment = self.segments.get(index).map_or(end, |(segment, _)| *segment);
        let absence = self.flush_at(index, offset).err();
        let absence = absence.expect("the walk stops only where the next flush is not");
        Error::corrupt(Place { segment, offset: absence.offset }, absence.what)
    }

    /// Whether a later flush, sound by its header, starts this segment: then what is missing was before it.
    fn starts_later_chain(&self, index: usize) -> bool {
        let header = FlushHeader::read(&self.identity, self.bytes_from(index, BLOCK_BYTES));
        header.is_some_and(|header| header.flush > self.next_flush)
    }

    fn finish(self, repairs: Vec<Repair>) -> Scan<'a> {
        let rooms: Vec<Room> = (self.index..)
            .zip(self.segments.iter().skip(self.index))
            .map(|(index, (segment, bytes))| Room {
                segment: *segment,
                offset: if index == self.index { self.offset } else { BLOCK_BYTES },
                size: bytes.len() as u64,
            })
            .collect();
        let not_known_durable = self.runs.iter().filter(|run| run.last > self.durable);
        let mut syncs: Vec<SegmentId> = not_known_durable
            .filter_map(|run| self.segments.get(run.index))
            .map(|(segment, _)| *segment)
            .chain(repairs.iter().map(|repair| repair.segment))
            .collect();
        syncs.sort_unstable();
        syncs.dedup();
        let tail = Tail {
            identity: self.identity,
            incarnation: self.incarnation_max,
            last: Lsn(self.next_record.0 - 1),
            next_flush: self.next_flush,
            repairs,
            syncs,
            rooms,
        };
        Scan { identity: self.identity, segments: self.segments.to_vec(), runs: self.runs, tail }
    }
}

fn is_zero(block: &[u8]) -> bool {
    let (words, rest) = block.as_chunks::<64>();
    words.iter().all(|word| *word == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}

/// Adds one block to the ranges, which grow as long as blocks follow each other.
fn add_block(repairs: &mut Vec<Repair>, segment: SegmentId, offset: u64) {
    match repairs.last_mut() {
        Some(last) if last.segment == segment && last.offset + last.bytes == offset => {
            last.bytes += BLOCK_BYTES
        }
        _ => repairs.push(Repair { segment, offset, bytes: BLOCK_BYTES }),
    }
}
