//! Aggregates, and what can be named where rows are groups.
//!
//! Expressions over groups are found from the outside in: a part that equals an expression of GROUP BY is that column
//! of the group, an aggregate is a column behind those, and a column by itself is neither, which is an error.

use crate::error::{Result, SqlError};
use crate::expression::{Binder, element_of};
use crate::function::to_json;
use crate::interval;
use crate::parameters::Parameters;
use crate::scope::Scope;
use crate::sql_type::SqlType;
use crate::typed::{Typed, limit, printed};
use operators::Type;
use operators::accumulator::Aggregate;
use operators::expr::{Expr, call, case, coalesce, col_at, lit, null};
use operators::order::Order;
use sqlparser::ast::{
    DuplicateTreatment, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, OrderByExpr, Value,
};
use std::cell::RefCell;

const NAMES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "every",
    "bool_or",
    "string_agg",
    "array_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
];
const UNSUPPORTED: &[&str] = &[
    "json_agg",
    "json_object_agg",
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
    SumDistinct,
    AvgDistinct,
    /// Of a sample, and whether the root of it.
    Variance(bool, bool),
    /// The separator, and whether equal texts count once.
    StringAgg(String, bool),
}

/// The calls of the engine's aggregates that make one of SQL's, and what makes the value of theirs.
struct Bound {
    calls: Vec<Call>,
    ty: SqlType,
    finish: fn(&[Expr]) -> Expr,
}

impl Bound {
    fn one(call: Call, ty: SqlType) -> Self {
        Bound { calls: vec![call], ty, finish: |values| values[0].clone() }
    }
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
            Kind::SumDistinct => Aggregate::SumDistinct(column.to_owned()),
            Kind::AvgDistinct => Aggregate::AvgDistinct(column.to_owned()),
            Kind::Variance(sample, root) => {
                Aggregate::Variance { column: column.to_owned(), sample: *sample, root: *root }
            }
            Kind::StringAgg(separator, distinct) => {
                let order = order.iter().zip(&self.order);
                let order: Vec<Order> = order
                    .map(|(column, (_, descending))| Order {
                        column: column.clone(),
                        descending: *descending,
                    })
                    .collect();
                let (column, separator) = (column.to_owned(), separator.clone());
                Aggregate::StringAgg { column, separator, order, distinct: *distinct }
            }
        }
    }

    /// The number of rows.
    pub(crate) fn rows() -> Call {
        Call { kind: Kind::Count, argument: None, order: Vec::new() }
    }

    /// The least value.
    pub(crate) fn least(argument: Expr) -> Call {
        Call { kind: Kind::Min, argument: Some(argument), order: Vec::new() }
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
        let Bound { calls: asked, ty, finish } = bind_call(&binder, name, function)?;
        let mut calls = self.calls.borrow_mut();
        let mut column_of = |call: Call| {
            let at = calls.iter().position(|other| *other == call).unwrap_or_else(|| {
                calls.push(call);
                calls.len() - 1
            });
            col_at((self.groups.len() + at) as u32)
        };
        let columns: Vec<Expr> = asked.into_iter().map(&mut column_of).collect();
        let column = finish(&columns);
        // Only the sum of reals has another type than the engine's.
        Ok(Typed::new(if ty == SqlType::Real { limit(column, ty) } else { column }, ty))
    }
}

fn bind_call(binder: &Binder<'_>, name: &str, function: &Function) -> Result<Bound> {
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
    let order = order.iter().map(|by| order_by(binder, by)).collect::<Result<Vec<_>>>()?;
    let condition = function.filter.as_deref().map(|filter| binder.condition(filter)).transpose()?;
    let filtered = |argument: Expr| match &condition {
        Some(condition) => case([(condition.clone(), argument)], null()),
        None => argument,
    };
    let arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(ast)) => Some(ast),
        _ => None,
    });
    let mut bound = match (name, list.args.as_slice()) {
        ("count", [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) if !distinct => {
            let argument = condition.is_some().then(|| lit(1));
            Bound::one(Call { kind: Kind::Count, argument, order: Vec::new() }, SqlType::BigInt)
        }
        ("string_agg", [FunctionArg::Unnamed(FunctionArgExpr::Expr(text)), separator]) => {
            let text = binder.bind_as(text, SqlType::Text)?;
            let separator = constant_text(separator)?;
            Bound::one(texts(name, text, separator, distinct, order)?, SqlType::Text)
        }
        _ => {
            let unknown = || SqlError::new("42883", format!("{function} is no aggregate that there is"));
            let arguments = arguments.collect::<Option<Vec<&Ast>>>().ok_or_else(unknown)?;
            let values = arguments.into_iter().map(|ast| binder.bind(ast)).collect::<Result<Vec<_>>>()?;
            match <[Typed; 1]>::try_from(values) {
                Ok([typed]) if matches!(name, "array_agg" | "jsonb_agg") => {
                    collected(name, typed, distinct, order, binder.parameters)?
                }
                Ok([typed]) => of_one(name, distinct, typed, binder.parameters)?,
                Err(pair) => match <[Typed; 2]>::try_from(pair) {
                    Ok(pair) if name == "jsonb_object_agg" && !distinct => {
                        object(pair, order, binder.parameters)?
                    }
                    _ => return Err(unknown()),
                },
            }
        }
    };
    for call in &mut bound.calls {
        call.argument = call.argument.take().map(filtered);
    }
    Ok(bound)
}

/// Texts one after another.
fn texts(
    name: &str,
    text: Expr,
    separator: String,
    distinct: bool,
    order: Vec<(Expr, bool)>,
) -> Result<Call> {
    if distinct && order.iter().any(|(expr, _)| *expr != text) {
        return Err(SqlError::new(
            "42P10",
            format!("in {name} with DISTINCT, ORDER BY expressions must be the argument"),
        ));
    }
    Ok(Call { kind: Kind::StringAgg(separator, distinct), argument: Some(text), order })
}

/// `array_agg` and `jsonb_agg`: texts of all values, NULLs too. Without an order that is asked for, they are in their
/// own, since there is none in which they came.
fn collected(
    name: &str,
    typed: Typed,
    distinct: bool,
    mut order: Vec<(Expr, bool)>,
    parameters: &Parameters,
) -> Result<Bound> {
    let (expr, ty) = typed.settle(parameters)?;
    if distinct && order.iter().any(|(by, _)| *by != expr) {
        return Err(SqlError::new(
            "42P10",
            format!("in {name} with DISTINCT, ORDER BY expressions must be the argument"),
        ));
    }
    order.push((expr.clone(), false));
    let typed = Typed::new(expr, ty);
    if name == "array_agg" {
        let ty = SqlType::Array(element_of(ty)?);
        let text = coalesce([call("array_quote", [printed(typed, parameters)?]), lit("NULL")]);
        let calls =
            vec![Call { kind: Kind::StringAgg(",".to_owned(), distinct), argument: Some(text), order }];
        return Ok(Bound { calls, ty, finish: |values| lit("{").concat(values[0].clone()).concat(lit("}")) });
    }
    let text = coalesce([to_json(typed, parameters)?, lit("null")]);
    let calls = vec![Call { kind: Kind::StringAgg(", ".to_owned(), distinct), argument: Some(text), order }];
    let finish = |values: &[Expr]| lit("[").concat(values[0].clone()).concat(lit("]"));
    Ok(Bound { calls, ty: SqlType::Jsonb, finish })
}

/// `jsonb_object_agg`
fn object([name, value]: [Typed; 2], order: Vec<(Expr, bool)>, parameters: &Parameters) -> Result<Bound> {
    let name = call("json_quote", [printed(name, parameters)?]);
    let value = coalesce([to_json(value, parameters)?, lit("null")]);
    let member = name.concat(lit(": ")).concat(value);
    let calls = vec![Call { kind: Kind::StringAgg(", ".to_owned(), false), argument: Some(member), order }];
    // Of equal names one stays.
    let finish = |values: &[Expr]| call("json_parse", [lit("{").concat(values[0].clone()).concat(lit("}"))]);
    Ok(Bound { calls, ty: SqlType::Jsonb, finish })
}

/// Sum and mean of intervals: of their parts.
fn of_intervals(name: &str, expr: Expr) -> Bound {
    let part = |kind: Kind, argument: Expr| Call { kind, argument: Some(argument), order: Vec::new() };
    let mut calls: Vec<Call> = ["interval_months", "interval_days", "interval_micros"]
        .into_iter()
        .map(|name| part(Kind::Sum, call(name, [expr.clone()])))
        .collect();
    let sum = |values: &[Expr]| call("interval_of", values[..3].to_vec());
    if name == "sum" {
        return Bound { calls, ty: SqlType::Interval, finish: sum };
    }
    calls.push(part(Kind::Count, expr));
    Bound {
        calls,
        ty: SqlType::Interval,
        finish: |values| {
            let sum = call("interval_of", values[..3].to_vec());
            // Of nothing there is no sum, and its mean is NULL without dividing by zero.
            call("interval_divide", [sum, values[3].clone().nullif(0).cast(Type::Float)])
        },
    }
}

fn of_one(name: &str, distinct: bool, typed: Typed, parameters: &Parameters) -> Result<Bound> {
    let wrong = SqlError::new("42883", format!("{name} does not take {}", typed.type_name()));
    let (expr, ty) = typed.settle(parameters)?;
    let numeric = SqlType::Numeric(None);
    let as_numeric = |expr: Expr| if ty.is_integer() { expr.cast(Type::Numeric) } else { expr };
    let (sum, avg) = if distinct { (Kind::SumDistinct, Kind::AvgDistinct) } else { (Kind::Sum, Kind::Avg) };
    let (kind, expr, result) = match name {
        "count" if distinct => (Kind::CountDistinct, interval::length(expr, ty), SqlType::BigInt),
        "count" => (Kind::Count, expr, SqlType::BigInt),
        "min" | "max" if !matches!(ty, SqlType::Boolean | SqlType::Jsonb | SqlType::Array(_)) => {
            (if name == "min" { Kind::Min } else { Kind::Max }, expr, ty)
        }
        "bool_and" | "every" if ty == SqlType::Boolean => (Kind::Min, expr, ty),
        "bool_or" if ty == SqlType::Boolean => (Kind::Max, expr, ty),
        "sum" | "avg" if ty == SqlType::Interval && !distinct => return Ok(of_intervals(name, expr)),
        "sum" => match ty {
            SqlType::SmallInt | SqlType::Integer => (sum, expr, SqlType::BigInt),
            SqlType::BigInt | SqlType::Numeric(_) => (sum, as_numeric(expr), numeric),
            SqlType::Real | SqlType::Double => (sum, expr, ty),
            _ => return Err(wrong),
        },
        "avg" => match ty {
            SqlType::Real | SqlType::Double => (avg, expr, SqlType::Double),
            ty if ty.is_number() => (avg, as_numeric(expr), numeric),
            _ => return Err(wrong),
        },
        "stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop" if ty.is_number() => {
            if distinct {
                return Err(SqlError::unsupported(format!("DISTINCT in {name}"))
                    .hint("Aggregate over a subquery with SELECT DISTINCT."));
            }
            let kind = Kind::Variance(!name.ends_with("_pop"), name.starts_with("stddev"));
            match ty {
                SqlType::Real | SqlType::Double => (kind, expr, SqlType::Double),
                _ => (kind, as_numeric(expr), numeric),
            }
        }
        _ => return Err(wrong),
    };
    Ok(Bound::one(Call { kind, argument: Some(expr), order: Vec::new() }, result))
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
