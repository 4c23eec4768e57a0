//! One connection from its first byte to its last.

use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;

use sql::SqlError;
use tokio::sync::OwnedSemaphorePermit;

use super::database::Database;
use super::decode::{self, MESSAGE_BYTES_MAX};
use super::entrance::{Entrance, Peer};
use super::session::Session;
use super::startup::{self, STARTUP_TIME_MAX};
use super::stream::{Input, Io, Place, Stream};

/// Why a connection ends.
#[derive(Debug)]
pub enum End {
    /// The client has gone.
    Closed,
    /// The connection is broken.
    Broken,
    /// The client is told and shown out.
    Fatal(SqlError),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Broken
    }
}

impl From<SqlError> for End {
    fn from(error: SqlError) -> End {
        End::Fatal(error)
    }
}

/// Serves a client until either side ends it. `starting` is given back when the client has proved who it is.
pub async fn serve(
    database: Rc<Database>,
    entrance: Rc<Entrance>,
    stream: Stream,
    peer: Peer,
    starting: OwnedSemaphorePermit,
) {
    let mut io = Io::new(stream);
    let mut input = Input::new();
    let started = startup::start(&database, &entrance, &mut io, &mut input, peer);
    let started = tokio::time::timeout(STARTUP_TIME_MAX, started).await;
    if matches!(started, Ok(Ok(_))) {
        drop(starting);
    }
    let present = database.stopping.enter();
    let end = match started {
        Ok(Ok(Some(mut session))) => {
            talk(&mut session, &mut io, &mut input, pin!(present.until_asked())).await.err()
        }
        Ok(Ok(None)) | Err(_) => None,
        Ok(Err(end)) => Some(end),
    };
    if let Some(End::Fatal(error)) = end {
        io.out.error("FATAL", &error);
        // The client may be gone already; then nobody needs to be told.
        let _ = io.flush().await;
    }
    io.finish().await;
}

/// Acts on what the client says, until it has no more to say or, between two statements, `stop` is over.
async fn talk(
    session: &mut Session,
    io: &mut Io,
    input: &mut Input,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), End> {
    loop {
        match next(input)? {
            Some((kind, place)) => {
                let body = input.at(place);
                session.handle(io, kind, decode::message(kind, body)).await?;
            }
            None => {
                session.rest(io).await?;
                io.flush().await?;
                tokio::select! {
                    biased;
                    () = &mut stop => return Err(End::Fatal(stopping())),
                    filled = input.fill(&mut io.stream) => if !filled? {
                        return Ok(());
                    },
                }
            }
        }
    }
}

fn stopping() -> SqlError {
    SqlError::new("57P01", "the server is stopping").hint("connect again when it has been started")
}

/// The next message, if all of it is there.
fn next(input: &mut Input) -> Result<Option<(u8, Place)>, End> {
    let fatal = |message: String| Err(End::Fatal(SqlError::new("08P01", message)));
    let Some((kind, length)) = input.head() else { return Ok(None) };
    if !decode::is_kind(kind) {
        return fatal(format!("invalid frontend message type {kind}"));
    }
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return fatal(format!(
            "invalid message length {length}: a message has up to {MESSAGE_BYTES_MAX} bytes"
        ));
    }
    if input.rest().len() < 1 + length {
        return Ok(None);
    }
    input.take(5);
    Ok(Some((kind, input.take(length - 4))))
}
