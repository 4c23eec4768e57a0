//! Statements and what they give.

use crate::database::{Database, joined};

fn check(db: &mut Database, sql: &str, expected: &str) {
    match db.run(sql) {
        Ok(table) => assert_eq!(joined(&table), expected, "{sql}"),
        Err(error) => panic!("{sql}: {error:?}"),
    }
}

/// Rows of a query, sorted.
fn check_set(db: &mut Database, sql: &str, expected: &str) {
    let mut table = db.run(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    table.sort();
    assert_eq!(joined(&table), expected, "{sql}");
}

fn stories() -> Database {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE stories (id bigint PRIMARY KEY, title text NOT NULL, author integer, posted timestamptz DEFAULT now());
         CREATE TABLE votes (story bigint, who integer, weight smallint NOT NULL DEFAULT 1, PRIMARY KEY (story, who));
         CREATE MATERIALIZED VIEW counts AS SELECT story, count(*) AS votes, sum(weight) AS weight FROM votes GROUP BY story;
         CREATE MATERIALIZED VIEW ranked AS
           SELECT s.id, s.title, coalesce(c.votes, 0) AS votes FROM stories s LEFT JOIN counts c ON c.story = s.id;
         CREATE MATERIALIZED VIEW best AS SELECT id, title, votes FROM ranked ORDER BY votes DESC, id LIMIT 2;
         CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(weight) AS w FROM votes;
         CREATE INDEX by_author ON stories (author)",
    )
    .expect("all of this is supported");
    db
}

#[test]
fn tables_views_and_lookups() {
    let mut db = stories();
    check(&mut db, "SELECT * FROM total", "0|NULL");
    db.run("INSERT INTO stories (id, title, author) VALUES (1, 'one', 7), (2, 'two', 8), (3, 'three', 7)")
        .expect("they are new");
    db.run(
        "INSERT INTO votes (story, who) VALUES (1, 1), (2, 1), (2, 2); INSERT INTO votes VALUES (2, 3, 5)",
    )
    .expect("they are new");
    check(&mut db, "SELECT * FROM counts WHERE story = 2", "2|3|7");
    check(
        &mut db,
        "SELECT votes + 1 AS more, 'x' || weight FROM counts WHERE story IN (1, 2) ORDER BY 1 DESC",
        "4|x7;2|x1",
    );
    check(&mut db, "SELECT title, votes FROM ranked WHERE id = 3", "three|0");
    check(&mut db, "SELECT * FROM best", "2|two|3;1|one|1");
    check(&mut db, "SELECT * FROM total", "4|8");
    check(&mut db, "SELECT id FROM stories WHERE author = 7 ORDER BY id DESC LIMIT 1", "3");
    check(&mut db, "SELECT posted FROM stories WHERE id = 1", "2020-01-01 00:00:00+00");
    check(&mut db, "SELECT id FROM stories WHERE id = 1 AND title LIKE 't%'", "");
}

#[test]
fn writes() {
    let mut db = stories();
    db.run("INSERT INTO votes VALUES (1, 1, 1)").expect("it is new");
    assert_eq!(db.error("INSERT INTO votes VALUES (1, 1, 2)").sqlstate, "23505");
    db.run("INSERT INTO votes VALUES (1, 1, 2), (1, 2, 2) ON CONFLICT DO NOTHING").expect("passed over");
    check(&mut db, "SELECT weight FROM counts WHERE story = 1", "3");
    db.run(
        "INSERT INTO votes VALUES (1, 1, 9) ON CONFLICT (story, who) DO UPDATE SET weight = excluded.weight",
    )
    .expect("replaces");
    check(&mut db, "SELECT weight FROM counts WHERE story = 1", "11");
    // No row is replaced by two rows of one statement, also where they differ only in what parameters say.
    let twice = "INSERT INTO votes VALUES ($1, 1, 5), ($2, 1, 6) ON CONFLICT (story, who) DO UPDATE SET weight = excluded.weight";
    assert_eq!(db.run_with(twice, &["1", "1"]).expect_err("the same key").sqlstate, "21000");
    check(&mut db, "SELECT weight FROM counts WHERE story = 1", "11");
    db.run_with(twice, &["7", "8"]).expect("two keys");
    check(&mut db, "SELECT weight FROM votes WHERE story = 8 AND who = 1", "6");
    db.run("UPDATE votes SET weight = weight * 2 WHERE story = 1 AND who = 1").expect("it is there");
    check(&mut db, "SELECT weight FROM counts WHERE story = 1", "20");
    db.run("DELETE FROM votes WHERE story = 1 AND who IN (1, 2) AND weight > 10").expect("one is");
    check(&mut db, "SELECT votes, weight FROM counts WHERE story = 1", "1|2");
    assert_eq!(db.error("UPDATE votes SET weight = 40000 WHERE story = 1 AND who = 2").sqlstate, "22003");
    assert_eq!(db.error("INSERT INTO stories (id) VALUES (1)").sqlstate, "23502");
}

#[test]
fn parameters() {
    let mut db = stories();
    db.run_with("INSERT INTO stories VALUES ($1, $2, $3 + 1, DEFAULT)", &["5", "five", "1"]).expect("new");
    let found = db.run_with("SELECT title, author, $2::text FROM stories WHERE id = $1", &["5", "x"]);
    assert_eq!(joined(&found.expect("it is there")), "five|2|x");
    let found = db.run_with("SELECT id FROM stories WHERE id IN ($1, $2) LIMIT $3", &["5", "6", "1"]);
    assert_eq!(joined(&found.expect("it is there")), "5");
    assert_eq!(
        joined(&db.run_with("SELECT $1 + 1, now()", &["4"]).expect("a row")),
        "5|2020-01-01 00:00:00+00"
    );
}

#[test]
fn joins_of_all_kinds() {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE a (id int PRIMARY KEY, x int); CREATE TABLE b (id int PRIMARY KEY, y int);
         INSERT INTO a VALUES (1, 10), (2, 20), (3, NULL); INSERT INTO b VALUES (1, 10), (2, 5), (4, 20)",
    )
    .expect("supported");
    check_set(&mut db, "SELECT a.id, b.id FROM a JOIN b ON x = y", "1|1;2|4");
    check_set(&mut db, "SELECT a.id, b.id FROM a, b WHERE x = y AND a.id < b.id", "2|4");
    check_set(
        &mut db,
        "SELECT a.id, b.id FROM a LEFT JOIN b ON x = y AND x > 10 AND y > 1",
        "1|NULL;2|4;3|NULL",
    );
    check_set(&mut db, "SELECT a.id, b.id FROM a RIGHT JOIN b ON x = y", "NULL|2;1|1;2|4");
    check_set(&mut db, "SELECT a.id, b.id FROM a FULL JOIN b ON x = y", "NULL|2;1|1;2|4;3|NULL");
    check_set(&mut db, "SELECT * FROM a JOIN b USING (id)", "1|10|10;2|20|5");
    check_set(&mut db, "SELECT * FROM a NATURAL RIGHT JOIN b", "1|10|10;2|20|5;4|NULL|20");
    check_set(&mut db, "SELECT a.id, b.id FROM a CROSS JOIN b WHERE b.id = 4", "1|4;2|4;3|4");
    check_set(&mut db, "SELECT id FROM a WHERE x IN (SELECT y FROM b)", "1;2");
    check_set(&mut db, "SELECT id FROM a WHERE id NOT IN (SELECT id FROM b)", "3");
    check_set(
        &mut db,
        "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.id = a.id AND y > 6)",
        "2;3",
    );
    check_set(&mut db, "SELECT id FROM a EXCEPT SELECT id FROM b", "3");
    check_set(&mut db, "SELECT x FROM a INTERSECT SELECT y FROM b", "10;20");
    check_set(
        &mut db,
        "WITH c (n) AS (SELECT id FROM a UNION ALL SELECT id FROM b) SELECT n, count(*) FROM c GROUP BY 1",
        "1|2;2|2;3|1;4|1",
    );
    check_set(
        &mut db,
        "SELECT DISTINCT ON (y % 2) y % 2 AS odd, id FROM b ORDER BY y % 2, y DESC",
        "0|4;1|2",
    );
}

#[test]
fn expressions() {
    let mut db = Database::new();
    check(&mut db, "SELECT 7 / 2, -7 / 2, 7 % -3, 7.0 / 2, 2 ^ 3, 1e2", "3|-3|1|3.5|8|100");
    check(
        &mut db,
        "SELECT NULL IS NULL, NOT NULL::boolean, 1 = ANY(ARRAY[1, 2]), 3 BETWEEN 1 AND 2",
        "t|NULL|t|f",
    );
    check(
        &mut db,
        "SELECT CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END, nullif(1, 1), coalesce(NULL, 3)",
        "b|NULL|3",
    );
    check(
        &mut db,
        "SELECT upper('a') || 1, substring('hello' from 2 for 3), position('l' in 'hello')",
        "A1|ell|3",
    );
    check(
        &mut db,
        "SELECT date '2013-02-28' + 1, timestamp '2013-01-01' + interval '1 day 2 hours'",
        "2013-03-01|2013-01-02 02:00:00",
    );
    check(
        &mut db,
        "SELECT extract(year from date '2013-02-28'), date_trunc('month', timestamp '2013-02-28 10:00')",
        "2013|2013-02-01 00:00:00",
    );
    check(
        &mut db,
        "SELECT cast('12' as integer) + 1, '1.005'::numeric(5,2), 3.7::int, 'abc'::varchar(2)",
        "13|1.01|4|ab",
    );
    check(
        &mut db,
        "SELECT 'a' LIKE '_', 'A' ILIKE 'a', 'x' IS DISTINCT FROM NULL, (1, 2) = (1, 2)",
        "t|t|t|t",
    );
    check(
        &mut db,
        "SELECT round(2.5), round(1.255, 2), abs(-3), floor(-1.5), least(3, 1, 2)",
        "3|1.26|3|-2|1",
    );
    assert_eq!(db.error("SELECT 2147483647 + 1").sqlstate, "22003");
    assert_eq!(db.error("SELECT 1 / 0").sqlstate, "22012");
}

#[test]
fn aggregates() {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE t (id int PRIMARY KEY, g text, n int, d double precision);
         INSERT INTO t VALUES (1, 'a', 1, 0.5), (2, 'a', 2, NULL), (3, 'b', 2, 1.5), (4, NULL, NULL, 2.5)",
    )
    .expect("supported");
    check_set(
        &mut db,
        "SELECT g, sum(n), avg(n), min(d), count(d), count(DISTINCT n) FROM t GROUP BY g",
        "NULL|NULL|NULL|2.5|1|0;a|3|1.5|0.5|1|2;b|2|2|1.5|1|1",
    );
    check(
        &mut db,
        "SELECT upper(g), count(*) FILTER (WHERE n > 1) + 1 AS c FROM t GROUP BY g HAVING count(*) > 1",
        "A|2",
    );
    check(&mut db, "SELECT string_agg(g, ',' ORDER BY id DESC) FROM t", "b,a,a");
    check(
        &mut db,
        "SELECT n % 2 AS odd, max(id) FROM t WHERE n IS NOT NULL GROUP BY odd ORDER BY odd",
        "0|3;1|1",
    );
    check(&mut db, "SELECT count(*) FROM t WHERE false", "0");
    check(&mut db, "SELECT bool_and(n > 1), bool_or(n > 1) FROM t", "f|t");
}

#[test]
fn views_and_drops() {
    let mut db = stories();
    db.run("CREATE VIEW titled AS SELECT id, title FROM stories WHERE title <> ''").expect("supported");
    db.run("CREATE MATERIALIZED VIEW lengths WITH (key = 'n') AS SELECT length(title) AS n, id FROM titled")
        .expect("supported");
    db.run("INSERT INTO stories VALUES (1, 'one'), (2, 'two'), (3, 'three')").expect("new");
    check_set(&mut db, "SELECT id FROM lengths WHERE n = 3", "1;2");
    assert_eq!(db.all("lengths").len(), 3);
    assert_eq!(db.error("DROP TABLE stories").sqlstate, "2BP01");
    assert_eq!(db.error("DROP VIEW lengths").sqlstate, "42809");
    db.run("DROP TABLE stories CASCADE; DROP TABLE IF EXISTS stories").expect("they go together");
    assert!(db.catalog.find("lengths").is_none() && db.catalog.find("counts").is_some());
    db.run("CREATE TABLE stories (id int PRIMARY KEY); INSERT INTO stories VALUES (1)")
        .expect("the name is free");
    check(&mut db, "SELECT * FROM stories WHERE id = 1", "1");
    check(
        &mut db,
        "EXPLAIN SELECT * FROM stories WHERE id = 1",
        "lookup: reads stories by the key (id), on the shards that own the keys",
    );
}

/// A catalogue is what its entries make it, by way of their bytes.
#[test]
fn entries_build_the_catalogue_again() {
    use sql::{Bound, Catalog, Definition, bind, parse};
    let mut catalog = Catalog::new();
    let mut log = Vec::new();
    let text = "CREATE TABLE t (a int PRIMARY KEY, b numeric(4,2) DEFAULT 1.5);
        CREATE MATERIALIZED VIEW v AS SELECT b, count(*) AS n FROM t GROUP BY b;
        CREATE INDEX i ON v (n); CREATE VIEW w AS SELECT * FROM v; DROP INDEX i; DROP VIEW w";
    for statement in parse(text).expect("it is SQL") {
        let Bound::Define(Definition::Entry(entry)) =
            bind(&catalog, &statement, &[]).expect("it binds").bound
        else {
            panic!("definitions are entries");
        };
        catalog.apply(&entry).expect("it was bound just now");
        assert!(catalog.clone().apply(&entry).is_err(), "it was made for the catalogue before it");
        log.push(rkyv::to_bytes::<rkyv::rancor::Error>(&*entry).expect("an entry has bytes"));
    }
    let mut again = Catalog::new();
    for bytes in &log {
        let entry = rkyv::from_bytes::<sql::Entry, rkyv::rancor::Error>(bytes).expect("they are an entry's");
        again.apply(&entry).expect("in the same order");
    }
    assert_eq!(again.plan(), catalog.plan());
    assert_eq!(again.objects(), catalog.objects());
}

#[test]
fn first_rows_of_groups() {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE scores (id bigint PRIMARY KEY, team text NOT NULL, points integer NOT NULL);
         CREATE MATERIALIZED VIEW best AS
           SELECT team, points, place FROM (
             SELECT *, row_number() OVER (PARTITION BY team ORDER BY points DESC, id) AS place FROM scores) AS s
           WHERE place = 1;
         CREATE MATERIALIZED VIEW two AS
           WITH s AS (SELECT team, sum(points) AS points,
                             row_number() OVER (ORDER BY sum(points) DESC, team) AS place FROM scores GROUP BY team)
           SELECT team, points FROM s WHERE s.place < 3;
         INSERT INTO scores VALUES (1, 'a', 5), (2, 'a', 7), (3, 'b', 2), (4, 'c', 9), (5, 'b', 2)",
    )
    .expect("all of this is supported");
    check_set(&mut db, "SELECT * FROM best", "a|7|1;b|2|1;c|9|1");
    check_set(&mut db, "SELECT * FROM two", "a|12;c|9");
    db.run("DELETE FROM scores WHERE id = 4; DELETE FROM scores WHERE id = 2").expect("they are there");
    check_set(&mut db, "SELECT * FROM best", "a|5|1;b|2|1");
    check_set(&mut db, "SELECT * FROM two", "a|5;b|4");
    for sql in [
        "SELECT *, row_number() OVER (ORDER BY id) AS n FROM scores",
        "SELECT * FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM scores) AS s WHERE n <= 2",
        "SELECT id FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM scores) AS s WHERE n <= 2 OR id = 1",
        "SELECT t.id FROM scores AS t LEFT JOIN
           (SELECT *, row_number() OVER (ORDER BY id) AS n FROM scores) AS s ON s.id = t.id WHERE n <= 2",
        "SELECT id FROM (SELECT *, rank() OVER (ORDER BY id) AS n FROM scores) AS s WHERE n <= 2",
    ] {
        let error = db.run(sql).expect_err("no number is ever counted");
        assert_eq!(error.sqlstate, "0A000", "{sql}: {error:?}");
    }
}

#[test]
fn clients_words_change_nothing_else() {
    let mut db = Database::new();
    db.run("CREATE TABLE t (id int PRIMARY KEY, name text, attrelid int, attnum int)").expect("supported");
    db.run("INSERT INTO t VALUES (1, 'a', 7, 70), (2, 'B', 7, 71)").expect("supported");
    // The words are those for which statements about pg_catalog are put into others.
    let lists =
        db.run("SELECT array_to_string(ARRAY[id, attnum], '-'), name FROM t ORDER BY name COLLATE \"C\"");
    let lists: Vec<_> = lists.expect("supported").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(lists, [Some("2-71".to_owned()), Some("1-70".to_owned())]);
    let error = db.error("SELECT name FROM t ORDER BY name COLLATE \"de_DE\"");
    assert_eq!(error.sqlstate, "0A000", "the order would be another");
    let numbered = "SELECT row_number() OVER (PARTITION BY attrelid ORDER BY attnum) AS n, name FROM t";
    assert_eq!(db.error(numbered).sqlstate, "0A000", "the column is no place of a column");
    assert_eq!(
        db.error("SELECT upper(set_config('search_path', '', false))").sqlstate,
        "0A000",
        "it would set nothing"
    );
}

#[test]
fn a_subquery_as_a_value_has_one_row() {
    let mut db = Database::new();
    db.run("CREATE TABLE t (id int PRIMARY KEY, g int); INSERT INTO t VALUES (1, 1), (2, 2), (3, 2)")
        .expect("supported");
    let one =
        db.run("SELECT (SELECT id FROM t AS x WHERE x.g = t.g) FROM t WHERE id = 1").expect("there is one");
    assert_eq!(one, [[Some("1".to_owned())]]);
    assert_eq!(db.error("SELECT (SELECT id FROM t AS x WHERE x.g = t.g) FROM t").sqlstate, "21000");
}
