//! The command line of the simulator: `sakia sim`.

use super::{Report, Rule, Tally, run};
use clap::{Args, ValueEnum};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

/// Runs simulated machines, each from one seed, and checks what comes of them.
#[derive(Args, Clone, Debug)]
pub struct SimArgs {
    /// How many seeds to run, side by side on all cores.
    #[arg(long, default_value_t = 1000)]
    pub seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    pub first_seed: u64,
    /// Replay this one seed and print every move.
    #[arg(long, conflicts_with_all = ["seeds", "first_seed"])]
    pub seed: Option<u64>,
    /// Switch one rule of the protocol off, to see the simulator notice.
    #[arg(long, value_name = "RULE")]
    pub without: Option<RuleArg>,
}

/// A rule as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuleArg {
    /// Do not go again through the cuts that receivers have seen.
    Steering,
    /// Do not log that single messages may differ after steering.
    ResumedRecords,
    /// Log requests that are found on the ring again once more.
    Dedup,
    /// Read the log while writes of the dead predecessor are still in flight.
    Fence,
    /// Take a flush for durable as soon as it is submitted.
    SyncBeforeAck,
    /// Let reads not wait for what their session has written.
    Rounds,
    /// Let readers take what one life of a shard has told for that of the next.
    Lives,
}

impl From<RuleArg> for Rule {
    fn from(rule: RuleArg) -> Rule {
        match rule {
            RuleArg::Steering => Rule::Steering,
            RuleArg::ResumedRecords => Rule::ResumedRecords,
            RuleArg::Dedup => Rule::Dedup,
            RuleArg::Fence => Rule::Fence,
            RuleArg::SyncBeforeAck => Rule::SyncBeforeAck,
            RuleArg::Rounds => Rule::Rounds,
            RuleArg::Lives => Rule::Lives,
        }
    }
}

/// Failures that are printed in full.
const SHOWN_COUNT: usize = 10;

/// Runs what was asked for and prints the result. Returns the exit status: 0 if no seed failed.
pub fn execute(args: &SimArgs) -> i32 {
    let without = args.without.map(Rule::from);
    if let Some(seed) = args.seed {
        let report = run(seed, without, true);
        print_seed(&report);
        return i32::from(report.failure.is_some());
    }
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (tally, failures) = run_many(args.first_seed, args.seeds, without, threads);
    for report in failures.iter().take(SHOWN_COUNT) {
        print_seed(report);
    }
    if failures.len() > SHOWN_COUNT {
        println!("... and {} more", failures.len() - SHOWN_COUNT);
    }
    let seconds = began.elapsed().as_secs_f64();
    let rule = without.map_or(String::new(), |rule| format!(" without {}", rule.name()));
    println!(
        "{} seeds from {}{rule}: {} kills, {} of them steered back, {} machine losses, {} of them for damaged rings, {} front deaths, \
         {} failed writes to disks, \
         {} writes refused by full disks, {} writes, {} reads that show them, {} events in {seconds:.1} s ({:.0} events/s, {:.1} ms a seed and thread)",
        args.seeds,
        args.first_seed,
        tally.kills,
        tally.steerings,
        tally.power_losses,
        tally.ring_restarts,
        tally.front_deaths,
        tally.write_errors,
        tally.refused_full,
        tally.writes,
        tally.reads,
        tally.events,
        tally.events as f64 / seconds,
        seconds * 1000.0 * threads as f64 / args.seeds.max(1) as f64,
    );
    println!("{} of {} seeds failed", failures.len(), args.seeds);
    i32::from(!failures.is_empty())
}

/// Runs `count` seeds from `first` on, on that many threads. Returns what happened in all of them, and the reports of
/// those that failed in the order of their seeds.
pub fn run_many(first: u64, count: u64, without: Option<Rule>, threads: usize) -> (Tally, Vec<Report>) {
    assert!(threads > 0);
    let next = AtomicU64::new(first);
    let (send, receive) = mpsc::channel::<Report>();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - first >= count || send.send(run(seed, without, false)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut tally = Tally::default();
        let mut failures = Vec::new();
        for report in receive {
            tally.add(&report.tally);
            failures.extend(Some(report).filter(|report| report.failure.is_some()));
        }
        failures.sort_by_key(|report| report.seed);
        (tally, failures)
    })
}

fn print_seed(report: &Report) {
    match &report.failure {
        None => println!("seed {} ends right: {:?}", report.seed, report.tally),
        Some(failure) => println!("seed {} fails: {failure}", report.seed),
    }
}
