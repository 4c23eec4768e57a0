//! Writes that take several steps: UPDATE and DELETE of whatever a WHERE finds, INSERT of what a query gives, ON CONFLICT,
//! RETURNING, numbers that count by themselves. [`crate::work`] carries them out.
//!
//! An UPDATE is a query first: the columns of the table and the new values, over the rows that WHERE lets through. So
//! whatever a query can say, an UPDATE can, and what narrows a query down to a key does so here.
//!
//! # What others do meanwhile
//!
//! A statement reads, then writes whole rows by their primary keys: each only if it is still what was read. Where another session
//! has been faster, the statement looks at the row again, so no update is lost. All rows of one shard are written at once,
//! those of several shards by each for itself. An UPDATE of the primary key inserts the new rows first and removes the
//! old ones then: a front that dies in between leaves both.

use crate::catalog::{Catalog, ColumnDef, DefaultValue, Object};
use crate::constraint::Checks;
use crate::error::{Result, SqlError};
use crate::evaluate::{Cell, Context, Evaluator};
use crate::expression::Binder;
use crate::locking::Locking;
use crate::lookup::object_scope;
use crate::names::{fold, object_name};
use crate::numbers::BlockTable;
use crate::parameters::Parameters;
use crate::scan::{self, Scan};
use crate::scope::{Scope, ScopeColumn};
use crate::sql_type::SqlType;
use crate::statement::{Bound, Prepared, ResultColumn};
use crate::typed::Typed;
use crate::write::{assigned, checked, column, insert_columns, is_default, table_of, target, value_for};
use operators::expr::{Expr, Literal, col_at};
use operators::{Column, Row, RowBuilder, Rows, TableId, ViewId};
use sqlparser::ast::{
    Assignment, CastKind, ConflictTarget, Delete, Expr as Ast, FromTable, Ident, Insert, OnConflictAction,
    OnInsert, Query, Select, SelectItem, SetExpr, Statement, TableFactor, TableObject, TableWithJoins,
    Truncate, TruncateIdentityOption, Update, UpdateTableFromKind, Value,
};

/// What a statement does with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// TRUNCATE.
    Truncate,
}

/// A write that takes several steps. [`Change::start`] begins it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The table.
    pub table: TableId,
    /// Its name, for messages.
    pub name: String,
    /// What is done.
    pub verb: Verb,
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) key: Vec<u16>,
    /// Finds rows by the primary key.
    pub(crate) view: ViewId,
    pub(crate) input: Input,
    pub(crate) conflict: OnConflict,
    /// Over the rows written or removed.
    pub(crate) returning: Option<Evaluator>,
    pub(crate) checks: Checks,
    pub(crate) blocks: Option<BlockTable>,
    /// The table by whose number its counters are known: the first of those whose places it has taken.
    pub(crate) counted_as: u32,
    pub(crate) parameters: Vec<SqlType>,
    /// Subqueries that lock rows. They are run first, and what they give is told by [`Work::after`](crate::Work::after).
    pub locking: Vec<Locking>,
}

/// Where new rows come from, or the rows to be changed: one cell for each column of the table, none for its default.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    Values(Vec<Vec<Option<Cell>>>),
    /// The cells are over the rows of the query.
    Query {
        scan: Box<Scan>,
        cells: Vec<Option<Cell>>,
    },
}

/// What becomes of new rows whose keys are there.
#[derive(Debug, Clone)]
pub(crate) enum OnConflict {
    Error,
    Nothing,
    /// Both over the columns of the row that is there, then those of the new one.
    Update {
        set: Vec<(usize, Option<Cell>)>,
        condition: Option<Cell>,
    },
}

impl Change {
    /// The relations that it reads.
    pub(crate) fn scan(&self) -> Option<&Scan> {
        match &self.input {
            Input::Query { scan, .. } => Some(scan),
            Input::Values(_) => None,
        }
    }

    /// Whether it looks for rows with the keys of new ones.
    pub(crate) fn looks_for_keys(&self) -> bool {
        !matches!(self.conflict, OnConflict::Error)
    }

    /// The row that ON CONFLICT DO UPDATE makes of an old and a new one; none if its WHERE says so.
    pub(crate) fn updated(
        &self,
        old: Row<'_>,
        new: Row<'_>,
        set: &[(usize, Option<Cell>)],
        condition: Option<&Cell>,
        context: &Context<'_>,
    ) -> Result<Rows> {
        let width = self.columns.len();
        let mut both = RowBuilder::new();
        both.start(2 * width);
        for row in [old, new] {
            for (at, column) in self.columns.iter().enumerate() {
                both.copy(row, at, column.ty.engine().in_tail());
            }
        }
        let both = both.finish();
        let mut rows = Rows::new();
        if let Some(condition) = condition
            && condition.value(Some(both), context)? != Literal::Bool(true)
        {
            return Ok(rows);
        }
        let mut builder = RowBuilder::new();
        builder.start(width);
        for (at, column) in self.columns.iter().enumerate() {
            let value = match set.iter().find(|(target, _)| *target == at) {
                Some((_, Some(cell))) => cell.value(Some(both), context)?,
                Some((_, None)) => crate::define::default_value(column, context.now),
                None => Literal::from(old.datum(at, column.ty.engine())),
            };
            builder.push(checked(&self.name, column, value)?.datum());
        }
        self.checks.check(builder.finish(), context)?;
        rows.push(builder.finish());
        Ok(rows)
    }
}

/// What is known of a table that is written to.
struct Target<'c> {
    catalog: &'c Catalog,
    object: &'c Object,
    table: TableId,
    key: Vec<u16>,
    alias: Option<String>,
}

impl<'c> Target<'c> {
    fn new(catalog: &'c Catalog, name: &str, alias: Option<String>, verb: &str) -> Result<Self> {
        let (object, table, key) = table_of(catalog, name, verb)?;
        Ok(Target { catalog, object, table, key, alias })
    }

    fn row(&self) -> &'c [Column] {
        self.catalog.engine_columns(self.object)
    }

    /// The statement, when everything else has been bound.
    fn prepared(
        &self,
        verb: Verb,
        mut input: Input,
        conflict: OnConflict,
        returning: Option<&[SelectItem]>,
        parameters: &Parameters,
    ) -> Result<Prepared> {
        let scope = object_scope(self.object, self.alias.clone());
        let (returning, columns) = match returning {
            None => (None, Vec::new()),
            Some(items) => {
                let binder = Binder::new(&scope, parameters);
                let select = Select { projection: items.to_vec(), ..one_select()? };
                let outputs = crate::select::projection(&binder, &select, &[])?;
                let columns = outputs.columns.iter();
                let columns =
                    columns.map(|(name, _, ty)| ResultColumn { name: name.clone(), ty: *ty }).collect();
                let exprs: Vec<(Expr, SqlType)> =
                    outputs.columns.into_iter().map(|(_, expr, ty)| (expr, ty)).collect();
                (Some(Evaluator::new(&exprs, self.row(), parameters)?), columns)
            }
        };
        let checks = Checks::new(self.catalog, self.object, parameters)?;
        let counts =
            self.object.columns.iter().any(|column| matches!(column.default, Some(DefaultValue::Number)));
        let types = parameters.types();
        if let Input::Query { scan, .. } = &mut input {
            // Parameters may have been met only after the query was bound.
            scan.parameters.clone_from(&types);
        }
        let change = Change {
            table: self.table,
            name: self.object.name.clone(),
            verb,
            columns: self.object.columns.clone(),
            key: self.key.clone(),
            view: self.catalog.view(self.object.own_path()).id,
            input,
            conflict,
            returning,
            checks,
            blocks: if counts { self.catalog.block_table() } else { None },
            counted_as: self.catalog.plan().original(self.table).0,
            parameters: types.clone(),
            locking: Vec::new(),
        };
        Ok(Prepared {
            bound: Bound::Change(Box::new(change)),
            parameters: types,
            columns,
            warnings: Vec::new(),
            relations: Vec::new(),
        })
    }
}

fn one_query() -> Result<Query> {
    let parsed = crate::parse::parse("SELECT 1")?;
    match parsed.into_iter().next().map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) => Ok(*query),
        _ => unreachable!("it is a query"),
    }
}

fn one_select() -> Result<Select> {
    match *one_query()?.body {
        SetExpr::Select(select) => Ok(*select),
        _ => unreachable!("it is a SELECT"),
    }
}

/// An expression from its text.
pub(crate) fn parse_expr(text: &str) -> Result<Ast> {
    let parsed = crate::parse::parse(&format!("SELECT ({text})"))?;
    let select = match parsed.into_iter().next().map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) => query.body,
        _ => unreachable!("it is a query"),
    };
    let SetExpr::Select(select) = *select else { unreachable!("it is a SELECT") };
    match select.projection.into_iter().next() {
        Some(SelectItem::UnnamedExpr(Ast::Nested(ast))) => Ok(*ast),
        _ => unreachable!("it has one column, in brackets"),
    }
}

/// A constant or a parameter by itself takes the type of the column that it is for; anything else has its own.
fn for_column(ast: &Ast, ty: SqlType) -> Result<Ast> {
    let is_open = match ast {
        Ast::Value(value) => !matches!(value.value, Value::Number(..) | Value::Boolean(_)),
        _ => false,
    };
    if !is_open {
        return Ok(ast.clone());
    }
    let Ast::Cast { data_type, .. } = parse_expr(&format!("NULL::{}", ty.bare()))? else {
        unreachable!("it is a cast")
    };
    let expr = Box::new(ast.clone());
    Ok(Ast::Cast { kind: CastKind::Cast, expr, data_type, format: None })
}

fn bind_scan(
    catalog: &Catalog,
    query: &Query,
    parameters: &Parameters,
) -> Result<(Box<Scan>, Vec<ResultColumn>)> {
    let prepared = scan::bind(catalog, query, parameters)?;
    match prepared.bound {
        Bound::Query(scan) => Ok((scan, prepared.columns)),
        _ => unreachable!("a scan was asked for"),
    }
}

/// The columns of a query's rows.
fn scanned_columns(columns: &[ResultColumn]) -> Vec<Column> {
    let column = |(at, column): (usize, &ResultColumn)| Column {
        name: format!("{at}"),
        ty: column.ty.engine(),
        nullable: true,
    };
    columns.iter().enumerate().map(column).collect()
}

/// INSERT that takes several steps.
pub(crate) fn insert(catalog: &Catalog, insert: &Insert, parameters: &Parameters) -> Result<Prepared> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(SqlError::unsupported("an INSERT into anything but a table"));
    };
    let alias = insert.table_alias.as_ref().map(|alias| fold(&alias.alias));
    let target = Target::new(catalog, &object_name(name)?, alias, "insert into")?;
    let object = target.object;
    let targets = insert_columns(object, insert)?;
    let input = match insert.source.as_deref() {
        None => Input::Values(vec![vec![None; object.columns.len()]]),
        Some(query) => match &*query.body {
            SetExpr::Values(values) => {
                let rows: Vec<&[Ast]> = values.rows.iter().map(|row| row.as_slice()).collect();
                values_input(object, &targets, insert.columns.is_empty(), &rows, parameters)?
            }
            _ => query_input(catalog, object, &targets, insert.columns.is_empty(), query, parameters)?,
        },
    };
    let conflict = on_conflict(&target, insert.on.as_ref(), parameters)?;
    target.prepared(Verb::Insert, input, conflict, insert.returning.as_deref(), parameters)
}

fn wrong_count(found: usize, wanted: usize) -> SqlError {
    let which = if found > wanted { "more" } else { "fewer" };
    SqlError::syntax(format!("INSERT has {which} expressions than target columns"))
}

fn values_input(
    object: &Object,
    targets: &[usize],
    may_be_short: bool,
    rows: &[&[Ast]],
    parameters: &Parameters,
) -> Result<Input> {
    let nothing = Scope::default();
    let binder = Binder::new(&nothing, parameters);
    let mut exprs: Vec<Vec<Option<Expr>>> = Vec::new();
    for row in rows {
        exprs.push(crate::write::insert_row(&binder, object, targets, may_be_short, row)?);
    }
    let cell = |expr: &Option<Expr>| expr.as_ref().map(|expr| Cell::new(expr, &[], parameters)).transpose();
    let rows = exprs.iter().map(|row| row.iter().map(cell).collect::<Result<Vec<_>>>());
    Ok(Input::Values(rows.collect::<Result<_>>()?))
}

fn query_input(
    catalog: &Catalog,
    object: &Object,
    targets: &[usize],
    may_be_short: bool,
    query: &Query,
    parameters: &Parameters,
) -> Result<Input> {
    let mut query = query.clone();
    if let SetExpr::Select(select) = &mut *query.body {
        for (item, at) in select.projection.iter_mut().zip(targets) {
            if let SelectItem::UnnamedExpr(ast) | SelectItem::ExprWithAlias { expr: ast, .. } = item {
                *ast = for_column(ast, object.columns[*at].ty)?;
            }
        }
    }
    let (scan, columns) = bind_scan(catalog, &query, parameters)?;
    if columns.len() > targets.len() || columns.len() < targets.len() && !may_be_short {
        return Err(wrong_count(columns.len(), targets.len()));
    }
    let row = scanned_columns(&columns);
    let mut cells: Vec<Option<Cell>> = vec![None; object.columns.len()];
    for (number, (column, at)) in columns.iter().zip(targets).enumerate() {
        let typed = Typed::new(col_at(number as u32), column.ty);
        let def = &object.columns[*at];
        let expr = assigned(typed, def.ty, parameters)
            .map_err(|error| error.detail(format!("Column {:?} is of type {}.", def.name, def.ty)))?;
        cells[*at] = Some(Cell::new(&expr, &row, parameters)?);
    }
    Ok(Input::Query { scan, cells })
}

fn on_conflict(target: &Target<'_>, on: Option<&OnInsert>, parameters: &Parameters) -> Result<OnConflict> {
    let on = match on {
        None => return Ok(OnConflict::Error),
        Some(OnInsert::OnConflict(on)) => on,
        Some(_) => return Err(SqlError::unsupported("ON DUPLICATE KEY UPDATE").hint("Use ON CONFLICT.")),
    };
    check_conflict_target(target, on.conflict_target.as_ref())?;
    let update = match &on.action {
        OnConflictAction::DoNothing => return Ok(OnConflict::Nothing),
        OnConflictAction::DoUpdate(update) if on.conflict_target.is_some() => update,
        OnConflictAction::DoUpdate(_) => {
            return Err(SqlError::syntax("ON CONFLICT DO UPDATE needs the columns of the key"));
        }
    };
    let width = target.object.columns.len();
    let mut scope = object_scope(target.object, target.alias.clone());
    let excluded = object_scope(target.object, Some("excluded".to_owned()));
    // Found with their table's name only, so that a plain name is that of the row which is there.
    let shifted = excluded.columns.into_iter();
    scope.columns.extend(shifted.map(|c| ScopeColumn { at: c.at + width, merged: true, ..c }));
    let row: Vec<Column> = target.row().iter().chain(target.row()).cloned().collect();
    let binder = Binder::new(&scope, parameters);
    let mut set = Vec::new();
    for (at, ast) in assignments(target.object, &target.key, &update.assignments)? {
        if target.key.contains(&(at as u16)) {
            return Err(SqlError::unsupported("ON CONFLICT DO UPDATE of the primary key"));
        }
        let expr = value_for(&binder, &target.object.columns[at], ast)?;
        set.push((at, expr.map(|expr| Cell::new(&expr, &row, parameters)).transpose()?));
    }
    let condition = match &update.selection {
        Some(ast) => Some(Cell::new(&binder.condition(ast)?, &row, parameters)?),
        None => None,
    };
    Ok(OnConflict::Update { set, condition })
}

fn check_conflict_target(target: &Target<'_>, on: Option<&ConflictTarget>) -> Result<()> {
    let matches = match on {
        None => true,
        Some(ConflictTarget::Columns(names)) => {
            let at = names.iter().map(|name| Ok(column(target.object, &fold(name))? as u16));
            let mut given = at.collect::<Result<Vec<u16>>>()?;
            let mut key = target.key.clone();
            given.sort_unstable();
            key.sort_unstable();
            given == key
        }
        Some(ConflictTarget::OnConstraint(name)) => {
            object_name(name)? == format!("{}_pkey", target.object.name)
        }
    };
    if matches {
        return Ok(());
    }
    Err(SqlError::new("42P10", "there is no unique constraint matching the ON CONFLICT specification")
        .hint("Name the columns of the primary key."))
}

/// The columns that are set, with their new values; each once.
fn assignments<'q>(object: &Object, _key: &[u16], list: &'q [Assignment]) -> Result<Vec<(usize, &'q Ast)>> {
    let mut set: Vec<(usize, &Ast)> = Vec::new();
    for assignment in list {
        let at = column(object, &target(assignment)?)?;
        if set.iter().any(|(other, _)| *other == at) {
            let name = &object.columns[at].name;
            return Err(SqlError::syntax(format!("multiple assignments to same column {name:?}")));
        }
        set.push((at, &assignment.value));
    }
    Ok(set)
}

/// The table that a statement changes, its alias, and what else is in FROM.
fn changed_table(table: &TableWithJoins) -> Result<(String, Option<String>)> {
    match &table.relation {
        TableFactor::Table { name, alias, args: None, .. } if table.joins.is_empty() => {
            Ok((object_name(name)?, alias.as_ref().map(|alias| fold(&alias.name))))
        }
        _ => Err(SqlError::unsupported("a change of anything but one table")),
    }
}

/// The query that finds the rows to change: all columns of the table, and what else is asked for.
fn finding(
    target: &Target<'_>,
    from: Vec<TableWithJoins>,
    selection: Option<&Ast>,
    more: Vec<Ast>,
) -> Result<Query> {
    let table = target.alias.as_ref().unwrap_or(&target.object.name);
    let own = target.object.columns.iter().map(|column| {
        Ast::CompoundIdentifier(vec![Ident::with_quote('"', table), Ident::with_quote('"', &column.name)])
    });
    let projection = own.chain(more).map(SelectItem::UnnamedExpr).collect();
    let select = Select { projection, from, selection: selection.cloned(), ..one_select()? };
    Ok(Query { body: Box::new(SetExpr::Select(Box::new(select))), ..one_query()? })
}

/// UPDATE.
pub(crate) fn update(catalog: &Catalog, update: &Update, parameters: &Parameters) -> Result<Prepared> {
    if update.limit.is_some() || !update.order_by.is_empty() {
        return Err(SqlError::unsupported("ORDER BY and LIMIT in UPDATE"));
    }
    let (name, alias) = changed_table(&update.table)?;
    let target = Target::new(catalog, &name, alias, "update")?;
    let object = target.object;
    let mut from = vec![update.table.clone()];
    if let Some(UpdateTableFromKind::BeforeSet(more) | UpdateTableFromKind::AfterSet(more)) = &update.from {
        from.extend(more.iter().cloned());
    }
    let set = assignments(object, &target.key, &update.assignments)?;
    let computed: Vec<&(usize, &Ast)> = set.iter().filter(|(_, ast)| !is_default(ast)).collect();
    let more = computed.iter().map(|(at, ast)| for_column(ast, object.columns[*at].ty));
    let query = finding(&target, from, update.selection.as_ref(), more.collect::<Result<_>>()?)?;
    let (scan, columns) = bind_scan(catalog, &query, parameters)?;
    let row = scanned_columns(&columns);
    let width = object.columns.len();
    let mut cells: Vec<Option<Cell>> = Vec::with_capacity(width);
    for (at, def) in object.columns.iter().enumerate() {
        let place = computed.iter().position(|(target, _)| *target == at);
        let expr = match place {
            Some(place) => {
                let typed = Typed::new(col_at((width + place) as u32), columns[width + place].ty);
                assigned(typed, def.ty, parameters)
                    .map_err(|error| error.detail(format!("Column {:?} is of type {}.", def.name, def.ty)))?
            }
            None if set.iter().any(|(target, _)| *target == at) => {
                if matches!(def.default, Some(DefaultValue::Number | DefaultValue::Uuid)) {
                    return Err(SqlError::unsupported("SET of a serial or random column to DEFAULT"));
                }
                cells.push(None);
                continue;
            }
            None => col_at(at as u32),
        };
        cells.push(Some(Cell::new(&expr, &row, parameters)?));
    }
    let input = Input::Query { scan, cells };
    target.prepared(Verb::Update, input, OnConflict::Error, update.returning.as_deref(), parameters)
}

/// TRUNCATE: a DELETE of all rows.
pub(crate) fn truncate(catalog: &Catalog, truncate: &Truncate, parameters: &Parameters) -> Result<Prepared> {
    let [table] = truncate.table_names.as_slice() else {
        return Err(SqlError::unsupported("TRUNCATE of several tables").hint("Truncate one after another."));
    };
    if truncate.identity == Some(TruncateIdentityOption::Restart) {
        return Err(SqlError::unsupported("RESTART IDENTITY")
            .hint("Numbers that have been given are never given again."));
    }
    let name = object_name(&table.name)?;
    let target = Target::new(catalog, &name, None, "truncate")?;
    let parsed = crate::parse::parse(&format!("DELETE FROM \"{}\"", name.replace('"', "\"\"")))?;
    let Some(Statement::Delete(all)) = parsed.into_iter().next().map(|parsed| parsed.statement) else {
        unreachable!("it is a DELETE")
    };
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = all.from;
    let (scan, _) = bind_scan(catalog, &finding(&target, from, None, Vec::new())?, parameters)?;
    let input = Input::Query { scan, cells: Vec::new() };
    target.prepared(Verb::Truncate, input, OnConflict::Error, None, parameters)
}

/// DELETE.
pub(crate) fn delete(catalog: &Catalog, delete: &Delete, parameters: &Parameters) -> Result<Prepared> {
    if delete.limit.is_some() || !delete.order_by.is_empty() {
        return Err(SqlError::unsupported("ORDER BY and LIMIT in DELETE"));
    }
    let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
    let [table] = tables.as_slice() else {
        return Err(SqlError::unsupported("a DELETE from several tables"));
    };
    let (name, alias) = changed_table(table)?;
    let target = Target::new(catalog, &name, alias, "delete from")?;
    let from = tables.iter().chain(delete.using.iter().flatten()).cloned().collect();
    let query = finding(&target, from, delete.selection.as_ref(), Vec::new())?;
    let (scan, _) = bind_scan(catalog, &query, parameters)?;
    let input = Input::Query { scan, cells: Vec::new() };
    target.prepared(Verb::Delete, input, OnConflict::Error, delete.returning.as_deref(), parameters)
}
