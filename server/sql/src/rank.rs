//! The first rows of each group: `row_number() OVER (PARTITION BY ... ORDER BY ...)` in a subquery, compared with a
//! number by the query around it. It is a top-k, and the numbers themselves are never counted.
//!
//! ```sql
//! SELECT airport, flight
//! FROM (SELECT *, row_number() OVER (PARTITION BY airport ORDER BY departed DESC) AS place FROM flights) AS ranked
//! WHERE place <= 20
//! ```

use crate::aggregate::direction;
use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::names::{fold, object_name};
use crate::planner::{Planner, Relation};
use crate::select::Outputs;
use crate::sql_type::SqlType;
use operators::expr::{col_at, lit};
use sqlparser::ast::{BinaryOperator, Expr as Ast, Value, WindowSpec, WindowType};

/// A column of a result that stands for the number of the row in its group. In the stream it is a constant.
#[derive(Debug, Clone)]
pub(crate) struct Rank {
    /// Which of the result's columns.
    pub(crate) column: usize,
    /// Positions in the stream of what the rows are grouped by.
    group: Vec<usize>,
    /// Positions in the stream of what they are ordered by, and whether descending.
    order: Vec<(usize, bool)>,
}

/// A condition of WHERE that may be about the number of a row.
#[derive(Debug)]
pub(crate) struct RankCondition {
    table: Option<String>,
    column: String,
    range: Range,
    /// Its place in the list of conditions.
    number: usize,
    /// Whether a rank has been cut by it.
    pub(crate) used: bool,
}

/// Numbers of rows, the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    last: u32,
}

const ALL: Range = Range { first: 1, last: u32::MAX };

/// The window of a call of `row_number`; an error for any other window function.
pub(crate) fn row_number(ast: &Ast) -> Option<Result<&WindowSpec>> {
    let Ast::Function(function) = ast else { return None };
    let over = function.over.as_ref()?;
    let name = object_name(&function.name).unwrap_or_default();
    Some(match over {
        _ if name != "row_number" => Err(SqlError::unsupported(format!("the window function {name}"))
            .hint("row_number() is there, compared with a number by a query around it.")),
        WindowType::WindowSpec(spec) if spec.window_name.is_none() && spec.window_frame.is_none() => Ok(spec),
        _ => Err(SqlError::unsupported(format!("{over} for row_number()"))),
    })
}

impl Outputs {
    /// Adds the columns that a window needs, behind the others, and says which they are.
    pub(crate) fn rank(&mut self, binder: &Binder<'_>, spec: &WindowSpec, column: usize) -> Result<Rank> {
        let mut rank = Rank { column, group: Vec::new(), order: Vec::new() };
        for ast in &spec.partition_by {
            let (expr, ty) = binder.bind(ast)?.settle(binder.parameters)?;
            rank.group.push(self.column(expr, ty));
        }
        for by in &spec.order_by {
            let (descending, unusual_nulls) = direction(by)?;
            let (expr, ty) = binder.bind(&by.expr)?.settle(binder.parameters)?;
            if unusual_nulls {
                let at = self.column(expr.clone().is_null(), SqlType::Boolean);
                rank.order.push((at, !descending));
            }
            rank.order.push((self.column(expr, ty), descending));
        }
        Ok(rank)
    }
}

/// The conditions that compare a column with a number.
pub(crate) fn conditions(conditions: &[&Ast]) -> Vec<RankCondition> {
    conditions.iter().enumerate().filter_map(|(number, ast)| condition(number, ast)).collect()
}

fn condition(number: usize, ast: &Ast) -> Option<RankCondition> {
    let named = |column: &Ast, range: Option<Range>| {
        let (table, column) = match column {
            Ast::Identifier(name) => (None, fold(name)),
            Ast::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] => (Some(fold(table)), fold(name)),
                _ => return None,
            },
            _ => return None,
        };
        Some(RankCondition { table, column, range: range?, number, used: false })
    };
    match ast {
        Ast::Nested(inner) => condition(number, inner),
        Ast::Between { expr, negated: false, low, high } => {
            let range = || Some(Range { first: constant(low)?.max(1), last: constant(high)? });
            named(expr, range())
        }
        Ast::BinaryOp { left, op, right } => match (constant(left), constant(right)) {
            (None, Some(number)) => named(left, range(op, number)),
            (Some(number), None) => named(right, range(&mirrored(op), number)),
            _ => None,
        },
        _ => None,
    }
}

fn constant(ast: &Ast) -> Option<u32> {
    match ast {
        Ast::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        Ast::Nested(inner) => constant(inner),
        _ => None,
    }
}

fn mirrored(op: &BinaryOperator) -> BinaryOperator {
    match op {
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        other => other.clone(),
    }
}

fn range(op: &BinaryOperator, number: u32) -> Option<Range> {
    Some(match op {
        BinaryOperator::Eq => Range { first: number.max(1), last: number },
        BinaryOperator::Lt => Range { last: number.saturating_sub(1), ..ALL },
        BinaryOperator::LtEq => Range { last: number, ..ALL },
        BinaryOperator::Gt => Range { first: number.saturating_add(1), ..ALL },
        BinaryOperator::GtEq => Range { first: number.max(1), ..ALL },
        _ => return None,
    })
}

impl RankCondition {
    /// Its place in the list of conditions.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl Planner<'_> {
    /// The rows whose numbers are asked for, if there is a rank. Returns the column that has no value then, which is so
    /// unless there is only one number.
    pub(crate) fn ranked(&mut self, relation: &mut Relation, table: Option<&str>) -> Result<Option<usize>> {
        let Some(rank) = relation.rank.take() else { return Ok(None) };
        let name = relation.columns[rank.column].name.clone();
        let mut range = ALL;
        for condition in &mut self.rank_conditions {
            let same_table = condition.table.as_deref().is_none_or(|wanted| Some(wanted) == table);
            if same_table && condition.column == name {
                range.first = range.first.max(condition.range.first);
                range.last = range.last.min(condition.range.last);
                condition.used = true;
            }
        }
        if range == ALL {
            return Err(unsupported(&name));
        }
        let stream = relation.stream;
        relation.stream = if range.first > range.last {
            self.builder.filter(stream, lit(false))?
        } else {
            let group = self.names_at(stream, &rank.group);
            let group: Vec<&str> = group.iter().map(String::as_str).collect();
            let order = self.plan_order(stream, &rank.order);
            let (offset, limit) = (range.first - 1, range.last - range.first + 1);
            self.builder.top_k_after(stream, &group, &order, offset, limit.min(u32::MAX - offset))?
        };
        if range.first != range.last {
            return Ok(Some(rank.column));
        }
        relation.unique = Some(rank.group);
        self.number_rows(relation, rank.column, range.first)?;
        Ok(None)
    }

    /// Puts the number that all rows have into the column that stands for it.
    fn number_rows(&mut self, relation: &mut Relation, column: usize, number: u32) -> Result<()> {
        let at = relation.columns[column].at;
        let width = self.builder.columns(relation.stream).len();
        let columns = (0..width).map(|other| {
            let value = if other == at { lit(i64::from(number)) } else { col_at(other as u32) };
            (self.name_at(relation.stream, other), value)
        });
        let columns = columns.collect();
        relation.stream = self.map(relation.stream, columns)?;
        Ok(())
    }
}

/// A rank that nobody compares with a number, or that is to be shown.
pub(crate) fn unsupported(name: &str) -> SqlError {
    SqlError::unsupported(format!("row_number() as a value (column {name:?})"))
        .hint(format!("Compare it with a number in a query around it: WHERE {name} <= 10."))
}
