//! The rules that make a plan sound: what columns an operator gives for its inputs, or why it cannot.
//!
//! The builder asks here to make a node, and a dataflow asks again before it installs one, because a plan may
//! come from a log that was written by another version.

use super::{AggregateSpec, Column, JoinKind, JoinSpec, Operator, OperatorId, Plan, TopKSpec, column_index};
use crate::error::PlanError;
use crate::order::RowOrder;
use crate::row::COLUMN_COUNT_MAX;
use crate::value::Type;

/// A plan has at most this many nodes: every step looks at each of them once.
pub const NODE_COUNT_MAX: usize = 10_000;

/// The name of an operator in messages.
pub fn operator_name(operator: &Operator) -> &'static str {
    match operator {
        Operator::Table(_) => "table",
        Operator::Filter(_) => "filter",
        Operator::Map(_) => "map",
        Operator::Join(_) => "join",
        Operator::Aggregate(_) => "aggregate",
        Operator::Distinct(_) => "distinct",
        Operator::Union(_) => "union",
        Operator::TopK(_) => "top-k",
        Operator::Exchange(_) => "exchange",
        Operator::Backfill(_) => "backfill",
        Operator::View(_) => "view",
        Operator::Dropped(_) => "dropped",
    }
}

/// The inputs of an operator.
pub fn inputs(operator: &Operator) -> impl Iterator<Item = OperatorId> {
    let (first, second, others): (_, _, &[OperatorId]) = match operator {
        Operator::Table(_) | Operator::Dropped(_) => (None, None, &[]),
        Operator::Filter(spec) => (Some(spec.input), None, &[]),
        Operator::Map(spec) => (Some(spec.input), None, &[]),
        Operator::Join(spec) => (Some(spec.left), Some(spec.right), &[]),
        Operator::Aggregate(spec) => (Some(spec.input), None, &[]),
        Operator::Distinct(input) | Operator::Backfill(input) => (Some(*input), None, &[]),
        Operator::Union(inputs) => (None, None, inputs),
        Operator::TopK(spec) => (Some(spec.input), None, &[]),
        Operator::Exchange(spec) => (Some(spec.input), None, &[]),
        Operator::View(spec) => (Some(spec.input), None, &[]),
    };
    first.into_iter().chain(second).chain(others.iter().copied())
}

/// The same operator, with each of its inputs changed.
pub fn with_inputs(operator: &Operator, change: impl Fn(OperatorId) -> OperatorId) -> Operator {
    let mut operator = operator.clone();
    match &mut operator {
        Operator::Table(_) | Operator::Dropped(_) => {}
        Operator::Filter(spec) => spec.input = change(spec.input),
        Operator::Map(spec) => spec.input = change(spec.input),
        Operator::Join(spec) => (spec.left, spec.right) = (change(spec.left), change(spec.right)),
        Operator::Aggregate(spec) => spec.input = change(spec.input),
        Operator::Distinct(input) | Operator::Backfill(input) => *input = change(*input),
        Operator::Union(inputs) => inputs.iter_mut().for_each(|input| *input = change(*input)),
        Operator::TopK(spec) => spec.input = change(spec.input),
        Operator::Exchange(spec) => spec.input = change(spec.input),
        Operator::View(spec) => spec.input = change(spec.input),
    }
    operator
}

/// The columns that `operator` gives when it is the node after those of `plan`. `names` are those of the columns that it
/// makes itself: all of a map's, the aggregates of an aggregate.
pub fn output_columns(plan: &Plan, operator: &Operator, names: &[String]) -> Result<Vec<Column>, PlanError> {
    let input = |id: &OperatorId| match plan.nodes.get(id.index()) {
        Some(node) => Ok(node.columns.as_slice()),
        None => Err(PlanError::invalid(format!("there is no input {} before it", id.0))),
    };
    let columns = match operator {
        Operator::Table(id) => match plan.tables.get(id.0 as usize) {
            Some(table) => {
                super::replacement::check_replaced(plan, table)?;
                table.columns.clone()
            }
            None => return Err(PlanError::invalid(format!("there is no table {}", id.0))),
        },
        Operator::Filter(spec) => {
            let columns = input(&spec.input)?;
            let (_, ty) = spec.predicate.resolve(columns)?;
            if ty != Type::Bool {
                return Err(PlanError::types(format!("the predicate is {ty}, not bool")));
            }
            columns.to_vec()
        }
        Operator::Map(spec) => {
            let columns = input(&spec.input)?;
            let outputs = spec.expressions.iter().zip(names);
            outputs
                .map(|(expression, name)| map_column(columns, expression, name))
                .collect::<Result<_, _>>()?
        }
        Operator::Join(spec) => join_columns(spec, input(&spec.left)?, input(&spec.right)?)?,
        Operator::Aggregate(spec) => aggregate_columns(spec, input(&spec.input)?, names)?,
        Operator::Distinct(id) | Operator::Backfill(id) => input(id)?.to_vec(),
        Operator::Dropped(_) => Vec::new(),
        Operator::Union(inputs) => {
            let all: Vec<&[Column]> = inputs.iter().map(input).collect::<Result<_, _>>()?;
            union_columns(&all)?
        }
        Operator::TopK(spec) => top_k_columns(spec, input(&spec.input)?)?,
        Operator::Exchange(spec) => {
            let columns = input(&spec.input)?;
            check_indexes(&spec.key, columns)?;
            columns.to_vec()
        }
        Operator::View(spec) => {
            let columns = input(&spec.input)?;
            let Some(view) = plan.views.get(spec.view.0 as usize) else {
                return Err(PlanError::invalid(format!("there is no view {}", spec.view.0)));
            };
            check_indexes(&view.key, columns)?;
            RowOrder::resolve(&view.order, columns)?;
            if view.ordered && view.key.is_empty() {
                return Err(PlanError::invalid("keys without a column have no order"));
            }
            columns.to_vec()
        }
    };
    check_columns(&columns)?;
    Ok(columns)
}

/// Names must be unique and not too many.
pub fn check_columns(columns: &[Column]) -> Result<(), PlanError> {
    if columns.len() > COLUMN_COUNT_MAX {
        return Err(PlanError::invalid(format!("{} columns, at most {COLUMN_COUNT_MAX}", columns.len())));
    }
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name == column.name) {
            return Err(PlanError::invalid(format!("two columns have the name {:?}", column.name)));
        }
    }
    Ok(())
}

/// The indexes of columns by their names.
pub fn indexes(columns: &[Column], names: &[&str]) -> Result<Vec<u16>, PlanError> {
    let mut indexes = Vec::with_capacity(names.len());
    for name in names {
        let index = column_index(columns, name)? as u16;
        if indexes.contains(&index) {
            return Err(PlanError::invalid(format!("the key has the column {name:?} twice")));
        }
        indexes.push(index);
    }
    Ok(indexes)
}

fn check_indexes(indexes: &[u16], columns: &[Column]) -> Result<(), PlanError> {
    match indexes.iter().find(|index| **index as usize >= columns.len()) {
        Some(index) => Err(PlanError::invalid(format!("there is no column at {index}"))),
        None => Ok(()),
    }
}

fn map_column(columns: &[Column], expression: &crate::expr::Expr, name: &str) -> Result<Column, PlanError> {
    let (bound, ty) = expression.resolve(columns)?;
    Ok(Column { name: name.to_owned(), ty, nullable: bound.nullable() })
}

fn join_columns(spec: &JoinSpec, left: &[Column], right: &[Column]) -> Result<Vec<Column>, PlanError> {
    check_indexes(&spec.left_key, left)?;
    check_indexes(&spec.right_key, right)?;
    if spec.left_key.is_empty() || spec.left_key.len() != spec.right_key.len() {
        return Err(PlanError::invalid("a join needs at least one pair of key columns"));
    }
    for (l, r) in spec.left_key.iter().zip(&spec.right_key) {
        let (l, r) = (&left[*l as usize], &right[*r as usize]);
        if l.ty != r.ty {
            let message = format!("{:?} is {} but {:?} is {}: cast one of them", l.name, l.ty, r.name, r.ty);
            return Err(PlanError::types(message));
        }
    }
    let mut columns = left.to_vec();
    for column in right {
        let mut column = column.clone();
        column.nullable |= spec.kind == JoinKind::Left;
        while columns.iter().any(|other| other.name == column.name) {
            column.name.insert_str(0, "right.");
        }
        columns.push(column);
    }
    Ok(columns)
}

fn aggregate_columns(
    spec: &AggregateSpec,
    input: &[Column],
    names: &[String],
) -> Result<Vec<Column>, PlanError> {
    check_indexes(&spec.group, input)?;
    let mut columns: Vec<Column> = spec.group.iter().map(|index| input[*index as usize].clone()).collect();
    for (aggregate, name) in spec.aggregates.iter().zip(names) {
        let bound = aggregate.resolve(input)?;
        columns.push(Column { name: name.clone(), ty: bound.ty(), nullable: bound.nullable() });
    }
    Ok(columns)
}

fn union_columns(inputs: &[&[Column]]) -> Result<Vec<Column>, PlanError> {
    let Some((first, others)) = inputs.split_first() else {
        return Err(PlanError::invalid("a union needs at least one input"));
    };
    let mut columns = first.to_vec();
    for (number, other) in others.iter().enumerate() {
        let types = |columns: &[Column]| columns.iter().map(|column| column.ty).collect::<Vec<_>>();
        if types(other) != types(&columns) {
            let message = format!(
                "input {} has the columns {}, but the first has {}",
                number + 2,
                describe(other),
                describe(&columns)
            );
            return Err(PlanError::types(message));
        }
        columns.iter_mut().zip(*other).for_each(|(column, other)| column.nullable |= other.nullable);
    }
    Ok(columns)
}

fn top_k_columns(spec: &TopKSpec, input: &[Column]) -> Result<Vec<Column>, PlanError> {
    check_indexes(&spec.group, input)?;
    RowOrder::resolve(&spec.order, input)?;
    if spec.limit == 0 {
        return Err(PlanError::invalid("a limit of 0 keeps nothing"));
    }
    Ok(input.to_vec())
}

fn describe(columns: &[Column]) -> String {
    let columns: Vec<String> =
        columns.iter().map(|column| format!("{} {}", column.name, column.ty)).collect();
    columns.join(", ")
}
