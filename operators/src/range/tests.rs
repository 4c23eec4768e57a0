//! Ranges against a walk over all rows, for keys of every type.

use super::*;
use crate::batch::DeltaBuffer;
use crate::hash::KeyColumns;
use crate::plan::{OperatorId, ViewId};
use crate::row::RowBuilder;
use crate::testing::{TYPES, Zset, columns_of, random_datum, shuffled};
use crate::value::Datum;
use std::cmp::Ordering;

fn view(columns: Vec<Column>, key: Vec<u16>) -> ViewSpec {
    let (id, node) = (ViewId(0), OperatorId(0));
    ViewSpec { id, name: "v".to_owned(), node, columns, key, order: Vec::new(), ordered: true }
}

/// Deltas of rows of few values, so that keys have several rows; weights of both signs.
fn deltas(random: &mut fastrand::Rng, types: &[Type]) -> DeltaBuffer {
    let (mut deltas, mut builder, mut text) = (DeltaBuffer::new(), RowBuilder::new(), String::new());
    let mut pool: Vec<Vec<u8>> = Vec::new();
    for _ in 0..random.usize(1..120) {
        builder.start(types.len());
        for (at, ty) in types.iter().enumerate() {
            match pool.get(random.usize(0..40)) {
                // The same value as in another row.
                Some(row) if random.u32(0..4) > 0 => builder.push(Row::at(row).datum(at, *ty)),
                _ => builder.push(random_datum(random, *ty, &mut text)),
            }
        }
        pool.push(builder.finish().bytes_all().to_vec());
        let weight = if random.bool() { 1 } else { random.i64(-2..5) };
        deltas.push(builder.finish(), weight);
    }
    deltas
}

struct Asked {
    range: Range,
    prefix: Vec<u8>,
}

/// A range about what is there.
fn draw(random: &mut fastrand::Rng, types: &[Type], rows: &[Row<'_>]) -> Asked {
    let (mut builder, mut text) = (RowBuilder::new(), String::new());
    let (prefix_types, last) = types[..types.len() - 1].split_at(types.len() - 2);
    let row = |random: &mut fastrand::Rng| rows.get(random.usize(0..rows.len().max(1)));
    let from = row(random);
    builder.start(prefix_types.len());
    for (at, ty) in prefix_types.iter().enumerate() {
        match from {
            Some(row) => builder.push(row.datum(at, *ty)),
            None => builder.push(random_datum(random, *ty, &mut text)),
        }
    }
    let mut prefixes = Rows::new();
    prefixes.push(builder.finish());
    let prefix = builder.finish().bytes_all().to_vec();
    let mut edge = |random: &mut fastrand::Rng| {
        let value = match row(random).filter(|_| random.bool()) {
            Some(row) => row.datum(prefix_types.len(), last[0]),
            None => random_datum(random, last[0], &mut text),
        };
        let mut edge = Edge { value: Rows::new(), included: random.bool() };
        if !value.is_null() && random.u32(0..3) > 0 {
            edge.value.push_values(&mut RowBuilder::new(), &[value]);
        }
        edge
    };
    let (lower, upper) = (edge(random), edge(random));
    let limit = [random.u32(0..6), u32::MAX][random.usize(0..2)];
    let piece = [random.u32(1..4), u32::MAX][random.usize(0..2)];
    Asked { range: Range { prefixes, lower, upper, descending: random.bool(), limit, piece }, prefix }
}

/// Whether a row is in the range, by comparing values.
fn is_in(row: Row<'_>, types: &[Type], Asked { range, prefix }: &Asked) -> bool {
    let last = types.len() - 2;
    let value = row.datum(last, types[last]);
    let order = |edge: &Edge| edge.value.iter().next().map(|bound| value.order(&bound.datum(0, types[last])));
    let above = match order(&range.lower) {
        None => true,
        Some(order) => order == Ordering::Greater || order == Ordering::Equal && range.lower.included,
    };
    let below = match order(&range.upper) {
        None => true,
        Some(order) => order == Ordering::Less || order == Ordering::Equal && range.upper.included,
    };
    let has_edge = !range.lower.value.is_empty() || !range.upper.value.is_empty();
    let same = (0..last).all(|at| row.datum(at, types[at]) == Row::at(prefix).datum(at, types[at]));
    same && above && below && !(has_edge && value.is_null())
}

/// Reads a range to its end.
fn read(keys: &RangeKeys, arrangement: &Arrangement, range: &Range, bytes_max: usize) -> Vec<Vec<u8>> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let mut rows = Rows::new();
        let piece = keys.read(arrangement, range.as_ref(), from, bytes_max, &mut rows);
        assert_eq!(piece.counts, [rows.count]);
        assert!(rows.rows.len() <= bytes_max || rows.count == 1);
        found.extend(rows.iter().map(|row| row.bytes_all().to_vec()));
        match piece.next {
            Some(next) => from = Some(next),
            None => return found,
        }
    }
}

#[test]
fn agrees_with_a_walk_over_all_rows() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let last = TYPES[seed as usize % TYPES.len()];
        let mut types: Vec<Type> = (0..random.usize(0..3)).map(|_| TYPES[random.usize(0..8)]).collect();
        types.extend([last, Type::Int]);
        let columns = columns_of(&types);
        let key: Vec<u16> = (0..types.len() as u16 - 1).collect();
        let keys = RangeKeys::of(&view(columns.clone(), key.clone())).expect("it is ordered");
        let make =
            || Arrangement::ordered(KeyColumns::new(&columns, &key), SortKey::of_columns(&columns, &key));
        let input = deltas(&mut random, &types);
        let (mut arrangement, mut other) = (make(), make());
        arrangement.apply(&input);
        shuffled(&mut random, &input).deltas().for_each(|(row, weight)| {
            let mut one = DeltaBuffer::new();
            one.push(row, weight);
            other.apply(&one);
        });
        let mut there = Zset::default();
        there.add(&input);
        let rows: Vec<Row<'_>> = there
            .iter()
            .flat_map(|(row, weight)| std::iter::repeat_n(row, usize::try_from(weight).unwrap_or(0)))
            .collect();
        for _ in 0..40 {
            let asked = draw(&mut random, &types, &rows);
            keys.validate(asked.range.as_ref()).expect("it fits");
            let bytes_max = [1, random.usize(1..400), 1 << 20][random.usize(0..3)];
            let found = read(&keys, &arrangement, &asked.range, bytes_max);
            let everywhere = |bytes_max| read(&keys, &other, &asked.range, bytes_max);
            assert_eq!(found, everywhere(1 << 20), "seed {seed}: neither order nor pieces matter");
            check(seed, &types, &rows, &asked, &found);
            for row in &rows {
                assert_eq!(keys.contains(asked.range.as_ref(), *row), is_in(*row, &types, &asked));
            }
        }
    }
}

fn check(seed: u64, types: &[Type], rows: &[Row<'_>], asked: &Asked, found: &[Vec<u8>]) {
    let at = types.len() - 2;
    let by_value = |a: &Row<'_>, b: &Row<'_>| {
        let order = a.datum(at, types[at]).order(&b.datum(at, types[at]));
        if asked.range.descending { order.reverse() } else { order }
    };
    let mut expected: Vec<Row<'_>> = rows.iter().copied().filter(|row| is_in(*row, types, asked)).collect();
    expected.sort_by(by_value);
    let limit = asked.range.limit as usize;
    let message = format!("seed {seed}: {asked_range:?} of {rows:?}", asked_range = asked.range);
    assert_eq!(found.len(), expected.len().min(limit), "{message}");
    let found: Vec<Row<'_>> = found.iter().map(|row| Row::at(row)).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(by_value(found, expected), Ordering::Equal, "{message}");
    }
    // Of equals any may be left out, but none comes more often than it is there.
    let mut left: Vec<&[u8]> = expected.iter().map(|row| row.bytes_all()).collect();
    for row in found {
        let at = left.iter().position(|other| *other == row.bytes_all());
        left.swap_remove(at.unwrap_or_else(|| panic!("{message}")));
    }
}

#[test]
fn null_is_found_only_without_edges() {
    let columns = columns_of(&[Type::Int, Type::Int]);
    let keys = RangeKeys::of(&view(columns.clone(), vec![0])).expect("it is ordered");
    let order = SortKey::of_columns(&columns, &[0]);
    let mut arrangement = Arrangement::ordered(KeyColumns::new(&columns, &[0]), order);
    let (mut input, mut builder) = (DeltaBuffer::new(), RowBuilder::new());
    for value in [Datum::Null, Datum::Int(i64::MAX), Datum::Int(i64::MIN)] {
        builder.start(2);
        builder.push(value);
        builder.push(Datum::Int(0));
        input.push(builder.finish(), 1);
    }
    arrangement.apply(&input);
    let mut prefixes = Rows::new();
    prefixes.push_values(&mut builder, &[]);
    let all = Range { prefixes, limit: u32::MAX, piece: u32::MAX, ..Range::default() };
    let nulls = |range: &Range| -> Vec<bool> {
        read(&keys, &arrangement, range, 1000).iter().map(|row| Row::at(row).is_null(0)).collect()
    };
    assert_eq!(nulls(&all), [false, false, true]);
    assert_eq!(nulls(&Range { descending: true, ..all.clone() }), [true, false, false]);
    let mut zero = Edge { value: Rows::new(), included: true };
    zero.value.push_values(&mut builder, &[Datum::Int(0)]);
    assert_eq!(nulls(&Range { lower: zero.clone(), ..all.clone() }), [false]);
    assert_eq!(nulls(&Range { upper: zero, ..all }), [false]);
}
