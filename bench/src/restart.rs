//! `sakia bench restart`: how long an idle shard with an empty log takes from its death to serving again.
//!
//! Two clocks: the supervisor's report, and a front that asks for a key of the shard right after the kill and waits for the
//! answer.

use std::time::{Duration, Instant};

use operators::Rows;
use runtime::ShardId;
use rustix::process::Signal;
use serde::Serialize;

use crate::cli;
use crate::crash;
use crate::engine;
use crate::error::Error;
use crate::folder::DataFolder;
use crate::latencies::{Latencies, Percentiles};
use crate::plot;
use crate::report::Kill;
use crate::vote::front::FrontPort;
use crate::vote::port::Port;
use crate::vote::workload::{self, Names, RowWriter};

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Sleep between two looks at the time.
const WAIT: Duration = Duration::from_millis(100);
/// Stories to find one of each shard among; nothing is written.
const STORIES: u32 = 10_000;

/// What `bench restart` found.
#[derive(Debug, Serialize)]
pub struct RestartReport {
    /// From the death to serving, as the supervisor saw it.
    pub serving_us: Percentiles,
    /// From the kill to the answer to a lookup sent right after it.
    pub answered_us: Percentiles,
    /// Each kill.
    pub kills: Vec<Kill>,
}

/// Runs the benchmark.
pub fn run(arguments: &cli::Restart) -> Result<(), Error> {
    let folder = DataFolder::new(arguments.place.data.as_deref())?;
    let path = folder.fresh("restart")?;
    let shards = engine::shards_or_cores(arguments.place.shards);
    let plan = workload::plan(1).map_err(Error::engine("build the plan"))?;
    let names = Names::of(&plan).map_err(Error::engine("build the plan"))?;
    let owners = workload::story_owners(STORIES, shards);
    let supervisor = engine::start(&path, shards, plan, true)?;
    let mut port = FrontPort::connect(&path)?;
    let (mut serving, mut answered, mut kills) = (Latencies::new(), Latencies::new(), Vec::new());
    for index in 0..arguments.kills {
        let shard = ShardId((index % u32::from(shards)) as u16);
        let story = owners
            .iter()
            .position(|&owner| owner == shard.0)
            .expect("thousands of stories reach every shard");
        let known = supervisor.recoveries().len();
        let begin = Instant::now();
        crash::kill(&supervisor, shard, Signal::KILL)?;
        ask(&mut port, &names, shard, story as u32)?;
        answered.record(begin.elapsed().as_nanos() as u64, 1);
        let kill = crash::wait_recovered(&supervisor, shard, known)?;
        serving.record((kill.caught_up_ms * 1e6) as u64, 1);
        kills.push(Kill { signal: "KILL".to_owned(), ..kill });
    }
    drop(port);
    supervisor.stop();

    let report =
        RestartReport { serving_us: serving.percentiles(), answered_us: answered.percentiles(), kills };
    for (name, us) in [("serving", &report.serving_us), ("answered", &report.answered_us)] {
        println!(
            "  kill to {name:<9} p50 {:>7.1} ms, p99 {:>7.1} ms, max {:>7.1} ms",
            us.p50 / 1e3,
            us.p99 / 1e3,
            us.max / 1e3
        );
    }
    print_parts(&report.kills);
    arguments.output.write_histogram("restart", &answered)?;
    let curves = [("kill to serving", &serving), ("kill to answer", &answered)];
    arguments
        .output
        .write_plot("restart", &plot::latency_by_percentile("restart of an idle shard", &curves))?;
    arguments.output.write_json(&report)
}

/// Looks a story up and waits for the answer.
fn ask(port: &mut FrontPort, names: &Names, shard: ShardId, story: u32) -> Result<(), Error> {
    let mut keys = Rows::new();
    RowWriter::new(1).push_key(story, &mut keys);
    port.lookup(shard, names.view, &keys, 1).map_err(Error::engine("ask for a story"))?;
    let (begin, mut answers) = (Instant::now(), Vec::new());
    while answers.is_empty() {
        port.wait(WAIT, &mut answers).map_err(Error::engine("wait for an answer"))?;
        if begin.elapsed() > ANSWER_TIMEOUT {
            return Err(Error::Timeout { what: "an answer", seconds: ANSWER_TIMEOUT.as_secs() });
        }
    }
    Ok(())
}

/// One part of a recovery, in milliseconds since the death.
type Part = fn(&Kill) -> f64;

/// Prints the median of each part of the recoveries.
fn print_parts(kills: &[Kill]) {
    let parts: [(&str, Part); 5] = [
        ("detected", |kill| kill.detected_ms),
        ("restarted", |kill| kill.restarted_ms),
        ("replayed", |kill| kill.replayed_ms),
        ("steered", |kill| kill.steered_ms),
        ("caught up", |kill| kill.caught_up_ms),
    ];
    for (name, part) in parts {
        let mut ms: Vec<f64> = kills.iter().map(part).collect();
        ms.sort_unstable_by(f64::total_cmp);
        println!("  {name:<12} after {:>7.1} ms (median)", ms[ms.len() / 2]);
    }
}
