//! What each shard is known to show in its present life: it keeps what it has consumed, so this need not be seen twice.

use super::{Board, Life, Wants};
use crate::clock::ShardId;
use crate::front::Token;
use operators::ViewId;
use operators::plan::Reach;
use std::collections::BTreeSet;

/// Ways of different lengths, or behind different gates, for which a token is kept.
const TOKEN_COUNT_MAX: usize = 16;

/// By shard.
#[derive(Debug, Default)]
pub(super) struct Shown {
    shards: Vec<OnShard>,
    /// Views that have been whole somewhere, in some life: they will be again.
    whole: BTreeSet<ViewId>,
}

#[derive(Debug, Default)]
struct OnShard {
    incarnation: u64,
    /// Writes that views show which are so far from the tables; at most [`TOKEN_COUNT_MAX`].
    tokens: Vec<(Reach, Token)>,
    /// Views that have all rows that were there before them.
    whole: BTreeSet<ViewId>,
}

impl Shown {
    /// Whether a view is known to have been whole.
    pub(super) fn was_whole(&self, view: ViewId) -> bool {
        self.whole.contains(&view)
    }

    /// Whether all rows that were there before the view have come to all targets.
    pub(super) fn is_whole(&self, board: &impl Board, wants: &Wants) -> bool {
        wants.reach.ticks == 0
            || wants.targets.iter().all(|target| {
                let shard = self.shards.get(usize::from(target.0));
                shard.is_some_and(|shard| {
                    shard.incarnation == board.incarnation(*target) && shard.whole.contains(&wants.view)
                })
            })
    }

    /// The life in which a target shows all that is wanted, if it is known to.
    pub(super) fn life(&self, board: &impl Board, wants: &Wants, target: ShardId) -> Option<u64> {
        let shard = self.shards.get(usize::from(target.0));
        let shows = shard.is_some_and(|shard| {
            // A view on a longer way shows more; but it may lie behind other gates, which had to be open when the writes
            // passed.
            let covers = |(reach, token): &(Reach, Token)| {
                reach.rounds >= wants.reach.rounds
                    && reach.ticks >= wants.reach.ticks
                    && wants.token.positions().iter().all(|(a, p)| token.position(*a) >= *p)
            };
            let known = wants.token.is_empty() || shard.tokens.iter().any(covers);
            known && (wants.reach.ticks == 0 || shard.whole.contains(&wants.view))
        });
        match board.life(target) {
            Life::Running(incarnation)
                if shows && shard.is_some_and(|shard| shard.incarnation == incarnation) =>
            {
                Some(incarnation)
            }
            Life::Running(incarnation) if wants.asks_nothing() => Some(incarnation),
            _ => None,
        }
    }

    /// Notes that a target shows what was wanted.
    pub(super) fn note(&mut self, wants: &Wants, target: ShardId, incarnation: u64) {
        let index = usize::from(target.0);
        if self.shards.len() <= index {
            self.shards.resize_with(index + 1, OnShard::default);
        }
        let shard = &mut self.shards[index];
        if shard.incarnation != incarnation {
            *shard = OnShard { incarnation, ..OnShard::default() };
        }
        match shard.tokens.iter_mut().find(|(reach, _)| *reach == wants.reach) {
            Some((_, token)) => token.merge(&wants.token),
            None => {
                // What is forgotten is seen anew.
                shard.tokens.truncate(TOKEN_COUNT_MAX - 1);
                shard.tokens.insert(0, (wants.reach, wants.token.clone()));
            }
        }
        if wants.reach.ticks > 0 && shard.whole.insert(wants.view) {
            self.whole.insert(wants.view);
        }
    }
}
