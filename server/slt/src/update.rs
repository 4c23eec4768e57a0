//! Fills in a file by what the reference answers.

use crate::Error;
use crate::answer::{Connection, Kind};
use crate::file::{applies, labels, records};
use crate::run::{Way, line};
use sqllogictest::{ExpectedError, QueryExpect, Record, SortMode, StatementExpect};
use std::fmt::Write;
use std::path::Path;

/// Runs a file and writes it anew, with the results that came. What must fail must fail still, and what must not, not.
pub fn update(path: &Path, engine: &str, connection: &mut dyn Connection) -> Result<(), Error> {
    let labels = labels(engine, Way::Scan);
    let mut text = String::new();
    for mut record in records(path)? {
        fill(&mut record, &labels, connection)?;
        writeln!(text, "{record}").expect("a string takes all");
    }
    let text = format!("{}\n", text.trim_end());
    std::fs::write(path, text).map_err(|error| Error::File { path: path.display().to_string(), error })
}

fn fill(record: &mut Record<Kind>, labels: &[&str], connection: &mut dyn Connection) -> Result<(), Error> {
    match record {
        Record::Statement { conditions, loc, sql, expected, .. } if applies(conditions, labels) => {
            let wants_error = matches!(expected, StatementExpect::Error(_));
            *expected = match connection.run(sql) {
                Err(failure) if wants_error => {
                    StatementExpect::Error(ExpectedError::SqlState(failure.sqlstate))
                }
                Err(failure) => return Err(Error::Unexpected(format!("{loc}: {sql}\n  {failure}"))),
                Ok(_) if wants_error => return Err(Error::Unexpected(format!("{loc}: {sql}\n  no error"))),
                Ok(answer) if is_write(sql) => StatementExpect::Count(answer.count),
                Ok(_) => StatementExpect::Ok,
            };
        }
        Record::Query { conditions, loc, sql, expected, .. } if applies(conditions, labels) => {
            let wants_error = matches!(expected, QueryExpect::Error(_));
            *expected = match connection.run(sql) {
                Err(failure) if wants_error => QueryExpect::Error(ExpectedError::SqlState(failure.sqlstate)),
                Err(failure) => return Err(Error::Unexpected(format!("{loc}: {sql}\n  {failure}"))),
                Ok(_) if wants_error => return Err(Error::Unexpected(format!("{loc}: {sql}\n  no error"))),
                Ok(answer) => {
                    let mut results: Vec<String> = answer.rows.iter().map(|row| line(row)).collect();
                    let in_order = is_ordered(sql);
                    if !in_order {
                        results.sort();
                    }
                    QueryExpect::Results {
                        types: answer.kinds,
                        sort_mode: (!in_order).then_some(SortMode::RowSort),
                        result_mode: None,
                        label: None,
                        results,
                    }
                }
            };
        }
        _ => {}
    }
    Ok(())
}

/// Whether an ORDER BY stands outside of all parentheses.
fn is_ordered(sql: &str) -> bool {
    let mut depth = 0;
    let outside: String = sql
        .chars()
        .filter(|letter| {
            depth += i32::from(*letter == '(') - i32::from(*letter == ')');
            depth == 0
        })
        .collect();
    outside.to_uppercase().contains("ORDER BY")
}

fn is_write(sql: &str) -> bool {
    ["insert", "update", "delete"].iter().any(|word| sql.trim_start().to_lowercase().starts_with(word))
}
