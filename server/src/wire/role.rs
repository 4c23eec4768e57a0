//! Statements about roles: passwords become verifiers here, before anything is kept or sent on.

use sql::role::{Material, RoleStatement, Secret};
use sql::{Definition, SqlError};

use super::define::DEFINE_ATTEMPTS_MAX;
use super::execute::Done;
use super::scram;
use super::session::Session;
use super::stream::Io;

impl Session {
    /// Carries out a statement about roles.
    pub(super) async fn change_roles(
        &mut self,
        io: &mut Io,
        statement: &RoleStatement,
    ) -> Result<Done, SqlError> {
        self.warn_of_definition(io);
        let verifier = statement.plain_password().map(scram::verifier).transpose()?;
        let material = Material { verifier, secret: Secret(scram::random()?) };
        for _ in 0..DEFINE_ATTEMPTS_MAX {
            self.database.refresh()?;
            let definition = {
                let catalog = self.database.catalog.borrow();
                statement.definition(&catalog, self.who.asker(&catalog)?, &material)?
            };
            let entry = match definition {
                Definition::Nothing(notice) => {
                    io.out.notice("NOTICE", "00000", &notice);
                    return Ok(Done::words(statement.tag()));
                }
                Definition::Entry(entry) => entry,
            };
            let before = self.database.catalog.borrow().roles().ask_for_passwords();
            if self.database.define(&entry).await? {
                let after = self.database.catalog.borrow().roles().ask_for_passwords();
                tell(io, before, after);
                return Ok(Done::words(statement.tag()));
            }
        }
        Err(SqlError::new("40001", "the catalogue keeps changing").hint("Try again."))
    }
}

/// Says what changes for everybody, which is easily overlooked.
fn tell(io: &mut Io, before: bool, after: bool) {
    match (before, after) {
        (false, true) => io.out.notice(
            "NOTICE",
            "00000",
            "from now on connections over TCP need a password; the Unix socket lets in the server's own user as before",
        ),
        (true, false) => io.out.notice(
            "WARNING",
            "01000",
            "no role can log in with a password any more: connections from this machine are let in without one, and with \
             --insecure all are",
        ),
        _ => {}
    }
}
