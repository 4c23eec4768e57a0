//! The simulated machine: what there is, and what can happen to all of it.

use super::board::SimBoard;
use super::disk::Disk;
use super::front::Front;
use super::ground::{Climate, Ground, Mood};
use super::ledger::Ledger;
use super::plot::Plot;
use super::process::{Process, Start, repair};
use super::session::Session;
use super::workload::{Features, Workload};
use super::{Failure, Switches, Tally};
use crate::clock::{FrontId, FrontSlot, ShardId};
use crate::machine::{self, History};
use crate::recovery::Phase;
use crate::ring::Producer;
use fastrand::Rng;
use std::collections::VecDeque;

/// Prints a line if the run is traced; the text is not even made otherwise.
macro_rules! say {
    ($world:expr, $($text:tt)*) => {
        if $world.trace {
            println!("{:>6} {}", $world.tally.events, format_args!($($text)*));
        }
    };
}
pub(super) use say;

/// What a shard has not been told of yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    Came(FrontSlot, FrontId),
    Went(FrontSlot),
}

/// Everything.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) ground: Ground,
    pub(super) climate: Climate,
    pub(super) workload: Workload,
    pub(super) disks: Vec<Disk>,
    /// None while a shard is dead.
    pub(super) processes: Vec<Option<Box<Process>>>,
    /// By slot.
    pub(super) fronts: Vec<Option<Front>>,
    next_front: u64,
    pub(super) news: Vec<VecDeque<News>>,
    /// By shard.
    pub(super) moods: Vec<Mood>,
    pub(super) plot: Option<Plot>,
    /// Nothing fails any more.
    pub(super) resting: bool,
    pub(super) ledger: Ledger,
    /// In a world with readers.
    pub(super) board: Option<SimBoard>,
    /// Sessions without a front, by slot.
    sessions: Vec<Option<Session>>,
    pub(super) tally: Tally,
    pub(super) trace: bool,
}

impl World {
    /// The world of a seed.
    pub(super) fn new(seed: u64, switches: Switches, trace: bool) -> World {
        let mut rng = Rng::with_seed(seed);
        let shards = [1, 2, 3, 3, 3, 4, 4, 6][rng.usize(0..8)];
        let ground = Ground::new(&mut rng, switches, shards);
        let climate = Climate::new(&mut rng);
        // Worlds without these are as they were before there were any, so that a seed which once showed an error does so again.
        let has_readers = matches!(seed % 4, 0 | 3);
        let features = Features {
            readers: has_readers,
            widens: matches!(seed % 8, 4 | 6),
            commits: matches!(seed % 8, 3 | 6 | 7),
            ordered: matches!(seed % 8, 0 | 6 | 7),
        };
        let workload = Workload::new(shards, [2, 4, 4][rng.usize(0..3)], features);
        let front_slots = rng.usize(1..4);
        let per_shard = usize::from(shards);
        let mut world = World {
            disks: (0..shards).map(|shard| Disk::new(shard, ground.segment_bytes)).collect(),
            processes: (0..shards).map(|_| None).collect(),
            fronts: (0..front_slots).map(|_| None).collect(),
            next_front: 1,
            news: vec![VecDeque::new(); per_shard],
            moods: vec![Mood::Busy; per_shard],
            plot: None,
            resting: false,
            ledger: Ledger::default(),
            sessions: (0..front_slots).map(|_| None).collect(),
            board: has_readers.then(|| SimBoard::new(shards, !switches.lives)),
            tally: Tally::default(),
            rng,
            ground,
            climate,
            workload,
            trace,
        };
        world.ground.define(world.workload.plans[0].clone());
        world
    }

    /// Runs the whole schedule.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        say!(self, "{} shards, {} moves", self.ground.shards, self.climate.moves);
        for _ in 0..self.climate.moves {
            self.random_move()?;
        }
        self.come_to_rest()?;
        self.check()?;
        if self.rng.u32(0..4) == 0 {
            // The logs alone must give the same again.
            self.lose_machine(true)?;
            self.come_to_rest()?;
            self.check()?;
        }
        Ok(())
    }

    pub(super) fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.ground.shards).map(ShardId)
    }

    /// A random shard.
    pub(super) fn any_shard(&mut self) -> ShardId {
        ShardId(self.rng.u16(0..self.ground.shards))
    }

    // -- shards die and start

    /// Lets a dead shard start, or replay some more. Returns whether there was anything to do.
    pub(super) fn boot(&mut self, id: ShardId, count_max: u32) -> Result<bool, Failure> {
        let index = usize::from(id.0);
        let disk = &mut self.disks[index];
        let Some(process) = &mut self.processes[index] else {
            self.news[index].clear();
            if let Some(board) = &self.board {
                board.begin_life(id);
            }
            let start = Process::start(&self.ground, id, disk, &self.fronts, &mut self.rng)?;
            match start {
                Start::Begun(process) => self.processes[index] = Some(process),
                Start::Died => disk.orphan(),
                Start::Broken(error) => return self.moved(id, Err(error), "start"),
            }
            say!(self, "shard {id} starts");
            return Ok(true);
        };
        let count = process.replay(disk, count_max)?;
        if count > 0 && process.shard.phase() != Phase::Replaying {
            self.tally.steerings += u64::from(process.shard.phase() == Phase::Steering);
            say!(
                self,
                "shard {id} has replayed to label {}, {:?}",
                process.shard.label(),
                process.shard.phase()
            );
        }
        Ok(count > 0)
    }

    /// Kills a shard, wherever it stands. It may leave rings behind in the middle of a push.
    pub(super) fn kill(&mut self, id: ShardId) {
        let index = usize::from(id.0);
        let Some(process) = self.processes[index].take() else { return };
        say!(self, "shard {id} dies at label {}, {:?}", process.shard.label(), process.shard.phase());
        drop(process);
        self.disks[index].orphan();
        for other in self.ground.others(id) {
            if self.rng.u32(0..8) == 0 {
                self.tear_push(id, other);
            }
        }
    }

    /// What a producer leaves that dies after writing a frame and before publishing it.
    fn tear_push(&mut self, from: ShardId, to: ShardId) {
        // Its process is dead, so the end is free.
        let Ok(mut producer) = Producer::attach(self.ground.ring(from, to)) else {
            assert!(self.ground.damaged);
            return;
        };
        let length = self.rng.usize(0..self.ground.ring_bytes / 2);
        // A full ring takes nothing, and then there is nothing to leave.
        let _ = producer.append(self.rng.u64(..), &vec![self.rng.u8(..); length]);
    }

    // -- fronts come and go

    /// A front comes to a free slot.
    pub(super) fn front_comes(&mut self, slot: usize) {
        let (slot, id) = (FrontSlot(slot as u16), FrontId(self.next_front));
        self.next_front += 1;
        say!(self, "front {} comes to slot {slot}", id.0);
        let known = self.sessions[usize::from(slot.0)].take();
        let new = || Session::new(self.ground.switches.rounds);
        let session = self.board.is_some().then(|| known.unwrap_or_else(new));
        let front = Front::new(slot, id, self.ground.shards, self.ground.front_ring_bytes, session);
        self.fronts[usize::from(slot.0)] = Some(front);
        self.news.iter_mut().for_each(|news| news.push_back(News::Came(slot, id)));
    }

    /// The front in a slot dies.
    pub(super) fn front_dies(&mut self, slot: usize) {
        let Some(front) = self.fronts[slot].take() else { return };
        say!(self, "front {} dies", front.id.0);
        self.tally.front_deaths += 1;
        self.sessions[slot] = front.session.map(Session::reconnect);
        self.news.iter_mut().for_each(|news| news.push_back(News::Went(front.slot)));
    }

    /// Tells a shard the next thing about fronts. Returns whether there was any.
    pub(super) fn tell(&mut self, id: ShardId) -> Result<bool, Failure> {
        let index = usize::from(id.0);
        let Some(process) = &mut self.processes[index] else { return Ok(false) };
        let Some(news) = self.news[index].pop_front() else { return Ok(false) };
        match news {
            News::Went(slot) => {
                if process.links.front_slots().any(|(attached, _)| attached == slot) {
                    process.links.detach(&mut process.shard, slot);
                }
            }
            News::Came(slot, front) => {
                let there = self.fronts[usize::from(slot.0)].as_ref().filter(|there| there.id == front);
                // It may be gone again already.
                if let Some(front) = there {
                    process.attach(front)?;
                }
            }
        }
        Ok(true)
    }

    // -- everything dies

    /// All processes die at once, with or without the power going, and the machine is recovered.
    pub(super) fn lose_machine(&mut self, power: bool) -> Result<(), Failure> {
        say!(self, "{}", if power { "the power goes" } else { "everything is killed" });
        self.tally.power_losses += 1;
        self.plot = None;
        self.moods.fill(Mood::Busy);
        for slot in 0..self.fronts.len() {
            self.front_dies(slot);
        }
        self.news.iter_mut().for_each(VecDeque::clear);
        self.processes.iter_mut().for_each(|process| *process = None);
        // It lies in memory, like the rings.
        if let Some(board) = &mut self.board {
            *board = SimBoard::new(self.ground.shards, !self.ground.switches.lives);
        }
        self.lose_disks(power);
        // The recovery may be interrupted, by another death of everything or by another power loss.
        while !self.recover_machine()? {
            let power = self.rng.bool();
            self.lose_disks(power);
        }
        Ok(())
    }

    /// What the death of all processes does to the disks, with or without the power going.
    fn lose_disks(&mut self, power: bool) {
        for disk in &mut self.disks {
            disk.orphan();
            if power {
                disk.lose_power(&mut self.rng);
            }
        }
    }

    /// Trims the logs and makes new rings; false if it was interrupted.
    fn recover_machine(&mut self) -> Result<bool, Failure> {
        let mut histories = Vec::new();
        for id in self.shard_ids() {
            let Some(history) = self.history(id)? else { return Ok(false) };
            histories.push(history);
        }
        machine::trim(&mut histories);
        for (history, disk) in histories.iter().zip(&mut self.disks) {
            if self.rng.u32(0..40) == 0 {
                say!(self, "the recovery of the machine is interrupted");
                return Ok(false);
            }
            if let (trims, true) = history.trims() {
                disk.trims = trims.to_vec();
            }
        }
        for (history, id) in histories.iter().zip(self.shard_ids()) {
            say!(self, "shard {id} goes on from label {} with trims {:?}", history.end(), history.trims());
        }
        self.ground.make_rings(|from, to| histories[usize::from(to.0)].consumed_of(from).0);
        Ok(true)
    }

    /// What a log says; none if the machine dies over its repairs.
    fn history(&mut self, id: ShardId) -> Result<Option<History>, Failure> {
        let bad = |what: String| Failure(format!("the log of shard {id}: {what}"));
        let disk = &mut self.disks[usize::from(id.0)];
        if self.ground.switches.fence {
            while disk.land_orphan(&mut self.rng) {}
        }
        disk.open();
        let read = disk.read().map_err(|e| bad(e.to_string()))?;
        if !repair(disk, &read.tail, &mut self.rng) {
            return Ok(None);
        }
        let mut history = History::new(id, self.ground.shards, disk.trims.clone());
        for found in &read.records {
            history.note(found.kind, found.lsn, disk.payload(found)).map_err(|e| bad(e.to_string()))?;
        }
        Ok(Some(history))
    }
}
