//! Results as files: JSON, histograms and plots.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::cli::Output;
use crate::error::Error;
use crate::latencies::{Latencies, Percentiles};

/// One death of a shard and how it came back; times in milliseconds since the signal.
#[derive(Debug, Clone, Serialize)]
pub struct Kill {
    /// Seconds since the start of the measured phase.
    pub at_seconds: f64,
    /// KILL, SEGV, ABRT or STOP.
    pub signal: String,
    /// The shard.
    pub shard: u16,
    /// The supervisor knew.
    pub detected_ms: f64,
    /// The new process ran.
    pub restarted_ms: f64,
    /// Its log was replayed.
    pub replayed_ms: f64,
    /// What others had seen of it was computed again.
    pub steered_ms: f64,
    /// It had consumed all that waited for it.
    pub caught_up_ms: f64,
}

/// One death of the supervisor and all shards at once.
#[derive(Debug, Clone, Serialize)]
pub struct MachineKill {
    /// Seconds since the start of the measured phase.
    pub at_seconds: f64,
    /// Milliseconds from the signal until a front was connected again.
    pub connected_ms: f64,
}

/// Median and tail of latencies in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Tail {
    /// How many operations.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 99 of 100 are below.
    pub p99: f64,
}

/// Median and maximum of a size in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Size {
    /// Median.
    pub p50: u64,
    /// Largest.
    pub max: u64,
}

impl From<Percentiles> for Tail {
    fn from(percentiles: Percentiles) -> Tail {
        Tail { count: percentiles.count, p50: percentiles.p50, p99: percentiles.p99 }
    }
}

impl Output {
    /// Writes the figures as JSON, when that was asked for.
    pub fn write_json(&self, figures: &impl Serialize) -> Result<(), Error> {
        let Some(path) = &self.json else { return Ok(()) };
        let mut text =
            serde_json::to_string_pretty(figures).expect("figures are plain numbers, texts and lists");
        text.push('\n');
        write(path, &text)
    }

    /// Writes a histogram as `NAME.hgrm`, when a folder was given and anything was recorded.
    pub fn write_histogram(&self, name: &str, latencies: &Latencies) -> Result<(), Error> {
        match &self.out {
            Some(folder) if latencies.count() > 0 => {
                write_into(folder, &format!("{name}.hgrm"), &latencies.to_hgrm())
            }
            _ => Ok(()),
        }
    }

    /// Writes a plot as `NAME.svg`, when a folder was given.
    pub fn write_plot(&self, name: &str, svg: &str) -> Result<(), Error> {
        match &self.out {
            Some(folder) => write_into(folder, &format!("{name}.svg"), svg),
            None => Ok(()),
        }
    }
}

fn write_into(folder: &Path, name: &str, text: &str) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::file("create the folder", folder))?;
    write(&folder.join(name), text)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file("write", path))
}
