//! Installing a plan: nodes are checked once more and become operators at work.
//!
//! Two things are decided here that a plan does not say. Where an operator finds the rows of another by key: in that
//! operator's own state if it has them by this key, else in an arrangement beside it. And a map that only chooses
//! columns, alone in reading a join, is done by the join, whose rows are then made only once.

use crate::aggregate::Aggregation;
use crate::arrangement::Arrangement;
use crate::batch::DeltaBuffer;
use crate::dataflow::{Dataflow, Node, State};
use crate::distinct::Distinct;
use crate::error::PlanError;
use crate::exchange::Exchange;
use crate::hash::KeyColumns;
use crate::join::Join;
use crate::map::{Filter, Map, chosen_columns};
use crate::order::RowOrder;
use crate::plan::check::{inputs, operator_name, output_columns};
use crate::plan::{Column, MapSpec, NodeSpec, Operator, OperatorId, Plan};
use crate::projection::ProjectedColumn;
use crate::source::Source;
use crate::table::Table;
use crate::top_k::TopK;
use crate::view::View;

impl Dataflow {
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
            Operator::TopK(top) => {
                let top_k = TopK::new(top, columns(top.input))?;
                State::TopK(top.input, top_k.with_offset(u64::from(top.offset)))
            }
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
