//! `sakia bench overhead`: what causal logging costs.
//!
//! The vote workload with it off (no clocks, no step records; writes are durable all the same) and on. Phases of the two
//! kinds take turns, each on a fresh folder, as the machine's own speed wanders from minute to minute; each round gives one
//! ratio, and the median of them is the result. Latency is compared at a fixed rate that both sustain, as at the maximum
//! it would only say how long the queues are.

use serde::Serialize;

use crate::cli::{self, Rate};
use crate::error::Error;
use crate::folder::DataFolder;
use crate::latencies::{Latencies, Percentiles};
use crate::plot;
use crate::trial::{self, Crashes, Outcome, Trial};
use crate::vote::figures::Workload;

/// What `bench overhead` found.
#[derive(Debug, Serialize)]
pub struct OverheadReport {
    /// Throughput with causal logging over throughput without: the median of the rounds.
    pub throughput_ratio: f64,
    /// The lowest and the highest of the rounds.
    pub throughput_ratio_range: (f64, f64),
    /// Each round.
    pub rounds: Vec<Round>,
    /// Operations a second while latency was compared.
    pub latency_rate: f64,
    /// Without causal logging, at that rate.
    pub off: Side,
    /// With it.
    pub on: Side,
    /// How much later the median write became visible.
    pub visible_p50_added_us: f64,
    /// Wrong rows of all phases.
    pub wrong_rows: u64,
    /// Refused or unanswered operations of all phases.
    pub client_errors: u64,
    /// The workload.
    pub workload: Workload,
}

/// Throughput of a pair of phases.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    /// Operations a second without causal logging.
    pub off_ops_per_s: f64,
    /// Operations a second with it.
    pub on_ops_per_s: f64,
}

/// Latencies of all phases of one kind.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Side {
    /// Votes until visible.
    pub visible_us: Percentiles,
    /// Votes until acknowledged.
    pub write_us: Percentiles,
    /// Lookups.
    pub read_us: Percentiles,
}

/// Latencies of the phases of one kind, while they are gathered.
#[derive(Debug, Default)]
struct Gathered {
    visible: Latencies,
    writes: Latencies,
    reads: Latencies,
}

impl Gathered {
    fn add(&mut self, outcome: &Outcome) {
        self.visible.add(&outcome.results.visible);
        self.writes.add(&outcome.results.writes);
        self.reads.add(&outcome.results.reads);
    }

    fn side(&self) -> Side {
        Side {
            visible_us: self.visible.percentiles(),
            write_us: self.writes.percentiles(),
            read_us: self.reads.percentiles(),
        }
    }
}

impl Round {
    fn ratio(&self) -> f64 {
        self.on_ops_per_s / self.off_ops_per_s.max(1e-9)
    }
}

/// The phases of a run and what was wrong in any of them.
struct Phases<'a> {
    arguments: &'a cli::Overhead,
    folder: DataFolder,
    wrong_rows: u64,
    client_errors: u64,
}

impl Phases<'_> {
    fn run(&mut self, causal_logging: bool, rate: Rate) -> Result<Outcome, Error> {
        let trial = Trial {
            load: &self.arguments.load,
            rate,
            seconds: self.arguments.seconds,
            warmup: self.arguments.warmup,
            causal_logging,
            crashes: Crashes::None,
            kills_max: None,
            single_writes: false,
        };
        let outcome = trial::run(&trial, &self.folder)?;
        self.wrong_rows += outcome.results.wrong_rows;
        self.client_errors += outcome.results.client_errors;
        Ok(outcome)
    }
}

/// Runs the benchmark; true when every result was right.
pub fn run(arguments: &cli::Overhead) -> Result<bool, Error> {
    let folder = DataFolder::new(arguments.load.data.as_deref())?;
    let mut phases = Phases { arguments, folder, wrong_rows: 0, client_errors: 0 };
    let rounds = compare_throughput(&mut phases)?;
    let mut ratios: Vec<f64> = rounds.iter().map(Round::ratio).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let latency_rate = match (arguments.latency_rate, arguments.load.rate) {
        (0, Rate::PerSecond(rate)) => rate,
        (0, Rate::Max) => {
            median(&mut rounds.iter().map(|round| round.on_ops_per_s).collect::<Vec<f64>>()) / 2.0
        }
        (rate, _) => rate as f64,
    };
    let (off, on) = compare_latency(&mut phases, latency_rate)?;
    let report = OverheadReport {
        throughput_ratio: median(&mut ratios),
        throughput_ratio_range: (ratios[0], ratios[ratios.len() - 1]),
        rounds,
        latency_rate,
        off: off.side(),
        on: on.side(),
        visible_p50_added_us: on.side().visible_us.p50 - off.side().visible_us.p50,
        wrong_rows: phases.wrong_rows,
        client_errors: phases.client_errors,
        workload: Workload::of(&arguments.load),
    };
    print(&report);
    let output = &arguments.output;
    output.write_histogram("visible-off", &off.visible)?;
    output.write_histogram("visible-on", &on.visible)?;
    let curves = [("visible, causal logging off", &off.visible), ("visible, causal logging on", &on.visible)];
    output.write_plot("overhead", &plot::latency_by_percentile("write to visible", &curves))?;
    output.write_json(&report)?;
    Ok(report.wrong_rows == 0 && report.client_errors == 0)
}

fn compare_throughput(phases: &mut Phases<'_>) -> Result<Vec<Round>, Error> {
    let mut rounds = Vec::new();
    for round in 0..phases.arguments.rounds {
        let mut ops_per_s = [0.0; 2];
        for causal_logging in in_turns(round) {
            let outcome = phases.run(causal_logging, Rate::Max)?;
            let operations = outcome.results.reads_answered + outcome.results.writes_answered;
            ops_per_s[usize::from(causal_logging)] = operations as f64 / outcome.seconds;
        }
        let [off_ops_per_s, on_ops_per_s] = ops_per_s;
        let round = Round { off_ops_per_s, on_ops_per_s };
        println!("  off {off_ops_per_s:>10.0}, on {on_ops_per_s:>10.0} operations/s: {:.3}", round.ratio());
        rounds.push(round);
    }
    Ok(rounds)
}

fn compare_latency(phases: &mut Phases<'_>, rate: f64) -> Result<(Gathered, Gathered), Error> {
    let mut gathered = [Gathered::default(), Gathered::default()];
    for round in 0..phases.arguments.rounds {
        for causal_logging in in_turns(round) {
            let outcome = phases.run(causal_logging, Rate::PerSecond(rate))?;
            gathered[usize::from(causal_logging)].add(&outcome);
        }
    }
    Ok(gathered.into())
}

/// Which comes first alternates too: what follows on a pause of the disk should not always be the same.
fn in_turns(round: u32) -> [bool; 2] {
    if round.is_multiple_of(2) { [false, true] } else { [true, false] }
}

fn median(values: &mut [f64]) -> f64 {
    assert!(!values.is_empty(), "there is at least one round");
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

fn print(report: &OverheadReport) {
    let (low, high) = report.throughput_ratio_range;
    println!("throughput on over off: {:.3} (from {low:.3} to {high:.3})", report.throughput_ratio);
    println!("write to visible at {:.0} operations/s:", report.latency_rate);
    for (name, side) in [("off", &report.off), ("on", &report.on)] {
        let us = side.visible_us;
        println!("  {name:<4} p50 {:>8.0} us, p99 {:>8.0} us, max {:>8.0} us", us.p50, us.p99, us.max);
    }
    println!("  p50 added: {:.0} us", report.visible_p50_added_us);
    println!("wrong rows: {}, client errors: {}", report.wrong_rows, report.client_errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
