//! Tables that replace others, at work (`plan/replacement.rs` says what they are).
//!
//! Writes may name any table of a chain, since those who write learn at different times that it has been replaced. They all
//! go to the newest one, and from there to the older ones that are still read. A row without the new columns keeps those of
//! the row that it replaces; if there is none, they hold what they hold in the rows from before.

use crate::dataflow::{Dataflow, Node, State, WriteKind};
use crate::error::WriteError;
use crate::expr::Literal;
use crate::hash::hash_key;
use crate::plan::{Plan, Replaced, TableId, TableSpec};
use crate::row::{RowBuilder, Rows, RowsIter};
use crate::table::{Table, validate};

impl Dataflow {
    /// A table, with the rows of the one that it replaces.
    pub(crate) fn new_table(&self, plan: &Plan, spec: &TableSpec) -> Table {
        let mut table = Table::new(spec);
        if let Some(Replaced { table: older, values }) = &spec.replaced {
            let node = self.nodes.get(plan.tables[older.0 as usize].node.index());
            // One that has been dropped has lost its rows before, or never had any here.
            if let Some(Node { state: State::Table(older), .. }) = node {
                table.take_over(older, values);
            }
        }
        table
    }

    /// The table that has taken the place of this one.
    #[inline]
    pub(crate) fn successor(&self, table: TableId) -> Option<TableId> {
        self.successors.get(table.0 as usize).copied().flatten()
    }

    /// The newest of the tables that have taken the place of `table` one after another.
    fn newest(&self, table: TableId) -> TableId {
        std::iter::successors(Some(table), |table| self.successor(*table)).last().expect("there is the first")
    }

    /// Checks the rows of a write to a table that has been replaced.
    pub(crate) fn validate_older(
        &self,
        table: TableId,
        kind: WriteKind,
        rows: &[u8],
    ) -> Result<(), WriteError> {
        self.written_table(self.newest(table))?;
        let spec = &self.plan.tables[table.0 as usize];
        let schema = if kind == WriteKind::Delete { spec.key_schema() } else { spec.schema() };
        validate(&spec.name, &schema, rows)
    }

    /// A write to a table that has been replaced goes to the newest one.
    pub(crate) fn write_older(
        &mut self,
        table: TableId,
        kind: WriteKind,
        rows: &[u8],
    ) -> Result<u32, WriteError> {
        let newest = self.newest(table);
        match kind {
            WriteKind::Delete => self.write(newest, kind, rows),
            _ => self.write(newest, kind, &self.widened(table, newest, rows)?.rows),
        }
    }

    /// Rows for a table from those for one that it has replaced.
    fn widened(&self, older: TableId, newest: TableId, rows: &[u8]) -> Result<Rows, WriteError> {
        let there = self.written_table(newest)?;
        let columns = &self.plan.tables[newest.0 as usize].columns;
        let own = self.plan.tables[older.0 as usize].columns.len();
        let values = self.values_since(older, newest);
        let (mut wide, mut builder) = (Rows::new(), RowBuilder::new());
        for row in RowsIter(rows) {
            builder.start(columns.len());
            let (given, added) = columns.split_at(own);
            given.iter().enumerate().for_each(|(at, column)| builder.copy(row, at, column.ty.in_tail()));
            match there.find(hash_key(row, there.key()), row, there.key()) {
                Some(old) => (own..).zip(added).for_each(|(at, c)| builder.copy(old, at, c.ty.in_tail())),
                None => values.iter().for_each(|value| builder.push(value.datum())),
            }
            wide.push(builder.finish());
        }
        Ok(wide)
    }

    /// What the columns that came after `older` hold in rows from before, up to `newest`.
    fn values_since(&self, older: TableId, newest: TableId) -> Vec<&Literal> {
        let since = self.chain(newest).take_while(|spec| spec.id != older);
        let mut values: Vec<&[Literal]> = since
            .filter_map(|spec| spec.replaced.as_ref())
            .map(|replaced| replaced.values.as_slice())
            .collect();
        values.reverse();
        values.into_iter().flatten().collect()
    }

    /// A table, the one that it replaces, the one that this replaces, ...
    fn chain(&self, table: TableId) -> impl Iterator<Item = &TableSpec> {
        let spec = |table: TableId| self.plan.tables[table.0 as usize].as_ref();
        std::iter::successors(Some(spec(table)), move |at| {
            at.replaced.as_ref().map(|replaced| spec(replaced.table))
        })
    }

    /// The nodes of the tables that a table replaces, as far as they are still read.
    fn nodes_behind(&self, table: TableId) -> impl Iterator<Item = usize> {
        let nodes = self.chain(table).skip(1).map(|spec| spec.node.index());
        nodes.filter(|node| matches!(self.nodes[*node].state, State::Table(_)))
    }

    /// The nodes of all tables that a write to `table` changes.
    pub(crate) fn nodes_written(&self, table: TableId) -> impl Iterator<Item = usize> {
        let known = self.plan.tables.get(table.0 as usize).map(|_| self.newest(table));
        let newest = known.map(|table| self.plan.tables[table.0 as usize].node.index());
        newest.into_iter().chain(known.into_iter().flat_map(|table| self.nodes_behind(table)))
    }

    /// Makes sure that what a write brings finds room in the tables that its table replaces.
    pub(crate) fn check_room_behind(&self, table: TableId, rows: &[u8]) -> Result<(), WriteError> {
        for node in self.nodes_behind(table) {
            if let State::Table(older) = &self.nodes[node].state {
                older.check_room(rows.len())?;
            }
        }
        Ok(())
    }

    /// Passes a write on to the tables that its table replaces.
    pub(crate) fn write_behind(&mut self, table: TableId, kind: WriteKind, rows: &[u8]) {
        let nodes: Vec<usize> = self.nodes_behind(table).collect();
        for node in nodes {
            let Node { state: State::Table(older), output, .. } = &mut self.nodes[node] else {
                unreachable!("it has been found before")
            };
            let written = match kind {
                WriteKind::Delete => older.write(kind, rows, output),
                _ => older.write(kind, &older.narrowed(rows).rows, output),
            };
            written.expect("both have the same keys, and there is room");
        }
    }
}
