//! The simulated host: all shards, rings, logs and fronts on one thread, from one seed.
//!
//! The shard, its links, the rings, the log's appender and its scan, and the recovery of the machine are the real ones;
//! simulated are the processes (`process.rs`), the disks (`disk.rs`), the fronts (`front.rs`) and the supervisor, which
//! is the random schedule itself (`moves.rs`, with `plot.rs` and `damage.rs`). A seed decides the number of shards and
//! fronts, the sizes of rings, segments and queues (`ground.rs`), and every move: what is asked, who steps over which
//! link and how far, who publishes, flushes, dies, starts again, which write fails, which disk is full, which ring is
//! damaged, and when the power goes. So every run can be had again.
//!
//! A run passes if no check fails on the way (`ledger.rs`, `front.rs`, the asserts of the code itself), if everything
//! comes to rest within a bounded number of moves once nothing dies any more, and if then every view holds what a
//! computation from scratch over the writes in the logs gives (`oracle.rs`).
//!
//! In half of the worlds fronts have sessions that read what they have written (`session.rs`), by way of what shards tell on a
//! board (`board.rs`).
//!
//! Rules of the protocol can be switched off one at a time ([`Rule`]), to show that the simulator would notice.

mod board;
pub mod cli;
mod damage;
mod disk;
mod front;
mod ground;
mod ledger;
mod moves;
mod oracle;
mod plot;
mod process;
mod quiet;
mod rest;
mod session;
mod workload;
mod world;

#[cfg(test)]
mod tests;

use crate::shard::Rules;
use std::fmt;
use world::World;

/// A rule of the protocol that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A shard that starts again goes through the cuts that its receivers have seen.
    Steering,
    /// It logs between which labels its messages may differ from those it sent the first time.
    ResumedRecords,
    /// It logs a request that it finds on the ring again only once.
    Dedup,
    /// It reads its log only when no write of its dead predecessor can land any more.
    Fence,
    /// A flush counts as durable when it is on disk, not when it is submitted.
    SyncBeforeAck,
    /// A read waits until the rounds of what its session has written are over.
    Rounds,
    /// What readers have seen of a shard is good for one life of it.
    Lives,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 6] =
        [Rule::Steering, Rule::ResumedRecords, Rule::Dedup, Rule::Fence, Rule::SyncBeforeAck, Rule::Rounds];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Steering => "steering",
            Rule::ResumedRecords => "resumed-records",
            Rule::Dedup => "dedup",
            Rule::Fence => "fence",
            Rule::SyncBeforeAck => "sync-before-ack",
            Rule::Rounds => "rounds",
            Rule::Lives => "lives",
        }
    }
}

/// Which rules hold in a run.
#[derive(Clone, Copy, Debug)]
struct Switches {
    rules: Rules,
    fence: bool,
    sync_before_ack: bool,
    rounds: bool,
    lives: bool,
}

impl Switches {
    fn without(rule: Option<Rule>) -> Switches {
        let on = |this| rule != Some(this);
        Switches {
            rules: Rules {
                steering: on(Rule::Steering),
                resumed_records: on(Rule::ResumedRecords),
                dedup: on(Rule::Dedup),
            },
            fence: on(Rule::Fence),
            sync_before_ack: on(Rule::SyncBeforeAck),
            rounds: on(Rule::Rounds),
            lives: on(Rule::Lives),
        }
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Moves that moved something.
    pub events: u64,
    /// Writes in the logs at the end.
    pub writes: u64,
    /// Shards killed.
    pub kills: u64,
    /// Of them, those that died while rows flowed into new views.
    pub kills_in_backfill: u64,
    /// Recoveries that had to steer.
    pub steerings: u64,
    /// Times that all shards died and the machine was recovered, with or without the power going.
    pub power_losses: u64,
    /// Fronts that died.
    pub front_deaths: u64,
    /// Shards that ended because their disk failed a write.
    pub write_errors: u64,
    /// Times that all shards started again because one found a damaged ring.
    pub ring_restarts: u64,
    /// Writes refused because the disk was full.
    pub refused_full: u64,
    /// Reads that had to show what their session had written.
    pub reads: u64,
}

impl Tally {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Tally) {
        self.events += other.events;
        self.writes += other.writes;
        self.kills += other.kills;
        self.kills_in_backfill += other.kills_in_backfill;
        self.steerings += other.steerings;
        self.power_losses += other.power_losses;
        self.front_deaths += other.front_deaths;
        self.write_errors += other.write_errors;
        self.ring_restarts += other.ring_restarts;
        self.refused_full += other.refused_full;
        self.reads += other.reads;
    }
}

/// The result of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which seed.
    pub seed: u64,
    /// What happened in it, until it failed if it did.
    pub tally: Tally,
    /// What was wrong, in a few lines.
    pub failure: Option<String>,
}

/// Runs one seed, without one of the rules if asked; with `trace`, prints every move to the standard output. A panic
/// inside the run is a failure of the seed.
pub fn run(seed: u64, without: Option<Rule>, trace: bool) -> Report {
    let mut world = None;
    let result = quiet::catch(|| world.insert(World::new(seed, Switches::without(without), trace)).run());
    let tally = world.map_or(Tally::default(), |world| world.tally);
    let failure = match result {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure.0),
        Err(panic) => Some(panic),
    };
    Report { seed, tally, failure }
}
