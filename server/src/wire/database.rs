//! What the sessions of a front share: the pump, the catalogue, and who is connected.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use operators::plan::Extension;
use runtime::front::{Definition, Front};
use runtime::message::Refusal;
use sql::{Catalog, Entry, Numbers, SqlError};

use super::cancel::Interrupt;
use super::execute::request_error;
use super::locks::Locks;
use super::pump::Pump;
use super::stopping::Stopping;

/// Connections beyond the most that may be that the server's own user can have, to see why there are so many.
const RESERVED_COUNT: usize = 3;

/// See the [module's documentation](self).
pub struct Database {
    /// The way to the shards.
    pub pump: Rc<Pump>,
    /// All tables and views, as of the last [`Database::refresh`].
    pub catalog: RefCell<Catalog>,
    /// The newest change of the catalogue that has been taken.
    version: Cell<u64>,
    /// Numbers that this front has taken for columns that count.
    pub numbers: RefCell<Numbers>,
    /// Rows that sessions have locked.
    pub locks: Rc<Locks>,
    /// Whether this front is stopping.
    pub stopping: Rc<Stopping>,
    sessions: RefCell<HashMap<u32, Rc<Interrupt>>>,
    next_session: Cell<u32>,
    connections_max: usize,
}

impl Database {
    /// What this front serves, with the catalogue as it is now.
    ///
    /// # Errors
    ///
    /// A catalogue that cannot be read.
    pub fn open(front: Front, connections_max: usize) -> Result<Rc<Database>, SqlError> {
        let database = Database {
            pump: Pump::new(front),
            catalog: RefCell::new(Catalog::new()),
            version: Cell::new(0),
            // A hasher of the standard library has random keys.
            numbers: RefCell::new(Numbers::new(RandomState::new().build_hasher().finish())),
            locks: Rc::default(),
            stopping: Rc::default(),
            sessions: RefCell::new(HashMap::new()),
            next_session: Cell::new(0),
            connections_max,
        };
        database.refresh()?;
        Ok(Rc::new(database))
    }

    /// Takes the changes of the catalogue that have come, and says which is the newest. Costs a load when there are none.
    ///
    /// # Errors
    ///
    /// A change that cannot be read or does not follow the one before it.
    pub fn refresh(&self) -> Result<u64, SqlError> {
        if self.pump.with_front(|front| front.newest_entry()) == self.version.get() {
            return Ok(self.version.get());
        }
        let taken = self.pump.with_front(|front| {
            let notes = front.refresh_catalogue();
            notes.map(|notes| (notes, front.catalogue_entry()))
        });
        let broken = |what: &dyn std::fmt::Display| SqlError::new("58000", format!("the catalogue: {what}"));
        let (notes, version) = taken.map_err(|error| broken(&error))?;
        let mut catalog = self.catalog.borrow_mut();
        for note in notes {
            let mut bytes = rkyv::util::AlignedVec::<16>::new();
            bytes.extend_from_slice(&note);
            let entry = rkyv::from_bytes::<Entry, rkyv::rancor::Error>(&bytes);
            catalog.apply(&entry.map_err(|error| broken(&error))?)?;
        }
        self.version.set(version);
        Ok(version)
    }

    /// Makes a change of the catalogue durable and takes it. False if another came first: then it is to be bound again.
    ///
    /// # Errors
    ///
    /// The change is refused, or the catalogue cannot be read.
    pub async fn define(&self, entry: &Entry) -> Result<bool, SqlError> {
        let mut after = self.catalog.borrow().clone();
        if after.apply(entry).is_err() {
            return Ok(false);
        }
        let note = rkyv::to_bytes::<rkyv::rancor::Error>(entry)
            .map_err(|error| SqlError::new("XX000", error.to_string()))?
            .to_vec();
        let extension = Extension::between(self.catalog.borrow().plan(), after.plan());
        let definition = Definition { after: self.version.get(), extension, note };
        let ticket = self.pump.define(&definition).await.map_err(|error| request_error(&error))?;
        match ticket.answer().await {
            Ok(_) => {
                self.refresh()?;
                Ok(true)
            }
            Err(error) if error.reason == Refusal::Stale => {
                self.refresh()?;
                Ok(false)
            }
            Err(error) => Err(request_error(&error)),
        }
    }

    /// Enters a session; its number, by which it can be asked to stop. The server's own user finds room for some more.
    ///
    /// # Errors
    ///
    /// 53300 if there are too many.
    pub fn enter(&self, interrupt: &Rc<Interrupt>, is_owner: bool) -> Result<u32, SqlError> {
        let mut sessions = self.sessions.borrow_mut();
        if sessions.len() >= self.connections_max + if is_owner { RESERVED_COUNT } else { 0 } {
            return Err(SqlError::new("53300", "sorry, too many clients already")
                .detail(format!("A front takes {} connections.", self.connections_max)));
        }
        let mut number = self.next_session.get();
        loop {
            number = number.wrapping_add(1);
            if number != 0 && !sessions.contains_key(&number) {
                break;
            }
        }
        self.next_session.set(number);
        sessions.insert(number, interrupt.clone());
        Ok(number)
    }

    /// A session has ended.
    pub fn leave(&self, session: u32) {
        self.sessions.borrow_mut().remove(&session);
    }

    /// Breaks off what a session does, if the secret is right.
    pub fn cancel(&self, session: u32, secret: u32) {
        if let Some(interrupt) = self.sessions.borrow().get(&session)
            && interrupt.is_for(secret)
        {
            interrupt.raise();
        }
    }
}
