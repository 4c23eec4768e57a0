//! The workloads, each as a rate on one server.

use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use tokio_postgres::{Client, Statement};

use super::setup::{STORIES, Server, copy, wrong};
use crate::error::Error;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    Lookup,
    Pipelined,
    Insert { connections: u32 },
    Copy,
}

/// Lookups under way at once when they are pipelined.
const DEPTH: usize = 64;

impl Workload {
    pub(super) const ALL: [Workload; 6] = [
        Workload::Lookup,
        Workload::Pipelined,
        Workload::Insert { connections: 1 },
        Workload::Insert { connections: 8 },
        Workload::Insert { connections: 64 },
        Workload::Copy,
    ];

    /// Operations a second.
    pub(super) async fn rate(
        self,
        server: &Server,
        length: Duration,
        round: u32,
        flights: &[u8],
    ) -> Result<f64, Error> {
        match self {
            Workload::Lookup => lookups(server, length, 1).await,
            Workload::Pipelined => lookups(server, length, DEPTH).await,
            Workload::Insert { connections } => inserts(server, length, round, connections).await,
            Workload::Copy => copied(server, flights).await,
        }
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Workload::Lookup => f.write_str("lookup"),
            Workload::Pipelined => f.write_str("pipelined"),
            Workload::Insert { connections } => write!(f, "insert {connections}"),
            Workload::Copy => f.write_str("copy"),
        }
    }
}

async fn lookups(server: &Server, length: Duration, depth: usize) -> Result<f64, Error> {
    let client = server.connect().await?;
    let select = client.prepare("SELECT n FROM bench_count WHERE story = $1").await?;
    let mut rng = Rng::with_seed(1);
    let mut under_way = FuturesUnordered::new();
    let start = Instant::now();
    let mut done = 0u64;
    while start.elapsed() < length {
        while under_way.len() < depth {
            under_way.push(look_up(&client, &select, rng.i64(0..STORIES)));
        }
        under_way.next().await.expect("some are under way")?;
        done += 1;
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

async fn look_up(client: &Client, select: &Statement, story: i64) -> Result<(), Error> {
    let row = client.query_one(select, &[&story]).await?;
    match row.get::<_, i64>(0) {
        1.. => Ok(()),
        count => Err(wrong(format!("story {story} has {count} votes"))),
    }
}

async fn inserts(server: &Server, length: Duration, round: u32, connections: u32) -> Result<f64, Error> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let client = server.connect().await?;
        let insert = client.prepare("INSERT INTO bench_vote VALUES ($1, $2)").await?;
        clients.push((client, insert));
    }
    let start = Instant::now();
    let workers = clients.iter().zip(1i64..).map(|((client, insert), number)| async move {
        // Nobody votes twice: the connection, their number and the round make a voter.
        let first = (i64::from(round) << 48) + (i64::from(connections) << 40) + (number << 32);
        let mut rng = Rng::with_seed(number as u64);
        let mut done = 0u64;
        while start.elapsed() < length {
            let voter = first + done as i64;
            client.execute(insert, &[&rng.i64(0..STORIES), &voter]).await?;
            done += 1;
        }
        Ok::<u64, Error>(done)
    });
    let done: u64 = try_join_all(workers).await?.iter().sum();
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

async fn copied(server: &Server, flights: &[u8]) -> Result<f64, Error> {
    server.define_flights().await?;
    let client = server.connect().await?;
    let start = Instant::now();
    let rows = copy(&client, "COPY bench_flight FROM STDIN (FORMAT csv)", flights).await?;
    // The views are right when the next statement reads them: that is part of it.
    let row = client.query_one("SELECT n FROM bench_carrier WHERE carrier = 'UA'", &[]).await?;
    let seconds = start.elapsed().as_secs_f64();
    if row.get::<_, i64>(0) == 0 {
        return Err(wrong("no flights of UA".to_owned()));
    }
    Ok(rows as f64 / seconds)
}
