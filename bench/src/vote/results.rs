//! What a generator has measured.

use crate::latencies::Latencies;
use crate::tally::Tally;
use crate::timeline::{Slice, Timeline};
use crate::vote::lane::{Kind, Message};
use crate::windows::Touch;

/// The first few errors are kept word for word.
const ERRORS_KEPT: usize = 5;

/// Figures of one generator, and of several after [`Results::add`].
#[derive(Debug)]
pub struct Results {
    /// Times of lookups.
    pub reads: Latencies,
    /// Times of votes until they were acknowledged.
    pub writes: Latencies,
    /// Times of votes until they were visible.
    pub visible: Latencies,
    /// Operations on shards that were up while another was down.
    pub others_during_kills: Latencies,
    /// Operations while all shards were up.
    pub others_outside: Latencies,
    /// Operations that had to wait for a shard to come back.
    pub killed: Latencies,
    /// How much later than due groups were issued: the generator's own share of all latencies at a rate.
    pub late: Latencies,
    /// Lookups answered within the measured phase.
    pub reads_answered: u64,
    /// Votes answered within the measured phase.
    pub writes_answered: u64,
    /// Messages that these operations went in.
    pub messages_answered: u64,
    /// What was acknowledged.
    pub tally: Tally,
    /// Answers that cannot be right.
    pub wrong_rows: u64,
    /// Operations that were refused or never answered.
    pub client_errors: u64,
    /// The first of these errors.
    pub errors: Vec<String>,
    timeline: Timeline,
    phase: Phase,
}

/// The measured phase, in nanoseconds of the run's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// Operations due before are not measured.
    pub start_ns: u64,
    /// Nothing is issued after it, and what is answered later counts for latencies but not for throughput.
    pub end_ns: u64,
}

impl Phase {
    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end_ns - self.start_ns) as f64 / 1e9
    }
}

impl Results {
    /// Nothing was measured yet.
    pub fn new(stories: u32, phase: Phase) -> Results {
        Results {
            reads: Latencies::new(),
            writes: Latencies::new(),
            visible: Latencies::new(),
            others_during_kills: Latencies::new(),
            others_outside: Latencies::new(),
            killed: Latencies::new(),
            late: Latencies::new(),
            reads_answered: 0,
            writes_answered: 0,
            messages_answered: 0,
            tally: Tally::new(stories),
            wrong_rows: 0,
            client_errors: 0,
            errors: Vec::new(),
            timeline: Timeline::new(phase.start_ns),
            phase,
        }
    }

    /// The measured phase ends earlier than planned.
    pub fn end_at(&mut self, end_ns: u64) {
        self.phase.end_ns = self.phase.end_ns.min(end_ns.max(self.phase.start_ns));
    }

    /// The measured phase, as it has ended.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Ends the timeline.
    pub fn take_timeline(&mut self) -> Vec<Slice> {
        std::mem::replace(&mut self.timeline, Timeline::new(self.phase.start_ns)).finish()
    }

    /// A message of the load was answered at `now_ns`.
    pub fn record(&mut self, message: &Message, now_ns: u64, touch: Touch) {
        let operations = u64::from(message.rows.count);
        if now_ns >= self.phase.start_ns && now_ns < self.phase.end_ns {
            self.messages_answered += 1;
            match message.kind {
                Kind::Votes => self.writes_answered += operations,
                _ => self.reads_answered += operations,
            }
        }
        if message.due_ns < self.phase.start_ns {
            return;
        }
        let latency_ns = now_ns.saturating_sub(message.due_ns);
        match message.kind {
            Kind::Votes => self.writes.record(latency_ns, operations),
            _ => self.reads.record(latency_ns, operations),
        }
        match touch {
            Touch::Killed => self.killed.record(latency_ns, operations),
            Touch::Other => self.others_during_kills.record(latency_ns, operations),
            Touch::Outside => self.others_outside.record(latency_ns, operations),
        }
        self.timeline.record(now_ns, latency_ns, operations);
    }

    /// A group that was due at `due_ns` is issued at `now_ns`.
    pub fn record_issued(&mut self, due_ns: u64, now_ns: u64) {
        if due_ns >= self.phase.start_ns {
            self.late.record(now_ns.saturating_sub(due_ns), 1);
        }
    }

    /// The vote of a probe, due at `due_ns`, was seen at `now_ns`.
    pub fn record_visible(&mut self, due_ns: u64, now_ns: u64) {
        if due_ns >= self.phase.start_ns {
            self.visible.record(now_ns.saturating_sub(due_ns), 1);
        }
    }

    /// `operations` came to nothing.
    pub fn record_error(&mut self, operations: u64, reason: String) {
        self.client_errors += operations;
        if self.errors.len() < ERRORS_KEPT {
            self.errors.push(reason);
        }
    }

    /// Adds what another generator has measured, but for its timeline.
    pub fn add(&mut self, other: Results) {
        self.reads.add(&other.reads);
        self.writes.add(&other.writes);
        self.visible.add(&other.visible);
        self.others_during_kills.add(&other.others_during_kills);
        self.others_outside.add(&other.others_outside);
        self.killed.add(&other.killed);
        self.late.add(&other.late);
        self.reads_answered += other.reads_answered;
        self.writes_answered += other.writes_answered;
        self.messages_answered += other.messages_answered;
        self.tally.add(&other.tally);
        self.wrong_rows += other.wrong_rows;
        self.client_errors += other.client_errors;
        self.errors.extend(other.errors);
        self.errors.truncate(ERRORS_KEPT);
    }
}
