//! Tests of the views against the oracle: two or three shards' dataflows in this process, messages carried by hand.
//!
//! No logs, rings or processes: if a view differs here, the plan, the operators or the question is wrong.

use operators::dataflow::{Dataflow, Outputs, WriteKind};
use operators::hash::{KeyColumns, hash_key, owner};
use operators::row::{Row, RowBuilder, Rows};
use operators::value::Datum;
use sql::Catalog;
use sql::catalog::ColumnDef;

use super::data::Data;
use super::oracle::{Answer, Oracle, Value, ViewRow, compare};
use super::questions::questions;
use super::timeline::{Timeline, Write};
use super::{schema, tables};

/// Some shards without anything around them.
struct Shards {
    catalog: Catalog,
    dataflows: Vec<Dataflow>,
    /// Messages on their way: receiver, exchange, deltas.
    messages: Vec<(u16, operators::plan::OperatorId, Vec<u8>)>,
    outputs: Outputs,
}

impl Shards {
    fn new(count: u16) -> Shards {
        let catalog = schema::catalog();
        let plan = catalog.plan();
        let dataflows = (0..count).map(|shard| {
            let mut dataflow = Dataflow::new(shard, count);
            dataflow.install(plan).expect("the plan is sound");
            let (_, ticks) = dataflow.ticks();
            dataflow.tick(ticks);
            dataflow
        });
        let dataflows = dataflows.collect();
        Shards { dataflows, catalog, messages: Vec::new(), outputs: Outputs::new(count) }
    }

    fn count(&self) -> u16 {
        self.dataflows.len() as u16
    }

    fn owner(&self, row: Row<'_>, key: &KeyColumns) -> u16 {
        owner(hash_key(row, key), self.count())
    }

    fn write(&mut self, table: &tables::Table, kind: WriteKind, rows: &Rows) {
        let spec = self.catalog.plan().table(table.name).expect("a table of the plan").clone();
        let key = spec.key_columns();
        let key = if kind == WriteKind::Delete { key.of_key_row() } else { key };
        let mut parts = vec![Rows::new(); usize::from(self.count())];
        for row in rows {
            parts[usize::from(self.owner(row, &key))].push(row);
        }
        for (shard, part) in parts.iter().enumerate() {
            let dataflow = &mut self.dataflows[shard];
            dataflow.validate_write(spec.id, kind, &part.rows).expect("rows fit the table");
            let changed = dataflow.write(spec.id, kind, &part.rows).expect("the write is sound");
            assert!(kind == WriteKind::Upsert || changed == part.count);
            self.finish(shard);
        }
    }

    /// Runs a shard's operators and takes what it has for the others.
    fn finish(&mut self, shard: usize) {
        self.dataflows[shard].finish(&mut self.outputs);
        for to in 0..self.count() {
            let batches = self.outputs.for_shard(to);
            self.messages.extend(batches.map(|(exchange, batch)| (to, exchange, batch.deltas.clone())));
        }
    }

    /// Delivers messages in random order until none is left.
    fn deliver(&mut self, random: &mut fastrand::Rng) {
        while !self.messages.is_empty() {
            let (to, exchange, deltas) = self.messages.swap_remove(random.usize(..self.messages.len()));
            self.dataflows[usize::from(to)].apply(exchange, &deltas);
            self.finish(usize::from(to));
        }
    }

    fn answer(&self, view: &str, keys: &[Value]) -> Answer {
        let columns = &self.catalog.find(view).expect("a view of the file").columns;
        let view = self.catalog.plan().view(view).expect("a view of the plan");
        let mut builder = RowBuilder::new();
        let mut answer = Answer::new();
        for key in keys {
            let mut rows = Rows::new();
            builder.start(1);
            builder.push(key.datum());
            let row = builder.finish();
            let shard = self.owner(row, &view.spread_columns().of_key_row());
            let dataflow = &self.dataflows[usize::from(shard)];
            let found = dataflow.lookup(view.id, row, 10_000, &mut rows).expect("the key fits");
            assert_eq!(found, rows.count);
            if found > 0 {
                answer.insert(key.clone(), rows.iter().map(|row| values(row, columns)).collect());
            }
        }
        answer
    }
}

/// Encodes rows for a write.
fn encode<'a>(rows: impl IntoIterator<Item = Vec<Datum<'a>>>, builder: &mut RowBuilder, into: &mut Rows) {
    into.clear();
    for row in rows {
        into.push_values(builder, &row);
    }
}

/// What SQL sees of a row.
fn values(row: Row<'_>, columns: &[ColumnDef]) -> ViewRow {
    let columns = columns.iter().enumerate();
    columns.map(|(at, column)| Value::from_datum(row.datum(at, column.ty.engine()))).collect()
}

/// Streams the first flights of the year, up to an event, and compares every view.
fn check(shards: u16, flights: usize, chunk_rows: usize, events: usize, seed: u64) {
    let data = Data::load(flights).expect("the embedded files are sound");
    let timeline = Timeline::new(&data.flights, chunk_rows);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut shards = Shards::new(shards);
    let (mut builder, mut rows) = (RowBuilder::new(), Rows::new());
    for (table, values) in tables::constant_rows(&data) {
        encode(values, &mut builder, &mut rows);
        shards.write(table, WriteKind::Insert, &rows);
    }
    let mut written = 0;
    for (write, range) in timeline.writes().take_while(|(_, range)| range.end <= events) {
        let events = timeline.events()[range.clone()].iter();
        let values =
            events.map(|event| tables::flight_values(&data.flights[event.flight as usize], event.change));
        encode(values, &mut builder, &mut rows);
        let kind = match write {
            Write::Insert => WriteKind::Insert,
            Write::Upsert => WriteKind::Upsert,
            Write::Delete => WriteKind::Delete,
        };
        shards.write(&tables::FLIGHTS, kind, &rows);
        written = range.end;
        if random.u8(..8) == 0 {
            shards.deliver(&mut random);
        }
    }
    shards.deliver(&mut random);
    let oracle = Oracle::new(&data).expect("SQLite in memory");
    oracle.apply(&data, &timeline.events()[..written]).expect("the events fit the tables");
    for question in questions() {
        let key_column =
            usize::from(shards.catalog.plan().view(question.view).expect("a view of the plan").key[0]);
        let expected = oracle.answer(&question, key_column).expect("the query is sound");
        assert!(!expected.is_empty() || question.view == "in_the_air", "{} shows nothing", question.view);
        let verdict = compare(&expected, &shards.answer(question.view, &question.keys.all(&data)));
        assert_eq!(verdict.differences, 0, "{}: {:#?}", question.view, verdict.first);
    }
    for dataflow in &shards.dataflows {
        assert_eq!(dataflow.expression_errors(), 0);
    }
}

#[test]
fn every_view_has_a_question() {
    let catalog = schema::catalog();
    let plan = catalog.plan();
    let is_table = |name: &str| tables::ALL.iter().any(|table| table.name == name);
    let views: Vec<&str> =
        plan.live_views().map(|view| view.name.as_str()).filter(|name| !is_table(name)).collect();
    let asked: Vec<&str> = questions().iter().map(|question| question.view).collect();
    assert_eq!(views, asked);
    assert!(views.len() >= 8);
    assert!(plan.live_views().all(|view| view.key.len() == 1), "the reader looks up by one column");
}

#[test]
fn views_are_right_when_all_has_happened() {
    check(2, 12_000, 500, usize::MAX, 1);
}

#[test]
fn views_are_right_in_the_middle_of_a_day() {
    check(2, 4_000, 50, 7_777, 2);
    check(3, 4_000, 1, 5_000, 3);
}

#[test]
fn one_shard_alone_is_right() {
    check(1, 3_000, 500, usize::MAX, 4);
}
