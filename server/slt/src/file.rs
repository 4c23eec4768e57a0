//! Reading the files.

use crate::Error;
use crate::answer::Kind;
use crate::run::Way;
use sqllogictest::{Condition, Record};
use std::path::{Path, PathBuf};

/// The files of a folder, by name; or the one file.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| Error::File { path: path.display().to_string(), error };
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The records of a file.
pub(crate) fn records(path: &Path) -> Result<Vec<Record<Kind>>, Error> {
    Ok(sqllogictest::parse_file(path)?)
}

/// What `onlyif` and `skipif` may name in a run.
pub fn labels(engine: &str, way: Way) -> Vec<&str> {
    let mut labels = vec![engine, way.name()];
    if way != Way::Scan {
        labels.push("view");
    }
    labels
}

/// Whether a record with these conditions is for a run with these labels.
pub(crate) fn applies(conditions: &[Condition], labels: &[&str]) -> bool {
    conditions.iter().all(|condition| match condition {
        Condition::OnlyIf { label } => labels.contains(&label.as_str()),
        Condition::SkipIf { label } => !labels.contains(&label.as_str()),
    })
}
