//! Entries of the catalogue: what each adds to the plan, and what its author notes beside it.
//!
//! The same bytes lie in the catalogue's log and in the run folder, where shards and fronts read them. An entry holds
//! what it changes and not the whole plan, so a catalogue grows with what is defined.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use operators::Plan;
use operators::plan::Extension;
use rkyv::rancor::Error;
use rkyv::util::AlignedVec;

/// The most bytes of one entry, archived. A view has some hundred bytes an operator.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;
/// The most bytes of all entries: they lie in memory once a process.
pub const CATALOGUE_BYTES_MAX: u64 = 256 << 20;
/// The most operators of a plan, dropped ones too: checking a new entry goes through all of them, about a tenth of a
/// microsecond each.
pub const OPERATORS_MAX: usize = 100_000;

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct CatalogueEntry {
    /// What it does to the plan of the entries before it.
    pub extension: Extension,
    /// What its author wants to find again; nobody else looks into it.
    pub note: Vec<u8>,
}

impl CatalogueEntry {
    /// An entry without a note that makes `plan` of nothing.
    pub fn whole(plan: &Plan) -> CatalogueEntry {
        CatalogueEntry { extension: Extension::between(&Plan::default(), plan), note: Vec::new() }
    }

    /// The bytes of it.
    pub fn to_bytes(&self) -> Vec<u8> {
        rkyv::to_bytes::<Error>(self).expect("a vector takes any entry").into_vec()
    }

    /// The reverse of [`CatalogueEntry::to_bytes`]. The bytes may be anything.
    pub fn from_bytes(bytes: &[u8]) -> Result<CatalogueEntry, Error> {
        let mut aligned: AlignedVec = AlignedVec::new();
        aligned.extend_from_slice(bytes);
        rkyv::from_bytes::<CatalogueEntry, Error>(&aligned)
    }
}
