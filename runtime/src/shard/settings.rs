//! What a shard is told about itself when it is made.

use crate::clock::ShardId;

/// Rules of the recovery protocol that the simulator can switch off, to show that it would notice.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Consume again towards the cuts that receivers have seen.
    pub steering: bool,
    /// Log between which labels single messages may differ from what was sent the first time.
    pub resumed_records: bool,
    /// Log a request that is found on the ring again only once.
    pub dedup: bool,
}

/// What a shard is told about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which shard.
    pub me: ShardId,
    /// Of how many.
    pub shards: u16,
    /// Whether clocks are sent and steps are logged; without it a shard that dies cannot be restored. For measuring.
    pub causal_logging: bool,
    /// All on, but in the simulator.
    pub rules: Rules,
    /// Client writes are not consumed while results for another shard of more than this many bytes wait for its ring.
    pub outbox_bytes_max: usize,
    /// How many rows flow into new operators, beside the slice of them that is the least, for each message that a step may consume.
    pub tick_rows: u64,
    /// Requests are not taken while logged writes of more than this many bytes wait to be consumed.
    pub ingest_bytes_max: usize,
}

impl Settings {
    /// The defaults for shard `me` of `shards`.
    pub fn new(me: ShardId, shards: u16) -> Settings {
        Settings {
            me,
            shards,
            causal_logging: true,
            rules: Rules { steering: true, resumed_records: true, dedup: true },
            // A neighbour that is down for 10 s at 5 MB/s of exchanged results.
            outbox_bytes_max: 64 << 20,
            // A row into a new view costs about as much as one of a write; a message of many rows costs more.
            tick_rows: 32,
            // Far more than a flush's worth, far less than memory.
            ingest_bytes_max: 16 << 20,
        }
    }
}
