//! Fills the tables with votes as fast as they go, for benchmarks of what comes afterwards.

use fastrand::Rng;
use operators::Rows;
use runtime::ShardId;

use crate::error::Error;
use crate::tally::Tally;
use crate::vote::lane::{Kind, Lanes, MESSAGE_ROWS_MAX, Message};
use crate::vote::port::{Outcome, Port};
use crate::vote::workload::{Names, RowWriter, story_of};
use crate::zipf::Zipf;

/// Votes sent between two waits for all answers.
const VOTES_PER_ROUND: u64 = 200_000;

/// What was written.
#[derive(Debug)]
pub struct Filled {
    /// Votes of each story.
    pub tally: Tally,
    /// Votes that each shard owns.
    pub owned: Vec<u64>,
}

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Filling {
    /// How many stories there are.
    pub stories: u32,
    /// How many shards there are.
    pub shards: u16,
    /// How many votes are cast.
    pub votes: u64,
    /// Votes issued together; they go out as one message per shard, or more if there are very many.
    pub batch: u32,
    /// Seed of the stories that are picked.
    pub seed: u64,
}

/// Casts the votes and waits for all acknowledgements.
pub fn fill(port: &mut impl Port, names: &Names, zipf: &Zipf, filling: Filling) -> Result<Filled, Error> {
    let Filling { stories, shards, votes, batch, seed } = filling;
    let (mut rng, mut writer, mut lanes) = (Rng::with_seed(seed), RowWriter::new(shards), Lanes::new(shards));
    let mut filled = Filled { tally: Tally::new(stories), owned: vec![0; usize::from(shards)] };
    let mut open: Vec<_> = (0..shards).map(|_| lanes.buffer()).collect();
    let mut failure = None;
    let mut user = 0;
    while user < votes && failure.is_none() {
        let round_end = votes.min(user + VOTES_PER_ROUND);
        while user < round_end {
            for _ in 0..u64::from(batch).min(round_end - user) {
                user += 1;
                let (owner, row) = writer.vote(zipf.pick(&mut rng), user as i64);
                let rows = &mut open[usize::from(owner.0)];
                rows.push(row);
                if rows.count == MESSAGE_ROWS_MAX {
                    close(&mut lanes, owner, rows);
                }
            }
            for (shard, rows) in open.iter_mut().enumerate().filter(|(_, rows)| !rows.is_empty()) {
                close(&mut lanes, ShardId(shard as u16), rows);
            }
        }
        lanes.drain(port, names, |message, outcome| match outcome {
            Outcome::Written(changed) if changed == message.rows.count => {
                filled.owned[usize::from(message.shard.0)] += u64::from(changed);
                message.rows.iter().for_each(|row| filled.tally.acknowledged(story_of(row)));
            }
            other => failure = Some(format!("{other:?}")),
        })?;
    }
    match failure {
        None => Ok(filled),
        Some(reason) => Err(Error::Engine { action: "write votes", reason }),
    }
}

/// Puts what has been gathered for a shard into its lane.
fn close(lanes: &mut Lanes, shard: ShardId, open: &mut Rows) {
    let rows = std::mem::replace(open, lanes.buffer());
    lanes.push(Message { kind: Kind::Votes, shard, due_ns: 0, rows, again: false });
}

#[cfg(test)]
mod tests {
    use operators::{TableId, ViewId};

    use super::*;
    use crate::vote::fake::Fake;

    #[test]
    fn every_vote_is_cast_and_tallied() {
        let mut fake = Fake::new(2);
        let names = Names { stories: TableId(0), votes: TableId(1), view: ViewId(0) };
        let filling = Filling { stories: 50, shards: 2, votes: 4_321, batch: 100, seed: 1 };
        let filled = fill(&mut fake, &names, &Zipf::new(50, 1.0), filling).expect("answers");
        assert_eq!(fake.total(), 4_321);
        assert_eq!(filled.tally.total(), 4_321);
        assert_eq!(filled.owned.iter().sum::<u64>(), 4_321);
    }
}
