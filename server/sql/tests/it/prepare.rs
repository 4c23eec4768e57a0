//! PREPARE and EXECUTE.

use crate::database::{Database, joined};

fn prepared() -> Database {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, x text, n numeric(5, 2));
         PREPARE put AS INSERT INTO t VALUES ($1, $2, $3);
         PREPARE get (bigint) AS SELECT x, n FROM t WHERE id = $1;
         PREPARE above (numeric) AS SELECT id FROM t WHERE n > $1 ORDER BY id;
         PREPARE plus (int, unknown) AS SELECT $1 + $2 AS sum;
         PREPARE bare AS SELECT count(*) FROM t;
         PREPARE change AS UPDATE t SET x = $2 WHERE id = $1;
         PREPARE away AS DELETE FROM t WHERE id = $1",
    )
    .expect("all can be prepared");
    db
}

#[test]
fn arguments_are_converted() {
    let mut db = prepared();
    let mut check = |sql: &str, expected: &str| {
        let table = db.run(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(joined(&table), expected, "{sql}");
    };
    check("EXECUTE put(1, 'a', 1.5)", "");
    check("EXECUTE put(1 + 1, upper('b') || 'c', '2.125')", "");
    check("EXECUTE put(3, NULL, -7)", "");
    check("EXECUTE get(1.0 * 2)", "Bc|2.13");
    check("EXECUTE get('3')", "NULL|-7.00");
    check("EXECUTE above(1)", "1;2");
    check("EXECUTE plus(2, 3)", "5");
    check("EXECUTE change(1, 'z'); EXECUTE away(length('xy')); EXECUTE bare", "2");
    check("EXECUTE get(1)", "z|1.50");
}

#[test]
fn what_is_wrong_with_an_execute() {
    let mut db = prepared();
    let mut check = |sql: &str, sqlstate: &str, message: &str| {
        let error = db.error(sql);
        assert_eq!((error.sqlstate, error.message.as_str()), (sqlstate, message), "{sql}");
    };
    check("EXECUTE get", "42601", "wrong number of parameters for prepared statement \"get\"");
    check("EXECUTE get(1, 2)", "42601", "wrong number of parameters for prepared statement \"get\"");
    check(
        "EXECUTE get(true)",
        "42804",
        "parameter $1 of type boolean cannot be coerced to the expected type bigint",
    );
    check("EXECUTE get('x')", "22P02", "invalid input for type bigint: \"x\"");
    check("EXECUTE get((SELECT 1))", "0A000", "cannot use subquery in EXECUTE parameter");
    check("EXECUTE get($1)", "42P02", "there is no parameter $1");
    check("EXECUTE get(1 / 0)", "22012", "division by zero");
    check("EXECUTE get()", "42601", "EXECUTE takes a name and arguments in parentheses");
    check(
        "PREPARE p AS CREATE TABLE u (id int PRIMARY KEY)",
        "42601",
        "PREPARE takes SELECT, INSERT, UPDATE, DELETE and VALUES",
    );
    check("PREPARE p AS SELECT y FROM t", "42703", "column \"y\" does not exist");
}
