//! The tables of information_schema.

use super::pg::{Constraint, TYPES, constraints};
use super::{Column, Made, OWNER_NAME, default_text, i, made, shown, t};
use crate::catalog::{Catalog, ColumnDef, DefaultValue, Object, ObjectKind};
use crate::sql_type::SqlType::{self, Integer as N, Text as T};
use operators::expr::Literal::{self, Null};

/// The table of this name.
pub(super) fn table(catalog: &Catalog, name: &str) -> Option<Made> {
    Some(match name {
        "tables" => tables(catalog),
        "columns" => columns(catalog),
        "table_constraints" => table_constraints(catalog),
        "key_column_usage" => key_column_usage(catalog),
        "schemata" => schemata(),
        "views" => views(catalog),
        "routines" => (vec![("routine_schema", T), ("routine_name", T), ("routine_type", T)], Vec::new()),
        "sequences" => (vec![("sequence_schema", T), ("sequence_name", T)], Vec::new()),
        _ => return None,
    })
}

/// `YES` or `NO`.
fn yes(value: bool) -> Literal {
    t(if value { "YES" } else { "NO" })
}

fn schemata() -> Made {
    let columns: &[Column<&str>] = &[
        ("catalog_name", T, |_| t(OWNER_NAME)),
        ("schema_name", T, |name| t(*name)),
        ("schema_owner", T, |_| t(OWNER_NAME)),
    ];
    made(columns, ["public", "pg_catalog", "information_schema"])
}

/// The objects that information_schema knows: as in PostgreSQL, materialized views are not among them.
fn listed(catalog: &Catalog) -> impl Iterator<Item = &Object> {
    shown(catalog).filter(|object| !matches!(object.kind, ObjectKind::MaterializedView))
}

fn tables(catalog: &Catalog) -> Made {
    let columns: &[Column<&Object>] = &[
        ("table_catalog", T, |_| t(OWNER_NAME)),
        ("table_schema", T, |_| t("public")),
        ("table_name", T, |object| t(object.name.as_str())),
        ("table_type", T, |object| t(if object.table().is_some() { "BASE TABLE" } else { "VIEW" })),
        ("is_insertable_into", T, |object| yes(object.table().is_some())),
    ];
    made(columns, listed(catalog))
}

fn views(catalog: &Catalog) -> Made {
    let columns: &[Column<&Object>] = &[
        ("table_catalog", T, |_| t(OWNER_NAME)),
        ("table_schema", T, |_| t("public")),
        ("table_name", T, |object| t(object.name.as_str())),
        ("view_definition", T, |object| t(super::oid::view_text(object))),
    ];
    made(columns, listed(catalog).filter(|object| object.table().is_none()))
}

/// A column of an object.
struct Listed<'c> {
    object: &'c Object,
    number: i64,
    column: &'c ColumnDef,
}

impl Listed<'_> {
    fn counts(&self) -> bool {
        self.column.default == Some(DefaultValue::Number)
    }

    fn data_type(&self) -> Literal {
        match self.column.ty {
            SqlType::Varchar(_) => t("character varying"),
            SqlType::Char(_) => t("character"),
            ty => t(ty.bare().to_string()),
        }
    }

    fn length(&self) -> Literal {
        match self.column.ty {
            SqlType::Varchar(Some(length)) | SqlType::Char(length) => i(length),
            _ => Null,
        }
    }

    /// Digits, or bits, of a number.
    fn precision(&self) -> Literal {
        match self.column.ty {
            SqlType::SmallInt => i(16),
            SqlType::Integer => i(32),
            SqlType::BigInt => i(64),
            SqlType::Numeric(Some((digits, _))) => i(digits),
            _ => Null,
        }
    }

    fn scale(&self) -> Literal {
        match self.column.ty {
            SqlType::Numeric(Some((_, scale))) => i(scale),
            ty if ty.is_integer() => i(0),
            _ => Null,
        }
    }

    fn type_name(&self) -> Literal {
        let found = TYPES.iter().find(|(oid, ..)| *oid == i64::from(self.column.ty.oid()));
        t(found.map_or("unknown", |(_, name, ..)| *name))
    }
}

fn columns(catalog: &Catalog) -> Made {
    let columns: &[Column<Listed<'_>>] = &[
        ("table_catalog", T, |_| t(OWNER_NAME)),
        ("table_schema", T, |_| t("public")),
        ("table_name", T, |c| t(c.object.name.as_str())),
        ("column_name", T, |c| t(c.column.name.as_str())),
        ("ordinal_position", N, |c| i(c.number)),
        ("column_default", T, |c| default_text(c.column).map_or(Null, t)),
        ("is_nullable", T, |c| yes(c.column.nullable)),
        ("data_type", T, Listed::data_type),
        ("character_maximum_length", N, Listed::length),
        ("numeric_precision", N, Listed::precision),
        ("numeric_scale", N, Listed::scale),
        ("datetime_precision", N, |c| if c.column.ty.is_time() { i(6) } else { Null }),
        ("udt_schema", T, |_| t("pg_catalog")),
        ("udt_name", T, Listed::type_name),
        ("is_identity", T, |c| yes(c.counts())),
        ("identity_generation", T, |c| if c.counts() { t("BY DEFAULT") } else { Null }),
        ("is_generated", T, |_| t("NEVER")),
        ("is_updatable", T, |c| yes(c.object.table().is_some())),
    ];
    let rows = listed(catalog).flat_map(|object| {
        let columns = (1i64..).zip(&object.columns).filter(|(_, column)| !column.is_dropped());
        columns.map(move |(number, column)| Listed { object, number, column })
    });
    made(columns, rows)
}

fn table_constraints(catalog: &Catalog) -> Made {
    let columns: &[Column<Constraint<'_>>] = &[
        ("constraint_catalog", T, |_| t(OWNER_NAME)),
        ("constraint_schema", T, |_| t("public")),
        ("constraint_name", T, |c| t(c.name.as_str())),
        ("table_catalog", T, |_| t(OWNER_NAME)),
        ("table_schema", T, |_| t("public")),
        ("table_name", T, |c| t(c.object.name.as_str())),
        ("constraint_type", T, |c| {
            t(match c.kind {
                "p" => "PRIMARY KEY",
                "c" => "CHECK",
                _ => "FOREIGN KEY",
            })
        }),
        ("is_deferrable", T, |_| yes(false)),
        ("initially_deferred", T, |_| yes(false)),
        ("enforced", T, |c| yes(c.kind != "f")),
    ];
    made(columns, constraints(catalog))
}

fn key_column_usage(catalog: &Catalog) -> Made {
    let columns: &[Column<(&Object, String, i64, u16)>] = &[
        ("constraint_catalog", T, |_| t(OWNER_NAME)),
        ("constraint_schema", T, |_| t("public")),
        ("constraint_name", T, |(_, name, ..)| t(name.as_str())),
        ("table_catalog", T, |_| t(OWNER_NAME)),
        ("table_schema", T, |_| t("public")),
        ("table_name", T, |(object, ..)| t(object.name.as_str())),
        ("column_name", T, |(object, .., at)| t(object.columns[usize::from(*at)].name.as_str())),
        ("ordinal_position", N, |(.., number, _)| i(*number)),
        ("position_in_unique_constraint", N, |_| Null),
    ];
    let rows = constraints(catalog).flat_map(|Constraint { object, name, columns, .. }| {
        (1i64..).zip(columns).map(move |(number, at)| (object, name.clone(), number, at))
    });
    made(columns, rows)
}
