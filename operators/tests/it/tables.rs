//! Tables: the order of writes, all or nothing, real changes only; and what a view shows of them.

use operators::{
    Dataflow, Datum, LookupError, Outputs, Plan, PlanBuilder, Row, RowBuilder, Rows, Type, WriteError,
    WriteKind, asc, column, desc,
};

const INSERT: WriteKind = WriteKind::Insert;
const UPSERT: WriteKind = WriteKind::Upsert;
const DELETE: WriteKind = WriteKind::Delete;
const REPLACE: WriteKind = WriteKind::Replace;
const REMOVE: WriteKind = WriteKind::Remove;

/// A table of (a, b, c) with the key (b, a), and views on it by different keys.
fn plan() -> Plan {
    let mut p = PlanBuilder::new();
    let columns = [column("a", Type::Int), column("b", Type::Text), column("c", Type::Int).nullable()];
    let table = p.table("things", &columns, &["b", "a"]).expect("sound");
    p.view("by key", table, &["b", "a"], &[]).expect("sound");
    p.view("by a", table, &["a"], &[desc("c"), asc("b")]).expect("sound");
    p.view("all", table, &[], &[asc("c")]).expect("sound");
    let chosen = p.project(table, &["c"]).expect("sound");
    p.view("by c", chosen, &["c"], &[]).expect("sound");
    p.build().expect("sound")
}

struct Harness {
    plan: Plan,
    dataflow: Dataflow,
    out: Outputs,
}

impl Harness {
    fn new() -> Self {
        let plan = plan();
        let mut dataflow = Dataflow::new(0, 1);
        dataflow.install(&plan).expect("sound");
        Harness { plan, dataflow, out: Outputs::new(1) }
    }

    fn write(&mut self, kind: WriteKind, rows: &[&[Datum<'_>]]) -> Result<u32, WriteError> {
        let rows = rows_of(rows);
        let table = self.plan.tables[0].id;
        self.dataflow.validate_write(table, kind, &rows.rows)?;
        let result = self.dataflow.write(table, kind, &rows.rows);
        self.dataflow.finish(&mut self.out);
        result
    }

    fn lookup(&self, view: &str, key: &[Datum<'_>], limit: u32) -> Vec<String> {
        let view = self.plan.view(view).expect("it is there");
        let types: Vec<Type> = view.columns.iter().map(|column| column.ty).collect();
        let mut found = Rows::new();
        let keys = rows_of(&[key]);
        let key = keys.iter().next().expect("one row");
        let count = self.dataflow.lookup(view.id, key, limit, &mut found).expect("the key fits");
        assert_eq!(count, found.count);
        found.iter().map(|row| row.display(&types)).collect()
    }
}

fn rows_of(values: &[&[Datum<'_>]]) -> Rows {
    let mut rows = Rows::new();
    let mut builder = RowBuilder::new();
    values.iter().for_each(|values| rows.push_values(&mut builder, values));
    rows
}

use Datum::{Int, Null, Text};

#[test]
fn insert_upsert_delete() {
    let mut h = Harness::new();
    assert_eq!(h.write(INSERT, &[&[Int(1), Text("x"), Int(10)], &[Int(2), Text("x"), Null]]), Ok(2));
    assert_eq!(h.lookup("by key", &[Text("x"), Int(2)], 9), ["(2, \"x\", NULL)"]);
    assert_eq!(h.lookup("by key", &[Text("y"), Int(2)], 9), Vec::<String>::new());
    // The same row again is no change; the last of a key wins; a longer text moves the row.
    assert_eq!(h.write(UPSERT, &[&[Int(1), Text("x"), Int(10)]]), Ok(0));
    assert_eq!(h.write(UPSERT, &[&[Int(1), Text("x"), Int(11)], &[Int(1), Text("x"), Int(12)]]), Ok(2));
    assert_eq!(h.lookup("by a", &[Int(1)], 9), ["(1, \"x\", 12)"]);
    assert_eq!(h.lookup("by c", &[Int(11)], 9), Vec::<String>::new());
    let delete: &[&[Datum<'_>]] = &[&[Text("x"), Int(1)], &[Text("none"), Int(1)], &[Text("x"), Int(1)]];
    assert_eq!(h.write(DELETE, delete), Ok(1));
    assert_eq!(h.lookup("all", &[], 9), ["(2, \"x\", NULL)"]);
    assert_eq!(h.write(INSERT, &[]), Ok(0));
}

#[test]
fn a_refused_write_changes_nothing() {
    let mut h = Harness::new();
    h.write(INSERT, &[&[Int(1), Text("x"), Int(10)]]).expect("it is new");
    let digest = h.dataflow.digest();
    let twice: &[&[Datum<'_>]] =
        &[&[Int(5), Text("new"), Null], &[Int(6), Text("n"), Null], &[Int(5), Text("new"), Int(1)]];
    let known: &[&[Datum<'_>]] = &[&[Int(5), Text("new"), Null], &[Int(1), Text("x"), Null]];
    for (rows, key) in [(twice, "(\"new\", 5)"), (known, "(\"x\", 1)")] {
        let error = WriteError::DuplicateKey { table: "things".to_owned(), key: key.to_owned() };
        assert_eq!(h.write(INSERT, rows), Err(error));
        assert_eq!(h.dataflow.digest(), digest);
        assert_eq!(h.lookup("all", &[], 9), ["(1, \"x\", 10)"]);
    }
    // After an undone insertion the keys are as free as before.
    assert_eq!(h.write(INSERT, &[&[Int(5), Text("new"), Int(7)]]), Ok(1));
}

#[test]
fn rows_are_replaced_and_removed_only_as_what_they_are_taken_for() {
    let mut h = Harness::new();
    let (one, two): (&[Datum<'_>], &[Datum<'_>]) =
        (&[Int(1), Text("x"), Int(10)], &[Int(2), Text("x"), Null]);
    h.write(INSERT, &[one, two]).expect("they are new");
    let longer: &[Datum<'_>] = &[Int(2), Text("x"), Int(20)];
    assert_eq!(h.write(REPLACE, &[one, one, two, longer]), Ok(1));
    assert_eq!(h.lookup("by key", &[Text("x"), Int(2)], 9), ["(2, \"x\", 20)"]);
    let digest = h.dataflow.digest();
    let changed = |key: &str| Err(WriteError::Changed { table: "things".to_owned(), key: key.to_owned() });
    let other: &[Datum<'_>] = &[Int(1), Text("x"), Int(11)];
    // The first pair fits, the second is of a row that has been replaced meanwhile.
    assert_eq!(h.write(REPLACE, &[one, other, two, longer]), changed("(\"x\", 2)"));
    assert_eq!(h.write(REMOVE, &[one, two]), changed("(\"x\", 2)"));
    assert_eq!(h.write(REMOVE, &[one, one]), changed("(\"x\", 1)"));
    assert_eq!(h.dataflow.digest(), digest, "a refused write has left something");
    assert_eq!(h.write(REMOVE, &[one, longer]), Ok(2));
    assert_eq!(h.lookup("all", &[], 9), Vec::<String>::new());
}

#[test]
fn rows_are_replaced_by_those_with_the_same_keys() {
    let mut h = Harness::new();
    let (one, two): (&[Datum<'_>], &[Datum<'_>]) =
        (&[Int(1), Text("x"), Int(10)], &[Int(2), Text("x"), Null]);
    for rows in [&[one, two][..], &[one]] {
        let key = WriteError::Unpaired { table: "things".to_owned(), key: "(\"x\", 1)".to_owned() };
        assert_eq!(h.write(REPLACE, rows), Err(key));
    }
}

#[test]
fn malformed_writes_name_the_table_the_row_and_the_column() {
    let mut h = Harness::new();
    let message = |result: Result<u32, WriteError>| result.expect_err("it is refused").to_string();
    let null_key: &[&[Datum<'_>]] = &[&[Int(1), Text("x"), Null], &[Int(1), Null, Null]];
    assert_eq!(message(h.write(INSERT, null_key)), "table \"things\": row 1: column 1 must not be NULL");
    let short: &[&[Datum<'_>]] = &[&[Int(1), Text("x")]];
    assert_eq!(message(h.write(INSERT, short)), "table \"things\": row 0: 2 columns where 3 are needed");
    let whole: &[&[Datum<'_>]] = &[&[Int(1), Text("x"), Int(1)]];
    assert_eq!(message(h.write(DELETE, whole)), "table \"things\": row 0: 3 columns where 2 are needed");
    let nothing = h.dataflow.write(operators::TableId(9), INSERT, &[]);
    assert_eq!(message(nothing), "there is no table 9");
}

#[test]
fn views_have_their_order_and_count_weights() {
    let mut h = Harness::new();
    let rows: &[&[Datum<'_>]] = &[
        &[Int(7), Text("a"), Int(3)],
        &[Int(7), Text("b"), Null],
        &[Int(7), Text("c"), Int(5)],
        &[Int(7), Text("d"), Int(3)],
        &[Int(8), Text("d"), Int(3)],
    ];
    h.write(INSERT, rows).expect("they are new");
    let ordered = ["(7, \"b\", NULL)", "(7, \"c\", 5)", "(7, \"a\", 3)", "(7, \"d\", 3)"];
    assert_eq!(h.lookup("by a", &[Int(7)], 9), ordered);
    for limit in 0..4 {
        assert_eq!(h.lookup("by a", &[Int(7)], limit as u32), ordered[..limit]);
    }
    assert_eq!(h.lookup("by c", &[Int(3)], 9), ["(3)", "(3)", "(3)"]);
    assert_eq!(h.lookup("by c", &[Int(3)], 2), ["(3)", "(3)"]);
    assert_eq!(h.lookup("by c", &[Null], 2), ["(NULL)"]);
    assert_eq!(h.lookup("all", &[], 1), ["(7, \"a\", 3)"]);
}

#[test]
fn lookups_with_a_wrong_key_are_refused() {
    let h = Harness::new();
    let view = h.plan.view("by a").expect("it is there").id;
    let key = rows_of(&[&[Int(1), Int(2)]]);
    let result = h.dataflow.lookup(view, Row::at(&key.rows), 1, &mut Rows::new());
    let expected = "view \"by a\": the key does not fit: row 0: 2 columns where 1 are needed";
    assert_eq!(result.expect_err("refused").to_string(), expected);
    let unknown = h.dataflow.lookup(operators::ViewId(9), Row::at(&key.rows), 1, &mut Rows::new());
    assert_eq!(unknown, Err(LookupError::UnknownView(9)));
}

#[test]
fn a_large_table_grows_and_shrinks() {
    let mut h = Harness::new();
    let mut builder = RowBuilder::new();
    let table = h.plan.tables[0].id;
    let count = 30_000;
    for from in (0..count).step_by(1000) {
        let mut rows = Rows::new();
        (from..from + 1000).for_each(|id| rows.push_values(&mut builder, &[Int(id), Text("t"), Int(id % 7)]));
        assert_eq!(h.dataflow.write(table, INSERT, &rows.rows), Ok(1000));
        h.dataflow.finish(&mut h.out);
    }
    let full = h.dataflow.bytes();
    for id in 0..count {
        assert_eq!(h.lookup("by key", &[Text("t"), Int(id)], 9), [format!("({id}, \"t\", {})", id % 7)]);
    }
    assert_eq!(h.lookup("by c", &[Int(3)], u32::MAX).len(), count as usize / 7 + 1);
    for from in (0..count).step_by(1000) {
        let mut keys = Rows::new();
        (from..from + 1000).for_each(|id| keys.push_values(&mut builder, &[Text("t"), Int(id)]));
        assert_eq!(h.dataflow.write(table, DELETE, &keys.rows), Ok(1000));
        h.dataflow.finish(&mut h.out);
    }
    assert_eq!(h.dataflow.digest(), Harness::new().dataflow.digest());
    assert_eq!(h.lookup("by c", &[Int(3)], u32::MAX), Vec::<String>::new());
    assert!(h.dataflow.bytes() <= full, "what was freed is not taken again");
}
