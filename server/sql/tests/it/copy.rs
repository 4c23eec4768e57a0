//! Rows as COPY gives them.

use operators::Rows;
use sql::{CopyIn, SqlError, SqlType, text};

use crate::database::{Database, NOW};

fn database() -> Database {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE t (
             id int PRIMARY KEY, small smallint, flag boolean, real real, double double precision, exact numeric(6, 2),
             name text NOT NULL DEFAULT 'none', short varchar(3), fixed char(4), bytes bytea, day date, at timestamp,
             moment timestamptz DEFAULT now(), span interval, key uuid, document jsonb, list int[],
             CONSTRAINT positive CHECK (id > 0))",
    )
    .expect("all of this is supported");
    db
}

/// What becomes of one row for these columns: its values as they are printed.
fn copied(columns: &[&str], texts: &[Option<&str>]) -> Result<Vec<String>, SqlError> {
    let db = database();
    let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    let mut rows = Rows::new();
    CopyIn::new(&db.catalog, "t", &columns, NOW)?.push(texts, &mut rows)?;
    let table = db.catalog.find("t").expect("it was made");
    let row = rows.iter().next().expect("one row");
    let columns = table.columns.iter().enumerate();
    Ok(columns
        .map(|(at, column)| text::column_text(column.ty, row, at).unwrap_or_else(|| "NULL".to_owned()))
        .collect())
}

#[test]
fn values_of_all_types_as_text() {
    let row = copied(
        &[],
        &[
            "7",
            " -3 ",
            "yes",
            "0.1",
            "2.5e3",
            "1.235",
            "h\u{e9}",
            "abc  ",
            "x",
            "\\x00ff",
            "2024-02-29",
            "2024-02-29 12:30",
            "2024-02-29 12:30:00.5+01",
            "1 day",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{ \"b\" : 1 }",
            "{1,2}",
        ]
        .map(Some),
    );
    assert_eq!(
        row.expect("all fit").join("|"),
        "7|-3|t|0.1|2500|1.24|h\u{e9}|abc|x   |\\x00ff|2024-02-29|2024-02-29 12:30:00|2024-02-29 11:30:00.5+00|1 day|\
         a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|{\"b\": 1}|{1,2}"
    );
}

#[test]
fn columns_that_are_not_named_have_their_defaults() {
    let row = copied(&["flag", "id"], &[None, Some("1")]).expect("a row");
    assert_eq!(&row[..3], ["1", "NULL", "NULL"]);
    assert_eq!((row[6].as_str(), row[12].as_str()), ("none", "2020-01-01 00:00:00+00"));
}

#[test]
fn what_the_table_does_not_take_is_refused() {
    let refused = |columns: &[&str], texts: &[Option<&str>]| {
        let error = copied(columns, texts).expect_err("it is refused");
        (error.sqlstate.to_owned(), error.detail.unwrap_or_default())
    };
    assert_eq!(refused(&["id"], &[Some("x")]), ("22P02".into(), "Column \"id\" of \"t\".".into()));
    assert_eq!(refused(&["id"], &[Some("3000000000")]).0, "22003");
    assert_eq!(refused(&["id", "small"], &[Some("1"), Some("40000")]).0, "22003");
    assert_eq!(refused(&["id", "short"], &[Some("1"), Some("abcd")]).0, "22001");
    assert_eq!(refused(&["id", "name"], &[Some("1"), Some("a\0b")]).0, "22021");
    assert_eq!(refused(&["id", "day"], &[Some("1"), Some("2023-02-29")]).0, "22008");
    assert_eq!(refused(&["id", "name"], &[Some("1"), None]).0, "23502");
    assert_eq!(refused(&["name"], &[Some("a")]).0, "23502");
    assert_eq!(refused(&["id"], &[Some("-1")]).0, "23514");
    assert_eq!(refused(&["nobody"], &[Some("1")]).0, "42703");
    assert_eq!(refused(&["id", "name", "id"], &[Some("1"), Some("a"), Some("1")]).0, "42701");
}

#[test]
fn rows_have_a_value_for_each_column() {
    let message = |texts: &[Option<&str>]| {
        let error = copied(&["id", "name"], texts).expect_err("one too many or too few");
        assert_eq!(error.sqlstate, "22P04");
        error.message
    };
    assert_eq!(message(&[Some("1"), Some("a"), None]), "extra data after last expected column");
    assert_eq!(message(&[Some("1")]), "missing data for column \"name\"");
    assert_eq!(message(&[]), "missing data for column \"id\"");
}

#[test]
fn a_row_that_is_refused_leaves_nothing() {
    let db = database();
    let columns = ["id", "small"].map(str::to_owned);
    let mut copy = CopyIn::new(&db.catalog, "t", &columns, NOW).expect("they are there");
    let mut rows = Rows::new();
    for (id, small, is_taken) in
        [("1", "1", true), ("1", "x", false), ("1", "70000", false), ("0", "3", false), ("2", "2", true)]
    {
        let taken = copy.push(&[Some(id), Some(small)], &mut rows);
        assert_eq!(taken.is_ok(), is_taken, "{id} {small}");
    }
    let smalls: Vec<Option<String>> =
        rows.iter().map(|row| text::column_text(SqlType::SmallInt, row, 1)).collect();
    assert_eq!(smalls, [Some("1".to_owned()), Some("2".to_owned())]);
}

#[test]
fn what_cannot_be_copied_to_is_refused() {
    let mut db = database();
    db.run("CREATE TABLE counted (id serial PRIMARY KEY, a int)").expect("it is supported");
    db.run("CREATE VIEW seen AS SELECT id FROM t").expect("it is supported");
    let refused = |table: &str, columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        CopyIn::new(&db.catalog, table, &columns, NOW).expect_err("it is refused").sqlstate
    };
    assert_eq!(refused("nobody", &[]), "42P01");
    assert_eq!(refused("seen", &[]), "42809");
    assert_eq!(refused("counted", &["a"]), "0A000");
    CopyIn::new(&db.catalog, "counted", &[], NOW).expect("all columns are given");
}

#[test]
fn values_in_binary_form() {
    let db = database();
    let columns = ["id", "exact", "short"].map(str::to_owned);
    let mut copy = CopyIn::new(&db.catalog, "t", &columns, NOW).expect("they are there");
    assert_eq!(copy.types(), [SqlType::Integer, SqlType::Numeric(Some((6, 2))), SqlType::Varchar(Some(3))]);
    let mut rows = Rows::new();
    // 1.235 in digits to the base 10,000.
    let exact = [0, 2, 0, 0, 0, 0, 0, 3, 0, 1, 9, 46];
    copy.push_binary(&[Some(&[0, 0, 0, 9]), Some(&exact), None], &mut rows).expect("it fits");
    let row = rows.iter().next().expect("one row");
    assert_eq!(text::column_text(SqlType::Integer, row, 0).as_deref(), Some("9"));
    assert_eq!(text::column_text(SqlType::Numeric(Some((6, 2))), row, 5).as_deref(), Some("1.24"));
    assert!(row.is_null(7));
    let refused = copy.push_binary(&[Some(&[0, 0, 0]), None, None], &mut rows);
    assert_eq!(
        refused.expect_err("three bytes are no integer").detail.as_deref(),
        Some("Column \"id\" of \"t\".")
    );
    let refused = copy.push_binary(&[Some(&[0, 0, 0, 1]), None, Some(b"long")], &mut rows);
    assert_eq!(refused.expect_err("too long").sqlstate, "22001");
    assert_eq!(rows.count, 1);
}
