//! The processes of fronts that the supervisor starts: started again when they die, ended before the shards are.
//!
//! A front owns no data, so its death costs connections and nothing else, and there is no quarantine: a front that keeps
//! dying is started ever more slowly. What its program prints first is kept, for it says where it listens.

use super::super::process::{End, Process};
use super::super::restart::{CrashGuard, Verdict};
use super::super::sys;
use crate::clock::Label;
use crate::live::control::working_on;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

/// How long fronts may take to end when they are asked to.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// A front whose program cannot be started is tried again after that long.
const FAILED_DELAY: Duration = Duration::from_secs(1);
/// The most bytes kept of what it prints first.
const SAID_BYTES_MAX: usize = 1024;

/// A front process to run beside the shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontCommand {
    /// Its program. It should call [`live_with_supervisor`](crate::live::live_with_supervisor) before anything else.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// What is known of a front process from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontStatus {
    /// Its process, if there is one now.
    pub pid: Option<u32>,
    /// How many processes it has had.
    pub starts: u64,
    /// The first line that the present process has printed, without its end; none until it is complete.
    pub said: Option<String>,
    /// How the last process ended, or why there is none.
    pub last_end: Option<String>,
}

/// One of them.
pub(super) struct FrontProcess {
    command: FrontCommand,
    process: Option<Process>,
    stdout: Option<ChildStdout>,
    line: Vec<u8>,
    started: Instant,
    restart_at: Option<Instant>,
    guard: CrashGuard,
    status: FrontStatus,
}

impl FrontProcess {
    pub(super) fn new(command: FrontCommand) -> FrontProcess {
        FrontProcess {
            command,
            process: None,
            stdout: None,
            line: Vec::new(),
            started: Instant::now(),
            restart_at: None,
            guard: CrashGuard::default(),
            status: FrontStatus::default(),
        }
    }

    /// Looks after it without waiting. Returns its status if that has changed.
    pub(super) fn look_after(&mut self) -> Option<&FrontStatus> {
        let before = self.status.clone();
        self.listen();
        // An error would mean that it is no child of ours any more; there is nothing left to watch then either.
        let end = self.process.as_mut().and_then(|process| process.try_wait().unwrap_or(Some(End::Exit(-1))));
        if let Some(end) = end {
            self.bury(end);
        }
        if self.process.is_none() && self.restart_at.is_none_or(|due| Instant::now() >= due) {
            self.start();
        }
        (self.status != before).then_some(&self.status)
    }

    fn start(&mut self) {
        (self.restart_at, self.started) = (None, Instant::now());
        self.line.clear();
        let FrontCommand { program, args } = &self.command;
        match Process::start_front(program, args) {
            Ok((process, stdout)) => {
                self.status.pid = Some(process.id());
                self.status.starts += 1;
                (self.process, self.stdout) = (Some(process), Some(stdout));
            }
            Err(error) => {
                let why = format!("{} cannot be started: {error}", program.display());
                eprintln!("supervisor: front: {why}");
                self.status.last_end = Some(why);
                self.restart_at = Some(Instant::now() + FAILED_DELAY);
            }
        }
    }

    fn bury(&mut self, end: End) {
        eprintln!("supervisor: front process {} has ended: {end}", self.status.pid.unwrap_or(0));
        (self.process, self.stdout) = (None, None);
        (self.status.pid, self.status.said) = (None, None);
        self.status.last_end = Some(end.to_string());
        // It works on nothing that could be to blame.
        let verdict = self.guard.crashed(end, Label(0), working_on::NOTHING, self.started.elapsed(), "");
        let Verdict::Restart(delay) = verdict else { unreachable!("nothing was being consumed") };
        self.restart_at = Some(Instant::now() + delay);
    }

    /// Takes what it has printed; all but the first line is dropped.
    fn listen(&mut self) {
        let Some(stdout) = &mut self.stdout else { return };
        let mut bytes = [0; SAID_BYTES_MAX];
        // A bounded number, so that one that prints all the time does not hold up the supervisor.
        for _ in 0..4 {
            match stdout.read(&mut bytes) {
                Ok(count @ 1..) => {
                    let room = SAID_BYTES_MAX - self.line.len();
                    self.line.extend_from_slice(&bytes[..count.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It has closed it; there is nothing more to hear.
                Ok(0) | Err(_) => {
                    self.stdout = None;
                    break;
                }
            }
        }
        if self.status.said.is_none()
            && let Some(end) = self.line.iter().position(|byte| *byte == b'\n')
        {
            self.status.said = Some(String::from_utf8_lossy(&self.line[..end]).trim_end().to_owned());
        }
    }

    /// What to wait for: its end, and what it prints.
    pub(super) fn fds(&self) -> impl Iterator<Item = RawFd> + '_ {
        let process = self.process.iter().map(|process| process.pidfd().as_raw_fd());
        process.chain(self.stdout.iter().map(|stdout| stdout.as_raw_fd()))
    }

    /// When it is to be started again.
    pub(super) fn restart_at(&self) -> Option<Instant> {
        self.restart_at
    }
}

/// Ends all of them: asks them to, and kills those that do not.
pub(super) fn end_all(fronts: &mut [FrontProcess]) {
    for process in fronts.iter().filter_map(|front| front.process.as_ref()) {
        // An error means that it has ended already.
        let _ = sys::signal_pidfd(process.pidfd(), libc::SIGTERM);
    }
    let deadline = Instant::now() + END_TIMEOUT;
    for front in fronts {
        let Some(process) = &mut front.process else { continue };
        let left = deadline.saturating_duration_since(Instant::now());
        // Whoever has not ended by then is killed when dropped.
        let _ = sys::poll_readable(&[process.pidfd().as_raw_fd()], left);
        let _ = process.try_wait();
        (front.process, front.stdout) = (None, None);
    }
}
