//! Scans: queries that no key answers, run once in the front over the rows that the shards hold.
//!
//! Such a query is planned like a view, on a plan of its own: the same operators, one shard, and in place of tables and
//! views inlets, into which the front feeds their rows as they come, in any order. Operators keep what they need to; what is
//! read and not needed any more is gone at once. Then the result is read from the plan's only view.
//!
//! Rows that the query's conditions on one relation rule out are dropped before they are fed. Where these conditions name
//! a key of the relation, or a range of one, its rows are looked up rather than scanned.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::error::{Result, SqlError};
use crate::evaluate::{Cell, Context, check_parameters, no_value};
use crate::expression::Binder;
use crate::feed::Feed;
use crate::lookup::Cut;
use crate::parameters::{NOW, Parameters};
use crate::planner::{Given, Inlet, Place, Planner};
use crate::query::limit_clause;
use crate::scope::Scope;
use crate::sql_type::SqlType;
use crate::statement::{Bound, Prepared, ResultColumn};
use operators::expr::Literal;
use operators::plan::Operator;
use operators::plan::check::output_columns;
use operators::{Batch, Dataflow, Datum, OperatorId, Outputs, Plan, Range, RowBuilder, Rows, Type, ViewId};
use sqlparser::ast::Query;

/// A query that no key answers.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Inlets, operators, and one view, whose only key is that of no columns.
    plan: Plan,
    view: ViewId,
    /// How many of the view's columns are the result's; those behind only order it.
    visible: usize,
    cut: Cut,
    /// The row that is read when there is none.
    empty_row: Option<Vec<Cell>>,
    feeds: Vec<Feed>,
    /// Rows that the front has by itself, and where they go in.
    given: Vec<(OperatorId, String, Given)>,
    pub(crate) parameters: Vec<SqlType>,
}

/// How much a scan may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory for what operators keep and for the result, in bytes.
    pub memory_bytes: u64,
}

/// Rows that a scan needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The table or view, for messages.
    pub object: String,
    /// The view of the engine that has the rows.
    pub view: ViewId,
    /// What is to be read of it.
    pub read: Read,
}

/// What is to be read of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// All rows of all shards.
    All,
    /// The rows of these keys, each once, and no more than so many of each.
    Keys(Rows, u32),
    /// A range of its keys.
    Range(Box<Range>),
}

/// A scan at work: to be fed all rows of all its sources, in any order and in pieces of any size.
#[derive(Debug)]
pub struct Run {
    sources: Vec<Source>,
    feeds: Vec<Feed>,
    dataflow: Dataflow,
    outputs: Outputs,
    limits: Limits,
    view: ViewId,
    types: Vec<Type>,
    offset: usize,
    limit: usize,
    empty_row: Option<Vec<Literal>>,
}

/// Binds a query as a scan.
pub(crate) fn bind(catalog: &Catalog, query: &Query, parameters: &Parameters) -> Result<Prepared> {
    let mut planner = Planner::in_front(catalog, parameters);
    let relation = planner.query_without_limit(query)?;
    let order = planner.plan_order(relation.stream, &relation.order);
    let view = planner.builder.view("result", relation.stream, &[], &order)?;
    let nothing = Scope::default();
    let cut = Cut::new(&Binder::new(&nothing, parameters), limit_clause(query)?)?;
    let columns: Vec<ResultColumn> = relation
        .columns
        .iter()
        .map(|column| ResultColumn { name: column.name.clone(), ty: column.ty })
        .collect();
    let visible = columns.len();
    let cells = |row: Vec<operators::expr::Expr>| {
        row[..visible].iter().map(|expr| Cell::new(expr, &[], parameters)).collect::<Result<Vec<_>>>()
    };
    let empty_row = relation.empty_row.map(cells).transpose()?;
    let Place::Front(inlets) = std::mem::replace(&mut planner.place, Place::Shards) else {
        unreachable!("the planner was made for the front")
    };
    let plan = planner.builder.build()?;
    let (given, inlets): (Vec<Inlet>, Vec<Inlet>) =
        inlets.into_iter().partition(|inlet| inlet.given.is_some());
    let given = given.into_iter().filter_map(|inlet| {
        let Inlet { object, stream, given } = inlet;
        given.map(|given| (stream.operator(), object, given))
    });
    let given = given.collect();
    let feeds = inlets.iter().map(|inlet| Feed::new(catalog, &plan, inlet)).collect::<Result<_>>()?;
    let parameters = parameters.types();
    let scan = Scan { plan, view, visible, cut, empty_row, feeds, given, parameters: parameters.clone() };
    Ok(Prepared {
        bound: Bound::Query(Box::new(scan)),
        parameters,
        columns,
        warnings: Vec::new(),
        relations: Vec::new(),
    })
}

impl Scan {
    /// The relations that it reads, each named as often as the query does.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        self.feeds.iter().map(|feed| feed.object.as_str())
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn feeds(&self) -> &[Feed] {
        &self.feeds
    }

    /// Rows that need not be read, by name and where they go in.
    pub(crate) fn given(&self) -> impl Iterator<Item = (OperatorId, &str)> {
        self.given.iter().map(|(inlet, name, _)| (*inlet, name.as_str()))
    }

    /// What it reads with these parameters.
    pub fn sources(&self, context: &Context<'_>) -> Result<Vec<Source>> {
        check_parameters(&self.parameters, context)?;
        let mut sources: Vec<Source> = Vec::new();
        for feed in &self.feeds {
            let source = feed.source(context)?;
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        Ok(sources)
    }

    /// Begins to run it. [`Run::sources`] says what it is to be fed.
    pub fn start(&self, context: &Context<'_>, limits: Limits) -> Result<Run> {
        self.start_after(&[], context, limits)
    }

    /// The same after subqueries have been run that give these rows.
    pub(crate) fn start_after(&self, before: &[Rows], context: &Context<'_>, limits: Limits) -> Result<Run> {
        let sources = self.sources(context)?;
        let plan = with_parameters(&self.plan, context)?;
        let mut feeds = self.feeds.clone();
        for feed in &mut feeds {
            let source = feed.source(context)?;
            let at = sources.iter().position(|other| *other == source).expect("it is one of them");
            feed.start(at, &plan, context)?;
        }
        let mut dataflow = Dataflow::new(0, 1);
        dataflow.install(&plan)?;
        dataflow.limit_joins(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX));
        let columns = &plan.views[self.view.0 as usize].columns[..self.visible];
        let (offset, limit) = self.cut.values(context)?;
        let empty_row =
            self.empty_row.as_ref().map(|row| row.iter().map(|cell| cell.value(None, context)).collect());
        let mut run = Run {
            sources,
            feeds,
            dataflow,
            outputs: Outputs::new(1),
            limits,
            view: self.view,
            types: columns.iter().map(|column| column.ty).collect(),
            offset,
            limit,
            empty_row: empty_row.transpose()?,
        };
        for (inlet, _, given) in &self.given {
            run.take_given(*inlet, given, before, context)?;
        }
        Ok(run)
    }
}

impl Run {
    /// What it is to be fed, by number.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    fn take_given(
        &mut self,
        inlet: OperatorId,
        given: &Given,
        before: &[Rows],
        context: &Context<'_>,
    ) -> Result<()> {
        /// Rows of a series that go in at once.
        const PIECE: u32 = 8192;
        let mut batch = Batch::new();
        match given {
            Given::Rows(rows) => rows.iter().for_each(|row| batch.push(row, 1)),
            Given::Before(number) => before[*number].iter().for_each(|row| batch.push(row, 1)),
            Given::Table(table) => {
                let rows = table.rows(context)?;
                self.check_memory(rows.rows.len() as u64)?;
                rows.iter().for_each(|row| batch.push(row, 1));
            }
            Given::Series(cells) => {
                let mut numbers = Vec::new();
                for cell in cells.iter() {
                    match cell.value(None, context)? {
                        Literal::Int(number) => numbers.push(number),
                        _ => return Ok(()),
                    }
                }
                let (mut next, last, step) = (Some(numbers[0]), numbers[1], numbers[2]);
                if step == 0 {
                    return Err(SqlError::new("22023", "step size cannot equal zero"));
                }
                let mut builder = RowBuilder::new();
                while let Some(number) = next.filter(|n| if step > 0 { *n <= last } else { *n >= last }) {
                    builder.start(1);
                    builder.push(Datum::Int(number));
                    batch.push(builder.finish(), 1);
                    if batch.count == PIECE {
                        self.apply(inlet, &batch)?;
                        batch.clear();
                    }
                    next = number.checked_add(step);
                }
            }
        }
        self.apply(inlet, &batch)
    }

    fn apply(&mut self, inlet: OperatorId, batch: &Batch) -> Result<()> {
        self.dataflow.apply(inlet, &batch.deltas);
        self.dataflow.finish(&mut self.outputs);
        self.check_errors()?;
        self.check_memory(self.dataflow.bytes())
    }

    /// Takes some rows of a source, as the engine has them.
    pub fn feed(&mut self, source: usize, rows: &Rows) -> Result<()> {
        assert!(source < self.sources.len(), "there is no source {source}");
        for feed in self.feeds.iter_mut().filter(|feed| feed.number == source) {
            let inlet = feed.inlet;
            self.dataflow.apply(inlet, &feed.pass(rows)?.deltas);
        }
        self.dataflow.finish(&mut self.outputs);
        self.check_errors()?;
        self.check_memory(self.dataflow.bytes())
    }

    /// The result, when all rows of all sources have been fed.
    pub fn finish(mut self) -> Result<Rows> {
        self.dataflow.finish(&mut self.outputs);
        self.check_errors()?;
        self.check_memory(self.dataflow.bytes())?;
        let mut builder = RowBuilder::new();
        builder.start(0);
        let wanted = u32::try_from(self.limit.saturating_add(self.offset)).unwrap_or(u32::MAX);
        let mut found = Rows::new();
        self.dataflow
            .lookup(self.view, builder.finish(), wanted, &mut found)
            .expect("a plan of the front has its view, and nothing to fill it with");
        self.check_memory(self.dataflow.bytes() + found.rows.len() as u64)?;
        drop(self.dataflow);
        if let (true, Some(row)) = (found.is_empty(), &self.empty_row) {
            builder.start(row.len());
            row.iter().for_each(|value| builder.push(value.datum()));
            found.push(builder.finish());
        }
        let mut result = Rows::new();
        for row in found.iter().skip(self.offset).take(self.limit) {
            builder.start(self.types.len());
            self.types.iter().enumerate().for_each(|(at, ty)| builder.copy(row, at, ty.in_tail()));
            result.push(builder.finish());
        }
        Ok(result)
    }

    fn check_errors(&self) -> Result<()> {
        match self.dataflow.no_value() {
            None => Ok(()),
            why => Err(no_value(why)),
        }
    }

    fn check_memory(&self, bytes: u64) -> Result<()> {
        if bytes <= self.limits.memory_bytes && !self.dataflow.is_cut_off() {
            return Ok(());
        }
        let limit = self.limits.memory_bytes >> 20;
        Err(SqlError::new(
            "53200",
            format!("the query needs more than the {limit} MiB of memory that it may have"),
        )
        .detail("A query that no key answers is run in the front, over all rows that it reads.")
        .hint("Make a materialized view of it, or narrow it down with WHERE."))
    }
}

/// The plan with the values of its parameters. What is now known not to be NULL changes the columns.
fn with_parameters(plan: &Plan, context: &Context<'_>) -> Result<Plan> {
    let value = |number: u32| match number {
        NOW => Some(Literal::Timestamp(context.now)),
        number => context.parameters.get(number as usize).cloned(),
    };
    let mut plan = plan.clone();
    for at in 0..plan.nodes.len() {
        let node = Arc::make_mut(&mut plan.nodes[at]);
        match &mut node.operator {
            Operator::Filter(spec) => spec.predicate = spec.predicate.with_parameters(&value),
            Operator::Map(spec) => {
                spec.expressions.iter_mut().for_each(|expr| *expr = expr.with_parameters(&value));
            }
            _ => {}
        }
        let grouped = if let Operator::Aggregate(spec) = &node.operator { spec.group.len() } else { 0 };
        let names: Vec<String> =
            node.columns.iter().skip(grouped).map(|column| column.name.clone()).collect();
        let operator = node.operator.clone();
        let columns = output_columns(&plan, &operator, &names)?;
        if let Operator::View(spec) = &operator {
            Arc::make_mut(&mut plan.views[spec.view.0 as usize]).columns.clone_from(&columns);
        }
        Arc::make_mut(&mut plan.nodes[at]).columns = columns;
    }
    Ok(plan)
}
