//! Requests of fronts: writes go into the log, lookups are answered at once.
//!
//! Requests are taken only in normal work, and only while the front's ring has taken all earlier replies. So a front
//! that does not read its replies is not served, and an answer that exists only in memory is never overtaken by a
//! later request of the same front.

use crate::clock::{FrontId, FrontSlot};
use crate::message::{self, ArchivedAsk, ArchivedRequest, Outcome, Refusal};
use crate::record;
use crate::recovery::Phase;
use crate::shard::Shard;
use operators::{LookupError, Rows, RowsIter, TableId, ViewId, WriteError};
use wal::{Lsn, RecordKind};

/// The most bytes of rows in one answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;

impl Refusal {
    /// The refusal that stands for an error of a table.
    pub(crate) fn of_write(error: &WriteError) -> Refusal {
        match error {
            WriteError::DuplicateKey { .. } => Refusal::DuplicateKey,
            WriteError::UnknownTable(_) | WriteError::DroppedTable(_) => Refusal::Unknown,
            _ => Refusal::Invalid,
        }
    }

    fn of_lookup(error: &LookupError) -> Refusal {
        match error {
            LookupError::UnknownView(_) | LookupError::DroppedView(_) => Refusal::Unknown,
            LookupError::Building { .. } => Refusal::Building,
            _ => Refusal::Invalid,
        }
    }
}

fn refused(reason: Refusal, message: impl ToString) -> Outcome {
    Outcome::Refused { reason, message: message.to_string() }
}

/// What to do with a request.
enum Verdict {
    /// Answer it now.
    Answer(Outcome),
    /// It is in the log, with this record; the answer comes when it is consumed.
    Logged(Lsn),
    /// It was logged before this shard started again; its answer comes, or has come, from there.
    Known,
    /// Leave it on the ring.
    Wait,
}

impl Shard {
    /// Offers the next request of the front in `slot`, with its sequence number and the ring's token for its end.
    /// Returns whether it was taken. After a run of them the host calls [`Shard::end_admission`].
    pub fn admit(&mut self, slot: FrontSlot, sequence: u64, bytes: &[u8], token: u64) -> bool {
        let Some(front) = self.fronts.id(slot) else { return false };
        if self.phase() != Phase::Running || !self.fronts.is_drained(slot) {
            return false;
        }
        let verdict = match message::read_request(bytes) {
            Ok(request)
                if request.front.to_native() == front.0 && request.sequence.to_native() == sequence =>
            {
                self.judge(slot, request, bytes)
            }
            Ok(_) => Verdict::Answer(refused(
                Refusal::Invalid,
                "the request carries another front's name or number",
            )),
            Err(e) => {
                Verdict::Answer(refused(Refusal::Invalid, format_args!("the request cannot be read: {e}")))
            }
        };
        let lsn = match verdict {
            Verdict::Wait => return false,
            Verdict::Known => Lsn(0),
            Verdict::Logged(lsn) => lsn,
            Verdict::Answer(outcome) => {
                self.fronts.answer(front, sequence, outcome);
                Lsn(0)
            }
        };
        self.fronts.release_when_durable(slot, sequence, lsn, token);
        true
    }

    /// Ends a run of [`Shard::admit`]: the answers given go out in one reply a front.
    pub fn end_admission(&mut self) {
        self.seal_replies();
    }

    /// The token up to which the ring of requests in `slot` may be released.
    pub fn releasable_requests(&mut self, slot: FrontSlot) -> Option<u64> {
        self.fronts.releasable(slot, self.log.durable())
    }

    fn judge(&mut self, slot: FrontSlot, request: &ArchivedRequest, bytes: &[u8]) -> Verdict {
        match &request.body {
            ArchivedAsk::Write { table, kind, rows } => {
                if self.fronts.has_refused(slot, request.sequence.to_native()) {
                    return Verdict::Known;
                }
                let (table, kind) = (TableId(table.to_native()), message::kind_of(kind));
                match self.dataflow.validate_write(table, kind, &rows.rows) {
                    Err(e) => self.refuse_write(slot, request, refused(Refusal::of_write(&e), e)),
                    Ok(()) => self.admit_write(slot, request, bytes),
                }
            }
            ArchivedAsk::Lookup { view, limit, keys } => {
                let found = self.look_up(ViewId(view.to_native()), limit.to_native(), &keys.rows);
                Verdict::Answer(found)
            }
        }
    }

    fn refuse_write(&mut self, slot: FrontSlot, request: &ArchivedRequest, outcome: Outcome) -> Verdict {
        self.fronts.refuse(slot, request.sequence.to_native());
        Verdict::Answer(outcome)
    }

    fn admit_write(&mut self, slot: FrontSlot, request: &ArchivedRequest, bytes: &[u8]) -> Verdict {
        let front = FrontId(request.front.to_native());
        let sequence = request.sequence.to_native();
        if self.settings.rules.dedup && self.ingest.knows(front, sequence) {
            return Verdict::Known;
        }
        if self.log_is_full {
            let message = "the disk has no room for the log; make room, writes are taken again then";
            return self.refuse_write(slot, request, refused(Refusal::DiskFull, message));
        }
        let overloaded = self.ingest.pending_bytes() > self.settings.ingest_bytes_max;
        if overloaded || self.fronts.has_unsealed_refusal(slot) {
            return Verdict::Wait;
        }
        let lsn = self.log.append(RecordKind(record::INGEST), &[bytes]);
        self.ingest.logged(front, sequence, lsn, bytes, &mut self.pool);
        self.write_gathered = true;
        Verdict::Logged(lsn)
    }

    fn look_up(&mut self, view: ViewId, limit: u32, keys: &[u8]) -> Outcome {
        let mut counts = match self.dataflow.validate_keys(view, keys) {
            Ok(count) => Vec::with_capacity(count as usize),
            Err(e) => return refused(Refusal::of_lookup(&e), e),
        };
        let mut rows = Rows::default();
        for key in RowsIter(keys) {
            match self.dataflow.lookup(view, key, limit, &mut rows) {
                Ok(count) => counts.push(count),
                Err(e) => return refused(Refusal::of_lookup(&e), e),
            }
            if rows.rows.len() > ANSWER_BYTES_MAX {
                let message =
                    format!("the answer has more than {ANSWER_BYTES_MAX} bytes; ask for fewer keys or rows");
                return refused(Refusal::TooLarge, message);
            }
        }
        self.counters.lookups += counts.len() as u64;
        Outcome::Found { counts, rows }
    }
}
