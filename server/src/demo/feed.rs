//! The writer of the demo: a front that streams the timeline to the shards and keeps account of what they acknowledge.
//!
//! Writes go out in the timeline's order at the pace asked for, many under way at once; a write counts only when it is
//! acknowledged. A shard's death shows as a pause, never as an error, and what the shards say they changed must be what
//! was written: a row inserted twice or a deletion of nothing would show here already.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use operators::dataflow::WriteKind;
use operators::plan::{Plan, TableId};
use operators::row::{RowBuilder, Rows};
use runtime::front::{Completion, Front, FrontError, Outcome, RequestId};

use super::data::{Data, Minute};
use super::tables;
use super::timeline::{Event, Timeline, Write};
use crate::cli::Pace;
use crate::error::Error;

/// Writes under way. With chunks of some hundred rows this is a few seconds of the usual pace: the time a shard may be
/// away before the writer waits for it.
const WRITES_IN_FLIGHT_MAX: usize = 512;
/// How long to wait for the doorbell before looking at the clock again.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// Without any acknowledgement for so long the run is given up; restarts take well under a second.
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

/// Writes the tables that do not change, and waits until they are acknowledged.
pub fn write_constants(front: &mut Front, data: &Data) -> Result<(), Error> {
    let (mut builder, mut rows) = (RowBuilder::new(), Rows::new());
    for (table, values) in tables::constant_rows(data) {
        let id = table_id(front.plan(), table)?;
        tables::encode(values, &mut builder, &mut rows);
        front.write_wait(id, WriteKind::Upsert, &rows)?;
    }
    Ok(())
}

/// Streams the timeline to the shards of `folder`.
pub fn feed(
    folder: &Path,
    data: &Data,
    timeline: &Timeline,
    pace: Pace,
    progress: &Progress,
) -> Result<Fed, Error> {
    let front = Front::connect(folder)?;
    let flights = table_id(front.plan(), &tables::FLIGHTS)?;
    let mut feed = Feed {
        front,
        flights,
        in_flight: HashMap::with_capacity(WRITES_IN_FLIGHT_MAX),
        completions: Vec::new(),
        heard: Instant::now(),
        progress,
        fed: Fed {
            acknowledged: vec![false; timeline.events().len()],
            elapsed: Duration::ZERO,
            complaints: Vec::new(),
        },
    };
    let started = Instant::now();
    let (mut builder, mut rows) = (RowBuilder::new(), Rows::new());
    for (write, range) in timeline.writes() {
        feed.wait_until_due(started, range.start, pace)?;
        if progress.cancelled.load(Ordering::Relaxed) {
            break;
        }
        let events = &timeline.events()[range.clone()];
        let values = events
            .iter()
            .map(|event| tables::flight_values(&data.flights[event.flight as usize], event.change));
        tables::encode(values, &mut builder, &mut rows);
        feed.send(write, range, &rows)?;
        progress.at.store(events.last().map_or(0, |event| event.at.0), Ordering::Relaxed);
    }
    while !feed.in_flight.is_empty() {
        feed.collect(WAIT_MAX)?;
    }
    feed.fed.elapsed = started.elapsed();
    Ok(feed.fed)
}

/// The writer's state.
struct Feed<'a> {
    front: Front,
    flights: TableId,
    /// Writes that are not acknowledged: what kind, and which events.
    in_flight: HashMap<RequestId, (Write, Range<usize>)>,
    completions: Vec<Completion>,
    /// When the last answer came, or the first write after a time without any under way.
    heard: Instant,
    progress: &'a Progress,
    fed: Fed,
}

impl Feed<'_> {
    /// Collects answers until there is room for another write and row number `row` is due.
    fn wait_until_due(&mut self, started: Instant, row: usize, pace: Pace) -> Result<(), Error> {
        let due = match pace {
            Pace::Max => started,
            Pace::RowsPerSecond(rate) => started + Duration::from_secs_f64(row as f64 / rate),
        };
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            let full = self.in_flight.len() >= WRITES_IN_FLIGHT_MAX;
            if self.progress.cancelled.load(Ordering::Relaxed) || wait.is_zero() && !full {
                return Ok(());
            }
            self.collect(if full { WAIT_MAX } else { wait.min(WAIT_MAX) })?;
        }
    }

    /// Hands a write to the front, waiting as long as it has no room.
    fn send(&mut self, write: Write, range: Range<usize>, rows: &Rows) -> Result<(), Error> {
        if self.in_flight.is_empty() {
            self.heard = Instant::now();
        }
        loop {
            match self.front.write(self.flights, kind(write), rows) {
                Ok(request) => {
                    let before = self.in_flight.insert(request, (write, range));
                    assert!(before.is_none(), "the front gave one id to two requests");
                    return self.collect(Duration::ZERO);
                }
                Err(FrontError::Busy) => self.collect(WAIT_MAX)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the answers that are there, waiting for one if there is none.
    fn collect(&mut self, timeout: Duration) -> Result<(), Error> {
        let mut completions = std::mem::take(&mut self.completions);
        if timeout.is_zero() {
            self.front.poll(&mut completions)?;
        } else {
            self.front.wait(timeout, &mut completions)?;
        }
        if !completions.is_empty() {
            self.heard = Instant::now();
        }
        for completion in completions.drain(..) {
            self.take(&completion);
        }
        self.completions = completions;
        if !self.in_flight.is_empty() && self.heard.elapsed() > SILENCE_MAX {
            return Err(Error::Silence { seconds: SILENCE_MAX.as_secs(), writes: self.in_flight.len() });
        }
        Ok(())
    }

    fn take(&mut self, completion: &Completion) {
        let (write, range) = self
            .in_flight
            .remove(&completion.request)
            .expect("answers belong to writes under way, once each");
        let rows = range.len() as u64;
        match &completion.outcome {
            Outcome::Written { changed } => {
                // An upsert may find the row as it was to become; what is inserted or deleted was not there before, or was.
                if write != Write::Upsert && u64::from(*changed) != rows {
                    self.fed.complaints.push(format!("a write of {rows} rows ({write:?}) changed {changed}"));
                }
                self.fed.acknowledged[range].fill(true);
                self.progress.acknowledged.fetch_add(rows, Ordering::Relaxed);
            }
            other => {
                self.fed.complaints.push(format!("a write of {rows} rows ({write:?}) ended as {other:?}"))
            }
        }
    }
}

fn kind(write: Write) -> WriteKind {
    match write {
        Write::Insert => WriteKind::Insert,
        Write::Upsert => WriteKind::Upsert,
        Write::Delete => WriteKind::Delete,
    }
}

fn table_id(plan: &Plan, table: &tables::Table) -> Result<TableId, Error> {
    Ok(plan.table(table.name)?.id)
}

impl Progress {
    /// When the newest row that was sent happened.
    pub fn at(&self) -> Minute {
        Minute(self.at.load(Ordering::Relaxed))
    }
}
