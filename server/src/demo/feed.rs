//! The writer of the demo: clients that stream the timeline through SQL and keep account of what is acknowledged.
//!
//! Rows go out in the timeline's order at the pace asked for; a write counts only when it is acknowledged. New flights
//! arrive by COPY, departures and arrivals by INSERT ... ON CONFLICT, cancellations by DELETE. A shard's death shows as a
//! pause, never as an error, and what the server says it changed must be what was written: a row inserted twice or a deletion
//! of nothing would show here already.
//!
//! Each flight belongs to one of a few connections, so its own events keep their order.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{SinkExt, pin_mut};
use operators::expr::calendar::datum_text;
use operators::value::Datum;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Statement};

use super::client;
use super::data::{Data, Minute};
use super::oracle::Value;
use super::tables::{self, Table};
use super::timeline::{Event, Timeline, Write};
use crate::cli::Pace;
use crate::error::Error;

/// Rows of the largest statement, as a power of two: with thirteen columns that is a fortieth of the parameters that
/// a statement may have.
const ROWS_LOG_MAX: u32 = 7;
/// Bytes of rows that are copied in one message, as clients do it.
const COPY_BYTES: usize = 64 << 10;
/// A server that says nothing for longer than this ends the run; restarts take well under a second.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What the writer tells the other threads while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows acknowledged.
    pub acknowledged: AtomicU64,
    /// When the newest row that was sent happened, in minutes of New York.
    pub at: AtomicI32,
    /// The others ask the writer to end.
    pub cancelled: AtomicBool,
}

impl Progress {
    /// When the newest row that was sent happened.
    pub fn at(&self) -> Minute {
        Minute(self.at.load(Ordering::Relaxed))
    }
}

/// What the writer has done.
#[derive(Debug)]
pub struct Fed {
    /// For each event of the timeline, whether it was acknowledged.
    pub acknowledged: Vec<bool>,
    /// From the first write to the last acknowledgement.
    pub elapsed: Duration,
    /// Answers that were not what they must be, in words.
    pub complaints: Vec<String>,
}

impl Fed {
    /// The events that were acknowledged, in the order in which they were written.
    pub fn events<'a>(&'a self, timeline: &'a Timeline) -> impl Iterator<Item = &'a Event> {
        timeline
            .events()
            .iter()
            .zip(&self.acknowledged)
            .filter(|(_, acknowledged)| **acknowledged)
            .map(|(event, _)| event)
    }

    /// How many rows were acknowledged.
    pub fn rows(&self) -> usize {
        self.acknowledged.iter().filter(|acknowledged| **acknowledged).count()
    }
}

/// Makes the tables and views, and copies the tables that do not change.
pub async fn prepare(config: &Config, schema: &str, data: &Data) -> Result<(), Error> {
    let client = client::connect(config).await?;
    client.batch_execute(schema).await?;
    for (table, rows) in tables::constant_rows(data) {
        let statement = client.prepare(&copy_sql(table)).await?;
        copy(&client, &statement, rows).await?;
    }
    Ok(())
}

/// Streams the timeline to the server through so many connections.
pub async fn feed(
    config: &Config,
    data: &Data,
    timeline: &Timeline,
    lanes: usize,
    pace: Pace,
    progress: &Progress,
) -> Result<Fed, Error> {
    let started = Instant::now();
    let lanes = (0..lanes).map(|number| async move {
        let part = Part { number, of: lanes, data, timeline, progress };
        Lane::open(config, part).await?.run(started, pace).await
    });
    let mut fed = Fed {
        acknowledged: vec![false; timeline.events().len()],
        elapsed: Duration::ZERO,
        complaints: Vec::new(),
    };
    for lane in try_join_all(lanes).await? {
        lane.acknowledged.into_iter().for_each(|event| fed.acknowledged[event] = true);
        fed.complaints.extend(lane.complaints);
    }
    fed.elapsed = started.elapsed();
    Ok(fed)
}

/// The flights of one connection, and what all of them know.
#[derive(Clone, Copy)]
struct Part<'a> {
    number: usize,
    of: usize,
    data: &'a Data,
    timeline: &'a Timeline,
    progress: &'a Progress,
}

/// One connection and the flights that go through it.
struct Lane<'a> {
    client: Client,
    copy: Statement,
    upsert: Batched,
    delete: Batched,
    part: Part<'a>,
    /// Events of the timeline.
    acknowledged: Vec<usize>,
    complaints: Vec<String>,
}

impl<'a> Lane<'a> {
    async fn open(config: &Config, part: Part<'a>) -> Result<Lane<'a>, Error> {
        let client = client::connect(config).await?;
        Ok(Lane {
            copy: client.prepare(&copy_sql(&tables::FLIGHTS)).await?,
            upsert: Batched::prepare(&client, upsert_sql).await?,
            delete: Batched::prepare(&client, delete_sql).await?,
            client,
            part,
            acknowledged: Vec::new(),
            complaints: Vec::new(),
        })
    }

    /// Writes its part of each chunk when that is due.
    async fn run(mut self, started: Instant, pace: Pace) -> Result<Self, Error> {
        let Part { number, of, timeline, progress, .. } = self.part;
        for (write, range) in timeline.writes() {
            if let Pace::RowsPerSecond(rate) = pace {
                let due = started + Duration::from_secs_f64(range.start as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
            }
            if progress.cancelled.load(Ordering::Relaxed) {
                break;
            }
            let events = timeline.events();
            let mine: Vec<usize> =
                range.filter(|event| events[*event].flight as usize % of == number).collect();
            let Some(last) = mine.last() else { continue };
            progress.at.fetch_max(events[*last].at.0, Ordering::Relaxed);
            self.write(write, mine).await?;
        }
        Ok(self)
    }

    async fn write(&mut self, write: Write, events: Vec<usize>) -> Result<(), Error> {
        let rows = events.iter().map(|event| {
            let event = &self.part.timeline.events()[*event];
            tables::flight_values(&self.part.data.flights[event.flight as usize], event.change)
        });
        let changed = match write {
            Write::Insert => copy(&self.client, &self.copy, rows).await?,
            Write::Upsert => self.upsert.execute(&self.client, &values(rows)).await?,
            Write::Delete => self.delete.execute(&self.client, &values(rows)).await?,
        };
        let count = events.len() as u64;
        if changed != count {
            self.complaints.push(format!("a write of {count} rows ({write:?}) changed {changed}"));
        }
        self.acknowledged.extend(events);
        self.part.progress.acknowledged.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}

/// A statement, prepared for one row, two, four and so on.
struct Batched(Vec<Statement>);

impl Batched {
    async fn prepare(client: &Client, sql: fn(usize) -> String) -> Result<Batched, Error> {
        let statements = (0..=ROWS_LOG_MAX).map(|log| sql(1 << log));
        let statements: Vec<String> = statements.collect();
        Ok(Batched(try_join_all(statements.iter().map(|sql| client.prepare(sql))).await?))
    }

    /// Sends all rows at once, in as few statements as take them, and waits for the answers. Returns how many rows changed.
    async fn execute(&self, client: &Client, rows: &[Vec<Value>]) -> Result<u64, Error> {
        let mut rest = rows;
        let mut under_way = Vec::new();
        while !rest.is_empty() {
            let log = rest.len().ilog2().min(ROWS_LOG_MAX);
            let (now, later) = rest.split_at(1 << log);
            under_way.push(execute(client, &self.0[log as usize], now));
            rest = later;
        }
        Ok(in_time(try_join_all(under_way)).await?.iter().sum())
    }
}

async fn execute(client: &Client, statement: &Statement, rows: &[Vec<Value>]) -> Result<u64, Error> {
    let parameters: Vec<&(dyn ToSql + Sync)> =
        rows.iter().flatten().map(|value| value as &(dyn ToSql + Sync)).collect();
    Ok(client.execute(statement, &parameters).await?)
}

/// Copies rows into a table. Returns how many.
async fn copy<'r>(
    client: &Client,
    statement: &Statement,
    rows: impl IntoIterator<Item = Vec<Datum<'r>>>,
) -> Result<u64, Error> {
    let sink = in_time(client.copy_in(statement)).await?;
    pin_mut!(sink);
    let mut text = String::with_capacity(COPY_BYTES);
    for row in rows {
        line(&row, &mut text);
        if text.len() >= COPY_BYTES {
            let piece = std::mem::replace(&mut text, String::with_capacity(COPY_BYTES));
            in_time(sink.send(Bytes::from(piece))).await?;
        }
    }
    in_time(sink.send(Bytes::from(text))).await?;
    in_time(sink.finish()).await
}

/// A row as COPY takes it.
fn line(row: &[Datum<'_>], text: &mut String) {
    for (number, datum) in row.iter().enumerate() {
        text.push_str(if number == 0 { "" } else { "\t" });
        match datum {
            Datum::Null => text.push_str("\\N"),
            // No text of the data has a tab, a line break or a backslash in it.
            datum => datum_text(*datum, text).expect("a string takes everything"),
        }
    }
    text.push('\n');
}

/// What the server says, unless it takes too long.
async fn in_time<T, E: Into<Error>>(answer: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
    let silence = |_| Error::Silence { seconds: SILENCE_MAX.as_secs() };
    tokio::time::timeout(SILENCE_MAX, answer).await.map_err(silence)?.map_err(Into::into)
}

fn values<'r>(rows: impl Iterator<Item = Vec<Datum<'r>>>) -> Vec<Vec<Value>> {
    rows.map(|row| row.iter().map(|datum| Value::from_datum(*datum)).collect()).collect()
}

fn copy_sql(table: &Table) -> String {
    format!("COPY {} FROM STDIN", table.name)
}

fn delete_sql(rows: usize) -> String {
    let places = (1..=rows).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ");
    format!("DELETE FROM flights WHERE id IN ({places})")
}

fn upsert_sql(rows: usize) -> String {
    let columns: Vec<&str> = tables::FLIGHTS.column_names().collect();
    let width = columns.len();
    let places =
        |row: usize| (1..=width).map(|at| format!("${}", row * width + at)).collect::<Vec<_>>().join(", ");
    let rows = (0..rows).map(|row| format!("({})", places(row))).collect::<Vec<_>>().join(", ");
    let set: Vec<String> = columns[1..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
    format!("INSERT INTO flights VALUES {rows} ON CONFLICT (id) DO UPDATE SET {}", set.join(", "))
}
