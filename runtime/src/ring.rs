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
//!    128  published, an index                                             written by the producer
//!    256  read, an index                                                  written by the consumer
//!    384  released, an index                                              written by the consumer
//!   4096  frames: `capacity` bytes, a power of two
//! ```
//!
//! The indexes are positions: bytes since the ring was made, never reduced modulo the capacity, so that full and empty
//! differ and an old index is never mistaken for a new one. `released <= read <= published <= released + capacity`.
//! A word that holds an index carries a checksum of it (`index.rs`).
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
//! - Everything read from the memory is checked before it is used: an index against its checksum, against the last one
//!   read (it never goes back) and against the capacity, a frame against its checksum and its footer. So a ring damaged by a
//!   process gone mad is an error that names the ring and the offset, and never a wild access. (A process that writes
//!   to a frame while it is being read breaks the rules of memory as well as those of the ring; nothing here can help
//!   against that.)
//!
//! `model.rs` has a model checker go through all interleavings of a producer and a consumer, with the memory orders as
//! they stand here.

#![allow(unsafe_code)]

mod consumer;
mod frame;
mod index;
mod memory;
mod producer;
mod spill;
mod storage;

pub use consumer::{Consumer, Frame};
pub use memory::RingMemory;
pub use producer::{Producer, PushError};
pub use storage::Storage;

use std::io;

const MAGIC: u32 = u32::from_le_bytes(*b"SkRg");
const VERSION: u32 = 2;

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

const _: () = assert!(frame::frame_bytes(spill::REFERENCE_BYTES) <= CAPACITY_MIN / 4);
const _: () = assert!(CAPACITY_MAX / 4 <= 1 << frame::KIND_SHIFT);
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

#[cfg(test)]
mod damage;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
