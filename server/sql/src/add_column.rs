//! ALTER TABLE ... ADD COLUMN: a table of the engine with more columns takes the place of the old one.
//!
//! The new table has the rows of the old one from its beginning, and the ways to find rows are made anew over it. What views
//! were made from goes on reading the old table, which gets every write as well, until the last of these views is dropped;
//! so their rows are there throughout, and the rows of such a table are kept twice meanwhile.

use crate::catalog::{
    AccessPath, AddedColumns, Catalog, Change, ColumnDef, DefaultValue, Object, ObjectKind,
};
use crate::constraint::Constraints;
use crate::define::{Definition, column_def, default_value, kept};
use crate::error::{Result, SqlError};
use operators::expr::Literal;
use operators::{Column, TableId};
use sqlparser::ast::ColumnDef as Ast;
use std::time::{SystemTime, UNIX_EPOCH};

/// Adds columns behind those that a table has.
pub(crate) fn add_columns(
    catalog: &Catalog,
    object: &Object,
    added: &[&Ast],
    sql: &str,
) -> Result<Definition> {
    let Some((table, _)) = object.table() else {
        return Err(SqlError::new("42809", format!("{:?} is not a table", object.name)));
    };
    if added.is_empty() {
        return Ok(Definition::Nothing("the columns are there already, skipping".to_owned()));
    }
    refuse_by_stars(catalog, object)?;
    let mut columns = object.columns.clone();
    for ast in added {
        let def = new_column(ast, columns.len())?;
        if columns.iter().any(|other| other.name == def.name) {
            let message = format!("column {:?} of relation {:?} already exists", def.name, object.name);
            return Err(SqlError::new("42701", message).at(ast.name.span));
        }
        columns.push(def);
    }
    let new = &mut columns[object.columns.len()..];
    let values = first_values(new)?;
    let mut constraints = Constraints::more(object);
    for ast in added {
        constraints.of_column(&columns, ast)?;
    }
    widen(catalog, object, table, columns, values, constraints, sql)
}

/// The entry of a table with these columns, the last of which have these values in the rows that are there.
fn widen(
    catalog: &Catalog,
    object: &Object,
    table: TableId,
    columns: Vec<ColumnDef>,
    values: Vec<Literal>,
    constraints: Constraints,
    sql: &str,
) -> Result<Definition> {
    let mut builder = catalog.builder();
    let added = columns[object.columns.len()..].to_vec();
    let mut engine: Vec<(Column, Literal)> = Vec::new();
    let there = &catalog.plan().tables[table.0 as usize].columns;
    for (def, value) in added.iter().zip(values) {
        // The engine goes on with the first name of a column that has another one now.
        let is_free = |name: &String| {
            !there.iter().chain(engine.iter().map(|(column, _)| column)).any(|other| other.name == *name)
        };
        let numbered = (2u32..).map(|number| format!("{}#{number}", def.name));
        let name = std::iter::once(def.name.clone()).chain(numbered).find(is_free).expect("numbers go on");
        engine.push((Column { name, ty: def.ty.engine(), nullable: def.nullable }, value));
    }
    let number = catalog.plan().tables.len() as u32;
    let stream = builder.replace_table(table, &catalog.plan_name(&object.name), &engine)?;
    let mut paths: Vec<AccessPath> = Vec::new();
    for path in &object.paths {
        let columns = builder.columns(stream);
        let names: Vec<String> = path.key.iter().map(|at| columns[usize::from(*at)].name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let order = catalog.view(path).order.clone();
        let name = catalog.plan_name(&path.name);
        let view = kept(&mut builder, &name, stream, (&names, &order), path.ordered)?;
        paths.push(AccessPath { view: view.0, ..path.clone() });
    }
    paths.extend(constraints.paths(catalog, &columns, stream, &mut builder)?);
    for path in &object.paths {
        builder.drop_view(&catalog.view(path).name)?;
    }
    let change = Change::AddColumns(Box::new(AddedColumns {
        table: object.name.clone(),
        number,
        columns: added,
        checks: constraints.checks,
        references: constraints.references,
        paths,
    }));
    Ok(catalog.entry(sql, change, builder)?.warning(constraints.warnings))
}

fn new_column(ast: &Ast, at: usize) -> Result<ColumnDef> {
    let mut key = Vec::new();
    let def = column_def(ast, &mut key, at as u16)?;
    if !key.is_empty() {
        return Err(SqlError::unsupported("PRIMARY KEY of a column that is added"));
    }
    Ok(def)
}

/// What the rows that are there hold in new columns. A default that is the time is that of the statement.
fn first_values(columns: &[ColumnDef]) -> Result<Vec<Literal>> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let value = |def: &ColumnDef| {
        if matches!(def.default, Some(DefaultValue::Number | DefaultValue::Uuid)) {
            return Err(SqlError::unsupported(format!(
                "the column {:?} with another value in each row that is there",
                def.name
            )));
        }
        match default_value(def, now) {
            Literal::Null if !def.nullable => {
                let message = format!("column {:?} contains null values", def.name);
                Err(SqlError::new("23502", message).hint("Give it a DEFAULT, or let it be NULL."))
            }
            value => Ok(value),
        }
    };
    columns.iter().map(value).collect()
}

/// A view without rows of its own is kept as its text, in which a star would stand for more columns from now on.
fn refuse_by_stars(catalog: &Catalog, table: &Object) -> Result<()> {
    let has_star = |object: &&Object| match &object.kind {
        ObjectKind::View { query } => {
            object.depends.contains(&table.name) && query.to_lowercase().replace("count(*)", "").contains('*')
        }
        _ => false,
    };
    match catalog.objects().iter().find(has_star) {
        Some(view) => Err(SqlError::unsupported(format!(
            "another column for what the view {:?} reads by a star",
            view.name
        ))
        .hint("Drop the view first, or name the columns in it.")),
        None => Ok(()),
    }
}
