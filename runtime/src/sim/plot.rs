//! Runs of bad luck that chance alone would bring about too seldom.
//!
//! The rule that is hardest to see broken is that of resumed records. It matters when one shard, the hero, has sent
//! more than its log holds; a second one has logged part of that; the hero dies, recovers another way to the same
//! cut and logs that; and then the machine dies before the second shard has logged any more. A plot makes a story of
//! this kind likely: in its four acts the hero hoards client writes, then consumes them and messages without a flush, then the
//! witness falls asleep, then the hero dies and lives on until the machine dies. All else goes on at random meanwhile.

use super::Failure;
use super::world::{Mood, World, say};
use crate::clock::ShardId;

/// One out of so many moves begins a plot.
const PLOT_MOVES: u32 = 50;

/// Where a plot stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    act: Act,
    /// Moves until the next act.
    moves: u32,
    hero: ShardId,
    witness: ShardId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// The hero logs client writes, but does not consume them.
    Hoard,
    /// The hero does not flush.
    Drift,
    /// The witness sleeps.
    Sleep,
    /// The hero has died and recovers.
    Alone,
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
            self.plot = Some(plot);
            return Ok(false);
        }
        let (hero, witness) = (usize::from(plot.hero.0), usize::from(plot.witness.0));
        match plot.act {
            Act::Hoard => {
                self.moods[hero] = Mood::Lazy;
                plot.act = Act::Drift;
                plot.moves = self.rng.u32(20..80);
            }
            Act::Drift => {
                self.moods[witness] = Mood::Asleep;
                plot.act = Act::Sleep;
                plot.moves = self.rng.u32(5..80);
            }
            Act::Sleep => {
                self.tally.kills += 1;
                self.kill(plot.hero);
                self.moods[hero] = Mood::Busy;
                plot.act = Act::Alone;
                plot.moves = self.rng.u32(40..200);
            }
            Act::Alone => {
                let power = self.rng.u32(0..4) > 0;
                self.lose_machine(power)?;
                return Ok(true);
            }
        }
        self.plot = Some(plot);
        Ok(false)
    }

    fn begin_plot(&mut self) {
        let hero = self.any_shard();
        let others: Vec<ShardId> = self.ground.others(hero).collect();
        let witness = others[self.rng.usize(0..others.len())];
        say!(self, "a plot begins: shard {hero} is the hero, shard {witness} will sleep");
        self.moods.fill(Mood::Busy);
        self.moods[usize::from(hero.0)] = Mood::Hoarding;
        self.plot = Some(Plot { act: Act::Hoard, moves: self.rng.u32(10..60), hero, witness });
    }
}
