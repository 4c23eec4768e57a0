//! What a transaction has changed, by primary key: its own reads of a table show it before anybody else's.

use std::collections::{BTreeMap, HashMap};

use operators::plan::TableSpec;
use operators::{Row, RowBuilder, Rows, WriteKind};

use super::transaction::Held;

/// See the [module's documentation](self).
#[derive(Debug, Default)]
pub struct Overlay {
    tables: HashMap<u32, Changes>,
}

/// The changes of one table: for each primary key the row, or none where it is deleted.
#[derive(Debug)]
struct Changes {
    rows: BTreeMap<Box<[u8]>, Option<Box<[u8]>>>,
    /// Columns of the primary key, and whether each lies in the tail of a row.
    key: Vec<(usize, bool)>,
    /// Whether each column lies in the tail of a row.
    in_tail: Vec<bool>,
}

impl Overlay {
    /// Adds a write.
    pub fn add(&mut self, table: &TableSpec, held: &Held) {
        let changes = self.tables.entry(table.id.0).or_insert_with(|| Changes::new(table));
        let mut builder = RowBuilder::new();
        for row in held.rows.iter() {
            let (key, row) = match held.kind {
                WriteKind::Delete => (row.bytes_all().into(), None),
                _ => (changes.primary_key(row, &mut builder), Some(row.bytes_all().into())),
            };
            changes.rows.insert(key, row);
        }
    }

    /// Whether a table has been changed.
    pub fn has(&self, table: u32) -> bool {
        self.tables.contains_key(&table)
    }

    /// For each row its primary key and what the transaction knows of that: there, deleted, or nothing.
    pub fn known(&self, table: &TableSpec, rows: &Rows) -> Vec<(Box<[u8]>, Option<bool>)> {
        let nothing = Changes::new(table);
        let changes = self.tables.get(&table.id.0).unwrap_or(&nothing);
        let mut builder = RowBuilder::new();
        rows.iter()
            .map(|row| {
                let key = changes.primary_key(row, &mut builder);
                let known = changes.rows.get(&key).map(Option::is_some);
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
        let mut builder = RowBuilder::new();
        let mut kept = Rows::new();
        for row in read.iter() {
            if !changes.rows.contains_key(&changes.primary_key(row, &mut builder)) {
                kept.push(row);
            }
        }
        kept
    }

    /// Gives the rows that the transaction has put into a table, of these keys if some are wanted.
    pub fn changed(&self, table: u32, wanted: Option<(&[u16], &Rows)>, mut give: impl FnMut(Row<'_>)) {
        let Some(changes) = self.tables.get(&table) else { return };
        let mut builder = RowBuilder::new();
        for bytes in changes.rows.values().flatten() {
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

impl Changes {
    fn new(table: &TableSpec) -> Changes {
        let in_tail: Vec<bool> = table.columns.iter().map(|column| column.ty.in_tail()).collect();
        let key = table.key.iter().map(|at| (usize::from(*at), in_tail[usize::from(*at)])).collect();
        Changes { rows: BTreeMap::new(), key, in_tail }
    }

    fn primary_key(&self, row: Row<'_>, builder: &mut RowBuilder) -> Box<[u8]> {
        key_of(row, self.key.iter().copied(), builder)
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
