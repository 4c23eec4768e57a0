//! SELECT: from rows through groups to the columns of a result.

use crate::aggregate::{Grouping, direction, is_aggregate};
use crate::embedded::has_subquery;
use crate::error::{Result, SqlError};
use crate::expression::{Binder, conjuncts};
use crate::from::Source;
use crate::join::substitute;
use crate::names::{fold, object_name, unqualified};
use crate::planner::{OutputColumn, Planner, ROW_NUMBER, Relation};
use crate::rank::{self, Rank};
use crate::scope::Scope;
use crate::sql_type::SqlType;
use crate::typed::Typed;
use operators::Stream;
use operators::accumulator::Aggregate;
use operators::expr::{Expr, col_at, lit, null};
use operators::order::Order;
use sqlparser::ast::{
    Distinct, Expr as Ast, GroupByExpr, Ident, OrderByExpr, OrderByOptions, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Spanned, Value, Visit, Visitor,
};
use std::cell::RefCell;
use std::ops::ControlFlow;

/// A column of the select list.
enum Item<'q> {
    Ast(String, &'q Ast),
    Column(String, SqlType, usize),
}

impl Item<'_> {
    fn name(&self) -> &str {
        match self {
            Item::Ast(name, _) | Item::Column(name, ..) => name,
        }
    }
}

/// A column of a result before there is a stream that has it.
pub(crate) type Output = (String, Expr, SqlType);

/// What a result is computed by: columns that are seen, columns that it is only ordered by, and that order.
pub(crate) struct Outputs {
    pub(crate) columns: Vec<Output>,
    pub(crate) visible: usize,
    /// Column and whether descending.
    pub(crate) order: Vec<(usize, bool)>,
    /// The first ones of the order that DISTINCT ON names.
    distinct_on: usize,
    /// A column that stands for the number of a row.
    rank: Option<Rank>,
}

impl Planner<'_> {
    /// A SELECT with the ORDER BY that follows it.
    pub(crate) fn select(&mut self, select: &Select, order_by: &[OrderByExpr]) -> Result<Relation> {
        refuse_clauses(select)?;
        let (subqueries, conditions) = select
            .selection
            .as_ref()
            .map(conjuncts)
            .unwrap_or_default()
            .into_iter()
            .partition::<Vec<_>, _>(|ast| has_subquery(ast));
        let (mut source, conditions) = self.from(&select.from, conditions)?;
        let binder = Binder::new(&source.scope, self.parameters);
        let conditions =
            conditions.into_iter().map(|ast| binder.condition(ast)).collect::<Result<Vec<_>>>()?;
        source.stream = self.filtered(source.stream, &conditions)?;
        for ast in subqueries {
            self.filter_where(&mut source, ast)?;
        }
        let kept = kept_order(select, &source.scope);
        let order_by = if order_by.is_empty() { &kept } else { order_by };
        let embedded = self.embed_select(&mut source, select, order_by)?;
        let (select, order_by) = match &embedded {
            Some((select, order_by)) => (select, order_by.as_slice()),
            None => (select, order_by),
        };
        let items = items(select, &source.scope)?;
        let groups = self.groups(select, &source.scope, &items)?;
        let aggregates = |ast: &Ast| has_aggregate(ast);
        let grouped = groups.is_some()
            || select.having.is_some()
            || items.iter().any(|item| matches!(item, Item::Ast(_, ast) if aggregates(ast)))
            || order_by.iter().any(|by| aggregates(&by.expr));
        if grouped {
            return self.grouped(select, source, items, groups.unwrap_or_default(), order_by);
        }
        let binder = Binder::new(&source.scope, self.parameters);
        let outputs = outputs(&binder, &items, order_by, select.distinct.as_ref())?;
        self.finish(select, source.stream, source.unique, outputs, None)
    }

    /// The expressions of GROUP BY; none without it.
    fn groups(
        &self,
        select: &Select,
        scope: &Scope,
        items: &[Item<'_>],
    ) -> Result<Option<Vec<(Expr, SqlType)>>> {
        let list = match &select.group_by {
            GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => list,
            other => return Err(SqlError::unsupported(other.to_string())),
        };
        if list.is_empty() {
            return Ok(None);
        }
        let binder = Binder::new(scope, self.parameters);
        let mut groups: Vec<(Expr, SqlType)> = Vec::new();
        for ast in list {
            let (expr, ty) = group(&binder, ast, items)?.settle(self.parameters)?;
            if !groups.iter().any(|(other, _)| *other == expr) {
                groups.push((expr, ty));
            }
        }
        Ok(Some(groups))
    }

    fn grouped(
        &mut self,
        select: &Select,
        source: Source,
        items: Vec<Item<'_>>,
        groups: Vec<(Expr, SqlType)>,
        order_by: &[OrderByExpr],
    ) -> Result<Relation> {
        let grouping = Grouping { inner: &source.scope, groups, calls: RefCell::default() };
        let nothing = Scope::default();
        let binder = Binder { scope: &nothing, parameters: self.parameters, grouping: Some(&grouping) };
        let items = items
            .into_iter()
            .map(|item| match item {
                Item::Column(name, ty, at) => {
                    match grouping.groups.iter().position(|(group, _)| *group == col_at(at as u32)) {
                        Some(group) => Ok(Item::Column(name, ty, group)),
                        None => Err(SqlError::new(
                            "42803",
                            format!("column {name:?} must be in GROUP BY or in an aggregate"),
                        )),
                    }
                }
                item => Ok(item),
            })
            .collect::<Result<Vec<_>>>()?;
        let outputs = outputs(&binder, &items, order_by, select.distinct.as_ref())?;
        let having = select.having.as_ref().map(|having| binder.condition(having)).transpose()?;
        let stream = self.aggregated(&source, &grouping)?;
        let stream = self.filtered(stream, having.as_slice())?;
        let groups = grouping.groups.len();
        let whole = groups == 0 && having.is_none() && select.distinct.is_none();
        let empty_row = whole.then(|| {
            let calls = grouping.calls.borrow();
            let of_nothing: Vec<Expr> =
                calls.iter().map(|call| if call.counts() { lit(0) } else { null() }).collect();
            outputs.columns.iter().map(|(_, expr, _)| substitute(expr, &of_nothing)).collect()
        });
        self.finish(select, stream, Some((0..groups).collect()), outputs, empty_row)
    }

    /// The groups: their columns, then the aggregates.
    pub(crate) fn aggregated(&mut self, source: &Source, grouping: &Grouping<'_>) -> Result<Stream> {
        let calls = grouping.calls.borrow();
        let mut needed: Vec<Expr> = grouping.groups.iter().map(|(group, _)| group.clone()).collect();
        for call in calls.iter() {
            needed.extend(call.argument.iter().cloned());
            needed.extend(call.order.iter().map(|(expr, _)| expr.clone()));
        }
        let (stream, positions) = self.with_columns(source.stream, &needed)?;
        let mut names = self.names_at(stream, &positions).into_iter();
        let group: Vec<String> = names.by_ref().take(grouping.groups.len()).collect();
        let mut aggregates: Vec<(String, Aggregate)> = Vec::new();
        for call in calls.iter() {
            let argument = call.argument.as_ref().map(|_| names.next().expect("one was asked for"));
            let order: Vec<String> = names.by_ref().take(call.order.len()).collect();
            aggregates.push((self.hidden_name("aggregate"), call.over(argument.as_deref(), &order)));
        }
        let group: Vec<&str> = group.iter().map(String::as_str).collect();
        let aggregates: Vec<(&str, Aggregate)> =
            aggregates.iter().map(|(name, aggregate)| (name.as_str(), aggregate.clone())).collect();
        Ok(self.builder.aggregate(stream, &group, &aggregates)?)
    }

    /// From rows or groups to the result.
    fn finish(
        &mut self,
        select: &Select,
        input: Stream,
        unique: Option<Vec<usize>>,
        outputs: Outputs,
        empty_row: Option<Vec<Expr>>,
    ) -> Result<Relation> {
        let Outputs { columns, visible, order, distinct_on, rank } = outputs;
        if rank.is_some() && select.distinct.is_some() {
            return Err(SqlError::unsupported("row_number() with DISTINCT"));
        }
        let kept = |at: &usize| columns.iter().position(|(_, expr, _)| *expr == col_at(*at as u32));
        let unique: Option<Vec<usize>> = unique.and_then(|key| key.iter().map(kept).collect());
        let named = columns.iter().map(|(name, expr, _)| (name.clone(), expr.clone())).collect();
        let mut stream = self.map(input, named)?;
        let mut unique = unique;
        match &select.distinct {
            Some(Distinct::Distinct) => {
                // Where NULLs go in the order of a column is no value of its own.
                let (shown, hidden) = columns.split_at(visible);
                let of_shown =
                    |expr: &Expr| shown.iter().any(|(_, other, _)| *expr == other.clone().is_null());
                if !hidden.iter().all(|(_, expr, _)| of_shown(expr)) {
                    return Err(SqlError::new(
                        "42P10",
                        "for SELECT DISTINCT, ORDER BY expressions must be in the select list",
                    ));
                }
                stream = self.builder.distinct(stream)?;
                unique = unique.or_else(|| Some((0..columns.len()).collect()));
            }
            Some(Distinct::On(_)) => {
                let group: Vec<usize> = order[..distinct_on].iter().map(|(at, _)| *at).collect();
                let names = self.names_at(stream, &group);
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let by = self.plan_order(stream, &order[distinct_on..]);
                stream = self.builder.top_k(stream, &names, &by, 1)?;
                unique = Some(group);
            }
            _ => {}
        }
        let columns = columns.into_iter().take(visible).enumerate();
        Ok(Relation {
            stream,
            columns: columns.map(|(at, (name, _, ty))| OutputColumn { name, ty, at }).collect(),
            unique,
            order,
            limited: false,
            empty_row,
            rank,
        })
    }

    /// An order by the names that the plan has.
    pub(crate) fn plan_order(&self, stream: Stream, order: &[(usize, bool)]) -> Vec<Order> {
        order
            .iter()
            .map(|(at, descending)| Order { column: self.name_at(stream, *at), descending: *descending })
            .collect()
    }
}

/// The order of rows that the query itself says, where nothing asks for another and every row is one of the result.
fn kept_order(select: &Select, scope: &Scope) -> Vec<OrderByExpr> {
    let one = matches!(select.from.as_slice(), [table] if table.joins.is_empty());
    let numbered = scope.columns.iter().find(|column| column.name == ROW_NUMBER);
    let Some(table) = numbered.and_then(|column| column.table.as_ref()) else { return Vec::new() };
    if !one || select.distinct.is_some() || is_grouped(select, &[]) {
        return Vec::new();
    }
    let parts = [table.as_str(), ROW_NUMBER].map(|part| Ident::with_quote('"', part));
    vec![OrderByExpr {
        expr: Ast::CompoundIdentifier(parts.to_vec()),
        options: OrderByOptions::default(),
        with_fill: None,
    }]
}

fn refuse_clauses(select: &Select) -> Result<()> {
    let clauses = [
        (select.into.is_some(), "SELECT INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty() || !select.distribute_by.is_empty(), "CLUSTER BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (!select.named_window.is_empty(), "WINDOW"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.top.is_some(), "TOP"),
        (select.exclude.is_some(), "EXCLUDE"),
    ];
    match clauses.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(SqlError::unsupported(what)),
        None => Ok(()),
    }
}

/// Whether rows are groups.
pub(crate) fn is_grouped(select: &Select, order_by: &[OrderByExpr]) -> bool {
    let no_groups = matches!(&select.group_by, GroupByExpr::Expressions(list, _) if list.is_empty());
    let in_list = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(ast) | SelectItem::ExprWithAlias { expr: ast, .. } => has_aggregate(ast),
        _ => false,
    });
    !no_groups || select.having.is_some() || in_list || order_by.iter().any(|by| has_aggregate(&by.expr))
}

/// Whether a call of an aggregate is in it; those in subqueries are their own affair.
pub(crate) fn has_aggregate(ast: &Ast) -> bool {
    #[derive(Default)]
    struct Finder {
        /// How many subqueries are around.
        depth: usize,
    }
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Ast) -> ControlFlow<()> {
            match expr {
                Ast::Function(function) if function.over.is_none() && self.depth == 0 => {
                    match object_name(&function.name) {
                        Ok(name) if is_aggregate(&name) => ControlFlow::Break(()),
                        _ => ControlFlow::Continue(()),
                    }
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    ast.visit(&mut Finder::default()).is_break()
}

/// The select list with `*` spelled out.
fn items<'q>(select: &'q Select, scope: &Scope) -> Result<Vec<Item<'q>>> {
    let mut items = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(ast) => items.push(Item::Ast(unnamed(ast), ast)),
            SelectItem::ExprWithAlias { expr, alias } => items.push(Item::Ast(fold(alias), expr)),
            SelectItem::Wildcard(_) => {
                let shown = scope.columns.iter().filter(|column| !column.merged && !column.is_dropped());
                scope.refuse_ranks()?;
                scope.refuse_leaving(None)?;
                items.extend(shown.map(|c| Item::Column(c.name.clone(), c.ty, c.at)));
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), _) => {
                let ident = unqualified(table)?;
                let name = fold(ident);
                let own = scope.columns.iter().filter(|column| column.table.as_ref() == Some(&name));
                let own = own.filter(|column| !column.is_dropped());
                let before = items.len();
                scope.refuse_ranks()?;
                scope.refuse_leaving(Some(&name))?;
                items.extend(own.map(|c| Item::Column(c.name.clone(), c.ty, c.at)));
                if items.len() == before {
                    let message = format!("missing FROM-clause entry for table {name:?}");
                    return Err(SqlError::new("42P01", message).at(ident.span));
                }
            }
            other => return Err(SqlError::unsupported(format!("{other} in a select list"))),
        }
    }
    if items.is_empty() {
        return Err(SqlError::unsupported("an empty select list"));
    }
    Ok(items)
}

/// The name that an expression's column gets, as in PostgreSQL.
pub(crate) fn unnamed(ast: &Ast) -> String {
    match ast {
        Ast::Identifier(name) => fold(name),
        Ast::CompoundIdentifier(parts) => parts.last().map(fold).unwrap_or_default(),
        Ast::Nested(inner) => unnamed(inner),
        Ast::Function(function) => object_name(&function.name).unwrap_or_default(),
        Ast::Cast { expr, data_type, .. } => match unnamed(expr) {
            name if name == "?column?" => data_type.to_string().to_lowercase(),
            name => name,
        },
        Ast::Case { .. } => "case".to_owned(),
        Ast::Exists { .. } => "exists".to_owned(),
        Ast::Array(_) => "array".to_owned(),
        Ast::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.as_slice() {
                [SelectItem::UnnamedExpr(ast)] => unnamed(ast),
                [SelectItem::ExprWithAlias { alias, .. }] => fold(alias),
                _ => "?column?".to_owned(),
            },
            _ => "?column?".to_owned(),
        },
        Ast::Extract { .. } => "extract".to_owned(),
        Ast::Substring { .. } => "substring".to_owned(),
        Ast::Trim { .. } => "btrim".to_owned(),
        Ast::Value(value) if matches!(value.value, Value::Boolean(_)) => "bool".to_owned(),
        _ => "?column?".to_owned(),
    }
}

/// An expression of GROUP BY: a number or a name of the select list, or an expression over the rows.
fn group(binder: &Binder<'_>, ast: &Ast, items: &[Item<'_>]) -> Result<Typed> {
    let item = |item: &Item<'_>| match item {
        Item::Ast(_, ast) => binder.bind(ast),
        Item::Column(_, ty, at) => Ok(Typed::new(col_at(*at as u32), *ty)),
    };
    if let Some(number) = ordinal(ast) {
        let found = number.checked_sub(1).and_then(|at| items.get(at));
        let found = found.ok_or_else(|| SqlError::new("42P10", format!("GROUP BY has no column {number}")));
        return item(found?);
    }
    match binder.bind(ast) {
        Err(error) => match ast {
            // A name that is no column may be one of the select list.
            Ast::Identifier(name) => match items.iter().find(|item| item.name() == fold(name)) {
                Some(found) => item(found),
                None => Err(error),
            },
            _ => Err(error),
        },
        bound => bound,
    }
}

/// The number of a column of the select list.
pub(crate) fn ordinal(ast: &Ast) -> Option<usize> {
    match ast {
        Ast::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a SELECT neither groups nor drops equal rows.
pub(crate) fn is_plain(select: &Select, order_by: &[OrderByExpr]) -> bool {
    let nested = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(ast) | SelectItem::ExprWithAlias { expr: ast, .. } => has_subquery(ast),
        _ => false,
    });
    let plain = !is_grouped(select, order_by) && !nested;
    plain && matches!(select.distinct, None | Some(Distinct::All)) && refuse_clauses(select).is_ok()
}

/// The select list and ORDER BY of a SELECT that neither groups nor drops equal rows.
pub(crate) fn projection(binder: &Binder<'_>, select: &Select, order_by: &[OrderByExpr]) -> Result<Outputs> {
    refuse_clauses(select)?;
    outputs(binder, &items(select, binder.scope)?, order_by, None)
}

/// Binds the select list and ORDER BY.
fn outputs(
    binder: &Binder<'_>,
    items: &[Item<'_>],
    order_by: &[OrderByExpr],
    distinct: Option<&Distinct>,
) -> Result<Outputs> {
    let mut columns: Vec<Output> = Vec::new();
    let mut window = None;
    for item in items {
        columns.push(match item {
            Item::Ast(name, ast) if let Some(spec) = rank::row_number(ast) => {
                if window.replace((columns.len(), spec?)).is_some() {
                    return Err(SqlError::unsupported("row_number() twice in a select list"));
                }
                (name.clone(), lit(1), SqlType::BigInt)
            }
            Item::Column(name, ty, at) => (name.clone(), col_at(*at as u32), *ty),
            Item::Ast(name, ast) => {
                let (expr, ty) =
                    binder.bind(ast)?.settle(binder.parameters).map_err(|error| error.at(ast.span()))?;
                (name.clone(), expr, ty)
            }
        });
    }
    let mut outputs =
        Outputs { visible: columns.len(), columns, order: Vec::new(), distinct_on: 0, rank: None };
    if let Some((column, spec)) = window {
        outputs.rank = Some(outputs.rank(binder, spec, column)?);
    }
    if let Some(Distinct::On(list)) = distinct {
        let on: Vec<usize> =
            list.iter().map(|ast| outputs.order_column(binder, ast)).collect::<Result<_>>()?;
        // ORDER BY begins with what DISTINCT ON names, in any order.
        for by in order_by.iter().take(on.len()) {
            if !on.contains(&outputs.order_column(binder, &by.expr)?) {
                return Err(SqlError::new(
                    "42P10",
                    "ORDER BY must begin with the expressions of DISTINCT ON",
                ));
            }
        }
        let missing = on.iter().map(|at| (*at, false));
        if order_by.len() < on.len() {
            outputs.order = missing.collect();
            outputs.distinct_on = on.len();
            return Ok(outputs);
        }
        outputs.distinct_on = on.len();
    }
    for by in order_by {
        let (descending, unusual_nulls) = direction(by)?;
        let at = outputs.order_column(binder, &by.expr)?;
        if unusual_nulls {
            let (_, expr, _) = &outputs.columns[at];
            let at = outputs.column(expr.clone().is_null(), SqlType::Boolean);
            outputs.order.push((at, !descending));
        }
        outputs.order.push((at, descending));
    }
    Ok(outputs)
}

impl Outputs {
    /// Whether a column stands for the number of a row.
    pub(crate) fn has_rank(&self) -> bool {
        self.rank.is_some()
    }

    /// The columns of the rows below that the result is ordered by, if it is by nothing else.
    pub(crate) fn order_columns(&self) -> Option<Vec<(u32, bool)>> {
        let column = |(at, descending): &(usize, bool)| match self.columns[*at].1 {
            Expr::ColumnAt(column) => Some((column, *descending)),
            _ => None,
        };
        self.order.iter().map(column).collect()
    }

    /// The column of this expression, added behind the others if it is none of them.
    pub(crate) fn column(&mut self, expr: Expr, ty: SqlType) -> usize {
        self.columns.iter().position(|(_, other, _)| *other == expr).unwrap_or_else(|| {
            self.columns.push((format!("\u{1}order{}", self.columns.len()), expr, ty));
            self.columns.len() - 1
        })
    }

    /// What ORDER BY names: a number or a name of the select list, or an expression over the rows.
    fn order_column(&mut self, binder: &Binder<'_>, ast: &Ast) -> Result<usize> {
        if let Some(number) = ordinal(ast) {
            return number
                .checked_sub(1)
                .filter(|at| *at < self.visible)
                .ok_or_else(|| SqlError::new("42P10", format!("ORDER BY has no column {number}")));
        }
        if let Ast::Identifier(name) = ast {
            let name = fold(name);
            if let Some(at) = self.columns[..self.visible].iter().position(|(other, ..)| *other == name) {
                return Ok(at);
            }
        }
        let (expr, ty) = binder.bind(ast)?.settle(binder.parameters)?;
        Ok(self.column(expr, ty))
    }
}
