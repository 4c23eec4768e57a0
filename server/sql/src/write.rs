//! INSERT, UPDATE and DELETE.

use crate::catalog::{Catalog, ColumnDef, Object};
use crate::define::default_value;
use crate::error::{Result, SqlError};
use crate::evaluate::{Cell, Context, Evaluator, check_parameters};
use crate::expression::{Binder, conjuncts};
use crate::lookup::{Cut, Lookup, Shown, find_key, object_scope};
use crate::names::{fold, object_name};
use crate::parameters::Parameters;
use crate::scope::Scope;
use crate::sql_type::SqlType;
use crate::text;
use crate::typed::{Ty, Typed, cast};
use operators::expr::{Expr, Literal, col_at};
use operators::{RowBuilder, Rows, TableId, WriteKind};
use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Delete, Expr as Ast, FromTable, Insert, OnConflictAction,
    OnInsert, SetExpr, Spanned, TableFactor, TableObject, TableWithJoins, Update, Value,
};

/// What becomes of an inserted row whose key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The statement fails.
    Error,
    /// The row is passed over: each row is to be written by itself, and a refusal for its key is no error.
    Nothing,
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
    /// One cell a column; none takes the default.
    rows: Vec<Vec<Option<Cell>>>,
    parameters: Vec<SqlType>,
}

impl Write {
    /// The rows, checked against the columns.
    pub fn rows(&self, context: &Context<'_>) -> Result<Rows> {
        check_parameters(&self.parameters, context)?;
        let mut rows = Rows::new();
        let mut builder = RowBuilder::new();
        for cells in &self.rows {
            builder.start(self.columns.len());
            for (column, cell) in self.columns.iter().zip(cells) {
                let value = match cell {
                    Some(cell) => cell.value(None, context)?,
                    None => default_value(column, context.now),
                };
                builder.push(checked(&self.name, column, value)?.datum());
            }
            rows.push(builder.finish());
        }
        Ok(rows)
    }
}

/// A value as the column takes it.
fn checked(table: &str, column: &ColumnDef, value: Literal) -> Result<Literal> {
    let ColumnDef { name, ty, nullable, .. } = column;
    if value == Literal::Null && !nullable {
        return Err(SqlError::new(
            "23502",
            format!("null value in column {name:?} of relation {table:?} violates not-null constraint"),
        ));
    }
    text::fit(*ty, value).map_err(|error| {
        let detail = format!("Column {name:?} of {table:?}.");
        error.detail(detail)
    })
}

/// Changes to rows that are there: those that `read` finds are replaced or removed.
#[derive(Debug, Clone)]
pub struct Modify {
    /// The table.
    pub table: TableId,
    /// Finds the rows, whole ones.
    pub read: Lookup,
    name: String,
    columns: Vec<ColumnDef>,
    key: Vec<u16>,
    /// The new row; none removes it.
    new: Option<Evaluator>,
}

impl Modify {
    /// Upsert for an UPDATE, else delete.
    pub fn kind(&self) -> WriteKind {
        if self.new.is_some() { WriteKind::Upsert } else { WriteKind::Delete }
    }

    /// What to write, made of what [`Lookup::result`] of `read` gave: as many rows as the statement changes.
    pub fn rows(&self, found: &Rows, context: &Context<'_>) -> Result<Rows> {
        let mut rows = Rows::new();
        let mut builder = RowBuilder::new();
        for row in found {
            match &self.new {
                Some(new) => {
                    builder.start(self.columns.len());
                    for (column, cell) in self.columns.iter().zip(&new.cells) {
                        let value = cell.value(Some(row), context)?;
                        builder.push(checked(&self.name, column, value)?.datum());
                    }
                }
                None => {
                    builder.start(self.key.len());
                    for at in &self.key {
                        let at = usize::from(*at);
                        builder.push(row.datum(at, self.columns[at].ty.engine()));
                    }
                }
            }
            rows.push(builder.finish());
        }
        Ok(rows)
    }
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

fn table_of<'c>(catalog: &'c Catalog, name: &str, verb: &str) -> Result<(&'c Object, TableId, Vec<u16>)> {
    let object = catalog.object(name)?;
    match object.table() {
        Some((table, key)) => Ok((object, table, key.to_vec())),
        None => Err(SqlError::new("42809", format!("cannot {verb} {} {name:?}", object.kind_name()))
            .hint("Write to the tables that it is made from.")),
    }
}

/// INSERT.
pub(crate) fn insert(catalog: &Catalog, insert: &Insert, parameters: &Parameters) -> Result<Write> {
    if insert.returning.is_some() {
        return Err(SqlError::unsupported("RETURNING"));
    }
    let TableObject::TableName(name) = &insert.table else {
        return Err(SqlError::unsupported("an INSERT into anything but a table"));
    };
    let (object, table, key) = table_of(catalog, &object_name(name)?, "insert into")?;
    let targets = insert_columns(object, insert)?;
    let list: &[_] = match insert.source.as_deref().map(|query| &*query.body) {
        None => &[],
        Some(SetExpr::Values(values)) => &values.rows,
        Some(_) => return Err(SqlError::unsupported("INSERT ... SELECT").hint("Insert VALUES.")),
    };
    let nothing = Scope::default();
    let binder = Binder::new(&nothing, parameters);
    let mut exprs: Vec<Vec<Option<Expr>>> = Vec::new();
    for row in list {
        exprs.push(insert_row(&binder, object, &targets, insert.columns.is_empty(), row)?);
    }
    if list.is_empty() {
        // DEFAULT VALUES
        exprs.push(vec![None; object.columns.len()]);
    }
    let conflict = conflict(object, &key, insert.on.as_ref())?;
    let cell = |expr: &Option<Expr>| expr.as_ref().map(|e| Cell::new(e, &[], parameters)).transpose();
    Ok(Write {
        table,
        name: object.name.clone(),
        kind: if conflict == Conflict::Replace { WriteKind::Upsert } else { WriteKind::Insert },
        conflict,
        columns: object.columns.clone(),
        rows: exprs
            .iter()
            .map(|row| row.iter().map(cell).collect::<Result<Vec<_>>>())
            .collect::<Result<_>>()?,
        parameters: parameters.types(),
    })
}

fn insert_columns(object: &Object, insert: &Insert) -> Result<Vec<usize>> {
    if insert.columns.is_empty() {
        return Ok((0..object.columns.len()).collect());
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

fn column(object: &Object, name: &str) -> Result<usize> {
    object.column(name).ok_or_else(|| {
        let there: Vec<&str> = object.columns.iter().map(|column| column.name.as_str()).collect();
        let message = format!("column {name:?} of relation {:?} does not exist", object.name);
        SqlError::new("42703", message).hint(format!("There are: {}.", there.join(", ")))
    })
}

fn insert_row(
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

/// The expression for a column; none for DEFAULT.
fn value_for(binder: &Binder<'_>, column: &ColumnDef, ast: &Ast) -> Result<Option<Expr>> {
    if let Ast::Identifier(name) = ast
        && name.quote_style.is_none()
        && name.value.eq_ignore_ascii_case("default")
    {
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

fn conflict(object: &Object, key: &[u16], on: Option<&OnInsert>) -> Result<Conflict> {
    let on = match on {
        None => return Ok(Conflict::Error),
        Some(OnInsert::OnConflict(on)) => on,
        Some(_) => return Err(SqlError::unsupported("ON DUPLICATE KEY UPDATE").hint("Use ON CONFLICT.")),
    };
    match &on.conflict_target {
        None => {}
        Some(ConflictTarget::Columns(names)) => {
            let mut given: Vec<u16> =
                names.iter().map(|name| Ok(column(object, &fold(name))? as u16)).collect::<Result<_>>()?;
            let mut key = key.to_vec();
            given.sort_unstable();
            key.sort_unstable();
            if given != key {
                return Err(SqlError::new(
                    "42P10",
                    "there is no unique constraint matching the ON CONFLICT specification",
                )
                .hint("Name the columns of the primary key."));
            }
        }
        Some(ConflictTarget::OnConstraint(name)) => {
            return Err(SqlError::unsupported(format!("ON CONFLICT ON CONSTRAINT {name}")));
        }
    }
    let update = match &on.action {
        OnConflictAction::DoNothing => return Ok(Conflict::Nothing),
        OnConflictAction::DoUpdate(update) if on.conflict_target.is_some() => update,
        OnConflictAction::DoUpdate(_) => {
            return Err(SqlError::syntax("ON CONFLICT DO UPDATE needs the columns of the key"));
        }
    };
    let whole = replaced_columns(object, &update.assignments)?;
    let all_else = (0..object.columns.len()).all(|at| whole.contains(&at) || key.contains(&(at as u16)));
    if update.selection.is_some() || !all_else {
        return Err(SqlError::unsupported("ON CONFLICT DO UPDATE of only some columns, or with WHERE")
            .hint("Set every column outside of the key to excluded.column."));
    }
    Ok(Conflict::Replace)
}

/// The columns that are set to the value that was to be inserted.
fn replaced_columns(object: &Object, assignments: &[Assignment]) -> Result<Vec<usize>> {
    let mut replaced = Vec::new();
    for assignment in assignments {
        let at = column(object, &target(assignment)?)?;
        let excluded = match &assignment.value {
            Ast::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] => fold(table) == "excluded" && fold(name) == object.columns[at].name,
                _ => false,
            },
            _ => false,
        };
        if !excluded {
            return Err(SqlError::unsupported(format!("ON CONFLICT DO UPDATE SET {assignment}"))
                .hint("Set every column outside of the key to excluded.column, or use UPDATE."));
        }
        replaced.push(at);
    }
    Ok(replaced)
}

fn target(assignment: &Assignment) -> Result<String> {
    match &assignment.target {
        AssignmentTarget::ColumnName(name) => object_name(name),
        AssignmentTarget::Tuple(_) => Err(SqlError::unsupported("SET (a, b) = ...")),
    }
}

/// The one table that a statement changes, and its alias.
fn only_table(tables: &[TableWithJoins]) -> Result<(String, Option<String>)> {
    match tables {
        [TableWithJoins { relation: TableFactor::Table { name, alias, args: None, .. }, joins }]
            if joins.is_empty() =>
        {
            Ok((object_name(name)?, alias.as_ref().map(|alias| fold(&alias.name))))
        }
        _ => Err(SqlError::unsupported("a change of several tables")),
    }
}

/// UPDATE of rows that the WHERE names by the primary key.
pub(crate) fn update(catalog: &Catalog, update: &Update, parameters: &Parameters) -> Result<Modify> {
    if update.from.is_some() || update.returning.is_some() || update.limit.is_some() {
        return Err(SqlError::unsupported("FROM, RETURNING and LIMIT in UPDATE"));
    }
    let (name, alias) = only_table(std::slice::from_ref(&update.table))?;
    let (object, table, key) = table_of(catalog, &name, "update")?;
    let scope = object_scope(object, alias);
    let binder = Binder::new(&scope, parameters);
    let mut new: Vec<(Expr, SqlType)> =
        object.columns.iter().enumerate().map(|(at, column)| (col_at(at as u32), column.ty)).collect();
    for assignment in &update.assignments {
        let at = column(object, &target(assignment)?)?;
        if key.contains(&(at as u16)) {
            return Err(SqlError::unsupported("an UPDATE of the primary key")
                .hint("Insert the new row and delete the old one."));
        }
        let column = &object.columns[at];
        new[at].0 = match value_for(&binder, column, &assignment.value)? {
            Some(expr) => expr,
            None => default_expr(column, parameters)?,
        };
    }
    let read = read(catalog, object, &binder, update.selection.as_ref(), "UPDATE")?;
    let new = Evaluator::new(&new, catalog.engine_columns(object), parameters)?;
    Ok(Modify { table, read, name, columns: object.columns.clone(), key, new: Some(new) })
}

fn default_expr(column: &ColumnDef, parameters: &Parameters) -> Result<Expr> {
    use crate::catalog::DefaultValue;
    Ok(match &column.default {
        None => Expr::Literal(Literal::Null),
        Some(DefaultValue::Constant(value)) => Expr::Literal(value.clone()),
        Some(DefaultValue::Now) => parameters.now()?.cast(column.ty.engine()),
    })
}

/// DELETE of rows that the WHERE names by the primary key.
pub(crate) fn delete(catalog: &Catalog, delete: &Delete, parameters: &Parameters) -> Result<Modify> {
    if delete.using.is_some() || delete.returning.is_some() || delete.limit.is_some() {
        return Err(SqlError::unsupported("USING, RETURNING and LIMIT in DELETE"));
    }
    let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
    let (name, alias) = only_table(tables)?;
    let (object, table, key) = table_of(catalog, &name, "delete from")?;
    let scope = object_scope(object, alias);
    let binder = Binder::new(&scope, parameters);
    let read = read(catalog, object, &binder, delete.selection.as_ref(), "DELETE")?;
    Ok(Modify { table, read, name, columns: object.columns.clone(), key, new: None })
}

/// Reads whole rows by any key of the table.
fn read(
    catalog: &Catalog,
    object: &Object,
    binder: &Binder<'_>,
    selection: Option<&Ast>,
    verb: &str,
) -> Result<Lookup> {
    let conditions = selection.map(conjuncts).unwrap_or_default();
    let keyed = find_key(catalog, object, binder, &conditions)?.ok_or_else(|| {
        let key = object.paths.first().map(|path| &path.key[..]).unwrap_or_default();
        let key: Vec<&str> = key.iter().map(|at| object.columns[usize::from(*at)].name.as_str()).collect();
        SqlError::unsupported(format!("{verb} without a key"))
            .detail(format!("The primary key of {:?} is ({}).", object.name, key.join(", ")))
            .hint("Compare every column of the key, or of an index, by = or IN.")
    })?;
    let columns = object.columns.iter().enumerate();
    let outputs: Vec<(Expr, SqlType)> = columns.map(|(at, column)| (col_at(at as u32), column.ty)).collect();
    let visible = outputs.len();
    let shown = Shown { outputs, visible, order: Vec::new(), cut: Cut::default() };
    Lookup::new(catalog, object, keyed, shown, binder.parameters)
}

/// Rows for a table from the texts of their columns, as COPY gives them; none is NULL.
#[derive(Debug, Clone)]
pub struct CopyIn {
    /// The table.
    pub table: TableId,
    name: String,
    columns: Vec<ColumnDef>,
    /// The columns that are given, in their order.
    targets: Vec<usize>,
}

impl CopyIn {
    /// For these columns of a table; all of them if none are named.
    pub fn new(catalog: &Catalog, table: &str, columns: &[String]) -> Result<CopyIn> {
        let (object, id, _) = table_of(catalog, table, "copy to")?;
        let targets = if columns.is_empty() {
            (0..object.columns.len()).collect()
        } else {
            columns.iter().map(|name| column(object, name)).collect::<Result<_>>()?
        };
        Ok(CopyIn { table: id, name: object.name.clone(), columns: object.columns.clone(), targets })
    }

    /// The columns that are given.
    pub fn types(&self) -> impl Iterator<Item = SqlType> {
        self.targets.iter().map(|at| self.columns[*at].ty)
    }

    /// Appends a row of values as text.
    pub fn push(
        &self,
        texts: &[Option<&str>],
        now: i64,
        builder: &mut RowBuilder,
        rows: &mut Rows,
    ) -> Result<()> {
        self.check_count(texts.len())?;
        let mut values = Vec::with_capacity(texts.len());
        for (at, text) in self.targets.iter().zip(texts) {
            let column = &self.columns[*at];
            values.push(match text {
                None => Literal::Null,
                Some(text) => text::parse(column.ty, text)
                    .map_err(|error| error.detail(format!("Column {:?} of {:?}.", column.name, self.name)))?,
            });
        }
        self.push_values(values, now, builder, rows)
    }

    /// Appends a row of values, each of its column's type.
    pub fn push_values(
        &self,
        given: Vec<Literal>,
        now: i64,
        builder: &mut RowBuilder,
        rows: &mut Rows,
    ) -> Result<()> {
        self.check_count(given.len())?;
        let mut values: Vec<Option<Literal>> = vec![None; self.columns.len()];
        for (at, value) in self.targets.iter().zip(given) {
            values[*at] = Some(value);
        }
        builder.start(self.columns.len());
        for (column, value) in self.columns.iter().zip(values) {
            let value = value.unwrap_or_else(|| default_value(column, now));
            builder.push(checked(&self.name, column, value)?.datum());
        }
        rows.push(builder.finish());
        Ok(())
    }

    fn check_count(&self, count: usize) -> Result<()> {
        if count == self.targets.len() {
            return Ok(());
        }
        Err(SqlError::new("22P04", format!("{count} columns where {} are needed", self.targets.len())))
    }
}

/// Whether a LIMIT or OFFSET is written NULL, which is as if it were not there.
pub(crate) fn is_null_constant(ast: &Ast) -> bool {
    matches!(ast, Ast::Value(value) if value.value == Value::Null)
}
