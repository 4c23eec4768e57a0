//! Errors name what is wrong, where, and what to do.

use crate::database::Database;

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
        ("UPDATE t SET name = 'x'", "0A000"),
        ("DELETE FROM t WHERE name = 'x'", "0A000"),
        ("SELECT * FROM t UNION SELECT 1, 2 FROM t", "42804"),
        ("GRANT ALL ON t TO u", "0A000"),
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
