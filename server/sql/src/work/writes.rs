//! From rows that were found, and new ones, to what is to be written.

use super::{Faster, RowsToWrite, State, Step, Work, key_is_there};
use crate::change::{Input, OnConflict, Verb};
use crate::define::default_value;
use crate::error::{Result, SqlError};
use crate::scan::{Read, Source};
use crate::write::checked;
use operators::{Row, RowBuilder, Rows, WriteKind};
use std::collections::{HashMap, HashSet};

impl Work<'_> {
    pub(super) fn write(&self, kind: WriteKind, rows: Rows) -> RowsToWrite {
        RowsToWrite { table: self.change.table, kind, rows }
    }

    /// Adds what is to be written after all else that is.
    fn push(&mut self, writes: impl IntoIterator<Item = (WriteKind, Rows)>, faster: Faster) {
        let writes = writes.into_iter().filter(|(_, rows)| !rows.is_empty());
        let writes: Vec<RowsToWrite> = writes.map(|(kind, rows)| self.write(kind, rows)).collect();
        if !writes.is_empty() {
            self.steps.push_back((writes, faster));
        }
    }

    /// Whether the statement looks at the row with this key, which it does only once.
    fn is_wanted(&self, key: &[u8]) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(key))
    }

    /// What is to be done next with new rows.
    pub(super) fn insert(&mut self, new: Rows) -> Option<Step> {
        self.state = State::Write;
        if new.is_empty() {
            return None;
        }
        if matches!(self.change.conflict, OnConflict::Error) {
            self.shown = new.clone();
            self.push([(WriteKind::Insert, new)], Faster::KeyIsThere);
            return None;
        }
        self.new = new;
        Some(self.look_for_keys())
    }

    /// Asks for the rows that have the keys of new ones.
    pub(super) fn look_for_keys(&mut self) -> Step {
        let mut keys = Rows::new();
        let mut seen = HashSet::new();
        for row in &self.new {
            let key = self.key_of(row);
            if self.is_wanted(&key) && seen.insert(key.clone()) {
                keys.push(Row::at(&key));
            }
        }
        self.state = State::Keys { there: Rows::new() };
        let object = self.change.name.clone();
        let view = self.change.view;
        Step::Read(vec![Source { object, view, read: Read::Keys(keys, u32::MAX) }])
    }

    /// ON CONFLICT: what becomes of new rows, given the rows that have their keys.
    pub(super) fn resolve(&mut self, there: &Rows) -> Result<()> {
        let there: HashMap<Vec<u8>, Row<'_>> = there.iter().map(|row| (self.key_of(row), row)).collect();
        let (change, new) = (self.change, std::mem::take(&mut self.new));
        let mut seen = HashSet::new();
        let (mut inserted, mut updated) = (Rows::new(), Rows::new());
        for row in &new {
            let key = self.key_of(row);
            if !self.is_wanted(&key) {
                continue;
            }
            let old = there.get(&key);
            let is_first = seen.insert(key);
            match (&change.conflict, old) {
                (OnConflict::Update { .. }, _) if !is_first => {
                    return Err(SqlError::new(
                        "21000",
                        "ON CONFLICT DO UPDATE command cannot affect row a second time",
                    )
                    .hint("Two of the rows to be inserted have the same key."));
                }
                (_, None) if is_first => {
                    inserted.push(row);
                    self.shown.push(row);
                }
                (OnConflict::Update { set, condition }, Some(old)) => {
                    let merged = change.updated(*old, row, set, condition.as_ref(), &self.context)?;
                    for row in &merged {
                        updated.push(*old);
                        updated.push(row);
                        self.shown.push(row);
                    }
                }
                _ => {}
            }
        }
        self.new = new;
        self.push([(WriteKind::Insert, inserted), (WriteKind::Replace, updated)], Faster::LookAgain);
        self.state = State::Write;
        Ok(())
    }

    /// UPDATE: rows with new keys are inserted first and those with old ones removed last, so that no row is ever missing.
    pub(super) fn update(&mut self, found: &Rows) -> Result<()> {
        let mut olds: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut news = Rows::new();
        let mut builder = RowBuilder::new();
        for row in found {
            let key = self.key_of(row);
            // A row that is joined with several others is updated once.
            if !self.is_wanted(&key) || olds.contains_key(&key) {
                continue;
            }
            olds.insert(key.clone(), self.as_it_was(row, &mut builder).bytes_all().to_vec());
            self.new_values(row, &mut builder)?;
            let new = builder.finish();
            pairs.push((key, self.key_of(new)));
            news.push(new);
        }
        let new_keys: HashSet<&Vec<u8>> = pairs.iter().map(|(_, key)| key).collect();
        if new_keys.len() < pairs.len() {
            return Err(key_is_there().detail("Two of the rows updated would have the same primary key."));
        }
        let (mut kept, mut moved, mut gone) = (Rows::new(), Rows::new(), Rows::new());
        // Rows that take each other's keys cannot be looked at one by one again.
        let mut cross = false;
        for ((old_key, key), new) in pairs.iter().zip(&news) {
            if let Some(old) = olds.get(key) {
                kept.push(Row::at(old));
                kept.push(new);
                cross |= key != old_key;
            } else {
                moved.push(new);
                self.moved.insert(old_key.clone(), new.bytes_all().to_vec());
            }
            if !new_keys.contains(old_key) {
                gone.push(Row::at(&olds[old_key]));
            }
            self.shown.push(new);
        }
        let (again, back) =
            if cross { (Faster::Fail, Faster::Fail) } else { (Faster::LookAgain, Faster::TakeBack) };
        self.push([(WriteKind::Insert, moved)], Faster::KeyIsThere);
        self.push([(WriteKind::Replace, kept)], again);
        self.push([(WriteKind::Remove, gone)], back);
        Ok(())
    }

    /// The row that an UPDATE makes of one that was found.
    fn new_values(&self, found: Row<'_>, builder: &mut RowBuilder) -> Result<()> {
        let Input::Query { cells, .. } = &self.change.input else { unreachable!("UPDATE reads") };
        let columns = &self.change.columns;
        builder.start(columns.len());
        for (column, cell) in columns.iter().zip(cells) {
            let value = match cell {
                Some(cell) => cell.value(Some(found), &self.context)?,
                None => default_value(column, self.context.now),
            };
            builder.push(checked(&self.change.name, column, value)?.datum());
        }
        self.change.checks.check(builder.finish(), &self.context)
    }

    /// The table's own columns of a row that was found.
    fn as_it_was<'b>(&self, found: Row<'_>, builder: &'b mut RowBuilder) -> Row<'b> {
        let columns = &self.change.columns;
        builder.start(columns.len());
        for (at, column) in columns.iter().enumerate() {
            builder.copy(found, at, column.ty.engine().in_tail());
        }
        builder.finish()
    }

    /// DELETE of rows as they were found; TRUNCATE of whatever has their keys.
    pub(super) fn delete(&mut self, found: &Rows) {
        let (mut rows, mut keys) = (Rows::new(), Rows::new());
        let mut seen = HashSet::new();
        let mut builder = RowBuilder::new();
        for row in found {
            let key = self.key_of(row);
            if self.is_wanted(&key) && seen.insert(key.clone()) {
                rows.push(self.as_it_was(row, &mut builder));
                keys.push(Row::at(&key));
                self.shown.push(row);
            }
        }
        match self.change.verb {
            Verb::Truncate => self.push([(WriteKind::Delete, keys)], Faster::Fail),
            _ => self.push([(WriteKind::Remove, rows)], Faster::LookAgain),
        }
    }
}
