//! Building plans by name.

use super::{Column, JoinKind, OperatorId, Plan, TableId, ViewId};
use crate::accumulator::Aggregate;
use crate::error::PlanError;
use crate::expr::Expr;
use crate::order::Order;

/// The output of an operator, to be used as an input of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream(pub(crate) OperatorId);

/// Puts a plan together, with exchanges where they are needed.
#[derive(Debug, Default)]
pub struct PlanBuilder {
    plan: Plan,
}

#[allow(unused_variables, missing_docs)]
impl PlanBuilder {
    /// An empty plan.
    pub fn new() -> Self {
        Self::default()
    }
    /// Continues `plan`; what it has keeps its ids.
    pub fn extend(plan: Plan) -> Self {
        PlanBuilder { plan }
    }
    pub fn table(&mut self, name: &str, columns: &[Column], key: &[&str]) -> Result<Stream, PlanError> {
        todo!()
    }
    pub fn filter(&mut self, input: Stream, predicate: Expr) -> Result<Stream, PlanError> {
        todo!()
    }
    pub fn map(&mut self, input: Stream, columns: &[(&str, Expr)]) -> Result<Stream, PlanError> {
        todo!()
    }
    pub fn join(
        &mut self,
        left: Stream,
        right: Stream,
        on: &[(&str, &str)],
        kind: JoinKind,
    ) -> Result<Stream, PlanError> {
        todo!()
    }
    pub fn aggregate(
        &mut self,
        input: Stream,
        group: &[&str],
        aggregates: &[(&str, Aggregate)],
    ) -> Result<Stream, PlanError> {
        todo!()
    }
    pub fn distinct(&mut self, input: Stream) -> Result<Stream, PlanError> {
        todo!()
    }
    pub fn union_all(&mut self, inputs: &[Stream]) -> Result<Stream, PlanError> {
        todo!()
    }
    pub fn top_k(
        &mut self,
        input: Stream,
        group: &[&str],
        order: &[Order],
        limit: u32,
    ) -> Result<Stream, PlanError> {
        todo!()
    }
    pub fn view(
        &mut self,
        name: &str,
        input: Stream,
        key: &[&str],
        order: &[Order],
    ) -> Result<ViewId, PlanError> {
        todo!()
    }
    /// The columns of a stream.
    pub fn columns(&self, stream: Stream) -> &[Column] {
        todo!()
    }
    /// The id of the table behind a stream.
    pub fn table_id(&self, stream: Stream) -> Option<TableId> {
        todo!()
    }
    pub fn build(self) -> Result<Plan, PlanError> {
        Ok(self.plan)
    }
}
