//! pg_catalog and information_schema: tables made of the catalogue when a query names them, so that clients can look
//! around as in PostgreSQL. They can be read by queries alone, and no view can be made from them.
//!
//! What Sakia has none of (functions, triggers, policies, ...) are tables without rows. Numbers of objects (oid) are those
//! of the engine's views, which are never given twice, from 16384 on.

pub(crate) mod oid;
mod pg;
pub(crate) mod rewrite;
mod schema;
mod sets;

use crate::catalog::{AccessPath, Catalog, Object};
use crate::names::fold;
use crate::sql_type::SqlType;
use operators::expr::Literal;
use operators::{RowBuilder, Rows};
use sqlparser::ast::{ObjectName, ObjectNamePart};

/// Columns with their types, and the rows.
type Made = (Vec<(&'static str, SqlType)>, Vec<Vec<Literal>>);

/// A column of a system table: its name, its type, and its value in the row of a `T`.
type Column<T> = (&'static str, SqlType, fn(&T) -> Literal);

/// A table with a row for each of these.
fn made<T>(columns: &[Column<T>], rows: impl IntoIterator<Item = T>) -> Made {
    let row = |of: T| columns.iter().map(|(.., value)| value(&of)).collect();
    (columns.iter().map(|(name, ty, _)| (*name, *ty)).collect(), rows.into_iter().map(row).collect())
}

/// The names of the settings that `current_setting` knows.
pub(crate) fn setting_names() -> impl Iterator<Item = &'static str> {
    pg::SETTINGS.iter().map(|(name, _)| *name)
}

/// A system table by its name.
#[derive(Debug)]
pub(crate) struct SystemTable {
    pub(crate) name: String,
    pub(crate) columns: Vec<(&'static str, SqlType)>,
    rows: Vec<Vec<Literal>>,
}

impl SystemTable {
    pub(crate) fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        let mut builder = RowBuilder::new();
        for values in &self.rows {
            assert_eq!(values.len(), self.columns.len(), "{} has all of its columns", self.name);
            builder.start(values.len());
            values.iter().for_each(|value| builder.push(value.datum()));
            rows.push(builder.finish());
        }
        rows
    }
}

/// The system table that a name means, if it means one.
pub(crate) fn table(catalog: &Catalog, name: &ObjectName) -> Option<SystemTable> {
    let parts: Vec<String> = name
        .0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => fold(ident),
            ObjectNamePart::Function(_) => String::new(),
        })
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let made = match parts.as_slice() {
        [.., "information_schema", name] => schema::table(catalog, name),
        [.., "pg_catalog", name] => pg::table(catalog, name),
        [name] if name.starts_with("pg_") && catalog.find(name).is_none() => pg::table(catalog, name),
        _ => None,
    };
    made.map(|(columns, rows)| SystemTable { name: parts.join("."), columns, rows })
}

/// The first number that is not PostgreSQL's own.
pub(super) const FIRST_OID: i64 = 16_384;
/// Numbers of views without rows of their own begin here; they are made of the name.
const NAMED_OID: i64 = 1 << 30;
pub(super) const PUBLIC: i64 = 2200;
pub(super) const PG_CATALOG: i64 = 11;
pub(super) const INFORMATION_SCHEMA: i64 = 13_000;
pub(super) const OWNER: i64 = 10;
/// The first role, which everything is said to belong to, and the one database.
pub(super) const OWNER_NAME: &str = crate::role::FIRST_ROLE;

/// The number of a table or view.
pub(super) fn object_oid(object: &Object) -> i64 {
    match object.paths.first() {
        Some(path) => FIRST_OID + 2 * i64::from(path.view),
        None => {
            let hash = object
                .name
                .bytes()
                .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
            NAMED_OID + i64::from(hash >> 2)
        }
    }
}

/// The number of each object with a comment, 0 or that of its column, and the comment.
pub(super) fn comments(catalog: &Catalog) -> impl Iterator<Item = (i64, i64, &str)> {
    catalog.comments().iter().map(|(on, text)| {
        let object = catalog.find(&on.object).expect("comments are on what there is");
        (object_oid(object), on.column.map_or(0, |at| i64::from(at) + 1), text)
    })
}

/// The number of an index; that of the object's own is beside the object's.
pub(super) fn index_oid(path: &AccessPath) -> i64 {
    FIRST_OID + 2 * i64::from(path.view) + 1
}

/// The name that clients see.
pub(super) fn index_name(object: &Object, path: &AccessPath) -> String {
    match (path.name == object.name, object.table()) {
        (true, Some(_)) => format!("{}_pkey", object.name),
        (true, None) => format!("{}_key", object.name),
        _ => path.name.clone(),
    }
}

/// The objects that SQL sees.
pub(super) fn shown(catalog: &Catalog) -> impl Iterator<Item = &Object> {
    catalog.objects().iter().filter(|object| !object.is_hidden())
}

/// Each index with its object; a key of no columns is none.
pub(super) fn indexes(catalog: &Catalog) -> impl Iterator<Item = (&Object, &AccessPath)> {
    shown(catalog)
        .flat_map(|object| object.paths.iter().map(move |path| (object, path)))
        .filter(|(_, path)| !path.key.is_empty())
}

/// `a, b` of a key.
pub(super) fn key_names(object: &Object, key: &[u16]) -> String {
    let names: Vec<String> = key.iter().map(|at| quoted(&object.columns[usize::from(*at)].name)).collect();
    names.join(", ")
}

/// A name as SQL writes it.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The text of a default.
pub(super) fn default_text(column: &crate::catalog::ColumnDef) -> Option<String> {
    use crate::catalog::DefaultValue;
    Some(match column.default.as_ref()? {
        DefaultValue::Now => "now()".to_owned(),
        DefaultValue::Uuid => "gen_random_uuid()".to_owned(),
        DefaultValue::Number => return None,
        DefaultValue::Constant(value) => {
            let mut text = String::new();
            crate::text::print(column.ty, value.datum(), &mut text);
            match column.ty.is_number() || column.ty == SqlType::Boolean {
                true => text,
                false => format!("'{}'::{}", text.replace('\'', "''"), column.ty.bare()),
            }
        }
    })
}

pub(super) fn t(text: impl Into<String>) -> Literal {
    Literal::Text(text.into())
}

pub(super) fn i(number: impl Into<i64>) -> Literal {
    Literal::Int(number.into())
}

pub(super) fn b(value: bool) -> Literal {
    Literal::Bool(value)
}
