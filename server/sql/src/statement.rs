//! Statements: from what was parsed to what a front carries out.

use crate::accepted;
use crate::catalog::{Catalog, ObjectKind};
use crate::change::{self, Change};
use crate::define::{self, Definition};
use crate::error::{Result, SqlError};
use crate::evaluate::{Context, Evaluator, check_parameters};
use crate::explain;
use crate::expression::{Binder, conjuncts};
use crate::locking::{self, Locking, inside};
use crate::lookup::{Cut, Lookup, Shown, best_way, object_scope};
use crate::names::{fold, object_name, unqualified};
use crate::parameters::Parameters;
use crate::parse::Parsed;
use crate::prepare::{Execution, Preparation};
use crate::query::{limit_clause, order_by};
use crate::ranged::Conditions;
use crate::role::{self, RoleStatement};
use crate::scan::{self, Scan};
use crate::scope::Scope;
use crate::session::{self, Session};
use crate::set_config::{self, SetConfig, Setting};
use crate::sql_type::SqlType;
use crate::system::oid;
use crate::system::rewrite::{self, Rewritten};
use crate::write::{self, Write};
use operators::expr::{Expr, Literal};
use operators::{RowBuilder, Rows};
use sqlparser::ast::{
    Declare, DeclareType, ObjectType, Query, Select, SetExpr, Statement, TableFactor, TableWithJoins,
};

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: SqlType,
}

/// A statement, bound once and run with any parameters.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What to do.
    pub bound: Bound,
    /// The types of `$1`, `$2`, ...
    pub parameters: Vec<SqlType>,
    /// The columns of its result; none for what has no result.
    pub columns: Vec<ResultColumn>,
    /// What the statement asks for and does not get, to be told each time that it is run.
    pub warnings: Vec<&'static str>,
    /// The parameters, by number from 0, that must name relations.
    pub relations: Vec<usize>,
}

impl Prepared {
    /// Refuses parameters that are to name relations and name none.
    ///
    /// # Errors
    ///
    /// 42P01.
    pub fn check_relations(&self, catalog: &Catalog, parameters: &[Literal]) -> Result<()> {
        for at in &self.relations {
            if let Some(Literal::Text(name)) = parameters.get(*at) {
                oid::check_relation(catalog, name)?;
            }
        }
        Ok(())
    }
}

/// What to do.
#[derive(Debug, Clone)]
pub enum Bound {
    /// Change the catalogue.
    Define(Definition),
    /// Change the roles.
    Role(Box<RoleStatement>),
    /// Write new rows.
    Insert(Write),
    /// A write that takes several steps.
    Change(Box<Change>),
    /// Read rows by key.
    Lookup(Box<Lookup>),
    /// One row that needs no table.
    Constant(Constant),
    /// A query that no key answers.
    Query(Box<Scan>),
    /// A query whose rows are locked.
    Locking(Box<Locking>),
    /// Rows of one text column.
    Explain(Vec<String>),
    /// Keep a query's rows to be fetched by and by.
    Declare(Box<Declaration>),
    /// Keep a statement by a name.
    Prepare(Box<Preparation>),
    /// Run a statement that is kept by a name. The columns of its result are those of that statement.
    Execute(Box<Execution>),
    /// What the session does by itself.
    Session(Session),
}

/// DECLARE CURSOR.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The cursor's name.
    pub name: String,
    /// Whether it outlives its transaction.
    pub is_held: bool,
    /// Its query, with the parameters of the declaration.
    pub query: Prepared,
}

/// A row that needs no table.
#[derive(Debug, Clone)]
pub struct Constant {
    values: Evaluator,
    /// Whether its WHERE and LIMIT let it through.
    shown: bool,
    parameters: Vec<SqlType>,
    settings: Vec<SetConfig>,
}

impl Constant {
    /// The row, or none. `set` is given the settings that it sets, and says what they then are.
    ///
    /// # Errors
    ///
    /// What has no value, and what `set` says.
    pub fn rows(
        &self,
        context: &Context<'_>,
        mut set: impl FnMut(Setting) -> Result<String>,
    ) -> Result<Rows> {
        check_parameters(&self.parameters, context)?;
        let mut rows = Rows::new();
        if self.shown {
            let mut values = self.values.values(None, context)?;
            for call in &self.settings {
                values[call.at] = Literal::Text(set(call.setting(context)?)?);
            }
            let mut builder = RowBuilder::new();
            builder.start(values.len());
            values.iter().for_each(|value| builder.push(value.datum()));
            rows.push(builder.finish());
        }
        Ok(rows)
    }
}

/// Binds a statement. `declared` are the types that the client gives for parameters, as far as it does.
pub fn bind(catalog: &Catalog, parsed: &Parsed, declared: &[Option<SqlType>]) -> Result<Prepared> {
    if let Some(bound) = by_name(parsed).map_err(|error| error.located(&parsed.text))? {
        return Ok(Prepared {
            bound,
            parameters: Vec::new(),
            columns: Vec::new(),
            warnings: Vec::new(),
            relations: Vec::new(),
        });
    }
    let parameters = Parameters::new(declared);
    rewrite::statement(catalog, &parsed.statement, &parsed.sql)
        .and_then(|rewritten| match rewritten {
            None => bind_statement(catalog, &parsed.statement, &parsed.sql, &parameters),
            Some(Rewritten { statement, relations }) => {
                let relations = relations.iter().map(|name| parameters.index(name)).collect::<Result<_>>()?;
                let prepared = bind_statement(catalog, &statement, &parsed.sql, &parameters)?;
                Ok(Prepared { relations, ..prepared })
            }
        })
        .map_err(|error| error.located(&parsed.text))
}

/// PREPARE and EXECUTE; none if it is another statement.
fn by_name(parsed: &Parsed) -> Result<Option<Bound>> {
    Ok(Some(match &parsed.statement {
        Statement::Prepare { name, data_types, statement } => {
            Bound::Prepare(Box::new(Preparation::new(name, data_types, statement, parsed)?))
        }
        statement @ Statement::Execute { .. } => Bound::Execute(Box::new(Execution::new(statement, parsed)?)),
        _ => return Ok(None),
    }))
}

fn bind_statement(
    catalog: &Catalog,
    statement: &Statement,
    sql: &str,
    parameters: &Parameters,
) -> Result<Prepared> {
    let without_result = |bound| Prepared {
        bound,
        parameters: parameters.types(),
        columns: Vec::new(),
        warnings: Vec::new(),
        relations: Vec::new(),
    };
    let text_column = |name: &str| vec![ResultColumn { name: name.to_owned(), ty: SqlType::Text }];
    let shown = |name: String| {
        let columns = text_column(&name);
        Prepared {
            bound: Bound::Session(Session::Show(name)),
            parameters: Vec::new(),
            columns,
            warnings: Vec::new(),
            relations: Vec::new(),
        }
    };
    Ok(match statement {
        Statement::Query(query) => match crate::with::write(query)? {
            Some(write) => bind_statement(catalog, &write, sql, parameters)?,
            None => bind_query(catalog, query, parameters)?,
        },
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)
            if let Some((statement, locking)) = inside::take(catalog, statement, parameters)? =>
        {
            after_locking(bind_statement(catalog, &statement, sql, parameters)?, locking)
        }
        Statement::Insert(insert) => match write::insert(catalog, insert, parameters)? {
            Some(write) => without_result(Bound::Insert(write)),
            None => change::insert(catalog, insert, parameters)?,
        },
        Statement::Update(update) => change::update(catalog, update, parameters)?,
        Statement::Delete(delete) => change::delete(catalog, delete, parameters)?,
        Statement::Truncate(truncate) => change::truncate(catalog, truncate, parameters)?,
        Statement::Explain { .. } | Statement::ExplainTable { .. } => {
            explained(catalog, statement, sql, parameters)?
        }
        Statement::ShowVariable { variable } => {
            let name: Vec<String> = variable.iter().map(fold).collect();
            shown(name.join("."))
        }
        Statement::Declare { stmts } => {
            let declaration = declaration(catalog, stmts, parameters)?;
            let parameters = declaration.query.parameters.clone();
            Prepared { parameters, ..without_result(Bound::Declare(Box::new(declaration))) }
        }
        Statement::ShowViews { .. } => shown("views".to_owned()),
        // Their words for a password are not PostgreSQL's, and what is refused is not repeated.
        Statement::CreateUser(_) => return Err(SqlError::unsupported("CREATE OR REPLACE USER")),
        Statement::CreateRole(create) => without_result(Bound::Role(Box::new(role::create(create)?))),
        Statement::AlterRole { name, operation } => {
            without_result(Bound::Role(Box::new(role::alter(name, operation)?)))
        }
        Statement::Drop { object_type: ObjectType::Role, if_exists, names, .. } => {
            without_result(Bound::Role(Box::new(role::drop(names, *if_exists)?)))
        }
        _ => {
            if let Some((bound, warnings)) = accepted::bind(catalog, statement)? {
                return Ok(Prepared { warnings, ..without_result(bound) });
            }
            match define_statement(catalog, statement, sql)? {
                Some(definition) => without_result(Bound::Define(definition)),
                None => without_result(Bound::Session(session::bind(statement)?)),
            }
        }
    })
}

/// A write whose subqueries lock rows before it begins.
fn after_locking(mut prepared: Prepared, mut locking: Vec<Locking>) -> Prepared {
    locking.iter_mut().for_each(|locking| locking.takes(&prepared.parameters));
    match &mut prepared.bound {
        Bound::Change(change) => change.locking = locking,
        _ => unreachable!("a write with a subquery takes several steps"),
    }
    prepared
}

/// EXPLAIN.
fn explained(
    catalog: &Catalog,
    statement: &Statement,
    sql: &str,
    parameters: &Parameters,
) -> Result<Prepared> {
    let Some((asked, format)) = explain::asked(statement)? else { return Err(unsupported(statement)) };
    let (lines, parameters) = match asked {
        explain::Asked::Statement(statement) => {
            let prepared = bind_statement(catalog, statement, sql, parameters)?;
            (explain::lines(catalog, &prepared, format)?, prepared.parameters)
        }
        explain::Asked::Object(name) => {
            let object = catalog.object(&name)?;
            let lines = match (explain::object(catalog, object, format), &object.kind) {
                (Some(lines), _) => lines,
                (None, ObjectKind::View { query }) => {
                    let parsed = crate::parse::parse(query)?;
                    let parsed = parsed.first().expect("a view keeps one query");
                    let prepared = bind_statement(catalog, &parsed.statement, sql, parameters)?;
                    explain::lines(catalog, &prepared, format)?
                }
                (None, _) => unreachable!("only a query by name is not kept"),
            };
            (lines, Vec::new())
        }
    };
    let columns = vec![ResultColumn { name: "QUERY PLAN".to_owned(), ty: SqlType::Text }];
    Ok(Prepared {
        bound: Bound::Explain(lines),
        parameters,
        columns,
        warnings: Vec::new(),
        relations: Vec::new(),
    })
}

/// DECLARE name CURSOR [WITH HOLD] FOR query
fn declaration(catalog: &Catalog, list: &[Declare], parameters: &Parameters) -> Result<Declaration> {
    let [Declare { names, declare_type: Some(DeclareType::Cursor), for_query: Some(query), .. }] = list
    else {
        return Err(SqlError::unsupported("DECLARE of anything but a cursor"));
    };
    let ([name], [declare]) = (names.as_slice(), list) else {
        return Err(SqlError::syntax("DECLARE takes one name"));
    };
    if declare.binary == Some(true) {
        return Err(SqlError::unsupported("a BINARY cursor"));
    }
    if declare.scroll == Some(true) {
        return Err(SqlError::unsupported("a SCROLL cursor").hint("Cursors go forward only."));
    }
    let query = bind_query(catalog, query, parameters)?;
    if declare.hold == Some(true) && matches!(query.bound, Bound::Locking(_)) {
        let message = "DECLARE CURSOR WITH HOLD ... FOR UPDATE is not supported";
        return Err(SqlError::new("0A000", message).detail("Holdable cursors must be READ ONLY."));
    }
    Ok(Declaration { name: fold(name), is_held: declare.hold == Some(true), query })
}

fn define_statement(catalog: &Catalog, statement: &Statement, sql: &str) -> Result<Option<Definition>> {
    let definition = match statement {
        Statement::CreateTable(create) => define::create_table(catalog, create, sql)?,
        Statement::CreateView(create) => define::create_view(catalog, create, sql)?,
        Statement::AlterTable(alter) => crate::alter::alter_table(catalog, alter, sql)?,
        Statement::CreateIndex(create) => define::create_index(catalog, create, sql)?,
        Statement::Comment { object_type, object_name, comment, if_exists: false } => {
            crate::comment::bind(catalog, (object_type, object_name), comment.as_deref(), sql)?
        }
        Statement::Drop { object_type, if_exists, names, cascade, .. } => {
            let kind = match object_type {
                ObjectType::Table => "table",
                ObjectType::View => "view",
                ObjectType::MaterializedView => "materialized view",
                ObjectType::Index => "index",
                other => return Err(SqlError::unsupported(format!("DROP {other}"))),
            };
            let names: Vec<String> = names.iter().map(object_name).collect::<Result<_>>()?;
            define::drop(catalog, kind, &names, (*if_exists, *cascade), sql)?
        }
        _ => return Ok(None),
    };
    Ok(Some(definition))
}

/// By its first words.
pub(crate) fn unsupported(statement: &Statement) -> SqlError {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    SqlError::unsupported(words.join(" "))
}

/// Binds a query: as a lookup, a scan, or a constant, and with what it locks.
pub(crate) fn bind_query(catalog: &Catalog, query: &Query, parameters: &Parameters) -> Result<Prepared> {
    if !query.locks.is_empty() {
        return locking::bind(catalog, query, parameters);
    }
    if let SetExpr::Select(select) = &*query.body
        && query.with.is_none()
    {
        if select.from.is_empty() {
            return constant(query, select, parameters);
        }
        if let Some(prepared) = lookup(catalog, query, select, parameters)? {
            return Ok(prepared);
        }
    }
    scan::bind(catalog, query, parameters)
}

fn constant(query: &Query, select: &Select, parameters: &Parameters) -> Result<Prepared> {
    let nothing = Scope::default();
    let binder = Binder::new(&nothing, parameters);
    if select.selection.is_some() || query.limit_clause.is_some() {
        return Err(SqlError::unsupported("WHERE and LIMIT without FROM"));
    }
    let mut select = select.clone();
    let settings = set_config::take(&mut select, &binder)?;
    let outputs = crate::select::projection(&binder, &select, &[])?;
    let columns = result_columns(&outputs.columns);
    let exprs: Vec<(Expr, SqlType)> = outputs.columns.into_iter().map(|(_, expr, ty)| (expr, ty)).collect();
    let values = Evaluator::new(&exprs, &[], parameters)?;
    let constant = Constant { values, shown: true, parameters: parameters.types(), settings };
    Ok(Prepared {
        bound: Bound::Constant(constant),
        parameters: parameters.types(),
        columns,
        warnings: Vec::new(),
        relations: Vec::new(),
    })
}

fn result_columns(outputs: &[(String, Expr, SqlType)]) -> Vec<ResultColumn> {
    outputs.iter().map(|(name, _, ty)| ResultColumn { name: name.clone(), ty: *ty }).collect()
}

/// The query as a read by key, if it is one.
fn lookup(
    catalog: &Catalog,
    query: &Query,
    select: &Select,
    parameters: &Parameters,
) -> Result<Option<Prepared>> {
    let [TableWithJoins { relation: TableFactor::Table { name, alias, args: None, .. }, joins }] =
        select.from.as_slice()
    else {
        return Ok(None);
    };
    if !joins.is_empty() || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
        return Ok(None);
    }
    if crate::system::table(catalog, name).is_some() {
        return Ok(None);
    }
    let ident = unqualified(name)?;
    let object = catalog.object(&fold(ident)).map_err(|error| error.at(ident.span))?;
    let conditions = select.selection.as_ref().map(conjuncts).unwrap_or_default();
    let simple = crate::select::is_plain(select, order_by(query.order_by.as_ref())?)
        && conditions.iter().all(|ast| !crate::embedded::has_subquery(ast));
    if !simple {
        return Ok(None);
    }
    let scope = object_scope(object, alias.as_ref().map(|alias| fold(&alias.name)));
    let binder = Binder::new(&scope, parameters);
    let bound = conditions.iter().map(|ast| binder.condition(ast)).collect::<Result<_>>()?;
    let conditions = Conditions::new(bound);
    let by = order_by(query.order_by.as_ref())?;
    let cuts = query.limit_clause.is_some() && !by.is_empty();
    if !cuts && best_way(object, &conditions, None).is_none() {
        return Ok(None);
    }
    let outputs = crate::select::projection(&binder, select, by)?;
    let order_columns = outputs.order_columns();
    let wanted = order_columns.as_deref().filter(|_| cuts);
    let Some(way) = best_way(object, &conditions, wanted).filter(|_| !outputs.has_rank()) else {
        return Ok(None);
    };
    let columns = result_columns(&outputs.columns[..outputs.visible]);
    let nothing = Scope::default();
    let shown = Shown {
        order_columns,
        visible: outputs.visible,
        order: outputs.order,
        cut: Cut::new(&Binder::new(&nothing, parameters), limit_clause(query)?)?,
        outputs: outputs.columns.into_iter().map(|(_, expr, ty)| (expr, ty)).collect(),
    };
    let lookup = Lookup::new(catalog, object, (&conditions, &way), shown, parameters)?;
    Ok(Some(Prepared {
        bound: Bound::Lookup(Box::new(lookup)),
        parameters: parameters.types(),
        columns,
        warnings: Vec::new(),
        relations: Vec::new(),
    }))
}
