//! The other opinion: SQLite over the acknowledged writes, and the comparison of each view with its query.
//!
//! The oracle shares no code with the engine: its tables are filled by replaying the acknowledged events one after the
//! other, its answers come from SQL. Only sums and means of floats are not SQLite's own, whose result depends on the
//! order of rows: two functions compute them exactly, by a method other than the engine's (Shewchuk's growing
//! expansion: a list of floats that do not overlap and whose sum is the exact sum).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use operators::value::Datum;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::data::Data;
use super::questions::Question;
use super::tables::{self, Table};
use super::timeline::{Event, Write};

/// Differences of a view that are kept word by word; the others are only counted.
const DIFFERENCES_SHOWN_MAX: usize = 5;

/// A value of a row, with one form for all types of one kind: what the engine calls a date or a truth value is an
/// integer in SQLite.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number, a truth value, a date in days, a timestamp in microseconds.
    Int(i64),
    /// A float by its bits: equal means identical.
    Float(u64),
    /// Text.
    Text(String),
    /// Anything else; no view of the demo has it.
    Other(String),
}

impl Value {
    /// The value of a column of the engine.
    pub fn from_datum(datum: Datum<'_>) -> Value {
        match datum {
            Datum::Null => Value::Null,
            Datum::Bool(value) => Value::Int(i64::from(value)),
            Datum::Int(value) | Datum::Timestamp(value) | Datum::Date(value) => Value::Int(value),
            Datum::Float(value) => Value::Float(value.to_bits()),
            Datum::Text(value) => Value::Text(value.to_owned()),
            other => Value::Other(other.to_string()),
        }
    }

    /// The value as a column of the engine, as far as lookup keys need it.
    #[cfg(test)]
    pub fn datum(&self) -> Datum<'_> {
        match self {
            Value::Int(value) => Datum::Int(*value),
            Value::Text(value) => Datum::Text(value),
            other => unreachable!("no view is looked up by {other}"),
        }
    }

    fn from_sql(value: ValueRef<'_>) -> Value {
        match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Int(value),
            ValueRef::Real(value) => Value::Float(value.to_bits()),
            ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
            ValueRef::Blob(value) => Value::Other(format!("{value:02x?}")),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
            Value::Text(value) => write!(f, "{value:?}"),
            Value::Other(value) => f.write_str(value),
        }
    }
}

/// One row of a view.
pub type ViewRow = Vec<Value>;

/// The rows of a view by lookup key, those of one key in order.
pub type Answer = BTreeMap<Value, Vec<ViewRow>>;

/// How a view compares with the oracle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rows that the view should have.
    pub rows: usize,
    /// Rows that are missing, wrong, in the wrong place or too many.
    pub differences: usize,
    /// The first of them, in words.
    pub first: Vec<String>,
}

/// SQLite in memory, with the tables of the demo.
pub struct Oracle {
    connection: Connection,
}

impl Oracle {
    /// The constant tables of `data` and no flight yet.
    pub fn new(data: &Data) -> rusqlite::Result<Oracle> {
        let connection = Connection::open_in_memory()?;
        add_exact_functions(&connection)?;
        for table in tables::ALL {
            connection.execute(&create_sql(table), [])?;
        }
        let oracle = Oracle { connection };
        for (table, rows) in tables::constant_rows(data) {
            oracle.in_transaction(|connection| {
                let mut insert = connection.prepare(&insert_sql(table, "INSERT"))?;
                for row in rows {
                    insert.execute(params_from_iter(row.into_iter().map(Parameter)))?;
                }
                Ok(())
            })?;
        }
        Ok(oracle)
    }

    /// Replays acknowledged events, in the order in which they were written.
    pub fn apply<'a>(
        &self,
        data: &Data,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> rusqlite::Result<()> {
        let flights = &tables::FLIGHTS;
        self.in_transaction(|connection| {
            let mut insert = connection.prepare(&insert_sql(flights, "INSERT"))?;
            let mut upsert = connection.prepare(&insert_sql(flights, "INSERT OR REPLACE"))?;
            let mut delete =
                connection.prepare(&format!("DELETE FROM {} WHERE {} = ?", flights.name, flights.key))?;
            for event in events {
                let statement = match event.change.write() {
                    Write::Insert => &mut insert,
                    Write::Upsert => &mut upsert,
                    Write::Delete => &mut delete,
                };
                let values = tables::flight_values(&data.flights[event.flight as usize], event.change);
                statement.execute(params_from_iter(values.into_iter().map(Parameter)))?;
            }
            Ok(())
        })
    }

    /// What the view of `question` must show. `key_column` is where its rows have the lookup key.
    pub fn answer(&self, question: &Question, key_column: usize) -> rusqlite::Result<Answer> {
        let mut statement = self.connection.prepare(&question.sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut answer = Answer::new();
        while let Some(row) = rows.next()? {
            let values: ViewRow = (0..columns)
                .map(|column| Ok(Value::from_sql(row.get_ref(column)?)))
                .collect::<rusqlite::Result<_>>()?;
            answer.entry(values[key_column].clone()).or_default().push(values);
        }
        Ok(answer)
    }

    /// Runs `work` as one transaction, which for a million small statements is much faster than one each.
    fn in_transaction(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        work(&transaction)?;
        transaction.commit()
    }
}

/// Compares what a view shows with what it must show, row by row in order.
pub fn compare(expected: &Answer, found: &Answer) -> Verdict {
    let mut verdict = Verdict { rows: expected.values().map(Vec::len).sum(), ..Verdict::default() };
    let keys: BTreeSet<&Value> = expected.keys().chain(found.keys()).collect();
    for key in keys {
        let expected = expected.get(key).map_or(&[][..], Vec::as_slice);
        let found = found.get(key).map_or(&[][..], Vec::as_slice);
        for place in 0..expected.len().max(found.len()) {
            let (expected, found) = (expected.get(place), found.get(place));
            if expected == found {
                continue;
            }
            verdict.differences += 1;
            if verdict.first.len() < DIFFERENCES_SHOWN_MAX {
                let place = place + 1;
                let (expected, found) = (show(expected), show(found));
                verdict.first.push(format!("key {key}, row {place}: expected {expected}, found {found}"));
            }
        }
    }
    verdict
}

fn show(row: Option<&ViewRow>) -> String {
    row.map_or("no such row".to_owned(), |row| {
        let values: Vec<String> = row.iter().map(Value::to_string).collect();
        format!("({})", values.join(", "))
    })
}

fn create_sql(table: &Table) -> String {
    // No column types: SQLite then stores each value just as it is given.
    let columns: Vec<&str> = table.column_names().collect();
    format!("CREATE TABLE {} ({}, PRIMARY KEY ({}))", table.name, columns.join(", "), table.key)
}

fn insert_sql(table: &Table, verb: &str) -> String {
    let places = vec!["?"; table.column_names().count()].join(", ");
    format!("{verb} INTO {} VALUES ({places})", table.name)
}

/// A value bound to a statement.
struct Parameter<'a>(Datum<'a>);

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self.0 {
            Datum::Null => ValueRef::Null,
            Datum::Bool(value) => ValueRef::Integer(i64::from(value)),
            Datum::Int(value) | Datum::Timestamp(value) | Datum::Date(value) => ValueRef::Integer(value),
            Datum::Float(value) => ValueRef::Real(value),
            Datum::Text(value) => ValueRef::Text(value.as_bytes()),
            other => unreachable!("no table of the demo holds {other}"),
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// An exact sum of floats: parts of growing magnitude that do not overlap.
#[derive(Clone, Default)]
struct ExactSum {
    parts: Vec<f64>,
    count: u32,
}

impl ExactSum {
    /// Adds a value that is counted.
    fn take(&mut self, value: f64) {
        self.count += 1;
        self.add(value);
    }

    /// Adds a value without counting it.
    fn add(&mut self, value: f64) {
        let mut carry = value;
        let mut kept = 0;
        for index in 0..self.parts.len() {
            let part = self.parts[index];
            let (large, small) = if carry.abs() >= part.abs() { (carry, part) } else { (part, carry) };
            let sum = large + small;
            let rest = small - (sum - large);
            if rest != 0.0 {
                self.parts[kept] = rest;
                kept += 1;
            }
            carry = sum;
        }
        self.parts.truncate(kept);
        self.parts.push(carry);
    }

    /// Adds the exact product of two values: its rounded value, and what the rounding left out.
    fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        self.add(a.mul_add(b, -product));
    }

    /// The sum is above zero, zero, or below. The largest part decides: the others together are smaller.
    fn sign(&self) -> Ordering {
        self.parts.last().map_or(Ordering::Equal, |part| part.total_cmp(&0.0))
    }

    /// The exact sum, rounded once.
    fn sum(&self) -> f64 {
        self.quotient(1.0)
    }

    /// The exact mean, rounded once.
    fn mean(&self) -> f64 {
        self.quotient(f64::from(self.count))
    }

    /// The exact sum divided by `divisor`, rounded once to the nearest float, to even in the middle. A first guess, off
    /// by little, is moved while the exact quotient lies beyond the middle between it and a neighbour.
    fn quotient(&self, divisor: f64) -> f64 {
        let mut guess = self.parts.iter().sum::<f64>() / divisor;
        loop {
            let odd = guess.to_bits() & 1 == 1;
            let (up, down) = (guess.next_up(), guess.next_down());
            match (self.above_middle(guess, up, divisor), self.above_middle(guess, down, divisor)) {
                (Ordering::Greater, _) => guess = up,
                (_, Ordering::Less) => guess = down,
                (Ordering::Equal, _) if odd => return up,
                (_, Ordering::Equal) if odd => return down,
                _ => return guess + 0.0,
            }
        }
    }

    /// How the exact sum divided by `divisor` compares with the middle between two floats: twice the sum less
    /// `divisor` times each of them has the same sign.
    fn above_middle(&self, a: f64, b: f64, divisor: f64) -> Ordering {
        let mut rest = self.clone();
        self.parts.iter().for_each(|part| rest.add(*part));
        rest.add_product(-a, divisor);
        rest.add_product(-b, divisor);
        // Parts that cancelled leave a zero of either sign at the end.
        if rest.parts.last().is_some_and(|part| *part == 0.0) {
            rest.parts.pop();
        }
        rest.sign()
    }
}

struct Exactly {
    mean: bool,
}

impl Aggregate<ExactSum, Option<f64>> for Exactly {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<ExactSum> {
        Ok(ExactSum::default())
    }

    fn step(&self, context: &mut Context<'_>, sum: &mut ExactSum) -> rusqlite::Result<()> {
        if let Some(value) = context.get::<Option<f64>>(0)? {
            sum.take(value);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<ExactSum>) -> rusqlite::Result<Option<f64>> {
        let sum = sum.filter(|sum| sum.count > 0);
        Ok(sum.map(|sum| if self.mean { sum.mean() } else { sum.sum() }))
    }
}

fn add_exact_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_aggregate_function("exact_sum", 1, flags, Exactly { mean: false })?;
    connection.create_aggregate_function("exact_mean", 1, flags, Exactly { mean: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.take(*value));
        sum.sum()
    }

    #[test]
    fn float_sums_are_exact_and_do_not_depend_on_order() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100, 1e-100]), 1.0);
        assert_eq!(sum(&[1e-100, -1e100, 1.0, 1e100]), 1.0);
        // Just above and just below the middle between two neighbours, and the middle itself.
        let half = f64::EPSILON / 2.0;
        assert_eq!(sum(&[1.0, half]), 1.0);
        assert_eq!(sum(&[1.0, half, 1e-40]), 1.0 + f64::EPSILON);
        assert_eq!(sum(&[1.0 + f64::EPSILON, half, -1e-40]), 1.0 + f64::EPSILON);
    }

    #[test]
    fn means_are_rounded_once() {
        let mean = |values: &[f64]| {
            let mut sum = ExactSum::default();
            values.iter().for_each(|value| sum.take(*value));
            sum.mean()
        };
        assert_eq!(mean(&[1.0, 2.0]), 1.5);
        assert_eq!(mean(&[-0.1, -0.2, 0.3, 0.0]), -(2.0_f64.powi(-57)));
        // The sum, 2^53 + 1, has no float; a third of it has, and rounding twice would miss it.
        let third = (9_007_199_254_740_993_i64 / 3) as f64;
        assert_eq!(mean(&[9_007_199_254_740_992.0, 0.5, 0.5]), third);
    }

    #[test]
    fn differences_are_counted_and_shown() {
        let row = |key: i64, value: &str| vec![Value::Int(key), Value::Text(value.to_owned())];
        let expected: Answer =
            [(Value::Int(1), vec![row(1, "a"), row(1, "b")]), (Value::Int(2), vec![row(2, "c")])].into();
        assert_eq!(compare(&expected, &expected), Verdict { rows: 3, ..Verdict::default() });

        let found: Answer =
            [(Value::Int(1), vec![row(1, "b"), row(1, "a")]), (Value::Int(3), vec![row(3, "d")])].into();
        let verdict = compare(&expected, &found);
        assert_eq!((verdict.rows, verdict.differences), (3, 4));
        assert_eq!(verdict.first[0], r#"key 1, row 1: expected (1, "a"), found (1, "b")"#);
        assert_eq!(verdict.first[2], r#"key 2, row 1: expected (2, "c"), found no such row"#);
        assert_eq!(verdict.first[3], r#"key 3, row 1: expected no such row, found (3, "d")"#);
    }

    #[test]
    fn exact_functions_pass_over_null() {
        let connection = Connection::open_in_memory().expect("SQLite in memory");
        add_exact_functions(&connection).expect("functions are added");
        let ask =
            |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<f64>>(0)).expect("valid SQL");
        assert_eq!(ask("SELECT exact_mean(column1) FROM (VALUES (1), (NULL), (2.0))"), Some(1.5));
        assert_eq!(ask("SELECT exact_sum(column1) FROM (VALUES (NULL))"), None);
    }
}
