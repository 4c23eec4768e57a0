//! The append-only log of a shard.
#![deny(unsafe_code)]

mod appender;
mod error;
mod field;
mod flush;
mod record;
mod scan;
mod segment;

pub use appender::{Appender, Limits, WINDOW_BYTES};
pub use error::Error;
pub use flush::{FLUSH_HEADER_BYTES, Flush, FlushId};
pub use record::{Incarnation, Lsn, PAYLOAD_BYTES_MAX, RECORD_ALIGNMENT, RECORD_HEADER_BYTES, RecordKind};
pub use scan::{LogStart, Record, Records, Repair, Scan, Tail, scan};
pub use segment::{
    BLOCK_BYTES, FIRST_SEGMENT_BYTES, FORMAT_VERSION, Identity, Place, SEGMENT_BYTES, SEGMENT_BYTES_MAX,
    SegmentId, segment_header,
};
