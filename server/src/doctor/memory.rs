//! Checks of limits and of shared memory.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::{Check, size};

/// Where rings lie.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// Below this Glommio refuses to start an executor.
const MEMLOCK_MIN_BYTES: u64 = 512 << 10;
/// The usual default of distributions, which is enough for every shard.
const MEMLOCK_GOOD_BYTES: u64 = 8 << 20;
/// Log segments, rings, doorbells and sockets of one process stay far below this.
const OPEN_FILES_GOOD: u64 = 1024;
const OPEN_FILES_MIN: u64 = 256;
/// Rings between a handful of shards and fronts, of some MiB each.
const SHARED_MEMORY_MIN_BYTES: u64 = 64 << 20;
const SHARED_MEMORY_GOOD_BYTES: u64 = 512 << 20;
/// `statfs` of a tmpfs.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// How much memory the process may lock, which the buffers of io_uring count towards.
pub fn memlock() -> Check {
    const NAME: &str = "memlock";
    const ADVICE: &str = "raise it to 8 MiB: `ulimit -l 8192`, or LimitMEMLOCK=8M in the unit of systemd";
    match getrlimit(Resource::Memlock).current {
        None => Check::ok(NAME, "unlimited"),
        Some(bytes) if bytes < MEMLOCK_MIN_BYTES => Check::fail(NAME, size(bytes), ADVICE),
        Some(bytes) if bytes < MEMLOCK_GOOD_BYTES => Check::warn(NAME, size(bytes), ADVICE),
        Some(bytes) => Check::ok(NAME, size(bytes)),
    }
}

/// How many files a process may have open.
pub fn open_files() -> Check {
    const NAME: &str = "open files";
    const ADVICE: &str = "raise it: `ulimit -n 4096`, or LimitNOFILE=4096 in the unit of systemd";
    match getrlimit(Resource::Nofile).current {
        None => Check::ok(NAME, "unlimited"),
        Some(count) if count < OPEN_FILES_MIN => Check::fail(NAME, count.to_string(), ADVICE),
        Some(count) if count < OPEN_FILES_GOOD => Check::warn(NAME, count.to_string(), ADVICE),
        Some(count) => Check::ok(NAME, count.to_string()),
    }
}

/// Whether rings can be made in shared memory: private folders, real memory below them, enough of it.
pub fn shared_memory(folder: &Path) -> Check {
    const NAME: &str = "/dev/shm";
    let stats = match rustix::fs::statfs(folder) {
        Ok(stats) => stats,
        Err(error) => {
            let advice = "mount a tmpfs there: `mount -t tmpfs -o mode=1777 tmpfs /dev/shm`";
            return Check::fail(NAME, error.to_string(), advice);
        }
    };
    if let Err(error) = try_folder(folder) {
        let advice = "it must be writable for everyone: `chmod 1777 /dev/shm`";
        return Check::fail(NAME, format!("no folder can be made in it: {error}"), advice);
    }
    if stats.f_type as u64 != TMPFS_MAGIC {
        let advice = "rings on a disk are slow: `mount -t tmpfs -o mode=1777 tmpfs /dev/shm`";
        return Check::warn(NAME, "not a tmpfs", advice);
    }
    let free = stats.f_bavail * stats.f_bsize as u64;
    let found = format!("{} free of {}", size(free), size(stats.f_blocks * stats.f_bsize as u64));
    let advice = "make it larger: `mount -o remount,size=1G /dev/shm` (docker: --shm-size=1g)";
    match free {
        0..SHARED_MEMORY_MIN_BYTES => Check::fail(NAME, found, advice),
        SHARED_MEMORY_MIN_BYTES..SHARED_MEMORY_GOOD_BYTES => Check::warn(NAME, found, advice),
        _ => Check::ok(NAME, found),
    }
}

/// Makes a private folder with a file in it, and removes both.
fn try_folder(parent: &Path) -> io::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("sakia-doctor-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)?;
    std::fs::write(folder.path().join("ring"), [1; 4096])?;
    folder.close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_folder_that_is_missing_or_on_a_disk_is_noticed() {
        assert_eq!(shared_memory(Path::new("/nonexistent")).verdict, Verdict::Fail);
        let check = shared_memory(Path::new("/proc/self"));
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(check.found.contains("no folder can be made"), "{}", check.found);
    }

    #[test]
    fn trying_leaves_nothing_behind() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        try_folder(parent.path()).expect("the folder is ours");
        assert_eq!(std::fs::read_dir(parent.path()).expect("it is still there").count(), 0);
    }
}
