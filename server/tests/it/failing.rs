//! Views with an expression that has no value on some row: their readers get the error, and nobody gets a wrong row.

use tokio_postgres::Client;

use crate::server::{rows, with_server};

async fn code(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.expect_err(sql);
    error.code().expect("it comes from the server").code().to_owned()
}

/// The state that SHOW VIEWS has for a view.
async fn state(client: &Client, view: &str) -> String {
    let views = rows(client, "SHOW VIEWS").await;
    let line = views.iter().find(|line| line.starts_with(&format!("{view},"))).expect("it is there");
    let states = ["whole", "failing", "filling", "down", "unknown"];
    (*states.iter().find(|state| line.contains(&format!(",{state},"))).expect("it has a state")).to_owned()
}

#[test]
fn a_view_is_not_read_while_a_row_has_no_value() {
    with_server(|server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE t (id bigint PRIMARY KEY, k bigint, n bigint);
                 INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 40) AS g(i);
                 CREATE MATERIALIZED VIEW shares AS SELECT k, 100 / n AS share FROM t;
                 CREATE MATERIALIZED VIEW sums AS SELECT k, sum(share) AS s FROM shares GROUP BY k",
            )
            .await
            .expect("defined");
        let before = rows(&client, "SELECT s FROM sums WHERE k = 1").await;
        assert_eq!(before.len(), 1);
        client.batch_execute("INSERT INTO t VALUES (100, 1, 0)").await.expect("the write is taken");
        for sql in ["SELECT * FROM sums", "SELECT s FROM sums WHERE k = 1", "SELECT s FROM sums WHERE k = 3"]
        {
            assert_eq!(code(&client, sql).await, "22012", "{sql}");
        }
        assert_eq!(code(&client, "SELECT share FROM shares WHERE k = 1").await, "22012");
        assert_eq!(
            (state(&client, "sums").await, state(&client, "t").await),
            ("failing".into(), "whole".into())
        );
        for shard in &server.shards {
            server.kill(shard);
        }
        assert_eq!(code(&client, "SELECT s FROM sums WHERE k = 1").await, "22012", "also after a death");
        // A view made later fails as well, when it has the rows.
        client
            .batch_execute("CREATE MATERIALIZED VIEW later AS SELECT s, count(*) AS n FROM sums GROUP BY s")
            .await
            .expect("defined");
        assert_eq!(code(&client, "SELECT * FROM later").await, "22012");
        client.batch_execute("UPDATE t SET n = 1000 WHERE id = 100").await.expect("changed");
        assert_eq!(rows(&client, "SELECT s FROM sums WHERE k = 1").await, before);
        assert_eq!(rows(&client, "SELECT count(*) FROM later").await.len(), 1);
        assert_eq!(state(&client, "sums").await, "whole");
    });
}
