//! Roles as clients meet them.

use super::server::{PATIENCE, Server, code, run, state, value, with_folder};

#[test]
fn passwords_are_asked_for_once_there_are_some() {
    with_folder(|data| async move {
        let server = Server::start(&data, &[]);
        let early = server.by_tcp("anybody", "").await.expect("nobody is kept out");
        assert_eq!(value(&early, "SHOW is_superuser").await, "on");
        run(&early, "CREATE ROLE readers; CREATE USER later").await;
        server.by_tcp("nobody", "").await.expect("no role has a password");
        run(&early, "CREATE USER ann PASSWORD 'p\u{e4}ss word'").await;

        let ann = server.by_tcp("ann", "p\u{e4}ss word").await.expect("it is her password");
        assert_eq!(value(&ann, "SHOW session_authorization").await, "ann");
        assert_eq!(value(&ann, "SHOW is_superuser").await, "off");
        assert_eq!(value(&ann, "SELECT CURRENT_USER").await, "ann");
        assert_eq!(value(&ann, "SELECT session_user || '!'").await, "ann!");
        run(&ann, "CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (1)").await;
        for (user, password) in
            [("ann", "wrong"), ("nobody", "p\u{e4}ss word"), ("later", "x"), ("sakia", "x")]
        {
            let error = server.by_tcp(user, password).await.expect_err("kept out");
            assert_eq!(code(&error), "28P01", "{user}");
        }
        server.by_tcp("ann", "").await.expect_err("a client without a password gives up");

        assert_eq!(state(&ann, "CREATE ROLE x").await, "42501");
        assert_eq!(state(&ann, "ALTER ROLE ann SUPERUSER").await, "42501");
        run(&ann, "ALTER USER current_user PASSWORD 'second'").await;
        assert_eq!(code(&server.by_tcp("ann", "p\u{e4}ss word").await.expect_err("an old one")), "28P01");
        server.by_tcp("ann", "second").await.expect("the new one");

        let admin = server.by_socket("whoever").await.expect("the server's own user is let in");
        assert_eq!(value(&admin, "SHOW is_superuser").await, "on");
        run(&admin, "ALTER ROLE ann NOLOGIN; CREATE USER boss SUPERUSER PASSWORD 'b'").await;
        run(&admin, "CREATE USER eve PASSWORD 'e'").await;
        assert_eq!(code(&server.by_tcp("ann", "second").await.expect_err("no login")), "28000");
        let boss = server.by_tcp("boss", "b").await.expect("his password");
        assert_eq!(value(&boss, "SHOW is_superuser").await, "on");
        run(&boss, "DROP ROLE ann; CREATE ROLE ann").await;
        assert_eq!(value(&boss, "SELECT count(*) FROM pg_roles").await, "6");
        assert_eq!(state(&boss, "DROP ROLE boss").await, "55006");
        // A session stays that of its role, whatever that is called and whoever has its name.
        let eve = server.by_tcp("eve", "e").await.expect("her password");
        run(&boss, "ALTER ROLE eve RENAME TO eva; CREATE USER eve SUPERUSER PASSWORD 'other'").await;
        assert_eq!(state(&eve, "ALTER ROLE eve PASSWORD 'mine'").await, "42501");
        run(&eve, "ALTER ROLE eva PASSWORD 'mine'").await;
        server.by_tcp("eva", "mine").await.expect("her new password");
        assert_eq!(state(&eve, "ALTER ROLE eva PASSWORD NULL").await, "42501");
        run(&boss, "DROP ROLE eve, eva").await;
        run(&admin, "DROP ROLE boss").await;
        // What it may is looked up whenever it matters.
        assert_eq!(state(&boss, "CREATE ROLE x").await, "42704");
        server.by_tcp("nobody", "").await.expect("no role has a password any more");
        assert_eq!(state(&admin, "SET session_authorization = 'x'; SELECT nonsense").await, "42703");
        assert_eq!(value(&admin, "SHOW session_authorization").await, "whoever");
        server.stop();
    });
}

/// Whether a password is asked for, once the server answers at all.
async fn lets_in(server: &Server, user: &str, password: &str) -> Result<(), String> {
    let start = std::time::Instant::now();
    loop {
        match server.by_tcp(user, password).await {
            Ok(client) => {
                assert_eq!(value(&client, "SELECT count(*) FROM pg_roles WHERE rolcanlogin").await, "3");
                return Ok(());
            }
            Err(error) if error.code().is_some() => return Err(code(&error)),
            Err(error) => assert!(start.elapsed() < PATIENCE, "it does not listen again: {error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn roles_outlive_shards_fronts_and_the_server() {
    with_folder(|data| async move {
        let mut server = Server::start(&data, &[]);
        let client = server.by_socket("admin").await.expect("let in");
        run(&client, "CREATE USER ann PASSWORD 'a'; CREATE USER bob SUPERUSER PASSWORD 'b'").await;
        server.kill(&server.shards[1]);
        assert_eq!(lets_in(&server, "ann", "a").await, Ok(()));
        server.kill_front();
        assert_eq!(lets_in(&server, "bob", "b").await, Ok(()));
        assert_eq!(lets_in(&server, "bob", "a").await, Err("28P01".to_owned()));
        server.stop();
        for kept in std::fs::read_dir(&data).expect("the data folder is there") {
            let path = kept.expect("it can be listed").path();
            if path.is_file() {
                let bytes = std::fs::read(&path).expect("it can be read");
                assert!(!bytes.windows(10).any(|window| window == b"PASSWORD '"), "{}", path.display());
            }
        }
        let server = Server::start(&data, &[]);
        assert_eq!(lets_in(&server, "ann", "a").await, Ok(()));
        assert_eq!(lets_in(&server, "nobody", "a").await, Err("28P01".to_owned()));
        server.stop();
    });
}
