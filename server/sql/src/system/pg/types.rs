//! pg_type.

use crate::sql_type::Element;
use crate::sql_type::SqlType::{self, BigInt as I, Boolean as B, Integer as N, SmallInt as S, Text as T};
use crate::system::{Column, Made, OWNER, PG_CATALOG, b, i, made, t};
use operators::expr::Literal::Null;

/// The types: number, name, number of the array of it, category.
pub(in crate::system) const TYPES: &[(i64, &str, i64, &str)] = &[
    (16, "bool", 1000, "B"),
    (17, "bytea", 1001, "U"),
    (18, "char", 1002, "Z"),
    (19, "name", 1003, "S"),
    (20, "int8", 1016, "N"),
    (21, "int2", 1005, "N"),
    (23, "int4", 1007, "N"),
    (25, "text", 1009, "S"),
    (26, "oid", 1028, "N"),
    (114, "json", 199, "U"),
    (700, "float4", 1021, "N"),
    (701, "float8", 1022, "N"),
    (705, "unknown", 0, "X"),
    (1042, "bpchar", 1014, "S"),
    (1043, "varchar", 1015, "S"),
    (1082, "date", 1182, "D"),
    (1083, "time", 1183, "D"),
    (1114, "timestamp", 1115, "D"),
    (1184, "timestamptz", 1185, "D"),
    (1186, "interval", 1187, "T"),
    (1700, "numeric", 1231, "N"),
    (2205, "regclass", 2210, "N"),
    (2206, "regtype", 2211, "N"),
    (2278, "void", 0, "P"),
    (2950, "uuid", 2951, "U"),
    (3802, "jsonb", 3807, "U"),
];

/// A type, or the type of its arrays.
struct Shown {
    oid: i64,
    name: String,
    category: &'static str,
    /// The type of the elements, if it is one of arrays.
    element: i64,
    array: i64,
}

impl Shown {
    fn size(&self) -> i64 {
        let known = u32::try_from(self.oid).ok().and_then(SqlType::from_oid);
        known.map_or(-1, |ty| ty.size().into())
    }

    /// The name of a function that reads it.
    fn function(&self, what: &str) -> String {
        if self.element == 0 { format!("{}{what}", self.name) } else { format!("array_{what}") }
    }
}

fn all() -> impl Iterator<Item = Shown> {
    TYPES.iter().flat_map(|(oid, name, array, category)| {
        let own = Shown { oid: *oid, name: (*name).to_owned(), category, element: 0, array: *array };
        let arrays = Shown { oid: *array, name: format!("_{name}"), category: "A", element: *oid, array: 0 };
        [Some(own), (*array != 0).then_some(arrays)].into_iter().flatten()
    })
}

pub(super) fn pg_type() -> Made {
    let columns: &[Column<Shown>] = &[
        ("oid", I, |ty| i(ty.oid)),
        ("typname", T, |ty| t(ty.name.as_str())),
        ("typnamespace", I, |_| i(PG_CATALOG)),
        ("typowner", I, |_| i(OWNER)),
        ("typlen", S, |ty| i(ty.size())),
        ("typbyval", B, |ty| b(ty.size() > 0)),
        ("typtype", T, |ty| t(if ty.category == "P" { "p" } else { "b" })),
        ("typcategory", T, |ty| t(ty.category)),
        ("typispreferred", B, |_| b(false)),
        ("typisdefined", B, |_| b(true)),
        ("typdelim", T, |_| t(",")),
        ("typrelid", I, |_| i(0)),
        ("typsubscript", T, |_| t("-")),
        ("typelem", I, |ty| i(ty.element)),
        ("typarray", I, |ty| i(ty.array)),
        ("typinput", T, |ty| t(ty.function("in"))),
        ("typoutput", T, |_| t("-")),
        ("typreceive", T, |ty| t(ty.function("recv"))),
        ("typsend", T, |_| t("-")),
        ("typalign", T, |_| t("i")),
        ("typstorage", T, |_| t("x")),
        ("typnotnull", B, |_| b(false)),
        ("typbasetype", I, |_| i(0)),
        ("typtypmod", N, |_| i(-1)),
        ("typndims", N, |_| i(0)),
        ("typcollation", I, |ty| i(if ty.category == "S" { 100 } else { 0 })),
        ("typdefault", T, |_| Null),
        ("typacl", SqlType::Array(Element::Text), |_| Null),
    ];
    made(columns, all())
}
