//! Reads by key: a SELECT from one table or materialised view whose WHERE names the key, or a range of one.
//!
//! Of the ways to find the object's rows (`ranged.rs`), the one is taken of which the WHERE says most. What else it says is asked
//! of the rows found, in the front, as are ORDER BY, LIMIT and the expressions of the select list. A range comes in the
//! order of its key: where that is the order wanted, no more rows are read than LIMIT leaves.

use crate::catalog::{Catalog, Object, ObjectKind};
use crate::error::{Result, SqlError};
use crate::evaluate::{Cell, Context, Evaluator};
use crate::expression::Binder;
use crate::parameters::Parameters;
use crate::ranged::{Conditions, Edges, InRuns, Way, order_in_runs};
use crate::scope::{Scope, ScopeColumn};
use crate::sql_type::SqlType;
use crate::write::is_null_constant;
use operators::expr::{Expr, Literal};
use operators::{Edge, Range, Row, RowBuilder, Rows, Type, ViewId};
use sqlparser::ast::Expr as Ast;

/// Most keys that one statement looks up.
pub const KEYS_MAX: usize = 65_536;
/// Rows of a range that are read at once at least, where not all of them may be wanted.
const PIECE_ROWS_MIN: u32 = 64;

/// A read by key.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// What is read, for messages.
    pub object: String,
    /// The view of the engine.
    pub view: ViewId,
    /// For each column of the key the values that it may have.
    keys: Vec<Vec<Cell>>,
    /// If a range of an ordered key is read: then `keys` are the values of the columns before its last.
    range: Option<RangeRead>,
    /// What must be true of a row besides.
    conditions: Vec<Cell>,
    /// What is shown, and behind it what is only ordered by.
    outputs: Evaluator,
    /// How many of the outputs are shown.
    visible: usize,
    /// Output and whether descending.
    order: Vec<(usize, bool)>,
    cut: Cut,
    /// What is read when no row is found.
    empty_row: Option<Vec<Literal>>,
    /// The names and types of the rows found.
    width: usize,
    pub(crate) parameters: Vec<SqlType>,
}

/// What is read of an ordered key.
#[derive(Debug, Clone)]
struct RangeRead {
    edges: Edges<Cell>,
    /// The last column of the key.
    last: (usize, Type),
    /// If the rows of each run, which has one value of each column before the last, come in the order wanted.
    in_runs: Option<InRuns>,
}

/// The scope of one object.
pub(crate) fn object_scope(object: &Object, alias: Option<String>) -> Scope {
    let table = Some(alias.unwrap_or_else(|| object.name.clone()));
    let columns = object.columns.iter().enumerate().map(|(at, column)| ScopeColumn {
        table: table.clone(),
        name: column.name.clone(),
        ty: column.ty,
        at,
        merged: false,
        rank: false,
    });
    Scope { columns: columns.collect() }
}

/// The key that is looked up for these conditions; none if they do not name one of the object's.
pub(crate) fn best_way<'c>(
    object: &'c Object,
    conditions: &Conditions,
    order: Option<&[(u32, bool)]>,
) -> Option<Way<'c>> {
    if matches!(object.kind, ObjectKind::View { .. }) {
        return None;
    }
    let in_order = |way: &Way<'_>| {
        let in_runs = order.and_then(|order| order_in_runs(way, order));
        in_runs.is_some_and(|in_runs| in_runs.descending.is_some())
    };
    conditions.best_way(object, in_order)
}

/// What a lookup shows of the rows found.
pub(crate) struct Shown {
    /// Columns of the object that the result is ordered by, if it is by columns.
    pub(crate) order_columns: Option<Vec<(u32, bool)>>,
    pub(crate) outputs: Vec<(Expr, SqlType)>,
    pub(crate) visible: usize,
    pub(crate) order: Vec<(usize, bool)>,
    pub(crate) cut: Cut,
}

/// LIMIT and OFFSET of a result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    limit: Option<Cell>,
    offset: Option<Cell>,
}

impl Cut {
    /// Of these expressions, which name no columns.
    pub(crate) fn new(binder: &Binder<'_>, (limit, offset): (Option<&Ast>, Option<&Ast>)) -> Result<Cut> {
        let number = |ast: Option<&Ast>| match ast {
            Some(ast) if !is_null_constant(ast) => {
                let expr = binder.bind_as(ast, SqlType::BigInt)?;
                Cell::new(&expr, &[], binder.parameters).map(Some)
            }
            _ => Ok(None),
        };
        Ok(Cut { limit: number(limit)?, offset: number(offset)? })
    }

    /// How many rows are passed over, and how many are shown of those behind them.
    pub(crate) fn values(&self, context: &Context<'_>) -> Result<(usize, usize)> {
        let number = |cell: &Option<Cell>, otherwise: usize| match cell {
            None => Ok(otherwise),
            Some(cell) => match cell.value(None, context)? {
                Literal::Null => Ok(otherwise),
                Literal::Int(value) => usize::try_from(value)
                    .map_err(|_| SqlError::new("2201W", "LIMIT and OFFSET must not be negative")),
                _ => unreachable!("it was bound as an integer"),
            },
        };
        Ok((number(&self.offset, 0)?, number(&self.limit, usize::MAX)?))
    }
}

impl Lookup {
    pub(crate) fn new(
        catalog: &Catalog,
        object: &Object,
        (conditions, way): (&Conditions, &Way<'_>),
        shown: Shown,
        parameters: &Parameters,
    ) -> Result<Lookup> {
        let row = catalog.engine_columns(object);
        let constant = |expr: &Expr| Cell::new(expr, &[], parameters);
        let keys = conditions.values(way);
        let keys = keys.iter().map(|list| list.iter().map(constant).collect::<Result<Vec<_>>>());
        let rest = conditions.rest(way);
        let in_runs = shown.order_columns.as_ref().and_then(|order| order_in_runs(way, order));
        let range = conditions.edges(way).map(|edges| {
            let last = usize::from(*way.path.key.last().expect("a range is of a column"));
            let last = (last, row[last].ty);
            Ok::<_, SqlError>(RangeRead { edges: edges.try_map(constant)?, last, in_runs })
        });
        Ok(Lookup {
            object: object.name.clone(),
            view: catalog.view(way.path).id,
            keys: keys.collect::<Result<_>>()?,
            range: range.transpose()?,
            conditions: rest.iter().map(|e| Cell::new(e, row, parameters)).collect::<Result<_>>()?,
            outputs: Evaluator::new(&shown.outputs, row, parameters)?,
            visible: shown.visible,
            order: shown.order,
            cut: shown.cut,
            empty_row: object.empty_row.clone().filter(|_| way.path.key.is_empty()),
            width: row.len(),
            parameters: parameters.types(),
        })
    }

    /// The keys to look up, each once; of a range, the values of the columns before the last. A key with a NULL is none,
    /// since NULL equals nothing.
    pub fn keys(&self, context: &Context<'_>) -> Result<Rows> {
        crate::evaluate::check_parameters(&self.parameters, context)?;
        let columns = self.keys.iter().map(|column| column.iter().map(|cell| cell.value(None, context)));
        let too_many = || SqlError::new("54000", format!("a statement looks up at most {KEYS_MAX} keys"));
        all_keys(columns)?.ok_or_else(too_many)
    }

    /// The most rows of a key that are needed.
    pub fn limit(&self, context: &Context<'_>) -> Result<u32> {
        if !self.conditions.is_empty() || !self.order.is_empty() {
            return Ok(u32::MAX);
        }
        let (offset, limit) = self.cut.values(context)?;
        Ok(u32::try_from(limit.saturating_add(offset)).unwrap_or(u32::MAX))
    }

    /// Whether a range of an ordered key is read, and not just keys.
    pub fn is_range(&self) -> bool {
        self.range.is_some()
    }

    /// Of a range, whether the last column has an edge.
    pub(crate) fn has_edges(&self) -> bool {
        self.range.as_ref().is_some_and(|range| range.edges.any())
    }

    /// The range to read; none if keys are looked up.
    pub fn range(&self, context: &Context<'_>) -> Result<Option<Range>> {
        let Some(RangeRead { edges, in_runs, .. }) = &self.range else { return Ok(None) };
        let prefixes = self.keys(context)?;
        let (lower, upper, prefixes) = match edges.placed(|cell| cell.value(None, context))? {
            Some((lower, upper)) => (lower, upper, prefixes),
            None => (Edge::default(), Edge::default(), Rows::new()),
        };
        let enough = self.enough(context)?.map_or(u32::MAX, |rows| u32::try_from(rows).unwrap_or(u32::MAX));
        let has_ties = in_runs.is_some_and(|in_runs| in_runs.has_ties);
        let (limit, piece) = match self.conditions.is_empty() && !has_ties {
            true => (enough, u32::MAX),
            // Some of what is read will not be wanted.
            false => (u32::MAX, enough.saturating_mul(2).max(PIECE_ROWS_MIN)),
        };
        let descending = in_runs.is_some_and(|in_runs| in_runs.descending == Some(true));
        Ok(Some(Range { prefixes, lower, upper, descending, limit, piece }))
    }

    /// How many rows of each run of a range are enough, if more are of no use: the run has them in the order wanted.
    fn enough(&self, context: &Context<'_>) -> Result<Option<usize>> {
        if self.range.as_ref().is_none_or(|range| range.in_runs.is_none()) {
            return Ok(None);
        }
        let (offset, limit) = self.cut.values(context)?;
        Ok(Some(limit.saturating_add(offset)).filter(|rows| *rows < usize::MAX))
    }

    /// Begins to take the rows of a range.
    pub fn take<'a>(&'a self, range: &Range, context: &'a Context<'a>) -> Result<Taking<'a>> {
        // Rows of several prefixes are not told apart.
        let enough = self.enough(context)?.filter(|_| range.prefixes.count <= 1);
        Ok(Taking { lookup: self, context, enough, shard: None, count: 0, last: None })
    }

    /// The result, made of the rows found for the keys.
    pub fn result(&self, found: &Rows, context: &Context<'_>) -> Result<Rows> {
        let mut rows: Vec<Vec<Literal>> = Vec::new();
        // Those of a range have been asked before they were kept.
        let all_wanted = self.conditions.is_empty() || self.is_range();
        for row in found.iter().filter(|row| row.len() == self.width) {
            if all_wanted || self.is_wanted(row, context)? {
                rows.push(self.outputs.values(Some(row), context)?);
            }
        }
        if found.is_empty()
            && let Some(empty) = &self.empty_row
        {
            let mut builder = RowBuilder::new();
            builder.start(self.width);
            let nulls = std::iter::repeat_n(&Literal::Null, self.width - empty.len());
            empty.iter().chain(nulls).for_each(|value| builder.push(value.datum()));
            let row = builder.finish();
            if self.is_wanted(row, context)? {
                rows.push(self.outputs.values(Some(row), context)?);
            }
        }
        if !self.order.is_empty() {
            rows.sort_by(|a, b| {
                self.order
                    .iter()
                    .map(|(at, descending)| {
                        let order = a[*at].datum().order(&b[*at].datum());
                        if *descending { order.reverse() } else { order }
                    })
                    .find(|order| order.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
        }
        let (offset, limit) = self.cut.values(context)?;
        let mut result = Rows::new();
        let mut builder = RowBuilder::new();
        for row in rows.iter().skip(offset).take(limit) {
            builder.start(self.visible);
            row[..self.visible].iter().for_each(|value| builder.push(value.datum()));
            result.push(builder.finish());
        }
        Ok(result)
    }

    fn is_wanted(&self, row: Row<'_>, context: &Context<'_>) -> Result<bool> {
        for condition in &self.conditions {
            if condition.value(Some(row), context)? != Literal::Bool(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Takes those rows of a range that are wanted, shard by shard, until they are enough.
#[derive(Debug)]
pub struct Taking<'a> {
    lookup: &'a Lookup,
    context: &'a Context<'a>,
    /// How many rows of a shard are enough.
    enough: Option<usize>,
    shard: Option<u16>,
    /// How many rows of the shard have been taken.
    count: usize,
    /// When there are enough of the shard, the last column of the last of these.
    last: Option<Literal>,
}

impl Taking<'_> {
    /// Appends what is wanted of a piece to `into`. Returns whether more pieces of the shard are wanted.
    pub fn take(&mut self, shard: u16, piece: &Rows, into: &mut Rows) -> Result<bool> {
        let Taking { lookup, context, .. } = *self;
        let range = lookup.range.as_ref().expect("a range is taken");
        if self.shard != Some(shard) {
            (self.shard, self.count, self.last) = (Some(shard), 0, None);
        }
        let has_ties = range.in_runs.is_some_and(|in_runs| in_runs.has_ties);
        for row in piece.iter().filter(|row| row.len() == lookup.width) {
            let value = || Literal::from(row.datum(range.last.0, range.last.1));
            if self.is_enough() && (!has_ties || self.last.as_ref() != Some(&value())) {
                return Ok(false);
            }
            if lookup.is_wanted(row, context)? {
                into.push(row);
                self.count += 1;
                if self.is_enough() && self.last.is_none() {
                    self.last = Some(value());
                }
            }
        }
        Ok(has_ties || !self.is_enough())
    }

    fn is_enough(&self) -> bool {
        self.enough.is_some_and(|enough| self.count >= enough)
    }
}

/// All keys with these values of their columns, each once, without those that have a NULL; none if they are more than
/// [`KEYS_MAX`].
pub(crate) fn all_keys<C>(columns: impl Iterator<Item = C>) -> Result<Option<Rows>>
where
    C: Iterator<Item = Result<Literal>>,
{
    let mut keys: Vec<Vec<Literal>> = vec![Vec::new()];
    for column in columns {
        let mut values: Vec<Literal> = Vec::new();
        for value in column {
            let value = value?;
            if value != Literal::Null && !values.contains(&value) {
                values.push(value);
            }
        }
        if keys.len() * values.len() > KEYS_MAX {
            return Ok(None);
        }
        let with = |key: &Vec<Literal>| -> Vec<Vec<Literal>> {
            values.iter().map(|value| key.iter().chain([value]).cloned().collect()).collect()
        };
        keys = keys.iter().flat_map(with).collect();
    }
    let mut rows = Rows::new();
    let mut builder = RowBuilder::new();
    for key in keys {
        builder.start(key.len());
        key.iter().for_each(|value| builder.push(value.datum()));
        rows.push(builder.finish());
    }
    Ok(Some(rows))
}
