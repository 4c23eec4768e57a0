//! Ranges of ordered views: read in pieces from the shards that have them, as the session sees them.
//!
//! Prefixes are divided among the shards that own their rows; a key of one column has none, and every shard is asked. The first
//! pieces of all shards are under way together. What each shard gives of a prefix comes in the order of the range; who wants
//! several in one order sorts them.

use operators::plan::ViewSpec;
use operators::{Range, RangeKeys, Row, Rows, ViewId};
use runtime::ShardId;
use runtime::message::Refusal;
use sql::{Context, Lookup, SqlError};

use super::execute::{BUILDING_PAUSE, KEYS_AT_ONCE, request_error};
use super::pump::{Answered, Ticket};
use super::scan::SCAN_MEMORY_BYTES;
use super::session::Session;

/// What is to be read of a range on one shard.
struct Share {
    shard: ShardId,
    range: Range,
}

impl Session {
    /// The rows of a range that a lookup asks for: all that are wanted, or as many as are enough of each run.
    pub(super) async fn look_up_range(
        &mut self,
        lookup: &Lookup,
        range: &Range,
        context: &Context<'_>,
    ) -> Result<Rows, SqlError> {
        let (mut found, mut taking) = (Rows::new(), lookup.take(range, context)?);
        self.pull_range(lookup.view, range, &mut |shard, rows| {
            let wants_more = taking.take(shard, rows, &mut found)?;
            if found.rows.len() as u64 > SCAN_MEMORY_BYTES {
                return Err(too_many());
            }
            Ok(wants_more)
        })
        .await?;
        Ok(found)
    }

    /// Gives all rows of a range, as the session sees them, each piece with the number of its shard. `give` says whether more of
    /// that shard are wanted. What a transaction has changed comes last, with a number of its own.
    pub(super) async fn pull_range(
        &mut self,
        view: ViewId,
        range: &Range,
        give: &mut impl FnMut(u16, &Rows) -> Result<bool, SqlError>,
    ) -> Result<(), SqlError> {
        let changed = self.changed_table(view).map(|(table, _)| table);
        let mut range = range.clone();
        if let Some(table) = changed {
            // So many of the rows that are there may be left out.
            range.limit = range.limit.saturating_add(self.transaction.overlay().changed_count(table));
        }
        let mut asked = Vec::new();
        for share in self.shares_of(view, &range)? {
            let ticket = self.ask_range(view, &share, None).await?;
            asked.push((share, ticket));
        }
        for (share, ticket) in asked {
            self.pull_share(view, share, ticket, changed, give).await?;
        }
        if let Some(table) = changed {
            let keys = self.with_view(view, RangeKeys::of)?.ok_or_else(no_order)?;
            let mut rows = Rows::new();
            self.transaction.overlay().changed(table, None, |row| {
                if keys.contains(range.as_ref(), row) {
                    rows.push(row);
                }
            });
            give(u16::MAX, &rows)?;
        }
        Ok(())
    }

    /// The parts of a range for the shards that have them, none of them with too many prefixes.
    fn shares_of(&self, view: ViewId, range: &Range) -> Result<Vec<Share>, SqlError> {
        let is_everywhere = self.with_view(view, |view| view.prefix().is_empty())?;
        let shards = self.database.pump.with_front(|front| front.shards());
        if is_everywhere {
            let all = if range.prefixes.is_empty() { 0 } else { shards };
            return Ok((0..all).map(|shard| Share { shard: ShardId(shard), range: range.clone() }).collect());
        }
        let mut parts = vec![vec![Rows::new()]; usize::from(shards)];
        for prefix in range.prefixes.iter() {
            let owner = self.database.pump.with_front(|front| front.owner_of_key(view, prefix));
            let owner = owner.map_err(|error| SqlError::new("42P01", error.to_string()))?;
            let part = &mut parts[usize::from(owner.0)];
            if part[part.len() - 1].count as usize >= KEYS_AT_ONCE {
                part.push(Rows::new());
            }
            part.last_mut().expect("it has one").push(prefix);
        }
        let of_shard = |(shard, parts): (u16, Vec<Rows>)| {
            let parts = parts.into_iter().filter(|prefixes| !prefixes.is_empty());
            let share =
                |prefixes| Share { shard: ShardId(shard), range: Range { prefixes, ..range.clone() } };
            parts.map(share).collect::<Vec<_>>()
        };
        Ok((0..).zip(parts).flat_map(of_shard).collect())
    }

    /// Gives what one shard has, of which the first piece has been asked for.
    async fn pull_share(
        &mut self,
        view: ViewId,
        mut share: Share,
        mut ticket: Ticket,
        changed: Option<u32>,
        give: &mut impl FnMut(u16, &Rows) -> Result<bool, SqlError>,
    ) -> Result<(), SqlError> {
        let mut from = None;
        loop {
            match self.interrupt.guard(ticket.answer()).await? {
                Ok(Answered::Ranged { counts, rows, next }) => {
                    let rows = match changed {
                        Some(table) => self.transaction.overlay().kept(table, &rows),
                        None => rows,
                    };
                    if !give(share.shard.0, &rows)? {
                        return Ok(());
                    }
                    let done = counts.len() - usize::from(next.is_some());
                    share.range.prefixes = rest_of(&share.range.prefixes, done);
                    if share.range.prefixes.is_empty() {
                        return Ok(());
                    }
                    // The first piece may have been enough; now many are wanted.
                    share.range.piece = share.range.piece.saturating_mul(2);
                    from = next;
                }
                Ok(_) => unreachable!("a range is answered by one"),
                Err(error) if error.reason == Refusal::Building => {
                    self.interrupt.guard(tokio::time::sleep(BUILDING_PAUSE)).await?;
                }
                Err(error) => return Err(request_error(&error)),
            }
            ticket = self.ask_range(view, &share, from.as_ref()).await?;
        }
    }

    async fn ask_range(
        &mut self,
        view: ViewId,
        share: &Share,
        from: Option<&operators::RangePosition>,
    ) -> Result<Ticket, SqlError> {
        let pump = self.database.pump.clone();
        let token = self.read_token();
        self.interrupt
            .guard(pump.range(&token, (view, share.shard), &share.range, from))
            .await?
            .map_err(|error| request_error(&error))
    }

    fn with_view<T>(&self, view: ViewId, act: impl FnOnce(&ViewSpec) -> T) -> Result<T, SqlError> {
        let catalog = self.database.catalog.borrow();
        let view = catalog.plan().views.get(view.0 as usize).ok_or_else(no_order)?;
        Ok(act(view))
    }
}

/// The prefixes behind the first ones.
fn rest_of(prefixes: &Rows, done: usize) -> Rows {
    let mut rest = Rows::new();
    prefixes.iter().skip(done).for_each(|prefix: Row<'_>| rest.push(prefix));
    rest
}

fn no_order() -> SqlError {
    SqlError::new("42P01", "the index is no longer there")
}

fn too_many() -> SqlError {
    let limit = SCAN_MEMORY_BYTES >> 20;
    SqlError::new(
        "53200",
        format!("the rows of the range need more than the {limit} MiB of memory that they may have"),
    )
    .hint("Narrow it down, or read it in parts with LIMIT.")
}
