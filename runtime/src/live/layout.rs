//! Where things lie: names of the files in the data folder and in the run folder.

use crate::catalogue::CatalogueEntry;
use crate::clock::{FrontId, ShardId};
use std::path::{Path, PathBuf};

/// The folder of what must survive.
#[derive(Clone, Debug)]
pub struct DataFolder(pub PathBuf);

impl DataFolder {
    /// Locked by the supervisor for as long as it runs.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Holds the path of the run folder while a supervisor runs.
    pub fn run_path(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The log of the catalogue.
    pub fn catalogue(&self) -> PathBuf {
        self.0.join("catalogue")
    }

    /// The log of a shard.
    pub fn shard_log(&self, shard: ShardId) -> PathBuf {
        self.0.join(format!("shard-{shard}"))
    }

    /// The trims of a shard's log.
    pub fn trims(&self, shard: ShardId) -> PathBuf {
        self.0.join(format!("shard-{shard}.trims"))
    }
}

/// The folder of what processes share while they run.
#[derive(Clone, Debug)]
pub struct RunFolder(pub PathBuf);

impl RunFolder {
    /// Where run folders lie.
    pub const PARENT: &str = "/dev/shm";
    /// How their names begin.
    pub const PREFIX: &str = "sakia-";

    /// Locked by the supervisor for as long as it runs.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// The control page.
    pub fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    /// The socket where fronts register.
    pub fn socket(&self) -> PathBuf {
        self.0.join("fronts")
    }

    /// The catalogue entry with that number, from 1.
    pub fn entry(&self, number: u64) -> PathBuf {
        self.0.join(format!("entry-{number}"))
    }

    /// The doorbell of a shard.
    pub fn shard_bell(&self, shard: ShardId) -> PathBuf {
        self.0.join(format!("bell-{shard}"))
    }

    /// The ring from one shard to another.
    pub fn ring(&self, from: ShardId, to: ShardId) -> PathBuf {
        self.0.join(format!("ring-{from}-{to}"))
    }

    /// What a shard says before it gives up.
    pub fn fault(&self, shard: ShardId) -> PathBuf {
        self.0.join(format!("fault-{shard}"))
    }

    /// Why a shard is in quarantine.
    pub fn quarantine(&self, shard: ShardId) -> PathBuf {
        self.0.join(format!("quarantine-{shard}"))
    }

    /// Everything of one front.
    pub fn front(&self, front: FrontId) -> FrontFolder {
        FrontFolder(self.0.join(format!("front-{:016x}", front.0)))
    }
}

/// The folder of one front, in the run folder.
#[derive(Clone, Debug)]
pub struct FrontFolder(pub PathBuf);

impl FrontFolder {
    /// Its doorbell.
    pub fn bell(&self) -> PathBuf {
        self.0.join("bell")
    }

    /// What it asks to have defined, by a number of its own.
    pub fn definition(&self, number: u64) -> PathBuf {
        self.0.join(format!("definition-{number}"))
    }

    /// Requests to a shard.
    pub fn requests(&self, shard: ShardId) -> PathBuf {
        self.0.join(format!("requests-{shard}"))
    }

    /// Replies of a shard.
    pub fn replies(&self, shard: ShardId) -> PathBuf {
        self.0.join(format!("replies-{shard}"))
    }
}

/// Reads a catalogue entry from the run folder.
pub(crate) fn read_entry(path: &Path) -> std::io::Result<CatalogueEntry> {
    let entry = CatalogueEntry::from_bytes(&std::fs::read(path)?);
    entry.map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e.to_string()))
}

/// Opens the data folder's note of where the database runs.
pub fn find_run_folder(data: &Path) -> std::io::Result<RunFolder> {
    let path = std::fs::read_to_string(DataFolder(data.to_owned()).run_path())?;
    Ok(RunFolder(PathBuf::from(path.trim_end())))
}
