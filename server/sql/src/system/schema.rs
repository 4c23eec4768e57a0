//! The tables of information_schema.

use super::pg::{Constraint, Made, constraints};
use super::{OWNER_NAME, default_text, i, shown, t};
use crate::catalog::{Catalog, DefaultValue, ObjectKind};
use crate::sql_type::SqlType::{self, Integer as N, Text as T};
use operators::expr::Literal::Null;

/// The table of this name.
pub(super) fn table(catalog: &Catalog, name: &str) -> Option<Made> {
    Some(match name {
        "tables" => tables(catalog),
        "columns" => columns(catalog),
        "table_constraints" => table_constraints(catalog),
        "key_column_usage" => key_column_usage(catalog),
        "schemata" => (
            vec![("catalog_name", T), ("schema_name", T), ("schema_owner", T)],
            ["public", "pg_catalog", "information_schema"]
                .map(|name| vec![t(OWNER_NAME), t(name), t(OWNER_NAME)])
                .to_vec(),
        ),
        "views" => {
            let views = shown(catalog).filter(|object| matches!(object.kind, ObjectKind::View { .. }));
            let rows = views.map(|object| {
                let text = super::rewrite::view_text(object);
                vec![t(OWNER_NAME), t("public"), t(object.name.as_str()), t(text)]
            });
            let columns =
                vec![("table_catalog", T), ("table_schema", T), ("table_name", T), ("view_definition", T)];
            (columns, rows.collect())
        }
        "routines" => (vec![("routine_schema", T), ("routine_name", T), ("routine_type", T)], Vec::new()),
        "sequences" => (vec![("sequence_schema", T), ("sequence_name", T)], Vec::new()),
        _ => return None,
    })
}

fn tables(catalog: &Catalog) -> Made {
    let columns = vec![
        ("table_catalog", T),
        ("table_schema", T),
        ("table_name", T),
        ("table_type", T),
        ("is_insertable_into", T),
    ];
    // As in PostgreSQL, materialized views are not among them.
    let rows = shown(catalog).filter_map(|object| {
        let (kind, writable) = match object.kind {
            ObjectKind::Table { .. } => ("BASE TABLE", "YES"),
            ObjectKind::View { .. } => ("VIEW", "NO"),
            ObjectKind::MaterializedView => return None,
        };
        Some(vec![t(OWNER_NAME), t("public"), t(object.name.as_str()), t(kind), t(writable)])
    });
    (columns, rows.collect())
}

fn columns(catalog: &Catalog) -> Made {
    let names = vec![
        ("table_catalog", T),
        ("table_schema", T),
        ("table_name", T),
        ("column_name", T),
        ("ordinal_position", N),
        ("column_default", T),
        ("is_nullable", T),
        ("data_type", T),
        ("character_maximum_length", N),
        ("numeric_precision", N),
        ("numeric_scale", N),
        ("datetime_precision", N),
        ("udt_schema", T),
        ("udt_name", T),
        ("is_identity", T),
        ("identity_generation", T),
        ("is_generated", T),
        ("is_updatable", T),
    ];
    let mut rows = Vec::new();
    let listed = shown(catalog).filter(|object| !matches!(object.kind, ObjectKind::MaterializedView));
    for object in listed {
        let is_table = if object.table().is_some() { "YES" } else { "NO" };
        for (number, column) in (1i64..).zip(&object.columns) {
            let counts = column.default == Some(DefaultValue::Number);
            let length = match column.ty {
                SqlType::Varchar(Some(length)) | SqlType::Char(length) => i(length),
                _ => Null,
            };
            let (precision, scale) = match column.ty {
                SqlType::SmallInt => (i(16), i(0)),
                SqlType::Integer => (i(32), i(0)),
                SqlType::BigInt => (i(64), i(0)),
                SqlType::Numeric(Some((digits, scale))) => (i(digits), i(scale)),
                _ => (Null, Null),
            };
            let udt = super::pg::TYPES.iter().find(|(oid, ..)| *oid == i64::from(column.ty.oid()));
            let data_type = match column.ty {
                SqlType::Varchar(_) => "character varying".to_owned(),
                SqlType::Char(_) => "character".to_owned(),
                ty => ty.bare().to_string(),
            };
            rows.push(vec![
                t(OWNER_NAME),
                t("public"),
                t(object.name.as_str()),
                t(column.name.as_str()),
                i(number),
                default_text(column).map_or(Null, t),
                t(if column.nullable { "YES" } else { "NO" }),
                t(data_type),
                length,
                precision,
                scale,
                if column.ty.is_time() { i(6) } else { Null },
                t("pg_catalog"),
                t(udt.map_or("unknown", |(_, name, ..)| *name)),
                t(if counts { "YES" } else { "NO" }),
                if counts { t("BY DEFAULT") } else { Null },
                t("NEVER"),
                t(is_table),
            ]);
        }
    }
    (names, rows)
}

fn table_constraints(catalog: &Catalog) -> Made {
    let columns = vec![
        ("constraint_catalog", T),
        ("constraint_schema", T),
        ("constraint_name", T),
        ("table_catalog", T),
        ("table_schema", T),
        ("table_name", T),
        ("constraint_type", T),
        ("is_deferrable", T),
        ("initially_deferred", T),
        ("enforced", T),
    ];
    let rows = constraints(catalog).into_iter().map(|constraint| {
        let Constraint { object, name, kind, .. } = constraint;
        let (kind, enforced) = match kind {
            "p" => ("PRIMARY KEY", "YES"),
            "c" => ("CHECK", "YES"),
            _ => ("FOREIGN KEY", "NO"),
        };
        let database = || t(OWNER_NAME);
        vec![
            database(),
            t("public"),
            t(name),
            database(),
            t("public"),
            t(object.name.as_str()),
            t(kind),
            t("NO"),
            t("NO"),
            t(enforced),
        ]
    });
    (columns, rows.collect())
}

fn key_column_usage(catalog: &Catalog) -> Made {
    let columns = vec![
        ("constraint_catalog", T),
        ("constraint_schema", T),
        ("constraint_name", T),
        ("table_catalog", T),
        ("table_schema", T),
        ("table_name", T),
        ("column_name", T),
        ("ordinal_position", N),
        ("position_in_unique_constraint", N),
    ];
    let mut rows = Vec::new();
    for Constraint { object, name, columns: key, .. } in constraints(catalog) {
        for (number, at) in (1i64..).zip(key) {
            let column = &object.columns[usize::from(at)].name;
            rows.push(vec![
                t(OWNER_NAME),
                t("public"),
                t(name.as_str()),
                t(OWNER_NAME),
                t("public"),
                t(object.name.as_str()),
                t(column.as_str()),
                i(number),
                Null,
            ]);
        }
    }
    (columns, rows)
}
