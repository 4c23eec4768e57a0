//! Rings: how one process hands messages to another without a system call.
//!
//! A ring has one producer and one consumer and keeps each message until the consumer has *released* it, that is, has it
//! on disk. It outlives the death of either end: whoever comes after attaches to the same memory and goes on. The
//! same code runs over files in /dev/shm (live) and over the heap (simulator).
//!
//! # Layout
//!
//! ```text
//!      0  magic, version | capacity | base label | crc of the three        written once, when the ring is made
//!    128  published                                                       written by the producer
//!    256  read                                                            written by the consumer
//!    384  released                                                        written by the consumer
//!   4096  frames: `capacity` bytes, a power of two
//! ```
//!
//! The indexes are positions: bytes since the ring was made, never reduced modulo the capacity, so that full and empty
//! differ and an old index is never mistaken for a new one. `released <= read <= published <= released + capacity`.
//! A frame begins at a multiple of 16 and does not straddle the end of the memory:
//!
//! ```text
//!      0  payload length (28 bits) and kind (4 bits) | crc of position, this word, label and payload
//!      8  label
//!     16  payload, then anything up to the footer
//!     -8  footer: size of the frame | the same inverted        right before the next frame
//! ```
//!
//! Where the rest up to the end is too small for a frame, a *skip* frame fills it (its header only); it is published
//! together with the frame after it, so that the frame before `published` is always a message. A message of more than
//! a quarter of the capacity lies in a *spill* beside the ring (`spill.rs`) and its frame says only which.
//!
//! # Why it is right
//!
//! - One store of `published` commits everything pushed before it; a producer that dies before has published nothing,
//!   and its successor writes over what it left. The three indexes depend on no other store.
//! - The producer writes only between `published` and `min(released, start of the newest message) + capacity`. So what
//!   the consumer may read is never written to, and the newest message can always be found, from `published` alone by
//!   way of its footer: its label (and its clock) say how far the consumer can have seen the producer. With no message
//!   larger than a quarter, the newest message, a skip and the next message fit together, so this never gets stuck.
//! - `published` is stored with Release after the frames and loaded with Acquire before they are read; `released` is
//!   stored with Release after the last read and loaded with Acquire before the space is written to again.
//! - Everything read from the memory is checked before it is used, so a ring damaged by a process gone mad is an error
//!   that names the ring and the offset, and never a wild access. (A process that writes to a frame while it is
//!   being read breaks the rules of memory as well as those of the ring; nothing here can help against that.)

#![allow(unsafe_code)]

mod consumer;
mod producer;
mod spill;

pub use consumer::{Consumer, Frame};
pub use producer::{Full, Producer};

use crate::map::{self, Map};
use spill::Spills;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const MAGIC: u32 = u32::from_le_bytes(*b"SkRg");
const VERSION: u32 = 1;

/// Where things stand in the memory. The indexes lie two cache lines apart, because the prefetcher fetches pairs.
const CAPACITY_AT: usize = 8;
const BASE_LABEL_AT: usize = 16;
const CRC_AT: usize = 24;
const PUBLISHED_AT: usize = 128;
const READ_AT: usize = 256;
const RELEASED_AT: usize = 384;
const FRAMES_AT: usize = 4096;

/// Frames begin at multiples of this, so payloads do too and archived values can be read in place.
const ALIGNMENT: usize = 16;
const HEADER_BYTES: usize = 16;
const FOOTER_BYTES: usize = 8;

/// The smallest ring: a quarter of it must hold the frame of a spill.
pub const CAPACITY_MIN: usize = 256;
/// The largest ring: a quarter of it must fit the 28 bits of a frame's length.
pub const CAPACITY_MAX: usize = 1 << 29;
/// The largest message, which lies in a spill.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;

const _: () = assert!(frame_bytes(spill::REFERENCE_BYTES) <= CAPACITY_MIN / 4);
const _: () = assert!(CAPACITY_MAX / 4 <= 1 << KIND_SHIFT);
const _: () = assert!(HEADER_BYTES.is_multiple_of(ALIGNMENT) && FRAMES_AT.is_multiple_of(64));

/// A position up to which a ring has been consumed: the end of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// A ring whose contents cannot be used. Whoever meets it tells the supervisor, which makes all rings anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The memory does not hold what a ring must hold there.
    #[error("ring {ring}: {what} at offset {offset}")]
    Corrupt {
        /// Name of the ring.
        ring: String,
        /// Byte offset in its memory.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Another producer or consumer is attached to this end.
    #[error("ring {ring}: its {end} end is in use by another process")]
    InUse {
        /// Name of the ring.
        ring: String,
        /// Which end.
        end: &'static str,
    },
    /// The file cannot be made, opened or mapped.
    #[error("ring {ring}: {source}")]
    Io {
        /// Name of the ring.
        ring: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Kinds of frame, in the upper bits of the length word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message = 1,
    Skip = 2,
    Spill = 3,
}

const KIND_SHIFT: u32 = 28;

/// The header of a frame, decoded.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: Kind,
    length: usize,
    crc: u32,
    label: u64,
}

/// The whole size of a frame with that much payload.
const fn frame_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes + FOOTER_BYTES).next_multiple_of(ALIGNMENT)
}

fn length_word(kind: Kind, length: usize) -> u32 {
    assert!(length < 1 << KIND_SHIFT);
    (kind as u32) << KIND_SHIFT | length as u32
}

/// The position is part of the checksum so that a frame of an earlier lap never passes for one of this lap.
fn frame_crc(position: u64, length_word: u32, label: u64, payload: &[u8]) -> u32 {
    let mut prefix = [0; 20];
    prefix[..8].copy_from_slice(&position.to_le_bytes());
    prefix[8..12].copy_from_slice(&length_word.to_le_bytes());
    prefix[12..].copy_from_slice(&label.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&prefix);
    hasher.update(payload);
    hasher.finalize()
}

/// The memory of a ring, to which a producer and a consumer attach. Clones are the same memory.
#[derive(Clone)]
pub struct RingMemory(Arc<Inner>);

struct Inner {
    name: String,
    map: Map,
    capacity: usize,
    spills: Spills,
    /// Whether each end is attached through this mapping; the file locks tell of other processes.
    attached: [AtomicBool; 2],
}

/// Which end of a ring.
#[derive(Clone, Copy)]
enum End {
    Producer,
    Consumer,
}

impl RingMemory {
    /// A ring in this process. `base_label` is the newest label while nothing has been published.
    pub fn heap(capacity: usize, base_label: u64) -> RingMemory {
        check_capacity(capacity);
        let map = Map::heap(FRAMES_AT + capacity);
        let memory = RingMemory::over("on the heap".into(), map, capacity, Spills::heap());
        memory.write_header(base_label);
        memory
    }

    /// Makes a ring in a file that must not exist yet. `base_label` is as for [`RingMemory::heap`].
    pub fn create(path: &Path, capacity: usize, base_label: u64) -> Result<RingMemory, RingError> {
        check_capacity(capacity);
        let map = Map::create(path, FRAMES_AT + capacity).map_err(|e| io_error(path, e))?;
        let memory = RingMemory::over(path.display().to_string(), map, capacity, Spills::beside(path));
        memory.write_header(base_label);
        Ok(memory)
    }

    /// Opens a ring that [`RingMemory::create`] made.
    pub fn open(path: &Path) -> Result<RingMemory, RingError> {
        let map = Map::open(path).map_err(|e| io_error(path, e))?;
        let name = path.display().to_string();
        let corrupt =
            |offset: usize, what| RingError::Corrupt { ring: name.clone(), offset: offset as u64, what };
        if map.bytes() < FRAMES_AT + CAPACITY_MIN {
            return Err(corrupt(map.bytes(), "file too short"));
        }
        let capacity = map.word(CAPACITY_AT).load(Ordering::Relaxed);
        let fits = u64::try_from(map.bytes() - FRAMES_AT).is_ok_and(|room| room == capacity);
        if !fits || !capacity.is_power_of_two() || capacity > CAPACITY_MAX as u64 {
            return Err(corrupt(CAPACITY_AT, "bad capacity"));
        }
        let memory = RingMemory::over(name.clone(), map, capacity as usize, Spills::beside(path));
        memory.check_header()?;
        Ok(memory)
    }

    /// Removes the file of a ring and its spills. Processes that have it mapped may go on using it.
    pub fn remove(path: &Path) -> io::Result<()> {
        Spills::beside(path).remove_all()?;
        std::fs::remove_file(path)
    }

    fn over(name: String, map: Map, capacity: usize, spills: Spills) -> RingMemory {
        let attached = [AtomicBool::new(false), AtomicBool::new(false)];
        RingMemory(Arc::new(Inner { name, map, capacity, spills, attached }))
    }

    fn write_header(&self, base_label: u64) {
        let map = &self.0.map;
        // Relaxed: nobody else knows of this memory before it is handed over, which synchronises.
        map.word(0).store(u64::from(VERSION) << 32 | u64::from(MAGIC), Ordering::Relaxed);
        map.word(CAPACITY_AT).store(self.0.capacity as u64, Ordering::Relaxed);
        map.word(BASE_LABEL_AT).store(base_label, Ordering::Relaxed);
        map.word(CRC_AT).store(u64::from(self.header_crc()), Ordering::Relaxed);
    }

    fn header_crc(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for at in [0, CAPACITY_AT, BASE_LABEL_AT] {
            hasher.update(&self.0.map.word(at).load(Ordering::Relaxed).to_le_bytes());
        }
        hasher.finalize()
    }

    fn check_header(&self) -> Result<(), RingError> {
        let word = |at: usize| self.0.map.word(at).load(Ordering::Relaxed);
        if word(0) as u32 != MAGIC {
            return Err(self.corrupt(0, "bad magic"));
        }
        if word(0) >> 32 != u64::from(VERSION) {
            return Err(self.corrupt(4, "unknown version"));
        }
        if word(CAPACITY_AT) != self.0.capacity as u64 {
            return Err(self.corrupt(CAPACITY_AT, "bad capacity"));
        }
        if word(CRC_AT) != u64::from(self.header_crc()) {
            return Err(self.corrupt(CRC_AT, "header fails its checksum"));
        }
        Ok(())
    }

    /// The name that errors carry: its path, if it has one.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Bytes for frames.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// The largest frame that lies in the ring itself.
    fn frame_bytes_max(&self) -> usize {
        self.0.capacity / 4
    }

    fn base_label(&self) -> u64 {
        self.0.map.word(BASE_LABEL_AT).load(Ordering::Relaxed)
    }

    #[inline]
    fn index(&self, at: usize) -> &AtomicU64 {
        self.0.map.word(at)
    }

    /// Where a position lies among the frames.
    #[inline]
    fn place(&self, position: u64) -> usize {
        (position & (self.0.capacity as u64 - 1)) as usize
    }

    fn corrupt(&self, offset: usize, what: &'static str) -> RingError {
        RingError::Corrupt { ring: self.0.name.clone(), offset: offset as u64, what }
    }

    /// The error for a frame at `position`.
    fn bad_frame(&self, position: u64, what: &'static str) -> RingError {
        self.corrupt(FRAMES_AT + self.place(position), what)
    }

    /// The three indexes, consistent with each other. `Acquire` pairs with the Release store of whoever wrote them, so
    /// the frames below `published` are visible.
    fn indexes(&self) -> Result<Indexes, RingError> {
        let released = self.index(RELEASED_AT).load(Ordering::Acquire);
        let read = self.index(READ_AT).load(Ordering::Acquire);
        let published = self.index(PUBLISHED_AT).load(Ordering::Acquire);
        let aligned = |position: u64| position.is_multiple_of(ALIGNMENT as u64);
        if !aligned(published) || published.wrapping_sub(released) > self.0.capacity as u64 {
            return Err(self.corrupt(PUBLISHED_AT, "bad published index"));
        }
        if !aligned(released) || released > published {
            return Err(self.corrupt(RELEASED_AT, "bad released index"));
        }
        if !aligned(read) || read < released || read > published {
            return Err(self.corrupt(READ_AT, "bad read index"));
        }
        Ok(Indexes { published, released })
    }

    /// Takes one end for the caller alone.
    fn take_end(&self, end: End) -> Result<(), RingError> {
        self.check_header()?;
        let in_use = || {
            let end = ["producer", "consumer"][end as usize];
            RingError::InUse { ring: self.0.name.clone(), end }
        };
        // AcqRel: what the previous holder in this process wrote happens before what this one does.
        if self.0.attached[end as usize].swap(true, Ordering::AcqRel) {
            return Err(in_use());
        }
        let Some(file) = self.0.map.file() else { return Ok(()) };
        let locked = map::lock_byte(file, end as u64);
        if let Ok(true) = locked {
            return Ok(());
        }
        self.0.attached[end as usize].store(false, Ordering::Release);
        match locked {
            Ok(_) => Err(in_use()),
            Err(source) => Err(RingError::Io { ring: self.0.name.clone(), source }),
        }
    }

    fn free_end(&self, end: End) {
        if let Some(file) = self.0.map.file() {
            map::unlock_byte(file, end as u64);
        }
        self.0.attached[end as usize].store(false, Ordering::Release);
    }

    /// Reads the header of the frame at `position`, which must lie below `published` (as loaded with Acquire).
    /// Returns it with the position after the frame.
    fn header(&self, position: u64, published: u64) -> Result<(Header, u64), RingError> {
        let place = self.place(position);
        // SAFETY: 16 bytes from a 16-aligned place below a capacity that is a multiple of 16 lie within the memory; the
        // producer does not write below `published` before they are released.
        let bytes = unsafe { self.0.map.slice(FRAMES_AT + place, HEADER_BYTES) };
        let word = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        let crc = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
        let label = u64::from_le_bytes(bytes[8..].try_into().expect("eight bytes"));
        let length = (word & ((1 << KIND_SHIFT) - 1)) as usize;
        let kind = match word >> KIND_SHIFT {
            1 => Kind::Message,
            2 => Kind::Skip,
            3 => Kind::Spill,
            _ => return Err(self.bad_frame(position, "unknown kind of frame")),
        };
        let size = if kind == Kind::Skip { self.0.capacity - place } else { frame_bytes(length) };
        let end = position + size as u64;
        let fits = size <= self.frame_bytes_max() && place + size <= self.0.capacity && end <= published;
        if !fits || (kind == Kind::Skip && end == published) {
            return Err(self.bad_frame(position, "bad frame length"));
        }
        Ok((Header { kind, length, crc, label }, end))
    }

    /// The payload of the frame at `position`, whose header has been read.
    ///
    /// # Safety
    /// The frame must not be overwritten while the slice lives: it is not released, or it is the newest.
    unsafe fn payload(&self, position: u64, length: usize) -> &[u8] {
        // SAFETY: `header` has checked that the frame lies within the memory; the caller vouches for the rest.
        unsafe { self.0.map.slice(FRAMES_AT + self.place(position) + HEADER_BYTES, length) }
    }

    /// Checks a frame's checksum and footer.
    fn verify(&self, position: u64, end: u64, header: &Header, payload: &[u8]) -> Result<(), RingError> {
        let word = length_word(header.kind, header.length);
        if frame_crc(position, word, header.label, payload) != header.crc {
            return Err(self.bad_frame(position, "frame fails its checksum"));
        }
        if header.kind != Kind::Skip && self.footer(end)? != end - position {
            return Err(self.bad_frame(end - FOOTER_BYTES as u64, "footer does not match its frame"));
        }
        Ok(())
    }

    /// The size of the frame that ends at `end`.
    fn footer(&self, end: u64) -> Result<u64, RingError> {
        let at = end - FOOTER_BYTES as u64;
        // SAFETY: the eight bytes before a 16-aligned position lie within the memory; the producer does not write
        // below `published` while the frame is the newest or unreleased.
        let bytes = unsafe { self.0.map.slice(FRAMES_AT + self.place(at), FOOTER_BYTES) };
        let size = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        let inverted = u32::from_le_bytes(bytes[4..].try_into().expect("four bytes"));
        let whole = size == !inverted && (size as usize) <= self.frame_bytes_max() && u64::from(size) <= end;
        if whole && (size as usize).is_multiple_of(ALIGNMENT) && size as usize > HEADER_BYTES {
            return Ok(u64::from(size));
        }
        Err(self.bad_frame(at, "bad footer"))
    }
}

/// Positions that have passed their checks.
#[derive(Clone, Copy)]
struct Indexes {
    published: u64,
    released: u64,
}

fn check_capacity(capacity: usize) {
    assert!(capacity.is_power_of_two(), "a ring's capacity is a power of two");
    assert!(capacity >= CAPACITY_MIN);
    assert!(capacity <= CAPACITY_MAX);
}

fn io_error(path: &Path, source: io::Error) -> RingError {
    RingError::Io { ring: path.display().to_string(), source }
}

/// Where the spills of the ring at `path` lie.
fn spill_folder(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".spills");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
