//! Joins: equalities become the key, what is left becomes filters or part of the key.
//!
//! The engine joins by keys. `left = right` is one when each side uses columns of one input. Of an outer join,
//! conditions over one input alone make the key NULL where they do not hold, so that such a row finds no partner. An
//! inner join without any equality has one constant key: it works, on one shard.
//!
//! A right join is a left join the other way round. A full join is a left join, and the rows of the right input that a
//! left join the other way round finds no partner for. An outer join with conditions that are neither is an inner join with
//! them, and the rows that are in none of its pairs.

use crate::columns::{columns_of, replace_columns, shift_down};
use crate::error::Result;
use crate::expression::Binder;
use crate::from::Source;
use crate::planner::Planner;
use crate::scope::{Scope, ScopeColumn};
use operators::expr::{CompareOp, Expr, all, case, coalesce, col_at, lit, null};
use operators::{JoinKind, Stream};
use sqlparser::ast::Expr as Ast;

/// The joins of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Inner,
    Left,
    Right,
    Full,
}

/// A condition of a join.
pub(crate) enum Condition<'a> {
    Ast(&'a Ast),
    /// Equality of a column of each side, by their numbers in the scopes.
    Columns(usize, usize),
}

/// Which inputs a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Neither,
    Left,
    Right,
    Both,
}

/// A join's conditions, sorted.
#[derive(Default)]
struct Sorted {
    /// Equal in partners; the right ones over the right input alone.
    keys: Vec<(Expr, Expr)>,
    left: Vec<Expr>,
    /// Over the right input alone.
    right: Vec<Expr>,
    residual: Vec<Expr>,
}

/// Two inputs with their key columns, and where these are.
type Keyed = (Stream, Stream, Vec<(usize, usize)>);

impl Planner<'_> {
    fn width(&self, stream: Stream) -> usize {
        self.builder.columns(stream).len()
    }

    /// What a condition is about; none if it cannot be bound over the two.
    pub(crate) fn side_of(&self, left: &Source, right: &Source, ast: &Ast) -> Option<Side> {
        let width = self.width(left.stream);
        let scope = combined(&left.scope, width, &right.scope, 0);
        let bound = Binder::new(&scope, self.parameters).condition(ast).ok()?;
        Some(side(&bound, width as u32))
    }

    /// The join of two inputs.
    pub(crate) fn join(
        &mut self,
        left: Source,
        right: Source,
        kind: Kind,
        conditions: Vec<Condition<'_>>,
    ) -> Result<Source> {
        let width = self.width(left.stream);
        let scope = combined(&left.scope, width, &right.scope, 0);
        let sorted = self.sort(&left, &right, &scope, conditions)?;
        if kind != Kind::Inner && !sorted.residual.is_empty() {
            return self.outer_with_residual(&left, &right, kind, scope, &sorted);
        }
        match kind {
            Kind::Inner => self.inner(&left, &right, scope, &sorted),
            Kind::Left => {
                let unique = unique(&left, &right, &sorted, width);
                let stream = self.left(left.stream, right.stream, &sorted)?;
                self.narrow(stream.0, stream.1, width, self.width(right.stream), scope, unique)
            }
            Kind::Right => self.right(&left, &right, sorted),
            Kind::Full => self.full(&left, &right, scope, sorted),
        }
    }

    fn sort(
        &mut self,
        left: &Source,
        right: &Source,
        scope: &Scope,
        conditions: Vec<Condition<'_>>,
    ) -> Result<Sorted> {
        let width = self.width(left.stream) as u32;
        let mut sorted = Sorted::default();
        for condition in conditions {
            let bound = match condition {
                Condition::Ast(ast) => Binder::new(scope, self.parameters).condition(ast)?,
                Condition::Columns(l, r) => {
                    let side = |column: &ScopeColumn, shift: u32| {
                        crate::typed::Typed::new(col_at(column.at as u32 + shift), column.ty)
                    };
                    let pair = vec![side(&left.scope.columns[l], 0), side(&right.scope.columns[r], width)];
                    let (mut pair, _) = crate::typed::unify("JOIN", pair, self.parameters)?;
                    let r = pair.pop().expect("two went in");
                    pair.remove(0).eq(r)
                }
            };
            let parts = match bound {
                Expr::And(parts) => parts,
                other => vec![other],
            };
            parts.into_iter().for_each(|part| sorted.take(part, width));
        }
        Ok(sorted)
    }

    fn inner(&mut self, left: &Source, right: &Source, scope: Scope, sorted: &Sorted) -> Result<Source> {
        let (l, r) = (self.filtered(left.stream, &sorted.left)?, self.filtered(right.stream, &sorted.right)?);
        let (left_width, right_width) = (self.width(l), self.width(r));
        let unique = unique(left, right, sorted, left_width);
        let (l, r, on) = self.keyed(l, r, &sorted.keys)?;
        let stream = self.join_on(l, r, &on, JoinKind::Inner)?;
        let shift = self.width(l);
        let mut source = self.narrow(stream, shift, left_width, right_width, scope, unique)?;
        source.stream = self.filtered(source.stream, &sorted.residual)?;
        Ok(source)
    }

    /// The stream with the rows for which all of these are true.
    pub(crate) fn filtered(&mut self, stream: Stream, conditions: &[Expr]) -> Result<Stream> {
        let mut conditions: Vec<Expr> =
            conditions.iter().map(|condition| self.parameters.placed(condition)).collect();
        match conditions.len() {
            0 => Ok(stream),
            1 => Ok(self.builder.filter(stream, conditions.remove(0))?),
            _ => Ok(self.builder.filter(stream, all(conditions))?),
        }
    }

    /// Both inputs with their key columns, and where these are; a constant if there are none.
    fn keyed(&mut self, left: Stream, right: Stream, keys: &[(Expr, Expr)]) -> Result<Keyed> {
        let (mut l, mut r): (Vec<Expr>, Vec<Expr>) = keys.iter().cloned().unzip();
        if keys.is_empty() {
            (l, r) = (vec![lit(0)], vec![lit(0)]);
        }
        let (left, l) = self.with_columns(left, &l)?;
        let (right, r) = self.with_columns(right, &r)?;
        Ok((left, right, l.into_iter().zip(r).collect()))
    }

    pub(crate) fn join_on(
        &mut self,
        left: Stream,
        right: Stream,
        on: &[(usize, usize)],
        kind: JoinKind,
    ) -> Result<Stream> {
        let on: Vec<(String, String)> =
            on.iter().map(|(l, r)| (self.name_at(left, *l), self.name_at(right, *r))).collect();
        let on: Vec<(&str, &str)> = on.iter().map(|(l, r)| (l.as_str(), r.as_str())).collect();
        Ok(self.builder.join(left, right, &on, kind)?)
    }

    /// A left join, and where the right input's columns begin in it.
    fn left(&mut self, left: Stream, right: Stream, sorted: &Sorted) -> Result<(Stream, usize)> {
        let right = self.filtered(right, &sorted.right)?;
        let keys = sorted.keys_where(&sorted.left, &[]);
        let (l, r, on) = self.keyed(left, right, &keys)?;
        Ok((self.join_on(l, r, &on, JoinKind::Left)?, self.width(l)))
    }

    /// Drops columns that only the join needed: those behind the left input's own and behind the right input's.
    fn narrow(
        &mut self,
        stream: Stream,
        right_at: usize,
        left_width: usize,
        right_width: usize,
        scope: Scope,
        unique: Option<Vec<usize>>,
    ) -> Result<Source> {
        let kept = (0..left_width).chain(right_at..right_at + right_width);
        let columns: Vec<(String, Expr)> =
            kept.map(|at| (self.name_at(stream, at), col_at(at as u32))).collect();
        Ok(Source { stream: self.map(stream, columns)?, scope, unique, cut: false })
    }

    /// An outer join with conditions that are no keys: the pairs for which all hold, and the rows that are in none of them.
    fn outer_with_residual(
        &mut self,
        left: &Source,
        right: &Source,
        kind: Kind,
        scope: Scope,
        sorted: &Sorted,
    ) -> Result<Source> {
        let (left_width, right_width) = (self.width(left.stream), self.width(right.stream));
        let unique = if kind == Kind::Full { None } else { unique(left, right, sorted, left_width) };
        let pairs = self.inner(left, right, scope.clone(), sorted)?.stream;
        let mut all = vec![pairs];
        if kind != Kind::Right {
            let alone = self.in_no_pair(left, pairs, 0)?;
            all.push(self.padded(alone, left_width, pairs, left_width, false)?);
        }
        if kind != Kind::Left {
            let alone = self.in_no_pair(right, pairs, left_width)?;
            all.push(self.padded(alone, right_width, pairs, left_width, true)?);
        }
        let stream = self.builder.union_all(&all)?;
        Ok(Source { stream, scope, unique, cut: false })
    }

    /// The rows of an input that are in no pair, in which its columns begin at `first`.
    fn in_no_pair(&mut self, input: &Source, pairs: Stream, first: usize) -> Result<Stream> {
        let all: Vec<usize> = (0..self.width(input.stream)).collect();
        let columns = input.unique.as_ref().filter(|key| !key.is_empty()).unwrap_or(&all);
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        for at in columns {
            let column = &self.builder.columns(input.stream)[*at];
            let (here, there) = (col_at(*at as u32), col_at((first + at) as u32));
            if !column.nullable {
                own.push(here);
                theirs.push(there);
                continue;
            }
            // A key finds no NULL, so that there is one is said by itself.
            let filling = || crate::typed::sample(column.ty);
            own.extend([here.clone().is_null(), coalesce([here, lit(filling())])]);
            theirs.extend([there.clone().is_null(), coalesce([there, lit(filling())])]);
        }
        let keys = theirs.into_iter().map(|expr| (self.hidden_name("pair"), expr)).collect();
        let keys = self.map(pairs, keys)?;
        let mut alone = input.clone();
        self.semi(&mut alone, keys, &own, true)?;
        Ok(alone.stream)
    }

    /// Rows of one input in the columns of pairs, with NULL for the other's. `behind`: they are the right ones.
    fn padded(
        &mut self,
        rows: Stream,
        width: usize,
        pairs: Stream,
        left_width: usize,
        behind: bool,
    ) -> Result<Stream> {
        let first = if behind { left_width } else { 0 };
        let columns: Vec<(String, operators::Type)> =
            self.builder.columns(pairs).iter().map(|column| (column.name.clone(), column.ty)).collect();
        let columns = columns.into_iter().enumerate().map(|(at, (name, ty))| {
            let own = at.checked_sub(first).filter(|at| *at < width);
            (name, own.map_or_else(|| null().cast(ty), |at| col_at(at as u32)))
        });
        self.map(rows, columns.collect())
    }

    /// The source with a column more: `value` over the row of the right input that is its partner, of which there is one at
    /// most, or `missing`. Returns where the column is.
    pub(crate) fn beside(
        &mut self,
        source: &mut Source,
        right: Stream,
        on: Vec<(Expr, Expr)>,
        value: &Expr,
        missing: Expr,
    ) -> Result<usize> {
        let width = self.width(source.stream);
        let (right, extra) = self.with_columns(right, &[value.clone(), lit(true)])?;
        let sorted = Sorted { keys: on, ..Sorted::default() };
        let (stream, right_at) = self.left(source.stream, right, &sorted)?;
        let [value, marker] = [extra[0], extra[1]].map(|at| col_at((right_at + at) as u32));
        let mut columns: Vec<(String, Expr)> =
            (0..width).map(|at| (self.name_at(stream, at), col_at(at as u32))).collect();
        columns.push((self.hidden_name("beside"), case([(marker.is_null(), missing)], value)));
        source.stream = self.map(stream, columns)?;
        Ok(width)
    }

    fn right(&mut self, left: &Source, right: &Source, sorted: Sorted) -> Result<Source> {
        let (left_width, right_width) = (self.width(left.stream), self.width(right.stream));
        let swapped = sorted.swapped();
        let unique = unique(right, left, &swapped, right_width);
        let (stream, left_at) = self.left(right.stream, left.stream, &swapped)?;
        let scope = combined(&left.scope, 0, &right.scope, right_width);
        self.narrow(stream, left_at, right_width, left_width, scope, unique)
    }

    fn full(&mut self, left: &Source, right: &Source, scope: Scope, sorted: Sorted) -> Result<Source> {
        let (left_width, right_width) = (self.width(left.stream), self.width(right.stream));
        let keys = sorted.keys_where(&sorted.left, &sorted.right);
        let plain = |keys: Vec<(Expr, Expr)>| Sorted { keys, ..Sorted::default() };
        let back = keys.iter().cloned().map(|(l, r)| (r, l)).collect();
        let (stream, right_at) = self.left(left.stream, right.stream, &plain(keys))?;
        let first = self.narrow(stream, right_at, left_width, right_width, scope.clone(), None)?;
        let alone = self.without_partner(right.stream, left.stream, &plain(back))?;
        let types: Vec<(String, operators::Type)> =
            self.builder.columns(left.stream).iter().map(|column| (column.name.clone(), column.ty)).collect();
        let mut columns: Vec<(String, Expr)> =
            types.into_iter().map(|(name, ty)| (name, null().cast(ty))).collect();
        for at in 0..right_width {
            columns.push((self.name_at(alone, at), col_at(at as u32)));
        }
        let second = self.map(alone, columns)?;
        let stream = self.builder.union_all(&[first.stream, second])?;
        Ok(Source { stream, scope, unique: None, cut: false })
    }

    /// The rows of the left input that have no partner, with some columns more behind them.
    fn without_partner(&mut self, left: Stream, right: Stream, sorted: &Sorted) -> Result<Stream> {
        let (right, marker) = self.with_columns(right, &[lit(true)])?;
        let (stream, right_at) = self.left(left, right, sorted)?;
        let marker = col_at((right_at + marker[0]) as u32);
        Ok(self.builder.filter(stream, marker.is_null())?)
    }

    /// The rows of `source` that have a partner among the rows of `keys`, or that have none. `on` are expressions over
    /// the source, equal to the columns of `keys` one by one.
    pub(crate) fn semi(&mut self, source: &mut Source, keys: Stream, on: &[Expr], anti: bool) -> Result<()> {
        let width = self.width(source.stream);
        let keys = self.builder.distinct(keys)?;
        let pairs = on.iter().cloned().zip((0..).map(col_at)).collect();
        let sorted = Sorted { keys: pairs, ..Sorted::default() };
        let stream = if anti {
            self.without_partner(source.stream, keys, &sorted)?
        } else {
            let (l, r, on) = self.keyed(source.stream, keys, &sorted.keys)?;
            self.join_on(l, r, &on, JoinKind::Inner)?
        };
        let columns = (0..width).map(|at| (self.name_at(stream, at), col_at(at as u32))).collect();
        source.stream = self.map(stream, columns)?;
        Ok(())
    }
}

impl Sorted {
    fn take(&mut self, part: Expr, width: u32) {
        if let Expr::Compare(CompareOp::Eq, l, r) = &part {
            match (side(l, width), side(r, width)) {
                (Side::Left, Side::Right) => return self.keys.push(((**l).clone(), shift_down(r, width))),
                (Side::Right, Side::Left) => return self.keys.push(((**r).clone(), shift_down(l, width))),
                _ => {}
            }
        }
        match side(&part, width) {
            Side::Left | Side::Neither => self.left.push(part),
            Side::Right => self.right.push(shift_down(&part, width)),
            Side::Both => self.residual.push(part),
        }
    }

    /// The keys, NULL where these conditions over one input do not hold.
    fn keys_where(&self, left: &[Expr], right: &[Expr]) -> Vec<(Expr, Expr)> {
        let mut keys = self.keys.clone();
        if keys.is_empty() {
            keys.push((lit(0), lit(0)));
        }
        let (l, r) = &mut keys[0];
        let only_where = |key: &mut Expr, conditions: &[Expr]| {
            if !conditions.is_empty() {
                *key = case([(all(conditions.to_vec()), key.clone())], null());
            }
        };
        only_where(l, left);
        only_where(r, right);
        keys
    }

    fn swapped(self) -> Sorted {
        Sorted {
            keys: self.keys.into_iter().map(|(l, r)| (r, l)).collect(),
            left: self.right,
            right: self.left,
            residual: self.residual,
        }
    }
}

fn side(expr: &Expr, width: u32) -> Side {
    let columns = columns_of(expr);
    let (left, right) = (columns.iter().any(|at| *at < width), columns.iter().any(|at| *at >= width));
    match (left, right) {
        (false, false) => Side::Neither,
        (true, false) => Side::Left,
        (false, true) => Side::Right,
        (true, true) => Side::Both,
    }
}

/// Both scopes as one: the right one's columns lie behind `left_width` others, the left one's behind `left_at`.
fn combined(left: &Scope, left_width: usize, right: &Scope, left_at: usize) -> Scope {
    // With the sides swapped the right input lies in front.
    let (left_shift, right_shift) = if left_at > 0 { (left_at, 0) } else { (0, left_width) };
    let shifted = |scope: &Scope, by: usize| -> Vec<ScopeColumn> {
        scope.columns.iter().map(|column| ScopeColumn { at: column.at + by, ..column.clone() }).collect()
    };
    let mut columns = shifted(left, left_shift);
    columns.extend(shifted(right, right_shift));
    Scope { columns }
}

/// Columns that no two rows of a join agree in: the left input's, if each of its rows has one partner at most, else
/// those of both.
fn unique(left: &Source, right: &Source, sorted: &Sorted, width: usize) -> Option<Vec<usize>> {
    let left_key = left.unique.clone()?;
    let right_key = right.unique.clone()?;
    let covers = |key: &[usize], found: &[&Expr]| key.iter().all(|at| found.contains(&&col_at(*at as u32)));
    let right_found: Vec<&Expr> = sorted.keys.iter().map(|(_, r)| r).collect();
    if covers(&right_key, &right_found) {
        return Some(left_key);
    }
    Some(left_key.into_iter().chain(right_key.into_iter().map(|at| at + width)).collect())
}

/// Over the columns of a group: an expression with each column replaced by an expression.
pub(crate) fn substitute(expr: &Expr, columns: &[Expr]) -> Expr {
    replace_columns(expr, &mut |at| columns[at as usize].clone())
}
