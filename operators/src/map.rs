//! Filter and map: row by row, without state.

use crate::batch::DeltaBuffer;
use crate::error::PlanError;
use crate::expr::{BoundExpr, Scratch};
use crate::plan::{Column, FilterSpec, MapSpec};
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
    pub fn run(&self, input: &DeltaBuffer, scratch: &mut Scratch, out: &mut DeltaBuffer) {
        for (row, weight) in input.deltas() {
            if self.predicate.is_true(row, scratch) {
                out.push(row, weight);
            }
            scratch.reset();
        }
    }
}

/// Computes rows from rows.
#[derive(Debug)]
pub struct Map {
    columns: Vec<MapColumn>,
    builder: RowBuilder,
}

#[derive(Debug)]
enum MapColumn {
    /// The bytes of an input column as they are.
    Copy {
        column: usize,
        in_tail: bool,
    },
    Compute(BoundExpr),
}

impl Map {
    /// The map of `spec` over rows of `columns`.
    pub fn new(spec: &MapSpec, columns: &[Column]) -> Result<Self, PlanError> {
        let mut outputs = Vec::with_capacity(spec.expressions.len());
        for expression in &spec.expressions {
            let (bound, ty) = expression.resolve(columns)?;
            outputs.push(match bound.as_column() {
                Some(column) => MapColumn::Copy { column, in_tail: ty.in_tail() },
                None => MapColumn::Compute(bound),
            });
        }
        Ok(Map { columns: outputs, builder: RowBuilder::new() })
    }

    /// Maps the deltas of a step.
    pub fn run(&mut self, input: &DeltaBuffer, scratch: &mut Scratch, out: &mut DeltaBuffer) {
        for (row, weight) in input.deltas() {
            self.builder.start(self.columns.len());
            for column in &self.columns {
                match column {
                    MapColumn::Copy { column, in_tail } => self.builder.copy(row, *column, *in_tail),
                    MapColumn::Compute(expression) => self.builder.push(expression.eval(row, scratch)),
                }
            }
            out.push(self.builder.finish(), weight);
            scratch.reset();
        }
    }
}
