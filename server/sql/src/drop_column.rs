//! ALTER TABLE ... DROP COLUMN: the catalogue does not show the column any more, and the engine keeps it.
//!
//! New rows hold nothing in its place: NULL, or where the engine knows that there is none a value like it. Old rows keep what they
//! hold, and a write of a whole row keeps it too, so a row still is what it was read as. The places of the other columns stay,
//! and a column that is added later has a place of its own, whatever its name.
//!
//! As in PostgreSQL the indexes and constraints that the column is part of go with it, and what is made from it stands in the way.

use crate::catalog::{Catalog, Change, Check, ColumnDef, DroppedColumn, Object, ObjectKind, Reference};
use crate::change::parse_expr;
use crate::columns::columns_of;
use crate::define::{Definition, drop_operators};
use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::lookup::object_scope;
use crate::names::fold;
use crate::parameters::Parameters;
use crate::planner::Planner;
use operators::{TableId, ViewId};
use sqlparser::ast::Ident;

/// `DROP COLUMN [IF EXISTS] name [CASCADE]`.
pub(crate) struct Drop<'a> {
    pub(crate) name: &'a Ident,
    pub(crate) if_exists: bool,
    pub(crate) cascade: bool,
}

/// Drops a column of a table.
pub(crate) fn drop_column(
    catalog: &Catalog,
    object: &Object,
    drop: &Drop<'_>,
    sql: &str,
) -> Result<Definition> {
    let Some((table, key)) = object.table() else {
        return Err(SqlError::new("42809", format!("{:?} is not a table", object.name)));
    };
    let name = fold(drop.name);
    if drop.if_exists && object.column(&name).is_none() {
        let notice = format!("column {name:?} of relation {:?} does not exist, skipping", object.name);
        return Ok(Definition::Nothing(notice));
    }
    let at = crate::write::column(object, &name).map_err(|error| error.at(drop.name.span))?;
    if key.contains(&(at as u16)) {
        return Err(SqlError::unsupported(format!("DROP COLUMN of {name:?}, which is in the primary key"))
            .detail("The primary key says which shard owns a row and which row a write means.")
            .hint("Make a new table, and INSERT INTO it SELECT ... FROM the old one."));
    }
    let readers = readers(catalog, object, table, at);
    let references = references_to(catalog, object, &name);
    let dependents = catalog.dependents(&object.name);
    let goes = |other: &String| {
        readers.iter().any(|reader| reader == other || catalog.dependents(reader).contains(other))
    };
    let gone: Vec<String> = dependents.iter().filter(|other| goes(other)).cloned().collect();
    if !drop.cascade {
        refuse_over(&name, object, &gone, &references)?;
    }
    let mut builder = catalog.builder();
    for other in &gone {
        drop_operators(catalog, catalog.object(other)?, &mut builder)?;
    }
    for path in object.paths.iter().filter(|path| path.key.contains(&(at as u16))) {
        builder.drop_view(&catalog.view(path).name)?;
    }
    let engine = &catalog.plan().tables[table.0 as usize].columns[at];
    let dropped = DroppedColumn {
        table: object.name.clone(),
        column: at as u16,
        name,
        left: ColumnDef::dropped(at, object.columns[at].ty, engine.nullable),
        checks: checks_of(object, at)?,
        references: references.into_iter().map(|(_, reference)| reference).collect(),
        dependents,
        gone,
    };
    catalog.entry(sql, Change::DropColumn(Box::new(dropped)), builder)
}

/// The views that are made from a column.
pub(crate) fn readers(catalog: &Catalog, table: &Object, id: TableId, at: usize) -> Vec<String> {
    let dependents = catalog.dependents(&table.name);
    let is_reader = |name: &String| {
        let object = catalog.find(name).expect("it depends on the table");
        match &object.kind {
            ObjectKind::Table { .. } => unreachable!("a table is made from nothing"),
            ObjectKind::MaterializedView => {
                catalog.plan().needs_column(ViewId(object.own_path().view), id, at as u16)
            }
            // It is kept as its text, so what the text means without the column is what counts.
            ObjectKind::View { .. } => {
                let parameters = Parameters::forbidden("a view");
                let mut planner = Planner::new(catalog, &parameters).without(table, at);
                planner.object(object).is_err()
            }
        }
    };
    dependents.into_iter().filter(is_reader).collect()
}

/// The references of other tables to a column, with the names of these tables.
fn references_to(catalog: &Catalog, table: &Object, column: &str) -> Vec<(String, Reference)> {
    let of_object = |object: &Object| -> Vec<(String, Reference)> {
        let found = object.references.iter().filter(|reference| {
            reference.table == table.name && reference.referred().any(|name| name == column)
        });
        found.map(|reference| (object.name.clone(), reference.clone())).collect()
    };
    catalog.objects().iter().flat_map(of_object).collect()
}

fn refuse_over(
    column: &str,
    object: &Object,
    gone: &[String],
    references: &[(String, Reference)],
) -> Result<()> {
    if gone.is_empty() && references.is_empty() {
        return Ok(());
    }
    let references = references.iter().map(|(table, reference)| format!("{} of {table}", reference.name));
    let all: Vec<String> = gone.iter().cloned().chain(references).collect();
    let message =
        format!("cannot drop column {column:?} of table {:?}: other objects depend on it", object.name);
    Err(SqlError::new("2BP01", message)
        .detail(format!("They are: {}.", all.join(", ")))
        .hint("Use DROP ... CASCADE to drop them too."))
}

/// The checks that read a column.
fn checks_of(object: &Object, at: usize) -> Result<Vec<Check>> {
    let scope = object_scope(object, None);
    let parameters = Parameters::forbidden("a CHECK");
    let binder = Binder::new(&scope, &parameters);
    let mut found = Vec::new();
    for check in &object.checks {
        let condition = binder.condition(&parse_expr(&check.condition)?)?;
        if columns_of(&condition).contains(&(at as u32)) {
            found.push(check.clone());
        }
    }
    Ok(found)
}
