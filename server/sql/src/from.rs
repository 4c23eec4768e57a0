//! FROM: tables, views, subqueries, and their joins.

use crate::catalog::is_dropped_name;
use crate::error::{Result, SqlError};
use crate::expression::conjuncts;
use crate::join::{Condition, Kind, Side};
use crate::names::{fold, object_name, unqualified};
use crate::planner::{Planner, ROW_NUMBER, Relation};
use crate::rank;
use crate::scope::{LEAVING, Scope, ScopeColumn};
use crate::sql_type::SqlType;
use crate::typed::{Typed, unify};
use operators::Stream;
use operators::expr::{coalesce, col_at};
use sqlparser::ast::{
    Expr as Ast, Join, JoinConstraint, JoinOperator, Spanned, TableAlias, TableFactor, TableWithJoins,
};

/// Rows with the columns that can be named.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) stream: Stream,
    pub(crate) scope: Scope,
    /// As in [`Relation`].
    pub(crate) unique: Option<Vec<usize>>,
    /// Rows are left out by a condition of WHERE already.
    pub(crate) cut: bool,
}

impl Planner<'_> {
    /// A table, a view or a subquery.
    fn factor(&mut self, factor: &TableFactor) -> Result<Source> {
        match factor {
            TableFactor::Table { name, alias, args: Some(args), with_ordinality: false, .. }
                if object_name(name).is_ok_and(|name| name == "generate_series") =>
            {
                let column = alias.as_ref().map_or("generate_series".to_owned(), |alias| fold(&alias.name));
                let relation = self.series(&args.args, column)?;
                self.source(relation, Some("generate_series".to_owned()), alias.as_ref())
            }
            TableFactor::Table { name, alias, args: None, with_ordinality: false, sample: None, .. } => {
                let last = name.0.last().and_then(|part| part.as_ident()).map(fold);
                if let Some(relation) = self.system_table(name)? {
                    return self.source(relation, last, alias.as_ref());
                }
                let ident = unqualified(name)?;
                let table = fold(ident);
                let named = self.named.iter().rev().find(|(named, _)| *named == table);
                let relation = match named {
                    Some((_, relation)) if name.0.len() == 1 => relation.clone(),
                    _ => {
                        let object = self.catalog.object(&object_name(name)?);
                        self.object(object.map_err(|error| error.at(ident.span))?)?
                    }
                };
                self.source(relation, Some(table), alias.as_ref())
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality, .. } => {
                let relation = self.unnest(array_exprs, *with_ordinality, alias.as_ref())?;
                self.source(relation, Some("unnest".to_owned()), alias.as_ref())
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                let relation = self.ranked_query(subquery)?;
                self.source(relation, None, alias.as_ref())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.joined(table_with_joins),
            TableFactor::Derived { lateral: true, .. } => Err(SqlError::unsupported("LATERAL")),
            other => Err(SqlError::unsupported(format!("{other} in FROM")).at(other.span())),
        }
    }

    fn source(
        &mut self,
        mut relation: Relation,
        name: Option<String>,
        alias: Option<&TableAlias>,
    ) -> Result<Source> {
        let table = alias.map(|alias| fold(&alias.name)).or(name);
        let renamed = alias.map_or(&[][..], |alias| &alias.columns);
        let mut shown = relation.columns.iter_mut().filter(|column| !is_dropped_name(&column.name));
        for alias in renamed {
            let column = shown.next().filter(|column| column.name != LEAVING);
            let column = column.ok_or_else(|| SqlError::new("42P10", "more column aliases than columns"))?;
            column.name = fold(&alias.name);
        }
        let cut = relation.rank.is_some();
        let rank = self.ranked(&mut relation, table.as_deref())?;
        let columns = relation.columns.iter().enumerate().map(|(number, column)| ScopeColumn {
            table: table.clone(),
            name: column.name.clone(),
            ty: column.ty,
            at: column.at,
            merged: false,
            rank: rank == Some(number),
        });
        let mut scope = Scope { columns: columns.collect() };
        if let [(at, false)] = relation.order[..]
            && self.name_at(relation.stream, at) == ROW_NUMBER
        {
            let (name, ty) = (ROW_NUMBER.to_owned(), SqlType::BigInt);
            scope.columns.push(ScopeColumn { table, name, ty, at, merged: true, rank: false });
        }
        Ok(Source { stream: relation.stream, scope, unique: relation.unique, cut })
    }

    fn joined(&mut self, table: &TableWithJoins) -> Result<Source> {
        let mut source = self.factor(&table.relation)?;
        for join in &table.joins {
            source = self.join_with(source, join)?;
        }
        Ok(source)
    }

    fn join_with(&mut self, left: Source, join: &Join) -> Result<Source> {
        use JoinOperator as J;
        let right = self.factor(&join.relation)?;
        let names = |source: &Source| -> Vec<String> {
            source.scope.columns.iter().filter_map(|column| column.table.clone()).collect()
        };
        if let Some(twice) = names(&right).iter().find(|name| names(&left).contains(name)) {
            return Err(SqlError::new("42712", format!("table name {twice:?} specified more than once"))
                .hint("Give one of them an alias."));
        }
        let (kind, constraint) = match &join.join_operator {
            J::Join(constraint) | J::Inner(constraint) | J::CrossJoin(constraint) => {
                (Kind::Inner, constraint)
            }
            J::Left(constraint) | J::LeftOuter(constraint) => (Kind::Left, constraint),
            J::Right(constraint) | J::RightOuter(constraint) => (Kind::Right, constraint),
            J::FullOuter(constraint) => (Kind::Full, constraint),
            other => return Err(SqlError::unsupported(format!("the join {other:?}"))),
        };
        let is_padded = |side: &Source, kinds: [Kind; 2]| side.cut && kinds.contains(&kind);
        if is_padded(&left, [Kind::Right, Kind::Full]) || is_padded(&right, [Kind::Left, Kind::Full]) {
            return Err(SqlError::unsupported(
                "row_number() of the side of an outer join that may be missing",
            )
            .hint("Compare it with a number in a subquery of its own."));
        }
        let cut = left.cut || right.cut;
        let joined = match constraint {
            JoinConstraint::On(on) => {
                let conditions = conjuncts(on).into_iter().map(Condition::Ast).collect();
                self.join(left, right, kind, conditions)
            }
            JoinConstraint::None => self.join(left, right, kind, Vec::new()),
            JoinConstraint::Using(names) => {
                let names: Vec<String> = names.iter().map(object_name).collect::<Result<_>>()?;
                self.join_using(left, right, kind, &names)
            }
            JoinConstraint::Natural => {
                left.scope.refuse_leaving(None)?;
                right.scope.refuse_leaving(None)?;
                let has = |source: &Source, name: &str| source.scope.columns.iter().any(|c| c.name == name);
                let names = left.scope.columns.iter().filter(|column| !column.is_dropped());
                let names: Vec<String> =
                    names.map(|column| column.name.clone()).filter(|name| has(&right, name)).collect();
                self.join_using(left, right, kind, &names)
            }
        };
        Ok(Source { cut, ..joined? })
    }

    fn join_using(&mut self, left: Source, right: Source, kind: Kind, names: &[String]) -> Result<Source> {
        let width = left.scope.columns.len();
        let mut conditions = Vec::new();
        let mut merged = Vec::new();
        for name in names {
            let ident = sqlparser::ast::Ident::with_quote('"', name);
            let at = |source: &Source| {
                let found = source.scope.find(None, &ident)?;
                let same = |column: &ScopeColumn| std::ptr::eq(column, found);
                Ok::<usize, SqlError>(source.scope.columns.iter().position(same).expect("it was found there"))
            };
            let (l, r) = (at(&left)?, at(&right)?);
            conditions.push(Condition::Columns(l, r));
            merged.push((l, width + r));
        }
        let mut source = self.join(left, right, kind, conditions)?;
        let mut order: Vec<usize> = Vec::new();
        for (l, r) in merged {
            if kind == Kind::Full {
                order.push(self.merge(&mut source, l, r)?);
                continue;
            }
            let (shown, gone) = if kind == Kind::Right { (r, l) } else { (l, r) };
            source.scope.columns[gone].merged = true;
            order.push(shown);
        }
        // What was merged comes first.
        order.extend((0..source.scope.columns.len()).filter(|at| !order.contains(at)).collect::<Vec<_>>());
        source.scope.columns = order.into_iter().map(|at| source.scope.columns[at].clone()).collect();
        Ok(source)
    }

    /// The column that two of a full join are made: of the two the one that is there. Returns its number in the scope.
    fn merge(&mut self, source: &mut Source, left: usize, right: usize) -> Result<usize> {
        let column = |at: usize| {
            let column: &ScopeColumn = &source.scope.columns[at];
            Typed::new(col_at(column.at as u32), column.ty)
        };
        let (pair, ty) = unify("JOIN", vec![column(left), column(right)], self.parameters)?;
        let (stream, at) = self.with_columns(source.stream, &[coalesce(pair)])?;
        source.stream = stream;
        for at in [left, right] {
            source.scope.columns[at].merged = true;
        }
        let name = source.scope.columns[left].name.clone();
        source.scope.columns.push(ScopeColumn {
            table: None,
            name,
            ty,
            at: at[0],
            merged: false,
            rank: false,
        });
        Ok(source.scope.columns.len() - 1)
    }

    /// All of FROM, and those parts of WHERE that are left to do.
    pub(crate) fn from<'q>(
        &mut self,
        from: &[TableWithJoins],
        mut conditions: Vec<&'q Ast>,
    ) -> Result<(Source, Vec<&'q Ast>)> {
        let outside = std::mem::replace(&mut self.rank_conditions, rank::conditions(&conditions));
        let waiting = from.iter().map(|table| self.joined(table)).collect::<Result<Vec<_>>>();
        let ranks = std::mem::replace(&mut self.rank_conditions, outside);
        for used in ranks.iter().rev().filter(|condition| condition.used) {
            conditions.remove(used.number());
        }
        let mut waiting = waiting?;
        let names: Vec<&str> = waiting
            .iter()
            .flat_map(|source| source.scope.columns.first())
            .filter_map(|column| column.table.as_deref())
            .collect();
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(SqlError::new("42712", format!("table name {:?} specified more than once", twice.1)));
        }
        if waiting.is_empty() {
            return Err(SqlError::unsupported("a query without FROM in this place"));
        }
        let mut source = waiting.remove(0);
        while !waiting.is_empty() {
            let linked = waiting.iter().position(|other| {
                conditions.iter().any(|ast| self.side_of(&source, other, ast) == Some(Side::Both))
            });
            let next = waiting.remove(linked.unwrap_or(0));
            let (now, later) =
                conditions.iter().partition(|ast| self.side_of(&source, &next, ast) == Some(Side::Both));
            conditions = later;
            let now: Vec<&Ast> = now;
            source = self.join(source, next, Kind::Inner, now.into_iter().map(Condition::Ast).collect())?;
        }
        Ok((source, conditions))
    }
}
