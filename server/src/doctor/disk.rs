//! Checks of the disk that the logs will lie on: what file system it is, whether it takes direct writes, how long a
//! durable one takes, and how much room there is.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use super::{Check, size};

/// What is written at once: the smallest commit of a log.
const BLOCK_BYTES: usize = 4096;
/// Blocks of the file that is written on trial; the writes go round in it.
const FILE_BLOCKS: usize = 256;
/// Writes that are timed, fewer if the disk is slow.
const WRITES_MAX: usize = 500;
/// How long to go on.
const WRITES_TIME_MAX: Duration = Duration::from_secs(2);
/// A durable write slower than this makes a single write wait noticeably.
const SYNC_SLOW: Duration = Duration::from_millis(5);
/// No device stores durably in less; a file system or hypervisor that ignores the sync does.
const SYNC_TOO_FAST: Duration = Duration::from_micros(5);
/// A few log segments per shard.
const ROOM_MIN_BYTES: u64 = 256 << 20;
const ROOM_GOOD_BYTES: u64 = 4 << 30;

/// How a kind of file system serves for logs.
enum Fitness {
    Good,
    /// It works, but; with why.
    Unusual(&'static str),
}

/// The checks of the disk below the data folder.
pub fn checks(data: &Path) -> Vec<Check> {
    const NAME: &str = "data folder";
    let parent = match existing_parent(data) {
        Ok(parent) => parent,
        Err(error) => {
            let found = format!("{}: {error}", data.display());
            return vec![Check::fail(NAME, found, "choose another folder with --data")];
        }
    };
    let folder = match tempfile::Builder::new().prefix(".sakia-doctor-").tempdir_in(&parent) {
        Ok(folder) => folder,
        Err(error) => {
            let found = format!("{} cannot be written to: {error}", parent.display());
            return vec![Check::fail(NAME, found, "make it writable, or choose another folder with --data")];
        }
    };
    let mut checks = vec![file_system(data, &parent)];
    let path = folder.path().join("log");
    match trial_file(&path).and_then(|file| durable_writes(&file)) {
        Ok(times) => checks.push(sync_latency(times)),
        Err(error) => checks.push(Check::fail(
            "direct writes",
            error.to_string(),
            "the logs need a file system that takes O_DIRECT, such as ext4 or xfs on a local disk",
        )),
    }
    checks
}

/// The folder itself, or the nearest one above it that exists.
fn existing_parent(data: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(data)?;
    for folder in absolute.ancestors() {
        match std::fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => return Ok(folder.to_owned()),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn file_system(data: &Path, existing: &Path) -> Check {
    const NAME: &str = "data folder";
    let stats = match rustix::fs::statfs(existing) {
        Ok(stats) => stats,
        Err(error) => return Check::fail(NAME, error.to_string(), "choose another folder with --data"),
    };
    let (kind, fitness) = kind(stats.f_type as u64);
    let free = stats.f_bavail * stats.f_bsize as u64;
    let found = format!("{} on {kind}, {} free", data.display(), size(free));
    match (fitness, free) {
        (_, 0..ROOM_MIN_BYTES) => {
            Check::fail(NAME, found, "make room: writes are refused when the disk is full")
        }
        (Fitness::Unusual(why), _) => Check::warn(NAME, found, why),
        (_, ROOM_MIN_BYTES..ROOM_GOOD_BYTES) => {
            Check::warn(NAME, found, "logs grow with what is written; make more room")
        }
        (Fitness::Good, _) => Check::ok(NAME, found),
    }
}

/// The name of a file system by its magic number.
fn kind(magic: u64) -> (String, Fitness) {
    use Fitness::{Good, Unusual};
    let (name, fitness) = match magic {
        0xef53 => ("ext4", Good),
        0x5846_5342 => ("xfs", Good),
        0x9123_683e => {
            ("btrfs", Unusual("it copies on write, which makes small durable writes slow: chattr +C"))
        }
        0xf2f5_2010 => ("f2fs", Good),
        0x2fc1_2fc1 => {
            ("zfs", Unusual("it emulates O_DIRECT and copies on write: durable writes will be slow"))
        }
        0x794c_7630 => {
            ("overlayfs", Unusual("a container's own layer: put the data on a volume with --data"))
        }
        0x0102_1994 => ("tmpfs", Unusual("memory: nothing survives a power loss; choose a disk with --data")),
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 => (
            "a network file system",
            Unusual("locks and syncs over a network are not to be trusted: use a local disk"),
        ),
        0x6573_5546 => ("fuse", Unusual("whether a sync reaches a disk depends on the program behind it")),
        _ => {
            return (
                format!("a file system {magic:#x}"),
                Unusual("not one that was tried: ext4 and xfs were"),
            );
        }
    };
    (name.to_owned(), fitness)
}

/// A file of real zeros, synced, opened for direct writes: just what a log segment is.
fn trial_file(path: &Path) -> io::Result<File> {
    std::fs::write(path, vec![0; FILE_BLOCKS * BLOCK_BYTES])?;
    File::open(path)?.sync_all()?;
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())?;
    Ok(File::from(file))
}

/// Writes blocks durably, one at a time, and returns how long each took, sorted.
fn durable_writes(file: &File) -> io::Result<Vec<Duration>> {
    // Direct writes come from aligned memory. A vector has no alignment of its own, so a block is cut out of two.
    let memory = vec![0x5a; 2 * BLOCK_BYTES];
    let start = memory.as_ptr().align_offset(BLOCK_BYTES);
    let block = &memory[start..start + BLOCK_BYTES];
    let started = Instant::now();
    let mut times = Vec::with_capacity(WRITES_MAX);
    while times.len() < WRITES_MAX && started.elapsed() < WRITES_TIME_MAX {
        let offset = (times.len() % FILE_BLOCKS * BLOCK_BYTES) as u64;
        let begun = Instant::now();
        let written = rustix::io::pwrite(file.as_fd(), block, offset)?;
        rustix::fs::fdatasync(file.as_fd())?;
        times.push(begun.elapsed());
        if written != BLOCK_BYTES {
            return Err(io::Error::other(format!("only {written} of {BLOCK_BYTES} bytes were written")));
        }
    }
    times.sort_unstable();
    Ok(times)
}

fn sync_latency(sorted: Vec<Duration>) -> Check {
    const NAME: &str = "direct writes";
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    let (p50, p99) = (at(50), at(99));
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let found = format!(
        "4 KiB durable in {:.0} us (p50), {:.0} us (p99) of {}",
        micros(p50),
        micros(p99),
        sorted.len()
    );
    if p50 > SYNC_SLOW {
        Check::warn(NAME, found, "a single write will wait this long; choose a faster disk with --data")
    } else if p50 < SYNC_TOO_FAST {
        let advice = "no disk is that fast: its syncs seem to be ignored, and a power loss would lose writes";
        Check::warn(NAME, found, advice)
    } else {
        Check::ok(NAME, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_folder_that_cannot_be_used_fails() {
        for folder in ["/proc/self/none", "/dev/null/none"] {
            let checks = checks(Path::new(folder));
            assert_eq!(checks.len(), 1, "{checks:?}");
            assert_eq!(checks[0].verdict, Verdict::Fail, "{checks:?}");
            assert!(!checks[0].advice.is_empty());
        }
    }

    #[test]
    fn the_nearest_folder_above_is_looked_at() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let found = existing_parent(&folder.path().join("a/b/c")).expect("the folder exists");
        assert_eq!(found, folder.path());
    }

    #[test]
    fn latencies_are_judged() {
        let micros = |micros: u64| vec![Duration::from_micros(micros); 100];
        assert_eq!(sync_latency(micros(200)).verdict, Verdict::Ok);
        assert_eq!(sync_latency(micros(20_000)).verdict, Verdict::Warn);
        assert_eq!(sync_latency(micros(1)).verdict, Verdict::Warn);
    }

    #[test]
    fn writes_are_timed_in_order() {
        let folder = tempfile::tempdir_in(".").expect("a folder on the disk of the sources");
        let file = trial_file(&folder.path().join("log")).expect("this file system takes direct writes");
        let times = durable_writes(&file).expect("the disk works");
        assert!(times.is_sorted());
        assert!(!times.is_empty());
    }
}
