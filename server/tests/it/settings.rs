//! What a session sets and keeps: SET LOCAL, set_config, DISCARD, prepared statements and cursors, and their limits.

use tokio_postgres::Client;

use crate::server::{rows, with_server};

async fn fails(client: &Client, sql: &str, sqlstate: &str, message: &str) {
    let error = client.simple_query(sql).await.expect_err(sql);
    let error = error.as_db_error().expect("the server says why");
    assert_eq!((error.code().code(), error.message()), (sqlstate, message), "{sql}");
}

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

#[test]
fn transactions_take_back_what_they_set() {
    with_server(|server| async move {
        let client = server.connect().await;
        let name = async || rows(&client, "SHOW application_name").await.concat();
        run(&client, "SET application_name = 'first'; BEGIN; SET LOCAL application_name = 'local'").await;
        assert_eq!(name().await, "local");
        run(&client, "COMMIT").await;
        assert_eq!(name().await, "first");
        run(&client, "BEGIN; SET application_name = 'second'; SET LOCAL application_name = 'local'; COMMIT")
            .await;
        assert_eq!(name().await, "second");
        run(&client, "BEGIN; SET application_name = 'third'; SAVEPOINT s; SET application_name = 'fourth'")
            .await;
        run(&client, "ROLLBACK TO s").await;
        assert_eq!(name().await, "third");
        run(&client, "ROLLBACK").await;
        assert_eq!(name().await, "second");
        // What is sent in one message is a transaction, too.
        client.batch_execute("SET application_name = 'fifth'; SELECT nonsense").await.expect_err("no column");
        assert_eq!(name().await, "second");
        run(&client, "SET LOCAL application_name = 'sixth'").await;
        assert_eq!(name().await, "second", "there is no transaction, as a warning says");
        run(&client, "BEGIN; SET application_name = 'seventh'; SELECT 1").await;
        client.batch_execute("SELECT nonsense").await.expect_err("no column");
        run(&client, "COMMIT").await;
        assert_eq!(name().await, "second", "COMMIT of what has failed undoes it");
        // A time that was for a transaction does not end statements after it.
        run(&client, "BEGIN; SET LOCAL statement_timeout = 1; ROLLBACK").await;
        assert_eq!(rows(&client, "SHOW statement_timeout").await, ["0"]);
    });
}

#[test]
fn settings_are_set_and_read_by_functions() {
    with_server(|server| async move {
        let client = server.connect().await;
        let set = "SELECT set_config('app.user', $1, $2), set_config('jit', 'on', false) AS jit";
        let set = client.prepare(set).await.expect("prepared");
        let row = client.query_one(&set, &[&"ann", &false]).await.expect("set");
        assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("ann", "on"));
        assert_eq!(row.columns()[0].name(), "set_config");
        let get = client.prepare("SELECT current_setting('app.user', true)").await.expect("prepared");
        let user = async || client.query_one(&get, &[]).await.expect("read").get::<_, Option<String>>(0);
        assert_eq!(user().await.as_deref(), Some("ann"));
        run(&client, "BEGIN; SELECT pg_catalog.set_config('app.user', 'bob', true)").await;
        assert_eq!(user().await.as_deref(), Some("bob"), "what is prepared sees it");
        run(&client, "COMMIT").await;
        assert_eq!(user().await.as_deref(), Some("ann"));
        assert_eq!(rows(&client, "SELECT set_config('app.user', 'eve', true)").await, ["eve"]);
        assert_eq!(user().await.as_deref(), Some("ann"), "a statement by itself is a transaction");
        run(&client, "BEGIN; SELECT set_config('app.user', 'zoe', false); ROLLBACK").await;
        assert_eq!(user().await.as_deref(), Some("ann"));
        run(&client, "RESET app.user").await;
        assert_eq!(user().await, None);
        let get = client.prepare("SELECT current_setting($1::varchar)").await.expect("prepared");
        for (name, value) in
            [("search_path", Some("\"$user\", public")), ("DATESTYLE", Some("ISO, MDY")), ("no.such", None)]
        {
            let row = client.query_one(&get, &[&name]).await.expect("read");
            assert_eq!(row.get::<_, Option<&str>>(0), value, "{name}");
        }
        fails(
            &client,
            "SELECT current_setting('no.such')",
            "42704",
            "unrecognized configuration parameter \"no.such\"",
        )
        .await;
        fails(
            &client,
            "SELECT set_config('nonsense', 'x', false)",
            "42704",
            "unrecognized configuration parameter \"nonsense\"",
        )
        .await;
        fails(&client, "SELECT set_config(NULL, 'x', false)", "22004", "SET requires parameter name").await;
        let inside = "set_config but in the list of a SELECT without FROM is not supported";
        fails(&client, "SELECT length(set_config('app.user', 'x', false))", "0A000", inside).await;
    });
}

#[test]
fn discard_and_deallocate_do_what_they_say() {
    with_server(|server| async move {
        let client = server.connect().await;
        run(&client, "SET my.own = 'x'; PREPARE p AS SELECT 1; PREPARE \"all\" AS SELECT 2").await;
        for what in ["PLANS", "SEQUENCES", "TEMP", "TEMPORARY"] {
            run(&client, &format!("DISCARD {what}")).await;
        }
        assert_eq!(rows(&client, "SHOW my.own").await, ["x"]);
        run(&client, "DEALLOCATE \"all\"").await;
        fails(&client, "EXECUTE \"all\"", "26000", "prepared statement \"all\" does not exist").await;
        assert_eq!(rows(&client, "EXECUTE p").await, ["1"]);
        run(&client, "BEGIN").await;
        let inside = "DISCARD ALL cannot run inside a transaction block";
        fails(&client, "DISCARD ALL", "25001", inside).await;
        run(&client, "ROLLBACK").await;
        fails(&client, "SELECT 1; DISCARD ALL", "25001", inside).await;
        run(&client, "DISCARD ALL").await;
        fails(&client, "EXECUTE p", "26000", "prepared statement \"p\" does not exist").await;
        fails(&client, "SHOW my.own", "42704", "unrecognized configuration parameter \"my.own\"").await;
    });
}

#[test]
fn what_a_session_keeps_is_shown() {
    with_server(|server| async move {
        let client = server.connect().await;
        assert!(rows(&client, "SELECT * FROM pg_prepared_statements").await.is_empty());
        let prepare = "PREPARE \"it's\" (int) AS SELECT 'a''b', $1";
        run(&client, "CREATE TABLE t (id bigint PRIMARY KEY, x varchar(9))").await;
        run(&client, prepare).await;
        let kept = client.prepare("SELECT id FROM t WHERE id = $1 AND x = $2").await.expect("prepared");
        let all = "SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements ORDER BY from_sql DESC";
        let found = rows(&client, all).await;
        assert_eq!(found[0], format!("it's,{prepare},{{integer}},t"));
        assert!(
            found[1].ends_with(",SELECT id FROM t WHERE id = $1 AND x = $2,{bigint,text},f"),
            "{found:?}"
        );
        let recent = "SELECT count(*) FROM pg_prepared_statements AS p WHERE p.prepare_time > now() - interval '1 hour'";
        assert_eq!(rows(&client, recent).await, ["2"]);
        drop(kept);
        let cursors =
            client.prepare("SELECT name, statement, is_holdable FROM pg_cursors").await.expect("prepared");
        assert!(client.query(&cursors, &[]).await.expect("none").is_empty());
        let declare = "DECLARE \"c'\" CURSOR WITH HOLD FOR SELECT 'x''y'";
        run(&client, declare).await;
        let row = client.query_one(&cursors, &[]).await.expect("one");
        assert_eq!(
            (row.get::<_, &str>(0), row.get::<_, &str>(1), row.get::<_, bool>(2)),
            ("c'", declare, true)
        );
        let recent = "SELECT count(*) FROM pg_cursors WHERE creation_time <= now()";
        assert_eq!(rows(&client, recent).await, ["1"]);
    });
}

#[test]
fn what_a_session_keeps_is_limited() {
    with_server(|server| async move {
        let mut client = server.connect().await;
        let long = format!("SELECT '{}'", "x".repeat(900_000));
        for number in 0..9 {
            run(&client, &format!("PREPARE p{number} AS {long}")).await;
        }
        let full = "the prepared statements of the session are too large";
        fails(&client, &format!("PREPARE p AS {long}"), "53200", full).await;
        let error = client.prepare(&long).await.expect_err("there is no room");
        assert_eq!(error.as_db_error().map(|error| error.message()), Some(full));
        run(&client, "DEALLOCATE p3").await;
        run(&client, &format!("PREPARE p AS {long}")).await;
        run(&client, "DEALLOCATE ALL").await;
        // Portals keep their parameters.
        let echo = client.prepare("SELECT length($1::text)").await.expect("prepared");
        let transaction = client.transaction().await.expect("begun");
        let text = "y".repeat(15_000_000);
        let mut portals = Vec::new();
        let error = loop {
            match transaction.bind(&echo, &[&text]).await {
                Ok(portal) => portals.push(portal),
                Err(error) => break error,
            }
        };
        assert_eq!(portals.len(), (256 << 20) / 15_000_000);
        let error = error.as_db_error().expect("the server says so");
        assert_eq!(
            (error.code().code(), error.message()),
            ("53200", "the portals of the session are too large")
        );
    });
}

#[test]
fn a_parameter_that_is_to_name_a_relation_names_one() {
    with_server(|server| async move {
        let client = server.connect().await;
        run(&client, "CREATE TABLE t (id bigint PRIMARY KEY); CREATE TABLE \"Big\" (id bigint PRIMARY KEY)")
            .await;
        let by_name =
            client.prepare("SELECT relname FROM pg_class WHERE oid = $1::regclass").await.expect("prepared");
        for (name, found) in [("t", "t"), ("T", "t"), ("public.t", "t"), ("\"Big\"", "Big")] {
            let row = client.query_one(&by_name, &[&name]).await.expect(name);
            assert_eq!(row.get::<_, &str>(0), found);
        }
        let error = client.query(&by_name, &[&"nowhere"]).await.expect_err("there is none");
        let error = error.as_db_error().expect("the server says so");
        assert_eq!((error.code().code(), error.message()), ("42P01", "relation \"nowhere\" does not exist"));
        run(&client, "PREPARE p AS SELECT $1::regclass::oid").await;
        fails(&client, "EXECUTE p('nowhere')", "42P01", "relation \"nowhere\" does not exist").await;
        fails(&client, "SELECT 'nowhere'::text::regclass", "42P01", "relation \"nowhere\" does not exist")
            .await;
        assert_eq!(
            rows(&client, "SELECT to_regclass('nowhere') IS NULL, to_regclass('T') IS NULL").await,
            ["t,f"]
        );
    });
}
