//! The command line of `sakia bench`.
//!
//! Only the shape of the arguments and their checks live here; what a command does is in the file of its name.
//! The two hidden commands are what the benchmarks start as processes of their own.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// What `sakia bench` can measure.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Votes on stories and lookups of their counts, at a rate or as fast as it goes, with shards killed meanwhile.
    Vote(Vote),
    /// The price of causal logging: the vote workload with it off and on, in turns.
    Overhead(Overhead),
    /// One ring in shared memory between two processes.
    Ring(Ring),
    /// Durable appends of a log against batch size, beside what the device can do.
    Log(Log),
    /// How fast a restarted shard replays its log.
    Replay(Replay),
    /// How long an idle shard with an empty log takes from its death to serving again.
    Restart(Restart),
    /// Lookups through the front library alone, and what it adds that they show what their session has written.
    Lookup(Lookup),
    /// The size of the clocks against the number of views and of rows.
    Clock(Clock),
    /// A running Sakia, and PostgreSQL beside it if there is one, over the Postgres protocol.
    Sql(Sql),
    /// The receiving process of `ring`.
    #[command(hide = true)]
    RingPeer(RingPeer),
    /// The supervisor of `vote --kill-all-every`, which must be a process that can be killed.
    #[command(hide = true)]
    Host(Host),
}

/// The workload: what is in the tables and what is asked for.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// How many of a hundred operations are lookups; the others are votes.
    #[arg(long, default_value_t = 95, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub reads: u8,
    /// How many stories there are.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub stories: u32,
    /// Exponent of the Zipf distribution that picks the stories; 0 picks all alike.
    #[arg(long, default_value_t = 1.08, value_parser = parse_skew)]
    pub skew: f64,
    /// Shards; one per core when not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,
    /// Operations issued together. They go out as one message per shard and kind.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// Operations a second, or `max` to keep a bounded number of them under way.
    #[arg(long, default_value = "max", value_parser = parse_rate)]
    pub rate: Rate,
    /// Operations under way per shard at `--rate max`; twenty batches (at least 2,000) when not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub in_flight: Option<u32>,
    /// Threads that generate load, each a front of its own. The probes have one more.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub generators: u16,
    /// Probes of write-to-visible started a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub probes: u32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder for the data; one below the current folder, removed at the end, when not given.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// Where results go.
#[derive(Debug, Clone, Args)]
pub struct Output {
    /// Write the figures to this file as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write histograms (.hgrm) and plots (.svg) to this folder.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Arguments of `sakia bench vote`.
#[derive(Debug, Clone, Args)]
pub struct Vote {
    /// The workload.
    #[command(flatten)]
    pub load: Load,
    /// Length of the measured phase in seconds.
    #[arg(long, default_value = "30", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Seconds of the same load before it that are not measured.
    #[arg(long, default_value = "2", value_parser = parse_seconds_or_zero)]
    pub warmup: Duration,
    /// Kill a random shard every so many seconds.
    #[arg(long, value_parser = parse_seconds)]
    pub kill_every: Option<Duration>,
    /// How shards die.
    #[arg(long, value_enum, default_value_t = SignalChoice::Kill, ignore_case = true)]
    pub signal: SignalChoice,
    /// Kill the supervisor and all shards at once every so many seconds, and start them again on the same folder.
    #[arg(long, value_parser = parse_seconds, conflicts_with = "kill_every")]
    pub kill_all_every: Option<Duration>,
    /// End the run after this many kills; `--seconds` then does not count.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub kills: Option<u32>,
    /// Run without clocks and step records: nothing survives the death of a shard then.
    #[arg(long, conflicts_with_all = ["kill_every", "kill_all_every"])]
    pub no_causal_logging: bool,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `sakia bench overhead`.
#[derive(Debug, Clone, Args)]
pub struct Overhead {
    /// The workload.
    #[command(flatten)]
    pub load: Load,
    /// Length of one measured phase in seconds.
    #[arg(long, default_value = "5", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Seconds of the same load before each phase that are not measured.
    #[arg(long, default_value = "1", value_parser = parse_seconds_or_zero)]
    pub warmup: Duration,
    /// How many phases of each kind.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Operations a second while latency is compared; 0 for half of the throughput measured.
    #[arg(long, default_value_t = 0)]
    pub latency_rate: u64,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `sakia bench ring`.
#[derive(Debug, Clone, Args)]
pub struct Ring {
    /// Length of one measurement in seconds.
    #[arg(long, default_value = "1", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `sakia bench log`.
#[derive(Debug, Clone, Args)]
pub struct Log {
    /// Length of one measurement in seconds.
    #[arg(long, default_value = "1", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Bytes of payload in one record.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub record_bytes: u32,
    /// Folder on the device to measure; one below the current folder when not given.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `sakia bench replay`.
#[derive(Debug, Clone, Args)]
pub struct Replay {
    /// The workload that fills the log; its `--reads` counts for nothing.
    #[command(flatten)]
    pub load: Load,
    /// Votes in the log before the kill.
    #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub votes: u64,
    /// How often the shard is killed and replays.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub kills: u32,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// The database that a benchmark makes for itself.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Shards; one per core when not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,
    /// Folder for the data; one below the current folder, removed at the end, when not given.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// Arguments of `sakia bench restart`.
#[derive(Debug, Clone, Args)]
pub struct Restart {
    /// How many kills.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub kills: u32,
    /// What is measured.
    #[command(flatten)]
    pub place: Place,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `sakia bench lookup`.
#[derive(Debug, Clone, Args)]
pub struct Lookup {
    /// Length of each of the measured phases in seconds.
    #[arg(long, default_value = "5", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// What is measured.
    #[command(flatten)]
    pub place: Place,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `sakia bench clock`.
#[derive(Debug, Clone, Args)]
pub struct Clock {
    /// Rows of the larger of the two tables compared.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    pub rows: u64,
    /// What is measured.
    #[command(flatten)]
    pub place: Place,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `sakia bench sql`.
#[derive(Debug, Clone, Args)]
pub struct Sql {
    /// The Sakia: `postgres://user@127.0.0.1:5433/sakia`.
    #[arg(long)]
    pub url: String,
    /// The PostgreSQL to measure in turns with it.
    #[arg(long)]
    pub against: Option<String>,
    /// Length of one measurement in seconds.
    #[arg(long, default_value = "5", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// How many measurements of each kind.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Only workloads whose names begin so: lookup, pipelined, insert, copy.
    #[arg(long)]
    pub only: Option<String>,
    /// The flights that are copied.
    #[arg(long, default_value = "bench/data/flights.csv.gz")]
    pub flights: PathBuf,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of the hidden `ring-peer`.
#[derive(Debug, Clone, Args)]
pub struct RingPeer {
    /// File of the ring.
    pub ring: PathBuf,
    /// Core to pin to.
    #[arg(long)]
    pub core: Option<usize>,
}

/// Arguments of the hidden `host`.
#[derive(Debug, Clone, Args)]
pub struct Host {
    /// Data folder.
    pub folder: PathBuf,
    /// Shards.
    #[arg(long)]
    pub shards: u16,
}

/// How much load is offered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Open loop: so many operations a second, each due at its own time however slow the answers are.
    PerSecond(f64),
    /// Closed loop: as many as a bounded number under way allows.
    Max,
}

/// A signal to kill with, or a choice among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SignalChoice {
    /// SIGKILL.
    #[value(name = "KILL")]
    Kill,
    /// SIGSEGV.
    #[value(name = "SEGV")]
    Segv,
    /// SIGABRT.
    #[value(name = "ABRT")]
    Abrt,
    /// SIGSTOP, which the watchdog has to notice.
    #[value(name = "STOP")]
    Stop,
    /// Another of these each time.
    #[value(name = "random")]
    Random,
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text.eq_ignore_ascii_case("max") {
        return Ok(Rate::Max);
    }
    match text.replace('_', "").parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(Rate::PerSecond(rate)),
        _ => Err("expected `max` or a number of operations a second, up to 1e9".to_owned()),
    }
}

fn parse_skew(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(skew) if (0.0..=10.0).contains(&skew) => Ok(skew),
        _ => Err("expected a number between 0 and 10".to_owned()),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match parse_seconds_or_zero(text) {
        Ok(duration) if duration.is_zero() => Err("expected more than 0 seconds".to_owned()),
        other => other,
    }
}

fn parse_seconds_or_zero(text: &str) -> Result<Duration, String> {
    /// A year: longer is a slip of the keyboard.
    const SECONDS_MAX: f64 = 31_536_000.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number of seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Line::try_parse_from(std::iter::once("bench").chain(line.split_whitespace())).map(|line| line.command)
    }

    #[test]
    fn the_documented_line_parses() {
        let line = "vote --reads 95 --stories 500000 --skew 1.08 --shards 2 --batch 64 --rate 500_000 --seconds 120 \
                    --kill-every 2 --signal random --json x.json";
        let Command::Vote(vote) = parse(line).expect("a valid line") else { panic!("not vote") };
        assert_eq!(vote.load.rate, Rate::PerSecond(500_000.0));
        assert_eq!(vote.kill_every, Some(Duration::from_secs(2)));
        assert_eq!(vote.signal, SignalChoice::Random);
        assert_eq!(vote.output.json, Some(PathBuf::from("x.json")));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "vote --reads 101",
            "vote --rate fast",
            "vote --rate 0",
            "vote --seconds 0",
            "vote --seconds -1",
            "vote --skew nan",
            "vote --batch 0",
            "vote --shards 0",
            "vote --signal HUP",
            "vote --kill-every 1 --kill-all-every 1",
            "vote --no-causal-logging --kill-every 1",
        ] {
            assert!(parse(line).is_err(), "{line} was accepted");
        }
    }

    #[test]
    fn every_command_has_defaults() {
        for line in ["vote", "overhead", "ring", "log", "replay", "restart", "clock", "sql --url x"] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
