//! Random plans, rows and writes, small enough in their values that keys meet often.

use crate::oracle::Relation;
use operators::accumulator::Aggregate;
use operators::expr::{Literal, col, lit};
use operators::plan::{Operator, TableSpec};
use operators::{
    Column, Datum, JoinKind, OperatorId, Plan, PlanBuilder, PlanError, Row, RowBuilder, Rows, Stream,
    TableId, Type, WriteKind, asc, column, desc,
};
use std::collections::BTreeMap;

const TEXTS: [&str; 5] = ["", "a", "bb", "a longer text than fits a word", "ü"];

/// A plan over two tables with `steps` random operators, and a view on each of the last ones.
pub fn plan(random: &mut fastrand::Rng, steps: usize) -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::new();
    let t = [
        column("id", Type::Int),
        column("k", Type::Int).nullable(),
        column("s", Type::Text).nullable(),
        column("f", Type::Float).nullable(),
        column("n", Type::Int),
    ];
    let u = [column("a", Type::Int), column("b", Type::Text), column("v", Type::Int).nullable()];
    let streams = vec![p.table("t", &t, &["id"])?, p.table("u", &u, &["a", "b"])?];
    add_operators(&mut p, random, streams, steps, 1)?;
    p.build()
}

/// The tables that have replaced the `original` one, one after another, with that itself.
fn chain(plan: &Plan, original: u32) -> impl Iterator<Item = &TableSpec> {
    plan.tables
        .iter()
        .map(AsRef::as_ref)
        .filter(move |table: &&TableSpec| plan.original(table.id) == TableId(original))
}

/// The table that has the rows of the `original` one now.
fn newest(plan: &Plan, original: u32) -> TableId {
    chain(plan, original).last().expect("tables are replaced, never dropped").id
}

/// A later plan in which a table may have more columns.
fn widened(random: &mut fastrand::Rng, plan: Plan) -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::extend(plan.clone());
    for original in 0..2 {
        if random.u32(0..4) > 0 {
            continue;
        }
        let table = newest(&plan, original);
        let number = plan.tables.len();
        let added = [
            (
                column(format!("w{number}"), Type::Text).nullable(),
                Literal::from("a longer text than fits a word"),
            ),
            (column(format!("x{number}"), Type::Int), Literal::Int(random.i64(0..3))),
            (column(format!("y{number}"), Type::Float).nullable(), Literal::Null),
        ];
        let name = format!("{}+", plan.tables[table.0 as usize].name);
        let added = &added[..random.usize(1..=3)];
        let stream = p.replace_table(table, &name, added)?;
        let key: Vec<String> = plan.tables[table.0 as usize]
            .key
            .iter()
            .map(|at| p.columns(stream)[*at as usize].name.clone())
            .collect();
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        p.view(&format!("{name} by key"), stream, &key, &[])?;
    }
    p.build()
}

/// A later plan: tables get more columns, views of `plan` are dropped, and there are random operators over what it has, with
/// new views.
pub fn later_plan(random: &mut fastrand::Rng, plan: Plan, steps: usize) -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::extend(plan.clone());
    for view in plan.live_views().filter(|_| random.u32(0..4) == 0) {
        p.drop_view(&view.name)?;
    }
    let rest = widened(random, p.build()?)?;
    let mut p = PlanBuilder::extend(rest.clone());
    let mut streams = Vec::new();
    for original in 0..2 {
        streams.push(p.table_stream(&rest.tables[newest(&rest, original).0 as usize].name)?);
    }
    for view in rest.live_views() {
        streams.push(p.view_stream(&view.name)?);
    }
    add_operators(&mut p, random, streams, steps, plan.views.len() + 10)?;
    p.build()
}

/// Adds random operators over `streams`, and views of all that come after the first one.
fn add_operators(
    p: &mut PlanBuilder,
    random: &mut fastrand::Rng,
    mut streams: Vec<Stream>,
    steps: usize,
    first_view: usize,
) -> Result<(), PlanError> {
    let mut joins = 0;
    for step in (first_view * 100..).take(steps) {
        let input = streams[random.usize(0..streams.len())];
        let other = streams[random.usize(0..streams.len())];
        let output = match random.u32(0..8) {
            0 => filter(p, random, input)?,
            1 => map(p, random, input, step)?,
            2 | 3 if joins < 2 => {
                joins += 1;
                join(p, random, input, other)?
            }
            2..=4 => aggregate(p, random, input, step)?,
            5 => p.distinct(input)?,
            6 => union(p, random, input, other)?,
            _ => top_k(p, random, input)?,
        };
        streams.push(output);
    }
    for (number, stream) in streams.iter().skip(1).enumerate() {
        let keys = some_columns(p.columns(*stream), random, 2);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let name = format!("view {}", first_view + number);
        match keys.is_empty() || random.bool() {
            true => p.view(&name, *stream, &keys, &[])?,
            false => p.ordered_view(&name, *stream, &keys, &[])?,
        };
    }
    Ok(())
}

fn some_columns(columns: &[Column], random: &mut fastrand::Rng, limit: usize) -> Vec<String> {
    let mut names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    random.shuffle(&mut names);
    names.truncate(random.usize(0..=limit));
    names
}

fn one_of(columns: &[Column], random: &mut fastrand::Rng, types: &[Type]) -> Option<String> {
    let fitting: Vec<&Column> = columns.iter().filter(|column| types.contains(&column.ty)).collect();
    (!fitting.is_empty()).then(|| fitting[random.usize(0..fitting.len())].name.clone())
}

fn filter(p: &mut PlanBuilder, random: &mut fastrand::Rng, input: Stream) -> Result<Stream, PlanError> {
    let Some(name) = one_of(p.columns(input), random, &[Type::Int]) else { return Ok(input) };
    let condition = if random.bool() { col(name).ge(lit(random.i64(0..3))) } else { col(name).is_not_null() };
    p.filter(input, condition)
}

fn map(
    p: &mut PlanBuilder,
    random: &mut fastrand::Rng,
    input: Stream,
    step: usize,
) -> Result<Stream, PlanError> {
    let mut columns: Vec<(String, operators::expr::Expr)> =
        some_columns(p.columns(input), random, 4).into_iter().map(|name| (name.clone(), col(name))).collect();
    if let Some(name) = one_of(p.columns(input), random, &[Type::Int]) {
        let number = if random.u32(0..6) == 0 { lit(6).div(col(name)) } else { col(name).rem(lit(3)) };
        columns.push((format!("m{step}"), number));
    }
    let columns: Vec<(&str, _)> = columns.iter().map(|(name, e)| (name.as_str(), e.clone())).collect();
    p.map(input, &columns)
}

fn join(
    p: &mut PlanBuilder,
    random: &mut fastrand::Rng,
    left: Stream,
    right: Stream,
) -> Result<Stream, PlanError> {
    let mut pairs = Vec::new();
    for _ in 0..random.usize(1..3) {
        let ty = if random.u32(0..3) == 0 { Type::Text } else { Type::Int };
        let left = one_of(p.columns(left), random, &[ty]);
        if let (Some(l), Some(r)) = (left, one_of(p.columns(right), random, &[ty])) {
            pairs.push((l, r));
        }
    }
    if pairs.is_empty() {
        return Ok(left);
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(l, r)| (l.as_str(), r.as_str())).collect();
    p.join(left, right, &pairs, if random.bool() { JoinKind::Inner } else { JoinKind::Left })
}

fn aggregate(
    p: &mut PlanBuilder,
    random: &mut fastrand::Rng,
    input: Stream,
    step: usize,
) -> Result<Stream, PlanError> {
    let columns = p.columns(input).to_vec();
    let group = some_columns(&columns, random, 2);
    let mut functions = Vec::new();
    let any = [Type::Int, Type::Text, Type::Float];
    for _ in 0..random.usize(0..4) {
        let number = one_of(&columns, random, &[Type::Int, Type::Float]);
        let value = one_of(&columns, random, &any);
        let text = one_of(&columns, random, &[Type::Text]);
        let order = one_of(&columns, random, &any);
        functions.push(match (random.u32(0..8), number, value, text, order) {
            (0, Some(name), ..) => Aggregate::Sum(name),
            (1, Some(name), ..) => Aggregate::Avg(name),
            (2, _, Some(name), ..) => Aggregate::Min(name),
            (3, _, Some(name), ..) => Aggregate::Max(name),
            (4, _, Some(name), ..) => Aggregate::CountDistinct(name),
            (5, _, Some(name), ..) => Aggregate::CountOf(name),
            (6, _, _, Some(name), Some(order)) => Aggregate::string_agg(name, "|", &[asc(order)]),
            _ => Aggregate::Count,
        });
    }
    if random.u32(0..3) == 0 {
        functions = vec![Aggregate::Count];
    }
    let names: Vec<String> = (0..functions.len()).map(|number| format!("g{step}_{number}")).collect();
    let functions: Vec<(&str, Aggregate)> = names.iter().map(String::as_str).zip(functions).collect();
    let group: Vec<&str> = group.iter().map(String::as_str).collect();
    p.aggregate(input, &group, &functions)
}

fn union(
    p: &mut PlanBuilder,
    random: &mut fastrand::Rng,
    first: Stream,
    second: Stream,
) -> Result<Stream, PlanError> {
    let first_int = one_of(p.columns(first), random, &[Type::Int]);
    let second_int = one_of(p.columns(second), random, &[Type::Int]);
    let (Some(a), Some(b)) = (first_int, second_int) else { return p.union_all(&[first, first]) };
    let inputs = [p.map(first, &[("x", col(a))])?, p.map(second, &[("y", col(b))])?];
    p.union_all(&inputs)
}

fn top_k(p: &mut PlanBuilder, random: &mut fastrand::Rng, input: Stream) -> Result<Stream, PlanError> {
    let columns = p.columns(input).to_vec();
    let group = some_columns(&columns, random, 1);
    let group: Vec<&str> = group.iter().map(String::as_str).collect();
    let order: Vec<_> = some_columns(&columns, random, 2)
        .iter()
        .map(|n| if random.bool() { asc(n) } else { desc(n) })
        .collect();
    p.top_k_after(input, &group, &order, random.u32(0..2), random.u32(1..4))
}

/// A random row of these columns, as bytes.
pub fn row(random: &mut fastrand::Rng, columns: &[Column]) -> Vec<u8> {
    let mut builder = RowBuilder::new();
    builder.start(columns.len());
    for column in columns {
        let null = column.nullable && random.u32(0..5) == 0;
        builder.push(match column.ty {
            _ if null => Datum::Null,
            Type::Int => Datum::Int(random.i64(0..5)),
            Type::Float => Datum::Float(random.i64(-4..5) as f64 / 4.0),
            Type::Text => Datum::Text(TEXTS[random.usize(0..TEXTS.len())]),
            ty => unreachable!("random plans have no {ty}"),
        });
    }
    builder.finish().bytes_all().to_vec()
}

/// The table rows of a test, as the writes should leave them: by key, by table.
#[derive(Default)]
pub struct Model {
    tables: BTreeMap<TableId, BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// A write to one table.
#[derive(Clone, Debug)]
pub struct Write {
    pub table: TableId,
    pub kind: WriteKind,
    pub rows: Rows,
}

impl Model {
    /// A random write that succeeds; the model has it already. It may name a table that has been replaced.
    pub fn write(&mut self, plan: &Plan, random: &mut fastrand::Rng) -> Write {
        let original = random.u32(0..2);
        let named: Vec<&TableSpec> = chain(plan, original).collect();
        let spec = named[random.usize(0..named.len())];
        let newest = &plan.tables[newest(plan, original).0 as usize];
        let values: Vec<Datum<'_>> =
            named.iter().filter(|table| table.id > spec.id).flat_map(|t| added(t)).collect();
        let kind = [WriteKind::Insert, WriteKind::Upsert, WriteKind::Delete][random.usize(0..3)];
        let table = self.tables.entry(newest.id).or_default();
        let mut rows = Rows::new();
        let key_columns: Vec<Column> = spec.key.iter().map(|i| spec.columns[*i as usize].clone()).collect();
        // Rows of one write see what was there before it.
        let before = table.clone();
        for _ in 0..random.usize(1..5) {
            let given = row(random, &spec.columns);
            let mut key = RowBuilder::new();
            key.start(spec.key.len());
            for (index, column) in spec.key.iter().zip(&key_columns) {
                key.push(Row::at(&given).datum(*index as usize, column.ty));
            }
            let key = key.finish();
            match kind {
                WriteKind::Insert if table.contains_key(key.bytes_all()) => continue,
                WriteKind::Delete => {
                    table.remove(key.bytes_all());
                    rows.push(key);
                    continue;
                }
                _ => {}
            }
            let (own, all) = (spec.columns.len(), newest.columns.len());
            let kept: Vec<Datum<'_>> = match before.get(key.bytes_all()) {
                Some(old) => (own..all).map(|at| Row::at(old).datum(at, newest.columns[at].ty)).collect(),
                None => values.clone(),
            };
            table.insert(key.bytes_all().to_vec(), with_columns(newest, &given, all, &kept));
            rows.push(Row::at(&given));
        }
        Write { table: spec.id, kind, rows }
    }

    /// Tables that are new in the plan take over the rows of those that they replace.
    pub fn replace(&mut self, plan: &Plan) {
        for spec in (0..2).map(|original| &plan.tables[newest(plan, original).0 as usize]) {
            let mut chain = vec![spec];
            while let Some(replaced) = &chain[chain.len() - 1].replaced
                && !self.tables.contains_key(&chain[chain.len() - 1].id)
            {
                chain.push(&plan.tables[replaced.table.0 as usize]);
            }
            let last = chain[chain.len() - 1].id;
            let mut rows = self.tables.remove(&last).unwrap_or_default();
            for spec in chain.iter().rev().skip(1) {
                let values: Vec<Datum<'_>> = added(spec).collect();
                rows.values_mut().for_each(|row| *row = with_columns(spec, row, spec.columns.len(), &values));
            }
            self.tables.insert(spec.id, rows);
        }
    }

    /// The tables' rows; those of tables that others have replaced, without the columns that they do not have.
    pub fn relations(&self, plan: &Plan) -> Vec<Relation> {
        let rows = |spec: &TableSpec| -> Relation {
            let table = self.tables.get(&newest(plan, plan.original(spec.id).0));
            let rows = table.into_iter().flat_map(|table| table.values());
            rows.map(|row| (with_columns(spec, row, spec.columns.len(), &[]), 1)).collect()
        };
        plan.tables.iter().map(|spec| rows(spec)).collect()
    }
}

/// What the columns that a table has beyond the one that it replaces hold in the rows from before.
fn added(spec: &TableSpec) -> impl Iterator<Item = Datum<'_>> {
    spec.replaced.iter().flat_map(|replaced| &replaced.values).map(Literal::datum)
}

/// The first columns of a row, as the table has them, and these values behind them.
fn with_columns(spec: &TableSpec, row: &[u8], width: usize, values: &[Datum<'_>]) -> Vec<u8> {
    let mut builder = RowBuilder::new();
    builder.start(width);
    for (at, column) in spec.columns[..width - values.len()].iter().enumerate() {
        builder.push(Row::at(row).datum(at, column.ty));
    }
    values.iter().for_each(|value| builder.push(*value));
    builder.finish().bytes_all().to_vec()
}

/// The exchanges of a plan: where a test can put deltas of any weight.
pub fn exchanges(plan: &Plan) -> Vec<OperatorId> {
    let is_exchange = |operator: &Operator| matches!(operator, Operator::Exchange(_));
    plan.nodes.iter().filter(|node| is_exchange(&node.operator)).map(|node| node.id).collect()
}
