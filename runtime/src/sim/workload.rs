//! What the simulated fronts do: tables, views with several exchanges between them, and random requests.
//!
//! Every view is there to carry retractions over a link: aggregates of aggregates, joins by other keys than those of
//! the tables, distinct rows, top-k. `events` is only ever inserted into, so a count over it can never go down; that
//! makes a reader who goes back in time visible.

use crate::clock::ShardId;
use crate::message::{Ask, TableWrite};
use fastrand::Rng;
use operators::accumulator::Aggregate;
use operators::expr::{Literal, col, lit};
use operators::hash::{hash_key, owner};
use operators::{
    Datum, Edge, JoinKind, Plan, PlanBuilder, PlanError, Range, Row, RowBuilder, Rows, Stream, TableId, Type,
    WriteKind, asc, column, desc,
};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Tables, by number.
pub(super) const ITEMS: u32 = 0;
pub(super) const EVENTS: u32 = 1;
/// Comes with the second catalogue entry.
pub(super) const NOTES: u32 = 2;
/// Takes the place of the first with the last catalogue entry, where there is that.
pub(super) const WIDE_ITEMS: u32 = 3;
/// What its further columns hold in rows from before.
pub(super) const WIDE_VALUES: (i64, &str) = (3, "from before");

/// How many keys each table has; so few that writes meet each other.
pub(super) const KEY_COUNTS: [i64; 4] = [40, 400, 24, 40];
/// Values that groups and lookup keys are drawn from.
const CATEGORY_COUNT: i64 = 6;
pub(super) const GROUP_COUNT: i64 = 5;
/// Rows of each category in the top-k view.
pub(super) const TOP_COUNT: u32 = 3;
/// The view whose counts never go down.
pub(super) const MONOTONE: &str = "event_counts";
/// The events of each group by number, in worlds with ordered views.
pub(super) const IN_ORDER: &str = "events_in_order";

/// The catalogue's entries, and who owns which keys.
pub(super) struct Workload {
    pub(super) plans: &'static [Arc<Plan>],
    /// For each table and each shard, the keys that the shard owns.
    homes: Vec<Vec<Vec<i64>>>,
    shards: u16,
    features: Features,
    /// By table and key, what was last asked to be put there.
    last_rows: HashMap<(u32, i64), Box<[u8]>>,
}

/// What there is in some worlds only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    /// There are readers, and views for them at the ends of longer ways.
    pub(super) readers: bool,
    /// The last catalogue entry gives a table more columns, if there are all entries before it.
    pub(super) widens: bool,
    /// Rows are replaced and removed on condition, and several tables written at once.
    pub(super) commits: bool,
    /// There are views of which ranges are read.
    pub(super) ordered: bool,
}

/// A request, and the shard it is for.
pub(super) struct Drawn {
    pub(super) to: ShardId,
    pub(super) ask: Ask,
    /// The key of a lookup in the view that never goes back.
    pub(super) monotone: Option<i64>,
    /// The request is spoilt on its way: its bytes are no request, or another front's.
    pub(super) spoilt: bool,
}

impl Workload {
    /// The workload for that many shards, with up to so many catalogue entries.
    pub(super) fn new(shards: u16, entries_max: usize, features: Features) -> Workload {
        // The same for all runs, and not small.
        static PLANS: [OnceLock<Vec<Arc<Plan>>>; 4] = [const { OnceLock::new() }; 4];
        let plans = PLANS[usize::from(features.readers) + 2 * usize::from(features.ordered)]
            .get_or_init(|| all_plans(features).expect("the plans fit together"));
        let homes = (0..4).map(|table| homes_of(&plans[4], table, shards)).collect();
        let widens = features.widens && entries_max == 4;
        let plans = &plans[..entries_max + usize::from(widens)];
        Workload {
            plans,
            homes,
            shards,
            features: Features { widens, ..features },
            last_rows: HashMap::new(),
        }
    }

    /// The plan with everything in it.
    pub(super) fn whole(&self) -> &Plan {
        self.plans.last().expect("there are two at least")
    }

    /// A random request.
    pub(super) fn draw(&mut self, rng: &mut Rng) -> Drawn {
        let spoilt = rng.u32(0..100) < 1;
        match rng.u32(0..100) {
            0..30 => self.lookup(rng, spoilt),
            30..33 => self.nonsense(rng),
            _ => self.write(rng, spoilt),
        }
    }

    fn write(&mut self, rng: &mut Rng, spoilt: bool) -> Drawn {
        let (table, kind) = self.change(rng);
        let shard = rng.u16(0..self.shards);
        let first = self.rows_for(rng, table, kind, shard);
        let ask = if self.features.commits && table != EVENTS && rng.bool() {
            let mut writes = vec![first];
            for _ in 0..rng.u32(0..4) {
                let (table, kind) = self.change(rng);
                if table != EVENTS {
                    writes.push(self.rows_for(rng, table, kind, shard));
                }
            }
            Ask::Commit(writes)
        } else {
            Ask::Write(first)
        };
        Drawn { to: ShardId(shard), ask, monotone: None, spoilt }
    }

    /// What is done with which table.
    fn change(&self, rng: &mut Rng) -> (u32, WriteKind) {
        // Readers read of events.
        let dice = if self.features.readers && rng.bool() { 0 } else { rng.u32(0..100) };
        let (table, kind) = match dice {
            0..45 => (EVENTS, WriteKind::Insert),
            45..70 => (ITEMS, WriteKind::Upsert),
            70..77 => (ITEMS, WriteKind::Insert),
            77..87 => (ITEMS, WriteKind::Delete),
            87..95 => (NOTES, WriteKind::Upsert),
            _ => (NOTES, WriteKind::Delete),
        };
        let table = if self.features.widens && table == ITEMS && rng.bool() { WIDE_ITEMS } else { table };
        let kind = match kind {
            WriteKind::Upsert if self.features.commits && rng.bool() => WriteKind::Replace,
            WriteKind::Delete if self.features.commits && rng.bool() => WriteKind::Remove,
            kind => kind,
        };
        (table, kind)
    }

    /// Rows whose keys a shard owns. Old rows are what was last written with their keys, as far as is known here.
    fn rows_for(&mut self, rng: &mut Rng, table: u32, kind: WriteKind, shard: u16) -> TableWrite {
        let home = &self.homes[table as usize][usize::from(shard)];
        let mut rows = Rows::default();
        let mut builder = RowBuilder::new();
        for _ in 0..rng.u32(1..4).min(home.len() as u32) {
            let key = home[rng.usize(0..home.len())];
            let known = self.last_rows.get(&(table, key));
            match (kind, known) {
                (WriteKind::Replace | WriteKind::Remove, Some(old)) => rows.push(Row::at(old)),
                (WriteKind::Replace | WriteKind::Remove, None) => {
                    push_row(rng, table, kind, key, &mut builder, &mut rows)
                }
                _ => {}
            }
            if kind == WriteKind::Remove {
                continue;
            }
            push_row(rng, table, kind, key, &mut builder, &mut rows);
            if matches!(kind, WriteKind::Upsert | WriteKind::Replace)
                || kind == WriteKind::Insert && known.is_none()
            {
                let row = rows.iter().last().expect("it has just been added");
                self.last_rows.insert((table, key), row.bytes_all().into());
            }
        }
        TableWrite { table, kind, rows }
    }

    fn lookup(&self, rng: &mut Rng, spoilt: bool) -> Drawn {
        let plan = self.whole();
        let monotone = rng.bool();
        let view = if monotone {
            plan.view(MONOTONE).expect("it is in the plan")
        } else {
            &plan.views[rng.usize(0..plan.views.len())]
        };
        let key = view.spread_columns().of_key_row();
        let mut keys = Rows::default();
        let mut builder = RowBuilder::new();
        let value = rng.i64(0..GROUP_COUNT.max(CATEGORY_COUNT));
        keys.push_values(&mut builder, &[Datum::Int(value)]);
        if view.ordered {
            let prefixes = if view.prefix().is_empty() { no_columns() } else { keys };
            let to = match view.prefix() {
                [] => rng.u16(0..self.shards),
                _ => owner(hash_key(prefixes.iter().next().expect("one prefix"), &key), self.shards),
            };
            let mut lower = Edge { value: Rows::default(), included: rng.bool() };
            lower.value.push_values(&mut builder, &[Datum::Int(rng.i64(0..20))]);
            let (limit, piece) = (rng.u32(1..20), rng.u32(1..20));
            let descending = rng.bool();
            let range = Range { prefixes, lower, upper: Edge::default(), descending, limit, piece };
            let ask = Ask::Range { view: view.id.0, range, from: None };
            return Drawn { to: ShardId(to), ask, monotone: None, spoilt };
        }
        let to = ShardId(owner(hash_key(keys.iter().next().expect("one key"), &key), self.shards));
        let ask = Ask::Lookup { view: view.id.0, limit: rng.u32(1..20), keys };
        Drawn { to, ask, monotone: monotone.then_some(value), spoilt }
    }

    /// A request that no shard can do anything with.
    fn nonsense(&self, rng: &mut Rng) -> Drawn {
        let mut rows = Rows::default();
        let mut builder = RowBuilder::new();
        rows.push_values(&mut builder, &[Datum::Text("not what any table holds")]);
        let ask = match rng.u32(0..4) {
            0 => Ask::Write(TableWrite { table: ITEMS, kind: WriteKind::Insert, rows }),
            1 => Ask::Write(TableWrite { table: 99, kind: WriteKind::Upsert, rows }),
            2 => Ask::Lookup { view: 0, limit: 9, keys: rows },
            _ => Ask::Lookup { view: 99, limit: 9, keys: rows },
        };
        Drawn { to: ShardId(rng.u16(0..self.shards)), ask, monotone: None, spoilt: false }
    }
}

/// A row without columns.
pub(super) fn no_columns() -> Rows {
    let mut rows = Rows::default();
    rows.push_values(&mut RowBuilder::new(), &[]);
    rows
}

fn push_row(rng: &mut Rng, table: u32, kind: WriteKind, key: i64, builder: &mut RowBuilder, rows: &mut Rows) {
    let text = random_text(rng);
    let values: &[Datum<'_>] = match (kind, table) {
        (WriteKind::Delete, _) => &[Datum::Int(key)],
        (_, ITEMS) => {
            let price = if rng.u32(0..8) == 0 { Datum::Null } else { Datum::Int(rng.i64(0..12)) };
            &[Datum::Int(key), Datum::Int(rng.i64(0..CATEGORY_COUNT)), price, Datum::Text(&text)]
        }
        (_, WIDE_ITEMS) => {
            let note = if rng.bool() { Datum::Text(&text) } else { Datum::Null };
            let group = Datum::Int(rng.i64(0..GROUP_COUNT));
            &[Datum::Int(key), group, Datum::Int(rng.i64(0..12)), Datum::Text("wide"), group, note]
        }
        (_, EVENTS) => {
            &[Datum::Int(key), Datum::Int(rng.i64(0..GROUP_COUNT)), Datum::Int(rng.i64(0..KEY_COUNTS[0]))]
        }
        _ => &[Datum::Int(key), Datum::Int(rng.i64(0..GROUP_COUNT)), Datum::Text(&text)],
    };
    rows.push_values(builder, values);
}

/// Mostly short; some too large for a ring or even for the log's usual flush.
fn random_text(rng: &mut Rng) -> String {
    let length = match rng.u32(0..400) {
        0 => rng.usize(6_000..20_000),
        1..12 => rng.usize(200..1_500),
        _ => rng.usize(0..12),
    };
    let letter = char::from(b'a' + rng.u8(0..26));
    std::iter::repeat_n(letter, length).collect()
}

fn homes_of(plan: &Plan, table: u32, shards: u16) -> Vec<Vec<i64>> {
    let key = plan.tables[table as usize].key_columns().of_key_row();
    let mut homes = vec![Vec::new(); usize::from(shards)];
    let mut builder = RowBuilder::new();
    for value in 0..KEY_COUNTS[table as usize] {
        builder.start(1);
        builder.push(Datum::Int(value));
        homes[usize::from(owner(hash_key(builder.finish(), &key), shards))].push(value);
    }
    homes
}

/// All catalogue entries.
fn all_plans(features: Features) -> Result<Vec<Arc<Plan>>, PlanError> {
    let first = first_plan(features)?;
    let second = second_plan(first.clone())?;
    let third = third_plan(second.clone(), features)?;
    let fourth = fourth_plan(third.clone())?;
    let fifth = fifth_plan(fourth.clone())?;
    Ok([first, second, third, fourth, fifth].map(Arc::new).into())
}

/// The first catalogue entry.
fn first_plan(features: Features) -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::new();
    let int = |name: &str| column(name, Type::Int);
    let items = p.table(
        "items",
        &[int("id"), int("category"), int("price").nullable(), column("label", Type::Text)],
        &["id"],
    )?;
    let events = p.table("events", &[int("event"), int("grp"), int("item")], &["event"])?;
    add_views(&mut p, items, events, "")?;
    add_featured_views(&mut p, items, events, "", features)?;
    p.build()
}

/// Views over the first two tables, whose names begin with `prefix`.
fn add_views(p: &mut PlanBuilder, items: Stream, events: Stream, prefix: &str) -> Result<(), PlanError> {
    let named = |name: &str| format!("{prefix}{name}");
    let by_category = p.aggregate(
        items,
        &["category"],
        &[
            ("n", Aggregate::Count),
            ("total", Aggregate::Sum("price".into())),
            ("low", Aggregate::Min("price".into())),
            ("high", Aggregate::Max("price".into())),
        ],
    )?;
    p.view(&named("by_category"), by_category, &["category"], &[])?;
    let sizes = p.aggregate(
        by_category,
        &["n"],
        &[("categories", Aggregate::Count), ("highest", Aggregate::Max("high".into()))],
    )?;
    p.view(&named("category_sizes"), sizes, &["n"], &[])?;
    let counts = p.aggregate(events, &["grp"], &[("n", Aggregate::Count)])?;
    p.view(&named(MONOTONE), counts, &["grp"], &[])?;

    let joined = p.join(events, items, &[("item", "id")], JoinKind::Inner)?;
    let columns = ["category", "event", "grp", "price", "label"].map(|name| (name, col(name)));
    let joined = p.map(joined, &columns)?;
    p.view(&named("events_of_category"), joined, &["category"], &[asc("event")])?;
    let per_item = p.aggregate(events, &["item"], &[("seen", Aggregate::Count)])?;
    let seen = p.join(items, per_item, &[("id", "item")], JoinKind::Left)?;
    let seen = p.map(seen, &["id", "category", "seen"].map(|name| (name, col(name))))?;
    p.view(&named("items_seen"), seen, &["id"], &[])?;

    let prices = p.map(items, &["category", "price"].map(|name| (name, col(name))))?;
    let prices = p.distinct(prices)?;
    p.view(&named("prices"), prices, &["category"], &[asc("price")])?;
    let top = p.top_k(items, &["category"], &[desc("price"), asc("id")], TOP_COUNT)?;
    p.view(&named("top"), top, &["category"], &[desc("price"), asc("id")])?;
    let left = p.map(items, &[("k", col("category"))])?;
    let right = p.map(events, &[("k", col("grp"))])?;
    let both = p.union_all(&[left, right])?;
    let both = p.aggregate(both, &["k"], &[("n", Aggregate::Count)])?;
    p.view(&named("both"), both, &["k"], &[])?;
    Ok(())
}

/// Views that there are in some worlds only, whose names begin with `prefix`.
fn add_featured_views(
    p: &mut PlanBuilder,
    items: Stream,
    events: Stream,
    prefix: &str,
    features: Features,
) -> Result<(), PlanError> {
    if features.readers {
        add_growing_views(p, events, prefix)?;
    }
    if features.ordered {
        p.ordered_view(&format!("{prefix}{IN_ORDER}"), events, &["grp", "event"], &[])?;
        p.ordered_view(&format!("{prefix}items_by_price"), items, &["price"], &[])?;
    }
    Ok(())
}

/// Views whose figures only grow, with two and three exchanges before them: of each item the groups that it has
/// events of, and how many such pairs there are.
fn add_growing_views(p: &mut PlanBuilder, events: Stream, prefix: &str) -> Result<(), PlanError> {
    let pairs = p.map(events, &["grp", "item"].map(|name| (name, col(name))))?;
    let pairs = p.distinct(pairs)?;
    let of_item = p.aggregate(pairs, &["item"], &[("n", Aggregate::Count)])?;
    p.view(&format!("{prefix}pairs_of_item"), of_item, &["item"], &[])?;
    let all = p.aggregate(of_item, &[], &[("n", Aggregate::Sum("n".into()))])?;
    p.view(&format!("{prefix}pairs"), all, &[], &[])?;
    Ok(())
}

/// The second catalogue entry: all of the first, and a new table with views of its own.
fn second_plan(first: Plan) -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::extend(first);
    let columns = [column("note", Type::Int), column("topic", Type::Int), column("body", Type::Text)];
    let notes = p.table("notes", &columns, &["note"])?;
    let topics =
        p.aggregate(notes, &["topic"], &[("n", Aggregate::Count), ("last", Aggregate::Max("body".into()))])?;
    p.view("topics", topics, &["topic"], &[])?;
    let sizes = p.aggregate(topics, &["n"], &[("topics", Aggregate::Count)])?;
    p.view("topic_sizes", sizes, &["n"], &[])?;
    p.build()
}

/// The third: the views of the first once more, over tables that have rows, and views over its views.
fn third_plan(second: Plan, features: Features) -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::extend(second);
    let (items, events) = (p.table_stream("items")?, p.table_stream("events")?);
    add_views(&mut p, items, events, "late_")?;
    add_featured_views(&mut p, items, events, "late_", features)?;
    if features.ordered {
        let by_price = p.view_stream("items_by_price")?;
        p.view("listed_items_by_price", by_price, &["id"], &[])?;
    }
    p.view("all_items", items, &["id"], &[])?;
    let listed = p.view_stream("events_of_category")?;
    p.view("listed_events_of_category", listed, &["grp"], &[])?;
    let counts = p.view_stream("by_category")?;
    let sizes = p.aggregate(
        counts,
        &["n"],
        &[("categories", Aggregate::Count), ("highest", Aggregate::Max("high".into()))],
    )?;
    p.view("listed_category_sizes", sizes, &["n"], &[])?;
    p.build()
}

/// The fourth drops views of all three, some of which may not even be filled, and adds others.
fn fourth_plan(third: Plan) -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::extend(third);
    for view in
        ["prices", "both", "late_top", "late_events_of_category", "listed_category_sizes", "topic_sizes"]
    {
        p.drop_view(view)?;
    }
    let seen = p.view_stream("late_items_seen")?;
    p.view("listed_items_seen", seen, &["category"], &[])?;
    let items = p.table_stream("items")?;
    let top = p.top_k(items, &["category"], &[desc("price"), asc("id")], TOP_COUNT)?;
    p.view("late_top", top, &["category"], &[desc("price"), asc("id")])?;
    let all = p.view_stream("all_items")?;
    p.view("all_items_again", all, &["category"], &[])?;
    p.build()
}

/// The fifth gives items more columns. Views of the others go on reading them as they were.
fn fifth_plan(fourth: Plan) -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::extend(fourth);
    let (state, note) = WIDE_VALUES;
    let added = [
        (column("state", Type::Int), Literal::Int(state)),
        (column("note", Type::Text).nullable(), Literal::from(note)),
    ];
    let wide = p.replace_table(TableId(ITEMS), "wide_items", &added)?;
    p.view("wide_items", wide, &["id"], &[])?;
    let states = p.aggregate(wide, &["state"], &[("n", Aggregate::Count)])?;
    p.view("states", states, &["state"], &[])?;
    let notes = p.map(wide, &["note", "state", "id"].map(|name| (name, col(name))))?;
    p.view("noted", notes, &["state"], &[])?;
    // No value where the price is 0, which all shards must be told.
    let shares = [("category", col("category")), ("id", col("id")), ("share", lit(12).div(col("price")))];
    let shares = p.map(wide, &shares)?;
    p.view("shares", shares, &["category"], &[])?;
    let share_counts = p.aggregate(shares, &["share"], &[("n", Aggregate::Count)])?;
    p.view("share_counts", share_counts, &["share"], &[])?;
    p.drop_view("all_items")?;
    p.build()
}
