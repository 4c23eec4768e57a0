//! The supervisor's side of the catalogue: its log, and the check that every shard can install what gets into it.
//!
//! An entry is defined in this order, and whoever is killed in between leaves it whole or absent:
//!
//! ```text
//! tried out on a dataflow without rows         what a shard could not install never gets into the log
//! written to its file in the run folder        nobody looks for it yet
//! appended to the catalogue's log              from here on it is there, after any crash
//! counted on the control page                  shards and fronts take it up
//! answered to the front that asked for it
//! ```
//!
//! The log holds a record with the number of shards, and one for each entry: a [`CatalogueEntry`]. There is no record of
//! the whole plan: a shard's log speaks of entries by number, and replaying it goes through them one by one.

use super::layout::{DataFolder, RunFolder};
use super::supervisor::StartError;
use crate::catalogue::{CATALOGUE_BYTES_MAX, CatalogueEntry, ENTRY_BYTES_MAX, OPERATORS_MAX};
use operators::plan::Extension;
use operators::{Dataflow, Plan, PlanError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{fs, io};
use wal::{OwnedRecord, RecordKind, SyncLog};

/// The number of shards, as a u16.
const SHARDS_RECORD: RecordKind = RecordKind(1);
/// An entry.
const ENTRY_RECORD: RecordKind = RecordKind(3);

/// Where a definition can be cut off; for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionPoint {
    /// Nothing has been written.
    Checked,
    /// Its file is in the run folder.
    Filed,
    /// It is durable.
    Durable,
    /// The shards can see it.
    Published,
}

/// Why something cannot be defined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DefineError {
    /// Another definition came first.
    #[error("the catalogue is at entry {newest} by now: look at it again, then define on top of that")]
    Stale { newest: u64 },
    /// Its bytes are no entry, or too many.
    #[error("{0}")]
    Invalid(String),
    /// A shard could not install it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Whether it is durable is unknown, if the error is [`wal::Error::Poisoned`]; otherwise nothing was done.
    #[error("catalogue: {0}")]
    Log(#[from] wal::Error),
    /// Nothing was done.
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
}

/// The catalogue of a running database.
pub(crate) struct Catalogue {
    log: SyncLog,
    /// All entries, installed on a shard of its own without any rows.
    trial: Dataflow,
    entries: u64,
    bytes: u64,
    /// The process aborts there; for tests.
    abort_at: Option<DefinitionPoint>,
}

impl Catalogue {
    /// Opens the catalogue of a data folder, and makes it if there is none. Returns the archived entries too.
    pub(crate) fn open(
        data: &DataFolder,
        shards: u16,
        abort_at: Option<DefinitionPoint>,
    ) -> Result<(Catalogue, Vec<Vec<u8>>), StartError> {
        let mut log = SyncLog::open(&wal::Options::new(&data.0, "catalogue"))?;
        let records = log.records()?;
        let made_for = records.iter().find(|record| record.kind == SHARDS_RECORD);
        match made_for.map(|record| <[u8; 2]>::try_from(&record.payload[..]).map(u16::from_le_bytes)) {
            None => drop(log.append(SHARDS_RECORD, &shards.to_le_bytes())?),
            Some(existing) => {
                let existing = existing.unwrap_or(0);
                if existing != shards {
                    return Err(StartError::ShardCount { folder: data.0.clone(), existing, wanted: shards });
                }
            }
        }
        let entries = entries(records);
        let trial = install_all(&entries)?;
        let bytes = entries.iter().map(|entry| entry.len() as u64).sum();
        Ok((Catalogue { log, trial, entries: entries.len() as u64, bytes, abort_at }, entries))
    }

    /// The number of the newest entry; 0 if there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.entries
    }

    /// The entry that leads to `plan` from what there is; none if that is what there is.
    pub(crate) fn entry_to(&self, plan: &Plan) -> Result<Option<CatalogueEntry>, PlanError> {
        if self.trial.plan() == plan {
            return Ok(None);
        }
        let extension = Extension::of(self.trial.plan(), plan)?;
        Ok(Some(CatalogueEntry { extension, note: Vec::new() }))
    }

    /// Makes an entry durable. `after` is the entry that it was made on; `publish` lets shards see it, with its number.
    pub(crate) fn define(
        &mut self,
        after: u64,
        bytes: &[u8],
        run: Option<&RunFolder>,
        publish: impl FnOnce(u64),
    ) -> Result<u64, DefineError> {
        if after != self.entries {
            return Err(DefineError::Stale { newest: self.entries });
        }
        self.try_out(bytes)?;
        self.maybe_abort(DefinitionPoint::Checked);
        if let Err(error) = self.make_durable(bytes, run) {
            // What was tried out is not there.
            self.rebuild()?;
            return Err(error);
        }
        self.entries += 1;
        self.bytes += bytes.len() as u64;
        self.maybe_abort(DefinitionPoint::Durable);
        publish(self.entries);
        self.maybe_abort(DefinitionPoint::Published);
        Ok(self.entries)
    }

    fn make_durable(&mut self, bytes: &[u8], run: Option<&RunFolder>) -> Result<(), DefineError> {
        if let Some(run) = run {
            let path = run.entry(self.entries + 1);
            let file_error = |source| DefineError::File { path: path.display().to_string(), source };
            fs::write(&path, bytes).map_err(file_error)?;
        }
        self.maybe_abort(DefinitionPoint::Filed);
        self.log.append(ENTRY_RECORD, bytes)?;
        Ok(())
    }

    /// Installs it on the dataflow without rows. After an error nothing has changed.
    fn try_out(&mut self, bytes: &[u8]) -> Result<(), DefineError> {
        let too = |what: &str, most: u64| DefineError::Invalid(format!("{what} than {most} bytes"));
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(too("a definition must not take more", ENTRY_BYTES_MAX as u64));
        }
        if self.bytes + bytes.len() as u64 > CATALOGUE_BYTES_MAX {
            return Err(too("all definitions together must not take more", CATALOGUE_BYTES_MAX));
        }
        let entry = CatalogueEntry::from_bytes(bytes)
            .map_err(|e| DefineError::Invalid(format!("the definition cannot be read: {e}")))?;
        if self.trial.plan().nodes.len() + entry.extension.nodes.len() > OPERATORS_MAX {
            let message = format!("a plan has {OPERATORS_MAX} operators at most, dropped ones too");
            return Err(DefineError::Invalid(message));
        }
        // The plan may be anything that a front gone mad has made up, and this process is the last that may fall.
        match catch_unwind(AssertUnwindSafe(|| self.trial.extend(&entry.extension))) {
            Ok(installed) => Ok(installed?),
            Err(_) => {
                self.rebuild()?;
                Err(DefineError::Invalid("the definition contradicts itself".into()))
            }
        }
    }

    /// Installs anew what the log holds.
    fn rebuild(&mut self) -> Result<(), DefineError> {
        let entries = entries(self.log.records()?);
        let known = usize::try_from(self.entries).expect("so many lie in memory");
        // One whose append failed may be there all the same; it counts from the next start on.
        self.trial = install_all(&entries[..known]).map_err(|e| DefineError::Invalid(e.to_string()))?;
        Ok(())
    }

    fn maybe_abort(&self, point: DefinitionPoint) {
        if self.abort_at == Some(point) {
            std::process::abort();
        }
    }
}

/// The archived entries among the records of the log.
fn entries(records: Vec<OwnedRecord>) -> Vec<Vec<u8>> {
    let entries = records.into_iter().filter(|record| record.kind == ENTRY_RECORD);
    entries.map(|record| record.payload).collect()
}

fn install_all(entries: &[Vec<u8>]) -> Result<Dataflow, StartError> {
    let mut dataflow = Dataflow::new(0, 1);
    for (number, bytes) in (1..).zip(entries) {
        let entry = CatalogueEntry::from_bytes(bytes)
            .map_err(|e| StartError::CatalogueEntry(number, e.to_string()))?;
        dataflow.extend(&entry.extension)?;
    }
    Ok(dataflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use operators::accumulator::Aggregate;
    use operators::{PlanBuilder, Type, column};
    use std::path::PathBuf;

    /// A data folder that goes when the test does.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("sakia-catalogue-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("creates");
            Folder(path)
        }

        fn open(&self) -> (Catalogue, Vec<Vec<u8>>) {
            Catalogue::open(&DataFolder(self.0.clone()), 2, None).expect("opens")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // A folder left behind is no reason to fail.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// An entry with a table, an aggregate over it, and a view of that.
    fn entry(catalogue: &Catalogue, name: &str) -> Vec<u8> {
        let build = || {
            let mut builder = PlanBuilder::extend(catalogue.trial.plan().clone());
            let columns = [column("id", Type::Int), column("class", Type::Text)];
            let table = builder.table(name, &columns, &["id"])?;
            let counts = builder.aggregate(table, &["class"], &[("n", Aggregate::Count)])?;
            builder.view(name, counts, &["class"], &[])?;
            builder.build()
        };
        let plan = build().expect("is sound");
        let mut entry = catalogue.entry_to(&plan).expect("continues").expect("is new");
        entry.note = name.as_bytes().to_vec();
        entry.to_bytes()
    }

    #[test]
    fn entries_are_read_back_and_stale_ones_refused() {
        let folder = Folder::new("entries");
        let (mut catalogue, entries) = folder.open();
        assert!(entries.is_empty());
        let mut expected = Vec::new();
        for name in ["a", "b", "c"] {
            let bytes = entry(&catalogue, name);
            let mut published = 0;
            let number = catalogue.define(catalogue.newest(), &bytes, None, |number| published = number);
            assert_eq!((number.expect("is new"), published), (catalogue.newest(), catalogue.newest()));
            let again = catalogue.define(catalogue.newest() - 1, &bytes, None, |_| panic!("it is stale"));
            assert!(matches!(again, Err(DefineError::Stale { newest }) if newest == catalogue.newest()));
            expected.push(bytes);
        }
        let plan = catalogue.trial.plan().clone();
        assert_eq!(catalogue.entry_to(&plan).expect("continues"), None);
        drop(catalogue);
        let (catalogue, entries) = folder.open();
        assert_eq!(entries, expected);
        assert_eq!(catalogue.trial.plan(), &plan);
    }

    /// Whatever a front gone mad sends, the catalogue goes on, and what it takes can be read back.
    #[test]
    fn nonsense_is_refused_and_leaves_nothing() {
        let folder = Folder::new("nonsense");
        let (mut catalogue, _) = folder.open();
        let mut random = fastrand::Rng::with_seed(11);
        let mut taken = 0;
        for round in 0..2_000 {
            let mut bytes = entry(&catalogue, &format!("t{round}"));
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = if random.bool() { random.u8(..) } else { bytes[at] ^ 1 };
            }
            let before = catalogue.trial.plan().clone();
            match catalogue.define(catalogue.newest(), &bytes, None, |_| {}) {
                Ok(_) => taken += 1,
                Err(error) => assert_eq!(catalogue.trial.plan(), &before, "{error}"),
            }
            // A plan that grew with every round would only make the test slow.
            if taken == 20 {
                break;
            }
        }
        let bytes = entry(&catalogue, "last");
        let too_long = vec![0; ENTRY_BYTES_MAX + 1];
        let refused = catalogue.define(catalogue.newest(), &too_long, None, |_| {});
        assert!(matches!(refused, Err(DefineError::Invalid(_))));
        catalogue.define(catalogue.newest(), &bytes, None, |_| {}).expect("is sound");
        let plan = catalogue.trial.plan().clone();
        drop(catalogue);
        assert_eq!(folder.open().0.trial.plan(), &plan);
    }
}
