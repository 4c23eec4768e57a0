//! How far shards are with what has been defined.
//!
//! An entry is built when every shard has consumed it, every gate of its views is open on every shard, and what came through the
//! gates has been through all exchanges. The last is seen by rounds over what the shards tell (`rounds.rs`). All of
//! it is of the present lives of the shards: one that dies may have to do a part of it again, and reads that must not miss
//! anything look for themselves ([`Front::lookup_after`]).

use super::{Front, FrontError, unknown};
use crate::rounds::{Board, Life, Word};
use operators::ViewId;
use operators::plan::SLICE_COUNT;

/// How far a view has got the rows that were there before it, in slices of the streams that it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Slices that shards have let through.
    pub done: u64,
    /// All slices of all shards; 0 for a view that came with its tables.
    pub all: u64,
}

impl Front {
    /// How far the shards together are with filling a view. When they are done, its last rows may still be under way;
    /// [`Front::is_built`] says when they have come.
    ///
    /// # Errors
    /// If there is no such view.
    pub fn build_progress(&self, view: ViewId) -> Result<Progress, FrontError> {
        let gates = self.plan.gates(view).ok_or_else(|| unknown("view", view.0))?;
        let slices = u64::from(SLICE_COUNT);
        let done_by = |ticks: u64| -> u64 {
            gates.iter().map(|gate| ticks.saturating_sub(gate * slices).min(slices)).sum()
        };
        let shards = self.page.shard_ids().map(|shard| Board::get(&self.page, shard, Word::Ticks));
        Ok(Progress {
            done: shards.map(done_by).sum(),
            all: u64::from(self.shards()) * gates.len() as u64 * slices,
        })
    }

    /// Whether all shards have taken up an entry of the catalogue, and its views have all rows that were there before them. To
    /// be asked again until it is so; views that have been dropped meanwhile need no rows. Nothing is sent.
    ///
    /// # Errors
    /// [`FrontError::Unknown`] for an entry that this front has not taken up ([`Front::refresh_catalogue`]);
    /// [`FrontError::Refused`] with [`Refusal::Down`](crate::message::Refusal::Down) if a shard is in quarantine.
    pub fn is_built(&mut self, entry: u64) -> Result<bool, FrontError> {
        if entry == 0 || entry > self.plan_entry {
            return Err(FrontError::Unknown(format!("catalogue entry {entry} that this front knows")));
        }
        let views = self.definitions.views_of(entry);
        let has_taken_it_up = |shard| {
            let lives = !matches!(self.page.life(shard), Life::Starting);
            lives && Board::get(&self.page, shard, Word::Control) >= entry
        };
        // A shard in quarantine is found by the views, and by the requests that need it.
        let is_quarantined = |shard| matches!(self.page.life(shard), Life::Quarantined);
        if !self.page.shard_ids().all(|shard| is_quarantined(shard) || has_taken_it_up(shard)) {
            return Ok(false);
        }
        for view in views.map(ViewId) {
            // One without gates, as those that were dropped are, has nothing to wait for.
            if self.views[view.0 as usize].reach.ticks > 0 && !self.is_whole(view)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
