//! The live host: one process and one pinned Glommio executor a shard, rings in /dev/shm, and a supervisor that starts,
//! watches and restarts the processes.
//!
//! Two folders belong to a running database. The **data folder** holds what must survive: the logs, the catalogue, the
//! lock. The **run folder**, in /dev/shm, holds what processes share while they run: rings, doorbells, the control
//! page, the socket where fronts register; a file in the data folder names it. It is made anew by every supervisor, so
//! a process that outlives its supervisor can do no harm to the next one's.

mod arguments;
pub mod bell;
mod catalogue;
pub mod control;
pub(crate) mod definition;
mod host;
mod io_uring;
pub mod layout;
mod machine_start;
mod process;
pub(crate) mod registration;
mod registry;
mod restart;
mod run_folders;
mod stall;
pub mod supervisor;
pub(crate) mod sys;

pub use arguments::{ShardArgs, ShardFaults};
pub use catalogue::DefinitionPoint;
pub use host::shard_main;
pub use process::live_with_supervisor;
pub use restart::Recovery;
pub use supervisor::{FrontCommand, FrontStatus, Options, ShardStatus, StartError, Supervisor};
