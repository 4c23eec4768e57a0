//! A view on one shard: rows by lookup key, in the view's order.
//!
//! The rows lie where their source is. A lookup gathers the rows of its key and puts them in order: the cost grows
//! with the rows of one key, and with the limit rather than the rows as far as sorting goes. Rows of weight n count n
//! times; rows of no positive weight are not seen.

use crate::backfill::SLICE_COUNT;
use crate::dataflow::Node;
use crate::error::LookupError;
use crate::hash::{KeyColumns, hash_key};
use crate::order::RowOrder;
use crate::plan::ViewSpec;
use crate::range::{RangeKeys, RangePiece, RangePosition, RangeRef};
use crate::row::{Row, RowError, Rows, validate};
use crate::scan::{ScanPosition, scan};
use crate::source::{self, Source};
use crate::value::Type;

/// One view.
#[derive(Debug)]
pub struct View {
    name: String,
    source: Source,
    /// The nodes of all gates that rows pass on their way here.
    gates: Vec<usize>,
    order: RowOrder,
    key_schema: Vec<(Type, bool)>,
    /// The key's columns in a row of just the key.
    key_alone: KeyColumns,
    /// If it is ordered.
    range_keys: Option<RangeKeys>,
}

impl View {
    /// The view of `spec`, with its rows in `source`, which have come through the gates at these nodes.
    pub fn new(spec: &ViewSpec, source: Source, order: RowOrder, gates: Vec<usize>) -> Self {
        // A lookup may ask for NULL in any column; it finds what a group of NULLs would hold.
        let key_schema = spec.key_schema().into_iter().map(|(ty, _)| (ty, true)).collect();
        View {
            name: spec.name.clone(),
            source,
            gates,
            order,
            key_schema,
            key_alone: spec.key_columns().of_key_row(),
            range_keys: RangeKeys::of(spec),
        }
    }

    /// Checks foreign bytes to be keys of this view and returns how many they are.
    pub fn validate_keys(&self, keys: &[u8]) -> Result<u32, LookupError> {
        Rows::validate(keys, &self.key_schema)
            .map_err(|error| LookupError::Malformed { view: self.name.clone(), error })
    }

    /// How many slices of the gates are open, and how many there are.
    pub fn backfill(&self, nodes: &[Node]) -> (u64, u64) {
        let open = self.gates.iter().map(|gate| u64::from(source::gate(nodes, *gate).open_count())).sum();
        (open, self.gates.len() as u64 * u64::from(SLICE_COUNT))
    }

    /// Appends up to `limit` rows of this key to `into` and returns how many.
    pub fn lookup(
        &self,
        nodes: &[Node],
        key: Row<'_>,
        limit: u32,
        into: &mut Rows,
    ) -> Result<u32, LookupError> {
        if let Err(what) = validate(key.bytes_all(), &self.key_schema) {
            return Err(LookupError::Malformed { view: self.name.clone(), error: RowError { row: 0, what } });
        }
        let hash = hash_key(key, &self.key_alone);
        let mut matches =
            self.source.matches(nodes, hash, key, &self.key_alone).filter(|(_, weight)| *weight > 0);
        let (Some(first), second) = (matches.next(), matches.next()) else { return Ok(0) };
        let Some(second) = second else {
            return Ok(push_times(first, limit, into));
        };
        let mut rows = vec![first, second];
        rows.extend(matches);
        self.keep_first(&mut rows, limit as usize);
        let mut count = 0;
        for row in rows {
            count += push_times(row, limit - count, into);
        }
        Ok(count)
    }

    /// Appends a piece of a range to `into`, which is empty; see [`Dataflow::range`](crate::Dataflow::range). Its gates must be open.
    pub fn range(
        &self,
        nodes: &[Node],
        range: RangeRef<'_>,
        from: Option<RangePosition>,
        bytes_max: usize,
        into: &mut Rows,
    ) -> Result<RangePiece, LookupError> {
        let Some(keys) = &self.range_keys else { return Err(LookupError::Unordered(self.name.clone())) };
        keys.validate(range).map_err(|error| LookupError::Malformed { view: self.name.clone(), error })?;
        Ok(keys.read(self.source.place.arrangement(nodes), range, from, bytes_max, into))
    }

    /// Appends the rows from a position on to `into`, about `bytes_max` of them, and returns where to go on if there are more. Its
    /// gates must be open.
    pub fn scan_from(
        &self,
        nodes: &[Node],
        from: ScanPosition,
        bytes_max: usize,
        into: &mut Rows,
    ) -> Option<ScanPosition> {
        scan(self.source.place.scanned(nodes), from, bytes_max, into)
    }

    /// All rows of positive weight, in the order of their bytes.
    pub fn scan(&self, nodes: &[Node]) -> Rows {
        let mut rows = Vec::new();
        self.source.for_all(nodes, |row, weight| {
            if weight > 0 {
                rows.push((row, weight));
            }
        });
        rows.sort_unstable();
        let mut all = Rows::new();
        for row in rows {
            push_times(row, u32::MAX, &mut all);
        }
        all
    }

    /// Sorts the first `limit` rows and drops the others.
    fn keep_first(&self, rows: &mut Vec<(Row<'_>, i64)>, limit: usize) {
        let compare = |a: &(Row<'_>, i64), b: &(Row<'_>, i64)| self.order.compare(a.0, b.0);
        if limit < rows.len() {
            rows.select_nth_unstable_by(limit, compare);
            rows.truncate(limit);
        }
        rows.sort_unstable_by(compare);
    }
}

fn push_times((row, weight): (Row<'_>, i64), limit: u32, into: &mut Rows) -> u32 {
    let times = u32::try_from(weight).unwrap_or(u32::MAX).min(limit);
    (0..times).for_each(|_| into.push(row));
    times
}
