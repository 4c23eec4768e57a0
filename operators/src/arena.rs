//! An arena: blocks of bytes at 32-bit positions, without an allocation per block.
//!
//! Blocks come from the free list of their size class, or else from the end of the newest chunk. A position counts
//! units of 8 bytes, so an arena addresses 32 GiB. Chunks never move and are filled with zeros only as far as
//! they are used: growing costs no copying, and memory that was never used is never touched. Nothing is given back
//! to the system; what was freed is used again for blocks of the same class.

/// Where a block lies, in units of 8 bytes. Never 0, so that 0 can mean "nowhere".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u32);

const UNIT: usize = 8;

/// A chunk is 32 MiB: from there on the allocator asks the system for each chunk by itself, so what is not yet
/// used costs address space only.
const CHUNK_BITS: u32 = 22;
const CHUNK_BYTES: usize = (1 << CHUNK_BITS) * UNIT;

/// There are as many chunks as positions of 32 bits can tell apart: 1024 of 32 MiB.
const CHUNK_COUNT_MAX: usize = 1 << (u32::BITS - CHUNK_BITS);

/// Bytes are made usable in steps that double from the first to the second of these: a shard has dozens of arenas, and
/// one that starts should not have to zero megabytes for a few rows.
const GROWTH_BYTES_MIN: usize = 4 << 10;
const GROWTH_BYTES_MAX: usize = 64 << 10;

/// Blocks above this size get a chunk of their own, so that they do not leave holes at the ends of chunks.
const SHARED_CHUNK_BLOCK_MAX: usize = CHUNK_BYTES / 8;

/// Up to this many units every size has its own class; above, each power of two has 8 classes.
const EXACT_CLASSES: usize = 64;
const CLASS_COUNT: usize = EXACT_CLASSES + 8 * 26;

/// Blocks of bytes at stable positions.
#[derive(Debug)]
pub struct Arena {
    /// A chunk's length says how far it is usable.
    chunks: Vec<Vec<u8>>,
    /// The chunk that new blocks come from.
    current: usize,
    /// How far the current chunk is given out, in bytes.
    used: usize,
    /// The length of the current chunk.
    usable: usize,
    /// The first free block of each class, or 0. A free block begins with the position of the next one.
    free: Box<[u32; CLASS_COUNT]>,
    /// Bytes given out and not freed, rounded up to their classes.
    live_bytes: u64,
}

impl Default for Arena {
    fn default() -> Self {
        Arena {
            chunks: Vec::new(),
            current: 0,
            used: 0,
            usable: 0,
            free: Box::new([0; CLASS_COUNT]),
            live_bytes: 0,
        }
    }
}

impl Arena {
    /// A block of at least `size` bytes, with whatever was there before, or `None` when the arena is full.
    #[inline]
    pub fn allocate(&mut self, size: usize) -> Option<Position> {
        let (class, units) = class_of(size);
        let bytes = units * UNIT;
        self.live_bytes += bytes as u64;
        let free = self.free[class];
        if free != 0 {
            self.free[class] = crate::row::u32_at(self.bytes(Position(free)), 0);
            return Some(Position(free));
        }
        if self.used + bytes <= self.usable {
            let position = join(self.current, self.used);
            self.used += bytes;
            return Some(position);
        }
        let position = self.extend(bytes);
        if position.is_none() {
            self.live_bytes -= bytes as u64;
        }
        position
    }

    /// Gives back a block that was allocated with this size.
    #[inline]
    pub fn free(&mut self, position: Position, size: usize) {
        let (class, units) = class_of(size);
        let next = self.free[class];
        self.bytes_mut(position)[..4].copy_from_slice(&next.to_le_bytes());
        self.free[class] = position.0;
        self.live_bytes -= (units * UNIT) as u64;
    }

    /// Whether blocks of up to `bytes` in all, none of them above 1 MiB, can surely be allocated.
    pub fn has_room(&self, bytes: usize) -> bool {
        // Rounding to classes adds at most an eighth; each chunk may lose a block's length at its end.
        let chunks = bytes / (CHUNK_BYTES / 2) + 2;
        self.chunks.len() + chunks <= CHUNK_COUNT_MAX
    }

    /// The bytes from `position` on, up to the end of its chunk.
    #[inline]
    pub fn bytes(&self, position: Position) -> &[u8] {
        let (chunk, offset) = split(position);
        &self.chunks[chunk][offset..]
    }

    /// Reads from the lines of memory that a block of usual size takes, to have them in the cache.
    #[inline]
    pub fn touch(&self, position: Position) -> u8 {
        let bytes = self.bytes(position);
        bytes[0] ^ bytes.get(64).copied().unwrap_or_default()
    }

    /// The bytes from `position` on, to be written.
    #[inline]
    pub fn bytes_mut(&mut self, position: Position) -> &mut [u8] {
        let (chunk, offset) = split(position);
        &mut self.chunks[chunk][offset..]
    }

    /// Whether two blocks of this size have the same class, so that one can take the other's place.
    #[inline]
    pub fn same_class(a: usize, b: usize) -> bool {
        class_of(a).0 == class_of(b).0
    }

    /// Bytes in blocks that are in use.
    #[cfg(test)]
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Bytes taken from the system.
    pub fn held_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// A new block at the end of the current chunk, of which more is made usable, or in a new chunk.
    #[cold]
    fn extend(&mut self, bytes: usize) -> Option<Position> {
        if self.chunks.is_empty() {
            // Position 0 is nowhere: the very first unit is never given out.
            self.current = self.new_chunk(CHUNK_BYTES)?;
            self.used = UNIT;
        }
        if bytes > SHARED_CHUNK_BLOCK_MAX {
            // Positions count from the start of the chunk, so a chunk of any length is fine for a single block.
            let chunk = self.new_chunk(bytes)?;
            self.chunks[chunk].resize(bytes, 0);
            return Some(join(chunk, 0));
        }
        if self.used + bytes > CHUNK_BYTES {
            self.current = self.new_chunk(CHUNK_BYTES)?;
            self.used = 0;
        }
        let offset = self.used;
        self.used += bytes;
        let chunk = &mut self.chunks[self.current];
        if self.used > chunk.len() {
            let step = self.used.next_power_of_two().clamp(GROWTH_BYTES_MIN, GROWTH_BYTES_MAX);
            chunk.resize(self.used.next_multiple_of(step).min(CHUNK_BYTES), 0);
        }
        self.usable = chunk.len();
        Some(join(self.current, offset))
    }

    fn new_chunk(&mut self, bytes: usize) -> Option<usize> {
        if self.chunks.len() == CHUNK_COUNT_MAX {
            return None;
        }
        self.chunks.push(Vec::with_capacity(bytes));
        Some(self.chunks.len() - 1)
    }
}

/// The class of a size, and the units that a block of this class has.
#[inline]
fn class_of(size: usize) -> (usize, usize) {
    let units = size.div_ceil(UNIT).max(1);
    if units <= EXACT_CLASSES {
        return (units - 1, units);
    }
    let power = usize::BITS - 1 - (units - 1).leading_zeros();
    let step = 1usize << (power - 3);
    let rounded = units.next_multiple_of(step);
    // Within one power of two, `rounded` takes 8 values above 2^power.
    let eighth = (rounded >> (power - 3)) - 9;
    (EXACT_CLASSES + (power as usize - 6) * 8 + eighth, rounded)
}

#[inline]
fn split(position: Position) -> (usize, usize) {
    let units = position.0 as usize;
    (units >> CHUNK_BITS, (units & ((1 << CHUNK_BITS) - 1)) * UNIT)
}

#[inline]
fn join(chunk: usize, offset: usize) -> Position {
    debug_assert_eq!(offset % UNIT, 0);
    Position(((chunk << CHUNK_BITS) | (offset / UNIT)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_their_sizes() {
        let mut last = (0, 0);
        for size in 1..200_000 {
            let (class, units) = class_of(size);
            assert!(units * UNIT >= size, "size {size} in {units} units");
            assert!(class < CLASS_COUNT);
            assert!((class, units) >= last, "classes grow with the size");
            assert_eq!(class == last.0, units == last.1 || last.1 == 0, "one size of block per class");
            last = (class, units);
        }
    }

    #[test]
    fn freed_blocks_are_used_again() {
        let mut arena = Arena::default();
        let a = arena.allocate(40).expect("there is room");
        let b = arena.allocate(40).expect("there is room");
        arena.bytes_mut(a)[..40].fill(1);
        arena.bytes_mut(b)[..40].fill(2);
        arena.free(a, 40);
        let c = arena.allocate(36).expect("there is room");
        assert_eq!(c, a);
        assert!(arena.bytes(b)[..40].iter().all(|byte| *byte == 2));
        assert_eq!(arena.live_bytes(), 80);
    }

    #[test]
    fn large_blocks_and_many_chunks() {
        let mut arena = Arena::default();
        let mut random = fastrand::Rng::with_seed(1);
        let mut blocks = Vec::new();
        let large = arena.allocate(CHUNK_BYTES + 100).expect("there is room");
        arena.bytes_mut(large)[..CHUNK_BYTES + 100].fill(9);
        for i in 0..3000u32 {
            let size = random.usize(8..60_000);
            let position = arena.allocate(size).expect("there is room");
            assert_ne!(position.0, 0);
            arena.bytes_mut(position)[..size].fill(i as u8);
            blocks.push((position, size, i as u8));
        }
        for (position, size, fill) in blocks {
            assert!(arena.bytes(position)[..size].iter().all(|byte| *byte == fill));
        }
        assert!(arena.bytes(large)[..CHUNK_BYTES + 100].iter().all(|byte| *byte == 9));
    }
}
