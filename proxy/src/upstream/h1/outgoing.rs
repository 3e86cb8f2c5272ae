//! A request on its way: the head, then the body as the client sends it.

use std::fmt::Write;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use http_body::{Body, Frame};
use hyper::rt::Write as _;

use crate::body::UploadBody;
use crate::flat::FlatIo;

/// Up to this size a piece of body is copied behind the head, so that both leave in one packet.
const COPIED: usize = 16 * 1024;

/// How a request's body is delimited (RFC 9112 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Pieces with their lengths.
    Chunked,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outgoing {
    body: UploadBody,
    framing: Framing,
    /// The head, then small pieces of body; what is left of them.
    text: Bytes,
    /// Framing and small pieces that wait behind `text`.
    behind: BytesMut,
    /// A large piece of body, behind both.
    data: Bytes,
    /// The chunk in `data` still lacks its end.
    open_chunk: bool,
    /// Bytes of a body of known length that are still to come.
    missing: u64,
    /// The backend may have got something.
    begun: bool,
    /// All of the body is in the buffers.
    ended: bool,
}

/// Why a request was not written to its end.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The connection failed.
    Io,
    /// The client's body failed, stalled or was shorter than it said.
    Upload,
}

impl Framing {
    pub(crate) fn of(body: &UploadBody) -> Self {
        if body.is_end_stream() {
            return Self::None;
        }
        body.size_hint().exact().map_or(Self::Chunked, Self::Length)
    }

    /// Appends the fields that say so.
    pub(crate) fn write(self, method: &Method, out: &mut BytesMut) {
        let written = match self {
            // A method that usually has a body says that there is none (RFC 9110 §8.6).
            Self::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
                out.write_str("content-length: 0\r\n")
            }
            Self::None => Ok(()),
            Self::Length(length) => write!(out, "content-length: {length}\r\n"),
            Self::Chunked => out.write_str("transfer-encoding: chunked\r\n"),
        };
        debug_assert!(written.is_ok(), "a growing buffer takes every write");
    }
}

impl Outgoing {
    pub(crate) fn new(body: UploadBody, framing: Framing) -> Self {
        let missing = if let Framing::Length(length) = framing { length } else { 0 };
        Self {
            ended: framing == Framing::None,
            body,
            framing,
            text: Bytes::new(),
            behind: BytesMut::new(),
            data: Bytes::new(),
            open_chunk: false,
            missing,
            begun: false,
        }
    }

    /// Puts the head of an attempt in front of what is to be written. A request of which something was written may
    /// only begin anew if it has no body.
    pub(crate) fn begin(&mut self, head: Bytes) {
        debug_assert!(!self.begun || self.framing == Framing::None, "a body that was sent is gone");
        self.text = head;
        self.begun = false;
    }

    /// Whether the backend may have got something of it.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether all of it was handed to the kernel.
    pub(crate) fn is_done(&self) -> bool {
        self.ended && !self.text.has_remaining() && self.behind.is_empty() && self.data.is_empty()
    }

    /// Writes on; ready when all is written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, io: &mut FlatIo) -> Poll<Result<(), WriteError>> {
        loop {
            // A piece that is there already leaves with the head.
            let waits = self.poll_fill(cx)?.is_pending();
            while self.text.has_remaining() || !self.behind.is_empty() || !self.data.is_empty() {
                ready!(self.poll_write_some(cx, io)).map_err(|_| WriteError::Io)?;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return Poll::Pending;
            }
        }
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>, io: &mut FlatIo) -> Poll<io::Result<()>> {
        let pieces = [IoSlice::new(&self.text), IoSlice::new(&self.behind), IoSlice::new(&self.data)];
        let used = match (self.behind.is_empty(), self.data.is_empty()) {
            (true, true) => 1,
            (false, true) => 2,
            _ => 3,
        };
        let mut written = ready!(Pin::new(io).poll_write_vectored(cx, &pieces[..used]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.begun = true;
        for piece in [&mut self.text as &mut dyn Buf, &mut self.behind, &mut self.data] {
            let taken = written.min(piece.remaining());
            piece.advance(taken);
            written -= taken;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what the client has sent of the body, one piece at most; pending when that is nothing yet.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if self.ended || !self.data.is_empty() || self.behind.len() > COPIED {
            return Poll::Ready(Ok(()));
        }
        if std::mem::take(&mut self.open_chunk) {
            self.behind.extend_from_slice(b"\r\n");
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.frame(frame)?;
                // What ends the body goes behind all of it.
                if self.body.is_end_stream() && !self.ended && self.data.is_empty() {
                    self.end()?;
                }
            }
            Some(Err(_)) => return Poll::Ready(Err(WriteError::Upload)),
            None => self.end()?,
        }
        Poll::Ready(Ok(()))
    }

    fn frame(&mut self, frame: Frame<Bytes>) -> Result<(), WriteError> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => Ok(()),
            Ok(data) => self.piece(data),
            Err(frame) => match (frame.into_trailers(), self.framing) {
                (Ok(trailers), Framing::Chunked) => {
                    self.behind.extend_from_slice(b"0\r\n");
                    for (name, value) in &trailers {
                        self.behind.extend_from_slice(name.as_str().as_bytes());
                        self.behind.extend_from_slice(b": ");
                        self.behind.extend_from_slice(value.as_bytes());
                        self.behind.extend_from_slice(b"\r\n");
                    }
                    self.behind.extend_from_slice(b"\r\n");
                    self.ended = true;
                    Ok(())
                }
                // A body of known length has no room for trailers.
                _ => Ok(()),
            },
        }
    }

    fn piece(&mut self, data: Bytes) -> Result<(), WriteError> {
        let chunked = self.framing == Framing::Chunked;
        if chunked {
            let written = write!(self.behind, "{:x}\r\n", data.len());
            debug_assert!(written.is_ok(), "a growing buffer takes every write");
        } else {
            // More than was said would be read as the next request.
            self.missing = self.missing.checked_sub(data.len() as u64).ok_or(WriteError::Upload)?;
        }
        if data.len() <= COPIED {
            self.behind.extend_from_slice(&data);
            if chunked {
                self.behind.extend_from_slice(b"\r\n");
            }
        } else {
            self.data = data;
            self.open_chunk = chunked;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        match self.framing {
            Framing::None => {}
            Framing::Length(_) if self.missing > 0 => return Err(WriteError::Upload),
            Framing::Length(_) => {}
            Framing::Chunked => self.behind.extend_from_slice(b"0\r\n\r\n"),
        }
        self.ended = true;
        Ok(())
    }
}
