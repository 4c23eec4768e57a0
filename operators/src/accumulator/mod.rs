//! Accumulators of aggregate functions.

/// An aggregate function.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum Aggregate {
    /// How many rows there are.
    Count,
}
