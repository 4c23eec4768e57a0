//! What a run takes place on and under: sizes, rings, how often what goes wrong, how shards go about their work.

use super::Switches;
use crate::catalogue::CatalogueEntry;
use crate::clock::ShardId;
use crate::ring::RingMemory;
use fastrand::Rng;
use operators::Plan;
use operators::plan::Extension;
use std::sync::Arc;
use wal::Limits;

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
    /// The plan as of each entry of the catalogue.
    pub(super) catalogue: Vec<Arc<Plan>>,
    /// The entries, as shards get them.
    pub(super) entries: Vec<Arc<CatalogueEntry>>,
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

impl Ground {
    /// The catalogue gets an entry that leads to `plan`.
    pub(super) fn define(&mut self, plan: Arc<Plan>) {
        let before = self.catalogue.last().cloned().unwrap_or_default();
        let extension = Extension::between(&before, &plan);
        self.entries.push(Arc::new(CatalogueEntry { extension, note: Vec::new() }));
        self.catalogue.push(plan);
    }

    pub(super) fn new(rng: &mut Rng, switches: Switches, shards: u16) -> Ground {
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
            entries: Vec::new(),
            rings: Vec::new(),
            damaged: false,
        };
        ground.make_rings(|_, _| 0);
        ground
    }

    /// New rings between all shards; `base` says up to which label the receiver has consumed the sender.
    pub(super) fn make_rings(&mut self, base: impl Fn(ShardId, ShardId) -> u64) {
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
    pub(super) fn new(rng: &mut Rng) -> Climate {
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
