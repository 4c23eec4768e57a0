//! The append-only log of a shard.
