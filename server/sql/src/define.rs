//! Definitions: tables, views, indexes, and their end. Each becomes an entry of the catalogue.

use crate::catalog::BLOCKS;
use crate::catalog::{
    AccessPath, Catalog, Change, ColumnDef, DefaultValue, Entry, Extension, Object, ObjectKind,
};
use crate::constraint::Constraints;
use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::names::{fold, new_name, object_name, unqualified};
use crate::options::{Options, view_options};
use crate::parameters::Parameters;
use crate::planner::{Planner, Relation};
use crate::scope::Scope;
use crate::sql_type::SqlType;
use operators::expr::Literal;
use operators::order::Order;
use operators::{Column, Datum, PlanBuilder, RowBuilder, Stream, Type, ViewId};
use sqlparser::ast::{
    ColumnOption, CreateIndex, CreateTable, CreateTableOptions, CreateView, DataType, Expr as Ast, Ident,
    IndexColumn, IndexType, TableConstraint,
};

/// What a definition comes to.
#[derive(Debug, Clone)]
pub enum Definition {
    /// An entry to make durable and apply.
    Entry(Box<Entry>),
    /// `IF [NOT] EXISTS` has found that there is nothing to do; the text is a notice for the client.
    Nothing(String),
}

impl Catalog {
    pub(crate) fn entry(&self, sql: &str, change: Change, builder: PlanBuilder) -> Result<Definition> {
        let after = builder.build()?;
        let extension = Extension::between(self.plan(), &after);
        let warnings = Vec::new();
        Ok(Definition::Entry(Box::new(Entry { sql: sql.to_owned(), change, extension, warnings })))
    }

    /// The name of a new object; nothing if it is there already and that is fine.
    fn free_name(&self, ident: &Ident, if_not_exists: bool) -> Result<Option<String>> {
        let name = new_name(ident)?;
        match (self.is_taken(&name), if_not_exists) {
            (false, _) => Ok(Some(name)),
            (true, true) => Ok(None),
            (true, false) => {
                Err(SqlError::new("42P07", format!("relation {name:?} already exists")).at(ident.span))
            }
        }
    }
}

impl Definition {
    pub(crate) fn warning(self, warnings: Vec<String>) -> Definition {
        match self {
            Definition::Entry(entry) => Definition::Entry(Box::new(Entry { warnings, ..*entry })),
            nothing => nothing,
        }
    }
}

fn already(ident: &Ident) -> Definition {
    Definition::Nothing(format!("relation {:?} already exists, skipping", fold(ident)))
}

/// CREATE TABLE. A table needs a primary key: it says which shard owns a row, and which row a write means.
pub(crate) fn create_table(catalog: &Catalog, create: &CreateTable, sql: &str) -> Result<Definition> {
    let refused = [
        (create.temporary, "a temporary table"),
        (create.query.is_some(), "CREATE TABLE AS"),
        (create.like.is_some(), "CREATE TABLE LIKE"),
        (create.inherits.is_some(), "INHERITS"),
        (create.partition_by.is_some() || create.partition_of.is_some(), "partitioning"),
        (create.or_replace, "OR REPLACE"),
    ];
    if let Some((_, what)) = refused.iter().find(|(there, _)| *there) {
        return Err(SqlError::unsupported(what));
    }
    let ident = unqualified(&create.name)?;
    let Some(name) = catalog.free_name(ident, create.if_not_exists)? else { return Ok(already(ident)) };
    let mut columns: Vec<ColumnDef> = Vec::new();
    let mut key: Vec<u16> = Vec::new();
    for column in &create.columns {
        let def = column_def(column, &mut key, columns.len() as u16)?;
        if columns.iter().any(|other| other.name == def.name) {
            return Err(SqlError::new("42701", format!("column {:?} specified more than once", def.name))
                .at(column.name.span));
        }
        columns.push(def);
    }
    let mut constraints = Constraints::new(&name);
    for column in &create.columns {
        constraints.of_column(&columns, column)?;
    }
    for constraint in &create.constraints {
        let TableConstraint::PrimaryKey(primary) = constraint else {
            constraints.add(&columns, constraint)?;
            continue;
        };
        if !key.is_empty() {
            return Err(SqlError::new("42P16", format!("table {name:?} has two primary keys")));
        }
        key = index_columns(&columns, &primary.columns)?;
    }
    if key.is_empty() {
        return Err(SqlError::new("42P16", format!("table {name:?} has no primary key"))
            .detail("The primary key says which shard owns a row and which row a write means.")
            .hint("Add PRIMARY KEY to a column, or PRIMARY KEY (a, b) after the columns."));
    }
    for at in &key {
        columns[usize::from(*at)].nullable = false;
    }
    let engine: Vec<Column> = columns
        .iter()
        .map(|column| Column { name: column.name.clone(), ty: column.ty.engine(), nullable: column.nullable })
        .collect();
    let key_names: Vec<&str> = key.iter().map(|at| columns[usize::from(*at)].name.as_str()).collect();
    let mut builder = catalog.builder();
    let plan_name = catalog.plan_name(&name);
    let stream = builder.table(&plan_name, &engine, &key_names)?;
    let view = builder.view(&plan_name, stream, &key_names, &[])?;
    let mut paths = vec![AccessPath { name: name.clone(), view: view.0, key: key.clone(), ordered: false }];
    paths.extend(constraints.paths(catalog, &columns, stream, &mut builder)?);
    let object = Object {
        kind: ObjectKind::Table { table: catalog.plan().tables.len() as u32, key: key.clone() },
        paths,
        unique: Some(key),
        checks: constraints.checks,
        references: constraints.references,
        ..Object::new(name, columns, sql)
    };
    let counts = object.columns.iter().any(|column| column.default == Some(DefaultValue::Number));
    let definition = if counts && catalog.find(BLOCKS).is_none() {
        // The table has been given the next number already.
        let blocks = block_table(catalog.plan().tables.len() as u32 + 1, &mut builder)?;
        catalog.entry(sql, Change::CreateCounting(Box::new(blocks), Box::new(object)), builder)?
    } else {
        catalog.entry(sql, Change::Create(object), builder)?
    };
    Ok(definition.warning(constraints.warnings))
}

/// The table of blocks from which numbers are taken.
fn block_table(number: u32, builder: &mut PlanBuilder) -> Result<Object> {
    let column =
        |name: &str| ColumnDef { name: name.to_owned(), ty: SqlType::BigInt, nullable: false, default: None };
    let columns = vec![column("of_table"), column("of_column"), column("block")];
    let engine: Vec<Column> =
        columns.iter().map(|column| operators::column(column.name.clone(), Type::Int)).collect();
    let stream = builder.table(BLOCKS, &engine, &["of_table", "of_column", "block"])?;
    let all = builder.view(BLOCKS, stream, &["of_table", "of_column", "block"], &[])?;
    let order = [operators::desc("block")];
    let last = builder.view(&format!("{BLOCKS} last"), stream, &["of_table", "of_column"], &order)?;
    let paths = vec![
        AccessPath { name: BLOCKS.to_owned(), view: all.0, key: vec![0, 1, 2], ordered: false },
        AccessPath { name: format!("{BLOCKS} last"), view: last.0, key: vec![0, 1], ordered: false },
    ];
    let kind = ObjectKind::Table { table: number, key: vec![0, 1, 2] };
    Ok(Object { kind, paths, unique: Some(vec![0, 1, 2]), ..Object::new(BLOCKS.to_owned(), columns, "") })
}

pub(crate) fn column_def(
    column: &sqlparser::ast::ColumnDef,
    key: &mut Vec<u16>,
    number: u16,
) -> Result<ColumnDef> {
    let serial = serial(&column.data_type);
    let ty = match serial {
        Some(ty) => ty,
        None => SqlType::from_ast(&column.data_type).map_err(|error| error.at(column.name.span))?,
    };
    let default_number = serial.map(|_| DefaultValue::Number);
    let nullable = serial.is_none();
    let mut def = ColumnDef { name: new_name(&column.name)?, ty, nullable, default: default_number };
    for option in &column.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => def.nullable = false,
            ColumnOption::PrimaryKey(_) if key.is_empty() => key.push(number),
            ColumnOption::Default(ast) => def.default = default(ast, ty)?,
            ColumnOption::Generated { generation_expr: None, .. } if ty.is_integer() => {
                def.nullable = false;
                def.default = Some(DefaultValue::Number);
            }
            // These are constraints of the table.
            ColumnOption::Unique(_) | ColumnOption::ForeignKey(_) | ColumnOption::Check(_) => {}
            ColumnOption::Collation(_) => {}
            other => {
                return Err(SqlError::unsupported(format!("the column option {other}")).at(column.name.span));
            }
        }
    }
    Ok(def)
}

/// The integer that a serial type is.
fn serial(ty: &DataType) -> Option<SqlType> {
    match ty.to_string().to_lowercase().as_str() {
        "serial" | "serial4" => Some(SqlType::Integer),
        "bigserial" | "serial8" => Some(SqlType::BigInt),
        "smallserial" | "serial2" => Some(SqlType::SmallInt),
        _ => None,
    }
}

/// A constant, the time, or a random uuid.
pub(crate) fn default(ast: &Ast, ty: SqlType) -> Result<Option<DefaultValue>> {
    let nothing = Scope::default();
    let parameters = Parameters::new(&[]);
    let binder = Binder::new(&nothing, &parameters);
    if ty == SqlType::Uuid
        && matches!(ast.to_string().to_lowercase().as_str(), "gen_random_uuid()" | "uuid_generate_v4()")
    {
        return Ok(Some(DefaultValue::Uuid));
    }
    let typed = binder.bind(ast)?;
    if !parameters.types().is_empty() {
        return Err(SqlError::new("42P02", "there are no parameters in a DEFAULT"));
    }
    if typed.expr == parameters.now()? && ty.is_time() {
        return Ok(Some(DefaultValue::Now));
    }
    let expr = crate::write::assigned(typed, ty, &parameters)?;
    let no_now =
        || SqlError::unsupported(format!("the default {ast}")).hint("A default is a constant or now().");
    let (bound, _) = expr.resolve(&[]).map_err(|_| no_now())?;
    let mut builder = RowBuilder::new();
    builder.start(0);
    let scratch = operators::expr::Scratch::new();
    let value = Literal::from(bound.eval(builder.finish(), &scratch));
    let value = crate::text::fit(ty, value)?;
    Ok((value != Literal::Null).then_some(DefaultValue::Constant(value)))
}

/// The positions of the columns that a key or an index lists.
pub(crate) fn index_columns(columns: &[ColumnDef], list: &[IndexColumn]) -> Result<Vec<u16>> {
    let mut key = Vec::new();
    for column in list {
        let Ast::Identifier(name) = &column.column.expr else {
            return Err(SqlError::unsupported(format!("the expression {} in a key", column.column.expr)));
        };
        let at = named_column(columns, &fold(name)).map_err(|error| error.at(name.span))?;
        if key.contains(&at) {
            return Err(SqlError::new("42701", format!("column {:?} is in the key twice", fold(name))));
        }
        key.push(at);
    }
    Ok(key)
}

pub(crate) fn named_column(columns: &[ColumnDef], name: &str) -> Result<u16> {
    let at = columns.iter().position(|column| column.name == name);
    at.map(|at| at as u16).ok_or_else(|| {
        let shown = columns.iter().filter(|column| !column.is_dropped());
        let there: Vec<&str> = shown.map(|column| column.name.as_str()).collect();
        SqlError::new("42703", format!("column {name:?} does not exist"))
            .hint(format!("There are: {}.", there.join(", ")))
    })
}

/// CREATE VIEW and CREATE MATERIALIZED VIEW.
pub(crate) fn create_view(catalog: &Catalog, create: &CreateView, sql: &str) -> Result<Definition> {
    if create.or_replace || create.temporary {
        return Err(SqlError::unsupported("OR REPLACE and TEMPORARY views").hint("Drop the view first."));
    }
    let ident = unqualified(&create.name)?;
    let Some(name) = catalog.free_name(ident, create.if_not_exists)? else { return Ok(already(ident)) };
    let parameters = Parameters::forbidden("a view");
    let mut planner = Planner::new(catalog, &parameters);
    let mut relation = planner.query(&create.query)?;
    if create.columns.len() > relation.columns.len() {
        return Err(SqlError::syntax("CREATE VIEW specifies more column names than columns"));
    }
    for (column, given) in relation.columns.iter_mut().zip(&create.columns) {
        column.name = new_name(&given.name)?;
    }
    let columns = view_columns(&planner, &relation)?;
    let object = Object {
        kind: ObjectKind::View { query: create.query.to_string() },
        depends: std::mem::take(&mut planner.depends),
        ..Object::new(name, columns, sql)
    };
    if !create.materialized {
        return catalog.entry(sql, Change::Create(object), catalog.builder());
    }
    materialized(catalog, planner, relation, object, &create.options)
}

fn view_columns(planner: &Planner<'_>, relation: &Relation) -> Result<Vec<ColumnDef>> {
    let mut columns: Vec<ColumnDef> = Vec::new();
    for (at, column) in relation.columns.iter().enumerate() {
        assert_eq!(column.at, at, "what SQL sees comes first");
        if columns.iter().any(|other| other.name == column.name) {
            return Err(SqlError::new("42701", format!("column {:?} specified more than once", column.name))
                .hint("Give one of them another name with AS."));
        }
        let nullable = planner.builder.columns(relation.stream)[at].nullable;
        columns.push(ColumnDef { name: column.name.clone(), ty: column.ty, nullable, default: None });
    }
    Ok(columns)
}

fn materialized(
    catalog: &Catalog,
    mut planner: Planner<'_>,
    relation: Relation,
    mut object: Object,
    options: &CreateTableOptions,
) -> Result<Definition> {
    let visible = object.columns.len();
    let unique = relation.unique.filter(|key| key.iter().all(|at| *at < visible));
    let Options { key, ordered } = view_options(options, &object.columns)?;
    let key = match key {
        Some(key) => key,
        None if relation.limited => Vec::new(),
        None => match &unique {
            Some(unique) => unique.iter().map(|at| *at as u16).collect(),
            None => vec![0],
        },
    };
    let at: Vec<usize> = key.iter().map(|at| usize::from(*at)).collect();
    let names = planner.names_at(relation.stream, &at);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let order = planner.plan_order(relation.stream, &relation.order);
    let plan_name = catalog.plan_name(&object.name);
    if ordered && key.is_empty() {
        return Err(SqlError::new("42P16", "a view with one key for all rows cannot be ordered by it")
            .hint("Say key = 'a, b' too."));
    }
    let view = kept(&mut planner.builder, &plan_name, relation.stream, (&names, &order), ordered)?;
    object.kind = ObjectKind::MaterializedView;
    object.paths = vec![AccessPath { name: object.name.clone(), view: view.0, key, ordered }];
    object.unique = unique.map(|key| key.into_iter().map(|at| at as u16).collect());
    object.order = relation.order.iter().map(|(at, descending)| (*at as u16, *descending)).collect();
    object.empty_row = relation.empty_row.map(|row| empty_row(&row, visible)).transpose()?;
    let sql = object.sql.clone();
    catalog.entry(&sql, Change::Create(object), planner.builder)
}

/// The row of an aggregate over nothing.
pub(crate) fn empty_row(exprs: &[operators::expr::Expr], visible: usize) -> Result<Vec<Literal>> {
    let mut builder = RowBuilder::new();
    builder.start(0);
    let row = builder.finish();
    exprs[..visible]
        .iter()
        .map(|expr| {
            let scratch = operators::expr::Scratch::new();
            let (bound, _) = expr.resolve(&[])?;
            Ok(Literal::from(bound.eval(row, &scratch)))
        })
        .collect()
}

/// Keeps a stream by a key, in its order or only by its hash.
pub(crate) fn kept(
    builder: &mut PlanBuilder,
    name: &str,
    stream: Stream,
    (key, order): (&[&str], &[Order]),
    ordered: bool,
) -> Result<ViewId> {
    Ok(match ordered {
        true => builder.ordered_view(name, stream, key, order)?,
        false => builder.view(name, stream, key, order)?,
    })
}

/// CREATE INDEX: another key by which rows are looked up, and ranges of it unless it is `USING hash`. In which direction a column
/// is ordered makes no difference, since a range is read in both.
pub(crate) fn create_index(catalog: &Catalog, create: &CreateIndex, sql: &str) -> Result<Definition> {
    if create.predicate.is_some() || !create.include.is_empty() {
        return Err(SqlError::unsupported("WHERE and INCLUDE of an index"));
    }
    let ordered = match &create.using {
        None | Some(IndexType::BTree) => true,
        Some(IndexType::Hash) => false,
        Some(other) => {
            return Err(
                SqlError::unsupported(format!("an index USING {other}")).hint("There are: btree, hash.")
            );
        }
    };
    let object = catalog.object(&object_name(&create.table_name)?)?;
    if matches!(object.kind, ObjectKind::View { .. }) {
        return Err(SqlError::new("42809", format!("{:?} is a view without rows of its own", object.name))
            .hint("Make it a materialized view."));
    }
    let key = index_columns(&object.columns, &create.columns)?;
    let name = match &create.name {
        Some(name) => {
            let ident = unqualified(name)?;
            match catalog.free_name(ident, create.if_not_exists)? {
                Some(name) => name,
                None => return Ok(already(ident)),
            }
        }
        None => index_name(catalog, object, &key),
    };
    let mut builder = catalog.builder();
    let stream = catalog.stream(object, &builder)?;
    let names: Vec<String> =
        key.iter().map(|at| builder.columns(stream)[usize::from(*at)].name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let order = catalog.plan_order(object);
    let view = kept(&mut builder, &catalog.plan_name(&name), stream, (&names, &order), ordered)?;
    let path = AccessPath { name, view: view.0, key, ordered };
    let warnings = match create.unique {
        true => vec![crate::constraint::not_enforced(&format!("UNIQUE of the index {:?}", path.name))],
        false => Vec::new(),
    };
    let definition = catalog.entry(sql, Change::CreateIndex { on: object.name.clone(), path }, builder)?;
    Ok(definition.warning(warnings))
}

fn index_name(catalog: &Catalog, object: &Object, key: &[u16]) -> String {
    let columns: Vec<&str> = key.iter().map(|at| object.columns[usize::from(*at)].name.as_str()).collect();
    let base = format!("{}_{}_idx", object.name, columns.join("_"));
    let numbered = (1u32..).map(|number| format!("{base}{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|name| !catalog.is_taken(name)).expect("numbers go on")
}

/// DROP TABLE, DROP VIEW, DROP MATERIALIZED VIEW, DROP INDEX.
pub(crate) fn drop(
    catalog: &Catalog,
    kind: &str,
    names: &[String],
    (if_exists, cascade): (bool, bool),
    sql: &str,
) -> Result<Definition> {
    let mut gone: Vec<String> = Vec::new();
    for name in names {
        let is_index = catalog
            .objects()
            .iter()
            .any(|o| o.name != *name && o.paths.iter().any(|path| path.name == *name));
        if kind == "index" && is_index {
            let mut builder = catalog.builder();
            let paths = catalog.objects().iter().flat_map(|object| &object.paths);
            for path in paths.filter(|path| path.name == *name) {
                builder.drop_view(&catalog.view(path).name)?;
            }
            return catalog.entry(sql, Change::DropIndex { name: name.clone() }, builder);
        }
        match catalog.find(name) {
            Some(object) if object.kind_name() == kind => {}
            Some(object) => {
                return Err(SqlError::new("42809", format!("{name:?} is not a {kind}"))
                    .hint(format!("Use DROP {}.", object.kind_name().to_uppercase())));
            }
            None if if_exists => continue,
            None => {
                let sqlstate = if kind == "index" { "42704" } else { "42P01" };
                return Err(SqlError::new(sqlstate, format!("{kind} {name:?} does not exist")));
            }
        }
        let dependents = catalog.dependents(name);
        let left: Vec<&String> = dependents.iter().filter(|other| !names.contains(other)).collect();
        if !cascade && !left.is_empty() {
            return Err(SqlError::new("2BP01", format!("cannot drop {name:?}: other objects depend on it"))
                .detail(format!("They are: {}.", dependents.join(", ")))
                .hint("Use DROP ... CASCADE to drop them too."));
        }
        for name in dependents.into_iter().chain([name.clone()]) {
            if !gone.contains(&name) {
                gone.push(name);
            }
        }
    }
    if gone.is_empty() {
        let names = names.join(", ");
        return Ok(Definition::Nothing(format!("{kind} {names:?} does not exist, skipping")));
    }
    let mut builder = catalog.builder();
    for name in &gone {
        drop_operators(catalog, catalog.object(name)?, &mut builder)?;
    }
    catalog.entry(sql, Change::Drop(gone), builder)
}

pub(crate) fn drop_operators(catalog: &Catalog, object: &Object, builder: &mut PlanBuilder) -> Result<()> {
    for path in &object.paths {
        builder.drop_view(&catalog.view(path).name)?;
    }
    if let Some((table, _)) = object.table() {
        builder.drop_table(&catalog.plan().tables[table.0 as usize].name)?;
    }
    Ok(())
}

/// The value that an INSERT puts where a column is left out.
pub(crate) fn default_value(column: &ColumnDef, now: i64) -> Literal {
    match &column.default {
        None => Literal::Null,
        Some(DefaultValue::Constant(value)) => value.clone(),
        Some(DefaultValue::Now) if column.ty.engine() == Type::Date => {
            const DAY: i64 = 86_400_000_000;
            Literal::from(Datum::Date(now.div_euclid(DAY)))
        }
        Some(DefaultValue::Now) => Literal::Timestamp(now),
        Some(DefaultValue::Number | DefaultValue::Uuid) => {
            unreachable!("what is not the same for all rows is given by the caller")
        }
    }
}
