//! Memory that several processes, or several owners in one process, read and write.
//!
//! A [`Map`] is either a file in /dev/shm mapped with memmap2 or a piece of the heap (for the simulator and tests). It
//! hands out atomics for words, and slices only through `unsafe` functions whose callers must know a protocol that
//! keeps writers away meanwhile: rings (`ring.rs`) have one, the control page needs none because it is all atomics.
//!
//! A mapped file never shrinks while it is mapped, or an access would be a SIGBUS: the files lie in a folder that only
//! the database's user can enter, and its processes only ever create and remove them. For the same reason the pages
//! are allocated when the file is made, so that a full /dev/shm is an error there and not a SIGBUS here.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// A unit of heap memory: as aligned as any user of a map needs.
#[repr(align(64))]
struct Line(#[allow(dead_code)] UnsafeCell<[u8; 64]>);

/// What keeps the memory alive; held for its `Drop` alone.
#[allow(dead_code)]
enum Backing {
    Heap(Box<[Line]>),
    File(memmap2::MmapRaw, File),
}

/// A piece of shared memory, aligned to 64 bytes at least, zero at first.
pub struct Map {
    base: *mut u8,
    bytes: usize,
    backing: Backing,
}

// SAFETY: the pointer leads to memory that the map owns and that no thread is tied to; all access goes through atomics
// or through unsafe functions whose callers exclude races.
unsafe impl Send for Map {}
// SAFETY: as above; the safe functions give out atomics only.
unsafe impl Sync for Map {}

impl Map {
    /// Zeroed memory of this process.
    pub fn heap(bytes: usize) -> Map {
        assert!(bytes > 0);
        let lines = (0..bytes.div_ceil(64)).map(|_| Line(UnsafeCell::new([0; 64])));
        let mut lines: Box<[Line]> = lines.collect();
        Map { base: lines.as_mut_ptr().cast(), bytes, backing: Backing::Heap(lines) }
    }

    /// Makes a file of zeros (mode 0600), which must not exist yet, with all its pages allocated, and maps it.
    pub fn create(path: &Path, bytes: usize) -> io::Result<Map> {
        assert!(bytes > 0);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let length = libc::off_t::try_from(bytes).expect("a map is smaller than 2^63 bytes");
        // SAFETY: plain system call on a descriptor that `file` keeps open.
        let error = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) };
        if error != 0 {
            // The half-made file is of no use; the error that matters is the first one.
            let _ = fs::remove_file(path);
            return Err(io::Error::from_raw_os_error(error));
        }
        Map::of_file(file)
    }

    /// Maps a file that [`Map::create`] made.
    pub fn open(path: &Path) -> io::Result<Map> {
        Map::of_file(OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn of_file(file: File) -> io::Result<Map> {
        let bytes = usize::try_from(file.metadata()?.len()).expect("files fit the address space");
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
        }
        let map = memmap2::MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Map { base: map.as_mut_ptr(), bytes, backing: Backing::File(map, file) })
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The file behind it; none if it is on the heap.
    pub fn file(&self) -> Option<&File> {
        match &self.backing {
            Backing::Heap(_) => None,
            Backing::File(_, file) => Some(file),
        }
    }

    /// The word at `offset`, a multiple of 8.
    #[inline]
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8));
        assert!(offset + 8 <= self.bytes);
        // SAFETY: the word lies within the map and is aligned (the base is, to 64 bytes, and so is the offset, to 8);
        // it lives as long as `self`. Plain accesses to the same bytes happen only through the unsafe functions below,
        // whose callers exclude them for words that are used as atomics.
        unsafe { AtomicU64::from_ptr(self.base.add(offset).cast()) }
    }

    /// The bytes from `offset` on.
    ///
    /// # Safety
    /// Nobody may write to them while the slice lives.
    #[inline]
    pub unsafe fn slice(&self, offset: usize, length: usize) -> &[u8] {
        assert!(offset <= self.bytes);
        assert!(length <= self.bytes - offset);
        // SAFETY: within the map and initialised (zero at first); the caller keeps writers away.
        unsafe { std::slice::from_raw_parts(self.base.add(offset), length) }
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Safety
    /// Nobody else may read or write the target meanwhile.
    #[inline]
    pub unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.bytes);
        assert!(bytes.len() <= self.bytes - offset);
        // SAFETY: the target lies within the map, the caller keeps others away from it, so it cannot overlap `bytes`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(offset), bytes.len()) }
    }
}

/// Locks one byte of `file` as a sign that its owner is alive; the kernel frees it when the owner dies. The lock belongs
/// to this opening of the file, so it does not exclude users of the same [`Map`]. Returns whether it was free.
pub(crate) fn lock_byte(file: &File, at: u64) -> io::Result<bool> {
    match set_lock(file, libc::F_WRLCK, at) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Undoes [`lock_byte`].
pub(crate) fn unlock_byte(file: &File, at: u64) {
    // Unlocking an open file cannot fail in a way that matters: closing the file unlocks it too.
    let _ = set_lock(file, libc::F_UNLCK, at);
}

fn set_lock(file: &File, kind: libc::c_int, at: u64) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `flock` structure.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = libc::off_t::try_from(at).expect("a small offset");
    lock.l_len = 1;
    // SAFETY: plain system call on an open descriptor with a structure that outlives it.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn two_maps_of_one_file_are_the_same_memory() {
        let path = std::path::PathBuf::from(format!("/dev/shm/sakia-map-test-{}", std::process::id()));
        // A run that was killed may have left it.
        let _ = fs::remove_file(&path);
        let one = Map::create(&path, 5000).expect("creates");
        let two = Map::open(&path).expect("opens");
        assert!(Map::create(&path, 5000).is_err(), "an existing file is never taken over");
        fs::remove_file(&path).expect("removes");
        assert_eq!((one.bytes(), two.bytes()), (5000, 5000));
        one.word(64).store(7, Ordering::Relaxed);
        assert_eq!(two.word(64).load(Ordering::Relaxed), 7);
        // SAFETY: nobody else has the file.
        unsafe { two.write(4990, b"0123456789") };
        // SAFETY: as above.
        assert_eq!(unsafe { one.slice(4990, 10) }, b"0123456789");
        let (a, b) = (one.file().expect("a file"), two.file().expect("a file"));
        assert!(lock_byte(a, 3).expect("locks"));
        assert!(!lock_byte(b, 3).expect("asks"));
        assert!(lock_byte(b, 4).expect("locks"));
        unlock_byte(a, 3);
        assert!(lock_byte(b, 3).expect("locks"));
    }

    #[test]
    #[should_panic]
    fn a_word_beyond_the_end_is_a_bug() {
        Map::heap(100).word(96);
    }
}
