//! What a transaction has changed, by primary key: its own reads of a table show it before anybody else's, and its COMMIT
//! writes it, each row only if it still is what the transaction took it for. A row that it has only locked is one that it replaces
//! with itself.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use operators::plan::TableSpec;
use operators::{Row, RowBuilder, Rows, TableId, WriteKind};
use runtime::message::TableWrite;
use sql::SqlError;

use super::execute::{conflict, duplicate_key};
use super::transaction::Held;

/// See the [module's documentation](self).
#[derive(Debug, Default)]
pub struct Overlay {
    tables: HashMap<u32, Changes>,
}

/// The changes of one table: for each primary key the row, or none where it is deleted.
#[derive(Debug)]
struct Changes {
    rows: BTreeMap<Box<[u8]>, Changed>,
    /// Columns of the primary key, and whether each lies in the tail of a row.
    key: Vec<(usize, bool)>,
    /// Whether each column lies in the tail of a row.
    in_tail: Vec<bool>,
}

/// A row that has been changed.
#[derive(Debug)]
struct Changed {
    before: Before,
    /// None where it is deleted.
    now: Option<Box<[u8]>>,
}

/// What the transaction took a row for when it first changed it.
#[derive(Debug)]
enum Before {
    /// It replaces or deletes it, whatever it is.
    Anything,
    /// It was not there.
    Nothing,
    This(Box<[u8]>),
}

impl Overlay {
    /// Adds a write.
    pub fn add(&mut self, table: &TableSpec, held: &Held) {
        let changes = self.tables.entry(table.id.0).or_insert_with(|| Changes::new(table));
        let mut rows = held.rows.iter();
        while let Some(row) = rows.next() {
            match held.kind {
                WriteKind::Delete => changes.set(row.bytes_all().into(), Before::Anything, None),
                WriteKind::Upsert => changes.set_row(row, Before::Anything, Some(row)),
                WriteKind::Insert => changes.set_row(row, Before::Nothing, Some(row)),
                WriteKind::Remove => changes.set_row(row, Before::this(row), None),
                WriteKind::Replace => {
                    let new = rows.next().expect("rows come in pairs");
                    changes.set_row(row, Before::this(row), Some(new));
                }
            }
        }
    }

    /// The tables that have been changed.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.tables.keys().map(|table| TableId(*table))
    }

    /// What is to be written so that it is so for everybody; each key once.
    pub fn writes(&self) -> Vec<TableWrite> {
        let mut writes = Vec::new();
        for (table, changes) in &self.tables {
            let kinds = [
                WriteKind::Insert,
                WriteKind::Upsert,
                WriteKind::Replace,
                WriteKind::Remove,
                WriteKind::Delete,
            ];
            let mut rows = kinds.map(|_| Rows::new());
            let [insert, upsert, replace, remove, delete] = &mut rows;
            for (key, Changed { before, now }) in &changes.rows {
                let now = now.as_deref().map(Row::at);
                match (before, now) {
                    (Before::Nothing, None) => {}
                    (Before::Nothing, Some(now)) => insert.push(now),
                    (Before::Anything, Some(now)) => upsert.push(now),
                    (Before::Anything, None) => delete.push(Row::at(key)),
                    (Before::This(old), None) => remove.push(Row::at(old)),
                    (Before::This(old), Some(now)) => {
                        [Row::at(old), now].iter().for_each(|row| replace.push(*row))
                    }
                }
            }
            let rows = kinds.into_iter().zip(rows).filter(|(_, rows)| !rows.is_empty());
            writes.extend(rows.map(|(kind, rows)| TableWrite { table: *table, kind, rows }));
        }
        writes
    }

    /// Whether nothing is to be written: rows are only to be what they were.
    pub fn only_keeps(&self) -> bool {
        let mut rows = self.tables.values().flat_map(|changes| changes.rows.values());
        rows.all(
            |changed| matches!((&changed.before, &changed.now), (Before::This(old), Some(now)) if old == now),
        )
    }

    /// Whether the transaction has changed the row of a key, or is to keep it as it is.
    pub fn knows(&self, table: TableId, key: &[u8]) -> bool {
        self.tables.get(&table.0).is_some_and(|changes| changes.rows.contains_key(key))
    }

    /// The keys of a table whose rows must be as the transaction took them for.
    pub fn conditional(&self, table: TableId) -> impl Iterator<Item = &[u8]> {
        let rows = self.tables.get(&table.0).into_iter().flat_map(|changes| &changes.rows);
        rows.filter(|(_, changed)| !matches!(changed.before, Before::Anything)).map(|(key, _)| &**key)
    }

    /// Whether rows of a table that are there are as the transaction took them for.
    ///
    /// # Errors
    ///
    /// What the transaction fails with if they are not.
    pub fn check(&self, table: TableId, there: &HashMap<Box<[u8]>, Box<[u8]>>) -> Result<(), SqlError> {
        let Some(changes) = self.tables.get(&table.0) else { return Ok(()) };
        for (key, Changed { before, now }) in &changes.rows {
            match (before, there.get(key)) {
                (Before::Nothing, Some(_)) if now.is_some() => return Err(duplicate_key()),
                (Before::This(old), found) if found != Some(old) => return Err(conflict()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a table has been changed.
    pub fn has(&self, table: u32) -> bool {
        self.tables.contains_key(&table)
    }

    /// How many rows of a table have been changed.
    pub fn changed_count(&self, table: u32) -> u32 {
        self.tables.get(&table).map_or(0, |changes| u32::try_from(changes.rows.len()).unwrap_or(u32::MAX))
    }

    /// For each row its primary key and what the transaction knows of that: there, deleted, or nothing.
    pub fn known(&self, table: &TableSpec, rows: &Rows) -> Vec<(Box<[u8]>, Option<bool>)> {
        let nothing = Changes::new(table);
        let changes = self.tables.get(&table.id.0).unwrap_or(&nothing);
        rows.iter()
            .map(|row| {
                let key = changes.primary_key(row);
                let known = changes.rows.get(&key).map(|changed| changed.now.is_some());
                (key, known)
            })
            .collect()
    }

    /// Rows of keys of a table that were looked up, as the transaction sees them; `wanted` are the keys and their columns.
    pub fn seen(&self, table: u32, read: &Rows, wanted: Option<(&[u16], &Rows)>) -> Rows {
        let mut seen = self.kept(table, read);
        self.changed(table, wanted, |row| seen.push(row));
        seen
    }

    /// Those of the rows of a table that the transaction has not changed.
    pub fn kept(&self, table: u32, read: &Rows) -> Rows {
        let Some(changes) = self.tables.get(&table) else { return read.clone() };
        let mut kept = Rows::new();
        for row in read.iter() {
            if !changes.rows.contains_key(&changes.primary_key(row)) {
                kept.push(row);
            }
        }
        kept
    }

    /// Gives the rows that the transaction has put into a table, of these keys if some are wanted.
    pub fn changed(&self, table: u32, wanted: Option<(&[u16], &Rows)>, mut give: impl FnMut(Row<'_>)) {
        let Some(changes) = self.tables.get(&table) else { return };
        let mut builder = RowBuilder::new();
        for bytes in changes.rows.values().filter_map(|changed| changed.now.as_deref()) {
            let row = Row::at(bytes);
            let is_wanted = wanted.is_none_or(|(columns, keys)| {
                let columns = columns.iter().map(|at| usize::from(*at));
                let key = key_of(row, columns.map(|at| (at, changes.in_tail[at])), &mut builder);
                keys.iter().any(|wanted| wanted.bytes_all() == &*key)
            });
            if is_wanted {
                give(row);
            }
        }
    }
}

impl Before {
    fn this(row: Row<'_>) -> Before {
        Before::This(row.bytes_all().into())
    }
}

impl Changes {
    fn new(table: &TableSpec) -> Changes {
        let in_tail: Vec<bool> = table.columns.iter().map(|column| column.ty.in_tail()).collect();
        let key = table.key.iter().map(|at| (usize::from(*at), in_tail[usize::from(*at)])).collect();
        Changes { rows: BTreeMap::new(), key, in_tail }
    }

    fn primary_key(&self, row: Row<'_>) -> Box<[u8]> {
        key_of(row, self.key.iter().copied(), &mut RowBuilder::new())
    }

    fn set_row(&mut self, row: Row<'_>, before: Before, now: Option<Row<'_>>) {
        self.set(self.primary_key(row), before, now);
    }

    /// What the transaction first took a row for stays so.
    fn set(&mut self, key: Box<[u8]>, before: Before, now: Option<Row<'_>>) {
        let now = now.map(|row| row.bytes_all().into());
        match self.rows.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(Changed { before, now })),
            Entry::Occupied(mut entry) => entry.get_mut().now = now,
        }
    }
}

fn key_of(
    row: Row<'_>,
    columns: impl ExactSizeIterator<Item = (usize, bool)>,
    builder: &mut RowBuilder,
) -> Box<[u8]> {
    builder.start(columns.len());
    columns.for_each(|(at, in_tail)| builder.copy(row, at, in_tail));
    builder.finish().bytes_all().into()
}
