//! Child processes of the supervisor.
//!
//! A child is started with posix_spawn (which the standard library uses as long as nothing must run between fork and
//! exec), because forking a process with much memory takes long. The child arranges for its own death with its parent
//! when it comes to its own code.

use super::bell;
use super::sys;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

/// What the C library lets be set from outside.
const LIBC_TUNABLES: &str = "GLIBC_TUNABLES";
/// A shard's state is large and accessed at random: with memory asked for in huge pages, replay is 15 % faster. And what it
/// frees it needs again at once: given back to the system and filled with zeros anew, it would cost 7 % of the processor time
/// of a large COPY. So up to 64 MiB are kept; naming one threshold fixes the other, which has been 32 MiB before too, once a
/// shard was warm. Where the C library or the kernel knows nothing of it, nothing changes.
const MEMORY: &str =
    "glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=67108864:glibc.malloc.mmap_threshold=33554432";

/// Tells a front process who its supervisor is.
const SUPERVISOR: &str = "SAKIA_SUPERVISOR";

/// For the program of a front process, before anything else: has it killed when its supervisor ends, whatever ends that. Returns
/// false if it has ended already. Does nothing in a process that no supervisor has started.
pub fn live_with_supervisor() -> bool {
    let supervisor = std::env::var(SUPERVISOR).ok().and_then(|pid| pid.parse().ok());
    supervisor.is_none_or(sys::die_with_parent)
}

/// A running child. When dropped it is killed and reaped, so that none is ever left behind.
pub(crate) struct Process {
    child: Child,
    pidfd: Arc<OwnedFd>,
    reaped: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with a status.
    Exit(i32),
    /// By a signal.
    Signal(i32),
}

impl Process {
    /// Starts a child that has a doorbell as its standard input.
    pub(crate) fn start(program: &Path, args: &[OsString], doorbell: &UnixDatagram) -> io::Result<Process> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::from(bell::duplicate(doorbell)?));
        if std::env::var_os(LIBC_TUNABLES).is_none() {
            command.env(LIBC_TUNABLES, MEMORY);
        }
        let mut child = command.spawn()?;
        match sys::open_pidfd(child.id()) {
            Ok(pidfd) => Ok(Process { child, pidfd: Arc::new(pidfd), reaped: false }),
            Err(error) => {
                // Without a descriptor it cannot be watched; an error of the kill means that it has ended already.
                let _ = child.kill();
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Starts a front, whose standard output is read without waiting.
    pub(crate) fn start_front(program: &Path, args: &[OsString]) -> io::Result<(Process, ChildStdout)> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        command.env(SUPERVISOR, std::process::id().to_string());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().expect("it is piped");
        let watched =
            sys::open_pidfd(child.id()).and_then(|pidfd| Ok((pidfd, sys::set_nonblocking(&stdout)?)));
        match watched {
            Ok((pidfd, ())) => Ok((Process { child, pidfd: Arc::new(pidfd), reaped: false }, stdout)),
            Err(error) => {
                // Without a descriptor it cannot be watched; an error of the kill means that it has ended already.
                let _ = child.kill();
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Readable when it has ended.
    pub(crate) fn pidfd(&self) -> &Arc<OwnedFd> {
        &self.pidfd
    }

    /// Kills it; it still has to be waited for.
    pub(crate) fn kill(&self) {
        // An error means that it has ended already.
        let _ = sys::signal_pidfd(&self.pidfd, libc::SIGKILL);
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<End>> {
        let status = self.child.try_wait()?;
        self.reaped |= status.is_some();
        Ok(status.map(end_of))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            // Nobody is left to hear of an error.
            let _ = self.child.wait();
        }
    }
}

fn end_of(status: ExitStatus) -> End {
    match status.signal() {
        Some(signal) => End::Signal(signal),
        None => End::Exit(status.code().unwrap_or(-1)),
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Exit(status) => write!(f, "exit status {status}"),
            End::Signal(libc::SIGKILL) => write!(f, "SIGKILL"),
            End::Signal(libc::SIGSEGV) => write!(f, "SIGSEGV"),
            End::Signal(libc::SIGABRT) => write!(f, "SIGABRT"),
            End::Signal(libc::SIGBUS) => write!(f, "SIGBUS"),
            End::Signal(libc::SIGTERM) => write!(f, "SIGTERM"),
            End::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
