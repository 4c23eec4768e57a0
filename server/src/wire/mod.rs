//! A front: the process that clients talk to, over the Postgres protocol.
//!
//! One thread with Tokio's event loop, one task a connection, and one task, the [`pump`], that bridges to the shards. A
//! front owns no data: when it dies, its connections are gone and nothing else.
//!
//! # The way of a message
//!
//! [`stream::Input`] gathers bytes; [`connection`] cuts messages off them, [`decode`] reads them in place, [`session`]
//! acts on them. Answers are appended to [`stream::Io`] and leave in one write when the client has nothing more to say.
//! Reads by key are not waited for one by one: their answers are put in at their places when they have come
//! ([`pipeline`]), so a client that sends many statements before it reads has them all under way at once.
//!
//! # Words
//!
//! A **session** is a connection after its start. A **statement** is parsed and bound once and run through **portals**, which
//! have its parameters. A **ticket** is a session's claim to the answer of a shard.
//!
//! # Why the protocol is read here
//!
//! The crates for it allocate for each message and panic at messages whose inner lengths lie; what clients send is read here
//! without either.

mod authenticate;
mod cancel;
mod certificates;
mod connection;
mod copy;
mod cursor;
mod database;
mod decode;
mod define;
mod encode;
mod entrance;
mod execute;
mod kept;
mod locking;
mod locks;
mod overlay;
mod pipeline;
mod prepare;
mod pump;
mod range;
mod report;
mod role;
mod rows;
mod scan;
mod scram;
mod session;
mod set;
mod settings;
mod show;
mod socket;
mod startup;
mod statement;
mod stopping;
mod stream;
mod tag;
mod tls;
mod transaction;
mod view;

pub use tls::{certificates, end_point};

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use runtime::front::Front;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, LocalSet};

use crate::cli::FrontOptions;
use crate::error::Error;
use database::Database;
use entrance::{Entrance, Peer};
use stream::Stream;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Clients of one address that may be starting at once: those that have not proved who they are cannot crowd out sessions,
/// nor the Unix socket.
const STARTING_COUNT_MAX: usize = 64;

/// How long sessions may take to end when the front stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);

/// What a front is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder that is served.
    pub data: PathBuf,
    /// Where it listens for TCP.
    pub listen: Vec<SocketAddr>,
    /// Whether other fronts listen there too.
    pub is_shared: bool,
    /// The folder of its Unix socket, if it has one.
    pub socket_folder: Option<PathBuf>,
    /// The files of its certificate and of its key, if it has any.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether clients from other machines are treated as those of this one.
    pub is_insecure: bool,
    /// Most connections at a time.
    pub connections_max: usize,
}

impl From<FrontOptions> for Options {
    fn from(options: FrontOptions) -> Options {
        Options {
            data: options.data,
            tls: options.clients.tls(),
            is_insecure: options.clients.insecure,
            listen: options.clients.listen,
            is_shared: options.shared,
            socket_folder: options.clients.socket_folder,
            connections_max: options.clients.connections as usize,
        }
    }
}

/// Serves clients until the database is gone or SIGTERM comes: then sessions may end the statements that they are at, and are told.
///
/// # Errors
///
/// The database cannot be joined, an address cannot be listened on, or the database has ended.
pub fn run(options: &Options) -> Result<(), Error> {
    let system = |what| move |source| Error::System { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("no event loop can be made"))?;
    let entrance = Rc::new(Entrance::open(options.tls.as_ref(), options.is_insecure)?);
    let front = Front::connect(&options.data)?;
    let database = Database::open(front, options.connections_max)
        .map_err(|error| Error::Catalogue(error.to_string()))?;
    LocalSet::new().block_on(&runtime, async {
        // From here on the signal no longer ends the process by itself.
        let mut asked = signal(SignalKind::terminate()).map_err(system("signals cannot be listened for"))?;
        let (mut addresses, mut doors) = (Vec::new(), Vec::new());
        for address in &options.listen {
            let listener = tcp_listener(*address, options.is_shared)
                .map_err(|source| Error::Listen { address: address.to_string(), source })?;
            addresses.extend(listener.local_addr().ok());
            doors.push(tokio::task::spawn_local(accept_tcp(database.clone(), entrance.clone(), listener)));
        }
        if let Some(folder) = &options.socket_folder {
            let listener = socket::listen(folder, addresses.first().map_or(0, SocketAddr::port))?;
            doors.push(tokio::task::spawn_local(accept_unix(database.clone(), entrance.clone(), listener)));
        }
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        // Whoever started this reads one line; if nobody does, the line is for nobody.
        let _ = writeln!(std::io::stdout(), "{}", addresses.join(", "));
        let stopped = async {
            asked.recv().await;
            doors.iter().for_each(JoinHandle::abort);
            // A statement that takes longer is cut off.
            let _ = tokio::time::timeout(STOP_TIME_MAX, database.stopping.stop()).await;
        };
        tokio::select! {
            ended = database.pump.clone().run() => ended.map_err(Error::from),
            () = stopped => Ok(()),
        }
    })
}

/// Whether a role of the database that serves from the folder `data` can log in with a password.
///
/// # Errors
///
/// The database cannot be joined, or its catalogue cannot be read.
pub fn has_passwords(data: &Path) -> Result<bool, Error> {
    let database = Database::open(Front::connect(data)?, 0);
    let database = database.map_err(|error| Error::Catalogue(error.to_string()))?;
    let catalog = database.catalog.borrow();
    Ok(catalog.roles().ask_for_passwords())
}

/// Says what is wrong with the files of a certificate and its key, if anything is.
///
/// # Errors
///
/// What is wrong with them.
pub fn check_tls(files: Option<&(PathBuf, PathBuf)>) -> Result<(), Error> {
    Entrance::open(files, false).map(|_| ())
}

fn tcp_listener(address: SocketAddr, is_shared: bool) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(is_shared)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept_tcp(database: Rc<Database>, entrance: Rc<Entrance>, listener: TcpListener) {
    let starting = Arc::new(Semaphore::new(STARTING_COUNT_MAX));
    loop {
        let place = place(&starting).await;
        match listener.accept().await {
            Ok((stream, address)) => {
                // Answers leave in whole batches already.
                let _ = stream.set_nodelay(true);
                let peer = Peer::of_address(address.ip());
                serve(&database, &entrance, Stream::Tcp(stream), peer, place);
            }
            Err(_) => wait_for_room().await,
        }
    }
}

async fn accept_unix(database: Rc<Database>, entrance: Rc<Entrance>, listener: UnixListener) {
    let starting = Arc::new(Semaphore::new(STARTING_COUNT_MAX));
    loop {
        let place = place(&starting).await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let user = stream.peer_cred().ok().map(|peer| peer.uid());
                serve(&database, &entrance, Stream::Unix(stream), Peer::of_user(user), place);
            }
            Err(_) => wait_for_room().await,
        }
    }
}

/// Waits until there is room for another client that starts.
async fn place(starting: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    starting.clone().acquire_owned().await.expect("it is never closed")
}

fn serve(
    database: &Rc<Database>,
    entrance: &Rc<Entrance>,
    stream: Stream,
    peer: Peer,
    place: OwnedSemaphorePermit,
) {
    let (database, entrance) = (database.clone(), entrance.clone());
    tokio::task::spawn_local(connection::serve(database, entrance, stream, peer, place));
}

/// Accepting fails when descriptors run out; trying at once again would only burn the time in which some are closed.
async fn wait_for_room() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
