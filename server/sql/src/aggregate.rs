//! Aggregates, and what can be named where rows are groups.
//!
//! Expressions over groups are found from the outside in: a part that equals an expression of GROUP BY is that column
//! of the group, an aggregate is a column behind those, and a column by itself is neither, which is an error.

use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::parameters::Parameters;
use crate::scope::Scope;
use crate::sql_type::SqlType;
use crate::typed::{Typed, limit};
use operators::Type;
use operators::accumulator::Aggregate;
use operators::expr::{Expr, case, col_at, lit, null};
use operators::order::Order;
use sqlparser::ast::{
    DuplicateTreatment, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, OrderByExpr, Value,
};
use std::cell::RefCell;

const NAMES: &[&str] = &["count", "sum", "avg", "min", "max", "bool_and", "every", "bool_or", "string_agg"];
const UNSUPPORTED: &[&str] = &[
    "array_agg",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "json_agg",
    "jsonb_agg",
    "bit_and",
    "bit_or",
    "corr",
    "mode",
    "percentile_cont",
    "percentile_disc",
];

/// Whether a function of this name sums rows up.
pub(crate) fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name) || UNSUPPORTED.contains(&name)
}

/// An aggregate over expressions of the rows before grouping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    kind: Kind,
    /// What is aggregated; nothing for `count(*)`.
    pub(crate) argument: Option<Expr>,
    /// The order of the texts of `string_agg`.
    pub(crate) order: Vec<(Expr, bool)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Count,
    CountDistinct,
    Sum,
    Avg,
    Min,
    Max,
    StringAgg(String),
}

impl Call {
    /// The engine's aggregate over the columns of these names.
    pub(crate) fn over(&self, argument: Option<&str>, order: &[String]) -> Aggregate {
        let Some(column) = argument else { return Aggregate::Count };
        match &self.kind {
            Kind::Count => Aggregate::count_of(column),
            Kind::CountDistinct => Aggregate::count_distinct(column),
            Kind::Sum => Aggregate::sum(column),
            Kind::Avg => Aggregate::avg(column),
            Kind::Min => Aggregate::min(column),
            Kind::Max => Aggregate::max(column),
            Kind::StringAgg(separator) => {
                let order = order.iter().zip(&self.order);
                let order: Vec<Order> = order
                    .map(|(column, (_, descending))| Order {
                        column: column.clone(),
                        descending: *descending,
                    })
                    .collect();
                Aggregate::string_agg(column, separator, &order)
            }
        }
    }

    /// Whether nothing counts as 0 rather than NULL.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.kind, Kind::Count | Kind::CountDistinct)
    }
}

/// What can be named over groups.
#[derive(Debug)]
pub(crate) struct Grouping<'a> {
    /// The columns before grouping.
    pub(crate) inner: &'a Scope,
    /// The group's expressions, over the inner columns.
    pub(crate) groups: Vec<(Expr, SqlType)>,
    /// The aggregates asked for so far; their columns follow those of the group.
    pub(crate) calls: RefCell<Vec<Call>>,
}

impl Grouping<'_> {
    /// The column for an expression that is one of the group; an error for a column that is not.
    pub(crate) fn find(&self, ast: &Ast, parameters: &Parameters) -> Result<Option<Typed>> {
        let is_column = matches!(ast, Ast::Identifier(_) | Ast::CompoundIdentifier(_));
        if matches!(ast, Ast::Value(_)) {
            return Ok(None);
        }
        let bound = Binder::new(self.inner, parameters).bind(ast);
        let bound = match bound {
            Ok(bound) => bound,
            Err(error) if is_column => return Err(error),
            Err(_) => return Ok(None),
        };
        if let Some(at) = self.groups.iter().position(|(group, _)| *group == bound.expr) {
            return Ok(Some(Typed::new(col_at(at as u32), self.groups[at].1)));
        }
        if is_column {
            return Err(SqlError::new(
                "42803",
                format!("column {ast} must be in GROUP BY or in an aggregate"),
            ));
        }
        Ok(None)
    }

    /// The column of an aggregate.
    pub(crate) fn aggregate(
        &self,
        name: &str,
        function: &Function,
        parameters: &Parameters,
    ) -> Result<Typed> {
        let binder = Binder::new(self.inner, parameters);
        let (call, ty) = bind_call(&binder, name, function)?;
        let mut calls = self.calls.borrow_mut();
        let at = calls.iter().position(|other| *other == call).unwrap_or_else(|| {
            calls.push(call);
            calls.len() - 1
        });
        let column = col_at((self.groups.len() + at) as u32);
        // Only the sum of reals has another type than the engine's.
        Ok(Typed::new(if ty == SqlType::Real { limit(column, ty) } else { column }, ty))
    }
}

fn bind_call(binder: &Binder<'_>, name: &str, function: &Function) -> Result<(Call, SqlType)> {
    let refused = |what: &str| SqlError::unsupported(format!("{what} in {name}"));
    if UNSUPPORTED.contains(&name) {
        return Err(SqlError::unsupported(format!("the aggregate {name}")));
    }
    if !function.within_group.is_empty() || function.null_treatment.is_some() {
        return Err(refused("WITHIN GROUP"));
    }
    let FunctionArguments::List(list) = &function.args else {
        return Err(SqlError::new("42809", format!("{name} needs an argument")));
    };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let mut order: &[OrderByExpr] = &[];
    for clause in &list.clauses {
        match clause {
            FunctionArgumentClause::OrderBy(by) => order = by,
            other => return Err(refused(&other.to_string())),
        }
    }
    let condition = function.filter.as_deref().map(|filter| binder.condition(filter)).transpose()?;
    let filtered = |argument: Expr| match &condition {
        Some(condition) => case([(condition.clone(), argument)], null()),
        None => argument,
    };
    let plain = |kind, argument| Call { kind, argument, order: Vec::new() };
    match (name, list.args.as_slice()) {
        ("count", [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) if !distinct => {
            let argument = condition.is_some().then(|| filtered(lit(1)));
            Ok((plain(Kind::Count, argument), SqlType::BigInt))
        }
        ("string_agg", [FunctionArg::Unnamed(FunctionArgExpr::Expr(text)), separator]) if !distinct => {
            let text = binder.bind_as(text, SqlType::Text)?;
            let order = order.iter().map(|by| order_by(binder, by)).collect::<Result<_>>()?;
            let kind = Kind::StringAgg(constant_text(separator)?);
            Ok((Call { kind, argument: Some(filtered(text)), order }, SqlType::Text))
        }
        (_, [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))]) => {
            let typed = binder.bind(argument)?;
            let (kind, expr, ty) = of_one(name, distinct, typed, binder.parameters)?;
            Ok((plain(kind, Some(filtered(expr))), ty))
        }
        _ => Err(SqlError::new("42883", format!("{function} is no aggregate that there is"))),
    }
}

fn of_one(
    name: &str,
    distinct: bool,
    typed: Typed,
    parameters: &Parameters,
) -> Result<(Kind, Expr, SqlType)> {
    if distinct && matches!(name, "sum" | "avg" | "string_agg") {
        return Err(SqlError::unsupported(format!("DISTINCT in {name}"))
            .hint("Aggregate over a subquery with SELECT DISTINCT."));
    }
    let wrong = SqlError::new("42883", format!("{name} does not take {}", typed.type_name()));
    let (expr, ty) = typed.settle(parameters)?;
    let numeric = SqlType::Numeric(None);
    Ok(match name {
        "count" if distinct => (Kind::CountDistinct, expr, SqlType::BigInt),
        "count" => (Kind::Count, expr, SqlType::BigInt),
        "min" | "max" if ty != SqlType::Boolean && ty != SqlType::Jsonb => {
            (if name == "min" { Kind::Min } else { Kind::Max }, expr, ty)
        }
        "bool_and" | "every" if ty == SqlType::Boolean => (Kind::Min, expr, ty),
        "bool_or" if ty == SqlType::Boolean => (Kind::Max, expr, ty),
        "sum" | "avg" => match (name, ty) {
            ("sum", SqlType::SmallInt | SqlType::Integer) => (Kind::Sum, expr, SqlType::BigInt),
            ("sum", SqlType::BigInt) => (Kind::Sum, expr.cast(Type::Numeric), numeric),
            ("sum", SqlType::Numeric(_)) => (Kind::Sum, expr, numeric),
            ("sum", SqlType::Real | SqlType::Double) => (Kind::Sum, expr, ty),
            ("avg", ty) if ty.is_integer() => (Kind::Avg, expr.cast(Type::Numeric), numeric),
            ("avg", SqlType::Numeric(_)) => (Kind::Avg, expr, numeric),
            ("avg", SqlType::Real | SqlType::Double) => (Kind::Avg, expr, SqlType::Double),
            _ => return Err(wrong),
        },
        _ => return Err(wrong),
    })
}

fn order_by(binder: &Binder<'_>, by: &OrderByExpr) -> Result<(Expr, bool)> {
    let (descending, unusual_nulls) = direction(by)?;
    if unusual_nulls {
        return Err(SqlError::unsupported("NULLS FIRST and NULLS LAST in an aggregate"));
    }
    Ok((binder.bind(&by.expr)?.settle(binder.parameters)?.0, descending))
}

/// Whether the order is descending, and whether NULLs are asked for at the other end than usual.
pub(crate) fn direction(by: &OrderByExpr) -> Result<(bool, bool)> {
    use sqlparser::ast::OrderBySort;
    let descending = match &by.options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(_) => return Err(SqlError::unsupported("ORDER BY ... USING")),
    };
    Ok((descending, by.options.nulls_first.is_some_and(|first| first != descending)))
}

fn constant_text(argument: &FunctionArg) -> Result<String> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Value(value))) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Ok(text.clone()),
            _ => Err(SqlError::unsupported("a separator of string_agg that is no text")),
        },
        _ => Err(SqlError::unsupported("a separator of string_agg that is no constant")),
    }
}
