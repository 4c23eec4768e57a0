//! The reader of the demo: a front that looks up random keys of random views while shards die.
//!
//! It asks one question at a time, a few hundred a second, and expects three things: every lookup is answered, however
//! late; no lookup fails; and nobody sees a shard go back in time. For the last it watches a figure that can only
//! grow: how many flights of a carrier have arrived.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use operators::plan::ViewSpec;
use operators::row::{RowBuilder, Rows};
use runtime::front::{Front, Outcome};

use super::data::Data;
use super::oracle::{Value, view_rows};
use super::questions::questions;
use crate::error::Error;

/// Between two lookups: the reader is here to look, not to load the machine.
const PAUSE: Duration = Duration::from_millis(2);
/// How long to wait for the doorbell before looking whether the run is over.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// A lookup that takes longer than this is given up and counts as a complaint.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Rows to ask for of one key; no key of the demo has as many.
pub const ROWS_MAX: u32 = 10_000;
/// The view whose figures only grow, and the column of the figure.
const GROWING: (&str, usize) = ("punctuality", 2);

/// What the reader has seen.
#[derive(Debug, Default)]
pub struct Read {
    /// How long each lookup took, sorted.
    pub times: Vec<Duration>,
    /// Rows returned by all of them.
    pub rows: u64,
    /// Answers that were not what they must be, in words.
    pub complaints: Vec<String>,
}

impl Read {
    /// The time that so many percent of the lookups did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        self.times.get(self.times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    }
}

/// Looks up until `over`.
pub fn read(folder: &Path, data: &Data, seed: u64, over: &AtomicBool) -> Result<Read, Error> {
    let mut front = Front::connect(folder)?;
    let mut targets = Vec::new();
    for question in questions() {
        targets.push((front.plan().view(question.view)?.clone(), question.keys.all(data)));
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut read = Read::default();
    let mut grown: BTreeMap<Value, i64> = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        let (view, keys) = &targets[random.usize(..targets.len())];
        let key = &keys[random.usize(..keys.len())];
        let started = Instant::now();
        match lookup(&mut front, view, key)? {
            Ok(rows) => {
                read.rows += u64::from(rows.count);
                watch_growth(view, &rows, &mut grown, &mut read.complaints);
            }
            Err(complaint) => read.complaints.push(complaint),
        }
        read.times.push(started.elapsed());
        std::thread::sleep(PAUSE);
    }
    read.times.sort_unstable();
    Ok(read)
}

/// Looks up one key; the inner error is an answer that should not be.
pub fn lookup(front: &mut Front, view: &ViewSpec, key: &Value) -> Result<Result<Rows, String>, Error> {
    let mut keys = Rows::new();
    keys.push_values(&mut RowBuilder::new(), &[key.datum()]);
    let request = front.lookup(view.id, &keys, ROWS_MAX)?;
    let started = Instant::now();
    let mut completions = Vec::new();
    while started.elapsed() < ANSWER_MAX {
        front.wait(WAIT_MAX, &mut completions)?;
        for completion in completions.drain(..) {
            if completion.request != request {
                continue;
            }
            return Ok(match completion.outcome {
                Outcome::Found { rows, .. } => Ok(rows),
                other => Err(format!("a lookup of {key} in {} ended as {other:?}", view.name)),
            });
        }
    }
    Ok(Err(format!("a lookup of {key} in {} had no answer in {ANSWER_MAX:?}", view.name)))
}

/// Compares a figure that only grows with what it was when it was last seen.
fn watch_growth(
    view: &ViewSpec,
    rows: &Rows,
    grown: &mut BTreeMap<Value, i64>,
    complaints: &mut Vec<String>,
) {
    let (name, column) = GROWING;
    if view.name != name {
        return;
    }
    for row in view_rows(view, rows) {
        let Value::Int(now) = row[column] else { continue };
        let before = grown.entry(row[0].clone()).or_insert(now);
        if now < *before {
            complaints.push(format!("{name} of {} went back from {before} to {now}", row[0]));
        }
        *before = now.max(*before);
    }
}
