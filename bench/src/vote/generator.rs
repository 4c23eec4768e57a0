//! The load generator: one thread, one front, one lane per shard.
//!
//! The loop issues the groups that are due, sends what the shards take, sleeps on the front's doorbell until an answer or
//! the next due time, and checks and counts the answers. It shares the cores with the shards, so it must cost little: no
//! operation allocates, owners of stories are worked out beforehand, and it never spins.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use operators::Rows;
use runtime::ShardId;

use crate::error::Error;
use crate::schedule::{Next, Schedule};
use crate::vote::lane::{
    Kind, Lanes, MESSAGE_ROWS_MAX, MESSAGES_AT_ONCE, Message, QUEUED_OPERATIONS_MAX, Sent,
};
use crate::vote::port::{Answered, Outcome, Port, Refused};
use crate::vote::probe::{Look, Probes};
use crate::vote::reads::Reads;
use crate::vote::results::Results;
use crate::vote::workload::{Names, RowWriter, read_shown, story_of};
use crate::windows::{KillWindows, Touches};
use crate::zipf::Zipf;

/// Operations and groups issued between two looks for answers, when many are due at once.
const OPERATIONS_AT_ONCE: u32 = 4096;
const GROUPS_AT_ONCE: u32 = 64;
/// A group makes two messages per shard at most if it is not a very large one. A lane sends more than that between two looks, or it
/// would never be rid of what has piled up; and not much more, or what is due for the other shards would wait meanwhile.
const _: () = assert!(2 * GROUPS_AT_ONCE < MESSAGES_AT_ONCE);
/// The longest sleep: how late the end of a run may be noticed.
const SLEEP_MAX: Duration = Duration::from_millis(5);
/// The longest sleep while a shard's ring is full: its next answer rings, but not that of a shard that was restarted.
const SLEEP_WAITING_MAX: Duration = Duration::from_millis(1);
/// How long everything may stand still after the end before the rest counts as never answered.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);

/// What all generators of a run share.
#[derive(Debug)]
pub struct Shared {
    /// Zero of the run's time.
    pub start: Instant,
    /// Picks stories.
    pub zipf: Zipf,
    /// The shard of each story, probe stories included.
    pub owners: Arc<[u16]>,
    /// When which shard was down.
    pub windows: KillWindows,
    /// When the run ends, which may be decided while it runs.
    pub end_ns: AtomicU64,
    /// How many shards there are.
    pub shards: u16,
    /// The share of lookups in a hundred operations.
    pub reads_percent: u8,
    /// Operations issued together.
    pub batch: u32,
    /// Operations under way per shard and generator when the rate is `max`.
    pub in_flight_max: u64,
    /// The plan's ids.
    pub names: Names,
}

impl Shared {
    /// Nanoseconds of the run's time.
    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// What a generator is for.
#[derive(Debug)]
pub enum Role {
    /// Votes and lookups, at these times.
    Load(Schedule),
    /// Measuring write-to-visible.
    Probes(Probes),
}

/// One generator.
#[derive(Debug)]
pub struct Generator<P> {
    shared: Arc<Shared>,
    port: P,
    role: Role,
    lanes: Lanes,
    writer: RowWriter,
    reads: Reads,
    touches: Touches,
    rng: Rng,
    user: i64,
    /// The messages of the group under construction, by shard.
    open_votes: Vec<Rows>,
    open_lookups: Vec<Rows>,
    results: Results,
}

impl<P: Port> Generator<P> {
    /// Generator number `index`, which no other one has.
    pub fn new(shared: Arc<Shared>, port: P, index: u16, seed: u64, role: Role, results: Results) -> Self {
        let stories = shared.owners.len() as u32;
        let shards = shared.shards;
        Generator {
            port,
            role,
            lanes: Lanes::new(shards),
            writer: RowWriter::new(shards),
            reads: Reads::new(stories),
            touches: Touches::new(shards),
            rng: Rng::with_seed(seed ^ (u64::from(index) << 48)),
            // Each generator has users of its own, so that no vote is cast twice.
            user: i64::from(index) << 40,
            open_votes: (0..shards).map(|_| Rows::new()).collect(),
            open_lookups: (0..shards).map(|_| Rows::new()).collect(),
            results,
            shared,
        }
    }

    /// Runs until the schedule is over and everything is answered.
    pub fn run(mut self) -> Result<Results, Error> {
        let mut answers = Vec::new();
        let mut progress_ns = self.shared.now_ns();
        loop {
            let end_ns = self.shared.end_ns.load(Ordering::Relaxed);
            match &mut self.role {
                Role::Load(schedule) => schedule.end_at(end_ns),
                Role::Probes(probes) => probes.end_at(end_ns),
            }
            self.results.end_at(end_ns);
            let now_ns = self.shared.now_ns();
            let wake = self.issue(now_ns);
            let outcome = self.exchange(wake, now_ns, &mut answers);
            if let Err(refused) = outcome {
                self.start_over(refused)?;
                progress_ns = self.shared.now_ns();
            }
            if !answers.is_empty() || wake != Wake::Over {
                progress_ns = self.shared.now_ns();
            }
            for answer in answers.drain(..) {
                self.take(answer);
            }
            if self.lanes.is_overrun() {
                let reason = format!("more than {QUEUED_OPERATIONS_MAX} operations wait for one shard");
                return Err(Error::Engine { action: "keep up with the rate", reason });
            }
            let stood_still = Duration::from_nanos(self.shared.now_ns() - progress_ns) > DRAIN_TIMEOUT;
            if wake == Wake::Over && (self.lanes.is_idle() || stood_still) {
                return Ok(self.finish());
            }
        }
    }

    /// Issues what is due; says when to look again.
    fn issue(&mut self, now_ns: u64) -> Wake {
        for _ in 0..(OPERATIONS_AT_ONCE / self.shared.batch).clamp(1, GROUPS_AT_ONCE) {
            let next = match &mut self.role {
                Role::Load(schedule) => schedule.next(now_ns),
                Role::Probes(probes) => {
                    probes.start(now_ns, &mut self.user, &mut self.writer, &mut self.lanes)
                }
            };
            match next {
                Next::Due(due_ns) => {
                    self.results.record_issued(due_ns, now_ns);
                    self.group(due_ns, false);
                }
                Next::WhenRoom if self.offers_load() && self.has_room() => self.group(now_ns, true),
                Next::WhenRoom => return Wake::At(u64::MAX),
                Next::At(at_ns) => return Wake::At(at_ns),
                Next::Over => return Wake::Over,
            }
        }
        Wake::Now
    }

    /// Sends what the shards take and collects answers.
    fn exchange(&mut self, wake: Wake, now_ns: u64, answers: &mut Vec<Answered>) -> Result<(), Refused> {
        let sent = self.lanes.send(&mut self.port, &self.shared.names)?;
        // As fast as it goes there is no backlog: a lane holds what the rate allows and no more.
        let no_backlog = self.has_bounded_lanes();
        for shard in (0..self.shared.shards).map(ShardId) {
            if no_backlog || self.lanes.is_sent(shard) {
                self.touches.emptied(&self.shared.windows, shard, now_ns);
            }
        }
        let longest = if self.lanes.is_waiting() { SLEEP_WAITING_MAX } else { SLEEP_MAX };
        let sleep = match wake {
            _ if sent == Sent::ItsTurn => Duration::ZERO,
            Wake::Now => Duration::ZERO,
            Wake::At(at_ns) => Duration::from_nanos(at_ns.saturating_sub(now_ns)).min(longest),
            Wake::Over => longest,
        };
        if sleep.is_zero() {
            // Whoever shares the core, such as the kernel's workers that complete the shards' flushes, need not wait for the
            // scheduler's next tick.
            std::thread::yield_now();
        }
        self.port.wait(sleep, answers)
    }

    fn offers_load(&self) -> bool {
        matches!(self.role, Role::Load(_))
    }

    fn has_bounded_lanes(&self) -> bool {
        matches!(&self.role, Role::Load(schedule) if schedule.is_closed_loop())
    }

    fn has_room(&self) -> bool {
        let full = |shard| self.lanes.pending(ShardId(shard)) >= self.shared.in_flight_max;
        (0..self.shared.shards).any(|shard| !full(shard))
    }

    /// One group of operations, split by shard. Where `only_room` is set, operations for a shard that has enough under
    /// way are left out: a shard that is down must not take up the load of the others.
    fn group(&mut self, due_ns: u64, only_room: bool) {
        if let Role::Load(schedule) = &mut self.role {
            schedule.issue();
        }
        let shared = Arc::clone(&self.shared);
        for _ in 0..shared.batch {
            let story = shared.zipf.pick(&mut self.rng);
            if self.rng.u8(..100) < shared.reads_percent {
                let owner = ShardId(shared.owners[story as usize]);
                let open = &mut self.open_lookups[usize::from(owner.0)];
                self.writer.push_key(story, open);
                if open.count == MESSAGE_ROWS_MAX {
                    self.close(Kind::Lookups, owner, due_ns, only_room);
                }
            } else {
                self.user += 1;
                let (owner, row) = self.writer.vote(story, self.user);
                let open = &mut self.open_votes[usize::from(owner.0)];
                open.push(row);
                if open.count == MESSAGE_ROWS_MAX {
                    self.close(Kind::Votes, owner, due_ns, only_room);
                }
            }
        }
        for shard in (0..shared.shards).map(ShardId) {
            self.close(Kind::Votes, shard, due_ns, only_room);
            self.close(Kind::Lookups, shard, due_ns, only_room);
        }
    }

    /// Puts what has been gathered for a shard into its lane as one message.
    fn close(&mut self, kind: Kind, shard: ShardId, due_ns: u64, only_room: bool) {
        let open = match kind {
            Kind::Votes => &mut self.open_votes[usize::from(shard.0)],
            _ => &mut self.open_lookups[usize::from(shard.0)],
        };
        if only_room && self.lanes.pending(shard) >= self.shared.in_flight_max {
            open.clear();
        }
        if !open.is_empty() {
            let rows = mem::replace(open, self.lanes.buffer());
            self.lanes.push(Message { kind, shard, due_ns, rows, again: false });
        }
    }

    /// Takes one answer.
    fn take(&mut self, answer: Answered) {
        let Some(message) = self.lanes.answered(answer.ticket) else {
            self.results.record_error(1, "an answer came to a request that was not made".to_owned());
            return;
        };
        let now_ns = self.shared.now_ns();
        match (answer.outcome, message.kind) {
            (Outcome::Written(changed), kind) if kind.is_write() => {
                self.take_written(&message, changed, now_ns)
            }
            (Outcome::Found { counts, rows }, kind) if !kind.is_write() => {
                self.results.wrong_rows += self.reads.check(&message.rows, &counts, &rows);
                match kind {
                    Kind::ProbeLookup(probe) => self.take_look(probe, &message.rows, &rows, now_ns),
                    _ => self.record(&message, now_ns),
                }
            }
            (Outcome::Failed(reason), _) => self.take_failed(&message, reason),
            (Outcome::Written(_) | Outcome::Found { .. }, _) => {
                self.take_failed(&message, "the answer does not fit the request".to_owned());
            }
        }
        self.lanes.recycle(message.rows);
    }

    fn take_written(&mut self, message: &Message, changed: u32, now_ns: u64) {
        // What is sent again may have been there before.
        if changed != message.rows.count && !message.again {
            self.results.wrong_rows += u64::from(changed.abs_diff(message.rows.count));
        }
        for row in &message.rows {
            self.results.tally.acknowledged(story_of(row));
        }
        match message.kind {
            Kind::ProbeVote(probe) => self.look(probe, now_ns),
            _ => self.record(message, now_ns),
        }
    }

    fn record(&mut self, message: &Message, now_ns: u64) {
        let touch = self.touches.touch(&self.shared.windows, message.shard, message.due_ns);
        self.results.record(message, now_ns, touch);
    }

    fn take_look(&mut self, probe: u16, keys: &Rows, rows: &Rows, now_ns: u64) {
        let (Some(key), Some(row)) = (keys.iter().next(), rows.iter().next()) else {
            // Counted as wrong already; the probe ends here.
            return;
        };
        let Role::Probes(probes) = &mut self.role else { unreachable!("only probes send their messages") };
        match probes.looked(probe, read_shown(story_of(key), row).votes) {
            Look::NotYet => self.look(probe, now_ns),
            Look::Visible { due_ns } => self.results.record_visible(due_ns, now_ns),
            Look::TooMany => self.results.wrong_rows += 1,
        }
    }

    fn look(&mut self, probe: u16, now_ns: u64) {
        let Role::Probes(probes) = &mut self.role else { unreachable!("only probes send their messages") };
        probes.look(probe, now_ns, &mut self.writer, &mut self.lanes);
    }

    fn take_failed(&mut self, message: &Message, reason: String) {
        self.results.record_error(u64::from(message.rows.count), reason);
        if message.kind.is_write() {
            message.rows.iter().for_each(|row| self.results.tally.in_doubt(story_of(row)));
        }
    }

    /// The machine is gone: connects to its successor and sends everything unanswered again.
    fn start_over(&mut self, refused: Refused) -> Result<(), Error> {
        if let Refused::Invalid(reason) = refused {
            return Err(Error::Engine { action: "send", reason });
        }
        assert_ne!(refused, Refused::Busy, "a full ring is not the end");
        self.port.reconnect()?;
        self.lanes.send_again();
        self.reads.forget();
        Ok(())
    }

    fn finish(mut self) -> Results {
        for message in self.lanes.abandon() {
            self.take_failed(&message, "no answer came".to_owned());
        }
        self.results
    }
}

/// When the loop has something to do again, whatever the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// At once.
    Now,
    /// At this time.
    At(u64),
    /// Never: only answers are waited for.
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Rate;
    use crate::tally::Verdict;
    use crate::vote::fake::Fake;
    use crate::vote::probe::PROBE_STORIES;
    use crate::vote::results::Phase;
    use crate::vote::workload::story_owners;

    const STORIES: u32 = 200 + PROBE_STORIES as u32;
    const SHARDS: u16 = 2;

    fn shared(reads_percent: u8, batch: u32, end_ms: u64) -> Arc<Shared> {
        let plan_ids = Names {
            stories: operators::TableId(0),
            votes: operators::TableId(1),
            view: operators::ViewId(0),
        };
        Arc::new(Shared {
            start: Instant::now(),
            zipf: Zipf::new(200, 1.08),
            owners: story_owners(STORIES, SHARDS),
            windows: KillWindows::new(SHARDS),
            end_ns: AtomicU64::new(end_ms * 1_000_000),
            shards: SHARDS,
            reads_percent,
            batch,
            in_flight_max: 1000,
            names: plan_ids,
        })
    }

    fn run(shared: &Arc<Shared>, rate: Rate, fake: Fake) -> Results {
        let role = Role::Load(Schedule::new(rate, shared.batch, 1, 0, shared.end_ns.load(Ordering::Relaxed)));
        run_role(shared, 0, role, fake)
    }

    fn run_role(shared: &Arc<Shared>, index: u16, role: Role, fake: Fake) -> Results {
        let end_ns = shared.end_ns.load(Ordering::Relaxed);
        let results = Results::new(STORIES, Phase { start_ns: 0, end_ns });
        let generator = Generator::new(Arc::clone(shared), fake, index, 7, role, results);
        generator.run().expect("the fake engine answers")
    }

    fn check_counts(results: &Results, fake: &Fake) {
        for story in 0..STORIES {
            assert_eq!(results.tally.check(story, fake.votes(story)), Verdict::Right, "story {story}");
        }
        assert_eq!(results.tally.total(), fake.total());
    }

    #[test]
    fn at_a_rate_every_operation_is_issued_and_counted() {
        let shared = shared(50, 10, 100);
        let fake = Fake::new(SHARDS);
        let results = run(&shared, Rate::PerSecond(100_000.0), fake.clone());
        assert_eq!(results.reads.count() + results.writes.count(), 10_000);
        assert_eq!(results.others_outside.count(), 10_000);
        assert_eq!((results.wrong_rows, results.client_errors), (0, 0), "{:?}", results.errors);
        check_counts(&results, &fake);
    }

    #[test]
    fn every_probe_becomes_visible() {
        let shared = shared(50, 10, 100);
        let fake = Fake::new(SHARDS);
        fake.die_after(200, true);
        let schedule = Schedule::new(Rate::PerSecond(1_000.0), 1, 1, 0, 100_000_000);
        let role = Role::Probes(Probes::new(schedule, &shared.owners));
        let results = run_role(&shared, 1, role, fake.clone());
        assert_eq!(results.visible.count(), 100);
        assert_eq!(results.reads.count() + results.writes.count(), 0, "probes are no load");
        assert_eq!((results.wrong_rows, results.client_errors), (0, 0), "{:?}", results.errors);
        check_counts(&results, &fake);
    }

    #[test]
    fn a_dead_shard_does_not_hold_up_the_other() {
        let shared = shared(50, 10, 200);
        let fake = Fake::new(SHARDS);
        shared.windows.open(ShardId(0));
        // It comes back only when the other one has answered its half of the load.
        fake.revive_when(ShardId(0), |fake| fake.answered(ShardId(1)) > 300);
        let results = run(&shared, Rate::PerSecond(10_000.0), fake.clone());
        assert_eq!(results.reads.count() + results.writes.count(), 2_000);
        assert!(results.others_during_kills.count() > 800);
        assert_eq!(results.others_during_kills.count() + results.killed.count(), 2_000);
        assert_eq!((results.wrong_rows, results.client_errors), (0, 0), "{:?}", results.errors);
        check_counts(&results, &fake);
    }

    #[test]
    fn at_the_maximum_a_dead_shard_does_not_take_up_the_load() {
        let shared = shared(50, 10, 100);
        let fake = Fake::new(SHARDS);
        fake.revive_when(ShardId(0), |fake| fake.answered(ShardId(1)) > 5_000);
        let results = run(&shared, Rate::Max, fake.clone());
        assert!(fake.answered(ShardId(1)) > 5_000);
        assert_eq!((results.wrong_rows, results.client_errors), (0, 0), "{:?}", results.errors);
        check_counts(&results, &fake);
    }

    #[test]
    fn after_the_death_of_all_votes_in_doubt_are_sent_again_and_count_once() {
        for applied in [true, false] {
            let shared = shared(20, 10, 100);
            let fake = Fake::new(SHARDS);
            fake.die_after(500, applied);
            let results = run(&shared, Rate::PerSecond(50_000.0), fake.clone());
            assert_eq!(results.reads.count() + results.writes.count(), 5_000);
            assert_eq!((results.wrong_rows, results.client_errors), (0, 0), "{:?}", results.errors);
            assert!(fake.deaths() > 0);
            check_counts(&results, &fake);
        }
    }

    #[test]
    fn a_lost_vote_a_doubled_vote_and_a_refusal_are_noticed() {
        let shared = shared(0, 10, 20);
        let fake = Fake::new(SHARDS);
        fake.lose_one();
        let results = run(&shared, Rate::PerSecond(50_000.0), fake.clone());
        let verdicts: Vec<Verdict> =
            (0..STORIES).map(|story| results.tally.check(story, fake.votes(story))).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Missing(1)).count(), 1);

        let fake = Fake::new(SHARDS);
        fake.refuse_one();
        let results = run(&shared, Rate::PerSecond(50_000.0), fake.clone());
        assert!(results.client_errors > 0);
        assert_eq!(results.errors, ["refused by the fake"]);
        assert_eq!(results.tally.doubtful_total(), results.client_errors);
    }
}
