//! Tree clocks: how a shard says what it has consumed.
//!
//! The **label** of a shard counts the input messages it has consumed since the beginning. Its **cut** says, for each
//! input link, how far. A **tree clock** is a label and the cut that belongs to it; it is a complete determinant of a
//! shard's state because operators do not depend on the order of what they consume (the law of operators), so its
//! size depends on the number of shards alone. The idea is that of Yuan, "Scalable fault tolerance for
//! high-performance streaming dataflow" (MIT, 2019), where the clock named a single cause instead of a cut.
//!
//! On the wire a clock is `16 + 8 (N + 2)` bytes for N shards: the root packed into one word, the 8-byte header of
//! the archived vector, and one word for each of the N + 2 links.

use rkyv::{Archive, Deserialize, Serialize};
use std::fmt;

/// A shard, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// How many input messages a shard has consumed since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub u64);

/// A place for one attached front; reused when a front has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontSlot(pub u16);

/// A front for as long as it lives; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontId(pub u64);

/// What a shard consumes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// The catalogue: which tables, operators and views there are.
    Control,
    /// The client writes in the shard's own log.
    Ingest,
    /// Progress of backfills.
    Ticks,
    /// What another shard has published.
    Shard(ShardId),
}

/// Links of a shard that are not other shards.
pub const OWN_LINK_COUNT: usize = 3;

/// The most shards a clock's packed root can name.
pub const SHARD_COUNT_MAX: u16 = 1 << SHARD_BITS;

const SHARD_BITS: u32 = 10;
const LABEL_BITS: u32 = 64 - SHARD_BITS;

/// For each input link of one shard, how far it has been consumed: for another shard the sender's label on the last
/// message consumed, otherwise the number of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    me: ShardId,
    positions: Vec<u64>,
}

impl Cut {
    /// Nothing consumed yet, for shard `me` of `shards`.
    pub fn new(me: ShardId, shards: u16) -> Cut {
        assert!(me.0 < shards);
        Cut { me, positions: vec![0; OWN_LINK_COUNT + usize::from(shards) - 1] }
    }

    /// How far `link` has been consumed.
    pub fn get(&self, link: Link) -> u64 {
        self.positions[self.slot(link)]
    }

    /// Records that `link` has been consumed up to `position`, which must be an advance.
    pub fn advance(&mut self, link: Link, position: u64) {
        let slot = self.slot(link);
        assert!(
            position > self.positions[slot],
            "{link} goes back from {} to {position}",
            self.positions[slot]
        );
        self.positions[slot] = position;
    }

    /// Whether everything in `other` is in this cut.
    pub fn covers(&self, other: &Cut) -> bool {
        assert_eq!(self.me, other.me);
        self.positions.iter().zip(&other.positions).all(|(mine, theirs)| mine >= theirs)
    }

    /// The positions in the order in which a clock carries them.
    pub fn positions(&self) -> &[u64] {
        &self.positions
    }

    fn slot(&self, link: Link) -> usize {
        slot_of(self.me, link)
    }
}

/// Where a clock of shard `owner` keeps the position of `link`.
fn slot_of(owner: ShardId, link: Link) -> usize {
    match link {
        Link::Control => 0,
        Link::Ingest => 1,
        Link::Ticks => 2,
        Link::Shard(other) => {
            assert_ne!(other, owner, "a shard has no link to itself");
            OWN_LINK_COUNT + usize::from(other.0) - usize::from(other > owner)
        }
    }
}

/// The state of one shard, named: its label (with the shard's number packed in) and its cut.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub struct TreeClock {
    root: u64,
    cut: Vec<u64>,
}

impl TreeClock {
    /// The clock of `shard` at `label` with `cut`.
    pub fn new(shard: ShardId, label: Label, cut: &Cut) -> TreeClock {
        let mut clock = TreeClock::default();
        clock.set(shard, label, cut);
        clock
    }

    /// Overwrites this clock, keeping its memory.
    pub fn set(&mut self, shard: ShardId, label: Label, cut: &Cut) {
        assert!(label.0 >> LABEL_BITS == 0, "label {label} does not fit");
        assert!(shard.0 < SHARD_COUNT_MAX);
        assert_eq!(shard, cut.me);
        self.root = u64::from(shard.0) << LABEL_BITS | label.0;
        self.cut.clear();
        self.cut.extend_from_slice(&cut.positions);
    }

    /// Overwrites this clock with one that has just arrived, keeping its memory.
    pub fn copy_from(&mut self, clock: &ArchivedTreeClock) {
        self.root = clock.root.to_native();
        self.cut.clear();
        self.cut.extend(clock.cut.iter().map(|position| position.to_native()));
    }

    /// Whose clock this is.
    pub fn shard(&self) -> ShardId {
        shard_of(self.root)
    }

    /// The label it names.
    pub fn label(&self) -> Label {
        label_of(self.root)
    }

    /// The cut that belongs to the label.
    pub fn cut(&self) -> Cut {
        Cut { me: self.shard(), positions: self.cut.clone() }
    }

    /// How far the clock's shard had consumed `link`.
    pub fn position(&self, link: Link) -> u64 {
        self.cut.get(slot_of(self.shard(), link)).copied().unwrap_or(0)
    }

    /// Bytes that a clock with `links` links takes inside a message.
    pub fn wire_bytes(links: usize) -> usize {
        size_of::<ArchivedTreeClock>() + links * size_of::<u64>()
    }
}

impl ArchivedTreeClock {
    /// Whose clock this is.
    pub fn shard(&self) -> ShardId {
        shard_of(self.root.to_native())
    }

    /// The label it names.
    pub fn label(&self) -> Label {
        label_of(self.root.to_native())
    }

    /// How far the clock's shard had consumed the catalogue.
    pub fn control(&self) -> u64 {
        self.cut.first().map_or(0, |position| position.to_native())
    }

    /// How far the clock's shard had consumed the client writes in its log.
    pub fn ingest(&self) -> u64 {
        self.cut.get(1).map_or(0, |position| position.to_native())
    }

    /// Number of links in the cut.
    pub fn link_count(&self) -> usize {
        self.cut.len()
    }
}

const _: () = assert!(size_of::<ArchivedTreeClock>() == 16, "a clock is 16 bytes and one word for each link");

fn shard_of(root: u64) -> ShardId {
    ShardId((root >> LABEL_BITS) as u16)
}

fn label_of(root: u64) -> Label {
    Label(root & ((1 << LABEL_BITS) - 1))
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for FrontSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::Control => write!(f, "control"),
            Link::Ingest => write!(f, "ingest"),
            Link::Ticks => write!(f, "ticks"),
            Link::Shard(shard) => write!(f, "shard {shard}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_keeps_what_it_was_given_and_its_size() {
        for shards in [1u16, 2, 3, 16] {
            let me = ShardId(shards / 2);
            let mut cut = Cut::new(me, shards);
            let links = [Link::Control, Link::Ingest, Link::Ticks].into_iter();
            let links = links.chain((0..shards).filter(|&s| s != me.0).map(|s| Link::Shard(ShardId(s))));
            for (k, link) in links.clone().enumerate() {
                cut.advance(link, k as u64 + 7);
            }
            let clock = TreeClock::new(me, Label(123_456), &cut);
            let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&clock).expect("a clock archives");
            assert_eq!(bytes.len(), 16 + 8 * (usize::from(shards) + 2));
            assert_eq!(bytes.len(), TreeClock::wire_bytes(links.clone().count()));
            let read = rkyv::access::<ArchivedTreeClock, rkyv::rancor::Error>(&bytes).expect("a clock reads");
            assert_eq!((read.shard(), read.label(), read.control()), (me, Label(123_456), 7));
            let mut copy = TreeClock::default();
            copy.copy_from(read);
            assert_eq!(copy, clock);
            assert_eq!(copy.cut(), cut);
            for (k, link) in links.enumerate() {
                assert_eq!(copy.position(link), k as u64 + 7);
            }
        }
    }

    #[test]
    #[should_panic(expected = "goes back")]
    fn a_cut_never_goes_back() {
        let mut cut = Cut::new(ShardId(0), 2);
        cut.advance(Link::Ingest, 2);
        cut.advance(Link::Ingest, 2);
    }
}
