//! Expressions over one sample row in table form, messages of wrong ones, and random ones that must never panic.

use proptest::prelude::{ProptestConfig, any as arbitrary, prop_assert, prop_assert_eq, proptest};

use super::function::{Parameter, signatures};
use super::*;
use crate::error::PlanError;
use crate::plan::{Column, column};
use crate::row::{RowBuilder, Rows};
use crate::testing::{TYPES, columns_of, random_datum};
use crate::value::Datum;

/// The sample row: a column of each type, and `z..` that are NULL.
fn sample() -> (Vec<Column>, Rows) {
    let null = |name, ty| (column(name, ty).nullable(), Datum::Null);
    let decimal = Datum::Numeric("1.5".parse().expect("a decimal"));
    let fields = [
        (column("b", Type::Bool), Datum::Bool(true)),
        (column("i", Type::Int), Datum::Int(7)),
        (column("f", Type::Float), Datum::Float(2.5)),
        (column("t", Type::Text), Datum::Text("Straße")),
        (column("y", Type::Bytes), Datum::Bytes(&[0xde, 0xad])),
        // 2013-03-04 05:06:07.25, a Monday.
        (column("ts", Type::Timestamp), Datum::Timestamp(1_362_373_567_250_000)),
        (column("d", Type::Date), Datum::Date(15_768)),
        (column("n", Type::Numeric), decimal),
        null("zb", Type::Bool),
        null("zi", Type::Int),
        null("zf", Type::Float),
        null("zt", Type::Text),
        null("zd", Type::Date),
    ];
    let values: Vec<Datum<'_>> = fields.iter().map(|(_, value)| *value).collect();
    let mut rows = Rows::new();
    rows.push_values(&mut RowBuilder::new(), &values);
    (fields.into_iter().map(|(column, _)| column).collect(), rows)
}

/// The value as text with its type, `NULL`, or `NULL!` when an error was counted.
fn evaluate(expr: &Expr) -> Result<String, PlanError> {
    let (columns, rows) = sample();
    let (bound, ty) = expr.resolve(&columns)?;
    let scratch = Scratch::new();
    let value = bound.eval(rows.iter().next().expect("one row"), &scratch);
    assert!(value.ty().map_or(bound.nullable(), |found| found == ty), "{value:?} of {bound:?}");
    let mut text = String::new();
    calendar::datum_text(value, &mut text).expect("memory takes any text");
    Ok(match (value, scratch.errors()) {
        (Datum::Null, 0) => "NULL".to_owned(),
        (Datum::Null, _) => "NULL!".to_owned(),
        (_, 0) => format!("{text} {ty}"),
        (_, errors) => format!("{text} {ty} with {errors} errors"),
    })
}

/// Expressions and what they give on the sample row.
fn check<const N: usize>(table: [(Expr, &str); N]) {
    for (expr, expected) in table {
        let found = evaluate(&expr).unwrap_or_else(|error| error.to_string());
        assert_eq!(found, expected, "{expr:?}");
    }
}

fn number(text: &str) -> Expr {
    lit(text).cast(Type::Numeric)
}

fn date(text: &str) -> Expr {
    lit(text).cast(Type::Date)
}

fn timestamp(text: &str) -> Expr {
    lit(text).cast(Type::Timestamp)
}

#[test]
fn arithmetic() {
    check([
        (col("i").add(1), "8 int8"),
        (col_at(1).sub(10), "-3 int8"),
        (col("i").mul(2.0), "14 float8"),
        (col("i").div(2), "3 int8"),
        (lit(-7).div(2), "-3 int8"),
        (lit(-7).rem(2), "-1 int8"),
        (col("i").neg(), "-7 int8"),
        (col("f").neg(), "-2.5 float8"),
        (lit(0.0).neg(), "0 float8"),
        (lit(i64::MIN).neg(), "NULL!"),
        (col("i").div(0), "NULL!"),
        (col("i").rem(0), "NULL!"),
        (col("f").div(0.0), "NULL!"),
        (lit(i64::MAX).add(1), "NULL!"),
        (lit(i64::MIN).div(-1), "NULL!"),
        (lit(i64::MIN).rem(-1), "0 int8"),
        (lit(1e308).mul(10.0), "NULL!"),
        (lit(f64::INFINITY).sub(f64::INFINITY), "NaN float8"),
        (col("n").add(1), "2.5 numeric"),
        (col("n").mul(col("f")), "3.75 float8"),
        (number("1").div(3), "0.33333333333333333333 numeric"),
        (number("1").div(0), "NULL!"),
        (number("0.1").add(number("0.2")), "0.3 numeric"),
        (col("i").add(col("zi")), "NULL"),
        (col("zi").div(0), "NULL"),
        (null().add(1), "NULL"),
        (col("i").add("5"), "12 int8"),
        (call("mod", [col("i"), lit(4)]), "3 int8"),
    ]);
}

#[test]
fn comparisons_and_logic() {
    let (yes, no, unknown) = (|| lit(true), || lit(false), || col("zb"));
    check([
        (col("i").eq(7), "true bool"),
        (col("i").lt(7.5), "true bool"),
        (col("n").eq(1.5), "true bool"),
        (col("n").ge(2), "false bool"),
        (col("t").gt("Strasse"), "true bool"),
        (col("d").lt("2013-04-01"), "true bool"),
        (col("d").eq(col("ts")), "false bool"),
        (col("ts").ge(col("d")), "true bool"),
        (lit(f64::NAN).eq(f64::NAN), "true bool"),
        (lit(f64::NAN).gt(f64::INFINITY), "true bool"),
        (lit(-0.0).eq(0.0), "true bool"),
        (col("zi").eq(col("zi")), "NULL"),
        (col("zi").is_not_distinct_from(null()), "true bool"),
        (col("i").is_distinct_from(col("zi")), "true bool"),
        (col("i").between(1, 7), "true bool"),
        (col("zi").is_null(), "true bool"),
        (col("i").is_not_null(), "true bool"),
        (yes().and(unknown()), "NULL"),
        (no().and(unknown()), "false bool"),
        (unknown().and(no()), "false bool"),
        (yes().or(unknown()), "true bool"),
        (unknown().or(yes()), "true bool"),
        (unknown().or(no()), "NULL"),
        (unknown().not(), "NULL"),
        (all(Vec::<Expr>::new()), "true bool"),
        (any(Vec::<Expr>::new()), "false bool"),
        (col("i").in_list([1, 7]), "true bool"),
        (col("i").in_list([lit(1), null()]), "NULL"),
        (col("i").in_list([col("zi"), lit(7)]), "true bool"),
        (col("zi").in_list([1]), "NULL"),
        (col("zi").in_list(Vec::<Expr>::new()), "false bool"),
        (col("d").in_list(["2013-03-04", "2014-01-01"]), "true bool"),
    ]);
}

#[test]
fn choices() {
    check([
        (case([(col("i").gt(5), "many")], "few"), "many text"),
        (case([(col("zb"), 1)], 2.5), "2.5 float8"),
        (case([(col("i").lt(5), 1)], null()), "NULL"),
        // Only the branch taken is computed, so it alone can go wrong.
        (case([(col("i").eq(0), col("i").div(0))], col("i")), "7 int8"),
        (coalesce([col("zi"), col("i"), col("i").div(0)]), "7 int8"),
        (coalesce([col("zi"), null()]), "NULL"),
        (coalesce([col("zi").cast(Type::Float), lit(1)]), "1 float8"),
        (col("i").nullif(7), "NULL"),
        (col("i").nullif(col("zi")), "7 int8"),
        (call("least", [col("i"), lit(3), col("zi")]), "3 int8"),
        (call("greatest", [col("i"), lit(2)]), "7 int8"),
        (call("greatest", [col("d"), lit("2020-01-01")]), "2020-01-01 date"),
        (call("least", [col("zi")]), "NULL"),
    ]);
}

#[test]
fn texts() {
    let t = || col("t");
    check([
        (call("lower", [t()]), "straße text"),
        (call("upper", [t()]), "STRASSE text"),
        (call("UPPER", [lit("ab")]), "AB text"),
        (call("length", [t()]), "6 int8"),
        (call("length", [col("y")]), "2 int8"),
        (call("octet_length", [t()]), "7 int8"),
        (call("substr", [t(), lit(5), lit(2)]), "ße text"),
        (call("substr", [t(), lit(-1), lit(4)]), "St text"),
        (call("substr", [t(), lit(3)]), "raße text"),
        (call("substr", [t(), lit(1), lit(-1)]), "NULL!"),
        (call("substr", [t(), lit(i64::MIN), lit(i64::MAX)]), " text"),
        (call("substr", [t(), lit(i64::MAX), lit(i64::MAX)]), " text"),
        (call("left", [t(), lit(-1)]), "Straß text"),
        (call("right", [t(), lit(2)]), "ße text"),
        (call("right", [t(), lit(-4)]), "ße text"),
        (call("right", [t(), lit(i64::MIN)]), " text"),
        (call("trim", ["  a b "]), "a b text"),
        (call("ltrim", ["xxaxx", "x"]), "axx text"),
        (call("rtrim", ["xyaxy", "yx"]), "xya text"),
        (call("replace", [t(), lit("ß"), lit("ss")]), "Strasse text"),
        (call("replace", [t(), lit(""), lit("x")]), "Straße text"),
        (call("lpad", [lit("7"), lit(3), lit("0")]), "007 text"),
        (call("rpad", [t(), lit(8)]), "Straße   text"),
        (call("lpad", [t(), lit(2)]), "St text"),
        (call("lpad", [t(), lit(i64::MAX), lit("ab")]), "NULL!"),
        (call("reverse", [t()]), "eßartS text"),
        (call("position", [lit("ß"), t()]), "5 int8"),
        (call("strpos", [t(), lit("x")]), "0 int8"),
        (call("instr", [t(), lit("e")]), "6 int8"),
        (call("starts_with", [t(), lit("Str")]), "true bool"),
        (t().concat("!"), "Straße! text"),
        (t().concat(col("zt")), "NULL"),
        (t().concat(col("i")), "Straße7 text"),
        (call("concat", [t(), col("zt"), col("d")]), "Straße2013-03-04 text"),
        (t().like("S%ß_"), "true bool"),
        (t().like("s%"), "false bool"),
        (t().ilike("s%"), "true bool"),
        (lit("50%").like("50\\%"), "true bool"),
        (col("zt").like("%"), "NULL"),
    ]);
}

#[test]
fn numbers() {
    check([
        (call("abs", [lit(-3)]), "3 int8"),
        (call("abs", [lit(i64::MIN)]), "NULL!"),
        (call("abs", [number("-1.5")]), "1.5 numeric"),
        (call("round", [col("f")]), "2 float8"),
        (call("round", [lit(-2.5)]), "-2 float8"),
        (call("round", [lit(0.125), lit(2)]), "0.13 float8"),
        (call("round", [lit(2.675), lit(2)]), "2.67 float8"),
        (call("round", [lit(1234.5), lit(-2)]), "1200 float8"),
        (call("round", [lit(1e300), lit(5)]), "1e+300 float8"),
        (call("round", [lit(5), lit(-1)]), "10 int8"),
        (call("round", [lit(i64::MAX), lit(-1)]), "NULL!"),
        (call("round", [number("2.675"), lit(2)]), "2.68 numeric"),
        (call("round", [number("150"), lit(-2)]), "200 numeric"),
        (call("round", [number("149.9"), lit(-2)]), "100 numeric"),
        (call("floor", [lit(-1.5)]), "-2 float8"),
        (call("ceil", [number("1.1")]), "2 numeric"),
        (call("ceil", [lit(-0.5)]), "0 float8"),
        (call("trunc", [number("-1.9")]), "-1 numeric"),
        (call("sign", [lit(-2.5)]), "-1 float8"),
        (call("sign", [number("0.00")]), "0 numeric"),
        (call("power", [lit(2), lit(10)]), "1024 float8"),
        (call("power", [lit(0), lit(-1)]), "NULL!"),
        (call("power", [lit(-8), lit(0.5)]), "NULL!"),
        (call("power", [lit(10), lit(400)]), "NULL!"),
        (call("sqrt", [lit(2)]), "1.4142135623730951 float8"),
        (call("sqrt", [lit(-1)]), "NULL!"),
    ]);
}

#[test]
fn dates() {
    let (ts, d) = (|| col("ts"), || col("d"));
    check([
        (extract("year", ts()), "2013 int8"),
        (extract("month", d()), "3 int8"),
        (extract("day", ts()), "4 int8"),
        (extract("hour", ts()), "5 int8"),
        (extract("minute", ts()), "6 int8"),
        (extract("second", ts()), "7.25 float8"),
        (extract("dow", ts()), "1 int8"),
        (extract("isodow", date("2013-03-03")), "7 int8"),
        (extract("doy", d()), "63 int8"),
        (extract("week", date("2012-12-31")), "1 int8"),
        (extract("week", date("2010-01-03")), "53 int8"),
        (extract("quarter", d()), "1 int8"),
        (extract("epoch", ts()), "1362373567.25 float8"),
        (extract("hour", d()), "0 int8"),
        (extract("year", timestamp("1969-12-31 23:59:59.999999")), "1969 int8"),
        (extract("second", timestamp("1969-12-31 23:59:59.5")), "59.5 float8"),
        (extract("year", col("zd")), "NULL"),
        (date_trunc("hour", ts()), "2013-03-04 05:00:00 timestamp"),
        (date_trunc("day", d()), "2013-03-04 00:00:00 timestamp"),
        (date_trunc("week", date("2013-03-10")), "2013-03-04 00:00:00 timestamp"),
        (date_trunc("month", ts()), "2013-03-01 00:00:00 timestamp"),
        (date_trunc("quarter", timestamp("2013-12-31")), "2013-10-01 00:00:00 timestamp"),
        (date_trunc("year", ts()), "2013-01-01 00:00:00 timestamp"),
        (d().add(30), "2013-04-03 date"),
        (lit(1).add(d()), "2013-03-05 date"),
        (d().sub(4), "2013-02-28 date"),
        (d().sub("2013-01-01"), "62 int8"),
        (d().sub(date("2013-01-01")), "62 int8"),
        (d().add(i64::MAX), "NULL!"),
        (ts().sub(timestamp("2013-03-04 05:06:00")), "7.25 float8"),
        (ts().sub(d()), "18367.25 float8"),
        (call("add_seconds", [ts(), lit(-7.25)]), "2013-03-04 05:06:00 timestamp"),
        (call("add_seconds", [d(), lit(90)]), "2013-03-04 00:01:30 timestamp"),
        (call("add_seconds", [ts(), lit(f64::NAN)]), "NULL!"),
        (call("make_date", [2012, 2, 29]), "2012-02-29 date"),
        (call("make_date", [2013, 2, 29]), "NULL!"),
        (call("make_timestamp", [2013, 1, 1, 23, 59, 5]), "2013-01-01 23:59:05 timestamp"),
        (call("make_timestamp", [2013, 1, 1, 24, 0, 0]), "NULL!"),
        (call("to_timestamp", [1.5]), "1970-01-01 00:00:01.5 timestamp"),
        (call("date", [ts()]), "2013-03-04 date"),
    ]);
}

#[test]
fn casts() {
    check([
        (lit("  42 ").cast(Type::Int), "42 int8"),
        (lit("x").cast(Type::Int), "NULL!"),
        (lit("1e3").cast(Type::Float), "1000 float8"),
        (lit("1e400").cast(Type::Float), "NULL!"),
        (lit("-Infinity").cast(Type::Float), "-Infinity float8"),
        (lit("nan").cast(Type::Float), "NaN float8"),
        (lit("1.50").cast(Type::Numeric), "1.5 numeric"),
        (lit("1.5e3").cast(Type::Numeric), "1500 numeric"),
        (lit("1_000").cast(Type::Numeric), "NULL!"),
        (lit("t").cast(Type::Bool), "true bool"),
        (lit("maybe").cast(Type::Bool), "NULL!"),
        (lit("\\xDEad").cast(Type::Bytes), "\\xdead bytea"),
        (lit("\\xdea").cast(Type::Bytes), "NULL!"),
        (lit("2013-02-30").cast(Type::Date), "NULL!"),
        (lit("2013-3-4").cast(Type::Date), "2013-03-04 date"),
        (lit("-0044-03-15").cast(Type::Date), "-0044-03-15 date"),
        (lit("2013-03-04T05:06:07.1234567Z").cast(Type::Timestamp), "2013-03-04 05:06:07.123456 timestamp"),
        (lit("2013-03-04 05:06+01:30").cast(Type::Timestamp), "2013-03-04 03:36:00 timestamp"),
        (lit("2013-03-04 25:06").cast(Type::Timestamp), "NULL!"),
        (col("f").cast(Type::Int), "2 int8"),
        (lit(-2.5).cast(Type::Int), "-2 int8"),
        (lit(9.3e18).cast(Type::Int), "NULL!"),
        (lit(f64::NAN).cast(Type::Int), "NULL!"),
        (number("2.5").cast(Type::Int), "3 int8"),
        (lit(0.1).cast(Type::Numeric), "0.1 numeric"),
        (lit(1e-40).cast(Type::Numeric), "0 numeric"),
        (lit(1e40).cast(Type::Numeric), "NULL!"),
        (number("0.1").cast(Type::Float), "0.1 float8"),
        (number("0.1234567890123456789012345678").cast(Type::Float), "0.12345678901234568 float8"),
        (col("i").cast(Type::Bool), "true bool"),
        (col("b").cast(Type::Int), "1 int8"),
        (col("ts").cast(Type::Date), "2013-03-04 date"),
        (col("d").cast(Type::Timestamp), "2013-03-04 00:00:00 timestamp"),
        (lit(i64::MAX).cast(Type::Int).cast(Type::Text), "9223372036854775807 text"),
        (lit(1e15).cast(Type::Text), "1e+15 text"),
        (lit(0.00001).cast(Type::Text), "1e-05 text"),
        (lit(123456.75).cast(Type::Text), "123456.75 text"),
        (col("y").cast(Type::Text), "\\xdead text"),
        (col("ts").cast(Type::Text), "2013-03-04 05:06:07.25 text"),
        (null().cast(Type::Int), "NULL"),
    ]);
}

#[test]
fn what_does_not_fit_is_named() {
    check([
        (col("x"), ": there is no column \"x\", only b, i, f, t, y, ts, d, n, zb, zi, zf, zt, zd"),
        (col_at(99), ": there is no column \"number 99\", only b, i, f, t, y, ts, d, n, zb, zi, zf, zt, zd"),
        (col("t").add(1), ": + cannot take text and int8"),
        (col("d").mul(2), ": * cannot take date and int8"),
        (col("i").eq(col("t")), ": a comparison cannot take int8 and text together"),
        (col("i").eq("seven"), ": \"seven\" is not a value of type int8"),
        (col("d").lt("soon"), ": \"soon\" is not a value of type date"),
        (col("i").and(true), ": AND needs bool, not int8"),
        (col("i").not(), ": NOT needs bool, not int8"),
        (col("t").neg(), ": unary - needs a number, not text"),
        (case([(col("i"), 1)], 2), ": CASE WHEN needs bool, not int8"),
        (case([(col("b"), lit(1))], col("t")), ": CASE cannot take int8 and text together"),
        (col("d").cast(Type::Int), ": date cannot be cast to int8"),
        (col("i").like("7"), ": LIKE needs text, not int8"),
        (call("soundex", [col("t")]), ": there is no function \"soundex\""),
        (call("lower", [col("i")]), ": lower cannot take (int8)"),
        (call("substr", [col("t")]), ": substr cannot take (text)"),
        (extract("eon", col("ts")), ": extract knows no field \"eon\""),
        (extract("year", col("t")), ": extract needs a constant name and a timestamp or date"),
        (date_trunc("eon", col("ts")), ": date_trunc knows no unit \"eon\""),
        (col("y").concat("x"), ": || needs text or what is written as text, not bytea"),
        (coalesce(Vec::<Expr>::new()), ": COALESCE needs at least one value"),
    ]);
    let deep = (0..300).fold(col("i"), |inner, _| inner.neg());
    let error = deep.resolve(&sample().0).expect_err("too deep");
    assert!(error.to_string().contains("deeper than 200"), "{error}");
}

#[test]
fn constants_are_computed_once() {
    let columns = sample().0;
    let shape = |expr: Expr| format!("{:?}", expr.resolve(&columns).expect("it fits").0.node);
    assert_eq!(shape(lit(2).mul(3).add(1)), "Literal(Int(7))");
    assert_eq!(shape(call("lower", ["AB"])), "Literal(Text(\"ab\"))");
    // What has no value is left to be counted for each row.
    assert!(shape(lit(1).div(0)).starts_with("Arithmetic"));
}

#[test]
fn plans_hold_expressions() {
    let expr = case([(col("i").gt(5), call("lower", [col("t")]))], null()).like("s%").or(col("n").eq(1.5));
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&expr).expect("it can be archived");
    let back = rkyv::from_bytes::<Expr, rkyv::rancor::Error>(&bytes).expect("it can be read");
    assert_eq!(back, expr);
}

/// Makes random expressions of a wanted type, so that nearly all of them resolve.
struct Maker {
    random: fastrand::Rng,
}

impl Maker {
    fn any_type(&mut self) -> Type {
        TYPES[self.random.usize(..TYPES.len())]
    }

    /// A column of that type, or a constant.
    fn leaf(&mut self, ty: Type) -> Expr {
        if self.random.u8(..3) > 0 {
            let place = TYPES.iter().position(|found| *found == ty).expect("all types are there");
            return col_at(u32::try_from(place).expect("few"));
        }
        let mut text = String::new();
        Expr::Literal(Literal::from(random_datum(&mut self.random, ty, &mut text)))
    }

    fn make(&mut self, ty: Type, depth: usize) -> Expr {
        if depth == 0 || self.random.u8(..8) == 0 {
            return self.leaf(ty);
        }
        let deeper = depth - 1;
        match self.random.u8(..14) {
            0 => {
                let (condition, value) = (self.make(Type::Bool, deeper), self.make(ty, deeper));
                case([(condition, value)], self.make(ty, deeper))
            }
            1 => coalesce([self.make(ty, deeper), self.make(ty, deeper)]),
            2 => self.make(ty, deeper).nullif(self.make(ty, deeper)),
            3 => call(
                if self.random.bool() { "least" } else { "greatest" },
                [self.make(ty, deeper), self.make(ty, deeper)],
            ),
            4..=6 => {
                let from = self.any_type();
                let from = if cast::is_possible(from, ty) { from } else { Type::Text };
                self.make(from, deeper).cast(ty)
            }
            7..=9 => self.function(ty, deeper),
            _ => self.operator(ty, deeper),
        }
    }

    /// A function of the list that gives the type.
    fn function(&mut self, ty: Type, depth: usize) -> Expr {
        let is_number = matches!(ty, Type::Int | Type::Float | Type::Numeric);
        let fitting: Vec<_> = signatures()
            .filter(|signature| signature.result.map_or(is_number, |result| result == ty))
            .collect();
        if fitting.is_empty() {
            return self.leaf(ty);
        }
        let signature = fitting[self.random.usize(..fitting.len())];
        let count = signature.parameters.len() - self.random.usize(..=signature.optional);
        let argument = |parameter: &Parameter| match parameter {
            Parameter::Is(wanted) => self.make(*wanted, depth),
            Parameter::Number => self.make(ty, depth),
        };
        let arguments: Vec<Expr> = signature.parameters[..count].iter().map(argument).collect();
        call(signature.name, arguments)
    }

    /// An operator, or a function with a form of its own, that gives the type.
    fn operator(&mut self, ty: Type, depth: usize) -> Expr {
        let pick = |random: &mut fastrand::Rng, names: &[&'static str]| names[random.usize(..names.len())];
        match ty {
            Type::Bool => self.condition(depth),
            Type::Int if self.random.u8(..4) == 0 => {
                self.make(Type::Date, depth).sub(self.make(Type::Date, depth))
            }
            Type::Int if self.random.u8(..3) == 0 => {
                let names =
                    ["year", "quarter", "month", "week", "day", "hour", "minute", "dow", "isodow", "doy"];
                let time = if self.random.bool() { Type::Date } else { Type::Timestamp };
                extract(pick(&mut self.random, &names), self.make(time, depth))
            }
            Type::Float if self.random.u8(..4) == 0 => {
                self.make(Type::Timestamp, depth).sub(self.make(Type::Timestamp, depth))
            }
            Type::Float if self.random.u8(..3) == 0 => {
                extract(pick(&mut self.random, &["second", "epoch"]), self.make(Type::Timestamp, depth))
            }
            Type::Int | Type::Float | Type::Numeric if self.random.u8(..5) == 0 => self.make(ty, depth).neg(),
            Type::Int | Type::Float | Type::Numeric => {
                let op = [
                    ArithmeticOp::Add,
                    ArithmeticOp::Sub,
                    ArithmeticOp::Mul,
                    ArithmeticOp::Div,
                    ArithmeticOp::Rem,
                ][self.random.usize(..5)];
                self.make(ty, depth).arithmetic(op, self.make(ty, depth))
            }
            Type::Text if self.random.bool() => {
                self.make(Type::Text, depth).concat(self.make(Type::Text, depth))
            }
            Type::Text => call("concat", [self.make(Type::Int, depth), self.make(Type::Text, depth)]),
            Type::Date => self.make(Type::Date, depth).add(self.make(Type::Int, depth)),
            Type::Timestamp => {
                let names = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];
                date_trunc(pick(&mut self.random, &names), self.make(Type::Timestamp, depth))
            }
            Type::Bytes => self.leaf(ty),
        }
    }

    fn condition(&mut self, depth: usize) -> Expr {
        let ty = self.any_type();
        match self.random.u8(..9) {
            0 => self.make(Type::Bool, depth).and(self.make(Type::Bool, depth)),
            1 => self.make(Type::Bool, depth).or(self.make(Type::Bool, depth)),
            2 => self.make(Type::Bool, depth).not(),
            3 => self.make(ty, depth).is_null(),
            4 => self.make(Type::Text, depth).like(self.make(Type::Text, depth)),
            5 => self.make(ty, depth).in_list([self.leaf(ty), self.leaf(ty), self.make(ty, 1)]),
            6 => self.make(ty, depth).is_distinct_from(self.make(ty, depth)),
            7 => self.make(ty, depth).eq(self.make(ty, depth)),
            _ => self.make(ty, depth).lt(self.make(ty, depth)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever resolves can be evaluated on any row of the columns, gives its type, and gives it again; what is said
    /// never to be NULL is not.
    #[test]
    fn evaluation_never_panics(seed in arbitrary::<u64>(), depth in 1usize..5) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut maker = Maker { random: random.fork() };
        let wanted = maker.any_type();
        let expr = maker.make(wanted, depth);
        let nullable = random.bool();
        let mut columns = columns_of(&TYPES);
        columns.iter_mut().for_each(|column| column.nullable = nullable);
        let Ok((bound, ty)) = expr.resolve(&columns) else { return Ok(()) };
        let (mut scratch, mut again, mut builder) = (Scratch::new(), Scratch::new(), RowBuilder::new());
        for _ in 0..8 {
            builder.start(TYPES.len());
            for ty in TYPES {
                let mut text = String::new();
                let mut value = random_datum(&mut random, ty, &mut text);
                while value.is_null() && !nullable {
                    text = String::new();
                    value = random_datum(&mut random, ty, &mut text);
                }
                builder.push(value);
            }
            let row = builder.finish();
            {
                let value = bound.eval(row, &scratch);
                prop_assert!(resolve::keeps_promise(&bound, value), "{value:?} of type {ty}");
                let repeated = bound.eval(row, &again);
                prop_assert_eq!(value, repeated);
                // The row's encoding has one form for each value; a value in another form would not survive it.
                let mut made = RowBuilder::new();
                made.start(1);
                made.push(value);
                prop_assert!(crate::row::validate(made.finish().bytes_all(), &[(ty, true)]).is_ok());
            }
            scratch.reset();
            again.reset();
        }
    }
}
