//! What lies on the rings: messages between shards, requests of fronts, replies to fronts.
//!
//! Each is one archived rkyv value, written once and read in place: in the ring, in the log and in a replay the
//! bytes are the same. They are checked (`rkyv::access`) before use; the cost does not depend on the number of rows,
//! which lie in one byte string a batch.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use crate::clock::TreeClock;
use operators::dataflow::ArchivedWriteKind;
use operators::row::ROW_BYTES_MAX;
use operators::{Batch, Range, RangePosition, Rows, ScanPosition, TableId, Write, WriteKind};
use rkyv::rancor::Error;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

/// What one step of a shard has for another: its clock after the step, and for each exchange the deltas of the keys
/// that the other owns.
#[derive(Archive, Serialize, Deserialize, Debug, Default)]
pub struct Message {
    /// The sender's state when it published this.
    pub clock: TreeClock,
    /// Deltas by the exchange they go through.
    pub shares: Vec<Share>,
}

/// Deltas for one exchange.
#[derive(Archive, Serialize, Deserialize, Debug, Default)]
pub struct Share {
    /// The exchange (an `OperatorId`).
    pub exchange: u32,
    /// What it brings.
    pub batch: Batch,
}

/// What a front asks of one shard. Its sequence number counts the requests of one front to one shard from 1 and is
/// also the label of its frame on the ring.
#[derive(Archive, Serialize, Deserialize, Debug)]
pub struct Request {
    /// The front's `FrontId`.
    pub front: u64,
    /// Counts the requests of this front to this shard from 1.
    pub sequence: u64,
    /// What is asked.
    pub body: Ask,
}

/// The kinds of request.
#[derive(Archive, Serialize, Deserialize, Debug)]
pub enum Ask {
    /// Change rows of a table that the shard owns. All or none of the rows are applied.
    Write(TableWrite),
    /// Read rows of a view by key.
    Lookup {
        /// The view (`ViewId`).
        view: u32,
        /// The most rows to return for each key.
        limit: u32,
        /// The keys.
        keys: Rows,
    },
    /// Read rows of a view one after another, without knowing their keys: a piece of those that the shard holds.
    Scan {
        /// The view (`ViewId`).
        view: u32,
        /// Where the piece begins.
        from: ScanPosition,
    },
    /// Read a range of keys of a view that is ordered: a piece of what the shard holds of it.
    Range {
        /// The view (`ViewId`).
        view: u32,
        /// What is read.
        range: Range,
        /// Where the piece begins, if it is not the first one.
        from: Option<RangePosition>,
    },
    /// Change rows of tables that the shard owns, one write after another. All or none of them are applied.
    Commit(Vec<TableWrite>),
}

/// A change of a table.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct TableWrite {
    /// The table (`TableId`).
    pub table: u32,
    /// What is done with the rows.
    pub kind: WriteKind,
    /// Whole rows, or only the primary keys to delete.
    pub rows: Rows,
}

/// The most writes of one [`Ask::Commit`].
pub const COMMIT_WRITES_MAX: usize = 4096;

impl ArchivedAsk {
    /// The writes that it asks for; none if it only reads.
    pub fn writes(&self) -> &[ArchivedTableWrite] {
        match self {
            ArchivedAsk::Write(write) => std::slice::from_ref(write),
            ArchivedAsk::Commit(writes) => writes,
            ArchivedAsk::Lookup { .. } | ArchivedAsk::Scan { .. } | ArchivedAsk::Range { .. } => &[],
        }
    }
}

impl ArchivedTableWrite {
    /// As the tables take it.
    pub fn native(&self) -> Write<'_> {
        Write { table: TableId(self.table.to_native()), kind: kind_of(&self.kind), rows: &self.rows.rows }
    }
}

/// Answers to one front, with the state of the shard that they were read from or applied in.
#[derive(Archive, Serialize, Deserialize, Debug, Default)]
pub struct Reply {
    /// The shard's state.
    pub clock: TreeClock,
    /// Answers to requests, in no particular order.
    pub answers: Vec<Answer>,
    /// Writes that were refused without being logged and may still lie on the ring of requests. A shard that dies and
    /// finds them there again knows by its newest reply that they are done with: judged anew they might be taken.
    pub refused: Vec<u64>,
}

/// The answer to one request.
#[derive(Archive, Serialize, Deserialize, Debug)]
pub struct Answer {
    /// The request's sequence number.
    pub sequence: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Archive, Serialize, Deserialize, Debug)]
pub enum Outcome {
    /// The write is durable and applied.
    Written {
        /// Rows inserted, replaced or deleted.
        changed: u32,
    },
    /// The rows found.
    Found {
        /// How many rows for each key, in the order of the keys.
        counts: Vec<u32>,
        /// The rows, key after key.
        rows: Rows,
    },
    /// A piece of a view.
    Scanned {
        /// The rows.
        rows: Rows,
        /// Where the next piece begins, if there is one.
        next: Option<ScanPosition>,
    },
    /// A piece of a range.
    Ranged {
        /// How many rows it has of each prefix. It may end before the last of them.
        counts: Vec<u32>,
        /// The rows, prefix after prefix.
        rows: Rows,
        /// Where the last prefix counted goes on, if that is not over.
        next: Option<RangePosition>,
    },
    /// Nothing was done.
    Refused {
        /// Which kind of refusal.
        reason: Refusal,
        /// What, where, and what to do.
        message: String,
    },
}

/// Why a request was refused.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub enum Refusal {
    /// The bytes are not a request, or rows do not fit the table or view.
    Invalid,
    /// There is no such table or view.
    Unknown,
    /// A row with this primary key exists.
    DuplicateKey,
    /// The log has no room for more writes.
    DiskFull,
    /// The view is new and is being filled with the rows that were there before it: ask again.
    Building,
    /// The answer would be larger than a reply may be.
    TooLarge,
    /// The shard is in quarantine, and nothing was done.
    Down,
    /// The shard went into quarantine before it answered: a write may be applied when it is restored. Or the catalogue's log
    /// failed while it took a definition, which may be there after the next start.
    OutcomeUnknown,
    /// Another definition came first, which this one does not know of. Shards never say so.
    Stale,
    /// A row is not, or no longer, what the write takes it for.
    Changed,
    /// The view cannot be read, since an expression before it has no value on some row. Why, is said by the number of a
    /// [`operators::expr::NoValue`].
    Failing(u8),
}

/// The most bytes of rows in a request: an old row of the largest size and the new one. A front splits larger batches.
pub const REQUEST_BYTES_MAX: usize = 2 * ROW_BYTES_MAX;

/// Rows of one piece of a scan or a range: with clock and frame it is below a quarter of a ring of replies of 1 MiB, so that it needs no
/// spill, and takes a fraction of a millisecond.
pub const SCAN_BYTES_MAX: usize = 192 << 10;

/// Reads a message in place.
pub fn read_message(bytes: &[u8]) -> Result<&ArchivedMessage, Error> {
    rkyv::access::<ArchivedMessage, Error>(bytes)
}

/// Reads a request in place.
pub fn read_request(bytes: &[u8]) -> Result<&ArchivedRequest, Error> {
    rkyv::access::<ArchivedRequest, Error>(bytes)
}

/// Reads a reply in place.
pub fn read_reply(bytes: &[u8]) -> Result<&ArchivedReply, Error> {
    rkyv::access::<ArchivedReply, Error>(bytes)
}

/// Archives a message into `buffer`, whose memory is reused.
pub fn write_message(message: &Message, buffer: AlignedVec) -> AlignedVec {
    rkyv::api::high::to_bytes_in::<_, Error>(message, buffer).expect("a vector takes any message")
}

/// Archives a request into `buffer`, whose memory is reused.
pub fn write_request(request: &Request, buffer: AlignedVec) -> AlignedVec {
    rkyv::api::high::to_bytes_in::<_, Error>(request, buffer).expect("a vector takes any request")
}

/// Archives a reply into `buffer`, whose memory is reused.
pub fn write_reply(reply: &Reply, buffer: AlignedVec) -> AlignedVec {
    rkyv::api::high::to_bytes_in::<_, Error>(reply, buffer).expect("a vector takes any reply")
}

/// The kind of write that an archived one stands for.
fn kind_of(kind: &ArchivedWriteKind) -> WriteKind {
    match kind {
        ArchivedWriteKind::Insert => WriteKind::Insert,
        ArchivedWriteKind::Upsert => WriteKind::Upsert,
        ArchivedWriteKind::Delete => WriteKind::Delete,
        ArchivedWriteKind::Replace => WriteKind::Replace,
        ArchivedWriteKind::Remove => WriteKind::Remove,
    }
}
