//! What each shard is known to show in its present life: it keeps what it has consumed, so this need not be seen twice.

use super::{Board, Life, Wants};
use crate::clock::ShardId;
use crate::front::Token;
use operators::ViewId;
use std::collections::BTreeSet;

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
    /// Writes that views with that many rounds show, by rounds.
    tokens: Vec<Token>,
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
        let rounds = wants.reach.rounds as usize;
        let shows = shard.is_some_and(|shard| {
            let covers =
                |token: &Token| wants.token.positions().iter().all(|(a, p)| token.position(*a) >= *p);
            let known = wants.token.is_empty() || shard.tokens.iter().skip(rounds).any(covers);
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
        let rounds = wants.reach.rounds as usize;
        if shard.tokens.len() <= rounds {
            shard.tokens.resize_with(rounds + 1, Token::default);
        }
        shard.tokens[rounds].merge(&wants.token);
        if wants.reach.ticks > 0 && shard.whole.insert(wants.view) {
            self.whole.insert(wants.view);
        }
    }
}
