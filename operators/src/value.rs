//! Values: the closed set of column types, and one value in memory.
//!
//! A `Datum` borrows text and bytes from the row it was read from, so reading a column allocates nothing. Two
//! datums of one type are equal exactly when their canonical encodings are equal: -0.0 is 0.0, every NaN is the
//! same NaN, and 1.50 is the decimal 1.5.

use rust_decimal::Decimal;
use std::cmp::Ordering;

/// The type of a column.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub enum Type {
    /// True or false.
    Bool,
    /// A signed integer of 64 bits.
    Int,
    /// A floating point number of 64 bits.
    Float,
    /// UTF-8 text.
    Text,
    /// Arbitrary bytes.
    Bytes,
    /// Microseconds since the beginning of 1970, UTC.
    Timestamp,
    /// Days since the beginning of 1970.
    Date,
    /// An exact decimal of up to 28 digits.
    Numeric,
}

impl Type {
    /// Whether values lie in the tail of a row (true) or in its slot (false).
    pub const fn in_tail(self) -> bool {
        matches!(self, Type::Text | Type::Bytes | Type::Numeric)
    }

    /// The name used in messages, that of SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int8",
            Type::Float => "float8",
            Type::Text => "text",
            Type::Bytes => "bytea",
            Type::Timestamp => "timestamp",
            Type::Date => "date",
            Type::Numeric => "numeric",
        }
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One value, borrowing what does not fit in a word.
#[derive(Debug, Clone, Copy)]
pub enum Datum<'a> {
    /// The absence of a value.
    Null,
    /// See [`Type::Bool`].
    Bool(bool),
    /// See [`Type::Int`].
    Int(i64),
    /// See [`Type::Float`].
    Float(f64),
    /// See [`Type::Text`].
    Text(&'a str),
    /// See [`Type::Bytes`].
    Bytes(&'a [u8]),
    /// See [`Type::Timestamp`].
    Timestamp(i64),
    /// See [`Type::Date`].
    Date(i64),
    /// See [`Type::Numeric`].
    Numeric(Decimal),
}

impl Datum<'_> {
    /// The type, or `None` for NULL.
    pub fn ty(&self) -> Option<Type> {
        match self {
            Datum::Null => None,
            Datum::Bool(_) => Some(Type::Bool),
            Datum::Int(_) => Some(Type::Int),
            Datum::Float(_) => Some(Type::Float),
            Datum::Text(_) => Some(Type::Text),
            Datum::Bytes(_) => Some(Type::Bytes),
            Datum::Timestamp(_) => Some(Type::Timestamp),
            Datum::Date(_) => Some(Type::Date),
            Datum::Numeric(_) => Some(Type::Numeric),
        }
    }

    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// The total order of one column: values ascending, NaN above every number, NULL above everything, as in
    /// Postgres. Text compares by bytes. Values of different types compare by type, which no plan lets happen.
    pub fn order(&self, other: &Datum<'_>) -> Ordering {
        match (self, other) {
            (Datum::Null, Datum::Null) => Ordering::Equal,
            (Datum::Null, _) => Ordering::Greater,
            (_, Datum::Null) => Ordering::Less,
            (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
            (Datum::Int(a), Datum::Int(b)) => a.cmp(b),
            (Datum::Float(a), Datum::Float(b)) => canonical_float(*a).total_cmp(&canonical_float(*b)),
            (Datum::Text(a), Datum::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Datum::Bytes(a), Datum::Bytes(b)) => a.cmp(b),
            (Datum::Timestamp(a), Datum::Timestamp(b)) | (Datum::Date(a), Datum::Date(b)) => a.cmp(b),
            (Datum::Numeric(a), Datum::Numeric(b)) => a.cmp(b),
            (a, b) => a.ty().cmp(&b.ty()),
        }
    }
}

impl PartialEq for Datum<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

impl std::fmt::Display for Datum<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Datum::Null => f.write_str("NULL"),
            Datum::Bool(v) => write!(f, "{v}"),
            Datum::Int(v) => write!(f, "{v}"),
            Datum::Float(v) => write!(f, "{v:?}"),
            Datum::Text(v) => write!(f, "{v:?}"),
            Datum::Bytes(v) => {
                f.write_str("\\x")?;
                v.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Datum::Timestamp(v) => write!(f, "timestamp {v}"),
            Datum::Date(v) => write!(f, "date {v}"),
            Datum::Numeric(v) => write!(f, "{v}"),
        }
    }
}

/// The one representative of all floats that compare equal: no negative zero, and a single NaN.
pub fn canonical_float(value: f64) -> f64 {
    if value.is_nan() {
        f64::from_bits(CANONICAL_NAN)
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}

/// The bits of the only NaN that a row may hold.
pub const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_form() {
        assert_eq!(canonical_float(-0.0).to_bits(), 0);
        assert_eq!(canonical_float(f64::from_bits(0xfff8_0000_0000_0001)).to_bits(), CANONICAL_NAN);
        assert_eq!(Datum::Float(0.0), Datum::Float(-0.0));
        assert_eq!(Datum::Numeric(Decimal::new(150, 2)), Datum::Numeric(Decimal::new(15, 1)));
    }

    #[test]
    fn null_is_last_and_nan_above_numbers() {
        assert_eq!(Datum::Null.order(&Datum::Int(i64::MAX)), Ordering::Greater);
        assert_eq!(Datum::Float(f64::NAN).order(&Datum::Float(f64::INFINITY)), Ordering::Greater);
        assert_eq!(Datum::Float(-1.0).order(&Datum::Float(0.0)), Ordering::Less);
    }
}
