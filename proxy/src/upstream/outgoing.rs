//! A request on its way, in either protocol: the head, then the body as the client sends it.

use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, Request};
use http_body::{Body, Frame};
use hyper::rt::Write as _;

use crate::body::{BodyError, UploadBody};
use crate::flat::FlatIo;
use crate::h1::{Encoder, Framing, RelayError};

/// See the module.
#[derive(Debug)]
pub(crate) struct Outgoing {
    body: UploadBody,
    encoder: Encoder,
    /// The backend may have got something.
    begun: bool,
    /// The head, where it goes out on a stream.
    request: Option<Box<Request<()>>>,
    /// All of it went out on a stream.
    streamed: bool,
}

/// How a request's body is framed for a backend.
pub(crate) fn framing_of(body: &UploadBody) -> Framing {
    if body.is_end_stream() {
        return Framing::None;
    }
    body.size_hint().exact().map_or(Framing::Chunked, Framing::Length)
}

/// Appends the fields that say so.
pub(crate) fn write_framing(framing: Framing, method: &Method, out: &mut BytesMut) {
    let written = match framing {
        // A method that usually has a body says that there is none (RFC 9110 §8.6).
        Framing::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            out.write_str("content-length: 0\r\n")
        }
        Framing::None | Framing::ToClose => Ok(()),
        Framing::Length(length) => write!(out, "content-length: {length}\r\n"),
        Framing::Chunked => out.write_str("transfer-encoding: chunked\r\n"),
    };
    debug_assert!(written.is_ok(), "a growing buffer takes every write");
}

impl Outgoing {
    pub(crate) fn new(body: UploadBody, framing: Framing) -> Self {
        Self { body, encoder: Encoder::new(framing), begun: false, request: None, streamed: false }
    }

    /// The same body for a mirror; `None` if it is known to have more than `most` bytes. Before anything was sent.
    pub(crate) fn copied(&mut self, most: usize) -> Option<Self> {
        Some(Self::new(self.body.copied(most)?, self.encoder.framing()))
    }

    /// Puts the head of an attempt in front of what is to be written. A request of which something was written may
    /// only begin anew if it has no body.
    pub(crate) fn begin(&mut self, head: Bytes) {
        debug_assert!(!self.begun || self.encoder.framing() == Framing::None, "a body that was sent is gone");
        self.encoder.head(head);
        self.begun = false;
    }

    /// The same for a stream. What of the body goes out on it is kept for a while, as the backend may refuse the stream.
    pub(crate) fn begin_stream(&mut self, request: Request<()>) {
        self.request = Some(Box::new(request));
        self.body.keep();
        self.begun = false;
    }

    /// Whether it can be sent from its beginning, to a backend that got all or some of it and did nothing about it.
    pub(crate) fn rewind(&mut self) -> bool {
        let can = self.body.rewind();
        self.begun &= !can;
        self.streamed &= !can;
        can
    }

    /// Whether the backend may have got something of it.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether all of it was handed to the kernel.
    pub(crate) fn is_done(&self) -> bool {
        self.streamed || self.encoder.has_ended() && self.encoder.is_flushed()
    }

    /// The head for a stream.
    pub(super) fn take_request(&mut self) -> Option<Request<()>> {
        self.request.take().map(|request| *request)
    }

    /// The head went out on a stream.
    pub(super) fn sent_head(&mut self) {
        self.begun = true;
    }

    /// The next piece for a stream; `None` at the end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    /// Whether nothing of the body is left, or there is none.
    pub(super) fn has_ended(&self) -> bool {
        self.body.is_end_stream()
    }

    /// All of it went out on the stream.
    pub(super) fn sent_all(&mut self) {
        self.streamed = true;
    }

    /// The backend answers: nothing of the body will be sent again.
    pub(super) fn is_answered(&mut self) {
        self.body.forget();
    }

    /// Writes on to a connection of HTTP/1.1; ready when all is written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, io: &mut FlatIo) -> Poll<Result<(), RelayError>> {
        let begun = &mut self.begun;
        self.encoder.poll_relay(cx, &mut self.body, |cx, pieces| {
            let written = ready!(Pin::new(&mut *io).poll_write_vectored(cx, pieces))?;
            *begun |= written > 0;
            Poll::Ready(Ok(written))
        })
    }
}
