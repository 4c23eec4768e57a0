//! Expressions and queries with the results that PostgreSQL 15 gives them: by themselves, and of queries as views too.
//!
//! The scale of a numeric is not kept, so numbers compare as numbers.

use crate::database::{Database, Table, joined};

/// Whether both say the same, numbers being what they are.
fn same(found: &str, expected: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    let word = |(found, expected): (&str, &str)| {
        found == expected
            || matches!((number(found), number(expected)), (Some(a), Some(b)) if (a - b).abs() <= b.abs() * 1e-14)
    };
    let cut =
        |text: &str| -> Vec<String> { text.split(['|', ';', ',', '{', '}']).map(str::to_owned).collect() };
    let (left, right) = (cut(found), cut(expected));
    left.len() == right.len() && left.iter().zip(&right).all(|(l, r)| word((l, r)))
}

fn sorted(mut table: Table) -> String {
    table.sort_by_key(|row| joined(&vec![row.clone()]));
    joined(&table)
}

#[test]
fn expressions() {
    let mut database = Database::new();
    let mut wrong = Vec::new();
    for (expression, expected) in EXPRESSIONS {
        let found = match database.run(&format!("SELECT {expression}")) {
            Ok(table) => joined(&table),
            Err(error) => format!("{error:?}"),
        };
        // Results of one value are printed as PostgreSQL prints truth values.
        if !same(&found, expected) {
            wrong.push(format!("{expression}: {found} and not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn queries() {
    let mut database = Database::new();
    database.run(SETUP).expect("the tables are made");
    let mut wrong = Vec::new();
    for (number, (query, expected)) in QUERIES.iter().enumerate() {
        let mut check = |way: &str, found: Result<String, String>| match found {
            Ok(found) if same(&found, expected) => {}
            Ok(found) => wrong.push(format!("{way} {query}:\n  {found}\n  {expected}")),
            Err(error) => wrong.push(format!("{way} {query}:\n  {error}")),
        };
        let scanned = database.run(query).map(sorted).map_err(|error| format!("{error:?}"));
        check("scan", scanned);
        let names: Vec<String> = (0..expected.split(';').next().unwrap_or("").split('|').count())
            .map(|column| format!("c{column}"))
            .collect();
        let view = format!("CREATE MATERIALIZED VIEW v{number} ({}) AS {query}", names.join(", "));
        let made = database.run(&view).map_err(|error| format!("{error:?}"));
        check("view", made.map(|_| sorted(database.all(&format!("v{number}")))));
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

const SETUP: &str = r#"CREATE TABLE t (k int PRIMARY KEY, a int, b text, n numeric(8,2), d float8, j jsonb, ts timestamp, i interval);
CREATE TABLE u (id int PRIMARY KEY, t int, x int);
INSERT INTO t VALUES
  (1, 10, 'one', 1.50, 0.5, '{"tag": "a", "n": 1}', '2024-01-01 10:00', '1 day'),
  (2, 20, 'two', 2.25, 1.5, '{"tag": "b", "n": 2}', '2024-01-02 11:00', '24 hours'),
  (3, NULL, 'three', NULL, NULL, NULL, NULL, NULL),
  (4, 20, NULL, -3.00, 2.5, '{"tag": "a"}', '2024-02-01 00:00', '1 mon'),
  (5, 10, 'five', 10.10, -1.5, '[1, 2]', '2024-01-01 23:59', '90 min');
INSERT INTO u VALUES (1, 1, 5), (2, 1, 15), (3, 2, 25), (4, NULL, 35), (5, 9, NULL), (6, 4, 20);"#;

const EXPRESSIONS: &[(&str, &str)] = &[
    ("interval '1 year 2 months' + interval '3 days 04:05:06'", "1 year 2 mons 3 days 04:05:06"),
    ("interval '1 day' * 2.5", "2 days 12:00:00"),
    ("interval '1 mon' / 2", "15 days"),
    ("- interval '1 day -2 hours'", "-1 days +02:00:00"),
    ("timestamp '2024-01-31 10:00' + interval '1 month'", "2024-02-29 10:00:00"),
    ("date '2024-03-31' - interval '1 month'", "2024-02-29 00:00:00"),
    ("timestamptz '2024-01-01 00:00+00' - interval '90 minutes'", "2023-12-31 22:30:00+00"),
    ("timestamp '2024-03-01' - timestamp '2024-01-31 12:00'", "29 days 12:00:00"),
    ("date '2024-03-01' - date '2024-02-01'", "29"),
    ("interval '1 month' = interval '30 days'", "t"),
    ("interval '1 day' < interval '25 hours'", "t"),
    ("interval '1 day' in (interval '24 hours', interval '2 days')", "t"),
    ("'2 hours'::interval > '1 hour'", "t"),
    ("extract(epoch from interval '1 day 2 seconds')", "86402.000000"),
    ("extract(hour from interval '26:30')", "26"),
    ("extract(epoch from timestamp '2024-01-01' - timestamp '2023-12-31')", "86400.000000"),
    ("extract(century from date '2001-01-01')", "21"),
    ("extract(isoyear from date '2024-12-30')", "2025"),
    ("extract(julian from date '2024-01-01')", "2460311"),
    ("date_trunc('decade', timestamp '2024-05-06')", "2020-01-01 00:00:00"),
    ("date_trunc('week', timestamp '2024-05-08 10:00')", "2024-05-06 00:00:00"),
    ("date_part('quarter', date '2024-05-06')", "2"),
    ("age(timestamp '2001-04-10', timestamp '1957-06-13')", "43 years 9 mons 27 days"),
    ("make_interval(1, 2, 3, 4, 5, 6, 7.5)", "1 year 2 mons 25 days 05:06:07.5"),
    ("justify_hours(interval '27:00')", "1 day 03:00:00"),
    (
        "date_bin('15 minutes', timestamp '2024-01-01 10:23:11', timestamp '2024-01-01')",
        "2024-01-01 10:15:00",
    ),
    ("interval '1 day'::text", "1 day"),
    ("'1 hour 30 min'::interval", "01:30:00"),
    ("make_date(2024, 2, 29)", "2024-02-29"),
    ("to_char(timestamp '2024-03-05 14:07:09', 'YYYY-MM-DD HH24:MI:SS')", "2024-03-05 14:07:09"),
    ("to_char(date '2024-03-05', 'FMDay, FMDD FMMonth YYYY')", "Tuesday, 5 March 2024"),
    ("to_char(1234.5, 'FM9,999.00')", "1,234.50"),
    ("to_char(42, '0000')", " 0042"),
    ("to_date('05 Dec 2000', 'DD Mon YYYY')", "2000-12-05"),
    ("to_timestamp('2024-03-05 02:07 PM', 'YYYY-MM-DD HH12:MI AM')", "2024-03-05 14:07:00+00"),
    ("'foobar' ~ 'o+b'", "t"),
    ("'FOO' ~* 'foo'", "t"),
    ("'foo' !~ 'bar'", "t"),
    ("'foo' !~* 'FOO'", "f"),
    ("'abc' similar to '%(b|d)%'", "t"),
    ("'abc' not similar to 'a%'", "f"),
    (r#"regexp_replace('foobarbaz', 'b(..)', 'X\1Y', 'g')"#, "fooXarYXazY"),
    ("regexp_match('foobarbequebaz', '(bar)(beque)')", "{bar,beque}"),
    (r#"regexp_split_to_array('the quick  fox', '\s+')"#, "{the,quick,fox}"),
    ("regexp_count('ababab', 'ab')", "3"),
    ("regexp_like('Hello', 'hel', 'i')", "t"),
    ("regexp_substr('foobar', 'o.')", "oo"),
    ("substring('foobar' from 'o(.)b')", "o"),
    ("substring('foobar' from 2 for 3)", "oob"),
    (r#"'{"a": {"b": [1, "x"]}}'::jsonb -> 'a' -> 'b'"#, r#"[1, "x"]"#),
    (r#"'{"a": {"b": [1, "x"]}}'::jsonb -> 'a' -> 'b' ->> 1"#, "x"),
    (r#"'{"a": {"b": [1, "x"]}}'::jsonb #>> '{a,b,1}'"#, "x"),
    (r#"'{"a": {"b": [1, "x"]}}'::jsonb #> '{a,b}'"#, r#"[1, "x"]"#),
    ("'[1, 2, 3]'::jsonb -> -1", "3"),
    (r#"'{"a": 1, "b": 2}'::jsonb @> '{"b": 2}'"#, "t"),
    ("'[1, 2]'::jsonb <@ '[3, 2, 1]'", "t"),
    (r#"'{"a": 1}'::jsonb ? 'a'"#, "t"),
    (r#"'{"a": 1}'::jsonb ?| array['x', 'a']"#, "t"),
    (r#"'{"a": 1}'::jsonb ?& array['x', 'a']"#, "f"),
    (r#"('{"a": 12.50}'::jsonb ->> 'a')::numeric"#, "12.50"),
    (r#"('{"a": 12}'::jsonb -> 'a')::int"#, "12"),
    (r#"'{"a": 1}'::jsonb || '{"b": 2}'"#, r#"{"a": 1, "b": 2}"#),
    (r#"'{"a": 1, "b": 2}'::jsonb - 'a'"#, r#"{"b": 2}"#),
    ("jsonb_typeof('[1]'::jsonb)", "array"),
    ("jsonb_array_length('[1, 2, 3]'::jsonb)", "3"),
    ("jsonb_build_object('a', 1, 'b', null, 'c', true)", r#"{"a": 1, "b": null, "c": true}"#),
    ("jsonb_build_array(1, 'x', null)", r#"[1, "x", null]"#),
    (r#"to_jsonb('a"b'::text)"#, r#""a\"b""#),
    ("to_jsonb(timestamp '2024-01-01 10:00')", r#""2024-01-01T10:00:00""#),
    (r#"'{"b": 1, "a": 1e2}'::jsonb"#, r#"{"a": 100, "b": 1}"#),
    ("array[1, 2, null]", "{1,2,NULL}"),
    ("array['a b', 'c', '']", r#"{"a b",c,""}"#),
    ("(array[10, 20, 30])[2]", "20"),
    ("cardinality(array[1, 2])", "2"),
    ("array_length(array[1, 2, 3], 1)", "3"),
    ("array_to_string(array['a', null, 'b'], '-', '?')", "a-?-b"),
    ("string_to_array('a,b,c', ',')", "{a,b,c}"),
    ("2 = any (array[1, 2])", "t"),
    ("'b' = any ('{a,b}'::text[])", "t"),
    ("initcap('hello wORLD')", "Hello World"),
    ("split_part('a,b,c', ',', -1)", "c"),
    ("translate('12345', '143', 'ax')", "a2x5"),
    ("repeat('ab', 3)", "ababab"),
    ("ascii('A')", "65"),
    ("chr(65)", "A"),
    ("quote_ident('a b')", r#""a b""#),
    ("quote_literal('it''s')", "'it''s'"),
    ("md5('abc')", "900150983cd24fb0d6963f7d28e17f72"),
    ("concat_ws(', ', 'a', null, 'b', 3)", "a, b, 3"),
    ("concat('a', 1, true, null)", "a1t"),
    ("format('%s is %L and %I', 'x', 'it''s', 'a b')", r#"x is 'it''s' and "a b""#),
    ("overlay('Txxxxas' placing 'hom' from 2 for 4)", "Thomas"),
    ("to_hex(-1)", "ffffffff"),
    ("to_hex(255)", "ff"),
    (r#"encode('\x0102ff'::bytea, 'hex')"#, "0102ff"),
    ("encode('foobar'::bytea, 'base64')", "Zm9vYmFy"),
    ("decode('Zm9v', 'base64')", r#"\x666f6f"#),
    ("position('b' in 'abc')", "2"),
    ("round(2.5::float8)", "2"),
    ("round(-0.5::float8)", "-0"),
    ("round(2.5)", "3"),
    ("round(2.345, 2)", "2.35"),
    ("trunc(2.789, 1)", "2.7"),
    ("trunc(-1234.5, -2)", "-1200"),
    ("ceil(-1.5)", "-1"),
    ("floor(-1.5)", "-2"),
    ("2.5::float8::int", "2"),
    ("2.5::numeric::int", "3"),
    ("(-3) % 2", "-1"),
    ("mod(7, -3)", "1"),
    ("div(7.5, 2)", "3"),
    ("1 / 3.0", "0.33333333333333333333"),
    ("10 / 4.0", "2.5000000000000000"),
    ("2 ^ 10", "1024"),
    ("ln(10::float8)", "2.302585092994046"),
    ("log(100::float8)", "2"),
    ("exp(1::float8)", "2.718281828459045"),
    ("power(2::float8, 0.5)", "1.4142135623730951"),
    ("sqrt(2::float8)", "1.4142135623730951"),
    ("cbrt(27::float8)", "3.0000000000000004"),
    ("degrees(pi())", "180"),
    ("sign(-2.5)", "-1"),
    ("gcd(12, 18)", "6"),
    ("lcm(4, 6)", "12"),
    ("width_bucket(5.35::float8, 0.024, 10.06, 5)", "3"),
    ("91 & 15", "11"),
    ("32 | 3", "35"),
    ("17 # 5", "20"),
    ("~1", "-2"),
    ("1 << 4", "16"),
    ("16 >> 2", "4"),
    ("greatest(1, null, 3)", "3"),
    ("least('b', 'a')", "a"),
    ("true::text", "true"),
    ("1 = 1 and null", "NULL"),
    ("'abc' like 'a_c'", "t"),
    ("'ABC' ilike 'a%'", "t"),
];

const QUERIES: &[(&str, &str)] = &[
    (
        "SELECT a, stddev(n), variance(n), stddev_pop(d), var_pop(d) FROM t GROUP BY a",
        "10|6.0811183182043087|36.9800000000000000|1|1;20|3.7123106012293745|13.7812500000000000|0.5|0.25;NULL|NULL|NULL|NULL|NULL",
    ),
    (
        "SELECT count(*), stddev(k), var_samp(k), avg(k), avg(n), sum(n) FROM t",
        "5|1.5811388300841897|2.5000000000000000|3.0000000000000000|2.7125000000000000|10.85",
    ),
    (
        "SELECT array_agg(k ORDER BY k DESC), array_agg(b ORDER BY k), array_agg(DISTINCT a ORDER BY a) FROM t",
        "{5,4,3,2,1}|{one,two,three,NULL,five}|{10,20,NULL}",
    ),
    (
        "SELECT a, array_agg(n ORDER BY k) FILTER (WHERE k > 1) FROM t GROUP BY a",
        "10|{10.10};20|{2.25,-3.00};NULL|{NULL}",
    ),
    (
        "SELECT jsonb_agg(a ORDER BY k), jsonb_object_agg(k, b) FROM t",
        r#"[10, 20, null, 20, 10]|{"1": "one", "2": "two", "3": "three", "4": null, "5": "five"}"#,
    ),
    (
        "SELECT string_agg(DISTINCT b, ',' ORDER BY b), sum(DISTINCT a), avg(DISTINCT a), count(DISTINCT a) FROM t",
        "five,one,three,two|30|15.0000000000000000|2",
    ),
    (
        "SELECT sum(i), avg(i), min(i), max(i), count(DISTINCT i) FROM t",
        "1 mon 1 day 25:30:00|7 days 24:22:30|01:30:00|1 mon|3",
    ),
    ("SELECT bool_and(a > 5), bool_or(a > 15), every(k > 0) FROM t", "t|t|t"),
    ("SELECT count(*) FILTER (WHERE a = 10), sum(k) FILTER (WHERE b LIKE 't%') FROM t", "2|5"),
    ("SELECT j ->> 'tag', count(*) FROM t GROUP BY j ->> 'tag'", "NULL|2;a|2;b|1"),
    (r#"SELECT k FROM t WHERE j @> '{"tag": "a"}'"#, "1;4"),
    ("SELECT k, (j -> 'n')::int + 1 FROM t WHERE j ? 'n'", "1|2;2|3"),
    (
        "SELECT k, ts + i, ts - interval '1 hour', ts - timestamp '2024-01-01' FROM t",
        "1|2024-01-02 10:00:00|2024-01-01 09:00:00|10:00:00;2|2024-01-03 11:00:00|2024-01-02 10:00:00|1 day 11:00:00;3|NULL|NULL|NULL;4|2024-03-01 00:00:00|2024-01-31 23:00:00|31 days;5|2024-01-02 01:29:00|2024-01-01 22:59:00|23:59:00",
    ),
    ("SELECT k FROM t WHERE i = interval '1 day'", "1;2"),
    ("SELECT k FROM t WHERE i > interval '2 hours' AND b ~ 'o$'", "2"),
    (
        "SELECT k, extract(epoch from ts - timestamp '2024-01-01') FROM t",
        "1|36000.000000;2|126000.000000;3|NULL;4|2678400.000000;5|86340.000000",
    ),
    (
        "SELECT k, (SELECT count(*) FROM u WHERE u.t = t.k), (SELECT max(x) FROM u WHERE u.t = t.k) FROM t",
        "1|2|15;2|1|25;3|0|NULL;4|1|20;5|0|NULL",
    ),
    (
        "SELECT k, (SELECT sum(x) FROM u), (SELECT b FROM t t2 WHERE t2.k = t.a / 10) FROM t",
        "1|100|one;2|100|two;3|100|NULL;4|100|two;5|100|one",
    ),
    ("SELECT id, (SELECT b FROM t WHERE k = u.t) AS name FROM u", "1|one;2|one;3|two;4|NULL;5|NULL;6|NULL"),
    ("SELECT k FROM t WHERE a > (SELECT avg(a) FROM t)", "2;4"),
    ("SELECT k FROM t WHERE a = (SELECT max(a) FROM t t2 WHERE t2.b = t.b)", "1;2;5"),
    ("SELECT k FROM t WHERE a = 10 OR k IN (SELECT t FROM u)", "1;2;4;5"),
    ("SELECT k FROM t WHERE b IS NULL OR EXISTS (SELECT 1 FROM u WHERE u.t = t.k AND x > 10)", "1;2;4"),
    ("SELECT k FROM t WHERE NOT (a = 20 AND EXISTS (SELECT 1 FROM u WHERE u.t = t.k))", "1;3;5"),
    (
        "SELECT k, k IN (SELECT t FROM u), EXISTS (SELECT 1 FROM u WHERE u.t = t.k) FROM t",
        "1|t|t;2|t|t;3|NULL|f;4|t|t;5|NULL|f",
    ),
    (
        "SELECT k, a IN (SELECT x FROM u), a NOT IN (SELECT x FROM u WHERE x IS NOT NULL) FROM t",
        "1|NULL|t;2|t|f;3|NULL|NULL;4|t|f;5|NULL|t",
    ),
    ("SELECT k FROM t WHERE k NOT IN (SELECT t FROM u)", ""),
    ("SELECT k FROM t WHERE k NOT IN (SELECT t FROM u WHERE t IS NOT NULL)", "3;5"),
    ("SELECT k FROM t WHERE a NOT IN (SELECT x FROM u WHERE x > 100)", "1;2;3;4;5"),
    ("SELECT k FROM t WHERE a NOT IN (SELECT x FROM u WHERE x IS NOT NULL)", "1;5"),
    ("SELECT id FROM u WHERE x NOT IN (SELECT a FROM t WHERE a IS NOT NULL)", "1;2;3;4"),
    ("SELECT t.k, u.id FROM t LEFT JOIN u ON u.t = t.k AND u.x > t.a", "1|2;2|3;3|NULL;4|NULL;5|NULL"),
    (
        "SELECT t.k, u.id FROM t RIGHT JOIN u ON u.t = t.k AND u.x > t.a",
        "1|2;2|3;NULL|1;NULL|4;NULL|5;NULL|6",
    ),
    (
        "SELECT t.k, u.id FROM t FULL JOIN u ON u.t = t.k AND u.x > t.a",
        "1|2;2|3;3|NULL;4|NULL;5|NULL;NULL|1;NULL|4;NULL|5;NULL|6",
    ),
    ("SELECT t.k, u.id FROM t LEFT JOIN u ON u.x > t.a * 2", "1|3;1|4;2|NULL;3|NULL;4|NULL;5|3;5|4"),
    (
        "SELECT x.a, y.x FROM (SELECT a FROM t) x LEFT JOIN (SELECT x FROM u) y ON y.x < x.a",
        "10|5;10|5;20|15;20|15;20|5;20|5;NULL|NULL",
    ),
    (
        "SELECT k, x FROM t FULL JOIN (SELECT t AS k, x FROM u) u USING (k)",
        "1|15;1|5;2|25;3|NULL;4|20;5|NULL;9|NULL;NULL|35",
    ),
    ("SELECT t.k, u.id FROM t CROSS JOIN u WHERE t.k + u.id = 7", "1|6;2|5;3|4;4|3;5|2"),
    ("SELECT sum(k) FROM t HAVING count(*) > 3", "15"),
    ("SELECT sum(k) FROM t HAVING count(*) > 30", ""),
    ("SELECT DISTINCT ON (a) a, k FROM t ORDER BY a, k DESC", "10|5;20|4;NULL|3"),
    ("SELECT a FROM t EXCEPT SELECT x FROM u", "10"),
    ("SELECT a FROM t INTERSECT SELECT x FROM u", "20;NULL"),
    ("SELECT b FROM t WHERE k = ANY (ARRAY[1, 3])", "one;three"),
    ("SELECT k, coalesce(array_length(regexp_split_to_array(b, 'e'), 1), 0) FROM t", "1|2;2|1;3|3;4|0;5|2"),
    (
        "SELECT b, initcap(b), md5(b), split_part(b, 'e', 1) FROM t ORDER BY length(b), b LIMIT 3",
        "five|Five|30056e1cab7a61d256fc8edd970d14f5|fiv;one|One|f97c5d29941bfb1b2fdab0874906ab82|on;two|Two|b8a9f715dbb64fd5c56e7783c6820a61|two",
    ),
    ("SELECT to_char(ts, 'YYYY-MM'), count(*) FROM t GROUP BY 1", "2024-01|3;2024-02|1;NULL|1"),
    (
        "SELECT date_trunc('month', ts), sum(n) FROM t GROUP BY 1 HAVING sum(n) > 0",
        "2024-01-01 00:00:00|13.85",
    ),
];
