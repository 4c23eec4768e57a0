//! The statements that a session carries out by itself.

use crate::error::{Result, SqlError};
use crate::names::{fold, object_name};
use crate::statement::unsupported;
use sqlparser::ast::{
    CloseCursor, ContextModifier, DiscardObject, Expr as Ast, FetchDirection, Ident, ObjectName,
    ResetStatement, Set, Statement,
};

/// What a session does by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT.
    Savepoint(String),
    /// RELEASE SAVEPOINT.
    Release(String),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(String),
    /// SET name = values.
    Set {
        /// In small letters, its parts joined by points.
        name: String,
        /// As text, without quotes; several are joined by commas.
        value: String,
        /// Whether it is to be forgotten when the transaction ends.
        is_local: bool,
    },
    /// RESET name; all without one.
    Reset(Option<String>),
    /// SHOW name.
    Show(String),
    /// DISCARD.
    Discard(Discarded),
    /// DEALLOCATE name; all without one.
    Deallocate(Option<String>),
    /// FETCH and MOVE.
    Fetch {
        /// The cursor.
        name: String,
        /// The most rows; all that are left without a number.
        count: Option<u64>,
        /// Whether they are only passed over.
        moves: bool,
    },
    /// CLOSE of a cursor; all without a name.
    Close(Option<String>),
    /// UNLISTEN: nobody listens, so there is nothing to do.
    Unlisten,
    /// LOCK TABLE, which is for transactions.
    LockTable,
    /// What there is nothing to do for; the words are the answer.
    Nothing(&'static str),
}

/// What a DISCARD is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// All that the session has set and keeps.
    All,
    /// Plans, which are made anew when they are needed.
    Plans,
    /// What the session has kept of sequences.
    Sequences,
    /// Temporary tables.
    Temporary,
}

/// What is said by a statement that is about the session alone.
pub(crate) fn bind(statement: &Statement) -> Result<Session> {
    Ok(match statement {
        Statement::StartTransaction { .. } => Session::Begin,
        Statement::Commit { .. } => Session::Commit,
        Statement::Rollback { savepoint: None, .. } => Session::Rollback,
        Statement::Rollback { savepoint: Some(name), .. } => Session::RollbackTo(fold(name)),
        Statement::Savepoint { name } => Session::Savepoint(fold(name)),
        Statement::ReleaseSavepoint { name } => Session::Release(fold(name)),
        Statement::Set(set) => set_variable(set)?,
        Statement::Reset(ResetStatement { reset }) => {
            use sqlparser::ast::Reset;
            match reset {
                Reset::ALL => Session::Reset(None),
                Reset::SessionAuthorization => Session::Reset(Some("session_authorization".to_owned())),
                Reset::ConfigurationParameter(name) => Session::Reset(Some(name.to_string().to_lowercase())),
            }
        }
        Statement::Discard { object_type } => Session::Discard(match object_type {
            DiscardObject::ALL => Discarded::All,
            DiscardObject::PLANS => Discarded::Plans,
            DiscardObject::SEQUENCES => Discarded::Sequences,
            DiscardObject::TEMP => Discarded::Temporary,
        }),
        Statement::Deallocate { name, .. } => {
            let is_all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Session::Deallocate((!is_all).then(|| fold(name)))
        }
        Statement::Close { cursor: CloseCursor::All } => Session::Close(None),
        Statement::Close { cursor: CloseCursor::Specific { name } } => Session::Close(Some(fold(name))),
        Statement::Fetch { name, direction, into, .. } => fetch(name, direction, into.as_ref())?,
        Statement::UNLISTEN { .. } => Session::Unlisten,
        other => return Err(unsupported(other)),
    })
}

fn fetch(name: &Ident, direction: &FetchDirection, into: Option<&ObjectName>) -> Result<Session> {
    let number = |limit: &sqlparser::ast::ValueWithSpan| {
        limit.to_string().parse().map_err(|_| SqlError::unsupported(format!("FETCH {limit}")))
    };
    let count = match direction {
        FetchDirection::Next => Some(1),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
            Some(number(limit)?)
        }
        FetchDirection::All | FetchDirection::ForwardAll => None,
        other => {
            return Err(SqlError::unsupported(format!("FETCH {other}")).hint("Cursors go forward only."));
        }
    };
    let moves = match into.map(object_name).transpose()? {
        None => false,
        Some(name) if name == crate::parse::MOVE => true,
        Some(_) => return Err(SqlError::unsupported("FETCH INTO")),
    };
    Ok(Session::Fetch { name: fold(name), count, moves })
}

fn set_variable(set: &Set) -> Result<Session> {
    let plain = |ast: &Ast| match ast {
        Ast::Value(value) => value.value.clone().into_string().unwrap_or_else(|| value.value.to_string()),
        other => other.to_string(),
    };
    let setting = |name: String, value: String, is_local: bool| Session::Set { name, value, is_local };
    Ok(match set {
        Set::SingleAssignment { scope, variable, values, .. } => setting(
            variable.to_string().to_lowercase(),
            values.iter().map(plain).collect::<Vec<_>>().join(", "),
            *scope == Some(ContextModifier::Local),
        ),
        Set::SetTimeZone { local, value } => setting("timezone".to_owned(), plain(value), *local),
        Set::SetNames { charset_name, .. } => {
            setting("client_encoding".to_owned(), fold(charset_name), false)
        }
        Set::SetTransaction { .. } => setting("transaction".to_owned(), set.to_string(), false),
        other => return Err(SqlError::unsupported(other.to_string())),
    })
}
