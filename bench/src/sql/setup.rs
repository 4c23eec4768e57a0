//! The tables of the comparison, on either server.

use std::fmt::Write;
use std::io::Cursor;

use futures_util::SinkExt;
use tokio_postgres::{Client, NoTls};

use crate::error::Error;

/// Stories that are voted on.
pub(super) const STORIES: i64 = 1_000;
/// Votes that are there before anything is measured.
const VOTES_BEFORE: i64 = 100_000;

/// A server, and which of the two it is.
pub(super) struct Server {
    url: String,
    pub(super) is_postgres: bool,
}

/// Votes, on both.
const VOTES: &str = "CREATE TABLE bench_vote (story bigint, who bigint, PRIMARY KEY (story, who))";

/// The counts of votes in Sakia.
const COUNT: &str =
    "CREATE MATERIALIZED VIEW bench_count AS SELECT story, count(*) AS n FROM bench_vote GROUP BY story";

/// The same in PostgreSQL.
const COUNT_BY_TRIGGER: &str = "
    CREATE TABLE bench_count (story bigint PRIMARY KEY, n bigint);
    CREATE FUNCTION bench_vote_counts() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO bench_count VALUES (NEW.story, 1)
                ON CONFLICT (story) DO UPDATE SET n = bench_count.n + 1;
            RETURN NULL;
        END $$;
    CREATE TRIGGER bench_vote_counted AFTER INSERT ON bench_vote
        FOR EACH ROW EXECUTE FUNCTION bench_vote_counts()";

/// Flights, on both.
const FLIGHTS: &str = "
    CREATE TABLE bench_flight (
        id int PRIMARY KEY, year smallint, month smallint, day smallint, dep_time int, sched_dep_time int,
        dep_delay int, arr_time int, sched_arr_time int, arr_delay int, carrier text, flight int, tailnum text,
        origin text, dest text, air_time int, distance int)";

/// Questions as those of the demo, which Sakia keeps answered.
const VIEWS: [&str; 5] = [
    "CREATE MATERIALIZED VIEW bench_carrier AS SELECT carrier, count(*) AS n, avg(arr_delay) AS delay,
        count(*) FILTER (WHERE arr_delay > 15) AS late FROM bench_flight GROUP BY carrier",
    "CREATE MATERIALIZED VIEW bench_route AS SELECT origin, dest, count(*) AS n, max(air_time) AS longest
        FROM bench_flight GROUP BY origin, dest",
    "CREATE MATERIALIZED VIEW bench_traffic AS SELECT origin, month, day, count(*) AS n
        FROM bench_flight GROUP BY origin, month, day",
    "CREATE MATERIALIZED VIEW bench_hour AS SELECT sched_dep_time / 100 AS hour, avg(dep_delay) AS delay
        FROM bench_flight GROUP BY sched_dep_time / 100",
    "CREATE MATERIALIZED VIEW bench_farthest AS SELECT id, carrier, dest, distance FROM bench_flight
        ORDER BY distance DESC, id LIMIT 10",
];

/// One of the counts, as PostgreSQL keeps it by itself: less than Sakia's views do.
const CARRIERS_BY_TRIGGER: &str = "
    CREATE TABLE bench_carrier (carrier text PRIMARY KEY, n bigint);
    CREATE FUNCTION bench_flight_counts() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO bench_carrier SELECT carrier, count(*) FROM added GROUP BY carrier
                ON CONFLICT (carrier) DO UPDATE SET n = bench_carrier.n + excluded.n;
            RETURN NULL;
        END $$;
    CREATE TRIGGER bench_flight_counted AFTER INSERT ON bench_flight
        REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION bench_flight_counts()";

impl Server {
    pub(super) fn new(url: &str, is_postgres: bool) -> Server {
        Server { url: url.to_owned(), is_postgres }
    }

    /// A connection, driven by a task of its own.
    pub(super) async fn connect(&self) -> Result<Client, Error> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        // What ends the connection shows in the next statement.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Makes the votes, anew if they are there, and what counts them.
    pub(super) async fn define_votes(&self) -> Result<(), Error> {
        self.remove_votes().await?;
        let client = self.connect().await?;
        client.batch_execute(VOTES).await?;
        client.batch_execute(if self.is_postgres { COUNT_BY_TRIGGER } else { COUNT }).await?;
        let mut lines = String::new();
        for vote in 0..VOTES_BEFORE {
            writeln!(lines, "{}\t{}", vote % STORIES, vote / STORIES).expect("a string takes all");
        }
        copy(&client, "COPY bench_vote FROM STDIN", lines.as_bytes()).await?;
        // What this session has written it reads; what it has read of all stories, others read as well.
        let select = client.prepare("SELECT n FROM bench_count WHERE story = $1").await?;
        for story in 0..STORIES {
            let row = client.query_one(&select, &[&story]).await?;
            let (found, wanted) = (row.get::<_, i64>(0), VOTES_BEFORE / STORIES);
            if found != wanted {
                return Err(wrong(format!("story {story} has {found} votes instead of {wanted}")));
            }
        }
        Ok(())
    }

    /// Makes the table of flights, anew if it is there, and what is asked of it.
    pub(super) async fn define_flights(&self) -> Result<(), Error> {
        self.remove_flights().await?;
        let client = self.connect().await?;
        client.batch_execute(FLIGHTS).await?;
        if self.is_postgres {
            client.batch_execute(CARRIERS_BY_TRIGGER).await?;
        } else {
            for view in VIEWS {
                client.batch_execute(view).await?;
            }
        }
        Ok(())
    }

    /// Drops all that was made.
    pub(super) async fn remove(&self) -> Result<(), Error> {
        self.remove_votes().await?;
        self.remove_flights().await
    }

    async fn remove_votes(&self) -> Result<(), Error> {
        let client = self.connect().await?;
        client.batch_execute("DROP TABLE IF EXISTS bench_vote CASCADE").await?;
        if self.is_postgres {
            client
                .batch_execute("DROP TABLE IF EXISTS bench_count; DROP FUNCTION IF EXISTS bench_vote_counts")
                .await?;
        }
        Ok(())
    }

    async fn remove_flights(&self) -> Result<(), Error> {
        let client = self.connect().await?;
        client.batch_execute("DROP TABLE IF EXISTS bench_flight CASCADE").await?;
        if self.is_postgres {
            let rest = "DROP TABLE IF EXISTS bench_carrier; DROP FUNCTION IF EXISTS bench_flight_counts";
            client.batch_execute(rest).await?;
        }
        Ok(())
    }
}

/// An answer that cannot be.
pub(super) fn wrong(reason: String) -> Error {
    Error::Engine { action: "compare", reason }
}

/// Copies lines in, as many bytes a message as clients use to send.
pub(super) async fn copy(client: &Client, sql: &str, lines: &[u8]) -> Result<u64, Error> {
    const PIECE_BYTES: usize = 64 << 10;
    let sink = client.copy_in(sql).await?;
    let mut sink = std::pin::pin!(sink);
    for piece in lines.chunks(PIECE_BYTES) {
        sink.send(Cursor::new(piece.to_vec())).await?;
    }
    Ok(sink.finish().await?)
}
