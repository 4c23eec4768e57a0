//! Signals: stopping on request, and the names of those that end shards.
//!
//! SIGTERM and SIGINT are turned into something a loop can wait for. The first signal asks for a clean stop. A second one ends the
//! process at once, for the case that the clean stop hangs; the shards die with their supervisor.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::Error;

/// The request to stop, once it comes.
pub struct Stop {
    requests: Receiver<i32>,
}

impl Stop {
    /// Starts to listen for the signals. They no longer end the process by themselves from here on.
    pub fn listen() -> Result<Stop, Error> {
        let system = |source| Error::System { what: "signals cannot be listened for", source };
        let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(system)?;
        let (sender, requests) = channel();
        let listen = move || {
            for (count, signal) in signals.forever().enumerate() {
                let loop_is_gone = sender.send(signal).is_err();
                if count > 0 || loop_is_gone {
                    eprintln!("sakia: stopped at once");
                    // The shell's way to say which signal it was.
                    std::process::exit(128 + signal);
                }
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(system)?;
        Ok(Stop { requests })
    }

    /// Waits for a request, at most so long. The answer is the exit code of a process that such a signal ended.
    pub fn wait(&self, timeout: Duration) -> Option<Request> {
        match self.requests.recv_timeout(timeout) {
            Ok(signal) => Some(Request { signal }),
            Err(RecvTimeoutError::Timeout) => None,
            // The thread ends only with the process.
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("the thread that listens for signals is gone")
            }
        }
    }
}

/// Makes SIGINT do nothing in this process: a terminal sends ^C to the supervisor and to all that it has started, and when they stop
/// is for the supervisor to say. They die with it in any case.
pub fn leave_interrupts_to_supervisor() {
    ignore(SIGINT);
}

/// Makes SIGTERM do nothing either, which a service manager sends to all: the supervisor stops shards in another way, after they have
/// stored what they have.
pub fn leave_to_supervisor() {
    [SIGTERM, SIGINT].into_iter().for_each(ignore);
}

fn ignore(signal: i32) {
    // A handler that sets a flag which nobody reads. It cannot be refused for these two signals; and if it were, a process that
    // dies of a signal is replaced as after any other death.
    let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
}

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    signal: i32,
}

impl Request {
    /// The name of the signal.
    pub fn name(self) -> &'static str {
        if self.signal == SIGTERM { "SIGTERM" } else { "SIGINT" }
    }

    /// The exit code of a run that was broken off by it.
    pub fn exit_code(self) -> u8 {
        u8::try_from(128 + self.signal).expect("signals of interest are below 32")
    }
}

/// The name of a signal as people write it.
pub fn signal_name(signal: i32) -> String {
    const NAMES: [(i32, &str); 8] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
        (19, "SIGSTOP"),
    ];
    let known = NAMES.iter().find(|(number, _)| *number == signal);
    known.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(64), "signal 64");
        assert_eq!(Request { signal: SIGTERM }.name(), "SIGTERM");
        assert_eq!(Request { signal: SIGINT }.exit_code(), 130);
    }
}
