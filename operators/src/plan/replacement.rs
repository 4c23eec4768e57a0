//! Tables that take the place of others: the same rows, with more columns.
//!
//! A shard that installs such a table gives it the rows of the older one, in one step, during which it does nothing else. From
//! then on writes go to the new table, whichever of the two they name, and each is passed on to the older one, without the
//! columns that this does not have; so what reads the older table goes on as if nothing had happened. When nothing reads it
//! any more it is dropped.
//!
//! Both have the same primary key, so a row stays on its shard and every write means the same to both. While there are
//! readers of the older table its rows are kept twice.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use super::{Column, Operator, OperatorId, Plan, PlanBuilder, Stream, TableId, TableSpec, ViewSpec};
use crate::error::PlanError;
use crate::expr::Literal;

/// What the new columns hold in the rows that are there before them takes at most so many bytes, so that every row has room
/// for it.
const VALUES_BYTES_MAX: usize = 64 << 10;

/// The table whose place another takes.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Replaced {
    /// Its number.
    pub table: TableId,
    /// What the columns that it does not have, the last ones, hold in its rows.
    pub values: Vec<Literal>,
}

impl PlanBuilder {
    /// A table in the place of `table`: its rows, with more columns, which hold these values. Who reads the older table goes on
    /// doing so; it is dropped when no view does.
    pub fn replace_table(
        &mut self,
        table: TableId,
        name: &str,
        added: &[(Column, Literal)],
    ) -> Result<Stream, PlanError> {
        let older =
            self.plan().tables.get(table.0 as usize).filter(|spec| !self.plan().is_dropped(spec.node));
        let Some(older) = older else {
            return Err(PlanError::invalid(format!("there is no table {}", table.0)));
        };
        let mut columns = older.columns.clone();
        columns.extend(added.iter().map(|(column, _)| column.clone()));
        let names = older.key.iter().map(|at| older.columns[usize::from(*at)].name.clone());
        let names: Vec<String> = names.collect();
        let key: Vec<&str> = names.iter().map(String::as_str).collect();
        let values = added.iter().map(|(_, value)| value.clone()).collect();
        self.table_after(name, &columns, &key, Some(Replaced { table, values }))
    }
}

impl Plan {
    /// By [`TableId`]: the table that has taken its place.
    pub fn successors(&self) -> Vec<Option<TableId>> {
        let mut successors = vec![None; self.tables.len()];
        self.replacements().for_each(|(older, by)| successors[older.0 as usize] = Some(by));
        successors
    }

    /// The tables that others have replaced, with these.
    fn replacements(&self) -> impl Iterator<Item = (TableId, TableId)> {
        self.tables.iter().filter_map(|spec| spec.replaced.as_ref().map(|older| (older.table, spec.id)))
    }

    /// The first of the tables that this one has the rows of, itself if it replaces none.
    pub fn original(&self, table: TableId) -> TableId {
        let mut at = table;
        while let Some(replaced) = self.tables.get(at.0 as usize).and_then(|spec| spec.replaced.as_ref()) {
            at = replaced.table;
        }
        at
    }

    /// Whether an operator sends the changes of a table that had rows from its beginning.
    pub(crate) fn begins_with_rows(&self, id: OperatorId) -> bool {
        match self.nodes.get(id.index()).map(|node| &node.operator) {
            Some(Operator::Table(table)) => {
                self.tables.get(table.0 as usize).is_some_and(|spec| spec.replaced.is_some())
            }
            _ => false,
        }
    }

    /// Whether a view reads the table of an operator where it lies.
    pub(crate) fn reads_in_place(&self, id: OperatorId, view: &ViewSpec) -> bool {
        match self.nodes.get(id.index()).map(|node| &node.operator) {
            Some(Operator::Table(table)) if !view.ordered => {
                self.tables.get(table.0 as usize).is_some_and(|spec| spec.key == view.key)
            }
            _ => false,
        }
    }
}

/// Checks that a table can take the place of the one that it names.
pub(super) fn check_replaced(plan: &Plan, spec: &TableSpec) -> Result<(), PlanError> {
    let Some(Replaced { table, values }) = &spec.replaced else { return Ok(()) };
    let invalid = |why: &str| Err(PlanError::invalid(format!("it cannot replace table {}: {why}", table.0)));
    let Some(older) = plan.tables.get(table.0 as usize).filter(|_| table.0 < spec.id.0) else {
        return invalid("there is none before it");
    };
    if !spec.columns.starts_with(&older.columns) || spec.key != older.key {
        return invalid("it begins with other columns, or has another key");
    }
    let added = &spec.columns[older.columns.len()..];
    let fits = |(column, value): (&Column, &Literal)| match value.kind() {
        None => column.nullable,
        Some(ty) => ty == column.ty,
    };
    if added.is_empty() || added.len() != values.len() || !added.iter().zip(values).all(fits) {
        return invalid("the values do not fit its new columns");
    }
    let bytes = |value: &Literal| match value {
        Literal::Text(text) => text.len(),
        Literal::Bytes(bytes) => bytes.len(),
        _ => 16,
    };
    if values.iter().map(bytes).sum::<usize>() > VALUES_BYTES_MAX {
        return invalid("the values of its new columns are too large");
    }
    if plan.replacements().any(|(older, by)| older == *table && by < spec.id) {
        return invalid("another one has done so");
    }
    Ok(())
}
