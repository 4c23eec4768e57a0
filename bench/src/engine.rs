//! The engine as a benchmark starts it: a supervisor in this process, or one in a process of its own that can be killed
//! with all of its shards.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use operators::Plan;
use runtime::front::Front;
use runtime::live::supervisor::{Options, Supervisor};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::cli;
use crate::error::Error;
use crate::vote::workload;

/// How long a start may take, recovery included.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a clean stop may take before the process is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two attempts to connect, and between two looks whether a process has ended.
const RETRY: Duration = Duration::from_millis(2);

/// The number of shards asked for, or one per core.
pub fn shards_or_cores(asked: Option<u16>) -> u16 {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as u16);
    asked.unwrap_or_else(cores)
}

/// Starts a supervisor in this process and waits until all shards serve.
pub fn start(folder: &Path, shards: u16, plan: Plan, causal_logging: bool) -> Result<Supervisor, Error> {
    let options = Options { plan: Some(plan), causal_logging, ..Options::new(folder, shards) };
    let supervisor = Supervisor::start(options).map_err(Error::engine("start the engine"))?;
    if !supervisor.wait_serving(START_TIMEOUT) {
        return Err(Error::Timeout { what: "the start of all shards", seconds: START_TIMEOUT.as_secs() });
    }
    check_quarantine(&supervisor)?;
    Ok(supervisor)
}

/// An error if some shard is not started again any more.
pub fn check_quarantine(supervisor: &Supervisor) -> Result<(), Error> {
    match supervisor.status().into_iter().find_map(|status| status.quarantined) {
        None => Ok(()),
        Some(reason) => Err(Error::Engine { action: "keep all shards running", reason }),
    }
}

/// Connects to the engine in `folder`, which may still be starting.
pub fn connect(folder: &Path) -> Result<Front, Error> {
    let begin = Instant::now();
    loop {
        match Front::connect(folder) {
            Ok(front) => return Ok(front),
            Err(error) if begin.elapsed() > START_TIMEOUT => return Err(Error::engine("connect")(error)),
            Err(_) => std::thread::sleep(RETRY),
        }
    }
}

/// A supervisor in a process of its own, in a process group with its shards.
#[derive(Debug)]
pub struct HostProcess {
    child: Child,
    folder: PathBuf,
    shards: u16,
}

impl HostProcess {
    /// Starts it; it serves the vote workload from `folder`.
    pub fn start(folder: &Path, shards: u16) -> Result<HostProcess, Error> {
        let child = spawn(folder, shards)?;
        Ok(HostProcess { child, folder: folder.to_owned(), shards })
    }

    /// Kills the supervisor and all shards at once, and starts a new one on the same folder.
    pub fn kill_and_restart(&mut self) -> Result<(), Error> {
        self.kill()?;
        self.child = spawn(&self.folder, self.shards)?;
        Ok(())
    }

    /// Lets it end by itself.
    pub fn stop(mut self) -> Result<(), Error> {
        // It stops when its input ends.
        drop(self.child.stdin.take());
        let begin = Instant::now();
        while begin.elapsed() < STOP_TIMEOUT {
            if let Some(status) = self.child.try_wait().map_err(Error::process("wait for the engine"))? {
                let reason = status.to_string();
                return status
                    .success()
                    .then_some(())
                    .ok_or(Error::Engine { action: "stop the engine", reason });
            }
            std::thread::sleep(RETRY);
        }
        Err(Error::Timeout { what: "the end of the engine", seconds: STOP_TIMEOUT.as_secs() })
    }

    fn kill(&mut self) -> Result<(), Error> {
        if let Ok(Some(_)) = self.child.try_wait() {
            return Ok(());
        }
        kill_process_group(Pid::from_child(&self.child), Signal::KILL)
            .map_err(|errno| Error::process("kill the engine")(errno.into()))?;
        self.child.wait().map_err(Error::process("wait for the engine"))?;
        Ok(())
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // On the way out of an error there is nobody left to tell.
        let _ = self.kill();
    }
}

fn spawn(folder: &Path, shards: u16) -> Result<Child, Error> {
    Command::new("/proc/self/exe")
        .args(["bench", "host"])
        .arg(folder)
        .args(["--shards", &shards.to_string()])
        .stdin(Stdio::piped())
        // A group of its own: the shards are in it too, and one signal reaches all of them at the same moment.
        .process_group(0)
        .spawn()
        .map_err(Error::process("start the engine"))
}

/// The process that [`HostProcess`] starts.
pub fn run_host(arguments: &cli::Host) -> Result<(), Error> {
    let plan = workload::plan(1).map_err(Error::engine("build the plan"))?;
    let supervisor = start(&arguments.folder, arguments.shards, plan, true)?;
    let mut ignored = Vec::new();
    std::io::stdin().read_to_end(&mut ignored).map_err(Error::process("wait for the end of the input"))?;
    supervisor.stop();
    Ok(())
}
