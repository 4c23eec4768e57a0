//! Tables that stand in the query itself: `VALUES (...), (...)` and `unnest(array, ...)`, whose rows are constants and
//! parameters. Like all rows that the front has by itself they are read by queries alone.

use crate::error::{Result, SqlError};
use crate::evaluate::{Cell, Context};
use crate::expression::Binder;
use crate::names::fold;
use crate::planner::{Given, Planner, Relation};
use crate::scope::Scope;
use crate::sql_type::{Element, SqlType};
use crate::text;
use crate::typed::{Typed, unify};
use operators::expr::{Literal, arrays};
use operators::{Datum, RowBuilder, Rows};
use sqlparser::ast::{Expr as Ast, TableAlias, Values};
use std::sync::Arc;

/// Rows that constants and parameters say.
#[derive(Debug)]
pub(crate) enum Table {
    /// The cells of each row, with the types of the columns.
    Values(Vec<Vec<Cell>>, Vec<SqlType>),
    /// Arrays side by side, and whether the rows are numbered.
    Unnest(Vec<(Cell, Element)>, bool),
}

impl Table {
    /// The rows, with these parameters.
    pub(crate) fn rows(&self, context: &Context<'_>) -> Result<Rows> {
        let (mut rows, mut builder) = (Rows::new(), RowBuilder::new());
        // Behind each row stands its place, by which the rows keep their order.
        match self {
            Table::Values(list, types) => {
                for (place, cells) in (0..).zip(list) {
                    builder.start(cells.len() + 1);
                    for (cell, ty) in cells.iter().zip(types) {
                        builder.push(text::fit(*ty, cell.value(None, context)?)?.datum());
                    }
                    builder.push(Datum::Int(place));
                    rows.push(builder.finish());
                }
            }
            Table::Unnest(list, numbered) => {
                let columns: Vec<Vec<Literal>> = list
                    .iter()
                    .map(|(cell, element)| elements(cell, *element, context))
                    .collect::<Result<_>>()?;
                // The shorter ones go on with NULL.
                let count = columns.iter().map(Vec::len).max().unwrap_or(0);
                for at in 0..count {
                    builder.start(columns.len() + usize::from(*numbered) + 1);
                    for column in &columns {
                        builder.push(column.get(at).unwrap_or(&Literal::Null).datum());
                    }
                    if *numbered {
                        builder.push(Datum::Int(at as i64 + 1));
                    }
                    builder.push(Datum::Int(at as i64));
                    rows.push(builder.finish());
                }
            }
        }
        Ok(rows)
    }
}

/// The elements of an array; none of NULL.
fn elements(cell: &Cell, element: Element, context: &Context<'_>) -> Result<Vec<Literal>> {
    let Literal::Text(array) = cell.value(None, context)? else { return Ok(Vec::new()) };
    let texts = arrays::elements(&array)
        .ok_or_else(|| SqlError::new("22P02", format!("malformed array literal: {array:?}")))?;
    let value =
        |text: Option<String>| text.map_or(Ok(Literal::Null), |text| text::parse(element.ty(), &text));
    texts.into_iter().map(|text| value(text.map(Into::into))).collect()
}

impl Planner<'_> {
    /// `VALUES (...), (...)`
    pub(crate) fn values(&mut self, values: &Values) -> Result<Relation> {
        let nothing = Scope::default();
        let binder = Binder::new(&nothing, self.parameters);
        let width = values.rows.first().map_or(0, |row| row.len());
        if values.rows.iter().any(|row| row.len() != width) {
            return Err(SqlError::syntax("VALUES lists must all be the same length"));
        }
        let mut columns = Vec::with_capacity(width);
        for at in 0..width {
            let column =
                values.rows.iter().map(|row| binder.bind(&row[at])).collect::<Result<Vec<Typed>>>()?;
            columns.push(unify("VALUES", column, self.parameters)?);
        }
        let types: Vec<SqlType> = columns.iter().map(|(_, ty)| *ty).collect();
        let mut rows = Vec::with_capacity(values.rows.len());
        for number in 0..values.rows.len() {
            let cells = columns.iter().map(|(exprs, _)| Cell::new(&exprs[number], &[], self.parameters));
            rows.push(cells.collect::<Result<Vec<_>>>()?);
        }
        let named = types.iter().enumerate().map(|(at, ty)| (format!("column{}", at + 1), *ty)).collect();
        self.given("VALUES", named, Given::Table(Arc::new(Table::Values(rows, types))))
    }

    /// `unnest(array, ...) [WITH ORDINALITY]` of arrays that are constants or parameters.
    pub(crate) fn unnest(
        &mut self,
        arrays: &[Ast],
        numbered: bool,
        alias: Option<&TableAlias>,
    ) -> Result<Relation> {
        let nothing = Scope::default();
        let binder = Binder::new(&nothing, self.parameters);
        let mut list = Vec::with_capacity(arrays.len());
        let mut columns = Vec::with_capacity(arrays.len() + 1);
        // The column of one array has the name of the table.
        let name = match alias {
            Some(alias) if arrays.len() == 1 => fold(&alias.name),
            _ => "unnest".to_owned(),
        };
        for ast in arrays {
            let (array, element) = binder.typed_array(ast)?;
            list.push((Cell::new(&array, &[], self.parameters)?, element));
            columns.push((name.clone(), element.ty()));
        }
        if numbered {
            columns.push(("ordinality".to_owned(), SqlType::BigInt));
        }
        self.given("unnest", columns, Given::Table(Arc::new(Table::Unnest(list, numbered))))
    }
}
