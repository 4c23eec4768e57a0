//! Recovery of one shard while the others run: replay, then steering.
//!
//! A shard that starts again needs nobody's word. **Replay** takes it through the steps that its log holds, to label
//! n0. What it did after n0 is lost with its memory, but receivers have seen results of it: the newest message on each
//! ring out carries a clock, that is, a label and a cut. **Steering** takes the shard through the same cuts again, in
//! order of their labels. Between two of them the order of consumption is free, because what a shard holds and has
//! sent in total depends only on what it has consumed. Results go to those receivers that have not seen them; for the
//! others they are dropped, since the sum of what they have is the same.
//!
//! This file decides only *how far* each link may be consumed and *who* may be sent to; `shard.rs` does the steps.
//!
//! Invariants: targets are in order of label and above the shard's label; a target's cut covers the shard's cut; when
//! the cut of a target is reached, so is its label.

use crate::clock::{Cut, FrontSlot, Label, Link, ShardId, TreeClock};
use std::collections::VecDeque;

/// Where a shard stands between its start and normal work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Taking the steps that its log holds.
    Replaying,
    /// Consuming towards cuts that receivers have seen.
    Steering,
    /// Normal work.
    Running,
}

/// Who is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// Another shard.
    Shard(ShardId),
    /// An attached front.
    Front(FrontSlot),
}

/// How far a receiver had seen the shard when recovery began.
#[derive(Debug)]
struct Seen {
    by: Receiver,
    label: Label,
    /// The clock on the newest message; none where the ring was empty, and then the label is part of the log.
    clock: Option<TreeClock>,
}

/// A state that somebody has seen and that the shard must pass through.
#[derive(Debug)]
struct Target {
    label: Label,
    cut: Cut,
}

/// The course of one recovery.
#[derive(Debug)]
pub(crate) struct Recovery {
    phase: Phase,
    seen: Vec<Seen>,
    targets: VecDeque<Target>,
}

impl Recovery {
    pub(crate) fn new() -> Recovery {
        Recovery { phase: Phase::Replaying, seen: Vec::new(), targets: VecDeque::new() }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Notes what `by` has seen; before the first record is replayed.
    pub(crate) fn seen(&mut self, by: Receiver, label: Label, clock: Option<TreeClock>) {
        assert_eq!(self.phase, Phase::Replaying, "what receivers have seen is asked before replay");
        assert!(self.seen.iter().all(|seen| seen.by != by), "{by:?} is asked once");
        self.seen.push(Seen { by, label, clock });
    }

    /// A receiver is gone; nothing needs to be hidden from it or steered to for it any more.
    pub(crate) fn forget(&mut self, by: Receiver) {
        self.seen.retain(|seen| seen.by != by);
    }

    /// Whether a step that ends at `label` must be the end of a group of steps that publish together: results up to a
    /// label that a receiver has seen are dropped for it, results after it are not.
    pub(crate) fn is_boundary(&self, label: Label) -> bool {
        self.seen.iter().any(|seen| seen.label == label)
    }

    /// Whether results of the step that led to `label` are news to `to`.
    pub(crate) fn may_publish(&self, to: Receiver, label: Label) -> bool {
        let seen = || self.seen.iter().find(|seen| seen.by == to).map_or(Label(0), |seen| seen.label);
        match self.phase {
            Phase::Replaying => label > seen(),
            Phase::Steering => seen() < self.target().label,
            Phase::Running => true,
        }
    }

    /// Ends replay at label `n0` and cut `cut`. Returns the shards that have seen more, with what they have seen.
    pub(crate) fn end_replay(&mut self, n0: Label, cut: &Cut, steering: bool) -> Vec<(ShardId, Label)> {
        assert_eq!(self.phase, Phase::Replaying);
        let mut ahead: Vec<&Seen> = self.seen.iter().filter(|seen| seen.label > n0).collect();
        ahead.sort_by_key(|seen| seen.label);
        for seen in ahead.iter().filter(|_| steering) {
            let clock = seen.clock.as_ref().expect("only a message can show a label that the log has lost");
            if self.targets.back().is_none_or(|last| last.label < seen.label) {
                self.targets.push_back(Target { label: seen.label, cut: clock.cut() });
            }
        }
        let shards = ahead.iter().filter_map(|seen| match seen.by {
            Receiver::Shard(shard) => Some((shard, seen.label)),
            Receiver::Front(_) => None,
        });
        let shards = shards.collect();
        assert!(
            self.targets.front().is_none_or(|target| target.cut.covers(cut)),
            "a target lies ahead on every link"
        );
        self.phase = Phase::Steering;
        self.pass_targets(n0, cut);
        shards
    }

    /// After a step: drops the targets that are reached; the last one ends steering.
    pub(crate) fn pass_targets(&mut self, label: Label, cut: &Cut) {
        if self.phase != Phase::Steering {
            return;
        }
        while self.targets.front().is_some_and(|target| cut.covers(&target.cut)) {
            let target = self.targets.pop_front().expect("there is one");
            assert_eq!(label, target.label, "a cut that is reached has the label it had the first time");
        }
        if self.targets.is_empty() {
            self.phase = Phase::Running;
            self.seen.clear();
        }
    }

    /// The position up to which `link` may be consumed now.
    pub(crate) fn limit(&self, link: Link) -> u64 {
        match self.phase {
            Phase::Steering => self.target().cut.get(link),
            Phase::Replaying | Phase::Running => u64::MAX,
        }
    }

    /// The greatest position of `link` that any receiver has seen the shard reach.
    pub(crate) fn last_limit(&self, link: Link) -> u64 {
        self.targets.back().map_or(0, |target| target.cut.get(link))
    }

    fn target(&self) -> &Target {
        self.targets.front().expect("a shard steers only while there is a target")
    }
}
