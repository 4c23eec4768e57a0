//! Which key finds the rows that conditions ask for: by equality alone, or a range of an ordered key.
//!
//! A condition of the form `column = constant` or `column IN (constants)` gives a column's values; one of the form
//! `column < constant` (`<=`, `>`, `>=`, and BETWEEN, which is two of them) an edge. A key serves whose columns all have values. An
//! ordered one serves, too, if all of its columns but the last have values: then the last may have edges, or be what the rows
//! are ordered by. Of several keys the one is taken of which the conditions say most.

use crate::catalog::{AccessPath, Object};
use crate::columns::columns_of;
use crate::error::Result;
use operators::expr::{CompareOp, Expr, Literal};
use operators::{Edge, RowBuilder, Rows};

/// A condition on one column that a key can make use of.
#[derive(Debug, Clone)]
enum Use {
    Values(u32, Vec<Expr>),
    Edge(u32, Side, EdgeOf<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Lower,
    Upper,
}

/// Where a range begins or ends; `T` gives the value.
#[derive(Debug, Clone)]
pub(crate) struct EdgeOf<T> {
    pub(crate) value: T,
    pub(crate) included: bool,
}

/// Where the last column of an ordered key begins and ends.
#[derive(Debug, Clone)]
pub(crate) struct Edges<T> {
    pub(crate) lower: Option<EdgeOf<T>>,
    pub(crate) upper: Option<EdgeOf<T>>,
}

/// Conditions that must all be true.
#[derive(Debug)]
pub(crate) struct Conditions {
    all: Vec<Expr>,
    uses: Vec<Option<Use>>,
}

/// A key by which rows are found.
#[derive(Debug)]
pub(crate) struct Way<'c> {
    pub(crate) path: &'c AccessPath,
    /// Whether only columns before the last have values, and a range of the last is read.
    pub(crate) is_range: bool,
    /// The conditions that give the values of the columns, in the order of the key.
    values: Vec<usize>,
    lower: Option<usize>,
    upper: Option<usize>,
}

impl Conditions {
    /// The parts of what all must be true.
    pub(crate) fn new(conditions: Vec<Expr>) -> Conditions {
        let mut all = Vec::new();
        for condition in conditions {
            match condition {
                Expr::And(list) => all.extend(list),
                other => all.push(other),
            }
        }
        let uses = all.iter().map(use_of).collect();
        Conditions { all, uses }
    }

    /// The first of several conditions that give values of a column.
    fn values_of(&self, column: u16) -> Option<usize> {
        let gives = |of: &Option<Use>| matches!(of, Some(Use::Values(at, _)) if *at == u32::from(column));
        self.uses.iter().position(gives)
    }

    fn edge_of(&self, column: u16, side: Side) -> Option<usize> {
        let gives = |of: &Option<Use>| matches!(of, Some(Use::Edge(at, on, _)) if *at == u32::from(column) && *on == side);
        self.uses.iter().position(gives)
    }

    /// The way of a path, if these conditions give one.
    fn way<'c>(&self, path: &'c AccessPath) -> Option<Way<'c>> {
        let whole: Option<Vec<usize>> = path.key.iter().map(|column| self.values_of(*column)).collect();
        if let Some(values) = whole {
            return Some(Way { path, is_range: false, values, lower: None, upper: None });
        }
        let (last, prefix) = path.key.split_last().filter(|_| path.ordered)?;
        let values = prefix.iter().map(|column| self.values_of(*column)).collect::<Option<_>>()?;
        let (lower, upper) = (self.edge_of(*last, Side::Lower), self.edge_of(*last, Side::Upper));
        Some(Way { path, is_range: true, values, lower, upper })
    }

    /// The key that serves best; none if none serves. `in_order` says whether rows are wanted in the order of a way, and only the
    /// first of them.
    pub(crate) fn best_way<'c>(
        &self,
        object: &'c Object,
        in_order: impl Fn(&Way<'_>) -> bool,
    ) -> Option<Way<'c>> {
        // What is read when there is no row is known to the key that has all rows.
        let only_whole = object.empty_row.is_some() && object.paths.iter().any(|path| path.key.is_empty());
        let paths = object.paths.iter().filter(|path| !only_whole || path.key.is_empty());
        let ways = paths.filter_map(|path| self.way(path));
        let ranked = ways.map(|way| {
            let edges = u8::from(way.lower.is_some()) + u8::from(way.upper.is_some());
            let ordered = way.is_range && in_order(&way);
            ((way.values.len(), edges > 0, ordered, !way.is_range, edges), way)
        });
        // A range of everything is a scan, unless its order is of use.
        let narrows = |((values, has_edges, ordered, whole, _), _): &((usize, bool, bool, bool, u8), _)| {
            *whole || *ordered || *has_edges || *values > 0
        };
        ranked.filter(narrows).max_by_key(|(rank, _)| *rank).map(|(_, way)| way)
    }

    /// The values of the columns of a way.
    pub(crate) fn values(&self, way: &Way<'_>) -> Vec<Vec<Expr>> {
        let values = way.values.iter().map(|at| match &self.uses[*at] {
            Some(Use::Values(_, list)) => list.clone(),
            _ => unreachable!("the way was made of it"),
        });
        values.collect()
    }

    /// The edges of a way that is a range.
    pub(crate) fn edges(&self, way: &Way<'_>) -> Option<Edges<Expr>> {
        let edge = |at: Option<usize>| match self.uses[at?].as_ref() {
            Some(Use::Edge(_, _, edge)) => Some(edge.clone()),
            _ => unreachable!("the way was made of it"),
        };
        way.is_range.then(|| Edges { lower: edge(way.lower), upper: edge(way.upper) })
    }

    /// What must be true besides of the rows that a way finds.
    pub(crate) fn rest(&self, way: &Way<'_>) -> Vec<Expr> {
        let is_used = |at: &usize| way.values.contains(at) || [way.lower, way.upper].contains(&Some(*at));
        (0..self.all.len()).filter(|at| !is_used(at)).map(|at| self.all[at].clone()).collect()
    }

    /// The columns of an index that would make a lookup of these conditions; none if they have no range.
    pub(crate) fn index_wanted(&self) -> Option<Vec<u16>> {
        let mut key: Vec<u32> = Vec::new();
        for of in self.uses.iter().flatten() {
            match of {
                Use::Values(at, _) if !key.contains(at) => key.push(*at),
                _ => {}
            }
        }
        let last = self.uses.iter().flatten().find_map(|of| match of {
            Use::Edge(at, ..) if !key.contains(at) => Some(*at),
            _ => None,
        })?;
        key.push(last);
        key.into_iter().map(|at| u16::try_from(at).ok()).collect()
    }
}

fn use_of(condition: &Expr) -> Option<Use> {
    let constant = |expr: &Expr| columns_of(expr).is_empty();
    match condition {
        Expr::Compare(op, left, right) => {
            let (at, op, value) = match (&**left, &**right) {
                (Expr::ColumnAt(at), value) if constant(value) => (*at, *op, value.clone()),
                (value, Expr::ColumnAt(at)) if constant(value) => (*at, turned(*op), value.clone()),
                _ => return None,
            };
            let edge = |side, included| Some(Use::Edge(at, side, EdgeOf { value: value.clone(), included }));
            match op {
                CompareOp::Eq => Some(Use::Values(at, vec![value])),
                CompareOp::Ne | CompareOp::Distinct | CompareOp::NotDistinct => None,
                CompareOp::Lt => edge(Side::Upper, false),
                CompareOp::Le => edge(Side::Upper, true),
                CompareOp::Gt => edge(Side::Lower, false),
                CompareOp::Ge => edge(Side::Lower, true),
            }
        }
        Expr::InList(input, list) => match &**input {
            Expr::ColumnAt(at) if list.iter().all(constant) => Some(Use::Values(*at, list.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// The same comparison with its sides in each other's place.
fn turned(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
        CompareOp::Eq | CompareOp::Ne | CompareOp::Distinct | CompareOp::NotDistinct => op,
    }
}

/// How the rows of each run of a range, which has one value of each column before the last, come in an order that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InRuns {
    /// Whether the last column is wanted from the greatest to the least; none if its order does not matter.
    pub(crate) descending: Option<bool>,
    /// Whether rows that agree in the last column are to be ordered by something else.
    pub(crate) has_ties: bool,
}

/// Whether the rows of each run of a way come in the order of these columns of the object, each with whether it is descending.
pub(crate) fn order_in_runs(way: &Way<'_>, order: &[(u32, bool)]) -> Option<InRuns> {
    let (last, prefix) = way.path.key.split_last().filter(|_| way.is_range)?;
    let mut left = order.iter().filter(|(at, _)| !prefix.iter().any(|column| u32::from(*column) == *at));
    match left.next() {
        None => Some(InRuns { descending: None, has_ties: false }),
        Some((at, descending)) if *at == u32::from(*last) => {
            Some(InRuns { descending: Some(*descending), has_ties: left.next().is_some() })
        }
        Some(_) => None,
    }
}

impl<T> Edges<T> {
    /// The edges with these values; none if one of them is NULL, which nothing is above or below.
    pub(crate) fn placed(&self, value: impl Fn(&T) -> Result<Literal>) -> Result<Option<(Edge, Edge)>> {
        let edge = |edge: &Option<EdgeOf<T>>| -> Result<Option<Edge>> {
            let Some(EdgeOf { value: of, included }) = edge else { return Ok(Some(Edge::default())) };
            let value = value(of)?;
            let mut row = Rows::new();
            row.push_values(&mut RowBuilder::new(), &[value.datum()]);
            Ok((value != Literal::Null).then_some(Edge { value: row, included: *included }))
        };
        Ok(edge(&self.lower)?.zip(edge(&self.upper)?))
    }

    /// The same of other values.
    pub(crate) fn try_map<U>(&self, map: impl Fn(&T) -> Result<U>) -> Result<Edges<U>> {
        let edge = |edge: &Option<EdgeOf<T>>| -> Result<Option<EdgeOf<U>>> {
            let Some(EdgeOf { value, included }) = edge else { return Ok(None) };
            Ok(Some(EdgeOf { value: map(value)?, included: *included }))
        };
        Ok(Edges { lower: edge(&self.lower)?, upper: edge(&self.upper)? })
    }

    /// Whether there is one.
    pub(crate) fn any(&self) -> bool {
        self.lower.is_some() || self.upper.is_some()
    }
}
