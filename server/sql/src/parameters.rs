//! Parameters `$1`, `$2`, ...: their types as far as the places where they stand tell, and the columns by which
//! expressions see them.
//!
//! An expression of a statement is evaluated on a row that continues with the values of the parameters and the time of
//! the statement; so it is resolved once and run with any values.

use crate::error::{Result, SqlError};
use crate::sql_type::SqlType;
use crate::statement::ResultColumn;
use operators::expr::Expr;
use operators::{Column, Type};
use std::cell::RefCell;

/// As many as the protocol can carry.
const PARAMETERS_MAX: usize = u16::MAX as usize;
/// Begins names that no SQL name can be confused with, since names have no control characters.
const HIDDEN: char = '\u{1}';

/// The number that the time of the statement has among the parameters of a plan.
pub(crate) const NOW: u32 = u32::MAX;

/// What is known about the parameters of one statement.
#[derive(Debug)]
pub(crate) struct Parameters {
    /// By number from 0.
    types: RefCell<Vec<Option<SqlType>>>,
    /// The columns of what is given to the statement as tables: subqueries of it that are run before.
    given: RefCell<Vec<Vec<ResultColumn>>>,
    /// Why there must be none here, and no `now()` either.
    forbidden: Option<&'static str>,
}

impl Parameters {
    pub(crate) fn new(declared: &[Option<SqlType>]) -> Self {
        Parameters { types: RefCell::new(declared.to_vec()), given: RefCell::default(), forbidden: None }
    }

    /// For what is kept: its value must not depend on a statement.
    pub(crate) fn forbidden(what: &'static str) -> Self {
        Parameters { types: RefCell::default(), given: RefCell::default(), forbidden: Some(what) }
    }

    /// One more table with these columns is given.
    pub(crate) fn give(&self, columns: Vec<ResultColumn>) {
        self.given.borrow_mut().push(columns);
    }

    /// The columns of a table that is given, by number from 0.
    pub(crate) fn given(&self, number: usize) -> Option<Vec<ResultColumn>> {
        self.given.borrow().get(number).cloned()
    }

    /// The index of the parameter written `$n`.
    pub(crate) fn index(&self, placeholder: &str) -> Result<usize> {
        if let Some(what) = self.forbidden {
            return Err(SqlError::new("42P02", format!("there are no parameters in {what}")));
        }
        let number = placeholder.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let index = number.and_then(|number| number.checked_sub(1)).filter(|index| *index < PARAMETERS_MAX);
        let index =
            index.ok_or_else(|| SqlError::new("42P02", format!("there is no parameter {placeholder}")))?;
        let mut types = self.types.borrow_mut();
        if types.len() <= index {
            types.resize(index + 1, None);
        }
        Ok(index)
    }

    /// The type of a parameter, if it is known yet.
    pub(crate) fn ty(&self, index: usize) -> Option<SqlType> {
        self.types.borrow()[index]
    }

    /// Takes a parameter for this type.
    pub(crate) fn infer(&self, index: usize, ty: SqlType) {
        self.types.borrow_mut()[index] = Some(ty.bare());
    }

    /// The expression for `now()`.
    pub(crate) fn now(&self) -> Result<Expr> {
        match self.forbidden {
            None => Ok(Expr::Column(now_name())),
            Some(what) => Err(SqlError::new("42P17", format!("now() has no meaning in {what}"))
                .detail("A view is a function of the rows of its tables.")
                .hint("Write the time into a column and use that.")),
        }
    }

    /// The expression with its parameters and the time as a plan holds them, which has no columns for them. Their types
    /// must be known by now.
    pub(crate) fn placed(&self, expr: &Expr) -> Expr {
        if self.forbidden.is_some() {
            return expr.clone();
        }
        let types = self.types();
        expr.with_leaves(&mut |leaf| match leaf {
            Expr::Column(name) if *name == now_name() => Expr::Parameter(NOW, Type::Timestamp),
            Expr::Column(name) => match (0..types.len()).find(|index| parameter_name(*index) == *name) {
                Some(index) => Expr::Parameter(index as u32, types[index].engine()),
                None => leaf.clone(),
            },
            other => other.clone(),
        })
    }

    /// The types of all; what no place tells is text.
    pub(crate) fn types(&self) -> Vec<SqlType> {
        self.types.borrow().iter().map(|ty| ty.unwrap_or(SqlType::Text)).collect()
    }

    /// The columns that follow those of a row: the parameters, then the time.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let parameters = self.types().into_iter().enumerate();
        let mut columns: Vec<Column> = parameters
            .map(|(index, ty)| Column { name: parameter_name(index), ty: ty.engine(), nullable: true })
            .collect();
        columns.push(Column { name: now_name(), ty: Type::Timestamp, nullable: false });
        columns
    }
}

/// The expression that gives the value of a parameter.
pub(crate) fn parameter(index: usize) -> Expr {
    Expr::Column(parameter_name(index))
}

/// The index of the parameter whose value an expression gives, if that is all that it is.
pub(crate) fn index_of(expr: &Expr) -> Option<usize> {
    let Expr::Column(name) = expr else { return None };
    let number: usize = name.strip_prefix(HIDDEN)?.strip_prefix('$')?.parse().ok()?;
    number.checked_sub(1)
}

fn parameter_name(index: usize) -> String {
    format!("{HIDDEN}${}", index + 1)
}

fn now_name() -> String {
    format!("{HIDDEN}now")
}
