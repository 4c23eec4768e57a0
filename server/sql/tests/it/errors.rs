//! Errors name what is wrong, where, and what to do.

use crate::database::{Database, joined};

#[test]
fn states_and_places() {
    let mut db = Database::new();
    db.run("CREATE TABLE t (id int PRIMARY KEY, name text)").expect("supported");
    let cases = [
        ("SELEC 1", "42601"),
        ("SELECT nme FROM t WHERE id = 1", "42703"),
        ("SELECT * FROM u", "42P01"),
        ("SELECT id = name FROM t WHERE id = 1", "42883"),
        ("SELECT nosuch(1)", "42883"),
        ("SELECT id, count(*) FROM t", "42803"),
        ("SELECT id FROM t AS a JOIN t AS b ON a.id = b.id", "42702"),
        ("SELECT * FROM t WHERE id = 'x'", "22P02"),
        ("CREATE TABLE t (id int PRIMARY KEY)", "42P07"),
        ("CREATE TABLE u (id int)", "42P16"),
        ("CREATE TABLE u (id money PRIMARY KEY)", "0A000"),
        ("CREATE TABLE u (id int PRIMARY KEY, id int)", "42701"),
        ("CREATE TABLE x.u (id int PRIMARY KEY)", "3F000"),
        ("CREATE MATERIALIZED VIEW v AS SELECT id AS a, name AS a FROM t", "42701"),
        ("CREATE MATERIALIZED VIEW v AS SELECT now() FROM t", "42P17"),
        ("CREATE MATERIALIZED VIEW v AS SELECT $1 FROM t", "42P02"),
        ("CREATE MATERIALIZED VIEW v AS SELECT rank() OVER () FROM t", "0A000"),
        ("INSERT INTO t VALUES (1, 'a', 2)", "42601"),
        ("INSERT INTO t (nope) VALUES (1)", "42703"),
        ("INSERT INTO t VALUES ('x', 'a')", "22P02"),
        ("INSERT INTO t VALUES (99999999999, 'a')", "22003"),
        ("UPDATE t SET nope = 'x'", "42703"),
        ("DELETE FROM u", "42P01"),
        ("SELECT * FROM t UNION SELECT 1, 2 FROM t", "42804"),
        ("REVOKE ALL ON t FROM u", "0A000"),
    ];
    for (sql, state) in cases {
        let error = db.error(sql);
        assert_eq!(error.sqlstate, state, "{sql}: {error:?}");
    }
}

#[test]
fn a_place_is_counted_in_characters() {
    let mut db = Database::new();
    db.run("CREATE TABLE t (id int PRIMARY KEY)").expect("supported");
    let error = db.error("SELECT 'é',\n  nope FROM t WHERE id = 1");
    assert_eq!(error.position, Some(15), "{error:?}");
    assert_eq!(error.hint.as_deref(), Some("There are: id."));
}

/// What doubles with each level is refused before it fills the memory.
#[test]
fn nested_copies_are_limited() {
    let mut db = Database::new();
    let between = |inner: String, _| format!("({inner} BETWEEN true AND true)");
    let betweens = (0..40).fold("(1 = 1)".to_owned(), between);
    assert_eq!(db.error(&format!("SELECT {betweens}")).sqlstate, "54001");
    let casts = format!("SELECT 1{}", "::numeric(9,2)::numeric(9,3)".repeat(20));
    assert_eq!(db.error(&casts).sqlstate, "54001");
}

#[test]
fn a_place_in_the_second_statement() {
    let error = Database::new().error("SELECT   1; SELECT nope");
    assert_eq!(error.position, Some(20), "{error:?}");
}

/// Inputs that are small by themselves may have more pairs than memory holds.
#[test]
fn joins_of_too_many_pairs_are_refused() {
    let mut db = Database::new();
    db.run("CREATE TABLE t (id bigint PRIMARY KEY)").expect("defined");
    db.run("INSERT INTO t SELECT i FROM generate_series(1, 9000) AS g(i)").expect("inserted");
    for sql in [
        "SELECT count(*) FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b",
        "SELECT count(*) FROM t AS a, t AS b",
    ] {
        assert_eq!(db.error(sql).sqlstate, "53200", "{sql}");
    }
    let few = db.run("SELECT count(*) FROM t AS a, t AS b WHERE a.id = b.id").expect("each with itself");
    assert_eq!(joined(&few), "9000");
}
