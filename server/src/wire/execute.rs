//! Running statements.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use operators::expr::{Literal, NoValue};
use operators::{Row, Rows, TableId, ViewId, WriteKind};
use runtime::front::{RequestError, Share, Token};
use runtime::message::{Refusal, TableWrite};
use sql::scan::Limits;
use sql::{Bound, Change, Context, Effect, Lookup, RowsToWrite, SqlError, Step, Verb, Write};

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
pub(super) const CHANGE_ATTEMPTS_MAX: usize = 100;

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

/// A write as the shards take it.
fn table_write(RowsToWrite { table, kind, rows }: RowsToWrite) -> TableWrite {
    TableWrite { table: table.0, kind, rows }
}

fn rows_to_write(TableWrite { table, kind, rows }: TableWrite) -> RowsToWrite {
    RowsToWrite { table: TableId(table), kind, rows }
}

fn no_longer_there() -> SqlError {
    SqlError::new(NO_LONGER_THERE, "the table is no longer there")
}

/// What a transaction fails with whose rows others have changed.
pub(super) fn conflict() -> SqlError {
    SqlError::new("40001", "could not serialize access due to concurrent update")
        .hint("Run the transaction again.")
}

/// What a transaction fails with of which nothing was written.
fn commit_error(error: &RequestError) -> SqlError {
    match error.reason {
        Refusal::Changed => conflict().detail(error.message.clone()),
        _ => request_error(error),
    }
}

pub(super) fn duplicate_key() -> SqlError {
    SqlError::new("23505", "duplicate key value violates unique constraint")
}

/// What a client is told of a request that was refused.
pub fn request_error(error: &RequestError) -> SqlError {
    if let Refusal::Failing(reason) = error.reason {
        return sql::no_value(NoValue::of_number(usize::from(reason)))
            .detail(error.message.clone())
            .hint("Change or delete that row, or make the view with an expression that has a value on it.");
    }
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
            let outcome = self.execute_once(io, &statement, parameters).await;
            self.unlock();
            match outcome {
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
            Bound::Constant(constant) => {
                Done::rows(constant.rows(&context, |setting| self.set_config(io, setting))?)
            }
            Bound::Explain(lines) => {
                let rows = super::rows::text_rows(lines.iter().map(|line| [Some(line.as_str())]));
                Done { tag: Tag::words("EXPLAIN"), rows: Some(rows) }
            }
            Bound::Declare(declaration) => {
                self.declare(io, (declaration, statement.sql()), parameters).await?
            }
            Bound::Prepare(preparation) => self.prepare(preparation)?,
            Bound::Execute(execution) => self.execute_kept(io, execution, statement.columns()).await?,
            Bound::Query(scan) => self.scan(scan, &context).await?,
            Bound::Locking(locking) => self.select_locking(locking, &context).await?,
            Bound::Session(session) => self.session_statement(io, session).await?,
        })
    }

    /// The rows of a lookup as the session sees them, those that its transaction holds among them.
    pub(super) async fn look_up(&mut self, lookup: &Lookup, context: &Context<'_>) -> Result<Rows, SqlError> {
        match lookup.range(context)? {
            Some(range) => self.look_up_range(lookup, &range, context).await,
            None => self.seen(lookup.view, &lookup.keys(context)?, lookup.limit(context)?).await,
        }
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

    /// A write of several steps.
    async fn change(&mut self, change: &Change, context: &Context<'_>) -> Result<Done, SqlError> {
        let database = self.database.clone();
        let mut work = change.start(context, Limits { memory_bytes: SCAN_MEMORY_BYTES })?;
        for locking in &change.locking {
            let done = self.select_locking(locking, context).await?;
            work.after(done.rows.expect("a query has a result"));
        }
        let mut attempts = 0;
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
                        Err(error) if error.sqlstate == "23505" => false,
                        Err(error) => return Err(error),
                    };
                    database.numbers.borrow_mut().reserved(&reserve, taken);
                }
                Step::Write(writes) => {
                    if self.lock(change, work.contended(&writes)).await? {
                        work.refused(&writes)?;
                        continue;
                    }
                    let refused = self.make(writes, work.must_be_new()).await?;
                    attempts += 1;
                    if attempts > CHANGE_ATTEMPTS_MAX && !refused.is_empty() {
                        return Err(conflict());
                    }
                    work.refused(&refused)?;
                }
                Step::Done(effect) => return Ok(done(effect)),
            }
        }
    }

    /// Locks rows until the statement or the transaction ends; whether others had them, so that they may be others now.
    async fn lock(&mut self, change: &Change, keys: BTreeSet<Vec<u8>>) -> Result<bool, SqlError> {
        let rows = keys.into_iter().map(|key| (change.table.0, key.into_boxed_slice()));
        self.interrupt.guard(self.locked.lock(rows)).await?
    }

    /// Makes the writes of a statement, or holds them in a transaction; those that were refused because others were faster.
    async fn make(
        &mut self,
        writes: Vec<RowsToWrite>,
        must_be_new: bool,
    ) -> Result<Vec<RowsToWrite>, SqlError> {
        for RowsToWrite { table, kind, rows } in writes.iter().filter(|_| must_be_new) {
            self.check_new(*table, *kind, rows).await?;
        }
        if self.transaction.is_holding() {
            for RowsToWrite { table, kind, rows } in writes {
                self.hold(table, kind, rows).await?;
            }
            return Ok(Vec::new());
        }
        let writes: Vec<TableWrite> = writes.into_iter().map(table_write).collect();
        let shares = self.shares(&writes)?;
        let mut refused = Vec::new();
        let conflicts = self.commit_shares(&shares).await?;
        for (share, conflict) in shares.into_iter().zip(conflicts) {
            if conflict.is_some() {
                refused.extend(share.writes.into_iter().map(rows_to_write));
            }
        }
        Ok(refused)
    }

    fn shares(&self, writes: &[TableWrite]) -> Result<Vec<Share>, SqlError> {
        let shares = self.database.pump.with_front(|front| front.shares(writes));
        shares.map_err(|error| SqlError::new(NO_LONGER_THERE, error.to_string()))
    }

    /// Sends all shares and waits until each has been written or refused: for each the error if others were faster.
    async fn commit_shares(&mut self, shares: &[Share]) -> Result<Vec<Option<RequestError>>, SqlError> {
        let pump = self.database.pump.clone();
        let mut tickets = Vec::with_capacity(shares.len());
        let mut outcome = Ok(());
        for share in shares {
            match self.interrupt.guard(pump.commit(share)).await {
                Ok(Ok(ticket)) => tickets.push(ticket),
                Ok(Err(error)) => outcome = outcome.and(Err(request_error(&error))),
                Err(error) => outcome = outcome.and(Err(error)),
            }
            if outcome.is_err() {
                break;
            }
        }
        let mut conflicts = Vec::with_capacity(shares.len());
        for ticket in tickets {
            match ticket.answer().await {
                Ok(Answered::Written { at, .. }) => {
                    self.token.merge(&at);
                    conflicts.push(None);
                }
                Ok(Answered::Conflict { at, error }) => {
                    self.token.merge(&at);
                    conflicts.push(Some(error));
                }
                Ok(_) => unreachable!("a write is written"),
                Err(error) => outcome = outcome.and(Err(request_error(&error))),
            }
        }
        outcome.map(|()| conflicts)
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
            return self.hold(table, kind, rows).await;
        }
        let ticket = self.send_write(table, kind, &rows).await?;
        self.written(ticket).await.map(|_| ())
    }

    async fn hold(&mut self, table: TableId, kind: WriteKind, rows: Rows) -> Result<(), SqlError> {
        if kind == WriteKind::Insert && self.new_rows(table, &rows).await?.count != rows.count {
            return Err(duplicate_key());
        }
        let catalog = self.database.catalog.borrow();
        self.transaction.hold(&catalog.plan().tables[table.0 as usize], kind, rows)
    }

    /// Those of the rows whose primary keys are not there yet, as the transaction sees it, each key once.
    async fn new_rows(&mut self, table: TableId, rows: &Rows) -> Result<Rows, SqlError> {
        let known = {
            let catalog = self.database.catalog.borrow();
            self.transaction.overlay().known(&catalog.plan().tables[table.0 as usize], rows)
        };
        let unknown = known.iter().filter(|(_, known)| known.is_none()).map(|(key, _)| &**key);
        let there = self.rows_there(table, unknown).await?;
        let mut there: HashSet<Box<[u8]>> = there.into_keys().collect();
        let mut new = Rows::new();
        for (row, (key, known)) in rows.iter().zip(known) {
            if known != Some(true) && there.insert(key) {
                new.push(row);
            }
        }
        Ok(new)
    }

    /// The rows of a table that have these primary keys, by those.
    pub(super) async fn rows_there(
        &mut self,
        table: TableId,
        keys: impl Iterator<Item = &[u8]>,
    ) -> Result<HashMap<Box<[u8]>, Box<[u8]>>, SqlError> {
        let database = self.database.clone();
        let view = {
            let catalog = database.catalog.borrow();
            let is_it = |object: &&sql::Object| object.table().is_some_and(|(id, _)| id == table);
            let path = catalog.objects().iter().find(is_it).and_then(|object| object.paths.first());
            ViewId(path.ok_or_else(no_longer_there)?.view)
        };
        let mut there = HashMap::new();
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let mut some = Rows::new();
            keys.by_ref().take(KEYS_AT_ONCE).for_each(|key| some.push(Row::at(key)));
            let found = self.asked(view, &some, 1).await?.to_rows();
            let catalog = database.catalog.borrow();
            let keys = Overlay::default().known(&catalog.plan().tables[table.0 as usize], &found);
            let rows = found.iter().map(|row| row.bytes_all().into());
            there.extend(keys.into_iter().map(|(key, _)| key).zip(rows));
        }
        Ok(there)
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
            Ok(Answered::Conflict { error, .. }) => Err(request_error(&error)),
            Ok(_) => unreachable!("a write is written"),
            Err(error) => Err(request_error(&error)),
        }
    }

    /// Ends the transaction and writes what it holds: on each shard everything or nothing.
    pub(super) async fn commit(&mut self) -> Result<(), SqlError> {
        let changes = self.transaction.take();
        if changes.only_keeps() {
            return self.check_unchanged(&changes).await;
        }
        let shares = self.shares(&changes.writes())?;
        if shares.len() > 1 {
            self.check_unchanged(&changes).await?;
        }
        let conflicts = self.commit_shares(&shares).await?;
        let refused = conflicts.iter().flatten().count();
        match conflicts.iter().flatten().next() {
            None => Ok(()),
            Some(error) if refused == shares.len() => Err(commit_error(error)),
            Some(error) => Err(SqlError::new("40003", "a part of the transaction has been written, the rest has not")
                .detail(format!("{refused} of {} parts were refused: {}", shares.len(), error.message))
                .hint("Others have changed its rows at the same moment. A transaction is atomic on each shard only.")),
        }
    }

    /// Refuses a transaction for several shards that one of them would refuse, before any has written its part. What others
    /// write from now on is found by the shards themselves.
    async fn check_unchanged(&mut self, changes: &Overlay) -> Result<(), SqlError> {
        for table in changes.tables() {
            let there = self.rows_there(table, changes.conditional(table)).await?;
            changes.check(table, &there)?;
        }
        Ok(())
    }
}
