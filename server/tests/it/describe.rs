//! What psql asks when it describes a table (`\d+ name`), as text, since not every machine that runs tests has psql.

use crate::server::{rows, with_server};

/// The statements of `\d+`, in order, with the number of the table as `OID`, and the rows that each gives. They are those
/// of PostgreSQL 15, but for an index's being a hash, where it has a btree.
const QUERIES: &[(&str, &[&str])] = &[
    (
        "SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, c.relrowsecurity,
         c.relforcerowsecurity, false AS relhasoids, c.relispartition,
         pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from
         pg_catalog.unnest(tc.reloptions) x), ', '), c.reltablespace,
         CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END,
         c.relpersistence, c.relreplident, am.amname
         FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
         LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
         WHERE c.oid = 'OID';",
        &["0,r,t,f,f,f,f,f,f,,0,,p,d,heap"],
    ),
    (
        "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
         (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d
          WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
         a.attnotnull,
         (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
          WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation)
          AS attcollation,
         a.attidentity, a.attgenerated, pg_catalog.col_description(a.attrelid, a.attnum)
         FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = 'OID' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;",
        &[
            "story,bigint,NULL,t,NULL,,,NULL",
            "who,text,NULL,t,NULL,,,NULL",
            "weight,numeric(5,2),1.00,f,NULL,,,NULL",
        ],
    ),
    (
        "SELECT c2.relname, i.indisprimary, i.indisunique, i.indisclustered, i.indisvalid,
         pg_catalog.pg_get_indexdef(i.indexrelid, 0, true), pg_catalog.pg_get_constraintdef(con.oid, true),
         contype, condeferrable, condeferred, i.indisreplident, c2.reltablespace
         FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i
         LEFT JOIN pg_catalog.pg_constraint con
         ON (conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x'))
         WHERE c.oid = 'OID' AND c.oid = i.indrelid AND i.indexrelid = c2.oid
         ORDER BY i.indisprimary DESC, c2.relname;",
        &["votes_pkey,t,t,f,t,CREATE UNIQUE INDEX votes_pkey ON votes USING hash (story, who),\
           PRIMARY KEY (story, who),p,f,f,f,0"],
    ),
    (
        "SELECT pol.polname, pol.polpermissive, CASE WHEN pol.polroles = '{0}' THEN NULL ELSE
         pg_catalog.array_to_string(array(select rolname from pg_catalog.pg_roles
         where oid = any (pol.polroles) order by 1),',') END,
         pg_catalog.pg_get_expr(pol.polqual, pol.polrelid), pg_catalog.pg_get_expr(pol.polwithcheck, pol.polrelid),
         CASE pol.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' END AS cmd
         FROM pg_catalog.pg_policy pol WHERE pol.polrelid = 'OID' ORDER BY 1;",
        &[],
    ),
    (
        "SELECT pubname, NULL, NULL FROM pg_catalog.pg_publication p
         JOIN pg_catalog.pg_publication_namespace pn ON p.oid = pn.pnpubid
         JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.pnnspid
         WHERE pc.oid = 'OID' and pg_catalog.pg_relation_is_publishable('OID')
         UNION
         SELECT pubname, pg_get_expr(pr.prqual, c.oid), (CASE WHEN pr.prattrs IS NOT NULL THEN
         (SELECT string_agg(attname, ', ') FROM pg_catalog.generate_series(0,
          pg_catalog.array_upper(pr.prattrs::pg_catalog.int2[], 1)) s, pg_catalog.pg_attribute
          WHERE attrelid = pr.prrelid AND attnum = prattrs[s]) ELSE NULL END)
         FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel pr ON p.oid = pr.prpubid
         JOIN pg_catalog.pg_class c ON c.oid = pr.prrelid WHERE pr.prrelid = 'OID' ORDER BY 1;",
        &[],
    ),
    (
        "SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i
         WHERE c.oid = i.inhparent AND i.inhrelid = 'OID' AND c.relkind != 'p' AND c.relkind != 'I'
         ORDER BY inhseqno;",
        &[],
    ),
];

#[test]
fn what_psql_asks_of_a_table() {
    with_server(|server| async move {
        let client = server.connect().await;
        let table = "CREATE TABLE votes (story bigint, who text, weight numeric(5,2) DEFAULT 1.00,
                                         PRIMARY KEY (story, who))";
        client.batch_execute(table).await.expect("a table");
        let found = rows(
            &client,
            "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname OPERATOR(pg_catalog.~) '^(votes)$' COLLATE pg_catalog.default
             AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3;",
        )
        .await;
        let oid = found[0].strip_suffix(",public,votes").expect("it is the table");
        for (query, wanted) in QUERIES {
            assert_eq!(rows(&client, &query.replace("OID", oid)).await, *wanted, "{query}");
        }
    });
}

#[test]
fn cursors_are_fetched_piece_by_piece() {
    with_server(|server| async move {
        let client = server.connect().await;
        let numbers = "DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 5) AS n ORDER BY n";
        let outside = client.batch_execute(numbers).await.expect_err("there is no transaction");
        assert_eq!(outside.code().map(|code| code.code()), Some("25P01"));
        client.batch_execute("BEGIN").await.expect("a transaction");
        client.batch_execute(numbers).await.expect("a cursor");
        assert_eq!(rows(&client, "FETCH 2 FROM c").await, ["1", "2"]);
        client.batch_execute("MOVE FORWARD 1 IN c").await.expect("one is passed over");
        assert_eq!(rows(&client, "FETCH c").await, ["4"]);
        assert_eq!(rows(&client, "FETCH ALL FROM c").await, ["5"]);
        client
            .batch_execute("DECLARE held CURSOR WITH HOLD FOR VALUES (2, 'b'), (1, 'a'); COMMIT")
            .await
            .expect("a cursor");
        let gone = client.batch_execute("FETCH c").await.expect_err("its transaction has ended");
        assert_eq!(gone.code().map(|code| code.code()), Some("34000"));
        assert_eq!(rows(&client, "SELECT name FROM pg_cursors").await, ["held"]);
        assert_eq!(rows(&client, "FETCH ALL FROM held").await, ["2,b", "1,a"]);
        client.batch_execute("CLOSE held").await.expect("it is there");
        let unnested = "SELECT * FROM unnest(ARRAY[3, 1], ARRAY['x', 'y', 'z']) WITH ORDINALITY";
        assert_eq!(rows(&client, unnested).await, ["3,x,1", "1,y,2", "NULL,z,3"]);
    });
}
