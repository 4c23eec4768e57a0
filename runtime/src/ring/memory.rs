//! The memory of a ring: made, opened, attached to, and its indexes.

use super::spill::Spills;
use super::*;
use crate::map::{self, Map};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The memory of a ring, to which a producer and a consumer attach. Clones are the same memory.
pub struct RingMemory<S = Map>(Arc<Inner<S>>);

struct Inner<S> {
    name: String,
    storage: S,
    capacity: usize,
    spills: Spills,
    /// Whether each end is attached through this mapping; the file locks tell of other processes.
    attached: [AtomicBool; 2],
}

/// Which end of a ring.
#[derive(Clone, Copy)]
pub(super) enum End {
    Producer,
    Consumer,
}

/// Positions that have passed their checks.
#[derive(Clone, Copy)]
pub(super) struct Indexes {
    pub(super) published: u64,
    pub(super) released: u64,
}

impl<S> Clone for RingMemory<S> {
    fn clone(&self) -> RingMemory<S> {
        RingMemory(Arc::clone(&self.0))
    }
}

impl RingMemory {
    /// A ring in this process. `base_label` is the newest label while nothing has been published.
    pub fn heap(capacity: usize, base_label: u64) -> RingMemory {
        RingMemory::make(
            "on the heap".into(),
            Map::heap(FRAMES_AT + capacity),
            capacity,
            base_label,
            Spills::heap(),
        )
    }

    /// Makes a ring in a file that must not exist yet. `base_label` is as for [`RingMemory::heap`].
    pub fn create(path: &Path, capacity: usize, base_label: u64) -> Result<RingMemory, RingError> {
        let map = Map::create(path, FRAMES_AT + capacity).map_err(|e| io_error(path, e))?;
        let name = path.display().to_string();
        Ok(RingMemory::make(name, map, capacity, base_label, Spills::beside(path)))
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

    /// Flips bits of the word at `offset`, as a process gone mad may; for the simulator.
    pub(crate) fn damage(&self, offset: usize, flip: u64) {
        self.0.storage.word(offset).fetch_xor(flip, Ordering::Relaxed);
    }

    /// Removes the file of a ring and its spills. Processes that have it mapped may go on using it.
    pub fn remove(path: &Path) -> io::Result<()> {
        Spills::beside(path).remove_all()?;
        std::fs::remove_file(path)
    }
}

impl<S: Storage> RingMemory<S> {
    /// A new ring in zeroed storage.
    pub(super) fn make(
        name: String,
        storage: S,
        capacity: usize,
        base_label: u64,
        spills: Spills,
    ) -> RingMemory<S> {
        assert!(capacity.is_power_of_two(), "a ring's capacity is a power of two");
        assert!(capacity >= CAPACITY_MIN);
        assert!(capacity <= CAPACITY_MAX);
        let memory = RingMemory::over(name, storage, capacity, spills);
        memory.write_header(base_label);
        memory
    }

    fn over(name: String, storage: S, capacity: usize, spills: Spills) -> RingMemory<S> {
        let attached = [AtomicBool::new(false), AtomicBool::new(false)];
        RingMemory(Arc::new(Inner { name, storage, capacity, spills, attached }))
    }

    fn write_header(&self, base_label: u64) {
        // Relaxed: nobody else knows of this memory before it is handed over, which synchronises.
        let set = |at: usize, word: u64| self.0.storage.store(at, word, Ordering::Relaxed);
        set(0, u64::from(VERSION) << 32 | u64::from(MAGIC));
        set(CAPACITY_AT, self.0.capacity as u64);
        set(BASE_LABEL_AT, base_label);
        set(CRC_AT, u64::from(self.header_crc()));
        [PUBLISHED_AT, READ_AT, RELEASED_AT].iter().for_each(|at| set(*at, index::encode(0)));
    }

    fn header_word(&self, at: usize) -> u64 {
        // Relaxed: the header is written before the memory is handed over, and never again.
        self.0.storage.load(at, Ordering::Relaxed)
    }

    fn header_crc(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for at in [0, CAPACITY_AT, BASE_LABEL_AT] {
            hasher.update(&self.header_word(at).to_le_bytes());
        }
        hasher.finalize()
    }

    fn check_header(&self) -> Result<(), RingError> {
        if self.header_word(0) as u32 != MAGIC {
            return Err(self.corrupt(0, "bad magic"));
        }
        if self.header_word(0) >> 32 != u64::from(VERSION) {
            return Err(self.corrupt(4, "unknown version"));
        }
        if self.header_word(CAPACITY_AT) != self.0.capacity as u64 {
            return Err(self.corrupt(CAPACITY_AT, "bad capacity"));
        }
        if self.header_word(CRC_AT) != u64::from(self.header_crc()) {
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
    pub(super) fn frame_bytes_max(&self) -> usize {
        self.0.capacity / 4
    }

    pub(super) fn base_label(&self) -> u64 {
        self.header_word(BASE_LABEL_AT)
    }

    #[inline]
    pub(super) fn storage(&self) -> &S {
        &self.0.storage
    }

    pub(super) fn spills(&self) -> &Spills {
        &self.0.spills
    }

    /// Where a position lies among the frames.
    #[inline]
    pub(super) fn place(&self, position: u64) -> usize {
        (position & (self.0.capacity as u64 - 1)) as usize
    }

    #[cold]
    pub(super) fn corrupt(&self, offset: usize, what: &'static str) -> RingError {
        RingError::Corrupt { ring: self.0.name.clone(), offset: offset as u64, what }
    }

    /// The error for a frame at `position`.
    #[cold]
    pub(super) fn bad_frame(&self, position: u64, what: &'static str) -> RingError {
        self.corrupt(FRAMES_AT + self.place(position), what)
    }

    /// An index, which must lie between two positions. `Acquire` pairs with the Release store of whoever wrote it, so
    /// what was done before that is visible: the frames below `published`, the end of all reads below `released`.
    #[inline]
    pub(super) fn index(&self, at: usize, least: u64, most: u64) -> Result<u64, RingError> {
        let Some(position) = index::decode(self.0.storage.load(at, Ordering::Acquire)) else {
            return Err(self.corrupt(at, "an index fails its checksum"));
        };
        if position < least {
            return Err(self.corrupt(at, "an index has gone back"));
        }
        if position > most {
            return Err(self.corrupt(at, "an index is too far ahead"));
        }
        Ok(position)
    }

    /// Sets an index. `Release` pairs with the Acquire load in [`Self::index`].
    #[inline]
    pub(super) fn set_index(&self, at: usize, position: u64) {
        self.0.storage.store(at, index::encode(position), Ordering::Release);
    }

    /// The word of an index as it is: a hint, which changes when the index does.
    #[inline]
    pub(super) fn index_hint(&self, at: usize) -> u64 {
        self.0.storage.load(at, Ordering::Relaxed)
    }

    /// The indexes, consistent with each other, for whoever attaches.
    pub(super) fn indexes(&self) -> Result<Indexes, RingError> {
        // In this order none can be overtaken by the one before it while the other end is at work.
        let released = self.index(RELEASED_AT, 0, index::POSITION_MAX)?;
        let read = self.index(READ_AT, 0, index::POSITION_MAX)?;
        let published = self.index(PUBLISHED_AT, 0, index::POSITION_MAX)?;
        if published < released || published - released > self.0.capacity as u64 {
            return Err(self.corrupt(PUBLISHED_AT, "the published index does not fit the released one"));
        }
        if read < released || read > published {
            return Err(self.corrupt(READ_AT, "the read index does not fit the others"));
        }
        Ok(Indexes { published, released })
    }

    /// Takes one end for the caller alone.
    pub(super) fn take_end(&self, end: End) -> Result<(), RingError> {
        self.check_header()?;
        let in_use = || {
            let end = ["producer", "consumer"][end as usize];
            RingError::InUse { ring: self.0.name.clone(), end }
        };
        // AcqRel: what the previous holder in this process wrote happens before what this one does.
        if self.0.attached[end as usize].swap(true, Ordering::AcqRel) {
            return Err(in_use());
        }
        let Some(file) = self.0.storage.file() else { return Ok(()) };
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

    pub(super) fn free_end(&self, end: End) {
        if let Some(file) = self.0.storage.file() {
            map::unlock_byte(file, end as u64);
        }
        self.0.attached[end as usize].store(false, Ordering::Release);
    }
}

fn io_error(path: &Path, source: io::Error) -> RingError {
    RingError::Io { ring: path.display().to_string(), source }
}

/// Where the spills of the ring at `path` lie.
pub(super) fn spill_folder(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".spills");
    PathBuf::from(name)
}
