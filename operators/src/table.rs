//! A table on one shard: rows by primary key, changed by writes.
//!
//! This is the one place where order matters: an upsert replaces what is there, so the state follows the order of
//! the writes. A write is all or nothing. Only real changes become deltas: replacing a row by itself is none.
//!
//! Cost of an insertion into a large table: one cache miss for the slot of the index and one for a fitting tag, if
//! any; the new row goes to the end of the arena. The misses of many rows overlap, because a first pass over a group
//! of rows only hashes them and touches their slots.

use crate::arena::{Arena, Position};
use crate::batch::{DeltaBuffer, Mark};
use crate::dataflow::WriteKind;
use crate::error::WriteError;
use crate::expr::Literal;
use crate::hash::{KeyColumns, hash_key, hash_row, keys_equal};
use crate::index::Index;
use crate::plan::TableSpec;
use crate::row::{Row, RowBuilder, Rows, RowsIter};
use crate::value::Type;
use std::ops::RangeInclusive;

/// Rows whose slots are touched ahead of being changed: enough to overlap their misses, few enough to stay in the
/// nearest cache until they are used (128 rows, two lines each: 16 KiB).
const GROUP_ROWS: usize = 128;
const _: () = assert!(GROUP_ROWS.is_multiple_of(2), "pairs are not torn apart");

/// Rows by primary key.
#[derive(Debug)]
pub struct Table {
    name: String,
    schema: Vec<(Type, bool)>,
    key_schema: Vec<(Type, bool)>,
    key: KeyColumns,
    /// The key's columns in a row of just the key.
    key_alone: KeyColumns,
    arena: Arena,
    index: Index,
    /// Reused: the hashes of the rows of a write.
    hashes: Vec<u64>,
    /// Reused: what an insertion has done so far, to be undone if a later row is refused.
    inserted: Vec<(u64, Position)>,
}

impl Table {
    /// An empty table.
    pub fn new(spec: &TableSpec) -> Self {
        let key = spec.key_columns();
        Table {
            name: spec.name.clone(),
            schema: spec.schema(),
            key_schema: spec.key_schema(),
            key_alone: key.of_key_row(),
            key,
            arena: Arena::default(),
            index: Index::default(),
            hashes: Vec::new(),
            inserted: Vec::new(),
        }
    }

    /// Takes over the rows of the table that it replaces, with these values in its further columns.
    ///
    /// # Panics
    /// If they find no room, which takes more rows than memory holds.
    pub fn take_over(&mut self, older: &Table, values: &[Literal]) {
        assert_eq!(self.schema.len(), older.schema.len() + values.len(), "each further column has a value");
        let mut builder = RowBuilder::new();
        for row in older.rows() {
            builder.start(self.schema.len());
            for (at, (ty, _)) in older.schema.iter().enumerate() {
                builder.copy(row, at, ty.in_tail());
            }
            values.iter().for_each(|value| builder.push(value.datum()));
            let row = builder.finish();
            self.add(hash_key(row, &self.key), row).expect("as many rows have found room before");
            self.inserted.clear();
        }
    }

    /// Rows for this table from those for one that has more columns.
    pub fn narrowed(&self, rows: &[u8]) -> Rows {
        let (mut narrow, mut builder) = (Rows::new(), RowBuilder::new());
        for row in RowsIter(rows) {
            builder.start(self.schema.len());
            for (at, (ty, _)) in self.schema.iter().enumerate() {
                builder.copy(row, at, ty.in_tail());
            }
            narrow.push(builder.finish());
        }
        narrow
    }

    /// Makes sure that rows of so many bytes in all find room.
    pub fn check_room(&self, bytes: usize) -> Result<(), WriteError> {
        if self.arena.has_room(bytes) { Ok(()) } else { Err(WriteError::Full { table: self.name.clone() }) }
    }

    /// Checks the form of a write's rows.
    pub fn validate(&self, kind: WriteKind, rows: &[u8]) -> Result<(), WriteError> {
        let schema = if kind == WriteKind::Delete { &self.key_schema } else { &self.schema };
        validate(&self.name, schema, rows)?;
        if kind == WriteKind::Replace { self.validate_pairs(rows) } else { Ok(()) }
    }

    fn validate_pairs(&self, rows: &[u8]) -> Result<(), WriteError> {
        let mut rows = RowsIter(rows);
        while let Some(old) = rows.next() {
            if rows.next().is_none_or(|new| !keys_equal(old, &self.key, new, &self.key)) {
                let key = self.display_key(old, &self.key);
                return Err(WriteError::Unpaired { table: self.name.clone(), key });
            }
        }
        Ok(())
    }

    /// Changes the table by validated rows and appends what really changed to `out`. Returns how many rows changed;
    /// after an error nothing has.
    pub fn write(&mut self, kind: WriteKind, rows: &[u8], out: &mut DeltaBuffer) -> Result<u32, WriteError> {
        let key = if kind == WriteKind::Delete { &self.key_alone } else { &self.key };
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.clear();
        hashes.extend(RowsIter(rows).map(|row| hash_key(row, key)));
        let result = match kind {
            WriteKind::Insert => self.insert(rows, &hashes, out),
            WriteKind::Upsert => self.upsert(rows, &hashes, out),
            WriteKind::Delete => Ok(self.delete(rows, &hashes, out)),
            WriteKind::Replace => self.replace(rows, &hashes, out),
            WriteKind::Remove => self.remove_rows(rows, &hashes, out),
        };
        self.hashes = hashes;
        result
    }

    fn insert(&mut self, rows: &[u8], hashes: &[u64], out: &mut DeltaBuffer) -> Result<u32, WriteError> {
        self.inserted.clear();
        let mut iter = RowsIter(rows);
        for group in hashes.chunks(GROUP_ROWS) {
            self.touch(group);
            for (hash, row) in group.iter().zip(iter.by_ref()) {
                let refused = if self.position(*hash, row, &self.key).is_some() {
                    let key = self.display_key(row, &self.key);
                    Some(WriteError::DuplicateKey { table: self.name.clone(), key })
                } else {
                    self.add(*hash, row).err()
                };
                if let Some(error) = refused {
                    self.undo_insertions();
                    return Err(error);
                }
            }
        }
        RowsIter(rows).for_each(|row| out.push(row, 1));
        Ok(hashes.len() as u32)
    }

    fn undo_insertions(&mut self) {
        for (hash, position) in std::mem::take(&mut self.inserted).into_iter().rev() {
            self.remove(hash, position);
        }
    }

    /// An upsert needs no more room than its new rows; that is made sure of first, so it cannot fail in the middle.
    fn upsert(&mut self, rows: &[u8], hashes: &[u64], out: &mut DeltaBuffer) -> Result<u32, WriteError> {
        self.inserted.clear();
        self.check_room(rows.len())?;
        let mut changed = 0;
        let mut iter = RowsIter(rows);
        for group in hashes.chunks(GROUP_ROWS) {
            self.touch(group);
            for (hash, row) in group.iter().zip(iter.by_ref()) {
                changed += u32::from(self.upsert_row(*hash, row, out));
            }
        }
        Ok(changed)
    }

    fn upsert_row(&mut self, hash: u64, row: Row<'_>, out: &mut DeltaBuffer) -> bool {
        let Some(position) = self.position(hash, row, &self.key) else {
            self.add(hash, row).expect("room was made sure of");
            out.push(row, 1);
            return true;
        };
        let old = Row::at(self.arena.bytes(position));
        if old == row {
            return false;
        }
        out.push(old, -1);
        out.push(row, 1);
        let (old_size, size) = (old.bytes_all().len(), row.bytes_all().len());
        if Arena::same_class(old_size, size) {
            self.arena.bytes_mut(position)[..size].copy_from_slice(row.bytes_all());
        } else {
            self.arena.free(position, old_size);
            let to = self.store(row).expect("room was made sure of");
            self.index.replace(hash, position, to);
        }
        true
    }

    fn delete(&mut self, keys: &[u8], hashes: &[u64], out: &mut DeltaBuffer) -> u32 {
        let mut changed = 0;
        let mut iter = RowsIter(keys);
        for group in hashes.chunks(GROUP_ROWS) {
            self.touch(group);
            for (hash, key) in group.iter().zip(iter.by_ref()) {
                if let Some(position) = self.position(*hash, key, &self.key_alone) {
                    out.push(Row::at(self.arena.bytes(position)), -1);
                    self.remove(*hash, position);
                    changed += 1;
                }
            }
        }
        changed
    }

    fn replace(&mut self, rows: &[u8], hashes: &[u64], out: &mut DeltaBuffer) -> Result<u32, WriteError> {
        self.inserted.clear();
        self.check_room(rows.len())?;
        let mark = out.mark();
        let mut changed = 0;
        let mut iter = RowsIter(rows);
        for group in hashes.chunks(GROUP_ROWS) {
            self.touch(group);
            for pair in group.chunks(2) {
                let (Some(old), Some(new)) = (iter.next(), iter.next()) else {
                    unreachable!("rows come in pairs")
                };
                if !self.has(pair[0], old) {
                    return Err(self.changed(old, out, mark));
                }
                changed += u32::from(self.upsert_row(pair[0], new, out));
            }
        }
        Ok(changed)
    }

    fn remove_rows(&mut self, rows: &[u8], hashes: &[u64], out: &mut DeltaBuffer) -> Result<u32, WriteError> {
        let mark = out.mark();
        let mut iter = RowsIter(rows);
        for group in hashes.chunks(GROUP_ROWS) {
            self.touch(group);
            for (hash, row) in group.iter().zip(iter.by_ref()) {
                let position = self.position(*hash, row, &self.key);
                let same = position.filter(|position| Row::at(self.arena.bytes(*position)) == row);
                let Some(position) = same else { return Err(self.changed(row, out, mark)) };
                self.remove(*hash, position);
                out.push(row, -1);
            }
        }
        Ok(hashes.len() as u32)
    }

    /// Whether this very row is there.
    fn has(&self, hash: u64, row: Row<'_>) -> bool {
        self.find(hash, row, &self.key) == Some(row)
    }

    /// Undoes what a write has done so far, since a row is not what it was taken for.
    fn changed(&mut self, row: Row<'_>, out: &mut DeltaBuffer, since: Mark) -> WriteError {
        self.undo(out, since);
        WriteError::Changed { table: self.name.clone(), key: self.display_key(row, &self.key) }
    }

    /// Undoes what writes have done since `mark`, and takes their deltas out of `out`.
    ///
    /// # Panics
    /// If a row finds no room where one was a moment ago.
    pub(crate) fn undo(&mut self, out: &mut DeltaBuffer, mark: Mark) {
        let deltas: Vec<(Row<'_>, i64)> = out.since(mark).collect();
        for (row, weight) in deltas.into_iter().rev() {
            let hash = hash_key(row, &self.key);
            if weight < 0 {
                self.add(hash, row).expect("it was there before");
                continue;
            }
            let position = self.position(hash, row, &self.key).expect("it has just been written");
            self.remove(hash, position);
        }
        self.inserted.clear();
        out.truncate(mark);
    }

    /// The row whose key equals that of `row`, where `key` says which columns of `row` are the key.
    #[inline]
    pub fn find(&self, hash: u64, row: Row<'_>, key: &KeyColumns) -> Option<Row<'_>> {
        self.position(hash, row, key).map(|position| Row::at(self.arena.bytes(position)))
    }

    /// All rows, in no order that means anything.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.index.positions().map(|position| Row::at(self.arena.bytes(position)))
    }

    /// Passes the rows to `each` whose keys' hashes have their lower halves in `tags`.
    pub fn for_tags<'a>(&'a self, tags: RangeInclusive<u32>, mut each: impl FnMut(Row<'a>)) {
        self.index.for_tags(tags, |position| each(Row::at(self.arena.bytes(position))));
    }

    /// From hashes of keys to positions.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The row at a position of the index.
    pub(crate) fn row_at(&self, position: Position) -> Row<'_> {
        Row::at(self.arena.bytes(position))
    }

    /// How many rows there are.
    pub fn row_count(&self) -> u64 {
        self.index.len() as u64
    }

    /// The key's columns in a row.
    pub fn key(&self) -> &KeyColumns {
        &self.key
    }

    /// An order-free hash of the rows.
    pub fn digest(&self) -> u64 {
        self.rows().fold(0, |sum, row| sum.wrapping_add(hash_row(row)))
    }

    /// Bytes taken from the system.
    pub fn held_bytes(&self) -> u64 {
        self.arena.held_bytes() + self.index.held_bytes()
    }

    /// Brings what rows of these hashes need into the cache: first the slots, then what lies at their positions.
    pub fn touch(&self, hashes: &[u64]) {
        self.index.touch(hashes, |position| self.arena.touch(position));
    }

    #[inline]
    fn position(&self, hash: u64, row: Row<'_>, key: &KeyColumns) -> Option<Position> {
        self.index.find(hash, |position| keys_equal(row, key, Row::at(self.arena.bytes(position)), &self.key))
    }

    fn add(&mut self, hash: u64, row: Row<'_>) -> Result<(), WriteError> {
        let position = self.store(row).ok_or_else(|| WriteError::Full { table: self.name.clone() })?;
        self.index.insert(hash, position);
        self.inserted.push((hash, position));
        Ok(())
    }

    fn store(&mut self, row: Row<'_>) -> Option<Position> {
        let bytes = row.bytes_all();
        let position = self.arena.allocate(bytes.len())?;
        self.arena.bytes_mut(position)[..bytes.len()].copy_from_slice(bytes);
        Some(position)
    }

    fn remove(&mut self, hash: u64, position: Position) {
        let size = Row::at(self.arena.bytes(position)).bytes_all().len();
        self.index.remove(hash, position);
        self.arena.free(position, size);
    }

    fn display_key(&self, row: Row<'_>, key: &KeyColumns) -> String {
        let types = self.key_schema.iter().map(|(ty, _)| *ty);
        let values: Vec<String> =
            key.iter().zip(types).map(|(column, ty)| row.datum(column.index, ty).to_string()).collect();
        format!("({})", values.join(", "))
    }
}

/// Checks the form of rows for the table of this name.
pub fn validate(name: &str, schema: &[(Type, bool)], rows: &[u8]) -> Result<(), WriteError> {
    match Rows::validate(rows, schema) {
        Ok(_) => Ok(()),
        Err(error) => Err(WriteError::Malformed { table: name.to_owned(), error }),
    }
}
