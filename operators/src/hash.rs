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
        KeyColumns { columns: indexes.iter().map(key).collect() }
    }

    /// The same key where it stands alone: a row of just the key's columns.
    pub fn of_key_row(&self) -> Self {
        let alone = |(index, column): (usize, &KeyColumn)| KeyColumn { index, ..*column };
        KeyColumns { columns: self.columns.iter().enumerate().map(alone).collect() }
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
        self.columns.iter().any(|column| row.is_null(column.index))
    }
}

/// The hash of a row's key. NULL hashes as a value of its own.
#[inline]
pub fn hash_key(row: Row<'_>, key: &KeyColumns) -> u64 {
    let mut hash = KEY_SEED;
    for column in &key.columns {
        hash = if row.is_null(column.index) {
            xxh3_64_with_seed(&[], hash ^ NULL_SEED)
        } else if column.in_tail {
            xxh3_64_with_seed(row.bytes(column.index), hash)
        } else {
            xxh3_64_with_seed(&row.slot(column.index).to_le_bytes(), hash)
        };
    }
    hash
}

const KEY_SEED: u64 = 0x5341_4b49_4100_0001;
const NULL_SEED: u64 = 0x6e75_6c6c_6e75_6c6c;

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
    ((hash >> 32) * u64::from(shards) >> 32) as u16
}

/// Whether the keys of two rows are equal; NULL equals NULL here. Joins keep NULL out beforehand.
#[inline]
pub fn keys_equal(a: Row<'_>, a_key: &KeyColumns, b: Row<'_>, b_key: &KeyColumns) -> bool {
    debug_assert_eq!(a_key.len(), b_key.len());
    a_key.columns.iter().zip(&b_key.columns).all(|(x, y)| {
        let null = a.is_null(x.index);
        if null || b.is_null(y.index) {
            return null == b.is_null(y.index);
        }
        if x.in_tail { a.bytes(x.index) == b.bytes(y.index) } else { a.slot(x.index) == b.slot(y.index) }
    })
}
