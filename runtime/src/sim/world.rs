//! The simulated machine: what there is, and what can happen to all of it.

use super::disk::Disk;
use super::front::Front;
use super::ledger::Ledger;
use super::plot::Plot;
use super::process::{Process, Start, repair};
use super::workload::Workload;
use super::{Failure, Switches, Tally};
use crate::clock::{FrontId, FrontSlot, ShardId};
use crate::machine::{self, History};
use crate::recovery::Phase;
use crate::ring::{Producer, RingMemory};
use fastrand::Rng;
use operators::Plan;
use std::collections::VecDeque;
use std::sync::Arc;
use wal::Limits;

/// Prints a line if the run is traced; the text is not even made otherwise.
macro_rules! say {
    ($world:expr, $($text:tt)*) => {
        if $world.trace {
            println!("{:>6} {}", $world.tally.events, format_args!($($text)*));
        }
    };
}
pub(super) use say;

/// What stays when processes die: sizes, switches, the catalogue, the rings.
pub(super) struct Ground {
    pub(super) switches: Switches,
    pub(super) shards: u16,
    pub(super) limits: Limits,
    pub(super) segment_bytes: u64,
    pub(super) outbox_bytes_max: usize,
    pub(super) ingest_bytes_max: usize,
    pub(super) tick_rows: u64,
    pub(super) ring_bytes: usize,
    pub(super) front_ring_bytes: usize,
    pub(super) catalogue: Vec<Arc<Plan>>,
    /// By sender, then receiver; a shard has none to itself.
    rings: Vec<Vec<Option<RingMemory>>>,
    /// One of them has been damaged.
    pub(super) damaged: bool,
}

/// How often what happens.
pub(super) struct Climate {
    pub(super) moves: u32,
    /// Each out of 10,000 moves.
    pub(super) kills: u32,
    pub(super) front_deaths: u32,
    pub(super) power_losses: u32,
    pub(super) ring_damages: u32,
    /// Weight of flushing against the other moves.
    pub(super) flushing: u32,
    /// The chance of each shard to be among those killed at once.
    pub(super) victims: f64,
    /// The most messages of a step, of a publication, of an admission.
    pub(super) count_max: u32,
    /// In some runs disks have no room for new segments now and then.
    pub(super) disks_fill: bool,
    /// How many writes in 1,000 fail; and as many of the stages in which a segment is prepared.
    pub(super) write_errors: u32,
}

/// How a shard goes about its work for a while: so that logs end far behind what has been sent, and some shards go on
/// and recover while others have not noticed anything yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Busy,
    /// It consumes nothing but the catalogue.
    Hoarding,
    /// It does not flush.
    Lazy,
    /// Its disk hardly ever completes a flush.
    Slow,
    /// It publishes nothing.
    Mute,
    /// It makes no move at all, dead or alive.
    Asleep,
}

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
        let workload = Workload::new(shards, [2, 4, 4][rng.usize(0..3)]);
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
            tally: Tally::default(),
            rng,
            ground,
            climate,
            workload,
            trace,
        };
        world.ground.catalogue.push(world.workload.plans[0].clone());
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
        let front = Front::new(slot, id, self.ground.shards, self.ground.front_ring_bytes);
        self.fronts[usize::from(slot.0)] = Some(front);
        self.news.iter_mut().for_each(|news| news.push_back(News::Came(slot, id)));
    }

    /// The front in a slot dies.
    pub(super) fn front_dies(&mut self, slot: usize) {
        let Some(front) = self.fronts[slot].take() else { return };
        say!(self, "front {} dies", front.id.0);
        self.tally.front_deaths += 1;
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

impl Ground {
    fn new(rng: &mut Rng, switches: Switches, shards: u16) -> Ground {
        let mut any = |choices: &[usize]| choices[rng.usize(0..choices.len())];
        let mut ground = Ground {
            switches,
            shards,
            limits: Limits { in_flight_count: any(&[1, 4, 16]), flush_bytes: any(&[4096, 8192, 16384]) },
            segment_bytes: any(&[16 << 10, 32 << 10, 64 << 10]) as u64,
            outbox_bytes_max: any(&[0, 1000, 8000]),
            ingest_bytes_max: any(&[500, 4000, 16000]),
            tick_rows: any(&[1, 4, 1000]) as u64,
            ring_bytes: any(&[512, 1024, 4096, 16384]),
            front_ring_bytes: any(&[512, 2048, 8192]),
            catalogue: Vec::new(),
            rings: Vec::new(),
            damaged: false,
        };
        ground.make_rings(|_, _| 0);
        ground
    }

    /// New rings between all shards; `base` says up to which label the receiver has consumed the sender.
    fn make_rings(&mut self, base: impl Fn(ShardId, ShardId) -> u64) {
        let all = || (0..self.shards).map(ShardId);
        let ring = |from, to| (from != to).then(|| RingMemory::heap(self.ring_bytes, base(from, to)));
        self.damaged = false;
        self.rings = all().map(|from| all().map(|to| ring(from, to)).collect()).collect();
    }

    /// The ring between two shards.
    pub(super) fn ring(&self, from: ShardId, to: ShardId) -> &RingMemory {
        self.rings[usize::from(from.0)][usize::from(to.0)].as_ref().expect("a shard has no ring to itself")
    }

    /// All shards but one.
    pub(super) fn others(&self, id: ShardId) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards).map(ShardId).filter(move |other| *other != id)
    }
}

impl Climate {
    fn new(rng: &mut Rng) -> Climate {
        let mut any = |choices: &[u32]| choices[rng.usize(0..choices.len())];
        Climate {
            moves: any(&[300, 800, 2000]),
            kills: any(&[50, 100, 200]),
            front_deaths: any(&[0, 10, 30]),
            power_losses: any(&[0, 5, 15]),
            ring_damages: any(&[0, 0, 0, 30]),
            flushing: any(&[2, 5, 20]),
            victims: f64::from(any(&[1, 4, 8])) / 10.0,
            count_max: any(&[1, 1, 3, 10]),
            disks_fill: any(&[0, 0, 0, 1]) == 1,
            write_errors: any(&[0, 0, 5, 20]),
        }
    }
}
