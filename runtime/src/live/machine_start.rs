//! Recovery of the machine, with files: reads all logs, has them trimmed, and says where the rings begin.
//!
//! It runs whenever a supervisor starts: the rings of an earlier run are gone with its run folder, whatever ended it.
//! A log that cannot be read keeps only its own shard from starting: the others are trimmed as if that log led to all
//! that they have consumed of it, which loses nothing, and serve without it.

use super::layout::DataFolder;
use crate::clock::{Label, ShardId};
use crate::machine::{self, History, HistoryError, Trim};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use wal::LogFolder;

/// What came of it.
pub(crate) struct MachineStart {
    /// For each sender, for each receiver: how far the receiver has consumed it.
    consumed: Vec<Vec<Label>>,
    /// Shards whose log cannot be read, with the reason.
    pub(crate) unreadable: Vec<(ShardId, String)>,
}

impl MachineStart {
    /// The label from which the ring from `sender` to `receiver` begins.
    pub(crate) fn base_label(&self, sender: ShardId, receiver: ShardId) -> Label {
        self.consumed[usize::from(sender.0)][usize::from(receiver.0)]
    }
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Log(#[from] wal::Error),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("{path}: {source}")]
    Trims { path: String, source: io::Error },
}

/// Recovers the logs of `shards` shards, which nobody may have open. `prepare` gives the options of each log.
pub(crate) fn recover(
    data: &DataFolder,
    shards: u16,
    options: impl Fn(ShardId) -> wal::Options + Sync,
) -> io::Result<MachineStart> {
    let ids = || (0..shards).map(ShardId);
    let read: Vec<Result<History, ReadError>> = std::thread::scope(|scope| {
        let options = &options;
        let threads: Vec<_> = ids()
            .map(|shard| scope.spawn(move || read_history(data, shard, shards, &options(shard))))
            .collect();
        let join =
            |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("reading does not panic");
        threads.into_iter().map(join).collect()
    });
    let mut unreadable = Vec::new();
    let mut histories = Vec::new();
    for (shard, history) in ids().zip(read) {
        histories.push(history.unwrap_or_else(|error| {
            unreadable.push((shard, error.to_string()));
            History::unreadable(shard, shards)
        }));
    }
    machine::trim(&mut histories);
    for (shard, history) in ids().zip(&histories) {
        let (trims, changed) = history.trims();
        if changed {
            write_trims(&data.trims(shard), trims)?;
        }
    }
    let consumed_of = |sender| histories.iter().map(move |receiver| receiver.consumed_of(sender)).collect();
    Ok(MachineStart { consumed: ids().map(consumed_of).collect(), unreadable })
}

fn read_history(
    data: &DataFolder,
    shard: ShardId,
    shards: u16,
    options: &wal::Options,
) -> Result<History, ReadError> {
    let path = data.trims(shard);
    let trims =
        read_trims(&path).map_err(|source| ReadError::Trims { path: path.display().to_string(), source })?;
    let mut history = History::new(shard, shards, trims);
    // Opening waits until the last writes of a dead process have landed.
    let folder = LogFolder::open(options)?;
    let mapped = folder.map()?;
    let scan = mapped.scan()?;
    // A trim names the newest record that it voids. Were that record lost in a power loss after all, a later one
    // would get its number and be void too; so what has been read is made durable first.
    folder.repair(scan.tail())?;
    for record in scan.records() {
        history.note(record.kind.0, record.lsn, record.payload)?;
    }
    Ok(history)
}

/// Reads the trims beside a log: any number of them, 16 bytes each, then their crc32 and four zero bytes. No file means
/// none.
pub(crate) fn read_trims(path: &Path) -> io::Result<Vec<Trim>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes?,
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()));
    let (trims, sum) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
    let (trims, rest) = trims.as_chunks::<{ Trim::BYTES }>();
    if !rest.is_empty() || u64::from_le_bytes(*sum) != u64::from(crc32fast::hash(trims.as_flattened())) {
        return Err(damaged());
    }
    Ok(trims.iter().copied().map(Trim::from_bytes).collect())
}

/// Replaces the trims beside a log, durably.
fn write_trims(path: &Path, trims: &[Trim]) -> io::Result<()> {
    let mut bytes: Vec<u8> = trims.iter().flat_map(|trim| trim.to_bytes()).collect();
    let sum = u64::from(crc32fast::hash(&bytes));
    bytes.extend_from_slice(&sum.to_le_bytes());
    replace_file(path, &bytes)
}

/// Replaces a file so that after any crash it is the old one or the new one.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(path.parent().expect("a file has a folder"))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;
    use std::os::unix::fs::FileExt;
    use wal::{BLOCK_BYTES, Lsn, RecordKind, SegmentId, SyncLog};

    /// A trim that was durable before the log that it speaks of voided records that came after a power loss.
    #[test]
    fn a_log_is_repaired_before_it_is_trimmed() {
        let folder = std::env::temp_dir().join(format!("sakia-machine-start-test-{}", std::process::id()));
        let options = |shard: ShardId| wal::Options::new(&folder, format!("shard-{shard}"));
        let mut log = SyncLog::open(&options(ShardId(0))).expect("makes a log");
        log.append(RecordKind(record::RESUMED), &record::resumed(Label(0), &[])).expect("writes");
        drop(log);
        let segment = folder.join("shard-0").join(SegmentId(1).file_name());
        let torn = 2 * BLOCK_BYTES;
        let file = fs::OpenOptions::new().write(true).open(&segment).expect("opens");
        file.write_all_at(&[0xee; 512], torn).expect("writes");
        let start = recover(&DataFolder(folder.clone()), 1, options).expect("recovers");
        assert!(start.unreadable.is_empty(), "{:?}", start.unreadable);
        let mut bytes = [1; 512];
        fs::File::open(&segment).expect("opens").read_exact_at(&mut bytes, torn).expect("reads");
        assert_eq!(bytes, [0; 512]);
        fs::remove_dir_all(&folder).expect("removes");
    }

    #[test]
    fn trims_read_back_and_damage_shows() {
        let path = std::env::temp_dir().join(format!("sakia-trims-test-{}", std::process::id()));
        assert_eq!(read_trims(&path).expect("no file, no trims"), []);
        let trims = [Trim { lsn: Lsn(7), label: Label(3) }, Trim { lsn: Lsn(9), label: Label(4) }];
        write_trims(&path, &trims).expect("writes");
        assert_eq!(read_trims(&path).expect("reads"), trims);
        let whole = fs::read(&path).expect("reads");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).expect("writes");
            assert!(read_trims(&path).is_err(), "byte {at}");
            fs::write(&path, &whole[..at]).expect("writes");
            assert!(read_trims(&path).is_err(), "length {at}");
        }
        fs::remove_file(&path).expect("removes");
    }
}
