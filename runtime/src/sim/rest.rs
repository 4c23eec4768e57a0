//! The end of a run: nothing dies any more, everything comes to rest, and what is there is what must be.

use super::Failure;
use super::oracle::{Oracle, Values, values_of};
use super::workload::{GROUP_COUNT, no_columns};
use super::world::{World, say};
use crate::clock::{FrontSlot, Link, ShardId};
use crate::record;
use crate::recovery::{Phase, Receiver};
use crate::rounds::Stand;
use operators::hash::{hash_key, owner};
use operators::order::RowOrder;
use operators::plan::ViewSpec;
use operators::{Dataflow, Datum, Range, Row, RowBuilder, Rows, ViewId, asc};

/// Rounds, each of them every move of every shard, after which a run that still moves is stuck in a circle. A run
/// leaves some hundred messages behind, and each round takes one at least over some link.
const ROUND_COUNT_MAX: u32 = 20_000;

/// Differing rows that a failure shows of a view.
const SHOWN_COUNT: usize = 4;

impl World {
    /// Lets every shard live and work until nothing moves.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Failure> {
        say!(self, "from here on nothing dies");
        self.resting = true;
        self.disks.iter_mut().for_each(|disk| disk.free_bytes = u64::MAX);
        self.find_all_damage()?;
        for slot in 0..self.fronts.len() {
            if self.fronts[slot].is_none() {
                self.front_comes(slot);
            }
        }
        // A round that moves nothing may still have released what the next one needs.
        let mut quiet = 0;
        for round in 0.. {
            if round == ROUND_COUNT_MAX {
                return Err(Failure(format!("no rest after {round} rounds")));
            }
            let mut moved = false;
            for id in self.shard_ids() {
                moved |= self.round_of(id)?;
            }
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet == 2 {
                break;
            }
        }
        self.check_rest()
    }

    /// Every move of one shard, and of the fronts towards it.
    fn round_of(&mut self, id: ShardId) -> Result<bool, Failure> {
        let index = usize::from(id.0);
        let mut moved = self.boot(id, 100)?;
        moved |= self.tell(id)?;
        if let Some(process) = &mut self.processes[index] {
            moved |= process.learn(&self.ground, self.ground.catalogue.len() as u64);
        }
        let count_max = self.climate.count_max;
        for slot in 0..self.fronts.len() {
            let front = self.fronts[slot].as_mut().expect("all slots are taken");
            moved |= front.push(id, count_max) > 0;
            moved |= self.poll_front(slot, id, count_max)?;
            moved |= self.advance_reads(slot)?;
            let slot = FrontSlot(slot as u16);
            moved |= self.admit(id, slot, count_max)?;
            moved |= self.publish(id, Receiver::Front(slot), count_max)?;
        }
        moved |= self.step(id, Link::Control, 1)?;
        moved |= self.step(id, Link::Ingest, count_max)?;
        moved |= self.step(id, Link::Ticks, u32::MAX)?;
        for other in self.ground.others(id) {
            moved |= self.step(id, Link::Shard(other), count_max)?;
            moved |= self.publish(id, Receiver::Shard(other), count_max)?;
        }
        moved |= self.tell_words(id, u32::MAX);
        moved |= self.flush(id);
        moved |= self.prepare(id);
        moved |= self.complete(id);
        self.release(id);
        self.tally.events += u64::from(moved);
        Ok(moved)
    }

    /// Nothing moves: nobody may be waiting for anything.
    fn check_rest(&mut self) -> Result<(), Failure> {
        let plan = self.ground.catalogue.last().expect("the first entry is there");
        for (front, board) in self.fronts.iter_mut().flatten().zip(self.board.iter().cycle()) {
            let Some(session) = front.session.as_mut() else { continue };
            if session.waiting_count() > 0 {
                return Err(Failure(format!("nothing moves, but reads of front {} wait", front.id.0)));
            }
            for view in plan.live_views() {
                let stand = session.is_whole(board, plan, view.id);
                if stand != Stand::Shown {
                    let name = &view.name;
                    return Err(Failure(format!("nothing moves, but view {name} is not whole: {stand:?}")));
                }
            }
        }
        for front in self.fronts.iter().flatten() {
            if front.waiting_count() > 0 {
                let what = front.waiting();
                return Err(Failure(format!("nothing moves, but front {} waits for {what}", front.id.0)));
            }
        }
        for (process, id) in self.processes.iter().zip(self.shard_ids()) {
            let process = process.as_ref().expect("all shards live");
            if process.shard.phase() != Phase::Running {
                let state = (process.shard.phase(), process.shard.label());
                return Err(Failure(format!("nothing moves, but shard {id} is {state:?}")));
            }
            for other in self.ground.others(id) {
                if process.shard.outgoing(Receiver::Shard(other)).is_some() {
                    return Err(Failure(format!("nothing moves, but shard {id} has more for shard {other}")));
                }
            }
        }
        Ok(())
    }

    /// Compares everything with the computation from scratch.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        let mut oracle = Oracle::default();
        self.tally.writes = 0;
        self.tally.refused_full = self.ledger.refused_full_count();
        self.ledger.begin_check();
        for id in self.shard_ids() {
            let disk = &self.disks[usize::from(id.0)];
            let read = disk.read().map_err(|e| Failure(format!("the log of shard {id} at the end: {e}")))?;
            for found in read.records.iter().filter(|found| found.kind == record::INGEST) {
                self.tally.writes += 1;
                self.ledger.logged(id, disk.payload(found), self.workload.whole(), &mut oracle)?;
            }
        }
        self.ledger.check_all_there()?;
        self.ground.catalogue.last().expect("the first entry is there").live_views().try_for_each(|view| {
            let mut rows = Vec::new();
            for id in self.shard_ids() {
                rows.extend(self.rows_of(id, view.id)?);
                let process = self.processes[usize::from(id.0)].as_ref().expect("all shards live");
                let failing = process.shard.dataflow().failing(view.id);
                if failing.is_some() != oracle.is_failing(&view.name) {
                    let name = &view.name;
                    return Err(Failure(format!(
                        "on shard {id} rows of view {name} fail: {failing:?}, which is wrong"
                    )));
                }
            }
            rows.sort();
            compare(&view.name, &rows, &oracle.view(&view.name))
        })
    }

    /// The rows of a view on one shard, all of which must belong there.
    fn rows_of(&self, id: ShardId, view: ViewId) -> Result<Vec<Values>, Failure> {
        let spec = &self.workload.whole().views[view.0 as usize];
        let process = self.processes[usize::from(id.0)].as_ref().expect("all shards live");
        let backfill = process.shard.dataflow().backfill(view);
        if backfill.as_ref().is_ok_and(|(done, all)| done < all) {
            return Err(Failure(format!(
                "nothing moves, but shard {id} fills view {}: {backfill:?}",
                spec.name
            )));
        }
        let rows = process.shard.dataflow().scan(view);
        let rows = rows.map_err(|e| Failure(format!("shard {id} has no view {}: {e}", spec.name)))?;
        if spec.ordered && process.shard.dataflow().failing(view).is_none() {
            check_ranges(process.shard.dataflow(), spec, &rows)
                .map_err(|e| Failure(format!("shard {id}, view {}: {e}", spec.name)))?;
        }
        let types: Vec<_> = spec.columns.iter().map(|column| column.ty).collect();
        let key = spec.spread_columns();
        let read = |row| {
            let values = values_of(row, &types);
            match owner(hash_key(row, &key), self.ground.shards) == id.0 {
                true => Ok(values),
                false => Err(Failure(format!(
                    "shard {id} has {values:?} of view {}, which is not its own",
                    spec.name
                ))),
            }
        };
        rows.iter().map(read).collect()
    }
}

/// Ranges give the same rows as a scan does, in their order.
fn check_ranges(dataflow: &Dataflow, spec: &ViewSpec, scanned: &Rows) -> Result<(), String> {
    let mut prefixes = Rows::default();
    match spec.prefix() {
        [] => prefixes = no_columns(),
        // The only one is the group of an event.
        prefix => (0..GROUP_COUNT).for_each(|group| {
            assert_eq!(prefix.len(), 1);
            prefixes.push_values(&mut RowBuilder::new(), &[Datum::Int(group)]);
        }),
    }
    let whole = Range { prefixes, limit: u32::MAX, piece: u32::MAX, ..Range::default() };
    let order = RowOrder::resolve(
        &spec.key.iter().map(|at| asc(&spec.columns[usize::from(*at)].name)).collect::<Vec<_>>(),
        &spec.columns,
    );
    let order = order.map_err(|e| e.to_string())?;
    let mut rows = Rows::default();
    let piece = dataflow.range(spec.id, whole.as_ref(), None, usize::MAX, &mut rows);
    if piece.map_err(|e| e.to_string())?.next.is_some() {
        return Err("a piece without limits has not all rows".to_owned());
    }
    let key_of = |row: Row<'_>| -> Vec<String> {
        let value = |at: &u16| row.datum(usize::from(*at), spec.columns[usize::from(*at)].ty).to_string();
        spec.key.iter().map(value).collect()
    };
    let mut expected: Vec<Row<'_>> = scanned.iter().collect();
    expected.sort_by(|a, b| order.compare(*a, *b));
    let same_keys = expected.iter().map(|row| key_of(*row)).eq(rows.iter().map(key_of));
    let mut found: Vec<Row<'_>> = rows.iter().collect();
    found.sort_by(|a, b| order.compare(*a, *b));
    match same_keys && found == expected {
        true => Ok(()),
        false => Err(format!("ranges give {} rows in another order than {}", found.len(), expected.len())),
    }
}

fn compare(view: &str, rows: &[Values], expected: &[Values]) -> Result<(), Failure> {
    if rows == expected {
        return Ok(());
    }
    let missing: Vec<&Values> =
        expected.iter().filter(|row| rows.binary_search(row).is_err()).take(SHOWN_COUNT).collect();
    let extra: Vec<&Values> =
        rows.iter().filter(|row| expected.binary_search(row).is_err()).take(SHOWN_COUNT).collect();
    let counts = (rows.len(), expected.len());
    Err(Failure(format!(
        "view {view} has {} rows instead of {}\n  missing: {missing:?}\n  extra:   {extra:?}",
        counts.0, counts.1
    )))
}
