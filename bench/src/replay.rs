//! `sakia bench replay`: how fast a restarted shard replays its log.
//!
//! Votes are written as fast as they go; then shard 0 is killed, several times over, and each time replays all that its log
//! holds. The speed counts the votes that this shard owns, although it also replays its share of the counting for the votes
//! of other shards. Every count is compared at the end.

use runtime::ShardId;
use rustix::process::Signal;
use serde::Serialize;

use crate::cli;
use crate::crash;
use crate::engine;
use crate::error::Error;
use crate::folder::DataFolder;
use crate::report::Kill;
use crate::vote::fill::{self, Filling};
use crate::vote::front::FrontPort;
use crate::vote::stories;
use crate::vote::workload::{self, Names};
use crate::zipf::Zipf;

/// What `bench replay` found.
#[derive(Debug, Serialize)]
pub struct ReplayReport {
    /// Votes in all logs.
    pub votes: u64,
    /// Votes in the log of the shard that was killed.
    pub votes_replayed: u64,
    /// Votes replayed a second, of the fastest, median and slowest kill.
    pub votes_per_s: [f64; 3],
    /// Each kill.
    pub kills: Vec<Kill>,
    /// Counts that were wrong at the end.
    pub wrong_rows: u64,
}

/// Runs the benchmark; true when every result was right.
pub fn run(arguments: &cli::Replay) -> Result<bool, Error> {
    let load = &arguments.load;
    let folder = DataFolder::new(load.data.as_deref())?;
    let path = folder.fresh("replay")?;
    let shards = engine::shards_or_cores(load.shards);
    let plan = workload::plan(1).map_err(Error::engine("build the plan"))?;
    let names = Names::of(&plan).map_err(Error::engine("build the plan"))?;
    let owners = workload::story_owners(load.stories, shards);
    let supervisor = engine::start(&path, shards, plan, true)?;
    let mut port = FrontPort::connect(&path)?;
    stories::load(&mut port, &names, &owners, shards, load.seed)?;
    let zipf = Zipf::new(load.stories, load.skew);
    let filling =
        Filling { stories: load.stories, shards, votes: arguments.votes, batch: load.batch, seed: load.seed };
    let filled = fill::fill(&mut port, &names, &zipf, filling)?;

    let mut kills = Vec::new();
    for _ in 0..arguments.kills {
        kills.push(crash::kill_and_wait(&supervisor, ShardId(0), Signal::KILL)?);
    }
    let verified = stories::verify(&mut port, &names, &owners, shards, &filled.tally)?;
    drop(port);
    supervisor.stop();

    let votes_replayed = filled.owned[0];
    let seconds = |kill: &Kill| (kill.replayed_ms - kill.restarted_ms).max(1e-3) / 1e3;
    let mut speeds: Vec<f64> = kills.iter().map(|kill| votes_replayed as f64 / seconds(kill)).collect();
    speeds.sort_unstable_by(|a, b| b.total_cmp(a));
    let votes_per_s = [speeds[0], speeds[speeds.len() / 2], speeds[speeds.len() - 1]];
    println!("{votes_replayed} of {} votes are in the log of shard 0", arguments.votes);
    for kill in &kills {
        println!("  replayed in {:.0} ms, caught up after {:.0} ms", seconds(kill) * 1e3, kill.caught_up_ms);
    }
    println!("{:.0} votes/s (from {:.0} to {:.0})", votes_per_s[1], votes_per_s[2], votes_per_s[0]);
    println!("wrong rows: {}", verified.wrong_rows);
    verified.differences.iter().for_each(|text| println!("  {text}"));
    let wrong_rows = verified.wrong_rows;
    let report = ReplayReport { votes: arguments.votes, votes_replayed, votes_per_s, kills, wrong_rows };
    arguments.output.write_json(&report)?;
    Ok(wrong_rows == 0)
}
