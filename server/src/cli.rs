//! The command line: what can be asked of `sakia`, and nothing of how it is done.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::error::Error;

/// Data folder of the server when none is given.
const DATA_DEFAULT: &str = "./sakia-data";
/// Where `sakia sql` connects to when nothing is given.
const URL_DEFAULT: &str = "postgres://sakia@127.0.0.1:5433/sakia";
/// Where clients are listened for when nothing is given.
const LISTEN_DEFAULT: &str = "127.0.0.1:5433";
/// Where health and figures are told over HTTP when nothing is given.
const HTTP_DEFAULT: &str = "127.0.0.1:8433";
/// Most shards of one machine: ring files grow with its square.
const SHARDS_MAX: i64 = 256;

/// A streaming dataflow database whose shards survive being killed.
///
/// Without a command it serves the data folder until SIGTERM or SIGINT.
#[derive(Debug, Parser)]
#[command(name = "sakia", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do; serve if nothing is given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of the server.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// What `sakia` can do beside serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stream a year of flights through every core, kill shards meanwhile, and check every view at the end.
    Demo(DemoOptions),
    /// Check whether this machine has what the shards need, and say what to do about it.
    Doctor(DoctorOptions),
    /// Measure.
    #[command(subcommand)]
    Bench(bench::cli::Command),
    /// Run the shards, rings, logs and disks of whole machines in this process, from seeds, and kill everything at every
    /// point.
    Sim(runtime::sim::cli::SimArgs),
    /// Send SQL statements to a server and print what they give, where there is no psql.
    Sql(SqlOptions),
    /// Health and figures over HTTP; the supervisor starts it.
    #[command(hide = true)]
    Http(HttpOptions),
    /// One front; the server starts these.
    #[command(hide = true)]
    Front(FrontOptions),
    /// One shard; the supervisor starts these.
    #[command(hide = true, disable_help_flag = true)]
    Shard {
        /// What the supervisor tells it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Options of the server.
#[derive(Debug, Args)]
pub struct ServeOptions {
    /// Folder for the logs; made if there is none.
    #[arg(long, default_value = DATA_DEFAULT)]
    pub data: PathBuf,
    /// Shards; one per core when not given. It cannot be changed once a data folder is in use.
    #[arg(long, value_parser = shards())]
    pub shards: Option<u16>,
    /// Milliseconds without a heartbeat after which a shard counts as stalled and is restarted.
    #[arg(long, value_name = "MS", default_value = "500", value_parser = millis)]
    pub stall_timeout: Duration,
    /// Processes that serve clients; connections are spread over them.
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub fronts: u16,
    /// Where to answer over HTTP: /health, /ready and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = HTTP_DEFAULT)]
    pub http: SocketAddr,
    /// Do not answer over HTTP.
    #[arg(long, conflicts_with = "http")]
    pub no_http: bool,
    /// How clients reach the server.
    #[command(flatten)]
    pub clients: ClientOptions,
}

/// How clients reach the server.
#[derive(Debug, Clone, Args)]
pub struct ClientOptions {
    /// Where to listen for clients; may be given several times.
    #[arg(long, value_name = "ADDRESS", default_value = LISTEN_DEFAULT)]
    pub listen: Vec<SocketAddr>,
    /// Folder of the Unix socket, to which only the server's user and root can connect; `socket` in the data folder when not given.
    /// It is made if there is none. One that is there is not changed, and is refused if others could put another socket in the place
    /// of the server's: if it is somebody else's than the server's or root's, or writable by others and not sticky like /tmp.
    #[arg(long, value_name = "FOLDER")]
    pub socket_folder: Option<PathBuf>,
    /// PEM file of the server's certificate, followed by those between it and one that clients know. New connections get
    /// the new one when the files are replaced.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key, which nobody else may be able to read.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Listen beyond this machine although connections need not be encrypted, and anybody is let in unless a role has a password.
    #[arg(long)]
    pub insecure: bool,
    /// Most connections of one front at a time.
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
}

/// What the server tells a front.
#[derive(Debug, Args)]
pub struct FrontOptions {
    /// The data folder that is served.
    #[arg(long)]
    pub data: PathBuf,
    /// How clients reach it.
    #[command(flatten)]
    pub clients: ClientOptions,
    /// Other fronts listen on the same addresses.
    #[arg(long)]
    pub shared: bool,
}

impl ClientOptions {
    /// The first address at which strangers can connect.
    pub fn exposed(&self) -> Option<SocketAddr> {
        self.listen.iter().copied().find(|address| is_exposed(*address))
    }

    /// Refuses to listen where strangers can connect if they could read along, unless that was said to be meant.
    pub fn check_exposure(&self) -> Result<(), Error> {
        match self.exposed() {
            Some(address) if !self.insecure && self.tls().is_none() => Err(Error::Exposed { address }),
            _ => Ok(()),
        }
    }

    /// The files of the certificate and of its key.
    pub fn tls(&self) -> Option<(PathBuf, PathBuf)> {
        self.tls_cert.clone().zip(self.tls_key.clone())
    }
}

fn is_exposed(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

impl ServeOptions {
    /// Refuses to listen where strangers can connect, unless that was said to be meant.
    pub fn check_exposure(&self) -> Result<(), Error> {
        self.clients.check_exposure()?;
        let is_served = !self.no_http && is_exposed(self.http);
        if is_served && !self.clients.insecure {
            Err(Error::ExposedHttp { address: self.http })
        } else {
            Ok(())
        }
    }

    /// The arguments of the process that answers over HTTP, if there is to be one.
    pub fn http_arguments(&self) -> Option<Vec<String>> {
        let arguments = || {
            ["http", "--data", &self.data.display().to_string(), "--listen", &self.http.to_string()]
                .map(str::to_owned)
                .into()
        };
        (!self.no_http).then(arguments)
    }

    /// The arguments of each front. Only the first has the Unix socket, as two cannot listen on one.
    pub fn front_arguments(&self) -> Vec<Vec<String>> {
        let listen = self.clients.listen.iter();
        let listen: Vec<String> =
            listen.flat_map(|address| ["--listen".to_owned(), address.to_string()]).collect();
        let front = |number: u16| {
            let mut arguments =
                vec!["front".to_owned(), "--data".to_owned(), self.data.display().to_string()];
            arguments.extend(listen.iter().cloned());
            arguments.extend(["--connections".to_owned(), self.clients.connections.to_string()]);
            if self.clients.insecure {
                arguments.push("--insecure".to_owned());
            }
            if let Some((certificate, key)) = self.clients.tls() {
                arguments.extend(["--tls-cert".to_owned(), certificate.display().to_string()]);
                arguments.extend(["--tls-key".to_owned(), key.display().to_string()]);
            }
            if self.fronts > 1 {
                arguments.push("--shared".to_owned());
            }
            if number == 0 {
                let default = self.data.join("socket");
                let folder = self.clients.socket_folder.as_ref().unwrap_or(&default);
                arguments.extend(["--socket-folder".to_owned(), folder.display().to_string()]);
            }
            arguments
        };
        (0..self.fronts).map(front).collect()
    }
}

/// Options of `sakia doctor`.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// Folder whose disk is checked; it need not exist.
    #[arg(long, default_value = DATA_DEFAULT)]
    pub data: PathBuf,
}

/// Options of `sakia sql`.
#[derive(Debug, Args)]
pub struct SqlOptions {
    /// Where the server listens, as a URL or as `host=... port=... user=...`. A password comes from there or from PGPASSWORD.
    #[arg(default_value = URL_DEFAULT)]
    pub url: String,
    /// Encrypt, and go on only if the server has a certificate of this PEM file, or one that an authority in it gave.
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Run these statements and end; may be given several times.
    #[arg(short, long, value_name = "SQL")]
    pub command: Vec<String>,
    /// Run the statements of this file, after those of `--command`, and end.
    #[arg(short, long)]
    pub file: Option<PathBuf>,
}

/// What the supervisor tells the process that answers over HTTP.
#[derive(Debug, Args)]
pub struct HttpOptions {
    /// The data folder that the server serves.
    #[arg(long)]
    pub data: PathBuf,
    /// Where to listen.
    #[arg(long)]
    pub listen: SocketAddr,
}

/// Options of `sakia demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoOptions {
    /// Folder for the logs, kept afterwards; must be empty or missing. A temporary one when not given.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Shards; one per core but at least two when not given.
    #[arg(long, value_parser = shards())]
    pub shards: Option<u16>,
    /// Rows to write a second; `max` for as many as the shards take.
    #[arg(long, default_value = "35000", value_parser = pace)]
    pub pace: Pace,
    /// Seconds between two kills; more if a shard takes longer to be restored.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub kill_every: Duration,
    /// Leave the shards alone.
    #[arg(long, conflicts_with = "kill_every")]
    pub no_kill: bool,
    /// Seed of what is killed when and how.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stream only the first so many flights of the year.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub flights: Option<u32>,
    /// Write the year by one COPY of all flights as they were in the end, as fast as the shards take it.
    #[arg(long, conflicts_with = "pace")]
    pub copy: bool,
    /// Write the figures to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// How fast rows are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many a second, if the shards keep up.
    RowsPerSecond(f64),
    /// As many as the shards take.
    Max,
}

fn shards() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=SHARDS_MAX)
}

fn pace(text: &str) -> Result<Pace, String> {
    if text == "max" {
        return Ok(Pace::Max);
    }
    match text.parse::<f64>() {
        Ok(rows) if rows.is_finite() && rows >= 1.0 => Ok(Pace::RowsPerSecond(rows)),
        _ => Err("a number of rows a second, at least 1, or `max`".to_owned()),
    }
}

fn millis(text: &str) -> Result<Duration, String> {
    /// Shorter than this, a busy machine would look like a stall.
    const MILLIS_MIN: u64 = 50;
    const MILLIS_MAX: u64 = 3_600_000;
    match text.parse::<u64>() {
        Ok(millis @ MILLIS_MIN..=MILLIS_MAX) => Ok(Duration::from_millis(millis)),
        _ => Err(format!("a number of milliseconds between {MILLIS_MIN} and {MILLIS_MAX}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds between 0.1 and 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_means_serve() {
        let cli = parse("sakia").expect("no argument is needed");
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.data, PathBuf::from(DATA_DEFAULT));
        assert_eq!(cli.serve.shards, None);
        assert_eq!(cli.serve.stall_timeout, Duration::from_millis(500));
        let cli = parse("sakia --data /tmp/x --shards 3 --stall-timeout 1000").expect("valid options");
        assert_eq!((cli.serve.data, cli.serve.shards), (PathBuf::from("/tmp/x"), Some(3)));
    }

    #[test]
    fn the_demo_has_defaults_and_options() {
        let Some(Command::Demo(options)) = parse("sakia demo").expect("no option is needed").command else {
            panic!("not the demo");
        };
        assert_eq!(options.pace, Pace::RowsPerSecond(35_000.0));
        assert_eq!(options.kill_every, Duration::from_secs(2));
        assert!(!options.no_kill && !options.copy);
        let line =
            "sakia demo --pace max --no-kill --shards 2 --seed 7 --flights 1000 --json out.json --data d";
        let Some(Command::Demo(options)) = parse(line).expect("valid options").command else {
            panic!("not the demo");
        };
        assert_eq!(options.pace, Pace::Max);
        assert!(options.no_kill);
        assert_eq!((options.shards, options.seed, options.flights), (Some(2), 7, Some(1000)));
        assert_eq!(options.json, Some(PathBuf::from("out.json")));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "sakia nonsense",
            "sakia --shards 0",
            "sakia --shards 257",
            "sakia --stall-timeout 1",
            "sakia demo --pace 0",
            "sakia demo --pace nan",
            "sakia demo --kill-every 0",
            "sakia demo --flights 0",
            "sakia demo --no-kill --kill-every 3",
            "sakia demo --copy --pace 100",
            "sakia --shards 2 doctor",
            "sakia --tls-cert c.pem",
            "sakia --tls-key k.pem",
        ] {
            assert!(parse(line).is_err(), "{line} was accepted");
        }
        assert_eq!(parse("sakia --help").map(|_| ()), Err(ErrorKind::DisplayHelp));
        assert_eq!(parse("sakia --version").map(|_| ()), Err(ErrorKind::DisplayVersion));
    }

    #[test]
    fn a_shard_takes_whatever_the_supervisor_says() {
        let Some(Command::Shard { arguments }) = parse("sakia shard --id 3 -x y").expect("any").command
        else {
            panic!("not a shard");
        };
        assert_eq!(arguments, ["--id", "3", "-x", "y"]);
    }
}
