//! Definitions: how a front changes the catalogue, and how it follows it.
//!
//! A front plans on top of the newest entry that it knows, and the supervisor takes the definition only if that is still the
//! newest. Whoever comes second is told that it is stale, looks at what came first, and plans again.

use super::read::KnownView;
use super::{Completion, Front, FrontError, Outcome, RequestError, RequestId, Token};
use crate::catalogue::{CatalogueEntry, ENTRY_BYTES_MAX};
use crate::live::definition::{Answer, request};
use crate::live::layout;
use crate::message::Refusal;
use operators::plan::Extension;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Definitions of one front that may be under way.
const WAITING_MAX: usize = 16;

/// A change of the catalogue.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The entry that the plan was made on: [`Front::catalogue_entry`].
    pub after: u64,
    /// What the plan shall have beyond that of [`Front::plan`]: [`Extension::between`] them.
    pub extension: Extension,
    /// Kept beside it for [`Front::refresh_catalogue`]; the engine does not look into it.
    pub note: Vec<u8>,
}

/// The definitions under way, and what is new in the catalogue.
#[derive(Default)]
pub(super) struct Definitions {
    /// What the supervisor has said and nobody has understood yet.
    heard: Vec<u8>,
    waiting: Vec<RequestId>,
    /// Of entries that [`Front::refresh_catalogue`] has not given out.
    notes: Vec<Vec<u8>>,
    /// For each entry taken up, how many views the plan has after it.
    view_counts: Vec<u32>,
}

impl Definitions {
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The numbers of the views that came with an entry that has been taken up.
    pub(super) fn views_of(&self, entry: u64) -> Range<u32> {
        let index = usize::try_from(entry - 1).expect("so many lie in memory");
        let before = index.checked_sub(1).map_or(0, |before| self.view_counts[before]);
        before..self.view_counts[index]
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    pub(super) fn take_answers(&mut self, completions: &mut Vec<Completion>) -> Result<(), FrontError> {
        let broken = |what: String| FrontError::Gone(format!("its supervisor does not make sense: {what}"));
        while let Some(Answer { number, result }) = Answer::take(&mut self.heard).map_err(broken)? {
            let Some(place) = self.waiting.iter().position(|request| request.0 == number) else {
                return Err(broken(format!("nobody asked for definition {number}")));
            };
            let outcome = match result {
                Ok(entry) => Outcome::Defined { entry },
                Err((reason, message)) => Outcome::Failed(RequestError { reason, message }),
            };
            let request = self.waiting.swap_remove(place);
            completions.push(Completion { request, outcome, at: Token::default() });
        }
        Ok(())
    }
}

impl Front {
    /// Asks for a change of the catalogue. The answer is [`Outcome::Defined`] when it is durable; then shards are taking it up
    /// ([`Front::is_built`]), and this front knows it after [`Front::refresh_catalogue`]. It is refused as
    /// [`Refusal::Stale`] if another definition came first, and as [`Refusal::Invalid`] if shards could not install it.
    /// It stays if this front dies meanwhile.
    ///
    /// # Errors
    /// [`FrontError::Busy`] while too many are under way, [`FrontError::Invalid`] if it is too large.
    pub fn define(&mut self, definition: Definition) -> Result<RequestId, FrontError> {
        if self.definitions.waiting.len() >= WAITING_MAX {
            return Err(FrontError::Busy);
        }
        let Definition { after, extension, note } = definition;
        if after != self.plan_entry {
            return Ok(self.refuse_as_stale());
        }
        let bytes = CatalogueEntry { extension, note }.to_bytes();
        if bytes.len() > ENTRY_BYTES_MAX {
            let message = format!("a definition must not take more than {ENTRY_BYTES_MAX} bytes");
            return Err(FrontError::Invalid(message));
        }
        let id = self.new_request();
        let gone = |e: std::io::Error| FrontError::Gone(e.to_string());
        std::fs::write(self.run.front(self.id).definition(id.0), &bytes).map_err(gone)?;
        // The stream has room for many more than may be under way, so this is taken whole or the other side is gone.
        self.stream.write_all(&request(id.0, after, bytes.len() as u64)).map_err(gone)?;
        self.definitions.waiting.push(id);
        Ok(id)
    }

    fn refuse_as_stale(&mut self) -> RequestId {
        let request = self.new_request();
        let message = format!("the catalogue is at entry {} by now", self.plan_entry);
        let outcome = Outcome::Failed(RequestError { reason: Refusal::Stale, message });
        self.assemblies.keep(vec![Completion { request, outcome, at: Token::default() }]);
        request
    }

    /// Asks for a change of the catalogue and waits for its number.
    pub fn define_wait(&mut self, definition: Definition) -> Result<u64, FrontError> {
        let request = self.define(definition)?;
        match self.wait_for(request)? {
            Outcome::Defined { entry } => Ok(entry),
            Outcome::Failed(error) => Err(error.into()),
            _ => unreachable!("a definition defines"),
        }
    }

    /// The number of the entry that [`Front::plan`] goes up to.
    pub fn catalogue_entry(&self) -> u64 {
        self.plan_entry
    }

    /// The number of the newest entry that there is. Costs a load.
    pub fn newest_entry(&self) -> u64 {
        // Acquire: pairs with the supervisor's Release store after it has written the entry.
        self.page.catalogue_entries().load(Ordering::Acquire)
    }

    /// Takes up the entries that have come: [`Front::plan`] goes up to the newest one afterwards. Returns the notes of all entries
    /// since the last call, in order; the first call has those of all that there are.
    pub fn refresh_catalogue(&mut self) -> Result<Vec<Vec<u8>>, FrontError> {
        self.refresh_plan()?;
        Ok(std::mem::take(&mut self.definitions.notes))
    }

    /// As [`Front::refresh_catalogue`], for those who have no use for the notes; they are kept for a later call of that.
    pub fn refresh_plan(&mut self) -> Result<(), FrontError> {
        let (before, newest) = (self.plan_entry, self.newest_entry());
        while self.plan_entry < newest {
            let path = self.run.entry(self.plan_entry + 1);
            let gone = |what: &dyn std::fmt::Display| FrontError::Gone(format!("{}: {what}", path.display()));
            let entry = layout::read_entry(&path).map_err(|e| gone(&e))?;
            if entry.extension.extend(&mut self.plan).is_none() {
                return Err(gone(&"it was made for another plan"));
            }
            self.definitions.notes.push(entry.note);
            self.definitions.view_counts.push(self.plan.views.len() as u32);
            self.plan_entry += 1;
        }
        if self.plan_entry > before {
            KnownView::add(&mut self.views, &self.plan);
        }
        Ok(())
    }
}
