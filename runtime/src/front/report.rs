//! What a front can say about the shards: read from the control page, without asking anybody.

use super::Front;
use crate::clock::{Label, ShardId};
use crate::live::Recovery;
use crate::live::control::{Phase, ShardWord};
use crate::rounds::{Board, Word};

/// What is known of a shard. Counts are since its process began, where nothing else is said.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// Which shard.
    pub shard: ShardId,
    /// The core that it stays on.
    pub core: u64,
    /// Its process, if there is one that has come to its own code.
    pub pid: Option<u32>,
    /// Counts its processes, from 1.
    pub incarnation: u64,
    /// What it is doing.
    pub phase: Phase,
    /// How many messages it has consumed since the beginning.
    pub label: Label,
    /// The number of its newest durable log record.
    pub durable_record: u64,
    /// Bytes of log written.
    pub log_bytes: u64,
    /// Whether the disk has no room for its log.
    pub log_full: bool,
    /// Estimate of the memory of its tables, operators and views.
    pub memory_bytes: u64,
    /// Rows written by clients.
    pub rows_written: u64,
    /// Keys looked up.
    pub lookups: u64,
    /// Messages published to other shards.
    pub messages_sent: u64,
    /// Messages consumed of other shards.
    pub messages_received: u64,
    /// Steps taken.
    pub steps: u64,
    /// What is there for it and not consumed: client writes in its log, and labels of other shards whose messages lie on its
    /// rings.
    pub lag: u64,
    /// Deaths of its processes since the database was started.
    pub deaths: u64,
    /// The newest recovery that has been completed since then.
    pub last_recovery: Option<Recovery>,
}

impl Front {
    /// What all shards are doing, in their order.
    pub fn shard_reports(&self) -> Vec<ShardReport> {
        self.page.shard_ids().map(|shard| self.shard_report(shard)).collect()
    }

    /// The words are read one after the other, so among busy shards this is near enough and no more.
    fn lag(&self, shard: ShardId) -> u64 {
        let page = &self.page;
        let told = |shard, word| Board::get(page, shard, word);
        let writes = told(shard, Word::Logged).saturating_sub(told(shard, Word::Ingest));
        let others = page.shard_ids().filter(|other| *other != shard);
        let from = |other| {
            let consumed = told(shard, Word::Consumed(other));
            told(other, Word::Newest(shard)).saturating_sub(consumed)
        };
        writes + others.map(from).sum::<u64>()
    }

    fn shard_report(&self, shard: ShardId) -> ShardReport {
        let page = &self.page;
        let get = |word| page.get(shard, word);
        let phase = page.phase(shard);
        let lives = !matches!(phase, Phase::Down | Phase::Quarantined);
        ShardReport {
            shard,
            core: get(ShardWord::Core),
            pid: u32::try_from(get(ShardWord::Pid)).ok().filter(|pid| lives && *pid != 0),
            incarnation: get(ShardWord::Incarnation),
            phase,
            label: Label(get(ShardWord::Label)),
            durable_record: get(ShardWord::Durable),
            log_bytes: get(ShardWord::LogBytes),
            log_full: get(ShardWord::LogFull) != 0,
            memory_bytes: get(ShardWord::MemoryBytes),
            rows_written: get(ShardWord::RowsWritten),
            lookups: get(ShardWord::Lookups),
            messages_sent: get(ShardWord::MessagesSent),
            messages_received: get(ShardWord::MessagesReceived),
            steps: get(ShardWord::Steps),
            lag: self.lag(shard),
            deaths: get(ShardWord::Deaths),
            last_recovery: Recovery::told(page, shard),
        }
    }
}
