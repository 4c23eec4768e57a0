//! Which queries are lookups of ranges, what EXPLAIN says of them, and what their parameters are.

use crate::database::{Database, joined};
use operators::expr::Literal;
use sql::{Bound, Context, SqlType, bind, parse};

fn messages() -> Database {
    let mut db = Database::new();
    db.run(
        "CREATE TABLE messages (id bigint PRIMARY KEY, sender int, sent timestamptz, body text, size numeric(8,2));
         CREATE INDEX by_sender ON messages (sender, sent DESC NULLS LAST);
         CREATE INDEX by_size ON messages USING btree (size);
         CREATE INDEX hashed ON messages USING hash (body);
         CREATE MATERIALIZED VIEW inbox WITH (key = 'sender, id', ordered = true) AS
             SELECT sender, id, body FROM messages WHERE size > 0;
         CREATE MATERIALIZED VIEW sizes AS SELECT sender, sum(size) AS total FROM messages GROUP BY sender;
         CREATE INDEX \"by Total\" ON sizes (total)",
    )
    .expect("supported");
    db
}

fn lines(db: &mut Database, sql: &str) -> Vec<String> {
    let table = db.run(&format!("EXPLAIN {sql}")).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    table.into_iter().map(|mut row| row.remove(0).expect("a line")).collect()
}

fn first_line(db: &mut Database, sql: &str) -> String {
    lines(db, sql).remove(0)
}

#[test]
fn explain_tells_ranges_by_their_index() {
    let mut db = messages();
    let of_sender = "lookup: reads messages by a range of (sent) where (sender) is given, which the index by_sender has in \
                     order, on the shards that own these keys";
    let of_size =
        "lookup: reads messages by a range of (size), which the index by_size has in order, on every shard";
    for (sql, expected) in [
        ("SELECT * FROM messages WHERE sender = $1 AND sent < $2 ORDER BY sent DESC LIMIT 20", of_sender),
        ("SELECT * FROM messages WHERE $2 >= sent AND sender IN (1, 2) AND body <> 'a'", of_sender),
        ("SELECT id FROM messages WHERE sender = 1 AND sent BETWEEN now() AND $1", of_sender),
        ("SELECT id FROM messages WHERE size > 1 ORDER BY id", of_size),
        (
            "SELECT id FROM messages WHERE body = 'a' AND size > 1",
            "lookup: reads messages by the key (body), on the shards that own the keys",
        ),
        (
            "SELECT id FROM messages WHERE id = 1 AND size > 1",
            "lookup: reads messages by the key (id), on the shards that own the keys",
        ),
        (
            "SELECT id FROM messages WHERE sender = 1 AND sent = $1",
            "lookup: reads messages by the key (sender, sent), on the shards that own the keys",
        ),
        (
            "SELECT id FROM messages WHERE sender = 1",
            "lookup: reads messages by (sender), in the order of (sent), which the index by_sender has, on the shards that own \
             these keys",
        ),
        (
            "SELECT id FROM messages ORDER BY size DESC, id LIMIT 3",
            "lookup: reads messages by the order of (size), which the index by_size has, on every shard",
        ),
        (
            "SELECT id FROM inbox WHERE sender = 3 AND id > 7",
            "lookup: reads inbox by a range of (id) where (sender) is given, which its own key has in order, on the shards \
             that own these keys",
        ),
        (
            "SELECT sender FROM sizes WHERE total BETWEEN 1 AND 2",
            "lookup: reads sizes by a range of (total), which the index by Total has in order, on every shard",
        ),
    ] {
        assert_eq!(first_line(&mut db, sql), expected, "{sql}");
    }
    for sql in [
        "SELECT id FROM messages WHERE sender > 1",
        "SELECT id FROM messages WHERE sent > now()",
        "SELECT id FROM messages WHERE body > 'a'",
        "SELECT id FROM messages WHERE sender = 1 OR sent > now()",
        "SELECT id FROM messages WHERE id > 3",
        "SELECT id FROM messages ORDER BY size",
        "SELECT id FROM messages ORDER BY id, size LIMIT 3",
        "SELECT id FROM messages ORDER BY size NULLS FIRST LIMIT 3",
        "SELECT id FROM messages LIMIT 3",
        "SELECT count(*) FROM messages WHERE sender = 1 AND sent > now()",
    ] {
        assert!(first_line(&mut db, sql).starts_with("scan: "), "{sql}: {}", first_line(&mut db, sql));
    }
}

#[test]
fn scans_read_ranges_or_say_which_index_they_lack() {
    let mut db = messages();
    let counted = lines(&mut db, "SELECT count(*) FROM messages WHERE sender = 1 AND sent > now()");
    assert_eq!(
        counted[1],
        "  reads messages by a range of (sent) where (sender) is given, which the index by_sender has in order, on the shards \
         that own these keys; rows that WHERE rules out are dropped at once"
    );
    let deleted = lines(&mut db, "DELETE FROM messages WHERE size < 3");
    assert!(deleted[1].starts_with("  reads messages by a range of (size), which"), "{deleted:?}");
    for (sql, hint) in [
        (
            "SELECT id FROM messages WHERE id > 3",
            "  hint: CREATE INDEX ON messages (id) would make a lookup of the range",
        ),
        ("SELECT id FROM messages WHERE id + 1 > 3", "  hint: none"),
        (
            "UPDATE inbox_copy SET n = 1 WHERE \"the Sender\" = 2 AND n BETWEEN 3 AND 4",
            "  hint: CREATE INDEX ON inbox_copy (\"the Sender\", n) would make a lookup of the range",
        ),
    ] {
        if sql.contains("inbox_copy") {
            db.run("CREATE TABLE inbox_copy (k int PRIMARY KEY, \"the Sender\" int, n int)")
                .expect("supported");
        }
        let found = lines(&mut db, sql).into_iter().find(|line| line.starts_with("  hint"));
        assert_eq!(found.as_deref().unwrap_or("  hint: none"), hint, "{sql}");
    }
}

#[test]
fn parameters_of_ranges_have_the_types_of_their_columns() {
    let db = messages();
    let sql = "SELECT id FROM messages WHERE sender = $1 AND sent >= $2 AND sent < $3 ORDER BY sent LIMIT $4 OFFSET $5";
    let prepared = bind(&db.catalog, &parse(sql).expect("sound")[0], &[]).expect("supported");
    let types =
        [SqlType::Integer, SqlType::TimestampTz, SqlType::TimestampTz, SqlType::BigInt, SqlType::BigInt];
    assert_eq!(prepared.parameters, types);
    let Bound::Lookup(lookup) = &prepared.bound else { panic!("{prepared:?}") };
    assert!(lookup.is_range());
    let with = |values: [Literal; 5]| {
        let context = Context { parameters: &values, now: 0 };
        lookup.range(&context).map(|range| range.expect("it is one"))
    };
    let (time, number) = (Literal::Timestamp, Literal::Int);
    let range = with([number(1), time(5), time(9), number(3), number(4)]).expect("sound");
    assert_eq!((range.prefixes.count, range.limit, range.descending), (1, 7, false));
    assert_eq!((range.lower.value.count, range.lower.included), (1, true));
    assert_eq!((range.upper.value.count, range.upper.included), (1, false));
    for nothing in [
        [Literal::Null, time(5), time(9), number(3), number(4)],
        [number(1), Literal::Null, time(9), number(3), number(4)],
        [number(1), time(5), Literal::Null, number(3), number(4)],
    ] {
        assert_eq!(with(nothing).expect("sound").prefixes.count, 0, "nothing is above or below NULL");
    }
    assert_eq!(
        with([number(1), time(5), time(9), Literal::Null, Literal::Null]).expect("sound").limit,
        u32::MAX
    );
    let refused = with([number(1), time(5), time(9), number(-1), number(0)]).expect_err("it is below 0");
    assert_eq!(refused.sqlstate, "2201W");
}

#[test]
fn what_is_no_index() {
    let mut db = messages();
    for (sql, sqlstate) in [
        ("CREATE INDEX ON messages USING gin (body)", "0A000"),
        ("CREATE MATERIALIZED VIEW v WITH (ordered = maybe) AS SELECT id FROM messages", "0A000"),
        ("CREATE MATERIALIZED VIEW v WITH (sorted = true) AS SELECT id FROM messages", "0A000"),
        ("CREATE MATERIALIZED VIEW v WITH (ordered = true) AS SELECT count(*) FROM messages", "42P16"),
    ] {
        assert_eq!(db.error(sql).sqlstate, sqlstate, "{sql}");
    }
    db.run("CREATE MATERIALIZED VIEW w WITH (ordered) AS SELECT id FROM messages")
        .expect_err("it is no value");
    db.run("CREATE MATERIALIZED VIEW w WITH (ordered = off) AS SELECT id FROM messages").expect("hashed");
    assert!(first_line(&mut db, "SELECT id FROM w WHERE id > 1").starts_with("scan: "));
}

#[test]
fn indexes_keep_their_order_when_the_table_gets_columns() {
    let mut db = messages();
    db.run("INSERT INTO messages VALUES (1, 1, '2024-01-01', 'a', 1), (2, 1, '2024-01-02', 'b', 2), (3, 2, NULL, 'c', 3)")
        .expect("new");
    db.run("ALTER TABLE messages ADD COLUMN note text DEFAULT 'none'").expect("supported");
    let sql =
        "SELECT id, note FROM messages WHERE sender = 1 AND sent < '2024-01-03' ORDER BY sent DESC LIMIT 1";
    assert!(first_line(&mut db, sql).starts_with("lookup: reads messages by a range of (sent)"));
    assert_eq!(joined(&db.run(sql).expect("supported")), "2|none");
    let indexes =
        db.run("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'messages' ORDER BY indexname");
    let indexes = joined(&indexes.expect("supported"));
    assert!(
        indexes.contains("by_sender|CREATE INDEX by_sender ON public.messages USING btree (sender, sent)"),
        "{indexes}"
    );
    assert!(indexes.contains("hashed|CREATE INDEX hashed ON public.messages USING hash (body)"), "{indexes}");
    let access = "SELECT c.relname, a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.relkind = 'i' \
                  ORDER BY c.relname";
    let access = joined(&db.run(access).expect("supported"));
    assert!(access.contains("by_size|btree") && access.contains("hashed|hash"), "{access}");
    assert!(access.contains("inbox_key|btree") && access.contains("messages_pkey|hash"), "{access}");
}

/// It has a row also while there is nothing to count, which no index has.
#[test]
fn a_view_of_one_row_is_read_as_a_whole() {
    let mut db = messages();
    db.run("CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM messages; CREATE INDEX ON total (n)")
        .expect("supported");
    for (sql, expected) in [
        ("SELECT n FROM total WHERE n < 5", "0"),
        ("SELECT n FROM total WHERE n = 0", "0"),
        ("SELECT n FROM total WHERE n > 5", ""),
        ("SELECT n FROM total ORDER BY n LIMIT 1", "0"),
    ] {
        assert_eq!(joined(&db.run(sql).expect("supported")), expected, "{sql}");
    }
}
