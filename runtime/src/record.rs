//! The records of a shard's log.
//!
//! | kind | name     | payload |
//! |------|----------|---------|
//! | 1    | ingest   | the request as it lay on the front's ring |
//! | 2    | consumed | link (u64: 0 control, 1 ingest, 2 ticks), position (u64), label after it (u64), 8 zero bytes |
//! | 3    | received | label after it (u64), 8 zero bytes, the message as it lay on the other shard's ring |
//! | 4    | resumed  | label n0 (u64), number of pairs (u64), then receiver (u64) and label seen by it (u64) each |
//!
//! Kinds 2 and 3 are the step records. All integers are little endian; a payload starts at a multiple of 16 bytes, so
//! a message in a received record is aligned for reading in place.

use crate::clock::{Label, Link, ShardId};

/// Kind of an ingest record.
pub const INGEST: u8 = 1;
/// Kind of a step record for the shard's own links.
pub const CONSUMED: u8 = 2;
/// Kind of a step record for a message of another shard.
pub const RECEIVED: u8 = 3;
/// Kind of a resumed record.
pub const RESUMED: u8 = 4;

/// Bytes in front of the message in a received record.
pub const RECEIVED_HEADER_BYTES: usize = 16;

/// A step record or resumed record, read in place.
#[derive(Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// The request bytes of an ingest record.
    Ingest(&'a [u8]),
    /// An own link was consumed up to `position`, which made the label `label`.
    Consumed {
        /// Control, ingest or ticks.
        link: Link,
        /// Messages of the link consumed so far.
        position: u64,
        /// The label after it.
        label: Label,
    },
    /// A message of another shard was consumed, which made the label `label`.
    Received {
        /// The label after it.
        label: Label,
        /// The message.
        message: &'a [u8],
    },
    /// Steering began at `from`; each receiver had seen results up to its label.
    Resumed {
        /// The label to which the durable log led.
        from: Label,
        /// Receivers that had seen more, with the newest label that each had seen.
        ahead: Vec<(ShardId, Label)>,
    },
}

/// A record that is whole by its checksum but makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("a record of kind {kind} with {bytes} bytes is not one of a shard's log: {what}")]
pub struct BadRecord {
    kind: u8,
    bytes: usize,
    what: &'static str,
}

/// The payload of a consumed record.
pub(crate) fn consumed(link: Link, position: u64, label: Label) -> [u8; 32] {
    let code: u64 = match link {
        Link::Control => 0,
        Link::Ingest => 1,
        Link::Ticks => 2,
        Link::Shard(_) => unreachable!("messages of other shards have records of their own"),
    };
    let mut bytes = [0; 32];
    for (k, word) in [code, position, label.0].into_iter().enumerate() {
        bytes[8 * k..8 * k + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// What stands before the message in a received record.
pub(crate) fn received_header(label: Label) -> [u8; RECEIVED_HEADER_BYTES] {
    let mut bytes = [0; RECEIVED_HEADER_BYTES];
    bytes[..8].copy_from_slice(&label.0.to_le_bytes());
    bytes
}

/// The payload of a resumed record.
pub(crate) fn resumed(from: Label, ahead: &[(ShardId, Label)]) -> Vec<u8> {
    let words = [from.0, ahead.len() as u64].into_iter();
    let pairs = ahead.iter().flat_map(|(shard, label)| [u64::from(shard.0), label.0]);
    words.chain(pairs).flat_map(u64::to_le_bytes).collect()
}

/// Reads a record of a shard's log.
pub fn read(kind: u8, payload: &[u8]) -> Result<Record<'_>, BadRecord> {
    let bad = |what| BadRecord { kind, bytes: payload.len(), what };
    let word = |k: usize| {
        let bytes = payload.get(8 * k..8 * k + 8).ok_or(bad("it is too short"))?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    };
    match kind {
        INGEST => Ok(Record::Ingest(payload)),
        CONSUMED => {
            let link = match word(0)? {
                0 => Link::Control,
                1 => Link::Ingest,
                2 => Link::Ticks,
                _ => return Err(bad("it names an unknown link")),
            };
            Ok(Record::Consumed { link, position: word(1)?, label: Label(word(2)?) })
        }
        RECEIVED => {
            let label = Label(word(0)?);
            let message = payload.get(RECEIVED_HEADER_BYTES..).ok_or(bad("it is too short"))?;
            Ok(Record::Received { label, message })
        }
        RESUMED => {
            let count = usize::try_from(word(1)?).map_err(|_| bad("it counts too many receivers"))?;
            if payload.len() != 16 + count.saturating_mul(16) {
                return Err(bad("its length does not fit its receivers"));
            }
            let pair = |k: usize| Ok((ShardId(word(2 + 2 * k)? as u16), Label(word(3 + 2 * k)?)));
            let ahead = (0..count).map(pair).collect::<Result<_, BadRecord>>()?;
            Ok(Record::Resumed { from: Label(word(0)?), ahead })
        }
        _ => Err(bad("its kind is unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_as_written() {
        let written = consumed(Link::Ingest, 7, Label(9));
        let expected = Record::Consumed { link: Link::Ingest, position: 7, label: Label(9) };
        assert_eq!(read(CONSUMED, &written).expect("whole"), expected);
        let mut written = received_header(Label(3)).to_vec();
        written.extend(b"message");
        let expected = Record::Received { label: Label(3), message: b"message" };
        assert_eq!(read(RECEIVED, &written).expect("whole"), expected);
        let ahead = vec![(ShardId(1), Label(8)), (ShardId(4), Label(6))];
        let written = resumed(Label(5), &ahead);
        assert_eq!(read(RESUMED, &written).expect("whole"), Record::Resumed { from: Label(5), ahead });
    }

    #[test]
    fn short_or_strange_records_are_refused() {
        let whole = resumed(Label(5), &[(ShardId(1), Label(8))]);
        for length in 0..whole.len() {
            assert!(read(RESUMED, &whole[..length]).is_err());
        }
        assert!(read(CONSUMED, &[1; 32]).is_err());
        assert!(read(99, &[]).is_err());
    }
}
