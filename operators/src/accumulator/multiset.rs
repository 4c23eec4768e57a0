//! Ordered multisets of values with signed weights, for min, max and count distinct.
//!
//! Values of a word are keyed by an integer in their order, decimals by themselves, text and bytes by their bytes.
//! A value whose weights cancel is gone. One change costs O(log n); so does a result, plus one step for each value of
//! negative weight that lies before the one found.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rust_decimal::Decimal;

use crate::value::{Datum, Type, canonical_float};

/// What an entry takes beside a key that lies elsewhere: a B-tree's nodes are two thirds full on the average.
const ENTRY_BYTES: usize = 48;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ValueMultiset {
    ty: Type,
    values: Values,
    /// How many values have a positive weight.
    positive: i64,
    /// Bytes of the keys that lie elsewhere.
    key_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    Words(BTreeMap<i64, i64>),
    Numerics(BTreeMap<Decimal, i64>),
    Bytes(BTreeMap<Box<[u8]>, i64>),
}

/// How a change of one weight changed the whole.
struct Change {
    positive: i64,
    added: bool,
    removed: bool,
}

impl ValueMultiset {
    pub(super) fn new(ty: Type) -> ValueMultiset {
        let values = match ty {
            Type::Bool | Type::Int | Type::Float | Type::Timestamp | Type::Date => {
                Values::Words(BTreeMap::new())
            }
            Type::Numeric => Values::Numerics(BTreeMap::new()),
            Type::Text | Type::Bytes => Values::Bytes(BTreeMap::new()),
        };
        ValueMultiset { ty, values, positive: 0, key_bytes: 0 }
    }

    pub(super) fn add(&mut self, value: Datum<'_>, weight: i64) {
        let change = match (&mut self.values, value) {
            (Values::Numerics(values), Datum::Numeric(value)) => add(values.entry(value.normalize()), weight),
            (Values::Bytes(values), Datum::Text(value)) => {
                add_bytes(values, value.as_bytes(), weight, &mut self.key_bytes)
            }
            (Values::Bytes(values), Datum::Bytes(value)) => {
                add_bytes(values, value, weight, &mut self.key_bytes)
            }
            (Values::Words(values), value) => add(values.entry(word_key(value)), weight),
            (values, value) => unreachable!("{value:?} among {values:?}"),
        };
        self.positive += change.positive;
    }

    pub(super) fn distinct(&self) -> i64 {
        self.positive
    }

    /// Calls `each` with the values of positive weight in their order.
    pub(super) fn each_positive(&self, mut each: impl FnMut(Datum<'_>)) {
        match &self.values {
            Values::Words(values) => {
                values.iter().filter(|(_, weight)| **weight > 0).for_each(|(key, _)| each(self.word(*key)));
            }
            Values::Numerics(values) => {
                values
                    .iter()
                    .filter(|(_, weight)| **weight > 0)
                    .for_each(|(key, _)| each(Datum::Numeric(*key)));
            }
            Values::Bytes(values) => {
                values.iter().filter(|(_, weight)| **weight > 0).for_each(|(key, _)| each(self.slice(key)));
            }
        }
    }

    /// The least value of positive weight.
    pub(super) fn first(&self) -> Datum<'_> {
        match &self.values {
            Values::Words(values) => positive(values.iter()).map_or(Datum::Null, |key| self.word(*key)),
            Values::Numerics(values) => {
                positive(values.iter()).map_or(Datum::Null, |key| Datum::Numeric(*key))
            }
            Values::Bytes(values) => positive(values.iter()).map_or(Datum::Null, |key| self.slice(key)),
        }
    }

    /// The greatest value of positive weight.
    pub(super) fn last(&self) -> Datum<'_> {
        match &self.values {
            Values::Words(values) => positive(values.iter().rev()).map_or(Datum::Null, |key| self.word(*key)),
            Values::Numerics(values) => {
                positive(values.iter().rev()).map_or(Datum::Null, |key| Datum::Numeric(*key))
            }
            Values::Bytes(values) => positive(values.iter().rev()).map_or(Datum::Null, |key| self.slice(key)),
        }
    }

    fn word(&self, key: i64) -> Datum<'_> {
        match self.ty {
            Type::Bool => Datum::Bool(key != 0),
            Type::Int => Datum::Int(key),
            Type::Float => Datum::Float(f64::from_bits(ordered_bits(key).cast_unsigned())),
            Type::Timestamp => Datum::Timestamp(key),
            Type::Date => Datum::Date(key),
            ty => unreachable!("{ty} is no word"),
        }
    }

    fn slice<'a>(&self, key: &'a [u8]) -> Datum<'a> {
        match self.ty {
            Type::Text => Datum::Text(std::str::from_utf8(key).expect("a row's text is UTF-8")),
            _ => Datum::Bytes(key),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Words(values) => values.len(),
            Values::Numerics(values) => values.len(),
            Values::Bytes(values) => values.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.len() * ENTRY_BYTES + self.key_bytes
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut entry = |key: &[u8], weight: &i64| encode_entry(key, *weight, out);
        match &self.values {
            Values::Words(values) => {
                values.iter().for_each(|(key, weight)| entry(&key.to_le_bytes(), weight))
            }
            Values::Numerics(values) => {
                values.iter().for_each(|(key, weight)| entry(&key.serialize(), weight))
            }
            Values::Bytes(values) => values.iter().for_each(|(key, weight)| entry(key, weight)),
        }
    }
}

/// Appends one entry of a multiset such that no two multisets have the same bytes.
pub(super) fn encode_entry(key: &[u8], weight: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(key.len() as u64).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&weight.to_le_bytes());
}

/// An integer in the order of the values.
fn word_key(value: Datum<'_>) -> i64 {
    match value {
        Datum::Bool(value) => i64::from(value),
        Datum::Int(value) | Datum::Timestamp(value) | Datum::Date(value) => value,
        Datum::Float(value) => ordered_bits(canonical_float(value).to_bits().cast_signed()),
        value => unreachable!("{value:?} is no word"),
    }
}

/// Between a float's bits and an integer in the order of floats: those of negative floats run backwards. Its own
/// inverse.
fn ordered_bits(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

fn add<K: Ord>(entry: Entry<'_, K, i64>, weight: i64) -> Change {
    let (before, after, added) = match entry {
        Entry::Vacant(_) if weight == 0 => (0, 0, false),
        Entry::Vacant(vacant) => {
            vacant.insert(weight);
            (0, weight, true)
        }
        Entry::Occupied(mut occupied) => {
            let before = *occupied.get();
            let after = before.wrapping_add(weight);
            if after == 0 {
                occupied.remove();
            } else {
                *occupied.get_mut() = after;
            }
            (before, after, false)
        }
    };
    Change {
        positive: i64::from(after > 0) - i64::from(before > 0),
        added,
        removed: before != 0 && after == 0,
    }
}

/// The same for keys that lie elsewhere: those that are there already are found without a copy.
fn add_bytes(
    values: &mut BTreeMap<Box<[u8]>, i64>,
    key: &[u8],
    weight: i64,
    key_bytes: &mut usize,
) -> Change {
    let stays = values.get_mut(key).and_then(|place| {
        let (before, after) = (*place, place.wrapping_add(weight));
        *place = after;
        let positive = i64::from(after > 0) - i64::from(before > 0);
        (after != 0).then_some(Change { positive, added: false, removed: false })
    });
    if let Some(change) = stays {
        return change;
    }
    let change = match values.remove(key) {
        // The weight was set to zero above.
        Some(_) => Change { positive: -i64::from(weight < 0), added: false, removed: true },
        None => add(values.entry(key.into()), weight),
    };
    *key_bytes += usize::from(change.added) * key.len();
    *key_bytes -= usize::from(change.removed) * key.len();
    change
}

fn positive<'a, K>(mut entries: impl Iterator<Item = (&'a K, &'a i64)>) -> Option<&'a K> {
    entries.find(|(_, weight)| **weight > 0).map(|(key, _)| key)
}
