//! The control page: what the processes of a database tell each other without messages.
//!
//! One file in the run folder, mapped by all of them, made of atomic words. Each word has one writer, named below; the
//! rest read. Nothing here is needed for correctness of recovery: it steers sleeping, watching and reporting, and tells readers what views
//! show (`rounds.rs`).
//!
//! ```text
//!      0  header: magic and version, shards, front slots          written once
//!    128  stopping                                                supervisor
//!    256  generation of the front slots                           supervisor
//!    384  catalogue entries                                       supervisor
//!    512  one block a shard, then one block a front slot; the words of a block are those of ShardWord and FrontWord
//! ```

use crate::clock::{FrontId, FrontSlot, ShardId};
use crate::map::Map;
use crate::rounds::{Board, Life, Word};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC_AND_VERSION: u64 = 1 << 32 | u32::from_le_bytes(*b"SkCp") as u64;
const STOPPING_AT: usize = 128;
const FRONTS_GENERATION_AT: usize = 256;
const CATALOGUE_AT: usize = 384;
const BLOCKS_AT: usize = 512;
const FRONT_BLOCK_BYTES: usize = 256;

/// Words of a shard's block, by index. Words that change together share a cache line; the sleeping flag, which every
/// sender reads, has one to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ShardWord {
    /// 0 awake, else [`ASLEEP`] and perhaps [`WANTS_ROOM`] and [`ON_FLAG`]; the shard sets it, a sender that rings clears it.
    Sleeping = 0,
    /// CLOCK_MONOTONIC ns of the last round of the loop.
    Heartbeat = 16,
    /// The shard's label, for reports; [`Word::Stepped`] is the one that orders anything.
    Label = 17,
    /// Number of the newest durable log record.
    Durable = 18,
    /// What is being consumed, as [`working_on`] encodes it; 0 between steps.
    WorkingOn = 19,
    /// [`Word::Logged`]; this and the next are of the board that readers look at.
    Logged = 24,
    /// [`Word::Stepped`].
    Stepped = 25,
    /// [`Word::Ingest`].
    Ingest = 26,
    /// [`Word::Ticks`].
    Ticks = 27,
    /// [`Word::Control`].
    Control = 28,
    /// Phase, as [`Phase`] numbers it.
    Phase = 32,
    /// Process id.
    Pid = 33,
    /// Counts the processes that this shard has had; written by the supervisor before it starts one.
    Incarnation = 34,
    /// CLOCK_MONOTONIC ns at which the process began to run its own code.
    StartedAt = 35,
    /// ... at which it had replayed its log.
    ReplayedAt = 36,
    /// ... at which it had reached all that receivers had seen.
    SteeredAt = 37,
    /// ... at which it had consumed what had piled up meanwhile.
    CaughtUpAt = 38,
    /// The core that the shard stays on; this and the words below are written by the supervisor.
    Core = 39,
    /// Counts the deaths of its processes.
    Deaths = 40,
    /// The newest recovery that has been completed: CLOCK_MONOTONIC ns of the death, 0 if there was none or while
    /// the words below are being written.
    RecoveryDiedAt = 41,
    /// The signal.
    RecoverySignal = 42,
    /// Nanoseconds from the death to its detection.
    RecoveryDetected = 43,
    /// ... to the new process.
    RecoveryRestarted = 44,
    /// ... to the end of replay.
    RecoveryReplayed = 45,
    /// ... to serving again.
    RecoverySteered = 46,
    /// ... to where nothing was left behind.
    RecoveryCaughtUp = 47,
    /// Rows written by clients.
    RowsWritten = 48,
    /// Keys looked up.
    Lookups,
    /// Messages published to other shards.
    MessagesSent,
    /// Deltas in them.
    DeltasSent,
    /// Bytes of the clocks in them.
    ClockBytes,
    /// Messages consumed of other shards.
    MessagesReceived,
    /// Steps taken.
    Steps,
    /// Log bytes written.
    LogBytes,
    /// Flushes written.
    LogFlushes,
    /// Estimate of the memory of tables, operators and views.
    MemoryBytes,
    /// Client writes refused for want of disk room: 1 while so.
    LogFull,
}

/// After the words above: three for each shard, [`Word::Published`], [`Word::Newest`] and [`Word::Consumed`].
const PEERS: usize = 64;
const PEER_WORDS: usize = 3;

/// Words of a front slot's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum FrontWord {
    /// As for a shard; set by the front.
    Sleeping = 0,
    /// The front's id; 0 while the slot is free. Written by the supervisor.
    Id = 16,
    /// Process id of the front.
    Pid = 17,
    /// The id of a front that a shard cannot go on with; the supervisor closes its connection.
    Evicted = 18,
    /// While [`WANTS_WORDS`] is set: from which shards, a mask as in [`crate::rounds::Waits`]. Written by the front.
    WaitsFor = 19,
}

/// Sleeping flag: ring the bell after publishing.
pub const ASLEEP: u64 = 1;
/// Sleeping flag: ring it after releasing space, too.
pub const WANTS_ROOM: u64 = 2;
/// Sleeping flag of a front: ring it after telling words, too, if it waits for this shard.
pub const WANTS_WORDS: u64 = 4;
/// Sleeping flag: the sleeper has no ear for its socket; it waits for the flag itself to change.
pub const ON_FLAG: u64 = 8;

/// What a shard is doing, as the control page tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub enum Phase {
    /// No process, or one that has not come to its own code yet.
    Down = 0,
    /// Opening its log; waits there until a dead predecessor's last writes have landed.
    Opening = 1,
    /// Replaying its log.
    Replaying = 2,
    /// Consuming towards what receivers have seen.
    Steering = 3,
    /// Serving.
    Running = 4,
    /// Not restarted any more.
    Quarantined = 5,
}

impl Phase {
    fn of(number: u64) -> Phase {
        match number {
            1 => Phase::Opening,
            2 => Phase::Replaying,
            3 => Phase::Steering,
            4 => Phase::Running,
            5 => Phase::Quarantined,
            _ => Phase::Down,
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Phase::Down => "down",
            Phase::Opening => "opening",
            Phase::Replaying => "replaying",
            Phase::Steering => "steering",
            Phase::Running => "running",
            Phase::Quarantined => "quarantined",
        })
    }
}

/// The control page, mapped.
pub struct ControlPage {
    map: Map,
    shards: u16,
    slots: u16,
}

impl ControlPage {
    /// Makes the page of a new run folder.
    pub fn create(path: &Path, shards: u16, slots: u16) -> io::Result<ControlPage> {
        let map = Map::create(path, page_bytes(shards, slots))?;
        map.word(8).store(u64::from(shards), Ordering::Relaxed);
        map.word(16).store(u64::from(slots), Ordering::Relaxed);
        // Release: whoever finds the magic finds the rest; in fact the file is found only later.
        map.word(0).store(MAGIC_AND_VERSION, Ordering::Release);
        Ok(ControlPage { map, shards, slots })
    }

    /// Maps the page of a run folder.
    pub fn open(path: &Path) -> io::Result<ControlPage> {
        let bad =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let map = Map::open(path)?;
        if map.bytes() < BLOCKS_AT || map.word(0).load(Ordering::Acquire) != MAGIC_AND_VERSION {
            return Err(bad("not a control page of this version"));
        }
        let small = |at: usize| u16::try_from(map.word(at).load(Ordering::Relaxed));
        let (Ok(shards), Ok(slots)) = (small(8), small(16)) else { return Err(bad("bad counts")) };
        if map.bytes() < page_bytes(shards, slots) {
            return Err(bad("the file is too short"));
        }
        Ok(ControlPage { map, shards, slots })
    }

    /// Number of shards.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// Number of front slots.
    pub fn slots(&self) -> u16 {
        self.slots
    }

    /// All shards.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards).map(ShardId)
    }

    /// 1 once the database is to stop.
    pub fn stopping(&self) -> &AtomicU64 {
        self.map.word(STOPPING_AT)
    }

    /// Changes whenever a front slot is taken or freed.
    pub fn fronts_generation(&self) -> &AtomicU64 {
        self.map.word(FRONTS_GENERATION_AT)
    }

    /// How many catalogue entries lie in the run folder.
    pub fn catalogue_entries(&self) -> &AtomicU64 {
        self.map.word(CATALOGUE_AT)
    }

    /// A word of a shard's block.
    #[inline]
    pub fn shard(&self, shard: ShardId, word: ShardWord) -> &AtomicU64 {
        self.map.word(self.shard_block(shard) + 8 * word as usize)
    }

    /// A word of a shard's block that only reports: neither its reads nor its writes order anything.
    pub fn get(&self, shard: ShardId, word: ShardWord) -> u64 {
        self.shard(shard, word).load(Ordering::Relaxed)
    }

    /// The reverse of [`ControlPage::get`].
    pub fn set(&self, shard: ShardId, word: ShardWord, value: u64) {
        self.shard(shard, word).store(value, Ordering::Relaxed);
    }

    /// The phase of a shard.
    pub fn phase(&self, shard: ShardId) -> Phase {
        // Acquire: pairs with `set_phase`, so what was reported before it is visible.
        Phase::of(self.shard(shard, ShardWord::Phase).load(Ordering::Acquire))
    }

    /// Reports the phase of a shard.
    pub fn set_phase(&self, shard: ShardId, phase: Phase) {
        self.shard(shard, ShardWord::Phase).store(phase as u64, Ordering::Release);
    }

    fn peer(&self, shard: ShardId, peer: ShardId, word: usize) -> &AtomicU64 {
        assert!(peer.0 < self.shards);
        self.map.word(self.shard_block(shard) + 8 * (PEERS + PEER_WORDS * usize::from(peer.0) + word))
    }

    #[inline]
    fn told(&self, shard: ShardId, word: Word) -> &AtomicU64 {
        match word {
            Word::Logged => self.shard(shard, ShardWord::Logged),
            Word::Stepped => self.shard(shard, ShardWord::Stepped),
            Word::Ingest => self.shard(shard, ShardWord::Ingest),
            Word::Ticks => self.shard(shard, ShardWord::Ticks),
            Word::Control => self.shard(shard, ShardWord::Control),
            Word::Published(peer) => self.peer(shard, peer, 0),
            Word::Newest(peer) => self.peer(shard, peer, 1),
            Word::Consumed(peer) => self.peer(shard, peer, 2),
        }
    }

    /// A word of a front slot's block.
    #[inline]
    pub fn front(&self, slot: FrontSlot, word: FrontWord) -> &AtomicU64 {
        assert!(slot.0 < self.slots);
        let blocks = BLOCKS_AT + usize::from(self.shards) * shard_block_bytes(self.shards);
        self.map.word(blocks + usize::from(slot.0) * FRONT_BLOCK_BYTES + 8 * word as usize)
    }

    /// Who is in a front slot.
    pub fn front_id(&self, slot: FrontSlot) -> Option<FrontId> {
        // Acquire: pairs with the supervisor's Release store, though the rings' files are what counts.
        Some(self.front(slot, FrontWord::Id).load(Ordering::Acquire)).filter(|id| *id != 0).map(FrontId)
    }

    fn shard_block(&self, shard: ShardId) -> usize {
        assert!(shard.0 < self.shards);
        BLOCKS_AT + usize::from(shard.0) * shard_block_bytes(self.shards)
    }
}

impl Board for ControlPage {
    fn shards(&self) -> u16 {
        self.shards
    }

    fn life(&self, shard: ShardId) -> Life {
        let incarnation = self.incarnation(shard);
        match self.phase(shard) {
            Phase::Running => Life::Running(incarnation),
            Phase::Quarantined => Life::Quarantined,
            _ => Life::Starting,
        }
    }

    #[inline]
    fn incarnation(&self, shard: ShardId) -> u64 {
        // Acquire: whoever sees a new incarnation sees that the phase of the old one has been taken back; and what is read
        // before this is read before.
        self.shard(shard, ShardWord::Incarnation).load(Ordering::Acquire)
    }

    #[inline]
    fn get(&self, shard: ShardId, word: Word) -> u64 {
        // Acquire: pairs with the Release store below, so all words told before this one are seen.
        self.told(shard, word).load(Ordering::Acquire)
    }

    #[inline]
    fn set(&self, shard: ShardId, word: Word, value: u64) {
        // Release: what was told before comes before, and so does what has been put on rings.
        self.told(shard, word).store(value, Ordering::Release);
    }
}

fn shard_block_bytes(shards: u16) -> usize {
    (8 * (PEERS + PEER_WORDS * usize::from(shards))).next_multiple_of(128)
}

fn page_bytes(shards: u16, slots: u16) -> usize {
    BLOCKS_AT + usize::from(shards) * shard_block_bytes(shards) + usize::from(slots) * FRONT_BLOCK_BYTES
}

/// How [`ShardWord::WorkingOn`] names what is being consumed, so that it can be told what killed a shard.
pub mod working_on {
    use crate::clock::Link;

    /// Between steps.
    pub const NOTHING: u64 = 0;
    /// The records of its own log.
    pub const REPLAY: u64 = 1;
    /// Requests of fronts.
    pub const REQUESTS: u64 = 2;

    /// Messages of a link.
    pub fn link(link: Link) -> u64 {
        match link {
            Link::Control => 3,
            Link::Ingest => 4,
            Link::Ticks => 5,
            Link::Shard(shard) => 16 + u64::from(shard.0),
        }
    }

    /// Whether one step of it may go through all rows of a table.
    pub fn may_take_long(word: u64) -> bool {
        word == REPLAY || word == link(Link::Control)
    }

    /// The words for it.
    pub fn describe(word: u64) -> String {
        match word {
            NOTHING => "nothing".into(),
            REPLAY => "the replay of its log".into(),
            REQUESTS => "requests of a front".into(),
            3 => "link control".into(),
            4 => "link ingest".into(),
            5 => "link ticks".into(),
            other => format!("link shard {}", other.saturating_sub(16)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_all_blocks_are_distinct() {
        let path = std::path::PathBuf::from(format!("/dev/shm/sakia-control-test-{}", std::process::id()));
        // A run that was killed may have left it.
        let _ = std::fs::remove_file(&path);
        let page = ControlPage::create(&path, 3, 4).expect("creates");
        let other = ControlPage::open(&path).expect("opens");
        std::fs::remove_file(&path).expect("removes");
        let mut count = 0;
        let mut mark = |word: &AtomicU64| {
            count += 1;
            assert_eq!(word.swap(count, Ordering::Relaxed), 0, "word {count} overlaps another");
        };
        for shard in page.shard_ids() {
            use ShardWord::*;
            for word in [Sleeping, Heartbeat, Label, Durable, WorkingOn, CaughtUpAt, RowsWritten, LogFull] {
                mark(page.shard(shard, word));
            }
            for word in [Word::Logged, Word::Stepped, Word::Ingest, Word::Ticks, Word::Control] {
                mark(page.told(shard, word));
            }
            for to in page.shard_ids() {
                for word in [Word::Published(to), Word::Newest(to), Word::Consumed(to)] {
                    mark(page.told(shard, word));
                }
            }
        }
        for slot in (0..4).map(FrontSlot) {
            for word in [FrontWord::Sleeping, FrontWord::Id, FrontWord::Pid, FrontWord::WaitsFor] {
                mark(page.front(slot, word));
            }
        }
        assert_eq!((other.shards(), other.slots()), (3, 4));
        assert_eq!(other.get(ShardId(0), ShardWord::Heartbeat), 2);
        page.set_phase(ShardId(2), Phase::Steering);
        assert_eq!((other.phase(ShardId(2)), other.phase(ShardId(1))), (Phase::Steering, Phase::Down));
        assert_eq!(other.front_id(FrontSlot(0)).map(|id| id.0 > 0), Some(true));
    }
}
