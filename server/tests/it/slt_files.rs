//! The files of `server/tests/slt` through the wire, in all three ways.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use slt::Way;

use crate::database::Database;

/// Files at a time, each with a server of its own.
const WORKERS: usize = 2;

#[test]
fn all_files_in_all_ways() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let only = std::env::var("SQL_SLT").unwrap_or_default();
    let mut files = slt::files(&folder).expect("the folder is there");
    files.retain(|path| path.to_string_lossy().contains(&only));
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
    assert!(failures.is_empty(), "{} of {ran} records failed:\n{}", failures.len(), failures.join("\n"));
    assert!(ran > 0, "there are files");
}

/// How many records were run, and what failed.
fn one_file(path: &Path) -> (usize, Vec<String>) {
    let database = Database::start();
    let (mut ran, mut failures) = (0, Vec::new());
    for way in Way::ALL {
        let mut connection = database.connect();
        let report = slt::run(path, "sakia", way, &mut connection).expect("the file is in the format");
        ran += report.ran;
        failures.extend(report.failures);
    }
    (ran, failures)
}
