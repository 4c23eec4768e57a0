//! The supervisor's side of the fronts: who is there, their rings, and what they ask to have defined.
//!
//! Nothing here waits for a front: what it has to say is read as it comes, one request a round, and whoever does not
//! take an answer off its socket is cut off.

use super::catalogue::DefineError;
use super::control::{ControlPage, FrontWord};
use super::definition::{Answer, Asked, REQUEST_BYTES, read_request};
use super::layout::RunFolder;
use super::registration::{HELLO_BYTES, Welcome, read_hello};
use super::sys;
use crate::clock::{FrontId, FrontSlot};
use crate::ring::{RingError, RingMemory};
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;

/// Connections beyond the slots: fronts that are being refused.
const SPARE_CONNECTIONS: usize = 8;

/// All connections of fronts.
pub(crate) struct Registry {
    listener: UnixListener,
    connections: Vec<Connection>,
    request_bytes: usize,
    reply_bytes: usize,
    /// Definitions asked for since they were last taken; one a front at most.
    asked: Vec<Asked>,
}

struct Connection {
    socket: UnixStream,
    state: State,
}

enum State {
    /// Saying hello; what has come of it so far.
    Hello(Vec<u8>),
    /// Has a slot, which shards do not know of yet.
    Welcomed { slot: FrontSlot, id: FrontId, pid: u32 },
    /// Known to the shards. What has come of its next request.
    Ready { slot: FrontSlot, id: FrontId, said: Vec<u8> },
}

impl State {
    fn slot(&self) -> Option<(FrontSlot, FrontId)> {
        match *self {
            State::Hello(_) => None,
            State::Welcomed { slot, id, .. } | State::Ready { slot, id, .. } => Some((slot, id)),
        }
    }
}

impl State {
    /// The bytes that are still missing of what it is to say next.
    fn wanted_bytes(&self) -> usize {
        match self {
            State::Hello(said) => HELLO_BYTES - said.len(),
            State::Welcomed { .. } => 1,
            State::Ready { said, .. } => REQUEST_BYTES - said.len(),
        }
    }
}

impl Registry {
    /// Listens in the run folder. Fronts get rings of these sizes.
    pub(crate) fn new(run: &RunFolder, request_bytes: usize, reply_bytes: usize) -> io::Result<Registry> {
        let listener = UnixListener::bind(run.socket())?;
        listener.set_nonblocking(true)?;
        Ok(Registry { listener, connections: Vec::new(), request_bytes, reply_bytes, asked: Vec::new() })
    }

    /// What to wait for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = RawFd> + '_ {
        let sockets = self.connections.iter().map(|connection| connection.socket.as_raw_fd());
        std::iter::once(self.listener.as_raw_fd()).chain(sockets)
    }

    /// Does what can be done without waiting. Returns whether the shards must look at the slots again.
    pub(crate) fn serve(&mut self, page: &ControlPage, run: &RunFolder) -> bool {
        let mut changed = false;
        let mut index = 0;
        while index < self.connections.len() {
            match self.advance(index, page, run) {
                Ok(news) => {
                    changed |= news;
                    index += 1;
                }
                // However it ended, what it had is taken back.
                Err(_) => {
                    let connection = self.connections.swap_remove(index);
                    changed |= leave(&connection, page, run);
                }
            }
        }
        self.accept(page);
        if changed {
            // Release: pairs with the shards' Acquire load, so they see the slots.
            page.fronts_generation().fetch_add(1, Ordering::Release);
        }
        changed
    }

    /// The definitions asked for since the last call.
    pub(crate) fn take_asked(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.asked)
    }

    /// Tells a front what came of a definition, if it is still there.
    pub(crate) fn answer(&mut self, asked: &Asked, result: &Result<u64, DefineError>) {
        let is_its =
            |connection: &&mut Connection| connection.state.slot().is_some_and(|(_, id)| id == asked.front);
        let Some(connection) = self.connections.iter_mut().find(is_its) else { return };
        let bytes = Answer::of(asked.number, result).encode();
        if connection.socket.write(&bytes).ok() != Some(bytes.len()) {
            // It does not read its answers. The next look at the socket finds its end.
            let _ = connection.socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Ends all connections.
    pub(crate) fn close_all(&mut self, page: &ControlPage, run: &RunFolder) {
        for connection in self.connections.drain(..) {
            leave(&connection, page, run);
        }
        page.fronts_generation().fetch_add(1, Ordering::Release);
    }

    fn accept(&mut self, page: &ControlPage) {
        while self.connections.len() < usize::from(page.slots()) + SPARE_CONNECTIONS {
            // An error means that nobody is waiting, or has gone again.
            let Ok((socket, _)) = self.listener.accept() else { return };
            if socket.set_nonblocking(true).is_ok() {
                self.connections.push(Connection { socket, state: State::Hello(Vec::new()) });
            }
        }
    }

    fn advance(&mut self, index: usize, page: &ControlPage, run: &RunFolder) -> io::Result<bool> {
        if let Some((slot, id)) = self.connections[index].state.slot()
            && page.front(slot, FrontWord::Evicted).load(Ordering::Relaxed) == id.0
        {
            return Err(io::Error::other("a shard cannot go on with it"));
        }
        let connection = &mut self.connections[index];
        let mut bytes = [0; REQUEST_BYTES];
        let wanted = connection.state.wanted_bytes();
        let count = match connection.socket.read(&mut bytes[..wanted]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        match &mut connection.state {
            State::Hello(said) => {
                said.extend_from_slice(&bytes[..count]);
                if said.len() < HELLO_BYTES {
                    return Ok(false);
                }
                let hello = said[..].try_into().map_err(|_| io::Error::other("it says too much"))?;
                let pid = read_hello(&hello).ok_or_else(|| io::Error::other("it speaks another version"))?;
                self.welcome(index, pid, page, run)?;
                Ok(false)
            }
            State::Welcomed { slot, id, pid } => {
                let (slot, id) = (*slot, *id);
                page.front(slot, FrontWord::Pid).store(u64::from(*pid), Ordering::Relaxed);
                page.front(slot, FrontWord::Sleeping).store(0, Ordering::Relaxed);
                // Release: pairs with the shards' Acquire load.
                page.front(slot, FrontWord::Id).store(id.0, Ordering::Release);
                connection.state = State::Ready { slot, id, said: Vec::new() };
                Ok(true)
            }
            State::Ready { id, said, .. } => {
                said.extend_from_slice(&bytes[..count]);
                if let Ok(request) = <[u8; REQUEST_BYTES]>::try_from(&said[..]) {
                    said.clear();
                    let asked = read_request(*id, &request);
                    self.asked
                        .push(asked.ok_or_else(|| io::Error::other("it says what nobody understands"))?);
                }
                Ok(false)
            }
        }
    }

    fn welcome(&mut self, index: usize, pid: u32, page: &ControlPage, run: &RunFolder) -> io::Result<()> {
        let taken: Vec<FrontSlot> =
            self.connections.iter().filter_map(|connection| Some(connection.state.slot()?.0)).collect();
        let free = (0..page.slots()).map(FrontSlot).find(|slot| !taken.contains(slot));
        let Some(slot) = free else {
            self.connections[index].socket.write_all(&Welcome::Full.encode())?;
            return Err(io::Error::other("all slots are taken"));
        };
        let id = FrontId(sys::random_u64()?.max(1));
        if let Err(error) = self.make_rings(id, page, run) {
            remove_folder(run, id);
            self.connections[index].socket.write_all(&Welcome::NoMemory.encode())?;
            return Err(io::Error::other(error));
        }
        let connection = &mut self.connections[index];
        connection.state = State::Welcomed { slot, id, pid };
        connection.socket.write_all(&Welcome::Come(slot, id).encode())
    }

    fn make_rings(&self, id: FrontId, page: &ControlPage, run: &RunFolder) -> Result<(), RingError> {
        let folder = run.front(id);
        let made = DirBuilder::new().mode(0o700).create(&folder.0);
        made.map_err(|source| RingError::Io { ring: folder.0.display().to_string(), source })?;
        for shard in page.shard_ids() {
            RingMemory::create(&folder.requests(shard), self.request_bytes, 0)?;
            RingMemory::create(&folder.replies(shard), self.reply_bytes, 0)?;
        }
        Ok(())
    }
}

/// Takes back what a front had. Returns whether shards knew of it.
fn leave(connection: &Connection, page: &ControlPage, run: &RunFolder) -> bool {
    let Some((slot, id)) = connection.state.slot() else { return false };
    remove_folder(run, id);
    let known = matches!(connection.state, State::Ready { .. });
    if known {
        page.front(slot, FrontWord::Id).store(0, Ordering::Release);
    }
    known
}

fn remove_folder(run: &RunFolder, id: FrontId) {
    // What cannot be removed now goes with the run folder.
    let _ = fs::remove_dir_all(run.front(id).0);
}
