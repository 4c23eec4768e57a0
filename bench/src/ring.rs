//! `sakia bench ring`: one ring in shared memory between two processes on two cores.
//!
//! This process publishes; a second one, started for each measurement, reads, releases and reports what it saw. Throughput is
//! measured with messages published as fast as the ring takes them, singly and in groups; latency with one message every few
//! microseconds, stamped with the machine's monotonic clock just before it is published. Both ends spin.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use runtime::ring::{Consumer, Producer, RingMemory};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::cli;
use crate::error::Error;
use crate::latencies::{Latencies, Percentiles};
use crate::plot;

/// Payloads measured.
const PAYLOAD_BYTES: [usize; 3] = [64, 256, 4096];
/// Messages published together.
const GROUPS: [u64; 2] = [1, 16];
/// Capacity of the ring: as large as between shards.
const RING_BYTES: usize = 4 << 20;
/// Between two messages when latency is measured: long enough for the ring to be empty again.
const PACE_NS: u64 = 5_000;
/// Frames that the reader takes before it moves the indexes.
const READ_GROUP: u64 = 16;
/// The label of the message that ends a measurement.
const END: u64 = u64::MAX;

/// What `bench ring` found.
#[derive(Debug, Serialize)]
pub struct RingReport {
    /// Whether the two processes had a core each.
    pub two_cores: bool,
    /// One entry per size and way to publish.
    pub throughput: Vec<Throughput>,
    /// One entry per size.
    pub latency: Vec<OneWay>,
}

/// Messages as fast as they go.
#[derive(Debug, Serialize)]
pub struct Throughput {
    /// Payload of a message.
    pub payload_bytes: usize,
    /// Messages published together.
    pub group: u64,
    /// Messages a second.
    pub messages_per_s: f64,
    /// Payload in megabytes (10^6 bytes) a second.
    pub megabytes_per_s: f64,
}

/// From before a message is published until it has been read.
#[derive(Debug, Serialize)]
pub struct OneWay {
    /// Payload of a message.
    pub payload_bytes: usize,
    /// Times in microseconds.
    pub latency_us: Percentiles,
}

/// What the reading process saw, handed over as a line of JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    messages: u64,
    /// From the first message to the last.
    elapsed_ns: u64,
    /// (nanoseconds, messages), when messages carry a time.
    latencies: Vec<(u64, u64)>,
}

/// Runs the benchmark and prints its table.
pub fn run(arguments: &cli::Ring) -> Result<(), Error> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let pins = match cores[..] {
        [first, second, ..] => Some((first, second)),
        _ => None,
    };
    if let Some((first, _)) = pins {
        core_affinity::set_for_current(first);
    }
    let peer_core = pins.map(|(_, second)| second.id);
    let mut report = RingReport { two_cores: pins.is_some(), throughput: Vec::new(), latency: Vec::new() };
    println!("one ring, two processes, {}", if pins.is_some() { "a core each" } else { "one core" });
    for bytes in PAYLOAD_BYTES {
        for group in GROUPS {
            let seen =
                measure(peer_core, bytes, |producer| flood(producer, bytes, group, arguments.seconds))?;
            let messages_per_s = seen.messages as f64 / (seen.elapsed_ns.max(1) as f64 / 1e9);
            let megabytes_per_s = messages_per_s * bytes as f64 / 1e6;
            println!(
                "  {bytes:>5} B in groups of {group:>2}: {messages_per_s:>12.0} messages/s {megabytes_per_s:>8.0} MB/s"
            );
            report.throughput.push(Throughput {
                payload_bytes: bytes,
                group,
                messages_per_s,
                megabytes_per_s,
            });
        }
    }
    let mut curves = Vec::new();
    for bytes in PAYLOAD_BYTES {
        let seen = measure(peer_core, bytes, |producer| pace(producer, bytes, arguments.seconds))?;
        let mut latencies = Latencies::new();
        seen.latencies.iter().for_each(|&(ns, messages)| latencies.record(ns, messages));
        let latency_us = latencies.percentiles();
        println!(
            "  {bytes:>5} B one way: p50 {:.2} us, p99 {:.2} us, max {:.0} us",
            latency_us.p50, latency_us.p99, latency_us.max
        );
        arguments.output.write_histogram(&format!("ring-{bytes}"), &latencies)?;
        report.latency.push(OneWay { payload_bytes: bytes, latency_us });
        curves.push((format!("{bytes} B"), latencies));
    }
    let curves: Vec<(&str, &Latencies)> =
        curves.iter().map(|(name, latencies)| (name.as_str(), latencies)).collect();
    arguments.output.write_plot("ring", &plot::latency_by_percentile("one way through a ring", &curves))?;
    arguments.output.write_json(&report)
}

/// The reading process.
pub fn run_peer(arguments: &cli::RingPeer) -> Result<(), Error> {
    if let Some(id) = arguments.core {
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
    let memory = RingMemory::open(&arguments.ring).map_err(Error::engine("open the ring"))?;
    let seen = consume(&memory)?;
    println!("{}", serde_json::to_string(&seen).expect("numbers only"));
    Ok(())
}

/// Makes a ring, starts the reader, lets `publish` run and returns what the reader saw.
fn measure(core: Option<usize>, bytes: usize, publish: impl FnOnce(&mut Producer)) -> Result<Seen, Error> {
    let ring = RingFile::new(bytes)?;
    let memory = RingMemory::create(&ring.path, RING_BYTES, 0).map_err(Error::engine("make a ring"))?;
    let mut producer = Producer::attach(&memory).map_err(Error::engine("attach to the ring"))?;
    let mut reader = start_reader(&ring.path, core)?;
    publish(&mut producer);
    push(&mut producer, END, &[]);
    let mut text = String::new();
    let output = reader.stdout.as_mut().expect("it was asked to be piped");
    output.read_to_string(&mut text).map_err(Error::process("read what the second process saw"))?;
    let status = reader.wait().map_err(Error::process("wait for the second process"))?;
    if !status.success() {
        return Err(Error::Engine {
            action: "read the ring in a second process",
            reason: status.to_string(),
        });
    }
    serde_json::from_str(&text).map_err(Error::engine("understand the second process"))
}

fn start_reader(ring: &Path, core: Option<usize>) -> Result<Child, Error> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["bench", "ring-peer"]).arg(ring).stdout(Stdio::piped());
    if let Some(core) = core {
        command.args(["--core", &core.to_string()]);
    }
    command.spawn().map_err(Error::process("start a second process"))
}

/// Publishes as fast as the ring takes it.
fn flood(producer: &mut Producer, bytes: usize, group: u64, duration: Duration) {
    let payload = vec![0_u8; bytes];
    let end_ns = now_ns() + duration.as_nanos() as u64;
    let mut label = 0;
    while now_ns() < end_ns {
        // The clock is looked at once in a while, as it costs about as much as a message.
        for _ in 0..64 {
            for _ in 0..group {
                label += 1;
                while producer.append(label, &payload).is_err() {
                    producer.publish();
                    std::hint::spin_loop();
                }
            }
            producer.publish();
        }
    }
}

/// Publishes stamped messages at an even pace.
fn pace(producer: &mut Producer, bytes: usize, duration: Duration) {
    let mut payload = vec![0_u8; bytes];
    let start_ns = now_ns();
    for message in 1..=duration.as_nanos() as u64 / PACE_NS {
        while now_ns() < start_ns + message * PACE_NS {
            std::hint::spin_loop();
        }
        payload[..8].copy_from_slice(&now_ns().to_le_bytes());
        push(producer, message, &payload);
    }
}

fn push(producer: &mut Producer, label: u64, payload: &[u8]) {
    while producer.push(label, payload).is_err() {
        std::hint::spin_loop();
    }
}

/// Reads until the end message.
fn consume(memory: &RingMemory) -> Result<Seen, Error> {
    let mut consumer = Consumer::attach(memory).map_err(Error::engine("attach to the ring"))?;
    let mut latencies = Latencies::new();
    let (mut messages, mut first_ns, mut group) = (0_u64, 0, 0_u64);
    loop {
        let token = consumer.position();
        let mut token_read = token;
        let mut over = false;
        while group < READ_GROUP {
            let Some(frame) = consumer.peek_at(token_read).map_err(Error::engine("read the ring"))? else {
                break;
            };
            token_read = frame.token;
            if frame.label == END {
                over = true;
                break;
            }
            assert_eq!(frame.label, messages + 1, "messages come once and in order");
            messages += 1;
            group += 1;
            let stamp = frame.payload.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            if stamp > 0 {
                latencies.record(now_ns().saturating_sub(stamp), 1);
            }
        }
        if token_read != token {
            consumer.advance(token_read);
            consumer.release(token_read);
            if first_ns == 0 {
                first_ns = now_ns();
            }
        }
        group = 0;
        if over {
            let elapsed_ns = now_ns() - first_ns;
            return Ok(Seen { messages, elapsed_ns, latencies: latencies.buckets() });
        }
        std::hint::spin_loop();
    }
}

/// The machine's monotonic clock, which all processes share.
fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A ring's file in shared memory, removed at the end.
struct RingFile {
    path: PathBuf,
}

impl RingFile {
    fn new(bytes: usize) -> Result<RingFile, Error> {
        let name = format!("sakia-bench-ring-{}-{bytes}", std::process::id());
        let path = Path::new("/dev/shm").join(name);
        RingMemory::remove(&path).or_else(ignore_missing).map_err(Error::file("remove", &path))?;
        Ok(RingFile { path })
    }
}

impl Drop for RingFile {
    fn drop(&mut self) {
        // A file left behind is only memory, and the next run of this process removes it.
        let _ = RingMemory::remove(&self.path);
    }
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through_a_ring(publish: impl FnOnce(&mut Producer)) -> Seen {
        let memory = RingMemory::heap(1 << 16, 0);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| consume(&memory).expect("the ring is sound"));
            let mut producer = Producer::attach(&memory).expect("the ring is new");
            publish(&mut producer);
            push(&mut producer, END, &[]);
            reader.join().expect("the reader ends")
        })
    }

    #[test]
    fn a_flood_arrives_whole_and_in_order() {
        for group in GROUPS {
            let seen = through_a_ring(|producer| flood(producer, 64, group, Duration::from_millis(5)));
            assert!(seen.messages >= group);
            assert!(seen.latencies.is_empty(), "these messages carry no time");
        }
    }

    #[test]
    fn every_paced_message_has_a_latency() {
        let seen = through_a_ring(|producer| pace(producer, 64, Duration::from_millis(5)));
        assert_eq!(seen.messages, 1000);
        assert_eq!(seen.latencies.iter().map(|(_, messages)| messages).sum::<u64>(), 1000);
    }
}
