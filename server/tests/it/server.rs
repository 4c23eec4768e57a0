//! A server, and clients of it.

use std::path::Path;
use std::process::Command;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::process::Running;

/// A server with two shards, and where it listens.
pub struct Server {
    // Ends before its folder goes.
    pub running: Running,
    pub address: String,
    /// The processes of the shards, as they were at the start.
    pub shards: Vec<String>,
    /// The process of the front, as it was at the start.
    pub front: String,
    _folder: Option<tempfile::TempDir>,
}

/// Sends a signal, by the option that `kill` has for it.
pub fn signal(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().expect("kill is there").success());
}

fn pid_of(line: &str) -> String {
    let rest = line.split("pid ").nth(1).expect("the line names a pid");
    rest.split([',', ' ', '\n']).next().expect("it is a number").to_owned()
}

impl Server {
    /// Starts one on a folder of its own, and waits until it serves.
    pub fn start(more: &[&str]) -> Server {
        let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
        let mut server = Server::on(&folder.path().join("data"), more);
        server._folder = Some(folder);
        server
    }

    /// Starts one on the folder `data`, which outlives it, and waits until it serves.
    pub fn on(data: &Path, more: &[&str]) -> Server {
        let data = data.to_str().expect("the path is text");
        let usual = ["--data", data, "--shards", "2", "--http", "127.0.0.1:0"];
        let listen = ["--listen", "127.0.0.1:0"];
        let listen = if more.contains(&"--listen") { &[][..] } else { &listen };
        let mut running = Running::start(&[&usual, listen, more].concat());
        let shards = ["shard 0", "shard 1"].map(|shard| pid_of(&running.read_until(shard))).to_vec();
        let line = running.read_until("listens on");
        let address = line.rsplit(' ').next().expect("the address is last").trim().to_owned();
        running.read_until("ready");
        Server { address, shards, front: pid_of(&line), running, _folder: None }
    }

    /// A new connection.
    pub async fn connect(&self) -> Client {
        let (host, port) = self.address.split_once(':').expect("host and port");
        let options = format!("host={host} port={port} user=tester dbname=any");
        let (client, connection) =
            tokio_postgres::connect(&options, NoTls).await.expect("it lets anybody in");
        tokio::task::spawn(connection);
        client
    }

    /// What clients connect to.
    pub fn url(&self) -> String {
        format!("postgres://tester@{}/any", self.address)
    }

    /// Ends one of its processes.
    pub fn kill(&self, pid: &str) {
        signal("-9", pid);
    }
}

/// Runs a test with a server.
pub fn with_server<F: Future<Output = ()>>(test: impl FnOnce(Server) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test(Server::start(&[])));
}

/// The rows of a simple query, values joined by commas.
pub async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            let values: Vec<&str> = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect();
            rows.push(values.join(","));
        }
    }
    rows
}
