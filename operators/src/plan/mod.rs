//! Plans: a graph of operators with exchanges, as plain data.
//!
//! A plan names columns; indexes appear when a dataflow is made from it. Nodes lie in topological order: every
//! input of a node has a lower number. Tables and views are nodes too, so the order covers the whole way of a
//! delta. A plan is an rkyv value and can lie in a log.

mod builder;
pub mod check;
mod distribution;
mod extension;
mod needs;
mod reach;
mod replacement;

pub use crate::backfill::SLICE_COUNT;
pub use builder::{PlanBuilder, Stream};
pub use extension::{DroppedNode, Extension};
pub use reach::Reach;
pub use replacement::Replaced;

use crate::accumulator::Aggregate;
use crate::error::PlanError;
use crate::expr::Expr;
use crate::hash::KeyColumns;
use crate::order::Order;
use crate::value::Type;
use std::sync::Arc;

/// Names a table of a plan.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct TableId(pub u32);

/// Names a node of a plan: its index among the nodes.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct OperatorId(pub u32);

impl OperatorId {
    /// As an index into the nodes of a plan.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names a view of a plan.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct ViewId(pub u32);

/// A column of a table or a stream.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Column {
    /// Unique among the columns beside it.
    pub name: String,
    /// The type of its values.
    pub ty: Type,
    /// Whether it may be NULL.
    pub nullable: bool,
}

impl Column {
    /// The same column, allowed to be NULL.
    pub fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }
}

/// A column that is never NULL.
pub fn column(name: impl Into<String>, ty: Type) -> Column {
    Column { name: name.into(), ty, nullable: false }
}

/// The index of the column `name`, or an error that lists what there is.
pub fn column_index(columns: &[Column], name: &str) -> Result<usize, PlanError> {
    columns
        .iter()
        .position(|column| column.name == name)
        .ok_or_else(|| PlanError::unknown_column(name, columns))
}

/// A graph of operators from tables to views. Plans that continue one another share what they have in common, so that a copy costs
/// little however much is defined.
#[derive(Debug, Clone, Default, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Plan {
    /// The tables, dropped ones too; a [`TableId`] is an index here.
    pub tables: Vec<Arc<TableSpec>>,
    /// All operators; an [`OperatorId`] is an index here.
    pub nodes: Vec<Arc<NodeSpec>>,
    /// The views, dropped ones too; a [`ViewId`] is an index here.
    pub views: Vec<Arc<ViewSpec>>,
}

impl Plan {
    /// The table of this name.
    pub fn table(&self, name: &str) -> Result<&TableSpec, PlanError> {
        self.live_tables().find(|table| table.name == name).ok_or_else(|| PlanError::UnknownTable {
            table: name.to_owned(),
            available: self.live_tables().map(|table| table.name.clone()).collect(),
        })
    }

    /// The view of this name.
    pub fn view(&self, name: &str) -> Result<&ViewSpec, PlanError> {
        self.live_views().find(|view| view.name == name).ok_or_else(|| PlanError::UnknownView {
            view: name.to_owned(),
            available: self.live_views().map(|view| view.name.clone()).collect(),
        })
    }

    /// The tables that have not been dropped.
    pub fn live_tables(&self) -> impl Iterator<Item = &TableSpec> {
        self.tables.iter().map(Arc::as_ref).filter(|table| !self.is_dropped(table.node))
    }

    /// The views that have not been dropped.
    pub fn live_views(&self) -> impl Iterator<Item = &ViewSpec> {
        self.views.iter().map(Arc::as_ref).filter(|view| !self.is_dropped(view.node))
    }

    /// Whether an operator has been dropped.
    pub fn is_dropped(&self, id: OperatorId) -> bool {
        self.nodes.get(id.index()).is_some_and(|node| matches!(node.operator, Operator::Dropped(_)))
    }
}

/// A table: rows by primary key, fed by writes.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct TableSpec {
    /// Its number.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// The node that sends its changes.
    pub node: OperatorId,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The columns of the primary key, in order. None of them is nullable.
    pub key: Vec<u16>,
    /// The table whose rows it takes over, if it is one with more columns.
    pub replaced: Option<Replaced>,
}

impl TableSpec {
    /// The key columns in a whole row; `hash_key` over them says who owns the row.
    pub fn key_columns(&self) -> KeyColumns {
        KeyColumns::new(&self.columns, &self.key)
    }

    /// What a whole row must look like, for [`crate::row::Rows::validate`].
    pub fn schema(&self) -> Vec<(Type, bool)> {
        schema(&self.columns)
    }

    /// What a row of just the key must look like.
    pub fn key_schema(&self) -> Vec<(Type, bool)> {
        key_schema(&self.columns, &self.key)
    }
}

/// A view: rows by lookup key, ready to be read.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ViewSpec {
    /// Its number.
    pub id: ViewId,
    /// Its name.
    pub name: String,
    /// The node that keeps its rows.
    pub node: OperatorId,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The columns of the lookup key, in the order in which lookups give them.
    pub key: Vec<u16>,
    /// The order of the rows of one key.
    pub order: Vec<Order>,
    /// Whether ranges of its keys can be read: those that agree in all columns of the key but the last.
    pub ordered: bool,
}

impl ViewSpec {
    /// The key columns in a whole row of the view.
    pub fn key_columns(&self) -> KeyColumns {
        KeyColumns::new(&self.columns, &self.key)
    }

    /// The columns by which rows are spread: `hash_key` over them says which shard has a row. They are the first ones of the
    /// key, all of them unless keys that differ only in the last are read together.
    pub fn spread(&self) -> &[u16] {
        match self.prefix() {
            [] => &self.key,
            prefix => prefix,
        }
    }

    /// The columns of [`ViewSpec::spread`] in a whole row of the view.
    pub fn spread_columns(&self) -> KeyColumns {
        KeyColumns::new(&self.columns, self.spread())
    }

    /// The columns of the key that a range has one value of each of: none for a view without ranges.
    pub fn prefix(&self) -> &[u16] {
        match self.key.split_last() {
            Some((_, prefix)) if self.ordered => prefix,
            _ => &[],
        }
    }

    /// What a lookup key must look like.
    pub fn key_schema(&self) -> Vec<(Type, bool)> {
        key_schema(&self.columns, &self.key)
    }

    /// What the rows look like.
    pub fn schema(&self) -> Vec<(Type, bool)> {
        schema(&self.columns)
    }
}

fn schema(columns: &[Column]) -> Vec<(Type, bool)> {
    columns.iter().map(|column| (column.ty, column.nullable)).collect()
}

fn key_schema(columns: &[Column], key: &[u16]) -> Vec<(Type, bool)> {
    key.iter().map(|index| &columns[*index as usize]).map(|column| (column.ty, column.nullable)).collect()
}

/// One operator of a plan.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct NodeSpec {
    /// Its number.
    pub id: OperatorId,
    /// The columns of its output.
    pub columns: Vec<Column>,
    /// What it does.
    pub operator: Operator,
}

/// What a node does with the deltas of its inputs.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum Operator {
    /// Sends the changes of a table.
    Table(TableId),
    /// Keeps the rows for which the predicate is true.
    Filter(FilterSpec),
    /// Computes each column of its output from a row.
    Map(MapSpec),
    /// Pairs the rows of two inputs by equal keys.
    Join(JoinSpec),
    /// One row per group, with aggregates over its rows.
    Aggregate(AggregateSpec),
    /// Each row of positive weight once.
    Distinct(OperatorId),
    /// The sum of its inputs.
    Union(Vec<OperatorId>),
    /// The first rows of each group, or those after some first ones.
    TopK(TopKSpec),
    /// Sends each row to the shard that owns its key.
    Exchange(ExchangeSpec),
    /// Passes on a stream that was installed earlier, beginning with the rows that were there before.
    Backfill(OperatorId),
    /// Keeps rows by lookup key for readers.
    View(ViewInput),
    /// Was dropped by a later plan. Its number stays taken, and that of its table or view.
    Dropped(Dropped),
}

/// See [`Operator::Filter`].
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct FilterSpec {
    /// Where the rows come from.
    pub input: OperatorId,
    /// Rows for which this is true go on; false and NULL do not.
    pub predicate: Expr,
}

/// See [`Operator::Map`].
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct MapSpec {
    /// Where the rows come from.
    pub input: OperatorId,
    /// One expression per output column.
    pub expressions: Vec<Expr>,
}

/// Which rows a join keeps that have no partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum JoinKind {
    /// None.
    Inner,
    /// Those of the left input, with NULL for the columns of the right.
    Left,
}

/// See [`Operator::Join`]. The output has the columns of the left input, then those of the right.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct JoinSpec {
    /// The left input.
    pub left: OperatorId,
    /// The right input.
    pub right: OperatorId,
    /// The key columns of the left input.
    pub left_key: Vec<u16>,
    /// The key columns of the right input, of the same types in the same order.
    pub right_key: Vec<u16>,
    /// What becomes of rows without a partner.
    pub kind: JoinKind,
}

/// See [`Operator::Aggregate`]. The output has the group's columns, then the aggregates.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct AggregateSpec {
    /// Where the rows come from.
    pub input: OperatorId,
    /// The columns that form the group.
    pub group: Vec<u16>,
    /// What is computed over each group.
    pub aggregates: Vec<Aggregate>,
}

/// See [`Operator::TopK`].
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct TopKSpec {
    /// Where the rows come from.
    pub input: OperatorId,
    /// The columns that form the group.
    pub group: Vec<u16>,
    /// The order within a group.
    pub order: Vec<Order>,
    /// How many rows of each group are passed over before the first that goes on.
    pub offset: u32,
    /// How many rows of each group go on.
    pub limit: u32,
}

/// See [`Operator::Exchange`].
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ExchangeSpec {
    /// Where the rows come from.
    pub input: OperatorId,
    /// The columns whose hash names the shard.
    pub key: Vec<u16>,
}

/// See [`Operator::Dropped`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Dropped {
    /// Whether it was a backfill: the ticks of those are counted on.
    pub was_backfill: bool,
}

/// See [`Operator::View`].
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ViewInput {
    /// Where the rows come from.
    pub input: OperatorId,
    /// Which view this is.
    pub view: ViewId,
}
