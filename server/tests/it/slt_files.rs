//! The files of `server/tests/slt` through the wire, in all three ways. Which records differ from PostgreSQL is known: it
//! stands in `differences.txt` beside them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use slt::{Remote, Way};

use crate::server::Server;

/// Files at a time, each with a server of its own.
const WORKERS: usize = 2;

#[test]
fn all_files_in_all_ways() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let only = std::env::var("SQL_SLT").unwrap_or_default();
    let mut files = slt::files(&folder).expect("the folder is there");
    files.retain(|path| path.to_string_lossy().contains(&only));
    let known = known(&folder, &only);
    let (next, ran, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (own, failed) = one_file(path);
                    ran.fetch_add(own, Ordering::Relaxed);
                    failures.lock().expect("nobody panics while holding it").extend(failed);
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics while holding it");
    let ran = ran.into_inner();
    let differ: BTreeSet<String> = failures.iter().map(|failure| place(failure)).collect();
    let new: Vec<&String> = failures.iter().filter(|failure| !known.contains(&place(failure))).collect();
    assert!(new.is_empty(), "{} of {ran} records failed:\n{new:#?}", new.len());
    let agree: Vec<&String> = known.difference(&differ).collect();
    assert!(agree.is_empty(), "these differ no longer, so they need not be listed: {agree:?}");
    assert!(ran > 0, "there are files");
}

/// The records that are known to differ, by file and line.
fn known(folder: &Path, only: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(folder.join("differences.txt")).expect("the list is there");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter(|line| line.contains(only)).map(str::to_owned).collect()
}

/// File and line of a failure, which begins with them and the way.
fn place(failure: &str) -> String {
    let path = failure.split(" (").next().expect("a text has a beginning");
    path.rsplit('/').next().expect("a path has an end").to_owned()
}

/// How many records were run, and what failed.
fn one_file(path: &Path) -> (usize, Vec<String>) {
    let server = Server::start(&[]);
    let (mut ran, mut failures) = (0, Vec::new());
    for way in Way::ALL {
        let mut connection = Remote::connect(&server.url(), "sakia").expect("it takes connections");
        let report = slt::run(path, "sakia", way, &mut connection).expect("the file is in the format");
        ran += report.ran;
        failures.extend(report.failures);
    }
    (ran, failures)
}
