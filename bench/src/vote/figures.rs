//! The figures of a run as JSON and as text.

use serde::Serialize;

use crate::cli::{Load, Rate};
use crate::device::DeviceLimit;
use crate::latencies::Percentiles;
use crate::report::{Kill, MachineKill, Size, Tail};
use crate::trial::Outcome;
use crate::vote::single::Paces;

/// What `bench vote` found. Times in microseconds where the name does not say otherwise.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Operations answered a second in the measured phase.
    pub ops_per_s: f64,
    /// Votes among them.
    pub writes_per_s: f64,
    /// Lookups among them.
    pub reads_per_s: f64,
    /// Lookups, from when they were due.
    pub read_us: Percentiles,
    /// Votes until acknowledged, from when they were due.
    pub write_us: Percentiles,
    /// Votes until acknowledged, one at a time on the idle engine before the load.
    pub single_write_us: Percentiles,
    /// The same with a pause after each.
    pub single_write_paced_us: Percentiles,
    /// Votes until visible in the view, from when they were due.
    pub visible_us: Percentiles,
    /// Deaths of shards.
    pub kills: Vec<Kill>,
    /// Deaths of the supervisor and all shards.
    pub machine_kills: Vec<MachineKill>,
    /// Operations on shards that were up while another was down.
    pub others_during_kills_us: Tail,
    /// Operations while all shards were up.
    pub others_outside_us: Tail,
    /// Operations that had to wait for a killed shard.
    pub killed_us: Percentiles,
    /// Bytes of a clock in a message between shards.
    pub clock_bytes: Size,
    /// Log bytes for each row written.
    pub log_bytes_per_write: f64,
    /// Deltas in a message between shards.
    pub rows_per_message: f64,
    /// Operations in a message from the generator.
    pub ops_per_request: f64,
    /// How much later than due the generator issued groups, which is part of all latencies above; nothing at `max`.
    pub issued_late_us: Percentiles,
    /// Answers during the run and counts after it that are wrong.
    pub wrong_rows: u64,
    /// Operations refused or never answered.
    pub client_errors: u64,
    /// The first errors and differences, in words.
    pub errors: Vec<String>,
    /// Acknowledged votes.
    pub votes: u64,
    /// Votes that may or may not be counted, as their acknowledgement never came.
    pub votes_in_doubt: u64,
    /// Length of the measured phase.
    pub seconds: f64,
    /// O_DIRECT write and fdatasync of 4 KiB on the same device just before.
    pub device_4k: DeviceLimit,
    /// The same with a pause after each, as long as between the paced single writes.
    pub device_4k_paced: DeviceLimit,
    /// The workload.
    pub workload: Workload,
}

/// What was run.
#[derive(Debug, Serialize)]
pub struct Workload {
    /// Lookups in a hundred operations.
    pub reads_percent: u8,
    /// Stories.
    pub stories: u32,
    /// Exponent of the Zipf distribution.
    pub skew: f64,
    /// Operations issued together.
    pub batch: u32,
    /// Operations a second that were due; nothing for as fast as it went.
    pub rate: Option<f64>,
    /// Threads that generated load.
    pub generators: u16,
}

impl Figures {
    /// Puts the figures of a trial together.
    pub fn new(load: &Load, outcome: &Outcome, device: Paces<DeviceLimit>) -> Figures {
        let results = &outcome.results;
        let (reads, writes) = (results.reads_answered, results.writes_answered);
        let per_second = |operations: u64| operations as f64 / outcome.seconds.max(1e-9);
        let counters = outcome.counters.clone().unwrap_or_default();
        let mut errors = results.errors.clone();
        errors.extend(outcome.verified.differences.iter().cloned());
        Figures {
            ops_per_s: per_second(reads + writes),
            writes_per_s: per_second(writes),
            reads_per_s: per_second(reads),
            read_us: results.reads.percentiles(),
            write_us: results.writes.percentiles(),
            single_write_us: outcome.single_writes.back_to_back.percentiles(),
            single_write_paced_us: outcome.single_writes.paced.percentiles(),
            visible_us: results.visible.percentiles(),
            kills: outcome.kills.clone(),
            machine_kills: outcome.machine_kills.clone(),
            others_during_kills_us: results.others_during_kills.percentiles().into(),
            others_outside_us: results.others_outside.percentiles().into(),
            killed_us: results.killed.percentiles(),
            clock_bytes: counters.clock_size(),
            log_bytes_per_write: counters.log_bytes_per_write(),
            rows_per_message: counters.rows_per_message(),
            ops_per_request: (reads + writes) as f64 / results.messages_answered.max(1) as f64,
            issued_late_us: results.late.percentiles(),
            wrong_rows: results.wrong_rows,
            client_errors: results.client_errors,
            errors,
            votes: results.tally.total(),
            votes_in_doubt: results.tally.doubtful_total(),
            seconds: outcome.seconds,
            device_4k: device.back_to_back,
            device_4k_paced: device.paced,
            workload: Workload::of(load),
        }
    }

    /// Whether nothing was wrong and nothing was refused.
    pub fn is_right(&self) -> bool {
        self.wrong_rows == 0 && self.client_errors == 0
    }

    /// Prints them.
    pub fn print(&self, outcome: &Outcome) {
        println!(
            "{:.0} operations/s ({:.0} reads, {:.0} writes) over {:.1} s",
            self.ops_per_s, self.reads_per_s, self.writes_per_s, self.seconds
        );
        for (name, us) in [("read", self.read_us), ("write", self.write_us), ("visible", self.visible_us)] {
            print_percentiles(name, &us);
        }
        print_percentiles("issued late", &self.issued_late_us);
        let single = [
            ("back to back", &self.single_write_us, &self.device_4k),
            ("paced", &self.single_write_paced_us, &self.device_4k_paced),
        ];
        for (pace, write, device) in single {
            let device = device.latency_us;
            println!(
                "  single write, {pace:<13} p50 {:>5.0} us, p99 {:>5.0} us; device 4 KiB, synced: p50 {:>5.0} us, p99 {:>5.0} us; p50 {:.2} times",
                write.p50,
                write.p99,
                device.p50,
                device.p99,
                write.p50 / device.p50
            );
        }
        for kill in &self.kills {
            println!(
                "  {:>7.2} s: shard {} {:<4} detected {:.1}, restarted {:.1}, replayed {:.1}, steered {:.1}, caught up {:.1} ms",
                kill.at_seconds,
                kill.shard,
                kill.signal,
                kill.detected_ms,
                kill.restarted_ms,
                kill.replayed_ms,
                kill.steered_ms,
                kill.caught_up_ms
            );
        }
        for kill in &self.machine_kills {
            println!(
                "  {:>7.2} s: everything killed, connected again after {:.1} ms",
                kill.at_seconds, kill.connected_ms
            );
        }
        if !self.kills.is_empty() {
            let (during, outside) = (self.others_during_kills_us, self.others_outside_us);
            println!(
                "  {:<22} p50 {:>9.0} us, p99 {:>9.0} us",
                "others during kills", during.p50, during.p99
            );
            println!("  {:<22} p50 {:>9.0} us, p99 {:>9.0} us", "all up", outside.p50, outside.p99);
            print_percentiles("killed shard", &self.killed_us);
        }
        println!(
            "  clock {} B (max {}), log {:.1} B a write, {:.1} rows a message, {:.1} operations a request",
            self.clock_bytes.p50,
            self.clock_bytes.max,
            self.log_bytes_per_write,
            self.rows_per_message,
            self.ops_per_request
        );
        println!(
            "{} votes acknowledged, {} in doubt; wrong rows: {}, client errors: {}",
            self.votes, self.votes_in_doubt, self.wrong_rows, self.client_errors
        );
        outcome
            .results
            .errors
            .iter()
            .chain(&outcome.verified.differences)
            .for_each(|text| println!("  {text}"));
    }
}

impl Workload {
    /// The workload as it was asked for.
    pub fn of(load: &Load) -> Workload {
        let rate = match load.rate {
            Rate::PerSecond(rate) => Some(rate),
            Rate::Max => None,
        };
        let &Load { reads, stories, skew, batch, generators, .. } = load;
        Workload { reads_percent: reads, stories, skew, batch, rate, generators }
    }
}

fn print_percentiles(name: &str, us: &Percentiles) {
    if us.count > 0 {
        println!(
            "  {name:<22} p50 {:>9.0} us, p99 {:>9.0} us, p99.9 {:>9.0} us, max {:>9.0} us",
            us.p50, us.p99, us.p999, us.max
        );
    }
}
