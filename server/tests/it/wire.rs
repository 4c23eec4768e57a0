//! Clients over the Postgres protocol, against a real server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use operators::hash::{KeyColumns, hash_key, owner};
use operators::plan::column;
use operators::row::RowBuilder;
use operators::value::{Datum, Type};
use tokio_postgres::{Client, NoTls};

use crate::server::{Server, rows, signal, with_server};

/// No test waits longer for something to come true.
const PATIENCE: Duration = Duration::from_secs(120);

fn code(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("none", |code| code.code())
}

#[test]
fn statements_prepared_and_not() {
    with_server(|server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE votes (story bigint, who text, PRIMARY KEY (story, who));
                 CREATE MATERIALIZED VIEW counts AS SELECT story, count(*) AS votes FROM votes GROUP BY story;
                 INSERT INTO votes VALUES (1, 'ann'), (1, 'bob'), (2, 'ann')",
            )
            .await
            .expect("defined and written");
        assert_eq!(rows(&client, "SELECT votes FROM counts WHERE story = 1").await, ["2"]);
        let insert = client.prepare("INSERT INTO votes VALUES ($1, $2)").await.expect("prepared");
        assert_eq!(client.execute(&insert, &[&1i64, &"eve"]).await.expect("inserted"), 1);
        let error = client.execute(&insert, &[&1i64, &"eve"]).await.expect_err("it is there");
        assert_eq!(code(&error), "23505");
        assert_eq!(rows(&client, "SELECT votes FROM counts WHERE story = 1").await, ["3"]);
        let select =
            client.prepare("SELECT story, votes FROM counts WHERE story = $1").await.expect("prepared");
        let row = client.query_one(&select, &[&1i64]).await.expect("one row");
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 3));
        assert!(client.query(&select, &[&99i64]).await.expect("no rows").is_empty());
        // Many at once, answered in order.
        let keys: Vec<i64> = (0..200).map(|key| key % 3).collect();
        let asked: Vec<[&(dyn tokio_postgres::types::ToSql + Sync); 1]> =
            keys.iter().map(|key| [key as &(dyn tokio_postgres::types::ToSql + Sync)]).collect();
        let queries = asked.iter().map(|parameters| client.query(&select, parameters));
        let answers = futures(queries).await;
        for (key, answer) in keys.iter().zip(answers) {
            let found: Vec<i64> = answer.expect("answered").iter().map(|row| row.get(1)).collect();
            let expected: &[i64] = match key {
                1 => &[3],
                2 => &[1],
                _ => &[],
            };
            assert_eq!(found, expected, "story {key}");
        }
        // A row is replaced once by one statement.
        let upsert = "INSERT INTO votes VALUES ($1, 'zoe'), ($2, 'zoe') ON CONFLICT (story, who) DO NOTHING";
        assert_eq!(client.execute(upsert, &[&9i64, &9i64]).await.expect("the second is passed over"), 1);
        client.batch_execute("CREATE TABLE last (k bigint PRIMARY KEY, v text)").await.expect("defined");
        let upsert =
            "INSERT INTO last VALUES ($1, 'a'), ($2, 'b') ON CONFLICT (k) DO UPDATE SET v = excluded.v";
        let upsert = client.prepare(upsert).await.expect("prepared");
        assert_eq!(client.execute(&upsert, &[&1i64, &2i64]).await.expect("two keys"), 2);
        let error = client.execute(&upsert, &[&3i64, &3i64]).await.expect_err("the same key");
        assert_eq!(code(&error), "21000");
        assert_eq!(rows(&client, "SELECT k, v FROM last ORDER BY k").await, ["1,a", "2,b"]);
        // A dropped view makes the statement fail, and nothing else.
        client.batch_execute("DROP MATERIALIZED VIEW counts").await.expect("dropped");
        assert_eq!(code(&client.query(&select, &[&1i64]).await.expect_err("it is gone")), "42P01");
        assert_eq!(rows(&client, "SELECT who FROM votes WHERE story = 2 AND who = 'ann'").await, ["ann"]);
    });
}

/// Waits for all, polling all at once, so that they are sent together.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, result) in &mut all {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    all.into_iter().map(|(_, result)| result.expect("all are done")).collect()
}

#[test]
fn transactions_hold_writes() {
    with_server(|server| async move {
        let client = server.connect().await;
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, x text)").await.expect("defined");
        client
            .batch_execute("BEGIN; INSERT INTO t VALUES (1, 'a'); ROLLBACK; BEGIN; INSERT INTO t VALUES (2, 'b'); COMMIT")
            .await
            .expect("run");
        assert!(rows(&client, "SELECT x FROM t WHERE id = 1").await.is_empty());
        assert_eq!(rows(&client, "SELECT x FROM t WHERE id = 2").await, ["b"]);
        client.batch_execute("BEGIN").await.expect("begun");
        client.batch_execute("SELECT nonsense").await.expect_err("there is no such column");
        let error = client.batch_execute("SELECT 1").await.expect_err("it has failed");
        assert_eq!(code(&error), "25P02");
        client.batch_execute("ROLLBACK").await.expect("ended");
        client
            .batch_execute(
                "BEGIN; INSERT INTO t VALUES (3, 'c'); SAVEPOINT s; INSERT INTO t VALUES (4, 'd');
                 ROLLBACK TO SAVEPOINT s; COMMIT",
            )
            .await
            .expect("run");
        assert_eq!(rows(&client, "SELECT x FROM t WHERE id IN (3, 4)").await, ["c"]);
    });
}

#[test]
fn types_in_text_and_binary() {
    with_server(|server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE t (id bigint PRIMARY KEY, b boolean, s smallint, i integer, r real, d double precision,
                 n numeric(10,2), x text, v varchar(5), y bytea)",
            )
            .await
            .expect("defined");
        client
            .batch_execute(
                "INSERT INTO t VALUES (1, true, -2, 3, 0.5, -1.25, 12.5, 'h\u{e9}', 'abc', '\\x00ff'),
                 (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            )
            .await
            .expect("inserted");
        let text = rows(&client, "SELECT * FROM t WHERE id = 1").await;
        assert_eq!(text, ["1,t,-2,3,0.5,-1.25,12.50,h\u{e9},abc,\\x00ff"]);
        let row = client
            .query_one("SELECT b, s, i, r, d, x, v, y FROM t WHERE id = $1", &[&1i64])
            .await
            .expect("a row");
        assert!(row.get::<_, bool>(0));
        assert_eq!((row.get::<_, i16>(1), row.get::<_, i32>(2)), (-2, 3));
        assert_eq!((row.get::<_, f32>(3), row.get::<_, f64>(4)), (0.5, -1.25));
        assert_eq!((row.get::<_, &str>(5), row.get::<_, &str>(6)), ("h\u{e9}", "abc"));
        assert_eq!(row.get::<_, &[u8]>(7), [0, 255]);
        let row = client.query_one("SELECT b, x FROM t WHERE id = $1", &[&2i64]).await.expect("a row");
        assert_eq!((row.get::<_, Option<bool>>(0), row.get::<_, Option<&str>>(1)), (None, None));
    });
}

#[test]
fn copies_in_and_out() {
    with_server(|server| async move {
        let client = server.connect().await;
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, x text)").await.expect("defined");
        let psql = |sql: &str, input: &str| {
            let (host, port) = server.address.split_once(':').expect("host and port");
            let child = Command::new("psql")
                .args(["-h", host, "-p", port, "-U", "tester", "-d", "any", "-X", "-A", "-t", "-c", sql])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn();
            let Ok(mut child) = child else { return None };
            child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("taken");
            let output = child.wait_with_output().expect("psql ends");
            Some(String::from_utf8(output.stdout).expect("text"))
        };
        let mut input: String = (0..20_000).map(|id| format!("{id}\trow {id}\n")).collect();
        input.push_str("20000\t\\N\n");
        let Some(said) = psql("COPY t FROM STDIN", &input) else {
            // Without psql there is nobody to copy.
            return;
        };
        assert_eq!(said.trim(), "COPY 20001");
        assert_eq!(rows(&client, "SELECT x FROM t WHERE id = 19999").await, ["row 19999"]);
        let out = psql(
            "COPY (SELECT id, x FROM t WHERE id IN (7, 20000) ORDER BY id) TO STDOUT (FORMAT csv, HEADER)",
            "",
        );
        assert_eq!(out.as_deref(), Some("id,x\n7,row 7\n20000,\n"));
        let listed = psql("SELECT count(*) FROM t", "").expect("psql is there");
        assert_eq!(listed.trim(), "20001");
    });
}

/// The next message: its letter and its body.
fn message(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 5];
    stream.read_exact(&mut head).expect("a message");
    let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes")) as usize;
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body).expect("the rest of it");
    (head[0], body)
}

/// Bytes with their length before them, which counts itself.
fn measured(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32 + 4).to_be_bytes(), bytes].concat()
}

#[test]
fn binary_data_that_is_copied_out_has_a_message_for_each_row() {
    let server = Server::start(&[]);
    let mut stream = TcpStream::connect(&server.address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(&measured(b"\0\x03\0\0user\0me\0\0")).expect("sent");
    let until_ready = |stream: &mut TcpStream| {
        let messages = std::iter::from_fn(|| Some(message(stream)).filter(|(letter, _)| *letter != b'Z'));
        messages.filter(|(letter, _)| *letter == b'd').map(|(_, body)| body).collect::<Vec<_>>()
    };
    until_ready(&mut stream);
    let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let end = [0xff, 0xff];
    let row = |id: u8| [0, 1, 0, 0, 0, 4, 0, 0, 0, id];
    for (sql, expected) in [
        ("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)", vec![]),
        (
            "COPY (SELECT id FROM t ORDER BY id) TO STDOUT BINARY",
            vec![[&head[..], &row(1)].concat(), row(2).to_vec(), end.to_vec()],
        ),
        ("COPY (SELECT id FROM t WHERE id = 3) TO STDOUT BINARY", vec![[&head[..], &end].concat()]),
    ] {
        let query = measured(format!("{sql}\0").as_bytes());
        stream.write_all(&[b"Q", &query[..]].concat()).expect("sent");
        assert_eq!(until_ready(&mut stream), expected, "{sql}");
    }
}

#[test]
fn a_shard_that_dies_is_a_delay() {
    with_server(|mut server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE t (id int PRIMARY KEY, g int);
                 CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS n FROM t GROUP BY g",
            )
            .await
            .expect("defined");
        let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.expect("prepared");
        for id in 0..300i32 {
            if id == 100 {
                server.kill(&server.shards[0].clone());
            } else if id == 200 {
                server.kill(&server.shards[1].clone());
            }
            client.execute(&insert, &[&id, &(id % 3)]).await.expect("only a delay");
        }
        for group in 0..3 {
            assert_eq!(rows(&client, &format!("SELECT n FROM v WHERE g = {group}")).await, ["100"]);
        }
        // A front that dies loses its connections and nothing else.
        server.kill(&server.front.clone());
        server.running.read_until("a front has ended");
        assert!(client.simple_query("SELECT 1").await.is_err());
    });
}

/// Which of two shards has a key of one integer.
fn shard_of(id: i32) -> usize {
    let key = KeyColumns::new(&[column("id", Type::Int)], &[0]);
    let mut builder = RowBuilder::new();
    builder.start(1);
    builder.push(Datum::Int(i64::from(id)));
    usize::from(owner(hash_key(builder.finish(), &key), 2))
}

#[test]
fn a_shard_that_stands_still_delays_nobody_who_asks_another() {
    const SESSIONS: i32 = 40;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Nobody ends the shard that is stopped here.
    let server = Server::start(&["--stall-timeout", "3600000"]);
    runtime.block_on(async {
        let client = server.connect().await;
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, x int)").await.expect("defined");
        let mut sessions = Vec::new();
        for id in 0..SESSIONS {
            client.execute("INSERT INTO t VALUES ($1, $1)", &[&id]).await.expect("written");
            let session = server.connect().await;
            let lookup = session.prepare("SELECT x FROM t WHERE id = $1").await.expect("prepared");
            sessions.push((session, lookup));
        }
        signal("-STOP", &server.shards[0]);
        let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for (id, (session, lookup)) in (0..SESSIONS).zip(sessions) {
            let answered = answered.clone();
            tokio::task::spawn(async move {
                let row = session.query_one(&lookup, &[&id]).await.expect("its row");
                answered.send((id, row.get::<_, i32>(0))).expect("somebody waits");
            });
        }
        let awake = (0..SESSIONS).filter(|id| shard_of(*id) == 1).count();
        assert!(awake > 0 && awake < SESSIONS as usize);
        for number in 0..SESSIONS as usize {
            let (id, x) =
                tokio::time::timeout(PATIENCE, answers.recv()).await.expect("in time").expect("one more");
            assert_eq!(id, x);
            assert_eq!(shard_of(id) == 1, number < awake, "{id} came as number {number}");
            if number + 1 == awake {
                signal("-CONT", &server.shards[0]);
            }
        }
    });
}

#[test]
fn bytes_that_are_no_protocol_end_only_their_connection() {
    with_server(|server| async move {
        let client = server.connect().await;
        let address = server.address.clone();
        let poke = |bytes: &[u8]| {
            let mut stream = TcpStream::connect(&address).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            // It may close the connection before it has taken everything.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            answer
        };
        fastrand::seed(11);
        for length in [0, 1, 4, 8, 100, 10_000] {
            let bytes: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
            poke(&bytes);
        }
        poke(b"\xff\xff\xff\xff\0\x03\0\0");
        let start = b"\0\0\0\x10\0\x03\0\0user\0x\0\0";
        for tail in [
            b"Q\xff\xff\xff\xff".as_slice(),
            b"Q\0\0\0\x06\xff\0",
            b"B\0\0\0\x0a\0\0\xff\xff\xff\xff",
            b"E\0\0\0\x09\0\xff\xff\xff\xff",
            b"!\0\0\0\x04",
            b"d\0\0\0\x08abcd",
            b"p\0\0\0\x08abcd",
        ] {
            let answer = poke(&[start.as_slice(), tail].concat());
            assert_eq!(answer.first(), Some(&b'R'), "it was let in");
        }
        for _ in 0..200 {
            let mut bytes = start.to_vec();
            for _ in 0..fastrand::usize(1..20) {
                let body: Vec<u8> =
                    (0..fastrand::usize(..30)).map(|_| fastrand::u8(..) & fastrand::u8(..)).collect();
                bytes.push(b"QPBDECHSXdcfp"[fastrand::usize(..13)]);
                bytes.extend((body.len() as u32 + 4).to_be_bytes());
                bytes.extend(body);
            }
            poke(&bytes);
        }
        assert_eq!(rows(&client, "SELECT 1").await, ["1"], "others notice nothing");
    });
}

#[test]
fn a_statement_can_be_cancelled_and_settings_are_kept() {
    with_server(|server| async move {
        let client = server.connect().await;
        // Between statements a request to cancel does nothing.
        client.cancel_token().cancel_query(NoTls).await.expect("taken");
        assert_eq!(rows(&client, "SELECT 1").await, ["1"]);
        client.batch_execute("SET application_name = 'me'").await.expect("set");
        assert_eq!(rows(&client, "SHOW application_name").await, ["me"]);
        let error = client.batch_execute("SET nonsense = 1").await.expect_err("unknown");
        assert_eq!(code(&error), "42704");
        assert_eq!(rows(&client, "SHOW server_version").await.len(), 1);
    });
}

#[test]
fn shards_and_views_are_shown() {
    with_server(|server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE pets (id bigint PRIMARY KEY, kind text); \
                 CREATE MATERIALIZED VIEW kinds AS SELECT kind, count(*) AS n FROM pets GROUP BY kind; \
                 CREATE INDEX by_kind ON pets (kind)",
            )
            .await
            .expect("made");
        assert_eq!(
            rows(&client, "SHOW VIEWS").await,
            [
                "pets,table,id,whole,100,NULL",
                "by_kind,index,kind,whole,100,NULL",
                "kinds,materialized view,kind,whole,100,NULL",
            ]
        );
        server.kill(&server.shards[1].clone());
        // The second process of the shard, when it has caught up.
        let deadline = std::time::Instant::now() + PATIENCE;
        let shown = loop {
            let shown = client.query("SHOW SHARDS", &[]).await.expect("always answered");
            assert_eq!(shown.len(), 2);
            let kills: i64 = shown[1].get("kills");
            let caught_up: Option<f64> = shown[1].get("caught_up_ms");
            if kills == 1 && caught_up.is_some() {
                break shown;
            }
            assert!(std::time::Instant::now() < deadline, "it is restored");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let text = |row: usize, column: &str| shown[row].get::<_, Option<String>>(column);
        assert_eq!(text(1, "last_signal").as_deref(), Some("SIGKILL"));
        assert_eq!(text(0, "last_signal"), None);
        assert_eq!(shown[1].get::<_, i64>("incarnation"), 2);
        assert_ne!(shown[1].get::<_, i64>("pid").to_string(), server.shards[1]);
        assert_eq!(shown[0].get::<_, i64>("pid").to_string(), server.shards[0]);
    });
}

#[test]
fn columns_are_added_while_shards_die() {
    with_server(|server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE t (id int PRIMARY KEY, g int);
                 CREATE MATERIALIZED VIEW before AS SELECT g, count(*) AS n FROM t GROUP BY g;
                 INSERT INTO t SELECT i, i % 3 FROM generate_series(1, 3000) AS s(i)",
            )
            .await
            .expect("defined");
        server.kill(&server.shards[0].clone());
        client
            .batch_execute("ALTER TABLE t ADD COLUMN w int NOT NULL DEFAULT 2")
            .await
            .expect("only a delay");
        server.kill(&server.shards[1].clone());
        client
            .batch_execute(
                "INSERT INTO t SELECT i, i % 3, 5 FROM generate_series(3001, 3300) AS s(i);
                 CREATE MATERIALIZED VIEW after AS SELECT g, sum(w) AS w FROM t GROUP BY g",
            )
            .await
            .expect("only a delay");
        for group in 0..3 {
            assert_eq!(rows(&client, &format!("SELECT n FROM before WHERE g = {group}")).await, ["1100"]);
            assert_eq!(rows(&client, &format!("SELECT w FROM after WHERE g = {group}")).await, ["2500"]);
        }
        assert_eq!(rows(&client, "SELECT * FROM t WHERE id = 1").await, ["1,1,2"]);
    });
}

#[test]
fn others_go_on_while_columns_are_added() {
    const COLUMNS: usize = 6;
    with_server(|server| async move {
        let client = server.connect().await;
        client
            .batch_execute(
                "CREATE TABLE t (id int PRIMARY KEY, g int); CREATE INDEX by_g ON t (g);
                 CREATE MATERIALIZED VIEW n AS SELECT g, count(*) AS n FROM t GROUP BY g;
                 INSERT INTO t VALUES (-1, -1)",
            )
            .await
            .expect("defined");
        let over = std::cell::Cell::new(false);
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            writers.push(server.connect().await);
            readers.push(server.connect().await);
        }
        let write = |number: i32, client: Client| {
            let over = &over;
            async move {
                let insert =
                    client.prepare("INSERT INTO t (id, g) VALUES ($1, 7), ($2, 7)").await.expect("sound");
                let mut written = 0;
                while !over.get() {
                    let id = number * 1_000_000 + 2 * written;
                    client.execute(&insert, &[&id, &(id + 1)]).await.expect("it goes on");
                    written += 1;
                }
                i64::from(2 * written)
            }
        };
        let read = |client: Client| {
            let over = &over;
            async move {
                let by_id = client.prepare("SELECT g FROM t WHERE id = -1").await.expect("sound");
                let by_g = client.prepare("SELECT id FROM t WHERE g = -1").await.expect("sound");
                while !over.get() {
                    for select in [&by_id, &by_g] {
                        let rows = client.query(select, &[]).await.expect("it goes on");
                        assert_eq!(rows[0].get::<_, i32>(0), -1);
                    }
                    let sql = "SELECT id FROM t WHERE g < 0";
                    assert_eq!(rows(&client, sql).await, ["-1"], "a scan goes on");
                }
            }
        };
        let change = async {
            for column in 0..COLUMNS {
                let sql = format!("ALTER TABLE t ADD COLUMN c{column} int NOT NULL DEFAULT {column}");
                client.batch_execute(&sql).await.expect("it is added");
            }
            over.set(true);
        };
        let writes = futures((1..).zip(writers).map(|(number, client)| write(number, client)));
        let reads = futures(readers.into_iter().map(read));
        let ((), written, _) = tokio::join!(change, writes, reads);
        let written: i64 = written.into_iter().sum();
        assert!(written > 0);
        assert_eq!(rows(&client, "SELECT n FROM n WHERE g = 7").await, [written.to_string()]);
        let sql = "SELECT count(*), sum(c5), count(DISTINCT c0) FROM t";
        assert_eq!(rows(&client, sql).await, [format!("{},{},1", written + 1, 5 * (written + 1))]);
    });
}
