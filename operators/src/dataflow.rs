//! One shard's instance of a plan: pure, deterministic, fed by writes and by other shards.

use crate::batch::Batch;
use crate::error::{LookupError, PlanError, WriteError};
use crate::plan::{OperatorId, Plan, TableId, ViewId};
use crate::row::{Row, Rows};

/// What a write does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum WriteKind {
    /// Adds rows whose keys are new; an existing key refuses the whole write.
    Insert,
    /// Adds rows or replaces those with the same keys; the last one of a key wins.
    Upsert,
    /// Removes the rows of these keys (rows of the key columns only); a key without a row is passed over.
    Delete,
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

/// One shard's instance of a plan.
#[derive(Debug)]
pub struct Dataflow {
    #[allow(dead_code)]
    shard: u16,
    #[allow(dead_code)]
    shards: u16,
}

#[allow(unused_variables)]
impl Dataflow {
    /// An empty dataflow of shard `shard` among `shards`.
    pub fn new(shard: u16, shards: u16) -> Self {
        assert!(shard < shards);
        Dataflow { shard, shards }
    }

    /// Adds what `plan` has beyond what is installed already.
    pub fn install(&mut self, plan: &Plan) -> Result<(), PlanError> {
        todo!()
    }

    /// Checks rows against the table's columns, so that a write can be logged; it says nothing about keys.
    pub fn validate_write(&self, table: TableId, kind: WriteKind, rows: &[u8]) -> Result<(), WriteError> {
        todo!()
    }

    /// Changes a table, all of it or nothing, and queues the deltas. Returns how many rows changed.
    pub fn write(&mut self, table: TableId, kind: WriteKind, rows: &[u8]) -> Result<u32, WriteError> {
        todo!()
    }

    /// Queues what another shard sent for an exchange.
    pub fn apply(&mut self, exchange: OperatorId, deltas: &[u8]) {
        todo!()
    }

    /// Runs everything queued through the graph; what is for other shards goes into `out`, which is cleared first.
    pub fn finish(&mut self, out: &mut Outputs) {
        todo!()
    }

    /// Checks bytes from a client as keys of a view (rows of its key columns); returns how many there are.
    pub fn validate_keys(&self, view: ViewId, keys: &[u8]) -> Result<u32, LookupError> {
        todo!()
    }

    /// Appends up to `limit` rows of a view with this key, in the view's order, and returns how many.
    pub fn lookup(
        &self,
        view: ViewId,
        key: Row<'_>,
        limit: u32,
        into: &mut Rows,
    ) -> Result<u32, LookupError> {
        todo!()
    }

    /// All rows of positive weight of a view on this shard, in the order of their bytes.
    pub fn scan(&self, view: ViewId) -> Result<Rows, LookupError> {
        todo!()
    }

    /// An estimate of the memory held, in bytes.
    pub fn bytes(&self) -> u64 {
        todo!()
    }

    /// A hash of all state that does not depend on the order in which it came about.
    pub fn digest(&self) -> u64 {
        todo!()
    }

    /// How many times an expression had no value: division by zero, overflow, a bad cast. It gave NULL.
    pub fn expression_errors(&self) -> u64 {
        todo!()
    }
}
