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
//! All numbers are little-endian. Version 2. Checksums are CRC-32 (IEEE).
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
//! A log's folder, mode 0700, has the manifest (a few lines of text with a checksum, replaced as a whole) and the segments,
//! mode 0600, named by their numbers.
//!
//! # Reading back
//!
//! Flush numbers and LSNs have no gaps and incarnations never go down, so at each place only one flush can stand: behind the
//! one before, or at the start of a later segment. What else is found there, such as a late write of a lower incarnation,
//! counts as not there. At the first place without its flush:
//!
//! - if a later flush, of no lower incarnation, says in its header that this place had been **durable**, it is damage:
//!   [`Error::Corrupt`] with file and offset, and nothing is changed;
//! - otherwise it is the end. What remains behind it is a torn tail, of which nobody was told that it is durable: dropped, and
//!   zeroed durably before anything is appended. A later flush alone proves nothing: several are in flight at once.
//!
//! Flushes in flight are together at most [`WINDOW_BYTES`] long, or just one, so the search ends when a whole window has been
//! zero. Damage to the last flushes, those in flight together with the very last, looks like a torn tail; whoever needs to know
//! has to remember elsewhere what was acknowledged.
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
//! | | what it takes | measured, on a busy core |
//! |---|---|---|
//! | append | one copy, one checksum, no allocation | 55 ns for 32 bytes, 540 ns for 4 KB |
//! | flush | one write request, no copy, no sync | what the disk takes |
//! | room | 16 bytes and padding to 16 a record; 64 bytes and padding to 4096 a flush | |
//! | scan | one checksum over every byte, in order | 3.4 GB/s for 100-byte records, 7.4 GB/s for 4 KB |
//! | walk over what was scanned | two reads a record | 16 ns a record |
//! | open and scan an empty log | two locks, a manifest, half a megabyte of zeros read | 0.2 ms warm, 1.1 ms cold |
//! | create a log | 4 MiB of zeros, four syncs | what the disk takes |
#![deny(unsafe_code)]

mod record;
mod segment;

mod flush;

mod appender;
mod scan;

mod manifest;

mod folder;

mod filling;
mod pace;

mod log_disk;

mod log_ring;

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
