//! Values computed in the front: from constants, from a row that was found, from parameters.
//!
//! Resolved once; run with any row and any parameters.

use crate::error::{Result, SqlError};
use crate::parameters::{Parameters, index_of};
use crate::sql_type::SqlType;
use crate::text;
use operators::expr::{BoundExpr, Expr, Literal, NoValue, Scratch};
use operators::row::COLUMN_COUNT_MAX;
use operators::{Column, Datum, Row, RowBuilder, Type};

/// What a statement is run with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The values of `$1`, `$2`, ..., each NULL or of its type's engine type.
    pub parameters: &'a [Literal],
    /// The time of the statement: microseconds since 1970, UTC.
    pub now: i64,
}

/// One value.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Constant(Literal),
    Parameter(usize),
    Column(usize, Type),
    Computed(Computed),
}

/// An expression over the columns of a row, then the parameters that it uses, then the time.
#[derive(Debug, Clone)]
pub(crate) struct Computed {
    expr: BoundExpr,
    row: Vec<Type>,
    parameters: Vec<usize>,
}

impl Cell {
    /// The expression over rows of these columns.
    pub(crate) fn new(expr: &Expr, row: &[Column], parameters: &Parameters) -> Result<Cell> {
        match expr {
            Expr::Literal(literal) => return Ok(Cell::Constant(Literal::from(literal.datum()))),
            Expr::ColumnAt(at) => return Ok(Cell::Column(*at as usize, row[*at as usize].ty)),
            _ => {}
        }
        if let Some(index) = index_of(expr) {
            return Ok(Cell::Parameter(index));
        }
        let all = parameters.columns();
        let (now, all) = all.split_last().expect("the time is among them");
        let mut used = Vec::new();
        names_of(expr, &mut |name| {
            if let Some(index) = all.iter().position(|column| column.name == name)
                && !used.contains(&index)
            {
                used.push(index);
            }
        });
        let mut columns = row.to_vec();
        columns.extend(used.iter().map(|index| all[*index].clone()));
        columns.push(now.clone());
        if columns.len() > COLUMN_COUNT_MAX {
            return Err(SqlError::new("54000", "too many parameters in one expression"));
        }
        let (expr, _) = expr.resolve(&columns)?;
        Ok(Cell::Computed(Computed {
            expr,
            row: row.iter().map(|column| column.ty).collect(),
            parameters: used,
        }))
    }

    /// The value.
    pub(crate) fn value(&self, row: Option<Row<'_>>, context: &Context<'_>) -> Result<Literal> {
        match self {
            Cell::Constant(value) => Ok(value.clone()),
            Cell::Parameter(index) => Ok(context.parameters[*index].clone()),
            Cell::Column(at, ty) => Ok(Literal::from(row.expect("a column is of a row").datum(*at, *ty))),
            Cell::Computed(computed) => computed.value(row, context),
        }
    }
}

impl Computed {
    fn value(&self, row: Option<Row<'_>>, context: &Context<'_>) -> Result<Literal> {
        let mut builder = RowBuilder::new();
        builder.start(self.row.len() + self.parameters.len() + 1);
        for (at, ty) in self.row.iter().enumerate() {
            builder.copy(row.expect("a column is of a row"), at, ty.in_tail());
        }
        for index in &self.parameters {
            builder.push(context.parameters[*index].datum());
        }
        builder.push(Datum::Timestamp(context.now));
        let scratch = Scratch::new();
        let value = Literal::from(self.expr.eval(builder.finish(), &scratch));
        if scratch.errors() > 0 {
            return Err(no_value(scratch.no_value()));
        }
        Ok(value)
    }
}

/// The error of an expression that has no value on some row.
pub fn no_value(why: Option<NoValue>) -> SqlError {
    let (sqlstate, message) = match why {
        Some(NoValue::DivisionByZero) => ("22012", "division by zero"),
        Some(NoValue::OutOfRange) => ("22003", "a value is out of range"),
        Some(NoValue::Text(Type::Date | Type::Timestamp)) => ("22007", "a text is no date or time"),
        Some(NoValue::Text(_)) => ("22P02", "a text is no value of the type that it is converted to"),
        Some(NoValue::Root) => ("2201F", "cannot take the square root of a negative number"),
        Some(NoValue::Substring) => ("22011", "negative substring length not allowed"),
        Some(NoValue::SeveralRows) => {
            ("21000", "more than one row returned by a subquery used as an expression")
        }
        _ => ("22000", "an expression has no value"),
    };
    SqlError::new(sqlstate, message)
}

/// Several values of known types.
#[derive(Debug, Clone)]
pub struct Evaluator {
    pub(crate) cells: Vec<Cell>,
    pub(crate) types: Vec<SqlType>,
}

impl Evaluator {
    pub(crate) fn new(exprs: &[(Expr, SqlType)], row: &[Column], parameters: &Parameters) -> Result<Self> {
        if exprs.len() > COLUMN_COUNT_MAX {
            return Err(SqlError::new("54011", format!("a result has at most {COLUMN_COUNT_MAX} columns")));
        }
        Ok(Evaluator {
            cells: exprs.iter().map(|(expr, _)| Cell::new(expr, row, parameters)).collect::<Result<_>>()?,
            types: exprs.iter().map(|(_, ty)| *ty).collect(),
        })
    }

    /// The values, each as its type holds it.
    pub fn values(&self, row: Option<Row<'_>>, context: &Context<'_>) -> Result<Vec<Literal>> {
        self.cells
            .iter()
            .zip(&self.types)
            .map(|(cell, ty)| text::fit(*ty, cell.value(row, context)?))
            .collect()
    }
}

/// Checks the values of parameters against their types.
pub(crate) fn check_parameters(types: &[SqlType], context: &Context<'_>) -> Result<()> {
    if types.len() != context.parameters.len() {
        return Err(SqlError::new(
            "08P01",
            format!("{} parameters are needed, not {}", types.len(), context.parameters.len()),
        ));
    }
    for (number, (ty, value)) in (1..).zip(types.iter().zip(context.parameters)) {
        if value.kind().is_some_and(|kind| kind != ty.engine()) {
            return Err(SqlError::types(format!("the parameter ${number} is not of type {ty}")));
        }
    }
    Ok(())
}

/// The columns that an expression names.
fn names_of(expr: &Expr, found: &mut impl FnMut(&str)) {
    match expr {
        Expr::Column(name) => found(name),
        Expr::ColumnAt(_) | Expr::Literal(_) | Expr::Parameter(..) => {}
        Expr::Negate(x) | Expr::Not(x) | Expr::IsNull(x) | Expr::Cast(x, _) => names_of(x, found),
        Expr::Arithmetic(_, l, r) | Expr::Compare(_, l, r) | Expr::NullIf(l, r) | Expr::Like(l, r, _) => {
            names_of(l, found);
            names_of(r, found);
        }
        Expr::And(list) | Expr::Or(list) | Expr::Coalesce(list) | Expr::Call(_, list) => {
            list.iter().for_each(|expr| names_of(expr, found));
        }
        Expr::InList(x, list) => {
            names_of(x, found);
            list.iter().for_each(|expr| names_of(expr, found));
        }
        Expr::Case(conditions, values, otherwise) => {
            conditions.iter().chain(values).for_each(|expr| names_of(expr, found));
            names_of(otherwise, found);
        }
    }
}
