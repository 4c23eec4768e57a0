//! Hashes of keys and rows: one fixed function without a seed, so that every shard and every front agrees on who
//! owns a key, today and after a restart.
//!
//! The upper half of a hash chooses the shard, the lower half the place in that shard's indexes. The two must not
//! share bits, or a shard would use only its own fraction of each index.

use crate::plan::Column;
use crate::row::Row;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The columns that make up a key, in order, and how each is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyColumns {
    columns: Vec<KeyColumn>,
    /// No column has values in the tail: together with a row without NULLs this makes for short work.
    in_slots: bool,
}

/// One column of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its index in the row.
    pub index: usize,
    /// Whether its values lie in the tail of the row.
    pub in_tail: bool,
}

impl KeyColumns {
    /// The columns of `columns` with these indexes, in this order.
    pub fn new(columns: &[Column], indexes: &[u16]) -> Self {
        let key = |index: &u16| KeyColumn {
            index: *index as usize,
            in_tail: columns[*index as usize].ty.in_tail(),
        };
        Self::of(indexes.iter().map(key).collect())
    }

    /// The same key where it stands alone: a row of just the key's columns.
    pub fn of_key_row(&self) -> Self {
        let alone = |(index, column): (usize, &KeyColumn)| KeyColumn { index, ..*column };
        Self::of(self.columns.iter().enumerate().map(alone).collect())
    }

    fn of(columns: Vec<KeyColumn>) -> Self {
        let in_slots = columns.iter().all(|column| !column.in_tail);
        KeyColumns { columns, in_slots }
    }

    /// The columns in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = KeyColumn> + '_ {
        self.columns.iter().copied()
    }

    /// How many columns the key has.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether any column of the key is NULL in this row.
    #[inline]
    pub fn any_null(&self, row: Row<'_>) -> bool {
        row.has_null_bits() && self.columns.iter().any(|column| row.is_null(column.index))
    }
}

/// The hash of a row's key. NULL hashes as a value of its own. Values in slots are folded in by a multiplication of
/// 64 by 64 bits, those in the tail by xxh3.
#[inline(always)]
pub fn hash_key(row: Row<'_>, key: &KeyColumns) -> u64 {
    if !key.in_slots || row.has_null_bits() {
        return hash_any_key(row, key);
    }
    let row = row.short();
    let hash =
        key.columns.iter().fold(KEY_SEED, |hash, column| fold(hash ^ row.slot(column.index), MULTIPLIER));
    fold(hash ^ KEY_SEED, FINAL_MULTIPLIER)
}

/// The same for keys and rows of all kinds.
fn hash_any_key(row: Row<'_>, key: &KeyColumns) -> u64 {
    let mut hash = KEY_SEED;
    for column in &key.columns {
        hash = if row.is_null(column.index) {
            fold(hash ^ NULL_SEED, MULTIPLIER)
        } else if column.in_tail {
            xxh3_64_with_seed(row.bytes(column.index), hash)
        } else {
            fold(hash ^ row.slot(column.index), MULTIPLIER)
        };
    }
    // Without a second round, keys that differ in few bits would share too many bits of their hashes.
    fold(hash ^ KEY_SEED, FINAL_MULTIPLIER)
}

/// Both halves of the product, one upon the other: every bit of the operands reaches every bit of the result.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

const KEY_SEED: u64 = 0x5341_4b49_4100_0001;
const NULL_SEED: u64 = 0x6e75_6c6c_6e75_6c6c;

/// Odd, and with about as many ones as zeros in no visible pattern: 2^64 divided by the golden ratio, and by pi.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const FINAL_MULTIPLIER: u64 = 0x517c_c1b7_2722_0a95;

/// The hash of a whole row.
#[inline]
pub fn hash_row(row: Row<'_>) -> u64 {
    xxh3_64(row.bytes_all())
}

/// The hash of some numbers, for digests.
pub(crate) fn hash_words(words: &[u64]) -> u64 {
    words.iter().fold(KEY_SEED, |hash, word| xxh3_64_with_seed(&word.to_le_bytes(), hash))
}

/// Which of `shards` shards owns a key of this hash.
#[inline]
pub fn owner(hash: u64, shards: u16) -> u16 {
    (((hash >> 32) * u64::from(shards)) >> 32) as u16
}

/// Whether the keys of two rows are equal; NULL equals NULL here. Joins keep NULL out beforehand.
#[inline(always)]
pub fn keys_equal(a: Row<'_>, a_key: &KeyColumns, b: Row<'_>, b_key: &KeyColumns) -> bool {
    debug_assert_eq!(a_key.len(), b_key.len());
    if !a_key.in_slots || a.has_null_bits() || b.has_null_bits() {
        return any_keys_equal(a, a_key, b, b_key);
    }
    let (a, b) = (a.short(), b.short());
    if let ([x], [y]) = (a_key.columns.as_slice(), b_key.columns.as_slice()) {
        return a.slot(x.index) == b.slot(y.index);
    }
    a_key.columns.iter().zip(&b_key.columns).all(|(x, y)| a.slot(x.index) == b.slot(y.index))
}

/// The same for keys and rows of all kinds.
fn any_keys_equal(a: Row<'_>, a_key: &KeyColumns, b: Row<'_>, b_key: &KeyColumns) -> bool {
    a_key.columns.iter().zip(&b_key.columns).all(|(x, y)| {
        if !x.in_tail && a.slot(x.index) != b.slot(y.index) {
            return false;
        }
        // NULL has the slot 0, and so have other values.
        let null = a.is_null(x.index);
        null == b.is_null(y.index) && (!x.in_tail || null || a.bytes(x.index) == b.bytes(y.index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::column;
    use crate::row::RowBuilder;
    use crate::value::{Datum, Type};
    use std::collections::HashSet;

    /// Hashes of keys that follow a pattern must behave as if they were random, in both halves.
    fn check(keys: impl Iterator<Item = (i64, i64)>) {
        let columns = [column("a", Type::Int), column("b", Type::Int)];
        let key = KeyColumns::new(&columns, &[0, 1]);
        let mut builder = RowBuilder::new();
        let (mut count, mut tags, mut owners) = (0, HashSet::new(), [0; 7]);
        let mut buckets = vec![0u32; 1 << 16];
        for (a, b) in keys {
            builder.start(2);
            builder.push(Datum::Int(a));
            builder.push(Datum::Int(b));
            let hash = hash_key(builder.finish(), &key);
            tags.insert(hash as u32);
            buckets[hash as u32 as usize >> 16] += 1;
            owners[owner(hash, 7) as usize] += 1;
            count += 1;
        }
        // Of 2^18 random tags of 32 bits about 8 collide; buckets hold 4 on the average.
        assert_eq!(count, 1 << 18);
        assert!(count - tags.len() < 30, "{} tags collide", count - tags.len());
        assert!(buckets.iter().all(|bucket| *bucket < 24));
        let spread = owners.iter().map(|owner| (owner - count as i32 / 7).abs()).max().expect("7 owners");
        assert!(spread < 1000, "the owners have {owners:?}");
    }

    #[test]
    fn patterns_spread() {
        let count = 1 << 18;
        check((0..count).map(|i| (i, 0)));
        check((0..count).map(|i| (0, -i)));
        check((0..count).map(|i| (i << 32, 7)));
        check((0..count).map(|i| (i << 46, 7)));
        check((0..count).map(|i| (i % 512, i / 512)));
        check((0..count).map(|i| (i * 1000, i)));
    }

    #[test]
    fn null_is_no_zero() {
        let columns = [column("a", Type::Int).nullable()];
        let key = KeyColumns::new(&columns, &[0]);
        let (mut null, mut zero) = (RowBuilder::new(), RowBuilder::new());
        null.start(1);
        null.push(Datum::Null);
        zero.start(1);
        zero.push(Datum::Int(0));
        assert_ne!(hash_key(null.finish(), &key), hash_key(zero.finish(), &key));
        assert!(!keys_equal(null.finish(), &key, zero.finish(), &key));
        let row = null.finish();
        assert!(keys_equal(row, &key, row, &key));
    }
}
