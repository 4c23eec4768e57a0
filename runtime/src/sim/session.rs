//! A session on a simulated front: it knows what it has written, and its reads must show it.
//!
//! It reads views whose figures only grow, because events are only ever inserted: how many there are of a group, how many
//! different groups an item has, how many such pairs there are; and where views are ordered, how many events a group has in a range
//! of numbers. So each figure must be at least what follows from
//! the events that had been acknowledged when it asked. A session outlives its front: it goes on with the next one in the same
//! place, as one does that carries its token elsewhere.

use super::board::SimBoard;
use super::workload::{GROUP_COUNT, IN_ORDER, KEY_COUNTS};
use crate::clock::ShardId;
use crate::front::Token;
use crate::message::{ArchivedOutcome, ArchivedRefusal, Ask};
use crate::rounds::{Answered, Read, Reads, Stand, Wants};
use fastrand::Rng;
use operators::hash::{hash_key, owner};
use operators::plan::ViewSpec;
use operators::{Datum, Edge, Plan, Range, RowBuilder, Rows, RowsIter, ViewId};
use std::collections::{BTreeMap, BTreeSet};

/// The views it reads, beside those of the same names that came later.
const VIEWS: [&str; 3] = ["event_counts", "pairs_of_item", "pairs"];
/// Reads that wait; above this it asks no more.
const WAITING_COUNT_MAX: usize = 12;

/// See the [module's documentation](self).
pub(super) struct Session {
    reads: Reads<()>,
    /// Rounds are waited for.
    keeps_rounds: bool,
    token: Token,
    /// Group and item of the events that have been acknowledged.
    events: BTreeMap<i64, (i64, i64)>,
    /// Group and item of the newest of them: what is read where it is new shows most easily what is missing.
    newest: Option<(i64, i64)>,
    /// It has been acknowledged since the last read.
    is_fresh: bool,
    questions: BTreeMap<u64, Question>,
    next: u64,
}

/// What is asked, and the least that must come of it.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) to: ShardId,
    view: ViewId,
    keys: Rows,
    /// What is read, if it is a range; then its rows are counted.
    range: Option<Range>,
    column: usize,
    least: i64,
    token: Token,
}

impl Question {
    /// What is sent.
    pub(super) fn ask(&self) -> Ask {
        match &self.range {
            Some(range) => Ask::Range { view: self.view.0, range: range.clone(), from: None },
            None => Ask::Lookup { view: self.view.0, limit: 2, keys: self.keys.clone() },
        }
    }
}

impl Session {
    pub(super) fn new(keeps_rounds: bool) -> Session {
        Session {
            reads: Reads::default(),
            keeps_rounds,
            token: Token::default(),
            events: BTreeMap::new(),
            newest: None,
            is_fresh: false,
            questions: BTreeMap::new(),
            next: 1,
        }
    }

    /// Its front has died; the next one goes on with what this one has been told.
    pub(super) fn reconnect(mut self) -> Session {
        self.reads = Reads::default();
        self.questions.clear();
        self
    }

    /// Events have been acknowledged by `shard`, which had consumed so many writes then.
    pub(super) fn written(&mut self, shard: ShardId, position: u64, events: &[(i64, i64, i64)]) {
        self.token.note(shard, position);
        self.events.extend(events.iter().map(|(event, grp, item)| (*event, (*grp, *item))));
        self.newest = events.last().map(|(_, grp, item)| (*grp, *item)).or(self.newest);
        self.is_fresh = true;
    }

    /// Whether a write has been acknowledged since this was asked last.
    pub(super) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.is_fresh)
    }

    /// Begins a random read, unless many wait. Returns whether it did; `send` is called for what can be sent at once.
    pub(super) fn begin(
        &mut self,
        plan: &Plan,
        board: &SimBoard,
        rng: &mut Rng,
        mut send: impl FnMut(u64, &Question),
    ) -> Result<bool, String> {
        let Some(question) = self.draw(plan, board, rng).filter(|_| self.questions.len() < WAITING_COUNT_MAX)
        else {
            return Ok(false);
        };
        let request = self.next;
        self.next += 1;
        let mut read: Read<()> = self.reads.spare();
        read.request = request;
        let reach = plan.reach(question.view).expect("it is in the plan");
        let (targets, token) = (vec![question.to], question.token.clone());
        read.wants = Wants { view: question.view, reach, targets, token };
        if !self.keeps_rounds {
            send(request, &question);
            self.questions.insert(request, question);
            return Ok(true);
        }
        match self.reads.begin(board, read, |_| send(request, &question)) {
            Stand::Shown | Stand::Waits(_) => drop(self.questions.insert(request, question)),
            Stand::Building if reach.ticks > 0 => {}
            stand => return Err(format!("{question:?} stands {stand:?}")),
        }
        Ok(true)
    }

    fn draw(&self, plan: &Plan, board: &SimBoard, rng: &mut Rng) -> Option<Question> {
        if plan.view(IN_ORDER).is_ok() && rng.u32(0..3) == 0 {
            return self.draw_range(plan, board, rng);
        }
        let name = VIEWS[rng.usize(0..VIEWS.len())];
        let late = plan.view(&format!("late_{name}")).ok().filter(|_| rng.bool());
        let view = late.or_else(|| plan.view(name).ok())?;
        let (mut keys, mut builder) = (Rows::new(), RowBuilder::new());
        let any = (rng.i64(0..GROUP_COUNT), rng.i64(0..KEY_COUNTS[0]));
        let (grp, item) = self.newest.filter(|_| rng.u32(0..4) > 0).unwrap_or(any);
        let pairs: BTreeSet<&(i64, i64)> = self.events.values().collect();
        let (key, column, least): (&[Datum<'_>], _, _) = match name {
            "event_counts" => {
                (&[Datum::Int(grp)], 1, self.events.values().filter(|event| event.0 == grp).count())
            }
            "pairs_of_item" => (&[Datum::Int(item)], 1, pairs.iter().filter(|pair| pair.1 == item).count()),
            _ => (&[], 0, pairs.len()),
        };
        keys.push_values(&mut builder, key);
        let to = owner_of(view, &keys, board);
        let token = self.token.clone();
        Some(Question { to, view: view.id, keys, range: None, column, least: least as i64, token })
    }

    /// The events of a group from a number on.
    fn draw_range(&self, plan: &Plan, board: &SimBoard, rng: &mut Rng) -> Option<Question> {
        let late = plan.view(&format!("late_{IN_ORDER}")).ok().filter(|_| rng.bool());
        let view = late.or_else(|| plan.view(IN_ORDER).ok())?;
        let any = rng.i64(0..GROUP_COUNT);
        let grp = self.newest.filter(|_| rng.u32(0..4) > 0).map_or(any, |(grp, _)| grp);
        let first = rng.i64(0..KEY_COUNTS[1] / 2);
        let row = |value| {
            let mut rows = Rows::new();
            rows.push_values(&mut RowBuilder::new(), &[Datum::Int(value)]);
            rows
        };
        let range = Range {
            prefixes: row(grp),
            lower: Edge { value: row(first), included: true },
            upper: Edge::default(),
            descending: rng.bool(),
            limit: u32::MAX,
            piece: u32::MAX,
        };
        let least = self.events.iter().filter(|(event, (of, _))| **event >= first && *of == grp).count();
        Some(Question {
            to: owner_of(view, &range.prefixes, board),
            view: view.id,
            keys: Rows::new(),
            range: Some(range),
            column: 0,
            least: least as i64,
            token: self.token.clone(),
        })
    }

    /// Goes on with the reads that wait. Returns whether any waits no longer.
    pub(super) fn advance(
        &mut self,
        board: &SimBoard,
        mut send: impl FnMut(u64, &Question),
    ) -> Result<bool, String> {
        let before = self.reads.waiting_count();
        let (questions, mut failed) = (&self.questions, Vec::new());
        self.reads.advance(
            board,
            |read| send(read.request, &questions[&read.request]),
            |request, _, stand| failed.push((request, stand)),
        );
        for (request, stand) in failed {
            let question = self.questions.remove(&request).expect("it waited");
            if stand != Stand::Building {
                return Err(format!("{question:?} stands {stand:?}"));
            }
        }
        Ok(self.reads.waiting_count() < before)
    }

    /// An answer has come.
    pub(super) fn answered(
        &mut self,
        board: &SimBoard,
        request: u64,
        outcome: &ArchivedOutcome,
    ) -> Result<(), String> {
        if self.reads.answered(board, request) == Answered::Again {
            return Ok(());
        }
        let question = self.questions.remove(&request).expect("it was asked");
        let found = match outcome {
            ArchivedOutcome::Found { rows, .. } => {
                RowsIter(&rows.rows).next().map_or(0, |row| row.int(question.column))
            }
            // All of a group is less than a piece.
            ArchivedOutcome::Ranged { rows, next, .. } if next.is_none() => rows.count.to_native().into(),
            // It has no tables yet, so no writes can have come to it.
            ArchivedOutcome::Refused { reason: ArchivedRefusal::Unknown, .. } => 0,
            ArchivedOutcome::Refused { reason: ArchivedRefusal::Building, .. } if !self.keeps_rounds => {
                return Ok(());
            }
            _ => return Err(format!("{question:?} was not answered by rows")),
        };
        if found < question.least {
            return Err(format!("{question:?} was answered by {found}"));
        }
        Ok(())
    }

    /// Reads that have no answer yet.
    pub(super) fn waiting_count(&self) -> usize {
        self.questions.len()
    }

    /// Whether a view is whole on all shards.
    pub(super) fn is_whole(&mut self, board: &SimBoard, plan: &Plan, view: ViewId) -> Stand {
        self.reads.whole(board, view, plan.reach(view).expect("it is in the plan"))
    }
}

/// The shard that has the rows of a key.
fn owner_of(view: &ViewSpec, keys: &Rows, board: &SimBoard) -> ShardId {
    let hash = hash_key(keys.iter().next().expect("one key"), &view.spread_columns().of_key_row());
    ShardId(owner(hash, crate::rounds::Board::shards(board)))
}
