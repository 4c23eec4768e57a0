//! `slt`: runs files against a server that speaks PostgreSQL's protocol.
#![forbid(unsafe_code)]

use clap::Parser;
use slt::{Error, Remote, Way, files, run, update};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs files of statements and queries with known results, in three ways.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server.
    #[arg(long)]
    url: String,
    /// What it is: `sakia` or `postgresql`.
    #[arg(long, default_value = "postgresql")]
    engine: String,
    /// Write the files anew with the results that come.
    #[arg(long)]
    update: bool,
    /// Only this way: scan, before or after.
    #[arg(long)]
    way: Option<String>,
    /// Files, or folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match all(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("slt: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How many records failed.
fn all(arguments: &Arguments) -> Result<usize, Error> {
    let (mut ran, mut failed) = (0, 0);
    for folder in &arguments.paths {
        for path in files(folder)? {
            if arguments.update {
                let mut connection = Remote::connect(&arguments.url, &arguments.engine)?;
                update(&path, &arguments.engine, &mut connection)?;
            }
            for way in Way::ALL {
                if arguments.way.as_ref().is_none_or(|only| only == way.name()) {
                    let (own_ran, own_failed) = one(arguments, &path, way)?;
                    ran += own_ran;
                    failed += own_failed;
                }
            }
        }
    }
    println!("{ran} records, {failed} failed");
    Ok(failed)
}

fn one(arguments: &Arguments, path: &Path, way: Way) -> Result<(usize, usize), Error> {
    let mut connection = Remote::connect(&arguments.url, &arguments.engine)?;
    let report = run(path, &arguments.engine, way, &mut connection)?;
    for failure in &report.failures {
        println!("{failure}");
    }
    println!(
        "{} {}: {} records, {} failed, {} not for it",
        path.display(),
        way.name(),
        report.ran,
        report.failures.len(),
        report.skipped
    );
    Ok((report.ran, report.failures.len()))
}
