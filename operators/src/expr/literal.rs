//! Constants in expressions: owned, archived values.

use rust_decimal::Decimal;

use crate::value::{Datum, Type, canonical_float};

/// A constant of a plan.
#[derive(Debug, Clone, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum Literal {
    /// NULL, of whatever type its place asks for.
    Null,
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Microseconds since 1970-01-01 00:00:00.
    Timestamp(i64),
    /// Days since 1970-01-01.
    Date(i64),
    /// A decimal number, in the 16-byte form of `rust_decimal`.
    Numeric([u8; 16]),
}

/// A NaN equals itself: plans are compared, and one that has a NaN must equal its copy.
impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.datum() == other.datum()
    }
}

impl Literal {
    /// The value, borrowed.
    pub fn datum(&self) -> Datum<'_> {
        match self {
            Literal::Null => Datum::Null,
            Literal::Bool(value) => Datum::Bool(*value),
            Literal::Int(value) => Datum::Int(*value),
            Literal::Float(value) => Datum::Float(canonical_float(*value)),
            Literal::Text(value) => Datum::Text(value),
            Literal::Bytes(value) => Datum::Bytes(value),
            Literal::Timestamp(value) => Datum::Timestamp(*value),
            Literal::Date(value) => Datum::Date(*value),
            Literal::Numeric(bytes) => Datum::Numeric(Decimal::deserialize(*bytes).normalize()),
        }
    }

    /// The value's type, none for NULL.
    pub fn kind(&self) -> Option<Type> {
        match self {
            Literal::Null => None,
            Literal::Bool(_) => Some(Type::Bool),
            Literal::Int(_) => Some(Type::Int),
            Literal::Float(_) => Some(Type::Float),
            Literal::Text(_) => Some(Type::Text),
            Literal::Bytes(_) => Some(Type::Bytes),
            Literal::Timestamp(_) => Some(Type::Timestamp),
            Literal::Date(_) => Some(Type::Date),
            Literal::Numeric(_) => Some(Type::Numeric),
        }
    }
}

impl From<Datum<'_>> for Literal {
    fn from(datum: Datum<'_>) -> Literal {
        match datum {
            Datum::Null => Literal::Null,
            Datum::Bool(value) => Literal::Bool(value),
            Datum::Int(value) => Literal::Int(value),
            Datum::Float(value) => Literal::Float(value),
            Datum::Text(value) => Literal::Text(value.to_owned()),
            Datum::Bytes(value) => Literal::Bytes(value.to_owned()),
            Datum::Timestamp(value) => Literal::Timestamp(value),
            Datum::Date(value) => Literal::Date(value),
            Datum::Numeric(value) => Literal::Numeric(value.normalize().serialize()),
        }
    }
}

impl From<bool> for Literal {
    fn from(value: bool) -> Literal {
        Literal::Bool(value)
    }
}

impl From<i64> for Literal {
    fn from(value: i64) -> Literal {
        Literal::Int(value)
    }
}

impl From<i32> for Literal {
    fn from(value: i32) -> Literal {
        Literal::Int(value.into())
    }
}

impl From<f64> for Literal {
    fn from(value: f64) -> Literal {
        Literal::Float(value)
    }
}

impl From<&str> for Literal {
    fn from(value: &str) -> Literal {
        Literal::Text(value.to_owned())
    }
}

impl From<String> for Literal {
    fn from(value: String) -> Literal {
        Literal::Text(value)
    }
}

impl From<&[u8]> for Literal {
    fn from(value: &[u8]) -> Literal {
        Literal::Bytes(value.to_owned())
    }
}

impl From<Decimal> for Literal {
    fn from(value: Decimal) -> Literal {
        Literal::Numeric(value.normalize().serialize())
    }
}
