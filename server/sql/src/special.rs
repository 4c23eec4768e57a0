//! Expressions of functions that have a syntax of their own: EXTRACT, SUBSTRING, TRIM and the like.

use crate::error::{Result, SqlError};
use crate::expression::Binder;
use crate::function::{check_pattern, number_function};
use crate::sql_type::SqlType;
use crate::time_function::{at_time_zone, extract};
use crate::typed::Typed;
use operators::Type;
use operators::expr::{call, lit};
use sqlparser::ast::{CeilFloorKind, DateTimeField, Expr as Ast, TrimWhereField};

/// What has a syntax of its own.
pub(crate) fn bind_special(binder: &Binder<'_>, ast: &Ast) -> Result<Typed> {
    match ast {
        Ast::Extract { field, expr, .. } => {
            let field = match field {
                DateTimeField::Custom(name) => name.value.clone(),
                other => other.to_string(),
            };
            Ok(Typed::new(extract(binder, &field, expr)?.cast(Type::Numeric), SqlType::Numeric(None)))
        }
        Ast::Ceil { expr, field } | Ast::Floor { expr, field } => {
            if !matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)) {
                return Err(SqlError::unsupported(ast.to_string()));
            }
            let name = if matches!(ast, Ast::Ceil { .. }) { "ceil" } else { "floor" };
            number_function(binder, name, expr, &[])
        }
        Ast::Position { expr, r#in } => {
            let needle = binder.bind_as(expr, SqlType::Text)?;
            let text = binder.bind_as(r#in, SqlType::Text)?;
            Ok(Typed::new(call("strpos", [text, needle]), SqlType::Integer))
        }
        Ast::Substring { expr, substring_from, substring_for, .. } => {
            if let (Some(pattern), None) = (substring_from, substring_for)
                && let pattern = binder.bind(pattern)?
                && pattern.known().is_none_or(SqlType::is_text)
            {
                let pattern = pattern.convert(SqlType::Text, binder.parameters)?;
                check_pattern(&pattern, "")?;
                let text = binder.bind_as(expr, SqlType::Text)?;
                return Ok(Typed::new(call("regexp_substring", [text, pattern]), SqlType::Text));
            }
            let mut list = vec![binder.bind_as(expr, SqlType::Text)?];
            list.push(match substring_from {
                Some(from) => binder.bind_as(from, SqlType::Integer)?,
                None => lit(1),
            });
            if let Some(count) = substring_for {
                list.push(binder.bind_as(count, SqlType::Integer)?);
            }
            Ok(Typed::new(call("substr", list), SqlType::Text))
        }
        Ast::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                None | Some(TrimWhereField::Both) => "btrim",
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
            };
            let mut list = vec![binder.bind_as(expr, SqlType::Text)?];
            let characters = trim_characters.as_deref().and_then(|list| list.first());
            if let Some(what) = trim_what.as_deref().or(characters) {
                list.push(binder.bind_as(what, SqlType::Text)?);
            }
            Ok(Typed::new(call(name, list), SqlType::Text))
        }
        Ast::AtTimeZone { timestamp, time_zone } => at_time_zone(binder, timestamp, time_zone),
        Ast::Interval(constant) => crate::interval::constant(constant),
        Ast::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let mut list = vec![
                binder.bind_as(expr, SqlType::Text)?,
                binder.bind_as(overlay_what, SqlType::Text)?,
                binder.bind_as(overlay_from, SqlType::Integer)?,
            ];
            if let Some(count) = overlay_for {
                list.push(binder.bind_as(count, SqlType::Integer)?);
            }
            Ok(Typed::new(call("overlay", list), SqlType::Text))
        }
        Ast::InSubquery { .. } | Ast::Exists { .. } => Err(SqlError::unsupported("a subquery in this place")
            .hint("IN and EXISTS stand in WHERE, joined by AND to what else is there.")),
        Ast::Subquery(_) => {
            Err(SqlError::unsupported("a subquery as a value").hint("Join with the subquery instead."))
        }
        _ => Err(SqlError::unsupported(format!("the expression {ast}"))),
    }
}
