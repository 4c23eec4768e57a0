//! Functions in a select list that give several rows for one, of the columns of pg_catalog that are lists: `unnest`,
//! `generate_subscripts` and `information_schema._pg_expandarray`. The rows are joined with the places that a list may
//! have, and the functions become what stands at the place.

use crate::change::parse_expr;
use crate::error::{Result, SqlError};
use crate::names::fold;
use sqlparser::ast::{
    AccessExpr, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, Select,
    SelectItem, SetExpr, Statement, TableWithJoins, WindowType,
};

/// Columns of a key; as many as an index of PostgreSQL has.
const PLACE_COUNT: usize = 32;
/// The place in a list, as a column; no SQL name equals it.
const PLACE: &str = "\"\u{1}place\".\"\u{1}n\"";
/// What is behind the name of a column of pairs for the one that has the second of each.
const SECOND: &str = "\u{1}n";

/// How a column holds its list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Texts with blanks between them, counted from 0.
    Vector,
    /// An array, counted from 1.
    Array,
}

/// What a function gives at a place of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gives {
    Value,
    Subscript,
    /// A pair of the value and its place from 1.
    Pair,
}

struct Call {
    gives: Gives,
    list: String,
    form: Form,
}

impl Call {
    fn of(ast: &Ast) -> Option<Call> {
        let Ast::Function(Function { name, args: FunctionArguments::List(list), over: None, .. }) = ast
        else {
            return None;
        };
        let gives = match fold(name.0.last()?.as_ident()?).as_str() {
            "unnest" => Gives::Value,
            "generate_subscripts" => Gives::Subscript,
            "_pg_expandarray" => Gives::Pair,
            _ => return None,
        };
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(list)) = list.args.first()? else { return None };
        let column = match list {
            Ast::Identifier(name) => fold(name),
            Ast::CompoundIdentifier(parts) => fold(parts.last()?),
            _ => return None,
        };
        let form = match column.as_str() {
            "indkey" | "indclass" | "indoption" | "indcollation" => Form::Vector,
            "conkey" | "confkey" => Form::Array,
            _ => return None,
        };
        Some(Call { gives, list: list.to_string(), form })
    }

    fn value(&self) -> String {
        match self.form {
            Form::Vector => format!("CAST(split_part({}, ' ', {PLACE}) AS smallint)", self.list),
            Form::Array => format!("({})[{PLACE}]", self.list),
        }
    }

    fn text(&self) -> String {
        match (self.gives, self.form) {
            (Gives::Value | Gives::Pair, _) => self.value(),
            (Gives::Subscript, Form::Vector) => format!("({PLACE} - 1)"),
            (Gives::Subscript, Form::Array) => PLACE.to_owned(),
        }
    }

    fn count(&self) -> String {
        match self.form {
            Form::Vector => format!("cardinality(string_to_array({}, ' '))", self.list),
            Form::Array => format!("cardinality({})", self.list),
        }
    }
}

/// Puts what stands at the places of lists for the functions in a select list.
pub(super) fn spread(select: &mut Select) -> Result<()> {
    let mut lists: Vec<String> = Vec::new();
    let mut items = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        let (ast, alias) = match item {
            SelectItem::UnnamedExpr(ast) => (ast, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.clone())),
            other => {
                items.push(other.clone());
                continue;
            }
        };
        let alias = || alias.clone().unwrap_or_else(|| Ident::with_quote('"', crate::select::unnamed(ast)));
        if let Some(call) = Call::of(ast) {
            items.push(SelectItem::ExprWithAlias { expr: parse_expr(&call.text())?, alias: alias() });
            if call.gives == Gives::Pair {
                let second = Ident::with_quote('"', format!("{}{SECOND}", fold(&alias())));
                items.push(SelectItem::ExprWithAlias { expr: parse_expr(PLACE)?, alias: second });
            }
            lists.push(call.count());
        } else if let Some((call, field)) = field_of_call(ast) {
            let text = if field == "n" { PLACE.to_owned() } else { call.value() };
            items.push(SelectItem::ExprWithAlias { expr: parse_expr(&text)?, alias: alias() });
            lists.push(call.count());
        } else {
            items.push(item.clone());
        }
    }
    if lists.is_empty() {
        return Ok(());
    }
    select.projection = items;
    select.from.push(places()?);
    lists.sort_unstable();
    lists.dedup();
    let mut condition =
        lists.iter().map(|count| format!("{PLACE} <= {count}")).collect::<Vec<_>>().join(" OR ");
    if let Some(selection) = &select.selection {
        condition = format!("({selection}) AND ({condition})");
    }
    select.selection = Some(parse_expr(&condition)?);
    Ok(())
}

/// `(function(list)).field`
fn field_of_call(ast: &Ast) -> Option<(Call, String)> {
    let (root, field) = field(ast)?;
    let call = Call::of(root).filter(|call| call.gives == Gives::Pair)?;
    Some((call, field))
}

fn field(ast: &Ast) -> Option<(&Ast, String)> {
    let Ast::CompoundFieldAccess { root, access_chain } = ast else { return None };
    let [AccessExpr::Dot(Ast::Identifier(name))] = access_chain.as_slice() else { return None };
    let root = match &**root {
        Ast::Nested(inner) => inner,
        other => other,
    };
    Some((root, fold(name))).filter(|(_, name)| name == "x" || name == "n")
}

/// `(pairs).x` and `(pairs).n` of a column that [`spread`] has made two of.
pub(super) fn field_of_pairs(ast: &Ast) -> Option<Ast> {
    let (root, field) = field(ast)?;
    let second = |name: &Ident| Ident::with_quote('"', format!("{}{SECOND}", fold(name)));
    match (root, field.as_str()) {
        (Ast::Identifier(_) | Ast::CompoundIdentifier(_), "x") => Some(root.clone()),
        (Ast::Identifier(name), _) => Some(Ast::Identifier(second(name))),
        (Ast::CompoundIdentifier(parts), _) => {
            let (last, table) = parts.split_last()?;
            Some(Ast::CompoundIdentifier(table.iter().cloned().chain([second(last)]).collect()))
        }
        _ => None,
    }
}

/// All places, as something to join with.
fn places() -> Result<TableWithJoins> {
    let numbers: Vec<String> = (1..=PLACE_COUNT).map(|number| format!("({number})")).collect();
    let text = format!("SELECT 1 FROM (VALUES {}) AS \"\u{1}place\"(\"\u{1}n\")", numbers.join(", "));
    let mut parsed = crate::parse::parse(&text)?;
    let Some(Statement::Query(query)) = parsed.pop().map(|parsed| parsed.statement) else {
        unreachable!("it is a query")
    };
    let Query { body, .. } = *query;
    let SetExpr::Select(mut select) = *body else { unreachable!("it is a SELECT") };
    select.from.pop().ok_or_else(|| SqlError::syntax("a query without FROM"))
}

/// `row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum)`: no column is ever gone, so the places of the columns
/// have no gaps.
pub(super) fn column_number(function: &Function) -> Option<Ast> {
    let Some(WindowType::WindowSpec(window)) = &function.over else { return None };
    let named = |ast: &Ast, wanted: &str| match ast {
        Ast::Identifier(name) => fold(name) == wanted,
        Ast::CompoundIdentifier(parts) => parts.last().is_some_and(|name| fold(name) == wanted),
        _ => false,
    };
    match (window.partition_by.as_slice(), window.order_by.as_slice()) {
        ([table], [by]) if named(table, "attrelid") && named(&by.expr, "attnum") => Some(by.expr.clone()),
        _ => None,
    }
}
