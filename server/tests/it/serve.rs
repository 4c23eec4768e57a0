//! The server: it says what runs where, stops when asked to, and is alone on its folder.

use std::process::Command;

use rustix::process::Signal;

use crate::process::{Running, complained, run};
use crate::server::with_server;

#[test]
fn it_serves_until_sigterm_and_starts_again() {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    let data = folder.path().join("data");
    let data = data.to_str().expect("the path is text");
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Running::start(&[
            "--data",
            data,
            "--shards",
            "2",
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ]);
        server.read_until("supervisor");
        server.read_until("shard 0");
        server.read_until("shard 1");
        assert!(server.end(signal).success(), "{signal:?} is a clean end");
    }
}

#[test]
fn a_killed_shard_is_restored() {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    let data = folder.path().join("data");
    let mut server = Running::start(&[
        "--data",
        data.to_str().expect("the path is text"),
        "--shards",
        "2",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ]);
    server.read_until("shard 0");
    let line = server.read_until("shard 1");
    let pid =
        line.split("pid ").nth(1).and_then(|rest| rest.split([',', '\n']).next()).expect("it names the pid");
    let killed = Command::new("kill").args(["-9", pid]).status().expect("kill is there");
    assert!(killed.success());
    let line = server.read_until("restored");
    assert!(line.contains("shard 1") && line.contains("SIGKILL"), "{line}");
    assert!(server.end(Signal::TERM).success());
}

#[test]
fn a_second_server_on_one_folder_is_refused() {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    let data = folder.path().join("data");
    let data = data.to_str().expect("the path is text");
    let mut server = Running::start(&[
        "--data",
        data,
        "--shards",
        "2",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ]);
    server.read_until("shard 1");
    let second = run(&["--data", data, "--shards", "2", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    let complaint = complained(&second);
    assert!(complaint.contains("data is in use by another server"), "{complaint}");
    assert!(server.end(Signal::TERM).success());
}

#[test]
fn sessions_are_told_that_it_stops() {
    with_server(|server| async move {
        let options = server.url();
        let (client, connection) =
            tokio_postgres::connect(&options, tokio_postgres::NoTls).await.expect("it lets anybody in");
        let end = tokio::task::spawn(connection);
        client.batch_execute("SELECT 1").await.expect("it answers");
        assert!(server.running.end(Signal::TERM).success());
        let told = end.await.expect("no panic").expect_err("it is cut off");
        assert_eq!(told.code().map(|code| code.code()), Some("57P01"), "{told}");
    });
}
