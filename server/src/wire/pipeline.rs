//! Answers that are awaited together: a client that sends many statements before it reads has them all under way at once.
//!
//! What can be said at once is appended to the output as it comes. An answer that is not there yet leaves its place behind: a
//! [`Deferred`], in the order of the places. When nothing more is to be read, or a statement comes that must see what those
//! before it did, [`Session::settle`] writes the output anew with the answers at their places. If one is an error, what was
//! said after it is left out up to the next Sync, as if those messages had not been acted on; they only read, so that is
//! true.

use std::collections::VecDeque;
use std::rc::Rc;

use operators::expr::Literal;
use runtime::message::Refusal;
use sql::{Bound, Context, Lookup, SqlError};

use super::connection::End;
use super::encode::Output;
use super::execute::{now, request_error};
use super::pump::{Answered, Found, Ticket};
use super::rows::Formats;
use super::session::Session;
use super::statement::Statement;
use super::stream::Io;
use super::tag::Tag;

/// Answers that are awaited at once; then they are waited for before more is read.
const DEFERRED_COUNT_MAX: usize = 1024;
/// Lists of parameters that are kept for their memory.
const SPARE_COUNT_MAX: usize = 64;

/// What is still to come, in order.
#[derive(Default)]
pub struct Pipeline {
    deferred: VecDeque<Deferred>,
    spare: Vec<Vec<Literal>>,
}

/// A place in the output.
struct Deferred {
    /// Where it is.
    at: usize,
    what: What,
}

enum What {
    /// The rows of a lookup.
    Lookup(Box<Awaited>),
    /// The end of a group of messages, up to which an error reaches.
    Sync,
}

/// A lookup under way.
struct Awaited {
    ticket: Ticket,
    statement: Rc<Statement>,
    parameters: Vec<Literal>,
    formats: Formats,
    now: i64,
}

impl Pipeline {
    /// A group of messages has ended; `out` is the output so far.
    pub fn sync(&mut self, out: &Output) {
        if !self.deferred.is_empty() {
            self.deferred.push_back(Deferred { at: out.bytes.len(), what: What::Sync });
        }
    }

    /// An empty list, with memory if there is some.
    pub fn spare_parameters(&mut self) -> Vec<Literal> {
        self.spare.pop().unwrap_or_default()
    }
}

impl Session {
    /// Starts the lookup of a portal and leaves a place for its rows.
    pub(super) async fn defer_lookup(&mut self, io: &mut Io, portal: &str) -> Result<(), End> {
        self.transaction.check()?;
        if self.pipeline.deferred.len() >= DEFERRED_COUNT_MAX {
            self.settle(io).await?;
        }
        // It has been looked for, and a portal that has run to its end is of no more use to anybody.
        let Some(portal) = self.portals.remove(portal) else { return Ok(()) };
        let Bound::Lookup(lookup) = &portal.statement.prepared.bound else {
            unreachable!("only lookups are deferred")
        };
        let now = now();
        let context = Context { parameters: &portal.parameters, now };
        let (keys, limit) = (lookup.keys(&context)?, lookup.limit(&context)?);
        let token = self.read_token();
        let ticket = self.database.pump.look_up(&token, lookup.view, &keys, limit);
        let awaited = Awaited {
            ticket,
            statement: portal.statement,
            parameters: portal.parameters,
            formats: portal.formats,
            now,
        };
        let at = io.out.bytes.len();
        self.pipeline.deferred.push_back(Deferred { at, what: What::Lookup(Box::new(awaited)) });
        Ok(())
    }

    /// Waits for all answers and puts them at their places.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(super) async fn settle(&mut self, io: &mut Io) -> Result<(), End> {
        if self.pipeline.deferred.is_empty() {
            return Ok(());
        }
        let said = std::mem::take(&mut io.out.bytes);
        let mut at = 0;
        while let Some(deferred) = self.pipeline.deferred.pop_front() {
            io.out.bytes.extend_from_slice(&said[at..deferred.at]);
            at = deferred.at;
            let What::Lookup(awaited) = deferred.what else { continue };
            let before = io.out.bytes.len();
            if let Err(end) = self.put_in(io, *awaited).await {
                let End::Fatal(error) = end else { return Err(end) };
                io.out.bytes.truncate(before);
                io.out.error("ERROR", &error);
                let sync = self.pipeline.next_sync();
                self.failed_late(sync.is_some());
                at = sync.unwrap_or(said.len());
            }
            io.flush_if_full().await?;
        }
        io.out.bytes.extend_from_slice(&said[at..]);
        Ok(())
    }

    async fn put_in(&mut self, io: &mut Io, awaited: Awaited) -> Result<(), End> {
        let Awaited { ticket, statement, parameters, formats, now } = awaited;
        let Bound::Lookup(lookup) = &statement.prepared.bound else {
            unreachable!("only lookups are deferred")
        };
        let context = Context { parameters: &parameters, now };
        let rows = match self.found(ticket, lookup, &context).await {
            Ok(found) => lookup.result(&found.to_rows(), &context)?,
            Err(error) => {
                let fresh = self.bound_again(&statement, error)?;
                self.execute(io, &fresh, &parameters).await?.rows.unwrap_or_default()
            }
        };
        for row in rows.iter() {
            self.encoder.row(row, statement.columns(), &formats, &mut io.out)?;
        }
        io.out.complete(&Tag::Select(u64::from(rows.count)).to_string());
        if self.pipeline.spare.len() < SPARE_COUNT_MAX {
            self.pipeline.spare.push(parameters);
        }
        Ok(())
    }

    /// What a lookup that is under way finds. One of a view that is still being filled is asked again until it is whole.
    async fn found(
        &mut self,
        ticket: Ticket,
        lookup: &Lookup,
        context: &Context<'_>,
    ) -> Result<Found, SqlError> {
        match self.interrupt.guard(ticket.answer()).await? {
            Ok(Answered::Found(found)) => Ok(found),
            Ok(_) => unreachable!("a lookup finds rows"),
            Err(error) if error.reason == Refusal::Building => {
                self.asked(lookup.view, &lookup.keys(context)?, lookup.limit(context)?).await
            }
            Err(error) => Err(request_error(&error)),
        }
    }
}

impl Pipeline {
    /// Drops what is awaited up to the next Sync; where that is.
    fn next_sync(&mut self) -> Option<usize> {
        while let Some(deferred) = self.deferred.pop_front() {
            if matches!(deferred.what, What::Sync) {
                return Some(deferred.at);
            }
        }
        None
    }
}
