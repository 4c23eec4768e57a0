//! Rules for rows that are there already: what ALTER TABLE asks of them with NOT NULL, CHECK and a shorter type.

use crate::catalog::{AlteredColumn, Change};
use crate::error::SqlError;
use crate::sql_type::SqlType;

/// What the rows of a table must meet for a change of the catalogue to stand.
#[derive(Debug, Clone)]
pub struct Rule {
    /// A query with one value: how many rows do not meet it.
    pub broken: String,
    /// The error, if there are any.
    pub error: SqlError,
    /// The statement that takes the rule back.
    pub undo: String,
}

impl Change {
    /// The rules that it brings for rows that are there.
    pub fn rules(&self) -> Vec<Rule> {
        match self {
            Change::Constrain { table, checks, .. } => {
                let rule = |check: &crate::catalog::Check| Rule {
                    broken: format!("SELECT count(*) FROM {} WHERE NOT ({})", quoted(table), check.condition),
                    error: SqlError::new(
                        "23514",
                        format!(
                            "check constraint {:?} of relation {table:?} is violated by some row",
                            check.name
                        ),
                    ),
                    undo: format!("ALTER TABLE {} DROP CONSTRAINT {}", quoted(table), quoted(&check.name)),
                };
                checks.iter().map(rule).collect()
            }
            Change::AlterColumn(altered) if altered.before.nullable && !altered.after.nullable => {
                vec![never_null(altered)]
            }
            Change::AlterColumn(altered) => longest(altered).into_iter().collect(),
            Change::Several(changes) => changes.iter().flat_map(Change::rules).collect(),
            _ => Vec::new(),
        }
    }
}

fn never_null(AlteredColumn { table, after, .. }: &AlteredColumn) -> Rule {
    let message = format!("column {:?} of relation {table:?} contains null values", after.name);
    let (table, column) = (quoted(table), quoted(&after.name));
    Rule {
        broken: format!("SELECT count(*) FROM {table} WHERE {column} IS NULL"),
        error: SqlError::new("23502", message),
        undo: format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"),
    }
}

/// Whether texts may be longer than a new type lets them.
pub(crate) fn is_shortened(from: SqlType, to: SqlType) -> bool {
    match (from, to) {
        (SqlType::Varchar(Some(before)), SqlType::Varchar(Some(after))) => after < before,
        (SqlType::Varchar(None) | SqlType::Text, SqlType::Varchar(Some(_))) => true,
        _ => false,
    }
}

fn longest(AlteredColumn { table, before, after, .. }: &AlteredColumn) -> Option<Rule> {
    let SqlType::Varchar(Some(length)) = after.ty else { return None };
    if !is_shortened(before.ty, after.ty) {
        return None;
    }
    let (table, column) = (quoted(table), quoted(&after.name));
    Some(Rule {
        broken: format!("SELECT count(*) FROM {table} WHERE char_length({column}) > {length}"),
        error: SqlError::new("22001", format!("value too long for type {}", after.ty)),
        undo: format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {}", before.ty),
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
