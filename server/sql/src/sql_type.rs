//! The types of SQL, and the type of the engine that carries each.
//!
//! Several types of SQL share one of the engine: the three integers are its 64-bit integer, `uuid` and `jsonb` are
//! its text in one canonical form, `char(n)` is text without its blanks at the end, `interval` is bytes that compare,
//! an array is text as PostgreSQL writes it. What the narrower type forbids is
//! checked where a value comes in, by [`crate::text`] and by casts.

use crate::error::{Result, SqlError};
use operators::Type;
use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

/// A type of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[allow(missing_docs, reason = "the names are those of SQL")]
pub enum SqlType {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Real,
    Double,
    /// Digits in all and after the point; without both, as many as there are.
    Numeric(Option<(u8, u8)>),
    Text,
    /// At most so many characters.
    Varchar(Option<u32>),
    /// Exactly so many characters, filled up with blanks.
    Char(u32),
    Bytea,
    Date,
    /// Without time zone.
    Timestamp,
    /// A moment; written in UTC.
    TimestampTz,
    /// Months, days and microseconds.
    Interval,
    Uuid,
    Jsonb,
    /// One dimension, of elements of a type.
    Array(Element),
}

/// What an array is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[allow(missing_docs, reason = "the names are those of SQL")]
pub enum Element {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Real,
    Double,
    Numeric,
    Text,
    Varchar,
    Date,
    Timestamp,
    TimestampTz,
    Uuid,
    Jsonb,
}

impl Element {
    /// Each with its type and the number of its arrays.
    const ALL: [(Element, SqlType, u32); 14] = [
        (Element::Boolean, SqlType::Boolean, 1000),
        (Element::SmallInt, SqlType::SmallInt, 1005),
        (Element::Integer, SqlType::Integer, 1007),
        (Element::BigInt, SqlType::BigInt, 1016),
        (Element::Real, SqlType::Real, 1021),
        (Element::Double, SqlType::Double, 1022),
        (Element::Numeric, SqlType::Numeric(None), 1231),
        (Element::Text, SqlType::Text, 1009),
        (Element::Varchar, SqlType::Varchar(None), 1015),
        (Element::Date, SqlType::Date, 1182),
        (Element::Timestamp, SqlType::Timestamp, 1115),
        (Element::TimestampTz, SqlType::TimestampTz, 1185),
        (Element::Uuid, SqlType::Uuid, 2951),
        (Element::Jsonb, SqlType::Jsonb, 3807),
    ];

    /// The type of the elements.
    pub const fn ty(self) -> SqlType {
        Element::ALL[self as usize].1
    }

    /// The element of this type, if there are arrays of it.
    pub fn of(ty: SqlType) -> Option<Element> {
        let ty = match ty {
            SqlType::Varchar(_) => SqlType::Varchar(None),
            SqlType::Char(_) => SqlType::Text,
            other => other.bare(),
        };
        Element::ALL.iter().find(|(_, other, _)| *other == ty).map(|(element, ..)| *element)
    }
}

/// Digits that the engine's decimals have.
pub const NUMERIC_DIGITS_MAX: u8 = 28;

impl SqlType {
    /// The type of the engine that carries it.
    pub const fn engine(self) -> Type {
        match self {
            SqlType::Boolean => Type::Bool,
            SqlType::SmallInt | SqlType::Integer | SqlType::BigInt => Type::Int,
            SqlType::Real | SqlType::Double => Type::Float,
            SqlType::Numeric(_) => Type::Numeric,
            SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Char(_)
            | SqlType::Uuid
            | SqlType::Jsonb
            | SqlType::Array(_) => Type::Text,
            SqlType::Bytea | SqlType::Interval => Type::Bytes,
            SqlType::Date => Type::Date,
            SqlType::Timestamp | SqlType::TimestampTz => Type::Timestamp,
        }
    }

    /// The number by which clients of PostgreSQL know it.
    pub const fn oid(self) -> u32 {
        match self {
            SqlType::Boolean => 16,
            SqlType::Bytea => 17,
            SqlType::BigInt => 20,
            SqlType::SmallInt => 21,
            SqlType::Integer => 23,
            SqlType::Text => 25,
            SqlType::Real => 700,
            SqlType::Double => 701,
            SqlType::Char(_) => 1042,
            SqlType::Varchar(_) => 1043,
            SqlType::Date => 1082,
            SqlType::Timestamp => 1114,
            SqlType::TimestampTz => 1184,
            SqlType::Interval => 1186,
            SqlType::Numeric(_) => 1700,
            SqlType::Uuid => 2950,
            SqlType::Jsonb => 3802,
            SqlType::Array(element) => Element::ALL[element as usize].2,
        }
    }

    /// The type of this number, without a length.
    pub const fn from_oid(oid: u32) -> Option<SqlType> {
        Some(match oid {
            16 => SqlType::Boolean,
            17 => SqlType::Bytea,
            20 => SqlType::BigInt,
            21 => SqlType::SmallInt,
            23 => SqlType::Integer,
            25 => SqlType::Text,
            700 => SqlType::Real,
            701 => SqlType::Double,
            1042 | 1043 => SqlType::Varchar(None),
            1082 => SqlType::Date,
            1114 => SqlType::Timestamp,
            1184 => SqlType::TimestampTz,
            1186 => SqlType::Interval,
            1700 => SqlType::Numeric(None),
            2950 => SqlType::Uuid,
            3802 => SqlType::Jsonb,
            1000 => SqlType::Array(Element::Boolean),
            1005 => SqlType::Array(Element::SmallInt),
            1007 => SqlType::Array(Element::Integer),
            1009 => SqlType::Array(Element::Text),
            1015 => SqlType::Array(Element::Varchar),
            1016 => SqlType::Array(Element::BigInt),
            1021 => SqlType::Array(Element::Real),
            1022 => SqlType::Array(Element::Double),
            1115 => SqlType::Array(Element::Timestamp),
            1182 => SqlType::Array(Element::Date),
            1185 => SqlType::Array(Element::TimestampTz),
            1231 => SqlType::Array(Element::Numeric),
            2951 => SqlType::Array(Element::Uuid),
            3807 => SqlType::Array(Element::Jsonb),
            _ => return None,
        })
    }

    /// The length or precision as PostgreSQL packs it into `atttypmod`; -1 without one.
    pub const fn modifier(self) -> i32 {
        match self {
            SqlType::Numeric(Some((digits, scale))) => ((digits as i32) << 16 | scale as i32) + 4,
            SqlType::Varchar(Some(length)) | SqlType::Char(length) => length as i32 + 4,
            _ => -1,
        }
    }

    /// Bytes of a value in binary form, or -1 if they vary.
    pub const fn size(self) -> i16 {
        match self {
            SqlType::Boolean => 1,
            SqlType::SmallInt => 2,
            SqlType::Integer | SqlType::Real | SqlType::Date => 4,
            SqlType::BigInt | SqlType::Double | SqlType::Timestamp | SqlType::TimestampTz => 8,
            SqlType::Uuid | SqlType::Interval => 16,
            _ => -1,
        }
    }

    /// Whether it is one of the integers.
    pub const fn is_integer(self) -> bool {
        matches!(self, SqlType::SmallInt | SqlType::Integer | SqlType::BigInt)
    }

    /// Whether arithmetic takes it.
    pub const fn is_number(self) -> bool {
        self.is_integer() || matches!(self, SqlType::Real | SqlType::Double | SqlType::Numeric(_))
    }

    /// Whether it is one of the texts.
    pub const fn is_text(self) -> bool {
        matches!(self, SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_))
    }

    /// Whether it is a day or a moment.
    pub const fn is_time(self) -> bool {
        matches!(self, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz)
    }

    /// The type without length or precision: what an expression has that is not a mere column.
    pub const fn bare(self) -> SqlType {
        match self {
            SqlType::Numeric(_) => SqlType::Numeric(None),
            SqlType::Varchar(_) | SqlType::Char(_) => SqlType::Text,
            other => other,
        }
    }

    /// The type that both are converted to where they stand for one another.
    pub fn common(self, other: SqlType) -> Option<SqlType> {
        if self == other {
            return Some(self);
        }
        let rank = |ty: SqlType| match ty {
            SqlType::SmallInt => 0,
            SqlType::Integer => 1,
            SqlType::BigInt => 2,
            SqlType::Numeric(_) => 3,
            SqlType::Real => 4,
            SqlType::Double => 5,
            SqlType::Date => 0,
            SqlType::Timestamp => 1,
            _ => 2,
        };
        let both = |is: fn(SqlType) -> bool| is(self) && is(other);
        if both(SqlType::is_number) || both(SqlType::is_time) {
            let wider = if rank(self) >= rank(other) { self } else { other };
            // A float of 32 bits holds neither all integers nor all decimals.
            return Some(if wider == SqlType::Real { SqlType::Double } else { wider.bare() });
        }
        both(SqlType::is_text).then_some(SqlType::Text)
    }

    /// The type that a statement names.
    pub fn from_ast(ty: &DataType) -> Result<SqlType> {
        Ok(match ty {
            DataType::Bool | DataType::Boolean => SqlType::Boolean,
            DataType::SmallInt(None) | DataType::Int2(None) => SqlType::SmallInt,
            DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => SqlType::Integer,
            DataType::BigInt(None) | DataType::Int8(None) => SqlType::BigInt,
            DataType::Real | DataType::Float4 => SqlType::Real,
            DataType::Float8 | DataType::DoublePrecision | DataType::Double(ExactNumberInfo::None) => {
                SqlType::Double
            }
            DataType::Float(ExactNumberInfo::None) => SqlType::Double,
            DataType::Float(ExactNumberInfo::Precision(1..=24)) => SqlType::Real,
            DataType::Float(ExactNumberInfo::Precision(25..=53)) => SqlType::Double,
            DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(info)?,
            DataType::Text => SqlType::Text,
            DataType::Varchar(length)
            | DataType::CharacterVarying(length)
            | DataType::CharVarying(length) => SqlType::Varchar(length.as_ref().map(characters).transpose()?),
            DataType::Char(length) | DataType::Character(length) => {
                SqlType::Char(length.as_ref().map(characters).transpose()?.unwrap_or(1))
            }
            DataType::Bytea => SqlType::Bytea,
            DataType::Date => SqlType::Date,
            DataType::Timestamp(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                SqlType::Timestamp
            }
            DataType::Timestamp(None | Some(6), TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
                SqlType::TimestampTz
            }
            DataType::Interval { fields: None, precision: None | Some(6) } => SqlType::Interval,
            DataType::Uuid => SqlType::Uuid,
            DataType::JSONB => SqlType::Jsonb,
            DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => {
                let element = Element::of(SqlType::from_ast(element)?).ok_or_else(|| unsupported(ty))?;
                SqlType::Array(element)
            }
            DataType::Custom(name, modifiers) if modifiers.is_empty() => {
                return by_word(&name.to_string().to_lowercase(), ty);
            }
            _ => return Err(unsupported(ty)),
        })
    }
}

fn by_word(name: &str, ty: &DataType) -> Result<SqlType> {
    match name.rsplit('.').next().unwrap_or(name) {
        "bpchar" => Ok(SqlType::Varchar(None)),
        "timestamptz" => Ok(SqlType::TimestampTz),
        "serial" | "bigserial" | "smallserial" | "serial4" | "serial8" | "serial2" => {
            Err(SqlError::unsupported(format!("the type {name}"))
                .hint("Make it bigint and give the values, or use uuid."))
        }
        _ => Err(unsupported(ty)),
    }
}

fn unsupported(ty: &DataType) -> SqlError {
    SqlError::unsupported(format!("the type {}", ty.to_string().to_lowercase())).hint(
        "There are boolean, smallint, integer, bigint, real, double precision, numeric(p,s), text, varchar(n), \
         char(n), bytea, date, timestamp, timestamptz, interval, uuid, jsonb and arrays.",
    )
}

fn numeric(info: &ExactNumberInfo) -> Result<SqlType> {
    let (digits, scale) = match info {
        ExactNumberInfo::None => return Ok(SqlType::Numeric(None)),
        ExactNumberInfo::Precision(digits) => (*digits, 0),
        ExactNumberInfo::PrecisionAndScale(digits, scale) => (*digits, *scale),
    };
    let fits = (1..=u64::from(NUMERIC_DIGITS_MAX)).contains(&digits)
        && (0..=i64::try_from(digits).unwrap_or(0)).contains(&scale);
    if !fits {
        return Err(SqlError::new("22023", format!("numeric({digits},{scale}) is out of range")).hint(
            format!("There are up to {NUMERIC_DIGITS_MAX} digits, and no more after the point than in all."),
        ));
    }
    Ok(SqlType::Numeric(Some((digits as u8, scale as u8))))
}

fn characters(length: &CharacterLength) -> Result<u32> {
    /// As in PostgreSQL.
    const CHARACTERS_MAX: u64 = 10_485_760;
    match length {
        CharacterLength::IntegerLength { length, .. } if (1..=CHARACTERS_MAX).contains(length) => {
            Ok(*length as u32)
        }
        _ => Err(SqlError::new("22023", format!("a text has between 1 and {CHARACTERS_MAX} characters"))),
    }
}

impl std::fmt::Display for SqlType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SqlType::Boolean => f.write_str("boolean"),
            SqlType::SmallInt => f.write_str("smallint"),
            SqlType::Integer => f.write_str("integer"),
            SqlType::BigInt => f.write_str("bigint"),
            SqlType::Real => f.write_str("real"),
            SqlType::Double => f.write_str("double precision"),
            SqlType::Numeric(None) => f.write_str("numeric"),
            SqlType::Numeric(Some((digits, scale))) => write!(f, "numeric({digits},{scale})"),
            SqlType::Text => f.write_str("text"),
            SqlType::Varchar(None) => f.write_str("character varying"),
            SqlType::Varchar(Some(length)) => write!(f, "character varying({length})"),
            SqlType::Char(length) => write!(f, "character({length})"),
            SqlType::Bytea => f.write_str("bytea"),
            SqlType::Date => f.write_str("date"),
            SqlType::Timestamp => f.write_str("timestamp without time zone"),
            SqlType::TimestampTz => f.write_str("timestamp with time zone"),
            SqlType::Interval => f.write_str("interval"),
            SqlType::Uuid => f.write_str("uuid"),
            SqlType::Jsonb => f.write_str("jsonb"),
            SqlType::Array(element) => write!(f, "{}[]", element.ty()),
        }
    }
}
