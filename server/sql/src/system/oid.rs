//! Numbers of relations, types and columns, and the names that they stand for, as values or as SQL that chooses among them.

use super::{comments, index_name, index_oid, indexes, key_names, object_oid, quoted, shown};
use crate::catalog::{AccessPath, Catalog, Object, ObjectKind};
use crate::change::parse_expr;
use crate::error::{Result, SqlError};
use crate::sql_type::SqlType;
use sqlparser::ast::{Expr as Ast, Statement};

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

/// Refuses the name of a relation that there is not.
pub(crate) fn check_relation(catalog: &Catalog, name: &str) -> Result<()> {
    class_oid(catalog, name).map(|_| ())
}

pub(super) fn relations(catalog: &Catalog) -> Vec<(i64, String)> {
    let objects = shown(catalog).map(|object| (object_oid(object), quoted(&object.name)));
    let paths = indexes(catalog).map(|(object, path)| (index_oid(path), index_name(object, path)));
    objects.chain(paths).collect()
}

/// The name that a number stands for, as an expression.
pub(super) fn names_by_number(number: &str, names: Vec<(i64, String)>) -> String {
    if names.is_empty() {
        return format!("CAST(({number}) AS text)");
    }
    let cases: Vec<String> =
        names.iter().map(|(oid, name)| format!("WHEN {oid} THEN '{}'", name.replace('\'', "''"))).collect();
    format!("CASE ({number}) {} ELSE CAST(({number}) AS text) END", cases.join(" "))
}

pub(super) fn class_oid(catalog: &Catalog, text: &str) -> Result<String> {
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
pub(super) fn type_by_name(name: &str) -> String {
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

/// `to_regclass`: the number of a relation by its name, or NULL.
pub(super) fn class_by_name(catalog: &Catalog, name: &str) -> String {
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

pub(super) fn type_oid(text: &str) -> Result<String> {
    let Ast::Cast { data_type, .. } = parse_expr(&format!("NULL::{text}"))? else {
        return Err(SqlError::new("42704", format!("type {text:?} does not exist")));
    };
    Ok(SqlType::from_ast(&data_type)?.oid().to_string())
}

/// `format_type`: the name of a type with its length or precision.
pub(super) fn type_name(oid: &str, modifier: &str) -> String {
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
pub(super) fn index_text_of(object: &Object, path: &AccessPath, schema: &str) -> String {
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

/// The comment on an object, and on its column of a number from 1 on.
pub(super) fn comment_on(catalog: &Catalog, oid: &str, number: &str) -> String {
    let cases = comments(catalog).map(|(object, column, text)| {
        let text = text.replace('\'', "''");
        format!(" WHEN ({oid}) = {object} AND ({number}) = {column} THEN '{text}'")
    });
    let cases: String = cases.collect();
    if cases.is_empty() { "CAST(NULL AS text)".to_owned() } else { format!("CASE{cases} END") }
}

/// `pg_get_indexdef(oid, number, ...)`: a column of an index.
pub(super) fn column_of_index(catalog: &Catalog, oid: &str, number: &str) -> String {
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
