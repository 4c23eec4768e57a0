//! Statements and values: what is bound or refused must not panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sql::{Bound, Catalog, Definition, SqlType, bind, parse, text};
use std::cell::LazyCell;

const SCHEMA: &str = "
    CREATE TABLE t (id int PRIMARY KEY, a bigint, b text, c numeric(8,2), d double precision, e timestamp, f boolean);
    CREATE TABLE u (x text, y date, z jsonb, PRIMARY KEY (x, y));
    CREATE MATERIALIZED VIEW v AS SELECT a, count(*) AS n, sum(c) AS s FROM t GROUP BY a;
    CREATE VIEW w AS SELECT id, b FROM t WHERE f";

const TYPES: [SqlType; 12] = [
    SqlType::Boolean,
    SqlType::SmallInt,
    SqlType::BigInt,
    SqlType::Real,
    SqlType::Double,
    SqlType::Numeric(Some((10, 3))),
    SqlType::Char(3),
    SqlType::Bytea,
    SqlType::Date,
    SqlType::TimestampTz,
    SqlType::Uuid,
    SqlType::Jsonb,
];

thread_local! {
    static CATALOG: LazyCell<Catalog> = const { LazyCell::new(catalog) };
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::new();
    for statement in parse(SCHEMA).expect("the schema is sound") {
        if let Bound::Define(Definition::Entry(entry)) =
            bind(&catalog, &statement, &[]).expect("the schema is sound").bound
        {
            catalog.apply(&entry).expect("the schema is sound");
        }
    }
    catalog
}

fuzz_target!(|input: &str| {
    for ty in TYPES {
        let _refused_or_not = text::parse(ty, input);
    }
    if let Ok(statements) = parse(input) {
        CATALOG.with(|catalog| {
            for statement in &statements {
                let _refused_or_not = bind(catalog, statement, &[]);
            }
        });
    }
});
