//! Transactions: writes are held until COMMIT and dropped by ROLLBACK.

use operators::plan::TableSpec;
use operators::{Rows, TableId, WriteKind};
use sql::SqlError;

use super::overlay::Overlay;
use super::settings::Mark;

/// Bytes of rows that a transaction holds.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Savepoints of a transaction.
const SAVEPOINT_COUNT_MAX: usize = 1024;

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Every statement stands by itself.
    #[default]
    None,
    /// Several statements that came in one message.
    Implicit,
    /// After BEGIN.
    Active,
    /// After BEGIN and an error: nothing but its end is taken.
    Failed,
}

/// A write that waits for COMMIT.
#[derive(Debug)]
pub struct Held {
    /// The table.
    pub table: TableId,
    /// What is to be done with the rows.
    pub kind: WriteKind,
    /// The rows.
    pub rows: Rows,
}

/// A session's transaction.
#[derive(Debug, Default)]
pub struct Transaction {
    state: State,
    held: Vec<Held>,
    held_bytes: usize,
    /// What is held, as reads see it.
    overlay: Overlay,
    savepoints: Vec<Savepoint>,
}

/// A place to go back to.
#[derive(Debug)]
struct Savepoint {
    name: String,
    /// How many bytes of rows were held in each held write.
    lengths: Vec<usize>,
    settings: Mark,
}

impl Transaction {
    /// Where the session stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The letter for it in the protocol.
    pub fn status(&self) -> u8 {
        match self.state {
            State::None | State::Implicit => b'I',
            State::Active => b'T',
            State::Failed => b'E',
        }
    }

    /// Whether writes are held.
    pub fn is_holding(&self) -> bool {
        self.state != State::None
    }

    /// Whether nothing that it has changed can be written any more.
    pub fn is_over(&self) -> bool {
        match self.state {
            State::None => true,
            State::Failed => self.savepoints.is_empty(),
            State::Implicit | State::Active => false,
        }
    }

    /// BEGIN; false if there was one already.
    pub fn begin(&mut self) -> bool {
        let is_new = matches!(self.state, State::None | State::Implicit);
        if is_new {
            self.state = State::Active;
        }
        is_new
    }

    /// Several statements begin that came in one message.
    pub fn begin_implicit(&mut self) {
        if self.state == State::None {
            self.state = State::Implicit;
        }
    }

    /// A statement has failed.
    pub fn fail(&mut self) {
        match self.state {
            State::Active => self.state = State::Failed,
            State::Implicit => self.end(),
            State::None | State::Failed => {}
        }
    }

    /// Refuses statements in a failed transaction.
    pub fn check(&self) -> Result<(), SqlError> {
        if self.state == State::Failed {
            return Err(SqlError::new(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    /// What is held, as reads see it.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// Holds a write of a table.
    pub fn hold(&mut self, spec: &TableSpec, kind: WriteKind, rows: Rows) -> Result<(), SqlError> {
        let table = spec.id;
        if self.held_bytes + rows.rows.len() > HELD_BYTES_MAX {
            return Err(SqlError::new("54000", "the transaction writes too much")
                .detail(format!("Up to {} MiB are held until COMMIT.", HELD_BYTES_MAX >> 20))
                .hint("Commit in between."));
        }
        self.held_bytes += rows.rows.len();
        let held = Held { table, kind, rows };
        self.overlay.add(spec, &held);
        let Held { rows, .. } = held;
        match self.held.last_mut() {
            Some(last) if last.table == table && last.kind == kind => {
                last.rows.rows.extend_from_slice(&rows.rows);
                last.rows.count += rows.count;
            }
            _ => self.held.push(Held { table, kind, rows }),
        }
        Ok(())
    }

    /// Ends the transaction and gives what it has changed.
    pub fn take(&mut self) -> Overlay {
        let overlay = std::mem::take(&mut self.overlay);
        self.end();
        overlay
    }

    /// Ends the transaction and drops what it holds.
    pub fn end(&mut self) {
        *self = Transaction::default();
    }

    /// SAVEPOINT, where these are the settings.
    pub fn savepoint(&mut self, name: &str, settings: Mark) -> Result<(), SqlError> {
        if self.savepoints.len() >= SAVEPOINT_COUNT_MAX {
            return Err(SqlError::new("54000", "a transaction has too many savepoints"));
        }
        let lengths = self.held.iter().map(|held| held.rows.rows.len()).collect();
        self.savepoints.push(Savepoint { name: name.to_owned(), lengths, settings });
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, SqlError> {
        let place = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        place.ok_or_else(|| SqlError::new("3B001", format!("savepoint {name:?} does not exist")))
    }

    /// RELEASE SAVEPOINT.
    pub fn release(&mut self, name: &str) -> Result<(), SqlError> {
        let place = self.find(name)?;
        self.savepoints.truncate(place);
        Ok(())
    }

    /// ROLLBACK TO SAVEPOINT; `spec` knows the tables. What the settings were then.
    pub fn roll_back_to<'s>(
        &mut self,
        name: &str,
        spec: impl Fn(TableId) -> &'s TableSpec,
    ) -> Result<Mark, SqlError> {
        let place = self.find(name)?;
        self.savepoints.truncate(place + 1);
        let Savepoint { lengths, settings, .. } = &self.savepoints[place];
        self.held.truncate(lengths.len());
        for (held, length) in self.held.iter_mut().zip(lengths) {
            held.rows.rows.truncate(*length);
            held.rows.count = held.rows.iter().count() as u32;
        }
        self.held_bytes = self.held.iter().map(|held| held.rows.rows.len()).sum();
        self.overlay = Overlay::default();
        for held in &self.held {
            self.overlay.add(spec(held.table), held);
        }
        self.state = State::Active;
        Ok(settings.clone())
    }
}
