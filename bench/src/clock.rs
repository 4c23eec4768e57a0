//! `sakia bench clock`: the size of the clocks must depend on the number of shards alone.
//!
//! Votes are written into fresh engines that differ in the number of views and of rows, and the bytes of clock per message
//! between shards are compared.

use serde::Serialize;

use crate::cli;
use crate::counters::Counters;
use crate::engine;
use crate::error::Error;
use crate::folder::DataFolder;
use crate::report::Size;
use crate::vote::fill::{self, Filling};
use crate::vote::front::FrontPort;
use crate::vote::stories;
use crate::vote::workload::{self, Names};
use crate::zipf::Zipf;

/// Rows of the smaller tables.
const ROWS_SMALL: u64 = 10_000;
/// Views of the larger plan.
const VIEWS_LARGE: u32 = 20;
/// Stories that the votes are for.
const STORIES: u32 = 10_000;
/// Votes issued together.
const BATCH: u32 = 2_000;

/// What `bench clock` found.
#[derive(Debug, Serialize)]
pub struct ClockReport {
    /// One entry per plan and size.
    pub clocks: Vec<ClockSize>,
    /// The most that a clock may have: 16 + 8 (shards + 2).
    pub bytes_allowed: u64,
    /// Whether all are the same and none is larger.
    pub constant: bool,
}

/// Clocks of one engine.
#[derive(Debug, Serialize)]
pub struct ClockSize {
    /// Views in the plan.
    pub views: u32,
    /// Votes in the table.
    pub rows: u64,
    /// Messages between shards.
    pub messages: u64,
    /// Bytes of clock in them.
    pub clock_bytes: Size,
}

/// Runs the benchmark; true when the clocks are as small as they must be.
pub fn run(arguments: &cli::Clock) -> Result<bool, Error> {
    let folder = DataFolder::new(arguments.place.data.as_deref())?;
    let shards = engine::shards_or_cores(arguments.place.shards);
    let mut clocks = Vec::new();
    for (views, rows) in [(1, ROWS_SMALL), (VIEWS_LARGE, ROWS_SMALL), (1, arguments.rows)] {
        let clock = measure(&folder, shards, views, rows)?;
        let Size { p50, max } = clock.clock_bytes;
        println!(
            "  {views:>2} views, {rows:>9} rows: clock {p50} B (max {max}) in {} messages",
            clock.messages
        );
        clocks.push(clock);
    }
    let bytes_allowed = 16 + 8 * (u64::from(shards) + 2);
    let first = clocks[0].clock_bytes;
    let constant = clocks.iter().all(|clock| clock.clock_bytes == first) && first.max <= bytes_allowed;
    println!(
        "{} (allowed: {bytes_allowed} B)",
        if constant { "constant" } else { "NOT constant, or too large" }
    );
    arguments.output.write_json(&ClockReport { clocks, bytes_allowed, constant })?;
    Ok(constant)
}

fn measure(folder: &DataFolder, shards: u16, views: u32, rows: u64) -> Result<ClockSize, Error> {
    let path = folder.fresh("clock")?;
    let plan = workload::plan(views).map_err(Error::engine("build the plan"))?;
    let names = Names::of(&plan).map_err(Error::engine("build the plan"))?;
    let owners = workload::story_owners(STORIES, shards);
    let supervisor = engine::start(&path, shards, plan, true)?;
    let mut port = FrontPort::connect(&path)?;
    stories::load(&mut port, &names, &owners, shards, 1)?;
    let filling = Filling { stories: STORIES, shards, votes: rows, batch: BATCH, seed: 1 };
    let filled = fill::fill(&mut port, &names, &Zipf::new(STORIES, 1.0), filling)?;
    // Counts are right when all messages have been sent and consumed.
    let verified = stories::verify(&mut port, &names, &owners, shards, &filled.tally)?;
    drop(port);
    let counters = Counters::read(&supervisor);
    supervisor.stop();
    if verified.wrong_rows > 0 {
        let reason = format!("{} stories have wrong counts", verified.wrong_rows);
        return Err(Error::Engine { action: "count votes", reason });
    }
    Ok(ClockSize { views, rows, messages: counters.messages_sent, clock_bytes: counters.clock_size() })
}
