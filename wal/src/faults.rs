//! Faults on demand: what a test wants the disk to do wrong. A plain parameter of whoever writes, with none as its
//! default, so that the code under test is the code in use.

use std::io;
use std::path::PathBuf;

/// A failure of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which flush since the log was opened, counted from 1.
    pub nth: u64,
    /// The error number to report, such as `EIO`.
    pub errno: i32,
}

/// What shall go wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The write of this flush fails and leaves nothing behind.
    pub fail_write: Option<Fault>,
    /// This flush is written, but making it durable fails.
    pub fail_sync: Option<Fault>,
    /// Of the flush with this number since the log was opened, or the next that is longer than a block, only the first
    /// block is written.
    pub short_write: Option<u64>,
    /// As long as this file exists, preparing a segment fails for want of room. It is a file so that a
    /// test can reach into another process.
    pub no_room_while_exists: Option<PathBuf>,
}

impl Faults {
    pub(crate) fn before_write(&self, nth: u64) -> io::Result<()> {
        fail(self.fail_write, nth)
    }

    pub(crate) fn after_write(&self, nth: u64) -> io::Result<()> {
        fail(self.fail_sync, nth)
    }

    /// How much of a write of `bytes` shall be done.
    pub(crate) fn write_bytes(&self, nth: u64, bytes: usize) -> usize {
        let short = self.short_write.is_some_and(|first| nth >= first);
        if short { bytes.min(crate::segment::BLOCK_BYTES as usize) } else { bytes }
    }

    pub(crate) fn before_prepare(&self) -> io::Result<()> {
        let full = self.no_room_while_exists.as_ref().is_some_and(|path| path.exists());
        if full { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }
}

fn fail(fault: Option<Fault>, nth: u64) -> io::Result<()> {
    match fault {
        Some(fault) if fault.nth == nth => Err(io::Error::from_raw_os_error(fault.errno)),
        _ => Ok(()),
    }
}
