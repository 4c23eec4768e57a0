//! tokio-postgres: binary parameters and results, pipelining, COPY, transactions.

use futures_util::{SinkExt, future::try_join_all, pin_mut};
use std::fmt::Display;
use time::macros::{date, datetime};
use tokio_postgres::{Client, Error, NoTls};

type Checked = Result<(), String>;

fn text(error: Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("({}) {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Checked {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
}

fn say(failed: &mut usize, name: impl Display, outcome: Checked) {
    match outcome {
        Ok(()) => println!("ok {name}"),
        Err(error) => {
            *failed += 1;
            println!("not ok {name}: {}", error.replace('\n', " / "));
        }
    }
}

async fn connect() -> Result<Client, String> {
    let url = std::env::var("DATABASE_URL").map_err(|error| error.to_string())?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.map_err(text)?;
    tokio::spawn(connection);
    Ok(client)
}

async fn refresh(client: &Client) -> Checked {
    if std::env::var_os("REFRESH").is_none() {
        return Ok(());
    }
    client.batch_execute("REFRESH MATERIALIZED VIEW tp_count").await.map_err(text)
}

async fn define(client: &Client) -> Checked {
    let sql = "DROP TABLE IF EXISTS tp_vote CASCADE;
         DROP TABLE IF EXISTS tp_types CASCADE;
         CREATE TABLE tp_vote (story bigint, who text, PRIMARY KEY (story, who));
         CREATE MATERIALIZED VIEW tp_count AS SELECT story, count(*) AS n FROM tp_vote GROUP BY story;
         CREATE TABLE tp_types (id int PRIMARY KEY, b boolean, s smallint, l bigint, r real, d double precision, t text,
             y bytea, u uuid, da date, ts timestamp, tz timestamptz, j jsonb)";
    client.batch_execute(sql).await.map_err(text)
}

async fn types(client: &Client) -> Checked {
    let u = uuid::uuid!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    let j = serde_json::json!({"a": [1, null, "é"]});
    let insert = "INSERT INTO tp_types VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let (da, ts, tz) =
        (date!(2024 - 02 - 29), datetime!(2024-02-29 12:30:00.125), datetime!(2024-02-29 12:30 UTC));
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 13] =
        [&1i32, &true, &-7i16, &(1i64 << 40), &1.5f32, &0.1f64, &"é", &&b"\0\xff"[..], &u, &da, &ts, &tz, &j];
    equal(client.execute(insert, &parameters).await.map_err(text)?, 1)?;
    let row = client.query_one("SELECT * FROM tp_types WHERE id = $1", &[&1i32]).await.map_err(text)?;
    equal(
        (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5)),
        (true, -7i16, 1i64 << 40, 1.5f32, 0.1f64),
    )?;
    equal((row.get(6), row.get(7), row.get(8)), ("é", &b"\0\xff"[..], u))?;
    equal((row.get(9), row.get(10), row.get(11), row.get(12)), (da, ts, tz, j))?;
    client
        .execute("INSERT INTO tp_types (id, t) VALUES ($1, $2)", &[&2i32, &None::<&str>])
        .await
        .map_err(text)?;
    let row =
        client.query_one("SELECT t, l, tz IS NULL FROM tp_types WHERE id = 2", &[]).await.map_err(text)?;
    equal((row.get::<_, Option<&str>>(0), row.get::<_, Option<i64>>(1), row.get(2)), (None, None, true))
}

async fn votes(client: &Client) -> Checked {
    let insert = client.prepare("INSERT INTO tp_vote VALUES ($1, $2)").await.map_err(text)?;
    for number in 0..100i64 {
        client.execute(&insert, &[&(number % 5), &format!("u{number}")]).await.map_err(text)?;
    }
    refresh(client).await?;
    let row = client.query_one("SELECT n FROM tp_count WHERE story = $1", &[&3i64]).await.map_err(text)?;
    equal(row.get(0), 20i64)
}

async fn pipelined(client: &Client) -> Checked {
    let select = client.prepare("SELECT n FROM tp_count WHERE story = $1").await.map_err(text)?;
    let keys: Vec<i64> = (0..200).map(|number| number % 5).collect();
    let rows = try_join_all(keys.iter().map(|key| async { client.query_one(&select, &[key]).await }));
    for row in rows.await.map_err(text)? {
        equal(row.get(0), 20i64)?;
    }
    Ok(())
}

async fn copy(client: &Client) -> Checked {
    let sink = client.copy_in("COPY tp_vote FROM STDIN").await.map_err(text)?;
    pin_mut!(sink);
    for number in 0..1000 {
        let line = format!("30\tc{number}\n");
        sink.send(std::io::Cursor::new(line.into_bytes())).await.map_err(text)?;
    }
    equal(sink.finish().await.map_err(text)?, 1000)?;
    refresh(client).await?;
    let row = client.query_one("SELECT n FROM tp_count WHERE story = 30", &[]).await.map_err(text)?;
    equal(row.get(0), 1000i64)
}

async fn transaction(client: &mut Client) -> Checked {
    let transaction = client.transaction().await.map_err(text)?;
    transaction.execute("INSERT INTO tp_vote VALUES (40, 'a')", &[]).await.map_err(text)?;
    transaction.rollback().await.map_err(text)?;
    let transaction = client.transaction().await.map_err(text)?;
    transaction.execute("INSERT INTO tp_vote VALUES (41, 'a')", &[]).await.map_err(text)?;
    transaction.commit().await.map_err(text)?;
    let rows = client.query("SELECT story FROM tp_vote WHERE story >= 40", &[]).await.map_err(text)?;
    equal(rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), vec![41])
}

async fn portal(client: &mut Client) -> Checked {
    let transaction = client.transaction().await.map_err(text)?;
    let portal = transaction.bind("SELECT who FROM tp_vote WHERE story = 30", &[]).await.map_err(text)?;
    let first = transaction.query_portal(&portal, 300).await.map_err(text)?.len();
    let rest = transaction.query_portal(&portal, 0).await.map_err(text)?.len();
    equal((first, rest), (300, 700))?;
    drop(portal);
    transaction.commit().await.map_err(text)
}

async fn errors(client: &Client) -> Checked {
    for (sql, state) in [
        ("SELECT * FROM missing", "42P01"),
        ("SELECT 1 / 0", "22012"),
        ("INSERT INTO tp_vote VALUES (41, 'a')", "23505"),
    ] {
        match client.execute(sql, &[]).await {
            Err(error) => equal(error.code().map(|code| code.code().to_owned()), Some(state.to_owned()))?,
            Ok(_) => return Err(format!("{sql}: no error")),
        }
    }
    Ok(())
}

async fn run() -> Result<usize, String> {
    let mut client = connect().await?;
    let mut failed = 0;
    say(&mut failed, "define", define(&client).await);
    say(&mut failed, "types and nulls", types(&client).await);
    say(&mut failed, "a view shows what was just written", votes(&client).await);
    say(&mut failed, "pipelined", pipelined(&client).await);
    say(&mut failed, "copy", copy(&client).await);
    say(&mut failed, "transaction", transaction(&mut client).await);
    say(&mut failed, "portal in pieces", portal(&mut client).await);
    say(&mut failed, "errors", errors(&client).await);
    say(
        &mut failed,
        "drop",
        client.batch_execute("DROP TABLE tp_vote CASCADE; DROP TABLE tp_types").await.map_err(text),
    );
    Ok(failed)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match run().await {
        Ok(0) => {}
        Ok(_) => std::process::exit(1),
        Err(error) => {
            println!("not ok connect: {error}");
            std::process::exit(1);
        }
    }
}
