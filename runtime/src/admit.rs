//! Requests of fronts: writes go into the log, lookups are answered at once.
//!
//! Requests are taken only in normal work, and only while the front's ring has taken all earlier replies. So a front
//! that does not read its replies is not served, and an answer that exists only in memory is never overtaken by a
//! later request of the same front.

use crate::clock::{FrontId, FrontSlot, Link};
use crate::message::{
    self, ArchivedAsk, ArchivedRequest, ArchivedTableWrite, COMMIT_WRITES_MAX, Outcome, Refusal,
    SCAN_BYTES_MAX,
};
use crate::record;
use crate::recovery::Phase;
use crate::shard::Shard;
use operators::{
    ArchivedRangePosition, LookupError, RangePiece, RangePosition, RangeRef, Rows, RowsIter, ScanPosition,
    ViewId, Write, WriteError,
};
use wal::{Lsn, RecordKind};

/// The most bytes of rows in one answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// No more requests of a front are taken while answers of so many bytes wait to be put into its next reply.
const GATHERED_BYTES_MAX: usize = 256 << 10;

impl Refusal {
    /// The refusal that stands for an error of a table.
    pub(crate) fn of_write(error: &WriteError) -> Refusal {
        match error {
            WriteError::DuplicateKey { .. } => Refusal::DuplicateKey,
            WriteError::Changed { .. } => Refusal::Changed,
            WriteError::UnknownTable(_) | WriteError::DroppedTable(_) => Refusal::Unknown,
            _ => Refusal::Invalid,
        }
    }

    fn of_lookup(error: &LookupError) -> Refusal {
        match error {
            LookupError::UnknownView(_) | LookupError::DroppedView(_) => Refusal::Unknown,
            LookupError::Building { .. } => Refusal::Building,
            LookupError::Failing { reason, .. } => Refusal::Failing(reason.number() as u8),
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
        let reply_is_full = self.fronts.gathered_bytes(slot) >= GATHERED_BYTES_MAX;
        if self.phase() != Phase::Running || !self.fronts.is_drained(slot) || reply_is_full {
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

    /// Told by the host between finding a request and offering it: how many entries the catalogue has. Whoever asks for a table
    /// or view that only a newer entry knows is ahead of this shard, and waits for it.
    pub fn set_catalogue_newest(&mut self, entry: u64) {
        self.catalogue_newest = entry;
    }

    fn lags_behind_catalogue(&self) -> bool {
        self.catalogue_newest > self.cut().get(Link::Control)
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
            ArchivedAsk::Write(_) | ArchivedAsk::Commit(_) => {
                if self.fronts.has_refused(slot, request.sequence.to_native()) {
                    return Verdict::Known;
                }
                match self.validate(request.body.writes()) {
                    Err(WriteError::UnknownTable(_)) if self.lags_behind_catalogue() => Verdict::Wait,
                    Err(e) => self.refuse_write(slot, request, refused(Refusal::of_write(&e), e)),
                    Ok(()) => self.admit_write(slot, request, bytes),
                }
            }
            ArchivedAsk::Lookup { view, .. }
            | ArchivedAsk::Scan { view, .. }
            | ArchivedAsk::Range { view, .. }
                if self.lags_behind_catalogue() && !self.knows_view(ViewId(view.to_native())) =>
            {
                Verdict::Wait
            }
            ArchivedAsk::Lookup { view, limit, keys } => {
                let found = self.look_up(ViewId(view.to_native()), limit.to_native(), &keys.rows);
                Verdict::Answer(found)
            }
            ArchivedAsk::Scan { view, from } => {
                Verdict::Answer(self.scan(ViewId(view.to_native()), from.to_native()))
            }
            ArchivedAsk::Range { view, range, from } => {
                let from = from.as_ref().map(ArchivedRangePosition::to_native);
                Verdict::Answer(self.read_range(ViewId(view.to_native()), range.to_native(), from))
            }
        }
    }

    fn validate(&self, writes: &[ArchivedTableWrite]) -> Result<(), WriteError> {
        if writes.len() > COMMIT_WRITES_MAX {
            return Err(WriteError::TooMany { found: writes.len(), most: COMMIT_WRITES_MAX });
        }
        writes
            .iter()
            .map(ArchivedTableWrite::native)
            .try_for_each(|Write { table, kind, rows }| self.dataflow.validate_write(table, kind, rows))
    }

    fn knows_view(&self, view: ViewId) -> bool {
        (view.0 as usize) < self.dataflow.plan().views.len()
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

    fn scan(&self, view: ViewId, from: ScanPosition) -> Outcome {
        let mut rows = Rows::default();
        match self.dataflow.scan_from(view, from, SCAN_BYTES_MAX, &mut rows) {
            Ok(_) if rows.rows.len() > ANSWER_BYTES_MAX => {
                refused(Refusal::TooLarge, format_args!("a row has more than {ANSWER_BYTES_MAX} bytes"))
            }
            Ok(next) => Outcome::Scanned { rows, next },
            Err(e) => refused(Refusal::of_lookup(&e), e),
        }
    }

    fn read_range(&mut self, view: ViewId, range: RangeRef<'_>, from: Option<RangePosition>) -> Outcome {
        let mut rows = Rows::default();
        match self.dataflow.range(view, range, from, SCAN_BYTES_MAX, &mut rows) {
            Ok(_) if rows.rows.len() > ANSWER_BYTES_MAX => {
                refused(Refusal::TooLarge, format_args!("a row has more than {ANSWER_BYTES_MAX} bytes"))
            }
            Ok(RangePiece { counts, next }) => {
                self.counters.lookups += counts.len() as u64;
                Outcome::Ranged { counts, rows, next }
            }
            Err(e) => refused(Refusal::of_lookup(&e), e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CatalogueEntry;
    use crate::clock::{FrontId, Label, ShardId};
    use crate::message::TableWrite;
    use crate::message::{Ask, Request};
    use crate::recovery::Receiver;
    use crate::shard::Settings;
    use operators::{Datum, PlanBuilder, RowBuilder, Type, WriteKind, column};
    use rkyv::util::AlignedVec;
    use wal::{Appender, BLOCK_BYTES, Identity, Limits, LogStart, SegmentId, segment_header};

    const SLOT: FrontSlot = FrontSlot(0);
    const FRONT: FrontId = FrontId(7);
    const TABLE: u32 = 0;
    const UNKNOWN: u32 = 99;

    /// A shard by itself with one table and a front, whose newest reply may be from an earlier life of the shard.
    fn shard(newest: Option<&[u8]>) -> Shard {
        let identity = Identity([1; 16]);
        let size = 16 * BLOCK_BYTES;
        let mut segment = AlignedVec::<16>::new();
        segment.extend_from_slice(&segment_header(&identity, SegmentId(1), size));
        segment.resize(size as usize, 0);
        let log = [(SegmentId(1), segment.as_slice())];
        let scan = wal::scan(&LogStart::new(identity), &log).expect("an empty log");
        let tail = scan.tail();
        let log = Appender::resume(tail, tail.next_incarnation(), Limits::default());
        let mut shard = Shard::new(Settings::new(ShardId(0), 1), log);
        let mut plan = PlanBuilder::new();
        plan.table("t", &[column("id", Type::Int)], &["id"]).expect("a table");
        shard.add_entry(CatalogueEntry::whole(&plan.build().expect("a plan")));
        shard.attach(SLOT, FRONT, newest.map(|bytes| (Label(1), bytes))).expect("attaches");
        shard.end_replay().expect("nothing to replay");
        assert!(shard.consume_control().expect("the plan can be installed"));
        shard.end_step();
        shard
    }

    /// Offers a write. Returns whether it was taken.
    fn offer(shard: &mut Shard, sequence: u64, table: u32) -> bool {
        let mut rows = Rows::default();
        rows.push_values(&mut RowBuilder::new(), &[Datum::Int(sequence as i64)]);
        let body = Ask::Write(TableWrite { table, kind: WriteKind::Insert, rows });
        let request = Request { front: FRONT.0, sequence, body };
        let bytes = message::write_request(&request, AlignedVec::new());
        shard.admit(SLOT, sequence, &bytes, 64 * sequence)
    }

    /// Takes the replies that wait for the ring, and returns the newest.
    fn take_replies(shard: &mut Shard) -> Option<Vec<u8>> {
        let mut newest = None;
        while let Some((_, bytes)) = shard.outgoing(Receiver::Front(SLOT)) {
            newest = Some(bytes.to_vec());
            shard.sent(Receiver::Front(SLOT));
        }
        newest
    }

    /// If the shard died with the second write logged and the refusal of the first still in its memory, it would find the
    /// first on the ring again, take it for one that it has logged, as its number is lower, and never answer it.
    #[test]
    fn no_write_is_logged_before_an_earlier_refusal_is_in_a_reply() {
        let mut shard = shard(None);
        assert!(offer(&mut shard, 1, UNKNOWN));
        assert!(!offer(&mut shard, 2, TABLE), "the refusal is in no reply yet");
        shard.end_admission();
        assert!(!offer(&mut shard, 2, TABLE), "the ring has not taken the reply yet");
        assert!(take_replies(&mut shard).is_some());
        assert!(offer(&mut shard, 2, TABLE));
        assert!(shard.wants_flush());
    }

    /// What has been refused stays refused, also when the reason has gone and the shard has died before it released the
    /// request: its last reply says so.
    #[test]
    fn a_refused_write_is_not_taken_by_a_later_life() {
        let mut first = shard(None);
        first.set_log_full(true);
        assert!(offer(&mut first, 1, TABLE));
        first.end_admission();
        let reply = take_replies(&mut first).expect("the refusal");
        let mut aligned = AlignedVec::<16>::new();
        aligned.extend_from_slice(&reply);
        let mut second = shard(Some(&aligned));
        assert_eq!(second.label(), Label(1));
        assert!(offer(&mut second, 1, TABLE), "it goes past the request");
        assert!(!second.wants_flush(), "and does not log it");
        second.end_admission();
        assert!(second.outgoing(Receiver::Front(SLOT)).is_none(), "nor answer it again");
        assert!(offer(&mut second, 2, TABLE));
        assert!(second.wants_flush());
    }
}
