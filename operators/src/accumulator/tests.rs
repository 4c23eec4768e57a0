//! The law for every aggregate: random weighted values in any order and batching, retractions included, give states
//! that are equal bit by bit and the value of a computation from scratch.

use rust_decimal::Decimal;

use super::{Aggregate, AggregateState, BoundAggregate};
use crate::batch::DeltaBuffer;
use crate::order::{asc, desc};
use crate::plan::column;
use crate::row::{Row, RowBuilder};
use crate::testing::{TYPES, columns_of, random_datum, random_int, random_numeric, shuffled};
use crate::value::{Datum, Type};

/// A state of either kind, and what shows of it.
enum Held {
    Inline(Vec<u8>),
    Boxed(AggregateState),
}

impl Held {
    fn new(aggregate: &BoundAggregate) -> Held {
        match aggregate.inline_bytes() {
            Some(bytes) => Held::Inline(vec![0; bytes]),
            None => Held::Boxed(aggregate.new_state()),
        }
    }

    fn add(&mut self, aggregate: &BoundAggregate, deltas: &DeltaBuffer) {
        for (row, weight) in deltas.deltas() {
            match self {
                Held::Inline(state) => aggregate.update_inline(state, row, weight),
                Held::Boxed(state) => aggregate.update(state, row, weight, &mut Vec::new()),
            }
        }
    }

    fn result(&self, aggregate: &BoundAggregate) -> String {
        let mut text = String::new();
        let datum = match self {
            Held::Inline(state) => aggregate.result_inline(state),
            Held::Boxed(state) => aggregate.result(state, &mut text),
        };
        assert!(datum.ty().map_or(aggregate.nullable(), |ty| ty == aggregate.ty()), "{datum:?}");
        show(datum)
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Held::Inline(state) => state.clone(),
            Held::Boxed(state) => {
                let mut bytes = Vec::new();
                state.encode(&mut bytes);
                bytes
            }
        }
    }

    fn is_initial(&self, aggregate: &BoundAggregate) -> bool {
        match self {
            Held::Inline(state) => state.iter().all(|byte| *byte == 0),
            Held::Boxed(state) => {
                assert_eq!(state.is_empty(), *state == aggregate.new_state());
                state.is_empty()
            }
        }
    }
}

/// The value with all of its bits.
fn show(datum: Datum<'_>) -> String {
    match datum {
        Datum::Float(value) => format!("{value:?} {:x}", value.to_bits()),
        other => format!("{other:?}"),
    }
}

fn all_aggregates(name: &str, ty: Type) -> Vec<Aggregate> {
    let mut all = vec![
        Aggregate::Count,
        Aggregate::count_of(name),
        Aggregate::count_distinct(name),
        Aggregate::min(name),
        Aggregate::max(name),
    ];
    if matches!(ty, Type::Int | Type::Float | Type::Numeric) {
        all.extend([Aggregate::sum(name), Aggregate::avg(name)]);
        all.extend([Aggregate::SumDistinct(name.to_owned()), Aggregate::AvgDistinct(name.to_owned())]);
    }
    if matches!(ty, Type::Float | Type::Numeric) {
        let variance = |sample, root| Aggregate::Variance { column: name.to_owned(), sample, root };
        all.extend([variance(true, true), variance(true, false), variance(false, false)]);
    }
    if ty == Type::Text {
        let (column, separator) = (name.to_owned(), ";".to_owned());
        all.push(Aggregate::StringAgg { column, separator, order: Vec::new(), distinct: true });
        all.push(Aggregate::string_agg(name, ",", &[]));
        all.push(Aggregate::string_agg(name, "", &[desc("c1"), asc("c2")]));
    }
    all
}

fn random_rows(random: &mut fastrand::Rng, count: usize) -> DeltaBuffer {
    let (mut deltas, mut builder) = (DeltaBuffer::new(), RowBuilder::new());
    for _ in 0..count {
        builder.start(TYPES.len());
        TYPES.iter().for_each(|ty| builder.push(random_datum(random, *ty, &mut String::new())));
        // Without i64::MIN, which has no opposite to undo it.
        let weight = if random.u8(..20) == 0 { random_int(random).max(-i64::MAX) } else { random.i64(-2..4) };
        deltas.push(builder.finish(), weight);
    }
    deltas
}

fn negated(deltas: &DeltaBuffer) -> DeltaBuffer {
    let mut result = DeltaBuffer::new();
    deltas.deltas().for_each(|(row, weight)| result.push(row, -weight));
    result
}

/// For every type and aggregate: permutations, detours by way of rows that are retracted again, and back to nothing.
#[test]
fn order_does_not_show_and_everything_can_be_undone() {
    let columns = columns_of(&TYPES);
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let input = random_rows(&mut random, 60);
        let detour = random_rows(&mut random, 30);
        for (place, ty) in TYPES.iter().enumerate() {
            for aggregate in all_aggregates(&columns[place].name, *ty) {
                let bound = aggregate.resolve(&columns).expect("the column fits");
                let mut first = Held::new(&bound);
                first.add(&bound, &input);
                for _ in 0..4 {
                    let mut mixed = shuffled(&mut random, &input);
                    mixed.push_frames(detour.deltas(), detour.count);
                    let undo = negated(&detour);
                    mixed.push_frames(undo.deltas(), undo.count);
                    let mut held = Held::new(&bound);
                    held.add(&bound, &shuffled(&mut random, &mixed));
                    assert_eq!(held.bytes(), first.bytes(), "seed {seed}, {aggregate:?} of {ty}");
                    assert_eq!(
                        held.result(&bound),
                        first.result(&bound),
                        "seed {seed}, {aggregate:?} of {ty}"
                    );
                    held.add(&bound, &shuffled(&mut random, &negated(&input)));
                    assert!(held.is_initial(&bound), "seed {seed}, {aggregate:?} of {ty}");
                }
            }
        }
    }
}

/// From scratch: each value as often as its weight says, sorted.
fn values_by_weight<'a>(deltas: &'a DeltaBuffer, place: usize, ty: Type) -> Vec<Datum<'a>> {
    let mut weights: Vec<(Datum<'a>, i64)> = Vec::new();
    for (row, weight) in deltas.deltas() {
        let value = row.datum(place, ty);
        match weights.iter_mut().find(|(known, _)| *known == value) {
            Some((_, sum)) => *sum += weight,
            None => weights.push((value, weight)),
        }
    }
    weights.retain(|(value, weight)| *weight > 0 && !value.is_null());
    weights.sort_by(|a, b| a.0.order(&b.0));
    let copies = |(value, weight): (Datum<'a>, i64)| {
        std::iter::repeat_n(value, usize::try_from(weight).expect("positive"))
    };
    weights.into_iter().flat_map(copies).collect()
}

#[test]
fn ordered_values_agree_with_sorting() {
    let columns = columns_of(&TYPES);
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut deltas, mut builder) = (DeltaBuffer::new(), RowBuilder::new());
        for _ in 0..random.usize(..12) {
            builder.start(TYPES.len());
            TYPES.iter().for_each(|ty| builder.push(random_datum(&mut random, *ty, &mut String::new())));
            deltas.push(builder.finish(), random.i64(-1..4));
        }
        for (place, ty) in TYPES.iter().enumerate() {
            let values = values_by_weight(&deltas, place, *ty);
            let name = &columns[place].name;
            let mut distinct = values.clone();
            distinct.dedup();
            let expect = |aggregate: Aggregate, expected: Datum<'_>| {
                let bound = aggregate.resolve(&columns).expect("the column fits");
                let mut held = Held::new(&bound);
                held.add(&bound, &deltas);
                assert_eq!(held.result(&bound), show(expected), "seed {seed}, {aggregate:?} of {ty}");
            };
            expect(Aggregate::min(name), values.first().copied().unwrap_or(Datum::Null));
            expect(Aggregate::max(name), values.last().copied().unwrap_or(Datum::Null));
            let count = i64::try_from(distinct.len()).expect("few");
            expect(Aggregate::count_distinct(name), Datum::Int(count));
            if *ty == Type::Text {
                let texts: Vec<&str> = values
                    .iter()
                    .filter_map(|value| if let Datum::Text(text) = value { Some(*text) } else { None })
                    .collect();
                let joined = texts.join("; ");
                let expected = if texts.is_empty() { Datum::Null } else { Datum::Text(&joined) };
                expect(Aggregate::string_agg(name, "; ", &[]), expected);
            }
        }
    }
}

/// Feeds weighted values of one column and compares the sum and the mean.
fn check(values: &[(Datum<'_>, i64)], sum: Datum<'_>, avg: Datum<'_>) {
    let ty = values.iter().find_map(|(value, _)| value.ty()).unwrap_or(Type::Int);
    let columns = [column("x", ty).nullable()];
    let (mut deltas, mut builder) = (DeltaBuffer::new(), RowBuilder::new());
    for (value, weight) in values {
        builder.start(1);
        builder.push(*value);
        deltas.push(builder.finish(), *weight);
    }
    for (aggregate, expected) in [(Aggregate::sum("x"), sum), (Aggregate::avg("x"), avg)] {
        let bound = aggregate.resolve(&columns).expect("the column fits");
        let mut held = Held::new(&bound);
        held.add(&bound, &deltas);
        assert_eq!(held.result(&bound), show(expected), "{aggregate:?} of {values:?}");
    }
}

#[test]
fn sums_of_integers() {
    use Datum::{Float, Int, Null};
    check(&[], Null, Null);
    check(&[(Null, 3)], Null, Null);
    check(&[(Int(1), 1), (Int(2), 1), (Null, 5)], Int(3), Float(1.5));
    check(&[(Int(i64::MAX), 1), (Int(1), 1)], Null, Float(4_611_686_018_427_387_904.0));
    check(&[(Int(i64::MAX), 3), (Int(i64::MIN), 3)], Int(-3), Float(-0.5));
    check(&[(Int(5), 1), (Int(7), -1)], Null, Null);
    check(&[(Int(i64::MIN), i64::MAX)], Null, Float(-9_223_372_036_854_775_808.0));
}

#[test]
fn sums_of_floats() {
    use Datum::{Float, Null};
    let tiny = f64::from_bits(1);
    check(&[(Float(1e308), 1), (Float(1.0), 1), (Float(-1e308), 1)], Float(1.0), Float(1.0 / 3.0));
    check(&[(Float(0.1), 10)], Float(1.0), Float(0.1));
    check(&[(Float(tiny), 3)], Float(f64::from_bits(3)), Float(tiny));
    check(&[(Float(tiny), 1), (Float(0.0), 1)], Float(tiny), Float(0.0));
    check(&[(Float(tiny), 3), (Float(0.0), 3)], Float(f64::from_bits(3)), Float(0.0));
    check(&[(Float(f64::MAX), 2)], Float(f64::INFINITY), Float(f64::MAX));
    check(&[(Float(f64::MAX), 2), (Float(f64::MAX), -1)], Float(f64::MAX), Float(f64::MAX));
    check(&[(Float(f64::NAN), 1), (Float(f64::NAN), -1), (Float(2.5), 1)], Float(2.5), Float(2.5));
    check(&[(Float(f64::INFINITY), 1), (Float(2.5), 1)], Float(f64::INFINITY), Float(f64::INFINITY));
    let both = [(Float(f64::INFINITY), 1), (Float(f64::NEG_INFINITY), 1)];
    check(&both, Float(f64::NAN), Float(f64::NAN));
    check(&[(Float(1.5), 1), (Float(2.5), -1)], Null, Null);
    check(&[(Float(-1.5), 1), (Float(1.5), 1)], Float(0.0), Float(0.0));
    // Halfway between two floats, and a hair to either side of it.
    let (one, half, hair) = (1.0, f64::EPSILON / 2.0, 1e-300);
    check(&[(Float(one), 1), (Float(half), 1)], Float(1.0), Float(0.5));
    check(
        &[(Float(one), 1), (Float(half), 1), (Float(hair), 1)],
        Float(one + f64::EPSILON),
        Float(f64::from_bits(0x3fd5_5555_5555_5556)),
    );
    check(&[(Float(one), 1), (Float(half), 1), (Float(-hair), 2)], Float(1.0), Float(0.25));
}

#[test]
fn sums_of_decimals() {
    use Datum::Null;
    let number = |text: &str| Datum::Numeric(text.parse::<Decimal>().expect("a decimal"));
    check(&[(number("0.1"), 1), (number("0.2"), 1)], number("0.3"), number("0.15"));
    check(&[(number("1"), 3), (number("0"), -2)], number("3"), number("3"));
    check(&[(number("2"), 1), (number("0"), 2)], number("2"), number("0.66666666666666666667"));
    let max = Datum::Numeric(Decimal::MAX);
    check(&[(max, 2)], Null, max);
    check(
        &[(max, 2), (max, -1), (number("-1"), 1)],
        number("79228162514264337593543950334"),
        number("39614081257132168796771975167"),
    );
    check(
        &[(number("70000000000000000000000000000"), 1), (number("0.5"), 1)],
        number("70000000000000000000000000001"),
        number("35000000000000000000000000000"),
    );
    check(
        &[(number("-0.0000000000000000000000000001"), 1), (number("0"), 1)],
        number("-0.0000000000000000000000000001"),
        number("-0.0000000000000000000000000001"),
    );
}

/// The correctly rounded sum by another way: non-overlapping partial sums (two-sum keeps every rounding error), which
/// are exact as long as nothing overflows.
fn partials_sum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for value in values {
        let mut x = *value;
        let mut kept = Vec::new();
        for partial in partials {
            let (large, small) = if x.abs() < partial.abs() { (partial, x) } else { (x, partial) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        kept.push(x);
        partials = kept;
    }
    // From the largest down until a rounding error appears; a tie is decided by the sign of what is below.
    let mut high = partials.pop().unwrap_or(0.0);
    let mut low = 0.0;
    while low == 0.0 {
        let Some(next) = partials.pop() else { break };
        let sum = high + next;
        low = next - (sum - high);
        high = sum;
    }
    if let Some(next) = partials.last()
        && ((low < 0.0 && *next < 0.0) || (low > 0.0 && *next > 0.0))
    {
        let doubled = low * 2.0;
        let sum = high + doubled;
        if doubled == sum - high {
            high = sum;
        }
    }
    crate::value::canonical_float(high)
}

#[test]
fn sums_of_floats_are_correctly_rounded() {
    let columns = [column("x", Type::Float)];
    let bound = Aggregate::sum("x").resolve(&columns).expect("a number");
    for seed in 0..3_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let spread = random.i32(1..300);
        let mut values: Vec<f64> = (0..random.usize(1..40))
            .map(|_| (random.f64() - 0.5) * 2f64.powi(random.i32(-spread..spread)))
            .collect();
        // Cancellation: most of the sum disappears.
        for place in 0..values.len() {
            if random.bool() {
                values.push(-values[place]);
            }
        }
        random.shuffle(&mut values);
        let mut state = vec![0; bound.inline_bytes().expect("a fixed size")];
        let mut builder = RowBuilder::new();
        for value in &values {
            builder.start(1);
            builder.push(Datum::Float(*value));
            bound.update_inline(&mut state, builder.finish(), 1);
        }
        let expected = show(Datum::Float(partials_sum(&values)));
        assert_eq!(show(bound.result_inline(&state)), expected, "seed {seed}");
    }
}

/// The mean of floats that are small whole numbers of a small unit, computed in integers.
#[test]
fn means_of_floats_are_rounded_once() {
    let columns = [column("x", Type::Float), column("n", Type::Int)];
    let floats = Aggregate::avg("x").resolve(&columns).expect("a number");
    let integers = Aggregate::avg("n").resolve(&columns).expect("a number");
    for seed in 0..3_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut float_state = vec![0; floats.inline_bytes().expect("a fixed size")];
        let mut integer_state = vec![0; integers.inline_bytes().expect("a fixed size")];
        let mut builder = RowBuilder::new();
        for _ in 0..random.usize(1..20) {
            let whole = random.i64(..) >> random.u32(11..64);
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let scaled = whole as f64 * 2f64.powi(-40);
            builder.start(2);
            builder.push(Datum::Float(scaled));
            builder.push(Datum::Int(whole));
            let row: Row<'_> = builder.finish();
            floats.update_inline(&mut float_state, row, 1);
            integers.update_inline(&mut integer_state, row, 1);
        }
        let Datum::Float(expected) = integers.result_inline(&integer_state) else {
            panic!("a mean of numbers is a number");
        };
        let found = floats.result_inline(&float_state);
        assert_eq!(show(found), show(Datum::Float(expected * 2f64.powi(-40))), "seed {seed}");
    }
}

/// The exact sum of decimals against a second, slower way: digits of ten in an array.
#[test]
fn sums_of_decimals_agree_with_digits() {
    let columns = [column("x", Type::Numeric)];
    let bound = Aggregate::sum("x").resolve(&columns).expect("a number");
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut state = vec![0; bound.inline_bytes().expect("a fixed size")];
        let mut builder = RowBuilder::new();
        // Places of ten from 10^-28 up, each a signed sum, carried at the end.
        let mut places = [0i64; 64];
        for _ in 0..random.usize(1..20) {
            let value = random_numeric(&mut random);
            let mut rest = value.mantissa();
            let mut place = 28 - value.scale() as usize;
            while rest != 0 {
                places[place] += i64::try_from(rest % 10).expect("a digit");
                rest /= 10;
                place += 1;
            }
            builder.start(1);
            builder.push(Datum::Numeric(value));
            bound.update_inline(&mut state, builder.finish(), 1);
        }
        assert_eq!(show(bound.result_inline(&state)), show(from_places(places)), "seed {seed}");
    }
}

/// The decimal of signed places of ten from 10^-28 up, rounded half away from zero to what fits.
fn from_places(mut places: [i64; 64]) -> Datum<'static> {
    let negative = places.iter().rev().find(|place| **place != 0).is_some();
    let carry = |places: &mut [i64; 64]| {
        for at in 0..63 {
            places[at + 1] += places[at].div_euclid(10);
            places[at] = places[at].rem_euclid(10);
        }
    };
    carry(&mut places);
    let negative = negative && places[63] < 0;
    if negative {
        places.iter_mut().for_each(|place| *place = -*place);
        carry(&mut places);
    }
    for cut in 0..=28usize {
        let digits: String = places[cut..]
            .iter()
            .rev()
            .map(|digit| char::from(b'0' + u8::try_from(*digit).expect("a digit")))
            .collect();
        let Ok(mut mantissa) = digits
            .trim_start_matches('0')
            .parse::<u128>()
            .or_else(|error| if digits.bytes().all(|digit| digit == b'0') { Ok(0) } else { Err(error) })
        else {
            continue;
        };
        if cut > 0 && places[cut - 1] >= 5 {
            mantissa += 1;
        }
        if mantissa < 1 << 96 {
            let mantissa = i128::try_from(mantissa).expect("96 bits");
            let scale = u32::try_from(28 - cut).expect("at most 28");
            let signed = if negative { -mantissa } else { mantissa };
            return Datum::Numeric(Decimal::from_i128_with_scale(signed, scale).normalize());
        }
    }
    Datum::Null
}

#[test]
fn a_result_too_long_for_a_row_is_null() {
    let columns = [column("x", Type::Text)];
    let bound = Aggregate::string_agg("x", ",", &[]).resolve(&columns).expect("a text");
    let mut state = bound.new_state();
    let mut builder = RowBuilder::new();
    builder.start(1);
    builder.push(Datum::Text(""));
    let row = builder.finish();
    bound.update(&mut state, row, i64::MAX, &mut Vec::new());
    assert_eq!(bound.result(&state, &mut String::new()), Datum::Null);
    bound.update(&mut state, row, 3 - i64::MAX, &mut Vec::new());
    assert_eq!(bound.result(&state, &mut String::new()), Datum::Text(",,"));
}

#[test]
fn wrong_columns_are_named() {
    let columns = columns_of(&TYPES);
    let message =
        |aggregate: Aggregate| aggregate.resolve(&columns).expect_err("it does not fit").to_string();
    assert!(message(Aggregate::sum("c3")).contains("sum needs a number, but \"c3\" is text"));
    assert!(message(Aggregate::avg("c0")).contains("avg needs a number, but \"c0\" is bool"));
    assert!(message(Aggregate::string_agg("c1", ",", &[])).contains("string_agg needs text"));
    assert!(message(Aggregate::min("nowhere")).contains("nowhere"));
    assert!(message(Aggregate::string_agg("c3", ",", &[asc("gone")])).contains("gone"));
}
