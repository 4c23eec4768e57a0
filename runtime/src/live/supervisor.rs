//! The supervisor: starts the processes of a database, watches them, and starts them again.
//!
//! It is a thread of the process that calls [`Supervisor::start`] (`supervisor/watch.rs`); this file is its start and
//! the handle by which it is asked and told. The shards die with that thread, whatever ends it.

mod fronts;
mod watch;

pub use fronts::{FrontCommand, FrontStatus};

use super::arguments::ShardFaults;
use super::bell::{self, Bell};
use super::catalogue::{Catalogue, DefineError, DefinitionPoint};
use super::control::{ControlPage, Phase, ShardWord};
use super::io_uring;
use super::layout::{DataFolder, RunFolder};
use super::machine_start;
use super::registry::Registry;
use super::restart::Recovery;
use super::run_folders;
use super::sys::{self, monotonic_ns};
use crate::clock::{Label, ShardId};
use crate::ring::{self, RingError, RingMemory};
use operators::{Plan, PlanError};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watch::Watch;

/// How to run a database.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder; made if it is not there.
    pub folder: PathBuf,
    /// How many shards; a data folder keeps the number it was made with.
    pub shards: u16,
    /// Tables, operators and views. Added to the catalogue unless its newest entry is the same.
    pub plan: Option<Plan>,
    /// Whether steps are logged and clocks sent. Without it a shard that dies cannot be restored: for measuring only.
    pub causal_logging: bool,
    /// A shard that is silent for that long is killed and started again.
    pub stall_timeout: Duration,
    /// Capacity of a ring between two shards, and of one for a front's requests; a power of two.
    pub ring_bytes: usize,
    /// Capacity of a ring for the replies to a front; a power of two.
    pub reply_ring_bytes: usize,
    /// The most fronts at once.
    pub fronts_max: u16,
    /// The cores for the shards, in turn; all that the process may use if empty.
    pub cores: Vec<usize>,
    /// The program of the shards' processes.
    pub program: PathBuf,
    /// Its arguments in front of those for [`super::shard_main`].
    pub args: Vec<OsString>,
    /// Front processes to run beside the shards.
    pub fronts: Vec<FrontCommand>,
    /// What shall go wrong in these shards; for tests.
    pub faults: Vec<(ShardId, ShardFaults)>,
    /// Where this process shall abort in the next definition; for tests.
    pub abort_definition_at: Option<DefinitionPoint>,
}

impl Options {
    /// The usual options: this very program is started with the subcommand `shard`.
    pub fn new(folder: impl Into<PathBuf>, shards: u16) -> Options {
        Options {
            folder: folder.into(),
            shards,
            plan: None,
            causal_logging: true,
            stall_timeout: Duration::from_millis(500),
            // Four of the largest requests.
            ring_bytes: 4 << 20,
            reply_ring_bytes: 1 << 20,
            fronts_max: 64,
            cores: Vec::new(),
            program: PathBuf::from("/proc/self/exe"),
            args: vec!["shard".into()],
            fronts: Vec::new(),
            faults: Vec::new(),
            abort_definition_at: None,
        }
    }

    /// What shall go wrong in a shard.
    fn faults(&self, shard: ShardId) -> ShardFaults {
        let of_shard = self.faults.iter().find(|(id, _)| *id == shard);
        of_shard.map(|(_, faults)| faults.clone()).unwrap_or_default()
    }
}

/// Why a database could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another server has the data folder. Stop it, or use another folder.
    #[error("{} is in use by another server (process {pid}): stop it, or choose another folder", folder.display())]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// Who has it.
        pid: String,
    },
    /// The data folder was made for another number of shards.
    #[error("{} was made with {existing} shards, and {wanted} are asked for: start it with {existing}", folder.display())]
    ShardCount {
        /// The data folder.
        folder: PathBuf,
        /// The shards it has.
        existing: u16,
        /// The shards asked for.
        wanted: u16,
    },
    /// io_uring cannot be used.
    #[error("io_uring cannot be used ({source}); {}", io_uring::ADVICE)]
    IoUring {
        /// What the system said.
        source: io::Error,
    },
    /// The catalogue cannot be read or written.
    #[error("catalogue: {0}")]
    Catalogue(#[from] wal::Error),
    /// An entry of the catalogue cannot be read.
    #[error("catalogue: entry {0} cannot be read: {1}")]
    CatalogueEntry(u64, String),
    /// It cannot be defined, for another reason than its plan.
    #[error("{0}")]
    Definition(String),
    /// The plan cannot be installed on top of what there is.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A ring cannot be made.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A file, folder, socket or process cannot be made.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

fn io_error<T>(what: impl ToString, result: io::Result<T>) -> Result<T, StartError> {
    result.map_err(|source| StartError::Io { what: what.to_string(), source })
}

/// What is known of a shard from outside.
#[derive(Clone, Debug)]
pub struct ShardStatus {
    /// Which shard.
    pub shard: ShardId,
    /// Its process, if there is one.
    pub pid: Option<u32>,
    /// What it is doing.
    pub phase: Phase,
    /// Why it is not started again, if so.
    pub quarantined: Option<String>,
    /// What the last process that gave up said before it ended.
    pub fault: Option<String>,
    /// How many processes it has had since the server was started.
    pub starts: u64,
    /// Its label.
    pub label: Label,
    /// Rows written by clients, since its process began; so are the counts below.
    pub rows_written: u64,
    /// Keys looked up.
    pub lookups: u64,
    /// Messages published to other shards.
    pub messages_sent: u64,
    /// Deltas in them.
    pub deltas_sent: u64,
    /// Bytes of their clocks.
    pub clock_bytes: u64,
    /// Messages consumed of other shards.
    pub messages_received: u64,
    /// Steps taken.
    pub steps: u64,
    /// Bytes of log written.
    pub log_bytes: u64,
    /// Flushes of the log.
    pub log_flushes: u64,
    /// Estimate of the memory of tables, operators and views.
    pub memory_bytes: u64,
    /// Whether the disk has no room for the log.
    pub log_full: bool,
}

/// What the handle and the thread share.
struct Shared {
    page: ControlPage,
    bells: Vec<Bell>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    shards: Vec<SharedShard>,
    fronts: Vec<FrontStatus>,
    recoveries: Vec<Recovery>,
}

#[derive(Clone, Default)]
struct SharedShard {
    pid: Option<u32>,
    pidfd: Option<Arc<OwnedFd>>,
    /// Signal and time of the last signal sent to the process by [`Supervisor::kill`].
    killed: Option<(i32, u64)>,
    quarantined: Option<String>,
    fault: Option<String>,
    starts: u64,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    fn ring_all(&self) {
        for (shard, bell) in self.page.shard_ids().zip(&self.bells) {
            bell.ring(self.page.shard(shard, ShardWord::Sleeping));
        }
    }
}

enum Command {
    Install(Box<Plan>, Sender<Result<(), StartError>>),
    Stop,
}

/// A running database. Dropping it stops the database.
pub struct Supervisor {
    shared: Arc<Shared>,
    folder: PathBuf,
    commands: Sender<Command>,
    waker: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts a database. Returns when its processes have been started; see [`Supervisor::wait_serving`].
    pub fn start(mut options: Options) -> Result<Supervisor, StartError> {
        assert!(options.shards > 0, "a database has a shard");
        io_uring::probe().map_err(|source| StartError::IoUring { source })?;
        if options.cores.is_empty() {
            options.cores = sys::allowed_cores();
        }
        let data = DataFolder(options.folder.clone());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&data.0);
        io_error(data.0.display(), made)?;
        // Shards run in another folder than the caller's only if it says so; paths must not depend on it.
        let data = DataFolder(io_error(data.0.display(), data.0.canonicalize())?);
        options.folder.clone_from(&data.0);
        let lock = lock_folder(&data)?;
        let (catalogue, entries) = open_catalogue(&data, &options)?;
        let (run, run_lock) = io_error(RunFolder::PARENT, run_folders::make(&data))?;
        let (waker, woken) = io_error("socket pair", UnixStream::pair())?;
        io_error("socket pair", woken.set_nonblocking(true).and(waker.set_nonblocking(true)))?;
        let (commands, received) = mpsc::channel();
        let (shared, sockets) = make_shared(&options, &run)?;
        let registry = io_error(
            run.socket().display(),
            Registry::new(&run, options.ring_bytes, options.reply_ring_bytes),
        )?;
        for (number, entry) in (1..).zip(&entries) {
            let path = run.entry(number);
            io_error(path.display(), fs::write(&path, entry))?;
        }
        shared.page.catalogue_entries().store(catalogue.newest(), Ordering::Release);
        let folder = data.0.clone();
        let mut watch = Watch::new(
            options,
            data,
            run,
            Arc::clone(&shared),
            sockets,
            registry,
            catalogue,
            [lock, run_lock],
        );
        watch.start_machine()?;
        // The thread that starts the processes must be the one that lives on: they die with it.
        let thread = std::thread::Builder::new().name("supervisor".into());
        let thread = io_error("thread", thread.spawn(move || watch.run(&received, woken)))?;
        Ok(Supervisor { shared, folder, commands, waker, thread: Some(thread) })
    }

    /// The data folder, to which fronts connect.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of shards.
    pub fn shards(&self) -> u16 {
        self.shared.page.shards()
    }

    /// Waits until every shard serves or is in quarantine. Returns whether that was in time.
    pub fn wait_serving(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let page = &self.shared.page;
        let settled = || page.shard_ids().all(|shard| page.phase(shard) >= Phase::Running);
        while !settled() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        true
    }

    /// The process of a shard, if it has one now.
    pub fn pid(&self, shard: ShardId) -> Option<u32> {
        self.shared.lock().shards[usize::from(shard.0)].pid
    }

    /// Sends a signal to the process of a shard, as a test does; the recovery is counted from here. Returns whether there was a
    /// process to receive it.
    pub fn kill(&self, shard: ShardId, signal: i32) -> bool {
        let mut inner = self.shared.lock();
        let known = &mut inner.shards[usize::from(shard.0)];
        let Some(pidfd) = &known.pidfd else { return false };
        // Until it has come to its own code a process swallows some signals (see `sys::die_of_faults`), and one that is
        // dying already does not die again.
        let certain = matches!(signal, libc::SIGKILL | libc::SIGSTOP);
        let unborn = !certain && self.shared.page.phase(shard) == Phase::Down;
        let dying = known.killed.is_some_and(|(signal, _)| signal != libc::SIGSTOP);
        if unborn || dying {
            return false;
        }
        let now = monotonic_ns();
        let sent = sys::signal_pidfd(pidfd, signal).is_ok();
        match signal {
            0 => {}
            _ if !sent => {}
            // It lives on, if it was not dying.
            libc::SIGCONT => known.killed = known.killed.filter(|(signal, _)| *signal != libc::SIGSTOP),
            _ => known.killed = Some((signal, now)),
        }
        sent
    }

    /// All recoveries that have been completed.
    pub fn recoveries(&self) -> Vec<Recovery> {
        self.shared.lock().recoveries.clone()
    }

    /// What all shards are doing.
    pub fn status(&self) -> Vec<ShardStatus> {
        let inner = self.shared.lock();
        let page = &self.shared.page;
        let status = |shard: ShardId| {
            let known = &inner.shards[usize::from(shard.0)];
            let get = |word| page.get(shard, word);
            ShardStatus {
                shard,
                pid: known.pid,
                phase: page.phase(shard),
                quarantined: known.quarantined.clone(),
                fault: known.fault.clone(),
                starts: known.starts,
                label: Label(get(ShardWord::Label)),
                rows_written: get(ShardWord::RowsWritten),
                lookups: get(ShardWord::Lookups),
                messages_sent: get(ShardWord::MessagesSent),
                deltas_sent: get(ShardWord::DeltasSent),
                clock_bytes: get(ShardWord::ClockBytes),
                messages_received: get(ShardWord::MessagesReceived),
                steps: get(ShardWord::Steps),
                log_bytes: get(ShardWord::LogBytes),
                log_flushes: get(ShardWord::LogFlushes),
                memory_bytes: get(ShardWord::MemoryBytes),
                log_full: get(ShardWord::LogFull) != 0,
            }
        };
        page.shard_ids().map(status).collect()
    }

    /// What the front processes of [`Options::fronts`] are doing, in their order.
    pub fn front_status(&self) -> Vec<FrontStatus> {
        self.shared.lock().fronts.clone()
    }

    /// Adds a plan to the catalogue: one that extends the newest (see `PlanBuilder::extend`). Durable when this returns; shards
    /// take it up at once.
    pub fn install(&self, plan: Plan) -> Result<(), StartError> {
        let (reply, answer) = mpsc::channel();
        self.tell(Command::Install(Box::new(plan), reply));
        let stopped =
            || StartError::Io { what: "supervisor".into(), source: io::ErrorKind::BrokenPipe.into() };
        answer.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Stops the database: shards make durable what they have, then all processes end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.tell(Command::Stop);
            // It has panicked if this is an error; the processes are gone with it.
            let _ = thread.join();
        }
    }

    fn tell(&self, command: Command) {
        // An error means that the thread has ended; whoever waits for an answer notices.
        let _ = self.commands.send(command);
        let _ = (&self.waker).write(&[1]);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end();
    }
}

/// A file that is locked until this is dropped. Closing it would not be enough: a process that is just being started has a
/// copy of the descriptor until it runs its own program.
pub(crate) struct Lock(pub(crate) File);

impl Drop for Lock {
    fn drop(&mut self) {
        // An error leaves the lock to be freed with the last descriptor.
        let _ = self.0.unlock();
    }
}

fn lock_folder(data: &DataFolder) -> Result<Lock, StartError> {
    let path = data.lock();
    let open = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = io_error(path.display(), open)?;
    if !io_error(path.display(), sys::try_flock(&file))? {
        let mut pid = String::new();
        io_error(path.display(), file.read_to_string(&mut pid))?;
        return Err(StartError::InUse { folder: data.0.clone(), pid: pid.trim().into() });
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    io_error(path.display(), written)?;
    Ok(Lock(file))
}

/// Opens the catalogue and defines what is new in the options. Returns the archived entries too.
fn open_catalogue(data: &DataFolder, options: &Options) -> Result<(Catalogue, Vec<Vec<u8>>), StartError> {
    let (mut catalogue, mut entries) = Catalogue::open(data, options.shards, options.abort_definition_at)?;
    if let Some(plan) = &options.plan
        && let Some(entry) = catalogue.entry_to(plan)?
    {
        let bytes = entry.to_bytes();
        catalogue.define(catalogue.newest(), &bytes, None, |_| {})?;
        entries.push(bytes);
    }
    Ok((catalogue, entries))
}

impl From<DefineError> for StartError {
    fn from(error: DefineError) -> StartError {
        match error {
            DefineError::Plan(error) => StartError::Plan(error),
            DefineError::Log(error) => StartError::Catalogue(error),
            DefineError::File { path, source } => StartError::Io { what: path, source },
            other => StartError::Definition(other.to_string()),
        }
    }
}

fn make_shared(options: &Options, run: &RunFolder) -> Result<(Arc<Shared>, Vec<UnixDatagram>), StartError> {
    let page = ControlPage::create(&run.control(), options.shards, options.fronts_max);
    let page = io_error(run.control().display(), page)?;
    let (mut sockets, mut bells) = (Vec::new(), Vec::new());
    for shard in page.shard_ids() {
        let path = run.shard_bell(shard);
        sockets.push(io_error(path.display(), bell::listen(&path))?);
        bells.push(io_error(path.display(), Bell::connect(&path))?);
    }
    let shards = vec![SharedShard::default(); usize::from(options.shards)];
    let fronts = vec![FrontStatus::default(); options.fronts.len()];
    let inner = Mutex::new(Inner { shards, fronts, recoveries: Vec::new() });
    Ok((Arc::new(Shared { page, bells, inner }), sockets))
}

/// Makes the rings between shards.
fn make_rings(
    run: &RunFolder,
    page: &ControlPage,
    ring_bytes: usize,
    base_label: impl Fn(ShardId, ShardId) -> Label,
) -> Result<(), RingError> {
    assert!(ring_bytes >= ring::CAPACITY_MIN);
    for from in page.shard_ids() {
        for to in page.shard_ids().filter(|to| *to != from) {
            RingMemory::create(&run.ring(from, to), ring_bytes, base_label(from, to).0)?;
        }
    }
    Ok(())
}
