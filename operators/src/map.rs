//! Filter and map: row by row, without state.

use crate::batch::DeltaBuffer;
use crate::error::PlanError;
use crate::expr::{BoundExpr, Scratch};
use crate::failing::Failing;
use crate::plan::{Column, FilterSpec, MapSpec};
use crate::projection::{ProjectedColumn, Projection};
use crate::row::RowBuilder;

/// Passes on the rows for which a predicate is true.
#[derive(Debug)]
pub struct Filter {
    predicate: BoundExpr,
}

impl Filter {
    /// The filter of `spec` over rows of `columns`.
    pub fn new(spec: &FilterSpec, columns: &[Column]) -> Result<Self, PlanError> {
        Ok(Filter { predicate: spec.predicate.resolve(columns)?.0 })
    }

    /// Filters the deltas of a step.
    pub fn run(
        &self,
        input: &DeltaBuffer,
        scratch: &mut Scratch,
        out: &mut DeltaBuffer,
        failing: &mut Failing,
    ) {
        for (row, weight) in input.deltas() {
            let errors = scratch.errors();
            if self.predicate.is_true(row, scratch) {
                out.push(row, weight);
            }
            failing.count(scratch, errors, weight);
            scratch.reset();
        }
    }
}

/// Computes rows from rows.
#[derive(Debug)]
pub enum Map {
    /// Only chooses columns.
    Choose(Projection),
    /// Computes columns.
    Compute(Vec<MapColumn>, RowBuilder),
}

/// A column of a map that computes some.
#[derive(Debug)]
pub enum MapColumn {
    /// The bytes of an input column as they are.
    Copy(ProjectedColumn),
    /// The value of an expression.
    Compute(BoundExpr),
}

impl Map {
    /// The map of `spec` over rows of `columns`.
    pub fn new(spec: &MapSpec, columns: &[Column]) -> Result<Self, PlanError> {
        if let Some(chosen) = chosen_columns(spec, columns)? {
            return Ok(Map::Choose(Projection::new(chosen)));
        }
        let mut outputs = Vec::with_capacity(spec.expressions.len());
        for expression in &spec.expressions {
            let (bound, ty) = expression.resolve(columns)?;
            outputs.push(match bound.as_column() {
                Some(index) => MapColumn::Copy(ProjectedColumn { side: 0, index, in_tail: ty.in_tail() }),
                None => MapColumn::Compute(bound),
            });
        }
        Ok(Map::Compute(outputs, RowBuilder::new()))
    }

    /// Maps the deltas of a step.
    pub fn run(
        &mut self,
        input: &DeltaBuffer,
        scratch: &mut Scratch,
        out: &mut DeltaBuffer,
        failing: &mut Failing,
    ) {
        match self {
            Map::Choose(projection) => {
                input.deltas().for_each(|(row, weight)| projection.append(row, row, weight, out));
            }
            Map::Compute(columns, builder) => {
                for (row, weight) in input.deltas() {
                    let errors = scratch.errors();
                    builder.start(columns.len());
                    for column in columns.iter() {
                        match column {
                            MapColumn::Copy(column) => builder.copy(row, column.index, column.in_tail),
                            MapColumn::Compute(expression) => builder.push(expression.eval(row, scratch)),
                        }
                    }
                    out.push(builder.finish(), weight);
                    failing.count(scratch, errors, weight);
                    scratch.reset();
                }
            }
        }
    }
}

/// The columns that a map takes over, if it does nothing else.
pub fn chosen_columns(spec: &MapSpec, columns: &[Column]) -> Result<Option<Vec<ProjectedColumn>>, PlanError> {
    let mut chosen = Vec::with_capacity(spec.expressions.len());
    for expression in &spec.expressions {
        let (bound, ty) = expression.resolve(columns)?;
        let Some(index) = bound.as_column() else { return Ok(None) };
        chosen.push(ProjectedColumn { side: 0, index, in_tail: ty.in_tail() });
    }
    Ok(Some(chosen))
}
