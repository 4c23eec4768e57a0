//! The files of `server/tests/slt` on one shard, in all three ways.
//!
//! The server's tests run them for good, through the wire. Here the variable `SQL_SLT` names what is to be run without
//! one: a part of a file's name, or nothing for all.

use crate::database::Database;
use slt::{Answer, Connection, Failure, Kind, Way};
use std::path::Path;

/// One shard as a database that takes statements.
struct OneShard(Database);

impl Connection for OneShard {
    fn run(&mut self, sql: &str) -> Result<Answer, Failure> {
        // A panic is a failure of this record; those that come after it may be its consequences.
        let run = || self.0.run_typed(sql);
        let Ok(outcome) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) else {
            return Err(Failure { sqlstate: "XX000".to_owned(), message: "panic".to_owned() });
        };
        match outcome {
            Ok((columns, rows)) => Ok(Answer {
                kinds: columns.iter().map(|column| Kind::of(column.ty.oid(), column.ty.modifier())).collect(),
                rows,
                count: self.0.changed,
            }),
            Err(error) => Err(Failure { sqlstate: error.sqlstate.to_owned(), message: error.message }),
        }
    }
}

#[test]
fn all_files_in_all_ways() {
    let Ok(only) = std::env::var("SQL_SLT") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/slt");
    let mut failures = Vec::new();
    for path in slt::files(&folder).expect("the folder is there") {
        if !path.to_string_lossy().contains(&only) {
            continue;
        }
        for way in Way::ALL {
            let mut database = OneShard(Database::new());
            let report = slt::run(&path, "sakia", way, &mut database).expect("the file is in the format");
            failures.extend(report.failures);
        }
    }
    assert!(failures.is_empty(), "{} records failed:\n{}", failures.len(), failures.join("\n"));
}
