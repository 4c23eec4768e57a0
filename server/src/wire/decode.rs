//! What clients send, read in place.
//!
//! Nothing here allocates for a message, and no length that a client claims is believed before the bytes are there: a message is
//! read through a [`Reader`] that fails where the bytes end. Text must be UTF-8 without zeros.
//!
//! ```text
//! startup packet:  length u32 (with itself), code u32, body          no kind; at most 10,000 bytes
//! message:         kind u8, length u32 (with itself), body           at most 16 MiB
//! ```

use sql::SqlError;

/// Longest startup packet, as in PostgreSQL.
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// Longest message.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The protocol that is spoken: 3.0.
pub const PROTOCOL: u32 = 3 << 16;
/// Code of a packet that asks to cancel what another connection does.
pub const CANCEL: u32 = 1234 << 16 | 5678;
/// Code of a packet that asks for TLS.
pub const TLS: u32 = 1234 << 16 | 5679;
/// Code of a packet that asks for GSSAPI.
pub const GSS: u32 = 1234 << 16 | 5680;

/// Shorthand of this module.
type Result<T> = std::result::Result<T, SqlError>;

/// A message.
#[derive(Debug)]
pub enum Message<'a> {
    /// Statements to run at once.
    Query(&'a str),
    /// Prepares a statement.
    Parse {
        /// Its name; empty for the unnamed one.
        name: &'a str,
        /// Its text.
        sql: &'a str,
        /// Types of parameters as far as the client says; 0 where it does not.
        types: List<'a, 4>,
    },
    /// Gives a statement its parameters.
    Bind(Bind<'a>),
    /// Asks what a statement or portal has.
    Describe(Target<'a>),
    /// Runs a portal.
    Execute {
        /// Its name.
        portal: &'a str,
        /// Most rows to return now; 0 for all.
        rows_max: u32,
    },
    /// Forgets a statement or portal.
    Close(Target<'a>),
    /// Asks for the answers so far.
    Flush,
    /// Ends a group of messages.
    Sync,
    /// Ends the connection.
    Terminate,
    /// A piece of what is copied in.
    CopyData(&'a [u8]),
    /// The end of what is copied in.
    CopyDone,
    /// The client gives up copying.
    CopyFail(&'a str),
    /// A password, or a step of SASL.
    Password,
}

/// A statement or a portal.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A prepared statement.
    Statement(&'a str),
    /// A portal.
    Portal(&'a str),
}

/// The message that gives a statement its parameters.
#[derive(Debug, Clone, Copy)]
pub struct Bind<'a> {
    /// Name of the portal that it makes.
    pub portal: &'a str,
    /// The statement.
    pub statement: &'a str,
    /// Formats of the parameters: none, one for all, or one each.
    pub formats: List<'a, 2>,
    /// The parameters.
    pub values: Values<'a>,
    /// Formats of the result's columns: none, one for all, or one each.
    pub results: List<'a, 2>,
}

/// Numbers of `SIZE` bytes.
#[derive(Debug, Clone, Copy)]
pub struct List<'a, const SIZE: usize>(&'a [u8]);

impl<const SIZE: usize> List<'_, SIZE> {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len() / SIZE
    }

    /// The numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0
            .chunks_exact(SIZE)
            .map(|bytes| bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// The number for place `at` by the rule of formats: none is 0, one is for all.
    pub fn format(&self, at: usize) -> u32 {
        let at = if self.len() == 1 { 0 } else { at };
        let bytes = self.0.get(at * SIZE..(at + 1) * SIZE).unwrap_or_default();
        bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
    }
}

/// Parameters, none for NULL.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The parameters, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let mut reader = Reader(self.bytes);
        (0..self.count).map_while(move |_| reader.value().ok())
    }
}

/// Reads fields off the front of bytes.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// A number of two bytes.
    pub fn short(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().expect("two bytes")))
    }

    /// A number of four bytes.
    pub fn word(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    /// Text up to a zero, which is taken too.
    pub fn text(&mut self) -> Result<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
        let text = self.take(end)?;
        self.take(1)?;
        utf8(text)
    }

    /// A length and so many bytes; none if the length is -1.
    pub fn value(&mut self) -> Result<Option<&'a [u8]>> {
        match self.word()? {
            u32::MAX => Ok(None),
            length => self.take(length as usize).map(Some),
        }
    }

    fn list<const SIZE: usize>(&mut self) -> Result<List<'a, SIZE>> {
        let count = usize::from(self.short()?);
        Ok(List(self.take(count * SIZE)?))
    }

    fn values(&mut self) -> Result<Values<'a>> {
        let count = usize::from(self.short()?);
        let bytes = self.0;
        for _ in 0..count {
            self.value()?;
        }
        Ok(Values { count, bytes: &bytes[..bytes.len() - self.0.len()] })
    }

    fn target(&mut self) -> Result<Target<'a>> {
        match self.byte()? {
            b'S' => Ok(Target::Statement(self.text()?)),
            b'P' => Ok(Target::Portal(self.text()?)),
            _ => Err(malformed()),
        }
    }

    fn end<T>(&self, value: T) -> Result<T> {
        if self.0.is_empty() { Ok(value) } else { Err(malformed()) }
    }
}

/// Reads the body of a message of this kind.
///
/// # Errors
///
/// 08P01 for bytes that are no such message, 22021 for text that is not UTF-8. The next message can be read all the same.
pub fn message(kind: u8, body: &[u8]) -> Result<Message<'_>> {
    let mut reader = Reader(body);
    let message = match kind {
        b'Q' => Message::Query(reader.text()?),
        b'P' => Message::Parse { name: reader.text()?, sql: reader.text()?, types: reader.list()? },
        b'B' => Message::Bind(Bind {
            portal: reader.text()?,
            statement: reader.text()?,
            formats: reader.list()?,
            values: reader.values()?,
            results: reader.list()?,
        }),
        b'D' => Message::Describe(reader.target()?),
        b'E' => Message::Execute { portal: reader.text()?, rows_max: reader.word()? },
        b'C' => Message::Close(reader.target()?),
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'd' => return Ok(Message::CopyData(body)),
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail(reader.text()?),
        b'p' => return Ok(Message::Password),
        other => {
            let shown = char::from(other).escape_default();
            return Err(SqlError::new("08P01", format!("there is no message of kind '{shown}'")));
        }
    };
    reader.end(message)
}

/// Whether there are messages of this kind; another byte means that the client and we no longer agree where messages begin.
pub fn is_kind(kind: u8) -> bool {
    b"QPBDECHSXdcfpF".contains(&kind)
}

/// Bytes as text.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| not_text())
}

/// The error for bytes that are no text.
pub fn not_text() -> SqlError {
    SqlError::new("22021", "invalid byte sequence for encoding \"UTF8\"")
}

/// The error for bytes that are no message.
pub fn malformed() -> SqlError {
    SqlError::new("08P01", "invalid message format")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_is_read_in_place() {
        let mut body = b"p\0s\0".to_vec();
        body.extend([0, 1, 0, 1]);
        body.extend([0, 2, 0, 0, 0, 2, b'h', b'i', 0xff, 0xff, 0xff, 0xff]);
        body.extend([0, 0]);
        let Ok(Message::Bind(bind)) = message(b'B', &body) else { panic!("it is a bind") };
        assert_eq!((bind.portal, bind.statement), ("p", "s"));
        assert_eq!((bind.formats.format(0), bind.formats.format(7), bind.results.format(3)), (1, 1, 0));
        assert_eq!(bind.values.iter().collect::<Vec<_>>(), [Some(b"hi".as_slice()), None]);
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let state = |kind, body: &[u8]| message(kind, body).expect_err("refused").sqlstate;
        assert_eq!(state(b'Q', b"no end"), "08P01");
        assert_eq!(state(b'Q', b"a\0b"), "08P01");
        assert_eq!(state(b'Q', b"\xff\0"), "22021");
        assert_eq!(state(b'B', b"\0\0\0\0\0\x01\0\0\0\x09x"), "08P01");
        assert_eq!(state(b'B', b"\0\0\xff\xff"), "08P01");
        assert_eq!(state(b'D', b"Xname\0"), "08P01");
        assert_eq!(state(b'?', b""), "08P01");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        fastrand::seed(7);
        for _ in 0..20_000 {
            let body: Vec<u8> =
                (0..fastrand::usize(..40)).map(|_| fastrand::u8(..) & fastrand::u8(..)).collect();
            for kind in *b"QPBDECHSXdcfp?" {
                if let Ok(Message::Bind(bind)) = message(kind, &body) {
                    assert_eq!(bind.values.iter().count(), bind.values.len());
                }
            }
        }
    }
}
