//! Where rows are: by which columns' hash the rows of each node are spread over the shards.
//!
//! A node can be distributed in several ways at once: after a join on `a = b` the rows lie by `a` and by `b`
//! alike. No way at all means that nothing is known and a row can be anywhere. The way without columns is that all
//! rows lie on one shard. Grouping by `x, y` works where rows lie by `x`, by `y`, by both in any order, or on one
//! shard, because equal groups then meet; only a view must be distributed by exactly its key, since lookups are
//! routed by it.

use super::{Column, JoinKind, JoinSpec, MapSpec, Operator, Plan};
use crate::expr::Expr;

/// The alternatives by which a node's rows are distributed, each a list of columns in the order of hashing.
pub type Distribution = Vec<Vec<u16>>;

/// The distribution of every node of a plan.
pub fn distributions(plan: &Plan) -> Vec<Distribution> {
    let mut known: Vec<Distribution> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        known.push(distribution(plan, &known, &node.operator));
    }
    known
}

/// The distribution of a node's output, given those of all nodes before it.
pub fn distribution(plan: &Plan, known: &[Distribution], operator: &Operator) -> Distribution {
    match operator {
        Operator::Table(id) => vec![plan.tables[id.0 as usize].key.clone()],
        Operator::Filter(spec) => known[spec.input.index()].clone(),
        Operator::Map(spec) => {
            through_map(&known[spec.input.index()], spec, &plan.nodes[spec.input.index()].columns)
        }
        Operator::Join(spec) => through_join(plan, known, spec),
        Operator::Aggregate(spec) => rename(&known[spec.input.index()], |column| {
            spec.group.iter().position(|group| *group == column).map(|index| index as u16)
        }),
        Operator::Distinct(input) => known[input.index()].clone(),
        Operator::Union(inputs) => {
            let mut common = known[inputs[0].index()].clone();
            common.retain(|way| inputs.iter().all(|input| known[input.index()].contains(way)));
            common
        }
        Operator::TopK(spec) => known[spec.input.index()].clone(),
        Operator::Exchange(spec) => vec![spec.key.clone()],
        Operator::Backfill(input) => known[input.index()].clone(),
        Operator::View(_) | Operator::Dropped(_) => Vec::new(),
    }
}

/// Whether rows that agree in `key` surely lie on one shard.
pub fn brings_together(distribution: &Distribution, key: &[u16]) -> bool {
    distribution.iter().any(|way| is_within(way, key))
}

/// Whether all columns of `way` are among `key`.
pub fn is_within(way: &[u16], key: &[u16]) -> bool {
    way.iter().all(|column| key.contains(column))
}

/// The alternatives that survive when columns get new indexes, or none.
fn rename(distribution: &Distribution, new_index: impl Fn(u16) -> Option<u16>) -> Distribution {
    distribution.iter().filter_map(|way| way.iter().map(|column| new_index(*column)).collect()).collect()
}

fn through_map(input: &Distribution, spec: &MapSpec, columns: &[Column]) -> Distribution {
    rename(input, |column| {
        let is_copy = |expression: &Expr| match expression {
            Expr::Column(name) => *name == columns[column as usize].name,
            Expr::ColumnAt(index) => *index == u32::from(column),
            _ => false,
        };
        spec.expressions.iter().position(is_copy).map(|index| index as u16)
    })
}

fn through_join(plan: &Plan, known: &[Distribution], spec: &JoinSpec) -> Distribution {
    let mut ways = known[spec.left.index()].clone();
    // NULLs stand where a left join found nothing, so the right columns say nothing about the place then.
    if spec.kind == JoinKind::Inner {
        let offset = plan.nodes[spec.left.index()].columns.len() as u16;
        let right = rename(&known[spec.right.index()], |column| Some(column + offset));
        ways.extend(right.into_iter().filter(|way| !way.is_empty()));
    }
    ways.dedup();
    ways
}
