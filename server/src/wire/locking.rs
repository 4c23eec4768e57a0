//! SELECT ... FOR UPDATE: reads rows, locks them, and shows them if they still are what was read.
//!
//! What others of this front have changed before they let go of a row is read again, so that a client sees the row that it has
//! locked. In a transaction the rows are held like rows that are written as they are: they stay what they are in its
//! reads, and COMMIT fails if another front has changed one.

use std::collections::HashMap;
use std::time::Duration;

use operators::{Row, RowBuilder, Rows, TableId, WriteKind};
use sql::locking::Target;
use sql::{Bound, Context, Locking, SqlError};

use super::execute::{CHANGE_ATTEMPTS_MAX, Done, conflict};
use super::locks::Taken;
use super::session::Session;

/// How long a statement waits before it reads rows again that an index does not show yet as they are.
const AGAIN_PAUSE: Duration = Duration::from_millis(1);

/// Rows of one table by their primary keys.
type ByKey = HashMap<Box<[u8]>, Box<[u8]>>;

/// A row of one with its primary key.
type Keyed<'r> = (&'r [u8], &'r [u8]);

/// Rows that are locked, as they were read.
struct Locked {
    /// What the statement shows.
    shown: Rows,
    /// For each target.
    as_read: Vec<ByKey>,
    /// Whether any was waited for.
    has_waited: bool,
}

impl Session {
    /// A query whose rows are locked until the statement or the transaction ends.
    pub(super) async fn select_locking(
        &mut self,
        locking: &Locking,
        context: &Context<'_>,
    ) -> Result<Done, SqlError> {
        let is_eventual = std::mem::replace(&mut self.is_eventual, false);
        let done = self.lock_until_settled(locking, context).await;
        self.is_eventual = is_eventual;
        done
    }

    async fn lock_until_settled(
        &mut self,
        locking: &Locking,
        context: &Context<'_>,
    ) -> Result<Done, SqlError> {
        let locks = self.database.locks.clone();
        for attempt in 0..CHANGE_ATTEMPTS_MAX {
            if attempt > 1 {
                self.interrupt.guard(tokio::time::sleep(AGAIN_PAUSE)).await?;
            }
            // What others wrote before they let go of rows is to be read.
            self.token.merge(&locks.written());
            let releases = locks.releases();
            let found = self.found_by(locking, context).await?;
            let locked = self.lock_found(locking, &found, context).await?;
            let may_be_old = locked.has_waited || locks.releases() != releases || !locking.reads_newest();
            if !may_be_old || self.are_there(locking, &locked).await? {
                self.hold_locked(locking, &locked)?;
                return Ok(Done::rows(locked.shown));
            }
        }
        Err(conflict())
    }

    async fn found_by(&mut self, locking: &Locking, context: &Context<'_>) -> Result<Rows, SqlError> {
        match &locking.query.bound {
            Bound::Lookup(lookup) => {
                let found = self.look_up(lookup, context).await?;
                lookup.result(&found, context)
            }
            Bound::Query(scan) => {
                let done = self.scan(scan, context).await?;
                Ok(done.rows.expect("a query has a result"))
            }
            _ => unreachable!("what is locked is looked up or scanned"),
        }
    }

    /// Locks what the rows were made of, one after another, until there are as many as are wanted.
    async fn lock_found(
        &mut self,
        locking: &Locking,
        found: &Rows,
        context: &Context<'_>,
    ) -> Result<Locked, SqlError> {
        let (mut offset, limit) = locking.cut(context)?;
        let as_read = locking.targets.iter().map(|_| ByKey::new()).collect();
        let mut locked = Locked { shown: Rows::new(), as_read, has_waited: false };
        let mut builder = RowBuilder::new();
        for row in found {
            if locked.shown.count as usize >= limit {
                break;
            }
            if !self.lock_row(locking, row, &mut locked).await? {
                continue;
            }
            if offset > 0 {
                offset -= 1;
            } else {
                locking.show(row, &mut builder, &mut locked.shown);
            }
        }
        Ok(locked)
    }

    /// Locks what a row was made of; false if it is to be left out.
    async fn lock_row(
        &mut self,
        locking: &Locking,
        row: Row<'_>,
        locked: &mut Locked,
    ) -> Result<bool, SqlError> {
        let mut builder = RowBuilder::new();
        for (target, as_read) in locking.targets.iter().zip(&mut locked.as_read) {
            let key: Box<[u8]> = target.key(row, &mut builder).bytes_all().into();
            if as_read.contains_key(&key) {
                continue;
            }
            let name = (target.table.0, key.clone());
            match self.interrupt.guard(self.locked.take(name, target.wait)).await?? {
                Taken::Before | Taken::Now => {}
                Taken::AfterWaiting => locked.has_waited = true,
                Taken::ByAnother => return refused(target),
            }
            as_read.insert(key, target.as_read(row, &mut builder).bytes_all().into());
        }
        Ok(true)
    }

    /// Whether all rows that are locked are what was read.
    async fn are_there(&mut self, locking: &Locking, locked: &Locked) -> Result<bool, SqlError> {
        for (target, as_read) in locking.targets.iter().zip(&locked.as_read) {
            let unknown = self.unknown(target.table, as_read);
            let there = self.rows_there(target.table, unknown.iter().map(|(key, _)| *key)).await?;
            if unknown.iter().any(|(key, row)| there.get(*key).map(|row| &**row) != Some(*row)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Those of the rows that the transaction has neither changed nor locked before.
    fn unknown<'r>(&self, table: TableId, rows: &'r ByKey) -> Vec<Keyed<'r>> {
        let overlay = self.transaction.overlay();
        let unknown = rows.iter().filter(|(key, _)| !overlay.knows(table, key));
        unknown.map(|(key, row)| (&**key, &**row)).collect()
    }

    /// In a transaction the rows are to be what they are until it ends.
    fn hold_locked(&mut self, locking: &Locking, locked: &Locked) -> Result<(), SqlError> {
        if !self.transaction.is_holding() {
            return Ok(());
        }
        for (target, as_read) in locking.targets.iter().zip(&locked.as_read) {
            let mut pairs = Rows::new();
            for (_, row) in self.unknown(target.table, as_read) {
                [row, row].iter().for_each(|row| pairs.push(Row::at(row)));
            }
            if !pairs.is_empty() {
                let catalog = self.database.catalog.borrow();
                let spec = &catalog.plan().tables[target.table.0 as usize];
                self.transaction.hold(spec, WriteKind::Replace, pairs)?;
            }
        }
        Ok(())
    }
}

/// What comes of a row that another has locked.
fn refused(target: &Target) -> Result<bool, SqlError> {
    match target.wait {
        sql::locking::Wait::Skip => Ok(false),
        _ => {
            let message = format!("could not obtain lock on row in relation {:?}", target.name);
            Err(SqlError::new("55P03", message))
        }
    }
}
