//! What the shards count themselves, as the supervisor reports it. A process begins at zero.

use runtime::ShardId;
use runtime::live::{ShardStatus, Supervisor};
use serde::Serialize;

use crate::report::Size;

/// Counters of all shards.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counters {
    /// Rows that clients wrote.
    pub rows_written: u64,
    /// Messages between shards.
    pub messages_sent: u64,
    /// Deltas in these messages.
    pub deltas_sent: u64,
    /// Bytes written to the logs.
    pub log_bytes: u64,
    /// Bytes of a clock, the mean of each process that has sent messages. All clocks of a run are of the same size.
    clock_bytes: Vec<u64>,
}

impl Counters {
    /// Reads the counters of all shards.
    pub fn read(supervisor: &Supervisor) -> Counters {
        let mut counters = Counters::default();
        supervisor.status().iter().for_each(|status| counters.add(&Counters::of(status)));
        counters
    }

    /// Reads those of one shard, which end with its process.
    pub fn of_shard(supervisor: &Supervisor, shard: ShardId) -> Counters {
        let status = supervisor.status().into_iter().find(|status| status.shard == shard);
        status.as_ref().map(Counters::of).unwrap_or_default()
    }

    fn of(status: &ShardStatus) -> Counters {
        let clock_bytes = match status.messages_sent {
            0 => Vec::new(),
            messages => vec![status.clock_bytes.div_ceil(messages)],
        };
        Counters {
            rows_written: status.rows_written,
            messages_sent: status.messages_sent,
            deltas_sent: status.deltas_sent,
            log_bytes: status.log_bytes,
            clock_bytes,
        }
    }

    /// Adds those of other processes.
    pub fn add(&mut self, other: &Counters) {
        self.rows_written += other.rows_written;
        self.messages_sent += other.messages_sent;
        self.deltas_sent += other.deltas_sent;
        self.log_bytes += other.log_bytes;
        self.clock_bytes.extend(&other.clock_bytes);
        self.clock_bytes.sort_unstable();
    }

    /// What was added since `before`.
    pub fn since(&self, before: &Counters) -> Counters {
        Counters {
            rows_written: self.rows_written.saturating_sub(before.rows_written),
            messages_sent: self.messages_sent.saturating_sub(before.messages_sent),
            deltas_sent: self.deltas_sent.saturating_sub(before.deltas_sent),
            log_bytes: self.log_bytes.saturating_sub(before.log_bytes),
            clock_bytes: self.clock_bytes.clone(),
        }
    }

    /// Bytes of a clock in a message between shards.
    pub fn clock_size(&self) -> Size {
        let p50 = self.clock_bytes.get(self.clock_bytes.len() / 2).copied().unwrap_or(0);
        Size { p50, max: self.clock_bytes.last().copied().unwrap_or(0) }
    }

    /// Log bytes of all shards for one row that a client wrote.
    pub fn log_bytes_per_write(&self) -> f64 {
        self.log_bytes as f64 / self.rows_written.max(1) as f64
    }

    /// Deltas in one message between shards.
    pub fn rows_per_message(&self) -> f64 {
        self.deltas_sent as f64 / self.messages_sent.max(1) as f64
    }
}
