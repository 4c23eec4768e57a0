//! PREPARE and EXECUTE in SQL. What they keep and run are the statements that the protocol prepares, by the same names.

use std::rc::Rc;

use sql::prepare::{Execution, Preparation};
use sql::{Bound, ResultColumn, SqlError};

use super::connection::End;
use super::execute::{Done, now};
use super::session::Session;
use super::statement::{Named, Statement};
use super::stream::Io;

fn changed_result() -> SqlError {
    SqlError::new("0A000", "cached plan must not change result type").hint("Prepare the statement again.")
}

impl Session {
    /// Refuses the name of a statement that is to be kept if there is one already, and its text if there is no room for it.
    pub(super) fn check_new_name(&self, name: &str, text_bytes: usize) -> Result<(), SqlError> {
        if !name.is_empty() && self.statements.contains(name) {
            return Err(SqlError::new("42P05", format!("prepared statement {name:?} already exists")));
        }
        self.statements.check_room(name, text_bytes)
    }

    /// Keeps a statement; `text` is what made it.
    pub(super) fn keep_statement(
        &mut self,
        name: &str,
        statement: Rc<Statement>,
        text: &str,
        is_from_sql: bool,
    ) -> Result<(), SqlError> {
        let named = Named { statement, text: text.into(), is_from_sql, made: now() };
        self.statements.insert(name, named, text.len())
    }

    /// The statement of a name, bound again if what it depends on has changed since.
    pub(super) fn renewed(&mut self, name: &str) -> Result<Rc<Statement>, SqlError> {
        let kept = self.statement(name)?;
        let fresh = match kept.depends_on_session {
            true => self.prepared(sql::parse(kept.sql())?.pop(), kept.declared().to_vec()),
            false => kept.fresh(&self.database),
        };
        let fresh = self.bindable(fresh)?;
        if Rc::ptr_eq(kept, &fresh) {
            return Ok(fresh);
        }
        let executes = matches!(fresh.prepared.bound, Bound::Execute(_));
        if executes && !kept.columns().is_empty() && kept.columns() != fresh.columns() {
            return Err(changed_result());
        }
        if let Some(named) = self.statements.remove(name) {
            let bytes = named.text.len();
            self.statements.insert(name, Named { statement: fresh.clone(), ..named }, bytes)?;
        }
        Ok(fresh)
    }

    /// PREPARE.
    pub(super) fn prepare(&mut self, preparation: &Preparation) -> Result<Done, SqlError> {
        let Preparation { name, parsed, text, declared } = preparation;
        self.check_new_name(name, text.len())?;
        let statement = self.prepared(Some(parsed.clone()), declared.clone())?;
        self.keep_statement(name, statement, text, true)?;
        Ok(Done::words("PREPARE"))
    }

    /// EXECUTE; `columns` are what the client has been told of the result.
    pub(super) async fn execute_kept(
        &mut self,
        io: &mut Io,
        execution: &Execution,
        columns: &[ResultColumn],
    ) -> Result<Done, End> {
        let kept = self.renewed(&execution.name)?;
        let what = match &kept.prepared.bound {
            _ if kept.copy.is_some() => Some("COPY"),
            _ if kept.is_empty() => Some("nothing"),
            // They could go on for ever.
            Bound::Execute(_) => Some("EXECUTE"),
            Bound::Prepare(_) => Some("PREPARE"),
            _ => None,
        };
        if let Some(what) = what {
            return Err(SqlError::unsupported(format!("EXECUTE of a prepared {what}")).into());
        }
        let values = execution.values(&kept.prepared.parameters, now())?;
        kept.prepared.check_relations(&self.database.catalog.borrow(), &values)?;
        if kept.columns() != columns {
            return Err(changed_result().into());
        }
        Box::pin(self.execute(io, &kept, &values)).await
    }
}
