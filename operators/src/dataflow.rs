//! One shard's instance of a plan: pure, deterministic, fed by writes and by other shards.

use crate::aggregate::Aggregation;
use crate::arrangement::Arrangement;
use crate::backfill::{Gate, Gates};
use crate::batch::{DeltaBuffer, Deltas, Mark};
use crate::distinct::Distinct;
use crate::error::{LookupError, WriteError};
use crate::exchange::Exchange;
pub use crate::exchange::Outputs;
use crate::expr::{NoValue, Scratch};
use crate::failing::{Failing, counted_exchange};
use crate::hash::hash_words;
use crate::join::Join;
use crate::map::{Filter, Map};
use crate::plan::{OperatorId, Plan, TableId, ViewId};
use crate::range::{RangePiece, RangePosition, RangeRef};
use crate::row::{Row, Rows};
use crate::scan::ScanPosition;
use crate::source;
use crate::table::Table;
use crate::top_k::TopK;
use crate::view::View;

/// A buffer that a large step has made larger than this is given back afterwards.
const OUTPUT_KEEP_BYTES: usize = 16 << 20;

/// What a write does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum WriteKind {
    /// Adds rows whose keys are new; an existing key refuses the whole write.
    Insert,
    /// Adds rows or replaces those with the same keys; the last one of a key wins.
    Upsert,
    /// Removes the rows of these keys (rows of the key columns only); a key without a row is passed over.
    Delete,
    /// Replaces rows by others with the same keys: pairs of the old row and the new one. An old row that is not there just so
    /// refuses the whole write.
    Replace,
    /// Removes these rows (whole ones); one that is not there just so refuses the whole write.
    Remove,
}

/// A write among several.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The table.
    pub table: TableId,
    /// What is done with the rows.
    pub kind: WriteKind,
    /// The rows.
    pub rows: &'a [u8],
}

/// One shard's instance of a plan.
#[derive(Debug)]
pub struct Dataflow {
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) plan: Plan,
    /// By [`OperatorId`], in topological order.
    pub(crate) nodes: Vec<Node>,
    pub(crate) gates: Gates,
    /// By [`TableId`]: the table that has taken its place.
    pub(crate) successors: Vec<Option<TableId>>,
    scratch: Scratch,
}

/// An operator at work.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) state: State,
    /// What the operator sends in this step.
    pub(crate) output: DeltaBuffer,
    /// The output summed up, by the keys that others need.
    pub(crate) arrangements: Vec<Arrangement>,
    /// The nodes that it reads.
    pub(crate) inputs: Vec<usize>,
    failing: Failing,
}

/// What an operator keeps.
#[derive(Debug)]
pub(crate) enum State {
    Table(Table),
    Filter(OperatorId, Filter),
    Map(OperatorId, Map),
    Join(Join),
    Aggregate(OperatorId, Aggregation),
    Distinct(OperatorId, Distinct),
    Union(Vec<OperatorId>),
    /// A map that only chooses columns of a join: the join has done it already.
    Same(OperatorId),
    TopK(OperatorId, TopK),
    Exchange(OperatorId, Exchange),
    Backfill(OperatorId, Gate),
    View(View),
    /// It was dropped and keeps its number only.
    Dropped,
}

impl Dataflow {
    /// An empty dataflow of shard `shard` among `shards`.
    pub fn new(shard: u16, shards: u16) -> Self {
        assert!(shard < shards);
        Dataflow {
            shard,
            shards,
            plan: Plan::default(),
            nodes: Vec::new(),
            gates: Gates::default(),
            successors: Vec::new(),
            scratch: Scratch::new(),
        }
    }

    /// Lets each join that is installed send about so many bytes in a step at most: two inputs of moderate size may have more pairs than
    /// memory holds. Whoever sets a limit asks [`Dataflow::is_cut_off`] after each step.
    pub fn limit_joins(&mut self, bytes: usize) {
        for node in &mut self.nodes {
            if let State::Join(join) = &mut node.state {
                join.set_limit(bytes);
            }
        }
    }

    /// Whether a join would have sent more than its limit, so that all that comes of it is wrong.
    pub fn is_cut_off(&self) -> bool {
        self.nodes.iter().any(|node| matches!(&node.state, State::Join(join) if join.is_cut_off()))
    }

    /// Checks rows against the table's columns, so that a write can be logged; it says nothing about keys.
    pub fn validate_write(&self, table: TableId, kind: WriteKind, rows: &[u8]) -> Result<(), WriteError> {
        match self.successor(table) {
            None => self.written_table(table)?.validate(kind, rows),
            Some(_) => self.validate_older(table, kind, rows),
        }
    }

    /// Changes a table, all of it or nothing, and queues the deltas. Returns how many rows changed. The rows must
    /// have been validated, by [`Dataflow::validate_write`] or equally.
    pub fn write(&mut self, table: TableId, kind: WriteKind, rows: &[u8]) -> Result<u32, WriteError> {
        if self.successor(table).is_some() {
            return self.write_older(table, kind, rows);
        }
        self.written_table(table)?;
        let spec = &self.plan.tables[table.0 as usize];
        let (node, replaces) = (spec.node.index(), spec.replaced.is_some());
        if replaces {
            self.check_room_behind(table, rows)?;
        }
        let Node { state: State::Table(there), output, .. } = &mut self.nodes[node] else {
            unreachable!("it has been found before")
        };
        let changed = there.write(kind, rows, output)?;
        if replaces && changed > 0 {
            self.write_behind(table, kind, rows);
        }
        Ok(changed)
    }

    /// Carries out writes one after another, all of them or none. Returns how many rows changed. They must have been validated
    /// like those for [`Dataflow::write`].
    pub fn write_all<'w>(&mut self, writes: impl Iterator<Item = Write<'w>>) -> Result<u32, WriteError> {
        let mut marks: Vec<(usize, Mark)> = Vec::new();
        let mut changed = 0;
        for Write { table, kind, rows } in writes {
            let before = marks.len();
            marks.extend(self.nodes_written(table).map(|node| (node, self.nodes[node].output.mark())));
            match self.write(table, kind, rows) {
                Ok(more) => changed += more,
                Err(error) => {
                    self.undo(&marks[..before]);
                    return Err(error);
                }
            }
        }
        Ok(changed)
    }

    fn undo(&mut self, marks: &[(usize, Mark)]) {
        for (node, mark) in marks.iter().rev() {
            let Node { state: State::Table(table), output, .. } = &mut self.nodes[*node] else {
                unreachable!("it has been written")
            };
            table.undo(output, *mark);
        }
    }

    /// A table that is there.
    pub(crate) fn written_table(&self, table: TableId) -> Result<&Table, WriteError> {
        let spec = self.plan.tables.get(table.0 as usize).ok_or(WriteError::UnknownTable(table.0))?;
        match &self.nodes[spec.node.index()].state {
            State::Table(there) => Ok(there),
            _ => Err(WriteError::DroppedTable(spec.name.clone())),
        }
    }

    /// Queues what another shard sent for an exchange. What comes late for one that has been dropped here is nothing.
    pub fn apply(&mut self, exchange: OperatorId, deltas: &[u8]) {
        let counted = counted_exchange(exchange);
        let node = self.nodes.get_mut(counted.unwrap_or(exchange).index());
        match node.map(|node| &mut node.state) {
            Some(State::Exchange(_, exchange)) if counted.is_some() => {
                exchange.receive_counts(Deltas(deltas))
            }
            Some(State::Exchange(_, exchange)) => exchange.receive(Deltas(deltas)),
            Some(State::Dropped) => {}
            _ => panic!("operator {} is no exchange: the senders have another plan", exchange.0),
        }
    }

    /// Runs everything queued through the graph; what is for other shards goes into `out`, which is cleared first.
    pub fn finish(&mut self, out: &mut Outputs) {
        out.clear();
        for at in 0..self.nodes.len() {
            let (before, rest) = self.nodes.split_at_mut(at);
            let node = &mut rest[0];
            node.run(before, &mut self.scratch, out);
            if !node.output.is_empty() {
                node.arrangements.iter_mut().for_each(|arrangement| arrangement.apply(&node.output));
            }
        }
        for node in &mut self.nodes {
            node.output.clear_and_trim(OUTPUT_KEEP_BYTES);
            node.failing.end_step();
        }
    }

    /// Ticks consumed, and ticks that there are for what is installed: as long as there are more, some new operators
    /// lack rows that were there before them.
    pub fn ticks(&self) -> (u64, u64) {
        (self.gates.ticks(), self.gates.ticks_max())
    }

    /// How many ticks to consume next for about `rows_max` rows to flow into new operators. Advice only: any number is right.
    pub fn ticks_for(&self, rows_max: u64) -> u64 {
        self.gates.ticks_for(rows_max, |node| source::gate(&self.nodes, node).place().row_count(&self.nodes))
    }

    /// Consumes ticks up to number `upto`, counted from the first ever: queues rows that are there for operators that are new.
    pub fn tick(&mut self, upto: u64) {
        let Dataflow { gates, nodes, .. } = self;
        gates.tick(upto, |node, slice| match &mut nodes[node].state {
            State::Backfill(_, gate) => gate.open_to(slice),
            _ => unreachable!("a gate that was dropped is forgotten"),
        });
    }

    /// Checks bytes from a client as keys of a view (rows of its key columns); returns how many there are.
    pub fn validate_keys(&self, view: ViewId, keys: &[u8]) -> Result<u32, LookupError> {
        let there = self.view(view)?;
        self.check_whole(view)?;
        there.validate_keys(keys)
    }

    /// Appends up to `limit` rows of a view with this key, in the view's order, and returns how many.
    pub fn lookup(
        &self,
        view: ViewId,
        key: Row<'_>,
        limit: u32,
        into: &mut Rows,
    ) -> Result<u32, LookupError> {
        self.filled_view(view)?.lookup(&self.nodes, key, limit, into)
    }

    /// Appends the rows of a view on this shard from a position on to `into`, which is empty: as many as make up to `bytes_max`
    /// bytes, but none that is larger is left out. Returns where to go on, or none when there are no more; a piece
    /// may be empty though others follow. What the pieces are together, while writes change the view, is said in `scan.rs`.
    pub fn scan_from(
        &self,
        view: ViewId,
        from: ScanPosition,
        bytes_max: usize,
        into: &mut Rows,
    ) -> Result<Option<ScanPosition>, LookupError> {
        Ok(self.filled_view(view)?.scan_from(&self.nodes, from, bytes_max, into))
    }

    /// Appends a piece of a range of an ordered view to `into`, which is empty: rows of up to `bytes_max` bytes and no more than the
    /// range says, but one at least where there are any nearby. `from` is where the piece before it has ended, whose last
    /// prefix is the first of the range then.
    pub fn range(
        &self,
        view: ViewId,
        range: RangeRef<'_>,
        from: Option<RangePosition>,
        bytes_max: usize,
        into: &mut Rows,
    ) -> Result<RangePiece, LookupError> {
        self.filled_view(view)?.range(&self.nodes, range, from, bytes_max, into)
    }

    /// A view that has all rows that were there before it.
    fn filled_view(&self, view: ViewId) -> Result<&View, LookupError> {
        let there = self.view(view)?;
        let (done, all) = there.backfill(&self.nodes);
        if done < all {
            let view = self.plan.views[view.0 as usize].name.clone();
            return Err(LookupError::Building { view, percent: (done * 100 / all) as u8 });
        }
        self.check_whole(view)?;
        Ok(there)
    }

    /// Why a view cannot be read: an expression before it has no value on some row, here or, where an exchange lies between, on
    /// any shard.
    pub fn failing(&self, view: ViewId) -> Option<NoValue> {
        let spec = self.plan.views.get(view.0 as usize)?;
        self.nodes[spec.node.index()].failing.reason()
    }

    /// Refuses to read a view where an expression before it has no value on a row.
    fn check_whole(&self, view: ViewId) -> Result<(), LookupError> {
        let Some(reason) = self.failing(view) else { return Ok(()) };
        Err(LookupError::Failing { view: self.plan.views[view.0 as usize].name.clone(), reason })
    }

    /// How far a view has got the rows that were there before it, on this shard: slices, and of how many. A view without any
    /// has none to wait for. Lookups are refused while some are missing; what other shards still have to send is not seen
    /// here.
    pub fn backfill(&self, view: ViewId) -> Result<(u64, u64), LookupError> {
        Ok(self.view(view)?.backfill(&self.nodes))
    }

    /// All rows of positive weight of a view on this shard, in the order of their bytes; of a view that is being filled, those
    /// that it has.
    pub fn scan(&self, view: ViewId) -> Result<Rows, LookupError> {
        Ok(self.view(view)?.scan(&self.nodes))
    }

    fn view(&self, view: ViewId) -> Result<&View, LookupError> {
        let spec = self.plan.views.get(view.0 as usize).ok_or(LookupError::UnknownView(view.0))?;
        match &self.nodes[spec.node.index()].state {
            State::View(view) => Ok(view),
            _ => Err(LookupError::DroppedView(spec.name.clone())),
        }
    }

    /// The plan that is installed.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// An estimate of the memory held, in bytes.
    pub fn bytes(&self) -> u64 {
        let nodes = self.nodes.iter().map(|node| {
            let arrangements: u64 = node.arrangements.iter().map(Arrangement::held_bytes).sum();
            node.state.held_bytes() + arrangements + node.output.deltas.capacity() as u64
        });
        nodes.sum()
    }

    /// A hash of all state that does not depend on the order in which it came about. Queued deltas do not count.
    pub fn digest(&self) -> u64 {
        let mut sum = 0u64;
        for (number, node) in self.nodes.iter().enumerate() {
            let arrangements = node.arrangements.iter().map(Arrangement::digest);
            let failing = hash_words(&node.failing.words());
            let parts = [node.state.digest(), failing].into_iter().chain(arrangements);
            for (part, digest) in parts.enumerate() {
                sum = sum.wrapping_add(hash_words(&[number as u64, part as u64, digest]));
            }
        }
        sum
    }

    /// Why the latest of the expressions that had no value had none.
    pub fn no_value(&self) -> Option<NoValue> {
        self.scratch.no_value()
    }

    /// How many times an expression had no value: division by zero, overflow, a bad cast. It gave NULL.
    pub fn expression_errors(&self) -> u64 {
        self.scratch.errors()
    }
}

impl Node {
    pub(crate) fn new(state: State, inputs: Vec<usize>) -> Self {
        let (output, arrangements) = (DeltaBuffer::new(), Vec::new());
        Node { state, output, arrangements, inputs, failing: Failing::default() }
    }

    /// Computes the output of a step from those of the nodes `before`.
    fn run(&mut self, before: &[Node], scratch: &mut Scratch, away: &mut Outputs) {
        let Node { state, output, inputs, failing, .. } = self;
        let input = |id: &OperatorId| &before[id.index()].output;
        let had_passed_all = !matches!(state, State::Backfill(_, gate) if !gate.has_passed_all());
        if had_passed_all {
            inputs.iter().for_each(|input| failing.pass_on(&before[*input].failing));
        }
        match state {
            // A table's output is filled by its writes, and a view reads its source.
            State::Table(_) | State::View(_) | State::Dropped => {}
            State::Filter(from, filter) => filter.run(input(from), scratch, output, failing),
            State::Map(from, map) => map.run(input(from), scratch, output, failing),
            State::Join(join) => join.run(before, output),
            State::Aggregate(from, aggregation) => aggregation.run(input(from), output),
            State::Distinct(from, distinct) => distinct.run(input(from), output),
            State::Union(from) => {
                from.iter().map(input).for_each(|from| output.push_frames(from.deltas(), from.count));
            }
            State::Same(from) => output.push_frames(input(from).deltas(), input(from).count),
            State::TopK(from, top_k) => top_k.run(input(from), output),
            State::Exchange(from, exchange) => {
                exchange.run(input(from), output, away);
                exchange.run_counts(failing, away);
            }
            State::Backfill(from, gate) => {
                gate.run(before, input(from), output);
                if !had_passed_all && gate.has_passed_all() {
                    failing.pass_on_all(&before[from.index()].failing);
                }
            }
        }
    }
}

impl State {
    fn digest(&self) -> u64 {
        match self {
            State::Table(table) => table.digest(),
            State::Aggregate(_, aggregation) => aggregation.digest(),
            State::Distinct(_, distinct) => distinct.digest(),
            State::TopK(_, top_k) => top_k.digest(),
            _ => 0,
        }
    }

    fn held_bytes(&self) -> u64 {
        match self {
            State::Table(table) => table.held_bytes(),
            State::Aggregate(_, aggregation) => aggregation.held_bytes(),
            State::Distinct(_, distinct) => distinct.held_bytes(),
            State::TopK(_, top_k) => top_k.held_bytes(),
            _ => 0,
        }
    }
}
