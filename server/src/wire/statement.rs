//! Prepared statements and portals.

use std::rc::Rc;

use operators::Rows;
use operators::expr::Literal;
use sql::{Bound, Parsed, Prepared, ResultColumn, SqlError, SqlType};

use super::copy::Copy;
use super::database::Database;
use super::decode::Bind;
use super::rows::Formats;
use super::tag::Tag;

/// A statement that was parsed and bound once.
#[derive(Debug)]
pub struct Statement {
    /// Nothing but blanks or comments if there is none.
    parsed: Option<Parsed>,
    /// What the client said of parameters.
    declared: Vec<Option<SqlType>>,
    /// Set if it is a COPY, which has nothing else.
    pub copy: Option<Copy>,
    /// What it is bound to.
    pub prepared: Prepared,
    /// The version of the catalogue that it is bound to.
    version: u64,
    /// Whether what it is bound to depends on what the session keeps: its cursors and prepared statements.
    pub depends_on_session: bool,
}

impl Statement {
    /// Binds a parsed statement.
    ///
    /// # Errors
    ///
    /// What the binder refuses.
    pub fn bind(
        database: &Database,
        parsed: Option<Parsed>,
        declared: Vec<Option<SqlType>>,
    ) -> Result<Rc<Statement>, SqlError> {
        let version = database.refresh()?;
        let prepared = match &parsed {
            Some(parsed) => super::show::describe(sql::bind(&database.catalog.borrow(), parsed, &declared)?),
            None => nothing(),
        };
        let names_kept =
            matches!(prepared.bound, Bound::Session(sql::Session::Fetch { .. }) | Bound::Execute(_));
        let depends_on_session = names_kept || parsed.as_ref().is_some_and(Parsed::asks_for_session);
        Ok(Rc::new(Statement { parsed, declared, copy: None, prepared, version, depends_on_session }))
    }

    /// A statement that is part of another one.
    pub fn of(prepared: Prepared) -> Rc<Statement> {
        let declared = Vec::new();
        Rc::new(Statement {
            parsed: None,
            declared,
            copy: None,
            prepared,
            version: 0,
            depends_on_session: false,
        })
    }

    /// The same statement, for a result of these columns.
    pub fn with_columns(self: Rc<Self>, columns: Vec<ResultColumn>) -> Rc<Statement> {
        let prepared = Prepared { columns, ..self.prepared.clone() };
        let (parsed, declared) = (self.parsed.clone(), self.declared.clone());
        Rc::new(Statement { parsed, declared, copy: None, prepared, ..*self })
    }

    /// What the client said of parameters.
    pub fn declared(&self) -> &[Option<SqlType>] {
        &self.declared
    }

    /// A COPY.
    pub fn copy(copy: Copy) -> Rc<Statement> {
        Rc::new(Statement {
            parsed: None,
            declared: Vec::new(),
            copy: Some(copy),
            prepared: nothing(),
            version: 0,
            depends_on_session: false,
        })
    }

    /// The same statement, bound again if the catalogue has changed since.
    ///
    /// # Errors
    ///
    /// 0A000 if its result would have other columns than the client has been told; what the binder refuses.
    pub fn fresh(self: &Rc<Self>, database: &Database) -> Result<Rc<Statement>, SqlError> {
        if database.refresh()? == self.version || self.parsed.is_none() {
            return Ok(self.clone());
        }
        let declared = self.prepared.parameters.iter().copied().map(Some).collect();
        let again = Statement::bind(database, self.parsed.clone(), declared)?;
        if again.prepared.columns != self.prepared.columns {
            return Err(SqlError::new("0A000", "cached plan must not change result type")
                .hint("Prepare the statement again."));
        }
        Ok(again)
    }

    /// The statement bound again by what the client said, for one that is to be run at once.
    ///
    /// # Errors
    ///
    /// What the binder refuses.
    pub fn rebind(&self, database: &Database) -> Result<Rc<Statement>, SqlError> {
        Statement::bind(database, self.parsed.clone(), self.declared.clone())
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.parsed.is_none() && self.copy.is_none()
    }

    /// Its text.
    pub fn sql(&self) -> &str {
        self.parsed.as_ref().map_or("", Parsed::sql)
    }

    /// The columns of its result.
    pub fn columns(&self) -> &[ResultColumn] {
        &self.prepared.columns
    }
}

fn nothing() -> Prepared {
    Prepared {
        bound: Bound::Explain(Vec::new()),
        parameters: Vec::new(),
        columns: Vec::new(),
        warnings: Vec::new(),
        relations: Vec::new(),
    }
}

/// A statement that a session keeps.
#[derive(Debug)]
pub struct Named {
    /// The statement.
    pub statement: Rc<Statement>,
    /// The text that made it.
    pub text: Box<str>,
    /// Whether PREPARE made it, rather than the protocol.
    pub is_from_sql: bool,
    /// When it was made: microseconds since 1970.
    pub made: i64,
}

/// A statement with its parameters.
#[derive(Debug)]
pub struct Portal {
    /// What it runs.
    pub statement: Rc<Statement>,
    /// The parameters.
    pub parameters: Vec<Literal>,
    /// How its result's columns are written.
    pub formats: Formats,
    /// Where its result stands, once it has been run.
    pub cursor: Option<Cursor>,
    /// When it was made: microseconds since 1970.
    pub made: i64,
}

impl Portal {
    /// How much it keeps.
    pub fn bytes(&self) -> usize {
        let parameter = |value: &Literal| match value {
            Literal::Text(text) => text.len(),
            Literal::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        let rows = self.cursor.as_ref().and_then(|cursor| cursor.rows.as_ref());
        let parameters = self.parameters.iter().map(parameter).sum::<usize>();
        size_of_val(self.parameters.as_slice()) + parameters + rows.map_or(0, |rows| rows.rows.len())
    }
}

/// A result of which a part has been sent.
#[derive(Debug)]
pub struct Cursor {
    /// All rows; none for what has no result.
    pub rows: Option<Rows>,
    /// Bytes that have been sent.
    pub at: usize,
    /// What ends the last part.
    pub tag: Tag,
}

impl Cursor {
    /// Forgets the rows if all have been sent.
    pub fn drop_sent(&mut self) {
        if let Some(rows) = &mut self.rows
            && self.at == rows.rows.len()
        {
            *rows = Rows::new();
            self.at = 0;
        }
    }
}

/// The parameters of a Bind message, as the statement takes them; `values` keeps its memory.
///
/// # Errors
///
/// The number of parameters or formats is wrong, or a value is none of its type.
pub fn parameters(statement: &Statement, bind: &Bind<'_>, values: &mut Vec<Literal>) -> Result<(), SqlError> {
    let types = &statement.prepared.parameters;
    if bind.values.len() != types.len() {
        return Err(SqlError::new(
            "08P01",
            format!(
                "bind message supplies {} parameters, but prepared statement requires {}",
                bind.values.len(),
                types.len()
            ),
        ));
    }
    if bind.formats.len() > 1 && bind.formats.len() != types.len() {
        let message = format!(
            "bind message has {} parameter formats but {} parameters",
            bind.formats.len(),
            types.len()
        );
        return Err(SqlError::new("08P01", message));
    }
    values.clear();
    for (at, (ty, value)) in types.iter().zip(bind.values.iter()).enumerate() {
        values.push(match (value, bind.formats.format(at)) {
            (None, _) => Literal::Null,
            (Some(bytes), 0) => sql::text::parse(*ty, super::decode::utf8(bytes)?)?,
            (Some(bytes), 1) => sql::binary::decode(bytes, *ty)?,
            (Some(_), _) => return Err(SqlError::new("08P01", "a format is 0 for text or 1 for binary")),
        });
    }
    Ok(())
}
