//! Random tables, queries and writes that mean the same in Sakia and in SQLite.
//!
//! Arithmetic keeps numbers small, since SQLite knows no integers of 32 bits; orders say where NULL goes, since the two
//! differ in that.

use fastrand::Rng;

/// A table or view with its columns.
#[derive(Debug, Clone)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// Names of the columns; true for integers, false for texts.
    pub columns: Vec<(String, bool)>,
}

impl Relation {
    /// The statement that makes a table of it, whose key is the column `k`.
    pub fn create(&self) -> String {
        let columns = self.columns.iter();
        let columns: Vec<String> =
            columns.map(|(name, int)| format!("{name} {}", if *int { "integer" } else { "text" })).collect();
        format!("CREATE TABLE {} ({}, PRIMARY KEY (k))", self.name, columns.join(", "))
    }
}

/// A table of this number.
pub fn table(rng: &mut Rng, number: usize) -> Relation {
    let mut columns = vec![("k".to_owned(), true)];
    for column in 0..rng.usize(2..5) {
        columns.push((format!("{}{column}", ["a", "b"][number]), rng.u32(..3) > 0));
    }
    Relation { name: format!("t{number}"), columns }
}

/// An index and what it is on.
#[derive(Debug, Clone)]
pub struct Index {
    /// The statement that makes it.
    pub sql: String,
    relation: Relation,
    /// Its columns, as those of the relation.
    columns: Vec<(String, bool)>,
}

/// An index of this name on one of these. Most are ordered.
pub fn index(rng: &mut Rng, name: &str, relations: &[Relation]) -> Index {
    let relation = &relations[rng.usize(..relations.len())];
    let mut columns = relation.columns.clone();
    rng.shuffle(&mut columns);
    columns.truncate(rng.usize(1..4));
    let using = ["", "", "", " USING btree", " USING hash"][rng.usize(..5)];
    let list: Vec<String> =
        columns.iter().map(|(name, _)| format!("{name}{}", ["", "", " DESC"][rng.usize(..3)])).collect();
    let sql = format!("CREATE INDEX {name} ON {}{using} ({})", relation.name, list.join(", "));
    Index { sql, relation: relation.clone(), columns }
}

/// A query for what one of the indexes has under given values of its first columns, in a range of the next one. What is cut by LIMIT is
/// ordered by all that is shown, so that rows which tie are equal.
pub fn range(rng: &mut Rng, indexes: &[Index]) -> String {
    let Index { relation, columns, .. } = &indexes[rng.usize(..indexes.len())];
    let (last, prefix) = columns.split_last().expect("an index has columns");
    let mut conditions: Vec<String> = Vec::new();
    for (name, int) in prefix {
        let value = |rng: &mut Rng| constant(rng, *int);
        conditions.push(match rng.u32(..3) {
            0 => format!("{name} IN ({}, {})", value(rng), value(rng)),
            1 => format!("{} = {name}", value(rng)),
            _ => format!("{name} = {}", value(rng)),
        });
    }
    let (name, value) = (&last.0, |rng: &mut Rng| constant(rng, last.1));
    for _ in 0..rng.usize(..3) {
        let op = ["<", "<=", ">", ">="][rng.usize(..4)];
        conditions.push(match rng.u32(..4) {
            0 => format!("{name} BETWEEN {} AND {}", value(rng), value(rng)),
            1 => format!("{} {op} {name}", value(rng)),
            _ => format!("{name} {op} {}", value(rng)),
        });
    }
    if rng.u32(..3) == 0 {
        let scope: Scope = relation.columns.clone();
        conditions.push(condition(rng, &scope, 1));
    }
    rng.shuffle(&mut conditions);
    let filter = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let shown = &columns[[0, columns.len() - 1][rng.usize(..2)]..];
    let mut shown: Vec<&str> = shown.iter().map(|(name, _)| name.as_str()).collect();
    if rng.bool() {
        shown.reverse();
    }
    if rng.u32(..4) == 0 {
        let list = ["*", "count(*), min(k)"][rng.usize(..if relation.name.starts_with('t') { 2 } else { 1 })];
        return format!("SELECT {list} FROM {}{filter}", relation.name);
    }
    let order: Vec<String> = shown
        .iter()
        .map(|name| format!("{name}{}", [" NULLS LAST", " DESC NULLS FIRST", " NULLS FIRST"][rng.usize(..3)]))
        .collect();
    let cut = [" LIMIT 1", " LIMIT 3", " LIMIT 2 OFFSET 1", ""][rng.usize(..4)];
    let order = order.join(", ");
    format!("SELECT {} FROM {}{filter} ORDER BY {order}{cut}", shown.join(", "), relation.name)
}

fn constant(rng: &mut Rng, int: bool) -> String {
    match (rng.u32(..8), int) {
        (0, _) => "NULL".to_owned(),
        (_, true) => rng.i32(-3..12).to_string(),
        (_, false) => format!("'{}'", ["", "a", "B", "ab", "ba", "abc"][rng.usize(..6)]),
    }
}

/// A statement that writes to one of the tables.
pub fn write(rng: &mut Rng, tables: &[Relation]) -> String {
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
        // SQLite has NULL for what is divided by zero.
        (2, true) => format!("({} / {})", inner(rng, true), [-2, -1, 1, 2, 3, 4][rng.usize(..6)]),
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

/// A query over some of the relations, with the columns of its result.
pub fn query(rng: &mut Rng, relations: &[Relation]) -> (String, Vec<(String, bool)>) {
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
