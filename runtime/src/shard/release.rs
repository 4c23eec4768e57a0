//! When the ring space of a consumed message is free: once the record of its step is durable.

use super::Shard;
use crate::clock::ShardId;
use std::collections::VecDeque;
use wal::Lsn;

/// Consumed messages whose ring space is free once their record is durable.
#[derive(Default)]
pub(super) struct Releases(VecDeque<(Lsn, u64)>);

impl Shard {
    /// The token up to which the ring from `from` may be released: all before it is durable here.
    pub fn releasable(&mut self, from: ShardId) -> Option<u64> {
        self.releases[usize::from(from.0)].up_to(self.log.durable())
    }

    pub(super) fn release_when_durable(&mut self, from: ShardId, token: u64) {
        let lsn = if self.settings.causal_logging { self.log.appended() } else { Lsn(0) };
        self.releases[usize::from(from.0)].0.push_back((lsn, token));
    }
}

impl Releases {
    /// The last token whose record is durable, with all before it.
    pub(super) fn up_to(&mut self, durable: Lsn) -> Option<u64> {
        let mut released = None;
        while let Some((_, token)) = self.0.pop_front_if(|(lsn, _)| *lsn <= durable) {
            released = Some(token);
        }
        released
    }
}
