//! A log for those who write rarely and wait: the same format and the same rules, written with blocking calls, one flush
//! per record. For the supervisor's catalogue.

use std::io;

use crate::appender::Appender;
use crate::error::Error;
use crate::folder::{LogFolder, Options};
use crate::record::{Lsn, RecordKind};
use crate::segment::SegmentId;

/// A record with a payload of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Its number.
    pub lsn: Lsn,
    /// Its kind.
    pub kind: RecordKind,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A log that is written synchronously.
#[derive(Debug)]
pub struct SyncLog {
    folder: LogFolder,
    appender: Appender,
    /// Size of the newest segment.
    last_bytes: u64,
    flush_count: u64,
    /// The error number and text of the failure after which nothing more is written.
    poison: Option<(SegmentId, Option<i32>, String)>,
}

impl SyncLog {
    /// Opens the log, and creates it first if there is none.
    ///
    /// # Errors
    /// As [`LogFolder::open`], [`scan`](crate::scan) and [`LogFolder::repair`].
    pub fn open(options: &Options) -> Result<Self, Error> {
        let folder = LogFolder::open(options)?;
        let mapped = folder.map()?;
        let tail = mapped.scan()?.tail().clone();
        folder.repair(&tail)?;
        let appender = Appender::resume(&tail, tail.next_incarnation(), options.limits);
        let last_bytes = tail.rooms.last().expect("a log has a segment").size;
        Ok(Self { folder, appender, last_bytes, flush_count: 0, poison: None })
    }

    /// Appends a record and returns when it is durable.
    ///
    /// # Errors
    /// [`Error::NoRoom`]: nothing was appended, try again later. [`Error::Poisoned`]: whether the record is durable is
    /// unknown, and nothing more can be appended before the log is opened again.
    pub fn append(&mut self, kind: RecordKind, payload: &[u8]) -> Result<Lsn, Error> {
        if let Some(poisoned) = self.poisoned() {
            return Err(poisoned);
        }
        self.make_room_for(payload.len())?;
        let lsn = self.appender.append(kind, &[payload]);
        let flush = self.appender.take_flush().expect("there is a record, and room for it");
        self.flush_count += 1;
        let written = self.write(flush.segment, flush.offset, flush.bytes());
        if let Err(error) = written {
            self.poison = Some((flush.segment, error.raw_os_error(), error.to_string()));
            return Err(self.poisoned().expect("just poisoned"));
        }
        self.appender.flushed(flush.id);
        assert_eq!(self.appender.durable(), lsn, "one flush at a time, one record each");
        Ok(lsn)
    }

    /// The last record.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.appender.durable()
    }

    /// All records, read from the disk.
    ///
    /// # Errors
    /// As [`scan`](crate::scan).
    pub fn records(&self) -> Result<Vec<OwnedRecord>, Error> {
        let mapped = self.folder.map()?;
        let scan = mapped.scan()?;
        let owned = scan.records().map(|record| OwnedRecord {
            lsn: record.lsn,
            kind: record.kind,
            payload: record.payload.to_vec(),
        });
        Ok(owned.collect())
    }

    fn poisoned(&self) -> Option<Error> {
        let (segment, errno, text) = self.poison.as_ref()?;
        let source = errno.map_or_else(|| io::Error::other(text.clone()), io::Error::from_raw_os_error);
        Some(Error::Poisoned { path: self.folder.path().join(segment.file_name()), source })
    }

    fn write(&self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let faults = &self.folder.options().faults;
        faults.before_write(self.flush_count)?;
        let piece = &bytes[..faults.write_bytes(self.flush_count, bytes.len())];
        let written = self.folder.write(segment, offset, piece)?;
        faults.after_write(self.flush_count)?;
        if written != bytes.len() {
            let text = format!("short write of {written} of {} bytes at offset {offset}", bytes.len());
            return Err(io::Error::new(io::ErrorKind::WriteZero, text));
        }
        Ok(())
    }

    /// Adds a segment if none has room for a flush with one record of this size.
    fn make_room_for(&mut self, payload_bytes: usize) -> Result<(), Error> {
        let Some(least) = self.appender.wants_segment_for(payload_bytes) else { return Ok(()) };
        let id = self.appender.next_segment();
        let size = self.folder.next_segment_bytes(least, self.last_bytes);
        let added = self.folder.add_segment(id, size).and_then(|()| self.folder.hold_segment(id));
        match added {
            Ok(()) => {
                self.appender.provide_segment(id, size);
                self.last_bytes = size;
                Ok(())
            }
            Err(Error::Io { source, .. }) => {
                self.poison = Some((id, source.raw_os_error(), source.to_string()));
                Err(self.poisoned().expect("just poisoned"))
            }
            Err(other) => Err(other),
        }
    }
}
