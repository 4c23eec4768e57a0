//! What the device can do: O_DIRECT writes into a zero-filled file, each followed by fdatasync.
//!
//! It is the yardstick beside every durable figure, measured in the same run on the same file system.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Error;
use crate::latencies::{Latencies, Percentiles};

/// Sizes of the writes measured.
pub const WRITE_BYTES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

/// Buffers and offsets of O_DIRECT are multiples of it on every device in use.
const ALIGNMENT: usize = 4096;

/// Written over from the start again; as large as a log segment.
const FILE_BYTES: usize = 64 << 20;

/// How fast writes of one size become durable, one at a time.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceLimit {
    /// Bytes of one write.
    pub write_bytes: u64,
    /// Writes a second.
    pub per_second: f64,
    /// Megabytes (10^6 bytes) a second.
    pub megabytes_per_second: f64,
    /// Time of one write and sync.
    pub latency_us: Percentiles,
}

/// Measures writes of `write_bytes` in `folder` for `duration`, with a pause after each: an idle machine takes longer for
/// a write than a busy one, as its cores and its device have gone to sleep.
pub fn measure(
    folder: &Path,
    write_bytes: usize,
    duration: Duration,
    pause: Duration,
) -> Result<DeviceLimit, Error> {
    assert!(write_bytes.is_multiple_of(ALIGNMENT), "O_DIRECT takes whole blocks");
    assert!(FILE_BYTES.is_multiple_of(write_bytes), "the last write ends with the file");
    let path = folder.join("device-limit");
    let file = zero_filled(&path)?;
    let memory = vec![0xa5_u8; write_bytes + ALIGNMENT];
    let aligned = memory.as_ptr().align_offset(ALIGNMENT);
    let block = &memory[aligned..aligned + write_bytes];

    let mut latencies = Latencies::new();
    let mut offset = 0;
    let start = Instant::now();
    while start.elapsed() < duration {
        let begin = Instant::now();
        file.write_all_at(block, offset).map_err(Error::file("write directly to", &path))?;
        file.sync_data().map_err(Error::file("sync", &path))?;
        latencies.record(begin.elapsed().as_nanos() as u64, 1);
        offset = (offset + write_bytes as u64) % FILE_BYTES as u64;
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    fs::remove_file(&path).map_err(Error::file("remove", &path))?;
    let per_second = latencies.count() as f64 / seconds;
    Ok(DeviceLimit {
        write_bytes: write_bytes as u64,
        per_second,
        megabytes_per_second: per_second * write_bytes as f64 / 1e6,
        latency_us: latencies.percentiles(),
    })
}

/// A file of zeros that are on the device, opened for direct writes: overwriting it changes no metadata.
fn zero_filled(path: &Path) -> Result<File, Error> {
    const CHUNK: usize = 1 << 20;
    const { assert!(FILE_BYTES.is_multiple_of(CHUNK)) };
    let mut file = File::create(path).map_err(Error::file("create", path))?;
    let zeros = vec![0_u8; CHUNK];
    for _ in 0..FILE_BYTES / CHUNK {
        file.write_all(&zeros).map_err(Error::file("fill", path))?;
    }
    file.sync_all().map_err(Error::file("sync", path))?;
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .map_err(Error::file("open for direct writes (is it on a disk?)", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_measured_and_the_file_is_removed() {
        // Build output lies on a disk, unlike the folder for temporary files on many systems.
        let program = std::env::current_exe().expect("this test has a file");
        let folder =
            program.parent().expect("in a folder").join(format!("device-test-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        for bytes in WRITE_BYTES {
            let limit = measure(&folder, bytes, Duration::from_millis(1), Duration::ZERO).expect("a disk");
            assert!(limit.latency_us.count > 0);
            assert!(limit.per_second > 0.0);
        }
        assert_eq!(folder.read_dir().expect("a folder").count(), 0);
        fs::remove_dir(&folder).expect("it is ours");
    }
}
