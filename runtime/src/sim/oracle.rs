//! What the views must hold: computed from scratch, in plain Rust over sorted maps, from the writes in the logs.
//!
//! The logs say which of the writes in doubt count, and in which order the writes of one shard stand; that every
//! acknowledged write is in there once, and none that was refused, is checked apart (`ledger.rs`). Nothing here uses
//! the operators, only the reading of rows.

use super::workload::{EVENTS, ITEMS, NOTES, TOP_COUNT, WIDE_ITEMS, WIDE_VALUES};
use operators::{Datum, Plan, Row, RowsIter, TableId, Type, Write, WriteKind};
use std::collections::{BTreeMap, BTreeSet};

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    Other(String),
    /// Last, as in the operators' order.
    Null,
}

/// A row as values.
pub(super) type Values = Vec<Value>;

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Changed(u32),
    DuplicateKey,
    /// A row is not what the write takes it for.
    OtherRow,
}

/// The tables.
#[derive(Clone, Default)]
pub(super) struct Oracle {
    /// Items as they are without further columns.
    tables: [BTreeMap<i64, Values>; 3],
    /// The further columns of items, by their keys.
    wide: BTreeMap<i64, Values>,
}

impl Oracle {
    /// Applies writes that stand in a log together: all or none.
    pub(super) fn write_all<'w>(&mut self, plan: &Plan, writes: impl Iterator<Item = Write<'w>>) -> Effect {
        let mut after = self.clone();
        let mut changed = 0;
        for write in writes {
            match after.write(plan, write) {
                Effect::Changed(more) => changed += more,
                refused => return refused,
            }
        }
        *self = after;
        Effect::Changed(changed)
    }

    /// Applies a write that stands in a log.
    pub(super) fn write(&mut self, plan: &Plan, write: Write<'_>) -> Effect {
        let Write { table: TableId(table), kind, rows } = write;
        let types: Vec<Type> = plan.tables[table as usize].columns.iter().map(|column| column.ty).collect();
        let rows: Vec<Values> = RowsIter(rows).map(|row| values_of(row, &types)).collect();
        if matches!(table, ITEMS | WIDE_ITEMS) {
            return self.write_items(kind, rows);
        }
        change(&mut self.tables[table as usize], kind, rows)
    }

    /// A write to items, with the further columns or without them.
    fn write_items(&mut self, kind: WriteKind, mut rows: Vec<Values>) -> Effect {
        const WIDTH: usize = 4;
        let mut whole: BTreeMap<i64, Values> = BTreeMap::new();
        for (key, row) in &self.tables[ITEMS as usize] {
            whole.insert(*key, [row.as_slice(), &self.wide[key]].concat());
        }
        for row in rows.iter_mut().filter(|row| row.len() == WIDTH) {
            let kept = self.wide.get(&int(&row[0])).cloned();
            let (state, note) = WIDE_VALUES;
            row.extend(kept.unwrap_or_else(|| vec![Value::Int(state), Value::Text(note.to_owned())]));
        }
        let effect = change(&mut whole, kind, rows);
        self.wide = whole.iter().map(|(key, row)| (*key, row[WIDTH..].to_vec())).collect();
        self.tables[ITEMS as usize] =
            whole.into_iter().map(|(key, row)| (key, row[..WIDTH].to_vec())).collect();
        effect
    }

    /// Whether a view cannot be read, because an expression has no value on some row.
    pub(super) fn is_failing(&self, name: &str) -> bool {
        matches!(name, "shares" | "share_counts") && self.rows(ITEMS).any(|item| item[2] == Value::Int(0))
    }

    fn shares(&self) -> Vec<Values> {
        let share = |item: &Values| match &item[2] {
            Value::Int(price) if *price != 0 => Value::Int(12 / price),
            _ => Value::Null,
        };
        self.wide_items().map(|item| vec![item[1].clone(), item[0].clone(), share(&item)]).collect()
    }

    /// Items with the further columns.
    fn wide_items(&self) -> impl Iterator<Item = Values> {
        self.tables[ITEMS as usize].iter().map(|(key, row)| [row.as_slice(), &self.wide[key]].concat())
    }

    /// The rows of a view, sorted.
    pub(super) fn view(&self, name: &str) -> Vec<Values> {
        // The same again, over rows that were there before.
        let name = name.trim_start_matches("late_").trim_start_matches("listed_");
        let mut rows = match name {
            "by_category" => self.by_category(),
            "category_sizes" => sizes(&self.by_category(), 1, Some(4)),
            "event_counts" => counts(self.rows(EVENTS).map(|event| &event[1])),
            "events_of_category" => self.events_of_category(),
            "items_seen" => self.items_seen(),
            "prices" => self.prices(),
            "top" => self.top(),
            "pairs_of_item" => self.pairs_of_item(),
            "pairs" => {
                let count: i64 = self.pairs_of_item().iter().map(|row| int(&row[1])).sum();
                (count > 0).then(|| vec![Value::Int(count)]).into_iter().collect()
            }
            "both" => {
                counts(self.rows(ITEMS).map(|item| &item[1]).chain(self.rows(EVENTS).map(|event| &event[1])))
            }
            "all_items" | "all_items_again" | "items_by_price" => self.rows(ITEMS).cloned().collect(),
            "events_in_order" => self.rows(EVENTS).cloned().collect(),
            "wide_items" => self.wide_items().collect(),
            "states" => counts(self.wide_items().map(|item| item[4].clone()).collect::<Vec<_>>().iter()),
            "shares" => self.shares(),
            "share_counts" => counts(self.shares().iter().map(|row| &row[2])),
            "noted" => self
                .wide_items()
                .map(|item| [&item[5], &item[4], &item[0]].map(Value::clone).to_vec())
                .collect(),
            "topics" => self.topics(),
            "topic_sizes" => sizes(&self.topics(), 1, None),
            _ => panic!("no oracle for view {name}"),
        };
        rows.sort();
        rows
    }

    fn rows(&self, table: u32) -> impl Iterator<Item = &Values> {
        self.tables[table as usize].values()
    }

    fn by_category(&self) -> Vec<Values> {
        let mut groups: BTreeMap<&Value, Vec<&Values>> = BTreeMap::new();
        self.rows(ITEMS).for_each(|item| groups.entry(&item[1]).or_default().push(item));
        let row = |(category, items): (&Value, Vec<&Values>)| {
            let prices: Vec<&Value> =
                items.iter().map(|item| &item[2]).filter(|price| **price != Value::Null).collect();
            let or_null = |value: Option<&&Value>| value.map_or(Value::Null, |value| (*value).clone());
            let total = prices.iter().map(|price| int(price)).sum();
            let total = if prices.is_empty() { Value::Null } else { Value::Int(total) };
            let (low, high) = (or_null(prices.iter().min()), or_null(prices.iter().max()));
            vec![category.clone(), Value::Int(items.len() as i64), total, low, high]
        };
        groups.into_iter().map(row).collect()
    }

    fn events_of_category(&self) -> Vec<Values> {
        let items = &self.tables[ITEMS as usize];
        let row = |event: &Values| {
            let item = items.get(&int(&event[2]))?;
            Some([&item[1], &event[0], &event[1], &item[2], &item[3]].map(Value::clone).to_vec())
        };
        self.rows(EVENTS).filter_map(row).collect()
    }

    fn items_seen(&self) -> Vec<Values> {
        let seen: BTreeMap<i64, i64> = self.rows(EVENTS).fold(BTreeMap::new(), |mut seen, event| {
            *seen.entry(int(&event[2])).or_default() += 1;
            seen
        });
        let row = |item: &Values| {
            let seen = seen.get(&int(&item[0])).map_or(Value::Null, |count| Value::Int(*count));
            vec![item[0].clone(), item[1].clone(), seen]
        };
        self.rows(ITEMS).map(row).collect()
    }

    fn prices(&self) -> Vec<Values> {
        let pairs: BTreeSet<Values> =
            self.rows(ITEMS).map(|item| vec![item[1].clone(), item[2].clone()]).collect();
        pairs.into_iter().collect()
    }

    /// Of each item the groups that it has events of.
    fn pairs_of_item(&self) -> Vec<Values> {
        let pairs: BTreeSet<[&Value; 2]> = self.rows(EVENTS).map(|event| [&event[2], &event[1]]).collect();
        counts(pairs.into_iter().map(|[item, _]| item))
    }

    /// The dearest of each category, NULL before all numbers, the lower id where prices are the same.
    fn top(&self) -> Vec<Values> {
        let mut groups: BTreeMap<&Value, Vec<&Values>> = BTreeMap::new();
        self.rows(ITEMS).for_each(|item| groups.entry(&item[1]).or_default().push(item));
        let mut rows = Vec::new();
        for mut items in groups.into_values() {
            items.sort_by(|a, b| b[2].cmp(&a[2]).then(a[0].cmp(&b[0])));
            rows.extend(items.into_iter().take(TOP_COUNT as usize).cloned());
        }
        rows
    }

    fn topics(&self) -> Vec<Values> {
        let mut groups: BTreeMap<&Value, (i64, &Value)> = BTreeMap::new();
        for note in self.rows(NOTES) {
            let group = groups.entry(&note[1]).or_insert((0, &note[2]));
            *group = (group.0 + 1, group.1.max(&note[2]));
        }
        groups
            .into_iter()
            .map(|(topic, (n, last))| vec![topic.clone(), Value::Int(n), last.clone()])
            .collect()
    }
}

/// Applies a write to a table.
fn change(table: &mut BTreeMap<i64, Values>, kind: WriteKind, rows: Vec<Values>) -> Effect {
    let key_of = |row: &Values| int(&row[0]);
    let mut changed = 0;
    match kind {
        WriteKind::Insert => {
            let mut grown = table.clone();
            for row in rows {
                if grown.insert(key_of(&row), row).is_some() {
                    return Effect::DuplicateKey;
                }
                changed += 1;
            }
            *table = grown;
        }
        WriteKind::Upsert => {
            for row in rows {
                let same = table.get(&key_of(&row)) == Some(&row);
                changed += u32::from(!same);
                table.insert(key_of(&row), row);
            }
        }
        WriteKind::Delete => {
            changed = rows.iter().map(|row| u32::from(table.remove(&key_of(row)).is_some())).sum()
        }
        WriteKind::Replace => {
            let mut after = table.clone();
            for pair in rows.chunks(2) {
                if after.insert(key_of(&pair[1]), pair[1].clone()).as_ref() != Some(&pair[0]) {
                    return Effect::OtherRow;
                }
                changed += u32::from(pair[0] != pair[1]);
            }
            *table = after;
        }
        WriteKind::Remove => {
            let mut after = table.clone();
            for row in &rows {
                if after.remove(&key_of(row)).as_ref() != Some(row) {
                    return Effect::OtherRow;
                }
                changed += 1;
            }
            *table = after;
        }
    }
    Effect::Changed(changed)
}

fn counts<'a>(keys: impl Iterator<Item = &'a Value>) -> Vec<Values> {
    let mut counts: BTreeMap<&Value, i64> = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts.into_iter().map(|(key, count)| vec![key.clone(), Value::Int(count)]).collect()
}

/// How many rows have each value of `column`, and the greatest of `highest` among them.
fn sizes(rows: &[Values], column: usize, highest: Option<usize>) -> Vec<Values> {
    let mut groups: BTreeMap<&Value, (i64, Option<&Value>)> = BTreeMap::new();
    for row in rows {
        let group = groups.entry(&row[column]).or_default();
        group.0 += 1;
        let value = highest.map(|highest| &row[highest]).filter(|value| **value != Value::Null);
        group.1 = group.1.max(value);
    }
    let row = |(size, (count, greatest)): (&Value, (i64, Option<&Value>))| {
        let mut row = vec![size.clone(), Value::Int(count)];
        if highest.is_some() {
            row.push(greatest.cloned().unwrap_or(Value::Null));
        }
        row
    };
    groups.into_iter().map(row).collect()
}

/// The values of a row; a row of just the key gives just the key.
pub(super) fn values_of(row: Row<'_>, types: &[Type]) -> Values {
    let value = |(index, ty): (usize, &Type)| match row.datum(index, *ty) {
        Datum::Null => Value::Null,
        Datum::Int(value) => Value::Int(value),
        Datum::Text(value) => Value::Text(value.to_owned()),
        other => {
            let text = other.to_string();
            text.parse().map_or(Value::Other(text), Value::Int)
        }
    };
    types.iter().take(row.len()).enumerate().map(value).collect()
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(value) => *value,
        other => panic!("{other:?} is no integer"),
    }
}
