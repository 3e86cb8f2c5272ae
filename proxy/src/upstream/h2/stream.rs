//! A request's stream: its head and body sent, its response read, on the request's own task.
//!
//! Dropped before its end it is reset (RST_STREAM, CANCEL), and its connection goes on for the others.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use tokio::task::AbortHandle;

use super::Connection;
use crate::h1::{Decoder, Malformed, RelayError};
use crate::upstream::{Outgoing, ReadError, ResponseHead, SendError};

/// See the module.
pub(crate) struct Stream {
    connection: Rc<Connection>,
    /// Until the head has come.
    response: Option<ResponseFuture>,
    /// Until all was sent, or no more is wanted.
    sending: Option<SendStream<Bytes>>,
    receiving: Option<RecvStream>,
    /// The task that goes on sending behind an early response.
    sender: Option<AbortHandle>,
    /// The fields of the response's head.
    pub(crate) fields: HeaderMap,
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stream").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Stream {
    /// A place on a connection; the stream itself is opened by the request.
    pub(super) fn on(connection: &Rc<Connection>) -> Self {
        let streams = &connection.state.streams;
        streams.set(streams.get() + 1);
        let connection = Rc::clone(connection);
        Self { connection, response: None, sending: None, receiving: None, sender: None, fields: HeaderMap::new() }
    }

    /// Whether its connection ended, and did not just reset this stream.
    pub(crate) fn has_lost_connection(&self) -> bool {
        self.connection.state.ended.get() || self.connection.is_over()
    }

    /// Sends a request and reads the head of its final response; the body is still being sent when that comes early.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn send(&mut self, outgoing: &mut Outgoing, to_head: bool) -> Result<ResponseHead, SendError> {
        let Some(request) = outgoing.take_request() else { return Err(SendError::NotSent) };
        let (response, sending) = self.connection.open(request, outgoing.has_ended()).map_err(|error| {
            tracing::debug!(%error, "no stream could be opened");
            SendError::NotSent
        })?;
        self.response = Some(response);
        outgoing.sent_head();
        match outgoing.has_ended() {
            true => outgoing.sent_all(),
            false => self.sending = Some(sending),
        }
        let head = poll_fn(|cx| self.poll_head(cx, outgoing)).await?;
        outgoing.is_answered();
        self.head(head, to_head)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, outgoing: &mut Outgoing) -> Poll<Result<Parts, SendError>> {
        if let Poll::Ready(Err(RelayError::Body)) = self.poll_write(cx, outgoing) {
            return Poll::Ready(Err(SendError::Upload));
        }
        let Some(response) = &mut self.response else { return Poll::Ready(Err(SendError::Reset)) };
        let polled = ready!(Pin::new(response).poll(cx));
        self.response = None;
        Poll::Ready(match polled {
            Ok(response) => {
                self.connection.state.heard.set(true);
                let (head, body) = response.into_parts();
                self.receiving = Some(body);
                Ok(head)
            }
            Err(error) => {
                tracing::debug!(%error, "a stream ended without a response");
                Err(meaning(&error))
            }
        })
    }

    fn head(&mut self, head: Parts, to_head: bool) -> Result<ResponseHead, SendError> {
        let Parts { status, headers, .. } = head;
        let length = length(&headers).map_err(SendError::Malformed)?;
        let ended = self.receiving.as_ref().is_none_or(RecvStream::is_end_stream);
        let bodiless = to_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.fields = headers;
        let decoder = if ended || bodiless { Decoder::Done } else { Decoder::Stream(length) };
        Ok(ResponseHead { status, length, decoder, keep_alive: true })
    }

    /// Goes on sending a request's body; ready when all is sent or no more is wanted.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, outgoing: &mut Outgoing) -> Poll<Result<(), RelayError>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(poll_send(cx, sending, outgoing));
        if sent == Err(RelayError::Body) {
            // What the backend has of it must not look whole.
            sending.send_reset(Reason::CANCEL);
        }
        self.sending = None;
        Poll::Ready(sent)
    }

    /// Goes on sending a request's body on a task of its own: a client that reads nothing for a while must not be kept
    /// from sending.
    pub(crate) fn send_apart(&mut self, mut outgoing: Box<Outgoing>) {
        let Some(mut sending) = self.sending.take() else { return };
        let task = tokio::task::spawn_local(async move {
            if poll_fn(|cx| poll_send(cx, &mut sending, &mut outgoing)).await == Err(RelayError::Body) {
                sending.send_reset(Reason::CANCEL);
            }
        });
        self.sender = Some(task.abort_handle());
    }

    /// The next piece of a response body; `None` at its end.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &mut Decoder,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let Some(receiving) = self.receiving.as_mut().filter(|_| !decoder.is_done()) else { return Poll::Ready(None) };
        loop {
            match ready!(receiving.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.connection.state.heard.set(true);
                    // It is the client's from here: who asks for a piece has room for it.
                    let _ = receiving.flow_control().release_capacity(data.len());
                    decoder.took(data.len(), receiving.is_end_stream());
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(ReadError::Stream(error)))),
                None => break,
            }
        }
        let trailers = ready!(receiving.poll_trailers(cx));
        *decoder = Decoder::Done;
        Poll::Ready(trailers.map_err(ReadError::Stream).transpose().map(|trailers| trailers.map(Frame::trailers)))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let streams = &self.connection.state.streams;
        streams.set(streams.get() - 1);
        if let Some(sender) = &self.sender {
            sender.abort();
        }
    }
}

/// Sends what there is of a body for as long as the backend takes it.
fn poll_send(
    cx: &mut Context<'_>,
    sending: &mut SendStream<Bytes>,
    outgoing: &mut Outgoing,
) -> Poll<Result<(), RelayError>> {
    loop {
        // Of how much the next piece is, nothing is known yet; once there is room for a byte of it, it is h2's to send.
        sending.reserve_capacity(1);
        while sending.capacity() == 0 {
            match ready!(sending.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(RelayError::Io)),
            }
        }
        if sending.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(RelayError::Io));
        }
        let (sent, ends) = match ready!(outgoing.poll_piece(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let ends = outgoing.has_ended();
                    (sending.send_data(data, ends), ends)
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => (sending.send_trailers(trailers), true),
                    Err(_) => continue,
                },
            },
            Some(Err(_)) => return Poll::Ready(Err(RelayError::Body)),
            None => (sending.send_data(Bytes::new(), true), true),
        };
        if sent.is_err() {
            return Poll::Ready(Err(RelayError::Io));
        }
        if ends {
            outgoing.sent_all();
            return Poll::Ready(Ok(()));
        }
    }
}

/// What the end of a stream without a response says of its request.
fn meaning(error: &h2::Error) -> SendError {
    // RFC 9113 §8.7: by these two the backend says that it did nothing about the request. h2 gives a remote GOAWAY to
    // those streams only that are above the last one which the backend names.
    let refused = error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
    match () {
        () if refused => SendError::Refused,
        () if error.is_library() => SendError::Malformed(Malformed("a frame or a head that HTTP/2 does not allow")),
        () => SendError::Reset,
    }
}

/// What the head says of the body's length.
fn length(fields: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut all = fields.get_all(CONTENT_LENGTH).iter();
    let Some(first) = all.next() else { return Ok(None) };
    if all.any(|other| other != first) {
        return Err(Malformed("content-lengths that differ"));
    }
    let text = first.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).map(Some).ok_or(Malformed("a content-length that is no number"))
}
