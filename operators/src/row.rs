//! Rows: the canonical encoding, read in place.
//!
//! Equal rows have equal bytes, so a row is compared, hashed and combined as a string of bytes. All numbers are
//! little endian, every row is a multiple of 8 bytes, and a row knows its own length:
//!
//! ```text
//! 0..4  total length in bytes       4..6  column count       6..8  null bits of columns 0..16
//! then  one word of null bits for each further 64 columns or part of them
//! then  one slot of 8 bytes per column: bool, int8, float8, timestamp and date inline; NULL is 0;
//!       text, bytea and numeric are (u32 offset from the row's start, u32 length) of their tail bytes
//! then  the tail: values in the order of the columns without gaps, zeros up to a multiple of 8
//! ```
//!
//! A numeric is the 16 bytes of its normalised decimal. What comes from outside goes through [`validate`] once;
//! after that the accessors trust the bytes. They are safe Rust, so a lie would panic, never read astray.

use crate::value::{CANONICAL_NAN, Datum, Type, canonical_float};
use rust_decimal::Decimal;

/// A table or a stream has at most this many columns. A row's header then stays below 13 KiB.
pub const COLUMN_COUNT_MAX: usize = 1600;

/// A row is at most this long, so that a handful fit into any message.
pub const ROW_BYTES_MAX: usize = 1 << 20;

const HEADER_BYTES: usize = 8;

/// A row in its canonical encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row<'a>(&'a [u8]);

impl<'a> Row<'a> {
    /// The row that starts at the front of `bytes`, which may go on after it.
    #[inline]
    pub fn at(bytes: &'a [u8]) -> Row<'a> {
        let length = u32_at(bytes, 0) as usize;
        Row(&bytes[..length])
    }

    /// The canonical bytes.
    #[inline]
    pub fn bytes_all(self) -> &'a [u8] {
        self.0
    }

    /// The number of columns.
    #[allow(clippy::len_without_is_empty)]
    #[inline]
    pub fn len(self) -> usize {
        self.0[4] as usize | (self.0[5] as usize) << 8
    }

    /// Whether column `column` is NULL.
    #[inline]
    pub fn is_null(self, column: usize) -> bool {
        if column < 16 {
            let bits = u16::from_le_bytes([self.0[6], self.0[7]]);
            return bits >> column & 1 == 1;
        }
        let bit = column - 16;
        u64_at(self.0, HEADER_BYTES + bit / 64 * 8) >> (bit % 64) & 1 == 1
    }

    /// False if the row has at most 16 columns and none of them is NULL.
    #[inline]
    pub(crate) fn has_null_bits(self) -> bool {
        // Column count and null bits are the upper half of the header's word.
        u64_at(self.0, 0) >> 32 > 16
    }

    /// The raw slot of a column: its value if inline, offset and length if in the tail.
    #[inline]
    pub fn slot(self, column: usize) -> u64 {
        u64_at(self.0, slots_start(self.len()) + column * 8)
    }

    /// The slots of a row that [`Row::has_null_bits`] says to be short.
    #[inline]
    pub(crate) fn short(self) -> ShortRow<'a> {
        debug_assert!(self.len() <= 16);
        ShortRow(&self.0[HEADER_BYTES..])
    }

    /// Where the slot of a column begins.
    #[inline]
    pub(crate) fn slot_offset(self, column: usize) -> usize {
        slots_start(self.len()) + column * 8
    }

    /// Column `column` as an integer (also the raw number of a timestamp or date).
    #[inline]
    pub fn int(self, column: usize) -> i64 {
        self.slot(column) as i64
    }

    /// Column `column` as a float.
    #[inline]
    pub fn float(self, column: usize) -> f64 {
        f64::from_bits(self.slot(column))
    }

    /// Column `column` as a truth value.
    #[inline]
    pub fn bool(self, column: usize) -> bool {
        self.slot(column) != 0
    }

    /// The tail bytes of column `column`: text, bytea or numeric. NULL gives no bytes.
    #[inline]
    pub fn bytes(self, column: usize) -> &'a [u8] {
        self.tail(self.slot(column))
    }

    /// The tail bytes that a slot names.
    #[inline]
    pub(crate) fn tail(self, slot: u64) -> &'a [u8] {
        let offset = slot as u32 as usize;
        &self.0[offset..offset + (slot >> 32) as usize]
    }

    /// Column `column` as text.
    #[inline]
    pub fn text(self, column: usize) -> &'a str {
        std::str::from_utf8(self.bytes(column)).expect("text was validated as UTF-8 when it came in")
    }

    /// Column `column` as a decimal.
    #[inline]
    pub fn numeric(self, column: usize) -> Decimal {
        let bytes = self.bytes(column).try_into().expect("a numeric has 16 bytes");
        Decimal::deserialize(bytes)
    }

    /// Column `column`, of type `ty`, as a value.
    #[inline]
    pub fn datum(self, column: usize, ty: Type) -> Datum<'a> {
        if self.is_null(column) {
            return Datum::Null;
        }
        match ty {
            Type::Bool => Datum::Bool(self.bool(column)),
            Type::Int => Datum::Int(self.int(column)),
            Type::Float => Datum::Float(self.float(column)),
            Type::Text => Datum::Text(self.text(column)),
            Type::Bytes => Datum::Bytes(self.bytes(column)),
            Type::Timestamp => Datum::Timestamp(self.int(column)),
            Type::Date => Datum::Date(self.int(column)),
            Type::Numeric => Datum::Numeric(self.numeric(column)),
        }
    }

    /// The columns as text, for messages.
    pub fn display(self, types: &[Type]) -> String {
        let values: Vec<String> =
            types.iter().enumerate().map(|(i, ty)| self.datum(i, *ty).to_string()).collect();
        format!("({})", values.join(", "))
    }
}

/// A row of at most 16 columns from its slots on.
#[derive(Clone, Copy)]
pub(crate) struct ShortRow<'a>(&'a [u8]);

impl ShortRow<'_> {
    #[inline]
    pub(crate) fn slot(self, column: usize) -> u64 {
        u64_at(self.0, column * 8)
    }
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slots: Vec<u64> = (0..self.len()).map(|column| self.slot(column)).collect();
        f.debug_struct("Row").field("slots", &slots).field("bytes", &self.0.len()).finish()
    }
}

/// Builds rows, one after another, in buffers that it keeps.
#[derive(Debug, Default)]
pub struct RowBuilder {
    /// Header, null words and slots; the tail joins them at the end.
    row: Vec<u8>,
    tail: Vec<u8>,
    columns: usize,
    pushed: usize,
    slots_start: usize,
    finished: bool,
}

impl RowBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a row of `columns` columns; whatever was begun before is dropped.
    #[inline]
    pub fn start(&mut self, columns: usize) {
        assert!(columns <= COLUMN_COUNT_MAX);
        self.slots_start = slots_start(columns);
        self.row.clear();
        self.row.resize(self.slots_start + columns * 8, 0);
        self.row[4..6].copy_from_slice(&(columns as u16).to_le_bytes());
        self.tail.clear();
        self.columns = columns;
        self.pushed = 0;
        self.finished = false;
    }

    /// Appends the next column.
    #[inline]
    pub fn push(&mut self, value: Datum<'_>) {
        match value {
            Datum::Null => self.push_null(),
            Datum::Bool(v) => self.push_slot(u64::from(v)),
            Datum::Int(v) | Datum::Timestamp(v) | Datum::Date(v) => self.push_slot(v as u64),
            Datum::Float(v) => self.push_slot(canonical_float(v).to_bits()),
            Datum::Text(v) => self.push_tail(v.as_bytes()),
            Datum::Bytes(v) => self.push_tail(v),
            Datum::Numeric(v) => self.push_tail(&v.normalize().serialize()),
        }
    }

    /// Appends column `column` of `row` as the next column; `in_tail` as its type says.
    #[inline]
    pub fn copy(&mut self, row: Row<'_>, column: usize, in_tail: bool) {
        if row.is_null(column) {
            self.push_null();
        } else if in_tail {
            self.push_tail(row.bytes(column));
        } else {
            self.push_slot(row.slot(column));
        }
    }

    /// Appends NULL as the next column.
    #[inline]
    pub fn push_null(&mut self) {
        let column = self.next_column();
        if column < 16 {
            self.row[6 + column / 8] |= 1 << (column % 8);
        } else {
            self.row[HEADER_BYTES + (column - 16) / 8] |= 1 << (column % 8);
        }
    }

    #[inline]
    fn push_slot(&mut self, slot: u64) {
        let at = self.slots_start + self.next_column() * 8;
        self.row[at..at + 8].copy_from_slice(&slot.to_le_bytes());
    }

    #[inline]
    fn push_tail(&mut self, bytes: &[u8]) {
        let offset = (self.row.len() + self.tail.len()) as u64;
        self.tail.extend_from_slice(bytes);
        self.push_slot(offset | (bytes.len() as u64) << 32);
    }

    #[inline]
    fn next_column(&mut self) -> usize {
        assert!(self.pushed < self.columns, "more columns than the row was started with");
        self.pushed += 1;
        self.pushed - 1
    }

    /// Ends the row. It can be read until the next `start`.
    #[inline]
    pub fn finish(&mut self) -> Row<'_> {
        if !self.finished {
            assert_eq!(self.pushed, self.columns, "a row needs all of its columns");
            self.row.extend_from_slice(&self.tail);
            self.row.resize(self.row.len().next_multiple_of(8), 0);
            let length = u32::try_from(self.row.len()).expect("a row is shorter than 4 GiB");
            self.row[0..4].copy_from_slice(&length.to_le_bytes());
            self.finished = true;
        }
        Row(&self.row)
    }

    /// Ends the row and appends its bytes to `out`.
    #[inline]
    pub fn append_to(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.finish().0);
    }
}

/// Rows one after another: writes, keys and results.
#[derive(Debug, Clone, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Rows {
    /// How many rows there are.
    pub count: u32,
    /// The rows, without gaps.
    pub rows: Vec<u8>,
}

impl Rows {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a row.
    #[inline]
    pub fn push(&mut self, row: Row<'_>) {
        self.rows.extend_from_slice(row.0);
        self.count += 1;
    }

    /// Appends one row made of `values`.
    pub fn push_values(&mut self, builder: &mut RowBuilder, values: &[Datum<'_>]) {
        builder.start(values.len());
        values.iter().for_each(|value| builder.push(*value));
        self.push(builder.finish());
    }

    /// The rows in order.
    pub fn iter(&self) -> RowsIter<'_> {
        RowsIter(&self.rows)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.rows.clear();
    }

    /// Checks foreign bytes to be rows of these columns, each (type, nullable), and returns how many they are.
    pub fn validate(bytes: &[u8], columns: &[(Type, bool)]) -> Result<u32, RowError> {
        let mut rest = bytes;
        let mut count = 0;
        while !rest.is_empty() {
            let length = validate(rest, columns).map_err(|what| RowError { row: count, what })?;
            rest = rest.get(length..).unwrap_or_default();
            count += 1;
        }
        Ok(count)
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = Row<'a>;
    type IntoIter = RowsIter<'a>;
    fn into_iter(self) -> RowsIter<'a> {
        self.iter()
    }
}

/// Iterates over rows that lie one after another.
#[derive(Debug, Clone, Copy)]
pub struct RowsIter<'a>(pub &'a [u8]);

impl<'a> Iterator for RowsIter<'a> {
    type Item = Row<'a>;

    #[inline]
    fn next(&mut self) -> Option<Row<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let row = Row::at(self.0);
        self.0 = &self.0[row.0.len()..];
        Some(row)
    }
}

/// What is wrong with bytes that claim to be rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: {what}")]
pub struct RowError {
    /// The number of the row among those given, from 0.
    pub row: u32,
    /// What is wrong with it.
    pub what: Malformed,
}

/// A way in which bytes are not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end inside the row, or its length is no multiple of 8 or above [`ROW_BYTES_MAX`].
    #[error("wrong length")]
    Length,
    /// The row has another number of columns than the table.
    #[error("{found} columns where {expected} are needed")]
    ColumnCount {
        /// As in the row.
        found: usize,
        /// As in the schema.
        expected: usize,
    },
    /// NULL where the column does not allow it.
    #[error("column {0} must not be NULL")]
    Null(usize),
    /// Text that is not UTF-8.
    #[error("column {0} is not UTF-8")]
    Utf8(usize),
    /// A value that has another, canonical form, or bytes that belong to no value.
    #[error("column {0} is not in canonical form")]
    NotCanonical(usize),
}

/// Checks that `bytes` begin with a canonical row of `columns` and returns its length. Never panics.
#[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]
pub fn validate(bytes: &[u8], columns: &[(Type, bool)]) -> Result<usize, Malformed> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Malformed::Length)?;
    let [l0, l1, l2, l3, c0, c1, _, _] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let found = u16::from_le_bytes([c0, c1]) as usize;
    if found != columns.len() {
        return Err(Malformed::ColumnCount { found, expected: columns.len() });
    }
    let slots = slots_start(found);
    let fixed = slots + found * 8;
    if !length.is_multiple_of(8) || length < fixed || length > ROW_BYTES_MAX {
        return Err(Malformed::Length);
    }
    let row = bytes.get(..length).ok_or(Malformed::Length)?;
    check_null_bits(row, found)?;
    let mut tail_end = fixed;
    for (column, (ty, nullable)) in columns.iter().enumerate() {
        let slot = word(row, slots + column * 8);
        if null_bit(row, column) {
            if !nullable {
                return Err(Malformed::Null(column));
            }
            if slot != 0 {
                return Err(Malformed::NotCanonical(column));
            }
        } else if ty.in_tail() {
            if slot as u32 as usize != tail_end {
                return Err(Malformed::NotCanonical(column));
            }
            let end = tail_end + (slot >> 32) as usize;
            let value = row.get(tail_end..end).ok_or(Malformed::Length)?;
            check_tail_value(column, *ty, value)?;
            tail_end = end;
        } else if !is_canonical_slot(*ty, slot) {
            return Err(Malformed::NotCanonical(column));
        }
    }
    let padding = row.get(tail_end..).ok_or(Malformed::Length)?;
    if padding.len() >= 8 {
        return Err(Malformed::Length);
    }
    if padding.iter().any(|byte| *byte != 0) {
        return Err(Malformed::NotCanonical(found));
    }
    Ok(length)
}

fn check_tail_value(column: usize, ty: Type, value: &[u8]) -> Result<(), Malformed> {
    match ty {
        Type::Text if std::str::from_utf8(value).is_err() => Err(Malformed::Utf8(column)),
        Type::Numeric => {
            let canonical = <[u8; 16]>::try_from(value).ok().filter(is_canonical_numeric);
            canonical.map(drop).ok_or(Malformed::NotCanonical(column))
        }
        _ => Ok(()),
    }
}

fn is_canonical_numeric(bytes: &[u8; 16]) -> bool {
    // The scale is the third byte; the decoder would panic or misbehave on one that does not exist.
    let flags_are_known = bytes[0] == 0 && bytes[1] == 0 && bytes[2] <= 28 && bytes[3] & 0x7f == 0;
    flags_are_known && Decimal::deserialize(*bytes).normalize().serialize() == *bytes
}

fn is_canonical_slot(ty: Type, slot: u64) -> bool {
    match ty {
        Type::Bool => slot <= 1,
        Type::Float => canonical_float(f64::from_bits(slot)).to_bits() == slot || slot == CANONICAL_NAN,
        _ => true,
    }
}

/// Bits beyond the last column must be zero.
fn check_null_bits(row: &[u8], columns: usize) -> Result<(), Malformed> {
    let first = word(row, 0) >> 48;
    let first_ok = columns >= 16 || first >> columns == 0;
    let used = columns.saturating_sub(16) % 64;
    let last_ok = used == 0 || word(row, slots_start(columns) - 8) >> used == 0;
    if first_ok && last_ok { Ok(()) } else { Err(Malformed::NotCanonical(columns)) }
}

fn null_bit(row: &[u8], column: usize) -> bool {
    if column < 16 {
        return word(row, 0) >> (48 + column) & 1 == 1;
    }
    let bit = column - 16;
    word(row, HEADER_BYTES + bit / 64 * 8) >> (bit % 64) & 1 == 1
}

/// The word at `at`, or 0 beyond the end; the callers have checked the length.
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[inline]
const fn slots_start(columns: usize) -> usize {
    if columns <= 16 { HEADER_BYTES } else { HEADER_BYTES + (columns - 16).div_ceil(64) * 8 }
}

#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the slice has 8 bytes"))
}

#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
}
