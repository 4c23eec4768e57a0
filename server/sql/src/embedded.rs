//! Subqueries inside of expressions: each becomes a column of the rows around it, which the expression then names.
//!
//! `EXISTS` and `IN` become a truth value (of `IN`, with NULL where it is not known), a subquery as a value its value.
//! Such a subquery has one row at most by its form: an aggregate without GROUP BY, a row by its key, or what LIMIT 1 leaves. In
//! a query that is run once it may be another, which fails where it has several rows. It may name columns of the query around
//! it in equalities.

use crate::aggregate::{Call, Grouping};
use crate::change::parse_expr;
use crate::columns::{replace_columns, shift_down};
use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::from::Source;
use crate::function::AT_MOST_ONE;
use crate::join::substitute;
use crate::planner::{Place, Planner};
use crate::query::limit;
use crate::scope::{Scope, ScopeColumn};
use crate::select::{has_aggregate, is_grouped, ordinal, unnamed};
use crate::sql_type::SqlType;
use crate::typed::{Typed, unify};
use operators::Stream;
use operators::expr::{CompareOp, Expr, case, col_at, lit, null};
use sqlparser::ast::{
    Expr as Ast, FunctionArguments, Ident, OrderByExpr, Query, Select, SelectItem, SetExpr, Visit, VisitMut,
    Visitor, VisitorMut,
};
use std::cell::RefCell;
use std::ops::ControlFlow;

/// The table that the columns made of subqueries are of; no SQL name equals it.
const TABLE: &str = "\u{1}subquery";

/// Whether there is a subquery in it.
pub(crate) fn has_subquery(ast: &Ast) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    ast.visit(&mut Finder).is_break()
}

/// A list and an order with columns in place of subqueries.
pub(crate) type Embedded = (Select, Vec<OrderByExpr>);

impl Planner<'_> {
    /// The expression with columns in place of its subqueries; the source gets these columns.
    pub(crate) fn embed(&mut self, source: &mut Source, ast: &Ast) -> Result<Ast> {
        struct Embedder<'p, 'c, 's> {
            planner: &'p mut Planner<'c>,
            source: &'s mut Source,
        }
        impl VisitorMut for Embedder<'_, '_, '_> {
            type Break = SqlError;
            fn pre_visit_expr(&mut self, ast: &mut Ast) -> ControlFlow<SqlError> {
                match self.planner.subquery_column(self.source, ast) {
                    Ok(Some(column)) => *ast = column,
                    Ok(None) => {}
                    Err(error) => return ControlFlow::Break(error),
                }
                ControlFlow::Continue(())
            }
        }
        let mut ast = ast.clone();
        match VisitMut::visit(&mut ast, &mut Embedder { planner: self, source }) {
            ControlFlow::Continue(()) => Ok(ast),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// A SELECT with columns in place of the subqueries in its list and its order; none if there are no such.
    pub(crate) fn embed_select(
        &mut self,
        source: &mut Source,
        select: &Select,
        order_by: &[OrderByExpr],
    ) -> Result<Option<Embedded>> {
        let in_item = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(ast) | SelectItem::ExprWithAlias { expr: ast, .. } => has_subquery(ast),
            _ => false,
        };
        let any = select.projection.iter().any(in_item) || order_by.iter().any(|by| has_subquery(&by.expr));
        if !any || is_grouped(select, order_by) {
            return Ok(None);
        }
        let (mut select, mut order_by) = (select.clone(), order_by.to_vec());
        for item in &mut select.projection {
            let (ast, alias) = match item {
                SelectItem::UnnamedExpr(ast) => {
                    let name = unnamed(ast);
                    (&*ast, Ident::with_quote('"', name))
                }
                SelectItem::ExprWithAlias { expr, alias } => (&*expr, alias.clone()),
                _ => continue,
            };
            let expr = self.embed(source, ast)?;
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
        for by in &mut order_by {
            by.expr = self.embed(source, &by.expr)?;
        }
        Ok(Some((select, order_by)))
    }

    /// The column for an expression that is a subquery.
    fn subquery_column(&mut self, source: &mut Source, ast: &Ast) -> Result<Option<Ast>> {
        let (at, ty) = match ast {
            Ast::Subquery(query) => match self.value_of(source, query)? {
                Value::Column(at, ty) => (at, ty),
                Value::OfOneRow { count, value, ty } => {
                    let [count, value] = [(count, SqlType::BigInt), (value, ty)]
                        .map(|(at, ty)| self.hidden_column(source, at, ty));
                    // Only where the value is asked for may there be no more than one row.
                    let text = format!("CASE WHEN \"{AT_MOST_ONE}\"({count}) THEN {value} END");
                    return parse_expr(&text).map(Some);
                }
            },
            Ast::Function(function) if let FunctionArguments::Subquery(query) = &function.args => {
                if !function.name.to_string().eq_ignore_ascii_case("array") {
                    return Ok(None);
                }
                let collected = Ast::Subquery(Box::new(collected(query)?));
                return self.subquery_column(source, &collected);
            }
            Ast::Exists { subquery, negated } => {
                let (keys, outer) = self.exists_keys(source, subquery)?;
                let found = self.marked(source, keys, &outer)?;
                (self.computed(source, negate(col_at(found as u32), *negated))?, SqlType::Boolean)
            }
            Ast::InSubquery { expr, subquery, negated } => {
                let value = self.is_in(source, expr, subquery)?;
                (self.computed(source, negate(value, *negated))?, SqlType::Boolean)
            }
            _ => return Ok(None),
        };
        Ok(Some(self.hidden_column(source, at, ty)))
    }

    /// Makes a column of the source one that expressions can name, which SQL cannot.
    fn hidden_column(&mut self, source: &mut Source, at: usize, ty: SqlType) -> Ast {
        let name = self.hidden_name("value");
        source.scope.columns.push(ScopeColumn {
            table: Some(TABLE.to_owned()),
            name: name.clone(),
            ty,
            at,
            merged: true,
            rank: false,
        });
        let ident = |name: &str| Ident::with_quote('"', name);
        Ast::CompoundIdentifier(vec![ident(TABLE), ident(&name)])
    }

    /// Whether there is a partner, as a column of the source.
    fn marked(&mut self, source: &mut Source, keys: Stream, on: &[Expr]) -> Result<usize> {
        let keys = self.builder.distinct(keys)?;
        let pairs = on.iter().cloned().zip((0..).map(col_at)).collect();
        self.beside(source, keys, pairs, &lit(true), lit(false))
    }

    /// The source with one more column.
    fn computed(&mut self, source: &mut Source, expr: Expr) -> Result<usize> {
        let (stream, at) = self.with_columns(source.stream, &[expr])?;
        source.stream = stream;
        Ok(at[0])
    }

    /// `left IN (query)`: NULL if it is not known.
    fn is_in(&mut self, source: &mut Source, left: &Ast, query: &Query) -> Result<Expr> {
        let (left, right, stream) = self.in_sides(source, left, query)?;
        let (left_null, right_null) =
            (self.can_be_null(source.stream, &left), self.can_be_null(stream, &right));
        let name = self.hidden_name("in");
        let keys = self.map(stream, vec![(name, right.clone())])?;
        let found = col_at(self.marked(source, keys, std::slice::from_ref(&left))? as u32);
        let mut unknown = Vec::new();
        if right_null {
            let nulls = self.filtered(stream, &[right.is_null()])?;
            unknown.push(col_at(self.any_row(source, nulls)? as u32));
        }
        if left_null {
            unknown.push(left.is_null().and(col_at(self.any_row(source, stream)? as u32)));
        }
        let unknown = operators::expr::any(unknown);
        Ok(case([(found, lit(true)), (unknown, null().cast(operators::Type::Bool))], lit(false)))
    }

    /// Whether a stream has any row, as a column of the source.
    fn any_row(&mut self, source: &mut Source, stream: Stream) -> Result<usize> {
        let name = self.hidden_name("any");
        let keys = self.map(stream, vec![(name, lit(0))])?;
        self.marked(source, keys, &[lit(0)])
    }

    /// The value of a subquery of one row at most.
    fn value_of(&mut self, source: &mut Source, query: &Query) -> Result<Value> {
        if let SetExpr::Select(select) = &*query.body
            && let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
                select.projection.as_slice()
            && crate::subquery::is_plain_query(query, select)
        {
            return match has_aggregate(item) {
                true => self.aggregate_of(source, select, item).map(|(at, ty)| Value::Column(at, ty)),
                false => self.row_of(source, select, item),
            };
        }
        let one_row = limit(query)?.0 == Some(1);
        let relation = self.query(query)?;
        let [column] = relation.columns.as_slice() else {
            return Err(SqlError::new("42601", "a subquery as a value must have one column"));
        };
        let missing = match &relation.empty_row {
            Some(row) => row[0].clone(),
            None if one_row => null().cast(column.ty.engine()),
            None => {
                let inner =
                    Source { stream: relation.stream, scope: Scope::default(), unique: None, cut: false };
                let value = (col_at(column.at as u32), column.ty);
                return self.of_one_row(source, inner, vec![lit(0)], vec![lit(0)], value);
            }
        };
        let on = vec![(lit(0), lit(0))];
        let at = self.beside(source, relation.stream, on, &col_at(column.at as u32), missing)?;
        Ok(Value::Column(at, column.ty))
    }

    /// `(SELECT aggregate FROM ... WHERE inner = outer)`
    fn aggregate_of(&mut self, source: &mut Source, select: &Select, item: &Ast) -> Result<(usize, SqlType)> {
        let (inner, outer, keys) = self.correlated(source, select)?;
        let calls = RefCell::default();
        let grouping = Grouping { inner: &inner.scope, groups: Vec::new(), calls };
        let nothing = Scope::default();
        let binder = Binder { scope: &nothing, parameters: self.parameters, grouping: Some(&grouping) };
        let (value, ty) = binder.bind(item)?.settle(self.parameters)?;
        let of_nothing: Vec<Expr> =
            grouping.calls.borrow().iter().map(|call| if call.counts() { lit(0) } else { null() }).collect();
        let missing = substitute(&value, &of_nothing).cast(ty.engine());
        let width = keys.len() as u32;
        // The keys are never shown, so their types are of no account.
        let groups = keys.into_iter().map(|key| (key, SqlType::Text)).collect();
        let grouping = Grouping { groups, ..grouping };
        let stream = self.aggregated(&inner, &grouping)?;
        let value = replace_columns(&value, &mut |at| col_at(at + width));
        let on = outer.into_iter().zip((0..).map(col_at)).collect();
        Ok((self.beside(source, stream, on, &value, missing)?, ty))
    }

    /// `(SELECT column FROM ... WHERE key = outer)`
    fn row_of(&mut self, source: &mut Source, select: &Select, item: &Ast) -> Result<Value> {
        if select.from.is_empty() {
            let (value, ty) =
                Binder::new(&source.scope, self.parameters).bind(item)?.settle(self.parameters)?;
            return Ok(Value::Column(self.computed(source, value)?, ty));
        }
        let (inner, outer, keys) = self.correlated(source, select)?;
        let fixed = |at: &usize| keys.contains(&col_at(*at as u32));
        let one_row = inner.unique.as_ref().is_some_and(|unique| unique.iter().all(fixed));
        let (value, ty) = Binder::new(&inner.scope, self.parameters).bind(item)?.settle(self.parameters)?;
        if !one_row {
            return self.of_one_row(source, inner, outer, keys, (value, ty));
        }
        let on = outer.into_iter().zip(keys).collect();
        Ok(Value::Column(self.beside(source, inner.stream, on, &value, null().cast(ty.engine()))?, ty))
    }

    /// The value of a subquery of which only its rows tell whether there is one at most: how many there are with the keys
    /// that are equal to `outer`, and the least value of them.
    fn of_one_row(
        &mut self,
        source: &mut Source,
        inner: Source,
        outer: Vec<Expr>,
        keys: Vec<Expr>,
        (value, ty): (Expr, SqlType),
    ) -> Result<Value> {
        if matches!(self.place, Place::Shards) {
            // A view has no way to fail.
            return Err(several_rows());
        }
        let width = keys.len() as u32;
        let groups = keys.into_iter().map(|key| (key, SqlType::Text)).collect();
        let calls = RefCell::new(vec![Call::rows(), Call::least(value)]);
        let grouping = Grouping { inner: &inner.scope, groups, calls };
        let stream = self.aggregated(&inner, &grouping)?;
        let on: Vec<(Expr, Expr)> = outer.into_iter().zip((0..).map(col_at)).collect();
        let count = self.beside(source, stream, on.clone(), &col_at(width), lit(0))?;
        let value = self.beside(source, stream, on, &col_at(width + 1), null().cast(ty.engine()))?;
        Ok(Value::OfOneRow { count, value, ty })
    }
}

/// The value of a subquery.
enum Value {
    /// A column of the source.
    Column(usize, SqlType),
    /// Two columns of the source: how many rows there are, and the value if there is no more than one.
    OfOneRow { count: usize, value: usize, ty: SqlType },
}

/// `ARRAY(query)` as a query of one row.
fn collected(query: &Query) -> Result<Query> {
    let order = crate::query::order_by(query.order_by.as_ref())?;
    let text = match &*query.body {
        SetExpr::Select(select)
            if crate::subquery::is_plain_query(query, select) && !is_grouped(select, order) =>
        {
            let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
                select.projection.as_slice()
            else {
                return Err(SqlError::new("42601", "the subquery of ARRAY must have one column"));
            };
            let by: Vec<String> = order
                .iter()
                .map(|by| match ordinal(&by.expr) {
                    Some(1) => OrderByExpr { expr: item.clone(), ..by.clone() }.to_string(),
                    _ => by.to_string(),
                })
                .collect();
            let by = if by.is_empty() { String::new() } else { format!(" ORDER BY {}", by.join(", ")) };
            let item = parse_expr(&format!("coalesce(array_agg({item}{by}), '{{}}')"))?;
            let select = Select { projection: vec![SelectItem::UnnamedExpr(item)], ..(**select).clone() };
            let body = Box::new(SetExpr::Select(Box::new(select)));
            return Ok(Query { body, order_by: None, ..query.clone() });
        }
        _ => format!("(SELECT coalesce(array_agg(item), '{{}}') FROM ({query}) AS list(item))"),
    };
    match parse_expr(&text)? {
        Ast::Subquery(query) => Ok(*query),
        _ => unreachable!("it is a subquery"),
    }
}

fn several_rows() -> SqlError {
    SqlError::unsupported("a subquery as a value that may have several rows").hint(
        "Aggregate it, say LIMIT 1, or compare all columns of a key with columns of the query around it.",
    )
}

fn negate(expr: Expr, negated: bool) -> Expr {
    if negated { expr.not() } else { expr }
}

/// The sides of an equality of an outer and an inner expression. The outer columns lie in front.
pub(crate) fn outer_and_inner(expr: &Expr, width: u32) -> Option<(Expr, Expr)> {
    let is_outer = |expr: &Expr| crate::columns::columns_of(expr).iter().all(|at| *at < width);
    if is_outer(expr) {
        // Rows for which it is not true have no partner.
        return Some((expr.clone(), lit(true)));
    }
    let Expr::Compare(CompareOp::Eq, left, right) = expr else { return None };
    let is_inner = |expr: &Expr| crate::columns::columns_of(expr).iter().all(|at| *at >= width);
    let inner = |expr: &Expr| shift_down(expr, width);
    if is_outer(left) && is_inner(right) {
        Some(((**left).clone(), inner(right)))
    } else if is_outer(right) && is_inner(left) {
        Some(((**right).clone(), inner(left)))
    } else {
        None
    }
}

/// A subquery's side of `IN` with that of the row around it.
pub(crate) fn unified(
    left: Typed,
    right: Typed,
    parameters: &crate::parameters::Parameters,
) -> Result<(Expr, Expr)> {
    let (pair, ty) = unify("IN", vec![left, right], parameters)?;
    let mut pair = pair.into_iter().map(|expr| crate::interval::length(expr, ty));
    let left = pair.next().expect("two went in");
    Ok((left, pair.next().expect("two went in")))
}
