//! EXPLAIN.

use crate::database::Database;

fn votes() -> Database {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE votes (story bigint, who text, PRIMARY KEY (story, who));
         CREATE MATERIALIZED VIEW \"my \"\"counts\" AS SELECT story, count(*) AS n FROM votes GROUP BY story;
         CREATE VIEW few AS SELECT * FROM votes WHERE who < 'b'",
    )
    .expect("supported");
    db
}

fn lines(db: &mut Database, sql: &str) -> Vec<String> {
    let table = db.run(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    table.into_iter().map(|mut row| row.remove(0).expect("a line")).collect()
}

/// Whether each line is a statement of Graphviz that names nodes of lines before it, with quotes only where they may be.
fn check_dot(lines: &[String]) {
    assert_eq!(lines.first().map(String::as_str), Some("digraph dataflow {"));
    assert_eq!(lines.last().map(String::as_str), Some("}"));
    let mut named = vec!["node".to_owned()];
    for line in &lines[1..lines.len() - 1] {
        let statement = line.trim().strip_suffix(';').unwrap_or_else(|| panic!("{line}"));
        if let Some((from, to)) = statement.split_once(" -> ") {
            assert!([from, to].iter().all(|name| named.iter().any(|known| known == name)), "{line}");
            continue;
        }
        let (name, attributes) = statement.split_once(" [").unwrap_or_else(|| panic!("{line}"));
        named.push(name.to_owned());
        let mut bare = attributes.replace("\\\\", "").replace("\\\"", "");
        bare.retain(|character| character == '"');
        assert_eq!(bare.len() % 2, 0, "{line}");
        assert!(attributes.ends_with(']'), "{line}");
    }
}

#[test]
fn dataflows_are_drawn() {
    let mut db = votes();
    let counts = lines(&mut db, "EXPLAIN (FORMAT DOT) \"my \"\"counts\"");
    check_dot(&counts);
    let all = counts.join("\n");
    for wanted in [
        "table votes\\n(story, who)",
        "exchange\\nsends rows of",
        "to the shard of\\n(story)",
        "view my \\\"counts\\nlooked up by (story)",
        "shape=cylinder",
    ] {
        assert!(all.contains(wanted), "{wanted:?} is not in\n{all}");
    }
    let lookup = lines(&mut db, "EXPLAIN (FORMAT DOT) SELECT n FROM \"my \"\"counts\" WHERE story = 1");
    check_dot(&lookup);
    assert!(lookup.iter().any(|line| line.contains("lookup by (story)")), "{lookup:?}");
    for sql in [
        "EXPLAIN (FORMAT DOT) SELECT count(*) FROM votes WHERE who LIKE 'a%'",
        "EXPLAIN (COSTS OFF, FORMAT dot) public.votes",
        "explain (format 'dot') few;",
        "EXPLAIN (FORMAT DOT) CREATE MATERIALIZED VIEW w AS SELECT who FROM votes",
        "EXPLAIN (FORMAT DOT) SELECT * FROM generate_series(1, 3)",
    ] {
        check_dot(&lines(&mut db, sql));
    }
    let text = lines(&mut db, "EXPLAIN (FORMAT TEXT) \"my \"\"counts\"");
    assert_eq!(text[0], "materialized view \"my \\\"counts\", kept by these operators");
    assert_eq!(text, lines(&mut db, "EXPLAIN \"my \"\"counts\""));
}

#[test]
fn what_explain_refuses() {
    let mut db = votes();
    for (sql, sqlstate, message) in [
        ("EXPLAIN ANALYZE SELECT 1", "0A000", "EXPLAIN ANALYZE is not supported"),
        ("EXPLAIN (ANALYZE) SELECT 1", "0A000", "EXPLAIN (ANALYZE) is not supported"),
        ("EXPLAIN (BUFFERS true) SELECT 1", "0A000", "EXPLAIN (BUFFERS) is not supported"),
        ("EXPLAIN VERBOSE SELECT 1", "0A000", "EXPLAIN VERBOSE is not supported"),
        ("EXPLAIN (FORMAT JSON) SELECT 1", "0A000", "EXPLAIN (FORMAT JSON) is not supported"),
        (
            "EXPLAIN (FORMAT png) SELECT 1",
            "22023",
            "unrecognized value for EXPLAIN option \"format\": \"png\"",
        ),
        ("EXPLAIN (speed) SELECT 1", "42601", "unrecognized EXPLAIN option \"speed\""),
        (
            "EXPLAIN (FORMAT DOT) DELETE FROM votes",
            "0A000",
            "EXPLAIN (FORMAT DOT) of anything but queries and definitions is not supported",
        ),
        ("EXPLAIN (FORMAT DOT) nothing", "42P01", "relation \"nothing\" does not exist"),
    ] {
        let error = db.error(sql);
        assert_eq!((error.sqlstate, error.message.as_str()), (sqlstate, message), "{sql}");
    }
}
