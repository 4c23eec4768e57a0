//! Sessions that change the same rows at the same time, while shards are killed: nothing is lost and nothing counted twice.

use tokio_postgres::Client;

use crate::killer::Killer;
use crate::server::{Server, rows, with_server};

/// Sessions at work, and what each does.
const SESSIONS: usize = 8;
const CHANGES: usize = 25;
const ROWS: i64 = 3;

/// Runs transactions until one is taken, as a client has to whose rows others change.
async fn until_taken(client: &Client, sql: &str) -> usize {
    let mut conflicts = 0;
    loop {
        match client.batch_execute(sql).await {
            Ok(()) => return conflicts,
            Err(error) => {
                let code = error.code().map(|code| code.code().to_owned());
                assert_eq!(code.as_deref(), Some("40001"), "{sql}: {error:?}");
                client.batch_execute("ROLLBACK").await.expect("it ends");
                conflicts += 1;
            }
        }
    }
}

/// Lets sessions run what `statement` gives for a row and a round, and sums up what the rows then are.
async fn changed_by_all(server: &Server, statement: fn(i64, usize) -> String) -> Vec<String> {
    let sessions = (0..SESSIONS).map(|session| {
        let client = server.connect();
        async move {
            let client = client.await;
            for round in 0..CHANGES {
                let row = (session + round) as i64 % ROWS;
                until_taken(&client, &statement(row, round)).await;
            }
        }
    });
    futures_util::future::join_all(sessions).await;
    rows(&server.connect().await, "SELECT sum(n), count(*) FROM counters").await
}

async fn define(server: &Server) {
    let client = server.connect().await;
    client
        .batch_execute(
            "CREATE TABLE counters (id bigint PRIMARY KEY, n bigint NOT NULL, note text DEFAULT 'none');
             CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n FROM counters;
             INSERT INTO counters SELECT i, 0 FROM generate_series(0, 2) AS g(i)",
        )
        .await
        .expect("defined");
}

/// Runs the statement while shards are killed, and checks that each change has been made once.
fn each_counts_once(seed: u64, statement: fn(i64, usize) -> String) {
    with_server(|server| async move {
        define(&server).await;
        let killer = Killer::start(&server, seed);
        let found = changed_by_all(&server, statement).await;
        assert_eq!(found, [format!("{},{ROWS}", SESSIONS * CHANGES)], "{} kills", killer.killed());
        let total = rows(&server.connect().await, "SELECT n FROM total").await;
        assert_eq!(total, [format!("{}", SESSIONS * CHANGES)]);
    });
}

#[test]
fn updates_of_a_row_by_its_key() {
    each_counts_once(1, |row, _| format!("UPDATE counters SET n = n + 1 WHERE id = {row}"));
}

#[test]
fn upserts_that_add_to_what_is_there() {
    each_counts_once(2, |row, _| {
        format!(
            "INSERT INTO counters VALUES ({row}, 1) ON CONFLICT (id) DO UPDATE SET n = counters.n + excluded.n"
        )
    });
}

#[test]
fn transactions_that_read_and_write() {
    each_counts_once(3, |row, round| {
        format!(
            "BEGIN; UPDATE counters SET n = n + 1 WHERE id = {row};
             UPDATE counters SET note = 'round {round}' WHERE id = {row}; COMMIT"
        )
    });
}

/// Rows come and go: a row that is deleted takes with it what it has counted, into another.
#[test]
fn deletes_take_what_they_have_seen() {
    with_server(|server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE queue (id bigint PRIMARY KEY, state text);
                 INSERT INTO queue SELECT i, 'new' FROM generate_series(1, 200) AS g(i)",
            )
            .await
            .expect("defined");
        let killer = Killer::start(&server, 4);
        let workers = (0..SESSIONS).map(|_| {
            let client = server.connect();
            async move {
                let client = client.await;
                let mut taken = Vec::new();
                for id in 1..=200 {
                    let sql = format!("DELETE FROM queue WHERE id = {id} AND state = 'new' RETURNING id");
                    taken.extend(rows(&client, &sql).await);
                }
                taken
            }
        });
        let taken = futures_util::future::join_all(workers).await;
        let mut taken: Vec<i64> = taken.concat().iter().map(|id| id.parse().expect("a number")).collect();
        taken.sort_unstable();
        assert_eq!(taken, Vec::from_iter(1..=200), "each row is taken by one, {} kills", killer.killed());
    });
}

#[test]
fn a_transaction_is_refused_where_a_row_is_no_longer_what_it_took_it_for() {
    with_server(|server| async move {
        define(&server).await;
        let (one, two) = (server.connect().await, server.connect().await);
        one.batch_execute("BEGIN; UPDATE counters SET n = n + 1").await.expect("held");
        // Who replaces whole rows, whatever they are, does not wait.
        let replace = "INSERT INTO counters VALUES (1, 10, 'other') ON CONFLICT (id) DO UPDATE SET n = excluded.n, note = excluded.note";
        two.batch_execute(replace).await.expect("written");
        let error = one.batch_execute("COMMIT").await.expect_err("a row is another now");
        assert_eq!(error.code().map(|code| code.code()), Some("40001"));
        assert_eq!(rows(&two, "SELECT sum(n) FROM counters").await, ["10"], "nothing of it was written");
        one.batch_execute("BEGIN; INSERT INTO counters VALUES (8, 8)").await.expect("held");
        two.batch_execute("INSERT INTO counters VALUES (8, 80)").await.expect("written");
        let error = one.batch_execute("COMMIT").await.expect_err("the key is there");
        assert_eq!(error.code().map(|code| code.code()), Some("23505"));
    });
}

#[test]
fn transactions_wait_for_each_other_but_not_in_a_circle() {
    with_server(|server| async move {
        define(&server).await;
        let (one, two) = (server.connect().await, server.connect().await);
        one.batch_execute("BEGIN; UPDATE counters SET n = n + 1 WHERE id = 1").await.expect("held");
        two.batch_execute("BEGIN; UPDATE counters SET n = n + 10 WHERE id = 2").await.expect("held");
        let ended = futures_util::future::join(
            ends(&one, "UPDATE counters SET n = n + 1 WHERE id = 2"),
            ends(&two, "UPDATE counters SET n = n + 10 WHERE id = 1"),
        );
        let sum = match ended.await {
            (true, false) => "2",
            (false, true) => "20",
            both => panic!("one of the two is refused, not {both:?}"),
        };
        assert_eq!(rows(&one, "SELECT sum(n) FROM counters").await, [sum]);
        // A session that goes leaves nothing locked.
        two.batch_execute("BEGIN; UPDATE counters SET n = n + 10").await.expect("held");
        drop(two);
        one.batch_execute("UPDATE counters SET n = n + 1").await.expect("the rows are free");
        let sum = sum.parse::<i64>().expect("a number") + ROWS;
        assert_eq!(rows(&one, "SELECT sum(n) FROM counters").await, [sum.to_string()]);
    });
}

/// Runs the last statement of a transaction; whether it was not refused for waiting in a circle.
async fn ends(client: &Client, sql: &str) -> bool {
    match client.batch_execute(sql).await {
        Ok(()) => client.batch_execute("COMMIT").await.map(|()| true).expect("committed"),
        Err(error) => {
            assert_eq!(error.code().map(|code| code.code()), Some("40P01"));
            client.batch_execute("ROLLBACK").await.map(|()| false).expect("it ends")
        }
    }
}

#[test]
fn a_row_that_gets_another_key_is_what_it_was() {
    with_server(|server| async move {
        define(&server).await;
        let client = server.connect().await;
        client
            .batch_execute("UPDATE counters SET id = id + 1, n = id")
            .await
            .expect("rows may follow each other");
        let mut found = rows(&client, "SELECT id, n FROM counters").await;
        found.sort();
        assert_eq!(found, ["1,0", "2,1", "3,2"]);
        client.batch_execute("UPDATE counters SET id = 100 - id").await.expect("rows may move");
        let mut found = rows(&client, "SELECT id, n FROM counters").await;
        found.sort();
        assert_eq!(found, ["97,2", "98,1", "99,0"]);
    });
}
