//! Random typed values for the tests of this crate: small ranges, so that values meet, and the extremes of each type.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::batch::DeltaBuffer;
use crate::plan::{Column, column};
use crate::row::{Row, RowBuilder};
use crate::value::{Datum, Type};

/// All types.
pub(crate) const TYPES: [Type; 8] =
    [Type::Bool, Type::Int, Type::Float, Type::Text, Type::Bytes, Type::Timestamp, Type::Date, Type::Numeric];

/// Nullable columns `c0`, `c1`, .. of these types.
pub(crate) fn columns_of(types: &[Type]) -> Vec<Column> {
    types.iter().enumerate().map(|(index, ty)| column(format!("c{index}"), *ty).nullable()).collect()
}

/// A value of the type, NULL one time in six; `text` is where a text is made.
pub(crate) fn random_datum<'a>(random: &mut fastrand::Rng, ty: Type, text: &'a mut String) -> Datum<'a> {
    if random.u8(..6) == 0 {
        return Datum::Null;
    }
    match ty {
        Type::Bool => Datum::Bool(random.bool()),
        Type::Int => Datum::Int(random_int(random)),
        Type::Float => Datum::Float(random_float(random)),
        Type::Text => Datum::Text(random_text(random, text)),
        Type::Bytes => Datum::Bytes(random_text(random, text).as_bytes()),
        Type::Timestamp if random.bool() => Datum::Timestamp(random.i64(0..=2_000_000_000) * 1_000_000),
        Type::Timestamp => Datum::Timestamp(random_int(random)),
        Type::Date => Datum::Date(random_int(random)),
        Type::Numeric => Datum::Numeric(random_numeric(random)),
    }
}

/// A small integer, or one from the ends.
pub(crate) fn random_int(random: &mut fastrand::Rng) -> i64 {
    match random.u8(..8) {
        0 => i64::MAX - random.i64(0..3),
        1 => i64::MIN + random.i64(0..3),
        2 => random.i64(..),
        _ => random.i64(-4..5),
    }
}

/// A float of any size, a small one, or a special one.
pub(crate) fn random_float(random: &mut fastrand::Rng) -> f64 {
    match random.u8(..10) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => f64::MAX,
        4 => f64::from_bits(random.u64(1..4)),
        5 => f64::from_bits(random.u64(..)),
        6 => random.f64() - 0.5,
        _ => f64::from(random.i32(-8..9)) / 4.0,
    }
}

/// A few characters of all lengths, with zero bytes.
pub(crate) fn random_text<'a>(random: &mut fastrand::Rng, text: &'a mut String) -> &'a str {
    text.clear();
    for _ in 0..random.usize(..7) {
        text.push(
            ['a', 'B', ' ', '%', '_', '\\', '1', '-', '.', '\0', 'ß', 'é', '世', '𝄞'][random.usize(..14)],
        );
    }
    text
}

/// A decimal of any size and scale, or a small one.
pub(crate) fn random_numeric(random: &mut fastrand::Rng) -> Decimal {
    let mantissa = random.u128(..) >> random.u32(32..128);
    let mantissa = i128::try_from(mantissa).expect("at most 96 bits");
    let scale = random.u32(0..=28);
    let value = match random.u8(..4) {
        0 => Decimal::from_i128_with_scale(mantissa, scale),
        1 => Decimal::from_i128_with_scale(-mantissa, scale),
        _ => Decimal::new(random.i64(-300..300), random.u32(0..4)),
    };
    value.normalize()
}

/// The columns of [`random_deltas`]: few values, so that rows meet.
pub(crate) const SMALL_TYPES: [Type; 3] = [Type::Int, Type::Float, Type::Text];

/// A multiset of rows with signed weights, in order, without zeros.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Zset(BTreeMap<Vec<u8>, i64>);

impl Zset {
    pub(crate) fn add(&mut self, deltas: &DeltaBuffer) {
        deltas.deltas().for_each(|(row, weight)| self.add_row(row, weight));
    }

    pub(crate) fn add_row(&mut self, row: Row<'_>, weight: i64) {
        let sum = self.0.entry(row.bytes_all().to_vec()).or_insert(0);
        *sum += weight;
        if *sum == 0 {
            self.0.remove(row.bytes_all());
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Row<'_>, i64)> {
        self.0.iter().map(|(row, weight)| (Row::at(row), *weight))
    }

    /// The same rows with other weights.
    pub(crate) fn map_weights(&self, map: impl Fn(i64) -> i64) -> Zset {
        let mut result = Zset::default();
        self.iter().for_each(|(row, weight)| result.add_row(row, map(weight)));
        result
    }
}

/// Random deltas over [`SMALL_TYPES`], with retractions of what may not be there.
pub(crate) fn random_deltas(random: &mut fastrand::Rng, count: usize) -> DeltaBuffer {
    let (mut deltas, mut builder) = (DeltaBuffer::new(), RowBuilder::new());
    for _ in 0..count {
        builder.start(SMALL_TYPES.len());
        builder.push(if random.u8(..8) == 0 { Datum::Null } else { Datum::Int(random.i64(-1..2)) });
        builder.push(Datum::Float([0.0, -1.5, 2.0, f64::NAN, f64::INFINITY][random.usize(..5)]));
        let text = ["", "a", "b\0", "b"][random.usize(..4)];
        builder.push(if random.u8(..8) == 0 { Datum::Null } else { Datum::Text(text) });
        deltas.push(builder.finish(), random.i64(-2..4));
    }
    deltas
}

/// The same deltas in another order.
pub(crate) fn shuffled(random: &mut fastrand::Rng, deltas: &DeltaBuffer) -> DeltaBuffer {
    let mut frames: Vec<_> = deltas.deltas().collect();
    random.shuffle(&mut frames);
    let mut result = DeltaBuffer::new();
    frames.into_iter().for_each(|(row, weight)| result.push(row, weight));
    result
}
