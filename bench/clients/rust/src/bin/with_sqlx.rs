//! sqlx: its pool, cached statements with binary results, transactions.

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::types::{BigDecimal, Json, Uuid};
use sqlx::{Connection, Error, Row};
use std::str::FromStr;
use time::macros::{date, datetime};

type Checked = Result<(), String>;

fn text(error: Error) -> String {
    match error.as_database_error() {
        Some(error) => format!("({}) {}", error.code().unwrap_or_default(), error.message()),
        None => error.to_string(),
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Checked {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
}

fn say(failed: &mut usize, name: &str, outcome: Checked) {
    match outcome {
        Ok(()) => println!("ok {name}"),
        Err(error) => {
            *failed += 1;
            println!("not ok {name}: {}", error.replace('\n', " / "));
        }
    }
}

async fn refresh(pool: &PgPool) -> Checked {
    if std::env::var_os("REFRESH").is_none() {
        return Ok(());
    }
    sqlx::raw_sql("REFRESH MATERIALIZED VIEW sx_count").execute(pool).await.map(|_| ()).map_err(text)
}

async fn define(pool: &PgPool) -> Checked {
    let sql = "DROP TABLE IF EXISTS sx_vote CASCADE;
         DROP TABLE IF EXISTS sx_types CASCADE;
         CREATE TABLE sx_vote (story bigint, who text, PRIMARY KEY (story, who));
         CREATE MATERIALIZED VIEW sx_count AS SELECT story, count(*) AS n FROM sx_vote GROUP BY story;
         CREATE TABLE sx_types (id int PRIMARY KEY, b boolean, l bigint, d double precision, n numeric(8,2), t text,
             y bytea, u uuid, da date, tz timestamptz, j jsonb)";
    sqlx::raw_sql(sql).execute(pool).await.map(|_| ()).map_err(text)
}

async fn types(pool: &PgPool) -> Checked {
    let u = Uuid::from_str("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").map_err(|error| error.to_string())?;
    let n = BigDecimal::from_str("12.50").map_err(|error| error.to_string())?;
    let j = serde_json::json!({"a": [1, null]});
    let (da, tz) = (date!(2024 - 02 - 29), datetime!(2024-02-29 12:30 UTC));
    let insert = "INSERT INTO sx_types VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let query =
        sqlx::query(insert).bind(1i32).bind(true).bind(1i64 << 40).bind(0.1f64).bind(n.clone()).bind("é");
    let query = query.bind(&b"\0\xff"[..]).bind(u).bind(da).bind(tz).bind(Json(j.clone()));
    equal(query.execute(pool).await.map_err(text)?.rows_affected(), 1)?;
    let row =
        sqlx::query("SELECT * FROM sx_types WHERE id = $1").bind(1i32).fetch_one(pool).await.map_err(text)?;
    equal(
        (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5)),
        (true, 1i64 << 40, 0.1f64, n, "é".to_owned()),
    )?;
    equal((row.get(6), row.get(7), row.get(8), row.get(9)), (b"\0\xff".to_vec(), u, da, tz))?;
    equal(row.get::<Json<serde_json::Value>, _>(10).0, j)?;
    sqlx::query("INSERT INTO sx_types (id) VALUES (2)").execute(pool).await.map_err(text)?;
    let row = sqlx::query("SELECT b, t, n FROM sx_types WHERE id = 2").fetch_one(pool).await.map_err(text)?;
    equal((row.get(0), row.get(1), row.get(2)), (None::<bool>, None::<String>, None::<BigDecimal>))
}

async fn votes(pool: &PgPool) -> Checked {
    for number in 0..100i64 {
        let query =
            sqlx::query("INSERT INTO sx_vote VALUES ($1, $2)").bind(number % 5).bind(format!("u{number}"));
        query.execute(pool).await.map_err(text)?;
    }
    refresh(pool).await?;
    for story in 0..5i64 {
        let count: i64 = sqlx::query_scalar("SELECT n FROM sx_count WHERE story = $1")
            .bind(story)
            .fetch_one(pool)
            .await
            .map_err(text)?;
        equal(count, 20)?;
    }
    Ok(())
}

async fn transaction(pool: &PgPool) -> Checked {
    let mut transaction = pool.begin().await.map_err(text)?;
    sqlx::query("INSERT INTO sx_vote VALUES (40, 'a')").execute(&mut *transaction).await.map_err(text)?;
    transaction.rollback().await.map_err(text)?;
    let mut outer = pool.begin().await.map_err(text)?;
    sqlx::query("INSERT INTO sx_vote VALUES (41, 'a')").execute(&mut *outer).await.map_err(text)?;
    let mut inner = outer.begin().await.map_err(text)?;
    sqlx::query("INSERT INTO sx_vote VALUES (42, 'a')").execute(&mut *inner).await.map_err(text)?;
    inner.rollback().await.map_err(text)?;
    outer.commit().await.map_err(text)?;
    let found: Vec<i64> = sqlx::query_scalar("SELECT story FROM sx_vote WHERE story >= 40")
        .fetch_all(pool)
        .await
        .map_err(text)?;
    equal(found, vec![41])
}

async fn errors(pool: &PgPool) -> Checked {
    for (sql, state) in [
        ("SELECT * FROM missing", "42P01"),
        ("SELECT 1 / 0", "22012"),
        ("INSERT INTO sx_vote VALUES (41, 'a')", "23505"),
    ] {
        match sqlx::query(sql).execute(pool).await {
            Err(error) => {
                let found =
                    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
                equal(found.as_deref(), Some(state))?;
            }
            Ok(_) => return Err(format!("{sql}: no error")),
        }
    }
    Ok(())
}

async fn copy(pool: &PgPool) -> Checked {
    let mut connection = pool.acquire().await.map_err(text)?;
    let mut copy = connection.copy_in_raw("COPY sx_vote FROM STDIN (FORMAT csv)").await.map_err(text)?;
    copy.send(&b"50,a\n50,b\n"[..]).await.map_err(text)?;
    equal(copy.finish().await.map_err(text)?, 2)
}

async fn run(url: &str) -> Result<usize, String> {
    let pool = PgPoolOptions::new().max_connections(4).connect(url).await.map_err(text)?;
    let mut failed = 0;
    say(&mut failed, "define", define(&pool).await);
    say(&mut failed, "types and nulls", types(&pool).await);
    say(&mut failed, "a view shows what was just written", votes(&pool).await);
    say(&mut failed, "transaction", transaction(&pool).await);
    say(&mut failed, "errors", errors(&pool).await);
    say(&mut failed, "copy", copy(&pool).await);
    say(&mut failed, "drop", {
        let sql = "DROP TABLE sx_vote CASCADE; DROP TABLE sx_types";
        sqlx::raw_sql(sql).execute(&pool).await.map(|_| ()).map_err(text)
    });
    Ok(failed)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::var("DATABASE_URL").unwrap_or_default();
    match run(&url).await {
        Ok(0) => {}
        Ok(_) => std::process::exit(1),
        Err(error) => {
            println!("not ok connect: {error}");
            std::process::exit(1);
        }
    }
}
