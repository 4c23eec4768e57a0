//! What a shard is told before it replays: the catalogue, what is void in its log, and how far its receivers have seen
//! it. Fronts come and go later too.

use super::{Shard, ShardError, unreadable};
use crate::catalogue::CatalogueEntry;
use crate::clock::{ArchivedTreeClock, FrontId, FrontSlot, Label, ShardId, TreeClock};
use crate::machine::Trim;
use crate::message;
use crate::recovery::{Phase, Receiver};
use std::sync::Arc;

impl Shard {
    /// Makes a catalogue entry available for consumption; entries come in order.
    pub fn add_entry(&mut self, entry: impl Into<Arc<CatalogueEntry>>) {
        self.catalogue.push(entry.into());
    }

    /// Catalogue entries available.
    pub fn catalogue_len(&self) -> u64 {
        self.catalogue.len() as u64
    }

    /// Tells what `shard` has seen: the label of the newest message on the ring to it, and that message; if the ring
    /// has had none, the label up to which `shard` had consumed this one when the ring was made.
    pub fn seen_by(&mut self, shard: ShardId, label: Label, newest: Option<&[u8]>) -> Result<(), ShardError> {
        let clock = newest.map(|bytes| {
            let from = format_args!("newest message on the ring to shard {shard}").to_string();
            let message = message::read_message(bytes).map_err(|e| unreadable(&from, e))?;
            self.own_clock(&from, label, &message.clock)
        });
        self.recovery.seen(Receiver::Shard(shard), label, clock.transpose()?);
        Ok(())
    }

    /// A front is there. `newest` is the newest reply on the ring to it with its label, if there is one; it counts only
    /// before replay.
    pub fn attach(
        &mut self,
        slot: FrontSlot,
        id: FrontId,
        newest: Option<(Label, &[u8])>,
    ) -> Result<(), ShardError> {
        if self.phase() != Phase::Replaying {
            self.fronts.attach(slot, id, std::iter::empty());
            return Ok(());
        }
        let Some((label, bytes)) = newest else {
            self.recovery.seen(Receiver::Front(slot), Label(0), None);
            self.fronts.attach(slot, id, std::iter::empty());
            return Ok(());
        };
        let from = format!("newest reply on the ring to front {slot}");
        let reply = message::read_reply(bytes).map_err(|e| unreadable(&from, e))?;
        self.recovery.seen(Receiver::Front(slot), label, Some(self.own_clock(&from, label, &reply.clock)?));
        self.fronts.attach(slot, id, reply.refused.iter().map(|sequence| sequence.to_native()));
        Ok(())
    }

    /// A front is gone; what waits for it is dropped.
    pub fn detach(&mut self, slot: FrontSlot) {
        if self.phase() == Phase::Replaying {
            self.recovery.forget(Receiver::Front(slot));
        }
        self.fronts.detach(slot);
    }

    fn own_clock(
        &self,
        from: &str,
        label: Label,
        clock: &ArchivedTreeClock,
    ) -> Result<TreeClock, ShardError> {
        let mut copy = TreeClock::default();
        copy.copy_from(clock);
        let links = self.cut.positions().len();
        if copy.shard() != self.id() || copy.label() != label || clock.link_count() != links {
            return Err(unreadable(
                from,
                format!("its clock {copy:?} is not one of this shard at label {label}"),
            ));
        }
        Ok(copy)
    }

    /// Tells which step records of the log are void; before replay.
    pub fn set_trims(&mut self, trims: Vec<Trim>) {
        self.trims = trims;
    }
}
