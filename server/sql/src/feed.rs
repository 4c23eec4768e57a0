//! What of a relation's rows goes into a scan: those that the conditions right behind its inlet let through, found by key
//! where these conditions name one.

use crate::catalog::Catalog;
use crate::error::{Result, SqlError};
use crate::evaluate::{Context, no_value};
use crate::lookup::all_keys;
use crate::parameters::NOW;
use crate::planner::Inlet;
use crate::ranged::{Conditions, Edges};
use crate::scan::{Read, Source};
use operators::expr::{BoundExpr, Expr, Literal, Scratch};
use operators::plan::Operator;
use operators::plan::check::inputs;
use operators::{Batch, OperatorId, Plan, Range, RowBuilder, Rows, ViewId};

/// The way of one relation's rows into a scan.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    /// The relation's name.
    pub(crate) object: String,
    /// Where its rows go in.
    pub(crate) inlet: OperatorId,
    /// Which of the scan's sources it reads.
    pub(crate) number: usize,
    view: ViewId,
    width: usize,
    /// What must be true of a row.
    conditions: Vec<Expr>,
    /// The key of the relation by which its rows are found, if the conditions name one.
    key: Option<Key>,
    /// Columns of an index that would find them, if the conditions name a range that no key has.
    wanted: Option<Vec<u16>>,
    /// The conditions ready to run; the batch and the scratch are kept from one piece to the next.
    bound: Vec<BoundExpr>,
    batch: Batch,
}

/// What is looked up of a relation.
#[derive(Debug, Clone)]
struct Key {
    /// The view with the key.
    view: ViewId,
    /// For each column of the key, or each before the last, the values that it may have.
    values: Vec<Vec<Expr>>,
    /// If a range is read.
    edges: Option<Edges<Expr>>,
}

impl Feed {
    pub(crate) fn new(catalog: &Catalog, plan: &Plan, inlet: &Inlet) -> Result<Feed> {
        let object = catalog.object(&inlet.object)?;
        let inlet = inlet.stream.operator();
        let conditions = conditions_behind(plan, inlet);
        let parts = Conditions::new(conditions.clone());
        let way = parts.best_way(object, |_| false).filter(|way| !way.path.key.is_empty());
        let key = way.map(|way| Key {
            view: catalog.view(way.path).id,
            values: parts.values(&way),
            edges: parts.edges(&way),
        });
        Ok(Feed {
            object: object.name.clone(),
            inlet,
            number: 0,
            view: catalog.view(object.own_path()).id,
            width: catalog.engine_columns(object).len(),
            conditions,
            wanted: parts.index_wanted().filter(|_| key.is_none()),
            key,
            bound: Vec::new(),
            batch: Batch::new(),
        })
    }

    /// Whether rows are looked up.
    pub(crate) fn is_by_key(&self) -> bool {
        self.key.is_some()
    }

    /// The view that a range is read of; none if whole keys are looked up, or all rows are read.
    pub(crate) fn range_view(&self) -> Option<ViewId> {
        self.key.as_ref().filter(|key| key.edges.is_some()).map(|key| key.view)
    }

    /// The columns of an index that would spare it reading all rows.
    pub(crate) fn index_wanted(&self) -> Option<&[u16]> {
        self.wanted.as_deref()
    }

    /// The views that its rows may be read from.
    pub(crate) fn views(&self) -> impl Iterator<Item = ViewId> {
        [self.view].into_iter().chain(self.key.as_ref().map(|key| key.view))
    }

    /// Whether rows are dropped before they are fed.
    pub(crate) fn is_filtered(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// The rows to read with these parameters.
    pub(crate) fn source(&self, context: &Context<'_>) -> Result<Source> {
        let source = |view, read| Source { object: self.object.clone(), view, read };
        let all = source(self.view, Read::All);
        let Some(Key { view, values, edges }) = &self.key else { return Ok(all) };
        let Some(keys) = keys(values, context)? else { return Ok(all) };
        let Some(edges) = edges else { return Ok(source(*view, Read::Keys(keys, u32::MAX))) };
        Ok(match edges.placed(|expr| constant(&placed(expr, context)))? {
            None => source(*view, Read::Keys(Rows::new(), u32::MAX)),
            Some((lower, upper)) => {
                let whole = Range { limit: u32::MAX, piece: u32::MAX, ..Range::default() };
                source(*view, Read::Range(Box::new(Range { prefixes: keys, lower, upper, ..whole })))
            }
        })
    }

    /// Makes it ready to take the rows of source `number`.
    pub(crate) fn start(&mut self, number: usize, plan: &Plan, context: &Context<'_>) -> Result<()> {
        self.number = number;
        let columns = &plan.nodes[self.inlet.index()].columns;
        for condition in &self.conditions {
            self.bound.push(placed(condition, context).resolve(columns)?.0);
        }
        Ok(())
    }

    /// The rows that go on, as deltas.
    pub(crate) fn pass(&mut self, rows: &Rows) -> Result<&Batch> {
        self.batch.clear();
        let scratch = Scratch::new();
        for row in rows {
            if row.len() != self.width {
                return Err(SqlError::new(
                    "40001",
                    format!("{:?} has changed while it was read", self.object),
                )
                .hint("Run the statement again."));
            }
            if self.bound.iter().all(|condition| condition.is_true(row, &scratch)) {
                self.batch.push(row, 1);
            }
        }
        if scratch.errors() > 0 {
            return Err(no_value(scratch.no_value()));
        }
        Ok(&self.batch)
    }
}

/// The conditions of the filters through which all rows of `from` go first.
fn conditions_behind(plan: &Plan, from: OperatorId) -> Vec<Expr> {
    let mut readers = plan.nodes.iter().filter(|node| inputs(&node.operator).any(|input| input == from));
    match (readers.next().map(|node| &node.operator), readers.next()) {
        (Some(Operator::Filter(filter)), None) => match &filter.predicate {
            Expr::And(list) => list.clone(),
            other => vec![other.clone()],
        },
        _ => Vec::new(),
    }
}

fn placed(expr: &Expr, context: &Context<'_>) -> Expr {
    expr.with_parameters(&|number| match number {
        NOW => Some(Literal::Timestamp(context.now)),
        number => context.parameters.get(number as usize).cloned(),
    })
}

/// All keys with these values of their columns; none if they are too many to be looked up.
fn keys(columns: &[Vec<Expr>], context: &Context<'_>) -> Result<Option<Rows>> {
    all_keys(columns.iter().map(|column| column.iter().map(|expr| constant(&placed(expr, context)))))
}

/// The value of an expression without columns.
fn constant(expr: &Expr) -> Result<Literal> {
    let (bound, _) = expr.resolve(&[])?;
    let scratch = Scratch::new();
    let mut builder = RowBuilder::new();
    builder.start(0);
    let value = Literal::from(bound.eval(builder.finish(), &scratch));
    if scratch.errors() > 0 { Err(no_value(scratch.no_value())) } else { Ok(value) }
}
