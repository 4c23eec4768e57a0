//! The generators' connection to the real engine: a front.

use std::path::{Path, PathBuf};
use std::time::Duration;

use operators::{Rows, TableId, ViewId, WriteKind};
use runtime::ShardId;
use runtime::front::{self, Completion, Front, FrontError};

use crate::engine;
use crate::error::Error;
use crate::vote::port::{Answered, Outcome, Port, Refused, Ticket};

/// A front, and the folder to find the engine's successor in.
#[derive(Debug)]
pub struct FrontPort {
    front: Front,
    folder: PathBuf,
    completions: Vec<Completion>,
}

impl FrontPort {
    /// Connects to the engine in `folder`.
    pub fn connect(folder: &Path) -> Result<FrontPort, Error> {
        let front = engine::connect(folder)?;
        Ok(FrontPort { front, folder: folder.to_owned(), completions: Vec::new() })
    }
}

impl Port for FrontPort {
    fn write(
        &mut self,
        shard: ShardId,
        table: TableId,
        kind: WriteKind,
        rows: &Rows,
    ) -> Result<Ticket, Refused> {
        self.front.write_at(shard, table, kind, rows).map(|request| request.0).map_err(refused)
    }

    fn lookup(&mut self, shard: ShardId, view: ViewId, keys: &Rows, limit: u32) -> Result<Ticket, Refused> {
        self.front.lookup_at(shard, view, keys, limit).map(|request| request.0).map_err(refused)
    }

    fn wait(&mut self, timeout: Duration, answers: &mut Vec<Answered>) -> Result<(), Refused> {
        self.front.wait(timeout, &mut self.completions).map_err(refused)?;
        answers.extend(self.completions.drain(..).map(answered));
        Ok(())
    }

    fn reconnect(&mut self) -> Result<(), Error> {
        self.completions.clear();
        self.front = engine::connect(&self.folder)?;
        Ok(())
    }
}

fn answered(completion: Completion) -> Answered {
    let outcome = match completion.outcome {
        front::Outcome::Written { changed } => Outcome::Written(changed),
        front::Outcome::Found { counts, rows } => Outcome::Found { counts, rows },
        front::Outcome::Scanned { .. } | front::Outcome::Ranged { .. } | front::Outcome::Defined { .. } => {
            unreachable!("it neither scans nor defines")
        }
        front::Outcome::Failed(error) => Outcome::Failed(error.to_string()),
    };
    Answered { ticket: completion.request.0, outcome }
}

fn refused(error: FrontError) -> Refused {
    match error {
        FrontError::Busy => Refused::Busy,
        FrontError::Gone(reason) => Refused::Gone(reason),
        other => Refused::Invalid(other.to_string()),
    }
}
