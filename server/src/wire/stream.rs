//! A client's connection as bytes: what has come and is not yet read, and what is to go out.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::encode::Output;
use super::tls::Tls;

/// Bytes that are read at once, and that the buffer keeps.
const READ_BYTES: usize = 16 << 10;
/// Output that leaves although more is to come.
pub const OUTPUT_BYTES_FULL: usize = 64 << 10;

/// How long the last bytes to a client may take.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);

/// What a client is connected by.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TCP, encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// TCP that is being encrypted, or failed to be. Nothing can be read or written.
    Changing,
}

macro_rules! with_stream {
    ($stream:expr, $inner:ident => $act:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($inner) => $act,
            Stream::Unix($inner) => $act,
            Stream::Tls($inner) => $act,
            Stream::Changing => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        with_stream!(self, inner => Pin::new(inner).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        with_stream!(self, inner => Pin::new(inner).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_stream!(self, inner => Pin::new(inner).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_stream!(self, inner => Pin::new(inner).poll_shutdown(context))
    }
}

/// The way out, and the stream both ways.
#[derive(Debug)]
pub struct Io {
    /// The connection.
    pub stream: Stream,
    /// What is to go out.
    pub out: Output,
    /// What the connection was encrypted with.
    tls: Option<Rc<Tls>>,
}

impl Io {
    /// A connection with nothing to go out.
    pub fn new(stream: Stream) -> Io {
        Io { stream, out: Output::default(), tls: None }
    }

    /// Goes on encrypted, if the connection is plain TCP.
    ///
    /// # Errors
    ///
    /// The client does not want to, or the connection is broken.
    pub async fn encrypt(&mut self, tls: Rc<Tls>) -> io::Result<()> {
        assert!(self.out.bytes.is_empty(), "what was to go out in the clear has gone");
        self.stream = match std::mem::replace(&mut self.stream, Stream::Changing) {
            Stream::Tcp(stream) => Stream::Tls(Box::new(tls.accept(stream).await?)),
            other => other,
        };
        self.tls = Some(tls);
        Ok(())
    }

    /// What the connection was encrypted with, if it was.
    pub fn tls(&self) -> Option<&Rc<Tls>> {
        self.tls.as_ref()
    }

    /// Whether nobody on the way can read along.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Tells the client that nothing more comes, where that is not seen from the end of the connection alone.
    pub async fn finish(&mut self) {
        if self.is_encrypted() {
            // A client that does not read is left alone.
            let _ = tokio::time::timeout(FAREWELL_TIME_MAX, self.stream.shutdown()).await;
        }
    }

    /// Sends all that is to go out.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.out.bytes.is_empty() {
            self.stream.write_all(&self.out.bytes).await?;
            self.stream.flush().await?;
            self.out.bytes.clear();
            self.out.bytes.shrink_to(OUTPUT_BYTES_FULL);
        }
        Ok(())
    }

    /// Sends what is to go out if it is much, so that a large result needs no large buffer and a slow client slows it down.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.out.bytes.len() >= OUTPUT_BYTES_FULL { self.flush().await } else { Ok(()) }
    }
}

/// Bytes that have come. It grows with what comes, never with what a client says will come.
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// Where a message lies.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    start: usize,
    end: usize,
}

impl Input {
    /// Nothing.
    pub fn new() -> Input {
        Input { bytes: vec![0; READ_BYTES], start: 0, end: 0 }
    }

    /// What is there and not taken.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes so many bytes that are there.
    pub fn take(&mut self, count: usize) -> Place {
        let place = Place { start: self.start, end: self.start + count };
        assert!(place.end <= self.end, "only what is there can be taken");
        self.start = place.end;
        place
    }

    /// The bytes at a place that was taken, until the next [`Input::fill`].
    pub fn at(&self, place: Place) -> &[u8] {
        &self.bytes[place.start..place.end]
    }

    /// The kind and the length of the body of the next message, once its head is there.
    pub fn head(&self) -> Option<(u8, usize)> {
        let (kind, rest) = self.rest().split_first()?;
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        Some((*kind, length))
    }

    /// Waits for more bytes; false at the end of the stream.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn fill(&mut self, stream: &mut Stream) -> io::Result<bool> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > READ_BYTES {
                self.bytes.truncate(READ_BYTES);
                self.bytes.shrink_to_fit();
            }
        } else if self.bytes.len() - self.end < READ_BYTES / 4 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.bytes.len() - self.end < READ_BYTES / 4 {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
        }
        let count = stream.read(&mut self.bytes[self.end..]).await?;
        self.end += count;
        Ok(count > 0)
    }
}
