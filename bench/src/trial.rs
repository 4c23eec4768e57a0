//! One trial: a fresh engine, its stories, a measured phase of load with or without kills, and the comparison of every
//! count at the end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use runtime::live::supervisor::Supervisor;

use crate::cli::{Load, Rate, SignalChoice};
use crate::counters::Counters;
use crate::crash;
use crate::engine::{self, HostProcess};
use crate::error::Error;
use crate::folder::DataFolder;
use crate::latencies::Latencies;
use crate::report::{Kill, MachineKill};
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::timeline::{self, Slice};
use crate::vote::front::FrontPort;
use crate::vote::generator::{Generator, Role, Shared};
use crate::vote::probe::{PROBE_STORIES, Probes};
use crate::vote::results::{Phase, Results};
use crate::vote::single::{self, Paces};
use crate::vote::stories::{self, Verified};
use crate::vote::workload::{self, Names};
use crate::windows::KillWindows;
use crate::zipf::Zipf;

/// From the decision to start until load is offered: time for the generators to connect.
const HEAD_START: Duration = Duration::from_millis(50);

/// What a trial does.
#[derive(Debug, Clone)]
pub struct Trial<'a> {
    /// The workload.
    pub load: &'a Load,
    /// The rate, which may differ from that of the workload.
    pub rate: Rate,
    /// Length of the measured phase.
    pub seconds: Duration,
    /// Load before it.
    pub warmup: Duration,
    /// Whether shards can be restored.
    pub causal_logging: bool,
    /// Who is killed.
    pub crashes: Crashes,
    /// The run ends after so many kills instead of at its time.
    pub kills_max: Option<u32>,
    /// Whether votes are cast one at a time before the load.
    pub single_writes: bool,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crashes {
    /// Nobody.
    None,
    /// A random shard every so often.
    Shards(Duration, SignalChoice),
    /// The supervisor and all shards every so often.
    Everything(Duration),
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The figures of all generators.
    pub results: Results,
    /// The course of the measured phase.
    pub slices: Vec<Slice>,
    /// Its length in seconds.
    pub seconds: f64,
    /// Times of the votes cast one at a time.
    pub single_writes: Paces<Latencies>,
    /// Deaths of shards.
    pub kills: Vec<Kill>,
    /// Deaths of everything.
    pub machine_kills: Vec<MachineKill>,
    /// The comparison at the end.
    pub verified: Verified,
    /// What the shards counted themselves; not known when the supervisor was killed.
    pub counters: Option<Counters>,
}

enum Engine {
    Here(Supervisor),
    Child(HostProcess),
}

/// Runs a trial in a fresh folder.
pub fn run(trial: &Trial<'_>, folder: &DataFolder) -> Result<Outcome, Error> {
    let path = folder.fresh("vote")?;
    let shards = engine::shards_or_cores(trial.load.shards);
    let plan = workload::plan(1).map_err(Error::engine("build the plan"))?;
    let names = Names::of(&plan).map_err(Error::engine("build the plan"))?;
    let owners = workload::story_owners(trial.load.stories + u32::from(PROBE_STORIES), shards);
    let mut engine = match trial.crashes {
        Crashes::Everything(_) => Engine::Child(HostProcess::start(&path, shards)?),
        _ => Engine::Here(engine::start(&path, shards, plan, trial.causal_logging)?),
    };
    let mut port = FrontPort::connect(&path)?;
    stories::load(&mut port, &names, &owners, shards, trial.load.seed)?;
    let mut singles = Tally::new(owners.len() as u32);
    let mut single_writes = Paces::default();
    if trial.single_writes {
        single_writes = single::measure(&mut port, &names, shards, &mut singles)?;
    }
    drop(port);

    let shared = Arc::new(share(trial, names, Arc::clone(&owners), shards));
    let before = counters(&engine);
    let (mut results, slices, crashed) = offer_load(trial, &path, &shared, &mut engine)?;
    let counters = before.zip(counters(&engine)).map(|(before, mut after)| {
        after.add(&crashed.lost);
        after.since(&before)
    });
    results.tally.add(&singles);
    let mut port = FrontPort::connect(&path)?;
    let verified = stories::verify(&mut port, &names, &owners, shards, &results.tally)?;
    drop(port);
    match engine {
        Engine::Here(supervisor) => supervisor.stop(),
        Engine::Child(host) => host.stop()?,
    }
    results.wrong_rows += verified.wrong_rows;
    let seconds = results.phase().seconds();
    let Crashed { kills, machine_kills, .. } = crashed;
    Ok(Outcome { results, slices, seconds, single_writes, kills, machine_kills, verified, counters })
}

/// Who was killed.
#[derive(Debug, Default)]
struct Crashed {
    kills: Vec<Kill>,
    machine_kills: Vec<MachineKill>,
    /// What the killed processes had counted.
    lost: Counters,
}

/// Runs the generators in threads of their own, and the killing in this one.
fn offer_load(
    trial: &Trial<'_>,
    path: &Path,
    shared: &Arc<Shared>,
    engine: &mut Engine,
) -> Result<(Results, Vec<Slice>, Crashed), Error> {
    std::thread::scope(|scope| {
        // The last one is for the probes.
        let threads: Vec<_> = (0..trial.load.generators + u16::from(trial.load.probes > 0))
            .map(|index| scope.spawn(move || generate(trial, path, shared, index)))
            .collect();
        let crashed = inject(trial, path, shared, engine);
        if crashed.is_err() {
            // The generators must not go on, perhaps for ever, against an engine that did not come back.
            shared.end_ns.store(0, Ordering::Relaxed);
        }
        let mut all: Option<Results> = None;
        let mut timelines = Vec::new();
        for thread in threads {
            let (results, timeline) = thread.join().expect("a generator does not panic")?;
            timelines.push(timeline);
            match &mut all {
                None => all = Some(results),
                Some(all) => all.add(results),
            }
        }
        let crashed = crashed?;
        let results = all.expect("there is at least one generator");
        Ok((results, timeline::merge(&timelines), crashed))
    })
}

/// Kills who is to be killed while the generators run.
fn inject(trial: &Trial<'_>, path: &Path, shared: &Shared, engine: &mut Engine) -> Result<Crashed, Error> {
    let start_ns = trial.warmup.as_nanos() as u64;
    let schedule = |every| crash::Schedule { every, kills_max: trial.kills_max, start_ns };
    let mut crashed = Crashed::default();
    match (trial.crashes, engine) {
        (Crashes::None, _) => {}
        (Crashes::Shards(every, signal), Engine::Here(supervisor)) => {
            (crashed.kills, crashed.lost) =
                crash::kill_shards(supervisor, shared, schedule(every), signal, trial.load.seed)?;
        }
        (Crashes::Everything(every), Engine::Child(host)) => {
            crashed.machine_kills = crash::kill_everything(host, path, shared, schedule(every))?;
        }
        _ => unreachable!("the engine was started for the crashes asked for"),
    }
    Ok(crashed)
}

/// One generator's thread.
fn generate(
    trial: &Trial<'_>,
    path: &Path,
    shared: &Arc<Shared>,
    index: u16,
) -> Result<(Results, Vec<Slice>), Error> {
    // Sleeps end when they should: 50 us late, as usual, would show in every latency. Not vital where it is refused.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let (load, phase) = (trial.load, phase(trial));
    let role = if index < load.generators {
        Role::Load(Schedule::new(trial.rate, load.batch, load.generators, 0, phase.end_ns))
    } else {
        let rate = Rate::PerSecond(f64::from(load.probes));
        Role::Probes(Probes::new(Schedule::new(rate, 1, 1, 0, phase.end_ns), &shared.owners))
    };
    let results = Results::new(shared.owners.len() as u32, phase);
    let port = FrontPort::connect(path)?;
    let generator = Generator::new(Arc::clone(shared), port, index, load.seed, role, results);
    let mut results = generator.run()?;
    let timeline = results.take_timeline();
    Ok((results, timeline))
}

fn share(trial: &Trial<'_>, names: Names, owners: Arc<[u16]>, shards: u16) -> Shared {
    let load = trial.load;
    let in_flight_max = load.in_flight.unwrap_or((20 * load.batch).max(2_000));
    Shared {
        zipf: Zipf::new(load.stories, load.skew),
        owners,
        windows: KillWindows::new(shards),
        end_ns: AtomicU64::new(phase(trial).end_ns),
        shards,
        reads_percent: load.reads,
        batch: load.batch,
        in_flight_max: u64::from(in_flight_max),
        names,
        // Last, as building the table above takes its time.
        start: Instant::now() + HEAD_START,
    }
}

fn phase(trial: &Trial<'_>) -> Phase {
    let start_ns = trial.warmup.as_nanos() as u64;
    let end_ns = match trial.kills_max {
        Some(_) => u64::MAX,
        None => start_ns + trial.seconds.as_nanos() as u64,
    };
    Phase { start_ns, end_ns }
}

fn counters(engine: &Engine) -> Option<Counters> {
    match engine {
        Engine::Here(supervisor) => Some(Counters::read(supervisor)),
        Engine::Child(_) => None,
    }
}
