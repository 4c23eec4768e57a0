//! Locking clauses inside of UPDATE, DELETE and INSERT: the rows that a statement changes are often chosen so.
//!
//! ```sql
//! UPDATE jobs SET state = 'taken'
//! WHERE id = (SELECT id FROM jobs WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
//! RETURNING id
//! ```
//!
//! Such a subquery is run before the statement, once. In its place stands a table of what it has given, so nothing of it
//! depends on the rows around it.

use super::Locking;
use crate::catalog::Catalog;
use crate::error::{Result, SqlError};
use crate::parameters::Parameters;
use crate::parse::parse;
use crate::statement::Bound;
use sqlparser::ast::{ObjectName, Query, Statement, Visit, VisitMut, Visitor, VisitorMut};
use std::ops::ControlFlow;

/// Begins the names of the tables of what was given; no SQL name begins so.
const TABLE: &str = "\u{1}given";

/// The number of the subquery of whose rows this is the table, if it is one.
pub(crate) fn number_of(name: &ObjectName) -> Option<usize> {
    let [part] = name.0.as_slice() else { return None };
    part.as_ident()?.value.strip_prefix(TABLE)?.parse().ok()
}

/// Whether a part of a statement locks rows.
fn has_locks(statement: &Statement) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            if query.locks.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    }
    statement.visit(&mut Finder).is_break()
}

/// The statement with tables in place of the subqueries that lock rows, and these; none if there are none.
pub(crate) fn take(
    catalog: &Catalog,
    statement: &Statement,
    parameters: &Parameters,
) -> Result<Option<(Statement, Vec<Locking>)>> {
    struct Taker<'t> {
        catalog: &'t Catalog,
        parameters: &'t Parameters,
        taken: Vec<Locking>,
    }
    impl VisitorMut for Taker<'_> {
        type Break = SqlError;
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
            if query.locks.is_empty() {
                return ControlFlow::Continue(());
            }
            match replaced(self.catalog, query, self.parameters, self.taken.len()) {
                Ok((table, Some(locking))) => {
                    *query = table;
                    self.taken.push(locking);
                }
                Ok((unlocked, None)) => *query = unlocked,
                Err(error) => return ControlFlow::Break(error),
            }
            ControlFlow::Continue(())
        }
    }
    if !has_locks(statement) {
        return Ok(None);
    }
    let mut statement = statement.clone();
    let mut taker = Taker { catalog, parameters, taken: Vec::new() };
    match VisitMut::visit(&mut statement, &mut taker) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(Some((statement, taker.taken))),
    }
}

/// What stands in the place of a query that locks rows: its table, or itself if there is nothing to lock.
fn replaced(
    catalog: &Catalog,
    query: &Query,
    parameters: &Parameters,
    number: usize,
) -> Result<(Query, Option<Locking>)> {
    let prepared = super::bind(catalog, query, parameters)?;
    let Bound::Locking(locking) = prepared.bound else {
        return Ok((Query { locks: Vec::new(), ..query.clone() }, None));
    };
    parameters.give(prepared.columns);
    let parsed = parse(&format!("SELECT * FROM \"{TABLE}{number}\""))?;
    match parsed.into_iter().next().map(|parsed| parsed.statement) {
        Some(Statement::Query(table)) => Ok((*table, Some(*locking))),
        _ => unreachable!("it is a query"),
    }
}
