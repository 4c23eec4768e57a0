//! Aggregate functions: what they keep of the rows of a group, and the value they have.
//!
//! The state and the value are functions of the multiset of rows consumed, never of their order: weights add, a
//! retraction undoes an insertion bit by bit, and an empty multiset leaves the initial state. Hence sums are exact
//! (integers in 128 bits, floats and decimals in full width) and rounded once when asked for, and the rest lies in ordered
//! multisets. Weights may be negative for a while; then only values of positive weight show.
//!
//! Two kinds of state. Those of fixed size ([`BoundAggregate::inline_bytes`]) live in any buffer of so many bytes, all
//! zero at first, beside the others of the group. The others are an [`AggregateState`] of their own.
//!
//! | function | of | result | |
//! |---|---|---|---|
//! | `Count` | rows | int8 | |
//! | `CountOf` | any type | int8 | values that are not NULL |
//! | `CountDistinct` | any type | int8 | different values that are not NULL |
//! | `Sum` | int8, float8, numeric | the same | NULL outside of int8 or numeric; float8 goes to infinity |
//! | `Avg` | int8, float8, numeric | float8, float8, numeric | exact sum / count, rounded once |
//! | `Min`, `Max` | any type | the same | NaN is above all numbers |
//! | `Variance` | float8, numeric | the same | NULL of fewer than two values, of a sample |
//! | `SumDistinct`, `AvgDistinct` | as `Sum`, `Avg` | the same | of the different values |
//! | `StringAgg` | text | text | NULL when longer than half a row may be |
//!
//! All but the counts are NULL when there is no value that is not NULL.

mod aggregate;
mod big;
mod decimal_sum;
mod float_sum;
mod inline;
mod multiset;
mod string_agg;
mod variance;

#[cfg(test)]
mod tests;

use crate::row::{Row, RowBuilder};
use crate::sort_key::SortKey;
use crate::value::{Datum, Type};
pub use aggregate::Aggregate;
pub(crate) use decimal_sum::units as decimal_units;
use multiset::ValueMultiset;
use string_agg::TextMultiset;
use variance::Form;

/// An aggregate function for rows of certain columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundAggregate {
    kind: Kind,
    /// The column aggregated; without meaning for `Count`.
    column: usize,
    /// The type of that column.
    ty: Type,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Count,
    CountOf,
    SumInt,
    AvgInt,
    SumFloat,
    AvgFloat,
    SumNumeric,
    AvgNumeric,
    CountDistinct,
    Min,
    Max,
    VarianceFloat(Form),
    VarianceNumeric(Form),
    SumDistinct,
    AvgDistinct,
    StringAgg { separator: String, order: SortKey, distinct: bool },
}

impl BoundAggregate {
    /// The type of the result.
    pub fn ty(&self) -> Type {
        match &self.kind {
            Kind::Count | Kind::CountOf | Kind::CountDistinct | Kind::SumInt => Type::Int,
            Kind::AvgInt | Kind::SumFloat | Kind::AvgFloat | Kind::VarianceFloat(_) => Type::Float,
            Kind::SumNumeric | Kind::AvgNumeric | Kind::VarianceNumeric(_) => Type::Numeric,
            Kind::AvgDistinct if self.ty == Type::Int => Type::Float,
            Kind::Min | Kind::Max | Kind::SumDistinct | Kind::AvgDistinct => self.ty,
            Kind::StringAgg { .. } => Type::Text,
        }
    }

    /// Whether the result can be NULL. Even a sum of no NULLs can: outside of its type's range.
    pub fn nullable(&self) -> bool {
        !matches!(self.kind, Kind::Count | Kind::CountOf | Kind::CountDistinct)
    }

    /// The column whose values are aggregated; none for `Count`.
    pub fn column(&self) -> Option<usize> {
        (self.kind != Kind::Count).then_some(self.column)
    }

    /// How many bytes the state takes if its size is fixed, a multiple of 8. They are zero at first, and zero again
    /// when everything was retracted.
    pub fn inline_bytes(&self) -> Option<usize> {
        match &self.kind {
            Kind::Count | Kind::CountOf => Some(inline::COUNT_BYTES),
            Kind::SumInt | Kind::AvgInt => Some(inline::INT_SUM_BYTES),
            Kind::SumFloat | Kind::AvgFloat => Some(float_sum::BYTES),
            Kind::SumNumeric | Kind::AvgNumeric => Some(decimal_sum::BYTES),
            Kind::VarianceFloat(_) => Some(variance::FLOAT_BYTES),
            Kind::VarianceNumeric(_) => Some(variance::DECIMAL_BYTES),
            Kind::CountDistinct
            | Kind::Min
            | Kind::Max
            | Kind::SumDistinct
            | Kind::AvgDistinct
            | Kind::StringAgg { .. } => None,
        }
    }

    /// Adds `weight` times the row to a state of fixed size.
    #[inline]
    pub fn update_inline(&self, state: &mut [u8], row: Row<'_>, weight: i64) {
        if self.kind == Kind::Count {
            inline::add_count(state, weight);
            return;
        }
        if row.is_null(self.column) {
            return;
        }
        match &self.kind {
            Kind::CountOf => inline::add_count(state, weight),
            Kind::SumInt | Kind::AvgInt => inline::add_int(state, row.int(self.column), weight),
            Kind::SumFloat | Kind::AvgFloat => float_sum::add(state, row.float(self.column), weight),
            Kind::SumNumeric | Kind::AvgNumeric => decimal_sum::add(state, row.numeric(self.column), weight),
            Kind::VarianceFloat(_) => variance::add_float(state, row.float(self.column), weight),
            Kind::VarianceNumeric(_) => variance::add_decimal(state, row.numeric(self.column), weight),
            kind => unreachable!("{kind:?} is not of fixed size"),
        }
    }

    /// The value of a state of fixed size.
    pub fn result_inline(&self, state: &[u8]) -> Datum<'static> {
        match &self.kind {
            Kind::Count | Kind::CountOf => Datum::Int(inline::count(state)),
            Kind::SumInt => inline::int_sum(state),
            Kind::AvgInt => inline::int_avg(state),
            Kind::SumFloat => float_sum::sum(state),
            Kind::AvgFloat => float_sum::avg(state),
            Kind::SumNumeric => decimal_sum::sum(state),
            Kind::AvgNumeric => decimal_sum::avg(state),
            Kind::VarianceFloat(form) => variance::float_result(state, *form),
            Kind::VarianceNumeric(form) => variance::decimal_result(state, *form),
            kind => unreachable!("{kind:?} is not of fixed size"),
        }
    }

    /// An empty state for a function without a fixed size.
    pub fn new_state(&self) -> AggregateState {
        match &self.kind {
            Kind::CountDistinct | Kind::Min | Kind::Max | Kind::SumDistinct | Kind::AvgDistinct => {
                AggregateState(State::Values(ValueMultiset::new(self.ty)))
            }
            Kind::StringAgg { .. } => AggregateState(State::Texts(TextMultiset::default())),
            kind => unreachable!("{kind:?} is of fixed size"),
        }
    }

    /// Adds `weight` times the row. `key` is working memory, kept by the caller to be used again.
    #[inline]
    pub fn update(&self, state: &mut AggregateState, row: Row<'_>, weight: i64, key: &mut Vec<u8>) {
        if row.is_null(self.column) {
            return;
        }
        match (&mut state.0, &self.kind) {
            (State::Values(values), _) => values.add(row.datum(self.column, self.ty), weight),
            (State::Texts(texts), Kind::StringAgg { order, .. }) => {
                key.clear();
                order.encode(row, key);
                texts.add(key, row.bytes(self.column), weight);
            }
            (State::Texts(_), kind) => unreachable!("{kind:?} keeps no texts"),
        }
    }

    /// A sum or mean of the different values, each taken once.
    fn of_distinct(&self, values: &ValueMultiset, aggregate: Aggregate) -> Datum<'static> {
        let kind = match (aggregate, self.ty) {
            (Aggregate::Sum(_), Type::Int) => Kind::SumInt,
            (Aggregate::Sum(_), Type::Float) => Kind::SumFloat,
            (Aggregate::Sum(_), _) => Kind::SumNumeric,
            (_, Type::Int) => Kind::AvgInt,
            (_, Type::Float) => Kind::AvgFloat,
            _ => Kind::AvgNumeric,
        };
        let inner = BoundAggregate { kind, column: 0, ty: self.ty };
        let mut state = vec![0; inner.inline_bytes().expect("sums have a fixed size")];
        let mut builder = RowBuilder::new();
        values.each_positive(|value| {
            builder.start(1);
            builder.push(value);
            inner.update_inline(&mut state, builder.finish(), 1);
        });
        inner.result_inline(&state)
    }

    /// The value; `text` is where a text is put together. A `StringAgg` and what is of different values cost time in
    /// proportion to these, the others do not.
    pub fn result<'a>(&self, state: &'a AggregateState, text: &'a mut String) -> Datum<'a> {
        match (&state.0, &self.kind) {
            (State::Values(values), Kind::CountDistinct) => Datum::Int(values.distinct()),
            (State::Values(values), Kind::Min) => values.first(),
            (State::Values(values), Kind::Max) => values.last(),
            (State::Values(values), Kind::SumDistinct) => {
                self.of_distinct(values, Aggregate::Sum(String::new()))
            }
            (State::Values(values), Kind::AvgDistinct) => {
                self.of_distinct(values, Aggregate::Avg(String::new()))
            }
            (State::Texts(texts), Kind::StringAgg { separator, distinct, .. }) => {
                texts.join(separator, *distinct, text)
            }
            (_, kind) => unreachable!("the state is not one of {kind:?}"),
        }
    }
}

/// The state of an aggregate function that grows with what it has seen: made by [`BoundAggregate::new_state`], used
/// with the same function only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateState(State);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Values(ValueMultiset),
    Texts(TextMultiset),
}

impl AggregateState {
    /// Whether this is the initial state: everything consumed was retracted again.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            State::Values(values) => values.is_empty(),
            State::Texts(texts) => texts.is_empty(),
        }
    }

    /// An estimate of the memory held, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            State::Values(values) => values.bytes(),
            State::Texts(texts) => texts.bytes(),
        }
    }

    /// Appends all of the state in a form that depends on nothing but what was consumed, for digests.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match &self.0 {
            State::Values(values) => values.encode(out),
            State::Texts(texts) => texts.encode(out),
        }
    }
}
