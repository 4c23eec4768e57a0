//! What every front has asked and been told, kept while the front itself may die, and the checks on it.
//!
//! - No answer without a request, and no write answered twice with different outcomes. (A lookup may be answered again
//!   by a shard that died right after its answer; the front passes over the second.)
//! - A write that was acknowledged stands in the log of its shard exactly once, as it was sent, and had there the effect
//!   that was reported. One that was refused before it could be logged does not stand there.
//! - A write that was never answered stands there once or not at all.

use super::Failure;
use super::oracle::{Effect, Oracle};
use crate::clock::{FrontId, ShardId};
use crate::message::{self, ArchivedOutcome, ArchivedRequest, ArchivedTableWrite, Refusal};
use operators::Plan;
use std::collections::BTreeMap;

/// Names a request: sequence numbers count per front and shard.
pub(super) type RequestName = (FrontId, ShardId, u64);

/// All requests of all fronts that ever lived.
#[derive(Default)]
pub(super) struct Ledger {
    entries: BTreeMap<RequestName, Entry>,
}

struct Entry {
    /// The request as it was put on the ring, unless it is a lookup.
    write: Option<Vec<u8>>,
    answer: Option<Answer>,
    logged: bool,
}

/// What a front was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Written(u32),
    Found,
    Refused(Refusal),
}

impl Answer {
    /// The gist of an outcome.
    pub(super) fn of(outcome: &ArchivedOutcome) -> Answer {
        match outcome {
            ArchivedOutcome::Written { changed } => Answer::Written(changed.to_native()),
            ArchivedOutcome::Found { .. }
            | ArchivedOutcome::Scanned { .. }
            | ArchivedOutcome::Ranged { .. } => Answer::Found,
            ArchivedOutcome::Refused { reason, .. } => Answer::Refused(
                rkyv::deserialize::<Refusal, rkyv::rancor::Error>(reason).expect("plain data"),
            ),
        }
    }
}

impl Ledger {
    /// A request is on its way.
    pub(super) fn asked(&mut self, name: RequestName, write: Option<&[u8]>) {
        let entry = Entry { write: write.map(<[u8]>::to_vec), answer: None, logged: false };
        assert!(self.entries.insert(name, entry).is_none(), "requests have different names");
    }

    /// An answer has come.
    pub(super) fn answered(&mut self, name: RequestName, answer: Answer) -> Result<(), Failure> {
        let Some(entry) = self.entries.get_mut(&name) else {
            return Err(Failure(format!("an answer came to {name:?}, which was never asked")));
        };
        match entry.answer.replace(answer) {
            Some(before) if entry.write.is_some() && before != answer => {
                Err(Failure(format!("write {name:?} was answered {before:?} and then {answer:?}")))
            }
            _ => Ok(()),
        }
    }

    /// An ingest record stands in the log of `shard`: checks it and applies it to the oracle's tables.
    pub(super) fn logged(
        &mut self,
        shard: ShardId,
        payload: &[u8],
        plan: &Plan,
        oracle: &mut Oracle,
    ) -> Result<(), Failure> {
        let bad = |what: String| Failure(format!("log of shard {shard}: {what}"));
        let request = message::read_request(payload).map_err(|e| bad(format!("unreadable request: {e}")))?;
        let name = (FrontId(request.front.to_native()), shard, request.sequence.to_native());
        let Some(entry) = self.entries.get_mut(&name) else {
            return Err(bad(format!("{name:?} was never asked")));
        };
        if entry.write.as_deref() != Some(payload) {
            return Err(bad(format!("{name:?} is not what was asked")));
        }
        if std::mem::replace(&mut entry.logged, true) {
            return Err(bad(format!("{name:?} stands there twice")));
        }
        let effect = apply(request, plan, oracle);
        let agree = match (entry.answer, effect) {
            (None, _) => true,
            (Some(Answer::Written(told)), Effect::Changed(changed)) => told == changed,
            (Some(Answer::Refused(Refusal::DuplicateKey)), Effect::DuplicateKey) => true,
            (Some(Answer::Refused(Refusal::Changed)), Effect::OtherRow) => true,
            _ => false,
        };
        let answer = entry.answer;
        if agree {
            Ok(())
        } else {
            Err(bad(format!("{name:?} had the effect {effect:?}, but was answered {answer:?}")))
        }
    }

    /// All logs have been read: whether any acknowledged write was not in them.
    pub(super) fn check_all_there(&self) -> Result<(), Failure> {
        let told = [Refusal::DuplicateKey, Refusal::Changed].map(|refusal| Some(Answer::Refused(refusal)));
        let lost = self.entries.iter().find(|(_, entry)| {
            let acknowledged =
                matches!(entry.answer, Some(Answer::Written(_))) || told.contains(&entry.answer);
            acknowledged && !entry.logged
        });
        match lost {
            Some((name, entry)) => {
                Err(Failure(format!("write {name:?} was answered {:?}, but is lost", entry.answer)))
            }
            None => Ok(()),
        }
    }

    /// How many writes were refused because the disk was full.
    pub(super) fn refused_full_count(&self) -> u64 {
        let full = Some(Answer::Refused(Refusal::DiskFull));
        self.entries.values().filter(|entry| entry.answer == full).count() as u64
    }

    /// Forgets what earlier checks have found in the logs.
    pub(super) fn begin_check(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.logged = false);
    }
}

fn apply(request: &ArchivedRequest, plan: &Plan, oracle: &mut Oracle) -> Effect {
    match request.body.writes() {
        [] => panic!("only writes are kept with their bytes"),
        [write] => oracle.write(plan, write.native()),
        writes => oracle.write_all(plan, writes.iter().map(ArchivedTableWrite::native)),
    }
}
