//! The board of the simulated machine: what shards have told stays when they die, and is told a word at a time.

use crate::clock::ShardId;
use crate::rounds::{Board, Life, Word};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What all shards have told.
pub(super) struct SimBoard {
    shards: Vec<RefCell<Told>>,
    /// Readers see no difference between the lives of a shard.
    hides_lives: bool,
}

#[derive(Default)]
struct Told {
    incarnation: u64,
    is_running: bool,
    words: BTreeMap<Word, u64>,
}

impl SimBoard {
    /// Nothing has been told yet.
    pub(super) fn new(shards: u16, hides_lives: bool) -> SimBoard {
        SimBoard { shards: (0..shards).map(|_| RefCell::default()).collect(), hides_lives }
    }

    /// What the supervisor does before it starts a process.
    pub(super) fn begin_life(&self, shard: ShardId) {
        let mut told = self.told(shard).borrow_mut();
        told.is_running = false;
        told.incarnation += 1;
    }

    /// A shard that has told all its words serves from now on. Returns whether it did not before.
    pub(super) fn serves(&self, shard: ShardId) -> bool {
        !std::mem::replace(&mut self.told(shard).borrow_mut().is_running, true)
    }

    fn told(&self, shard: ShardId) -> &RefCell<Told> {
        &self.shards[usize::from(shard.0)]
    }
}

impl Board for SimBoard {
    fn shards(&self) -> u16 {
        self.shards.len() as u16
    }

    fn life(&self, shard: ShardId) -> Life {
        let is_running = self.told(shard).borrow().is_running;
        if is_running { Life::Running(self.incarnation(shard)) } else { Life::Starting }
    }

    fn incarnation(&self, shard: ShardId) -> u64 {
        if self.hides_lives { 1 } else { self.told(shard).borrow().incarnation }
    }

    fn get(&self, shard: ShardId, word: Word) -> u64 {
        self.told(shard).borrow().words.get(&word).copied().unwrap_or(0)
    }

    fn set(&self, shard: ShardId, word: Word, value: u64) {
        self.told(shard).borrow_mut().words.insert(word, value);
    }
}
