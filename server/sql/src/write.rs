//! INSERT, UPDATE and DELETE.

use crate::catalog::{Catalog, ColumnDef, DefaultValue, Object};
use crate::define::default_value;
use crate::error::{Result, SqlError};
use crate::evaluate::{Cell, Context, check_parameters};
use crate::expression::Binder;
use crate::names::{fold, object_name};
use crate::parameters::Parameters;
use crate::scope::Scope;
use crate::sql_type::SqlType;
use crate::text;
use crate::typed::{Ty, Typed, cast};
use operators::expr::{Expr, Literal};
use operators::{Row, RowBuilder, Rows, TableId, WriteKind};
use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Expr as Ast, Insert, OnConflictAction, OnInsert, SetExpr,
    Spanned, TableObject, Value,
};
use std::collections::HashSet;

/// What becomes of an inserted row whose key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The statement fails.
    Error,
    /// The row replaces it.
    Replace,
}

/// New rows for a table.
#[derive(Debug, Clone)]
pub struct Write {
    /// The table.
    pub table: TableId,
    /// Its name, for messages.
    pub name: String,
    /// Insert, or upsert for [`Conflict::Replace`].
    pub kind: WriteKind,
    /// What becomes of rows whose keys are there.
    pub conflict: Conflict,
    columns: Vec<ColumnDef>,
    key: Vec<u16>,
    /// One cell a column; none takes the default.
    rows: Vec<Vec<Option<Cell>>>,
    parameters: Vec<SqlType>,
}

impl Write {
    /// The rows, checked against the columns.
    ///
    /// # Errors
    ///
    /// A value that its column does not take; 21000 if two rows that replace others have the same key.
    pub fn rows(&self, context: &Context<'_>) -> Result<Rows> {
        check_parameters(&self.parameters, context)?;
        let mut rows = Rows::new();
        let mut builder = RowBuilder::new();
        let mut keys = HashSet::new();
        let may_clash = self.conflict == Conflict::Replace && self.rows.len() > 1;
        for cells in &self.rows {
            builder.start(self.columns.len());
            for (column, cell) in self.columns.iter().zip(cells) {
                let value = match cell {
                    Some(cell) => cell.value(None, context)?,
                    None => default_value(column, context.now),
                };
                builder.push(checked(&self.name, column, value)?.datum());
            }
            let row = builder.finish();
            if may_clash && !keys.insert(key_of(row, &self.key, &self.columns)) {
                return Err(changed_twice());
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

/// The key of a row, as a row of its own.
pub(crate) fn key_of(row: Row<'_>, key: &[u16], columns: &[ColumnDef]) -> Vec<u8> {
    let mut builder = RowBuilder::new();
    builder.start(key.len());
    for at in key {
        let at = usize::from(*at);
        builder.copy(row, at, columns[at].ty.engine().in_tail());
    }
    builder.finish().bytes_all().to_vec()
}

/// What ON CONFLICT DO UPDATE fails with where two new rows have the same key.
pub(crate) fn changed_twice() -> SqlError {
    SqlError::new("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time")
        .hint("Two of the rows to be inserted have the same key.")
}

/// A value as the column takes it.
pub(crate) fn checked(table: &str, column: &ColumnDef, value: Literal) -> Result<Literal> {
    let ColumnDef { name, ty, nullable, .. } = column;
    if value == Literal::Null && !nullable {
        return Err(null(table, name));
    }
    text::fit(*ty, value).map_err(|error| {
        let detail = format!("Column {name:?} of {table:?}.");
        error.detail(detail)
    })
}

/// A column that must not be NULL would be.
pub(crate) fn null(table: &str, column: &str) -> SqlError {
    let message =
        format!("null value in column {column:?} of relation {table:?} violates not-null constraint");
    SqlError::new("23502", message)
}

/// An expression for a column: what SQL converts on assignment is more than elsewhere, and checked when it is run.
pub(crate) fn assigned(typed: Typed, to: SqlType, parameters: &Parameters) -> Result<Expr> {
    let from = match typed.ty {
        Ty::Known(from) => from,
        Ty::Literal | Ty::Parameter(_) => return typed.convert(to, parameters),
    };
    let numbers = from.is_number() && to.is_number();
    let times = from.is_time() && to.is_time();
    if from.bare() == to.bare() {
        return Ok(typed.expr);
    }
    if numbers || times {
        let same = from.engine() == to.engine();
        return Ok(if same { typed.expr } else { typed.expr.cast(to.engine()) });
    }
    if to.is_text() {
        return Ok(cast(typed, SqlType::Text, parameters)?.expr);
    }
    Err(SqlError::types(format!("a column of type {to} cannot take an expression of type {from}"))
        .hint(format!("Add a cast: CAST(... AS {to}).")))
}

pub(crate) fn table_of<'c>(
    catalog: &'c Catalog,
    name: &str,
    verb: &str,
) -> Result<(&'c Object, TableId, Vec<u16>)> {
    let object = catalog.object(name)?;
    match object.table() {
        Some((table, key)) => Ok((object, table, key.to_vec())),
        None => Err(SqlError::new("42809", format!("cannot {verb} {} {name:?}", object.kind_name()))
            .hint("Write to the tables that it is made from.")),
    }
}

/// INSERT of rows that are written at once; none if it takes several steps.
pub(crate) fn insert(catalog: &Catalog, insert: &Insert, parameters: &Parameters) -> Result<Option<Write>> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(SqlError::unsupported("an INSERT into anything but a table"));
    };
    let (object, table, key) = table_of(catalog, &object_name(name)?, "insert into")?;
    let counts =
        |column: &ColumnDef| matches!(column.default, Some(DefaultValue::Number | DefaultValue::Uuid));
    let list: &[_] = match insert.source.as_deref().map(|query| &*query.body) {
        Some(SetExpr::Values(values)) => &values.rows,
        _ => return Ok(None),
    };
    let Some(conflict) = conflict(object, &key, insert.on.as_ref()) else { return Ok(None) };
    let steps = insert.returning.is_some() || insert.table_alias.is_some() || !object.checks.is_empty();
    if steps || object.columns.iter().any(counts) {
        return Ok(None);
    }
    let targets = insert_columns(object, insert)?;
    let nothing = Scope::default();
    let binder = Binder::new(&nothing, parameters);
    let mut exprs: Vec<Vec<Option<Expr>>> = Vec::new();
    for row in list {
        exprs.push(insert_row(&binder, object, &targets, insert.columns.is_empty(), row)?);
    }
    let cell = |expr: &Option<Expr>| expr.as_ref().map(|e| Cell::new(e, &[], parameters)).transpose();
    Ok(Some(Write {
        table,
        name: object.name.clone(),
        kind: if conflict == Conflict::Replace { WriteKind::Upsert } else { WriteKind::Insert },
        conflict,
        columns: object.columns.clone(),
        key,
        rows: exprs
            .iter()
            .map(|row| row.iter().map(cell).collect::<Result<Vec<_>>>())
            .collect::<Result<_>>()?,
        parameters: parameters.types(),
    }))
}

pub(crate) fn insert_columns(object: &Object, insert: &Insert) -> Result<Vec<usize>> {
    if insert.columns.is_empty() {
        return Ok(object.shown_columns().map(|(at, _)| at).collect());
    }
    let mut targets = Vec::new();
    for name in &insert.columns {
        let at = column(object, &object_name(name)?).map_err(|error| error.at(name.span()))?;
        if targets.contains(&at) {
            return Err(SqlError::new("42701", format!("column {name} specified more than once")));
        }
        targets.push(at);
    }
    Ok(targets)
}

pub(crate) fn column(object: &Object, name: &str) -> Result<usize> {
    object.column(name).ok_or_else(|| {
        let there: Vec<&str> = object.shown_columns().map(|(_, column)| column.name.as_str()).collect();
        let message = format!("column {name:?} of relation {:?} does not exist", object.name);
        SqlError::new("42703", message).hint(format!("There are: {}.", there.join(", ")))
    })
}

pub(crate) fn insert_row(
    binder: &Binder<'_>,
    object: &Object,
    targets: &[usize],
    may_be_short: bool,
    row: &[Ast],
) -> Result<Vec<Option<Expr>>> {
    if row.len() > targets.len() || row.len() < targets.len() && !may_be_short {
        let which = if row.len() > targets.len() { "more" } else { "fewer" };
        return Err(SqlError::syntax(format!("INSERT has {which} expressions than target columns")));
    }
    let mut cells: Vec<Option<Expr>> = vec![None; object.columns.len()];
    for (at, ast) in targets.iter().zip(row) {
        cells[*at] = value_for(binder, &object.columns[*at], ast)?;
    }
    Ok(cells)
}

/// Whether a value is written DEFAULT.
pub(crate) fn is_default(ast: &Ast) -> bool {
    matches!(ast, Ast::Identifier(name)
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default"))
}

/// The expression for a column; none for DEFAULT.
pub(crate) fn value_for(binder: &Binder<'_>, column: &ColumnDef, ast: &Ast) -> Result<Option<Expr>> {
    if is_default(ast) {
        return Ok(None);
    }
    let expr = binder.bind(ast).and_then(|typed| assigned(typed, column.ty, binder.parameters));
    expr.map(Some).map_err(|error| {
        let named = if error.detail.is_none() {
            error.detail(format!("Column {:?} is of type {}.", column.name, column.ty))
        } else {
            error
        };
        named.at(ast.span())
    })
}

/// What becomes of rows whose keys are there; none if that takes several steps to find out.
fn conflict(object: &Object, key: &[u16], on: Option<&OnInsert>) -> Option<Conflict> {
    let on = match on {
        None => return Some(Conflict::Error),
        Some(OnInsert::OnConflict(on)) => on,
        Some(_) => return None,
    };
    let (Some(ConflictTarget::Columns(names)), OnConflictAction::DoUpdate(update)) =
        (&on.conflict_target, &on.action)
    else {
        return None;
    };
    let mut given: Vec<Option<usize>> = names.iter().map(|name| object.column(&fold(name))).collect();
    let mut key_columns: Vec<Option<usize>> = key.iter().map(|at| Some(usize::from(*at))).collect();
    given.sort_unstable();
    key_columns.sort_unstable();
    let whole = replaced_columns(object, &update.assignments);
    let all_else = object.shown_columns().all(|(at, _)| whole.contains(&at) != key.contains(&(at as u16)));
    let replaces = given == key_columns && all_else && whole.len() == update.assignments.len();
    (replaces && update.selection.is_none()).then_some(Conflict::Replace)
}

/// The columns that are set to the value that was to be inserted.
fn replaced_columns(object: &Object, assignments: &[Assignment]) -> Vec<usize> {
    let mut replaced = Vec::new();
    for assignment in assignments {
        let Some(at) = target(assignment).ok().and_then(|name| object.column(&name)) else { continue };
        let excluded = match &assignment.value {
            Ast::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] => fold(table) == "excluded" && fold(name) == object.columns[at].name,
                _ => false,
            },
            _ => false,
        };
        if excluded && !replaced.contains(&at) {
            replaced.push(at);
        }
    }
    replaced
}

pub(crate) fn target(assignment: &Assignment) -> Result<String> {
    match &assignment.target {
        AssignmentTarget::ColumnName(name) => object_name(name),
        AssignmentTarget::Tuple(_) => Err(SqlError::unsupported("SET (a, b) = ...")),
    }
}

/// Whether a LIMIT or OFFSET is written NULL, which is as if it were not there.
pub(crate) fn is_null_constant(ast: &Ast) -> bool {
    matches!(ast, Ast::Value(value) if value.value == Value::Null)
}
