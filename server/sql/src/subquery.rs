//! IN and EXISTS over subqueries in WHERE: joins that keep the rows that have a partner, or that have none.
//!
//! The subquery of EXISTS may name columns of the query around it, in equalities. Subqueries elsewhere in a condition are
//! those of `embedded.rs`.

use crate::columns::{columns_of, replace_columns};
use crate::embedded::{has_subquery, outer_and_inner, unified};
use crate::error::{Result, SqlError};
use crate::expression::{Binder, conjuncts};
use crate::from::Source;
use crate::planner::Planner;
use crate::scope::{Scope, ScopeColumn};
use crate::typed::Typed;
use operators::expr::{Expr, case, col_at, lit, null};
use operators::{Stream, Type};
use sqlparser::ast::{Expr as Ast, Query, Select, SetExpr, UnaryOperator};

/// A condition by a subquery.
pub(crate) enum SubqueryCondition<'q> {
    /// Expression, subquery, and whether negated.
    In(&'q Ast, &'q Query, bool),
    /// Subquery, and whether negated.
    Exists(&'q Query, bool),
}

/// The condition, if it is one by a subquery.
pub(crate) fn subquery_condition(ast: &Ast) -> Option<SubqueryCondition<'_>> {
    match ast {
        Ast::Nested(inner) => subquery_condition(inner),
        Ast::InSubquery { expr, subquery, negated } => Some(SubqueryCondition::In(expr, subquery, *negated)),
        Ast::Exists { subquery, negated } => Some(SubqueryCondition::Exists(subquery, *negated)),
        Ast::UnaryOp { op: UnaryOperator::Not, expr } => {
            subquery_condition(expr).map(|condition| match condition {
                SubqueryCondition::In(expr, query, negated) => SubqueryCondition::In(expr, query, !negated),
                SubqueryCondition::Exists(query, negated) => SubqueryCondition::Exists(query, !negated),
            })
        }
        _ => None,
    }
}

impl Planner<'_> {
    /// Keeps the rows of `source` for which the condition holds.
    pub(crate) fn filter_by_subquery(&mut self, source: &mut Source, ast: &Ast) -> Result<()> {
        match subquery_condition(ast).expect("the caller has looked") {
            SubqueryCondition::In(expr, query, negated) => self.filter_in(source, expr, query, negated),
            SubqueryCondition::Exists(query, negated) => self.filter_exists(source, query, negated),
        }
    }

    fn filter_in(&mut self, source: &mut Source, ast: &Ast, query: &Query, negated: bool) -> Result<()> {
        let (left, right, stream) = self.in_sides(source, ast, query)?;
        let name = self.hidden_name("in");
        if negated {
            self.without_unknown(source, &left, stream, &right)?;
        }
        let keys = self.map(stream, vec![(name, right)])?;
        self.semi(source, keys, &[left], negated)
    }

    /// Drops the rows for which `left NOT IN (...)` is not known: all if there is a NULL on the right, and those with NULL
    /// on the left if there is anything on the right.
    fn without_unknown(
        &mut self,
        source: &mut Source,
        left: &Expr,
        stream: Stream,
        right: &Expr,
    ) -> Result<()> {
        if self.can_be_null(stream, right) {
            let nulls = self.filtered(stream, &[right.clone().is_null()])?;
            let name = self.hidden_name("in");
            let keys = self.map(nulls, vec![(name, lit(0))])?;
            self.semi(source, keys, &[lit(0)], true)?;
        }
        if self.can_be_null(source.stream, left) {
            let name = self.hidden_name("in");
            let keys = self.map(stream, vec![(name, lit(0))])?;
            // NULL finds no partner, so rows with a value on the left stay.
            let key = case([(left.clone().is_null(), lit(0))], null().cast(Type::Int));
            self.semi(source, keys, &[key], true)?;
        }
        Ok(())
    }

    /// Both sides of `ast IN (query)`, and the stream that the right one is over.
    pub(crate) fn in_sides(
        &mut self,
        source: &Source,
        ast: &Ast,
        query: &Query,
    ) -> Result<(Expr, Expr, Stream)> {
        let left = Binder::new(&source.scope, self.parameters).bind(ast)?;
        let relation = self.query(query)?;
        let [column] = relation.columns.as_slice() else {
            return Err(SqlError::syntax("the subquery of IN must have one column"));
        };
        let right = Typed::new(col_at(column.at as u32), column.ty);
        let (left, right) = unified(left, right, self.parameters)?;
        Ok((left, right, relation.stream))
    }

    pub(crate) fn can_be_null(&self, stream: Stream, expr: &Expr) -> bool {
        let placed = self.parameters.placed(expr);
        placed.resolve(self.builder.columns(stream)).is_ok_and(|(bound, _)| bound.nullable())
    }

    fn filter_exists(&mut self, source: &mut Source, query: &Query, negated: bool) -> Result<()> {
        let (keys, outer) = self.exists_keys(source, query)?;
        self.semi(source, keys, &outer, negated)
    }

    /// The keys by which rows of the source find rows of a subquery of EXISTS, and what these are equal to.
    pub(crate) fn exists_keys(&mut self, source: &Source, query: &Query) -> Result<(Stream, Vec<Expr>)> {
        let SetExpr::Select(select) = &*query.body else {
            return Err(SqlError::unsupported("EXISTS over a set operation"));
        };
        if !is_plain_query(query, select) {
            return Err(SqlError::unsupported("EXISTS over a query with WITH, GROUP BY, HAVING or LIMIT"));
        }
        let (inner, outer, keys) = self.correlated(source, select)?;
        let keys = keys.into_iter().map(|key| (self.hidden_name("exists"), key)).collect();
        Ok((self.map(inner.stream, keys)?, outer))
    }

    /// The rows of a subquery, and the equalities that tie them to rows of the source: outer expressions, and inner ones.
    pub(crate) fn correlated(
        &mut self,
        source: &Source,
        select: &Select,
    ) -> Result<(Source, Vec<Expr>, Vec<Expr>)> {
        let conditions = select.selection.as_ref().map(conjuncts).unwrap_or_default();
        let (nested, conditions): (Vec<&Ast>, Vec<&Ast>) =
            conditions.into_iter().partition(|ast| has_subquery(ast));
        let (mut inner, conditions) = self.from(&select.from, conditions)?;
        let width = self.builder.columns(source.stream).len() as u32;
        let both = around(&source.scope, &inner.scope, width as usize);
        let mut own = Vec::new();
        let mut pairs: Vec<(Expr, Expr)> = Vec::new();
        let mut between: Vec<(&Ast, Expr)> = Vec::new();
        for ast in conditions {
            if let Ok(condition) = Binder::new(&inner.scope, self.parameters).condition(ast) {
                own.push(condition);
                continue;
            }
            let bound = Binder::new(&both, self.parameters).condition(ast)?;
            match outer_and_inner(&bound, width) {
                Some(pair) if pairs.contains(&pair) => {}
                Some(pair) => pairs.push(pair),
                None => between.push((ast, bound)),
            }
        }
        for (ast, bound) in between {
            // Where the outer columns are equal to inner ones it is about the inner ones alone.
            own.push(within(&bound, width, &pairs).ok_or_else(|| {
                SqlError::unsupported(format!(
                    "the condition {ast} between a subquery and the query around it"
                ))
                .hint("An equality of an outer and an inner expression is.")
            })?);
        }
        inner.stream = self.filtered(inner.stream, &own)?;
        for ast in nested {
            self.filter_where(&mut inner, ast)?;
        }
        if pairs.is_empty() {
            // Whether there is any row at all: one constant stands for all of them.
            pairs.push((lit(0), lit(0)));
        }
        let (outer, keys) = pairs.into_iter().unzip();
        Ok((inner, outer, keys))
    }

    /// Keeps the rows for which a condition with subqueries in it is true.
    pub(crate) fn filter_where(&mut self, source: &mut Source, ast: &Ast) -> Result<()> {
        if subquery_condition(ast).is_some() {
            return self.filter_by_subquery(source, ast);
        }
        let ast = self.embed(source, ast)?;
        let condition = Binder::new(&source.scope, self.parameters).condition(&ast)?;
        source.stream = self.filtered(source.stream, &[condition])?;
        Ok(())
    }
}

/// A condition over both with inner expressions in place of the outer columns that are equal to them; none if some are
/// equal to nothing.
fn within(bound: &Expr, width: u32, pairs: &[(Expr, Expr)]) -> Option<Expr> {
    let inner =
        |at: u32| pairs.iter().find(|(outer, _)| *outer == col_at(at)).map(|(_, inner)| inner.clone());
    let known = columns_of(bound).into_iter().all(|at| at >= width || inner(at).is_some());
    let replaced = |at: u32| if at < width { inner(at).expect("it is known") } else { col_at(at - width) };
    known.then(|| replace_columns(bound, &mut { replaced }))
}

/// Whether a query is a SELECT with nothing but FROM and WHERE.
pub(crate) fn is_plain_query(query: &Query, select: &Select) -> bool {
    query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.having.is_none()
        && select.distinct.is_none()
        && select.group_by == sqlparser::ast::GroupByExpr::Expressions(Vec::new(), Vec::new())
}

/// The columns of a subquery and of the query around it; the inner ones hide outer ones of the same name.
fn around(outer: &Scope, inner: &Scope, width: usize) -> Scope {
    let hidden = |column: &ScopeColumn| {
        inner.columns.iter().any(|other| other.table.is_some() && other.table == column.table)
    };
    let mut columns: Vec<ScopeColumn> =
        inner.columns.iter().map(|column| ScopeColumn { at: column.at + width, ..column.clone() }).collect();
    for column in outer.columns.iter().filter(|column| !hidden(column)) {
        // Found with its table's name only, where an inner column has the name.
        let merged = column.merged || inner.columns.iter().any(|other| other.name == column.name);
        columns.push(ScopeColumn { merged, ..column.clone() });
    }
    Scope { columns }
}
