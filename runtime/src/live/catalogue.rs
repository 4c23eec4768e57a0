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
        let mut plan = self.trial.plan().clone();
        if !entry.extension.extend(&mut plan) {
            return Err(DefineError::Invalid("the definition was made for another plan".into()));
        }
        if plan.nodes.len() > OPERATORS_MAX {
            let message = format!("a plan has {OPERATORS_MAX} operators at most, dropped ones too");
            return Err(DefineError::Invalid(message));
        }
        // The plan may be anything that a front gone mad has made up, and this process is the last that may fall.
        match catch_unwind(AssertUnwindSafe(|| self.trial.install(&plan))) {
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
        let mut plan = dataflow.plan().clone();
        if !entry.extension.extend(&mut plan) {
            return Err(StartError::CatalogueEntry(number, "it was made for another plan".into()));
        }
        dataflow.install(&plan)?;
    }
    Ok(dataflow)
}
