//! What can keep a benchmark from giving figures.

use std::path::PathBuf;

/// Why a benchmark ended without figures. Wrong results are not errors: they are figures, and the exit code says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used: see that it exists, is writable and lies on a disk.
    #[error("could not {action} {path}: {source}")]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process could not be started or stopped.
    #[error("could not {action}: {source}")]
    Process {
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The engine did not start, stopped, or did not do what was asked: the text says what.
    #[error("could not {action}: {reason}")]
    Engine {
        /// What was attempted.
        action: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// A server refused a statement, or a connection to it ended.
    #[error("a server answered: {0}")]
    Server(#[from] tokio_postgres::Error),
    /// Something did not happen in time: the machine is overloaded, or something hangs.
    #[error("{what} did not happen within {seconds} s")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
    },
}

impl Error {
    /// An error of a file, for `map_err`.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { action, path, source }
    }

    /// An error of another process, for `map_err`.
    pub fn process(action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Process { action, source }
    }

    /// An error of the engine, for `map_err`.
    pub fn engine<E: std::fmt::Display>(action: &'static str) -> impl FnOnce(E) -> Error {
        move |error| Error::Engine { action, reason: error.to_string() }
    }
}
