//! A session: what a client has set and prepared, and what each message does.

use std::rc::Rc;
use std::time::Duration;

use runtime::front::Token;
use sql::{Bound, SqlError};

use super::authenticate::Who;
use super::cancel::Interrupt;
use super::connection::End;
use super::copy::Copying;
use super::cursor::Cursors;
use super::database::Database;
use super::decode::{Bind, List, Message, Target};
use super::execute::{Done, now};
use super::kept::{Kept, Limits};
use super::locks::Held;
use super::pipeline::Pipeline;
use super::rows::{Encoder, Formats};
use super::settings::Settings;
use super::statement::{self, Cursor, Named, Portal, Statement};
use super::stream::Io;
use super::tag::Tag;
use super::transaction::{State, Transaction};

/// Statements or portals that a session keeps.
const NAMED_COUNT_MAX: usize = 10_000;
/// The statements that a session keeps. What is made of a text takes some thirty times its memory, so these are 256 MiB; drivers
/// keep up to 5 MiB of text by themselves.
const STATEMENT_LIMITS: Limits = Limits {
    what: "prepared statements",
    hint: "DEALLOCATE those that are not needed any more.",
    count_max: NAMED_COUNT_MAX,
    bytes_max: 8 << 20,
};
/// The portals: their parameters, and results that have not been fetched to their ends.
const PORTAL_LIMITS: Limits = Limits {
    what: "portals",
    hint: "Close those that are not needed any more, or fetch their rows to the end.",
    count_max: NAMED_COUNT_MAX,
    bytes_max: RESULT_BYTES_MAX,
};
/// Bytes of a result that is kept for a portal whose rows are fetched piece by piece.
const RESULT_BYTES_MAX: usize = 256 << 20;

/// See the [module's documentation](self).
pub struct Session {
    pub(super) database: Rc<Database>,
    pub(super) interrupt: Rc<Interrupt>,
    /// Whom it is of.
    pub(super) who: Who,
    pub(super) settings: Settings,
    pub(super) token: Token,
    /// Whether its reads need not show what it has written.
    pub(super) is_eventual: bool,
    pub(super) transaction: Transaction,
    /// Rows that are locked until the statement or the transaction ends.
    pub(super) locked: Held,
    pub(super) statements: Kept<Named>,
    pub(super) portals: Kept<Portal>,
    pub(super) cursors: Cursors,
    pub(super) pipeline: Pipeline,
    pub(super) encoder: Encoder,
    /// What the client is copying in.
    pub(super) copying: Option<Box<Copying>>,
    /// How long a statement may take.
    pub(super) time_max: Option<Duration>,
    pub(super) number: u32,
    /// After an error in the extended protocol, until Sync.
    is_skipping: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.database.leave(self.number);
    }
}

impl Session {
    /// The session of number `number`.
    pub fn new(
        database: Rc<Database>,
        interrupt: Rc<Interrupt>,
        number: u32,
        who: Who,
        mut settings: Settings,
    ) -> Session {
        settings.begin_session();
        let mut session = Session {
            locked: Held::new(&database.locks, number),
            database,
            interrupt,
            who,
            settings,
            token: Token::default(),
            is_eventual: false,
            transaction: Transaction::default(),
            statements: Kept::new(STATEMENT_LIMITS),
            portals: Kept::new(PORTAL_LIMITS),
            cursors: Cursors::default(),
            pipeline: Pipeline::default(),
            encoder: Encoder::default(),
            copying: None,
            time_max: None,
            number,
            is_skipping: false,
        };
        session.settings_changed();
        session
    }

    /// What it has set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes a message.
    ///
    /// # Errors
    ///
    /// The connection is to end.
    pub async fn handle(
        &mut self,
        io: &mut Io,
        kind: u8,
        message: Result<Message<'_>, SqlError>,
    ) -> Result<(), End> {
        if self.is_skipping && !matches!(kind, b'S' | b'X') {
            return Ok(());
        }
        self.interrupt.begin(self.time_max);
        let done = match message {
            Ok(message) if self.copying.is_some() => self.copy_message(io, message).await,
            Ok(message) => self.act(io, message).await,
            Err(error) => Err(End::Fatal(error)),
        };
        match done {
            // What is wrong with a statement ends the statement; only a broken stream ends the connection.
            Err(End::Fatal(error)) => self.fail(io, kind, &error).await,
            other => other,
        }
    }

    /// All that has come has been taken: sends the answers that are still to come.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn rest(&mut self, io: &mut Io) -> Result<(), End> {
        self.settle(io).await?;
        if !self.is_skipping {
            self.interrupt.end();
        }
        Ok(())
    }

    /// Tells the client of an error and what follows from it.
    async fn fail(&mut self, io: &mut Io, kind: u8, error: &SqlError) -> Result<(), End> {
        self.settle(io).await?;
        if self.is_skipping {
            // A statement before this one has failed while its answer was awaited, so nobody is to hear of this one.
            return Ok(());
        }
        io.out.error("ERROR", error);
        if self.transaction.state() == State::Implicit {
            self.end_transaction(io, false);
        }
        self.transaction.fail();
        self.unlock();
        let kind = match self.end_copy() {
            None => kind,
            // What is left of the data is passed over, up to the end of the copy or up to Sync.
            Some(true) => b'Q',
            Some(false) => b'E',
        };
        if kind == b'Q' {
            io.out.ready(self.transaction.status());
        } else if kind != b'S' {
            self.is_skipping = true;
        }
        Ok(())
    }

    /// Unlocks the rows that nothing under way has changed any more.
    pub(super) fn unlock(&mut self) {
        if self.transaction.is_over() {
            self.locked.release(&self.token);
        }
    }

    /// A statement whose answer was awaited has failed.
    pub(super) fn failed_late(&mut self, sync_has_come: bool) {
        self.transaction.fail();
        self.unlock();
        self.is_skipping = !sync_has_come;
    }

    async fn act(&mut self, io: &mut Io, message: Message<'_>) -> Result<(), End> {
        match message {
            Message::Query(sql) => {
                self.settle(io).await?;
                self.simple(io, sql).await
            }
            Message::Parse { name, sql, types } => self.parse(io, name, sql, types),
            Message::Bind(bind) => self.bind(io, &bind),
            Message::Describe(target) => self.describe(io, target),
            Message::Execute { portal, rows_max } => self.run_portal(io, portal, rows_max).await,
            Message::Close(target) => {
                match target {
                    Target::Statement(name) => drop(self.statements.remove(name)),
                    Target::Portal(name) => drop(self.portals.remove(name)),
                }
                io.out.close_complete();
                Ok(())
            }
            Message::Flush => {
                self.settle(io).await?;
                Ok(io.flush().await?)
            }
            Message::Sync => self.sync(io).await,
            Message::Terminate => Err(End::Closed),
            // What is left of a copy that has failed.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => Ok(()),
            Message::Password => Err(SqlError::new("08P01", "a password was not asked for").into()),
        }
    }

    async fn sync(&mut self, io: &mut Io) -> Result<(), End> {
        self.is_skipping = false;
        if self.transaction.state() == State::None {
            self.pipeline.sync(&io.out);
        } else {
            self.settle(io).await?;
            // The Sync that ends what a statement before it has failed in has come.
            self.is_skipping = false;
        }
        if self.transaction.state() == State::None {
            // Portals live as long as their transaction.
            self.portals.clear();
        }
        io.out.ready(self.transaction.status());
        Ok(())
    }

    async fn simple(&mut self, io: &mut Io, sql: &str) -> Result<(), End> {
        if let Some(copy) = super::copy::parse(sql)? {
            self.copy(io, &copy, true).await?;
            if self.copying.is_none() {
                io.out.ready(self.transaction.status());
            }
            return Ok(());
        }
        let parsed = sql::parse(sql)?;
        if parsed.is_empty() {
            io.out.empty_query();
        }
        if parsed.len() > 1 {
            self.transaction.begin_implicit();
        }
        for parsed in parsed {
            let statement = self.bindable(self.prepared(Some(parsed), Vec::new()))?;
            let done = self.execute(io, &statement, &[]).await?;
            let columns = statement.columns();
            if !columns.is_empty() {
                io.out.row_description(columns, |_| 0);
            }
            let mut cursor = Cursor { rows: done.rows, at: 0, tag: done.tag };
            self.send_rows(io, &mut cursor, &statement, &Formats::Text, 0).await?;
        }
        if self.transaction.state() == State::Implicit {
            let committed = self.commit().await;
            self.unlock();
            self.end_transaction(io, committed.is_ok());
            committed?;
        }
        io.out.ready(self.transaction.status());
        Ok(())
    }

    /// A statement as this session means it.
    pub(super) fn prepared(
        &self,
        parsed: Option<sql::Parsed>,
        declared: Vec<Option<sql::SqlType>>,
    ) -> Result<Rc<Statement>, SqlError> {
        let parsed = parsed.map(|parsed| parsed.in_session(self));
        let statement = Statement::bind(&self.database, parsed, declared)?;
        match &statement.prepared.bound {
            Bound::Session(sql::Session::Fetch { name, moves: false, .. }) => {
                let columns = self.cursors.columns(name)?.to_vec();
                Ok(statement.with_columns(columns))
            }
            Bound::Execute(execution) => Ok(match self.statements.get(&execution.name) {
                Some(kept) => statement.with_columns(kept.statement.columns().to_vec()),
                // That it is missing is said when it is run.
                None => statement,
            }),
            _ => Ok(statement),
        }
    }

    /// In a failed transaction that comes before all else that may be wrong with a statement.
    pub(super) fn bindable(&self, bound: Result<Rc<Statement>, SqlError>) -> Result<Rc<Statement>, SqlError> {
        let ends = |statement: &Rc<Statement>| super::execute::ends_transaction(&statement.prepared.bound);
        if !bound.as_ref().is_ok_and(ends) {
            self.transaction.check()?;
        }
        bound
    }

    fn parse(&mut self, io: &mut Io, name: &str, sql: &str, types: List<'_, 4>) -> Result<(), End> {
        self.check_new_name(name, sql.len())?;
        let declared = types.iter().map(sql::SqlType::from_oid).collect();
        if let Some(copy) = super::copy::parse(sql)? {
            self.transaction.check()?;
            self.keep_statement(name, Statement::copy(copy), sql, false)?;
            io.out.parse_complete();
            return Ok(());
        }
        let mut parsed = sql::parse(sql)?;
        if parsed.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new("42601", message).into());
        }
        let statement = self.bindable(self.prepared(parsed.pop(), declared))?;
        self.keep_statement(name, statement, sql, false)?;
        io.out.parse_complete();
        Ok(())
    }

    pub(super) fn statement(&self, name: &str) -> Result<&Rc<Statement>, SqlError> {
        self.statements.get(name).map(|named| &named.statement).ok_or_else(|| {
            let what = if name.is_empty() {
                "unnamed prepared statement".to_owned()
            } else {
                format!("prepared statement {name:?}")
            };
            SqlError::new("26000", format!("{what} does not exist"))
        })
    }

    fn bind(&mut self, io: &mut Io, bind: &Bind<'_>) -> Result<(), End> {
        let statement = self.renewed(bind.statement)?;
        let formats = Formats::new(bind.results, statement.columns().len())?;
        let mut parameters = match self.portals.contains(bind.portal) {
            false => self.pipeline.spare_parameters(),
            true if bind.portal.is_empty() => {
                let portal = self.portals.remove(bind.portal).expect("it is there");
                portal.parameters
            }
            true => {
                let message = format!("cursor {:?} already exists", bind.portal);
                return Err(SqlError::new("42P03", message).into());
            }
        };
        statement::parameters(&statement, bind, &mut parameters)?;
        statement.prepared.check_relations(&self.database.catalog.borrow(), &parameters)?;
        let portal = Portal { statement, parameters, formats, cursor: None, made: now() };
        let bytes = portal.bytes();
        self.portals.insert(bind.portal, portal, bytes)?;
        io.out.bind_complete();
        Ok(())
    }

    fn describe(&mut self, io: &mut Io, target: Target<'_>) -> Result<(), End> {
        match target {
            Target::Statement(name) => {
                let statement = self.statement(name)?;
                io.out.parameter_description(&statement.prepared.parameters);
                describe_columns(io, statement, &Formats::Text);
            }
            // Drivers ask for the columns of a cursor that SQL has declared in this way.
            Target::Portal(name) if !self.portals.contains(name) && self.cursors.columns(name).is_ok() => {
                io.out.row_description(self.cursors.columns(name)?, |_| 0);
            }
            Target::Portal(name) => {
                let portal = self.portal(name)?;
                describe_columns(io, &portal.statement, &portal.formats);
            }
        }
        Ok(())
    }

    fn portal(&self, name: &str) -> Result<&Portal, SqlError> {
        self.portals
            .get(name)
            .ok_or_else(|| SqlError::new("34000", format!("portal {name:?} does not exist")))
    }

    async fn run_portal(&mut self, io: &mut Io, name: &str, rows_max: u32) -> Result<(), End> {
        let portal = self.portal(name)?;
        let may_defer = rows_max == 0 && portal.cursor.is_none() && !self.transaction.is_holding();
        if may_defer
            && portal.statement.prepared.warnings.is_empty()
            && let Bound::Lookup(lookup) = &portal.statement.prepared.bound
            && !lookup.is_range()
        {
            return self.defer_lookup(io, name).await;
        }
        self.settle(io).await?;
        if self.is_skipping {
            return Ok(());
        }
        let Some(mut portal) = self.portals.remove(name) else { return Ok(()) };
        if let Some(copy) = &portal.statement.copy {
            return self.copy(io, copy, false).await;
        }
        if portal.statement.is_empty() {
            io.out.empty_query();
            return Ok(());
        }
        let mut cursor = match portal.cursor.take() {
            Some(cursor) => cursor,
            None => {
                let Done { tag, rows } = self.execute(io, &portal.statement, &portal.parameters).await?;
                Cursor { rows, at: 0, tag }
            }
        };
        self.send_rows(io, &mut cursor, &portal.statement, &portal.formats, rows_max).await?;
        cursor.drop_sent();
        portal.cursor = Some(cursor);
        let bytes = portal.bytes();
        Ok(self.portals.insert(name, portal, bytes)?)
    }

    /// Sends up to `rows_max` rows of a result, all if that is 0, and how it ends.
    async fn send_rows(
        &mut self,
        io: &mut Io,
        cursor: &mut Cursor,
        statement: &Statement,
        formats: &Formats,
        rows_max: u32,
    ) -> Result<(), End> {
        let Some(rows) = &cursor.rows else {
            io.out.complete(&cursor.tag.to_string());
            return Ok(());
        };
        if rows.rows.len() > RESULT_BYTES_MAX {
            return Err(SqlError::new("54000", "the result is too large").into());
        }
        let mut sent = 0u64;
        while cursor.at < rows.rows.len() {
            if rows_max != 0 && sent == u64::from(rows_max) {
                io.out.portal_suspended();
                return Ok(());
            }
            let row = operators::Row::at(&rows.rows[cursor.at..]);
            self.encoder.row(row, statement.columns(), formats, &mut io.out)?;
            cursor.at += row.bytes_all().len();
            sent += 1;
            if io.out.bytes.len() >= super::stream::OUTPUT_BYTES_FULL {
                self.interrupt.check()?;
                io.flush().await?;
            }
        }
        let tag = match &cursor.tag {
            // What was sent before is not counted again.
            Tag::Select(_) => Tag::Select(sent),
            other => other.clone(),
        };
        io.out.complete(&tag.to_string());
        Ok(())
    }
}

fn describe_columns(io: &mut Io, statement: &Statement, formats: &Formats) {
    if statement.columns().is_empty() {
        io.out.no_data();
    } else {
        io.out.row_description(statement.columns(), |at| u16::from(formats.is_binary(at)));
    }
}
