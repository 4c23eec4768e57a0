//! How a front joins a running database: what it and the supervisor say to each other on the registration socket.
//!
//! ```text
//! front                                        supervisor
//!   hello: magic, version, process id    --->
//!                                               takes a slot, makes the folder and its rings
//!                                        <---   welcome: status, slot, front id
//!   makes its doorbell in the folder
//!   ready: one byte                      --->
//!                                               enters the front on the control page; shards attach
//! ```
//!
//! From then on the open stream says that the front lives: whoever sees it end knows that the other side is gone. A front
//! has catalogue entries defined over it (`definition.rs`).

use super::layout::RunFolder;
use crate::clock::{FrontId, FrontSlot};
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

/// Bytes of a hello and of a welcome.
pub(crate) const HELLO_BYTES: usize = 16;
/// The byte that says ready.
pub(crate) const READY: u8 = 1;
const MAGIC: [u8; 8] = *b"SakFront";
const VERSION: u32 = 1;
/// How long the supervisor may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The answer to a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    /// The front may make its doorbell.
    Come(FrontSlot, FrontId),
    /// All slots are taken.
    Full,
    /// The folder or the rings cannot be made.
    NoMemory,
}

/// What a front says first.
pub(crate) fn hello(pid: u32) -> [u8; HELLO_BYTES] {
    let mut bytes = [0; HELLO_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..].copy_from_slice(&pid.to_le_bytes());
    bytes
}

/// The process id in a hello; none if it is not a hello of this version.
pub(crate) fn read_hello(bytes: &[u8; HELLO_BYTES]) -> Option<u32> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (bytes[..8] == MAGIC && word(8) == VERSION).then(|| word(12))
}

impl Welcome {
    pub(crate) fn encode(self) -> [u8; HELLO_BYTES] {
        let (status, slot, id) = match self {
            Welcome::Come(slot, id) => (0u16, slot.0, id.0),
            Welcome::Full => (1, 0, 0),
            Welcome::NoMemory => (3, 0, 0),
        };
        let mut bytes = [0; HELLO_BYTES];
        bytes[..2].copy_from_slice(&status.to_le_bytes());
        bytes[2..4].copy_from_slice(&slot.to_le_bytes());
        bytes[8..].copy_from_slice(&id.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; HELLO_BYTES]) -> Option<Welcome> {
        let half = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"));
        match half(0) {
            0 => {
                let id = u64::from_le_bytes(bytes[8..].try_into().expect("eight bytes"));
                Some(Welcome::Come(FrontSlot(half(2)), FrontId(id)))
            }
            1 => Some(Welcome::Full),
            3 => Some(Welcome::NoMemory),
            _ => None,
        }
    }
}

/// A front that has been entered.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) slot: FrontSlot,
    pub(crate) id: FrontId,
    /// Ends when the database does.
    pub(crate) stream: UnixStream,
    /// What shards ring.
    pub(crate) bell: UnixDatagram,
}

/// The front's side.
pub(crate) fn register(run: &RunFolder) -> io::Result<Registered> {
    let mut stream = UnixStream::connect(run.socket())?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(&hello(std::process::id()))?;
    let mut answer = [0; HELLO_BYTES];
    stream.read_exact(&mut answer)?;
    let (slot, id) = match Welcome::from_bytes(&answer) {
        Some(Welcome::Come(slot, id)) => (slot, id),
        Some(Welcome::Full) => return Err(io::Error::other("all front slots are taken; close a connection")),
        Some(Welcome::NoMemory) => {
            return Err(io::Error::other("no memory for the rings; see the server's messages"));
        }
        None => {
            return Err(io::Error::other("the server is of another version; use a front built with it"));
        }
    };
    let bell = super::bell::listen(&run.front(id).bell())?;
    stream.write_all(&[READY])?;
    stream.set_nonblocking(true)?;
    Ok(Registered { slot, id, stream, bell })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_read_back_and_strangers_are_told_apart() {
        assert_eq!(read_hello(&hello(4711)), Some(4711));
        assert_eq!(read_hello(b"GET / HTTP/1.1\r\n"), None);
        for welcome in [Welcome::Come(FrontSlot(3), FrontId(77)), Welcome::Full, Welcome::NoMemory] {
            assert_eq!(Welcome::from_bytes(&welcome.encode()), Some(welcome));
        }
        assert_eq!(Welcome::from_bytes(&[9; HELLO_BYTES]), None);
    }
}
