//! Reads by key: a SELECT from one table or materialised view whose WHERE names the key.
//!
//! Of the ways to find the object's rows, the one with the longest key is taken whose columns all are compared with
//! constants or parameters, by `=` or IN. What else the WHERE says is asked of the rows found, in the front, as are
//! ORDER BY, LIMIT and the expressions of the select list.

use crate::catalog::{Catalog, Object, ObjectKind};
use crate::columns::columns_of;
use crate::error::{Result, SqlError};
use crate::evaluate::{Cell, Context, Evaluator};
use crate::expression::Binder;
use crate::parameters::Parameters;
use crate::scope::{Scope, ScopeColumn};
use crate::sql_type::SqlType;
use crate::write::is_null_constant;
use operators::expr::{CompareOp, Expr, Literal};
use operators::{Row, RowBuilder, Rows, ViewId};
use sqlparser::ast::Expr as Ast;

/// Most keys that one statement looks up.
pub const KEYS_MAX: usize = 65_536;

/// A read by key.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// What is read, for messages.
    pub object: String,
    /// The view of the engine.
    pub view: ViewId,
    /// For each column of the key the values that it may have.
    keys: Vec<Vec<Cell>>,
    /// What must be true of a row besides.
    conditions: Vec<Cell>,
    /// What is shown, and behind it what is only ordered by.
    outputs: Evaluator,
    /// How many of the outputs are shown.
    visible: usize,
    /// Output and whether descending.
    order: Vec<(usize, bool)>,
    cut: Cut,
    /// What is read when no row is found.
    empty_row: Option<Vec<Literal>>,
    /// The names and types of the rows found.
    width: usize,
    pub(crate) parameters: Vec<SqlType>,
}

/// The conditions of a WHERE, split into a key and the rest.
pub(crate) struct Keyed {
    pub(crate) view: ViewId,
    pub(crate) key: Vec<u16>,
    pub(crate) keys: Vec<Vec<Expr>>,
    pub(crate) rest: Vec<Expr>,
}

/// The scope of one object.
pub(crate) fn object_scope(object: &Object, alias: Option<String>) -> Scope {
    let table = Some(alias.unwrap_or_else(|| object.name.clone()));
    let columns = object.columns.iter().enumerate().map(|(at, column)| ScopeColumn {
        table: table.clone(),
        name: column.name.clone(),
        ty: column.ty,
        at,
        merged: false,
        rank: false,
    });
    Scope { columns: columns.collect() }
}

/// Finds the key in these conditions; none if they do not name one of the object's.
pub(crate) fn find_key(
    catalog: &Catalog,
    object: &Object,
    binder: &Binder<'_>,
    conditions: &[&Ast],
) -> Result<Option<Keyed>> {
    if matches!(object.kind, ObjectKind::View { .. }) {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for ast in conditions {
        match binder.condition(ast)? {
            Expr::And(list) => parts.extend(list),
            other => parts.push(other),
        }
    }
    let values: Vec<Option<(u32, Vec<Expr>)>> = parts.iter().map(key_values).collect();
    // The first of several conditions on one column makes the key.
    let named = |column: u16| {
        values.iter().position(|value| value.as_ref().is_some_and(|(at, _)| *at == u32::from(column)))
    };
    let usable = object.paths.iter().filter(|path| path.key.iter().all(|column| named(*column).is_some()));
    let Some(path) = usable.max_by_key(|path| path.key.len()) else { return Ok(None) };
    let used: Vec<usize> = path.key.iter().filter_map(|column| named(*column)).collect();
    let keys = used.iter().map(|at| values[*at].clone().expect("it has been found").1).collect();
    let rest = parts.into_iter().enumerate().filter(|(at, _)| !used.contains(at)).map(|(_, part)| part);
    let view = catalog.view(path).id;
    Ok(Some(Keyed { view, key: path.key.clone(), keys, rest: rest.collect() }))
}

/// The column and the values that a condition compares it with, if it is such a condition.
pub(crate) fn key_values(condition: &Expr) -> Option<(u32, Vec<Expr>)> {
    let constant = |expr: &Expr| columns_of(expr).is_empty();
    match condition {
        Expr::Compare(CompareOp::Eq, left, right) => match (&**left, &**right) {
            (Expr::ColumnAt(at), value) | (value, Expr::ColumnAt(at)) if constant(value) => {
                Some((*at, vec![value.clone()]))
            }
            _ => None,
        },
        Expr::InList(input, list) => match &**input {
            Expr::ColumnAt(at) if list.iter().all(constant) => Some((*at, list.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// What a lookup shows of the rows found.
pub(crate) struct Shown {
    pub(crate) outputs: Vec<(Expr, SqlType)>,
    pub(crate) visible: usize,
    pub(crate) order: Vec<(usize, bool)>,
    pub(crate) cut: Cut,
}

/// LIMIT and OFFSET of a result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    limit: Option<Cell>,
    offset: Option<Cell>,
}

impl Cut {
    /// Of these expressions, which name no columns.
    pub(crate) fn new(binder: &Binder<'_>, (limit, offset): (Option<&Ast>, Option<&Ast>)) -> Result<Cut> {
        let number = |ast: Option<&Ast>| match ast {
            Some(ast) if !is_null_constant(ast) => {
                let expr = binder.bind_as(ast, SqlType::BigInt)?;
                Cell::new(&expr, &[], binder.parameters).map(Some)
            }
            _ => Ok(None),
        };
        Ok(Cut { limit: number(limit)?, offset: number(offset)? })
    }

    /// How many rows are passed over, and how many are shown of those behind them.
    pub(crate) fn values(&self, context: &Context<'_>) -> Result<(usize, usize)> {
        let number = |cell: &Option<Cell>, otherwise: usize| match cell {
            None => Ok(otherwise),
            Some(cell) => match cell.value(None, context)? {
                Literal::Null => Ok(otherwise),
                Literal::Int(value) => usize::try_from(value)
                    .map_err(|_| SqlError::new("2201W", "LIMIT and OFFSET must not be negative")),
                _ => unreachable!("it was bound as an integer"),
            },
        };
        Ok((number(&self.offset, 0)?, number(&self.limit, usize::MAX)?))
    }
}

impl Lookup {
    pub(crate) fn new(
        catalog: &Catalog,
        object: &Object,
        keyed: Keyed,
        shown: Shown,
        parameters: &Parameters,
    ) -> Result<Lookup> {
        let row = catalog.engine_columns(object);
        let constant = |expr: &Expr| Cell::new(expr, &[], parameters);
        let keys = keyed.keys.iter().map(|list| list.iter().map(constant).collect::<Result<Vec<_>>>());
        Ok(Lookup {
            object: object.name.clone(),
            view: keyed.view,
            keys: keys.collect::<Result<_>>()?,
            conditions: keyed.rest.iter().map(|e| Cell::new(e, row, parameters)).collect::<Result<_>>()?,
            outputs: Evaluator::new(&shown.outputs, row, parameters)?,
            visible: shown.visible,
            order: shown.order,
            cut: shown.cut,
            empty_row: object.empty_row.clone().filter(|_| keyed.key.is_empty()),
            width: row.len(),
            parameters: parameters.types(),
        })
    }

    /// The keys to look up, each once. A key with a NULL is none, since NULL equals nothing.
    pub fn keys(&self, context: &Context<'_>) -> Result<Rows> {
        crate::evaluate::check_parameters(&self.parameters, context)?;
        let columns = self.keys.iter().map(|column| column.iter().map(|cell| cell.value(None, context)));
        let too_many = || SqlError::new("54000", format!("a statement looks up at most {KEYS_MAX} keys"));
        all_keys(columns)?.ok_or_else(too_many)
    }

    /// The most rows of a key that are needed.
    pub fn limit(&self, context: &Context<'_>) -> Result<u32> {
        if !self.conditions.is_empty() || !self.order.is_empty() {
            return Ok(u32::MAX);
        }
        let (offset, limit) = self.cut.values(context)?;
        Ok(u32::try_from(limit.saturating_add(offset)).unwrap_or(u32::MAX))
    }

    /// The result, made of the rows found for the keys.
    pub fn result(&self, found: &Rows, context: &Context<'_>) -> Result<Rows> {
        let mut rows: Vec<Vec<Literal>> = Vec::new();
        for row in found.iter().filter(|row| row.len() == self.width) {
            if self.is_wanted(row, context)? {
                rows.push(self.outputs.values(Some(row), context)?);
            }
        }
        if found.is_empty()
            && let Some(empty) = &self.empty_row
        {
            let mut builder = RowBuilder::new();
            builder.start(self.width);
            let nulls = std::iter::repeat_n(&Literal::Null, self.width - empty.len());
            empty.iter().chain(nulls).for_each(|value| builder.push(value.datum()));
            let row = builder.finish();
            if self.is_wanted(row, context)? {
                rows.push(self.outputs.values(Some(row), context)?);
            }
        }
        if !self.order.is_empty() {
            rows.sort_by(|a, b| {
                self.order
                    .iter()
                    .map(|(at, descending)| {
                        let order = a[*at].datum().order(&b[*at].datum());
                        if *descending { order.reverse() } else { order }
                    })
                    .find(|order| order.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
        }
        let (offset, limit) = self.cut.values(context)?;
        let mut result = Rows::new();
        let mut builder = RowBuilder::new();
        for row in rows.iter().skip(offset).take(limit) {
            builder.start(self.visible);
            row[..self.visible].iter().for_each(|value| builder.push(value.datum()));
            result.push(builder.finish());
        }
        Ok(result)
    }

    fn is_wanted(&self, row: Row<'_>, context: &Context<'_>) -> Result<bool> {
        for condition in &self.conditions {
            if condition.value(Some(row), context)? != Literal::Bool(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// All keys with these values of their columns, each once, without those that have a NULL; none if they are more than
/// [`KEYS_MAX`].
pub(crate) fn all_keys<C>(columns: impl Iterator<Item = C>) -> Result<Option<Rows>>
where
    C: Iterator<Item = Result<Literal>>,
{
    let mut keys: Vec<Vec<Literal>> = vec![Vec::new()];
    for column in columns {
        let mut values: Vec<Literal> = Vec::new();
        for value in column {
            let value = value?;
            if value != Literal::Null && !values.contains(&value) {
                values.push(value);
            }
        }
        if keys.len() * values.len() > KEYS_MAX {
            return Ok(None);
        }
        let with = |key: &Vec<Literal>| -> Vec<Vec<Literal>> {
            values.iter().map(|value| key.iter().chain([value]).cloned().collect()).collect()
        };
        keys = keys.iter().flat_map(with).collect();
    }
    let mut rows = Rows::new();
    let mut builder = RowBuilder::new();
    for key in keys {
        builder.start(key.len());
        key.iter().for_each(|value| builder.push(value.datum()));
        rows.push(builder.finish());
    }
    Ok(Some(rows))
}
