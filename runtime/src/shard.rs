//! A shard: a plain state machine without I/O.
//!
//! Inputs come in as arguments: records to replay, requests of fronts, messages of other shards, catalogue entries,
//! and (through its log's [`Appender`]) word of what has become durable. Effects are left in buffers for the host to
//! move: records gathered in the appender, messages and replies in outboxes, and positions up to which rings may be
//! released. Nothing in here knows a file, a thread, a clock on the wall or a random number, so a run is determined by
//! the order of the calls; the live host and the simulator make the same ones (`links.rs`).
//!
//! A life goes: [`Shard::new`], [`Shard::seen_by`] and [`Shard::attach`] for every receiver, [`Shard::replay`] for every
//! record, [`Shard::end_replay`], then steps. A **step** consumes messages of one link ([`Shard::receive`],
//! [`Shard::consume_ingest`], [`Shard::consume_control`] or [`Shard::consume_ticks`]) and ends with [`Shard::end_step`], which runs the operators
//! and publishes.
//!
//! Invariants:
//! - only durable writes are consumed;
//! - a step record is appended for every message consumed, before anything computed from it can be published;
//! - messages leave for one receiver in order of label, and never twice with one label.
//!
//! `shard/` in reading order: `settings.rs`, `error.rs`, `start.rs` (what it is told before replay), `replay.rs`, `step.rs`,
//! `publish.rs`, `release.rs`. Requests of fronts are in `admit.rs`, how far a recovery goes in `recovery.rs`.

mod error;
mod publish;
mod release;
mod replay;
mod settings;
mod start;
mod step;

pub use error::ShardError;
pub use settings::{Rules, Settings};
pub use step::Received;

use crate::catalogue::CatalogueEntry;
use crate::clock::{Cut, Label, ShardId, TreeClock};
use crate::front_state::Fronts;
use crate::ingest::Ingest;
use crate::machine::Trim;
use crate::message::Message;
use crate::outbox::{BufferPool, Outbox};
use crate::recovery::{Phase, Recovery};
use error::unreadable;
use operators::{Batch, Dataflow, Outputs};
use release::Releases;
use std::sync::Arc;
use wal::{Appender, Flush};

/// Counts for the status page; all since the process began, without what it did again in its replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Rows written by clients.
    pub rows_written: u64,
    /// Keys looked up.
    pub lookups: u64,
    /// Messages published to other shards.
    pub messages_sent: u64,
    /// Deltas in them.
    pub deltas_sent: u64,
    /// Bytes of the clocks in them.
    pub clock_bytes: u64,
    /// Messages consumed of other shards.
    pub messages_received: u64,
    /// Steps taken.
    pub steps: u64,
}

/// One shard.
pub struct Shard {
    pub(crate) settings: Settings,
    pub(crate) dataflow: Dataflow,
    outputs: Outputs,
    label: Label,
    cut: Cut,
    /// The newest clock received from each shard: the third level of the tree.
    received: Vec<TreeClock>,
    catalogue: Vec<Arc<CatalogueEntry>>,
    /// As of the last request, entries that there are; this shard may not have been given them yet.
    pub(crate) catalogue_newest: u64,
    pub(crate) log: Appender,
    pub(crate) ingest: Ingest,
    outboxes: Vec<Outbox>,
    pub(crate) fronts: Fronts,
    pub(crate) recovery: Recovery,
    releases: Vec<Releases>,
    /// Step records of the log that are void.
    trims: Vec<Trim>,
    /// Set by the host while the log finds no room on the disk: writes are refused.
    pub(crate) log_is_full: bool,
    /// A client's write is among the gathered records.
    pub(crate) write_gathered: bool,
    /// Messages consumed since the last end of a step.
    open: u32,
    message: Message,
    /// Batches that have been sent and lend their memory to the next ones.
    spare_batches: Vec<Batch>,
    pub(crate) pool: BufferPool,
    pub(crate) counters: Counters,
}

impl Shard {
    /// A shard with nothing in it, about to replay. `log` continues the log that is replayed.
    pub fn new(settings: Settings, log: Appender) -> Shard {
        let Settings { me, shards, .. } = settings;
        assert!(me.0 < shards);
        let per_shard = usize::from(shards);
        Shard {
            dataflow: Dataflow::new(me.0, shards),
            outputs: Outputs::new(shards),
            label: Label(0),
            cut: Cut::new(me, shards),
            received: vec![TreeClock::default(); per_shard],
            catalogue: Vec::new(),
            catalogue_newest: 0,
            log,
            ingest: Ingest::default(),
            outboxes: (0..per_shard).map(|_| Outbox::default()).collect(),
            fronts: Fronts::default(),
            recovery: Recovery::new(),
            releases: (0..per_shard).map(|_| Releases::default()).collect(),
            trims: Vec::new(),
            log_is_full: false,
            write_gathered: false,
            open: 0,
            message: Message::default(),
            spare_batches: Vec::new(),
            pool: BufferPool::default(),
            counters: Counters::default(),
            settings,
        }
    }

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.settings.me
    }

    /// How many input messages it has consumed.
    pub fn label(&self) -> Label {
        self.label
    }

    /// How far each link has been consumed.
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// Where it stands in its recovery.
    pub fn phase(&self) -> Phase {
        self.recovery.phase()
    }

    /// Its counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Its tables, operators and views.
    pub fn dataflow(&self) -> &Dataflow {
        &self.dataflow
    }

    /// Client writes in its log so far.
    pub fn logged_writes(&self) -> u64 {
        self.ingest.position()
    }

    /// The newest clock received from `shard`.
    pub fn newest_clock(&self, shard: ShardId) -> &TreeClock {
        &self.received[usize::from(shard.0)]
    }

    /// The log's gathering buffer: the host takes flushes from it and reports them done.
    pub fn log(&mut self) -> &mut Appender {
        &mut self.log
    }

    /// Whether a client is waiting for records that have been appended and not yet handed out for flushing.
    pub fn wants_flush(&self) -> bool {
        self.write_gathered
    }

    /// Takes a flush of gathered records for the host to write.
    pub fn take_flush(&mut self) -> Option<Flush> {
        let flush = self.log.take_flush();
        self.write_gathered &= self.log.gathered_bytes() > 0;
        flush
    }

    /// Told by the host when the log finds no room on the disk, and when it does again.
    pub fn set_log_full(&mut self, full: bool) {
        self.log_is_full = full;
    }
}
