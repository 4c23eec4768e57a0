//! Sort keys: the order columns of a row as bytes that compare, byte by byte, as the columns do.
//!
//! Ordered state keeps its rows under such keys, so that comparing two needs neither the columns' types nor a look
//! into the rows. No key is the beginning of another, so anything can follow one: the whole row to break ties, or the
//! key of a further column.
//!
//! ```text
//! each column:  0 value, or 1 for NULL: NULL is above all values
//!   bool        one byte
//!   integers    8 bytes, big endian, sign flipped (timestamp and date too)
//!   float8      8 bytes, big endian; negative ones inverted, else sign flipped
//!   numeric     24 bytes, big endian, in units of 10^-28, sign flipped
//!   text, bytea the bytes with 0 as 0 255, then 0 0
//! descending:   all of the above inverted
//! ```

use crate::accumulator::decimal_units;
use crate::error::PlanError;
use crate::order::Order;
use crate::plan::{Column, column_index};
use crate::row::Row;
use crate::value::Type;

/// Columns to order by, for rows of certain columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SortKey {
    columns: Vec<SortColumn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SortColumn {
    index: usize,
    ty: Type,
    descending: bool,
}

impl SortKey {
    /// Resolves the names of `order` among `columns`.
    pub fn resolve(order: &[Order], columns: &[Column]) -> Result<SortKey, PlanError> {
        let column = |order: &Order| {
            let index = column_index(columns, &order.column)?;
            Ok(SortColumn { index, ty: columns[index].ty, descending: order.descending })
        };
        Ok(SortKey { columns: order.iter().map(column).collect::<Result<_, PlanError>>()? })
    }

    /// Ascending by the columns with these indexes: rows of one group lie together.
    pub fn of_columns(columns: &[Column], indexes: &[u16]) -> SortKey {
        let column = |index: &u16| {
            let index = usize::from(*index);
            SortColumn { index, ty: columns[index].ty, descending: false }
        };
        SortKey { columns: indexes.iter().map(column).collect() }
    }

    /// Appends the key of `row`.
    #[inline]
    pub fn encode(&self, row: Row<'_>, out: &mut Vec<u8>) {
        for column in &self.columns {
            let start = out.len();
            encode_column(row, column, out);
            if column.descending {
                out[start..].iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
    }
}

#[inline]
fn encode_column(row: Row<'_>, column: &SortColumn, out: &mut Vec<u8>) {
    if row.is_null(column.index) {
        out.push(1);
        return;
    }
    out.push(0);
    match column.ty {
        Type::Bool => out.push(u8::from(row.bool(column.index))),
        Type::Int | Type::Timestamp | Type::Date => {
            out.extend_from_slice(&(row.int(column.index).cast_unsigned() ^ SIGN).to_be_bytes());
        }
        Type::Float => {
            let bits = row.float(column.index).to_bits();
            let ordered = if bits & SIGN == 0 { bits ^ SIGN } else { !bits };
            out.extend_from_slice(&ordered.to_be_bytes());
        }
        Type::Numeric => {
            let (units, negative) = decimal_units(row.numeric(column.index));
            encode_units(units, negative, out);
        }
        Type::Text | Type::Bytes => encode_bytes(row.bytes(column.index), out),
    }
}

const SIGN: u64 = 1 << 63;

/// The size has at most 190 bits, so it never reaches the sign. A negative number is the complement of its size, which
/// is one less than its two's complement; zero is not negative, so the order is the same.
fn encode_units(units: [u64; 3], negative: bool, out: &mut Vec<u8>) {
    for (place, word) in units.iter().enumerate().rev() {
        let word = if place == 2 { word | SIGN } else { *word };
        out.extend_from_slice(&(if negative { !word } else { word }).to_be_bytes());
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        out.extend_from_slice(&rest[..=zero]);
        out.push(255);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{RowOrder, asc, desc};
    use crate::row::{RowBuilder, Rows};
    use crate::testing::{TYPES, columns_of, random_datum};

    /// The keys of random rows compare as the rows' columns do, up and down, for every type.
    #[test]
    fn keys_compare_as_columns() {
        let mut random = fastrand::Rng::with_seed(11);
        let columns = columns_of(&TYPES);
        for round in 0..600 {
            let order: Vec<Order> = (0..random.usize(1..4))
                .map(|_| {
                    let name = &columns[random.usize(..columns.len())].name;
                    if random.bool() { asc(name) } else { desc(name) }
                })
                .collect();
            let key = SortKey::resolve(&order, &columns).expect("the columns exist");
            let reference = RowOrder::resolve(&order, &columns).expect("the columns exist");
            let (mut rows, mut builder) = (Rows::new(), RowBuilder::new());
            for _ in 0..12 {
                builder.start(TYPES.len());
                TYPES.iter().for_each(|ty| builder.push(random_datum(&mut random, *ty, &mut String::new())));
                rows.push(builder.finish());
            }
            for left in &rows {
                for right in &rows {
                    let encode = |row: Row<'_>| {
                        let mut bytes = Vec::new();
                        key.encode(row, &mut bytes);
                        bytes.extend_from_slice(row.bytes_all());
                        bytes
                    };
                    let expected = reference.compare(left, right);
                    let found = encode(left).cmp(&encode(right));
                    assert_eq!(found, expected, "round {round}: {order:?} of {left:?} and {right:?}");
                }
            }
        }
    }
}
