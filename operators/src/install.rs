//! Installing a plan: nodes are checked once more and become operators at work.
//!
//! Two things are decided here that a plan does not say. Where an operator finds the rows of another by key: in that
//! operator's own state if it has them by this key, else in an arrangement beside it. And a map that only chooses
//! columns, alone in reading a join, is done by the join, whose rows are then made only once.
//!
//! A later plan may add operators, which read what is installed through gates only (`backfill.rs`), and drop others with all that
//! reads them. What is dropped loses its state at once. Messages for it that are still under way are passed over when
//! they come; this shard sends none any more, and whoever gets a message of this shard from then on has dropped the same
//! before, because its clock carries the catalogue's position. So nobody sees half of it.

use crate::aggregate::Aggregation;
use crate::arrangement::Arrangement;
use crate::backfill::Gate;
use crate::dataflow::{Dataflow, Node, State};
use crate::distinct::Distinct;
use crate::error::PlanError;
use crate::exchange::Exchange;
use crate::hash::KeyColumns;
use crate::join::Join;
use crate::map::{Filter, Map, chosen_columns};
use crate::order::RowOrder;
use crate::plan::check::{inputs, operator_name, output_columns};
use crate::plan::{Column, Extension, MapSpec, NodeSpec, Operator, OperatorId, Plan};
use crate::projection::ProjectedColumn;
use crate::sort_key::SortKey;
use crate::source::{Place, Source};
use crate::top_k::TopK;
use crate::view::View;

impl Dataflow {
    /// Adds what `plan` has beyond what is installed already, and drops what it has dropped; all else of what is installed
    /// it must contain unchanged. New operators start empty; ticks ([`Dataflow::tick`]) bring them the rows of the
    /// streams that they read. After an error nothing has changed.
    pub fn install(&mut self, plan: &Plan) -> Result<(), PlanError> {
        self.extend(&Extension::of(&self.plan, plan)?)
    }

    /// Installs what an extension of the installed plan adds and drops, like [`Dataflow::install`], at a cost that grows with the
    /// extension.
    pub fn extend(&mut self, extension: &Extension) -> Result<(), PlanError> {
        let mut plan = std::mem::take(&mut self.plan);
        let Some(before) = extension.extend(&mut plan) else {
            self.plan = plan;
            return Err(PlanError::invalid("it was made for another plan").in_operator("plan"));
        };
        let installed = self.install_nodes(&plan, extension);
        match &installed {
            Ok(()) => {
                extension.dropped.iter().for_each(|dropped| self.drop_node(dropped.node as usize));
                self.successors = plan.successors();
            }
            Err(_) => extension.take_back(&mut plan, before),
        }
        self.plan = plan;
        installed
    }

    fn install_nodes(&mut self, plan: &Plan, extension: &Extension) -> Result<(), PlanError> {
        let (installed, gates) = (self.nodes.len(), self.gates.count());
        self.check_unread(plan, extension)?;
        for spec in &plan.nodes[installed..] {
            let result =
                check_inputs_live(plan, spec).and_then(|()| self.install_node(plan, spec, installed));
            if let Err(error) = result {
                self.nodes.truncate(installed);
                self.gates.truncate(gates);
                return Err(in_operator(error, spec));
            }
        }
        Ok(())
    }

    /// Whoever reads what is dropped is dropped too.
    fn check_unread(&self, plan: &Plan, extension: &Extension) -> Result<(), PlanError> {
        if extension.dropped.is_empty() {
            return Ok(());
        }
        for (node, spec) in self.nodes.iter().zip(&plan.nodes) {
            let reads_dropped = node.inputs.iter().any(|input| plan.is_dropped(OperatorId(*input as u32)));
            if reads_dropped && !plan.is_dropped(spec.id) {
                return check_inputs_live(plan, spec).map_err(|error| in_operator(error, spec));
            }
        }
        Ok(())
    }

    fn drop_node(&mut self, node: usize) {
        self.nodes[node] = Node::new(State::Dropped, Vec::new());
        self.gates.forget(node);
    }

    fn install_node(&mut self, plan: &Plan, spec: &NodeSpec, installed: usize) -> Result<(), PlanError> {
        check_node(plan, spec, self.nodes.len(), installed)?;
        let columns = |id: OperatorId| plan.nodes[id.index()].columns.as_slice();
        let state = match &spec.operator {
            Operator::Table(id) => State::Table(self.new_table(plan, &plan.tables[id.0 as usize])),
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
            Operator::TopK(top) => {
                let top_k = TopK::new(top, columns(top.input))?;
                State::TopK(top.input, top_k.with_offset(u64::from(top.offset)))
            }
            Operator::Exchange(exchange) => {
                let key = KeyColumns::new(columns(exchange.input), &exchange.key);
                State::Exchange(exchange.input, Exchange::new(spec.id, key, self.shard, self.shards))
            }
            Operator::Backfill(input) => {
                let place = self.place_of_rows(*input)?;
                self.gates.add(Some(spec.id.index()));
                State::Backfill(*input, Gate::new(place, place.key(&self.nodes).clone()))
            }
            Operator::View(view) => {
                let spec = &plan.views[view.view.0 as usize];
                let source = match spec.ordered {
                    true => self.ordered_source(plan, view.input, &spec.key),
                    false => self.source(plan, view.input, &spec.key),
                };
                let order = RowOrder::resolve(&spec.order, columns(view.input))?;
                State::View(View::new(spec, source, order, self.closed_gates(plan, view.input)))
            }
            Operator::Dropped(dropped) => {
                if dropped.was_backfill {
                    self.gates.add(None);
                }
                State::Dropped
            }
        };
        let reads = inputs(&spec.operator).map(OperatorId::index).collect();
        self.nodes.push(Node::new(state, reads));
        Ok(())
    }

    /// Where all that an operator has sent is kept.
    fn place_of_rows(&self, input: OperatorId) -> Result<Place, PlanError> {
        let index = input.index();
        match &self.nodes[index] {
            Node { state: State::Table(_), .. } => Ok(Place::Table(index)),
            Node { state: State::Aggregate(..), .. } => Ok(Place::Groups(index)),
            node if !node.arrangements.is_empty() => Ok(Place::Arrangement(index, 0)),
            _ => Err(PlanError::invalid(format!("nobody keeps the rows of its input {}", input.0))),
        }
    }

    /// The gates that are not wide open on the ways to `to`.
    fn closed_gates(&self, plan: &Plan, to: OperatorId) -> Vec<usize> {
        let mut on_the_way = vec![false; to.index() + 1];
        on_the_way[to.index()] = true;
        for index in (0..=to.index()).rev() {
            if on_the_way[index] {
                inputs(&plan.nodes[index].operator).for_each(|input| on_the_way[input.index()] = true);
            }
        }
        let is_closed = |node: &Node| matches!(&node.state, State::Backfill(_, gate) if !gate.is_open());
        (0..=to.index()).filter(|index| on_the_way[*index] && is_closed(&self.nodes[*index])).collect()
    }

    /// Where the output of `input` is found by `key`: in the operator itself, or in an arrangement; for a gate, where
    /// the rows behind it are found by that key, or in an arrangement of what has passed.
    fn source(&mut self, plan: &Plan, input: OperatorId, key: &[u16]) -> Source {
        let (index, spec) = (input.index(), &plan.nodes[input.index()]);
        let columns = KeyColumns::new(&spec.columns, key);
        if let Operator::Backfill(behind) = &spec.operator
            && let Some(place) = self.place(plan, *behind, key, &columns)
        {
            return Source { place, gate: Some(index) };
        }
        let place = self.place(plan, input, key, &columns).unwrap_or_else(|| {
            let arrangements = &mut self.nodes[index].arrangements;
            arrangements.push(Arrangement::new(columns));
            Place::Arrangement(index, arrangements.len() - 1)
        });
        Source { place, gate: None }
    }

    /// Like [`Dataflow::source`], where the rows lie in the order of the key.
    fn ordered_source(&mut self, plan: &Plan, input: OperatorId, key: &[u16]) -> Source {
        let (index, spec) = (input.index(), &plan.nodes[input.index()]);
        let columns = KeyColumns::new(&spec.columns, key);
        if let Operator::Backfill(behind) = &spec.operator
            && let Some(place) = self.ordered_place(*behind, &columns)
        {
            return Source { place, gate: Some(index) };
        }
        let place = self.ordered_place(input, &columns).unwrap_or_else(|| {
            let arrangements = &mut self.nodes[index].arrangements;
            arrangements.push(Arrangement::ordered(columns, SortKey::of_columns(&spec.columns, key)));
            Place::Arrangement(index, arrangements.len() - 1)
        });
        Source { place, gate: None }
    }

    fn ordered_place(&self, input: OperatorId, columns: &KeyColumns) -> Option<Place> {
        let index = input.index();
        let has_order = |there: &Arrangement| there.key() == columns && there.ordered_index().is_some();
        let at = self.nodes[index].arrangements.iter().position(has_order)?;
        Some(Place::Arrangement(index, at))
    }

    /// Where the output of `input` is kept by `key` already.
    fn place(&self, plan: &Plan, input: OperatorId, key: &[u16], columns: &KeyColumns) -> Option<Place> {
        let index = input.index();
        match &plan.nodes[index].operator {
            Operator::Table(table) if plan.tables[table.0 as usize].key == key => {
                return Some(Place::Table(index));
            }
            Operator::Aggregate(aggregate)
                if key.len() == aggregate.group.len()
                    && key.iter().enumerate().all(|(i, k)| i == *k as usize) =>
            {
                return Some(Place::Groups(index));
            }
            _ => {}
        }
        let arrangements = &self.nodes[index].arrangements;
        let at = arrangements.iter().position(|arrangement| arrangement.key() == columns)?;
        Some(Place::Arrangement(index, at))
    }
}

/// What a join sends of a pair of rows: all columns, or those that a map chooses which is alone in reading it.
fn joined_columns(
    plan: &Plan,
    join: &NodeSpec,
    left_count: usize,
) -> Result<Vec<ProjectedColumn>, PlanError> {
    let column = |(index, column): (usize, &Column)| ProjectedColumn {
        side: usize::from(index >= left_count),
        index: if index < left_count { index } else { index - left_count },
        in_tail: column.ty.in_tail(),
    };
    let all: Vec<ProjectedColumn> = join.columns.iter().enumerate().map(column).collect();
    let chosen = match only_reader(plan, join.id).map(|reader| &reader.operator) {
        Some(Operator::Map(map)) => chosen_columns(map, &join.columns)?,
        _ => None,
    };
    Ok(match chosen {
        Some(chosen) => chosen.iter().map(|column| all[column.index]).collect(),
        None => all,
    })
}

/// Whether [`joined_columns`] lets a join do the work of this map.
fn chooses_for_join(plan: &Plan, map: &MapSpec) -> Result<bool, PlanError> {
    let input = &plan.nodes[map.input.index()];
    let is_join = matches!(input.operator, Operator::Join(_)) && only_reader(plan, input.id).is_some();
    Ok(is_join && chosen_columns(map, &input.columns)?.is_some())
}

/// The node that reads the output of `id`, if it is the only one.
fn only_reader(plan: &Plan, id: OperatorId) -> Option<&NodeSpec> {
    let after = &plan.nodes[id.index() + 1..];
    let mut readers = after.iter().filter(|node| inputs(&node.operator).any(|input| input == id));
    let reader = readers.next()?;
    readers.next().is_none().then_some(reader)
}

fn in_operator(error: PlanError, spec: &NodeSpec) -> PlanError {
    error.in_operator(&format!("{} (operator {})", operator_name(&spec.operator), spec.id.0))
}

/// Nobody reads what has been dropped.
fn check_inputs_live(plan: &Plan, spec: &NodeSpec) -> Result<(), PlanError> {
    match inputs(&spec.operator).find(|input| plan.is_dropped(*input)) {
        Some(input) => Err(PlanError::invalid(format!("its input {} has been dropped", input.0))),
        None => Ok(()),
    }
}

/// Checks that a node follows from the nodes before it, as the builder would have made it.
fn check_node(plan: &Plan, spec: &NodeSpec, index: usize, installed: usize) -> Result<(), PlanError> {
    if spec.id.index() != index {
        return Err(PlanError::invalid(format!("it stands at place {index}")));
    }
    if matches!(spec.operator, Operator::Dropped(_)) {
        return Ok(());
    }
    let is_backfill = |operator: &Operator| matches!(operator, Operator::Backfill(_));
    for input in inputs(&spec.operator) {
        if input.index() >= index {
            return Err(PlanError::invalid(format!("its input {} comes after it", input.0)));
        }
        if is_backfill(&spec.operator) && is_backfill(&plan.nodes[input.index()].operator) {
            return Err(PlanError::invalid(format!("its input {} is a backfill itself", input.0)));
        }
        let reads_in_place = match &spec.operator {
            Operator::View(view) => plan.reads_in_place(input, &plan.views[view.view.0 as usize]),
            _ => false,
        };
        let has_rows = input.index() < installed || plan.begins_with_rows(input) && !reads_in_place;
        if has_rows && !is_backfill(&spec.operator) {
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
