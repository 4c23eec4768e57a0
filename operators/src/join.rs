//! Joins by equal keys, inner and left.
//!
//! With A and B the inputs' multisets after a step, dA and dB their deltas, the output changes by
//!
//! ```text
//! dA * B  +  A * dB  -  dA * dB        (weights multiply)
//! ```
//!
//! which is the same as dA with B before plus dB with A after, but needs only the states after: these can then be
//! shared with other operators. The correction is computed only when both sides changed in one step.
//!
//! A left join adds, for each key, the left rows with NULLs as long as the weights on the right sum up to nothing
//! positive. With e(k) being 1 in that case and 0 otherwise this part is the sum of A(k) e(k), which changes by
//! dA e_before + A (e_after - e_before). All of it is a function of the two multisets, whatever their signs.
//!
//! NULL in a key equals nothing: such rows find no partner, and a left join passes them on with NULLs.

use crate::batch::{DeltaBuffer, Deltas};
use crate::combine::Combiner;
use crate::dataflow::Node;
use crate::hash::{KeyColumns, hash_key, keys_equal};
use crate::plan::{Column, JoinKind, JoinSpec};
use crate::projection::{ProjectedColumn, Projection};
use crate::row::{Row, u64_at};
use crate::source::Source;

/// Deltas that are hashed, and whose matches are brought into the cache, ahead of being joined.
const GROUP_DELTAS: usize = 128;

/// One join.
#[derive(Debug)]
pub struct Join {
    left: Side,
    right: Side,
    kind: JoinKind,
    pairs: Projection,
    /// Reused: the right deltas by the hash of their keys.
    right_deltas: Vec<Delta>,
    /// Reused: the output of a step in which both sides changed, before what cancels is taken out.
    uncombined: DeltaBuffer,
    combiner: Combiner,
    limit: Limit,
}

/// How much a join may send in one step.
#[derive(Debug, Clone, Copy)]
struct Limit {
    bytes: usize,
    /// Whether it would have sent more.
    is_reached: bool,
}

impl Limit {
    #[inline]
    fn allows(&mut self, out: &DeltaBuffer) -> bool {
        self.is_reached |= out.deltas.len() > self.bytes;
        !self.is_reached
    }
}

#[derive(Debug)]
struct Side {
    /// The node of the input.
    node: usize,
    key: KeyColumns,
    source: Source,
    /// Reused: the hashes of the deltas of a group.
    hashes: Vec<u64>,
}

/// A delta of the right input: the hash of its key, and where its frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Delta {
    hash: u64,
    offset: usize,
}

impl Join {
    /// The join of `spec`, whose inputs are found by key in `left_source` and `right_source`; `pairs` says what is sent of
    /// a pair of rows.
    pub fn new(
        spec: &JoinSpec,
        left_columns: &[Column],
        right_columns: &[Column],
        left_source: Source,
        right_source: Source,
        pairs: Vec<ProjectedColumn>,
    ) -> Self {
        let side = |node: usize, columns: &[Column], key: &[u16], source: Source| Side {
            node,
            key: KeyColumns::new(columns, key),
            source,
            hashes: Vec::new(),
        };
        Join {
            left: side(spec.left.index(), left_columns, &spec.left_key, left_source),
            right: side(spec.right.index(), right_columns, &spec.right_key, right_source),
            kind: spec.kind,
            pairs: Projection::new(pairs),
            right_deltas: Vec::new(),
            uncombined: DeltaBuffer::new(),
            combiner: Combiner::default(),
            limit: Limit { bytes: usize::MAX, is_reached: false },
        }
    }

    /// Lets it send about so many bytes in a step at most. A join that would send more is cut off, and all that comes of it is
    /// wrong.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit.bytes = bytes;
    }

    /// Whether it has ever been cut off.
    pub fn is_cut_off(&self) -> bool {
        self.limit.is_reached
    }

    /// Joins the deltas of a step; `nodes` are those before this one, with their states after the step.
    pub fn run(&mut self, nodes: &[Node], out: &mut DeltaBuffer) {
        let left = &nodes[self.left.node].output;
        let right = &nodes[self.right.node].output;
        if left.is_empty() || right.is_empty() {
            self.join_left(nodes, left, out);
            self.join_right(nodes, right, out);
            if self.kind == JoinKind::Left {
                self.add_null_rows(nodes, left, right, out);
            }
            return;
        }
        // The correction cancels against what came before it: take it out here rather than send it on.
        let mut all = std::mem::take(&mut self.uncombined);
        all.clear();
        self.join_left(nodes, left, &mut all);
        self.join_right(nodes, right, &mut all);
        self.subtract_both(left, right, &mut all);
        if self.kind == JoinKind::Left {
            self.add_null_rows(nodes, left, right, &mut all);
        }
        let none = DeltaBuffer::new();
        let inputs = [all.deltas(), none.deltas()];
        self.combiner.combine(inputs, all.count as usize, |row, weight| out.push(row, weight));
        self.uncombined = all;
    }

    /// dA * B
    fn join_left(&mut self, nodes: &[Node], left: &DeltaBuffer, out: &mut DeltaBuffer) {
        let Join { left: side, right: other, pairs, limit, .. } = self;
        each_key(side, nodes, other.source, left, |hash, deltas, key| {
            for (right, right_weight) in other.source.matches(nodes, hash, deltas.first_row(), key) {
                if !limit.allows(out) {
                    return;
                }
                for (row, weight) in deltas {
                    pairs.append(row, right, weight.wrapping_mul(right_weight), out);
                }
            }
        });
    }

    /// A * dB
    fn join_right(&mut self, nodes: &[Node], right: &DeltaBuffer, out: &mut DeltaBuffer) {
        let Join { right: side, left: other, pairs, limit, .. } = self;
        each_key(side, nodes, other.source, right, |hash, deltas, key| {
            for (left, left_weight) in other.source.matches(nodes, hash, deltas.first_row(), key) {
                if !limit.allows(out) {
                    return;
                }
                for (row, weight) in deltas {
                    pairs.append(left, row, weight.wrapping_mul(left_weight), out);
                }
            }
        });
    }

    /// - dA * dB
    fn subtract_both(&mut self, left: &DeltaBuffer, right: &DeltaBuffer, out: &mut DeltaBuffer) {
        sort_by_key(&mut self.right_deltas, right, &self.right.key);
        for (row, weight) in left.deltas() {
            if self.left.key.any_null(row) {
                continue;
            }
            if !self.limit.allows(out) {
                return;
            }
            let hash = hash_key(row, &self.left.key);
            for delta in equal_hashes(&self.right_deltas, hash) {
                let (right_row, right_weight) = delta.frame(right);
                if keys_equal(row, &self.left.key, right_row, &self.right.key) {
                    let product = weight.wrapping_mul(right_weight);
                    self.pairs.append(row, right_row, product.wrapping_neg(), out);
                }
            }
        }
    }

    /// dA * e_before + A * (e_after - e_before), with NULLs in the right columns.
    fn add_null_rows(
        &mut self,
        nodes: &[Node],
        left: &DeltaBuffer,
        right: &DeltaBuffer,
        out: &mut DeltaBuffer,
    ) {
        sort_by_key(&mut self.right_deltas, right, &self.right.key);
        for (row, weight) in left.deltas() {
            let is_alone = self.left.key.any_null(row) || {
                let hash = hash_key(row, &self.left.key);
                let after = self.right.source.weight(nodes, hash, row, &self.left.key);
                let change = self.change_of(hash, row, &self.left.key, right);
                after.wrapping_sub(change) <= 0
            };
            if is_alone {
                self.pairs.append_alone(row, weight, out);
            }
        }
        let mut at = 0;
        while at < self.right_deltas.len() {
            let hash = self.right_deltas[at].hash;
            let run = equal_hashes(&self.right_deltas[at..], hash).len();
            for delta in at..at + run {
                self.add_null_rows_of_key(nodes, right, at..delta, out);
            }
            at += run;
        }
    }

    /// A * (e_after - e_before) for the key of the right delta at `earlier.end`, unless one of the `earlier` deltas,
    /// which have the same hash, had the same key.
    fn add_null_rows_of_key(
        &mut self,
        nodes: &[Node],
        right: &DeltaBuffer,
        earlier: std::ops::Range<usize>,
        out: &mut DeltaBuffer,
    ) {
        let delta = self.right_deltas[earlier.end];
        let (row, _) = delta.frame(right);
        let key = &self.right.key;
        // Different keys with one hash hardly exist, so the first of the earlier deltas nearly always settles it.
        if earlier.clone().any(|at| keys_equal(self.right_deltas[at].frame(right).0, key, row, key)) {
            return;
        }
        let after = self.right.source.weight(nodes, delta.hash, row, key);
        let before = after.wrapping_sub(self.change_of(delta.hash, row, key, right));
        let change = i64::from(after <= 0) - i64::from(before <= 0);
        if change != 0 {
            let Join { left, pairs, .. } = self;
            for (left, weight) in left.source.matches(nodes, delta.hash, row, key) {
                pairs.append_alone(left, weight.wrapping_mul(change), out);
            }
        }
    }

    /// The sum of the right deltas' weights for the key that `key` names in `row`.
    fn change_of(&self, hash: u64, row: Row<'_>, key: &KeyColumns, right: &DeltaBuffer) -> i64 {
        let deltas = equal_hashes(&self.right_deltas, hash).iter().map(|delta| delta.frame(right));
        let same = deltas.filter(|(other, _)| keys_equal(row, key, *other, &self.right.key));
        same.fold(0, |sum, (_, weight)| sum.wrapping_add(weight))
    }
}

impl Delta {
    fn frame(self, deltas: &DeltaBuffer) -> (Row<'_>, i64) {
        let frame = &deltas.deltas[self.offset..];
        (Row::at(&frame[8..]), u64_at(frame, 0) as i64)
    }
}

/// Calls `each` for the deltas of a side, except those whose key is NULL. It gets the deltas of equal keys
/// that follow each other at once: mostly a row and the one that takes its place.
///
/// This goes group by group: first all hashes of a group, whose places in the other side are brought into the cache
/// together.
#[inline]
fn each_key(
    side: &mut Side,
    nodes: &[Node],
    other: Source,
    deltas: &DeltaBuffer,
    mut each: impl FnMut(u64, Deltas<'_>, &KeyColumns),
) {
    let Side { key, hashes, .. } = side;
    let mut rest = deltas.deltas();
    while !rest.0.is_empty() {
        let mut group = rest;
        hashes.clear();
        hashes.extend(rest.by_ref().take(GROUP_DELTAS).map(|(row, _)| hash_key(row, key)));
        other.touch(nodes, hashes);
        let mut at = 0;
        while at < hashes.len() {
            let run = group;
            let (first, _) = group.next().expect("there is a delta for each hash");
            let hash = hashes[at];
            at += 1;
            while at < hashes.len() && hashes[at] == hash && keys_equal(group.first_row(), key, first, key) {
                group.next();
                at += 1;
            }
            if !key.any_null(first) {
                each(hash, Deltas(&run.0[..run.0.len() - group.0.len()]), key);
            }
        }
    }
}

/// The deltas whose keys are not NULL, by the hashes of these.
fn sort_by_key(sorted: &mut Vec<Delta>, deltas: &DeltaBuffer, key: &KeyColumns) {
    sorted.clear();
    let mut rest = deltas.deltas();
    loop {
        let offset = deltas.deltas.len() - rest.0.len();
        let Some((row, _)) = rest.next() else { break };
        if !key.any_null(row) {
            sorted.push(Delta { hash: hash_key(row, key), offset });
        }
    }
    sorted.sort_unstable();
}

fn equal_hashes(sorted: &[Delta], hash: u64) -> &[Delta] {
    let from = sorted.partition_point(|delta| delta.hash < hash);
    let rest = &sorted[from..];
    &rest[..rest.partition_point(|delta| delta.hash == hash)]
}
