//! Writes to several tables at once: all of them or none, also where tables have been replaced and are still read.

use operators::{
    Dataflow, Datum, Outputs, Plan, PlanBuilder, Row, RowBuilder, Rows, TableId, Type, Write, WriteKind,
    column,
};
use std::collections::BTreeMap;

const KEY_COUNT: i64 = 12;

/// What the tables hold, by key.
type Model = [BTreeMap<i64, Vec<u8>>; 2];

/// Two tables; the first has been replaced by one with a further column, and is still read.
fn plan() -> (Plan, Plan) {
    let mut p = PlanBuilder::new();
    let columns = [column("id", Type::Int), column("word", Type::Text).nullable()];
    let first = p.table("first", &columns, &["id"]).expect("sound");
    let second = p.table("second", &columns, &["id"]).expect("sound");
    p.view("first as it was", first, &["id"], &[]).expect("sound");
    p.view("second", second, &["id"], &[]).expect("sound");
    let before = p.build().expect("sound");
    let mut p = PlanBuilder::extend(before.clone());
    let added = [(column("more", Type::Int), operators::expr::Literal::Int(7))];
    let wide = p.replace_table(TableId(0), "first again", &added).expect("sound");
    p.view("first", wide, &["id"], &[]).expect("sound");
    (before, p.build().expect("sound"))
}

fn row(random: &mut fastrand::Rng, key: i64, is_wide: bool, rows: &mut Rows) {
    let word = "w".repeat(random.usize(0..40));
    let word = if random.u8(0..5) == 0 { Datum::Null } else { Datum::Text(&word) };
    let values = [Datum::Int(key), word, Datum::Int(random.i64(0..3))];
    rows.push_values(&mut RowBuilder::new(), if is_wide { &values } else { &values[..2] });
}

fn drawn(random: &mut fastrand::Rng, model: &Model) -> (usize, WriteKind, Rows) {
    let table = random.usize(0..2);
    let kinds =
        [WriteKind::Insert, WriteKind::Upsert, WriteKind::Delete, WriteKind::Replace, WriteKind::Remove];
    let kind = kinds[random.usize(0..5)];
    let mut rows = Rows::new();
    for _ in 0..random.usize(1..4) {
        let key = random.i64(0..KEY_COUNT);
        let known = model[table].get(&key).filter(|_| random.u8(0..10) > 0);
        match (kind, known) {
            (WriteKind::Delete, _) => rows.push_values(&mut RowBuilder::new(), &[Datum::Int(key)]),
            (WriteKind::Remove | WriteKind::Replace, Some(old)) => rows.push(Row::at(old)),
            _ => row(random, key, table == 0, &mut rows),
        }
        if kind == WriteKind::Replace {
            row(random, key, table == 0, &mut rows);
        }
    }
    (table, kind, rows)
}

/// Carries a write out on the model; whether it is refused.
fn is_refused(table: &mut BTreeMap<i64, Vec<u8>>, kind: WriteKind, rows: &Rows) -> bool {
    let rows: Vec<(i64, Vec<u8>)> = rows.iter().map(|row| (row.int(0), row.bytes_all().to_vec())).collect();
    match kind {
        WriteKind::Insert => rows.into_iter().any(|(key, row)| table.insert(key, row).is_some()),
        WriteKind::Upsert => {
            table.extend(rows);
            false
        }
        WriteKind::Delete => {
            rows.iter().for_each(|(key, _)| drop(table.remove(key)));
            false
        }
        WriteKind::Remove => rows.into_iter().any(|(key, row)| table.remove(&key) != Some(row)),
        WriteKind::Replace => {
            rows.chunks(2).any(|pair| table.insert(pair[1].0, pair[1].1.clone()).as_ref() != Some(&pair[0].1))
        }
    }
}

#[test]
fn several_writes_are_made_together_or_not_at_all() {
    let (before, after) = plan();
    let mut refused_count = 0;
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut dataflow = Dataflow::new(0, 1);
        dataflow.install(&before).expect("sound");
        dataflow.install(&after).expect("sound");
        let (mut model, mut out) = (Model::default(), Outputs::new(1));
        for _ in 0..60 {
            let mut ahead = model.clone();
            let mut refused = false;
            let mut writes = Vec::new();
            for _ in 0..random.usize(1..4) {
                let (table, kind, rows) = drawn(&mut random, &ahead);
                refused = refused || is_refused(&mut ahead[table], kind, &rows);
                writes.push((TableId([2, 1][table]), kind, rows));
            }
            let all = || {
                writes.iter().map(|(table, kind, rows)| Write {
                    table: *table,
                    kind: *kind,
                    rows: &rows.rows,
                })
            };
            all().for_each(|Write { table, kind, rows }| {
                dataflow.validate_write(table, kind, rows).expect("sound")
            });
            let written = dataflow.write_all(all());
            assert_eq!(written.is_err(), refused, "seed {seed}: {written:?}");
            if random.bool() {
                dataflow.finish(&mut out);
            }
            if !refused {
                model = ahead;
            }
            refused_count += u32::from(refused);
        }
        dataflow.finish(&mut out);
        check(&after, &dataflow, &model, seed);
    }
    assert!((300..3000).contains(&refused_count), "{refused_count} of 3600 were refused");
}

fn check(plan: &Plan, dataflow: &Dataflow, model: &Model, seed: u64) {
    let tables =
        [("first", &model[0], false), ("second", &model[1], false), ("first as it was", &model[0], true)];
    for (name, rows, is_narrow) in tables {
        let view = plan.view(name).expect("it is there");
        let types: Vec<Type> = view.columns.iter().map(|column| column.ty).collect();
        for key in 0..KEY_COUNT {
            let (mut keys, mut found) = (Rows::new(), Rows::new());
            keys.push_values(&mut RowBuilder::new(), &[Datum::Int(key)]);
            dataflow.lookup(view.id, Row::at(&keys.rows), 9, &mut found).expect("the key fits");
            let found: Vec<String> = found.iter().map(|row| row.display(&types)).collect();
            let expected = rows.get(&key).map(|row| {
                let (row, mut narrow) = (Row::at(row), RowBuilder::new());
                narrow.start(types.len());
                types.iter().enumerate().for_each(|(at, ty)| narrow.copy(row, at, ty.in_tail()));
                if is_narrow { narrow.finish().display(&types) } else { row.display(&types) }
            });
            assert_eq!(found, Vec::from_iter(expected), "seed {seed}: {name}, key {key}");
        }
    }
}
