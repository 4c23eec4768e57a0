//! `set_config(name, value, is_local)`: SET as a function, in the list of a SELECT that reads nothing.

use crate::error::{Result, SqlError};
use crate::evaluate::{Cell, Context};
use crate::expression::Binder;
use crate::names::fold;
use crate::sql_type::SqlType;
use operators::expr::Literal;
use sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Select, SelectItem,
};

/// A call.
#[derive(Debug, Clone)]
pub(crate) struct SetConfig {
    /// Which of the outputs it is.
    pub(crate) at: usize,
    name: Cell,
    value: Cell,
    is_local: Cell,
}

/// A setting to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// The new value; none for the one that it had at first.
    pub value: Option<String>,
    /// Whether it is to be forgotten when the transaction ends.
    pub is_local: bool,
}

/// The arguments of a call, if it is one.
fn call(ast: &Ast) -> Option<Vec<&Ast>> {
    let Ast::Function(function) = ast else { return None };
    let name = function.name.0.last().and_then(ObjectNamePart::as_ident).map(fold)?;
    let FunctionArguments::List(list) = &function.args else { return None };
    let argument =
        |argument: &'_ FunctionArg| matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(_)));
    if name != "set_config" || !list.args.iter().all(argument) {
        return None;
    }
    let arguments = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(ast)) => Some(ast),
        _ => None,
    });
    Some(arguments.collect())
}

/// Takes the calls out of a select list; in their places stand texts.
pub(crate) fn take(select: &mut Select, binder: &Binder<'_>) -> Result<Vec<SetConfig>> {
    let mut taken = Vec::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let (SelectItem::UnnamedExpr(ast) | SelectItem::ExprWithAlias { expr: ast, .. }) = item else {
            continue;
        };
        let Some(arguments) = call(ast) else { continue };
        let [name, value, is_local] = arguments.as_slice() else {
            let message = format!("set_config does not take {} arguments", arguments.len());
            return Err(SqlError::new("42883", message));
        };
        let cell = |ast: &Ast, ty: SqlType| Cell::new(&binder.bind_as(ast, ty)?, &[], binder.parameters);
        taken.push(SetConfig {
            at,
            name: cell(name, SqlType::Text)?,
            value: cell(value, SqlType::Text)?,
            is_local: cell(is_local, SqlType::Boolean)?,
        });
        let text = crate::change::parse_expr("CAST('' AS text)")?;
        *item = match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                SelectItem::ExprWithAlias { expr: text, alias: alias.clone() }
            }
            _ => SelectItem::ExprWithAlias { expr: text, alias: "set_config".into() },
        };
    }
    Ok(taken)
}

impl SetConfig {
    /// What is to be set.
    pub(crate) fn setting(&self, context: &Context<'_>) -> Result<Setting> {
        let text = |cell: &Cell| -> Result<Option<String>> {
            match cell.value(None, context)? {
                Literal::Text(text) => Ok(Some(text)),
                _ => Ok(None),
            }
        };
        let name = text(&self.name)?.ok_or_else(|| SqlError::new("22004", "SET requires parameter name"))?;
        let is_local = self.is_local.value(None, context)? == Literal::Bool(true);
        Ok(Setting { name, value: text(&self.value)?, is_local })
    }
}
