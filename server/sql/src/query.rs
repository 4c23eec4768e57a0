//! Queries: WITH, set operations, ORDER BY and LIMIT around SELECTs.

use crate::aggregate::direction;
use crate::error::{Result, SqlError};
use crate::names::fold;
use crate::planner::{OutputColumn, Planner, Relation};
use crate::select::ordinal;
use operators::Stream;
use operators::accumulator::Aggregate;
use operators::expr::{Expr, col, col_at, lit};
use sqlparser::ast::{
    Cte, Expr as Ast, LimitClause, OrderBy, OrderByExpr, OrderByKind, Query, SetExpr, SetOperator,
    SetQuantifier, Value,
};

impl Planner<'_> {
    /// The plan of a query.
    pub(crate) fn query(&mut self, query: &Query) -> Result<Relation> {
        let relation = self.ranked_query(query)?;
        refuse_rank(&relation)?;
        Ok(relation)
    }

    /// The plan of a query whose rows may be numbered, which a query around it makes use of.
    pub(crate) fn ranked_query(&mut self, query: &Query) -> Result<Relation> {
        refuse_clauses(query)?;
        let outside = self.named.len();
        let relation = self.query_with(query).and_then(|relation| {
            let (limit, offset) = limit(query)?;
            self.limited(relation, limit, offset)
        });
        self.named.truncate(outside);
        relation
    }

    /// The plan of a query but for its LIMIT and OFFSET, which are left to the caller.
    pub(crate) fn query_without_limit(&mut self, query: &Query) -> Result<Relation> {
        refuse_clauses(query)?;
        let outside = self.named.len();
        let relation = self.query_with(query);
        self.named.truncate(outside);
        let relation = relation?;
        refuse_rank(&relation)?;
        Ok(relation)
    }

    fn query_with(&mut self, query: &Query) -> Result<Relation> {
        if let Some(with) = &query.with {
            if with.recursive {
                return Err(SqlError::unsupported("WITH RECURSIVE"));
            }
            for cte in &with.cte_tables {
                let relation = self.cte(cte)?;
                self.named.push((fold(&cte.alias.name), relation));
            }
        }
        let order_by = order_by(query.order_by.as_ref())?;
        self.body(&query.body, order_by)
    }

    fn cte(&mut self, cte: &Cte) -> Result<Relation> {
        let mut relation = self.ranked_query(&cte.query)?;
        if cte.alias.columns.len() > relation.columns.len() {
            return Err(SqlError::new("42P10", "more column names than columns"));
        }
        for (column, alias) in relation.columns.iter_mut().zip(&cte.alias.columns) {
            column.name = fold(&alias.name);
        }
        Ok(relation)
    }

    fn body(&mut self, body: &SetExpr, order_by: &[OrderByExpr]) -> Result<Relation> {
        match body {
            SetExpr::Select(select) => self.select(select, order_by),
            SetExpr::Query(query) => {
                let relation = self.ranked_query(query)?;
                self.ordered(relation, order_by)
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let left = self.body(left, &[])?;
                let right = self.body(right, &[])?;
                refuse_rank(&left).and(refuse_rank(&right))?;
                let relation = self.set_operation(*op, *set_quantifier, left, right)?;
                self.ordered(relation, order_by)
            }
            SetExpr::Values(values) => {
                let relation = self.values(values)?;
                self.ordered(relation, order_by)
            }
            other => Err(SqlError::unsupported(format!("{other} as a query"))),
        }
    }

    /// Takes an order by names or numbers of the columns.
    fn ordered(&mut self, mut relation: Relation, order_by: &[OrderByExpr]) -> Result<Relation> {
        if order_by.is_empty() {
            return Ok(relation);
        }
        relation.order.clear();
        for by in order_by {
            let (descending, unusual_nulls) = direction(by)?;
            let by_name = |name: &str| relation.columns.iter().position(|column| column.name == name);
            let found = match (&by.expr, ordinal(&by.expr)) {
                (_, Some(number)) => number.checked_sub(1).filter(|at| *at < relation.columns.len()),
                (Ast::Identifier(name), _) => by_name(&fold(name)),
                _ => None,
            };
            let Some(column) = found.filter(|_| !unusual_nulls) else {
                return Err(SqlError::unsupported(format!("ORDER BY {by} over a set operation"))
                    .hint("Order by names or numbers of columns, or in a query around it."));
            };
            relation.order.push((relation.columns[column].at, descending));
        }
        Ok(relation)
    }

    fn set_operation(
        &mut self,
        op: SetOperator,
        quantifier: SetQuantifier,
        left: Relation,
        right: Relation,
    ) -> Result<Relation> {
        let keeps_all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => false,
            other => return Err(SqlError::unsupported(format!("{op} {other}"))),
        };
        if left.columns.len() != right.columns.len() {
            return Err(SqlError::syntax(format!("each {op} query must have the same number of columns")));
        }
        let mut columns = Vec::new();
        for (at, (l, r)) in left.columns.iter().zip(&right.columns).enumerate() {
            let ty = l.ty.common(r.ty).ok_or_else(|| {
                SqlError::types(format!("{op} types {} and {} cannot be matched", l.ty, r.ty))
                    .hint("Add a cast to one of them.")
            })?;
            columns.push(OutputColumn { name: l.name.clone(), ty, at });
        }
        let left = self.in_columns(&left, &columns)?;
        let right = self.in_columns(&right, &columns)?;
        let stream = match (op, keeps_all) {
            (SetOperator::Union, _) => self.builder.union_all(&[left, right])?,
            (_, true) => return Err(SqlError::unsupported(format!("{op} ALL"))),
            (SetOperator::Intersect, false) => self.by_origin(left, right, true)?,
            (SetOperator::Except | SetOperator::Minus, false) => self.by_origin(left, right, false)?,
        };
        let once = op == SetOperator::Union && !keeps_all;
        let stream = if once { self.builder.distinct(stream)? } else { stream };
        let unique = (!keeps_all).then(|| (0..columns.len()).collect());
        Ok(Relation {
            stream,
            columns,
            unique,
            order: Vec::new(),
            limited: false,
            empty_row: None,
            rank: None,
        })
    }

    /// Only these columns, converted to their types.
    fn in_columns(&mut self, relation: &Relation, columns: &[OutputColumn]) -> Result<Stream> {
        let converted = relation.columns.iter().zip(columns).map(|(from, to)| {
            let column = col_at(from.at as u32);
            let same = from.ty.engine() == to.ty.engine();
            (to.name.clone(), if same { column } else { column.cast(to.ty.engine()) })
        });
        self.map(relation.stream, converted.collect())
    }

    /// The different rows of the left stream that are also in the right one, or that are not.
    fn by_origin(&mut self, left: Stream, right: Stream, in_both: bool) -> Result<Stream> {
        let width = self.builder.columns(left).len();
        let (left, _) = self.with_columns(left, &[lit(0)])?;
        let (right, _) = self.with_columns(right, &[lit(1)])?;
        let both = self.builder.union_all(&[left, right])?;
        let group = self.names_at(both, &(0..width).collect::<Vec<_>>());
        let group: Vec<&str> = group.iter().map(String::as_str).collect();
        let origin = self.name_at(both, width);
        let (first, last) = (self.hidden_name("first"), self.hidden_name("last"));
        let aggregates =
            [(first.as_str(), Aggregate::min(&*origin)), (last.as_str(), Aggregate::max(&*origin))];
        let groups = self.builder.aggregate(both, &group, &aggregates)?;
        let condition = if in_both { col(&*first).eq(0).and(col(&*last).eq(1)) } else { col(&*last).eq(0) };
        let kept = self.builder.filter(groups, condition)?;
        let columns: Vec<(String, Expr)> =
            (0..width).map(|at| (self.name_at(kept, at), col_at(at as u32))).collect();
        self.map(kept, columns)
    }

    fn limited(&mut self, mut relation: Relation, limit: Option<u32>, offset: u32) -> Result<Relation> {
        if limit.is_none() && offset == 0 {
            return Ok(relation);
        }
        refuse_rank(&relation)?;
        relation.limited = true;
        relation.empty_row = None;
        if limit == Some(0) {
            relation.stream = self.builder.filter(relation.stream, lit(false))?;
            return Ok(relation);
        }
        let order = self.plan_order(relation.stream, &relation.order);
        let limit = limit.unwrap_or(u32::MAX - offset);
        relation.stream = self.builder.top_k_after(relation.stream, &[], &order, offset, limit)?;
        Ok(relation)
    }
}

fn refuse_rank(relation: &Relation) -> Result<()> {
    match &relation.rank {
        Some(rank) => Err(crate::rank::unsupported(&relation.columns[rank.column].name)),
        None => Ok(()),
    }
}

fn refuse_clauses(query: &Query) -> Result<()> {
    crate::locking::refuse_inside(query)?;
    let clauses = [
        (query.for_clause.is_some(), "FOR"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
        (!query.pipe_operators.is_empty(), "a pipe"),
    ];
    match clauses.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(SqlError::unsupported(what)),
        None => Ok(()),
    }
}

/// The expressions of ORDER BY.
pub(crate) fn order_by(order_by: Option<&OrderBy>) -> Result<&[OrderByExpr]> {
    match order_by.map(|order_by| &order_by.kind) {
        None => Ok(&[]),
        Some(OrderByKind::Expressions(list)) => Ok(list),
        Some(OrderByKind::All(_)) => Err(SqlError::unsupported("ORDER BY ALL")),
    }
}

/// The expressions of LIMIT (or FETCH) and OFFSET.
pub(crate) fn limit_clause(query: &Query) -> Result<(Option<&Ast>, Option<&Ast>)> {
    let (limit, offset) = match &query.limit_clause {
        None => (None, None),
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        Some(other) => return Err(SqlError::unsupported(other.to_string())),
    };
    match &query.fetch {
        None => Ok((limit, offset)),
        Some(fetch) if !fetch.with_ties && !fetch.percent => Ok((fetch.quantity.as_ref(), offset)),
        Some(fetch) => Err(SqlError::unsupported(fetch.to_string())),
    }
}

pub(crate) fn limit(query: &Query) -> Result<(Option<u32>, u32)> {
    let constant = |ast: &Ast| match ast {
        Ast::Value(value) => match &value.value {
            Value::Null => Ok(None),
            Value::Number(digits, _) => digits
                .parse::<u32>()
                .map(Some)
                .map_err(|_| SqlError::new("2201W", format!("LIMIT {digits} is out of range"))),
            other => Err(SqlError::unsupported(format!("LIMIT {other} in a view"))),
        },
        other => Err(SqlError::unsupported(format!("LIMIT {other} in a view"))),
    };
    let (limit, offset) = limit_clause(query)?;
    let limit = limit.map(constant).transpose()?.flatten();
    Ok((limit, offset.map(constant).transpose()?.flatten().unwrap_or(0)))
}
