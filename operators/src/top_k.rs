//! Top-k: the first rows of each group in a given order.
//!
//! All rows are kept under keys that compare as bytes (group columns, order columns, whole row), so one ordered map
//! holds every group, and the rows of a group lie together in their order. A row of weight n stands for n rows.
//! Rows of negative weight (retractions ahead of their insertions) wait in a second map, out of the way of the walk
//! over the first rows. Ties are broken by the bytes of the whole row.
//!
//! A step sorts its deltas by key, so each group is visited once: look at the first rows, apply the changes, look
//! again, send the difference. Cost: O(log n) per delta and O(k) per group touched.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use crate::batch::DeltaBuffer;
use crate::error::PlanError;
use crate::hash::hash_row;
use crate::plan::{Column, TopKSpec};
use crate::row::Row;
use crate::sort_key::SortKey;

/// A key ends with the offset of its row in it. Keys that agree up to there are equal, so it decides no order.
const PLACE_BYTES: usize = 4;

/// What an entry takes beside its key: a B-tree's nodes are two thirds full on the average.
const ENTRY_BYTES: usize = 48;

type Key = Box<[u8]>;

/// The rows of all groups, and the window of each group that is sent on.
#[derive(Debug)]
pub struct TopK {
    group: SortKey,
    order: SortKey,
    /// How many rows of a group are passed over before the first that is sent.
    offset: u64,
    /// How many rows of a group are sent.
    limit: u64,
    /// The rows of positive weight.
    rows: BTreeMap<Key, i64>,
    /// The rows of negative weight.
    debts: BTreeMap<Key, i64>,
    /// The bytes of all keys in both maps.
    key_bytes: usize,
    /// Reused: the keys of the deltas of a step, one after another.
    keys: Vec<u8>,
    /// Reused: the deltas of a step.
    changes: Vec<Change>,
    /// Reused: the window of a group before and after its changes.
    before: Window,
    after: Window,
}

/// A delta, by its key.
#[derive(Debug)]
struct Change {
    key: Range<usize>,
    /// Where the group's part of the key ends.
    group_end: usize,
    weight: i64,
}

/// The first rows of a group, copied.
#[derive(Debug, Default)]
struct Window {
    keys: Vec<u8>,
    /// Each row's key and how often it is in the window.
    rows: Vec<(Range<usize>, i64)>,
    /// Whether there is no room for further rows.
    full: bool,
}

impl TopK {
    /// The top-k of `spec` over rows of `columns`.
    pub fn new(spec: &TopKSpec, columns: &[Column]) -> Result<Self, PlanError> {
        Ok(TopK {
            group: SortKey::of_columns(columns, &spec.group),
            order: SortKey::resolve(&spec.order, columns)?,
            offset: 0,
            limit: u64::from(spec.limit),
            rows: BTreeMap::new(),
            debts: BTreeMap::new(),
            key_bytes: 0,
            keys: Vec::new(),
            changes: Vec::new(),
            before: Window::default(),
            after: Window::default(),
        })
    }

    /// The same, but the first `offset` rows of each group are passed over. To be called before any delta.
    pub fn with_offset(mut self, offset: u64) -> Self {
        assert!(self.rows.is_empty() && self.debts.is_empty(), "what was sent would be wrong");
        self.offset = offset;
        self
    }

    /// Takes the deltas of a step and appends what changes among the first rows of the groups.
    pub fn run(&mut self, input: &DeltaBuffer, out: &mut DeltaBuffer) {
        self.sort(input);
        // Taken out while the rows are changed, and put back for their memory.
        let (keys, changes) = (std::mem::take(&mut self.keys), std::mem::take(&mut self.changes));
        let same_group =
            |a: &Change, b: &Change| keys[a.key.start..a.group_end] == keys[b.key.start..b.group_end];
        for changes in changes.chunk_by(same_group) {
            self.change_group(&keys, changes, out);
        }
        (self.keys, self.changes) = (keys, changes);
    }

    /// Makes the keys of the deltas and brings these into their order.
    fn sort(&mut self, input: &DeltaBuffer) {
        self.keys.clear();
        self.changes.clear();
        for (row, weight) in input.deltas() {
            let start = self.keys.len();
            self.group.encode(row, &mut self.keys);
            let group_end = self.keys.len();
            self.order.encode(row, &mut self.keys);
            let place = u32::try_from(self.keys.len() - start).expect("a row is shorter than 4 GiB");
            self.keys.extend_from_slice(row.bytes_all());
            self.keys.extend_from_slice(&place.to_be_bytes());
            self.changes.push(Change { key: start..self.keys.len(), group_end, weight });
        }
        let keys = &self.keys;
        self.changes.sort_unstable_by(|a, b| keys[a.key.clone()].cmp(&keys[b.key.clone()]));
    }

    /// Applies the changes of one group, which are in order, and sends the difference.
    fn change_group(&mut self, keys: &[u8], changes: &[Change], out: &mut DeltaBuffer) {
        let first = &changes[0];
        let group = &keys[first.key.start..first.group_end];
        let (mut before, mut after) = (std::mem::take(&mut self.before), std::mem::take(&mut self.after));
        self.look(group, &mut before);
        for change in changes {
            self.add(&keys[change.key.clone()], change.weight);
        }
        // Changes behind a full window do not reach it, and most are there.
        if !before.is_ahead_of(&keys[first.key.clone()]) {
            self.look(group, &mut after);
            send_difference(&before, &after, out);
        }
        (self.before, self.after) = (before, after);
    }

    /// Copies the window of a group.
    fn look(&self, group: &[u8], window: &mut Window) {
        window.keys.clear();
        window.rows.clear();
        let (mut skip, mut room) = (self.offset, self.limit);
        let from_group = (Bound::Included(group), Bound::Unbounded);
        for (key, weight) in self.rows.range::<[u8], _>(from_group) {
            if room == 0 || !key.starts_with(group) {
                break;
            }
            let weight = u64::try_from(*weight).expect("only positive weights are in this map");
            let skipped = skip.min(weight);
            skip -= skipped;
            let taken = room.min(weight - skipped);
            room -= taken;
            if taken > 0 {
                let start = window.keys.len();
                window.keys.extend_from_slice(key);
                // Not above the limit, which is 32 bits wide.
                window.rows.push((start..window.keys.len(), taken.cast_signed()));
            }
        }
        window.full = room == 0;
    }

    /// Adds to the weight of a row.
    fn add(&mut self, key: &[u8], weight: i64) {
        let there = self.rows.get_mut(key).or_else(|| self.debts.get_mut(key));
        let before = there.as_deref().copied().unwrap_or(0);
        let after = before.wrapping_add(weight);
        match there {
            Some(place) if after.signum() == before.signum() => *place = after,
            _ => self.move_row(key, before, after),
        }
    }

    /// Puts a row into the map that its weight belongs to.
    fn move_row(&mut self, key: &[u8], before: i64, after: i64) {
        let map = if before > 0 { &mut self.rows } else { &mut self.debts };
        let owned = map.remove_entry(key).map(|(owned, _)| owned);
        if owned.is_some() {
            self.key_bytes -= key.len();
        }
        if after == 0 {
            return;
        }
        self.key_bytes += key.len();
        let map = if after > 0 { &mut self.rows } else { &mut self.debts };
        map.insert(owned.unwrap_or_else(|| key.into()), after);
    }

    /// All rows with their weights, in no order that means anything.
    pub fn rows(&self) -> impl Iterator<Item = (Row<'_>, i64)> {
        self.rows.iter().chain(&self.debts).map(|(key, weight)| (row_of(key), *weight))
    }

    /// An order-free hash of the rows and their weights.
    pub fn digest(&self) -> u64 {
        let term = |(row, weight): (Row<'_>, i64)| hash_row(row).wrapping_mul(weight.cast_unsigned());
        self.rows().map(term).fold(0, u64::wrapping_add)
    }

    /// An estimate of the bytes held.
    pub fn held_bytes(&self) -> u64 {
        let entries = (self.rows.len() + self.debts.len()) * ENTRY_BYTES;
        (self.key_bytes + entries + self.keys.capacity()) as u64
    }
}

impl Window {
    /// Whether the window is full and `key` lies behind it.
    fn is_ahead_of(&self, key: &[u8]) -> bool {
        self.full && self.rows.last().is_some_and(|(last, _)| self.keys[last.clone()] < *key)
    }

    fn key(&self, at: usize) -> Option<(&[u8], i64)> {
        self.rows.get(at).map(|(key, count)| (&self.keys[key.clone()], *count))
    }
}

/// Both windows are in order, so one walk over the two finds what is only in one, or more often in one.
fn send_difference(before: &Window, after: &Window, out: &mut DeltaBuffer) {
    let (mut old, mut new) = (0, 0);
    loop {
        match (before.key(old), after.key(new)) {
            (None, None) => return,
            (Some((key, count)), None) => {
                out.push(row_of(key), -count);
                old += 1;
            }
            (None, Some((key, count))) => {
                out.push(row_of(key), count);
                new += 1;
            }
            (Some((old_key, old_count)), Some((new_key, new_count))) => match old_key.cmp(new_key) {
                std::cmp::Ordering::Less => {
                    out.push(row_of(old_key), -old_count);
                    old += 1;
                }
                std::cmp::Ordering::Greater => {
                    out.push(row_of(new_key), new_count);
                    new += 1;
                }
                std::cmp::Ordering::Equal => {
                    out.push(row_of(old_key), new_count - old_count);
                    old += 1;
                    new += 1;
                }
            },
        }
    }
}

fn row_of(key: &[u8]) -> Row<'_> {
    let (rest, place) = key.split_last_chunk::<PLACE_BYTES>().expect("every key ends with the place");
    Row::at(&rest[u32::from_be_bytes(*place) as usize..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Order, RowOrder, asc, desc};
    use crate::plan::OperatorId;
    use crate::testing::{SMALL_TYPES, Zset, columns_of, random_deltas, shuffled};

    fn spec(group: &[u16], order: &[Order], limit: u32) -> TopKSpec {
        TopKSpec { input: OperatorId(0), group: group.to_vec(), order: order.to_vec(), offset: 0, limit }
    }

    fn random_spec(random: &mut fastrand::Rng) -> (TopKSpec, u64) {
        let order = [vec![], vec![asc("c1")], vec![desc("c2"), asc("c1")], vec![desc("c1")]];
        let group: [&[u16]; 4] = [&[], &[0], &[2], &[0, 1]];
        let spec = spec(group[random.usize(..4)], &order[random.usize(..4)], random.u32(1..5));
        (spec, random.u64(..3))
    }

    /// From scratch: the positive rows of each group, sorted, repeated by weight, cut to the window.
    fn reference(consumed: &Zset, spec: &TopKSpec, offset: u64) -> Zset {
        let columns = columns_of(&SMALL_TYPES);
        let order = RowOrder::resolve(&spec.order, &columns).expect("the columns exist");
        let mut groups: BTreeMap<String, Vec<Row<'_>>> = BTreeMap::new();
        for (row, weight) in consumed.iter() {
            let group = |index: &u16| {
                let index = usize::from(*index);
                format!("{:?}", row.datum(index, SMALL_TYPES[index]))
            };
            let group: Vec<String> = spec.group.iter().map(group).collect();
            let copies = std::iter::repeat_n(row, usize::try_from(weight).unwrap_or(0));
            groups.entry(group.join("/")).or_default().extend(copies);
        }
        let mut expected = Zset::default();
        for rows in groups.values_mut() {
            rows.sort_by(|a, b| order.compare(*a, *b));
            let window = rows.iter().skip(usize::try_from(offset).expect("small")).take(spec.limit as usize);
            window.for_each(|row| expected.add_row(*row, 1));
        }
        expected
    }

    #[test]
    fn sends_the_first_rows() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (spec, offset) = random_spec(&mut random);
            let columns = columns_of(&SMALL_TYPES);
            let mut top_k = TopK::new(&spec, &columns).expect("the columns exist").with_offset(offset);
            let (mut consumed, mut sent) = (Zset::default(), Zset::default());
            for step in 0..30 {
                let size = random.usize(1..12);
                let input = random_deltas(&mut random, size);
                let mut output = DeltaBuffer::new();
                top_k.run(&input, &mut output);
                consumed.add(&input);
                sent.add(&output);
                let expected = reference(&consumed, &spec, offset);
                assert_eq!(sent, expected, "seed {seed}, step {step}, {spec:?}, offset {offset}");
            }
        }
    }

    #[test]
    fn order_and_batching_do_not_show() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (spec, offset) = random_spec(&mut random);
            let input = random_deltas(&mut random, 150);
            let run = |inputs: &[DeltaBuffer]| {
                let top_k = TopK::new(&spec, &columns_of(&SMALL_TYPES)).expect("the columns exist");
                let (mut top_k, mut sent) = (top_k.with_offset(offset), Zset::default());
                for input in inputs {
                    let mut output = DeltaBuffer::new();
                    top_k.run(input, &mut output);
                    sent.add(&output);
                }
                (top_k.digest(), top_k.rows, top_k.debts, sent)
            };
            let expected = run(std::slice::from_ref(&input));
            for _ in 0..5 {
                let permuted = shuffled(&mut random, &input);
                let single = |(row, weight)| {
                    let mut batch = DeltaBuffer::new();
                    batch.push(row, weight);
                    batch
                };
                let batches: Vec<DeltaBuffer> = permuted.deltas().map(single).collect();
                assert_eq!(run(&batches), expected, "seed {seed}");
            }
        }
    }

    /// Retracting everything leaves nothing behind, and nothing sent.
    #[test]
    fn everything_can_be_undone() {
        let mut random = fastrand::Rng::with_seed(5);
        let spec = spec(&[0], &[desc("c1")], 3);
        let mut top_k = TopK::new(&spec, &columns_of(&SMALL_TYPES)).expect("the columns exist");
        let input = random_deltas(&mut random, 500);
        let mut undo = DeltaBuffer::new();
        input.deltas().for_each(|(row, weight)| undo.push(row, -weight));
        let (mut output, mut sent) = (DeltaBuffer::new(), Zset::default());
        top_k.run(&undo, &mut output);
        top_k.run(&shuffled(&mut random, &input), &mut output);
        sent.add(&output);
        assert_eq!(sent, Zset::default());
        assert_eq!((top_k.rows.len(), top_k.debts.len(), top_k.key_bytes), (0, 0, 0));
    }
}
