//! COMMENT ON, and statements that are taken without there being anything to do.

use crate::database::{Database, joined};

fn check(db: &mut Database, sql: &str, expected: &str) {
    let table = db.run(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    assert_eq!(joined(&table), expected, "{sql}");
}

const TABLES: &str = "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class
    WHERE obj_description(oid, 'pg_class') IS NOT NULL ORDER BY 1";
const COLUMNS: &str = "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute
    WHERE col_description(attrelid, attnum) IS NOT NULL ORDER BY 1";

#[test]
fn comments_are_kept_with_what_they_are_on() {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE t (id int PRIMARY KEY, x text);
         CREATE MATERIALIZED VIEW m AS SELECT x, count(*) AS n FROM t GROUP BY x;
         CREATE VIEW v AS SELECT x FROM t WHERE id > 1;
         COMMENT ON TABLE t IS 'it''s a table';
         COMMENT ON COLUMN public.t.x IS 'a text';
         COMMENT ON MATERIALIZED VIEW m IS 'counts';
         COMMENT ON COLUMN m.n IS 'how many';
         COMMENT ON VIEW v IS 'some'",
    )
    .expect("supported");
    check(&mut db, TABLES, "m|counts;t|it's a table;v|some");
    check(&mut db, COLUMNS, "n|how many;x|a text");
    check(
        &mut db,
        "SELECT c.relname, d.objsubid, d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid
         WHERE d.objsubid > 0 ORDER BY 1",
        "m|2|how many;t|2|a text",
    );
    db.run("COMMENT ON VIEW v IS NULL").expect("done");
    check(&mut db, TABLES, "m|counts;t|it's a table");
    db.run("DROP VIEW v; ALTER TABLE t RENAME COLUMN x TO y; ALTER TABLE t RENAME TO u").expect("done");
    check(&mut db, TABLES, "m|counts;u|it's a table");
    check(&mut db, COLUMNS, "n|how many;y|a text");
    db.run("DROP TABLE u CASCADE; CREATE TABLE u (id int PRIMARY KEY)").expect("done");
    check(&mut db, TABLES, "");
    check(&mut db, COLUMNS, "");
}

#[test]
fn what_comments_cannot_be_on() {
    let mut db = Database::new();
    db.run("CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT id FROM t").expect("supported");
    let long = format!("COMMENT ON TABLE t IS '{}'", "x".repeat(8193));
    for (sql, sqlstate, message) in [
        ("COMMENT ON TABLE v IS 'x'", "42809", "\"v\" is not a table"),
        ("COMMENT ON VIEW t IS 'x'", "42809", "\"t\" is not a view"),
        ("COMMENT ON COLUMN t.y IS 'x'", "42703", "column \"y\" of relation \"t\" does not exist"),
        ("COMMENT ON TABLE w IS 'x'", "42P01", "relation \"w\" does not exist"),
        ("COMMENT ON DATABASE d IS 'x'", "0A000", "COMMENT ON DATABASE is not supported"),
        (&long, "54000", "a comment has at most 8192 bytes"),
    ] {
        let error = db.error(sql);
        assert_eq!((error.sqlstate, error.message.as_str()), (sqlstate, message), "{sql}");
    }
}

#[test]
fn statements_without_anything_to_do() {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE ROLE ann;
         CREATE SCHEMA IF NOT EXISTS public; CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\";
         CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA public;
         LOCK TABLE t IN ACCESS EXCLUSIVE MODE;
         GRANT SELECT, INSERT ON t TO ann; GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC",
    )
    .expect("all of them are taken");
    for (sql, sqlstate, message) in [
        ("CREATE SCHEMA public", "42P06", "schema \"public\" already exists"),
        ("CREATE SCHEMA IF NOT EXISTS app", "0A000", "CREATE SCHEMA app is not supported"),
        ("CREATE EXTENSION postgis", "0A000", "the extension \"postgis\" is not supported"),
        ("LOCK TABLE u", "42P01", "relation \"u\" does not exist"),
        ("GRANT SELECT ON t TO bob", "42704", "role \"bob\" does not exist"),
        ("REVOKE ALL ON t FROM ann", "0A000", "REVOKE is not supported"),
    ] {
        let error = db.error(sql);
        assert_eq!((error.sqlstate, error.message.as_str()), (sqlstate, message), "{sql}");
    }
}
