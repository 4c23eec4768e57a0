//! The three system facilities that the standard library does not offer safely: mapping a file, locking a file known
//! by its descriptor, and reserving room on the disk. Beside the ring of the log, the only unsafe code of the crate.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use memmap2::Mmap;

/// Maps a whole segment for reading.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: a mapping is sound as long as the bytes that are borrowed from it do not change and the file is not cut
    // off. Callers hold the lock of the log's folder, so nobody else has the log open. Segments are never truncated
    // while they are live. Bytes below the end of the log are never written again (`Appender` hands out each range once); bytes
    // behind it are looked at only by `scan`, which ends before the one writer starts.
    unsafe { Mmap::map(file) }
}

/// Takes the exclusive lock of the open file behind a descriptor; false if somebody else has it. The lock lasts until
/// every duplicate of the descriptor is closed **and** every request in flight on it is finished.
pub(crate) fn try_lock(file: &impl AsRawFd) -> io::Result<bool> {
    // SAFETY: flock takes no pointers, and the descriptor is open because its owner is borrowed.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) }
}

/// Reserves `bytes` of disk for the file and sets its size, so that a full disk shows before anything is written.
pub(crate) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: fallocate takes no pointers, and the descriptor is open because the file is borrowed.
    if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // Some file systems have no way to reserve; there the zeros that follow do it.
    if error.raw_os_error() == Some(libc::EOPNOTSUPP) { file.set_len(bytes as u64) } else { Err(error) }
}
