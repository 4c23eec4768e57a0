//! `sakia bench lookup`: lookups of single keys through the front library alone, so that it is known what a protocol around it
//! may cost; and what it adds that a lookup must show what its session has written.
//!
//! Three kinds: *plain* lookups; *after* lookups with a token whose writes have long been shown; and *fresh* ones, each
//! right after the acknowledgement of a write of the same story, which the answer must count.

use std::time::{Duration, Instant};

use operators::{Rows, WriteKind};
use runtime::front::{Completion, Front, Outcome, RequestId, Token};
use serde::Serialize;

use crate::cli;
use crate::engine;
use crate::error::Error;
use crate::folder::DataFolder;
use crate::latencies::{Latencies, Percentiles};
use crate::vote::workload::{self, Names, RowWriter, Shown};

/// Stories in the table: enough to miss the nearest caches, few enough to be written quickly.
const STORY_COUNT: u32 = 100_000;
/// Stories of one write.
const WRITE_COUNT: u32 = 2_000;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What `bench lookup` found.
#[derive(Debug, Serialize)]
pub struct LookupReport {
    /// Each kind at each depth.
    pub runs: Vec<LookupRun>,
}

/// One kind of lookup with so many under way.
#[derive(Debug, Serialize)]
pub struct LookupRun {
    /// `plain`, `after` or `fresh`.
    pub kind: &'static str,
    /// Lookups under way.
    pub depth: usize,
    /// Lookups a second.
    pub per_second: f64,
    /// From the call to the answer.
    pub answered_us: Percentiles,
    /// The call that asks.
    pub asking_us: Percentiles,
}

/// Runs the benchmark. Whether all answers were right.
pub fn run(arguments: &cli::Lookup) -> Result<bool, Error> {
    let folder = DataFolder::new(arguments.place.data.as_deref())?;
    let path = folder.fresh("lookup")?;
    let shards = engine::shards_or_cores(arguments.place.shards);
    let plan = workload::plan(1).map_err(Error::engine("build the plan"))?;
    let names = Names::of(&plan).map_err(Error::engine("build the plan"))?;
    let supervisor = engine::start(&path, shards, plan, true)?;
    let mut reader = Reader::connect(engine::connect(&path)?, names, shards);
    reader.add_stories()?;
    let mut runs = Vec::new();
    for depth in [1, 64] {
        for kind in ["plain", "after"] {
            let token = if kind == "after" { Some(reader.token.clone()) } else { None };
            runs.push(reader.look_up(kind, token.as_ref(), depth, arguments.seconds)?);
        }
    }
    runs.push(reader.look_up_fresh(arguments.seconds)?);
    let right = reader.wrong_count == 0;
    drop(reader);
    supervisor.stop();
    for run in &runs {
        println!(
            "  {:<6} depth {:>2}  {:>9.0} /s  p50 {:>7.1} us, p99 {:>7.1} us; the call p50 {:>5.2} us",
            run.kind, run.depth, run.per_second, run.answered_us.p50, run.answered_us.p99, run.asking_us.p50
        );
    }
    arguments.output.write_json(&LookupReport { runs })?;
    Ok(right)
}

/// A session that reads stories.
struct Reader {
    front: Front,
    names: Names,
    rows: RowWriter,
    random: fastrand::Rng,
    token: Token,
    completions: Vec<Completion>,
    wrong_count: u64,
}

impl Reader {
    fn connect(front: Front, names: Names, shards: u16) -> Reader {
        Reader {
            front,
            names,
            rows: RowWriter::new(shards),
            random: fastrand::Rng::with_seed(1),
            token: Token::default(),
            completions: Vec::new(),
            wrong_count: 0,
        }
    }

    fn add_stories(&mut self) -> Result<(), Error> {
        let mut rows = Rows::new();
        for first in (0..STORY_COUNT).step_by(WRITE_COUNT as usize) {
            rows.clear();
            (first..first + WRITE_COUNT).for_each(|story| self.rows.push_story(story, &mut rows));
            let asked = self.front.write(self.names.stories, WriteKind::Insert, &rows);
            let request = asked.map_err(Error::engine("write stories"))?;
            self.written(request)?;
        }
        Ok(())
    }

    /// Waits until a write is acknowledged.
    fn written(&mut self, request: RequestId) -> Result<(), Error> {
        let completion = self.wait(request)?;
        self.token.merge(&completion.at);
        match completion.outcome {
            Outcome::Written { .. } => Ok(()),
            other => Err(Error::Engine { action: "write", reason: format!("{other:?}") }),
        }
    }

    fn wait(&mut self, request: RequestId) -> Result<Completion, Error> {
        let begin = Instant::now();
        while begin.elapsed() < ANSWER_TIMEOUT {
            let waited = self.front.wait(ANSWER_TIMEOUT, &mut self.completions);
            waited.map_err(Error::engine("wait for an answer"))?;
            if let Some(completion) = self.completions.pop() {
                assert_eq!(completion.request, request, "nothing else is under way");
                return Ok(completion);
            }
        }
        Err(Error::Timeout { what: "an answer", seconds: ANSWER_TIMEOUT.as_secs() })
    }

    fn ask(&mut self, story: u32, token: Option<&Token>, keys: &mut Rows) -> Result<RequestId, Error> {
        keys.clear();
        self.rows.push_key(story, keys);
        let (view, limit) = (self.names.view, workload::ROWS_PER_STORY);
        let asked = match token {
            None => self.front.lookup(view, keys, limit),
            Some(token) => self.front.lookup_after(token, view, keys, limit),
        };
        asked.map_err(Error::engine("look a story up"))
    }

    /// Notes whether an answer is that of a story with so many votes at least.
    fn check(&mut self, story: u32, outcome: &Outcome, votes: u64) {
        let shown = match outcome {
            Outcome::Found { rows, .. } => rows.iter().next().map(|row| workload::read_shown(story, row)),
            _ => None,
        };
        let right = shown.is_some_and(|Shown { right, votes: shown }| right && shown >= votes);
        self.wrong_count += u64::from(!right);
    }

    fn look_up(
        &mut self,
        kind: &'static str,
        token: Option<&Token>,
        depth: usize,
        length: Duration,
    ) -> Result<LookupRun, Error> {
        let (mut answered, mut asking, mut keys) = (Latencies::new(), Latencies::new(), Rows::new());
        let mut under_way: Vec<(RequestId, u32, Instant)> = Vec::new();
        let begin = Instant::now();
        while begin.elapsed() < length || !under_way.is_empty() {
            while under_way.len() < depth && begin.elapsed() < length {
                let story = self.random.u32(0..STORY_COUNT);
                let now = Instant::now();
                let request = self.ask(story, token, &mut keys)?;
                asking.record(now.elapsed().as_nanos() as u64, 1);
                under_way.push((request, story, now));
            }
            let mut completions = std::mem::take(&mut self.completions);
            let waited = self.front.wait(ANSWER_TIMEOUT, &mut completions);
            waited.map_err(Error::engine("wait for an answer"))?;
            for completion in completions.drain(..) {
                let index = under_way.iter().position(|(request, ..)| *request == completion.request);
                let (_, story, asked) = under_way.swap_remove(index.expect("it was asked"));
                answered.record(asked.elapsed().as_nanos() as u64, 1);
                self.check(story, &completion.outcome, 0);
            }
            self.completions = completions;
        }
        let per_second = answered.count() as f64 / begin.elapsed().as_secs_f64();
        let (answered_us, asking_us) = (answered.percentiles(), asking.percentiles());
        Ok(LookupRun { kind, depth, per_second, answered_us, asking_us })
    }

    fn look_up_fresh(&mut self, length: Duration) -> Result<LookupRun, Error> {
        let (mut answered, mut asking, mut keys) = (Latencies::new(), Latencies::new(), Rows::new());
        let mut votes = vec![0; STORY_COUNT as usize];
        let begin = Instant::now();
        let mut user = 0;
        while begin.elapsed() < length {
            let story = self.random.u32(0..STORY_COUNT);
            user += 1;
            keys.clear();
            keys.push(self.rows.vote(story, user).1);
            let asked = self.front.write(self.names.votes, WriteKind::Insert, &keys);
            self.written(asked.map_err(Error::engine("vote"))?)?;
            votes[story as usize] += 1;
            let token = self.token.clone();
            let now = Instant::now();
            let request = self.ask(story, Some(&token), &mut keys)?;
            asking.record(now.elapsed().as_nanos() as u64, 1);
            let completion = self.wait(request)?;
            answered.record(now.elapsed().as_nanos() as u64, 1);
            self.check(story, &completion.outcome, votes[story as usize]);
        }
        let per_second = answered.count() as f64 / begin.elapsed().as_secs_f64();
        let (answered_us, asking_us) = (answered.percentiles(), asking.percentiles());
        Ok(LookupRun { kind: "fresh", depth: 1, per_second, answered_us, asking_us })
    }
}
