//! Functions by name: their arguments, their results, and what computes them.

use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::names::object_name;
use crate::parameters::Parameters;
use crate::sql_type::{Element, SqlType};
use crate::time_function::{date_trunc, extract, time};
use crate::typed::{Typed, cast, limit, printed, unify};
use operators::Type;
use operators::expr::{ArithmeticOp, Expr, Literal, call, coalesce, lit};
use sqlparser::ast::{Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

/// What an argument is converted to.
#[derive(Clone, Copy)]
enum Takes {
    Text,
    Integer,
    Double,
    Numeric,
    Time,
    Timestamp,
    Interval,
    Json,
    Array,
}

/// Functions that the engine has by the same name: how they are called, how many arguments may be left out, and what
/// they give.
const PLAIN: &[(&str, &[Takes], usize, SqlType)] = {
    use SqlType::{
        Boolean, Date, Double, Integer as Int, Interval as Span, Text as Txt, Timestamp, TimestampTz,
    };
    use Takes::{
        Array as A, Double as D, Integer as I, Interval as S, Json as J, Numeric as N, Text as T, Time,
    };
    const NUMERIC: SqlType = SqlType::Numeric(None);
    const TEXTS: SqlType = SqlType::Array(Element::Text);
    &[
        ("lower", &[T], 0, Txt),
        ("upper", &[T], 0, Txt),
        ("trim", &[T, T], 1, Txt),
        ("btrim", &[T, T], 1, Txt),
        ("ltrim", &[T, T], 1, Txt),
        ("rtrim", &[T, T], 1, Txt),
        ("replace", &[T, T, T], 0, Txt),
        ("left", &[T, I], 0, Txt),
        ("right", &[T, I], 0, Txt),
        ("lpad", &[T, I, T], 1, Txt),
        ("rpad", &[T, I, T], 1, Txt),
        ("reverse", &[T], 0, Txt),
        ("substr", &[T, I, I], 1, Txt),
        ("substring", &[T, I, I], 1, Txt),
        ("char_length", &[T], 0, Int),
        ("character_length", &[T], 0, Int),
        ("strpos", &[T, T], 0, Int),
        ("starts_with", &[T, T], 0, Boolean),
        ("power", &[D, D], 0, Double),
        ("pow", &[D, D], 0, Double),
        ("sqrt", &[D], 0, Double),
        ("make_date", &[I, I, I], 0, Date),
        ("make_timestamp", &[I, I, I, I, I, D], 0, Timestamp),
        ("to_timestamp", &[D], 0, TimestampTz),
        ("date", &[Time], 0, Date),
        ("initcap", &[T], 0, Txt),
        ("split_part", &[T, T, I], 0, Txt),
        ("translate", &[T, T, T], 0, Txt),
        ("repeat", &[T, I], 0, Txt),
        ("ascii", &[T], 0, Int),
        ("chr", &[I], 0, Txt),
        ("quote_ident", &[T], 0, Txt),
        ("quote_literal", &[T], 0, Txt),
        ("decode", &[T, T], 0, SqlType::Bytea),
        ("regexp_like", &[T, T, T], 1, Boolean),
        ("regexp_count", &[T, T], 0, Int),
        ("regexp_substr", &[T, T], 0, Txt),
        ("regexp_replace", &[T, T, T, T], 1, Txt),
        ("regexp_match", &[T, T, T], 1, TEXTS),
        ("regexp_split_to_array", &[T, T, T], 1, TEXTS),
        ("string_to_array", &[T, T], 0, TEXTS),
        ("array_to_string", &[A, T, T], 1, Txt),
        ("cardinality", &[A], 0, Int),
        ("ln", &[D], 0, Double),
        ("log10", &[D], 0, Double),
        ("exp", &[D], 0, Double),
        ("cbrt", &[D], 0, Double),
        ("sin", &[D], 0, Double),
        ("cos", &[D], 0, Double),
        ("tan", &[D], 0, Double),
        ("cot", &[D], 0, Double),
        ("asin", &[D], 0, Double),
        ("acos", &[D], 0, Double),
        ("atan", &[D], 0, Double),
        ("atan2", &[D, D], 0, Double),
        ("sinh", &[D], 0, Double),
        ("cosh", &[D], 0, Double),
        ("tanh", &[D], 0, Double),
        ("degrees", &[D], 0, Double),
        ("radians", &[D], 0, Double),
        ("div", &[N, N], 0, NUMERIC),
        ("scale", &[N], 0, Int),
        ("width_bucket", &[D, D, D, I], 0, Int),
        ("justify_days", &[S], 0, Span),
        ("justify_hours", &[S], 0, Span),
        ("justify_interval", &[S], 0, Span),
        ("age", &[Takes::Timestamp, Takes::Timestamp], 0, Span),
        ("jsonb_typeof", &[J], 0, Txt),
        ("jsonb_array_length", &[J], 0, Int),
    ]
};

/// Asks whether a number of rows is at most one, and fails where it is not; no SQL name equals it.
pub(crate) const AT_MOST_ONE: &str = "\u{1}at_most_one";

/// A call.
pub(crate) fn bind(binder: &Binder<'_>, function: &Function) -> Result<Typed> {
    let name = object_name(&function.name)?;
    if function.over.is_some() {
        return Err(SqlError::unsupported(format!("the window function {name}")));
    }
    if crate::aggregate::is_aggregate(&name) {
        return match binder.grouping {
            Some(grouping) => grouping.aggregate(&name, function, binder.parameters),
            None => Err(SqlError::new("42803", format!("the aggregate {name} is not allowed here"))
                .hint("Aggregates stand in select lists, in HAVING and in ORDER BY.")),
        };
    }
    let arguments = arguments(&name, function)?;
    match (name.as_str(), arguments.as_slice()) {
        ("now" | "current_timestamp" | "transaction_timestamp" | "statement_timestamp", []) => {
            Ok(Typed::new(binder.parameters.now()?, SqlType::TimestampTz))
        }
        ("localtimestamp", []) => Ok(Typed::new(binder.parameters.now()?, SqlType::Timestamp)),
        ("current_date", []) => Ok(Typed::new(binder.parameters.now()?.cast(Type::Date), SqlType::Date)),
        (AT_MOST_ONE, [count]) => {
            let count = binder.bind_as(count, SqlType::BigInt)?;
            Ok(Typed::new(call("at_most_one", [count]), SqlType::Boolean))
        }
        ("coalesce", [_, ..]) => {
            let (list, ty) = unify("COALESCE", all(binder, &arguments)?, binder.parameters)?;
            Ok(Typed::new(coalesce(list), ty))
        }
        ("least" | "greatest", [_, ..]) => {
            let (list, ty) = unify(&name, all(binder, &arguments)?, binder.parameters)?;
            Ok(Typed::new(call(&name, list), ty))
        }
        ("nullif", [_, _]) => {
            let list = all(binder, &arguments)?;
            let first = list[0].known();
            let (mut pair, ty) = unify("NULLIF", list, binder.parameters)?;
            let second = pair.pop().expect("two went in");
            // The result is the first value, whatever type the comparison needs.
            let same = first.filter(|first| first.engine() == ty.engine());
            Ok(Typed::new(pair.remove(0).nullif(second), same.unwrap_or(ty)))
        }
        ("concat", [_, ..]) => {
            let texts = all(binder, &arguments)?
                .into_iter()
                .map(|typed| printed(typed, binder.parameters))
                .collect::<Result<Vec<Expr>>>()?;
            Ok(Typed::new(call("concat", texts), SqlType::Text))
        }
        ("mod", [left, right]) => {
            binder.arithmetic_on(ArithmeticOp::Rem, binder.bind(left)?, binder.bind(right)?)
        }
        ("length" | "octet_length", [argument]) => {
            let typed = binder.bind(argument)?;
            let ty = if typed.known() == Some(SqlType::Bytea) { SqlType::Bytea } else { SqlType::Text };
            let argument = typed.convert(ty, binder.parameters)?;
            Ok(Typed::new(call(&name, [argument]), SqlType::Integer))
        }
        ("abs" | "sign" | "floor" | "ceil" | "ceiling" | "trunc" | "round", [number, digits @ ..]) => {
            number_function(binder, &name, number, digits)
        }
        ("date_trunc", [unit, time]) => date_trunc(binder, unit, time),
        ("date_part", [Ast::Value(field), time]) => {
            let field = field.value.clone().into_string().unwrap_or_default();
            Ok(Typed::new(extract(binder, &field, time)?.cast(Type::Float), SqlType::Double))
        }
        _ => match more(binder, &name, &arguments)? {
            Some(found) => Ok(found),
            None => plain(binder, &name, &arguments),
        },
    }
}

/// Functions whose arguments decide what they give.
fn more(binder: &Binder<'_>, name: &str, arguments: &[Ast]) -> Result<Option<Typed>> {
    let text = |ast: &Ast| binder.bind_as(ast, SqlType::Text);
    let double = |ast: &Ast| binder.bind_as(ast, SqlType::Double);
    let integer = |ast: &Ast| binder.bind_as(ast, SqlType::Integer);
    Ok(Some(match (name, arguments) {
        ("pi", []) => Typed::new(lit(std::f64::consts::PI), SqlType::Double),
        ("log", [value]) => Typed::new(call("log10", [double(value)?]), SqlType::Double),
        ("log", [base, value]) => {
            let quotient = call("ln", [double(value)?]).div(call("ln", [double(base)?]));
            Typed::new(quotient, SqlType::Double)
        }
        ("gcd" | "lcm", [left, right]) => {
            let (pair, ty) = unify(name, all(binder, &[left.clone(), right.clone()])?, binder.parameters)?;
            if !ty.is_integer() {
                return Err(SqlError::new("42883", format!("{name} takes integers, not {ty}")));
            }
            Typed::new(limit(call(name, pair), ty), ty)
        }
        ("md5", [argument]) => {
            let typed = binder.bind(argument)?;
            let ty = if typed.known() == Some(SqlType::Bytea) { SqlType::Bytea } else { SqlType::Text };
            Typed::new(call("md5", [typed.convert(ty, binder.parameters)?]), SqlType::Text)
        }
        ("to_hex", [argument]) => {
            let typed = binder.bind(argument)?;
            let expr = match typed.known() {
                Some(SqlType::BigInt) => typed.expr,
                // Of a negative integer only its own bits are shown.
                _ => {
                    let value = typed.convert(SqlType::Integer, binder.parameters)?;
                    call("bit_and", [value, lit(i64::from(u32::MAX))])
                }
            };
            Typed::new(call("to_hex", [expr]), SqlType::Text)
        }
        ("encode", [bytes, form]) => {
            Typed::new(call("encode", [binder.bind_as(bytes, SqlType::Bytea)?, text(form)?]), SqlType::Text)
        }
        ("array_length", [array, Ast::Value(dimension)]) if dimension.to_string() == "1" => {
            let count = call("cardinality", [binder.typed_array(array)?.0]);
            Typed::new(count.nullif(0), SqlType::Integer)
        }
        ("concat_ws", [separator, rest @ ..]) => {
            let separator = text(separator)?;
            crate::columns::check_copied(&separator)?;
            let mut parts = Vec::new();
            for argument in rest {
                parts.push(separator.clone().concat(printed(binder.bind(argument)?, binder.parameters)?));
            }
            let all = call("concat", if parts.is_empty() { vec![lit("")] } else { parts });
            let from = call("length", [separator]).add(lit(1));
            Typed::new(call("substr", [all, from]), SqlType::Text)
        }
        ("format", [template, rest @ ..]) => format(binder, template, rest)?,
        ("to_char", [value, template]) => to_char(binder, value, template)?,
        ("to_date", [value, template]) => {
            let time = call("to_timestamp_by", [text(value)?, text(template)?]);
            Typed::new(time.cast(Type::Date), SqlType::Date)
        }
        ("to_timestamp", [value, template]) => {
            Typed::new(call("to_timestamp_by", [text(value)?, text(template)?]), SqlType::TimestampTz)
        }
        ("make_interval", list) if list.len() <= 7 => {
            let mut parts: Vec<Expr> = list.iter().take(6).map(integer).collect::<Result<_>>()?;
            parts.resize(6, lit(0));
            parts.push(list.get(6).map_or(Ok(lit(0.0)), double)?);
            Typed::new(call("make_interval", parts), SqlType::Interval)
        }
        ("date_bin", [stride, value, origin]) => {
            let (value, ty) = time(binder, value)?;
            let origin = time(binder, origin)?.0.cast(Type::Timestamp);
            let stride = binder.bind_as(stride, SqlType::Interval)?;
            let ty = if ty == SqlType::TimestampTz { ty } else { SqlType::Timestamp };
            Typed::new(call("date_bin", [stride, value.cast(Type::Timestamp), origin]), ty)
        }
        _ => return json(binder, name, arguments),
    }))
}

fn json(binder: &Binder<'_>, name: &str, arguments: &[Ast]) -> Result<Option<Typed>> {
    let value = |ast: &Ast| to_json(binder.bind(ast)?, binder.parameters);
    Ok(Some(match (name, arguments) {
        ("to_json" | "to_jsonb", [argument]) => Typed::new(value(argument)?, SqlType::Jsonb),
        ("jsonb_build_array", list) => {
            let mut parts = vec![lit("[")];
            for (number, argument) in list.iter().enumerate() {
                parts.extend((number > 0).then(|| lit(", ")));
                parts.push(coalesce([value(argument)?, lit("null")]));
            }
            parts.push(lit("]"));
            Typed::new(call("json_parse", [call("concat", parts)]), SqlType::Jsonb)
        }
        ("jsonb_build_object", list) if list.len().is_multiple_of(2) => {
            let mut parts = vec![lit("{")];
            for (number, pair) in list.chunks_exact(2).enumerate() {
                parts.extend((number > 0).then(|| lit(", ")));
                parts.push(call("json_quote", [printed(binder.bind(&pair[0])?, binder.parameters)?]));
                parts.push(lit(": "));
                parts.push(coalesce([value(&pair[1])?, lit("null")]));
            }
            parts.push(lit("}"));
            // Equal names are made one, and the order is that of all objects.
            Typed::new(call("json_parse", [call("concat", parts)]), SqlType::Jsonb)
        }
        ("jsonb_extract_path" | "jsonb_extract_path_text", [json, path @ ..]) => {
            let mut found = binder.bind_as(json, SqlType::Jsonb)?;
            for step in path {
                let quoted = call("array_quote", [binder.bind_as(step, SqlType::Text)?]);
                found = call("json_path", [found, lit("{").concat(quoted).concat(lit("}"))]);
            }
            match name {
                "jsonb_extract_path" => Typed::new(found, SqlType::Jsonb),
                _ => Typed::new(call("json_text", [found]), SqlType::Text),
            }
        }
        _ => return Ok(None),
    }))
}

/// A value as JSON; NULL stays NULL.
pub(crate) fn to_json(value: Typed, parameters: &Parameters) -> Result<Expr> {
    let (expr, ty) = value.settle(parameters)?;
    Ok(match ty {
        SqlType::Jsonb => expr,
        SqlType::Boolean => expr.cast(Type::Text),
        ty if ty.is_integer() || matches!(ty, SqlType::Numeric(_)) => {
            cast(Typed::new(expr, ty), SqlType::Text, parameters)?.expr
        }
        SqlType::Real | SqlType::Double => call("json_parse", [expr.cast(Type::Text)]),
        SqlType::Timestamp | SqlType::TimestampTz => {
            let text = printed(Typed::new(expr, ty), parameters)?;
            // As ISO 8601 writes it.
            let text = call("replace", [text, lit(" "), lit("T")]);
            let zone = if ty == SqlType::TimestampTz { text.concat(lit(":00")) } else { text };
            call("json_quote", [zone])
        }
        SqlType::Array(_) => return Err(SqlError::unsupported("arrays as JSON")),
        ty => call("json_quote", [printed(Typed::new(expr, ty), parameters)?]),
    })
}

/// `format` with `%s`, `%I`, `%L` and `%%`, of a constant template.
fn format(binder: &Binder<'_>, template: &Ast, arguments: &[Ast]) -> Result<Typed> {
    let template = binder.bind_as(template, SqlType::Text)?;
    let Expr::Literal(Literal::Text(template)) = template else {
        return Err(SqlError::unsupported("format with a template that is no constant"));
    };
    let (mut parts, mut rest, mut waiting) = (Vec::new(), template.as_str(), arguments.iter());
    while let Some((before, after)) = rest.split_once('%') {
        parts.push(lit(before));
        let kind = after.chars().next();
        rest = after.get(1..).unwrap_or_default();
        if kind == Some('%') {
            parts.push(lit("%"));
            continue;
        }
        let argument =
            waiting.next().ok_or_else(|| SqlError::new("22023", "too few arguments for format()"))?;
        let text = printed(binder.bind(argument)?, binder.parameters)?;
        parts.push(match kind {
            Some('s') => text,
            Some('I') => call("quote_ident", [text]),
            Some('L') => coalesce([call("quote_literal", [text]), lit("NULL")]),
            _ => return Err(SqlError::unsupported("format with more than %s, %I, %L and %%")),
        });
    }
    parts.push(lit(rest));
    Ok(Typed::new(call("concat", parts), SqlType::Text))
}

fn to_char(binder: &Binder<'_>, value: &Ast, template: &Ast) -> Result<Typed> {
    let typed = binder.bind(value)?;
    let template = binder.bind_as(template, SqlType::Text)?;
    let expr = match typed.known() {
        Some(ty) if ty.is_time() => call("to_char_time", [typed.expr.cast(Type::Timestamp), template]),
        Some(ty) if ty.is_number() => call("to_char_number", [numeric(binder, value)?, template]),
        Some(other) => return Err(SqlError::unsupported(format!("to_char of {other}"))),
        None => return Err(SqlError::new("42725", "the type of the first argument of to_char is not known")),
    };
    Ok(Typed::new(expr, SqlType::Text))
}

fn all(binder: &Binder<'_>, arguments: &[Ast]) -> Result<Vec<Typed>> {
    arguments.iter().map(|argument| binder.bind(argument)).collect()
}

/// The arguments of a call without anything special about it.
fn arguments(name: &str, function: &Function) -> Result<Vec<Ast>> {
    let special = function.filter.is_some()
        || function.null_treatment.is_some()
        || !function.within_group.is_empty()
        || function.parameters != FunctionArguments::None;
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::List(list)
            if list.clauses.is_empty() && list.duplicate_treatment.is_none() && !special =>
        {
            list
        }
        _ => return Err(SqlError::unsupported(format!("this form of a call of {name}"))),
    };
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
        _ => Err(SqlError::unsupported(format!("the argument {argument} of {name}"))),
    };
    list.args.iter().map(argument).collect()
}

fn plain(binder: &Binder<'_>, name: &str, arguments: &[Ast]) -> Result<Typed> {
    let mut known = PLAIN.iter().filter(|function| function.0 == name).peekable();
    if name == "set_config" {
        return Err(SqlError::unsupported("set_config but in the list of a SELECT without FROM"));
    }
    if known.peek().is_none() {
        return Err(SqlError::new("42883", format!("there is no function {name}"))
            .hint("The crate's documentation lists the functions."));
    }
    let Some((_, takes, optional, result)) = known
        .find(|(_, takes, optional, _)| (takes.len() - optional..=takes.len()).contains(&arguments.len()))
    else {
        return Err(SqlError::new("42883", format!("{name} does not take {} arguments", arguments.len())));
    };
    debug_assert!(*optional <= takes.len());
    let converted: Vec<Expr> = arguments
        .iter()
        .zip(*takes)
        .map(|(argument, takes)| match takes {
            Takes::Text => binder.bind_as(argument, SqlType::Text),
            Takes::Integer => binder.bind_as(argument, SqlType::Integer),
            Takes::Double => binder.bind_as(argument, SqlType::Double),
            Takes::Numeric => numeric(binder, argument),
            Takes::Time => Ok(time(binder, argument)?.0),
            Takes::Timestamp => Ok(time(binder, argument)?.0.cast(Type::Timestamp)),
            Takes::Interval => binder.bind_as(argument, SqlType::Interval),
            Takes::Json => binder.bind_as(argument, SqlType::Jsonb),
            Takes::Array => Ok(binder.typed_array(argument)?.0),
        })
        .collect::<Result<_>>()?;
    if name.starts_with("regexp_")
        && let [_, pattern, ..] = converted.as_slice()
    {
        check_pattern(pattern, "")?;
    }
    let name = match name {
        "character_length" => "char_length",
        "jsonb_typeof" => "json_typeof",
        "jsonb_array_length" => "json_array_length",
        name => name,
    };
    Ok(Typed::new(call(name, converted), *result))
}

/// Refuses a constant that is no pattern.
pub(crate) fn check_pattern(pattern: &Expr, flags: &str) -> Result<()> {
    match pattern {
        Expr::Literal(Literal::Text(text)) if !operators::expr::patterns::is_pattern(text, flags) => {
            Err(SqlError::new("2201B", format!("invalid regular expression: {text:?}")).detail(
                "There are no references back into a pattern and no looking around, and its size is limited.",
            ))
        }
        _ => Ok(()),
    }
}

fn numeric(binder: &Binder<'_>, argument: &Ast) -> Result<Expr> {
    let typed = binder.bind(argument)?;
    match typed.known() {
        Some(SqlType::Real | SqlType::Double) => Ok(typed.expr.cast(Type::Numeric)),
        _ => typed.convert(SqlType::Numeric(None), binder.parameters),
    }
}

pub(crate) fn number_function(
    binder: &Binder<'_>,
    name: &str,
    number: &Ast,
    digits: &[Ast],
) -> Result<Typed> {
    let typed = binder.bind(number)?;
    let given = typed.known().unwrap_or(SqlType::Double).bare();
    if !given.is_number() {
        return Err(SqlError::new("42883", format!("{name} takes a number, not {given}")));
    }
    // Rounding an integer is rounding a double, unless digits are asked for.
    let ty = match (name, digits) {
        ("abs", []) => given,
        ("round" | "trunc", [_]) => SqlType::Numeric(None),
        (_, []) if given.is_integer() || given == SqlType::Real => SqlType::Double,
        (_, []) => given,
        _ => return Err(SqlError::new("42883", format!("{name} does not take so many arguments"))),
    };
    let expr = match given {
        SqlType::Double | SqlType::Real if matches!(ty, SqlType::Numeric(_)) => {
            typed.expr.cast(Type::Numeric)
        }
        _ => typed.convert(ty, binder.parameters)?,
    };
    let [digits] = digits else {
        return Ok(Typed::new(call(name, [expr]), ty));
    };
    let name = if name == "trunc" { "trunc_digits" } else { name };
    Ok(Typed::new(call(name, [expr, binder.bind_as(digits, SqlType::Integer)?]), ty))
}
