//! The processes that serve clients: started with the server, started again when they die, ended with it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long a front that dies at once waits until it is started again; it doubles with each time up to the most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A front that has lived so long has not died at once.
const LIFE_MIN: Duration = Duration::from_secs(10);

/// See the [module's documentation](self).
pub struct Fronts {
    fronts: Vec<Front>,
}

struct Front {
    program: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
}

impl Fronts {
    /// Starts a front of this program for each list of arguments, and waits until each has said where it listens.
    ///
    /// # Errors
    ///
    /// The program cannot be found or started.
    pub fn start(arguments: Vec<Vec<String>>) -> Result<Fronts, Error> {
        let program = std::env::current_exe()
            .map_err(|source| Error::System { what: "the program's own file cannot be found", source })?;
        let mut fronts = Vec::new();
        for arguments in arguments {
            let program = program.clone();
            let mut front =
                Front { program, arguments, child: None, started: Instant::now(), pause: PAUSE_MIN };
            front.spawn()?;
            fronts.push(front);
        }
        Ok(Fronts { fronts })
    }

    /// Waits until each front has said where it listens. One that has ended says nothing; it is started again later.
    pub fn addresses(&mut self) -> Vec<(u32, String)> {
        let mut said = Vec::new();
        for child in self.fronts.iter_mut().filter_map(|front| front.child.as_mut()) {
            let Some(stdout) = child.stdout.take() else { continue };
            let mut line = String::new();
            if BufReader::new(stdout).read_line(&mut line).is_ok_and(|read| read > 0) {
                said.push((child.id(), line.trim().to_owned()));
            }
        }
        said
    }

    /// Starts those again that have died; what died is told to `tell`.
    pub fn watch(&mut self, mut tell: impl FnMut(String)) {
        for front in &mut self.fronts {
            if let Some(child) = &mut front.child {
                let Ok(Some(status)) = child.try_wait() else { continue };
                tell(format!("a front has ended: {status}"));
                front.child = None;
                let was_short = front.started.elapsed() < LIFE_MIN;
                front.pause = if was_short { (front.pause * 2).min(PAUSE_MAX) } else { PAUSE_MIN };
            }
            if front.started.elapsed() >= front.pause
                && let Err(error) = front.spawn()
            {
                tell(error.to_string());
            }
        }
    }
}

impl Front {
    fn spawn(&mut self) -> Result<(), Error> {
        self.started = Instant::now();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let failed = |source| Error::System { what: "a front cannot be started", source };
        self.child = Some(child.map_err(failed)?);
        Ok(())
    }
}

impl Drop for Fronts {
    fn drop(&mut self) {
        for child in self.fronts.iter_mut().filter_map(|front| front.child.as_mut()) {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
