//! The manifest: which files are the log. Deleted files and old names come back after a power loss, so the folder's
//! listing says nothing; the manifest is replaced as a whole (write aside, sync, rename, sync the folder) and says it
//! all. It is a few lines of text, the last of which is the checksum of those before:
//!
//! ```text
//! sakia log, format 2
//! name shard-3
//! identity 5c0e6f0b8c1d4a53a2f2a1f0c9d4e7b6
//! start flush 1 record 1
//! segments 1 to 3
//! checksum 1b2c3d4e
//! ```
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::Error;
use crate::flush::FlushId;
use crate::record::Lsn;
use crate::scan::LogStart;
use crate::segment::{FORMAT_VERSION, Identity, SegmentId};

/// Name of the manifest's file.
pub(crate) const MANIFEST: &str = "MANIFEST";
const ASIDE: &str = "MANIFEST.new";
const TITLE: &str = "sakia log, format ";
/// A manifest is some 200 bytes; more than this is not one.
const BYTES_MAX: u64 = 4096;

/// The contents of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) start: LogStart,
    /// The oldest live segment.
    pub(crate) first: SegmentId,
    /// The newest live segment; all between are live too.
    pub(crate) last: SegmentId,
}

impl Manifest {
    fn text(&self) -> String {
        let Self { name, start, first, last } = self;
        let LogStart { identity, flush, record } = start;
        let body = format!(
            "{TITLE}{FORMAT_VERSION}\nname {name}\nidentity {identity}\nstart flush {flush} record {record}\nsegments {} to {}\n",
            first.0, last.0
        );
        let checksum = crc32fast::hash(body.as_bytes());
        format!("{body}checksum {checksum:08x}\n")
    }

    /// Reads the manifest of the log `name` in `folder`; `None` if there is none.
    pub(crate) fn read(folder: &Path, name: &str) -> Result<Option<Self>, Error> {
        let path = folder.join(MANIFEST);
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let file = || path.display().to_string();
        let version = version_of(&text);
        if version.is_some_and(|version| version != FORMAT_VERSION) {
            return Err(Error::Version {
                file: file(),
                found: version.unwrap_or_default(),
                supported: FORMAT_VERSION,
            });
        }
        let manifest = parse(&text).ok_or_else(|| Error::Corrupt {
            file: file(),
            offset: 0,
            what: "it is not a manifest, or its checksum does not match".to_owned(),
        })?;
        if manifest.name != name {
            return Err(Error::Foreign { file: file(), log: name.to_owned() });
        }
        Ok(Some(manifest))
    }

    /// Replaces the manifest durably.
    pub(crate) fn replace(&self, folder: &Path) -> Result<(), Error> {
        let aside = folder.join(ASIDE);
        write_durably(&aside, self.text().as_bytes()).map_err(|error| Error::io("write", &aside, error))?;
        std::fs::rename(&aside, folder.join(MANIFEST)).map_err(|error| Error::io("rename", &aside, error))?;
        sync_folder(folder)
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(File::open(path)?, BYTES_MAX), &mut text)?;
    Ok(text)
}

fn version_of(text: &str) -> Option<u32> {
    text.lines().next()?.strip_prefix(TITLE)?.parse().ok()
}

fn parse(text: &str) -> Option<Manifest> {
    let (body, checksum) = text.split_at_checked(text.rfind("checksum ")?)?;
    let checksum = u32::from_str_radix(checksum.strip_prefix("checksum ")?.trim_end(), 16).ok()?;
    if checksum != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let mut lines = body.lines().skip(1);
    let name = lines.next()?.strip_prefix("name ")?.to_owned();
    let identity = u128::from_str_radix(lines.next()?.strip_prefix("identity ")?, 16).ok()?;
    let (flush, record) = lines.next()?.strip_prefix("start flush ")?.split_once(" record ")?;
    let (first, last) = lines.next()?.strip_prefix("segments ")?.split_once(" to ")?;
    let start = LogStart {
        identity: Identity(identity.to_be_bytes()),
        flush: FlushId(flush.parse().ok()?),
        record: Lsn(record.parse().ok()?),
    };
    let (first, last) = (SegmentId(first.parse().ok()?), SegmentId(last.parse().ok()?));
    let sane = first.0 > 0 && first <= last && start.flush.0 > 0 && start.record.0 > 0;
    sane.then_some(Manifest { name, start, first, last })
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes new, renamed and removed names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io("sync", folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let start = LogStart { identity: Identity([7; 16]), flush: FlushId(5), record: Lsn(90) };
        Manifest { name: "shard 3".to_owned(), start, first: SegmentId(2), last: SegmentId(9) }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(parse(&manifest().text()), Some(manifest()));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let text = manifest().text();
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
            let changed = String::from_utf8(bytes).expect("the lowest bit keeps ASCII ASCII");
            assert_eq!(parse(&changed), None, "byte {at} of {changed}");
        }
    }
}
