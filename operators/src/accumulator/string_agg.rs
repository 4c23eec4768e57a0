//! The texts of a `string_agg`, in order, with signed weights.
//!
//! A key is the order columns in a form that compares as bytes, then the text, then four bytes that say where the text
//! begins. Those last bytes never decide an order: keys that agree up to them are equal.

use std::collections::BTreeMap;

use super::multiset::encode_entry;
use crate::row::ROW_BYTES_MAX;
use crate::value::Datum;

/// The longest result: half a row, so that a row can hold it beside other columns.
const TEXT_BYTES_MAX: usize = ROW_BYTES_MAX / 2;
const ENTRY_BYTES: usize = 48;
const PLACE_BYTES: usize = 4;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TextMultiset {
    texts: BTreeMap<Box<[u8]>, i64>,
    key_bytes: usize,
}

impl TextMultiset {
    /// Adds a text at the place that `key`, the encoded order columns, gives it. Changes `key`.
    pub(super) fn add(&mut self, key: &mut Vec<u8>, text: &[u8], weight: i64) {
        let place = u32::try_from(key.len()).expect("a row is shorter than 4 GiB");
        key.extend_from_slice(text);
        key.extend_from_slice(&place.to_be_bytes());
        if let Some(found) = self.texts.get_mut(key.as_slice()) {
            *found = found.wrapping_add(weight);
            if *found == 0 {
                self.texts.remove(key.as_slice());
                self.key_bytes -= key.len();
            }
        } else if weight != 0 {
            self.texts.insert(key.as_slice().into(), weight);
            self.key_bytes += key.len();
        }
    }

    /// The texts of positive weight, each as often as its weight says, or once.
    pub(super) fn join<'a>(&self, separator: &str, distinct: bool, into: &'a mut String) -> Datum<'a> {
        into.clear();
        let mut first = true;
        for (key, weight) in &self.texts {
            let Ok(times @ 1..) = usize::try_from(*weight) else {
                continue;
            };
            let times = if distinct { 1 } else { times };
            let text = text_of(key);
            // Empty texts count as one byte, so that the loop below is bounded for them too.
            let most = (text.len() + separator.len()).max(1).saturating_mul(times);
            if into.len().saturating_add(most) > TEXT_BYTES_MAX {
                return Datum::Null;
            }
            for _ in 0..times {
                if !first {
                    into.push_str(separator);
                }
                into.push_str(text);
                first = false;
            }
        }
        if first { Datum::Null } else { Datum::Text(into) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.texts.len() * ENTRY_BYTES + self.key_bytes
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.texts.iter().for_each(|(key, weight)| encode_entry(key, *weight, out));
    }
}

fn text_of(key: &[u8]) -> &str {
    let (rest, place) = key.split_last_chunk::<PLACE_BYTES>().expect("every key ends with the place");
    let text = &rest[u32::from_be_bytes(*place) as usize..];
    std::str::from_utf8(text).expect("a row's text is UTF-8")
}
