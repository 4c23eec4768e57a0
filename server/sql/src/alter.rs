//! ALTER TABLE: what it does one after another, in the order of PostgreSQL, as one entry of the catalogue.

use crate::add_column::add_columns;
use crate::alter_column::alter_column;
use crate::catalog::{Catalog, Change, Entry, Extension, Object};
use crate::constraint::{add_constraints, drop_constraint};
use crate::define::{Definition, named_column};
use crate::drop_column::{Drop, drop_column};
use crate::error::{Result, SqlError};
use crate::names::{fold, object_name};
use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, DropBehavior, Ident,
    RenameTableNameKind, TableConstraint,
};

/// One thing that is done to a table.
enum Step<'a> {
    DropColumn(Drop<'a>),
    /// With whether it is fine that there is none.
    DropConstraint(&'a Ident, bool),
    AlterColumn(&'a Ident, &'a AlterColumnOperation),
    /// With whether it is fine that the column is there.
    AddColumns(Vec<(&'a ColumnDef, bool)>),
    AddConstraints(Vec<&'a TableConstraint>),
}

/// ALTER TABLE.
pub(crate) fn alter_table(catalog: &Catalog, alter: &AlterTable, sql: &str) -> Result<Definition> {
    let name = object_name(&alter.name)?;
    let object = match catalog.find(&name) {
        None if alter.if_exists => {
            return Ok(Definition::Nothing(format!("relation {name:?} does not exist, skipping")));
        }
        _ => catalog.object(&name)?,
    };
    if let [operation] = alter.operations.as_slice()
        && let Some(renamed) = rename(catalog, object, operation, sql)?
    {
        return Ok(renamed);
    }
    let steps = steps(&alter.operations)?;
    if object.table().is_none() {
        return Err(SqlError::new("42809", format!("{name:?} is not a table")));
    }
    match steps.as_slice() {
        [step] => step.define(catalog, &name, sql),
        steps => in_turn(catalog, &name, steps, sql),
    }
}

/// What is to be done, in its order.
fn steps(operations: &[AlterTableOperation]) -> Result<Vec<Step<'_>>> {
    let (mut steps, mut added, mut set, mut constraints) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for operation in operations {
        match operation {
            AlterTableOperation::DropColumn { column_names, if_exists, drop_behavior, .. } => {
                let cascade = *drop_behavior == Some(DropBehavior::Cascade);
                let drop = |name| Step::DropColumn(Drop { name, if_exists: *if_exists, cascade });
                steps.extend(column_names.iter().map(drop));
            }
            AlterTableOperation::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
                added.push((column_def, *if_not_exists));
            }
            AlterTableOperation::DropConstraint { if_exists, name, .. } => {
                steps.push(Step::DropConstraint(name, *if_exists));
            }
            AlterTableOperation::AlterColumn { column_name, op } => match op {
                AlterColumnOperation::SetDefault { .. } | AlterColumnOperation::SetNotNull => {
                    set.push(Step::AlterColumn(column_name, op));
                }
                _ => steps.push(Step::AlterColumn(column_name, op)),
            },
            AlterTableOperation::AddConstraint { constraint, .. } => constraints.push(constraint),
            AlterTableOperation::OwnerTo { .. } => {}
            other => {
                return Err(SqlError::unsupported(format!("ALTER TABLE ... {other}"))
                    .hint("Make a new table, and INSERT INTO it SELECT ... FROM the old one."));
            }
        }
    }
    // All columns are added at once: a table takes the place of another once in an entry.
    steps.extend((!added.is_empty()).then_some(Step::AddColumns(added)));
    steps.extend(set);
    if steps.is_empty() || !constraints.is_empty() {
        steps.push(Step::AddConstraints(constraints));
    }
    Ok(steps)
}

impl Step<'_> {
    fn define(&self, catalog: &Catalog, table: &str, sql: &str) -> Result<Definition> {
        let object = catalog.object(table)?;
        match self {
            Step::DropColumn(drop) => drop_column(catalog, object, drop, sql),
            Step::AddColumns(added) => {
                let is_new = |(column, or_not): &&(&ColumnDef, bool)| {
                    !or_not || object.column(&fold(&column.name)).is_none()
                };
                let added: Vec<&ColumnDef> = added.iter().filter(is_new).map(|(column, _)| *column).collect();
                add_columns(catalog, object, &added, sql)
            }
            Step::DropConstraint(name, if_exists) => {
                drop_constraint(catalog, object, &fold(name), *if_exists, sql)
            }
            Step::AlterColumn(name, operation) => alter_column(catalog, object, name, operation, sql),
            Step::AddConstraints(constraints) => add_constraints(catalog, object, constraints, sql),
        }
    }
}

/// The entry of several steps, each of which finds what those before it have made.
fn in_turn(catalog: &Catalog, table: &str, steps: &[Step<'_>], sql: &str) -> Result<Definition> {
    let mut after = catalog.clone();
    let (mut changes, mut warnings, mut notices) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        match step.define(&after, table, sql)? {
            Definition::Nothing(notice) => notices.push(notice),
            Definition::Entry(entry) => {
                after.apply(&entry)?;
                changes.push(entry.change);
                warnings.extend(entry.warnings);
            }
        }
    }
    if changes.is_empty() {
        return Ok(Definition::Nothing(notices.join("; ")));
    }
    let extension = Extension::between(catalog.plan(), after.plan());
    let change = Change::Several(changes);
    Ok(Definition::Entry(Box::new(Entry { sql: sql.to_owned(), change, extension, warnings })))
}

/// Another name, if that is what is asked for.
fn rename(
    catalog: &Catalog,
    object: &Object,
    operation: &AlterTableOperation,
    sql: &str,
) -> Result<Option<Definition>> {
    let name = object.name.clone();
    let change = match operation {
        AlterTableOperation::RenameTable { table_name } => {
            let (RenameTableNameKind::To(to) | RenameTableNameKind::As(to)) = table_name;
            let to = object_name(to)?;
            if catalog.is_taken(&to) {
                return Err(SqlError::new("42P07", format!("relation {to:?} already exists")));
            }
            refuse_by_name(catalog, &name)?;
            Change::Rename { from: name, to }
        }
        AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
            let column = named_column(&object.columns, &fold(old_column_name))?;
            let to = crate::names::new_name(new_column_name)?;
            if object.column(&to).is_some() {
                return Err(SqlError::new("42701", format!("column {to:?} already exists")));
            }
            refuse_by_name(catalog, &name)?;
            if !object.checks.is_empty() {
                return Err(SqlError::unsupported("another name for a column of a table with a CHECK"));
            }
            Change::RenameColumn { table: name, column, to }
        }
        _ => return Ok(None),
    };
    catalog.entry(sql, change, catalog.builder()).map(Some)
}

/// A view without rows of its own names what it reads in its text.
fn refuse_by_name(catalog: &Catalog, name: &str) -> Result<()> {
    let dependents = catalog.dependents(name);
    let by_text = |other: &&String| catalog.find(other).is_some_and(|object| object.kind_name() == "view");
    match dependents.iter().find(by_text) {
        Some(view) => Err(SqlError::unsupported(format!("another name for what the view {view:?} reads"))
            .hint("Drop the view first.")),
        None => Ok(()),
    }
}
