//! A client that says what it likes.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::server::PATIENCE;

/// A connection by TCP.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects and says nothing.
    pub fn connect(address: &str) -> Raw {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time can be set");
        Raw(stream)
    }

    /// Connects and says who it is.
    pub fn named(address: &str, user: &str) -> Raw {
        let mut raw = Raw::connect(address);
        let mut packet = (3u32 << 16).to_be_bytes().to_vec();
        packet.extend(format!("user\0{user}\0\0").bytes());
        raw.packet(&packet);
        raw
    }

    /// Sends a packet without a kind. A server that has hung up is noticed by reading.
    pub fn packet(&mut self, body: &[u8]) {
        let mut bytes = (body.len() as u32 + 4).to_be_bytes().to_vec();
        bytes.extend(body);
        let _ = self.0.write_all(&bytes);
    }

    /// Sends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Sends a message.
    pub fn message(&mut self, kind: u8, body: &[u8]) {
        let _ = self.0.write_all(&[kind]);
        self.packet(body);
    }

    /// Sends the first message of a conversation.
    pub fn first(&mut self, mechanism: &str, text: &[u8]) {
        let mut body = format!("{mechanism}\0").into_bytes();
        body.extend((text.len() as u32).to_be_bytes());
        body.extend(text);
        self.message(b'p', &body);
    }

    /// The next message; none at the end.
    pub fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    /// One byte, as the answer to a request for encryption is.
    pub fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).expect("a byte comes");
        byte[0]
    }

    /// The code and the text of the next message, which must be about authentication.
    pub fn asked(&mut self) -> (u32, String) {
        let (kind, body) = self.next().expect("a message comes");
        assert_eq!(char::from(kind), 'R', "{}", String::from_utf8_lossy(&body));
        let (code, text) = body.split_at(4);
        let code = u32::from_be_bytes(code.try_into().expect("four bytes"));
        (code, String::from_utf8_lossy(text).into_owned())
    }

    /// The SQLSTATE with which the server hangs up; empty if it says none.
    pub fn end(mut self) -> String {
        let mut state = String::new();
        while let Some((kind, body)) = self.next() {
            if kind == b'E' {
                let text = String::from_utf8_lossy(&body).into_owned();
                let field = text.split('\0').find_map(|field| field.strip_prefix('C'));
                field.expect("an error has a code").clone_into(&mut state);
            }
        }
        state
    }
}
