//! Messages too large for a ring.
//!
//! A message of more than a quarter of a ring's capacity is written to a file beside the ring, or kept on the heap
//! where the ring itself is, under the position of the frame that refers to it. It is written before its frame is
//! published, and removed by the producer once the frame has been released and is no longer the newest; so whoever
//! finds a published frame finds its spill. A producer that attaches removes what its predecessor left unpublished.
//!
//! The frame's payload is a reference: length (u64), crc32 of the message (u32), four zero bytes.

use super::memory::spill_folder;
use super::{RingError, RingMemory, Storage};
use crate::map::Map;
use rkyv::util::AlignedVec;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Size of a reference to a spill.
pub(super) const REFERENCE_BYTES: usize = 16;

/// A message on the heap, where others that hold it may still read it after its removal.
type Kept = Arc<AlignedVec>;

/// The spills of one ring.
pub(super) enum Spills {
    Heap(Mutex<BTreeMap<u64, Kept>>),
    Beside(PathBuf),
}

/// A spill that has been opened and checked.
pub(super) enum Spill {
    Heap(Kept),
    File(Map),
}

/// What the frame of a spill says about it.
pub(super) struct Reference {
    pub(super) length: u64,
    pub(super) crc: u32,
}

impl Reference {
    pub(super) fn of(message: &[u8]) -> Reference {
        Reference { length: message.len() as u64, crc: crc32fast::hash(message) }
    }

    pub(super) fn encode(&self) -> [u8; REFERENCE_BYTES] {
        let mut bytes = [0; REFERENCE_BYTES];
        bytes[..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Reference> {
        let bytes: &[u8; REFERENCE_BYTES] = bytes.try_into().ok()?;
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
        let crc = u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes"));
        Some(Reference { length, crc })
    }
}

impl Spill {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Spill::Heap(message) => message,
            // SAFETY: a spill is written once, before its frame is published, and never changed after.
            Spill::File(map) => unsafe { map.slice(0, map.bytes()) },
        }
    }
}

impl Spills {
    pub(super) fn heap() -> Spills {
        Spills::Heap(Mutex::default())
    }

    pub(super) fn beside(ring: &Path) -> Spills {
        Spills::Beside(spill_folder(ring))
    }

    /// Writes the spill of the frame at `position`, over one that was never published.
    pub(super) fn write(&self, position: u64, message: &[u8]) -> io::Result<()> {
        match self {
            Spills::Heap(kept) => {
                let mut copy = AlignedVec::new();
                copy.extend_from_slice(message);
                lock(kept).insert(position, Arc::new(copy));
                Ok(())
            }
            Spills::Beside(folder) => {
                let path = folder.join(position.to_string());
                // Unpublished leftovers only; that there is none is the normal case.
                let _ = fs::remove_file(&path);
                match fs::create_dir(folder) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                    _ => {}
                }
                let map = Map::create(&path, message.len())?;
                // SAFETY: nobody knows of the new file before its frame is published.
                unsafe { map.write(0, message) };
                Ok(())
            }
        }
    }

    /// Opens and checks the spill of the frame at `position`.
    pub(super) fn read(
        &self,
        ring: &RingMemory<impl Storage>,
        position: u64,
        reference: &[u8],
    ) -> Result<Spill, RingError> {
        let bad = |what| ring.bad_frame(position, what);
        let reference = Reference::decode(reference).ok_or(bad("bad reference to a spill"))?;
        let spill = match self {
            Spills::Heap(kept) => lock(kept).get(&position).cloned().map(Spill::Heap),
            Spills::Beside(folder) => Map::open(&folder.join(position.to_string())).ok().map(Spill::File),
        };
        let spill = spill.ok_or(bad("the spill of this frame is missing"))?;
        if spill.bytes().len() as u64 != reference.length {
            return Err(bad("the spill of this frame has another length"));
        }
        if crc32fast::hash(spill.bytes()) != reference.crc {
            return Err(bad("the spill of this frame fails its checksum"));
        }
        Ok(spill)
    }

    /// Removes the spill of the frame at `position`, if it is there.
    pub(super) fn remove(&self, position: u64) {
        match self {
            Spills::Heap(kept) => drop(lock(kept).remove(&position)),
            // A spill that cannot be removed costs memory until the ring is removed, and nothing else.
            Spills::Beside(folder) => drop(fs::remove_file(folder.join(position.to_string()))),
        }
    }

    /// Removes all of them.
    pub(super) fn remove_all(&self) -> io::Result<()> {
        match self {
            Spills::Heap(kept) => lock(kept).clear(),
            Spills::Beside(folder) => match fs::remove_dir_all(folder) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            },
        }
        Ok(())
    }

    /// Positions of the spills that are there, in order.
    pub(super) fn positions(&self) -> io::Result<Vec<u64>> {
        let folder = match self {
            Spills::Heap(kept) => return Ok(lock(kept).keys().copied().collect()),
            Spills::Beside(folder) => folder,
        };
        let entries = match fs::read_dir(folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut positions = Vec::new();
        for entry in entries {
            positions.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        positions.sort_unstable();
        Ok(positions)
    }
}

fn lock(kept: &Mutex<BTreeMap<u64, Kept>>) -> std::sync::MutexGuard<'_, BTreeMap<u64, Kept>> {
    kept.lock().expect("no holder of this lock can panic")
}
