//! Random tables, views over views and writes, here and in SQLite: after every batch of writes all views agree.
//!
//! The statements are those that mean the same in both. Arithmetic keeps numbers small, since SQLite knows no integers of
//! 32 bits; orders say where NULL goes, since the two differ in that.

use crate::database::{Database, Table};
use fastrand::Rng;
use rusqlite::types::ValueRef;

/// Seeds; the variable `SQL_CASES` asks for more.
const CASES: u64 = 60;
const VIEWS: usize = 6;
const BATCHES: usize = 3;
const WRITES: usize = 8;
const ROWS_MAX: i64 = 100;

/// A table or view with its columns; true for integers, false for texts.
#[derive(Clone)]
struct Relation {
    name: String,
    columns: Vec<(String, bool)>,
}

#[test]
fn all_views_agree_with_sqlite() {
    let asked = std::env::var("SQL_CASES").ok().and_then(|cases| cases.parse().ok());
    for seed in 0..asked.unwrap_or(CASES) {
        case(seed);
    }
}

fn case(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut ours = Database::new();
    let theirs = rusqlite::Connection::open_in_memory().expect("memory is there");
    theirs.execute_batch("PRAGMA case_sensitive_like = ON").expect("SQLite knows it");
    let mut relations: Vec<Relation> = (0..2).map(|number| table(&mut rng, number)).collect();
    for relation in &relations {
        let columns: Vec<String> = relation
            .columns
            .iter()
            .map(|(name, int)| format!("{name} {}", if *int { "integer" } else { "text" }))
            .collect();
        let sql = format!("CREATE TABLE {} ({}, PRIMARY KEY (k))", relation.name, columns.join(", "));
        ours.run(&sql).unwrap_or_else(|error| panic!("seed {seed}: {sql}: {error:?}"));
        theirs.execute_batch(&sql).expect("SQLite takes it");
    }
    let tables = relations.clone();
    let mut queries = Vec::new();
    for number in 0..VIEWS {
        let (query, columns) = query(&mut rng, &relations);
        let name = format!("v{number}");
        let sql = format!("CREATE MATERIALIZED VIEW {name} AS {query}");
        ours.run(&sql).unwrap_or_else(|error| panic!("seed {seed}: {sql}: {error:?}"));
        relations.push(Relation { name, columns });
        queries.push(query);
    }
    for _ in 0..BATCHES {
        let writes: Vec<String> = (0..WRITES).map(|_| write(&mut rng, &tables)).collect();
        let taken: Vec<bool> = writes.iter().map(|sql| theirs.execute_batch(sql).is_ok()).collect();
        let views = &relations[tables.len()..];
        if !views.iter().zip(&queries).all(|(view, query)| recompute(&theirs, &view.name, query)) {
            return;
        }
        for (sql, taken) in writes.iter().zip(taken) {
            assert_eq!(ours.run(sql).is_ok(), taken, "seed {seed}: {sql}");
        }
        for (view, query) in views.iter().zip(&queries) {
            let expected = rows(&theirs, &format!("SELECT * FROM {}", view.name));
            assert_eq!(sorted(ours.all(&view.name)), expected, "seed {seed}: {} AS {query}", view.name);
        }
        look_up(&mut rng, &mut ours, &theirs, &relations, seed);
    }
    let at = rng.usize(..queries.len());
    match ours.run(&queries[at]) {
        Ok(found) => {
            let expected = rows(&theirs, &queries[at]);
            assert_eq!(sorted(found), expected, "seed {seed}: as a scan: {}", queries[at]);
        }
        // Over a view that is read as a whole the query is a lookup, in which a division by zero is an error.
        Err(error) => assert_eq!(error.sqlstate, "22000", "seed {seed}: {}", queries[at]),
    }
}

/// SQLite gets each view as a table: flattened into one another, its views sometimes give rows that no query has.
/// False if it has become so large that joins of it with itself would take long.
fn recompute(theirs: &rusqlite::Connection, view: &str, query: &str) -> bool {
    let sql = format!("DROP TABLE IF EXISTS {view}; CREATE TABLE {view} AS {query}");
    theirs.execute_batch(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let count = theirs.query_row(&format!("SELECT count(*) FROM {view}"), [], |row| row.get::<_, i64>(0));
    count.expect("a table has a count") <= ROWS_MAX
}

fn sorted(mut table: Table) -> Table {
    table.sort();
    table
}

fn rows(theirs: &rusqlite::Connection, sql: &str) -> Table {
    let mut statement = theirs.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let width = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..width)
            .map(|at| {
                Ok(match row.get_ref(at)? {
                    ValueRef::Null => None,
                    ValueRef::Integer(value) => Some(value.to_string()),
                    ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    other => panic!("{sql}: {other:?} is neither integer nor text"),
                })
            })
            .collect()
    });
    let rows = rows.expect("the statement is sound").collect::<Result<Table, _>>();
    sorted(rows.expect("the statement is sound"))
}

/// Reads some keys of every view by lookup.
fn look_up(
    rng: &mut Rng,
    ours: &mut Database,
    theirs: &rusqlite::Connection,
    relations: &[Relation],
    seed: u64,
) {
    for relation in relations {
        let key = ours.catalog.object(&relation.name).expect("it was made").paths[0].key.clone();
        let all = rows(theirs, &format!("SELECT * FROM {}", relation.name));
        if all.is_empty() {
            continue;
        }
        let row = &all[rng.usize(..all.len())];
        let conditions: Option<Vec<String>> = key
            .iter()
            .map(|at| {
                let (name, int) = &relation.columns[usize::from(*at)];
                let value = row[usize::from(*at)].as_ref()?;
                Some(if *int { format!("{name} = {value}") } else { format!("{name} = '{value}'") })
            })
            .collect();
        let Some(mut conditions) = conditions else { continue };
        conditions.push("1 = 1".to_owned());
        let sql = format!("SELECT * FROM {} WHERE {}", relation.name, conditions.join(" AND "));
        let found = ours.run(&sql).unwrap_or_else(|error| panic!("seed {seed}: {sql}: {error:?}"));
        assert_eq!(sorted(found), rows(theirs, &sql), "seed {seed}: {sql}");
    }
}

fn table(rng: &mut Rng, number: usize) -> Relation {
    let mut columns = vec![("k".to_owned(), true)];
    for column in 0..rng.usize(2..5) {
        columns.push((format!("{}{column}", ["a", "b"][number]), rng.u32(..3) > 0));
    }
    Relation { name: format!("t{number}"), columns }
}

fn constant(rng: &mut Rng, int: bool) -> String {
    match (rng.u32(..8), int) {
        (0, _) => "NULL".to_owned(),
        (_, true) => rng.i32(-3..12).to_string(),
        (_, false) => format!("'{}'", ["", "a", "B", "ab", "ba", "abc"][rng.usize(..6)]),
    }
}

fn write(rng: &mut Rng, tables: &[Relation]) -> String {
    let Relation { name, columns } = &tables[rng.usize(..tables.len())];
    let key = rng.u32(..12);
    match rng.u32(..8) {
        0 => return format!("DELETE FROM {name} WHERE k = {key}"),
        1 => {
            let (column, int) = &columns[rng.usize(1..columns.len())];
            let value = constant(rng, *int);
            return format!("UPDATE {name} SET {column} = {value} WHERE k IN ({key}, {})", (key + 1) % 12);
        }
        _ => {}
    }
    let mut keys = vec![key];
    if rng.bool() {
        keys.push((key + 3) % 12);
    }
    let rows: Vec<String> = keys
        .iter()
        .map(|key| {
            let others: Vec<String> = columns[1..].iter().map(|(_, int)| constant(rng, *int)).collect();
            format!("({key}, {})", others.join(", "))
        })
        .collect();
    let rows = rows.join(", ");
    let set: Vec<String> =
        columns[1..].iter().map(|(column, _)| format!("{column} = excluded.{column}")).collect();
    match rng.u32(..4) {
        0 => format!("INSERT INTO {name} VALUES {rows}"),
        1 => format!("INSERT INTO {name} VALUES {rows} ON CONFLICT DO NOTHING"),
        _ => format!("INSERT INTO {name} VALUES {rows} ON CONFLICT (k) DO UPDATE SET {}", set.join(", ")),
    }
}

/// The columns of a FROM by their full names.
type Scope = Vec<(String, bool)>;

fn of_type(rng: &mut Rng, scope: &Scope, int: bool) -> Option<String> {
    let fitting: Vec<&String> = scope.iter().filter(|column| column.1 == int).map(|(name, _)| name).collect();
    (!fitting.is_empty()).then(|| fitting[rng.usize(..fitting.len())].clone())
}

fn expression(rng: &mut Rng, scope: &Scope, int: bool, depth: u32) -> String {
    let leaf = |rng: &mut Rng| match of_type(rng, scope, int) {
        Some(column) if rng.u32(..5) > 0 => column,
        // A NULL by itself has no type that both would agree on.
        _ if int => rng.i32(-3..12).to_string(),
        _ => format!("'{}'", ["a", "ab", "x"][rng.usize(..3)]),
    };
    if depth == 0 {
        return leaf(rng);
    }
    let inner = |rng: &mut Rng, int| expression(rng, scope, int, depth - 1);
    match (rng.u32(..9), int) {
        (0, true) => format!("({} + {})", inner(rng, true), inner(rng, true)),
        (1, true) => format!("({} - {})", inner(rng, true), inner(rng, true)),
        (2, true) => format!("({} / {})", inner(rng, true), rng.i32(-2..4)),
        (3, true) => format!("({} % 7)", inner(rng, true)),
        (4, true) => format!("length({})", inner(rng, false)),
        (0, false) => format!("substr({} || {}, 1, 4)", inner(rng, false), inner(rng, false)),
        (1, false) => format!("upper({})", inner(rng, false)),
        (2, false) => format!("replace({}, 'a', 'o')", inner(rng, false)),
        (5, _) => format!("coalesce({}, {})", inner(rng, int), inner(rng, int)),
        (6, _) => {
            let condition = condition(rng, scope, depth - 1);
            format!("CASE WHEN {condition} THEN {} ELSE {} END", leaf(rng), leaf(rng))
        }
        (7, _) => format!("nullif({}, {})", leaf(rng), leaf(rng)),
        _ => leaf(rng),
    }
}

fn condition(rng: &mut Rng, scope: &Scope, depth: u32) -> String {
    let int = rng.bool();
    let side = |rng: &mut Rng| expression(rng, scope, int, depth.min(1));
    match rng.u32(..9) {
        0 if depth > 0 => {
            format!("({} OR {})", condition(rng, scope, depth - 1), condition(rng, scope, depth - 1))
        }
        1 if depth > 0 => {
            format!("({} AND {})", condition(rng, scope, depth - 1), condition(rng, scope, depth - 1))
        }
        2 if depth > 0 => format!("NOT {}", condition(rng, scope, depth - 1)),
        3 => format!("{} IS NULL", side(rng)),
        4 => format!("{} IS NOT DISTINCT FROM {}", side(rng), side(rng)),
        5 => format!("{} IN ({}, {})", side(rng), side(rng), side(rng)),
        6 => {
            format!("{} LIKE '{}'", expression(rng, scope, false, 0), ["a%", "%b%", "_", "%"][rng.usize(..4)])
        }
        7 => format!("{} BETWEEN {} AND {}", side(rng), side(rng), side(rng)),
        _ => format!("{} {} {}", side(rng), ["=", "<>", "<", ">="][rng.usize(..4)], side(rng)),
    }
}

/// A FROM of one to three relations, and what can be named.
fn from(rng: &mut Rng, relations: &[Relation]) -> (String, Scope) {
    let mut scope: Scope = Vec::new();
    let mut sql = String::new();
    for number in 0..[1, 1, 2, 2, 3][rng.usize(..5)] {
        let relation = &relations[rng.usize(..relations.len())];
        let alias = format!("r{number}");
        let own: Scope =
            relation.columns.iter().map(|(name, int)| (format!("{alias}.{name}"), *int)).collect();
        let table = format!("{} AS {alias}", relation.name);
        let int = rng.u32(..3) > 0;
        if number == 0 {
            sql = table;
        } else if let (Some(l), Some(r)) = (of_type(rng, &scope, int), of_type(rng, &own, int)) {
            let kind = ["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"][rng.usize(..5)];
            let more = match rng.u32(..4) {
                0 => format!(" AND {}", condition(rng, &own, 0)),
                1 => format!(" AND {}", condition(rng, &scope, 0)),
                _ => String::new(),
            };
            sql = format!("{sql} {kind} {table} ON {l} = {r}{more}");
        } else {
            sql = format!("{sql} CROSS JOIN {table}");
        }
        scope.extend(own);
    }
    (sql, scope)
}

fn filter(rng: &mut Rng, scope: &Scope, relations: &[Relation]) -> String {
    let mut conditions = Vec::new();
    if rng.bool() {
        conditions.push(condition(rng, scope, 2));
    }
    if rng.u32(..4) == 0 {
        let relation = &relations[rng.usize(..relations.len())];
        let (name, int) = relation.columns[rng.usize(..relation.columns.len())].clone();
        if let Some(outer) = of_type(rng, scope, int) {
            let negated = ["", "NOT "][rng.usize(..2)];
            conditions.push(match rng.u32(..2) {
                0 => format!("{outer} IN (SELECT {name} FROM {})", relation.name),
                _ => {
                    format!("{negated}EXISTS (SELECT 1 FROM {} AS s WHERE s.{name} = {outer})", relation.name)
                }
            });
        }
    }
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// A query with the columns of its result.
fn query(rng: &mut Rng, relations: &[Relation]) -> (String, Vec<(String, bool)>) {
    let kinds: Vec<bool> = (0..rng.usize(1..4)).map(|_| rng.u32(..3) > 0).collect();
    let columns: Vec<(String, bool)> =
        kinds.iter().enumerate().map(|(number, int)| (format!("c{number}"), *int)).collect();
    let sql = match rng.u32(..11) {
        10 => ranked(rng, relations, &kinds),
        0 => {
            let op = ["UNION", "UNION ALL", "EXCEPT", "INTERSECT"][rng.usize(..4)];
            format!("{} {op} {}", plain(rng, relations, &kinds), plain(rng, relations, &kinds))
        }
        1 => format!("SELECT DISTINCT * FROM ({}) AS q", plain(rng, relations, &kinds)),
        2 | 3 => {
            let order: Vec<String> = (1..=kinds.len())
                .map(|n| format!("{n} {}", ["NULLS LAST", "DESC NULLS FIRST", "NULLS FIRST"][rng.usize(..3)]))
                .collect();
            let offset = ["", " OFFSET 1"][rng.usize(..2)];
            let inner = plain(rng, relations, &kinds);
            format!("{inner} ORDER BY {} LIMIT {}{offset}", order.join(", "), rng.u32(1..5))
        }
        4..=6 => grouped(rng, relations, &kinds),
        7 => format!("WITH q AS ({}) SELECT * FROM q", plain(rng, relations, &kinds)),
        _ => plain(rng, relations, &kinds),
    };
    (sql, columns)
}

/// The first rows of groups. The order is by all columns, so that equal rows alone are without one.
fn ranked(rng: &mut Rng, relations: &[Relation], kinds: &[bool]) -> String {
    let names: Vec<String> = (0..kinds.len()).map(|number| format!("c{number}")).collect();
    let order: Vec<String> = names
        .iter()
        .map(|name| format!("{name} {}", ["NULLS LAST", "DESC NULLS FIRST"][rng.usize(..2)]))
        .collect();
    let partition = ["", "PARTITION BY c0 "][rng.usize(..2)];
    let inner = plain(rng, relations, kinds);
    let condition = ["n <= 2", "r.n = 1", "2 = n", "n < 3 AND n > 1", "n BETWEEN 1 AND 3"][rng.usize(..5)];
    let joined = match of_type(rng, &names.iter().cloned().zip(kinds.iter().copied()).collect(), true) {
        Some(column) if rng.bool() => format!(" LEFT JOIN t0 ON t0.k = r.{column}"),
        _ => String::new(),
    };
    format!(
        "SELECT {} FROM (SELECT *, row_number() OVER ({partition}ORDER BY {}) AS n FROM ({inner}) AS q) AS r{joined} \
         WHERE {condition}",
        names.join(", "),
        order.join(", ")
    )
}

fn plain(rng: &mut Rng, relations: &[Relation], kinds: &[bool]) -> String {
    let (from, scope) = from(rng, relations);
    let list: Vec<String> = kinds
        .iter()
        .enumerate()
        .map(|(number, int)| format!("{} AS c{number}", expression(rng, &scope, *int, 2)))
        .collect();
    format!("SELECT {} FROM {from}{}", list.join(", "), filter(rng, &scope, relations))
}

fn grouped(rng: &mut Rng, relations: &[Relation], kinds: &[bool]) -> String {
    let (from, scope) = from(rng, relations);
    let groups: Vec<(String, bool)> = (0..rng.usize(1..3))
        .map(|_| {
            let int = rng.bool();
            // A constant would be taken for the number of a column.
            let column = of_type(rng, &scope, int).unwrap_or_else(|| scope[0].0.clone());
            let is_int = scope.iter().any(|(name, int)| *name == column && *int);
            (if is_int { format!("{column} + 1") } else { column }, is_int)
        })
        .collect();
    let value = |rng: &mut Rng, int: bool| {
        let group = groups.iter().find(|group| group.1 == int);
        let inner = expression(rng, &scope, int, 1);
        let condition = condition(rng, &scope, 0);
        match (rng.u32(..8), group, int) {
            (0..=2, Some((group, _)), _) => group.clone(),
            (3, _, true) => "count(*)".to_owned(),
            (4, _, true) => format!("count(DISTINCT {inner})"),
            (5, _, true) => format!("count({inner}) + count(*) FILTER (WHERE {condition})"),
            (6, ..) => format!("max({inner})"),
            _ => format!("min({inner})"),
        }
    };
    let list: Vec<String> =
        kinds.iter().enumerate().map(|(number, int)| format!("{} AS c{number}", value(rng, *int))).collect();
    let having = if rng.u32(..4) == 0 { " HAVING count(*) > 1" } else { "" };
    let by: Vec<&str> = groups.iter().map(|(group, _)| group.as_str()).collect();
    let filter = filter(rng, &scope, relations);
    format!("SELECT {} FROM {from}{filter} GROUP BY {}{having}", list.join(", "), by.join(", "))
}
