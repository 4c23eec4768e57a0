//! Runs of bad luck that chance alone would bring about too seldom.
//!
//! The rule that is hardest to see broken is that of resumed records. It matters when one shard, the hero, has sent
//! more than its log holds; a second one, the witness, has logged part of that; the hero dies, recovers another way to
//! the same cut and logs that; and then the machine dies before the witness has logged any more. A plot makes a story of
//! this kind likely, in four acts:
//!
//! - *hoard*: the hero logs client writes, but consumes nothing, so that all its links have something for it;
//! - *drift*: it does not flush any more and consumes, one link before the others;
//! - *sleep*: the witness has logged what it has seen of that, and sleeps; the hero goes on with the other links;
//! - *alone*: the hero has died and recovers, this time with the other links first, and what it does reaches its log.
//!
//! Then the machine dies. Half of the moves meanwhile are those of which the act is made, all else goes on at random.

use super::Failure;
use super::ground::Mood;
use super::moves::Move;
use super::process::Process;
use super::world::{World, say};
use crate::clock::{Label, Link, ShardId};
use crate::recovery::Phase;
use fastrand::Rng;

/// One out of so many moves begins a plot.
const PLOT_MOVES: u32 = 80;

/// Where a plot stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    act: Act,
    /// The most moves until the next act.
    moves: u32,
    /// The act has brought about what it is for.
    ripe: bool,
    hero: ShardId,
    witness: ShardId,
    /// Which links the hero consumes first in the second act: client writes, or messages of other shards.
    writes_first: bool,
    /// The hero's label when the act began.
    from: Label,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Hoard,
    Drift,
    Sleep,
    Alone,
}

impl Plot {
    /// The order in which a shard looks at its links, if the plot says anything about it.
    pub(super) fn order(&self, id: ShardId, links: &mut [Link]) {
        if id == self.hero {
            let writes_first = self.writes_first == (self.act == Act::Drift);
            links.sort_by_key(|link| (*link == Link::Ingest) != writes_first);
        }
    }

    /// A move of which the act is made, and whose.
    pub(super) fn scene(&self, rng: &mut Rng) -> (Move, ShardId) {
        let (hero, witness) = (self.hero, self.witness);
        let moves: &[(Move, ShardId)] = match self.act {
            Act::Hoard => &[(Move::Ask, hero), (Move::Push, hero), (Move::Admit, hero), (Move::Flush, hero)],
            Act::Drift => &[(Move::Step, hero), (Move::Publish, hero), (Move::Step, witness)],
            Act::Sleep => &[(Move::Step, hero), (Move::Publish, hero)],
            Act::Alone => {
                &[(Move::Boot, hero), (Move::Step, hero), (Move::Step, hero), (Move::Publish, hero)]
            }
        };
        moves[rng.usize(0..moves.len())]
    }
}

impl World {
    /// Goes on with the plot, or perhaps begins one. Returns whether the machine died of it.
    pub(super) fn follow_plot(&mut self) -> Result<bool, Failure> {
        let Some(mut plot) = self.plot else {
            if self.ground.shards > 1 && self.rng.u32(0..PLOT_MOVES) == 0 {
                self.begin_plot();
            }
            return Ok(false);
        };
        if plot.moves > 0 {
            plot.moves -= 1;
            if !plot.ripe && self.is_ripe(&plot) {
                plot.ripe = true;
                plot.moves = plot.moves.min(self.rng.u32(0..6));
            }
            self.plot = Some(plot);
            return Ok(false);
        }
        if plot.act == Act::Alone {
            if self.rng.u32(0..4) > 0 {
                self.log_all(plot.hero);
            }
            let power = self.rng.u32(0..4) > 0;
            self.lose_machine(power)?;
            return Ok(true);
        }
        self.next_act(&mut plot);
        self.plot = Some(plot);
        Ok(false)
    }

    fn begin_plot(&mut self) {
        let hero = self.any_shard();
        let others: Vec<ShardId> = self.ground.others(hero).collect();
        let witness = others[self.rng.usize(0..others.len())];
        say!(self, "a plot begins: shard {hero} is the hero, shard {witness} will sleep");
        self.moods.iter_mut().filter(|mood| **mood == Mood::Asleep).for_each(|mood| *mood = Mood::Busy);
        self.moods[usize::from(witness.0)] = Mood::Busy;
        self.moods[usize::from(hero.0)] = Mood::Hoarding;
        let (moves, writes_first) = (self.rng.u32(40..120), self.rng.bool());
        let from = Label(0);
        self.plot = Some(Plot { act: Act::Hoard, moves, ripe: false, hero, witness, writes_first, from });
    }

    fn next_act(&mut self, plot: &mut Plot) {
        let (hero, witness) = (usize::from(plot.hero.0), usize::from(plot.witness.0));
        let label = |process: &Option<Box<Process>>| process.as_ref().map(|process| process.shard.label());
        (plot.act, plot.moves) = match plot.act {
            Act::Hoard => {
                self.log_all(plot.hero);
                self.moods[hero] = Mood::Lazy;
                (Act::Drift, 80)
            }
            Act::Drift => {
                if self.rng.u32(0..4) > 0 {
                    self.log_all(plot.witness);
                }
                self.moods[witness] = Mood::Asleep;
                (Act::Sleep, 80)
            }
            Act::Sleep | Act::Alone => {
                self.tally.kills += 1;
                self.kill(plot.hero);
                self.moods[hero] = Mood::Busy;
                (Act::Alone, 200)
            }
        };
        plot.ripe = false;
        plot.from = label(&self.processes[hero]).unwrap_or(plot.from);
    }

    /// Whether an act has brought about what it is for, and may end.
    fn is_ripe(&self, plot: &Plot) -> bool {
        let process = |id: ShardId| self.processes[usize::from(id.0)].as_ref();
        let Some(hero) = process(plot.hero) else { return false };
        let seen =
            || process(plot.witness).map_or(0, |witness| witness.shard.cut().get(Link::Shard(plot.hero)));
        match plot.act {
            Act::Hoard => false,
            Act::Drift => seen() > plot.from.0,
            Act::Sleep => hero.links.newest_label(plot.witness).is_some_and(|label| label.0 > seen()),
            Act::Alone => hero.shard.phase() == Phase::Running && hero.shard.label() > plot.from,
        }
    }

    /// Writes all that a shard has gathered, unless its disk fails.
    fn log_all(&mut self, id: ShardId) {
        while self.prepare(id) | self.flush(id) | self.complete(id) {}
    }
}
