//! The beginning of a connection: TLS or not, who it is, and what a client is told first.

use std::rc::Rc;
use std::time::Duration;

use sql::SqlError;

use super::authenticate::authenticate;
use super::cancel::Interrupt;
use super::connection::End;
use super::database::Database;
use super::decode::{self, Reader, STARTUP_BYTES_MAX};
use super::entrance::{Entrance, Peer};
use super::scram;
use super::session::Session;
use super::settings::{Reach, Settings};
use super::stream::{Input, Io, Stream};

/// How long a client may take until it has proved who it is. Clients that ask a person for a password connect anew with it.
pub const STARTUP_TIME_MAX: Duration = Duration::from_secs(10);
/// Requests for encryption that a client may make before it starts.
const NEGOTIATION_COUNT_MAX: usize = 4;

/// What a client says at first.
struct Greeting {
    user: String,
    settings: Settings,
    /// Whether it asked for a later minor version or options that are not known.
    wants_more: Option<(u32, Vec<String>)>,
}

/// Brings a connection to its first statement; none if it only asked for something to be cancelled.
pub async fn start(
    database: &Rc<Database>,
    entrance: &Entrance,
    io: &mut Io,
    input: &mut Input,
    peer: Peer,
) -> Result<Option<Session>, End> {
    let Some(mut greeting) = greeting(database, entrance, io, input).await? else { return Ok(None) };
    entrance.check_encryption(peer, io.is_encrypted())?;
    if let Some((minor, options)) = greeting.wants_more {
        io.out.message(b'v', |out| {
            out.extend(minor.to_be_bytes());
            out.extend((options.len() as u32).to_be_bytes());
            for option in &options {
                out.extend(option.bytes().chain([0]));
            }
        });
    }
    let who = authenticate(database, entrance, io, input, peer, greeting.user).await?;
    greeting.settings.identify(&who.name, who.is_superuser(&database.catalog.borrow()));
    // Whoever knows the secret can break off what the session does.
    let secret = u32::from_ne_bytes(scram::random()?);
    let interrupt = Rc::new(Interrupt::new(secret));
    let number = database.enter(&interrupt, peer == Peer::Owner)?;
    let session = Session::new(database.clone(), interrupt, number, who, greeting.settings);
    for (name, value) in session.settings().reported() {
        io.out.parameter_status(name, value);
    }
    io.out.key_data(number, secret);
    io.out.ready(b'I');
    io.flush().await?;
    Ok(Some(session))
}

async fn greeting(
    database: &Database,
    entrance: &Entrance,
    io: &mut Io,
    input: &mut Input,
) -> Result<Option<Greeting>, End> {
    for _ in 0..NEGOTIATION_COUNT_MAX {
        let place = packet(io, input).await?;
        let mut reader = Reader(input.at(place));
        match reader.word()? {
            code @ (decode::TLS | decode::GSS) => {
                // What came before the answer could be from anybody, so it must not be read as if it had been encrypted.
                if !input.rest().is_empty() {
                    return Err(End::Fatal(SqlError::new(
                        "08P01",
                        "received unencrypted data after a request for encryption",
                    )));
                }
                let can_encrypt = code == decode::TLS && matches!(io.stream, Stream::Tcp(_));
                let tls = if can_encrypt { entrance.tls() } else { None };
                io.out.bytes.push(if tls.is_some() { b'S' } else { b'N' });
                io.flush().await?;
                if let Some(tls) = tls {
                    io.encrypt(tls).await?;
                }
            }
            decode::CANCEL => {
                let (session, secret) = (reader.word()?, reader.word()?);
                database.cancel(session, secret);
                return Ok(None);
            }
            code if code >> 16 == decode::PROTOCOL >> 16 => {
                return Ok(Some(read_greeting(code, reader)?));
            }
            code => {
                let message = format!(
                    "unsupported frontend protocol {}.{}: server supports 3.0",
                    code >> 16,
                    code & 0xffff
                );
                return Err(End::Fatal(SqlError::new("0A000", message)));
            }
        }
    }
    Err(End::Fatal(SqlError::new("08P01", "too many requests for encryption")))
}

/// The next packet without its length.
async fn packet(io: &mut Io, input: &mut Input) -> Result<super::stream::Place, End> {
    loop {
        if let Some(length) = input.rest().first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if !(8..=STARTUP_BYTES_MAX).contains(&length) {
                return Err(End::Fatal(SqlError::new("08P01", "invalid length of startup packet")));
            }
            if input.rest().len() >= length {
                input.take(4);
                return Ok(input.take(length - 4));
            }
        }
        if !input.fill(&mut io.stream).await? {
            return Err(End::Closed);
        }
    }
}

fn read_greeting(code: u32, mut reader: Reader<'_>) -> Result<Greeting, End> {
    let mut greeting = Greeting { user: String::new(), settings: Settings::default(), wants_more: None };
    let mut unknown_options = Vec::new();
    loop {
        let name = reader.text()?;
        if name.is_empty() {
            break;
        }
        let value = reader.text()?;
        match name {
            "user" => value.clone_into(&mut greeting.user),
            "database" => {}
            "replication" if matches!(value, "false" | "off" | "no" | "0") => {}
            "replication" => {
                return Err(End::Fatal(SqlError::unsupported("replication by the Postgres protocol")));
            }
            "options" => set_options(&mut greeting.settings, value)?,
            name if name.starts_with("_pq_.") => unknown_options.push(name.to_owned()),
            name => {
                greeting.settings.set(name, value, Reach::Session)?;
            }
        }
    }
    if greeting.user.is_empty() {
        return Err(End::Fatal(SqlError::new(
            "28000",
            "no PostgreSQL user name specified in startup packet",
        )));
    }
    if code != decode::PROTOCOL || !unknown_options.is_empty() {
        greeting.wants_more = Some((decode::PROTOCOL, unknown_options));
    }
    Ok(greeting)
}

/// `-c name=value` and `--name=value`.
fn set_options(settings: &mut Settings, options: &str) -> Result<(), SqlError> {
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let assignment = match word {
            "-c" => words.next().unwrap_or_default(),
            word => word.strip_prefix("-c").or_else(|| word.strip_prefix("--")).unwrap_or_default(),
        };
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(SqlError::new("22023", format!("invalid option in the startup packet: {word:?}")));
        };
        settings.set(&name.replace('-', "_"), value, Reach::Session)?;
    }
    Ok(())
}
