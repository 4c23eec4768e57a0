//! `sakia bench log`: durable appends against the size of the group, beside what the device itself can do.
//!
//! The log runs as in a shard: its writer on a Glommio executor of its own thread, records gathered and flushed with
//! O_DIRECT. A batch counts as done when the log reports its last record durable. One batch at a time shows the latency; four at a
//! time, as a busy shard has them, the throughput.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use glommio::{LocalExecutorBuilder, Placement};
use serde::Serialize;
use wal::{LogFolder, LogWriter, Options, RecordKind};

use crate::cli;
use crate::device::{self, DeviceLimit};
use crate::error::Error;
use crate::folder::DataFolder;
use crate::latencies::{Latencies, Percentiles};
use crate::plot;

/// Records appended together.
const BATCHES: [u32; 5] = [1, 10, 100, 1_000, 10_000];
/// Batches waited for at a time.
const DEPTHS: [usize; 2] = [1, 4];
/// Memory that the executor registers with io_uring: 1 MiB of the 8 MiB that an unprivileged user may lock.
const IO_MEMORY_BYTES: usize = 1 << 20;
/// Any kind will do: the log does not look at it.
const KIND: RecordKind = RecordKind(1);

/// What `bench log` found.
#[derive(Debug, Serialize)]
pub struct LogReport {
    /// Payload of one record.
    pub record_bytes: u32,
    /// Writes with fdatasync on the same file system, before.
    pub device: Vec<DeviceLimit>,
    /// Appends to the log.
    pub appends: Vec<Appends>,
}

/// Appends of one batch size.
#[derive(Debug, Serialize)]
pub struct Appends {
    /// Records appended together.
    pub batch: u32,
    /// Batches under way at a time.
    pub depth: usize,
    /// Durable records a second.
    pub records_per_s: f64,
    /// Durable batches a second.
    pub batches_per_s: f64,
    /// From the append of a batch until it was known to be durable.
    pub batch_us: Percentiles,
}

/// Runs the benchmark and prints its table.
pub fn run(arguments: &cli::Log) -> Result<(), Error> {
    let folder = DataFolder::new(arguments.data.as_deref())?;
    let mut report =
        LogReport { record_bytes: arguments.record_bytes, device: Vec::new(), appends: Vec::new() };
    println!("the device: O_DIRECT write and fdatasync, one at a time");
    for bytes in device::WRITE_BYTES {
        let limit = device::measure(folder.path(), bytes, arguments.seconds, Duration::ZERO)?;
        println!(
            "  {:>8} B: {:>9.0} /s {:>8.0} MB/s, p50 {:>7.0} us, p99 {:>7.0} us",
            bytes, limit.per_second, limit.megabytes_per_second, limit.latency_us.p50, limit.latency_us.p99
        );
        report.device.push(limit);
    }
    println!("the log: records of {} B, durable", arguments.record_bytes);
    let mut curves = Vec::new();
    for depth in DEPTHS {
        for batch in BATCHES {
            let (appends, latencies) = measure(arguments, &folder, batch, depth)?;
            println!(
                "  {batch:>6} records, {depth} under way: {:>10.0} records/s, p50 {:>7.0} us, p99 {:>7.0} us",
                appends.records_per_s, appends.batch_us.p50, appends.batch_us.p99
            );
            arguments.output.write_histogram(&format!("log-{batch}x{depth}"), &latencies)?;
            curves.push((format!("{batch} records, {depth} under way"), latencies));
            report.appends.push(appends);
        }
    }
    let shown: Vec<(&str, &Latencies)> =
        curves.iter().take(BATCHES.len()).map(|(name, latencies)| (name.as_str(), latencies)).collect();
    arguments
        .output
        .write_plot("log", &plot::latency_by_percentile("durable appends, one batch at a time", &shown))?;
    arguments.output.write_json(&report)
}

fn measure(
    arguments: &cli::Log,
    folder: &DataFolder,
    batch: u32,
    depth: usize,
) -> Result<(Appends, Latencies), Error> {
    let parent = folder.fresh("log")?;
    let payload = vec![0x5a_u8; arguments.record_bytes as usize];
    let (seconds, latencies) = on_executor(parent.clone(), payload, batch, depth, arguments.seconds)?;
    remove(&parent)?;
    let batches_per_s = latencies.count() as f64 / seconds;
    let appends = Appends {
        batch,
        depth,
        records_per_s: batches_per_s * f64::from(batch),
        batches_per_s,
        batch_us: latencies.percentiles(),
    };
    Ok((appends, latencies))
}

fn on_executor(
    parent: PathBuf,
    payload: Vec<u8>,
    batch: u32,
    depth: usize,
    duration: Duration,
) -> Result<(f64, Latencies), Error> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .name("bench-log")
        .io_memory(IO_MEMORY_BYTES)
        .spawn(move || async move {
            let log = open(&parent).await.map_err(Error::engine("open the log"))?;
            let measured = append(&log, &payload, batch, depth, duration).await;
            log.close().await;
            measured.map_err(Error::engine("append to the log"))
        })
        .map_err(Error::engine("start an executor (is io_uring allowed here?)"))?;
    executor.join().map_err(Error::engine("run an executor"))?
}

async fn open(parent: &Path) -> Result<LogWriter, wal::Error> {
    let folder = LogFolder::open(&Options::new(parent, "bench"))?;
    let tail = folder.map()?.scan()?.tail().clone();
    let incarnation = tail.next_incarnation();
    LogWriter::start(folder, &tail, incarnation).await
}

/// Appends batches for `duration`, with up to `depth` of them not yet known to be durable.
async fn append(
    log: &LogWriter,
    payload: &[u8],
    batch: u32,
    depth: usize,
    duration: Duration,
) -> Result<(f64, Latencies), wal::Error> {
    let mut latencies = Latencies::new();
    let mut under_way = VecDeque::new();
    let start = Instant::now();
    while start.elapsed() < duration {
        let begin = Instant::now();
        for _ in 0..batch {
            log.append(KIND, &[payload]);
        }
        log.flush();
        under_way.push_back((log.appended(), begin));
        if under_way.len() == depth {
            let (last, begin) = under_way.pop_front().expect("it was just filled");
            log.wait_durable(last).await?;
            latencies.record(begin.elapsed().as_nanos() as u64, 1);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    log.wait_durable(log.appended()).await?;
    Ok((seconds, latencies))
}

fn remove(path: &Path) -> Result<(), Error> {
    std::fs::remove_dir_all(path).map_err(Error::file("remove the folder", path))
}
