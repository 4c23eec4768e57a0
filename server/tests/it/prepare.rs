//! PREPARE, EXECUTE and DEALLOCATE: the statements of SQL and those of the protocol are the same.

use tokio_postgres::Client;

use crate::server::{rows, with_server};

async fn fails(client: &Client, sql: &str, sqlstate: &str, message: &str) {
    let error = client.simple_query(sql).await.expect_err(sql);
    let error = error.as_db_error().expect("the server says why");
    assert_eq!((error.code().code(), error.message()), (sqlstate, message), "{sql}");
}

#[test]
fn statements_are_kept_by_name() {
    with_server(|server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE t (id bigint PRIMARY KEY, x text);
                 PREPARE put (bigint, text) AS INSERT INTO t VALUES ($1, $2);
                 EXECUTE put(1, 'a'); EXECUTE put(1 + 1, upper('b'))",
            )
            .await
            .expect("written");
        client.batch_execute("PREPARE get AS SELECT id, x FROM t WHERE id = $1").await.expect("prepared");
        assert_eq!(rows(&client, "EXECUTE get(2)").await, ["2,B"]);
        client
            .batch_execute("PREPARE found AS SELECT x FROM t WHERE x < $1 ORDER BY x")
            .await
            .expect("prepared");
        assert_eq!(rows(&client, "EXECUTE found('z')").await, ["B", "a"]);
        client
            .batch_execute(
                "PREPARE change AS UPDATE t SET x = $2 WHERE id = $1; BEGIN; EXECUTE change(1, 'c')",
            )
            .await
            .expect("changed");
        assert_eq!(rows(&client, "EXECUTE get(1)").await, ["1,c"]);
        client.batch_execute("ROLLBACK").await.expect("ended");
        assert_eq!(rows(&client, "EXECUTE get(1)").await, ["1,a"]);
        client
            .batch_execute("PREPARE away AS DELETE FROM t WHERE id = $1; EXECUTE away(1)")
            .await
            .expect("gone");
        assert!(rows(&client, "EXECUTE get(1)").await.is_empty());

        let exists = "prepared statement \"get\" already exists";
        fails(&client, "PREPARE get AS SELECT 1", "42P05", exists).await;
        let number = "wrong number of parameters for prepared statement \"get\"";
        fails(&client, "EXECUTE get", "42601", number).await;
        client.batch_execute("DEALLOCATE PREPARE get").await.expect("it was there");
        let missing = "prepared statement \"get\" does not exist";
        fails(&client, "EXECUTE get(1)", "26000", missing).await;
        fails(&client, "DEALLOCATE get", "26000", missing).await;
        client.batch_execute("DEALLOCATE ALL; PREPARE get AS SELECT 7").await.expect("all are gone");
        assert_eq!(rows(&client, "EXECUTE get").await, ["7"]);
        fails(&client, "EXECUTE put(1, 'x')", "26000", "prepared statement \"put\" does not exist").await;
    });
}

#[test]
fn executed_through_the_extended_protocol() {
    with_server(|server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE t (id bigint PRIMARY KEY, x text); INSERT INTO t VALUES (1, 'a');
                 PREPARE get AS SELECT id, x FROM t WHERE id = $1",
            )
            .await
            .expect("prepared");
        let execute = client.prepare("EXECUTE get(1)").await.expect("it is described");
        let names: Vec<&str> = execute.columns().iter().map(|column| column.name()).collect();
        assert_eq!(names, ["id", "x"]);
        let row = client.query_one(&execute, &[]).await.expect("one row");
        assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (1, "a"));
        // The catalogue changes; the result does not.
        client.batch_execute("CREATE TABLE other (id int PRIMARY KEY)").await.expect("made");
        client.query_one(&execute, &[]).await.expect("one row");
        client.batch_execute("DEALLOCATE get; PREPARE get AS SELECT true").await.expect("another");
        let error = client.query(&execute, &[]).await.expect_err("its result has other columns");
        assert_eq!(error.code().map(|code| code.code()), Some("0A000"));
        // What the protocol has prepared, SQL executes and drops.
        let _kept = client.prepare("SELECT $1::int + 1").await.expect("prepared");
        let error =
            client.batch_execute("DEALLOCATE \"of no name\"").await.expect_err("there is no such one");
        assert_eq!(error.code().map(|code| code.code()), Some("26000"));
        client.prepare("EXECUTE nothing").await.expect("that it is missing is said when it is run");
    });
}
