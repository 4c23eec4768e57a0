//! What the demo says at the end, to people and as JSON.

use std::path::Path;

use runtime::live::Recovery;
use serde_json::json;

use super::feed::Fed;
use super::oracle::Verdict;
use super::reader::Read;
use super::show::{grouped, table};
use crate::error::Error;
use crate::signals::signal_name;

/// Complaints that are printed; the others are only counted.
const COMPLAINTS_SHOWN_MAX: usize = 5;

/// A view and how it compares with the oracle.
pub struct ViewResult {
    /// The view's name.
    pub name: &'static str,
    /// What it answers.
    pub title: &'static str,
    /// How it compares.
    pub verdict: Verdict,
}

/// Everything that is reported.
pub struct Report<'a> {
    /// How many shards there were.
    pub shards: u16,
    /// What was written.
    pub fed: &'a Fed,
    /// What was looked up meanwhile.
    pub read: &'a Read,
    /// What became of each kill.
    pub recoveries: &'a [Recovery],
    /// Every view.
    pub views: &'a [ViewResult],
}

impl Report<'_> {
    /// Whether everything is as it must be.
    pub fn passed(&self) -> bool {
        self.complaints().next().is_none()
            && self.fed.acknowledged.iter().all(|acknowledged| *acknowledged)
            && self.views.iter().all(|view| view.verdict.differences == 0)
    }

    /// Prints it for people.
    pub fn print(&self) {
        println!();
        self.print_kills();
        self.print_figures();
        println!();
        let rows: Vec<Vec<String>> = self.views.iter().map(view_cells).collect();
        println!("{}", table(&["view", "what it shows", "rows", "against SQLite"], &rows));
        println!();
        for view in self.views {
            view.verdict.first.iter().for_each(|difference| println!("{}: {difference}", view.name));
        }
        self.complaints().take(COMPLAINTS_SHOWN_MAX).for_each(|complaint| println!("{complaint}"));
        let rows: usize = self.views.iter().map(|view| view.verdict.rows).sum();
        match self.passed() {
            true => println!("All {} rows of {} views are right.", grouped(rows as u64), self.views.len()),
            false => println!("NOT RIGHT: see above."),
        }
    }

    /// Writes the figures to a file.
    pub fn write_json(&self, path: &Path) -> Result<(), Error> {
        let text =
            serde_json::to_string_pretty(&self.json()).expect("the figures are plain numbers and text");
        std::fs::write(path, text + "\n").map_err(|source| Error::Path {
            what: "cannot write the figures to",
            path: path.to_owned(),
            source,
        })
    }

    fn json(&self) -> serde_json::Value {
        let micros = |percent| self.read.percentile(percent).as_secs_f64() * 1e6;
        let kills: Vec<_> = self
            .recoveries
            .iter()
            .map(|recovery| {
                json!({
                    "signal": signal_name(recovery.signal),
                    "shard": recovery.shard.0,
                    "detected_ms": recovery.detected_ms,
                    "restarted_ms": recovery.restarted_ms,
                    "replayed_ms": recovery.replayed_ms,
                    "steered_ms": recovery.steered_ms,
                    "caught_up_ms": recovery.caught_up_ms,
                })
            })
            .collect();
        let views: Vec<_> = self.views.iter().map(|view| {
            json!({ "name": view.name, "rows": view.verdict.rows, "differences": view.verdict.differences })
        }).collect();
        json!({
            "passed": self.passed(),
            "shards": self.shards,
            "rows": self.fed.rows(),
            "seconds": self.fed.elapsed.as_secs_f64(),
            "rows_per_s": self.rows_per_second(),
            "lookups": self.read.times.len(),
            "lookup_us": { "p50": micros(50), "p99": micros(99), "max": micros(100) },
            "complaints": self.complaints().collect::<Vec<_>>(),
            "kills": kills,
            "views": views,
        })
    }

    fn rows_per_second(&self) -> f64 {
        self.fed.rows() as f64 / self.fed.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn complaints(&self) -> impl Iterator<Item = &String> {
        self.fed.complaints.iter().chain(&self.read.complaints)
    }

    fn print_figures(&self) {
        println!(
            "{} rows written and acknowledged in {:.1} s, {} rows/s, on {} shards; {} kills",
            grouped(self.fed.rows() as u64),
            self.fed.elapsed.as_secs_f64(),
            grouped(self.rows_per_second() as u64),
            self.shards,
            self.recoveries.len(),
        );
        println!(
            "{} lookups meanwhile: p50 {:.2} ms, p99 {:.1} ms, longest {:.0} ms, {} failed",
            grouped(self.read.times.len() as u64),
            self.read.percentile(50).as_secs_f64() * 1e3,
            self.read.percentile(99).as_secs_f64() * 1e3,
            self.read.percentile(100).as_secs_f64() * 1e3,
            self.read.complaints.len(),
        );
    }

    fn print_kills(&self) {
        if self.recoveries.is_empty() {
            return;
        }
        let rows: Vec<Vec<String>> = self
            .recoveries
            .iter()
            .map(|recovery| {
                let millis = |millis: f64| format!("{millis:.1}");
                vec![
                    recovery.shard.0.to_string(),
                    signal_name(recovery.signal),
                    millis(recovery.detected_ms),
                    millis(recovery.restarted_ms),
                    millis(recovery.replayed_ms),
                    millis(recovery.steered_ms),
                    millis(recovery.caught_up_ms),
                ]
            })
            .collect();
        let header = ["shard", "killed by", "detected", "restarted", "replayed", "steered", "caught up"];
        println!("{}", table(&header, &rows));
        println!("(ms since the signal)\n");
    }
}

fn view_cells(view: &ViewResult) -> Vec<String> {
    let verdict = match view.verdict.differences {
        0 => "the same".to_owned(),
        count => format!("{} DIFFERENT", grouped(count as u64)),
    };
    vec![view.name.to_owned(), view.title.to_owned(), grouped(view.verdict.rows as u64), verdict]
}
