//! What a shard tells on the board, in the order that readers rely on.

use super::{Board, Word};
use crate::clock::{Link, ShardId};
use crate::links::Links;
use crate::recovery::Receiver;
use crate::shard::Shard;

/// Words of a shard that are not about another one.
const OWN_WORDS: [Word; 5] = [Word::Logged, Word::Stepped, Word::Ingest, Word::Ticks, Word::Control];
/// Words about each other shard.
const PEER_WORD_COUNT: usize = 3;

/// The words that one life of a shard has told, so that only those that have changed are told again.
pub struct Teller {
    told: Vec<Option<u64>>,
}

impl Teller {
    /// Nothing has been told in this life, by a shard of so many.
    pub fn new(shards: u16) -> Teller {
        Teller { told: vec![None; OWN_WORDS.len() + PEER_WORD_COUNT * usize::from(shards)] }
    }

    /// Tells up to `count_max` words that have changed; to be called between steps and only in normal work. Returns how many: when it
    /// is none, all has been told.
    ///
    /// The order: a label before the consumption that led to it, so that whoever sees the second sees a label that has the first in
    /// it; the newest message before the label published through. What is told last is always taken anew from the shard, so it makes
    /// no difference if the shard goes on between two calls.
    pub fn tell(&mut self, shard: &Shard, links: &Links, board: &impl Board, count_max: u32) -> u32 {
        let me = shard.id();
        let mut count = 0;
        for (place, word) in words(board.shards(), me) {
            if count == count_max {
                break;
            }
            // A shard alone has no rings; and no word of the life before may stand for one of this life.
            let value = value_of(shard, links, word).unwrap_or(0);
            if self.told[place] != Some(value) {
                self.told[place] = Some(value);
                board.set(me, word, value);
                count += 1;
            }
        }
        count
    }
}

/// All words of a shard in the order of telling, with their places.
fn words(shards: u16, me: ShardId) -> impl Iterator<Item = (usize, Word)> {
    let peers = (0..shards).map(ShardId).filter(move |other| *other != me);
    let of_peer = |other: ShardId| {
        let words = [Word::Consumed(other), Word::Newest(other), Word::Published(other)];
        let first = OWN_WORDS.len() + PEER_WORD_COUNT * usize::from(other.0);
        (first..).zip(words)
    };
    (0..).zip(OWN_WORDS).chain(peers.flat_map(of_peer))
}

/// What a word is now; none if there is no such ring.
fn value_of(shard: &Shard, links: &Links, word: Word) -> Option<u64> {
    let consumed = |link| Some(shard.cut().get(link));
    match word {
        Word::Logged => Some(shard.logged_writes()),
        Word::Stepped => Some(shard.label().0),
        Word::Ingest => consumed(Link::Ingest),
        Word::Ticks => consumed(Link::Ticks),
        Word::Control => consumed(Link::Control),
        Word::Consumed(other) => consumed(Link::Shard(other)),
        Word::Newest(other) => links.newest_label(other).map(|label| label.0),
        // What waits in the outbox is not on the ring; all before it is.
        Word::Published(other) => {
            let waiting = shard.outgoing(Receiver::Shard(other));
            Some(waiting.map_or(shard.label().0, |(label, _)| label.0 - 1))
        }
    }
}
