//! Building plans by name.
//!
//! Exchanges go in where an operator needs rows together that may lie apart. Before an exchange that feeds an
//! aggregate, columns that the aggregate does not look at are dropped: then more rows are equal and combine into
//! one before they are sent.
//!
//! A continued plan may be at work, so its streams have rows already: operators that are added to one get them through a
//! backfill, one for each stream and plan. An exchange of the continued plan is used again only if somebody keeps
//! its rows.

use super::check::{
    NODE_COUNT_MAX, check_columns, indexes, inputs, operator_name, output_columns, with_inputs,
};
use super::distribution::{Distribution, brings_together, distribution, distributions, is_within};
use super::replacement::check_replaced;
use super::{
    AggregateSpec, Column, Dropped, ExchangeSpec, FilterSpec, JoinKind, JoinSpec, MapSpec, NodeSpec,
    Operator, OperatorId, Plan, Replaced, TableId, TableSpec, TopKSpec, ViewId, ViewInput, ViewSpec,
};
use crate::accumulator::Aggregate;
use crate::error::PlanError;
use crate::expr::{Expr, col};
use crate::order::Order;
use std::sync::Arc;

/// The output of an operator, to be used as an input of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream(pub(crate) OperatorId);

impl Stream {
    /// The node that gives it.
    pub fn operator(self) -> OperatorId {
        self.0
    }
}

/// Puts a plan together, with exchanges where they are needed.
///
/// ```
/// use operators::accumulator::Aggregate;
/// use operators::{JoinKind, PlanBuilder, Type, column};
///
/// let mut p = PlanBuilder::new();
/// let stories = p.table("stories", &[column("id", Type::Int), column("title", Type::Text)], &["id"])?;
/// let votes = [column("story_id", Type::Int), column("user_id", Type::Int)];
/// let votes = p.table("votes", &votes, &["story_id", "user_id"])?;
/// let counts = p.aggregate(votes, &["story_id"], &[("votes", Aggregate::Count)])?;
/// let joined = p.join(stories, counts, &[("id", "story_id")], JoinKind::Inner)?;
/// let chosen = p.project(joined, &["id", "title", "votes"])?;
/// p.view("story_votes", chosen, &["id"], &[])?;
/// let plan = p.build()?;
/// assert_eq!(plan.view("story_votes")?.columns.len(), 3);
/// # Ok::<(), operators::PlanError>(())
/// ```
#[derive(Debug, Default)]
pub struct PlanBuilder {
    plan: Plan,
    /// By node.
    distributions: Vec<Distribution>,
    /// How many nodes the continued plan has.
    continued: usize,
}

impl PlanBuilder {
    /// An empty plan.
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues `plan`; what it has keeps its ids.
    pub fn extend(plan: Plan) -> Self {
        let distributions = distributions(&plan);
        let continued = plan.nodes.len();
        PlanBuilder { plan, distributions, continued }
    }

    /// A table with its primary key, whose columns must not be nullable.
    pub fn table(&mut self, name: &str, columns: &[Column], key: &[&str]) -> Result<Stream, PlanError> {
        self.table_after(name, columns, key, None)
    }

    pub(super) fn table_after(
        &mut self,
        name: &str,
        columns: &[Column],
        key: &[&str],
        replaced: Option<Replaced>,
    ) -> Result<Stream, PlanError> {
        let id = TableId(self.plan.tables.len() as u32);
        let node = OperatorId(self.plan.nodes.len() as u32);
        let spec = self
            .table_spec(id, node, name, columns, key)
            .map(|spec| TableSpec { replaced, ..spec })
            .and_then(|spec| check_replaced(&self.plan, &spec).map(|()| spec))
            .map_err(|error| error.in_operator(&format!("table {name:?}")))?;
        self.plan.tables.push(Arc::new(spec));
        self.add(Operator::Table(id), &[])
    }

    fn table_spec(
        &self,
        id: TableId,
        node: OperatorId,
        name: &str,
        columns: &[Column],
        key: &[&str],
    ) -> Result<TableSpec, PlanError> {
        if self.plan.live_tables().any(|table| table.name == name) {
            return Err(PlanError::invalid("there is a table of this name already"));
        }
        if key.is_empty() {
            return Err(PlanError::invalid("a table needs a primary key"));
        }
        check_columns(columns)?;
        let key = indexes(columns, key)?;
        if let Some(index) = key.iter().find(|index| columns[**index as usize].nullable) {
            let name = &columns[*index as usize].name;
            return Err(PlanError::invalid(format!("the key column {name:?} must not be nullable")));
        }
        Ok(TableSpec { id, name: name.to_owned(), node, columns: columns.to_vec(), key, replaced: None })
    }

    /// Rows that come from outside, on one shard, by way of [`crate::Dataflow::apply`] to the stream's operator. It is an
    /// exchange behind a table of this name, which nobody writes to: unlike a table it keeps nothing, and takes equal
    /// rows.
    pub fn inlet(&mut self, name: &str, columns: &[Column]) -> Result<Stream, PlanError> {
        const ROW: &str = "\u{1}row";
        let mut with_key = columns.to_vec();
        with_key.push(super::column(ROW, crate::value::Type::Int));
        let table = self.table(name, &with_key, &[ROW])?;
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let rows = self.project(table, &names)?;
        Ok(Stream(self.exchange(rows.0, Vec::new())?))
    }

    /// The rows for which `predicate` is true; those for which it is false or NULL are left out.
    pub fn filter(&mut self, input: Stream, predicate: Expr) -> Result<Stream, PlanError> {
        self.add(Operator::Filter(FilterSpec { input: input.0, predicate }), &[])
    }

    /// Rows of new columns, each computed from the old ones.
    pub fn map(&mut self, input: Stream, columns: &[(&str, Expr)]) -> Result<Stream, PlanError> {
        let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let expressions = columns.iter().map(|(_, expression)| expression.clone()).collect();
        self.add(Operator::Map(MapSpec { input: input.0, expressions }), &names)
    }

    /// Some of the columns, in this order.
    pub fn project(&mut self, input: Stream, columns: &[&str]) -> Result<Stream, PlanError> {
        let columns: Vec<(&str, Expr)> = columns.iter().map(|name| (*name, col(*name))).collect();
        self.map(input, &columns)
    }

    /// Pairs of rows whose keys are equal, column by column of `on`. NULL equals nothing. The columns are those of
    /// the left input, then those of the right; a right column whose name is taken becomes `right.name`.
    pub fn join(
        &mut self,
        left: Stream,
        right: Stream,
        on: &[(&str, &str)],
        kind: JoinKind,
    ) -> Result<Stream, PlanError> {
        let (left_names, right_names): (Vec<&str>, Vec<&str>) = on.iter().copied().unzip();
        let in_join = |error: PlanError| error.in_operator(&self.next_name("join"));
        let left_key = join_key(self.columns(left), &left_names).map_err(in_join)?;
        let right_key = join_key(self.columns(right), &right_names).map_err(in_join)?;
        let mut spec = JoinSpec { left: left.0, right: right.0, left_key, right_key, kind };
        // Types are checked before exchanges go in, so that a refused join leaves nothing behind.
        output_columns(&self.plan, &Operator::Join(spec.clone()), &[]).map_err(in_join)?;
        self.order_join_key(&mut spec);
        self.bring_sides_together(&mut spec)?;
        self.add(Operator::Join(spec), &[])
    }

    /// A table's rows are found by its primary key without a copy of them, if the join has it in the same order.
    fn order_join_key(&self, spec: &mut JoinSpec) {
        let own_key = |id: OperatorId| match &self.plan.nodes[id.index()].operator {
            Operator::Table(table) => self.plan.tables[table.0 as usize].key.clone(),
            Operator::Aggregate(aggregate) => (0..aggregate.group.len() as u16).collect(),
            _ => Vec::new(),
        };
        for (id, key) in [(spec.left, spec.left_key.clone()), (spec.right, spec.right_key.clone())] {
            let own = own_key(id);
            if own.len() != key.len() {
                continue;
            }
            let order: Option<Vec<usize>> =
                own.iter().map(|column| key.iter().position(|other| other == column)).collect();
            if let Some(order) = order {
                (spec.left_key, spec.right_key) =
                    order.iter().map(|at| (spec.left_key[*at], spec.right_key[*at])).unzip();
                return;
            }
        }
    }

    /// Puts exchanges before a join unless equal keys meet already; if one side can stay where it is, it does.
    fn bring_sides_together(&mut self, spec: &mut JoinSpec) -> Result<(), PlanError> {
        let left_ways = self.distributions[spec.left.index()].clone();
        let right_ways = self.distributions[spec.right.index()].clone();
        let across = |way: &[u16], from: &[u16], to: &[u16]| -> Option<Vec<u16>> {
            way.iter().map(|column| from.iter().position(|key| key == column).map(|at| to[at])).collect()
        };
        let from_left: Vec<Vec<u16>> =
            left_ways.iter().filter_map(|way| across(way, &spec.left_key, &spec.right_key)).collect();
        if from_left.iter().any(|way| right_ways.contains(way)) {
            return Ok(());
        }
        if let Some(way) = from_left.into_iter().next() {
            spec.right = self.exchange(spec.right, way)?;
            return Ok(());
        }
        let from_right =
            right_ways.iter().filter_map(|way| across(way, &spec.right_key, &spec.left_key)).next();
        if let Some(way) = from_right {
            spec.left = self.exchange(spec.left, way)?;
            return Ok(());
        }
        spec.left = self.exchange(spec.left, spec.left_key.clone())?;
        spec.right = self.exchange(spec.right, spec.right_key.clone())?;
        Ok(())
    }

    /// One row per group of rows that are equal in the columns of `group` (NULLs are equal here), with the group's
    /// columns and the aggregates. Without group columns there is one group, and no row while it is empty.
    pub fn aggregate(
        &mut self,
        input: Stream,
        group: &[&str],
        aggregates: &[(&str, Aggregate)],
    ) -> Result<Stream, PlanError> {
        let names: Vec<String> = aggregates.iter().map(|(name, _)| (*name).to_owned()).collect();
        let spec = |input: OperatorId, group: Vec<u16>| {
            let aggregates = aggregates.iter().map(|(_, aggregate)| aggregate.clone()).collect();
            Operator::Aggregate(AggregateSpec { input, group, aggregates })
        };
        let in_aggregate = |error: PlanError| error.in_operator(&self.next_name("aggregate"));
        let indexes_before = indexes(self.columns(input), group).map_err(in_aggregate)?;
        output_columns(&self.plan, &spec(input.0, indexes_before.clone()), &names).map_err(in_aggregate)?;
        if brings_together(&self.distributions[input.0.index()], &indexes_before) {
            return self.add(spec(input.0, indexes_before), &names);
        }
        let input = self.keep_needed_columns(input, group, aggregates)?;
        let key = indexes(self.columns(input), group)?;
        let input = self.exchange(input.0, key.clone())?;
        self.add(spec(input, key), &names)
    }

    fn keep_needed_columns(
        &mut self,
        input: Stream,
        group: &[&str],
        aggregates: &[(&str, Aggregate)],
    ) -> Result<Stream, PlanError> {
        let mut needed: Vec<&str> = group.to_vec();
        for column in aggregates.iter().flat_map(|(_, aggregate)| aggregate.columns()) {
            if !needed.contains(&column) {
                needed.push(column);
            }
        }
        if needed.len() == self.columns(input).len() { Ok(input) } else { self.project(input, &needed) }
    }

    /// Each row once whose weight is positive.
    pub fn distinct(&mut self, input: Stream) -> Result<Stream, PlanError> {
        let all: Vec<u16> = (0..self.columns(input).len() as u16).collect();
        let input = self.together(input.0, &all)?;
        self.add(Operator::Distinct(input), &[])
    }

    /// All rows of all inputs, which must have the same types; the names are those of the first.
    pub fn union_all(&mut self, inputs: &[Stream]) -> Result<Stream, PlanError> {
        self.add(Operator::Union(inputs.iter().map(|input| input.0).collect()), &[])
    }

    /// The first `limit` rows of each group in this order; ties are broken by the whole row.
    pub fn top_k(
        &mut self,
        input: Stream,
        group: &[&str],
        order: &[Order],
        limit: u32,
    ) -> Result<Stream, PlanError> {
        self.top_k_after(input, group, order, 0, limit)
    }

    /// Like [`PlanBuilder::top_k`], but the first `offset` rows of each group are passed over.
    pub fn top_k_after(
        &mut self,
        input: Stream,
        group: &[&str],
        order: &[Order],
        offset: u32,
        limit: u32,
    ) -> Result<Stream, PlanError> {
        let in_top_k = |error: PlanError| error.in_operator(&self.next_name("top-k"));
        let group = indexes(self.columns(input), group).map_err(in_top_k)?;
        let mut spec = TopKSpec { input: input.0, group, order: order.to_vec(), offset, limit };
        output_columns(&self.plan, &Operator::TopK(spec.clone()), &[]).map_err(in_top_k)?;
        spec.input = self.together(input.0, &spec.group)?;
        self.add(Operator::TopK(spec), &[])
    }

    /// Keeps the rows of `input` for lookups by `key`; `order` is that of the rows of one key.
    pub fn view(
        &mut self,
        name: &str,
        input: Stream,
        key: &[&str],
        order: &[Order],
    ) -> Result<ViewId, PlanError> {
        self.view_of(name, input, key, order, false)
    }

    /// Like [`PlanBuilder::view`], and ranges of keys can be read that agree in all columns of the key but the last. The rows
    /// of such keys lie on one shard; those of a key with one column lie on all.
    pub fn ordered_view(
        &mut self,
        name: &str,
        input: Stream,
        key: &[&str],
        order: &[Order],
    ) -> Result<ViewId, PlanError> {
        self.view_of(name, input, key, order, true)
    }

    fn view_of(
        &mut self,
        name: &str,
        input: Stream,
        key: &[&str],
        order: &[Order],
        ordered: bool,
    ) -> Result<ViewId, PlanError> {
        let label = format!("view {name:?}");
        let named = |error: PlanError| error.in_operator(&label);
        if self.plan.live_views().any(|view| view.name == name) {
            return Err(named(PlanError::invalid("there is a view of this name already")));
        }
        let columns = self.columns(input).to_vec();
        let key = indexes(&columns, key).map_err(named)?;
        crate::order::RowOrder::resolve(order, &columns).map_err(named)?;
        if ordered && key.is_empty() {
            return Err(named(PlanError::invalid("keys without a column have no order")));
        }
        let id = ViewId(self.plan.views.len() as u32);
        // The exchange and the gate before it come first.
        let node = OperatorId(0);
        let order = order.to_vec();
        let mut spec = ViewSpec { id, name: name.to_owned(), node, columns, key, order, ordered };
        let mut source = input.0;
        let spread = spec.spread().to_vec();
        if !self.distributions[source.index()].contains(&spread) {
            source = self.exchange(source, spread)?;
        }
        let reads_in_place = source.index() >= self.continued && self.plan.reads_in_place(source, &spec);
        let source = if reads_in_place { source } else { self.way_to(source).map_err(named)? };
        spec.node = OperatorId(self.plan.nodes.len() as u32);
        self.plan.views.push(Arc::new(spec));
        self.push(Operator::View(ViewInput { input: source, view: id }), &[])?;
        Ok(id)
    }

    /// The columns of a stream.
    pub fn columns(&self, stream: Stream) -> &[Column] {
        &self.plan.nodes[stream.0.index()].columns
    }

    /// The stream of the table of this name, also of one that a continued plan had.
    pub fn table_stream(&self, name: &str) -> Result<Stream, PlanError> {
        Ok(Stream(self.plan.table(name)?.node))
    }

    /// The stream that the view of this name keeps, also of one that a continued plan had: for views over views.
    pub fn view_stream(&self, name: &str) -> Result<Stream, PlanError> {
        let view = self.plan.view(name)?;
        match &self.plan.nodes[view.node.index()].operator {
            Operator::View(spec) => Ok(Stream(spec.input)),
            other => unreachable!("a view that is there is no {}", operator_name(other)),
        }
    }

    /// Drops a view, and the operators of the continued plan that serve nobody else. Its name is free again.
    pub fn drop_view(&mut self, name: &str) -> Result<(), PlanError> {
        let node = self.plan.view(name)?.node;
        self.drop_node(node);
        self.drop_unread();
        Ok(())
    }

    /// Drops a table, which no view may need any more. Its name is free again.
    pub fn drop_table(&mut self, name: &str) -> Result<(), PlanError> {
        let node = self.plan.table(name)?.node;
        let reached = self.reached_from(node);
        let needing = self.plan.live_views().filter(|view| reached[view.node.index()]);
        let views: Vec<&str> = needing.map(|view| view.name.as_str()).collect();
        if !views.is_empty() {
            let error = PlanError::invalid(format!("it is needed by {}", views.join(", ")));
            return Err(error.in_operator(&format!("table {name:?}")));
        }
        self.drop_node(node);
        // Operators without a view at their end may be left.
        for index in node.index()..self.plan.nodes.len() {
            if inputs(&self.plan.nodes[index].operator).any(|input| self.plan.is_dropped(input)) {
                self.drop_node(OperatorId(index as u32));
            }
        }
        self.drop_unread();
        Ok(())
    }

    /// Where rows of `from` get to, by node.
    fn reached_from(&self, from: OperatorId) -> Vec<bool> {
        let mut reached = vec![false; self.plan.nodes.len()];
        reached[from.index()] = true;
        for (index, node) in self.plan.nodes.iter().enumerate() {
            reached[index] |= inputs(&node.operator).any(|input| reached[input.index()]);
        }
        reached
    }

    fn drop_node(&mut self, id: OperatorId) {
        let operator = &mut Arc::make_mut(&mut self.plan.nodes[id.index()]).operator;
        *operator = Operator::Dropped(Dropped { was_backfill: matches!(operator, Operator::Backfill(_)) });
    }

    /// Drops what nobody reads any more. Streams of the plan in the making may still find readers.
    fn drop_unread(&mut self) {
        let mut is_read = vec![false; self.plan.nodes.len()];
        let successors = self.plan.successors();
        for index in (0..self.plan.nodes.len()).rev() {
            let operator = &self.plan.nodes[index].operator;
            let stays = match operator {
                Operator::Table(table) => successors[table.0 as usize].is_none(),
                Operator::View(_) => true,
                _ => false,
            };
            let stays = stays || index >= self.continued;
            if stays || is_read[index] {
                inputs(operator).for_each(|input| is_read[input.index()] = true);
            } else if !matches!(operator, Operator::Dropped(_)) {
                self.drop_node(OperatorId(index as u32));
            }
        }
    }

    /// The plan as far as it has come.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan.
    pub fn build(self) -> Result<Plan, PlanError> {
        Ok(self.plan)
    }

    /// The same rows, those that agree in `key` on one shard.
    fn together(&mut self, input: OperatorId, key: &[u16]) -> Result<OperatorId, PlanError> {
        if brings_together(&self.distributions[input.index()], key) {
            return Ok(input);
        }
        self.exchange(input, key.to_vec())
    }

    /// An exchange; one that is there already is used again, so its rows are sent once.
    fn exchange(&mut self, input: OperatorId, key: Vec<u16>) -> Result<OperatorId, PlanError> {
        let here = Operator::Exchange(ExchangeSpec { input, key });
        let behind = with_inputs(&here, |input| self.backfill_of(input).unwrap_or(input));
        let serves = |node: &&Arc<NodeSpec>| match node.id.index() < self.continued {
            true => node.operator == here && self.is_kept(node.id),
            false => node.operator == behind,
        };
        if let Some(node) = self.plan.nodes.iter().find(serves) {
            return Ok(node.id);
        }
        Ok(self.add(here, &[])?.0)
    }

    /// Whether some reader has the rows of an exchange kept by a key.
    fn is_kept(&self, exchange: OperatorId) -> bool {
        let keeps = |operator: &Operator| matches!(operator, Operator::Join(_) | Operator::View(_));
        self.plan
            .nodes
            .iter()
            .any(|node| keeps(&node.operator) && inputs(&node.operator).any(|input| input == exchange))
    }

    /// The backfill by which this plan reads a stream of the continued one, if it has one.
    fn backfill_of(&self, stream: OperatorId) -> Option<OperatorId> {
        let operator = Operator::Backfill(self.behind_backfill(stream));
        self.plan.nodes[self.continued..].iter().find(|node| node.operator == operator).map(|node| node.id)
    }

    /// The stream itself that a backfill of a continued plan passes on.
    fn behind_backfill(&self, stream: OperatorId) -> OperatorId {
        match self.plan.nodes[stream.index()].operator {
            Operator::Backfill(behind) => behind,
            _ => stream,
        }
    }

    /// The way to a stream: itself if it is of this plan, else a backfill.
    fn way_to(&mut self, stream: OperatorId) -> Result<OperatorId, PlanError> {
        if self.plan.is_dropped(stream) {
            return Err(PlanError::invalid(format!("its input {} has been dropped", stream.0)));
        }
        if stream.index() >= self.continued && !self.plan.begins_with_rows(stream) {
            return Ok(stream);
        }
        match self.backfill_of(stream) {
            Some(backfill) => Ok(backfill),
            None => Ok(self.push(Operator::Backfill(self.behind_backfill(stream)), &[])?.0),
        }
    }

    /// Adds an operator, and before it the backfills that it needs.
    fn add(&mut self, operator: Operator, names: &[String]) -> Result<Stream, PlanError> {
        // A refused operator leaves nothing behind.
        let name = self.next_name(operator_name(&operator));
        output_columns(&self.plan, &operator, names).map_err(|error| error.in_operator(&name))?;
        let mut ways = Vec::new();
        for input in inputs(&operator) {
            ways.push((input, self.way_to(input).map_err(|error| error.in_operator(&name))?));
        }
        let way = |input| ways.iter().find(|(from, _)| *from == input).map_or(input, |(_, way)| *way);
        self.push(with_inputs(&operator, way), names)
    }

    fn push(&mut self, operator: Operator, names: &[String]) -> Result<Stream, PlanError> {
        let id = OperatorId(self.plan.nodes.len() as u32);
        let name = self.next_name(operator_name(&operator));
        if self.plan.nodes.len() == NODE_COUNT_MAX {
            let error = PlanError::invalid(format!("a plan has at most {NODE_COUNT_MAX} operators"));
            return Err(error.in_operator(&name));
        }
        let columns =
            output_columns(&self.plan, &operator, names).map_err(|error| error.in_operator(&name))?;
        let ways = distribution(&self.plan, &self.distributions, &operator);
        debug_assert!(ways.iter().all(|way| is_within(way, &(0..columns.len() as u16).collect::<Vec<_>>())));
        self.distributions.push(ways);
        self.plan.nodes.push(Arc::new(NodeSpec { id, columns, operator }));
        Ok(Stream(id))
    }

    fn next_name(&self, kind: &str) -> String {
        format!("{kind} (operator {})", self.plan.nodes.len())
    }
}

/// Like [`indexes`], but a column may be compared with several others.
fn join_key(columns: &[Column], names: &[&str]) -> Result<Vec<u16>, PlanError> {
    names.iter().map(|name| super::column_index(columns, name).map(|index| index as u16)).collect()
}
