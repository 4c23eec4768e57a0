//! The reads of one front: those that wait for their rounds, and those that have been sent and whose answers are good only if
//! the shard has not died meanwhile.

use super::shown::Shown;
use super::{Board, Rounds, Stand, Waits};
use crate::clock::ShardId;
use crate::front::Token;
use operators::ViewId;
use operators::plan::Reach;
use std::collections::BTreeMap;

/// Reads kept for reuse.
const SPARE_COUNT_MAX: usize = 256;

/// What a read must show.
#[derive(Debug, Default)]
pub struct Wants {
    /// Which view is read.
    pub view: ViewId,
    /// How far it is from the tables.
    pub reach: Reach,
    /// The shards that it is read on.
    pub targets: Vec<ShardId>,
    /// The writes that it must show.
    pub token: Token,
}

impl Wants {
    /// Whether any state will do.
    pub(super) fn asks_nothing(&self) -> bool {
        self.token.is_empty() && self.reach.ticks == 0
    }
}

/// One read; `T` is what is sent once the view shows what it must.
#[derive(Debug, Default)]
pub struct Read<T> {
    /// Its name.
    pub request: u64,
    /// What it must show.
    pub wants: Wants,
    /// What to send.
    pub body: T,
    rounds: Rounds,
    /// The lives of the targets in which they show it.
    lives: Vec<u64>,
}

/// All reads of one front.
#[derive(Debug, Default)]
pub struct Reads<T> {
    waiting: Vec<Read<T>>,
    sent: BTreeMap<u64, Read<T>>,
    spare: Vec<Read<T>>,
    shown: Shown,
    /// What [`Reads::whole`] waits for.
    builds: BTreeMap<ViewId, Read<()>>,
}

/// What is to be done with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is none of a read that must show anything, or it is good.
    Good,
    /// It may be of a state that lacks something: the read waits for its rounds again.
    Again,
}

impl<T: Default> Reads<T> {
    /// A read to be filled in and given to [`Reads::begin`].
    pub fn spare(&mut self) -> Read<T> {
        self.spare.pop().unwrap_or_default()
    }

    /// Begins a read. If nothing is in its way, `send` is called at once. Otherwise it waits, or fails for the reason that is
    /// returned.
    pub fn begin(&mut self, board: &impl Board, mut read: Read<T>, send: impl FnOnce(&mut Read<T>)) -> Stand {
        read.rounds.reset(!self.shown.is_whole(board, &read.wants), self.shown.was_whole(read.wants.view));
        let stand = stand(&mut self.shown, board, &mut read);
        match stand {
            Stand::Shown => self.send(read, send),
            Stand::Waits(_) => self.waiting.push(read),
            _ => self.give_back(read),
        }
        stand
    }

    /// Goes on with the reads that wait: `send` is called for those that can be sent now, `fail` for those that never will.
    /// Returns which shards the rest waits for.
    pub fn advance(
        &mut self,
        board: &impl Board,
        mut send: impl FnMut(&mut Read<T>),
        mut fail: impl FnMut(u64, ViewId, Stand),
    ) -> Waits {
        let mut waits = Waits::default();
        let mut index = 0;
        while let Some(read) = self.waiting.get_mut(index) {
            match stand(&mut self.shown, board, read) {
                Stand::Waits(shards) => {
                    waits.0 |= shards.0;
                    index += 1;
                }
                Stand::Shown => {
                    let read = self.waiting.swap_remove(index);
                    self.send(read, &mut send);
                }
                other => {
                    let read = self.waiting.swap_remove(index);
                    fail(read.request, read.wants.view, other);
                    self.give_back(read);
                }
            }
        }
        waits
    }

    /// An answer has come: whether it may be passed on.
    pub fn answered(&mut self, board: &impl Board, request: u64) -> Answered {
        let Some(mut read) = self.sent.remove(&request) else { return Answered::Good };
        let mut lives = read.wants.targets.iter().zip(&read.lives);
        if lives.all(|(target, life)| board.incarnation(*target) == *life) {
            self.give_back(read);
            return Answered::Good;
        }
        read.rounds.reset(!self.shown.is_whole(board, &read.wants), self.shown.was_whole(read.wants.view));
        self.waiting.push(read);
        Answered::Again
    }

    /// Forgets a read. Returns whether it waited and so has not been sent.
    pub fn cancel(&mut self, request: u64) -> bool {
        if let Some(index) = self.waiting.iter().position(|read| read.request == request) {
            let read = self.waiting.swap_remove(index);
            self.give_back(read);
            return true;
        }
        if let Some(read) = self.sent.remove(&request) {
            self.give_back(read);
        }
        false
    }

    /// Whether a view has all rows, on all shards, that were there before it; to be asked again until it stands so.
    pub fn whole(&mut self, board: &impl Board, view: ViewId, reach: Reach) -> Stand {
        let mut read = self.builds.remove(&view).unwrap_or_else(|| {
            let targets = (0..board.shards()).map(ShardId).collect();
            let wants = Wants { view, reach, targets, token: Token::default() };
            let mut read = Read { wants, ..Read::default() };
            read.rounds.reset(reach.ticks > 0, false);
            read
        });
        let stand = stand(&mut self.shown, board, &mut read);
        if matches!(stand, Stand::Waits(_) | Stand::Building) {
            self.builds.insert(view, read);
        }
        stand
    }

    /// Reads that wait for their rounds.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no answer needs to be looked at.
    pub fn none_sent(&self) -> bool {
        self.sent.is_empty()
    }

    fn send(&mut self, mut read: Read<T>, send: impl FnOnce(&mut Read<T>)) {
        send(&mut read);
        self.sent.insert(read.request, read);
    }

    fn give_back(&mut self, read: Read<T>) {
        if self.spare.len() < SPARE_COUNT_MAX {
            self.spare.push(read);
        }
    }
}

/// Where a read stands, by what is known and, if that is not enough, by its rounds.
fn stand<T>(shown: &mut Shown, board: &impl Board, read: &mut Read<T>) -> Stand {
    let Read { wants, rounds, lives, .. } = read;
    lives.clear();
    lives.extend(wants.targets.iter().map_while(|target| shown.life(board, wants, *target)));
    if lives.len() == wants.targets.len() {
        return Stand::Shown;
    }
    let stand = rounds.advance(board, wants);
    if stand == Stand::Shown {
        lives.clear();
        lives.extend(wants.targets.iter().map(|target| rounds.life(*target)));
        for (target, life) in wants.targets.iter().zip(lives) {
            shown.note(wants, *target, *life);
        }
    }
    stand
}
