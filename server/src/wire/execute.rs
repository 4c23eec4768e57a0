//! Running statements.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use operators::expr::Literal;
use operators::{Row, Rows, TableId, ViewId, WriteKind};
use runtime::front::{RequestError, Token};
use runtime::message::Refusal;
use sql::scan::Limits;
use sql::{Bound, Change, Context, Effect, Lookup, SqlError, Step, Verb, Write};

use super::connection::End;
use super::overlay::Overlay;
use super::pump::{Answered, Found, Ticket};
use super::scan::SCAN_MEMORY_BYTES;
use super::session::Session;
use super::statement::Statement;
use super::stream::Io;
use super::tag::Tag;

/// How long a lookup of a view that is being filled waits until it asks again.
pub const BUILDING_PAUSE: Duration = Duration::from_millis(5);
/// Keys that are looked up at once.
pub const KEYS_AT_ONCE: usize = 1024;
/// What a client is told where a shard does not have what a statement names.
const NO_LONGER_THERE: &str = "42P01";
/// How often a statement is begun anew because others wrote the keys that it was to write.
const CHANGE_ATTEMPTS_MAX: usize = 100;

/// What a statement came to.
#[derive(Debug)]
pub struct Done {
    /// What the client is told.
    pub tag: Tag,
    /// The result; none for what has none.
    pub rows: Option<Rows>,
}

impl Done {
    /// Without a result.
    pub fn words(words: &str) -> Done {
        Done { tag: Tag::words(words), rows: None }
    }

    /// With a result.
    pub fn rows(rows: Rows) -> Done {
        Done { tag: Tag::Select(u64::from(rows.count)), rows: Some(rows) }
    }
}

/// What a client is told of a write.
fn done(effect: Effect) -> Done {
    let tag = match effect.verb {
        Verb::Insert => Tag::Insert(effect.count),
        Verb::Update => Tag::Update(effect.count),
        Verb::Delete => Tag::Delete(effect.count),
        Verb::Truncate => Tag::words("TRUNCATE TABLE"),
    };
    Done { tag, rows: effect.returning }
}

/// Microseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Whether a statement is taken in a failed transaction.
pub fn ends_transaction(bound: &Bound) -> bool {
    use sql::Session::{Commit, Rollback, RollbackTo};
    matches!(bound, Bound::Session(Commit | Rollback | RollbackTo(_)))
}

fn duplicate_key() -> SqlError {
    SqlError::new("23505", "duplicate key value violates unique constraint")
}

/// What a client is told of a request that was refused.
pub fn request_error(error: &RequestError) -> SqlError {
    let (sqlstate, message) = match error.reason {
        Refusal::DuplicateKey => ("23505", "duplicate key value violates unique constraint"),
        Refusal::Unknown => (NO_LONGER_THERE, "the table or view is no longer there"),
        Refusal::DiskFull => ("53100", "the disk is full"),
        Refusal::TooLarge => ("54000", "the result is too large"),
        Refusal::Down => ("57P03", "a shard is down"),
        Refusal::OutcomeUnknown => ("08007", "it is not known whether the write was applied"),
        _ => ("XX000", "a shard refused the request"),
    };
    SqlError::new(sqlstate, message).detail(error.message.clone())
}

impl Session {
    /// Runs a statement; again, if what it was bound to has been replaced meanwhile.
    pub(super) async fn execute(
        &mut self,
        io: &mut Io,
        statement: &Rc<Statement>,
        parameters: &[Literal],
    ) -> Result<Done, End> {
        let mut statement = statement.clone();
        loop {
            match self.execute_once(io, &statement, parameters).await {
                Err(End::Fatal(error)) => statement = self.bound_again(&statement, error)?,
                outcome => return outcome,
            }
        }
    }

    /// The statement bound anew, where that may help against the error: a shard no longer has what it names, and the catalogue
    /// has changed since it was bound. What a statement reads it reads before it writes, so nothing has been written.
    pub(super) fn bound_again(
        &self,
        statement: &Rc<Statement>,
        error: SqlError,
    ) -> Result<Rc<Statement>, SqlError> {
        if error.sqlstate != NO_LONGER_THERE {
            return Err(error);
        }
        let fresh = statement.fresh(&self.database)?;
        if Rc::ptr_eq(statement, &fresh) { Err(error) } else { Ok(fresh) }
    }

    async fn execute_once(
        &mut self,
        io: &mut Io,
        statement: &Rc<Statement>,
        parameters: &[Literal],
    ) -> Result<Done, End> {
        let bound = &statement.prepared.bound;
        if !ends_transaction(bound) {
            self.transaction.check()?;
        }
        for warning in &statement.prepared.warnings {
            io.out.notice("WARNING", "01000", warning);
        }
        let context = Context { parameters, now: now() };
        Ok(match bound {
            Bound::Define(_) => self.define(io, statement).await?,
            Bound::Role(role) => self.change_roles(io, role).await?,
            Bound::Insert(write) => self.insert(write, &context).await?,
            Bound::Change(change) => self.change(change, &context).await?,
            Bound::Lookup(lookup) => {
                let found = self.look_up(lookup, &context).await?;
                Done::rows(lookup.result(&found, &context)?)
            }
            Bound::Constant(constant) => Done::rows(constant.rows(&context)?),
            Bound::Explain(lines) => {
                let rows = super::rows::text_rows(lines.iter().map(|line| [Some(line.as_str())]));
                Done { tag: Tag::words("EXPLAIN"), rows: Some(rows) }
            }
            Bound::Declare(declaration) => self.declare(io, declaration, parameters).await?,
            Bound::Query(scan) => self.scan(scan, &context).await?,
            Bound::Session(session) => self.session_statement(io, session).await?,
        })
    }

    /// The rows of a lookup as the session sees them, those that its transaction holds among them.
    pub(super) async fn look_up(&mut self, lookup: &Lookup, context: &Context<'_>) -> Result<Rows, SqlError> {
        self.seen(lookup.view, &lookup.keys(context)?, lookup.limit(context)?).await
    }

    /// The rows of keys as the session sees them.
    pub(super) async fn seen(&mut self, view: ViewId, keys: &Rows, limit: u32) -> Result<Rows, SqlError> {
        let Some((table, columns)) = self.changed_table(view) else {
            return Ok(self.asked(view, keys, limit).await?.to_rows());
        };
        let found = self.asked(view, keys, u32::MAX).await?.to_rows();
        Ok(self.transaction.overlay().seen(table, &found, Some((&columns, keys))))
    }

    /// The table that a view has the rows of, and the columns it is looked up by, if the transaction has changed it.
    pub(super) fn changed_table(&self, view: ViewId) -> Option<(u32, Vec<u16>)> {
        if !self.transaction.is_holding() {
            return None;
        }
        let catalog = self.database.catalog.borrow();
        catalog.objects().iter().find_map(|object| {
            let (table, _) = object.table()?;
            let path = object.paths.iter().find(|path| path.view == view.0)?;
            self.transaction.overlay().has(table.0).then(|| (table.0, path.key.clone()))
        })
    }

    /// The rows of keys in a state that shows what the session has written. Those of a view that is being filled are there
    /// when it is whole.
    pub(super) async fn asked(&mut self, view: ViewId, keys: &Rows, limit: u32) -> Result<Found, SqlError> {
        let token = self.read_token();
        loop {
            let ticket = self.database.pump.look_up(&token, view, keys, limit);
            match self.interrupt.guard(ticket.answer()).await? {
                Ok(Answered::Found(found)) => return Ok(found),
                Ok(_) => unreachable!("a lookup finds rows"),
                Err(error) if error.reason == Refusal::Building => {
                    self.interrupt.guard(tokio::time::sleep(BUILDING_PAUSE)).await?;
                }
                Err(error) => return Err(request_error(&error)),
            }
        }
    }

    /// What the session's reads must show.
    pub(super) fn read_token(&self) -> Token {
        if self.is_eventual { Token::default() } else { self.token.clone() }
    }

    async fn insert(&mut self, write: &Write, context: &Context<'_>) -> Result<Done, SqlError> {
        let rows = write.rows(context)?;
        let count = u64::from(rows.count);
        self.check_new(write.table, write.kind, &rows).await?;
        self.write(write.table, write.kind, rows).await?;
        Ok(Done { tag: Tag::Insert(count), rows: None })
    }

    /// A write of several steps; it is begun anew where another has written a key between its reading and its writing.
    async fn change(&mut self, change: &Change, context: &Context<'_>) -> Result<Done, SqlError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.try_change(change, context).await? {
                Some(effect) => return Ok(done(effect)),
                None if attempts < CHANGE_ATTEMPTS_MAX => {}
                None => {
                    return Err(SqlError::new("40001", "others keep writing the rows of this statement")
                        .hint("Run it again."));
                }
            }
        }
    }

    /// None if it has to be begun anew.
    async fn try_change(
        &mut self,
        change: &Change,
        context: &Context<'_>,
    ) -> Result<Option<Effect>, SqlError> {
        let is_there = |error: &SqlError| error.sqlstate == "23505";
        let database = self.database.clone();
        let mut work = change.start(context, Limits { memory_bytes: SCAN_MEMORY_BYTES })?;
        loop {
            let step = work.next(&mut database.numbers.borrow_mut())?;
            match step {
                Step::Read(sources) => {
                    for (number, source) in sources.iter().enumerate() {
                        self.pull(source, &mut |rows| work.feed(number, rows)).await?;
                    }
                }
                Step::Reserve(reserve) => {
                    let ticket = self.send_write(reserve.table, reserve.kind, &reserve.rows).await?;
                    let taken = match self.written(ticket).await {
                        Ok(_) => true,
                        Err(error) if is_there(&error) => false,
                        Err(error) => return Err(error),
                    };
                    database.numbers.borrow_mut().reserved(&reserve, taken);
                }
                Step::Write(write) => {
                    if !write.again {
                        self.check_new(write.table, write.kind, &write.rows).await?;
                    }
                    match self.write(write.table, write.kind, write.rows).await {
                        Err(error) if write.again && is_there(&error) => return Ok(None),
                        outcome => outcome?,
                    }
                }
                Step::Done(effect) => return Ok(Some(effect)),
            }
        }
    }

    /// Refuses new rows some of whose keys are there, before any shard has written its part of them. Keys that another session
    /// writes at the same time are found by the shards themselves, each for its part.
    async fn check_new(&mut self, table: TableId, kind: WriteKind, rows: &Rows) -> Result<(), SqlError> {
        let lies_on_one_shard = rows.count < 2;
        if kind != WriteKind::Insert || lies_on_one_shard || self.transaction.is_holding() {
            return Ok(());
        }
        if self.new_rows(table, rows).await?.count == rows.count { Ok(()) } else { Err(duplicate_key()) }
    }

    /// Writes rows, or holds them in a transaction.
    pub(super) async fn write(
        &mut self,
        table: TableId,
        kind: WriteKind,
        rows: Rows,
    ) -> Result<(), SqlError> {
        if self.transaction.is_holding() {
            if kind == WriteKind::Insert && self.new_rows(table, &rows).await?.count != rows.count {
                return Err(duplicate_key());
            }
            return self.hold(table, kind, rows);
        }
        let ticket = self.send_write(table, kind, &rows).await?;
        self.written(ticket).await.map(|_| ())
    }

    fn hold(&mut self, table: TableId, kind: WriteKind, rows: Rows) -> Result<(), SqlError> {
        let catalog = self.database.catalog.borrow();
        self.transaction.hold(&catalog.plan().tables[table.0 as usize], kind, rows)
    }

    /// Those of the rows whose primary keys are not there yet, as the transaction sees it, each key once.
    async fn new_rows(&mut self, table: TableId, rows: &Rows) -> Result<Rows, SqlError> {
        let database = self.database.clone();
        let (known, view) = {
            let catalog = database.catalog.borrow();
            let is_it = |object: &&sql::Object| object.table().is_some_and(|(id, _)| id == table);
            let Some(path) = catalog.objects().iter().find(is_it).and_then(|object| object.paths.first())
            else {
                return Err(SqlError::new("42P01", "the table is no longer there"));
            };
            let known = self.transaction.overlay().known(&catalog.plan().tables[table.0 as usize], rows);
            (known, ViewId(path.view))
        };
        let mut asked = Rows::new();
        for (key, _) in known.iter().filter(|(_, known)| known.is_none()) {
            asked.push(Row::at(key));
        }
        let mut there = std::collections::HashSet::new();
        let mut keys = asked.iter().peekable();
        while keys.peek().is_some() {
            let mut some = Rows::new();
            keys.by_ref().take(KEYS_AT_ONCE).for_each(|key| some.push(key));
            let found = self.asked(view, &some, 1).await?.to_rows();
            let catalog = database.catalog.borrow();
            let spec = &catalog.plan().tables[table.0 as usize];
            there.extend(Overlay::default().known(spec, &found).into_iter().map(|(key, _)| key));
        }
        let mut new = Rows::new();
        for (row, (key, known)) in rows.iter().zip(known) {
            if known != Some(true) && there.insert(key) {
                new.push(row);
            }
        }
        Ok(new)
    }

    pub(super) async fn send_write(
        &mut self,
        table: TableId,
        kind: WriteKind,
        rows: &Rows,
    ) -> Result<Ticket, SqlError> {
        let pump = self.database.pump.clone();
        self.interrupt.guard(pump.write(table, kind, rows)).await?.map_err(|error| request_error(&error))
    }

    /// The end of a write: how many rows it changed. The session's reads will show it.
    pub(super) async fn written(&mut self, ticket: Ticket) -> Result<u32, SqlError> {
        // A write under way cannot be called back, so a request to cancel does not end the wait for what came of it.
        match ticket.answer().await {
            Ok(Answered::Written { changed, at }) => {
                self.token.merge(&at);
                Ok(changed)
            }
            Ok(_) => unreachable!("a write is written"),
            Err(error) => Err(request_error(&error)),
        }
    }

    /// Ends the transaction and writes what it holds.
    pub(super) async fn commit(&mut self) -> Result<(), SqlError> {
        let mut tickets = Vec::new();
        let mut outcome = Ok(());
        for held in self.transaction.take() {
            match self.send_write(held.table, held.kind, &held.rows).await {
                Ok(ticket) => tickets.push(ticket),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        for ticket in tickets {
            let written = self.written(ticket).await;
            outcome = outcome.and(written.map(|_| ()));
        }
        outcome
    }
}
