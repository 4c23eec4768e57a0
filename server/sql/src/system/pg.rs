//! The tables of pg_catalog.

use super::{
    INFORMATION_SCHEMA, OWNER, OWNER_NAME, PG_CATALOG, PUBLIC, b, default_text, i, index_name, index_oid,
    indexes, key_names, object_oid, shown, t,
};
use crate::catalog::{Catalog, DefaultValue, Object, ObjectKind};
use crate::sql_type::Element;
use crate::sql_type::SqlType::{self, BigInt as I, Boolean as B, Integer as N, SmallInt as S, Text as T};
use operators::expr::Literal;
use operators::expr::Literal::Null;

pub(super) type Made = (Vec<(&'static str, SqlType)>, Vec<Vec<Literal>>);

/// The table of this name.
pub(super) fn table(catalog: &Catalog, name: &str) -> Option<Made> {
    Some(match name {
        "pg_class" => pg_class(catalog),
        "pg_attribute" => pg_attribute(catalog),
        "pg_index" => pg_index(catalog),
        "pg_constraint" => pg_constraint(catalog),
        "pg_attrdef" => pg_attrdef(catalog),
        "pg_type" => pg_type(),
        "pg_namespace" => (
            vec![("oid", I), ("nspname", T), ("nspowner", I), ("nspacl", T)],
            [(PG_CATALOG, "pg_catalog"), (PUBLIC, "public"), (INFORMATION_SCHEMA, "information_schema")]
                .map(|(oid, name)| vec![i(oid), t(name), i(OWNER), Null])
                .to_vec(),
        ),
        "pg_am" => (
            vec![("oid", I), ("amname", T), ("amhandler", T), ("amtype", T)],
            vec![
                vec![i(2), t("heap"), t("-"), t("t")],
                vec![i(403), t("btree"), t("-"), t("i")],
                vec![i(405), t("hash"), t("-"), t("i")],
            ],
        ),
        "pg_roles" | "pg_authid" | "pg_user" => roles(name),
        "pg_database" => pg_database(),
        "pg_settings" => pg_settings(),
        "pg_tables" | "pg_views" | "pg_matviews" | "pg_indexes" => listed(catalog, name),
        _ => (empty(name)?.to_vec(), Vec::new()),
    })
}

fn kind(object: &Object) -> &'static str {
    match object.kind {
        ObjectKind::Table { .. } => "r",
        ObjectKind::MaterializedView => "m",
        ObjectKind::View { .. } => "v",
    }
}

fn pg_class(catalog: &Catalog) -> Made {
    let columns = vec![
        ("oid", I),
        ("relname", T),
        ("relnamespace", I),
        ("reltype", I),
        ("reloftype", I),
        ("relowner", I),
        ("relam", I),
        ("relfilenode", I),
        ("reltablespace", I),
        ("relpages", N),
        ("reltuples", N),
        ("relallvisible", N),
        ("reltoastrelid", I),
        ("relhasindex", B),
        ("relisshared", B),
        ("relpersistence", T),
        ("relkind", T),
        ("relnatts", S),
        ("relchecks", S),
        ("relhasrules", B),
        ("relhastriggers", B),
        ("relhassubclass", B),
        ("relrowsecurity", B),
        ("relforcerowsecurity", B),
        ("relispopulated", B),
        ("relreplident", T),
        ("relispartition", B),
        ("relrewrite", I),
        ("relacl", T),
        ("reloptions", T),
        ("relpartbound", T),
    ];
    let row = |oid: i64, name: &str, kind: &str, width: usize, checks: usize, indexed: bool| {
        let am = match kind {
            "r" | "m" => 2,
            "i" => 405,
            _ => 0,
        };
        vec![
            i(oid),
            t(name),
            i(PUBLIC),
            i(0),
            i(0),
            i(OWNER),
            i(am),
            i(oid),
            i(0),
            i(0),
            i(-1),
            i(0),
            i(0),
            b(indexed),
            b(false),
            t("p"),
            t(kind),
            i(width as i64),
            i(checks as i64),
            b(false),
            b(false),
            b(false),
            b(false),
            b(false),
            b(true),
            t("d"),
            b(false),
            i(0),
            Null,
            Null,
            Null,
        ]
    };
    let objects = shown(catalog).map(|object| {
        let indexed = object.paths.iter().any(|path| !path.key.is_empty());
        row(
            object_oid(object),
            &object.name,
            kind(object),
            object.columns.len(),
            object.checks.len(),
            indexed,
        )
    });
    let paths = indexes(catalog)
        .map(|(object, path)| row(index_oid(path), &index_name(object, path), "i", path.key.len(), 0, false));
    (columns, objects.chain(paths).collect())
}

fn pg_attribute(catalog: &Catalog) -> Made {
    let columns = vec![
        ("attrelid", I),
        ("attname", T),
        ("atttypid", I),
        ("attstattarget", N),
        ("attlen", S),
        ("attnum", S),
        ("attndims", N),
        ("attcacheoff", N),
        ("atttypmod", N),
        ("attbyval", B),
        ("attalign", T),
        ("attstorage", T),
        ("attcompression", T),
        ("attnotnull", B),
        ("atthasdef", B),
        ("atthasmissing", B),
        ("attidentity", T),
        ("attgenerated", T),
        ("attisdropped", B),
        ("attislocal", B),
        ("attinhcount", N),
        ("attcollation", I),
        ("attacl", T),
        ("attoptions", T),
        ("attfdwoptions", T),
        ("attmissingval", T),
    ];
    let row = |oid: i64, number: usize, column: &crate::catalog::ColumnDef, in_index: bool| {
        let counts = column.default == Some(DefaultValue::Number);
        let has_default = !in_index && default_text(column).is_some();
        vec![
            i(oid),
            t(column.name.as_str()),
            i(column.ty.oid()),
            i(-1),
            i(column.ty.size()),
            i(number as i64 + 1),
            i(0),
            i(-1),
            i(column.ty.modifier()),
            b(column.ty.size() > 0),
            t("d"),
            t("x"),
            t(""),
            b(!column.nullable && !in_index),
            b(has_default),
            b(false),
            t(if counts && !in_index { "d" } else { "" }),
            t(""),
            b(false),
            b(true),
            i(0),
            i(if column.ty.is_text() { 100 } else { 0 }),
            Null,
            Null,
            Null,
            Null,
        ]
    };
    let mut rows = Vec::new();
    for object in shown(catalog) {
        let columns = object.columns.iter().enumerate();
        rows.extend(columns.map(|(at, column)| row(object_oid(object), at, column, false)));
    }
    for (object, path) in indexes(catalog) {
        let key = path.key.iter().filter_map(|at| object.columns.get(usize::from(*at))).enumerate();
        rows.extend(key.map(|(at, column)| row(index_oid(path), at, column, true)));
    }
    (columns, rows)
}

fn numbers(key: &[u16]) -> String {
    let numbers: Vec<String> = key.iter().map(|at| (at + 1).to_string()).collect();
    numbers.join(" ")
}

fn pg_index(catalog: &Catalog) -> Made {
    let columns = vec![
        ("indexrelid", I),
        ("indrelid", I),
        ("indnatts", S),
        ("indnkeyatts", S),
        ("indisunique", B),
        ("indisprimary", B),
        ("indisexclusion", B),
        ("indimmediate", B),
        ("indisclustered", B),
        ("indisvalid", B),
        ("indcheckxmin", B),
        ("indisready", B),
        ("indislive", B),
        ("indisreplident", B),
        ("indnullsnotdistinct", B),
        ("indkey", T),
        ("indcollation", T),
        ("indclass", T),
        ("indoption", T),
        ("indexprs", T),
        ("indpred", T),
    ];
    let rows = indexes(catalog).map(|(object, path)| {
        let primary = object.table().is_some() && path.name == object.name;
        let width = path.key.len() as i64;
        let zeros = || t(vec!["0"; path.key.len()].join(" "));
        vec![
            i(index_oid(path)),
            i(object_oid(object)),
            i(width),
            i(width),
            b(primary),
            b(primary),
            b(false),
            b(true),
            b(false),
            b(true),
            b(false),
            b(true),
            b(true),
            b(false),
            b(false),
            t(numbers(&path.key)),
            zeros(),
            zeros(),
            zeros(),
            Null,
            Null,
        ]
    });
    (columns, rows.collect())
}

/// A constraint as pg_constraint shows it.
pub(super) struct Constraint<'c> {
    pub oid: i64,
    pub object: &'c Object,
    pub name: String,
    /// `p` for a primary key, `c` for a CHECK, `f` for a foreign key.
    pub kind: &'static str,
    /// Columns of the object, in the order of the constraint.
    pub columns: Vec<u16>,
    /// As it would stand in a definition.
    pub text: String,
}

/// The constraints of all objects that are shown.
pub(super) fn constraints(catalog: &Catalog) -> Vec<Constraint<'_>> {
    let mut found = Vec::new();
    for object in shown(catalog) {
        let oid = object_oid(object) * 64;
        if let Some((_, key)) = object.table() {
            let text = format!("PRIMARY KEY ({})", key_names(object, key));
            let name = format!("{}_pkey", object.name);
            found.push(Constraint { oid, object, name, kind: "p", columns: key.to_vec(), text });
        }
        for (at, check) in (1i64..).zip(&object.checks) {
            let text = format!("CHECK (({}))", check.condition);
            let name = check.name.clone();
            found.push(Constraint { oid: oid + at, object, name, kind: "c", columns: Vec::new(), text });
        }
        for (at, reference) in (32i64..).zip(&object.references) {
            let (name, text) = (reference.name.clone(), reference.text.clone());
            let columns = reference.columns.clone();
            found.push(Constraint { oid: oid + at, object, name, kind: "f", columns, text });
        }
    }
    found
}

fn pg_constraint(catalog: &Catalog) -> Made {
    let columns = vec![
        ("oid", I),
        ("conname", T),
        ("connamespace", I),
        ("contype", T),
        ("condeferrable", B),
        ("condeferred", B),
        ("convalidated", B),
        ("conrelid", I),
        ("contypid", I),
        ("conindid", I),
        ("conparentid", I),
        ("confrelid", I),
        ("confupdtype", T),
        ("confdeltype", T),
        ("confmatchtype", T),
        ("conislocal", B),
        ("coninhcount", N),
        ("connoinherit", B),
        ("conkey", SqlType::Array(Element::SmallInt)),
        ("confkey", SqlType::Array(Element::SmallInt)),
        ("conexclop", T),
        ("conbin", T),
    ];
    let rows = constraints(catalog).into_iter().map(|constraint| {
        let Constraint { oid, object, name, kind, columns: key, text } = constraint;
        let index = match (kind, object.paths.first()) {
            ("p", Some(path)) => index_oid(path),
            _ => 0,
        };
        let reference = object.references.iter().find(|reference| kind == "f" && reference.name == name);
        let other = reference.and_then(|reference| catalog.find(&reference.table)).map_or(0, object_oid);
        let list = format!("{{{}}}", numbers(&key).replace(' ', ","));
        let action = if kind == "f" { "a" } else { " " };
        vec![
            i(oid),
            t(name),
            i(PUBLIC),
            t(kind),
            b(false),
            b(false),
            b(kind != "f"),
            i(object_oid(object)),
            i(0),
            i(index),
            i(0),
            i(other),
            t(action),
            t(action),
            t(if kind == "f" { "s" } else { " " }),
            b(true),
            i(0),
            b(true),
            t(list),
            Null,
            Null,
            if kind == "c" { t(text) } else { Null },
        ]
    });
    (columns, rows.collect())
}

fn pg_attrdef(catalog: &Catalog) -> Made {
    let columns = vec![("oid", I), ("adrelid", I), ("adnum", S), ("adbin", T)];
    let mut rows = Vec::new();
    for object in shown(catalog) {
        for (at, column) in (1i64..).zip(&object.columns) {
            if let Some(text) = default_text(column) {
                let oid = object_oid(object);
                rows.push(vec![i(oid * 2048 + at), i(oid), i(at), t(text)]);
            }
        }
    }
    (columns, rows)
}

/// The types: number, name, number of the array of it, category.
pub(super) const TYPES: &[(i64, &str, i64, &str)] = &[
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

fn pg_type() -> Made {
    let columns = vec![
        ("oid", I),
        ("typname", T),
        ("typnamespace", I),
        ("typowner", I),
        ("typlen", S),
        ("typbyval", B),
        ("typtype", T),
        ("typcategory", T),
        ("typispreferred", B),
        ("typisdefined", B),
        ("typdelim", T),
        ("typrelid", I),
        ("typsubscript", T),
        ("typelem", I),
        ("typarray", I),
        ("typinput", T),
        ("typoutput", T),
        ("typreceive", T),
        ("typsend", T),
        ("typalign", T),
        ("typstorage", T),
        ("typnotnull", B),
        ("typbasetype", I),
        ("typtypmod", N),
        ("typndims", N),
        ("typcollation", I),
        ("typdefault", T),
        ("typacl", T),
    ];
    let row = |oid: i64, name: String, category: &str, element: i64, array: i64| {
        let size = u32::try_from(oid).ok().and_then(SqlType::from_oid).map_or(-1, SqlType::size);
        let input = if element == 0 { format!("{name}in") } else { "array_in".to_owned() };
        let receive = if element == 0 { format!("{name}recv") } else { "array_recv".to_owned() };
        vec![
            i(oid),
            t(name),
            i(PG_CATALOG),
            i(OWNER),
            i(size),
            b(size > 0),
            t(if category == "P" { "p" } else { "b" }),
            t(category),
            b(false),
            b(true),
            t(","),
            i(0),
            t("-"),
            i(element),
            i(array),
            t(input.as_str()),
            t("-"),
            t(receive),
            t("-"),
            t("i"),
            t("x"),
            b(false),
            i(0),
            i(-1),
            i(0),
            i(if category == "S" { 100 } else { 0 }),
            Null,
            Null,
        ]
    };
    let mut rows = Vec::new();
    for (oid, name, array, category) in TYPES {
        rows.push(row(*oid, (*name).to_owned(), category, 0, *array));
        if *array != 0 {
            rows.push(row(*array, format!("_{name}"), "A", *oid, 0));
        }
    }
    (columns, rows)
}

fn roles(name: &str) -> Made {
    if name == "pg_user" {
        let columns = vec![
            ("usename", T),
            ("usesysid", I),
            ("usecreatedb", B),
            ("usesuper", B),
            ("userepl", B),
            ("usebypassrls", B),
            ("passwd", T),
            ("valuntil", T),
            ("useconfig", T),
        ];
        let row =
            vec![t(OWNER_NAME), i(OWNER), b(true), b(true), b(false), b(false), t("********"), Null, Null];
        return (columns, vec![row]);
    }
    let columns = vec![
        ("oid", I),
        ("rolname", T),
        ("rolsuper", B),
        ("rolinherit", B),
        ("rolcreaterole", B),
        ("rolcreatedb", B),
        ("rolcanlogin", B),
        ("rolreplication", B),
        ("rolconnlimit", N),
        ("rolpassword", T),
        ("rolvaliduntil", T),
        ("rolbypassrls", B),
        ("rolconfig", T),
    ];
    let row = vec![
        i(OWNER),
        t(OWNER_NAME),
        b(true),
        b(true),
        b(true),
        b(true),
        b(true),
        b(false),
        i(-1),
        t("********"),
        Null,
        b(false),
        Null,
    ];
    (columns, vec![row])
}

fn pg_database() -> Made {
    let columns = vec![
        ("oid", I),
        ("datname", T),
        ("datdba", I),
        ("encoding", N),
        ("datlocprovider", T),
        ("datistemplate", B),
        ("datallowconn", B),
        ("datconnlimit", N),
        ("dattablespace", I),
        ("datcollate", T),
        ("datctype", T),
        ("daticulocale", T),
        ("datcollversion", T),
        ("datacl", T),
    ];
    let row = vec![
        i(1),
        t(OWNER_NAME),
        i(OWNER),
        i(6),
        t("c"),
        b(false),
        b(true),
        i(-1),
        i(1663),
        t("C"),
        t("C"),
        Null,
        Null,
        Null,
    ];
    (columns, vec![row])
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
    let columns = vec![
        ("name", T),
        ("setting", T),
        ("unit", T),
        ("category", T),
        ("short_desc", T),
        ("context", T),
        ("vartype", T),
        ("source", T),
        ("boot_val", T),
        ("reset_val", T),
    ];
    let rows = SETTINGS.iter().map(|(name, value)| {
        vec![
            t(*name),
            t(*value),
            Null,
            t(""),
            t(""),
            t("user"),
            t("string"),
            t("default"),
            t(*value),
            t(*value),
        ]
    });
    (columns, rows.collect())
}

fn listed(catalog: &Catalog, name: &str) -> Made {
    let of_kind = |wanted: &'static str| shown(catalog).filter(move |object| kind(object) == wanted);
    match name {
        "pg_tables" => (
            vec![
                ("schemaname", T),
                ("tablename", T),
                ("tableowner", T),
                ("tablespace", T),
                ("hasindexes", B),
                ("hasrules", B),
                ("hastriggers", B),
                ("rowsecurity", B),
            ],
            of_kind("r")
                .map(|object| {
                    vec![
                        t("public"),
                        t(object.name.as_str()),
                        t(OWNER_NAME),
                        Null,
                        b(true),
                        b(false),
                        b(false),
                        b(false),
                    ]
                })
                .collect(),
        ),
        "pg_indexes" => (
            vec![("schemaname", T), ("tablename", T), ("indexname", T), ("tablespace", T), ("indexdef", T)],
            indexes(catalog)
                .map(|(object, path)| {
                    let text = super::rewrite::index_text(object, path);
                    vec![t("public"), t(object.name.as_str()), t(index_name(object, path)), Null, t(text)]
                })
                .collect(),
        ),
        _ => {
            let (wanted, own) = if name == "pg_views" { ("v", "viewname") } else { ("m", "matviewname") };
            (
                vec![("schemaname", T), (own, T), ("definition", T)],
                of_kind(wanted)
                    .map(|object| {
                        let text = super::rewrite::view_text(object);
                        vec![t("public"), t(object.name.as_str()), t(text)]
                    })
                    .collect(),
            )
        }
    }
}

/// Whether the table of this name never has rows.
pub(super) fn is_empty(name: &str) -> bool {
    empty(name).is_some()
}

/// The columns of tables that have no rows here.
fn empty(name: &str) -> Option<&'static [(&'static str, SqlType)]> {
    Some(match name {
        "pg_proc" => &[
            ("oid", I),
            ("proname", T),
            ("pronamespace", I),
            ("proowner", I),
            ("prolang", I),
            ("prokind", T),
            ("prorettype", I),
            ("proargtypes", T),
            ("prosrc", T),
            ("proisagg", B),
            ("proretset", B),
        ],
        "pg_description" => &[("objoid", I), ("classoid", I), ("objsubid", N), ("description", T)],
        "pg_shdescription" => &[("objoid", I), ("classoid", I), ("description", T)],
        "pg_inherits" => &[("inhrelid", I), ("inhparent", I), ("inhseqno", N), ("inhdetachpending", B)],
        "pg_policy" => &[
            ("oid", I),
            ("polname", T),
            ("polrelid", I),
            ("polcmd", T),
            ("polpermissive", B),
            ("polroles", SqlType::Array(Element::BigInt)),
            ("polqual", T),
            ("polwithcheck", T),
        ],
        "pg_trigger" => &[
            ("oid", I),
            ("tgrelid", I),
            ("tgparentid", I),
            ("tgname", T),
            ("tgfoid", I),
            ("tgtype", S),
            ("tgenabled", T),
            ("tgisinternal", B),
            ("tgconstraint", I),
            ("tgdeferrable", B),
            ("tginitdeferred", B),
        ],
        "pg_statistic_ext" => &[
            ("oid", I),
            ("stxrelid", I),
            ("stxname", T),
            ("stxnamespace", I),
            ("stxowner", I),
            ("stxstattarget", N),
            ("stxkeys", T),
            ("stxkind", SqlType::Array(Element::Text)),
        ],
        "pg_publication" => &[("oid", I), ("pubname", T), ("puballtables", B)],
        "pg_publication_rel" => &[("oid", I), ("prpubid", I), ("prrelid", I), ("prqual", T), ("prattrs", T)],
        "pg_publication_namespace" => &[("oid", I), ("pnpubid", I), ("pnnspid", I)],
        "pg_collation" => &[
            ("oid", I),
            ("collname", T),
            ("collnamespace", I),
            ("collprovider", T),
            ("collcollate", T),
            ("collctype", T),
        ],
        "pg_enum" => &[("oid", I), ("enumtypid", I), ("enumsortorder", N), ("enumlabel", T)],
        "pg_range" => {
            &[("rngtypid", I), ("rngsubtype", I), ("rngmultitypid", I), ("rngcollation", I), ("rngsubopc", I)]
        }
        "pg_sequence" => &[
            ("seqrelid", I),
            ("seqtypid", I),
            ("seqstart", I),
            ("seqincrement", I),
            ("seqmax", I),
            ("seqmin", I),
            ("seqcache", I),
            ("seqcycle", B),
        ],
        "pg_sequences" => &[("schemaname", T), ("sequencename", T)],
        "pg_rewrite" => &[
            ("oid", I),
            ("rulename", T),
            ("ev_class", I),
            ("ev_type", T),
            ("ev_enabled", T),
            ("is_instead", B),
        ],
        "pg_depend" => &[
            ("classid", I),
            ("objid", I),
            ("objsubid", N),
            ("refclassid", I),
            ("refobjid", I),
            ("refobjsubid", N),
            ("deptype", T),
        ],
        "pg_foreign_table" => &[("ftrelid", I), ("ftserver", I), ("ftoptions", T)],
        "pg_foreign_server" => &[("oid", I), ("srvname", T)],
        "pg_tablespace" => &[("oid", I), ("spcname", T), ("spcowner", I)],
        "pg_extension" => &[("oid", I), ("extname", T), ("extversion", T)],
        "pg_language" => &[("oid", I), ("lanname", T)],
        "pg_opclass" => &[("oid", I), ("opcname", T), ("opcmethod", I), ("opcdefault", B)],
        "pg_auth_members" => &[("roleid", I), ("member", I), ("grantor", I), ("admin_option", B)],
        "pg_stat_activity" => &[("pid", N), ("datname", T), ("usename", T), ("state", T), ("query", T)],
        "pg_cursors" => {
            &[("name", T), ("statement", T), ("is_holdable", B), ("is_binary", B), ("is_scrollable", B)]
        }
        "pg_prepared_statements" => &[("name", T), ("statement", T)],
        "pg_locks" => &[("locktype", T), ("relation", I), ("pid", N), ("mode", T), ("granted", B)],
        "pg_event_trigger" => &[("oid", I), ("evtname", T)],
        "pg_partitioned_table" => &[("partrelid", I), ("partstrat", T)],
        _ => return None,
    })
}
