//! The tables of pg_catalog about tables, views, indexes, their columns and their constraints.

use crate::catalog::{AccessPath, Catalog, ColumnDef, DefaultValue, Object, ObjectKind};
use crate::sql_type::Element;
use crate::sql_type::SqlType::{self, BigInt as I, Boolean as B, Integer as N, SmallInt as S, Text as T};
use crate::system::{
    Column, Made, OWNER, PUBLIC, b, default_text, i, index_name, index_oid, indexes, key_names, made,
    object_oid, shown, t,
};
use operators::expr::Literal::Null;

const TEXTS: SqlType = SqlType::Array(Element::Text);

/// `relkind` of an object.
pub(super) fn kind(object: &Object) -> &'static str {
    match object.kind {
        ObjectKind::Table { .. } => "r",
        ObjectKind::MaterializedView => "m",
        ObjectKind::View { .. } => "v",
    }
}

/// What has columns: an object or an index.
struct Relation {
    oid: i64,
    name: String,
    kind: &'static str,
    access: i64,
    width: usize,
    checks: usize,
    is_indexed: bool,
}

impl Relation {
    fn of_object(object: &Object) -> Relation {
        let kind = kind(object);
        Relation {
            oid: object_oid(object),
            name: object.name.clone(),
            kind,
            access: if kind == "v" { 0 } else { super::HEAP },
            width: object.columns.len(),
            checks: object.checks.len(),
            is_indexed: object.paths.iter().any(|path| !path.key.is_empty()),
        }
    }

    fn of_index((object, path): (&Object, &AccessPath)) -> Relation {
        Relation {
            oid: index_oid(path),
            name: index_name(object, path),
            kind: "i",
            access: if path.ordered { super::BTREE } else { super::HASH },
            width: path.key.len(),
            checks: 0,
            is_indexed: false,
        }
    }
}

pub(super) fn pg_class(catalog: &Catalog) -> Made {
    let columns: &[Column<Relation>] = &[
        ("oid", I, |r| i(r.oid)),
        ("relname", T, |r| t(r.name.as_str())),
        ("relnamespace", I, |_| i(PUBLIC)),
        ("reltype", I, |_| i(0)),
        ("reloftype", I, |_| i(0)),
        ("relowner", I, |_| i(OWNER)),
        ("relam", I, |r| i(r.access)),
        ("relfilenode", I, |r| i(r.oid)),
        ("reltablespace", I, |_| i(0)),
        ("relpages", N, |_| i(0)),
        ("reltuples", N, |_| i(-1)),
        ("relallvisible", N, |_| i(0)),
        ("reltoastrelid", I, |_| i(0)),
        ("relhasindex", B, |r| b(r.is_indexed)),
        ("relisshared", B, |_| b(false)),
        ("relpersistence", T, |_| t("p")),
        ("relkind", T, |r| t(r.kind)),
        ("relnatts", S, |r| i(r.width as i64)),
        ("relchecks", S, |r| i(r.checks as i64)),
        ("relhasrules", B, |_| b(false)),
        ("relhastriggers", B, |_| b(false)),
        ("relhassubclass", B, |_| b(false)),
        ("relrowsecurity", B, |_| b(false)),
        ("relforcerowsecurity", B, |_| b(false)),
        ("relispopulated", B, |_| b(true)),
        ("relreplident", T, |_| t("d")),
        ("relispartition", B, |_| b(false)),
        ("relrewrite", I, |_| i(0)),
        ("relacl", TEXTS, |_| Null),
        ("reloptions", TEXTS, |_| Null),
        ("relpartbound", T, |_| Null),
    ];
    let objects = shown(catalog).map(Relation::of_object);
    made(columns, objects.chain(indexes(catalog).map(Relation::of_index)))
}

/// A column of an object or of an index.
struct Attribute<'c> {
    relation: i64,
    /// From 1 on.
    number: i64,
    column: &'c ColumnDef,
    in_index: bool,
}

impl Attribute<'_> {
    fn counts(&self) -> bool {
        self.column.default == Some(DefaultValue::Number)
    }

    fn name(&self) -> String {
        match self.column.is_dropped() {
            true => format!("........pg.dropped.{}........", self.number),
            false => self.column.name.clone(),
        }
    }

    /// Whether what is said of columns of objects that are there can be said of it.
    fn is_shown(&self) -> bool {
        !self.in_index && !self.column.is_dropped()
    }
}

fn attributes(catalog: &Catalog) -> impl Iterator<Item = Attribute<'_>> {
    let of_objects = shown(catalog).flat_map(|object| {
        let columns = (1i64..).zip(&object.columns);
        columns.map(move |(number, column)| Attribute {
            relation: object_oid(object),
            number,
            column,
            in_index: false,
        })
    });
    let of_indexes = indexes(catalog).flat_map(|(object, path)| {
        let columns = path.key.iter().filter_map(|at| object.columns.get(usize::from(*at)));
        (1i64..).zip(columns).map(|(number, column)| Attribute {
            relation: index_oid(path),
            number,
            column,
            in_index: true,
        })
    });
    of_objects.chain(of_indexes)
}

pub(super) fn pg_attribute(catalog: &Catalog) -> Made {
    let columns: &[Column<Attribute<'_>>] = &[
        ("attrelid", I, |a| i(a.relation)),
        ("attname", T, |a| t(a.name())),
        ("atttypid", I, |a| i(if a.column.is_dropped() { 0 } else { a.column.ty.oid() })),
        ("attstattarget", N, |_| i(-1)),
        ("attlen", S, |a| i(a.column.ty.size())),
        ("attnum", S, |a| i(a.number)),
        ("attndims", N, |_| i(0)),
        ("attcacheoff", N, |_| i(-1)),
        ("atttypmod", N, |a| i(a.column.ty.modifier())),
        ("attbyval", B, |a| b(a.column.ty.size() > 0)),
        ("attalign", T, |_| t("d")),
        ("attstorage", T, |_| t("x")),
        ("attcompression", T, |_| t("")),
        ("attnotnull", B, |a| b(!a.column.nullable && a.is_shown())),
        ("atthasdef", B, |a| b(a.is_shown() && default_text(a.column).is_some())),
        ("atthasmissing", B, |_| b(false)),
        ("attidentity", T, |a| t(if a.counts() && !a.in_index { "d" } else { "" })),
        ("attgenerated", T, |_| t("")),
        ("attisdropped", B, |a| b(a.column.is_dropped())),
        ("attislocal", B, |_| b(true)),
        ("attinhcount", N, |_| i(0)),
        ("attcollation", I, |a| i(if a.column.ty.is_text() { 100 } else { 0 })),
        ("attacl", TEXTS, |_| Null),
        ("attoptions", TEXTS, |_| Null),
        ("attfdwoptions", TEXTS, |_| Null),
        ("attmissingval", T, |_| Null),
    ];
    made(columns, attributes(catalog))
}

/// The default of a column of an object.
pub(super) fn pg_attrdef(catalog: &Catalog) -> Made {
    let columns: &[Column<(Attribute<'_>, String)>] = &[
        // A table has fewer columns than this.
        ("oid", I, |(a, _)| i(a.relation * 2048 + a.number)),
        ("adrelid", I, |(a, _)| i(a.relation)),
        ("adnum", S, |(a, _)| i(a.number)),
        ("adbin", T, |(_, text)| t(text.as_str())),
    ];
    let own = attributes(catalog).filter(Attribute::is_shown);
    made(columns, own.filter_map(|attribute| default_text(attribute.column).map(|text| (attribute, text))))
}

fn numbers(key: &[u16], between: &str) -> String {
    let numbers: Vec<String> = key.iter().map(|at| (at + 1).to_string()).collect();
    numbers.join(between)
}

pub(super) fn pg_index(catalog: &Catalog) -> Made {
    type Index<'c> = (&'c Object, &'c AccessPath);
    fn is_primary((object, path): &Index<'_>) -> bool {
        object.table().is_some() && path.name == object.name
    }
    fn zeros((_, path): &Index<'_>) -> operators::expr::Literal {
        t(vec!["0"; path.key.len()].join(" "))
    }
    let columns: &[Column<Index<'_>>] = &[
        ("indexrelid", I, |(_, path)| i(index_oid(path))),
        ("indrelid", I, |(object, _)| i(object_oid(object))),
        ("indnatts", S, |(_, path)| i(path.key.len() as i64)),
        ("indnkeyatts", S, |(_, path)| i(path.key.len() as i64)),
        ("indisunique", B, |index| b(is_primary(index))),
        ("indisprimary", B, |index| b(is_primary(index))),
        ("indisexclusion", B, |_| b(false)),
        ("indimmediate", B, |_| b(true)),
        ("indisclustered", B, |_| b(false)),
        ("indisvalid", B, |_| b(true)),
        ("indcheckxmin", B, |_| b(false)),
        ("indisready", B, |_| b(true)),
        ("indislive", B, |_| b(true)),
        ("indisreplident", B, |_| b(false)),
        ("indnullsnotdistinct", B, |_| b(false)),
        ("indkey", T, |(_, path)| t(numbers(&path.key, " "))),
        ("indcollation", T, zeros),
        ("indclass", T, zeros),
        ("indoption", T, zeros),
        ("indexprs", T, |_| Null),
        ("indpred", T, |_| Null),
    ];
    made(columns, indexes(catalog))
}

/// A constraint as pg_constraint shows it.
pub(in crate::system) struct Constraint<'c> {
    pub oid: i64,
    pub object: &'c Object,
    pub name: String,
    /// `p` for a primary key, `c` for a CHECK, `f` for a foreign key.
    pub kind: &'static str,
    /// Columns of the object, in the order of the constraint.
    pub columns: Vec<u16>,
    /// The table that a foreign key refers to.
    refers_to: Option<&'c str>,
    /// As it would stand in a definition.
    pub text: String,
}

/// The constraints of all objects that are shown.
pub(in crate::system) fn constraints(catalog: &Catalog) -> impl Iterator<Item = Constraint<'_>> {
    /// No table has as many constraints; their text would be too long.
    const CONSTRAINT_COUNT: i64 = 1 << 18;
    shown(catalog).flat_map(|object| {
        let all = primary_key(object).into_iter().chain(checks(object)).chain(references(object));
        let first = object_oid(object) * CONSTRAINT_COUNT;
        (first..).zip(all).map(|(oid, constraint)| Constraint { oid, ..constraint })
    })
}

fn primary_key(object: &Object) -> Option<Constraint<'_>> {
    let (_, key) = object.table()?;
    Some(Constraint {
        oid: 0,
        object,
        name: format!("{}_pkey", object.name),
        kind: "p",
        columns: key.to_vec(),
        refers_to: None,
        text: format!("PRIMARY KEY ({})", key_names(object, key)),
    })
}

fn checks(object: &Object) -> impl Iterator<Item = Constraint<'_>> {
    object.checks.iter().map(move |check| Constraint {
        oid: 0,
        object,
        name: check.name.clone(),
        kind: "c",
        columns: Vec::new(),
        refers_to: None,
        text: format!("CHECK (({}))", check.condition),
    })
}

fn references(object: &Object) -> impl Iterator<Item = Constraint<'_>> {
    object.references.iter().map(move |reference| Constraint {
        oid: 0,
        object,
        name: reference.name.clone(),
        kind: "f",
        columns: reference.columns.clone(),
        refers_to: Some(&reference.table),
        text: reference.text.clone(),
    })
}

impl Constraint<'_> {
    fn index(&self) -> i64 {
        match self.object.paths.first() {
            Some(path) if self.kind == "p" => index_oid(path),
            _ => 0,
        }
    }

    fn of_reference(&self, is: &str, otherwise: &str) -> operators::expr::Literal {
        t(if self.kind == "f" { is } else { otherwise })
    }
}

pub(super) fn pg_constraint(catalog: &Catalog) -> Made {
    const NUMBERS: SqlType = SqlType::Array(Element::SmallInt);
    let columns: &[Column<(Constraint<'_>, i64)>] = &[
        ("oid", I, |(c, _)| i(c.oid)),
        ("conname", T, |(c, _)| t(c.name.as_str())),
        ("connamespace", I, |_| i(PUBLIC)),
        ("contype", T, |(c, _)| t(c.kind)),
        ("condeferrable", B, |_| b(false)),
        ("condeferred", B, |_| b(false)),
        ("convalidated", B, |(c, _)| b(c.kind != "f")),
        ("conrelid", I, |(c, _)| i(object_oid(c.object))),
        ("contypid", I, |_| i(0)),
        ("conindid", I, |(c, _)| i(c.index())),
        ("conparentid", I, |_| i(0)),
        ("confrelid", I, |(_, other)| i(*other)),
        ("confupdtype", T, |(c, _)| c.of_reference("a", " ")),
        ("confdeltype", T, |(c, _)| c.of_reference("a", " ")),
        ("confmatchtype", T, |(c, _)| c.of_reference("s", " ")),
        ("conislocal", B, |_| b(true)),
        ("coninhcount", N, |_| i(0)),
        ("connoinherit", B, |_| b(true)),
        ("conkey", NUMBERS, |(c, _)| t(format!("{{{}}}", numbers(&c.columns, ",")))),
        ("confkey", NUMBERS, |_| Null),
        ("conexclop", T, |_| Null),
        ("conbin", T, |(c, _)| if c.kind == "c" { t(c.text.as_str()) } else { Null }),
    ];
    let rows = constraints(catalog).map(|constraint| {
        let other = constraint.refers_to.and_then(|table| catalog.find(table)).map_or(0, object_oid);
        (constraint, other)
    });
    made(columns, rows)
}
