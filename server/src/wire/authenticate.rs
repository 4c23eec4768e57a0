//! Who a client is, and whether it is let in.
//! Who has to prove it is said in [`entrance`](super::entrance).
//!
//! Sessions stay what they were let in as: a password that is set, changed or taken away is for those that come later.
//! Whether a role is a superuser is looked up whenever it matters.

use std::time::Duration;

use sql::role::{Asker, Role};
use sql::{Catalog, SqlError};

use super::connection::End;
use super::database::Database;
use super::decode::Reader;
use super::entrance::{Entrance, Peer};
use super::scram::{self, Binding, Conversation};
use super::stream::{Input, Io, Place};
use super::tls::Tls;

/// Longest message of a client that has not proved who it is; usual are 200 bytes.
const MESSAGE_BYTES_MAX: usize = 1024;
/// How long a client that failed waits for the answer, so that passwords cannot be tried quickly. With the most clients
/// that may be starting at once ([`STARTING_COUNT_MAX`](super::STARTING_COUNT_MAX)) that makes 64 guesses a second.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// Codes of the messages that ask for authentication.
const OK: u32 = 0;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// Whom a session is of.
#[derive(Debug, Clone)]
pub struct Who {
    /// The name that the client gave.
    pub name: String,
    /// The number of the role that it proved to be; none if it was let in without a password. A name would not do: roles
    /// can be given each other's names meanwhile.
    role: Option<u32>,
}

impl Who {
    /// Whether it may do everything.
    pub fn is_superuser(&self, catalog: &Catalog) -> bool {
        match self.role {
            None => true,
            Some(number) => catalog.roles().numbered(number).is_some_and(|role| role.is_superuser),
        }
    }

    /// As whom it runs statements about roles.
    ///
    /// # Errors
    ///
    /// 42704 if its role has been dropped.
    pub fn asker<'a>(&'a self, catalog: &'a Catalog) -> Result<Asker<'a>, SqlError> {
        let Some(number) = self.role else { return Ok(Asker { name: &self.name, is_superuser: true }) };
        match catalog.roles().numbered(number) {
            Some(role) => Ok(Asker { name: &role.name, is_superuser: role.is_superuser }),
            None => Err(SqlError::new("42704", format!("the role {:?} of this session is gone", self.name))),
        }
    }
}

/// Finds out whether a client is `name`, and tells it so.
///
/// # Errors
///
/// 28P01 if it is not, 28000 if it may not come in, 08P01 if it does not speak the protocol.
pub async fn authenticate(
    database: &Database,
    entrance: &Entrance,
    io: &mut Io,
    input: &mut Input,
    peer: Peer,
    name: String,
) -> Result<Who, End> {
    database.refresh()?;
    let asks = database.catalog.borrow().roles().ask_for_passwords();
    let tls = io.tls().cloned();
    let end_point = tls.as_deref().and_then(Tls::end_point);
    let role = match entrance.trusts(peer, asks) {
        true => None,
        false => Some(prove(database, io, input, &name, Binding(end_point)).await?),
    };
    io.out.authentication(OK, &[]);
    Ok(Who { name, role })
}

/// A conversation by which a client proves that it knows the password of the role `name`; the role's number.
async fn prove(
    database: &Database,
    io: &mut Io,
    input: &mut Input,
    name: &str,
    binding: Binding<'_>,
) -> Result<u32, End> {
    let mut offered = Vec::new();
    for mechanism in binding.mechanisms() {
        offered.extend(mechanism.bytes().chain([0]));
    }
    offered.push(0);
    io.out.authentication(SASL, &offered);
    io.flush().await?;

    let (role, verifier) = {
        let catalog = database.catalog.borrow();
        let secret = catalog.roles().secret().copied().unwrap_or_default();
        // It is made in any case, so that the time it takes says nothing.
        let decoy = scram::decoy(&secret, name);
        let role: Option<Role> = catalog.roles().find(name).filter(|role| role.verifier.is_some()).cloned();
        let verifier = role.as_ref().and_then(|role| role.verifier.clone()).unwrap_or(decoy);
        (role, verifier)
    };
    let place = response(io, input).await?;
    let mut reader = Reader(input.at(place));
    let mechanism = reader.text()?;
    let first = reader.value()?.filter(|_| reader.0.is_empty()).ok_or_else(super::decode::malformed)?;
    let conversation = Conversation::start(mechanism, first, binding, verifier)?;
    io.out.authentication(SASL_CONTINUE, conversation.challenge().as_bytes());
    io.flush().await?;

    let place = response(io, input).await?;
    match (role, conversation.finish(input.at(place))?) {
        (Some(role), Some(last)) if role.can_login => {
            io.out.authentication(SASL_FINAL, last.as_bytes());
            Ok(role.number)
        }
        (Some(_), Some(_)) => {
            Err(SqlError::new("28000", format!("role {name:?} is not permitted to log in")).into())
        }
        _ => {
            tokio::time::sleep(FAILURE_PAUSE).await;
            Err(SqlError::new("28P01", format!("password authentication failed for user {name:?}")).into())
        }
    }
}

/// The body of the client's next message, which must be one of a conversation.
async fn response(io: &mut Io, input: &mut Input) -> Result<Place, End> {
    loop {
        if let Some((kind, length)) = input.head() {
            match kind {
                b'p' => {}
                b'X' => return Err(End::Closed),
                _ => return Err(SqlError::new("08P01", "expected a SASL response").into()),
            }
            if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
                return Err(SqlError::new("08P01", "invalid length of a SASL response").into());
            }
            if input.rest().len() > length {
                input.take(5);
                return Ok(input.take(length - 4));
            }
        }
        if !input.fill(&mut io.stream).await? {
            return Err(End::Closed);
        }
    }
}
