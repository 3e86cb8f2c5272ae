//! What a request has of a connection to a backend: all of it over HTTP/1.1, a stream over HTTP/2. To whoever sends and
//! reads they are the same, but for how a head is written and where a response's fields lie.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use patchgate_config::snapshot::BackendProtocol;

use super::{Outgoing, ResponseHead, h1, h2};
use crate::h1::{Decoder, Malformed};

/// See the module. Boxed for as long as it lasts: it changes hands several times a request.
#[derive(Debug)]
pub(crate) enum Channel {
    Http1(Box<h1::Connection>),
    Http2(Box<h2::Stream>),
}

/// Why there is no response to a request.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The connection was closed before anything was written.
    NotSent,
    /// The backend said that it did nothing about the request (RFC 9113 §8.7).
    Refused,
    /// The connection or the stream ended without a byte of a response.
    Reset,
    /// What came is no response.
    Malformed(Malformed),
    /// The client's body failed.
    Upload,
}

/// Why a response body is not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The connection ended in it.
    #[error("the backend's connection ended in the body")]
    Closed,
    /// The stream ended in it.
    #[error("the backend's stream ended in the body")]
    Stream(#[source] ::h2::Error),
    /// Its framing is broken.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Channel {
    /// The protocol that the connection speaks.
    pub(crate) fn protocol(&self) -> BackendProtocol {
        match self {
            Self::Http1(_) => BackendProtocol::Http1,
            Self::Http2(_) => BackendProtocol::Http2,
        }
    }

    /// Sends a request and reads the head of its final response; the body is still being sent when that comes early.
    ///
    /// # Errors
    /// Why there is none. The channel is then of no more use.
    pub(crate) async fn send(&mut self, outgoing: &mut Outgoing, to_head: bool) -> Result<ResponseHead, SendError> {
        match self {
            Self::Http1(connection) => connection.send(outgoing, to_head).await,
            // Boxed: larger than what a request over HTTP/1.1 carries along.
            Self::Http2(stream) => Box::pin(stream.send(outgoing, to_head)).await,
        }
    }

    /// Goes on sending a request whose response came early, or gives it back: to be sent as the response is read.
    pub(crate) fn send_apart(&mut self, outgoing: Box<Outgoing>) -> Option<Box<Outgoing>> {
        match self {
            Self::Http1(_) => Some(outgoing),
            Self::Http2(stream) => {
                stream.send_apart(outgoing);
                None
            }
        }
    }

    /// Goes on sending a request whose response came early; an error shows when the response is read.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, outgoing: &mut Outgoing) {
        match self {
            Self::Http1(connection) => connection.poll_write(cx, outgoing),
            Self::Http2(stream) => {
                let _ = stream.poll_write(cx, outgoing);
            }
        }
    }

    /// The next piece of a response body; `None` at its end.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &mut Decoder,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        match self {
            Self::Http1(connection) => connection.poll_body(cx, decoder),
            Self::Http2(stream) => stream.poll_body(cx, decoder),
        }
    }

    /// Writes some of a tunnel's `pieces`; tells how many bytes.
    pub(crate) fn poll_write_raw(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Http1(connection) => connection.poll_write_raw(cx, pieces),
            Self::Http2(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Tells the backend that nothing more comes through the tunnel.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Http1(connection) => connection.poll_shutdown(cx),
            Self::Http2(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Whether the failure of a request on it may be that of a connection that was kept for too long.
    pub(super) fn has_lost_connection(&self) -> bool {
        match self {
            Self::Http1(_) => true,
            Self::Http2(stream) => stream.has_lost_connection(),
        }
    }
}
