//! What can go wrong in the command `sakia`, each with what the person in front of it can do.

use std::path::PathBuf;

/// A failure that ends the command with exit code 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An embedded file of the demo is damaged; build the binary again from a clean checkout.
    #[error("the embedded {file} is damaged in line {line}: {what}")]
    Data {
        /// The file's name in `bench/data`.
        file: &'static str,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A file or folder cannot be used; the message says which.
    #[error("{what} {}: {source}", path.display())]
    Path {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The machine lacks something; `sakia doctor` says more.
    #[error("{what}: {found}\n  {advice}\n  `sakia doctor` checks everything else that is needed")]
    Machine {
        /// What was looked at.
        what: &'static str,
        /// What it was found to be.
        found: String,
        /// What to do about it.
        advice: String,
    },
    /// The system refused something that no option can change.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data folder of a demo must be its own; choose one that is empty or does not exist.
    #[error("{} is not empty: the demo needs a data folder of its own", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The shards cannot be started; the message says why.
    #[error(transparent)]
    Start(#[from] runtime::live::StartError),
    /// The connection to the shards failed.
    #[error("the front: {0}")]
    Front(#[from] runtime::front::FrontError),
    /// No server answers, or it turns the client away.
    #[error("cannot connect to {server}: {}", reason(source))]
    Connect {
        /// Where it is; not the URL, which may have a password.
        server: String,
        /// Why.
        source: tokio_postgres::Error,
    },
    /// Encryption without knowing for whom keeps nothing secret; say by what the server is known.
    #[error(
        "sslmode=require needs --tls-ca FILE: the server's certificate, or that of the authority that gave it"
    )]
    NoAuthority,
    /// The address of a server is neither a URL nor a list of words such as `host=...`.
    #[error("the server's address cannot be read: {}", reason(source))]
    Url {
        /// What is wrong with it.
        source: tokio_postgres::Error,
    },
    /// Everybody on the way could read along; the message says what to give.
    #[error(
        "cannot listen on {address}: other machines can connect there, and everybody on the way could read along\n  \
         give --tls-cert FILE and --tls-key FILE, or --insecure if whoever reaches it may read and write everything"
    )]
    Exposed {
        /// As it was given.
        address: std::net::SocketAddr,
    },
    /// HTTP has neither encryption nor passwords; give `--insecure`, or listen on this machine alone.
    #[error(
        "cannot answer over HTTP on {address}: other machines can connect there, and HTTP has neither encryption nor passwords\n  \
         give an address of this machine, --no-http, or --insecure if whoever reaches it may see health and figures"
    )]
    ExposedHttp {
        /// As it was given.
        address: std::net::SocketAddr,
    },
    /// Nobody could log in from another machine; make a role first.
    #[error(
        "cannot listen on {address}: other machines can connect there, and no role can log in with a password\n  \
         start without --listen, run CREATE ROLE admin SUPERUSER LOGIN PASSWORD '...', and start again with it; or give \
         --insecure if whoever reaches it may read and write everything"
    )]
    NoPassword {
        /// As it was given.
        address: std::net::SocketAddr,
    },
    /// The file of a certificate or of a key is not what it should be; the message says what to do.
    #[error("{} {what}\n  {advice}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        advice: String,
    },
    /// Others could take the place of the Unix socket; the message says what to do.
    #[error("the folder {} of the Unix socket {what}\n  --socket-folder takes one that is the server's alone or sticky like /tmp, or that does not exist yet", path.display())]
    SocketFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A process that serves clients did not come up; what it printed says why.
    #[error("a front has ended instead of serving: {end}")]
    FrontEnded {
        /// How.
        end: String,
    },
    /// Another process has the address, or it is not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As it was given.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A statement of the demo failed.
    #[error("a statement of the demo: {}", reason(.0))]
    Statement(#[from] tokio_postgres::Error),
    /// SQLite refused something, which is a mistake in the demo.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The shards stopped to answer.
    #[error("no write was acknowledged for {seconds} s")]
    Silence {
        /// How long.
        seconds: u64,
    },
    /// A shard is not started again; the message says what it died of.
    #[error("shard {shard} is down: {why}")]
    ShardDown {
        /// Which.
        shard: u16,
        /// What the supervisor says.
        why: String,
    },
    /// Shards did not come to serve.
    #[error("the shards do not serve after {seconds} s: {shards}")]
    NotServing {
        /// How long.
        seconds: u64,
        /// What each is doing.
        shards: String,
    },
    /// The dataflow went on although no writes were left.
    #[error("the dataflow is not quiet after {seconds} s: {shards}")]
    NotQuiet {
        /// How long.
        seconds: u64,
        /// What each shard is doing.
        shards: String,
    },
    /// The catalogue cannot be read; the message says what is wrong with it.
    #[error("the catalogue: {0}")]
    Catalogue(String),
    /// A benchmark gave no figures.
    #[error(transparent)]
    Bench(#[from] bench::Error),
}

/// What a server says, or what is wrong with the way to it.
fn reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string),
    }
}
