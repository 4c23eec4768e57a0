//! The process of a shard: its start, and what it says when it gives up.
//!
//! The supervisor starts it as a hidden subcommand of its own program, with the shard's doorbell as standard input. It
//! opens its log (waiting for the last writes of a dead predecessor), attaches its rings, replays, and serves
//! (`host/serve.rs`) until the database stops or something is wrong. In that case it leaves a note in the run folder and
//! ends with a status that tells the supervisor what kind of trouble it is.

mod serve;

use super::arguments::ShardArgs;
use super::control::{ControlPage, Phase, ShardWord, working_on};
use super::io_uring;
use super::layout::{DataFolder, RunFolder};
use super::machine_start::read_trims;
use super::sys::{self, monotonic_ns};
use crate::clock::ShardId;
use crate::links::{LinkError, Links};
use crate::ring::{Consumer, Producer, RingError, RingMemory};
use crate::shard::{Settings, Shard, ShardError};
use glommio::{LocalExecutorBuilder, Placement};
use serve::Host;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use wal::{Appender, LogDisk, LogFolder};

/// Memory for io_uring buffers: with the default of 10 MiB an executor takes ten times as long to start.
const IO_MEMORY_BYTES: usize = 1 << 20;
/// How long the executor polls its io_uring before it sleeps.
const SPIN_BEFORE_PARK: Duration = Duration::from_micros(5);
/// Bytes of records replayed between two breaths: some ten rows, which take well below a millisecond even through a plan of
/// many views. Counting records instead would depend on how many rows clients put into one.
const REPLAY_BREATH_BYTES: usize = 8 << 10;
/// What a record without payload counts for.
const RECORD_BYTES: usize = 32;

/// What kind of trouble ended a shard, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Trouble {
    /// Something that a restart may help against.
    Failed = 80,
    /// A ring between shards cannot be used: all shards must start again, with new rings.
    Rings = 81,
    /// The log cannot be used; restarting cannot help.
    Log = 82,
    /// io_uring is not available.
    Unavailable = 83,
}

impl Trouble {
    /// The trouble behind an exit status.
    pub(crate) fn of_status(status: i32) -> Option<Trouble> {
        [Trouble::Failed, Trouble::Rings, Trouble::Log, Trouble::Unavailable]
            .into_iter()
            .find(|trouble| *trouble as i32 == status)
    }
}

/// Why a shard gives up.
#[derive(Debug)]
pub(crate) struct Fault {
    trouble: Trouble,
    message: String,
}

impl Fault {
    fn new(trouble: Trouble, message: impl ToString) -> Fault {
        Fault { trouble, message: message.to_string() }
    }
}

impl From<RingError> for Fault {
    fn from(error: RingError) -> Fault {
        Fault::new(
            if matches!(error, RingError::Corrupt { .. }) { Trouble::Rings } else { Trouble::Failed },
            error,
        )
    }
}

impl From<ShardError> for Fault {
    fn from(error: ShardError) -> Fault {
        let lost = matches!(error, ShardError::LostWrites { .. });
        Fault::new(if lost { Trouble::Log } else { Trouble::Failed }, error)
    }
}

impl From<LinkError> for Fault {
    fn from(error: LinkError) -> Fault {
        match error {
            LinkError::Shard(error) => error.into(),
            LinkError::Ring { link, source } => {
                let Fault { trouble, message } = source.into();
                Fault { trouble, message: format!("link {link}: {message}") }
            }
        }
    }
}

/// The whole life of a shard's process. `args` are those behind the subcommand, as [`ShardArgs::to_args`] made them.
pub fn shard_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let started_at = monotonic_ns();
    let Some(args) = ShardArgs::parse(args) else {
        eprintln!("this subcommand is for the supervisor's use; start the server instead");
        return ExitCode::from(2);
    };
    if !sys::die_with_parent(args.parent) {
        return ExitCode::SUCCESS;
    }
    sys::register_membarrier();
    sys::die_of_faults();
    let note = RunFolder(args.run.clone()).fault(ShardId(args.shard));
    leave_panics_in(note.clone());
    match run_executor(args, started_at) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // The status still tells the kind of trouble if the note cannot be written.
            let _ = std::fs::write(&note, &fault.message);
            ExitCode::from(fault.trouble as u8)
        }
    }
}

/// A panic leaves its message where the supervisor looks for it.
fn leave_panics_in(note: PathBuf) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Nothing more can be done for the note in the middle of a panic.
        let _ = std::fs::write(&note, panic.to_string());
        usual(panic);
    }));
}

fn run_executor(args: ShardArgs, started_at: u64) -> Result<(), Fault> {
    let unavailable = |error: &dyn std::fmt::Display| {
        Fault::new(Trouble::Unavailable, format!("io_uring cannot be used ({error}); {}", io_uring::ADVICE))
    };
    // Glommio panics where it is refused, which would look like something that a restart helps against.
    io_uring::probe().map_err(|error| unavailable(&error))?;
    let executor = LocalExecutorBuilder::new(Placement::Fixed(args.core))
        .name(&format!("shard-{}", args.shard))
        .io_memory(IO_MEMORY_BYTES)
        .spin_before_park(SPIN_BEFORE_PARK)
        .make()
        .map_err(|error| unavailable(&error))?;
    executor.run(live(args, started_at))
}

async fn live(args: ShardArgs, started_at: u64) -> Result<(), Fault> {
    let (data, run) = (DataFolder(args.data.clone()), RunFolder(args.run.clone()));
    let me = ShardId(args.shard);
    let page = ControlPage::open(&run.control()).map_err(|e| Fault::new(Trouble::Failed, e))?;
    page.set(me, ShardWord::Pid, u64::from(std::process::id()));
    page.set(me, ShardWord::StartedAt, started_at);
    page.set(me, ShardWord::Heartbeat, started_at);
    page.set_phase(me, Phase::Opening);
    let log_fault = |e: wal::Error| {
        let damaged =
            !matches!(e, wal::Error::Io { .. } | wal::Error::InUse { .. } | wal::Error::NoRoom { .. });
        Fault::new(if damaged { Trouble::Log } else { Trouble::Failed }, e)
    };

    let folder = LogFolder::open(&log_options(&args)).map_err(log_fault)?;
    let mapped = folder.map().map_err(log_fault)?;
    let scan = mapped.scan().map_err(log_fault)?;
    let tail = scan.tail().clone();
    let appender = Appender::resume(&tail, tail.next_incarnation(), folder.options().limits);
    let mut settings = Settings::new(me, page.shards());
    settings.causal_logging = args.causal_logging;
    let mut shard = Shard::new(settings, appender);
    shard.set_trims(read_trims(&data.trims(me)).map_err(|e| Fault::new(Trouble::Log, e))?);

    let links = attach_rings(&run, me, page.shards())?;
    let mut host = Host::new(args, page, run, shard, links);
    host.meet_receivers()?;
    // Opening a long log takes longer than a shard may be silent from here on.
    host.page.set(me, ShardWord::Heartbeat, monotonic_ns());
    host.page.set_phase(me, Phase::Replaying);
    replay(&mut host, &scan)?;
    drop(scan);
    drop(mapped);
    let log = LogDisk::start(folder, &tail).await.map_err(log_fault)?;
    host.serve(log).await
}

fn log_options(args: &ShardArgs) -> wal::Options {
    let mut options = wal::Options::new(&args.data, format!("shard-{}", args.shard));
    options.faults.clone_from(&args.faults.log);
    options
}

/// Attaches the rings that join the shard with the others.
fn attach_rings(run: &RunFolder, me: ShardId, shards: u16) -> Result<Links, Fault> {
    let mut links = Links::default();
    for other in (0..shards).map(ShardId).filter(|other| *other != me) {
        let inbound = Consumer::attach(&RingMemory::open(&run.ring(other, me))?)?;
        let outbound = Producer::attach(&RingMemory::open(&run.ring(me, other))?)?;
        links.join(other, inbound, outbound);
    }
    Ok(links)
}

fn replay(host: &mut Host, scan: &wal::Scan<'_>) -> Result<(), Fault> {
    let me = host.shard.id();
    host.page.set(me, ShardWord::WorkingOn, working_on::REPLAY);
    let mut breathless_bytes = 0;
    for record in scan.records() {
        breathless_bytes += RECORD_BYTES + record.payload.len();
        if breathless_bytes >= REPLAY_BREATH_BYTES {
            breathless_bytes = 0;
            host.page.set(me, ShardWord::Heartbeat, monotonic_ns());
            // Whoever serves clients meanwhile and happens to be on this core goes first.
            std::thread::yield_now();
        }
        host.page.set(me, ShardWord::Label, host.shard.label().0);
        host.shard.replay(record.kind.0, record.lsn, record.payload)?;
    }
    host.shard.end_replay()?;
    host.page.set(me, ShardWord::WorkingOn, working_on::NOTHING);
    host.page.set(me, ShardWord::ReplayedAt, monotonic_ns());
    host.page.set(me, ShardWord::Heartbeat, monotonic_ns());
    Ok(())
}
