//! SELECT ... FOR UPDATE and its like: a query whose rows are locked before they are shown.
//!
//! The query is bound as any other, with the columns of the tables that are to be locked behind its own: so a front knows
//! of each row which rows of tables it was made of, and as what these were read. LIMIT and OFFSET are left out of it, since they
//! count rows that have been locked. A front runs it, locks what its rows were made of in their order, and looks whether
//! all of that is still what was read; if not, it begins anew with what is there then, and keeps its locks. So what a
//! client gets is what the rows are while it has them locked, and the order is right too.
//!
//! FOR SHARE, FOR NO KEY UPDATE and FOR KEY SHARE lock as FOR UPDATE does.

pub(crate) mod inside;
pub(crate) mod words;

use crate::catalog::{Catalog, Object, ObjectKind};
use crate::error::{Result, SqlError};
use crate::evaluate::Context;
use crate::expression::Binder;
use crate::lookup::Cut;
use crate::names::{fold, unqualified};
use crate::parameters::Parameters;
use crate::query::{limit_clause, order_by};
use crate::scope::Scope;
use crate::select::{has_aggregate, is_grouped};
use crate::sql_type::SqlType;
use crate::statement::{Bound, Prepared, bind_query};
use operators::{Row, RowBuilder, Rows, TableId, Type, ViewId};
use sqlparser::ast::{
    Distinct, Expr as Ast, GroupByExpr, Ident, JoinOperator, LockClause, LockType, NonBlock, ObjectName,
    Query, Select, SelectItem, SetExpr, Spanned, TableFactor, TableWithJoins,
};
use sqlparser::tokenizer::Span;

/// What is done about a row that another has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// It is waited for.
    Long,
    /// It is left out.
    Skip,
    /// The statement fails.
    Never,
}

/// A table whose rows are locked.
#[derive(Debug, Clone)]
pub struct Target {
    /// The table.
    pub table: TableId,
    /// Its name, for messages.
    pub name: String,
    /// The view of the engine that has its rows by their primary key.
    pub view: ViewId,
    /// What is done about rows that others have locked.
    pub wait: Wait,
    key: Vec<u16>,
    types: Vec<Type>,
    /// Where its columns begin in the rows of the query.
    first: usize,
}

/// A query whose rows are locked.
#[derive(Debug, Clone)]
pub struct Locking {
    /// A lookup or a scan: the result, with the columns of all targets behind its own, whole and in order.
    pub query: Prepared,
    /// What is locked of each row.
    pub targets: Vec<Target>,
    /// Types of the columns that are shown.
    types: Vec<Type>,
    cut: Cut,
}

impl Target {
    /// The row of the table that a row of the query was made of, as it was read.
    pub fn as_read<'b>(&self, row: Row<'_>, builder: &'b mut RowBuilder) -> Row<'b> {
        builder.start(self.types.len());
        self.types.iter().enumerate().for_each(|(at, ty)| builder.copy(row, self.first + at, ty.in_tail()));
        builder.finish()
    }

    /// The primary key of that row, as a row of its own.
    pub fn key<'b>(&self, row: Row<'_>, builder: &'b mut RowBuilder) -> Row<'b> {
        builder.start(self.key.len());
        for at in self.key.iter().map(|at| usize::from(*at)) {
            builder.copy(row, self.first + at, self.types[at].in_tail());
        }
        builder.finish()
    }
}

impl Locking {
    /// Parameters may have been met only after it was bound.
    pub(crate) fn takes(&mut self, parameters: &[SqlType]) {
        match &mut self.query.bound {
            Bound::Lookup(lookup) => lookup.parameters = parameters.to_vec(),
            Bound::Query(scan) => scan.parameters = parameters.to_vec(),
            _ => unreachable!("what is locked is looked up or scanned"),
        }
    }

    /// How many rows of the query that are locked are passed over, and how many are shown of those behind them.
    ///
    /// # Errors
    ///
    /// 2201W for a negative number.
    pub fn cut(&self, context: &Context<'_>) -> Result<(usize, usize)> {
        self.cut.values(context)
    }

    /// Whether the query finds rows of the targets where they are written, so that it shows what has been acknowledged to
    /// anybody. An index may be a moment behind.
    pub fn reads_newest(&self) -> bool {
        let is_own = |object: &str, view: ViewId| {
            self.targets.iter().all(|target| target.name != object || target.view == view)
        };
        match &self.query.bound {
            Bound::Lookup(lookup) => is_own(&lookup.object, lookup.view),
            Bound::Query(scan) => {
                scan.feeds().iter().all(|feed| feed.views().all(|view| is_own(&feed.object, view)))
            }
            _ => true,
        }
    }

    /// Adds a row of the query to a result: the columns that are shown.
    pub fn show(&self, row: Row<'_>, builder: &mut RowBuilder, result: &mut Rows) {
        builder.start(self.types.len());
        self.types.iter().enumerate().for_each(|(at, ty)| builder.copy(row, at, ty.in_tail()));
        result.push(builder.finish());
    }
}

/// A locking clause.
struct Clause {
    /// In PostgreSQL's words.
    strength: &'static str,
    /// The only table that it is about.
    of: Option<Ident>,
    wait: Wait,
}

impl Clause {
    fn new(clause: &LockClause) -> Result<Clause> {
        let mut strength = match clause.lock_type {
            LockType::Update => "FOR UPDATE",
            LockType::Share => "FOR SHARE",
        };
        let parts = clause.of.iter().flat_map(|ObjectName(parts)| parts);
        let mut of: Vec<Ident> = parts.filter_map(|part| part.as_ident().cloned()).collect();
        let mark = of.first().map(|ident| ident.value.as_str());
        let weaker = match mark {
            Some(words::NO_KEY) => Some("FOR NO KEY UPDATE"),
            Some(words::KEY) => Some("FOR KEY SHARE"),
            _ => None,
        };
        if let Some(weaker) = weaker {
            strength = weaker;
            of.remove(0);
        }
        if of.len() > 1 {
            let message = format!("{strength} must specify unqualified relation names");
            return Err(SqlError::syntax(message).at(of[0].span));
        }
        let wait = match clause.nonblock {
            None => Wait::Long,
            Some(NonBlock::SkipLocked) => Wait::Skip,
            Some(NonBlock::Nowait) => Wait::Never,
        };
        Ok(Clause { strength, of: of.pop(), wait })
    }

    fn refused(&self, what: &str) -> SqlError {
        SqlError::new("0A000", format!("{} {what}", self.strength))
    }

    /// Refuses queries whose rows are not made of rows that could be locked.
    fn check(&self, select: &Select, query: &Query) -> Result<()> {
        let order_by = order_by(query.order_by.as_ref())?;
        let no_groups = matches!(&select.group_by, GroupByExpr::Expressions(list, _) if list.is_empty());
        let is_window = |ast: &Ast| matches!(ast, Ast::Function(function) if function.over.is_some());
        let numbers = select.projection.iter().any(|item| match item {
            SelectItem::UnnamedExpr(ast) | SelectItem::ExprWithAlias { expr: ast, .. } => is_window(ast),
            _ => false,
        });
        let is_distinct = !matches!(select.distinct, None | Some(Distinct::All));
        let refused = [
            (is_distinct, "is not allowed with DISTINCT clause"),
            (!no_groups, "is not allowed with GROUP BY clause"),
            (select.having.is_some(), "is not allowed with HAVING clause"),
            (is_grouped(select, order_by), "is not allowed with aggregate functions"),
            (order_by.iter().any(|by| has_aggregate(&by.expr)), "is not allowed with aggregate functions"),
            (numbers, "is not allowed with window functions"),
        ];
        match refused.iter().find(|(is_so, _)| *is_so) {
            Some((_, what)) => Err(self.refused(what)),
            None => Ok(()),
        }
    }
}

/// What FROM names.
struct Named<'q> {
    /// As the query calls it; what has no name can only be meant by a clause that names nothing.
    name: Option<String>,
    what: What<'q>,
    /// Whether an outer join may have nothing in its place.
    is_padded: bool,
}

enum What<'q> {
    Table(&'q Object),
    MaterializedView(&'q Object),
    View,
    Subquery,
    /// What has no rows that anybody could change, in PostgreSQL's words.
    Nothing(&'static str),
}

struct Finder<'q> {
    catalog: &'q Catalog,
    /// The queries of WITH.
    with: Vec<String>,
    found: Vec<Named<'q>>,
}

impl<'q> Finder<'q> {
    fn joined(&mut self, table: &'q TableWithJoins, is_padded: bool) -> Result<()> {
        let first = self.found.len();
        self.factor(&table.relation, is_padded)?;
        for join in &table.joins {
            use JoinOperator as J;
            let (pads_left, pads_right) = match &join.join_operator {
                J::Left(_) | J::LeftOuter(_) => (false, true),
                J::Right(_) | J::RightOuter(_) => (true, false),
                J::FullOuter(_) => (true, true),
                _ => (false, false),
            };
            self.found[first..].iter_mut().for_each(|named| named.is_padded |= pads_left);
            self.factor(&join.relation, is_padded || pads_right)?;
        }
        Ok(())
    }

    fn factor(&mut self, factor: &'q TableFactor, is_padded: bool) -> Result<()> {
        let (alias, what) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let (own, what) = self.table(name)?;
                let name = alias.as_ref().map_or(own, |alias| fold(&alias.name));
                self.found.push(Named { name: Some(name), what, is_padded });
                return Ok(());
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                return self.joined(table_with_joins, is_padded);
            }
            TableFactor::NestedJoin { alias, .. } => (alias, What::Nothing("a join")),
            TableFactor::Derived { alias, .. } => (alias, What::Subquery),
            TableFactor::Table { alias, .. } | TableFactor::UNNEST { alias, .. } => {
                (alias, What::Nothing("a function"))
            }
            // What it is the binder refuses.
            _ => return Ok(()),
        };
        let name = alias.as_ref().map(|alias| fold(&alias.name));
        self.found.push(Named { name, what, is_padded });
        Ok(())
    }

    fn table(&self, name: &'q ObjectName) -> Result<(String, What<'q>)> {
        let last = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
        if name.0.len() == 1 && self.with.contains(&last) {
            return Ok((last, What::Nothing("a WITH query")));
        }
        if crate::system::table(self.catalog, name).is_some() {
            return Ok((last, What::Nothing("a system table")));
        }
        let ident = unqualified(name)?;
        let object = self.catalog.object(&fold(ident)).map_err(|error| error.at(ident.span))?;
        let what = match object.kind {
            ObjectKind::Table { .. } => What::Table(object),
            ObjectKind::MaterializedView => What::MaterializedView(object),
            ObjectKind::View { .. } => What::View,
        };
        Ok((last, what))
    }
}

impl Named<'_> {
    /// The table that a clause locks; none if there is nothing to lock.
    fn lockable(&self, clause: &Clause) -> Result<Option<&Object>> {
        let table = match &self.what {
            What::Table(table) => table,
            What::Nothing(what) if clause.of.is_some() => {
                return Err(clause.refused(&format!("cannot be applied to {what}")));
            }
            What::Nothing(_) => return Ok(None),
            What::MaterializedView(view) => {
                let message = format!("cannot lock rows in materialized view {:?}", view.name);
                return Err(SqlError::new("42809", message));
            }
            What::View | What::Subquery => {
                let what = if matches!(self.what, What::View) { "view" } else { "subquery" };
                return Err(SqlError::unsupported(format!("{} of the rows of a {what}", clause.strength))
                    .hint("Say by OF which tables are meant, or lock the rows of the table by themselves."));
            }
        };
        if self.is_padded {
            return Err(clause.refused("cannot be applied to the nullable side of an outer join"));
        }
        Ok(Some(table))
    }
}

/// Binds a query that has locking clauses.
pub(crate) fn bind(catalog: &Catalog, query: &Query, parameters: &Parameters) -> Result<Prepared> {
    let clauses: Vec<Clause> = query.locks.iter().map(Clause::new).collect::<Result<_>>()?;
    let first = clauses.first().expect("it has locking clauses");
    let unlocked = Query { locks: Vec::new(), ..query.clone() };
    let select = match &*query.body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { .. } => {
            return Err(first.refused("is not allowed with UNION/INTERSECT/EXCEPT"));
        }
        SetExpr::Values(_) => return Err(first.refused("cannot be applied to VALUES")),
        _ => return Err(first.refused("of a query in parentheses is not supported")),
    };
    clauses.iter().try_for_each(|clause| clause.check(select, query))?;
    let with = query.with.iter().flat_map(|with| &with.cte_tables);
    let with = with.map(|cte| fold(&cte.alias.name)).collect();
    let mut finder = Finder { catalog, with, found: Vec::new() };
    select.from.iter().try_for_each(|table| finder.joined(table, false))?;
    let mut locked: Vec<(&str, &Object, Wait)> = Vec::new();
    for clause in &clauses {
        let mut is_found = clause.of.is_none();
        for named in &finder.found {
            if let Some(of) = &clause.of {
                if named.name.as_ref() != Some(&fold(of)) {
                    continue;
                }
                is_found = true;
            }
            let Some(object) = named.lockable(clause)? else { continue };
            let name = named.name.as_deref().expect("a table has a name");
            match locked.iter_mut().find(|(other, ..)| *other == name) {
                // Who asks for the same rows twice does not wait if one of them says so.
                Some((.., wait)) => *wait = clause.wait.max(*wait),
                None => locked.push((name, object, clause.wait)),
            }
        }
        if let (false, Some(of)) = (is_found, &clause.of) {
            let (name, strength) = (fold(of), clause.strength);
            let message = format!("relation {name:?} in {strength} clause not found in FROM clause");
            return Err(SqlError::new("42P01", message).at(of.span));
        }
    }
    if locked.is_empty() {
        return bind_query(catalog, &unlocked, parameters);
    }
    with_targets(catalog, unlocked, select, &locked, parameters)
}

/// Binds the query with the columns of what is locked.
fn with_targets(
    catalog: &Catalog,
    mut query: Query,
    select: &Select,
    locked: &[(&str, &Object, Wait)],
    parameters: &Parameters,
) -> Result<Prepared> {
    // Before the rest, which is to know of all parameters.
    let nothing = Scope::default();
    let cut = Cut::new(&Binder::new(&nothing, parameters), limit_clause(&query)?)?;
    (query.limit_clause, query.fetch) = (None, None);
    let mut select = select.clone();
    let mut targets = Vec::new();
    let mut width = 0;
    for (name, object, wait) in locked {
        let (table, key) = object.table().expect("only tables are locked");
        for column in &object.columns {
            let quoted = |name: &str| Ident { span: Span::empty(), ..Ident::with_quote('"', name) };
            let expr = Ast::CompoundIdentifier(vec![quoted(name), quoted(&column.name)]);
            let alias = quoted(&format!("\u{1}locked{width}"));
            select.projection.push(SelectItem::ExprWithAlias { expr, alias });
            width += 1;
        }
        targets.push(Target {
            table,
            name: object.name.clone(),
            view: catalog.view(object.own_path()).id,
            wait: *wait,
            key: key.to_vec(),
            types: object.columns.iter().map(|column| column.ty.engine()).collect(),
            first: width - object.columns.len(),
        });
    }
    *query.body = SetExpr::Select(Box::new(select));
    let query = bind_query(catalog, &query, parameters)?;
    let shown = query.columns.len() - width;
    targets.iter_mut().for_each(|target| target.first += shown);
    let columns = query.columns[..shown].to_vec();
    let types = columns.iter().map(|column| column.ty.engine()).collect();
    Ok(Prepared {
        parameters: query.parameters.clone(),
        columns,
        warnings: query.warnings.clone(),
        relations: Vec::new(),
        bound: Bound::Locking(Box::new(Locking { query, targets, types, cut })),
    })
}

/// Refuses locking clauses in a part of a statement.
pub(crate) fn refuse_inside(query: &Query) -> Result<()> {
    match query.locks.first() {
        None => Ok(()),
        Some(clause) => {
            let strength = Clause::new(clause)?.strength;
            let span = clause.of.as_ref().map_or(Span::empty(), |of| of.span());
            Err(SqlError::unsupported(format!("{strength} in a part of a statement")).at(span))
        }
    }
}
