//! An exchange: each row goes to the shard that owns its key.
//!
//! What a step sends is combined first: equal rows travel as one delta, and what cancels does not travel at all.
//! What stays here, and what has come from other shards, is combined together before it goes on.

use crate::batch::{Batch, DeltaBuffer, Deltas};
use crate::combine::Combiner;
use crate::dataflow::Outputs;
use crate::hash::{KeyColumns, hash_key, owner};
use crate::plan::OperatorId;

/// One exchange on one shard.
#[derive(Debug)]
pub struct Exchange {
    id: OperatorId,
    key: KeyColumns,
    shard: u16,
    shards: u16,
    /// What other shards have sent since the last step.
    received: Batch,
    combiner: Combiner,
}

impl Exchange {
    /// The exchange `id` by `key` on shard `shard` of `shards`.
    pub fn new(id: OperatorId, key: KeyColumns, shard: u16, shards: u16) -> Self {
        Exchange { id, key, shard, shards, received: Batch::new(), combiner: Combiner::default() }
    }

    /// Takes what another shard has sent.
    pub fn receive(&mut self, deltas: Deltas<'_>) {
        self.received.push_frames(deltas, deltas.count_frames());
    }

    /// Spreads `input`: the part of this shard, with what was received, to `here`, the rest to `away`.
    pub fn run(&mut self, input: &DeltaBuffer, here: &mut DeltaBuffer, away: &mut Outputs) {
        let Exchange { id, key, shard, shards, received, combiner } = self;
        let count = (input.count + received.count) as usize;
        combiner.combine([input.deltas(), received.deltas()], count, |row, weight| {
            let to = if *shards == 1 { 0 } else { owner(hash_key(row, key), *shards) };
            if to == *shard { here.push(row, weight) } else { away.batch(to, *id).push(row, weight) }
        });
        received.clear();
    }
}
