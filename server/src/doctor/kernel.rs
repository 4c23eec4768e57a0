//! Checks of the kernel: its version, the cores it gives us, and io_uring.

use std::io;

use glommio::LocalExecutorBuilder;
use io_uring::{IoUring, Probe, opcode};

use rustix::thread::CpuSet;

use super::Check;

/// The oldest kernel that Glommio runs on.
const VERSION_MIN: (u32, u32) = (5, 8);
/// From here on io_uring's own memory no longer counts towards the memlock limit.
const VERSION_UNCHARGED: (u32, u32) = (5, 12);
/// Entries of the ring that is set up on trial.
const TRIAL_RING_ENTRIES: u32 = 64;
/// Memory of the executor that is started on trial; shards are as modest.
const TRIAL_IO_MEMORY_BYTES: usize = 256 << 10;

/// The version of the kernel.
pub fn version() -> Check {
    const NAME: &str = "kernel";
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    match parse_version(&release) {
        Some(version) if version < VERSION_MIN => {
            Check::fail(NAME, release, "Linux 5.8 or newer is needed for io_uring as it is used here")
        }
        Some(version) if version < VERSION_UNCHARGED => Check::warn(
            NAME,
            release,
            "before Linux 5.12 every ring counts towards the memlock limit; if shards do not start, raise it",
        ),
        Some(_) => Check::ok(NAME, release),
        None => Check::warn(NAME, release, "this version was not understood; Linux 5.8 or newer is needed"),
    }
}

fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The cores this process may run on; each becomes a shard.
pub fn cores() -> Check {
    const NAME: &str = "cores";
    match core_count() {
        1 => Check::warn(
            NAME,
            "1",
            "shards will share it: a busy shard then delays the others, and a restart delays all",
        ),
        count => Check::ok(NAME, count.to_string()),
    }
}

/// How many cores this process may run on: those of its affinity mask, which containers and `taskset` narrow.
pub fn core_count() -> u16 {
    let cores = match rustix::thread::sched_getaffinity(None) {
        Ok(mask) => mask.count(),
        // The mask has more cores than the call knows of, so there is no lack of them.
        Err(_) => std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
    };
    u16::try_from(cores).unwrap_or(u16::MAX).max(1)
}

/// The cores this process may run on, by number.
pub fn core_ids() -> Vec<usize> {
    let mask = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect()
}

/// Whether io_uring can be used: a ring is set up, asked for the operations that shards need, and an executor is
/// started on rings of its own.
pub fn io_uring() -> Check {
    const NAME: &str = "io_uring";
    let ring = match IoUring::new(TRIAL_RING_ENTRIES) {
        Ok(ring) => ring,
        Err(error) => return Check::fail(NAME, format!("refused: {error}"), setup_advice(&error)),
    };
    let missing = missing_operations(&ring);
    if !missing.is_empty() {
        let found = format!("without {}", missing.join(", "));
        return Check::fail(NAME, found, "a kernel of version 5.8 or newer has them");
    }
    drop(ring);
    let executor = LocalExecutorBuilder::default()
        .io_memory(TRIAL_IO_MEMORY_BYTES)
        .name("doctor")
        .spawn(|| async {})
        .and_then(|executor| executor.join());
    match executor {
        Ok(()) => Check::ok(NAME, "a ring was set up, an executor started on it"),
        Err(error) => Check::fail(
            NAME,
            format!("a ring was set up, but no executor starts on it: {error}"),
            "mostly the memlock limit: raise it to 8 MiB (`ulimit -l 8192`, LimitMEMLOCK=8M)",
        ),
    }
}

/// The operations that shards cannot do without and that this kernel does not have.
fn missing_operations(ring: &IoUring) -> Vec<&'static str> {
    let mut probe = Probe::new();
    if ring.submitter().register_probe(&mut probe).is_err() {
        // Kernels that cannot be asked are refused by their version.
        return Vec::new();
    }
    let needed = [
        ("read", opcode::Read::CODE),
        ("write", opcode::Write::CODE),
        ("fsync", opcode::Fsync::CODE),
        ("poll", opcode::PollAdd::CODE),
        ("timeout", opcode::Timeout::CODE),
        ("fallocate", opcode::Fallocate::CODE),
    ];
    needed.iter().filter(|(_, code)| !probe.is_supported(*code)).map(|(name, _)| *name).collect()
}

fn setup_advice(error: &io::Error) -> String {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match (rustix::io::Errno::from_io_error(error), disabled.trim()) {
        (Some(rustix::io::Errno::PERM), "2") => {
            "it is switched off for everyone: `sysctl kernel.io_uring_disabled=0` switches it on".to_owned()
        }
        (Some(rustix::io::Errno::PERM), "1") => {
            "it is switched off for users without CAP_SYS_ADMIN: `sysctl \
             kernel.io_uring_disabled=0` switches it on, or add the user's group to kernel.io_uring_group"
                .to_owned()
        }
        (Some(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS), _) => {
            "a container engine's seccomp profile forbids it: run the container with a profile that allows \
             io_uring_setup, io_uring_enter and io_uring_register (docker: --security-opt seccomp=...)"
                .to_owned()
        }
        (Some(rustix::io::Errno::NOSYS), _) => {
            "this kernel has no io_uring, or a sandbox hides it; Linux 5.8 or newer is needed".to_owned()
        }
        (Some(rustix::io::Errno::NOMEM), _) => {
            "the memlock limit is used up: raise it (`ulimit -l 8192`, LimitMEMLOCK=8M)".to_owned()
        }
        (Some(rustix::io::Errno::MFILE), _) => {
            "too many open files: raise the limit (`ulimit -n 4096`, LimitNOFILE=4096)".to_owned()
        }
        _ => "shards write their logs through io_uring and do not run without it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn versions_are_read_from_releases() {
        assert_eq!(parse_version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(parse_version("5.4"), Some((5, 4)));
        assert_eq!(parse_version("5.15.0+"), Some((5, 15)));
        assert_eq!(parse_version("unknown"), None);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let advice = |errno: rustix::io::Errno| setup_advice(&errno.into());
        assert!(advice(rustix::io::Errno::NOSYS).contains("Linux 5.8"));
        assert!(advice(rustix::io::Errno::NOMEM).contains("memlock"));
        assert!(advice(rustix::io::Errno::MFILE).contains("open files"));
    }

    #[test]
    fn there_is_at_least_one_core() {
        assert!(core_count() >= 1);
        assert!(!core_ids().is_empty());
        assert!(cores().verdict != Verdict::Fail);
    }
}
