//! One shard's instance of a plan: pure, deterministic, fed by writes and by other shards.

use crate::aggregate::Aggregation;
use crate::arrangement::Arrangement;
use crate::batch::{Batch, DeltaBuffer, Deltas};
use crate::distinct::Distinct;
use crate::error::{LookupError, PlanError, WriteError};
use crate::exchange::Exchange;
use crate::expr::Scratch;
use crate::hash::{KeyColumns, hash_words};
use crate::join::Join;
use crate::map::{Filter, Map, chosen_columns};
use crate::order::RowOrder;
use crate::plan::check::{inputs, operator_name, output_columns};
use crate::plan::{MapSpec, NodeSpec, Operator, OperatorId, Plan, TableId, ViewId};
use crate::projection::ProjectedColumn;
use crate::row::{Row, Rows};
use crate::source::Source;
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
    shard: u16,
    shards: u16,
    plan: Plan,
    /// By [`OperatorId`], in topological order.
    nodes: Vec<Node>,
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
    View(View),
}

impl Dataflow {
    /// An empty dataflow of shard `shard` among `shards`.
    pub fn new(shard: u16, shards: u16) -> Self {
        assert!(shard < shards);
        Dataflow { shard, shards, plan: Plan::default(), nodes: Vec::new(), scratch: Scratch::new() }
    }

    /// Adds what `plan` has beyond what is installed already, which it must contain unchanged. New operators start
    /// empty, so they cannot read from operators that were installed before. After an error nothing has changed.
    pub fn install(&mut self, plan: &Plan) -> Result<(), PlanError> {
        check_continues(&self.plan, plan)?;
        let installed = self.nodes.len();
        for spec in &plan.nodes[installed..] {
            let result = self.install_node(plan, spec, installed);
            if let Err(error) = result {
                self.nodes.truncate(installed);
                let name = format!("{} (operator {})", operator_name(&spec.operator), spec.id.0);
                return Err(error.in_operator(&name));
            }
        }
        self.plan = plan.clone();
        Ok(())
    }

    fn install_node(&mut self, plan: &Plan, spec: &NodeSpec, installed: usize) -> Result<(), PlanError> {
        check_node(plan, spec, self.nodes.len(), installed)?;
        let columns = |id: OperatorId| plan.nodes[id.index()].columns.as_slice();
        let state = match &spec.operator {
            Operator::Table(id) => State::Table(Table::new(&plan.tables[id.0 as usize])),
            Operator::Filter(filter) => {
                State::Filter(filter.input, Filter::new(filter, columns(filter.input))?)
            }
            Operator::Map(map) if chooses_for_join(plan, map)? => State::Same(map.input),
            Operator::Map(map) => State::Map(map.input, Map::new(map, columns(map.input))?),
            Operator::Join(join) => {
                let left = self.source(plan, join.left, &join.left_key);
                let right = self.source(plan, join.right, &join.right_key);
                let pairs = joined_columns(plan, spec, columns(join.left).len())?;
                State::Join(Join::new(join, columns(join.left), columns(join.right), left, right, pairs))
            }
            Operator::Aggregate(aggregate) => {
                State::Aggregate(aggregate.input, Aggregation::new(aggregate, columns(aggregate.input))?)
            }
            Operator::Distinct(input) => State::Distinct(*input, Distinct::new()),
            Operator::Union(inputs) => State::Union(inputs.clone()),
            Operator::TopK(top) => State::TopK(top.input, TopK::new(top, columns(top.input))?),
            Operator::Exchange(exchange) => {
                let key = KeyColumns::new(columns(exchange.input), &exchange.key);
                State::Exchange(exchange.input, Exchange::new(spec.id, key, self.shard, self.shards))
            }
            Operator::View(view) => {
                let spec = &plan.views[view.view.0 as usize];
                let source = self.source(plan, view.input, &spec.key);
                State::View(View::new(spec, source, RowOrder::resolve(&spec.order, columns(view.input))?))
            }
        };
        self.nodes.push(Node { state, output: DeltaBuffer::new(), arrangements: Vec::new() });
        Ok(())
    }

    /// Where the output of `input` is found by `key`: in the operator itself, or in an arrangement.
    fn source(&mut self, plan: &Plan, input: OperatorId, key: &[u16]) -> Source {
        let spec = &plan.nodes[input.index()];
        match &spec.operator {
            Operator::Table(table) if plan.tables[table.0 as usize].key == key => {
                return Source::Table(input.index());
            }
            Operator::Aggregate(aggregate)
                if key.len() == aggregate.group.len()
                    && key.iter().enumerate().all(|(i, k)| i == *k as usize) =>
            {
                return Source::Groups(input.index());
            }
            _ => {}
        }
        let key = KeyColumns::new(&spec.columns, key);
        let arrangements = &mut self.nodes[input.index()].arrangements;
        let at = arrangements.iter().position(|arrangement| *arrangement.key() == key).unwrap_or_else(|| {
            arrangements.push(Arrangement::new(key));
            arrangements.len() - 1
        });
        Source::Arrangement(input.index(), at)
    }

    /// Checks rows against the table's columns, so that a write can be logged; it says nothing about keys.
    pub fn validate_write(&self, table: TableId, kind: WriteKind, rows: &[u8]) -> Result<(), WriteError> {
        let node = self.table_node(table)?;
        match &self.nodes[node].state {
            State::Table(table) => table.validate(kind, rows),
            _ => unreachable!("a table's node is a table"),
        }
    }

    /// Changes a table, all of it or nothing, and queues the deltas. Returns how many rows changed. The rows must
    /// have been validated, by [`Dataflow::validate_write`] or equally.
    pub fn write(&mut self, table: TableId, kind: WriteKind, rows: &[u8]) -> Result<u32, WriteError> {
        let node = self.table_node(table)?;
        let Node { state, output, .. } = &mut self.nodes[node];
        match state {
            State::Table(table) => table.write(kind, rows, output),
            _ => unreachable!("a table's node is a table"),
        }
    }

    fn table_node(&self, table: TableId) -> Result<usize, WriteError> {
        let spec = self.plan.tables.get(table.0 as usize).ok_or(WriteError::UnknownTable(table.0))?;
        Ok(spec.node.index())
    }

    /// Queues what another shard sent for an exchange.
    pub fn apply(&mut self, exchange: OperatorId, deltas: &[u8]) {
        match self.nodes.get_mut(exchange.index()).map(|node| &mut node.state) {
            Some(State::Exchange(_, exchange)) => exchange.receive(Deltas(deltas)),
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
        self.nodes.iter_mut().for_each(|node| node.output.clear_and_trim(OUTPUT_KEEP_BYTES));
    }

    /// Checks bytes from a client as keys of a view (rows of its key columns); returns how many there are.
    pub fn validate_keys(&self, view: ViewId, keys: &[u8]) -> Result<u32, LookupError> {
        self.view(view)?.validate_keys(keys)
    }

    /// Appends up to `limit` rows of a view with this key, in the view's order, and returns how many.
    pub fn lookup(
        &self,
        view: ViewId,
        key: Row<'_>,
        limit: u32,
        into: &mut Rows,
    ) -> Result<u32, LookupError> {
        self.view(view)?.lookup(&self.nodes, key, limit, into)
    }

    /// All rows of positive weight of a view on this shard, in the order of their bytes.
    pub fn scan(&self, view: ViewId) -> Result<Rows, LookupError> {
        Ok(self.view(view)?.scan(&self.nodes))
    }

    fn view(&self, view: ViewId) -> Result<&View, LookupError> {
        let spec = self.plan.views.get(view.0 as usize).ok_or(LookupError::UnknownView(view.0))?;
        match &self.nodes[spec.node.index()].state {
            State::View(view) => Ok(view),
            _ => unreachable!("a view's node is a view"),
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
            for (part, digest) in std::iter::once(node.state.digest()).chain(arrangements).enumerate() {
                sum = sum.wrapping_add(hash_words(&[number as u64, part as u64, digest]));
            }
        }
        sum
    }

    /// How many times an expression had no value: division by zero, overflow, a bad cast. It gave NULL.
    pub fn expression_errors(&self) -> u64 {
        self.scratch.errors()
    }
}

impl Node {
    /// Computes the output of a step from those of the nodes `before`.
    fn run(&mut self, before: &[Node], scratch: &mut Scratch, away: &mut Outputs) {
        let Node { state, output, .. } = self;
        let input = |id: &OperatorId| &before[id.index()].output;
        match state {
            // A table's output is filled by its writes, and a view reads its source.
            State::Table(_) | State::View(_) => {}
            State::Filter(from, filter) => filter.run(input(from), scratch, output),
            State::Map(from, map) => map.run(input(from), scratch, output),
            State::Join(join) => join.run(before, output),
            State::Aggregate(from, aggregation) => aggregation.run(input(from), output),
            State::Distinct(from, distinct) => distinct.run(input(from), output),
            State::Union(from) => {
                from.iter().map(input).for_each(|from| output.push_frames(from.deltas(), from.count));
            }
            State::Same(from) => output.push_frames(input(from).deltas(), input(from).count),
            State::TopK(from, top_k) => top_k.run(input(from), output),
            State::Exchange(from, exchange) => exchange.run(input(from), output, away),
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

/// What a join sends of a pair of rows: all columns, or those that a map chooses which is alone in reading it.
fn joined_columns(
    plan: &Plan,
    join: &NodeSpec,
    left_count: usize,
) -> Result<Vec<ProjectedColumn>, PlanError> {
    let mut all = join.columns.iter().enumerate().map(|(index, column)| ProjectedColumn {
        side: usize::from(index >= left_count),
        index: if index < left_count { index } else { index - left_count },
        in_tail: column.ty.in_tail(),
    });
    match only_reader(plan, join.id).map(|reader| &reader.operator) {
        Some(Operator::Map(map)) => {
            let all: Vec<ProjectedColumn> = all.collect();
            let chosen = chosen_columns(map, &join.columns)?;
            Ok(chosen.map_or(all.clone(), |chosen| chosen.iter().map(|column| all[column.index]).collect()))
        }
        _ => Ok(all.by_ref().collect()),
    }
}

/// Whether [`joined_columns`] lets a join do the work of this map.
fn chooses_for_join(plan: &Plan, map: &MapSpec) -> Result<bool, PlanError> {
    let input = &plan.nodes[map.input.index()];
    let is_join = matches!(input.operator, Operator::Join(_)) && only_reader(plan, input.id).is_some();
    Ok(is_join && chosen_columns(map, &input.columns)?.is_some())
}

/// The node that reads the output of `id`, if it is the only one.
fn only_reader(plan: &Plan, id: OperatorId) -> Option<&NodeSpec> {
    let mut readers = plan.nodes.iter().filter(|node| inputs(&node.operator).contains(&id));
    let reader = readers.next()?;
    readers.next().is_none().then_some(reader)
}

/// A later plan must begin with the installed one.
fn check_continues(installed: &Plan, plan: &Plan) -> Result<(), PlanError> {
    let continues = plan.nodes.starts_with(&installed.nodes)
        && plan.tables.starts_with(&installed.tables)
        && plan.views.starts_with(&installed.views);
    if continues {
        return Ok(());
    }
    Err(PlanError::invalid("it changes what is installed").in_operator("plan"))
}

/// Checks that a node follows from the nodes before it, as the builder would have made it.
fn check_node(plan: &Plan, spec: &NodeSpec, index: usize, installed: usize) -> Result<(), PlanError> {
    if spec.id.index() != index {
        return Err(PlanError::invalid(format!("it stands at place {index}")));
    }
    for input in inputs(&spec.operator) {
        if input.index() >= index {
            return Err(PlanError::invalid(format!("its input {} comes after it", input.0)));
        }
        if input.index() < installed {
            let message = format!("its input {} is installed already and may hold rows", input.0);
            return Err(PlanError::invalid(message));
        }
    }
    let own = if let Operator::Aggregate(aggregate) = &spec.operator { aggregate.group.len() } else { 0 };
    let names: Vec<String> = spec.columns.iter().skip(own).map(|column| column.name.clone()).collect();
    let columns = output_columns(plan, &spec.operator, &names)?;
    let is_named = match &spec.operator {
        Operator::Table(id) => plan.tables[id.0 as usize].node == spec.id,
        Operator::View(view) => plan.views[view.view.0 as usize].node == spec.id,
        _ => true,
    };
    if columns != spec.columns || !is_named {
        return Err(PlanError::invalid("its columns or its name do not follow from its inputs"));
    }
    Ok(())
}
