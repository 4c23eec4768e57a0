//! Cursors that SQL declares: the result of a query is kept whole in the front, and fetched piece by piece.

use std::collections::HashMap;
use std::rc::Rc;

use operators::expr::Literal;
use operators::{Row, Rows};
use sql::{Declaration, KeptCursor, ResultColumn, SqlError};

use super::connection::End;
use super::execute::{Done, now};
use super::scan::SCAN_MEMORY_BYTES;
use super::session::Session;
use super::statement::Statement;
use super::stream::Io;
use super::tag::Tag;
use super::transaction::State;

/// Cursors that a session keeps.
const CURSOR_COUNT_MAX: usize = 1024;

/// The cursors of a session.
#[derive(Debug, Default)]
pub struct Cursors {
    named: HashMap<String, Open>,
}

/// A cursor.
#[derive(Debug)]
struct Open {
    columns: Vec<ResultColumn>,
    rows: Rows,
    /// Bytes of the rows that have been fetched.
    at: usize,
    /// Whether it outlives its transaction.
    is_held: bool,
    /// Whether its transaction has not ended.
    is_new: bool,
    /// The text that made it.
    text: Box<str>,
    /// When it was made: microseconds since 1970.
    made: i64,
}

fn missing(name: &str) -> SqlError {
    SqlError::new("34000", format!("cursor {name:?} does not exist"))
}

impl Cursors {
    /// All of them, in no order.
    pub fn list(&self) -> Vec<KeptCursor> {
        let cursor = |(name, open): (&String, &Open)| KeptCursor {
            name: name.clone(),
            statement: open.text.to_string(),
            is_held: open.is_held,
            is_binary: false,
            made: open.made,
        };
        self.named.iter().map(cursor).collect()
    }

    /// The columns of a cursor's rows.
    ///
    /// # Errors
    ///
    /// 34000 if there is none of this name.
    pub fn columns(&self, name: &str) -> Result<&[ResultColumn], SqlError> {
        self.named.get(name).map(|open| open.columns.as_slice()).ok_or_else(|| missing(name))
    }

    /// The next rows, all without a number; `moves` only passes them over.
    ///
    /// # Errors
    ///
    /// 34000 if there is none of this name.
    pub fn fetch(&mut self, name: &str, count: Option<u64>, moves: bool) -> Result<Done, SqlError> {
        let open = self.named.get_mut(name).ok_or_else(|| missing(name))?;
        let mut rows = Rows::new();
        let mut passed = 0u64;
        while open.at < open.rows.rows.len() && count.is_none_or(|count| passed < count) {
            let row = Row::at(&open.rows.rows[open.at..]);
            open.at += row.bytes_all().len();
            passed += 1;
            if !moves {
                rows.push(row);
            }
        }
        Ok(match moves {
            true => Done { tag: Tag::Words(format!("MOVE {passed}")), rows: None },
            false => Done { tag: Tag::Words(format!("FETCH {passed}")), rows: Some(rows) },
        })
    }

    /// Closes a cursor; false if there is none of this name.
    pub fn close(&mut self, name: &str) -> bool {
        self.named.remove(name).is_some()
    }

    /// Closes all of them.
    pub fn close_all(&mut self) {
        self.named.clear();
    }

    /// The transaction ends: only cursors that are held stay, and of a transaction that was undone not even these.
    pub fn end_transaction(&mut self, is_committed: bool) {
        self.named.retain(|_, open| open.is_held && (is_committed || !open.is_new));
        self.named.values_mut().for_each(|open| open.is_new = false);
    }

    fn bytes(&self) -> u64 {
        self.named.values().map(|open| (open.rows.rows.len() + open.text.len()) as u64).sum()
    }
}

impl Session {
    /// DECLARE CURSOR, which has this text: runs the query and keeps what it gives.
    pub(super) async fn declare(
        &mut self,
        io: &mut Io,
        (declaration, text): (&Declaration, &str),
        parameters: &[Literal],
    ) -> Result<Done, End> {
        let Declaration { name, is_held, query } = declaration;
        let state = self.transaction.state();
        if state == State::None && !is_held {
            let message = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(SqlError::new("25P01", message).hint("Or declare it WITH HOLD.").into());
        }
        if self.cursors.named.contains_key(name) {
            return Err(SqlError::new("42P03", format!("cursor {name:?} already exists")).into());
        }
        if self.cursors.named.len() >= CURSOR_COUNT_MAX {
            return Err(SqlError::new("54000", "a session has too many cursors").hint("Close some.").into());
        }
        let statement: Rc<Statement> = Statement::of(query.clone());
        let done = Box::pin(self.execute(io, &statement, parameters)).await?;
        let rows = done.rows.unwrap_or_default();
        if self.cursors.bytes() + (rows.rows.len() + text.len()) as u64 > SCAN_MEMORY_BYTES {
            let message = "the results of the session's cursors need more memory than they may have";
            let detail = format!("Together they may have {} MiB.", SCAN_MEMORY_BYTES >> 20);
            return Err(SqlError::new("53200", message).detail(detail).hint("Close some.").into());
        }
        let is_new = state != State::None;
        let columns = query.columns.clone();
        let (text, made) = (text.into(), now());
        let open = Open { columns, rows, at: 0, is_held: *is_held, is_new, text, made };
        self.cursors.named.insert(name.clone(), open);
        Ok(Done::words("DECLARE CURSOR"))
    }
}
