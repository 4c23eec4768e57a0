//! Runs the files of `server/tests/slt` against a database: statements and queries with the results they must have.
//!
//! A file is in the format of sqllogictest, so that its tools can read it. Each query is run in three **ways**: as it
//! stands, as a materialised view that is made when there are no rows yet, and as one that is made when the rows are there.
//! All three must give the same rows. Queries that are no views say `onlyif scan`; the labels for `onlyif` and `skipif`
//! are the name of the engine (`sakia`, `postgresql`), the name of the way (`scan`, `before`, `after`), and `view` for
//! the two ways that make one.
//!
//! - The letters behind `query` are the types of the columns, one for each type of SQL: see [`Kind`].
//! - A row is a line, its values joined by `|`. NULL is `NULL`, an empty text is `(empty)`.
//! - `error (22012)` asks for this SQLSTATE.
//!
//! The files are filled in by PostgreSQL ([`update`]) and read by people.
//!
//! What no person writes down is generated: [`random`] makes tables, views and writes that must give what SQLite gives
//! ([`oracle`]).
#![forbid(unsafe_code)]

mod answer;
mod file;
pub mod oracle;
pub mod random;
mod remote;
mod run;
mod update;

pub use answer::{Answer, Connection, Failure, Kind};
pub use file::{files, labels};
pub use remote::Remote;
pub use run::{Report, Way, run};
pub use update::update;

/// A file cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not in the format.
    #[error("{0}")]
    Format(#[from] sqllogictest::ParseError),
    /// It cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The reference refuses what the file wants to succeed, or the other way round.
    #[error("{0}")]
    Unexpected(String),
    /// There is no connection.
    #[error("cannot connect: {0}")]
    Connect(#[from] postgres::Error),
}
