//! What of a relation's rows goes into a scan: those that the conditions right behind its inlet let through, found by key
//! where these conditions name one.

use crate::catalog::Catalog;
use crate::error::{Result, SqlError};
use crate::evaluate::{Context, no_value};
use crate::lookup::{all_keys, key_values};
use crate::parameters::NOW;
use crate::planner::Inlet;
use crate::scan::Source;
use operators::expr::{BoundExpr, Expr, Literal, Scratch};
use operators::plan::Operator;
use operators::plan::check::inputs;
use operators::{Batch, OperatorId, Plan, RowBuilder, Rows, ViewId};

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
    /// For each column of a key of the relation the values that it may have, if the conditions say so, and the view with
    /// that key.
    key: Option<(ViewId, Vec<Vec<Expr>>)>,
    /// The conditions ready to run; the batch and the scratch are kept from one piece to the next.
    bound: Vec<BoundExpr>,
    batch: Batch,
}

impl Feed {
    pub(crate) fn new(catalog: &Catalog, plan: &Plan, inlet: &Inlet) -> Result<Feed> {
        let object = catalog.object(&inlet.object)?;
        let inlet = inlet.stream.operator();
        let conditions = conditions_behind(plan, inlet);
        let values: Vec<Option<(u32, Vec<Expr>)>> = conditions.iter().map(key_values).collect();
        let named = |column: u16| {
            let of_column = |value: &&Option<(u32, Vec<Expr>)>| {
                value.as_ref().is_some_and(|(at, _)| *at == u32::from(column))
            };
            values.iter().find(of_column).and_then(|value| value.as_ref()).map(|(_, list)| list.clone())
        };
        let keyed = |path: &crate::catalog::AccessPath| {
            let values: Option<Vec<Vec<Expr>>> = path.key.iter().map(|column| named(*column)).collect();
            values.map(|values| (catalog.view(path).id, values))
        };
        let key = object.paths.iter().filter_map(keyed).max_by_key(|(_, values)| values.len());
        Ok(Feed {
            object: object.name.clone(),
            inlet,
            number: 0,
            view: catalog.view(object.own_path()).id,
            width: catalog.engine_columns(object).len(),
            conditions,
            key: key.filter(|(_, values)| !values.is_empty()),
            bound: Vec::new(),
            batch: Batch::new(),
        })
    }

    /// Whether rows are looked up.
    pub(crate) fn is_by_key(&self) -> bool {
        self.key.is_some()
    }

    /// The views that its rows may be read from.
    pub(crate) fn views(&self) -> impl Iterator<Item = ViewId> {
        [self.view].into_iter().chain(self.key.as_ref().map(|(view, _)| *view))
    }

    /// Whether rows are dropped before they are fed.
    pub(crate) fn is_filtered(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// The rows to read with these parameters.
    pub(crate) fn source(&self, context: &Context<'_>) -> Result<Source> {
        let all = Source { object: self.object.clone(), view: self.view, keys: None, limit: u32::MAX };
        let Some((view, columns)) = &self.key else { return Ok(all) };
        Ok(match keys(columns, context)? {
            Some(keys) => {
                Source { object: self.object.clone(), view: *view, keys: Some(keys), limit: u32::MAX }
            }
            None => all,
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
    let mut readers = plan.nodes.iter().filter(|node| inputs(&node.operator).contains(&from));
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
