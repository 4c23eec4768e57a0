//! SET, RESET, set_config and DISCARD, and what becomes of settings when a transaction ends.

use std::time::Duration;

use sql::{Discarded, SqlError};

use super::session::Session;
use super::settings::{Changed, Reach, Settings};
use super::stream::Io;
use super::transaction::State;

impl Session {
    /// How far what is set now reaches.
    fn reach(&self) -> Reach {
        if self.transaction.is_holding() { Reach::Transaction } else { Reach::Session }
    }

    /// SET.
    pub(super) fn set(
        &mut self,
        io: &mut Io,
        name: &str,
        value: &str,
        is_local: bool,
    ) -> Result<(), SqlError> {
        match name {
            // Every transaction reads what is committed, whatever it asks for.
            "transaction" | "session characteristics" => return Ok(()),
            "sakia.clock" => {
                let token: runtime::front::Token = value
                    .parse()
                    .map_err(|error: runtime::front::TokenError| SqlError::new("22023", error.to_string()))?;
                self.token.merge(&token);
                return Ok(());
            }
            _ => {}
        }
        if is_local && !self.transaction.is_holding() {
            // Its value is looked at all the same.
            self.settings.clone().set(name, value, Reach::Local)?;
            io.out.notice("WARNING", "25P01", "SET LOCAL can only be used in transaction blocks");
            return Ok(());
        }
        let reach = if is_local { Reach::Local } else { self.reach() };
        if let Changed::Ignored(why) = self.settings.set(name, value, reach)? {
            io.out.notice("WARNING", "01000", &format!("{name} stays as it is: {why}"));
        }
        self.settings_changed();
        if let Some(name) = Settings::reported_name(name) {
            io.out.parameter_status(name, self.settings.get(name)?);
        }
        Ok(())
    }

    /// SET as a function: what the setting then is.
    pub(super) fn set_config(&mut self, io: &mut Io, setting: sql::Setting) -> Result<String, SqlError> {
        let sql::Setting { name, value, is_local } = setting;
        let name = name.to_ascii_lowercase();
        let value = value.as_deref().unwrap_or("default");
        if is_local && !self.transaction.is_holding() {
            // The statement is a transaction by itself, at whose end it is forgotten.
            let mut settings = self.settings.clone();
            settings.set(&name, value, Reach::Local)?;
            return settings.get(&name).map(str::to_owned);
        }
        self.set(io, &name, value, is_local)?;
        Ok(self.settings.get(&name).map(str::to_owned).unwrap_or_default())
    }

    /// RESET; of all without a name.
    pub(super) fn reset(&mut self, io: &mut Io, name: Option<&str>) -> Result<(), SqlError> {
        let (reach, before) = (self.reach(), self.settings.clone());
        match name {
            Some(name) => self.settings.reset(name, reach)?,
            None => self.settings.reset_all(reach),
        }
        self.settings_changed();
        self.report(io, &before);
        Ok(())
    }

    /// ROLLBACK TO SAVEPOINT.
    pub(super) fn roll_back_to(&mut self, io: &mut Io, savepoint: &str) -> Result<(), SqlError> {
        let before = self.settings.clone();
        let catalog = self.database.catalog.borrow();
        let tables = &catalog.plan().tables;
        let mark = self.transaction.roll_back_to(savepoint, |table| &tables[table.0 as usize])?;
        drop(catalog);
        self.settings.return_to(mark);
        self.settings_changed();
        self.report(io, &before);
        Ok(())
    }

    /// The transaction has ended: what was only for it is forgotten.
    pub(super) fn end_transaction(&mut self, io: &mut Io, is_committed: bool) {
        self.cursors.end_transaction(is_committed);
        if !self.settings.has_set() {
            return;
        }
        let before = self.settings.clone();
        self.settings.end_transaction(is_committed);
        self.settings_changed();
        self.report(io, &before);
    }

    /// Tells the client of settings that are not as they were before.
    fn report(&self, io: &mut Io, before: &Settings) {
        let settings = before.reported().zip(self.settings.reported());
        for (_, (name, now)) in settings.filter(|((_, before), (_, now))| before != now) {
            io.out.parameter_status(name, now);
        }
    }

    /// DISCARD.
    pub(super) fn discard(&mut self, io: &mut Io, what: Discarded) -> Result<&'static str, SqlError> {
        Ok(match what {
            // Plans are made anew when the catalogue changes, numbers are the front's, and no table is temporary.
            Discarded::Plans => "DISCARD PLANS",
            Discarded::Sequences => "DISCARD SEQUENCES",
            Discarded::Temporary => "DISCARD TEMP",
            Discarded::All => {
                if self.transaction.state() != State::None {
                    let message = "DISCARD ALL cannot run inside a transaction block";
                    return Err(SqlError::new("25001", message));
                }
                let before = self.settings.clone();
                self.settings.reset_all(Reach::Session);
                self.settings_changed();
                self.report(io, &before);
                self.statements.retain(str::is_empty);
                self.portals.clear();
                self.cursors.close_all();
                "DISCARD ALL"
            }
        })
    }

    /// Takes over what settings say of how statements are run.
    pub(super) fn settings_changed(&mut self) {
        let time = |name: &str| {
            let millis = self.settings.get(name).ok().and_then(super::settings::millis);
            millis.filter(|millis| *millis > 0).map(Duration::from_millis)
        };
        (self.time_max, self.locked.time_max) = (time("statement_timeout"), time("lock_timeout"));
        self.is_eventual = self.settings.get("sakia.consistency") == Ok("eventual");
    }
}
