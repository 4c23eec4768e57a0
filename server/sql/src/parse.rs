//! From text to statements.

use crate::error::{Result, SqlError};
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Statement, Value, visit_expressions_mut,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Longest text of a query message, in bytes.
pub const SQL_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of a statement; the binder recurses as deep.
const NESTING_MAX: usize = 60;

/// A parsed statement with its text.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub(crate) statement: Statement,
    pub(crate) sql: String,
    /// All that was parsed, in which places are counted.
    pub(crate) text: Arc<str>,
}

impl Parsed {
    /// The statement's text; in the parser's words if it was one of several.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// With what the functions that ask for their session say in the one of number `number`.
    pub fn in_session(mut self, number: u32) -> Parsed {
        const FUNCTION: &str = "pg_backend_pid";
        if !self.sql.contains(FUNCTION) {
            return self;
        }
        let flow = visit_expressions_mut(&mut self.statement, |ast| {
            if let Expr::Function(function) = ast
                && function.name.0.last().is_some_and(|part| part.to_string() == FUNCTION)
                && let FunctionArguments::List(list) = &mut function.args
                && list.args.is_empty()
            {
                let number = Expr::value(Value::Number(number.to_string(), false));
                list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(number)));
            }
            ControlFlow::<()>::Continue(())
        });
        assert!(flow.is_continue(), "nothing stops it");
        self
    }
}

/// The statements of a text, which are separated by semicolons.
pub fn parse(text: &str) -> Result<Vec<Parsed>> {
    if text.len() > SQL_BYTES_MAX {
        return Err(SqlError::new("54000", format!("a query has at most {SQL_BYTES_MAX} bytes"))
            .hint("Load many rows with several INSERTs or with COPY."));
    }
    let statements = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(NESTING_MAX)
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| syntax_error(error, text))?;
    let only = statements.len() == 1;
    let whole: Arc<str> = Arc::from(text);
    let parsed = statements.into_iter().map(|statement| {
        let sql = if only { text.to_owned() } else { statement.to_string() };
        Parsed { statement, sql, text: whole.clone() }
    });
    Ok(parsed.collect())
}

fn syntax_error(error: ParserError, text: &str) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return SqlError::new("54001", format!("a statement is nested at most {NESTING_MAX} deep"));
        }
    };
    let Some((what, place)) = message.rsplit_once(" at Line: ") else {
        // Only the end of the text has no place.
        let mut error = SqlError::syntax(message);
        error.position = Some(text.chars().count() + 1);
        return error;
    };
    let mut error = SqlError::syntax(what);
    if let Some((line, column)) = place.split_once(", Column: ") {
        let number = |digits: &str| digits.trim().parse::<u64>().ok();
        error.location = number(line)
            .zip(number(column))
            .map(|(line, column)| sqlparser::tokenizer::Location { line, column });
    }
    error.located(text)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn errors_say_where() {
        let error = parse("SELECT 1;\nSELECT 2 +").expect_err("half a sum");
        assert_eq!(error.sqlstate, "42601");
        assert!(error.position.is_some(), "{error:?}");
        assert_eq!(parse(" ; ").expect("nothing is no error").len(), 0);
        assert_eq!(parse("SELECT 1; SELECT 2;").expect("two").len(), 2);
    }

    #[test]
    fn nesting_is_limited() {
        let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(parse(&deep).expect_err("too deep").sqlstate, "54001");
    }
}
