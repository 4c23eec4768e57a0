//! PREPARE and EXECUTE: statements that a session keeps by their names.
//!
//! They are the same ones that the protocol prepares, so a session binds them as it binds those, and only then is it known of
//! which types the arguments of an EXECUTE have to be.

use crate::error::{Result, SqlError};
use crate::evaluate::{Context, Evaluator};
use crate::expression::Binder;
use crate::names::{fold, new_name, object_name};
use crate::parameters::Parameters;
use crate::parse::Parsed;
use crate::scope::Scope;
use crate::sql_type::SqlType;
use crate::write::assigned;
use operators::expr::Literal;
use sqlparser::ast::{DataType, Expr as Ast, Ident, Spanned, Statement};
use std::sync::Arc;

/// PREPARE.
#[derive(Debug, Clone)]
pub struct Preparation {
    /// The statement's name.
    pub name: String,
    /// What is to be bound.
    pub parsed: Parsed,
    /// The text of the PREPARE.
    pub text: String,
    /// The types of its first parameters, as far as they are given.
    pub declared: Vec<Option<SqlType>>,
}

/// EXECUTE.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The name of what is to be run.
    pub name: String,
    arguments: Vec<Ast>,
    /// In which places are counted.
    text: Arc<str>,
}

impl Preparation {
    pub(crate) fn new(
        name: &Ident,
        types: &[DataType],
        statement: &Statement,
        whole: &Parsed,
    ) -> Result<Self> {
        let can_be_kept = matches!(
            statement,
            Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)
        );
        if !can_be_kept {
            return Err(SqlError::syntax("PREPARE takes SELECT, INSERT, UPDATE, DELETE and VALUES"));
        }
        let declared = types.iter().map(|ty| match ty {
            DataType::Custom(name, modifiers)
                if modifiers.is_empty() && name.to_string().eq_ignore_ascii_case("unknown") =>
            {
                Ok(None)
            }
            ty => SqlType::from_ast(ty).map(|ty| Some(ty.bare())),
        });
        Ok(Preparation {
            name: new_name(name)?,
            text: whole.sql.clone(),
            declared: declared.collect::<Result<_>>()?,
            parsed: Parsed {
                statement: statement.clone(),
                sql: statement.to_string(),
                text: whole.text.clone(),
            },
        })
    }
}

impl Execution {
    /// EXECUTE as PostgreSQL has it; the grammar knows more.
    pub(crate) fn new(statement: &Statement, whole: &Parsed) -> Result<Self> {
        let Statement::Execute {
            name: Some(name),
            parameters,
            has_parentheses,
            immediate: false,
            into,
            using,
            output: false,
            default: false,
        } = statement
        else {
            return Err(SqlError::syntax("EXECUTE takes a name and arguments in parentheses"));
        };
        let [part] = name.0.as_slice() else {
            return Err(SqlError::syntax("a prepared statement has a name without a schema"));
        };
        if *has_parentheses == parameters.is_empty() || !into.is_empty() || !using.is_empty() {
            return Err(SqlError::syntax("EXECUTE takes a name and arguments in parentheses"));
        }
        let name = match part.as_ident() {
            Some(ident) => fold(ident),
            None => object_name(name)?,
        };
        Ok(Execution { name, arguments: parameters.clone(), text: whole.text.clone() })
    }

    /// The arguments as values of parameters of these types; `now` is the time of the statement, in microseconds since 1970.
    ///
    /// # Errors
    ///
    /// 42601 if there are not as many, 42804 if one is of another type, and what is wrong with an expression.
    pub fn values(&self, types: &[SqlType], now: i64) -> Result<Vec<Literal>> {
        let (wanted, given) = (types.len(), self.arguments.len());
        if wanted != given {
            let message = format!("wrong number of parameters for prepared statement {:?}", self.name);
            return Err(
                SqlError::syntax(message).detail(format!("Expected {wanted} parameters but got {given}."))
            );
        }
        let context = Context { parameters: &[], now };
        let values = self.arguments.iter().zip(types).enumerate();
        values
            .map(|(at, (ast, ty))| value(at + 1, ast, *ty, &context).map_err(|error| error.at(ast.span())))
            .collect::<Result<_>>()
            .map_err(|error| error.located(&self.text))
    }
}

/// The value of an argument.
fn value(number: usize, ast: &Ast, ty: SqlType, context: &Context<'_>) -> Result<Literal> {
    if crate::embedded::has_subquery(ast) {
        return Err(SqlError::new("0A000", "cannot use subquery in EXECUTE parameter"));
    }
    let (nothing, parameters) = (Scope::default(), Parameters::new(&[]));
    let typed = Binder::new(&nothing, &parameters).bind(ast)?;
    let known = typed.known();
    let expr = assigned(typed, ty, &parameters).map_err(|error| match known {
        None => error,
        Some(from) => SqlError::types(format!(
            "parameter ${number} of type {from} cannot be coerced to the expected type {ty}"
        ))
        .hint("You will need to rewrite or cast the expression."),
    })?;
    if let outer @ 1.. = parameters.types().len() {
        return Err(SqlError::new("42P02", format!("there is no parameter ${outer}")));
    }
    let evaluator = Evaluator::new(&[(expr, ty)], &[], &parameters)?;
    Ok(evaluator.values(None, context)?.pop().expect("one expression has one value"))
}
