//! What a ring lies in.
//!
//! A ring needs words that are loaded and stored whole, and bytes that its protocol keeps from being read and written at
//! once. A [`Map`] has both, on the heap or in a file; the tests have a third kind, watched by a model checker.

use crate::map::Map;
use std::fs::File;
use std::sync::atomic::Ordering;

/// Memory that both ends of a ring reach.
pub trait Storage {
    /// The word at `offset`, a multiple of 8.
    fn load(&self, offset: usize, order: Ordering) -> u64;

    /// Sets the word at `offset`.
    fn store(&self, offset: usize, word: u64, order: Ordering);

    /// The bytes from `offset` on.
    ///
    /// # Safety
    /// Nobody may write to them while the slice lives.
    unsafe fn slice(&self, offset: usize, length: usize) -> &[u8];

    /// Copies `bytes` to `offset`.
    ///
    /// # Safety
    /// Nobody else may read or write the target meanwhile.
    unsafe fn write(&self, offset: usize, bytes: &[u8]);

    /// The file behind it, whose locks tell other processes which ends are taken; none if there is only this process.
    fn file(&self) -> Option<&File>;
}

impl Storage for Map {
    #[inline]
    fn load(&self, offset: usize, order: Ordering) -> u64 {
        self.word(offset).load(order)
    }

    #[inline]
    fn store(&self, offset: usize, word: u64, order: Ordering) {
        self.word(offset).store(word, order);
    }

    #[inline]
    unsafe fn slice(&self, offset: usize, length: usize) -> &[u8] {
        // SAFETY: the caller keeps writers away.
        unsafe { Map::slice(self, offset, length) }
    }

    #[inline]
    unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        // SAFETY: the caller keeps others away.
        unsafe { Map::write(self, offset, bytes) }
    }

    fn file(&self) -> Option<&File> {
        Map::file(self)
    }
}
