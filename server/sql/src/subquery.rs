//! IN and EXISTS over subqueries in WHERE: joins that keep the rows that have a partner, or that have none.
//!
//! The subquery of EXISTS may name columns of the query around it, in equalities. `x NOT IN (...)` is refused where the
//! subquery can give NULL, since then it is true of nothing, which is never what is meant.

use crate::error::{Result, SqlError};
use crate::expression::{Binder, conjuncts};
use crate::from::Source;
use crate::planner::Planner;
use crate::scope::{Scope, ScopeColumn};
use crate::typed::{Typed, unify};
use operators::Stream;
use operators::expr::{CompareOp, Expr, col_at};
use sqlparser::ast::{Expr as Ast, Query, SetExpr, UnaryOperator};

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
        let left = Binder::new(&source.scope, self.parameters).bind(ast)?;
        let relation = self.query(query)?;
        let [column] = relation.columns.as_slice() else {
            return Err(SqlError::syntax("the subquery of IN must have one column"));
        };
        let right = Typed::new(col_at(column.at as u32), column.ty);
        let (mut pair, _) = unify("IN", vec![left, right], self.parameters)?;
        let right = pair.pop().expect("two went in");
        let left = pair.remove(0);
        let nullable = |planner: &Self, stream: Stream, expr: &Expr| {
            expr.resolve(planner.builder.columns(stream)).is_ok_and(|(bound, _)| bound.nullable())
        };
        if negated && nullable(self, relation.stream, &right) {
            return Err(SqlError::unsupported("NOT IN over a subquery that can give NULL")
                .hint("Write NOT EXISTS (SELECT ... WHERE ... = ...)."));
        }
        // NULL is not known to be outside of any set that is not empty.
        let conditions = if negated && nullable(self, source.stream, &left) {
            vec![left.clone().is_not_null()]
        } else {
            Vec::new()
        };
        source.stream = self.filtered(source.stream, &conditions)?;
        let name = self.hidden_name("in");
        let keys = self.map(relation.stream, vec![(name, right)])?;
        self.semi(source, keys, &[left], negated)
    }

    fn filter_exists(&mut self, source: &mut Source, query: &Query, negated: bool) -> Result<()> {
        let SetExpr::Select(select) = &*query.body else {
            return Err(SqlError::unsupported("EXISTS over a set operation"));
        };
        let plain = query.with.is_none()
            && query.limit_clause.is_none()
            && select.having.is_none()
            && select.group_by == sqlparser::ast::GroupByExpr::Expressions(Vec::new(), Vec::new());
        if !plain {
            return Err(SqlError::unsupported("EXISTS over a query with WITH, GROUP BY, HAVING or LIMIT"));
        }
        let conditions = select.selection.as_ref().map(conjuncts).unwrap_or_default();
        let (nested, conditions): (Vec<&Ast>, Vec<&Ast>) =
            conditions.into_iter().partition(|ast| subquery_condition(ast).is_some());
        let (mut inner, conditions) = self.from(&select.from, conditions)?;
        let width = self.builder.columns(source.stream).len() as u32;
        let both = around(&source.scope, &inner.scope, width as usize);
        let mut own = Vec::new();
        let mut pairs: Vec<(Expr, Expr)> = Vec::new();
        for ast in conditions {
            if let Ok(condition) = Binder::new(&inner.scope, self.parameters).condition(ast) {
                own.push(condition);
                continue;
            }
            let bound = Binder::new(&both, self.parameters).condition(ast)?;
            let pair = outer_and_inner(&bound, width).ok_or_else(|| {
                SqlError::unsupported(format!(
                    "the condition {ast} between a subquery and the query around it"
                ))
                .hint("An equality of an outer and an inner expression is.")
            })?;
            pairs.push(pair);
        }
        inner.stream = self.filtered(inner.stream, &own)?;
        for ast in nested {
            self.filter_by_subquery(&mut inner, ast)?;
        }
        if pairs.is_empty() {
            // Whether there is any row at all: one constant stands for all of them.
            pairs.push((operators::expr::lit(0), operators::expr::lit(0)));
        }
        let (outer, keys): (Vec<Expr>, Vec<Expr>) = pairs.into_iter().unzip();
        let keys = keys.into_iter().map(|key| (self.hidden_name("exists"), key)).collect();
        let keys = self.map(inner.stream, keys)?;
        self.semi(source, keys, &outer, negated)
    }
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

/// The sides of an equality of an outer and an inner expression.
fn outer_and_inner(expr: &Expr, width: u32) -> Option<(Expr, Expr)> {
    let Expr::Compare(CompareOp::Eq, left, right) = expr else { return None };
    let is_outer = |expr: &Expr| crate::columns::columns_of(expr).iter().all(|at| *at < width);
    let is_inner = |expr: &Expr| crate::columns::columns_of(expr).iter().all(|at| *at >= width);
    let inner = |expr: &Expr| crate::columns::shift_down(expr, width);
    if is_outer(left) && is_inner(right) {
        Some(((**left).clone(), inner(right)))
    } else if is_outer(right) && is_inner(left) {
        Some(((**right).clone(), inner(left)))
    } else {
        None
    }
}
