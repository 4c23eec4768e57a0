//! The row codec: what goes in comes out, equal rows have equal bytes, and foreign bytes are refused, never believed.

use operators::hash::{KeyColumns, hash_key};
use operators::row::validate;
use operators::{Batch, Datum, Row, RowBuilder, Rows, Type, column};
use proptest::collection::vec;
use proptest::prelude::*;
use rust_decimal::Decimal;

#[derive(Debug, Clone)]
enum Value {
    Null(Type),
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Timestamp(i64),
    Date(i64),
    Numeric(Decimal),
}

impl Value {
    fn datum(&self) -> Datum<'_> {
        match self {
            Value::Null(_) => Datum::Null,
            Value::Bool(v) => Datum::Bool(*v),
            Value::Int(v) => Datum::Int(*v),
            Value::Float(v) => Datum::Float(*v),
            Value::Text(v) => Datum::Text(v),
            Value::Bytes(v) => Datum::Bytes(v),
            Value::Timestamp(v) => Datum::Timestamp(*v),
            Value::Date(v) => Datum::Date(*v),
            Value::Numeric(v) => Datum::Numeric(*v),
        }
    }

    fn ty(&self) -> Type {
        match self {
            Value::Null(ty) => *ty,
            _ => self.datum().ty().expect("only NULL has no type"),
        }
    }
}

fn ty() -> impl Strategy<Value = Type> {
    proptest::sample::select(vec![
        Type::Bool,
        Type::Int,
        Type::Float,
        Type::Text,
        Type::Bytes,
        Type::Timestamp,
        Type::Date,
        Type::Numeric,
    ])
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        ty().prop_map(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        vec(any::<char>(), 0..12).prop_map(|chars| Value::Text(chars.into_iter().collect())),
        vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        any::<i64>().prop_map(Value::Timestamp),
        any::<i64>().prop_map(Value::Date),
        (any::<i64>(), 0..=28u32).prop_map(|(number, scale)| Value::Numeric(Decimal::new(number, scale))),
    ]
}

fn build(builder: &mut RowBuilder, values: &[Value]) -> Vec<u8> {
    builder.start(values.len());
    values.iter().for_each(|value| builder.push(value.datum()));
    builder.finish().bytes_all().to_vec()
}

fn schema(values: &[Value]) -> Vec<(Type, bool)> {
    values.iter().map(|value| (value.ty(), true)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn rows_give_back_their_values(values in vec(value(), 0..90), other in vec(value(), 0..5)) {
        let mut builder = RowBuilder::new();
        build(&mut builder, &other);
        let bytes = build(&mut builder, &values);
        prop_assert_eq!(validate(&bytes, &schema(&values)), Ok(bytes.len()));
        let row = Row::at(&bytes);
        prop_assert_eq!(row.len(), values.len());
        for (column, value) in values.iter().enumerate() {
            prop_assert_eq!(row.datum(column, value.ty()), value.datum());
        }
        // Copied column by column it is the same row.
        builder.start(values.len());
        values.iter().enumerate().for_each(|(i, value)| builder.copy(row, i, value.ty().in_tail()));
        prop_assert_eq!(builder.finish().bytes_all(), &bytes[..]);
        let reread: Vec<Datum<'_>> =
            values.iter().enumerate().map(|(i, value)| row.datum(i, value.ty())).collect();
        let mut again = Rows::new();
        again.push_values(&mut builder, &reread);
        prop_assert_eq!(&again.rows, &bytes);
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), types in vec((ty(), any::<bool>()), 0..20)) {
        let _checked = Rows::validate(&bytes, &types);
    }

    /// A damaged row is refused, or is another canonical row, which reading gives back as it is.
    #[test]
    fn damaged_rows_are_refused_or_canonical(
        values in vec(value(), 0..40),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let mut builder = RowBuilder::new();
        let mut bytes = build(&mut builder, &values);
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(length) = validate(&bytes, &schema(&values)) {
            let row = Row::at(&bytes);
            prop_assert_eq!(row.bytes_all().len(), length);
            builder.start(values.len());
            for (column, value) in values.iter().enumerate() {
                builder.push(row.datum(column, value.ty()));
            }
            prop_assert_eq!(builder.finish().bytes_all(), row.bytes_all());
        }
    }

    #[test]
    fn a_key_hashes_the_same_alone(values in vec(value(), 1..30), picks in vec(any::<prop::sample::Index>(), 0..4)) {
        let mut builder = RowBuilder::new();
        let bytes = build(&mut builder, &values);
        let columns: Vec<_> =
            values.iter().enumerate().map(|(i, v)| column(format!("c{i}"), v.ty()).nullable()).collect();
        let picks: Vec<u16> = picks.iter().map(|pick| pick.index(values.len()) as u16).collect();
        let key = KeyColumns::new(&columns, &picks);
        let chosen: Vec<Value> = picks.iter().map(|pick| values[*pick as usize].clone()).collect();
        let alone = build(&mut builder, &chosen);
        prop_assert_eq!(hash_key(Row::at(&bytes), &key), hash_key(Row::at(&alone), &key.of_key_row()));
    }

    #[test]
    fn batches_read_the_same_archived(rows in vec((vec(value(), 0..5), -3..4i64), 0..10)) {
        let mut builder = RowBuilder::new();
        let mut batch = Batch::new();
        for (values, weight) in &rows {
            batch.push(Row::at(&build(&mut builder, values)), *weight);
        }
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&batch).expect("it fits");
        let archived = rkyv::access::<operators::batch::ArchivedBatch, rkyv::rancor::Error>(&archive).expect("valid");
        let expected: Vec<_> = batch.deltas().collect();
        prop_assert_eq!(expected.len(), batch.count as usize);
        prop_assert!(operators::Deltas(&archived.deltas).eq(expected));
    }
}

#[test]
fn names_what_is_wrong() {
    let mut rows = Rows::new();
    let mut builder = RowBuilder::new();
    rows.push_values(&mut builder, &[Datum::Bytes(&[0xff]), Datum::Int(2)]);
    let wrong = |bytes: &[u8], schema: &[(Type, bool)]| {
        Rows::validate(bytes, schema).expect_err("it is refused").to_string()
    };
    let fits = [(Type::Bytes, false), (Type::Int, false)];
    assert_eq!(Rows::validate(&rows.rows, &fits), Ok(1));
    assert_eq!(wrong(&rows.rows, &[(Type::Text, false), (Type::Int, false)]), "row 0: column 0 is not UTF-8");
    assert_eq!(
        wrong(&rows.rows, &[(Type::Bytes, false), (Type::Bool, false)]),
        "row 0: column 1 is not in canonical form"
    );
    assert_eq!(wrong(&rows.rows[..8], &fits), "row 0: wrong length");
    assert_eq!(wrong(&rows.rows[..7], &fits), "row 0: wrong length");
    rows.push_values(&mut builder, &[Datum::Null, Datum::Int(2)]);
    assert_eq!(wrong(&rows.rows, &fits), "row 1: column 0 must not be NULL");
}
