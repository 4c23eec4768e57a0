//! The slow way: every node of a plan computed from scratch from what went into it, with maps and nested loops.

use operators::accumulator::Aggregate;
use operators::expr::{Expr, Scratch};
use operators::plan::{AggregateSpec, JoinSpec, MapSpec, Operator, OperatorId, TopKSpec};
use operators::{Column, Datum, JoinKind, Plan, Row, RowBuilder};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A multiset of rows with signed weights, by their bytes. No weight is zero.
pub type Relation = BTreeMap<Vec<u8>, i64>;

/// Adds a row to a relation.
pub fn add(relation: &mut Relation, row: Row<'_>, weight: i64) {
    let sum = relation.entry(row.bytes_all().to_vec()).or_default();
    *sum += weight;
    if *sum == 0 {
        relation.remove(row.bytes_all());
    }
}

/// The output of every node of `plan`: tables have these rows, and some exchanges get more than their input.
pub fn evaluate(
    plan: &Plan,
    tables: &[Relation],
    injected: &BTreeMap<OperatorId, Relation>,
) -> Vec<Relation> {
    let mut known: Vec<Relation> = Vec::new();
    for node in &plan.nodes {
        let columns = |id: &OperatorId| plan.nodes[id.index()].columns.as_slice();
        let of = |id: &OperatorId| &known[id.index()];
        let output = match &node.operator {
            Operator::Table(id) => tables[id.0 as usize].clone(),
            Operator::Filter(spec) => {
                let (predicate, _) = spec.predicate.resolve(columns(&spec.input)).expect("resolved before");
                let mut rows = of(&spec.input).clone();
                rows.retain(|row, _| predicate.is_true(Row::at(row), &Scratch::new()));
                rows
            }
            Operator::Map(spec) => map(spec, columns(&spec.input), of(&spec.input)),
            Operator::Join(spec) => {
                join(spec, columns(&spec.left), columns(&spec.right), of(&spec.left), of(&spec.right))
            }
            Operator::Aggregate(spec) => aggregate(spec, columns(&spec.input), of(&spec.input)),
            Operator::Distinct(input) => {
                of(input).iter().filter(|(_, weight)| **weight > 0).map(|(row, _)| (row.clone(), 1)).collect()
            }
            Operator::Union(inputs) => sum(inputs.iter().map(of)),
            Operator::TopK(spec) => top_k(spec, columns(&spec.input), of(&spec.input)),
            Operator::Exchange(spec) => sum(std::iter::once(of(&spec.input)).chain(injected.get(&node.id))),
            Operator::Backfill(input) => of(input).clone(),
            Operator::View(spec) => of(&spec.input).clone(),
            Operator::Dropped(_) => Relation::new(),
        };
        known.push(output);
    }
    known
}

/// Which nodes have rows before them on which an expression has no value, given the output of every node.
pub fn failing(plan: &Plan, known: &[Relation]) -> Vec<bool> {
    let mut failing: Vec<bool> = Vec::new();
    for node in &plan.nodes {
        let fails = |input: &OperatorId, expressions: &[&Expr]| {
            let columns = &plan.nodes[input.index()].columns;
            let bound: Vec<_> =
                expressions.iter().map(|e| e.resolve(columns).expect("resolved before").0).collect();
            known[input.index()].keys().any(|row| {
                let scratch = Scratch::new();
                for expression in &bound {
                    let _ = expression.eval(Row::at(row), &scratch);
                }
                scratch.errors() > 0
            })
        };
        let (own, inputs) = match &node.operator {
            Operator::Table(_) | Operator::Dropped(_) => (false, vec![]),
            Operator::Filter(spec) => (fails(&spec.input, &[&spec.predicate]), vec![spec.input]),
            Operator::Map(spec) => {
                (fails(&spec.input, &spec.expressions.iter().collect::<Vec<_>>()), vec![spec.input])
            }
            Operator::Join(spec) => (false, vec![spec.left, spec.right]),
            Operator::Aggregate(spec) => (false, vec![spec.input]),
            Operator::Distinct(input) | Operator::Backfill(input) => (false, vec![*input]),
            Operator::Union(inputs) => (false, inputs.clone()),
            Operator::TopK(spec) => (false, vec![spec.input]),
            Operator::Exchange(spec) => (false, vec![spec.input]),
            Operator::View(spec) => (false, vec![spec.input]),
        };
        failing.push(own || inputs.iter().any(|input| failing[input.index()]));
    }
    failing
}

fn sum<'a>(relations: impl Iterator<Item = &'a Relation>) -> Relation {
    let mut sum = Relation::new();
    relations.flatten().for_each(|(row, weight)| add(&mut sum, Row::at(row), *weight));
    sum
}

fn values<'a>(row: &'a [u8], columns: &[Column]) -> Vec<Datum<'a>> {
    columns.iter().enumerate().map(|(i, column)| Row::at(row).datum(i, column.ty)).collect()
}

fn row_of(values: &[Datum<'_>]) -> Vec<u8> {
    let mut builder = RowBuilder::new();
    builder.start(values.len());
    values.iter().for_each(|value| builder.push(*value));
    builder.finish().bytes_all().to_vec()
}

fn pick<'a>(values: &[Datum<'a>], indexes: &[u16]) -> Vec<Datum<'a>> {
    indexes.iter().map(|index| values[*index as usize]).collect()
}

fn map(spec: &MapSpec, columns: &[Column], input: &Relation) -> Relation {
    let bound: Vec<_> =
        spec.expressions.iter().map(|e| e.resolve(columns).expect("resolved before").0).collect();
    let mut output = Relation::new();
    for (row, weight) in input {
        let scratch = Scratch::new();
        let values: Vec<Datum<'_>> = bound.iter().map(|e| e.eval(Row::at(row), &scratch)).collect();
        add(&mut output, Row::at(&row_of(&values)), *weight);
    }
    output
}

fn join(
    spec: &JoinSpec,
    left_columns: &[Column],
    right_columns: &[Column],
    left: &Relation,
    right: &Relation,
) -> Relation {
    let mut output = Relation::new();
    for (left_row, left_weight) in left {
        let left_values = values(left_row, left_columns);
        let key = pick(&left_values, &spec.left_key);
        let mut partners = 0;
        for (right_row, right_weight) in right {
            let right_values = values(right_row, right_columns);
            let equal =
                key.iter().zip(pick(&right_values, &spec.right_key)).all(|(a, b)| !a.is_null() && *a == b);
            if equal {
                partners += right_weight;
                let both: Vec<_> = left_values.iter().chain(&right_values).copied().collect();
                add(&mut output, Row::at(&row_of(&both)), left_weight * right_weight);
            }
        }
        if spec.kind == JoinKind::Left && partners <= 0 {
            let nulls = right_columns.iter().map(|_| Datum::Null);
            let alone: Vec<_> = left_values.iter().copied().chain(nulls).collect();
            add(&mut output, Row::at(&row_of(&alone)), *left_weight);
        }
    }
    output
}

fn aggregate(spec: &AggregateSpec, columns: &[Column], input: &Relation) -> Relation {
    let mut groups: BTreeMap<Vec<u8>, Vec<(&Vec<u8>, i64)>> = BTreeMap::new();
    for (row, weight) in input {
        let key = row_of(&pick(&values(row, columns), &spec.group));
        groups.entry(key).or_default().push((row, *weight));
    }
    let mut output = Relation::new();
    for rows in groups.values() {
        if rows.iter().map(|(_, weight)| weight).sum::<i64>() <= 0 {
            continue;
        }
        let mut texts: Vec<String> = spec.aggregates.iter().map(|_| String::new()).collect();
        let mut result = pick(&values(rows[0].0, columns), &spec.group);
        for (function, text) in spec.aggregates.iter().zip(&mut texts) {
            result.push(aggregate_value(function, columns, rows, text));
        }
        add(&mut output, Row::at(&row_of(&result)), 1);
    }
    output
}

fn aggregate_value<'a>(
    function: &Aggregate,
    columns: &[Column],
    rows: &[(&'a Vec<u8>, i64)],
    text: &'a mut String,
) -> Datum<'a> {
    if *function == Aggregate::Count {
        return Datum::Int(rows.iter().map(|(_, weight)| weight).sum());
    }
    let names = function.columns();
    let at = columns.iter().position(|column| column.name == names[0]).expect("the column is there");
    let ty = columns[at].ty;
    let mut found: Vec<(Datum<'a>, &[u8], i64)> = rows
        .iter()
        .map(|(row, weight)| (Row::at(row.as_slice()).datum(at, ty), row.as_slice(), *weight))
        .filter(|(value, _, _)| !value.is_null())
        .collect();
    let count: i64 = found.iter().map(|(_, _, weight)| weight).sum();
    if let Aggregate::StringAgg { separator, order, .. } = function {
        return string_agg(columns, order, separator, &mut found, text);
    }
    found.sort_by(|a, b| a.0.order(&b.0));
    let mut by_value: Vec<(Datum<'a>, i64)> = Vec::new();
    for (value, _, weight) in &found {
        match by_value.last_mut() {
            Some((last, sum)) if last == value => *sum += weight,
            _ => by_value.push((*value, *weight)),
        }
    }
    let positive: Vec<Datum<'a>> = by_value.iter().filter(|(_, w)| *w > 0).map(|(value, _)| *value).collect();
    // The tests use numbers whose sums are exact in any order.
    let float_sum: f64 = by_value
        .iter()
        .map(|(value, weight)| match value {
            Datum::Int(v) => *v as f64 * *weight as f64,
            Datum::Float(v) => v * *weight as f64,
            _ => 0.0,
        })
        .sum();
    match (function, ty) {
        (Aggregate::CountOf(_), _) => Datum::Int(count),
        (Aggregate::CountDistinct(_), _) => Datum::Int(positive.len() as i64),
        (Aggregate::Min(_), _) => positive.first().copied().unwrap_or(Datum::Null),
        (Aggregate::Max(_), _) => positive.last().copied().unwrap_or(Datum::Null),
        _ if count <= 0 => Datum::Null,
        (Aggregate::Sum(_), operators::Type::Int) => Datum::Int(float_sum as i64),
        (Aggregate::Sum(_), _) => Datum::Float(float_sum),
        (Aggregate::Avg(_), _) => Datum::Float(float_sum / count as f64),
        _ => unreachable!("all functions are listed"),
    }
}

/// Texts of positive weight, in order of the columns and then of their bytes. Weights add by order and text alone.
fn string_agg<'a>(
    columns: &[Column],
    order: &[operators::order::Order],
    separator: &str,
    found: &mut [(Datum<'a>, &[u8], i64)],
    text: &'a mut String,
) -> Datum<'a> {
    let compare = |a: &(Datum<'_>, &[u8], i64), b: &(Datum<'_>, &[u8], i64)| {
        by_columns(order, columns, a.1, b.1).then_with(|| a.0.order(&b.0))
    };
    found.sort_by(compare);
    let mut texts = Vec::new();
    for group in found.chunk_by(|a, b| compare(a, b) == Ordering::Equal) {
        let weight: i64 = group.iter().map(|(_, _, weight)| weight).sum();
        let Datum::Text(value) = group[0].0 else { unreachable!("string_agg is over text") };
        (0..weight).for_each(|_| texts.push(value));
    }
    if texts.is_empty() {
        return Datum::Null;
    }
    *text = texts.join(separator);
    Datum::Text(text)
}

fn by_columns(order: &[operators::order::Order], columns: &[Column], a: &[u8], b: &[u8]) -> Ordering {
    for order in order {
        let at = columns.iter().position(|column| column.name == order.column).expect("the column is there");
        let (x, y) = (Row::at(a).datum(at, columns[at].ty), Row::at(b).datum(at, columns[at].ty));
        let by = if order.descending { y.order(&x) } else { x.order(&y) };
        if by != Ordering::Equal {
            return by;
        }
    }
    Ordering::Equal
}

fn top_k(spec: &TopKSpec, columns: &[Column], input: &Relation) -> Relation {
    let mut groups: BTreeMap<Vec<u8>, Vec<(&Vec<u8>, i64)>> = BTreeMap::new();
    for (row, weight) in input.iter().filter(|(_, weight)| **weight > 0) {
        let key = row_of(&pick(&values(row, columns), &spec.group));
        groups.entry(key).or_default().push((row, *weight));
    }
    let mut output = Relation::new();
    for rows in groups.values_mut() {
        rows.sort_by(|a, b| by_columns(&spec.order, columns, a.0, b.0).then_with(|| a.0.cmp(b.0)));
        let (mut skip, mut room) = (i64::from(spec.offset), i64::from(spec.limit));
        for (row, weight) in rows {
            let passed = skip.min(*weight);
            skip -= passed;
            let taken = room.min(*weight - passed);
            room -= taken;
            if taken > 0 {
                add(&mut output, Row::at(row), taken);
            }
        }
    }
    output
}
