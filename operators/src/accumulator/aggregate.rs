//! Aggregate functions as a plan holds them: over columns by name.
// The archive derive makes a type with the fields of the variants, and gives them no documentation.
#![allow(missing_docs)]

use super::variance::Form;
use super::{BoundAggregate, Kind};
use crate::error::PlanError;
use crate::order::Order;
use crate::plan::{Column, column_index};
use crate::sort_key::SortKey;
use crate::value::Type;

/// An aggregate function over a column, as a plan holds it.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum Aggregate {
    /// How many rows there are.
    Count,
    /// How many values are not NULL.
    CountOf(String),
    /// How many different values there are that are not NULL.
    CountDistinct(String),
    /// The exact sum.
    Sum(String),
    /// The exact mean, rounded once.
    Avg(String),
    /// The least value.
    Min(String),
    /// The greatest value.
    Max(String),
    /// How far the values are spread: the variance.
    Variance {
        /// The column of the values, numeric or float8.
        column: String,
        /// Of a sample rather than of all there is.
        sample: bool,
        /// Its root, the standard deviation.
        root: bool,
    },
    /// The sum of the different values.
    SumDistinct(String),
    /// The mean of the different values.
    AvgDistinct(String),
    /// The texts one after another. Those that the order leaves equal follow by their bytes.
    StringAgg {
        /// The column of the texts.
        column: String,
        /// Stands between two texts.
        separator: String,
        /// The order of the texts.
        order: Vec<Order>,
        /// Whether equal texts at equal places count once.
        distinct: bool,
    },
}

impl Aggregate {
    /// How many values of this column are not NULL.
    pub fn count_of(column: impl Into<String>) -> Aggregate {
        Aggregate::CountOf(column.into())
    }

    /// How many different values this column has.
    pub fn count_distinct(column: impl Into<String>) -> Aggregate {
        Aggregate::CountDistinct(column.into())
    }

    /// The sum of this column.
    pub fn sum(column: impl Into<String>) -> Aggregate {
        Aggregate::Sum(column.into())
    }

    /// The mean of this column.
    pub fn avg(column: impl Into<String>) -> Aggregate {
        Aggregate::Avg(column.into())
    }

    /// The least value of this column.
    pub fn min(column: impl Into<String>) -> Aggregate {
        Aggregate::Min(column.into())
    }

    /// The greatest value of this column.
    pub fn max(column: impl Into<String>) -> Aggregate {
        Aggregate::Max(column.into())
    }

    /// The texts of this column in this order.
    pub fn string_agg(column: impl Into<String>, separator: &str, order: &[Order]) -> Aggregate {
        Aggregate::StringAgg {
            column: column.into(),
            separator: separator.to_owned(),
            order: order.to_vec(),
            distinct: false,
        }
    }

    /// The columns that it looks at, by name.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Aggregate::Count => Vec::new(),
            Aggregate::CountOf(column)
            | Aggregate::CountDistinct(column)
            | Aggregate::Sum(column)
            | Aggregate::Avg(column)
            | Aggregate::Min(column)
            | Aggregate::Max(column)
            | Aggregate::SumDistinct(column)
            | Aggregate::AvgDistinct(column)
            | Aggregate::Variance { column, .. } => vec![column],
            Aggregate::StringAgg { column, order, .. } => std::iter::once(column)
                .chain(order.iter().map(|order| &order.column))
                .map(String::as_str)
                .collect(),
        }
    }

    /// The aggregate for rows of these columns. The error says what does not fit; the caller adds the operator.
    pub fn resolve(&self, columns: &[Column]) -> Result<BoundAggregate, PlanError> {
        let (name, column) = match self {
            Aggregate::Count => return Ok(BoundAggregate { kind: Kind::Count, column: 0, ty: Type::Int }),
            Aggregate::CountOf(column) => ("count", column),
            Aggregate::CountDistinct(column) => ("count distinct", column),
            Aggregate::Sum(column) => ("sum", column),
            Aggregate::Avg(column) => ("avg", column),
            Aggregate::Min(column) => ("min", column),
            Aggregate::Max(column) => ("max", column),
            Aggregate::StringAgg { column, .. } => ("string_agg", column),
            Aggregate::Variance { column, .. } => ("variance", column),
            Aggregate::SumDistinct(column) => ("sum distinct", column),
            Aggregate::AvgDistinct(column) => ("avg distinct", column),
        };
        let index = column_index(columns, column)?;
        let ty = columns[index].ty;
        let wrong = |wanted| PlanError::types(format!("{name} needs {wanted}, but {column:?} is {ty}"));
        let kind = match (self, ty) {
            (Aggregate::CountOf(_), _) => Kind::CountOf,
            (Aggregate::CountDistinct(_), _) => Kind::CountDistinct,
            (Aggregate::Min(_), _) => Kind::Min,
            (Aggregate::Max(_), _) => Kind::Max,
            (Aggregate::Sum(_), Type::Int) => Kind::SumInt,
            (Aggregate::Sum(_), Type::Float) => Kind::SumFloat,
            (Aggregate::Sum(_), Type::Numeric) => Kind::SumNumeric,
            (Aggregate::Avg(_), Type::Int) => Kind::AvgInt,
            (Aggregate::Avg(_), Type::Float) => Kind::AvgFloat,
            (Aggregate::Avg(_), Type::Numeric) => Kind::AvgNumeric,
            (Aggregate::SumDistinct(_), Type::Int | Type::Float | Type::Numeric) => Kind::SumDistinct,
            (Aggregate::AvgDistinct(_), Type::Int | Type::Float | Type::Numeric) => Kind::AvgDistinct,
            (Aggregate::Variance { sample, root, .. }, Type::Float) => {
                Kind::VarianceFloat(Form { sample: *sample, root: *root })
            }
            (Aggregate::Variance { sample, root, .. }, Type::Numeric) => {
                Kind::VarianceNumeric(Form { sample: *sample, root: *root })
            }
            (Aggregate::Variance { .. }, _) => return Err(wrong("a numeric or float8")),
            (Aggregate::Sum(_) | Aggregate::Avg(_), _) => return Err(wrong("a number")),
            (Aggregate::SumDistinct(_) | Aggregate::AvgDistinct(_), _) => return Err(wrong("a number")),
            (Aggregate::StringAgg { separator, order, distinct, .. }, Type::Text) => Kind::StringAgg {
                separator: separator.clone(),
                order: SortKey::resolve(order, columns)?,
                distinct: *distinct,
            },
            (Aggregate::StringAgg { .. }, _) => return Err(wrong("text")),
            (Aggregate::Count, _) => unreachable!("returned above"),
        };
        Ok(BoundAggregate { kind, column: index, ty })
    }
}
