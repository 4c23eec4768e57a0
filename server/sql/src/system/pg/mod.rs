//! The tables of pg_catalog.

mod empty;
mod relations;
mod types;

pub(super) use empty::is_empty;
pub(super) use relations::{Constraint, constraints};
pub(super) use types::TYPES;

use super::{
    Column, FIRST_OID, INFORMATION_SCHEMA, Made, OWNER, OWNER_NAME, PG_CATALOG, PUBLIC, b, i, index_name,
    indexes, made, shown, t,
};
use crate::catalog::{AccessPath, Catalog, Object};
use crate::role::Role;
use crate::sql_type::Element;
use crate::sql_type::SqlType::{self, BigInt as I, Boolean as B, Integer as N, Text as T};
use operators::expr::Literal::Null;

const TEXTS: SqlType = SqlType::Array(Element::Text);
/// How the rows of tables and of materialized views are said to be kept.
const HEAP: i64 = 2;
/// How keys are said to be found.
const HASH: i64 = 405;
const BTREE: i64 = 403;

/// The table of this name.
pub(super) fn table(catalog: &Catalog, name: &str) -> Option<Made> {
    Some(match name {
        "pg_class" => relations::pg_class(catalog),
        "pg_attribute" => relations::pg_attribute(catalog),
        "pg_index" => relations::pg_index(catalog),
        "pg_constraint" => relations::pg_constraint(catalog),
        "pg_attrdef" => relations::pg_attrdef(catalog),
        "pg_type" => types::pg_type(),
        "pg_namespace" => pg_namespace(),
        "pg_am" => pg_am(),
        "pg_roles" | "pg_authid" => pg_roles(catalog),
        "pg_user" => pg_user(catalog),
        "pg_database" => pg_database(),
        "pg_settings" => pg_settings(),
        "pg_tables" => pg_tables(catalog),
        "pg_indexes" => pg_indexes(catalog),
        "pg_description" => pg_description(catalog),
        "pg_views" => views(catalog, "v", "viewname"),
        "pg_matviews" => views(catalog, "m", "matviewname"),
        _ => (empty::columns(name)?.to_vec(), Vec::new()),
    })
}

fn pg_namespace() -> Made {
    let columns: &[Column<(i64, &str)>] = &[
        ("oid", I, |(oid, _)| i(*oid)),
        ("nspname", T, |(_, name)| t(*name)),
        ("nspowner", I, |_| i(OWNER)),
        ("nspacl", TEXTS, |_| Null),
    ];
    let names = [(PG_CATALOG, "pg_catalog"), (PUBLIC, "public"), (INFORMATION_SCHEMA, "information_schema")];
    made(columns, names)
}

fn pg_am() -> Made {
    let columns: &[Column<(i64, &str, &str)>] = &[
        ("oid", I, |(oid, ..)| i(*oid)),
        ("amname", T, |(_, name, _)| t(*name)),
        ("amhandler", T, |_| t("-")),
        ("amtype", T, |(.., kind)| t(*kind)),
    ];
    made(columns, [(HEAP, "heap", "t"), (BTREE, "btree", "i"), (HASH, "hash", "i")])
}

fn role_oid(role: &Role) -> i64 {
    if role.number == 0 { OWNER } else { FIRST_OID + i64::from(role.number) }
}

/// The roles; nobody is shown what is kept of a password.
fn pg_roles(catalog: &Catalog) -> Made {
    let columns: &[Column<&Role>] = &[
        ("oid", I, |role| i(role_oid(role))),
        ("rolname", T, |role| t(role.name.as_str())),
        ("rolsuper", B, |role| b(role.is_superuser)),
        ("rolinherit", B, |_| b(true)),
        ("rolcreaterole", B, |role| b(role.is_superuser)),
        ("rolcreatedb", B, |role| b(role.is_superuser)),
        ("rolcanlogin", B, |role| b(role.can_login)),
        ("rolreplication", B, |_| b(false)),
        ("rolconnlimit", N, |_| i(-1)),
        ("rolpassword", T, |_| t("********")),
        ("rolvaliduntil", T, |_| Null),
        ("rolbypassrls", B, |_| b(false)),
        ("rolconfig", TEXTS, |_| Null),
    ];
    made(columns, catalog.roles().iter())
}

fn pg_user(catalog: &Catalog) -> Made {
    let columns: &[Column<&Role>] = &[
        ("usename", T, |role| t(role.name.as_str())),
        ("usesysid", I, |role| i(role_oid(role))),
        ("usecreatedb", B, |role| b(role.is_superuser)),
        ("usesuper", B, |role| b(role.is_superuser)),
        ("userepl", B, |_| b(false)),
        ("usebypassrls", B, |_| b(false)),
        ("passwd", T, |_| t("********")),
        ("valuntil", T, |_| Null),
        ("useconfig", TEXTS, |_| Null),
    ];
    made(columns, catalog.roles().iter().filter(|role| role.can_login))
}

/// What tables, views and columns are said to be.
fn pg_description(catalog: &Catalog) -> Made {
    const PG_CLASS: i64 = 1259;
    let columns: &[Column<(i64, i64, &str)>] = &[
        ("objoid", I, |(oid, ..)| i(*oid)),
        ("classoid", I, |_| i(PG_CLASS)),
        ("objsubid", N, |(_, column, _)| i(*column)),
        ("description", T, |(.., text)| t(*text)),
    ];
    made(columns, super::comments(catalog))
}

fn pg_database() -> Made {
    let columns: &[Column<()>] = &[
        ("oid", I, |()| i(1)),
        ("datname", T, |()| t(OWNER_NAME)),
        ("datdba", I, |()| i(OWNER)),
        ("encoding", N, |()| i(6)),
        ("datlocprovider", T, |()| t("c")),
        ("datistemplate", B, |()| b(false)),
        ("datallowconn", B, |()| b(true)),
        ("datconnlimit", N, |()| i(-1)),
        ("dattablespace", I, |()| i(1663)),
        ("datcollate", T, |()| t("C")),
        ("datctype", T, |()| t("C")),
        ("daticulocale", T, |()| Null),
        ("datcollversion", T, |()| Null),
        ("datacl", TEXTS, |()| Null),
    ];
    made(columns, [()])
}

/// Settings that `current_setting` knows.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("integer_datetimes", "on"),
    ("IntervalStyle", "postgres"),
    ("lc_collate", "C"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", "15.0"),
    ("server_version_num", "150000"),
    ("standard_conforming_strings", "on"),
    ("TimeZone", "UTC"),
    ("transaction_isolation", "read committed"),
];

fn pg_settings() -> Made {
    let columns: &[Column<(&str, &str)>] = &[
        ("name", T, |(name, _)| t(*name)),
        ("setting", T, |(_, value)| t(*value)),
        ("unit", T, |_| Null),
        ("category", T, |_| t("")),
        ("short_desc", T, |_| t("")),
        ("context", T, |_| t("user")),
        ("vartype", T, |_| t("string")),
        ("source", T, |_| t("default")),
        ("boot_val", T, |(_, value)| t(*value)),
        ("reset_val", T, |(_, value)| t(*value)),
    ];
    made(columns, SETTINGS.iter().copied())
}

fn of_kind<'c>(catalog: &'c Catalog, wanted: &'static str) -> impl Iterator<Item = &'c Object> {
    shown(catalog).filter(move |object| relations::kind(object) == wanted)
}

fn pg_tables(catalog: &Catalog) -> Made {
    let columns: &[Column<&Object>] = &[
        ("schemaname", T, |_| t("public")),
        ("tablename", T, |object| t(object.name.as_str())),
        ("tableowner", T, |_| t(OWNER_NAME)),
        ("tablespace", T, |_| Null),
        ("hasindexes", B, |_| b(true)),
        ("hasrules", B, |_| b(false)),
        ("hastriggers", B, |_| b(false)),
        ("rowsecurity", B, |_| b(false)),
    ];
    made(columns, of_kind(catalog, "r"))
}

fn pg_indexes(catalog: &Catalog) -> Made {
    let columns: &[Column<(&Object, &AccessPath)>] = &[
        ("schemaname", T, |_| t("public")),
        ("tablename", T, |(object, _)| t(object.name.as_str())),
        ("indexname", T, |(object, path)| t(index_name(object, path))),
        ("tablespace", T, |_| Null),
        ("indexdef", T, |(object, path)| t(super::oid::index_text(object, path))),
    ];
    made(columns, indexes(catalog))
}

/// Views of a kind; `name` is what the column of their names is called.
fn views(catalog: &Catalog, kind: &'static str, name: &'static str) -> Made {
    let columns: &[Column<&Object>] = &[
        ("schemaname", T, |_| t("public")),
        (name, T, |object| t(object.name.as_str())),
        ("definition", T, |object| t(super::oid::view_text(object))),
    ];
    made(columns, of_kind(catalog, kind))
}
