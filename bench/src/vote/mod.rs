//! `sakia bench vote`: votes on stories and lookups of their counts.
//!
//! Parts: `workload` (plan and rows), `generator` (the loop that offers the load) with `lane` (a queue per shard), `probe`
//! (write-to-visible) and `reads` (checks of answers), `port` (what it needs of a front) with `front` (the real one),
//! `stories` (before and after a run), `fill` (votes without measuring), `single` (one vote at a time), `results` and `figures` (what is measured and shown).

#[cfg(test)]
mod fake;
pub mod figures;
pub mod fill;
pub mod front;
pub mod generator;
pub mod lane;
pub mod port;
pub mod probe;
pub mod reads;
pub mod results;
pub mod single;
pub mod stories;
pub mod workload;

use std::time::Duration;

use crate::cli::Vote;
use crate::device;
use crate::error::Error;
use crate::folder::DataFolder;
use crate::latencies::Latencies;
use crate::plot::{self, Mark};
use crate::trial::{self, Crashes, Outcome, Trial};
use crate::vote::figures::Figures;
use crate::vote::single::Paces;

/// How long the device is measured before the run, at each pace.
const DEVICE_DURATION: Duration = Duration::from_millis(500);

/// Runs the benchmark; true when every result was right.
pub fn run(arguments: &Vote) -> Result<bool, Error> {
    let folder = DataFolder::new(arguments.load.data.as_deref())?;
    let device = |pause| device::measure(folder.path(), device::WRITE_BYTES[0], DEVICE_DURATION, pause);
    let device = Paces { back_to_back: device(Duration::ZERO)?, paced: device(single::PAUSE)? };
    let crashes = match (arguments.kill_every, arguments.kill_all_every) {
        (Some(every), _) => Crashes::Shards(every, arguments.signal),
        (None, Some(every)) => Crashes::Everything(every),
        (None, None) => Crashes::None,
    };
    let trial = Trial {
        load: &arguments.load,
        rate: arguments.load.rate,
        seconds: arguments.seconds,
        warmup: arguments.warmup,
        causal_logging: !arguments.no_causal_logging,
        crashes,
        kills_max: arguments.kills.filter(|_| crashes != Crashes::None),
        single_writes: true,
    };
    let outcome = trial::run(&trial, &folder)?;
    let figures = Figures::new(&arguments.load, &outcome, device);
    figures.print(&outcome);
    write_files(arguments, &outcome)?;
    arguments.output.write_json(&figures)?;
    Ok(figures.is_right())
}

fn write_files(arguments: &Vote, outcome: &Outcome) -> Result<(), Error> {
    let results = &outcome.results;
    let histograms: [(&str, &str, &Latencies); 8] = [
        ("single-writes", "single writes, back to back", &outcome.single_writes.back_to_back),
        ("single-writes-paced", "single writes, paced", &outcome.single_writes.paced),
        ("reads", "reads", &results.reads),
        ("writes", "writes until acknowledged", &results.writes),
        ("visible", "writes until visible", &results.visible),
        ("others-during-kills", "other shards during kills", &results.others_during_kills),
        ("others-outside", "all shards up", &results.others_outside),
        ("killed", "the killed shard", &results.killed),
    ];
    for (file, _, latencies) in histograms {
        arguments.output.write_histogram(file, latencies)?;
    }
    let curves = histograms.map(|(_, name, latencies)| (name, latencies));
    arguments
        .output
        .write_plot("latency", &plot::latency_by_percentile("vote: latency by percentile", &curves))?;
    let mark = |at_seconds, label| Mark { at_seconds, label };
    let mut marks: Vec<Mark> = Vec::new();
    marks.extend(
        outcome.kills.iter().map(|kill| mark(kill.at_seconds, format!("{} {}", kill.shard, kill.signal))),
    );
    marks.extend(outcome.machine_kills.iter().map(|kill| mark(kill.at_seconds, "all".to_owned())));
    arguments
        .output
        .write_plot("course", &plot::course("vote: the course of the run", &outcome.slices, &marks))
}
