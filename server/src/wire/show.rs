//! What a session does by itself: transactions, settings, and what the server says of itself.

use std::time::Duration;

use operators::{ScanPosition, ViewId};
use runtime::ShardId;
use runtime::front::Token;
use runtime::message::Refusal;
use sql::{Bound, Prepared, Session as Request, SqlError};
use tokio::time::Instant;

use super::connection::End;
use super::execute::Done;
use super::report::Failing;
use super::rows::{text_column, text_rows};
use super::session::Session;
use super::stream::Io;
use super::tag::Tag;
use super::transaction::State;

/// How long SHOW waits for shards that may be away.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Gives a SHOW the columns of its result.
pub fn describe(mut prepared: Prepared) -> Prepared {
    if let Bound::Session(Request::Show(name)) = &prepared.bound {
        let names: &[&str] = match name.as_str() {
            "all" => &["name", "setting"],
            name => {
                prepared.columns = super::report::columns(name).unwrap_or(prepared.columns);
                return prepared;
            }
        };
        prepared.columns = names.iter().map(|name| text_column(name)).collect();
    }
    prepared
}

impl Session {
    pub(super) async fn session_statement(&mut self, io: &mut Io, request: &Request) -> Result<Done, End> {
        let words = match request {
            Request::Begin => {
                if !self.transaction.begin() {
                    io.out.notice("WARNING", "25001", "there is already a transaction in progress");
                }
                "BEGIN"
            }
            Request::Commit if self.transaction.state() == State::Failed => {
                self.transaction.end();
                self.end_transaction(io, false);
                "ROLLBACK"
            }
            Request::Commit => {
                self.warn_outside(io);
                let committed = self.commit().await;
                self.end_transaction(io, committed.is_ok());
                committed?;
                "COMMIT"
            }
            Request::Rollback => {
                self.warn_outside(io);
                self.transaction.end();
                self.end_transaction(io, false);
                "ROLLBACK"
            }
            Request::Savepoint(name) => {
                self.in_transaction("SAVEPOINT")?;
                self.transaction.savepoint(name, self.settings.mark())?;
                "SAVEPOINT"
            }
            Request::Release(name) => {
                self.in_transaction("RELEASE SAVEPOINT")?;
                self.transaction.release(name)?;
                "RELEASE"
            }
            Request::RollbackTo(name) => {
                self.in_transaction("ROLLBACK TO SAVEPOINT")?;
                self.roll_back_to(io, name)?;
                "ROLLBACK"
            }
            Request::Set { name, value, is_local } => {
                self.set(io, name, value, *is_local)?;
                "SET"
            }
            Request::Reset(name) => {
                self.reset(io, name.as_deref())?;
                "RESET"
            }
            Request::Discard(what) => self.discard(io, *what)?,
            Request::Deallocate(None) => {
                self.statements.retain(str::is_empty);
                "DEALLOCATE ALL"
            }
            Request::Deallocate(Some(name)) => {
                if self.statements.remove(name).is_none() {
                    let message = format!("prepared statement {name:?} does not exist");
                    return Err(SqlError::new("26000", message).into());
                }
                "DEALLOCATE"
            }
            Request::Close(None) => {
                self.portals.clear();
                self.cursors.close_all();
                "CLOSE CURSOR ALL"
            }
            Request::Close(Some(name)) => {
                if !self.cursors.close(name) && self.portals.remove(name).is_none() {
                    return Err(SqlError::new("34000", format!("cursor {name:?} does not exist")).into());
                }
                "CLOSE CURSOR"
            }
            Request::Unlisten => "UNLISTEN",
            Request::LockTable => {
                self.in_transaction("LOCK TABLE")?;
                "LOCK TABLE"
            }
            Request::Nothing(words) => *words,
            Request::Fetch { name, count, moves } => return Ok(self.cursors.fetch(name, *count, *moves)?),
            Request::Show(name) => return Ok(self.show(name).await?),
        };
        Ok(Done::words(words))
    }

    fn warn_outside(&self, io: &mut Io) {
        if self.transaction.state() == State::None {
            io.out.notice("WARNING", "25P01", "there is no transaction in progress");
        }
    }

    fn in_transaction(&self, what: &str) -> Result<(), SqlError> {
        match self.transaction.state() {
            State::Active | State::Failed => Ok(()),
            _ => Err(SqlError::new("25P01", format!("{what} can only be used in transaction blocks"))),
        }
    }

    async fn show(&self, name: &str) -> Result<Done, SqlError> {
        let rows = match name {
            "all" => text_rows(self.settings.all().map(|(name, value)| [Some(name), Some(value)])),
            "sakia.clock" => text_rows([[Some(self.token.to_string().as_str())]]),
            "transaction isolation level" | "transaction.isolation.level" => {
                text_rows([[Some("read committed")]])
            }
            name => {
                let failing = if name == "views" { self.failing_views().await? } else { Failing::new() };
                let catalog = self.database.catalog.borrow();
                let told = self
                    .database
                    .pump
                    .with_front(|front| super::report::rows(name, front, &catalog, &failing));
                match told {
                    Some(rows) => rows,
                    None => text_rows([[Some(self.settings.get(name)?)]]),
                }
            }
        };
        Ok(Done { tag: Tag::words("SHOW"), rows: Some(rows) })
    }

    /// The views that shards refuse to read because of a row on which an expression has no value.
    async fn failing_views(&self) -> Result<Failing, SqlError> {
        let pump = self.database.pump.clone();
        let views: Vec<ViewId> = {
            let catalog = self.database.catalog.borrow();
            let made = catalog.objects().iter().filter(|object| object.table().is_none());
            made.flat_map(|object| &object.paths).map(|path| ViewId(path.view)).collect()
        };
        let mut tickets = Vec::new();
        let token = Token::default();
        for view in views {
            for shard in (0..pump.with_front(|front| front.shards())).map(ShardId) {
                // No rows are wanted, only whether there would be any.
                let asked = pump.scan(&token, view, shard, ScanPosition::END);
                if let Ok(ticket) = self.interrupt.guard(asked).await? {
                    tickets.push((view, ticket));
                }
            }
        }
        let mut failing = Failing::new();
        let deadline = Instant::now() + ANSWER_TIME_MAX;
        for (view, ticket) in tickets {
            let answer = tokio::time::timeout_at(deadline, ticket.answer());
            if let Ok(Err(error)) = self.interrupt.guard(answer).await?
                && matches!(error.reason, Refusal::Failing(_))
            {
                failing.insert(view, error.message);
            }
        }
        Ok(failing)
    }
}
