//! Starting the binary, and not waiting for it for ever.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer for the binary, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// The binary with these arguments.
pub fn sakia(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sakia"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    let child =
        sakia(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let _watch = Watch::new(&child);
    child.wait_with_output().expect("the binary ends")
}

/// What it printed on standard output.
pub fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it printed on standard error.
pub fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server that is killed when the test is over.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    _watch: Watch,
}

impl Running {
    /// Starts it.
    pub fn start(arguments: &[&str]) -> Running {
        let mut child = sakia(arguments).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped"));
        let watch = Watch::new(&child);
        Running { child, lines, _watch: watch }
    }

    /// Reads its output up to and including a line that contains `text`, and returns that line.
    pub fn read_until(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("its output is text");
            assert!(read > 0, "it ended without saying {text:?}, but this:\n{all}");
            if line.contains(text) {
                return line;
            }
            all += &line;
        }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal and waits for its end.
    pub fn end(mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).expect("it is running");
        self.child.wait().expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is gone already if the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills a process that goes on for too long, so that a test fails rather than hangs.
struct Watch {
    /// Dropped when the test is over.
    _over: Sender<()>,
}

impl Watch {
    fn new(child: &Child) -> Watch {
        let (sender, over) = channel::<()>();
        let pid = Pid::from_child(child);
        std::thread::spawn(move || {
            if over.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // If it ended meanwhile there is nothing to kill.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Watch { _over: sender }
    }
}
