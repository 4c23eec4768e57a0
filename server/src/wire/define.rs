//! Definitions: made durable by the supervisor, and waited for until what they define can be read.

use std::rc::Rc;

use operators::ViewId;
use runtime::front::FrontError;
use sql::catalog::{AccessPath, Change, ObjectKind};
use sql::{Bound, Context, Definition, Entry, Rule, SqlError};

use super::execute::{BUILDING_PAUSE, Done, now};
use super::session::Session;
use super::statement::Statement;
use super::stream::Io;
use super::tag::Tag;
use super::transaction::State;

/// How often a definition is bound again because another came first.
pub const DEFINE_ATTEMPTS_MAX: usize = 100;

impl Session {
    /// Carries out a definition. It ends when what is new can be read; if that is broken off, it is dropped again.
    pub(super) async fn define(&mut self, io: &mut Io, statement: &Rc<Statement>) -> Result<Done, SqlError> {
        let tag = Tag::of_definition(statement.sql());
        self.warn_of_definition(io);
        let mut statement = statement.fresh(&self.database)?;
        for _ in 0..DEFINE_ATTEMPTS_MAX {
            let Bound::Define(definition) = &statement.prepared.bound else {
                unreachable!("a definition stays one")
            };
            let entry = match definition {
                Definition::Nothing(notice) => {
                    io.out.notice("NOTICE", "00000", notice);
                    return Ok(Done { tag, rows: None });
                }
                Definition::Entry(entry) => entry,
            };
            let rules = entry.change.rules();
            // What several changes make together is not there yet for their rules.
            if !matches!(entry.change, Change::Several(_)) {
                self.check_rules(&rules).await?;
            }
            if self.database.define(entry).await? {
                if let Err(error) = self.until_whole(io, entry).await {
                    return Err(self.take_back(entry, error).await);
                }
                // Once more, for rows that have come since.
                if let Err(error) = self.check_rules(&rules).await {
                    return Err(self.undo(&rules, error).await);
                }
                for warning in &entry.warnings {
                    io.out.notice("WARNING", "01000", warning);
                }
                return Ok(Done { tag, rows: None });
            }
            statement = statement.rebind(&self.database)?;
        }
        Err(SqlError::new("40001", "the catalogue keeps changing").hint("Try again."))
    }

    /// Says what a definition in a transaction means.
    pub(super) fn warn_of_definition(&self, io: &mut Io) {
        if self.transaction.state() == State::Active {
            let warning = "a definition takes effect at once and is not undone by ROLLBACK";
            io.out.notice("WARNING", "25000", warning);
        }
    }

    /// Waits until what an entry makes has all rows that were there before it.
    async fn until_whole(&mut self, io: &mut Io, entry: &Entry) -> Result<(), SqlError> {
        for view in made(&entry.change) {
            loop {
                match self.database.pump.with_front(|front| front.is_whole(view)) {
                    Ok(true) => break,
                    Ok(false) => self.interrupt.guard(tokio::time::sleep(BUILDING_PAUSE)).await?,
                    Err(FrontError::Refused(error)) => {
                        let notice = format!("it is filled later: {error}");
                        io.out.notice("WARNING", "57P03", &notice);
                        break;
                    }
                    Err(error) => return Err(SqlError::new("58000", error.to_string())),
                }
            }
        }
        Ok(())
    }

    /// Drops what was made by an entry whose end was not waited for; `why` it was not, with what became of it.
    async fn take_back(&mut self, entry: &Entry, why: SqlError) -> SqlError {
        let (kind, name) = match &entry.change {
            Change::Create(object) => match object.kind {
                ObjectKind::MaterializedView => ("MATERIALIZED VIEW", &object.name),
                _ => return why,
            },
            Change::CreateIndex { path, .. } => ("INDEX", &path.name),
            _ => return why,
        };
        let drop = format!("DROP {kind} \"{}\"", name.replace('"', "\"\""));
        match self.run_definition(&drop).await {
            Ok(()) => why.detail(format!("{name:?} has been dropped again.")),
            Err(error) => {
                why.detail(format!("{name:?} is there, since it could not be dropped again: {error}"))
            }
        }
    }

    /// Makes sure that the rows of a table meet rules.
    async fn check_rules(&mut self, rules: &[Rule]) -> Result<(), SqlError> {
        for rule in rules {
            let statement = Statement::bind(&self.database, sql::parse(&rule.broken)?.pop(), Vec::new())?;
            let Bound::Query(scan) = &statement.prepared.bound else {
                unreachable!("rows are counted by reading them")
            };
            let counted = self.scan(scan, &Context { parameters: &[], now: now() }).await?.rows;
            let counted = counted.and_then(|rows| rows.iter().next().map(|row| row.int(0)));
            if counted.expect("a count is a row") > 0 {
                return Err(rule.error.clone());
            }
        }
        Ok(())
    }

    /// Takes rules back over an error.
    async fn undo(&self, rules: &[Rule], why: SqlError) -> SqlError {
        for rule in rules {
            if let Err(error) = self.run_definition(&rule.undo).await {
                return why
                    .detail(format!("The rule is there, since it could not be dropped again: {error}"));
            }
        }
        why
    }

    async fn run_definition(&self, text: &str) -> Result<(), SqlError> {
        let statement = Statement::bind(&self.database, sql::parse(text)?.pop(), Vec::new())?;
        for _ in 0..DEFINE_ATTEMPTS_MAX {
            let statement = statement.rebind(&self.database)?;
            let Bound::Define(Definition::Entry(entry)) = &statement.prepared.bound else { return Ok(()) };
            if self.database.define(entry).await? {
                return Ok(());
            }
        }
        Err(SqlError::new("40001", "the catalogue keeps changing"))
    }
}

/// The views of the engine that a change makes.
fn made(change: &Change) -> Vec<ViewId> {
    let all = |paths: &[AccessPath]| paths.iter().map(|path| ViewId(path.view)).collect();
    match change {
        Change::Create(object) => all(&object.paths),
        Change::CreateCounting(blocks, object) => [all(&blocks.paths), all(&object.paths)].concat(),
        Change::CreateIndex { path, .. } => vec![ViewId(path.view)],
        Change::Constrain { paths, .. } => all(paths),
        Change::AddColumns(added) => all(&added.paths),
        Change::Several(changes) => changes.iter().flat_map(made).collect(),
        _ => Vec::new(),
    }
}
