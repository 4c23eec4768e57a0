//! `sakia doctor`: does this machine have what the shards need?
//!
//! Each check tries the thing itself rather than looking for signs of it: a ring of io_uring is set up, a file is
//! written with O_DIRECT and synced, a folder is made in /dev/shm. Each ends as ok, as a warning (it will run, but
//! slower or less safely than it could) or as a failure (it will not run), the last two with what to do about it.

mod disk;
mod kernel;
mod memory;

use std::path::Path;
use std::process::ExitCode;

use crate::cli::DoctorOptions;
use crate::error::Error;

pub use kernel::{core_count, core_ids};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It will run, with a drawback.
    Warn,
    /// It will not run.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; empty if nothing.
    pub advice: String,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Ok, found: found.into(), advice: String::new() }
    }

    fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Warn, found: found.into(), advice: advice.into() }
    }

    fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Fail, found: found.into(), advice: advice.into() }
    }
}

/// Runs every check and prints what came out; exit code 1 if the server would not run.
pub fn run(options: &DoctorOptions) -> ExitCode {
    let mut worst = Verdict::Ok;
    // Printed one by one: the checks of the disk take a second or two.
    for check in checks() {
        let outcome = check(&options.data);
        for check in outcome {
            print(&check);
            worst = worst.max(check.verdict);
        }
    }
    match worst {
        Verdict::Ok => println!("\nThis machine has what Sakia needs."),
        Verdict::Warn => println!("\nSakia runs here; see the warnings above."),
        Verdict::Fail => println!("\nSakia does not run here; see the failures above."),
    }
    if worst == Verdict::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What must hold before shards are started, checked quickly: the failures that would otherwise end in a message from
/// deep inside. Everything else is left to [`run`].
pub fn require_startable() -> Result<(), Error> {
    let checks = [memory::memlock(), kernel::io_uring()];
    match checks.into_iter().find(|check| check.verdict == Verdict::Fail) {
        Some(Check { name, found, advice, .. }) => Err(Error::Machine { what: name, found, advice }),
        None => Ok(()),
    }
}

/// A group of checks about one thing, given the data folder.
type Checks = fn(&Path) -> Vec<Check>;

fn checks() -> [Checks; 6] {
    [
        |_| vec![kernel::version()],
        |_| vec![kernel::cores()],
        |_| vec![memory::memlock(), memory::open_files()],
        |_| vec![kernel::io_uring()],
        |_| vec![memory::shared_memory(Path::new(memory::SHARED_MEMORY))],
        disk::checks,
    ]
}

fn print(check: &Check) {
    let verdict = match check.verdict {
        Verdict::Ok => "ok  ",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    println!("{verdict}  {:<13} {}", check.name, check.found);
    if !check.advice.is_empty() {
        println!("      {:<13} -> {}", "", check.advice);
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 10.0 { 0 } else { 1 };
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(8 << 20), "8.0 MiB");
        assert_eq!(size(24 << 30), "24 GiB");
    }

    #[test]
    fn failures_are_worse_than_warnings() {
        assert!(Verdict::Ok < Verdict::Warn);
        assert!(Verdict::Warn < Verdict::Fail);
    }
}
