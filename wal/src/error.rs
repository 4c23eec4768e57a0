//! What can go wrong with a log, and what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::segment::Place;

/// Why a log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed. While opening: nothing was lost, fix the cause and try again. While the log is being
    /// written: see [`Error::Poisoned`].
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, as in "cannot {action} the file".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Records that had been durable are damaged. Nothing was changed. Restore the file from a backup, or move the
    /// log away to start without it.
    #[error(
        "{file} is damaged at offset {offset}: {what}. Nothing was changed: restore the file from a backup"
    )]
    Corrupt {
        /// The damaged file.
        file: String,
        /// Where the damage begins, in bytes from the start of the file.
        offset: u64,
        /// What does not match.
        what: String,
    },
    /// A file of the log ends too early. Nothing was changed. Restore it from a backup.
    #[error(
        "{file} is cut off: {actual} bytes instead of {expected}. Nothing was changed: restore the file from a backup"
    )]
    Truncated {
        /// The file.
        file: String,
        /// Its size as written in it, in bytes.
        expected: u64,
        /// Its size on disk, in bytes.
        actual: u64,
    },
    /// A file that the manifest names is not there. Nothing was changed. Put it back.
    #[error(
        "{file} is missing, but the log needs it. Nothing was changed: put the file back, or restore the whole folder from a backup"
    )]
    Missing {
        /// The file.
        file: String,
    },
    /// A file belongs to another log, or to another place of this one. Nothing was changed. Put the right one back.
    #[error("{file} does not belong to the log {log}. Nothing was changed: put the right file back")]
    Foreign {
        /// The file.
        file: String,
        /// The identity or the name of the log that was opened.
        log: String,
    },
    /// The log was written in a format that this build does not read. Use the build that wrote it.
    #[error(
        "{file} has format version {found}, this build reads version {supported}: open it with the build that wrote it"
    )]
    Version {
        /// The file.
        file: String,
        /// The version found.
        found: u32,
        /// The version this build knows.
        supported: u32,
    },
    /// Another process has the log open, or writes of a dead one are still in flight after the deadline. Stop the other one, or
    /// wait, and try again.
    #[error("{} is in use: another process holds its lock, or writes of a dead one have not finished within {waited_ms} ms", path.display())]
    InUse {
        /// What is locked.
        path: PathBuf,
        /// How long was waited.
        waited_ms: u64,
    },
    /// A write or sync of the log failed: what was in flight may or may not survive, and nothing more can be
    /// written. End the process; a restart reads back what is there.
    #[error("a write to {} failed, so nothing more is written to the log, and what was being written is in doubt until it is read again: {source}", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room on the disk for the next segment. What was appended stays in memory and is written when
    /// there is room again.
    #[error("no room for the next segment in {}: {source}", path.display())]
    NoRoom {
        /// The folder of the log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn corrupt(place: Place, what: impl Into<String>) -> Self {
        Self::Corrupt { file: place.segment.file_name(), offset: place.offset, what: what.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// The pure parts know files by their names only; this puts the folder before it.
    pub(crate) fn in_folder(mut self, folder: &Path) -> Self {
        if let Self::Corrupt { file, .. }
        | Self::Truncated { file, .. }
        | Self::Missing { file }
        | Self::Foreign { file, .. }
        | Self::Version { file, .. } = &mut self
        {
            *file = folder.join(&*file).display().to_string();
        }
        self
    }
}
