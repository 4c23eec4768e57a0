//! Ranges of indexes through the wire: page by page, over several shards, in transactions, and while shards die.

use tokio_postgres::Client;

use crate::server::{Server, rows, with_server};

/// Posts of some users, each at another time, and what is known of them here: user, time, number.
async fn posts(client: &Client, count: i64) -> Vec<(i64, i64, i64)> {
    client
        .batch_execute(
            "CREATE TABLE posts (id bigint PRIMARY KEY, who bigint, made bigint, body text);
             CREATE INDEX by_who ON posts (who, made);
             CREATE INDEX by_time ON posts (made)",
        )
        .await
        .expect("defined");
    let all: Vec<(i64, i64, i64)> = (0..count).map(|id| (id % 7, id * 37 % 10_007, id)).collect();
    for some in all.chunks(500) {
        let values: Vec<String> = some
            .iter()
            .map(|(who, made, id)| format!("({id}, {who}, {made}, '{}')", "x".repeat((id % 90) as usize)))
            .collect();
        client.batch_execute(&format!("INSERT INTO posts VALUES {}", values.join(", "))).await.expect("new");
    }
    all
}

#[test]
fn pages_by_key_give_all_rows_once() {
    with_server(|server| async move {
        let client = server.connect().await;
        let mut all = posts(&client, 3000).await;
        let page = "SELECT id, made FROM posts WHERE who = $1 AND made < $2 ORDER BY made DESC LIMIT 20";
        let page = client.prepare(page).await.expect("prepared");
        all.sort_by_key(|(_, made, _)| -made);
        for who in 0..8i64 {
            let (mut found, mut before) = (Vec::new(), i64::MAX);
            loop {
                let rows = client.query(&page, &[&who, &before]).await.expect("a page");
                assert!(rows.len() <= 20);
                let Some(last) = rows.last() else { break };
                before = last.get(1);
                found.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
            }
            let expected = all.iter().filter(|post| post.0 == who).map(|post| post.2);
            assert_eq!(found, expected.collect::<Vec<_>>(), "posts of {who}");
        }
        assert!(client.query(&page, &[&Option::<i64>::None, &5i64]).await.expect("no rows").is_empty());
        assert!(client.query(&page, &[&1i64, &Option::<i64>::None]).await.expect("no rows").is_empty());
        // Over all shards.
        let next = "SELECT made, id FROM posts WHERE made > $1 ORDER BY made LIMIT 70 OFFSET 1";
        let next = client.prepare(next).await.expect("prepared");
        all.reverse();
        for after in [-1i64, 500, 9000, 10_005] {
            let found = client.query(&next, &[&after]).await.expect("rows");
            let found: Vec<i64> = found.iter().map(|row| row.get(1)).collect();
            let expected = all.iter().filter(|post| post.1 > after).skip(1).take(70).map(|post| post.2);
            assert_eq!(found, expected.collect::<Vec<_>>(), "after {after}");
        }
        // More than a piece of each shard, and conditions that most rows do not meet.
        let wide = rows(&client, "SELECT id FROM posts WHERE made >= 0 ORDER BY made").await;
        let expected: Vec<String> = all.iter().map(|post| post.2.to_string()).collect();
        assert_eq!(wide, expected);
        let few = "SELECT id FROM posts WHERE made >= 100 AND body = 'xxx' AND who = 3 ORDER BY made LIMIT 4 OFFSET 1";
        let expected = all.iter().filter(|post| post.1 >= 100 && post.2 % 90 == 3 && post.0 == 3);
        let expected: Vec<String> = expected.skip(1).take(4).map(|post| post.2.to_string()).collect();
        assert_eq!(rows(&client, few).await, expected);
        let several = "SELECT id FROM posts WHERE who IN (1, 5, 3, 99) AND made BETWEEN 50 AND 900 ORDER BY made DESC LIMIT 33";
        let expected =
            all.iter().rev().filter(|post| [1, 3, 5].contains(&post.0) && (50..=900).contains(&post.1));
        let expected: Vec<String> = expected.take(33).map(|post| post.2.to_string()).collect();
        assert_eq!(rows(&client, several).await, expected);
    });
}

#[test]
fn a_transaction_sees_what_it_has_written() {
    with_server(|server| async move {
        let (client, other) = (server.connect().await, server.connect().await);
        posts(&client, 100).await;
        let top = "SELECT id, made FROM posts WHERE who = 2 AND made > 400 ORDER BY made DESC LIMIT 3";
        let before = rows(&client, top).await;
        assert_eq!(before, ["93,3441", "86,3182", "79,2923"]);
        client
            .batch_execute(
                "BEGIN; INSERT INTO posts VALUES (1000, 2, 5000, 'new'); UPDATE posts SET made = 1 WHERE id = 93;
                 DELETE FROM posts WHERE who = 2 AND made BETWEEN 2900 AND 3000; UPDATE posts SET who = 2 WHERE id = 99",
            )
            .await
            .expect("held");
        assert_eq!(rows(&client, top).await, ["1000,5000", "99,3663", "86,3182"]);
        let least = "SELECT id FROM posts WHERE who = 2 AND made < 600 ORDER BY made LIMIT 2";
        assert_eq!(rows(&client, least).await, ["93", "2"]);
        assert_eq!(rows(&client, "SELECT count(*) FROM posts WHERE made >= 3600").await, ["3"]);
        assert_eq!(rows(&other, top).await, before);
        client.batch_execute("ROLLBACK").await.expect("undone");
        assert_eq!(rows(&client, top).await, before);
        client
            .batch_execute(
                "BEGIN; SELECT id FROM posts WHERE who = 2 AND made > 3000 FOR UPDATE; \
                            UPDATE posts SET body = 'seen' WHERE who = 2 AND made > 3000; COMMIT",
            )
            .await
            .expect("written");
        let seen = "SELECT id FROM posts WHERE who = 2 AND made > 0 AND body = 'seen' ORDER BY made";
        assert_eq!(rows(&client, seen).await, ["86", "93"]);
    });
}

#[test]
fn what_is_written_is_in_the_range_at_once_while_shards_die() {
    with_server(|server| async move {
        let client = server.connect().await;
        posts(&client, 10).await;
        let insert =
            client.prepare("INSERT INTO posts VALUES ($1, $2, $3, 'later')").await.expect("prepared");
        let newest = "SELECT id FROM posts WHERE who = $1 AND made > 20000 ORDER BY made DESC LIMIT 1";
        let newest = client.prepare(newest).await.expect("prepared");
        let last = "SELECT id FROM posts WHERE made > 20000 ORDER BY made DESC LIMIT 1";
        let last = client.prepare(last).await.expect("prepared");
        for number in 0..120i64 {
            let (id, who, made) = (1000 + number, number % 5, 30_000 + number);
            if number % 40 == 20 {
                kill_one(&server, &client, (number / 40 % 2) as usize).await;
            }
            client.execute(&insert, &[&id, &who, &made]).await.expect("new");
            assert_eq!(client.query_one(&newest, &[&who]).await.expect("a row").get::<_, i64>(0), id);
            assert_eq!(client.query_one(&last, &[]).await.expect("a row").get::<_, i64>(0), id);
        }
        let after = "CREATE INDEX by_body ON posts (body, who, id)";
        client.batch_execute(after).await.expect("it is filled with the rows that are there");
        let found = "SELECT id FROM posts WHERE body = 'later' AND who = 3 AND id < 1020 ORDER BY id DESC";
        assert_eq!(rows(&client, found).await, ["1018", "1013", "1008", "1003"]);
    });
}

/// Kills the process that a shard has now.
async fn kill_one(server: &Server, client: &Client, shard: usize) {
    let shown = client.query("SHOW SHARDS", &[]).await.expect("always answered");
    server.kill(&shown[shard].get::<_, i64>("pid").to_string());
}

#[test]
fn cursors_and_copies_of_ranges() {
    with_server(|server| async move {
        let client = server.connect().await;
        posts(&client, 50).await;
        client
            .batch_execute(
                "BEGIN; DECLARE c CURSOR FOR SELECT id FROM posts WHERE who = 1 AND made > 500 ORDER BY made",
            )
            .await
            .expect("declared");
        assert_eq!(rows(&client, "FETCH 2 FROM c").await, ["15", "22"]);
        assert_eq!(rows(&client, "FETCH 9 FROM c").await, ["29", "36", "43"]);
        client.batch_execute("COMMIT").await.expect("over");
        let explained = rows(&client, "EXPLAIN SELECT id FROM posts WHERE who = 1 AND made > 500").await;
        assert!(explained[0].contains("a range of (made) where (who) is given"), "{explained:?}");
    });
}
