//! SELECT ... FOR UPDATE: who waits for whom, and what is seen when the wait is over.

use tokio_postgres::Client;

use crate::killer::Killer;
use crate::server::{Server, rows, with_server};

const SESSIONS: usize = 6;

async fn fails(client: &Client, sql: &str, sqlstate: &str) {
    let error = client.batch_execute(sql).await.expect_err(sql);
    assert_eq!(error.code().map(|code| code.code()), Some(sqlstate), "{sql}: {error:?}");
}

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn define(server: &Server) -> Client {
    let client = server.connect().await;
    run(
        &client,
        "CREATE TABLE jobs (id bigint PRIMARY KEY, state text NOT NULL, n bigint NOT NULL);
         CREATE INDEX jobs_by_state ON jobs (state);
         INSERT INTO jobs SELECT i, 'new', 0 FROM generate_series(1, 120) AS g(i)",
    )
    .await;
    client
}

#[test]
fn rows_stay_locked_until_the_transaction_ends() {
    with_server(|server| async move {
        let one = define(&server).await;
        let two = server.connect().await;
        run(&one, "BEGIN").await;
        assert_eq!(rows(&one, "SELECT n FROM jobs WHERE id = 1 FOR UPDATE").await, ["0"]);
        assert_eq!(rows(&one, "SELECT n FROM jobs WHERE id = 1 FOR UPDATE NOWAIT").await, ["0"], "its own");
        fails(&two, "SELECT n FROM jobs WHERE id = 1 FOR UPDATE NOWAIT", "55P03").await;
        fails(&two, "SELECT n FROM jobs WHERE id = 1 FOR KEY SHARE NOWAIT", "55P03").await;
        run(&two, "SET lock_timeout = '20ms'").await;
        fails(&two, "SELECT n FROM jobs WHERE id = 1 FOR UPDATE", "55P03").await;
        fails(&two, "UPDATE jobs SET n = 5 WHERE id = 1", "55P03").await;
        assert_eq!(
            rows(&two, "SELECT n FROM jobs WHERE id = 1").await,
            ["0"],
            "who does not lock does not wait"
        );
        let skip = "SELECT id FROM jobs WHERE id < 4 ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED";
        assert_eq!(rows(&two, skip).await, ["2", "3"]);
        // What a statement by itself has locked it lets go at its end.
        assert_eq!(rows(&one, "SELECT id FROM jobs WHERE id = 2 FOR UPDATE NOWAIT").await, ["2"]);
        run(&one, "UPDATE jobs SET n = n + 1 WHERE id = 1; COMMIT").await;
        assert_eq!(rows(&two, "SELECT n FROM jobs WHERE id = 1 FOR UPDATE NOWAIT").await, ["1"]);
        // Nor does a transaction keep it that is undone, or a session that ends.
        run(&one, "BEGIN; SELECT id FROM jobs WHERE id = 1 FOR UPDATE; ROLLBACK").await;
        run(&one, "BEGIN; SELECT id FROM jobs WHERE id = 2 FOR UPDATE").await;
        fails(&two, "SELECT id FROM jobs WHERE id = 2 FOR UPDATE NOWAIT", "55P03").await;
        drop(one);
        run(&two, "SET lock_timeout = 0; SELECT id FROM jobs WHERE id < 3 FOR UPDATE").await;
    });
}

#[test]
fn a_row_is_seen_as_it_is_when_it_is_locked() {
    with_server(|server| async move {
        let one = define(&server).await;
        let two = server.connect().await;
        for id in 1..=20 {
            run(&one, &format!("BEGIN; SELECT n FROM jobs WHERE id = {id} FOR UPDATE")).await;
            let by_key = format!("SELECT n FROM jobs WHERE id = {id} FOR UPDATE");
            let by_index =
                "SELECT id FROM jobs WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE".to_owned();
            let waiting = if id % 2 == 0 { by_key } else { by_index };
            let change = format!("UPDATE jobs SET n = 7, state = 'done' WHERE id = {id}; COMMIT");
            let (found, ()) = futures_util::future::join(rows(&two, &waiting), run(&one, &change)).await;
            let wanted = if id % 2 == 0 { "7".to_owned() } else { (id + 1).to_string() };
            assert_eq!(found, [wanted], "{waiting}");
        }
        // One that is gone is not seen at all.
        run(&one, "BEGIN; DELETE FROM jobs WHERE id = 50").await;
        let waiting = rows(&two, "SELECT n FROM jobs WHERE id = 50 FOR UPDATE");
        let (found, ()) = futures_util::future::join(waiting, run(&one, "COMMIT")).await;
        assert!(found.is_empty(), "{found:?}");
    });
}

/// A client that reads, computes and writes.
async fn add_one(client: &Client, id: i64) {
    let read = format!("SELECT n FROM jobs WHERE id = {id} FOR UPDATE");
    run(client, "BEGIN").await;
    let n: i64 = rows(client, &read).await[0].parse().expect("a number");
    run(client, &format!("UPDATE jobs SET n = {} WHERE id = {id}; COMMIT", n + 1)).await;
}

#[test]
fn what_is_computed_from_a_locked_row_is_not_lost_and_needs_no_second_attempt() {
    with_server(|server| async move {
        let client = define(&server).await;
        let killer = Killer::start(&server, 11);
        let sessions = (0..SESSIONS).map(|session| {
            let client = server.connect();
            async move {
                let client = client.await;
                for round in 0..20 {
                    add_one(&client, 1 + (session + round) as i64 % 2).await;
                }
            }
        });
        futures_util::future::join_all(sessions).await;
        let total = rows(&client, "SELECT sum(n) FROM jobs").await;
        assert_eq!(total, [format!("{}", SESSIONS * 20)], "{} kills", killer.killed());
    });
}

#[test]
fn jobs_are_taken_by_one_session_each() {
    with_server(|server| async move {
        let client = define(&server).await;
        let next = "SELECT id FROM jobs WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED";
        let sessions = (0..SESSIONS).map(|_| {
            let client = server.connect();
            async move {
                let client = client.await;
                let mut taken = 0;
                loop {
                    run(&client, "BEGIN").await;
                    let found = rows(&client, next).await;
                    let Some(id) = found.first() else {
                        run(&client, "COMMIT").await;
                        return taken;
                    };
                    let done = format!("UPDATE jobs SET state = 'done', n = n + 1 WHERE id = {id}; COMMIT");
                    run(&client, &done).await;
                    taken += 1;
                }
            }
        });
        let taken = futures_util::future::join_all(sessions).await;
        assert_eq!(rows(&client, "SELECT count(*), sum(n), max(n) FROM jobs").await, ["120,120,1"]);
        assert_eq!(taken.iter().sum::<usize>(), 120, "{taken:?}");
    });
}

#[test]
fn jobs_are_taken_by_one_statement_each() {
    with_server(|server| async move {
        let client = define(&server).await;
        let killer = Killer::start(&server, 12);
        let next = "SELECT id FROM jobs WHERE state = 'new' ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED";
        let take = [
            format!("UPDATE jobs SET state = 'done', n = n + 1 WHERE id IN ({next}) RETURNING id"),
            format!(
                "WITH next AS ({next}) UPDATE jobs SET state = 'done', n = n + 1 FROM next WHERE jobs.id = next.id RETURNING jobs.id"
            ),
        ];
        let sessions = (0..SESSIONS).map(|session| {
            let (client, take) = (server.connect(), &take[session % 2]);
            async move {
                let client = client.await;
                let mut taken = Vec::new();
                loop {
                    let found = rows(&client, take).await;
                    if found.is_empty() {
                        return taken;
                    }
                    taken.extend(found);
                }
            }
        });
        let mut taken = futures_util::future::join_all(sessions).await.concat();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 120, "{} kills", killer.killed());
        assert_eq!(rows(&client, "SELECT count(*), sum(n), max(n) FROM jobs").await, ["120,120,1"]);
    });
}

#[test]
fn sessions_do_not_wait_in_a_circle() {
    with_server(|server| async move {
        let one = define(&server).await;
        let two = server.connect().await;
        run(&one, "BEGIN; SELECT 1 FROM jobs WHERE id = 1 FOR UPDATE").await;
        run(&two, "BEGIN; SELECT 1 FROM jobs WHERE id = 2 FOR UPDATE").await;
        let (first, second) = futures_util::future::join(
            one.batch_execute("SELECT 1 FROM jobs WHERE id = 2 FOR UPDATE; COMMIT"),
            two.batch_execute("UPDATE jobs SET n = 1 WHERE id = 1; COMMIT"),
        )
        .await;
        let refused: Vec<_> = [first, second].into_iter().filter_map(Result::err).collect();
        let codes: Vec<_> = refused.iter().filter_map(|error| error.code()).map(|code| code.code()).collect();
        assert_eq!(codes, ["40P01"], "{refused:?}");
    });
}

#[test]
fn a_locked_row_that_another_front_could_change_makes_commit_fail() {
    with_server(|server| async move {
        let one = define(&server).await;
        let two = server.connect().await;
        // Who replaces whole rows does not look for locks, as those of other fronts do not.
        let replace = |id: i64, n: i64| {
            format!(
                "INSERT INTO jobs VALUES ({id}, 'new', {n}) ON CONFLICT (id) DO UPDATE SET state = excluded.state, n = excluded.n"
            )
        };
        run(&one, "BEGIN; SELECT n FROM jobs WHERE id = 1 FOR SHARE").await;
        run(&two, &replace(1, 4)).await;
        assert_eq!(rows(&one, "SELECT n FROM jobs WHERE id = 1").await, ["0"], "it stays what it was");
        fails(&one, "COMMIT", "40001").await;
        run(&one, "BEGIN; SELECT n FROM jobs WHERE id = 1 FOR UPDATE; UPDATE jobs SET n = 9 WHERE id = 2")
            .await;
        run(&two, &replace(1, 5)).await;
        fails(&one, "COMMIT", "40001").await;
        assert_eq!(rows(&two, "SELECT n FROM jobs WHERE id < 3 ORDER BY id").await, ["5", "0"]);
        // A savepoint that is rolled back to takes with it what was locked after it.
        run(&one, "BEGIN; SAVEPOINT s; SELECT n FROM jobs WHERE id = 1 FOR UPDATE; ROLLBACK TO s").await;
        run(&two, &replace(1, 6)).await;
        run(&one, "COMMIT").await;
        // A lock by itself writes nothing.
        run(&one, "BEGIN; SELECT n FROM jobs WHERE id < 9 FOR UPDATE; COMMIT").await;
        assert_eq!(rows(&two, "SELECT n FROM jobs WHERE id = 1").await, ["6"]);
    });
}

#[test]
fn cursors_and_prepared_statements_lock_too() {
    with_server(|server| async move {
        let one = define(&server).await;
        let two = server.connect().await;
        let select =
            one.prepare("SELECT id FROM jobs WHERE id = $1 FOR UPDATE NOWAIT").await.expect("prepared");
        run(&two, "BEGIN; DECLARE c CURSOR FOR SELECT id FROM jobs WHERE id < 3 ORDER BY id FOR UPDATE")
            .await;
        assert_eq!(rows(&two, "FETCH c").await, ["1"]);
        let error = one.query(&select, &[&1i64]).await.expect_err("it is locked");
        assert_eq!(error.code().map(|code| code.code()), Some("55P03"));
        let error = error.as_db_error().expect("the server says so");
        assert_eq!(error.message(), "could not obtain lock on row in relation \"jobs\"");
        run(&two, "ROLLBACK; PREPARE p AS SELECT id FROM jobs WHERE id = $1 FOR UPDATE; BEGIN").await;
        assert_eq!(rows(&two, "EXECUTE p(3)").await, ["3"]);
        one.query(&select, &[&3i64]).await.expect_err("it is locked");
        assert_eq!(one.query(&select, &[&1i64]).await.expect("it is not").len(), 1);
        // A statement that waits can be broken off, and has then locked nothing.
        run(&one, "SET statement_timeout = '20ms'").await;
        fails(&one, "SELECT id FROM jobs WHERE id = 3 FOR UPDATE", "57014").await;
        run(&two, "COMMIT").await;
        assert_eq!(one.query(&select, &[&3i64]).await.expect("it is free").len(), 1);
    });
}
