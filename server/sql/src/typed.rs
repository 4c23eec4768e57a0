//! Expressions with their SQL types, and the conversions that SQL makes without being asked.
//!
//! A literal in quotes, NULL and a parameter take the type that their place asks for; everything else has its own and
//! is only promoted: smaller integers to larger ones, to numeric, to floats; dates to timestamps.

use crate::columns::check_copied;
use crate::error::{Result, SqlError};
use crate::parameters::Parameters;
use crate::sql_type::SqlType;
use crate::text;
use operators::Type;
use operators::expr::{Expr, Literal, call, case, lit, null};

/// What is known of an expression's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    /// It has this one.
    Known(SqlType),
    /// A literal in quotes, or NULL.
    Literal,
    /// A parameter without a type yet.
    Parameter(usize),
}

/// An expression with its type.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) ty: Ty,
}

impl Typed {
    pub(crate) fn new(expr: Expr, ty: SqlType) -> Self {
        Typed { expr, ty: Ty::Known(ty) }
    }

    pub(crate) fn literal(literal: Literal) -> Self {
        Typed { expr: Expr::Literal(literal), ty: Ty::Literal }
    }

    pub(crate) fn known(&self) -> Option<SqlType> {
        match self.ty {
            Ty::Known(ty) => Some(ty),
            _ => None,
        }
    }

    /// For messages.
    pub(crate) fn type_name(&self) -> String {
        self.known().map_or_else(|| "unknown".to_owned(), |ty| ty.bare().to_string())
    }

    /// The expression and its type, which is text if nothing says otherwise.
    pub(crate) fn settle(self, parameters: &Parameters) -> Result<(Expr, SqlType)> {
        match self.ty {
            Ty::Known(ty) => Ok((self.expr, ty)),
            _ => Ok((self.convert(SqlType::Text, parameters)?, SqlType::Text)),
        }
    }

    /// The expression as a value of type `to`, if SQL converts it without a cast.
    pub(crate) fn convert(self, to: SqlType, parameters: &Parameters) -> Result<Expr> {
        match self.ty {
            Ty::Parameter(index) => {
                match parameters.ty(index) {
                    Some(ty) if ty.bare().common(to.bare()).is_none() => {
                        return Err(SqlError::types(format!(
                            "the parameter ${} is taken for {ty} and for {to}",
                            index + 1
                        )));
                    }
                    Some(_) => {}
                    None => parameters.infer(index, to),
                }
                Ok(self.expr)
            }
            Ty::Literal => literal(self.expr, to),
            Ty::Known(from) => promote(self.expr, from, to).ok_or_else(|| {
                SqlError::new("42883", format!("a value of type {from} where {to} is needed"))
                    .hint(format!("Add a cast: CAST(... AS {to})."))
            }),
        }
    }
}

fn literal(expr: Expr, to: SqlType) -> Result<Expr> {
    match expr {
        // A cast keeps the type that its place would not tell.
        Expr::Literal(Literal::Null) => Ok(null().cast(to.engine())),
        Expr::Literal(Literal::Text(text)) if to.is_text() => {
            let kept = if matches!(to, SqlType::Char(_)) { text.trim_end_matches(' ') } else { &text };
            text::parse(SqlType::Text, kept).map(Expr::Literal)
        }
        Expr::Literal(Literal::Text(text)) => text::parse(to, &text).map(Expr::Literal),
        other => Ok(other),
    }
}

/// A value of type `from` as one of type `to`, where that needs no cast.
fn promote(expr: Expr, from: SqlType, to: SqlType) -> Option<Expr> {
    if from.bare() == to.bare() {
        return Some(expr);
    }
    let common = from.bare().common(to.bare())?;
    let widens = common == to.bare() || (from.is_integer() && to.is_integer());
    let same = from.engine() == to.engine();
    // A double where a real is wanted, and numbers of any size where a smaller integer is, are the target's to check.
    let narrows = matches!(to, SqlType::Real) && from.is_number();
    (widens || narrows).then(|| if same { expr } else { expr.cast(to.engine()) })
}

/// Values that stand for one another, such as the branches of a CASE, in the one type that they have together.
pub(crate) fn unify(what: &str, list: Vec<Typed>, parameters: &Parameters) -> Result<(Vec<Expr>, SqlType)> {
    let mut common: Option<SqlType> = None;
    for ty in list.iter().filter_map(Typed::known) {
        common = Some(match common {
            None => ty,
            Some(before) => before.common(ty).ok_or_else(|| {
                SqlError::types(format!("{what} types {before} and {ty} cannot be matched"))
                    .hint("Add a cast to one of them.")
            })?,
        });
    }
    let declared = list.iter().find_map(|typed| match typed.ty {
        Ty::Parameter(index) => parameters.ty(index),
        _ => None,
    });
    let ty = common.or(declared).unwrap_or(SqlType::Text);
    let exprs = list.into_iter().map(|typed| typed.convert(ty, parameters)).collect::<Result<_>>()?;
    Ok((exprs, ty))
}

/// `CAST(value AS to)`.
pub(crate) fn cast(value: Typed, to: SqlType, parameters: &Parameters) -> Result<Typed> {
    if matches!(to, SqlType::Numeric(Some(_))) {
        check_copied(&value.expr)?;
    }
    let expr = match value.ty {
        Ty::Literal => match value.expr {
            Expr::Literal(Literal::Text(text)) if to.is_text() => {
                limit_length(Expr::Literal(Literal::Text(text)), to)
            }
            other => literal(other, to)?,
        },
        Ty::Parameter(index) if parameters.ty(index).is_none() => {
            parameters.infer(index, to);
            limit(value.expr, to)
        }
        Ty::Parameter(index) => {
            let from = parameters.ty(index).expect("it was just asked");
            return cast(Typed::new(value.expr, from), to, parameters);
        }
        Ty::Known(from) => known_cast(value.expr, from, to)?,
    };
    Ok(Typed::new(expr, to))
}

fn known_cast(expr: Expr, from: SqlType, to: SqlType) -> Result<Expr> {
    let refused = || SqlError::new("42846", format!("cannot cast type {from} to {to}"));
    if from == to {
        return Ok(expr);
    }
    if let Some(cast) = special_cast(&expr, from, to)? {
        return Ok(cast);
    }
    let special =
        |ty: SqlType| matches!(ty, SqlType::Uuid | SqlType::Jsonb | SqlType::Array(_) | SqlType::Interval);
    if special(from) || special(to) {
        return Err(refused());
    }
    let engine_casts =
        |from: Type, to: Type| from == to || Expr::Literal(sample(from)).cast(to).resolve(&[]).is_ok();
    let bool_and_int =
        from == SqlType::Boolean && to.is_integer() || from.is_integer() && to == SqlType::Boolean;
    let odd = bool_and_int && from != SqlType::Integer && to != SqlType::Integer;
    if odd || !engine_casts(from.engine(), to.engine()) {
        return Err(refused());
    }
    let converted = match (from, to) {
        (SqlType::TimestampTz, to) if to.is_text() => expr.cast(Type::Text).concat(lit("+00")),
        _ if from.engine() == to.engine() => expr,
        _ => expr.cast(to.engine()),
    };
    let narrower = |ty: SqlType| match ty {
        SqlType::SmallInt => 0,
        SqlType::Integer => 1,
        _ => 2,
    };
    if from.is_integer() && to.is_integer() && narrower(from) <= narrower(to) {
        return Ok(converted);
    }
    Ok(limit(converted, to))
}

/// Casts from and to the types that are texts or bytes of a form of their own. None if it is none of them.
fn special_cast(expr: &Expr, from: SqlType, to: SqlType) -> Result<Option<Expr>> {
    let function = |name: &str| call(name, [expr.clone()]);
    let text_like =
        |ty: SqlType| ty.is_text() || matches!(ty, SqlType::Uuid | SqlType::Jsonb | SqlType::Array(_));
    let cast = match (from, to) {
        (SqlType::Interval, to) if to.is_text() => limit_length(function("interval_text"), to),
        (from, SqlType::Interval) if from.is_text() => function("interval_parse"),
        (from, SqlType::Jsonb) if from.is_text() => function("json_parse"),
        (SqlType::Jsonb, SqlType::Boolean) => function("json_boolean"),
        (SqlType::Jsonb, to) if to.is_number() => {
            return known_cast(function("json_number"), SqlType::Numeric(None), to).map(Some);
        }
        (from, SqlType::Uuid | SqlType::Array(_)) if from.is_text() => {
            return Err(SqlError::unsupported(format!("a cast of computed text to {to}"))
                .hint(format!("Make the column {to} where the value comes in.")));
        }
        (SqlType::Boolean, to) if to.is_text() => limit_length(expr.clone().cast(Type::Text), to),
        (from, to) if text_like(from) && to.is_text() => limit_length(expr.clone(), to),
        _ => return Ok(None),
    };
    Ok(Some(cast))
}

/// The text of a value as results print it, which is not everywhere that of a cast.
pub(crate) fn printed(value: Typed, parameters: &Parameters) -> Result<Expr> {
    let (expr, ty) = value.settle(parameters)?;
    Ok(match ty {
        SqlType::Boolean => case([(expr.clone(), lit("t")), (expr.not(), lit("f"))], null().cast(Type::Text)),
        ty if ty.is_text() => expr,
        ty => cast(Typed::new(expr, ty), SqlType::Text, parameters)?.expr,
    })
}

/// Some value of the type.
pub(crate) fn sample(ty: Type) -> Literal {
    match ty {
        Type::Bool => Literal::Bool(true),
        Type::Int => Literal::Int(1),
        Type::Float => Literal::Float(1.0),
        Type::Text => Literal::Text("1".to_owned()),
        Type::Bytes => Literal::Bytes(Vec::new()),
        Type::Timestamp => Literal::Timestamp(0),
        Type::Date => Literal::Date(0),
        Type::Numeric => Literal::from(rust_decimal::Decimal::ONE),
    }
}

/// A value of the right engine type, cut to what the SQL type holds: rounded or shortened, NULL if out of range.
pub(crate) fn limit(expr: Expr, to: SqlType) -> Expr {
    match to {
        SqlType::SmallInt => call("int2", [expr]),
        SqlType::Integer => call("int4", [expr]),
        SqlType::Real => call("float4", [expr]),
        SqlType::Numeric(Some((digits, scale))) => {
            let rounded = call("round", [expr, lit(i64::from(scale))]);
            let above = rust_decimal::Decimal::from_i128_with_scale(10i128.pow(u32::from(digits - scale)), 0);
            let fits = call("abs", [rounded.clone()]).lt(Literal::from(above));
            case([(fits, rounded)], null())
        }
        to if to.is_text() => limit_length(expr, to),
        _ => expr,
    }
}

fn limit_length(expr: Expr, to: SqlType) -> Expr {
    match to {
        SqlType::Varchar(Some(length)) => call("left", [expr, lit(i64::from(length))]),
        SqlType::Char(length) => call("rtrim", [call("left", [expr, lit(i64::from(length))])]),
        _ => expr,
    }
}
