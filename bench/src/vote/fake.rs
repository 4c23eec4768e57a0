//! An engine in memory for the tests of the generator: it counts votes, and it fails on demand.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use operators::{Datum, RowBuilder, Rows, TableId, ViewId, WriteKind};
use runtime::ShardId;

use crate::error::Error;
use crate::vote::port::{Answered, Outcome, Port, Refused, Ticket};
use crate::vote::workload::{Title, story_of};

/// Requests that one shard takes before it is busy.
const REQUESTS_MAX: usize = 8;

/// The engine; clones are the same one.
#[derive(Clone)]
pub struct Fake(Rc<RefCell<State>>);

type Condition = Box<dyn Fn(&Fake) -> bool>;

struct State {
    votes: HashSet<(u32, i64)>,
    counts: HashMap<u32, u64>,
    requests: Vec<VecDeque<(Ticket, Request)>>,
    answered: Vec<u64>,
    dead: Option<(ShardId, Condition)>,
    /// Requests left until all die, and whether what is under way then is applied.
    dies: Option<(u64, bool)>,
    gone: bool,
    deaths: u64,
    lose: bool,
    refuse: bool,
    /// Requests left until a vote shows.
    late: Option<(u64, u32, i64)>,
    ticket: Ticket,
}

#[derive(Clone)]
enum Request {
    Write(WriteKind, Rows),
    Lookup(Rows),
}

impl Fake {
    pub fn new(shards: u16) -> Fake {
        Fake(Rc::new(RefCell::new(State {
            votes: HashSet::new(),
            counts: HashMap::new(),
            requests: (0..shards).map(|_| VecDeque::new()).collect(),
            answered: vec![0; usize::from(shards)],
            dead: None,
            dies: None,
            gone: false,
            deaths: 0,
            lose: false,
            refuse: false,
            late: None,
            ticket: 0,
        })))
    }

    /// `shard` answers nothing until the condition holds.
    pub fn revive_when(&self, shard: ShardId, condition: impl Fn(&Fake) -> bool + 'static) {
        self.0.borrow_mut().dead = Some((shard, Box::new(condition)));
    }

    /// After so many requests all shards die; what is under way is applied or not, and never answered.
    pub fn die_after(&self, requests: u64, applied: bool) {
        self.0.borrow_mut().dies = Some((requests, applied));
    }

    pub fn lose_one(&self) {
        self.0.borrow_mut().lose = true;
    }

    pub fn refuse_one(&self) {
        self.0.borrow_mut().refuse = true;
    }

    /// A vote that shows only some requests from now.
    pub fn vote_later(&self, story: u32, user: i64) {
        self.0.borrow_mut().late = Some((8, story, user));
    }

    pub fn votes(&self, story: u32) -> u64 {
        self.0.borrow().counts.get(&story).copied().unwrap_or(0)
    }

    pub fn total(&self) -> u64 {
        self.0.borrow().counts.values().sum()
    }

    pub fn answered(&self, shard: ShardId) -> u64 {
        self.0.borrow().answered[usize::from(shard.0)]
    }

    pub fn deaths(&self) -> u64 {
        self.0.borrow().deaths
    }

    fn request(&mut self, shard: ShardId, request: Request) -> Result<Ticket, Refused> {
        let mut state = self.0.borrow_mut();
        if state.gone {
            return Err(Refused::Gone("killed".to_owned()));
        }
        if state.requests[usize::from(shard.0)].len() >= REQUESTS_MAX {
            return Err(Refused::Busy);
        }
        state.ticket += 1;
        let ticket = state.ticket;
        match state.late {
            Some((0, story, user)) => {
                state.late = None;
                state.votes.insert((story, user));
                *state.counts.entry(story).or_insert(0) += 1;
            }
            Some((left, story, user)) => state.late = Some((left - 1, story, user)),
            None => {}
        }
        state.requests[usize::from(shard.0)].push_back((ticket, request));
        if let Some((left, applied)) = state.dies {
            state.dies = (left > 1).then_some((left - 1, applied));
            if left == 1 {
                state.die(applied);
            }
        }
        Ok(ticket)
    }

    /// The shard that is down, unless its time to come back has come.
    fn dead_shard(&self) -> Option<ShardId> {
        let dead = self.0.borrow_mut().dead.take();
        let (shard, condition) = dead?;
        if condition(self) {
            return None;
        }
        self.0.borrow_mut().dead = Some((shard, condition));
        Some(shard)
    }
}

impl State {
    fn die(&mut self, applied: bool) {
        let under_way: Vec<Request> =
            self.requests.iter_mut().flat_map(|queue| queue.drain(..)).map(|(_, request)| request).collect();
        if applied {
            under_way.into_iter().for_each(|request| drop(self.answer(request)));
        }
        self.gone = true;
        self.deaths += 1;
    }

    fn answer(&mut self, request: Request) -> Outcome {
        match request {
            Request::Write(..) if std::mem::take(&mut self.refuse) => {
                Outcome::Failed("refused by the fake".to_owned())
            }
            Request::Write(kind, rows) => self.write(kind, &rows),
            Request::Lookup(keys) => {
                let (mut builder, mut rows) = (RowBuilder::new(), Rows::new());
                for key in &keys {
                    let story = story_of(key);
                    let title = Title::of(story);
                    let votes =
                        self.counts.get(&story).map_or(Datum::Null, |&votes| Datum::Int(votes as i64));
                    let values = [Datum::Int(i64::from(story)), Datum::Text(title.as_str()), votes];
                    rows.push_values(&mut builder, &values);
                }
                Outcome::Found { counts: vec![1; keys.count as usize], rows }
            }
        }
    }

    fn write(&mut self, kind: WriteKind, rows: &Rows) -> Outcome {
        let mut changed = 0;
        for row in rows {
            let (story, user) = (story_of(row), row.int(1));
            let new = self.votes.insert((story, user));
            assert!(new || kind == WriteKind::Upsert, "a vote was inserted twice");
            changed += 1;
            if new && !std::mem::take(&mut self.lose) {
                *self.counts.entry(story).or_insert(0) += 1;
            }
        }
        Outcome::Written(changed)
    }
}

impl Port for Fake {
    fn write(&mut self, shard: ShardId, _: TableId, kind: WriteKind, rows: &Rows) -> Result<Ticket, Refused> {
        self.request(shard, Request::Write(kind, rows.clone()))
    }

    fn lookup(&mut self, shard: ShardId, _: ViewId, keys: &Rows, limit: u32) -> Result<Ticket, Refused> {
        assert!(limit > 0, "nothing would be found");
        self.request(shard, Request::Lookup(keys.clone()))
    }

    fn wait(&mut self, _: Duration, answers: &mut Vec<Answered>) -> Result<(), Refused> {
        let dead = self.dead_shard();
        let mut state = self.0.borrow_mut();
        if state.gone {
            return Err(Refused::Gone("killed".to_owned()));
        }
        for shard in 0..state.requests.len() {
            if dead == Some(ShardId(shard as u16)) {
                continue;
            }
            while let Some((ticket, request)) = state.requests[shard].pop_front() {
                let outcome = state.answer(request);
                state.answered[shard] += 1;
                answers.push(Answered { ticket, outcome });
            }
        }
        Ok(())
    }

    fn reconnect(&mut self) -> Result<(), Error> {
        self.0.borrow_mut().gone = false;
        Ok(())
    }
}
