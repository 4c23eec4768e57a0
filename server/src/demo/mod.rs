//! `sakia demo`: a year of flights streams through every shard while shards are killed, and every view is right at the
//! end.
//!
//! The run, in order: shards and a front are started on an empty data folder; a client makes the tables and views ([`schema`])
//! and copies the constant tables; then, at once, clients write the timeline ([`timeline`], [`feed`]), a client looks up views
//! ([`reader`]), and the main thread kills shards and shows what happens ([`kills`], [`show`]). When every write is acknowledged and
//! the dataflow is quiet, all views are read and compared with SQLite's answers over the acknowledged writes
//! ([`questions`], [`oracle`]), and the verdicts are printed and written as JSON ([`report`]).
//!
//! The default pace, 35,000 rows a second, spreads the year's million events over about half a minute, not counting the
//! time that shards are away, so that about a dozen kills happen; with `--pace max` the shards set it.

mod client;
mod data;
mod feed;
#[cfg(test)]
mod in_process;
mod kills;
mod oracle;
mod questions;
mod quiet;
mod reader;
mod report;
mod schema;
mod show;
mod tables;
mod timeline;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use runtime::live::{Options, Supervisor};
use tokio_postgres::Config;

use crate::cli::DemoOptions;
use crate::doctor;
use crate::error::Error;
use crate::serve;
use crate::signals::{Request, Stop};
use client::Lookup;
use data::Data;
use feed::{Fed, Progress};
use kills::Killer;
use oracle::{Answer, Oracle};
use questions::questions;
use reader::Read;
use report::{Report, ViewResult};
use show::{Show, grouped};
use timeline::Timeline;

/// Rows written together: by each connection a quarter.
const CHUNK_ROWS: usize = 1000;
/// Connections that write.
const LANES: usize = 4;
/// Shards when there are fewer cores: with one alone there would be no others that go on.
const SHARDS_MIN: u16 = 2;
/// How often the main thread looks around.
const TICK: Duration = Duration::from_millis(50);
/// How long shards may take to be serving at the start, and to be quiet at the end.
const SERVING_TIMEOUT: Duration = Duration::from_secs(30);
const QUIET_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the demo; exit code 1 if anything is not as it must be.
pub fn run(options: &DemoOptions) -> Result<ExitCode, Error> {
    doctor::require_startable()?;
    let stop = Stop::listen()?;
    forbid_core_dumps();
    let data = Data::load(options.flights.map_or(usize::MAX, |flights| flights as usize))?;
    let timeline = match options.copy {
        false => Timeline::new(&data.flights, CHUNK_ROWS),
        true => Timeline::at_once(&data.flights),
    };
    let home = Home::new(options.data.as_deref())?;
    let shards = options.shards.unwrap_or_else(|| doctor::core_count().max(SHARDS_MIN));
    let mut show = Show::new(timeline.events().len() as u64);

    let (supervisor, config) = start(home.path(), shards)?;
    show.line(format!(
        "{} flights, {} rows to write, {shards} shards in {}; clients may look at 127.0.0.1:{}",
        grouped(data.flights.len() as u64),
        grouped(timeline.events().len() as u64),
        home.path().display(),
        config.get_ports()[0],
    ));
    client::block_on(feed::prepare(&config, schema::SQL, &data))?;
    let stream = Stream { options, data: &data, timeline: &timeline, folder: home.path(), config: &config };
    let streamed = stream.run(&supervisor, &mut show, &stop)?;
    let outcome = match streamed.broken_off {
        Some(request) => {
            show.finish();
            println!("broken off by {} after {} rows", request.name(), grouped(streamed.fed.rows() as u64));
            Ok(ExitCode::from(request.exit_code()))
        }
        None => stream.judge(&supervisor, streamed, &mut show),
    };
    supervisor.stop();
    home.close()?;
    outcome
}

/// Starts shards and a front, and waits until they serve. Returns how clients connect, too.
fn start(folder: &Path, shards: u16) -> Result<(Supervisor, Config), Error> {
    let mut options = Options::new(folder, shards);
    let arguments = ["front", "--listen", "127.0.0.1:0", "--data", &folder.display().to_string()];
    options.fronts = vec![serve::own_command(arguments.map(str::to_owned).into())?];
    let supervisor = Supervisor::start(options)?;
    let deadline = Instant::now() + SERVING_TIMEOUT;
    while !(supervisor.wait_serving(TICK) && serve::all_listen(&supervisor)?) {
        if Instant::now() > deadline {
            let status = supervisor.status();
            let shards =
                status.iter().map(|status| format!("shard {} is {:?}", status.shard.0, status.phase));
            let shards = shards.collect::<Vec<_>>().join(", ");
            return Err(Error::NotServing { seconds: SERVING_TIMEOUT.as_secs(), shards });
        }
        std::thread::sleep(TICK);
    }
    let said = supervisor.front_status()[0].said.clone().expect("it has said where it listens");
    let address: SocketAddr = said.parse().expect("a front says its addresses");
    let mut config = Config::new();
    config.host(address.ip().to_string()).port(address.port()).user("demo").dbname("demo");
    Ok((supervisor, config))
}

/// One run's input, at hand for all its threads.
struct Stream<'a> {
    options: &'a DemoOptions,
    data: &'a Data,
    timeline: &'a Timeline,
    folder: &'a Path,
    config: &'a Config,
}

/// What came out of the stream.
struct Streamed {
    fed: Fed,
    read: Read,
    broken_off: Option<Request>,
}

impl Stream<'_> {
    /// Writes and reads on threads of their own while this one kills and shows.
    fn run(&self, supervisor: &Supervisor, show: &mut Show, stop: &Stop) -> Result<Streamed, Error> {
        let progress = Progress::default();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let feeder = scope.spawn(|| {
                let lanes = if self.options.copy { 1 } else { LANES };
                let pace = self.options.pace;
                client::block_on(feed::feed(self.config, self.data, self.timeline, lanes, pace, &progress))
            });
            let reader = scope
                .spawn(|| client::block_on(reader::read(self.config, self.data, self.options.seed, &over)));
            let broken_off = self.conduct(supervisor, show, stop, &progress, &|| feeder.is_finished());
            // Whatever happened, the threads must end before the scope does.
            progress.cancelled.store(broken_off.is_err(), Ordering::Relaxed);
            over.store(true, Ordering::Relaxed);
            let fed = feeder.join().expect("the writer does not panic");
            let read = reader.join().expect("the reader does not panic");
            Ok(Streamed { fed: fed?, read: read?, broken_off: broken_off? })
        })
    }

    /// Kills shards and shows what happens until the writer is done.
    fn conduct(
        &self,
        supervisor: &Supervisor,
        show: &mut Show,
        stop: &Stop,
        progress: &Progress,
        done: &dyn Fn() -> bool,
    ) -> Result<Option<Request>, Error> {
        let mut killer = Killer::new(self.options);
        let mut broken_off = None;
        while !done() {
            if let Some(request) = stop.wait(TICK) {
                broken_off = Some(request);
                progress.cancelled.store(true, Ordering::Relaxed);
            }
            show.progress(progress.acknowledged.load(Ordering::Relaxed), progress.at());
            if broken_off.is_none() && !done() {
                killer.tick(supervisor, show);
            }
            killer.show_recoveries(supervisor, show);
            if let Some(down) = supervisor.status().into_iter().find(|status| status.quarantined.is_some()) {
                let why = down.quarantined.unwrap_or_default();
                return Err(Error::ShardDown { shard: down.shard.0, why });
            }
        }
        Ok(broken_off)
    }

    /// Waits until the dataflow is quiet, asks the oracle, compares and reports.
    fn judge(&self, supervisor: &Supervisor, streamed: Streamed, show: &mut Show) -> Result<ExitCode, Error> {
        quiet::wait_quiet(self.folder, QUIET_TIMEOUT)?;
        show.finish();
        let oracle = Oracle::new(self.data)?;
        oracle.apply(self.data, streamed.fed.events(self.timeline))?;
        let views = client::block_on(self.compare(&oracle))?;
        let report = Report {
            shards: supervisor.shards(),
            fed: &streamed.fed,
            read: &streamed.read,
            recoveries: &supervisor.recoveries(),
            views: &views,
        };
        report.print();
        if let Some(path) = &self.options.json {
            report.write_json(path)?;
        }
        Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Reads every view and compares it with the oracle's answer.
    async fn compare(&self, oracle: &Oracle) -> Result<Vec<ViewResult>, Error> {
        let client = client::connect(self.config).await?;
        let mut results = Vec::new();
        for question in questions() {
            let lookup = Lookup::prepare(&client, &question).await?;
            let mut found = Answer::new();
            for key in question.keys.all(self.data) {
                let rows = lookup.rows(&client, &key).await?;
                if !rows.is_empty() {
                    found.insert(key, rows);
                }
            }
            let verdict = oracle::compare(&oracle.answer(&question, lookup.key_column)?, &found);
            results.push(ViewResult { name: question.view, title: question.title, verdict });
        }
        Ok(results)
    }
}

/// The data folder of a run.
enum Home {
    /// Made for the run and removed after it.
    Temporary(tempfile::TempDir),
    /// Given by the caller, who keeps it.
    Given(PathBuf),
}

impl Home {
    fn new(given: Option<&Path>) -> Result<Home, Error> {
        match given {
            Some(path) => {
                let in_use = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
                if in_use {
                    Err(Error::NotEmpty { path: path.to_owned() })
                } else {
                    Ok(Home::Given(path.to_owned()))
                }
            }
            // The current folder rather than /tmp, which may be memory; but it may also be read-only.
            None => tempfile::Builder::new()
                .prefix(".sakia-demo-")
                .tempdir_in(".")
                .or_else(|_| tempfile::Builder::new().prefix("sakia-demo-").tempdir())
                .map(Home::Temporary)
                .map_err(|source| Error::Path { what: "cannot make a folder in", path: ".".into(), source }),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Home::Temporary(folder) => folder.path(),
            Home::Given(path) => path,
        }
    }

    fn close(self) -> Result<(), Error> {
        let Home::Temporary(folder) = self else { return Ok(()) };
        let path = folder.path().to_owned();
        folder.close().map_err(|source| Error::Path { what: "cannot remove", path, source })
    }
}

/// Dozens of shards are about to be aborted on purpose: none of them shall leave an image of its memory.
fn forbid_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    // Lowering a limit is always allowed; if not, there are files to be deleted and nothing else is wrong.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
}
