//! A server whose data outlives it, and clients that come in by each of its doors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

/// No test waits longer for something to come true.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A server on a folder that outlives it.
pub struct Server {
    inner: crate::server::Server,
    data: PathBuf,
}

impl std::ops::Deref for Server {
    type Target = crate::server::Server;
    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl Server {
    /// Starts it.
    pub fn start(data: &Path, more: &[&str]) -> Server {
        Server { inner: crate::server::Server::on(data, more), data: data.to_owned() }
    }

    /// Ends its front, and waits until there is one again.
    pub fn kill_front(&mut self) {
        self.inner.kill(&self.front);
        // A port that the system chose is another one.
        let line = self.inner.running.read_until("a front again");
        self.inner.address = line.rsplit(' ').next().expect("the address is last").trim().to_owned();
    }

    /// Stops it in an orderly way.
    pub fn stop(self) {
        assert!(self.inner.running.end(Signal::TERM).success());
    }

    /// The port by itself.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("it has a port")
    }

    /// Comes in by TCP.
    pub async fn by_tcp(&self, user: &str, password: &str) -> Result<Client, Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port()).user(user).dbname("any");
        if !password.is_empty() {
            config.password(password);
        }
        connect(&config).await
    }

    /// Comes in by the Unix socket.
    pub async fn by_socket(&self, user: &str) -> Result<Client, Error> {
        let mut config = Config::new();
        config.host_path(self.data.join("socket")).port(self.port()).user(user).dbname("any");
        connect(&config).await
    }
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::task::spawn(connection);
    Ok(client)
}

/// Runs a test with a folder on a disk.
pub fn with_folder<F: Future<Output = ()>>(test: impl FnOnce(PathBuf) -> F) {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test(folder.path().join("data")));
}

/// The SQLSTATE of an error of the server; what the client says otherwise.
pub fn code(error: &Error) -> String {
    error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())
}

/// The first value of a simple query.
pub async fn value(client: &Client, sql: &str) -> String {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
        _ => None,
    });
    row.unwrap_or_else(|| panic!("{sql}: no row"))
}

/// Runs statements.
pub async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// The SQLSTATE with which a statement fails.
pub async fn state(client: &Client, sql: &str) -> String {
    code(&client.batch_execute(sql).await.expect_err(sql))
}
