//! WITH before UPDATE, DELETE and INSERT: its queries become subqueries where they are named.

use crate::error::{Result, SqlError};
use crate::names::fold;
use sqlparser::ast::{
    Cte, FromTable, Ident, ObjectName, Query, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins,
    VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// The statement without WITH; none if it is no write.
pub(crate) fn write(query: &Query) -> Result<Option<Statement>> {
    let (SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement)) = &*query.body
    else {
        return Ok(None);
    };
    let mut statement = statement.clone();
    let Some(with) = &query.with else { return Ok(Some(statement)) };
    if with.recursive {
        return Err(SqlError::unsupported("WITH RECURSIVE"));
    }
    let mut named: Vec<Cte> = Vec::new();
    for cte in &with.cte_tables {
        let mut cte = cte.clone();
        if let SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) = &*cte.query.body {
            return Err(SqlError::unsupported("a write in WITH"));
        }
        named.iter().try_for_each(|before| inline(before, &mut *cte.query))?;
        named.push(cte);
    }
    // What is written is a table, whatever WITH calls so.
    let target = target(&mut statement).cloned();
    named.iter().try_for_each(|cte| inline(cte, &mut statement))?;
    if let (Some(place), Some(table)) = (self::target(&mut statement), target) {
        *place = table;
    }
    Ok(Some(statement))
}

/// What a statement changes, where it stands as a part of FROM.
fn target(statement: &mut Statement) -> Option<&mut TableWithJoins> {
    match statement {
        Statement::Update(update) => Some(&mut update.table),
        Statement::Delete(delete) => match &mut delete.from {
            FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables) => tables.first_mut(),
        },
        _ => None,
    }
}

/// Puts a query in the places where it is named.
fn inline(cte: &Cte, into: &mut impl VisitMut) -> Result<()> {
    struct Inliner<'c> {
        cte: &'c Cte,
        places: usize,
    }
    impl VisitorMut for Inliner<'_> {
        type Break = ();
        fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, alias, args: None, .. } = factor
                && is_named(name, &self.cte.alias.name)
            {
                self.places += 1;
                let own = &self.cte.alias;
                let alias = match alias.take() {
                    None => own.clone(),
                    Some(alias) if alias.columns.is_empty() => {
                        TableAlias { columns: own.columns.clone(), ..alias }
                    }
                    Some(alias) => alias,
                };
                *factor = TableFactor::Derived {
                    lateral: false,
                    subquery: self.cte.query.clone(),
                    alias: Some(alias),
                    sample: None,
                };
            }
            ControlFlow::Continue(())
        }
    }
    let mut inliner = Inliner { cte, places: 0 };
    let flow = into.visit(&mut inliner);
    assert!(flow.is_continue(), "nothing stops it");
    if inliner.places > 1 && !cte.query.locks.is_empty() {
        return Err(SqlError::unsupported("a query in WITH that locks rows and is named twice"));
    }
    Ok(())
}

fn is_named(name: &ObjectName, wanted: &Ident) -> bool {
    match name.0.as_slice() {
        [part] => part.as_ident().is_some_and(|ident| fold(ident) == fold(wanted)),
        _ => false,
    }
}
