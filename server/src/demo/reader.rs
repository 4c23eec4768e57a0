//! The reader of the demo: a client that looks up random keys of random views while shards die.
//!
//! It asks one question at a time, a few hundred a second, and expects three things: every lookup is answered, however
//! late; no lookup fails; and nobody sees a shard go back in time. For the last it watches a figure that can only
//! grow: how many flights of a carrier have arrived.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::Config;

use super::client::{self, Lookup};
use super::data::Data;
use super::oracle::{Value, ViewRow};
use super::questions::questions;
use crate::error::Error;

/// Between two lookups: the reader is here to look, not to load the machine.
const PAUSE: Duration = Duration::from_millis(2);
/// A lookup that takes longer than this is given up and counts as a complaint.
const ANSWER_MAX: Duration = Duration::from_secs(30);
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
pub async fn read(config: &Config, data: &Data, seed: u64, over: &AtomicBool) -> Result<Read, Error> {
    let client = client::connect(config).await?;
    let mut targets = Vec::new();
    for question in questions() {
        targets.push((Lookup::prepare(&client, &question).await?, question.keys.all(data)));
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut read = Read::default();
    let mut grown: BTreeMap<Value, i64> = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        let (lookup, keys) = &targets[random.usize(..targets.len())];
        let key = &keys[random.usize(..keys.len())];
        let started = Instant::now();
        match tokio::time::timeout(ANSWER_MAX, lookup.rows(&client, key)).await {
            Ok(Ok(rows)) => {
                read.rows += rows.len() as u64;
                watch_growth(lookup, &rows, &mut grown, &mut read.complaints);
            }
            Ok(Err(error)) => read.complaints.push(format!("a lookup of {key} in {}: {error}", lookup.view)),
            Err(_) => {
                let complaint =
                    format!("a lookup of {key} in {} had no answer in {ANSWER_MAX:?}", lookup.view);
                read.complaints.push(complaint);
                break;
            }
        }
        read.times.push(started.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    read.times.sort_unstable();
    Ok(read)
}

/// Compares a figure that only grows with what it was when it was last seen.
fn watch_growth(
    lookup: &Lookup,
    rows: &[ViewRow],
    grown: &mut BTreeMap<Value, i64>,
    complaints: &mut Vec<String>,
) {
    let (name, column) = GROWING;
    if lookup.view != name {
        return;
    }
    for row in rows {
        let Value::Int(now) = row[column] else { continue };
        let before = grown.entry(row[0].clone()).or_insert(now);
        if now < *before {
            complaints.push(format!("{name} of {} went back from {before} to {now}", row[0]));
        }
        *before = now.max(*before);
    }
}
