//! What clients ask PostgreSQL's catalogues in, put into SQL that the binder knows: functions of pg_catalog become what they
//! give here, casts to names of objects become numbers, collations and the schema of operators are dropped.
//!
//! Only the statements that use such words are touched. What is not known here goes on as it is, and the binder says what it
//! does not know.

use super::{
    OWNER, OWNER_NAME, comments, index_name, index_oid, indexes, key_names, object_oid, quoted, shown,
};
use crate::catalog::{AccessPath, Catalog, Object, ObjectKind};
use crate::change::parse_expr;
use crate::error::{Result, SqlError};
use crate::names::fold;
use crate::select::unnamed;
use crate::sql_type::SqlType;
use sqlparser::ast::{
    BinaryOperator, DataType, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Join, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value,
    VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// Relations of pg_catalog that clients name by their numbers.
const SYSTEM_RELATIONS: &[(&str, i64)] = &[
    ("pg_type", 1247),
    ("pg_attribute", 1249),
    ("pg_proc", 1255),
    ("pg_class", 1259),
    ("pg_database", 1262),
    ("pg_constraint", 2606),
    ("pg_namespace", 2615),
];

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

/// Refuses the name of a relation that there is not.
pub(crate) fn check_relation(catalog: &Catalog, name: &str) -> Result<()> {
    class_oid(catalog, name).map(|_| ())
}

fn relations(catalog: &Catalog) -> Vec<(i64, String)> {
    let objects = shown(catalog).map(|object| (object_oid(object), quoted(&object.name)));
    let paths = indexes(catalog).map(|(object, path)| (index_oid(path), index_name(object, path)));
    objects.chain(paths).collect()
}

/// The name that a number stands for, as an expression.
fn names_by_number(number: &str, names: Vec<(i64, String)>) -> String {
    if names.is_empty() {
        return format!("CAST(({number}) AS text)");
    }
    let cases: Vec<String> =
        names.iter().map(|(oid, name)| format!("WHEN {oid} THEN '{}'", name.replace('\'', "''"))).collect();
    format!("CASE ({number}) {} ELSE CAST(({number}) AS text) END", cases.join(" "))
}

fn class_oid(catalog: &Catalog, text: &str) -> Result<String> {
    if text.parse::<i64>().is_ok() {
        return Ok(text.to_owned());
    }
    let name = text.strip_prefix("public.").unwrap_or(text);
    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.to_owned(),
        None => name.to_lowercase(),
    };
    let plain = text.strip_prefix("pg_catalog.").unwrap_or(text);
    if let Some((_, oid)) = SYSTEM_RELATIONS.iter().find(|(name, _)| *name == plain) {
        return Ok(oid.to_string());
    }
    if name.starts_with("pg_") {
        return Ok("0".to_owned());
    }
    let found = shown(catalog).find(|object| object.name == name).map(object_oid);
    let index = || indexes(catalog).find(|(object, path)| index_name(object, path) == name);
    let oid = found.or_else(|| index().map(|(_, path)| index_oid(path)));
    oid.map(|oid| oid.to_string())
        .ok_or_else(|| SqlError::new("42P01", format!("relation {text:?} does not exist")))
}

/// `to_regtype`: the number of a type by its name, or NULL.
fn type_by_name(name: &str) -> String {
    let mut cases = String::new();
    for (number, name, array, _) in super::pg::TYPES {
        let ty = u32::try_from(*number).ok().and_then(SqlType::from_oid);
        let mut names = vec![(*name).to_owned()];
        names.extend(ty.map(|ty| ty.bare().to_string()).filter(|long| long != name));
        for name in names {
            cases.push_str(&format!(" WHEN '{name}' THEN {number}"));
            if *array != 0 {
                cases.push_str(&format!(" WHEN '{name}[]' THEN {array}"));
            }
        }
    }
    format!("CAST(CASE lower({name}){cases} END AS bigint)")
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

/// `to_regclass`: the number of a relation by its name, or NULL.
fn class_by_name(catalog: &Catalog, name: &str) -> String {
    let mut cases = String::new();
    for (name, oid) in SYSTEM_RELATIONS {
        cases.push_str(&format!(" WHEN '{name}' THEN {oid} WHEN 'pg_catalog.{name}' THEN {oid}"));
    }
    for (oid, name) in relations(catalog) {
        let name = name.replace('\'', "''");
        cases.push_str(&format!(
            " WHEN '{name}' THEN {oid} WHEN 'public.{name}' THEN {oid} WHEN '{oid}' THEN {oid}"
        ));
    }
    // Letters outside of quotes are small.
    let folded = format!("CASE WHEN strpos({name}, '\"') > 0 THEN ({name}) ELSE lower({name}) END");
    format!("CAST(CASE ({folded}){cases} END AS bigint)")
}

fn type_oid(text: &str) -> Result<String> {
    let Ast::Cast { data_type, .. } = parse_expr(&format!("NULL::{text}"))? else {
        return Err(SqlError::new("42704", format!("type {text:?} does not exist")));
    };
    Ok(SqlType::from_ast(&data_type)?.oid().to_string())
}

/// `format_type`: the name of a type with its length or precision.
fn type_name(oid: &str, modifier: &str) -> String {
    let mut cases = String::new();
    for (number, name, array, _) in super::pg::TYPES {
        let ty = u32::try_from(*number).ok().and_then(SqlType::from_oid);
        let name = match (number, ty) {
            (1042, _) => "character".to_owned(),
            (1043, _) => "character varying".to_owned(),
            (_, Some(ty)) => ty.to_string(),
            (18, None) => "\"char\"".to_owned(),
            (_, None) => (*name).to_owned(),
        };
        let with_length = match number {
            1042 | 1043 => {
                format!("CASE WHEN ({modifier}) > 4 THEN '(' || (({modifier}) - 4) || ')' ELSE '' END")
            }
            1700 => format!(
                "CASE WHEN ({modifier}) > 4 THEN '(' || ((({modifier}) - 4) / 65536) || ',' || ((({modifier}) - 4) % 65536) || ')' ELSE '' END"
            ),
            _ => "''".to_owned(),
        };
        let plain = modifier == "NULL" || with_length == "''";
        match plain {
            true => cases.push_str(&format!(" WHEN {number} THEN '{name}'")),
            false => cases.push_str(&format!(" WHEN {number} THEN '{name}' || {with_length}")),
        }
        if *array != 0 {
            cases.push_str(&format!(" WHEN {array} THEN '{name}[]'"));
        }
    }
    format!("CASE ({oid}){cases} ELSE '???' END")
}

/// The statement that makes an index. It is said to be a hash where it is used by the whole key alone.
pub(super) fn index_text(object: &Object, path: &AccessPath) -> String {
    index_text_of(object, path, "public.")
}

/// The same with this before the table's name.
fn index_text_of(object: &Object, path: &AccessPath, schema: &str) -> String {
    let unique = if object.table().is_some() && path.name == object.name { "UNIQUE " } else { "" };
    let (name, key) = (quoted(&index_name(object, path)), key_names(object, &path.key));
    let method = if path.ordered { "btree" } else { "hash" };
    format!("CREATE {unique}INDEX {name} ON {schema}{} USING {method} ({key})", quoted(&object.name))
}

/// The query of a view.
pub(super) fn view_text(object: &Object) -> String {
    if let ObjectKind::View { query } = &object.kind {
        return format!(" {query};");
    }
    let parsed = crate::parse::parse(&object.sql).ok().and_then(|parsed| parsed.into_iter().next());
    match parsed.map(|parsed| parsed.statement) {
        Some(Statement::CreateView(create)) => format!(" {};", create.query),
        _ => object.sql.clone(),
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

/// The comment on an object, and on its column of a number from 1 on.
fn comment_on(catalog: &Catalog, oid: &str, number: &str) -> String {
    let cases = comments(catalog).map(|(object, column, text)| {
        let text = text.replace('\'', "''");
        format!(" WHEN ({oid}) = {object} AND ({number}) = {column} THEN '{text}'")
    });
    let cases: String = cases.collect();
    if cases.is_empty() { "CAST(NULL AS text)".to_owned() } else { format!("CASE{cases} END") }
}

/// `pg_get_indexdef(oid, number, ...)`: a column of an index.
fn column_of_index(catalog: &Catalog, oid: &str, number: &str) -> String {
    let mut cases = String::new();
    for (object, path) in indexes(catalog) {
        for (at, column) in (1..).zip(&path.key) {
            let name = quoted(&object.columns[usize::from(*column)].name).replace('\'', "''");
            let index = index_oid(path);
            cases.push_str(&format!(" WHEN ({oid}) = {index} AND ({number}) = {at} THEN '{name}'"));
        }
    }
    if cases.is_empty() { "CAST(NULL AS text)".to_owned() } else { format!("CASE{cases} END") }
}
