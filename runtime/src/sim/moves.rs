//! The schedule: one random move after another.

use super::Failure;
use super::board::SimBoard;
use super::disk::Completion;
use super::front::Begun;
use super::ground::Mood;
use super::session::Session;
use super::world::{World, say};
use crate::clock::{FrontSlot, Link, ShardId};
use crate::recovery::{Phase, Receiver};

/// Moves that may turn out to move nothing before another one has its chance to go wrong.
const TRY_COUNT_MAX: u32 = 8;

/// Once the catalogue has its second entry, one in that many moves adds another or tells a shard: so that there is time
/// for backfills, and for what dies in them.
const LATER_MOVES: u32 = 60;

/// The moves, with their weights; flushing has the climate's.
#[derive(Clone, Copy)]
pub(super) enum Move {
    Ask,
    Push,
    Poll,
    Tell,
    Boot,
    Admit,
    Step,
    Publish,
    Flush,
    Prepare,
    Complete,
    Release,
    FrontComes,
    Late,
    Mood,
    /// A shard tells words.
    Words,
    /// A session begins a read, or goes on with those it has begun.
    Read,
}

impl World {
    /// Makes one move, or lets something go wrong.
    pub(super) fn random_move(&mut self) -> Result<(), Failure> {
        if self.follow_plot()? {
            return Ok(());
        }
        // A plot is mostly left to itself.
        if self.plot.is_some() && self.rng.bool() {
            let moved = self.ordinary_move()?;
            self.tally.events += u64::from(moved);
            return Ok(());
        }
        if self.ground.catalogue.len() >= 2 && self.rng.u32(0..LATER_MOVES) == 0 {
            self.extend_catalogue();
        }
        let dice = self.rng.u32(0..10_000);
        let (kills, deaths) = (self.climate.kills, self.climate.kills + self.climate.front_deaths);
        let losses = deaths + self.climate.power_losses;
        let damages = losses + self.climate.ring_damages;
        let moved = match dice {
            _ if dice < kills => self.kill_some(),
            _ if dice < deaths => self.some_front_dies(),
            _ if dice < losses => {
                let power = self.rng.u32(0..4) > 0;
                self.lose_machine(power)?;
                true
            }
            _ if dice < damages => self.damage_some_ring(),
            _ if dice < damages + 20 => self.extend_catalogue(),
            _ if dice < damages + 40 => self.fill_disk(),
            _ => self.ordinary_move()?,
        };
        self.tally.events += u64::from(moved);
        Ok(())
    }

    fn ordinary_move(&mut self) -> Result<bool, Failure> {
        if let Some(plot) = self.plot.filter(|_| self.rng.bool()) {
            let (chosen, id) = plot.scene(&mut self.rng);
            if self.make_at(chosen, id)? {
                return Ok(true);
            }
        }
        let flushing = self.climate.flushing;
        let weights = [
            (Move::Ask, 16),
            (Move::Push, 10),
            (Move::Poll, 10),
            (Move::Tell, 5),
            (Move::Boot, 20),
            (Move::Admit, 12),
            (Move::Step, 30),
            (Move::Publish, 25),
            (Move::Flush, flushing),
            (Move::Prepare, 2 + flushing),
            (Move::Complete, 2 + flushing),
            (Move::Release, 4),
            (Move::FrontComes, 3),
            (Move::Late, 1),
            (Move::Mood, 2),
            (Move::Words, if self.board.is_some() { 20 } else { 0 }),
            (Move::Read, if self.board.is_some() { 16 } else { 0 }),
        ];
        let sum = weights.iter().map(|(_, weight)| weight).sum();
        for _ in 0..TRY_COUNT_MAX {
            let mut dice = self.rng.u32(0..sum);
            let chosen = weights.iter().find(|(_, weight)| {
                let hit = dice < *weight;
                dice = dice.wrapping_sub(if hit { 0 } else { *weight });
                hit
            });
            let (chosen, _) = chosen.expect("the dice lies below the sum");
            if self.make(*chosen)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tries the move at a random shard, then at the others in turn, until something moves.
    fn make(&mut self, chosen: Move) -> Result<bool, Failure> {
        let first = self.rng.u16(0..self.ground.shards);
        for k in 0..self.ground.shards {
            let id = ShardId((first + k) % self.ground.shards);
            if self.make_at(chosen, id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn make_at(&mut self, chosen: Move, id: ShardId) -> Result<bool, Failure> {
        let index = usize::from(id.0);
        let mood = self.moods[index];
        let count_max = self.rng.u32(1..=self.climate.count_max);
        match chosen {
            Move::Ask => Ok(self.ask()),
            Move::Push => Ok(self.push_somewhere(id, count_max)),
            Move::Poll => self.poll_somewhere(id, count_max),
            Move::FrontComes => Ok(self.front_comes_somewhere()),
            Move::Read => self.read_somewhere(),
            Move::Late => Ok(self.disks[index].land_orphan(&mut self.rng)),
            Move::Mood if self.plot.is_some() => Ok(false),
            Move::Mood => {
                let moods = [Mood::Busy, Mood::Lazy, Mood::Slow, Mood::Mute, Mood::Asleep];
                self.moods[index] = moods[self.rng.usize(0..moods.len())];
                Ok(true)
            }
            _ if mood == Mood::Asleep => Ok(false),
            Move::Tell => self.tell(id),
            Move::Words => {
                let count = self.rng.u32(1..8);
                Ok(self.tell_words(id, count))
            }
            Move::Boot => {
                let records = self.rng.u32(1..60);
                self.boot(id, records)
            }
            Move::Admit => self.admit_somewhere(id, count_max),
            Move::Step => self.step_somewhere(id, count_max),
            Move::Publish if mood == Mood::Mute => Ok(false),
            Move::Publish => self.publish_somewhere(id, count_max),
            Move::Flush if mood == Mood::Lazy => Ok(false),
            Move::Flush => Ok(self.flush(id)),
            Move::Prepare => Ok(self.prepare(id)),
            Move::Complete if mood == Mood::Slow && self.rng.u32(0..50) > 0 => Ok(false),
            Move::Complete => Ok(self.complete(id)),
            Move::Release => {
                self.release_somewhere(id);
                // Whether anything was released cannot be seen; another shard has its turn another time.
                Ok(true)
            }
        }
    }

    /// All fronts that live, from a random one on.
    fn fronts_in_turn(&mut self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.any_front(), self.fronts.len());
        let living: Vec<bool> = self.fronts.iter().map(Option::is_some).collect();
        (first..first + count).map(move |slot| slot % count).filter(move |slot| living[*slot])
    }

    fn push_somewhere(&mut self, id: ShardId, count_max: u32) -> bool {
        self.fronts_in_turn()
            .any(|slot| self.fronts[slot].as_mut().is_some_and(|front| front.push(id, count_max) > 0))
    }

    fn poll_somewhere(&mut self, id: ShardId, count_max: u32) -> Result<bool, Failure> {
        for slot in self.fronts_in_turn() {
            if self.poll_front(slot, id, count_max)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A front reads replies of a shard. Returns whether there were any.
    pub(super) fn poll_front(&mut self, slot: usize, id: ShardId, count_max: u32) -> Result<bool, Failure> {
        let Some(front) = &mut self.fronts[slot] else { return Ok(false) };
        // Without readers nobody looks at it.
        let nothing = SimBoard::new(0, false);
        let board = self.board.as_ref().unwrap_or(&nothing);
        let count = front.poll(id, count_max, &mut self.ledger, board)?;
        if front.session.as_mut().is_some_and(Session::take_fresh) && !self.resting {
            self.read_fresh(slot)?;
        }
        Ok(count > 0)
    }

    /// A session reads as soon as it has been told of a write. What it reads is on its way from shard to shard then, so anything
    /// that is wrong shows most easily: the more so if the shard answers at once, or dies over it.
    fn read_fresh(&mut self, slot: usize) -> Result<(), Failure> {
        for _ in 0..self.rng.u32(1..4) {
            let Begun::Sent(to) = self.begin_read(slot)? else { continue };
            let Some(front) = &mut self.fronts[slot] else { break };
            front.push(to, u32::MAX);
            match self.rng.u32(0..8) {
                0 if self.processes[usize::from(to.0)].is_some() => {
                    self.tally.kills += 1;
                    self.kill(to);
                }
                1..5 => drop(self.admit(to, FrontSlot(slot as u16), u32::MAX)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn begin_read(&mut self, slot: usize) -> Result<Begun, Failure> {
        let (Some(front), Some(board)) = (&mut self.fronts[slot], &self.board) else { return Ok(Begun::Not) };
        let plan = self.ground.catalogue.last().expect("the first entry is there");
        let begun = front.begin_read(plan, board, &mut self.rng, &mut self.ledger)?;
        self.tally.reads += u64::from(begun != Begun::Not);
        Ok(begun)
    }

    /// A session begins a read, or goes on with those it has begun.
    fn read_somewhere(&mut self) -> Result<bool, Failure> {
        for slot in self.fronts_in_turn() {
            if self.rng.bool() && self.advance_reads(slot)? {
                return Ok(true);
            }
            if self.begin_read(slot)? != Begun::Not {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The session of a front goes on with its reads. Returns whether any of them waits no longer.
    pub(super) fn advance_reads(&mut self, slot: usize) -> Result<bool, Failure> {
        let (Some(front), Some(board)) = (&mut self.fronts[slot], &self.board) else { return Ok(false) };
        front.advance_reads(board, &mut self.ledger)
    }

    /// A shard tells words. Returns whether there was anything to tell.
    pub(super) fn tell_words(&mut self, id: ShardId, count_max: u32) -> bool {
        let (Some(process), Some(board)) = (&mut self.processes[usize::from(id.0)], &self.board) else {
            return false;
        };
        process.tell_words(board, count_max)
    }

    fn admit_somewhere(&mut self, id: ShardId, count_max: u32) -> Result<bool, Failure> {
        for slot in self.fronts_in_turn() {
            if self.admit(id, FrontSlot(slot as u16), count_max)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn front_comes_somewhere(&mut self) -> bool {
        let slot = self.any_front();
        let free = self.fronts[slot].is_none();
        if free {
            self.front_comes(slot);
        }
        free
    }

    fn any_front(&mut self) -> usize {
        self.rng.usize(0..self.fronts.len())
    }

    /// Takes a step over a random link, or over the next one that has something.
    fn step_somewhere(&mut self, id: ShardId, count_max: u32) -> Result<bool, Failure> {
        let mut links = vec![Link::Control];
        if self.moods[usize::from(id.0)] != Mood::Hoarding {
            links.push(Link::Ingest);
            links.extend(self.has_ticks(id).then_some(Link::Ticks));
            links.extend(self.ground.others(id).map(Link::Shard));
        }
        let first = self.rng.usize(0..links.len());
        links.rotate_left(first);
        if let Some(plot) = &self.plot {
            plot.order(id, &mut links);
        }
        for link in links {
            if self.step(id, link, count_max)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_ticks(&self, id: ShardId) -> bool {
        let process = self.processes[usize::from(id.0)].as_ref();
        process.is_some_and(|process| {
            let (ticks, all) = process.shard.dataflow().ticks();
            ticks < all
        })
    }

    /// Publishes to a random receiver, or to the next one for which there is something.
    fn publish_somewhere(&mut self, id: ShardId, count_max: u32) -> Result<bool, Failure> {
        let mut receivers: Vec<Receiver> = self.ground.others(id).map(Receiver::Shard).collect();
        receivers.extend((0..self.fronts.len()).map(|slot| Receiver::Front(FrontSlot(slot as u16))));
        let first = self.rng.usize(0..receivers.len());
        receivers.rotate_left(first);
        for to in receivers {
            if self.publish(id, to, count_max)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn ask(&mut self) -> bool {
        let Some(slot) = self.fronts_in_turn().next() else { return false };
        let front = self.fronts[slot].as_mut().expect("it lives");
        let drawn = self.workload.draw(&mut self.rng);
        front.ask(drawn, &mut self.ledger)
    }

    // -- moves of one shard; each says whether it moved anything

    pub(super) fn admit(&mut self, id: ShardId, slot: FrontSlot, count_max: u32) -> Result<bool, Failure> {
        let Some(process) = &mut self.processes[usize::from(id.0)] else { return Ok(false) };
        let count = process.admit(&self.ground, slot, count_max);
        self.moved_for_front(id, slot, count)
    }

    pub(super) fn step(&mut self, id: ShardId, link: Link, count_max: u32) -> Result<bool, Failure> {
        let Some(process) = &mut self.processes[usize::from(id.0)] else { return Ok(false) };
        let count = process.step(&self.ground, link, count_max);
        if let Ok(count @ 1..) = count {
            let shard = &process.shard;
            say!(self, "shard {id} takes {count} over {link}: label {}, {:?}", shard.label(), shard.phase());
        }
        self.moved(id, count, "take a step")
    }

    pub(super) fn publish(&mut self, id: ShardId, to: Receiver, count_max: u32) -> Result<bool, Failure> {
        let Some(process) = &mut self.processes[usize::from(id.0)] else { return Ok(false) };
        // Before an acknowledgement goes out, at least the first word is told: how many writes are logged.
        if let (Receiver::Front(_), Some(board), Phase::Running) = (to, &self.board, process.shard.phase()) {
            process.teller.tell(&process.shard, &process.links, board, 1);
        }
        let count = process.publish(to, count_max);
        if let Ok(count @ 1..) = count {
            say!(self, "shard {id} publishes {count} to {to:?}");
        }
        self.moved(id, count, "publish")
    }

    pub(super) fn flush(&mut self, id: ShardId) -> bool {
        let index = usize::from(id.0);
        let process = self.processes[index].as_mut();
        process.is_some_and(|process| process.flush(&self.ground, &mut self.disks[index]))
    }

    /// Goes on with the preparation of a segment, which may fail.
    pub(super) fn prepare(&mut self, id: ShardId) -> bool {
        let index = usize::from(id.0);
        let Some(process) = &mut self.processes[index] else { return false };
        let moved = process.prepare(&self.ground, &mut self.disks[index]);
        if moved && self.a_write_fails() {
            self.end_of_write_error(id);
        }
        moved
    }

    /// Completes a write, which may fail.
    pub(super) fn complete(&mut self, id: ShardId) -> bool {
        let index = usize::from(id.0);
        if self.processes[index].is_none() {
            return false;
        }
        let fails = self.a_write_fails();
        let done = self.disks[index].complete(fails, &mut self.rng);
        let process = self.processes[index].as_mut().expect("it is there");
        match done {
            None => return false,
            Some(Completion::Failed) => self.end_of_write_error(id),
            Some(Completion::Durable(flush)) => {
                process.flushed(&self.ground, flush);
                say!(self, "shard {id} has its log durable up to {}", process.shard.log().durable());
            }
        }
        true
    }

    fn a_write_fails(&mut self) -> bool {
        !self.resting && self.rng.u32(0..1000) < self.climate.write_errors
    }

    /// A failed write has poisoned the log: the process ends.
    fn end_of_write_error(&mut self, id: ShardId) {
        say!(self, "a write of shard {id} fails");
        self.tally.write_errors += 1;
        self.kill(id);
    }

    /// Everything that can be released.
    pub(super) fn release(&mut self, id: ShardId) {
        if let Some(process) = &mut self.processes[usize::from(id.0)] {
            process.links.release(&mut process.shard);
        }
    }

    /// What can be released of one ring: a shard may die before it comes to the next.
    fn release_somewhere(&mut self, id: ShardId) {
        let (shards, fronts) = (self.ground.shards, self.fronts.len() as u16);
        let chosen = self.rng.u16(0..shards + fronts);
        let Some(process) = &mut self.processes[usize::from(id.0)] else { return };
        match chosen.checked_sub(shards) {
            None => process.links.release_messages(&mut process.shard, ShardId(chosen)),
            Some(slot) => process.links.release_requests(&mut process.shard, FrontSlot(slot)),
        }
    }

    // -- what goes wrong

    fn kill_some(&mut self) -> bool {
        let mut any = false;
        for id in self.shard_ids() {
            if self.rng.f64() < self.climate.victims && self.processes[usize::from(id.0)].is_some() {
                self.tally.kills += 1;
                self.tally.kills_in_backfill += u64::from(self.has_ticks(id));
                self.kill(id);
                any = true;
            }
        }
        any
    }

    fn some_front_dies(&mut self) -> bool {
        let slot = self.any_front();
        let there = self.fronts[slot].is_some();
        self.front_dies(slot);
        there
    }

    /// The catalogue gets its next entry, or some shard hears of one.
    fn extend_catalogue(&mut self) -> bool {
        let next = self.ground.catalogue.len();
        if let Some(plan) = self.workload.plans.get(next) {
            say!(self, "the catalogue gets entry {}", next + 1);
            self.ground.define(plan.clone());
            return true;
        }
        let index = usize::from(self.any_shard().0);
        let process = self.processes[index].as_mut();
        process.is_some_and(|process| process.learn(&self.ground, next as u64))
    }

    /// A disk gets full, or has room again. What dies while it is full starts again with no more room.
    fn fill_disk(&mut self) -> bool {
        if !self.climate.disks_fill {
            return false;
        }
        let id = self.any_shard();
        let disk = &mut self.disks[usize::from(id.0)];
        disk.free_bytes =
            if self.rng.bool() { self.rng.u64(0..2 * self.ground.segment_bytes) } else { u64::MAX };
        say!(self, "the disk of shard {id} has room for {} bytes", disk.free_bytes);
        true
    }
}
