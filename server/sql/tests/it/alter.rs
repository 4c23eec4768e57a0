//! ALTER TABLE of tables with rows and with views over them, with PostgreSQL's results.

use crate::database::{Database, joined};

fn check(db: &mut Database, sql: &str, expected: &str) {
    match db.run(sql) {
        Ok(table) => assert_eq!(joined(&table), expected, "{sql}"),
        Err(error) => panic!("{sql}: {error:?}"),
    }
}

/// Runs statements that are all supported.
fn run(db: &mut Database, sql: &str) {
    if let Err(error) = db.run(sql) {
        panic!("{sql}: {error:?}");
    }
}

fn refused(db: &mut Database, sql: &str, sqlstate: &str) {
    let error = db.error(sql);
    assert_eq!(error.sqlstate, sqlstate, "{sql}: {error:?}");
}

fn things() -> Database {
    let mut db = Database::new();
    run(
        &mut db,
        "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b text, c int DEFAULT 7, CHECK (a < 100));
         INSERT INTO t VALUES (1, 10, 'x', 3), (2, 20, NULL, 4)",
    );
    db
}

#[test]
fn dropped_columns_are_seen_nowhere() {
    let mut db = things();
    run(&mut db, "ALTER TABLE t DROP COLUMN a");
    check(&mut db, "SELECT * FROM t ORDER BY id", "1|x|3;2|NULL|4");
    check(&mut db, "SELECT * FROM t WHERE id = 1", "1|x|3");
    check(&mut db, "SELECT t.*, 1 FROM t WHERE b = 'x'", "1|x|3|1");
    check(&mut db, "SELECT * FROM t AS s (k, text, number) ORDER BY k", "1|x|3;2|NULL|4");
    check(&mut db, "SELECT count(*) FROM (SELECT DISTINCT * FROM t) s", "2");
    refused(&mut db, "SELECT * FROM t AS s (k, text, number, more)", "42P10");
    for sql in ["SELECT a FROM t", "UPDATE t SET a = 1", "INSERT INTO t (id, a) VALUES (9, 1)"] {
        refused(&mut db, sql, "42703");
    }
    refused(&mut db, "INSERT INTO t VALUES (9, 1, 'x', 3)", "42601");
    refused(&mut db, "CREATE INDEX ON t (a)", "42703");
    refused(&mut db, "CREATE MATERIALIZED VIEW v WITH (key = 'a') AS SELECT * FROM t", "42703");
    let unknown = db.error("SELECT nothing FROM t");
    assert_eq!(unknown.hint.as_deref(), Some("There are: id, b, c."));
    // Two tables whose dropped columns stand at the same place have no column more in common.
    run(&mut db, "CREATE TABLE u (id int PRIMARY KEY, a int, d int); INSERT INTO u VALUES (1, 5, 6)");
    run(&mut db, "ALTER TABLE u DROP a");
    check(&mut db, "SELECT * FROM t NATURAL JOIN u", "1|x|3|6");
    check(&mut db, "SELECT * FROM t JOIN u USING (id)", "1|x|3|6");
    check(&mut db, "SELECT * FROM u LEFT JOIN t ON t.id = u.d", "1|6|NULL|NULL|NULL");
    // Its CHECK is gone with it.
    check(&mut db, "SELECT conname FROM pg_constraint WHERE contype = 'c'", "");
}

#[test]
fn rows_are_written_around_what_was_dropped() {
    let mut db = things();
    run(&mut db, "ALTER TABLE t DROP COLUMN a, DROP COLUMN c");
    check(&mut db, "INSERT INTO t VALUES (3, 'z') RETURNING *", "3|z");
    check(&mut db, "INSERT INTO t SELECT 4, b || 'w' FROM t WHERE id = 1 RETURNING *", "4|xw");
    check(&mut db, "UPDATE t SET b = b || '!' WHERE id IN (1, 3) RETURNING *", "1|x!;3|z!");
    check(
        &mut db,
        "UPDATE t SET b = 'both' FROM t o WHERE o.id = t.id + 1 AND t.id = 1 RETURNING t.*",
        "1|both",
    );
    let upsert = "INSERT INTO t VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET b = excluded.b";
    check(&mut db, &format!("{upsert} RETURNING *"), "1|new");
    run(&mut db, upsert);
    run(&mut db, "INSERT INTO t VALUES (1, 'k') ON CONFLICT (id) DO UPDATE SET b = t.b || excluded.b");
    check(&mut db, "UPDATE t SET id = 5 WHERE id = 1 RETURNING *", "5|newk");
    check(&mut db, "DELETE FROM t WHERE id = 2 RETURNING *", "2|NULL");
    check(&mut db, "SELECT * FROM t ORDER BY id", "3|z!;4|xw;5|newk");
    run(&mut db, "TRUNCATE t");
    check(&mut db, "SELECT * FROM t", "");
}

#[test]
fn columns_come_and_go_in_any_order() {
    let mut db = things();
    run(&mut db, "CREATE INDEX by_b ON t (b); CREATE INDEX by_ba ON t (b, a)");
    run(&mut db, "CREATE MATERIALIZED VIEW bs AS SELECT b, count(*) AS n FROM t GROUP BY b");
    run(&mut db, "ALTER TABLE t DROP COLUMN a; ALTER TABLE t ADD COLUMN a text DEFAULT 'again'");
    check(&mut db, "SELECT * FROM t ORDER BY id", "1|x|3|again;2|NULL|4|again");
    run(&mut db, "INSERT INTO t VALUES (3, 'x', 5, 'own')");
    check(&mut db, "SELECT * FROM t WHERE b = 'x' ORDER BY id", "1|x|3|again;3|x|5|own");
    check(&mut db, "SELECT b, n FROM bs WHERE b = 'x'", "x|2");
    // All at once, in the order of PostgreSQL: what is dropped goes first.
    run(
        &mut db,
        "ALTER TABLE t ADD COLUMN c text DEFAULT 'c', DROP COLUMN c, ADD COLUMN d int DEFAULT 1 CHECK (d > 0)",
    );
    check(&mut db, "SELECT * FROM t ORDER BY id", "1|x|again|c|1;2|NULL|again|c|1;3|x|own|c|1");
    refused(&mut db, "INSERT INTO t (id, d) VALUES (9, 0)", "23514");
    run(&mut db, "ALTER TABLE t DROP d, DROP a; ALTER TABLE t RENAME COLUMN c TO a");
    run(&mut db, "UPDATE t SET a = 'set' WHERE id = 3; ALTER TABLE t ADD COLUMN e int");
    check(&mut db, "SELECT * FROM t ORDER BY id", "1|x|c|NULL;2|NULL|c|NULL;3|x|set|NULL");
}

#[test]
fn numbers_are_those_of_postgresql() {
    let mut db = things();
    run(
        &mut db,
        "ALTER TABLE t DROP COLUMN b; ALTER TABLE t ADD COLUMN b boolean; CREATE INDEX by_c ON t (c)",
    );
    check(
        &mut db,
        "SELECT attnum, attname, attisdropped, attnotnull, atthasdef FROM pg_attribute
         WHERE attrelid = (SELECT oid FROM pg_class WHERE relname = 't') ORDER BY attnum",
        "1|id|f|t|f;2|a|f|t|f;3|........pg.dropped.3........|t|f|f;4|c|f|f|t;5|b|f|f|f",
    );
    check(&mut db, "SELECT relnatts FROM pg_class WHERE relname = 't'", "5");
    check(
        &mut db,
        "SELECT ordinal_position, column_name FROM information_schema.columns WHERE table_name = 't'
         ORDER BY ordinal_position",
        "1|id;2|a;4|c;5|b",
    );
    check(&mut db, "SELECT indkey FROM pg_index WHERE NOT indisprimary", "4");
}

#[test]
fn what_is_made_from_a_column_stands_in_the_way() {
    let mut db = things();
    run(
        &mut db,
        "CREATE VIEW plain AS SELECT id, b FROM t;
         CREATE VIEW stars AS SELECT * FROM t;
         CREATE MATERIALIZED VIEW sums AS SELECT b, sum(a) AS a FROM t GROUP BY b;
         CREATE MATERIALIZED VIEW over_sums AS SELECT count(*) AS n FROM sums;
         CREATE MATERIALIZED VIEW counts AS SELECT b, count(*) AS n FROM t GROUP BY b;
         CREATE MATERIALIZED VIEW pairs AS SELECT l.id, r.b FROM t l JOIN t r ON l.c = r.id;
         CREATE INDEX by_a ON t (a)",
    );
    let error = db.error("ALTER TABLE t DROP COLUMN a");
    assert_eq!(error.sqlstate, "2BP01");
    assert_eq!(error.detail.as_deref(), Some("They are: over_sums, sums, stars."));
    check(&mut db, "SELECT a FROM t WHERE id = 1", "10");
    run(&mut db, "DROP VIEW stars; ALTER TABLE t DROP COLUMN a CASCADE");
    for gone in ["sums", "over_sums"] {
        refused(&mut db, &format!("SELECT * FROM {gone}"), "42P01");
    }
    refused(&mut db, "DROP INDEX by_a", "42704");
    check(&mut db, "SELECT * FROM plain ORDER BY id", "1|x;2|NULL");
    // What does not read it goes on.
    run(&mut db, "INSERT INTO t (id, b, c) VALUES (3, 'x', 1)");
    check(&mut db, "SELECT b, n FROM counts ORDER BY b", "x|2;NULL|1");
    check(&mut db, "SELECT * FROM pairs", "1|x;3|x");
}

#[test]
fn what_cannot_be_dropped_is_named() {
    let mut db = things();
    run(
        &mut db,
        "CREATE TABLE u (id int PRIMARY KEY, c int REFERENCES t (c), t int REFERENCES t);
         CREATE MATERIALIZED VIEW m AS SELECT id, b FROM t",
    );
    refused(&mut db, "ALTER TABLE t DROP COLUMN id", "0A000");
    refused(&mut db, "ALTER TABLE t DROP COLUMN nothing", "42703");
    run(&mut db, "ALTER TABLE t DROP COLUMN IF EXISTS nothing");
    run(&mut db, "ALTER TABLE IF EXISTS nothing DROP COLUMN a");
    refused(&mut db, "ALTER TABLE m DROP COLUMN b", "42809");
    let error = db.error("ALTER TABLE t DROP COLUMN c RESTRICT");
    assert_eq!(error.detail.as_deref(), Some("They are: u_c_fkey of u."));
    run(&mut db, "ALTER TABLE t DROP COLUMN c CASCADE; ALTER TABLE u DROP COLUMN t");
    check(&mut db, "SELECT conname FROM pg_constraint WHERE contype = 'f'", "");
    // Nothing of a statement is done if one part of it fails.
    refused(&mut db, "ALTER TABLE t DROP COLUMN a, DROP COLUMN b", "2BP01");
    check(&mut db, "SELECT * FROM t WHERE id = 1", "1|10|x");
}

#[test]
fn serial_columns_are_dropped_and_count_anew() {
    let mut db = Database::new();
    run(
        &mut db,
        "CREATE TABLE t (id serial PRIMARY KEY, n serial, u uuid NOT NULL DEFAULT gen_random_uuid(), a int)",
    );
    run(&mut db, "INSERT INTO t (a) VALUES (1), (2)");
    run(&mut db, "ALTER TABLE t DROP COLUMN n, DROP COLUMN u");
    check(&mut db, "INSERT INTO t (a) VALUES (3) RETURNING *", "3|3");
    run(&mut db, "ALTER TABLE t ADD COLUMN n int NOT NULL DEFAULT 0");
    check(&mut db, "SELECT * FROM t ORDER BY id", "1|1|0;2|2|0;3|3|0");
    // All types have something that stands for nothing.
    run(
        &mut db,
        "CREATE TABLE all_types (id int PRIMARY KEY, b boolean NOT NULL, s smallint NOT NULL, r real NOT NULL,
             n numeric(5, 2) NOT NULL, t varchar(3) NOT NULL, c char(2) NOT NULL, y bytea NOT NULL, z timestamptz NOT NULL,
             d date NOT NULL, i interval NOT NULL, j jsonb NOT NULL, a int[] NOT NULL, last int)",
    );
    let names = ["b", "s", "r", "n", "t", "c", "y", "z", "d", "i", "j", "a"];
    let all = names.map(|name| format!("DROP COLUMN {name}")).join(", ");
    run(&mut db, &format!("ALTER TABLE all_types {all}"));
    run(&mut db, "INSERT INTO all_types VALUES (1, 2); UPDATE all_types SET last = last + 1");
    check(&mut db, "SELECT * FROM all_types", "1|3");
}

#[test]
fn what_is_said_of_a_column_changes() {
    let mut db = things();
    run(&mut db, "ALTER TABLE t ALTER COLUMN c SET DEFAULT 8, ALTER b SET DEFAULT 'b'");
    check(&mut db, "INSERT INTO t (id, a) VALUES (3, 1) RETURNING *", "3|1|b|8");
    run(&mut db, "ALTER TABLE t ALTER COLUMN c DROP DEFAULT; DELETE FROM t WHERE id = 2");
    check(&mut db, "INSERT INTO t (id, a) VALUES (4, 1) RETURNING *", "4|1|b|NULL");
    run(&mut db, "ALTER TABLE t ALTER COLUMN b SET NOT NULL");
    refused(&mut db, "UPDATE t SET b = NULL", "23502");
    refused(&mut db, "INSERT INTO t VALUES (5, 1, NULL, 2)", "23502");
    check(&mut db, "SELECT attnotnull FROM pg_attribute WHERE attname = 'b'", "t");
    run(&mut db, "ALTER TABLE t ALTER COLUMN b DROP NOT NULL; UPDATE t SET b = NULL WHERE id = 3");
    refused(&mut db, "ALTER TABLE t ALTER COLUMN id DROP NOT NULL", "42P16");
    refused(&mut db, "ALTER TABLE t ALTER COLUMN a DROP NOT NULL", "0A000");
    refused(&mut db, "ALTER TABLE t ALTER COLUMN nothing DROP DEFAULT", "42703");
    refused(&mut db, "ALTER TABLE t ALTER COLUMN a SET DEFAULT 'x'", "22P02");
    // What is dropped while NOT NULL is a rule of the catalogue holds NULL from then on.
    run(&mut db, "DELETE FROM t WHERE b IS NULL; ALTER TABLE t ALTER b SET NOT NULL; ALTER TABLE t DROP b");
    run(&mut db, "INSERT INTO t VALUES (6, 1, 2); UPDATE t SET c = 3 WHERE id = 6");
    check(&mut db, "SELECT * FROM t WHERE id = 6", "6|1|3");
}

#[test]
fn types_become_wider() {
    let mut db = Database::new();
    run(
        &mut db,
        "CREATE TABLE t (id int PRIMARY KEY, s varchar(2), n smallint, m numeric(4, 1), used varchar(3));
         CREATE MATERIALIZED VIEW v AS SELECT used, count(*) AS n FROM t GROUP BY used;
         INSERT INTO t VALUES (1, 'ab', 3, 1.5, 'x')",
    );
    refused(&mut db, "UPDATE t SET s = 'abc'", "22001");
    run(
        &mut db,
        "ALTER TABLE t ALTER COLUMN s TYPE varchar(3), ALTER n TYPE bigint, ALTER m TYPE numeric(6, 2)",
    );
    run(&mut db, "UPDATE t SET s = 'abc', n = 10000000000, m = 1000.25");
    check(&mut db, "SELECT s, n, m FROM t", "abc|10000000000|1000.25");
    run(&mut db, "ALTER TABLE t ALTER COLUMN s SET DATA TYPE text");
    for narrower in ["n TYPE int", "m TYPE numeric(6, 3)", "n TYPE text", "used TYPE text"] {
        refused(&mut db, &format!("ALTER TABLE t ALTER COLUMN {narrower}"), "0A000");
    }
    run(&mut db, "UPDATE t SET s = 'äbc'; ALTER TABLE t ALTER COLUMN s TYPE varchar(3)");
    refused(&mut db, "ALTER TABLE t ALTER COLUMN s TYPE varchar(2)", "22001");
    run(&mut db, "UPDATE t SET s = 'äb'; ALTER TABLE t ALTER COLUMN s TYPE varchar(2)");
    refused(&mut db, "UPDATE t SET s = 'abc'", "22001");
}

#[test]
fn constraints_come_and_go() {
    let mut db = things();
    let rules = |db: &Database, sql: &str| {
        let parsed = sql::parse(sql).expect("sound").pop().expect("one statement");
        let prepared = sql::bind(&db.catalog, &parsed, &[]).expect("supported");
        let sql::Bound::Define(sql::Definition::Entry(entry)) = prepared.bound else {
            panic!("it is a definition")
        };
        entry.change.rules()
    };
    let [rule] = &rules(&db, "ALTER TABLE t ADD CHECK (c > 3)")[..] else { panic!("one rule") };
    check(&mut db, &rule.broken, "1");
    assert_eq!(rule.undo, "ALTER TABLE \"t\" DROP CONSTRAINT \"t_check1\"");
    let [rule] = &rules(&db, "ALTER TABLE t ALTER b SET NOT NULL")[..] else { panic!("one rule") };
    check(&mut db, &rule.broken, "1");
    refused(&mut db, "ALTER TABLE t ALTER b SET NOT NULL", "23502");
    refused(&mut db, "ALTER TABLE t ADD CHECK (c > 3)", "23514");
    run(&mut db, "UPDATE t SET b = 'y' WHERE b IS NULL; ALTER TABLE t ALTER b SET NOT NULL");
    run(&mut db, &rule.undo);
    run(&mut db, "ALTER TABLE t ADD CONSTRAINT small CHECK (c < 10), ADD CONSTRAINT one UNIQUE (b)");
    refused(&mut db, "UPDATE t SET c = 11", "23514");
    refused(&mut db, "ALTER TABLE t ADD CONSTRAINT small CHECK (c < 9)", "42710");
    refused(&mut db, "ALTER TABLE t DROP CONSTRAINT nothing", "42704");
    refused(&mut db, "ALTER TABLE t DROP CONSTRAINT t_pkey", "0A000");
    run(&mut db, "ALTER TABLE t DROP CONSTRAINT IF EXISTS nothing");
    run(&mut db, "ALTER TABLE t DROP CONSTRAINT small, DROP CONSTRAINT one; UPDATE t SET c = 11");
    run(&mut db, "ALTER TABLE t ADD CONSTRAINT one UNIQUE (b)");
    run(&mut db, "ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES t, DROP CONSTRAINT one");
    run(&mut db, "ALTER TABLE t DROP CONSTRAINT t_c_fkey, DROP CONSTRAINT t_check; UPDATE t SET a = 1000");
    check(&mut db, "SELECT conname FROM pg_constraint", "t_pkey");
}
