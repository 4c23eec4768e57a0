//! SELECT ... FOR UPDATE: what it shows, and what is refused in PostgreSQL's words. Who waits for whom is tested live.

use crate::database::{Database, joined};

fn database() -> Database {
    let mut database = Database::new();
    database
        .run(
            "CREATE TABLE t (a int, b text, c text NOT NULL, PRIMARY KEY (c, a));
             CREATE TABLE u (id bigint PRIMARY KEY, a int, gone text, n numeric(6, 2));
             CREATE INDEX ON u (a);
             ALTER TABLE u DROP COLUMN gone;
             CREATE MATERIALIZED VIEW m AS SELECT a, count(*) AS n FROM u GROUP BY a;
             CREATE VIEW v AS SELECT id, a FROM u;
             INSERT INTO t VALUES (1, 'x', 'one'), (2, NULL, 'two'), (3, 'z', 'three');
             INSERT INTO u VALUES (10, 1, 1.5), (11, 1, 2), (12, 2, NULL), (13, NULL, 0.25)",
        )
        .expect("defined");
    database
}

#[test]
fn rows_are_shown_as_without_locks() {
    let mut database = database();
    let mut check = |sql: &str, wanted: &str| {
        assert_eq!(joined(&database.run(sql).expect(sql)), wanted, "{sql}");
    };
    check("SELECT b FROM t WHERE c = 'one' AND a = 1 FOR UPDATE", "x");
    check("SELECT * FROM t WHERE c = 'two' AND a = 2 FOR NO KEY UPDATE NOWAIT", "2|NULL|two");
    check("SELECT * FROM u ORDER BY id DESC LIMIT 2 FOR SHARE", "13|NULL|0.25;12|2|NULL");
    check("SELECT n + 1 AS m FROM u WHERE a = 1 ORDER BY 1 FOR UPDATE SKIP LOCKED LIMIT 1", "2.5");
    check("SELECT id FROM u ORDER BY id OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY FOR KEY SHARE", "11;12");
    let join = "SELECT t.b, u.id FROM t JOIN u USING (a)";
    check(&format!("{join} ORDER BY u.id FOR UPDATE"), "x|10;x|11;NULL|12");
    check(&format!("{join} ORDER BY u.id LIMIT 1 FOR UPDATE OF t, u"), "x|10");
    let left = "SELECT x.a, y.id FROM t AS x LEFT JOIN u AS y ON x.a = y.a";
    check(&format!("{left} ORDER BY 1, 2 FOR UPDATE OF x SKIP LOCKED"), "1|10;1|11;2|12;3|NULL");
    check("SELECT u.id, m.n FROM u JOIN m ON u.a = m.a WHERE u.id = 10 FOR UPDATE OF u", "10|2");
    check("SELECT id FROM u WHERE a IN (SELECT a FROM m WHERE n > 1) ORDER BY id FOR UPDATE", "10;11");
    check("WITH w AS (SELECT max(id) AS id FROM u) SELECT u.id FROM u, w WHERE u.id = w.id FOR UPDATE", "13");
    assert_eq!(
        joined(
            &database
                .run_with("SELECT id FROM u WHERE a = $2 ORDER BY id LIMIT $1 FOR UPDATE", &["1", "1"])
                .expect("run")
        ),
        "10"
    );
}

#[test]
fn what_has_no_rows_to_lock_is_refused() {
    let mut database = database();
    let mut check = |sql: &str, sqlstate: &str, message: &str| {
        let error = database.error(sql);
        assert_eq!((error.sqlstate, error.message.as_str()), (sqlstate, message), "{sql}");
    };
    let refused = [
        ("SELECT DISTINCT a FROM u FOR UPDATE", "FOR UPDATE is not allowed with DISTINCT clause"),
        ("SELECT a FROM u GROUP BY a FOR SHARE", "FOR SHARE is not allowed with GROUP BY clause"),
        ("SELECT 1 FROM u HAVING true FOR UPDATE", "FOR UPDATE is not allowed with HAVING clause"),
        (
            "SELECT count(*) FROM u FOR NO KEY UPDATE",
            "FOR NO KEY UPDATE is not allowed with aggregate functions",
        ),
        (
            "SELECT id FROM u ORDER BY max(id) FOR UPDATE",
            "FOR UPDATE is not allowed with aggregate functions",
        ),
        (
            "SELECT row_number() OVER (ORDER BY id) FROM u FOR KEY SHARE",
            "FOR KEY SHARE is not allowed with window functions",
        ),
        (
            "SELECT id FROM u UNION SELECT a FROM t FOR UPDATE",
            "FOR UPDATE is not allowed with UNION/INTERSECT/EXCEPT",
        ),
        ("VALUES (1) FOR UPDATE", "FOR UPDATE cannot be applied to VALUES"),
        (
            "SELECT 1 FROM t LEFT JOIN u ON t.a = u.a FOR UPDATE",
            "FOR UPDATE cannot be applied to the nullable side of an outer join",
        ),
        (
            "SELECT 1 FROM t RIGHT JOIN u ON t.a = u.a FOR UPDATE OF t",
            "FOR UPDATE cannot be applied to the nullable side of an outer join",
        ),
        (
            "WITH w AS (SELECT 1 AS a) SELECT 1 FROM u, w WHERE u.a = w.a FOR UPDATE OF w",
            "FOR UPDATE cannot be applied to a WITH query",
        ),
        ("SELECT 1 FROM v FOR UPDATE", "FOR UPDATE of the rows of a view is not supported"),
        (
            "SELECT 1 FROM (SELECT a FROM u) AS s FOR UPDATE",
            "FOR UPDATE of the rows of a subquery is not supported",
        ),
        (
            "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM u FOR UPDATE",
            "DECLARE CURSOR WITH HOLD ... FOR UPDATE is not supported",
        ),
    ];
    for (sql, message) in refused {
        check(sql, "0A000", message);
    }
    check("SELECT n FROM m WHERE a = 1 FOR UPDATE", "42809", "cannot lock rows in materialized view \"m\"");
    let missing = "relation \"x\" in FOR UPDATE clause not found in FROM clause";
    check("SELECT 1 FROM u FOR UPDATE OF x", "42P01", missing);
    check("SELECT 1 FROM u AS x FOR UPDATE OF u", "42P01", &missing.replace("\"x\"", "\"u\""));
    let qualified = "FOR SHARE must specify unqualified relation names";
    check("SELECT 1 FROM u FOR SHARE OF public.u", "42601", qualified);
    check("SELECT 1 FROM nowhere FOR UPDATE", "42P01", "relation \"nowhere\" does not exist");
}

#[test]
fn writes_choose_their_rows_by_subqueries_that_lock() {
    let mut database = database();
    let mut wrong = Vec::new();
    let mut check = |sql: &str, parameters: &[&str], wanted: &str| {
        let found = database.run_with(sql, parameters).map(|table| joined(&table));
        if found.as_deref() != Ok(wanted) {
            wrong.push(format!("{sql}: {found:?}"));
        }
    };
    let next = "SELECT id FROM u WHERE a = 1 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED";
    check(&format!("UPDATE u SET a = 9 WHERE id = ({next}) RETURNING id, a"), &[], "10|9");
    check(
        &format!("WITH w AS ({next}) UPDATE u SET n = 7 FROM w WHERE u.id = w.id RETURNING u.id, n"),
        &[],
        "11|7.00",
    );
    check(
        &format!("WITH w AS ({next}) UPDATE u AS x SET a = $1 FROM w AS y WHERE x.id = y.id RETURNING x.a"),
        &["5"],
        "5",
    );
    check(&format!("UPDATE u SET a = 0 WHERE id = ({next}) RETURNING id"), &[], "");
    let some = "SELECT id FROM u WHERE a > $2 ORDER BY id DESC LIMIT $1 FOR UPDATE";
    check(&format!("DELETE FROM u WHERE id IN ({some}) RETURNING id"), &["1", "2"], "11");
    check(
        "INSERT INTO t SELECT id, 'u', 'copied' FROM u WHERE id = 12 FOR SHARE RETURNING a, b",
        &[],
        "12|u",
    );
    // WITH by itself.
    check(
        "WITH w(k) AS (SELECT max(id) FROM u) DELETE FROM u USING w WHERE u.id = w.k RETURNING id",
        &[],
        "13",
    );
    check(
        "WITH w(a) AS (VALUES (7)), x AS (SELECT a + 1 AS a FROM w) INSERT INTO t SELECT a, NULL, 'x' FROM x RETURNING a",
        &[],
        "8",
    );
    check(
        "WITH u(k) AS (VALUES (12)) UPDATE u SET a = 3 WHERE id = (SELECT k FROM u) RETURNING id, a",
        &[],
        "12|3",
    );

    let lines =
        joined(&database.run(&format!("EXPLAIN UPDATE u SET a = 9 WHERE id = ({next})")).expect("explained"));
    assert!(lines.contains(";lock: rows of u that are shown stay locked"), "{lines}");
    let refused = [
        (
            "UPDATE t SET b = 'x' WHERE a IN (SELECT u.a FROM u WHERE u.a = t.a FOR UPDATE)",
            "42P01",
            "missing FROM-clause entry for table \"t\"",
        ),
        (
            "WITH w AS (SELECT id FROM u FOR UPDATE) DELETE FROM u USING w, w AS x WHERE u.id = w.id AND u.id = x.id",
            "0A000",
            "a query in WITH that locks rows and is named twice is not supported",
        ),
        (
            "WITH w AS (DELETE FROM u RETURNING id) DELETE FROM t USING w WHERE t.a = w.id",
            "0A000",
            "a write in WITH is not supported",
        ),
        (
            "SELECT 1 FROM t WHERE a IN (SELECT a FROM u FOR UPDATE)",
            "0A000",
            "FOR UPDATE in a part of a statement is not supported",
        ),
    ];
    for (sql, sqlstate, message) in refused {
        let error = database.error(sql);
        if (error.sqlstate, error.message.as_str()) != (sqlstate, message) {
            wrong.push(format!("{sql}: {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn locks_are_explained() {
    let mut database = database();
    let lines = database.run("EXPLAIN SELECT * FROM u WHERE id = 1 FOR UPDATE").expect("explained");
    let lock = "lock: rows of u that are shown stay locked until the transaction ends";
    assert_eq!(lines.last(), Some(&vec![Some(lock.to_owned())]));
    assert!(joined(&lines).starts_with("lookup: reads u by the key (id)"), "{lines:?}");
}
