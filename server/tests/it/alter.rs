//! ALTER TABLE against a real server: while shards die, and over restarts.

use std::path::Path;
use std::pin::pin;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio_postgres::Client;

use crate::server::{Server, rows};

async fn copy_in(client: &Client, sql: &str, text: &'static str) -> u64 {
    let mut sink = pin!(client.copy_in(sql).await.expect("copying"));
    sink.send(Bytes::from_static(text.as_bytes())).await.expect("sent");
    sink.finish().await.expect("copied")
}

async fn copy_out(client: &Client, sql: &str) -> String {
    let mut stream = pin!(client.copy_out(sql).await.expect("copying"));
    let mut text = String::new();
    while let Some(bytes) = stream.next().await {
        text.push_str(std::str::from_utf8(&bytes.expect("copied")).expect("text"));
    }
    text
}

/// Starts a server on a folder, runs a test with it, and ends it.
fn with_server_on<F: Future<Output = ()>>(data: &Path, test: impl FnOnce(Server) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test(Server::on(data, &[])));
}

#[test]
fn columns_are_dropped_while_shards_die() {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    let data = folder.path().join("data");
    with_server_on(&data, |server| async move {
        let client = server.connect().await;
        let define = "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b text, c int DEFAULT 1);
                      CREATE INDEX by_a ON t (a); CREATE INDEX by_b ON t (b);
                      CREATE MATERIALIZED VIEW sums AS SELECT b, sum(a) AS a FROM t GROUP BY b;
                      CREATE MATERIALIZED VIEW counts AS SELECT b, count(*) AS n FROM t GROUP BY b;
                      INSERT INTO t SELECT i, i, (i % 3)::text, i FROM generate_series(1, 3000) AS s(i)";
        client.batch_execute(define).await.expect("defined");
        let old = client.prepare("UPDATE t SET c = c + 1 WHERE id = $1").await.expect("sound");
        let star = client.prepare("SELECT * FROM t WHERE id = 7").await.expect("sound");
        let error = client.batch_execute("ALTER TABLE t DROP COLUMN a").await.expect_err("it is read");
        assert_eq!(error.code().map(|code| code.code()), Some("2BP01"));
        server.kill(&server.shards[0]);
        client.batch_execute("ALTER TABLE t DROP COLUMN a CASCADE").await.expect("only a delay");
        server.kill(&server.shards[1]);
        assert_eq!(client.execute(&old, &[&7]).await.expect("it goes on"), 1);
        let error = client.query(&star, &[]).await.expect_err("its columns are others");
        assert_eq!(error.code().map(|code| code.code()), Some("0A000"));
        assert_eq!(rows(&client, "SELECT * FROM t WHERE id = 7").await, ["7,1,8"]);
        let sql = "UPDATE t SET b = 'new' WHERE id <= 300";
        assert_eq!(client.execute(sql, &[]).await.expect("only a delay"), 300);
        assert_eq!(copy_in(&client, "COPY t FROM STDIN", "3001\tnew\t5\n").await, 1);
        assert_eq!(copy_in(&client, "COPY t (b, id) FROM STDIN", "new\t3002\n").await, 1);
        assert_eq!(copy_out(&client, "COPY t TO STDOUT").await.lines().count(), 3002);
        client
            .batch_execute("ALTER TABLE t ADD COLUMN a text DEFAULT 'again', DROP COLUMN c")
            .await
            .expect("done at once");
        client.batch_execute("BEGIN").await.expect("begun");
        client.batch_execute("UPDATE t SET a = 'set' WHERE id = 3002").await.expect("kept");
        assert_eq!(rows(&client, "SELECT * FROM t WHERE id = 3002").await, ["3002,new,set"]);
        client.batch_execute("COMMIT").await.expect("written");
    });
    with_server_on(&data, |server| async move {
        let client = server.connect().await;
        assert_eq!(rows(&client, "SELECT n FROM counts WHERE b = 'new'").await, ["302"]);
        assert_eq!(rows(&client, "SELECT * FROM t WHERE id IN (7, 3002)").await.len(), 2);
        assert_eq!(rows(&client, "SELECT * FROM t WHERE id = 3002").await, ["3002,new,set"]);
        assert_eq!(rows(&client, "SELECT id FROM t WHERE b = 'new' AND a = 'set'").await, ["3002"]);
        let deleted = client.execute("DELETE FROM t WHERE a = 'again'", &[]).await.expect("written");
        assert_eq!(deleted, 3001);
        assert_eq!(copy_out(&client, "COPY t TO STDOUT").await, "3002\tnew\tset\n");
        let gone = client.batch_execute("SELECT * FROM sums").await.expect_err("it is gone");
        assert_eq!(gone.code().map(|code| code.code()), Some("42P01"));
    });
}
