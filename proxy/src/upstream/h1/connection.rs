//! A connection to a backend: requests are written to it and responses read from it, one after the other.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use hyper::rt::Write;

use super::head;
use crate::circuit::Place;
use crate::flat::FlatIo;
use crate::h1::{Decoder, KnownNames, Lines, Malformed, ReadBuffer, RelayError};
use crate::socket::Socket;
use crate::upstream::{Outgoing, ReadError, ResponseHead, SendError};

/// The most that one read takes, and so what a client that does not read can have us hold.
const READ_AT_MOST: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    io: FlatIo,
    /// Read and not yet taken.
    read: ReadBuffer,
    /// The fields of the last head.
    pub(crate) lines: Lines,
    pub(crate) names: KnownNames,
    /// Its place among those that its backend may have.
    _place: Option<Place>,
}

impl Connection {
    pub(crate) fn new(stream: Socket, place: Option<Place>) -> Self {
        Self {
            io: FlatIo::new(stream),
            read: ReadBuffer::new(READ_AT_MOST),
            lines: Lines::default(),
            names: KnownNames::default(),
            _place: place,
        }
    }

    /// Whether it cannot take another request: the backend closed it, or sent what nobody asked for.
    pub(crate) fn is_stale(&mut self) -> bool {
        // No system call unless the runtime was told of something to read.
        let quiet =
            matches!(self.io.stream_mut().try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        !quiet || !self.read.bytes.is_empty()
    }

    /// Writes a request and reads the head of its final response; the body is still being written when that comes
    /// early.
    ///
    /// # Errors
    /// Why there is none. The connection is then of no more use.
    pub(crate) async fn send(&mut self, outgoing: &mut Outgoing, to_head: bool) -> Result<ResponseHead, SendError> {
        poll_fn(|cx| self.poll_send(cx, outgoing, to_head)).await
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
        to_head: bool,
    ) -> Poll<Result<ResponseHead, SendError>> {
        match outgoing.poll_write(cx, &mut self.io) {
            Poll::Ready(Err(RelayError::Body)) => return Poll::Ready(Err(SendError::Upload)),
            Poll::Ready(Err(RelayError::Io)) if !outgoing.has_begun() => return Poll::Ready(Err(SendError::NotSent)),
            // A backend may answer and close before it has read all: what it said still counts.
            Poll::Ready(Err(RelayError::Io) | Ok(())) | Poll::Pending => {}
        }
        loop {
            if !self.read.bytes.is_empty() {
                match head::parse(&mut self.read.bytes, to_head, &mut self.lines) {
                    Ok(Some(head)) if is_interim(head.status) => continue,
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(malformed) => return Poll::Ready(Err(SendError::Malformed(malformed))),
                }
            }
            if !matches!(ready!(self.poll_fill(cx)), Ok(1..)) {
                return Poll::Ready(Err(match self.read.bytes.is_empty() {
                    true => SendError::Reset,
                    false => SendError::Malformed(Malformed("a head that breaks off")),
                }));
            }
        }
    }

    /// Goes on writing a request whose response came early; an error shows when the response is read.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, outgoing: &mut Outgoing) {
        let _ = outgoing.poll_write(cx, &mut self.io);
    }

    /// Writes some of a tunnel's `pieces`; tells how many bytes.
    pub(crate) fn poll_write_raw(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    /// Tells the backend that nothing more comes.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// The next piece of a response body; `None` at its end.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &mut Decoder,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        loop {
            match decoder.decode(&mut self.read.bytes) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if decoder.is_done() => return Poll::Ready(None),
                Ok(None) => {}
                Err(malformed) => return Poll::Ready(Some(Err(malformed.into()))),
            }
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) if *decoder == Decoder::ToClose => {
                    *decoder = Decoder::Done;
                    return Poll::Ready(None);
                }
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(ReadError::Closed))),
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.poll_fill(cx, self.io.stream_mut())
    }
}

/// `101` ends HTTP on the connection, so it is final for us.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}
