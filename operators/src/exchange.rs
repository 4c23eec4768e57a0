//! An exchange: each row goes to the shard that owns its key.
//!
//! What a step sends is combined first: equal rows travel as one delta, and what cancels does not travel at all.
//! What stays here, and what has come from other shards, is combined together before it goes on.

use crate::batch::{Batch, DeltaBuffer, Deltas};
use crate::combine::Combiner;
use crate::failing::{Failing, counts_of};
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
    /// What they have told of rows that fail.
    received_counts: Batch,
    combiner: Combiner,
}

impl Exchange {
    /// The exchange `id` by `key` on shard `shard` of `shards`.
    pub fn new(id: OperatorId, key: KeyColumns, shard: u16, shards: u16) -> Self {
        let (received, received_counts) = (Batch::new(), Batch::new());
        Exchange { id, key, shard, shards, received, received_counts, combiner: Combiner::default() }
    }

    /// Takes what another shard has sent.
    pub fn receive(&mut self, deltas: Deltas<'_>) {
        self.received.push_frames(deltas, deltas.count_frames());
    }

    /// Takes what another shard has told of rows that fail there.
    pub fn receive_counts(&mut self, counts: Deltas<'_>) {
        self.received_counts.push_frames(counts, counts.count_frames());
    }

    /// Tells all other shards of rows that fail here, and takes what they have told.
    pub fn run_counts(&mut self, failing: &mut Failing, away: &mut Outputs) {
        if failing.has_changed() {
            let others = (0..self.shards).filter(|shard| *shard != self.shard);
            others.for_each(|shard| failing.tell(away.batch(shard, counts_of(self.id))));
        }
        failing.receive(self.received_counts.deltas());
        self.received_counts.clear();
    }

    /// Spreads `input`: the part of this shard, with what was received, to `here`, the rest to `away`.
    pub fn run(&mut self, input: &DeltaBuffer, here: &mut DeltaBuffer, away: &mut Outputs) {
        let Exchange { id, key, shard, shards, received, combiner, .. } = self;
        let count = (input.count + received.count) as usize;
        combiner.combine([input.deltas(), received.deltas()], count, |row, weight| {
            let to = if *shards == 1 { 0 } else { owner(hash_key(row, key), *shards) };
            if to == *shard { here.push(row, weight) } else { away.batch(to, *id).push(row, weight) }
        });
        received.clear();
    }
}

/// What a step sends to the other shards, combined; cleared and filled again.
#[derive(Debug, Default)]
pub struct Outputs {
    destinations: Vec<Vec<(OperatorId, Batch)>>,
}

impl Outputs {
    /// Nothing for `shards` shards.
    pub fn new(shards: u16) -> Self {
        Outputs { destinations: (0..shards).map(|_| Vec::new()).collect() }
    }

    /// What goes to shard `destination`; only batches that are not empty.
    pub fn for_shard(&self, destination: u16) -> impl Iterator<Item = (OperatorId, &Batch)> {
        let batches = &self.destinations[destination as usize];
        batches.iter().filter(|(_, batch)| !batch.is_empty()).map(|(id, batch)| (*id, batch))
    }

    /// Like [`Outputs::for_shard`], for a caller that swaps the batches out against empty ones.
    pub fn for_shard_mut(&mut self, destination: u16) -> impl Iterator<Item = (OperatorId, &mut Batch)> {
        let batches = &mut self.destinations[destination as usize];
        batches.iter_mut().filter(|(_, batch)| !batch.is_empty()).map(|(id, batch)| (*id, batch))
    }

    /// Whether nothing goes anywhere.
    pub fn is_empty(&self) -> bool {
        self.destinations.iter().flatten().all(|(_, batch)| batch.is_empty())
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.destinations.iter_mut().flatten().for_each(|(_, batch)| batch.clear());
    }

    /// The batch for an exchange towards a shard.
    pub(crate) fn batch(&mut self, destination: u16, exchange: OperatorId) -> &mut Batch {
        let batches = &mut self.destinations[destination as usize];
        let at = batches.iter().position(|(id, _)| *id == exchange).unwrap_or_else(|| {
            batches.push((exchange, Batch::new()));
            batches.len() - 1
        });
        &mut batches[at].1
    }
}
