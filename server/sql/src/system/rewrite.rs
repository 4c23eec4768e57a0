//! What clients ask PostgreSQL's catalogues in, put into SQL that the binder knows: functions of pg_catalog become what they
//! give here, casts to names of objects become numbers, collations and the schema of operators are dropped.
//!
//! Only the statements that use such words are touched. What is not known here goes on as it is, and the binder says what it
//! does not know.

use super::oid::{
    class_by_name, class_oid, column_of_index, comment_on, index_text, index_text_of, names_by_number,
    relations, type_by_name, type_name, type_oid, view_text,
};
use super::{OWNER, OWNER_NAME, index_oid, indexes, object_oid, shown};
use crate::catalog::Catalog;
use crate::change::parse_expr;
use crate::error::{Result, SqlError};
use crate::names::fold;
use crate::select::unnamed;
use sqlparser::ast::{
    BinaryOperator, DataType, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Join, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value,
    VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// Words of which a statement has one if it is to be touched.
const WORDS: &[&str] = &[
    "pg_",
    "current_",
    "session_user",
    "version",
    "reg",
    "set_config",
    "_description",
    "collate",
    "has_",
    "oid",
    "format_type",
    "name",
];

/// A statement in other words.
pub(crate) struct Rewritten {
    pub(crate) statement: Statement,
    /// The parameters that must name relations, as the statement writes them.
    pub(crate) relations: Vec<String>,
}

/// The statement as the binder takes it; none if there is nothing to change.
pub(crate) fn statement(catalog: &Catalog, statement: &Statement, sql: &str) -> Result<Option<Rewritten>> {
    let small = sql.to_lowercase();
    let reads = matches!(
        statement,
        Statement::Query(_)
            | Statement::Declare { .. }
            | Statement::Explain { .. }
            | Statement::Insert(_)
            | Statement::Update(_)
    );
    if !reads || !WORDS.iter().any(|word| small.contains(word)) {
        return Ok(None);
    }
    let mut statement = statement.clone();
    let mut rewriter = Rewriter { catalog, sql: &small, relations: Vec::new() };
    match VisitMut::visit(&mut statement, &mut rewriter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(Some(Rewritten { statement, relations: rewriter.relations })),
    }
}

struct Rewriter<'c> {
    catalog: &'c Catalog,
    /// The statement in small letters.
    sql: &'c str,
    /// Parameters that are cast to relations.
    relations: Vec<String>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        if ["pg_index", "pg_constraint"].iter().any(|relation| self.sql.contains(relation))
            && let Err(error) = super::sets::spread(select)
        {
            return ControlFlow::Break(error);
        }
        // What is put into other words keeps the name that it has in its own.
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(ast) = item
                && matches!(ast, Ast::Function(_) | Ast::Cast { .. } | Ast::Collate { .. })
            {
                let alias = Ident::with_quote('"', unnamed(ast));
                *item = SelectItem::ExprWithAlias { expr: ast.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, ast: &mut Ast) -> ControlFlow<SqlError> {
        let asks = |relation: &str, what: &str, part: &dyn std::fmt::Display| {
            self.sql.contains(relation) && part.to_string().to_lowercase().contains(what)
        };
        match ast {
            // No relation has options and there are no policies, of which psql asks for lists by functions of theirs.
            Ast::Function(Function { name, args, .. })
                if name.0.last().is_some_and(|name| name.to_string() == "array_to_string")
                    && (asks("pg_class tc", "unnest(tc.reloptions)", args)
                        || asks("pg_policy pol", "any(pol.polroles)", args)) =>
            {
                *ast = Ast::value(Value::SingleQuotedString(String::new()));
            }
            // Nor is there any publication, of whose columns it asks for the names.
            Ast::Subquery(query)
                if reads_nothing(query) || asks("pg_publication_rel pr", "array_upper(pr.prattrs", query) =>
            {
                *ast = Ast::value(Value::Null);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, ast: &mut Ast) -> ControlFlow<SqlError> {
        if let Ast::Function(function) = ast
            && self.sql.contains("pg_attribute")
            && let Some(column) = super::sets::column_number(function)
        {
            *ast = column;
            return ControlFlow::Continue(());
        }
        self.relations.extend(relation_parameter(ast));
        match rewritten(self.catalog, ast) {
            Ok(Some(new)) => *ast = new,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// The expression put into other words; its parts have been put into other words already.
fn rewritten(catalog: &Catalog, ast: &Ast) -> Result<Option<Ast>> {
    match ast {
        Ast::Collate { expr, collation } => {
            let last = collation.0.last().and_then(ObjectNamePart::as_ident).map(fold).unwrap_or_default();
            match last.as_str() {
                "default" | "C" | "POSIX" | "ucs_basic" => Ok(Some((**expr).clone())),
                _ => Err(SqlError::unsupported(format!("the collation {collation}"))
                    .hint("Text is ordered by its bytes, as with the collation \"C\".")),
            }
        }
        Ast::BinaryOp { left, op, right } => {
            let op = match op {
                BinaryOperator::PGCustomBinaryOperator(parts) => named_operator(parts)?,
                other => other.clone(),
            };
            match anchored(left, &op, right) {
                Some(text) => parse_expr(&text).map(Some),
                None => Ok(Some(Ast::BinaryOp { left: left.clone(), op, right: right.clone() })),
            }
        }
        Ast::Cast { expr, data_type, .. } => cast(catalog, expr, data_type),
        Ast::Function(function) => call(catalog, function),
        Ast::CompoundFieldAccess { .. } => Ok(super::sets::field_of_pairs(ast)),
        _ => Ok(None),
    }
}

/// Whether a subquery as a value begins with a relation that never has rows, so that it has no value.
fn reads_nothing(query: &Query) -> bool {
    use sqlparser::ast::JoinOperator as J;
    let SetExpr::Select(select) = &*query.body else { return false };
    let ([SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }], [from, ..]) =
        (select.projection.as_slice(), select.from.as_slice())
    else {
        return false;
    };
    let TableFactor::Table { name, .. } = &from.relation else { return false };
    let keeps_empty = |join: &Join| {
        use J::{CrossJoin, Inner, Join, Left, LeftOuter};
        matches!(join.join_operator, Join(_) | Inner(_) | CrossJoin(_) | Left(_) | LeftOuter(_))
    };
    let last = name.0.last().and_then(ObjectNamePart::as_ident).map(fold).unwrap_or_default();
    super::pg::is_empty(&last)
        && from.joins.iter().all(keeps_empty)
        && !crate::select::has_aggregate(item)
        && select.having.is_none()
}

fn named_operator(parts: &[String]) -> Result<BinaryOperator> {
    use BinaryOperator as B;
    Ok(match parts.last().map(String::as_str).unwrap_or_default() {
        "~" => B::PGRegexMatch,
        "!~" => B::PGRegexNotMatch,
        "~*" => B::PGRegexIMatch,
        "!~*" => B::PGRegexNotIMatch,
        "~~" => B::PGLikeMatch,
        "!~~" => B::PGNotLikeMatch,
        "=" => B::Eq,
        "<>" => B::NotEq,
        "<" => B::Lt,
        ">" => B::Gt,
        "<=" => B::LtEq,
        ">=" => B::GtEq,
        "+" => B::Plus,
        "-" => B::Minus,
        other => return Err(SqlError::unsupported(format!("OPERATOR({other})"))),
    })
}

/// A match with a pattern that begins where the text does and has nothing but letters and `.*`, as psql makes them of its
/// patterns, is LIKE.
fn anchored(left: &Ast, op: &BinaryOperator, right: &Ast) -> Option<String> {
    let negated = match op {
        BinaryOperator::PGRegexMatch => "",
        BinaryOperator::PGRegexNotMatch => "NOT ",
        _ => return None,
    };
    let pattern = text_constant(right)?.strip_prefix('^')?;
    let (pattern, whole) = match pattern.strip_prefix('(').and_then(|rest| rest.strip_suffix(")$")) {
        Some(inner) => (inner, true),
        None => match pattern.strip_suffix('$') {
            Some(inner) => (inner, true),
            None => (pattern, false),
        },
    };
    let mut like = String::new();
    for (at, part) in pattern.split(".*").enumerate() {
        if at > 0 {
            like.push('%');
        }
        for c in part.chars() {
            match c {
                '_' => like.push_str("\\_"),
                '\'' => like.push_str("''"),
                '.' => like.push('_'),
                c if c.is_alphanumeric() || " -#@".contains(c) => like.push(c),
                _ => return None,
            }
        }
    }
    if !whole {
        like.push('%');
    }
    Some(format!("({left}) {negated}LIKE '{like}'"))
}

fn text_constant(ast: &Ast) -> Option<&str> {
    match ast {
        Ast::Nested(inner) => text_constant(inner),
        Ast::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// A cast to a type that is only another name or another view of a number.
fn cast(catalog: &Catalog, expr: &Ast, to: &DataType) -> Result<Option<Ast>> {
    let name = cast_name(to);
    let name = name.as_str();
    let text = match name {
        "regclass" => match text_constant(named_text(expr)) {
            Some(text) => class_oid(catalog, text)?,
            None if is_text(expr) => class_by_name(catalog, &expr.to_string()),
            None => names_by_number(&format!("{expr}"), relations(catalog)),
        },
        "regtype" => match text_constant(expr) {
            Some(text) => type_oid(text)?,
            None => type_name(&format!("{expr}"), "NULL"),
        },
        "regnamespace" => names_by_number(&format!("{expr}"), vec![(super::PUBLIC, "public".to_owned())]),
        "regproc" | "regprocedure" | "regrole" => format!("CAST(({expr}) AS text)"),
        "oid" | "xid" => format!("CAST(({expr}) AS bigint)"),
        "name" | "cstring" | "char" if !matches!(to, DataType::Char(_)) => format!("CAST(({expr}) AS text)"),
        "text" if name != to.to_string().to_lowercase() => format!("CAST(({expr}) AS text)"),
        "int2vector" | "oidvector" => format!("({expr})"),
        _ => return Ok(None),
    };
    parse_expr(&text).map(Some)
}

/// The parameter that is cast to a relation here.
fn relation_parameter(ast: &Ast) -> Option<String> {
    let Ast::Cast { expr, data_type, .. } = ast else { return None };
    if cast_name(data_type) != "regclass" {
        return None;
    }
    match named_text(expr) {
        Ast::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// What is cast to a text, which is then a name.
fn named_text(ast: &Ast) -> &Ast {
    match ast {
        Ast::Nested(inner) => named_text(inner),
        Ast::Cast { expr, .. } if is_text(ast) => named_text(expr),
        other => other,
    }
}

fn cast_name(to: &DataType) -> String {
    let name = to.to_string().to_lowercase().replace('"', "");
    name.rsplit('.').next().unwrap_or_default().to_owned()
}

/// Whether an expression is certainly a text, and so a name rather than a number.
fn is_text(ast: &Ast) -> bool {
    match ast {
        Ast::Nested(inner) => is_text(inner),
        // Clients give names for such a parameter.
        Ast::Value(value) => matches!(value.value, Value::Placeholder(_)),
        Ast::Cast { data_type, .. } => {
            matches!(data_type, DataType::Varchar(_) | DataType::Text | DataType::CharacterVarying(_))
        }
        _ => false,
    }
}

fn arguments(function: &Function) -> Option<Vec<String>> {
    let FunctionArguments::List(list) = &function.args else { return Some(Vec::new()) };
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(ast)) => Some(ast.to_string()),
        _ => None,
    };
    list.args.iter().map(argument).collect()
}

/// A function of pg_catalog.
fn call(catalog: &Catalog, function: &Function) -> Result<Option<Ast>> {
    let parts: Vec<&Ident> = function.name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
    let Some(last) = parts.last() else { return Ok(None) };
    let name = fold(last);
    let Some(arguments) = arguments(function) else { return Ok(None) };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let texts = |list: Vec<(i64, String)>, number: &str| {
        let cases: Vec<String> = list
            .iter()
            .map(|(oid, text)| format!("WHEN {oid} THEN '{}'", text.replace('\'', "''")))
            .collect();
        match cases.is_empty() {
            true => "CAST(NULL AS text)".to_owned(),
            false => format!("CASE ({number}) {} END", cases.join(" ")),
        }
    };
    let text = match (name.as_str(), arguments.as_slice()) {
        ("version", []) => "'PostgreSQL 15.0 (Sakia)'".to_owned(),
        ("current_database" | "current_catalog", []) => format!("'{OWNER_NAME}'"),
        ("current_schema", []) => "'public'".to_owned(),
        ("current_user" | "session_user" | "user" | "current_role", []) => format!("'{OWNER_NAME}'"),
        ("current_user" | "session_user" | "current_role", [name]) => (*name).to_owned(),
        ("current_schemas", [_]) => "ARRAY['pg_catalog', 'public']".to_owned(),
        ("pg_backend_pid", [number]) => (*number).to_owned(),
        ("to_regtype", [text]) => type_by_name(text),
        ("to_regclass", [text]) => class_by_name(catalog, text),
        // There are no such locks, so there is nothing to give back.
        ("pg_advisory_unlock_all", []) => "''".to_owned(),
        (name, _) if name.contains("_advisory_") => {
            return Err(SqlError::unsupported(format!("{name}, and any other advisory lock")));
        }
        ("pg_is_in_recovery", []) => "false".to_owned(),
        ("pg_get_userbyid", [_]) => format!("'{OWNER_NAME}'"),
        ("pg_encoding_to_char", [_]) => "'UTF8'".to_owned(),
        ("format_type", [oid, modifier]) => type_name(oid, modifier),
        (
            "pg_table_is_visible"
            | "pg_type_is_visible"
            | "pg_function_is_visible"
            | "pg_collation_is_visible"
            | "pg_opclass_is_visible"
            | "pg_operator_is_visible",
            [_],
        ) => "true".to_owned(),
        ("pg_get_expr", [text, ..]) => format!("({text})"),
        ("obj_description", [oid]) => comment_on(catalog, oid, "0"),
        ("obj_description", [oid, kind]) if kind.trim_matches('\'').eq_ignore_ascii_case("pg_class") => {
            comment_on(catalog, oid, "0")
        }
        ("col_description", [oid, number]) => comment_on(catalog, oid, number),
        ("obj_description" | "shobj_description", _) => "CAST(NULL AS text)".to_owned(),
        (
            "pg_get_function_result"
            | "pg_get_function_arguments"
            | "pg_get_function_identity_arguments"
            | "pg_get_functiondef"
            | "pg_get_function_sqlbody"
            | "pg_get_triggerdef"
            | "pg_get_ruledef"
            | "pg_get_partition_constraintdef"
            | "pg_get_statisticsobjdef"
            | "pg_get_function_arg_default"
            | "pg_tablespace_location",
            _,
        ) => "CAST(NULL AS text)".to_owned(),
        ("pg_get_statisticsobjdef_columns" | "pg_get_serial_sequence" | "pg_get_partkeydef", _) => {
            "CAST(NULL AS text)".to_owned()
        }
        ("pg_relation_is_publishable", _) => "false".to_owned(),
        (name, _) if name.starts_with("has_") && name.ends_with("_privilege") => "true".to_owned(),
        // Nobody keeps count of the bytes of one relation.
        ("pg_relation_size" | "pg_table_size" | "pg_total_relation_size" | "pg_database_size", _) => {
            "CAST(NULL AS bigint)".to_owned()
        }
        ("pg_size_pretty", _) => "CAST(NULL AS text)".to_owned(),
        ("json_build_object", list) if list.iter().any(|argument| argument.contains("pg_")) => {
            format!("jsonb_build_object({})", list.join(", "))
        }
        ("current_setting", [setting, ..]) => {
            let wanted = setting.trim_matches('\'').to_lowercase();
            let found = super::pg::SETTINGS.iter().find(|(name, _)| name.to_lowercase() == wanted);
            match found {
                Some((_, value)) => format!("'{value}'"),
                None if arguments.get(1).is_some_and(|missing| missing.eq_ignore_ascii_case("true")) => {
                    "CAST(NULL AS text)".to_owned()
                }
                None if !setting.starts_with('\'') => {
                    return Err(SqlError::unsupported("current_setting of anything but a constant name"));
                }
                None => {
                    let message = format!("unrecognized configuration parameter {wanted:?}");
                    return Err(SqlError::new("42704", message));
                }
            }
        }
        ("pg_get_indexdef", [oid]) => {
            texts(indexes(catalog).map(|(o, path)| (index_oid(path), index_text(o, path))).collect(), oid)
        }
        ("pg_get_indexdef", [oid, number, pretty @ ..]) if *number == "0" => {
            // Written prettily, what is found without its schema has none.
            let is_pretty = pretty.first().is_some_and(|pretty| pretty.eq_ignore_ascii_case("true"));
            let schema = if is_pretty { "" } else { "public." };
            let text = |(o, path): (_, _)| (index_oid(path), index_text_of(o, path, schema));
            texts(indexes(catalog).map(text).collect(), oid)
        }
        ("pg_get_indexdef", [oid, number, ..]) => column_of_index(catalog, oid, number),
        ("pg_get_viewdef", [oid, ..]) => {
            let views = shown(catalog).filter(|object| object.table().is_none());
            texts(views.map(|object| (object_oid(object), view_text(object))).collect(), oid)
        }
        ("pg_get_constraintdef", [oid, ..]) => {
            let all = super::pg::constraints(catalog);
            texts(all.map(|constraint| (constraint.oid, constraint.text)).collect(), oid)
        }
        _ if parts.len() > 1 => {
            let name = ObjectName(vec![ObjectNamePart::Identifier((*last).clone())]);
            return Ok(Some(Ast::Function(Function { name, ..function.clone() })));
        }
        _ => return Ok(None),
    };
    debug_assert_eq!(OWNER, 10, "the role's number is PostgreSQL's for its first role");
    parse_expr(&text).map(Some)
}
