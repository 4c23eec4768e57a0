//! Rings that somebody writes to who should not: a word is no longer what it was, and whoever meets it says so.
//!
//! A ring between shards that is damaged can steer nobody, so the supervisor starts all shards again from their logs, with
//! new rings. A front whose rings are damaged is cut off, and dies. What is not met by the end of the schedule is met
//! then: a run must come to rest with rings that are whole.

use super::Failure;
use super::world::{World, say};
use crate::clock::{FrontSlot, ShardId};
use crate::links::LinkError;

/// Where the words of a ring stand that both ends go by: of the header, and the indexes.
const WORDS_AT: [usize; 7] = [0, 8, 16, 24, 128, 256, 384];
/// Where the frames begin.
const FRAMES_AT: usize = 4096;

impl World {
    /// Damages a ring. Returns whether there was one.
    pub(super) fn damage_some_ring(&mut self) -> bool {
        let id = self.any_shard();
        if self.ground.shards == 1 || self.rng.u32(0..4) == 0 {
            return self.damage_ring_of_front(id);
        }
        let others: Vec<ShardId> = self.ground.others(id).collect();
        let to = others[self.rng.usize(0..others.len())];
        let offset = if self.rng.bool() {
            WORDS_AT[self.rng.usize(0..WORDS_AT.len())]
        } else {
            // The reader has checked frames that it has not read yet, and does not check them again: it is the one
            // that went mad, and died.
            self.tally.kills += u64::from(self.processes[usize::from(to.0)].is_some());
            self.kill(to);
            FRAMES_AT + 8 * self.rng.usize(0..self.ground.ring_bytes / 8)
        };
        let flip = self.any_flip();
        say!(self, "the ring from shard {id} to shard {to} is damaged at {offset} by {flip:x}");
        self.ground.ring(id, to).damage(offset, flip);
        self.ground.damaged = true;
        true
    }

    fn damage_ring_of_front(&mut self, id: ShardId) -> bool {
        let slot = self.rng.usize(0..self.fronts.len());
        let (offset, flip) = (WORDS_AT[self.rng.usize(0..WORDS_AT.len())], self.any_flip());
        let Some(front) = &mut self.fronts[slot] else { return false };
        let (requests, replies) = front.rings(id);
        let ring = if self.rng.bool() { requests } else { replies };
        ring.damage(offset, flip);
        front.damaged = true;
        say!(self, "a ring between shard {id} and front {} is damaged at {offset} by {flip:x}", front.id.0);
        true
    }

    /// One bit, or many.
    fn any_flip(&mut self) -> u64 {
        let bit = 1 << self.rng.u32(0..64);
        if self.rng.bool() { bit } else { self.rng.u64(..) | bit }
    }

    /// What a move over the links of a shard comes to: an error of a ring ends all shards, if the ring was damaged.
    pub(super) fn moved(
        &mut self,
        id: ShardId,
        count: Result<u32, LinkError>,
        what: &str,
    ) -> Result<bool, Failure> {
        match count {
            Ok(count) => Ok(count > 0),
            Err(LinkError::Ring { link, source }) if self.ground.damaged => {
                say!(self, "shard {id} finds the ring of {link} broken: {source}");
                self.restart_all()?;
                Ok(true)
            }
            Err(error) => Err(Failure(format!("shard {id} cannot {what}: {error}"))),
        }
    }

    /// All shards start again with new rings.
    pub(super) fn restart_all(&mut self) -> Result<(), Failure> {
        self.tally.ring_restarts += 1;
        self.lose_machine(false)
    }

    /// As [`World::moved`], for a move that concerns one front alone.
    pub(super) fn moved_for_front(
        &mut self,
        id: ShardId,
        slot: FrontSlot,
        count: Result<u32, LinkError>,
    ) -> Result<bool, Failure> {
        let index = usize::from(slot.0);
        let damaged = self.fronts[index].as_ref().is_some_and(|front| front.damaged);
        match count {
            Err(LinkError::Ring { source, .. }) if damaged => {
                say!(self, "shard {id} cuts front slot {slot} off: {source}");
                let process = self.processes[usize::from(id.0)].as_mut().expect("it has just moved");
                process.links.detach(&mut process.shard, slot);
                self.front_dies(index);
                Ok(true)
            }
            count => self.moved(id, count, "serve a front"),
        }
    }

    /// Nothing more is damaged from here on, and what is damaged is found.
    pub(super) fn find_all_damage(&mut self) -> Result<(), Failure> {
        if self.ground.damaged {
            self.restart_all()?;
        }
        for slot in 0..self.fronts.len() {
            if self.fronts[slot].as_ref().is_some_and(|front| front.damaged) {
                self.front_dies(slot);
            }
        }
        Ok(())
    }
}
