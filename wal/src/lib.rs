//! The append-only log of a shard: records go in, are durable in groups, and come back after any crash.
//!
//! The crate knows nothing of shards, operators or messages: a payload is bytes, a kind is a number.
//!
//! # Words
//!
//! - **record**: a payload with a kind and a number (its **LSN**, counted from 1 without gaps). What is appended and
//!   replayed.
//! - **flush**: the records that are written together, in one write. Numbered from 1 without gaps. **Group commit**: while
//!   flushes are in flight, the next one gathers.
//! - **block**: 4096 bytes. Flushes start at blocks and are padded to blocks, so no block is written twice.
//! - **segment**: a file of the log, filled with zeros before use. Numbered from 1 without gaps.
//! - **manifest**: the file that says which segments are live.
//! - **durable**: on disk, whatever happens to the process or the machine. A record is durable when its flush and all flushes
//!   before it have completed.
//! - **incarnation**: one life of the log's writer, counted from 1; stamped on everything that it writes.
//! - **fence**: the locks that a successor waits for, so that no write of a dead writer can land later.
//! - **tail**: where the log ends; **torn tail**: remains behind it of flushes that were in flight in a crash.
//! - **poisoned**: said of a log one of whose writes has failed; only a restart helps.
//!
//! # Use
//!
//! ```no_run
//! use wal::{LogFolder, LogWriter, Options, RecordKind};
//!
//! # async fn example() -> Result<(), wal::Error> {
//! let folder = LogFolder::open(&Options::new("/data", "shard-0"))?; // waits for the fence
//! let mapped = folder.map()?;
//! let scan = mapped.scan()?; // sums everything once; damage is an error here
//! for record in scan.records() {
//!     println!("{} {:?} {}", record.lsn, record.kind, record.payload.len()); // payloads in place
//! }
//! let tail = scan.tail();
//! let log = LogWriter::start(folder, tail, tail.next_incarnation()).await?; // repairs the tail first
//! let lsn = log.append(RecordKind(1), &[b"some ", b"payload"]);
//! log.flush();
//! log.wait_durable(lsn).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything that decides is free of I/O and can be driven by a simulator: [`Appender`] hands out [`Flush`]es,
//! [`scan`] reads images of segments (fresh ones start with [`segment_header`]), and [`Tail`] says what to zero, what to
//! sync and how to go on. [`LogDisk`] puts files under an appender that lives elsewhere; [`LogWriter`] has both in one;
//! [`SyncLog`] does the same with blocking calls.
//!
//! # Format
//!
//! All numbers are little-endian. Version 1. Checksums are CRC-32 (IEEE).
//!
//! ```text
//! segment   0          4096         ...                                   size
//!           | header   | flush      | flush | flush        | zeros           |
//!           one block    each whole blocks, without gaps; the rest is zero
//!
//! segment header                         flush header                          record header
//!  0  8 "SAKIASEG"                        0  8 "SAKFLUSH"                       0  4 checksum of 4.., and the payload
//!  8  4 format version                    8  4 zero                             4  4 payload length
//! 12  4 checksum of 0..12, 16..64        12  4 checksum of 0..12, 16..64        8  4 low half of the LSN
//! 16 16 identity of the log              16  8 incarnation                     12  1 kind
//! 32  8 number of the segment            24  8 number of the flush             13  3 zero
//! 40  8 size of the segment              32  8 LSN of the first record         16    payload, then zeros up to
//! 48 16 zero                             40  8 durable LSN when handed out           a multiple of 16
//! 64    zero up to 4096                  48  4 length, with this header,
//!                                              without the padding to blocks
//!                                        52  4 number of records
//!                                        56  8 zero
//!                                        64    records, then zeros up to a block
//! ```
//!
//! The checksum of a flush header starts from the log's identity, that of a record from the identity and the
//! incarnation: bytes of another log or another life do not pass, even side by side in a torn block. Payloads are
//! 16-aligned. The rest of a segment behind its last flush stays zero if the next flush did not fit.
//!
//! How the end is found, and what is a torn tail and what is damage, is told in the documentation of [`scan`]; what limits
//! flushes in flight, so that the search for the end can be short, in that of [`Appender`]; the files in that of [`LogFolder`].
//!
//! # What is assumed of the disk
//!
//! - A write reported complete through a descriptor opened with O_DSYNC is durable, and so is everything before a
//!   completed fsync or fdatasync of its file.
//! - Of writes not yet durable, any subset of 512-byte sectors may survive a power loss; a sector is written whole or not
//!   at all, and only sectors that were written change.
//! - A write that fails leaves unknown contents and may not be tried again: the kernel may report success without
//!   the data.
//! - A process that is killed may have writes in flight, which land whole or not at all, at any later time, but
//!   before the lock of the open file that they go through is free.
//! - Names of files are durable after an fsync of their folder, renames are atomic, and removed or old names may come back
//!   before that.
//! - Reading may return damaged bytes; checksums find them.
//!
//! # Costs
//!
//! | | sketch | where |
//! |---|---|---|
//! | append | one copy, one checksum, no allocation | [`Appender::append`] |
//! | flush | one copy into the executor's memory, one write request, no sync | [`LogWriter::flush`] |
//! | overhead | 16 bytes and padding to 16 a record; 64 bytes and padding to 4096 a flush | |
//! | scan | one checksum over every byte, sequential | [`scan`] |
//! | start on an empty log | two locks, a manifest, half a megabyte of zeros read per segment | [`LogFolder::open`] |
#![deny(unsafe_code)]

mod record;
mod segment;

mod flush;

mod appender;
mod scan;

mod manifest;

mod folder;

mod log_disk;

mod writer;

mod sync_log;

mod error;
mod faults;
mod field;
mod os;

pub use appender::{Appender, Limits, WINDOW_BYTES};
pub use error::Error;
pub use faults::{Fault, Faults};
pub use flush::{FLUSH_HEADER_BYTES, Flush, FlushId};
pub use folder::{LogFolder, Mapped, Options};
pub use log_disk::LogDisk;
pub use record::{Incarnation, Lsn, PAYLOAD_BYTES_MAX, RECORD_ALIGNMENT, RECORD_HEADER_BYTES, RecordKind};
pub use scan::{LogStart, Record, Records, Repair, Scan, Tail, scan};
pub use segment::{
    BLOCK_BYTES, FIRST_SEGMENT_BYTES, FORMAT_VERSION, Identity, Place, SEGMENT_BYTES, SEGMENT_BYTES_MAX,
    SegmentId, segment_header,
};
pub use sync_log::{OwnedRecord, SyncLog};
pub use writer::LogWriter;
