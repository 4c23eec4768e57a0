//! Publishing: the results of a step go to the outboxes of those to whom they are news, and from there, moved by the
//! host, to the rings.

use super::Shard;
use crate::clock::{Label, ShardId, TreeClock};
use crate::message::{self, Share};
use crate::recovery::Receiver;

impl Shard {
    /// Runs the operators and hands their results to the outboxes of those to whom they are news.
    pub(super) fn publish(&mut self) {
        self.open = 0;
        self.counters.steps += 1;
        self.dataflow.finish(&mut self.outputs);
        for shard in (0..self.settings.shards).map(ShardId) {
            if !self.recovery.may_publish(Receiver::Shard(shard), self.label) {
                continue;
            }
            for (exchange, batch) in self.outputs.for_shard_mut(shard.0) {
                let spare = self.spare_batches.pop().unwrap_or_default();
                let batch = std::mem::replace(batch, spare);
                self.message.shares.push(Share { exchange: exchange.0, batch });
            }
            if !self.message.shares.is_empty() {
                self.publish_message(shard);
            }
        }
        self.seal_replies();
    }

    fn publish_message(&mut self, to: ShardId) {
        assert_ne!(to, self.id(), "a shard's own share never leaves it");
        if self.settings.causal_logging {
            self.message.clock.set(self.id(), self.label, &self.cut);
            self.counters.clock_bytes += TreeClock::wire_bytes(self.cut.positions().len()) as u64;
        }
        self.counters.messages_sent += 1;
        self.counters.deltas_sent +=
            self.message.shares.iter().map(|share| u64::from(share.batch.count)).sum::<u64>();
        let bytes = message::write_message(&self.message, self.pool.take());
        self.outboxes[usize::from(to.0)].push(self.label, bytes);
        for mut share in self.message.shares.drain(..) {
            share.batch.clear();
            self.spare_batches.push(share.batch);
        }
    }

    /// Puts the answers gathered for each front into a reply that carries the present clock.
    pub(crate) fn seal_replies(&mut self) {
        let (recovery, me, label) = (&self.recovery, self.settings.me, self.label);
        self.fronts.seal(me, label, &self.cut, &mut self.pool, |slot| {
            recovery.may_publish(Receiver::Front(slot), label)
        });
    }

    /// The oldest message that `to`'s ring has not taken.
    pub fn outgoing(&self, to: Receiver) -> Option<(Label, &[u8])> {
        match to {
            Receiver::Shard(shard) => self.outboxes[usize::from(shard.0)].front(),
            Receiver::Front(slot) => self.fronts.outgoing(slot),
        }
    }

    /// `to`'s ring has taken the oldest message.
    pub fn sent(&mut self, to: Receiver) {
        let buffer = match to {
            Receiver::Shard(shard) => self.outboxes[usize::from(shard.0)].pop(),
            Receiver::Front(slot) => self.fronts.sent(slot),
        };
        self.pool.give(buffer.expect("only what was there can have been sent"));
    }
}
