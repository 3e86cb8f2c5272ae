//! The two bodies of a request: what the client uploads, and what it is sent.
//!
//! Neither is boxed. Both end their part of the request's story exactly once, however they end.

mod kept;
mod upload;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use patchgate_config::snapshot::BackendId;
use tokio::time::Instant;

use crate::capture::{capture, capture_call};
use crate::connection::{RequestBodyError, Upload};
use crate::exchange::{Exchange, Finish};
use crate::forward::hop::strip_trailers;
use crate::h1::Decoder;
use crate::tunnel::Tunnel;
use crate::upstream::{Lease, Outgoing, ReadError};
pub(crate) use upload::UploadBody;

/// Why a body broke off. The stream is reset or the connection closed for it, so that what was sent never looks
/// complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client's side failed.
    #[error("the request body broke off")]
    Upload(#[source] RequestBodyError),
    /// The backend's side failed.
    #[error("the response body broke off")]
    Download(#[from] ReadError),
    /// A mirror's copy was given up.
    #[error("the copy of the body was given up")]
    CopyGivenUp,
    /// Nothing moved for too long, or the request as a whole took too long.
    #[error("the body took too long")]
    TimedOut,
}

/// In place of a bound on the whole: further away than any process lives.
const UNBOUNDED: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A response's body on its way to the client.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    source: Source,
    /// For whoever writes the head in front of it.
    pub(crate) relayed: Relayed,
    /// Taken when the body ended, one way or another.
    exchange: Option<Rc<Exchange>>,
}

/// What an HTTP/1.1 client is told of a backend's head, beside the status and the response's map of fields.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    /// Field lines, none that frames the message.
    pub(crate) text: Bytes,
    /// `date` is one of them.
    pub(crate) dated: bool,
    /// What the backend said of the body's length; where there is no body, it says so of another response's.
    pub(crate) length: Option<u64>,
}

#[derive(Debug)]
enum Source {
    /// None, or a short text of our own.
    Local(Option<Bytes>),
    /// Relayed as it comes.
    Upstream(Download),
}

/// A backend's response body; its connection lies in the exchange.
#[derive(Debug)]
struct Download {
    decoder: Decoder,
    /// The request, where the response came before all of it was written.
    outgoing: Option<Box<Outgoing>>,
    keep_alive: bool,
    backend: BackendId,
    idle: Duration,
    /// Something came since the deadline was set.
    moved: bool,
    /// Its place among the streams that are watched, on HTTP/2.
    stream: Option<usize>,
    /// The other direction, where both are a tunnel.
    tunnel: Option<Tunnel>,
}

/// What a backend answered with, behind the head.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) lease: Lease,
    pub(crate) length: Option<u64>,
    pub(crate) decoder: Decoder,
    pub(crate) keep_alive: bool,
    /// The request, unless all of it was written.
    pub(crate) outgoing: Option<Box<Outgoing>>,
    pub(crate) backend: BackendId,
}

// === impl ResponseBody ===

impl ResponseBody {
    /// A body of our own.
    pub(crate) fn local(text: Bytes, exchange: Rc<Exchange>) -> Self {
        let text = (!text.is_empty()).then_some(text);
        Self { source: Source::Local(text), relayed: Relayed::default(), exchange: Some(exchange) }
    }

    /// A backend's body. `idle` bounds the pauses of the backend; the exchange's own deadline is used for it.
    pub(crate) fn upstream(
        answer: Answer,
        relayed: Relayed,
        now: Instant,
        idle: Duration,
        exchange: Rc<Exchange>,
    ) -> Self {
        let Answer { lease, decoder, keep_alive, outgoing, backend, .. } = answer;
        *exchange.download.lease.borrow_mut() = Some(lease);
        let download =
            Download { decoder, outgoing, keep_alive, backend, idle, moved: false, stream: None, tunnel: None };
        let mut this = Self { source: Source::Upstream(download), relayed, exchange: Some(Rc::clone(&exchange)) };
        if this.source_ended() {
            this.finish(Finish::Complete);
            return this;
        }
        exchange.deadline.set((now + idle).min(exchange.total_at.get()));
        if let Source::Upstream(download) = &mut this.source
            && exchange.facts.borrow().version == Version::HTTP_2
        {
            download.stream = Some(exchange.connection.streams.enter(&exchange));
        }
        this
    }

    /// Both directions of a connection that is no longer HTTP. `idle` bounds the time in which neither moves; there is
    /// no other bound.
    pub(crate) fn tunnel(
        mut answer: Answer,
        relayed: Relayed,
        now: Instant,
        idle: Duration,
        exchange: Rc<Exchange>,
        upload: Upload,
    ) -> Self {
        exchange.total_at.set(now + UNBOUNDED);
        answer.decoder = Decoder::ToClose;
        answer.keep_alive = false;
        let mut this = Self::upstream(answer, relayed, now, idle, Rc::clone(&exchange));
        if let Source::Upstream(download) = &mut this.source {
            download.tunnel = Some(Tunnel::begin(&exchange, upload));
        }
        this
    }

    fn source_ended(&self) -> bool {
        match &self.source {
            Source::Local(text) => text.is_none(),
            Source::Upstream(download) => download.decoder.is_done(),
        }
    }

    fn finish(&mut self, finish: Finish) {
        let Some(exchange) = self.exchange.take() else { return };
        if let Source::Upstream(download) = &mut self.source {
            if let Some(stream) = download.stream {
                exchange.connection.streams.leave(stream);
            }
            let written = download.outgoing.as_ref().is_none_or(|outgoing| outgoing.is_done());
            let lease = exchange.download.lease.take();
            if let Some(lease) = lease
                && finish == Finish::Complete
                && download.keep_alive
                && written
            {
                lease.give_back();
            }
        }
        exchange.finish(finish);
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let download = match &mut self.source {
            Source::Local(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Source::Upstream(download) => download,
        };
        // Taken when the body ended.
        let Some(exchange) = &self.exchange else { return Poll::Ready(None) };
        let mut lease = exchange.download.lease.borrow_mut();
        // Taken by whoever gave up on the client.
        let Some(lease) = &mut *lease else { return Poll::Ready(Some(Err(BodyError::TimedOut))) };
        let is_tunnel = download.tunnel.is_some();
        if exchange.deadline.has_passed()
            && (Instant::now() >= exchange.total_at.get() || is_tunnel && exchange.worker().is_drain_over())
        {
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        if let Some(outgoing) = &mut download.outgoing {
            lease.channel.poll_write(cx, outgoing);
        }
        exchange.download.waits_for_backend.set(false);
        match lease.channel.poll_body(cx, &mut download.decoder) {
            Poll::Ready(Some(Ok(mut frame))) => {
                download.moved = true;
                exchange.download.pieces.set(exchange.download.pieces.get() + 1);
                if let (true, Some(data)) = (is_tunnel, frame.data_ref()) {
                    exchange.worker().telemetry.tunnelled("downstream", data.len());
                }
                if let Some(trailers) = frame.trailers_mut() {
                    capture(exchange, trailers, download.backend);
                    capture_call(exchange, trailers);
                    strip_trailers(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                exchange.download.waits_for_backend.set(true);
                ready!(exchange.deadline.poll_passed(cx));
                let now = Instant::now();
                let moved = std::mem::take(&mut download.moved) | exchange.upload.tunnelled.take();
                let is_over = is_tunnel && exchange.worker().is_drain_over();
                if moved && !is_over && now < exchange.total_at.get() {
                    // Something moved since the deadline was set: another pause begins.
                    exchange.deadline.set((now + download.idle).min(exchange.total_at.get()));
                    return exchange.deadline.poll_passed(cx).map(|()| Some(Err(BodyError::TimedOut)));
                }
                Poll::Ready(Some(Err(BodyError::TimedOut)))
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = this.poll_source(cx);
        match &polled {
            Poll::Ready(None) => this.finish(Finish::Complete),
            Poll::Ready(Some(Ok(_))) if this.source_ended() => this.finish(Finish::Complete),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
            Poll::Ready(Some(Err(BodyError::TimedOut))) => this.finish(Finish::TimedOut),
            Poll::Ready(Some(Err(BodyError::Upload(_) | BodyError::Download(_) | BodyError::CopyGivenUp))) => {
                this.finish(Finish::Broken)
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Local(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Source::Upstream(download) => download.decoder.exact().map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // Ended without being polled to the end: a response without a body, or a client that left.
        let finish = if self.source_ended() { Finish::Complete } else { Finish::ClientGone };
        self.finish(finish);
    }
}
