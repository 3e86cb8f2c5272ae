//! A request's body on its way to a backend, and its copy for a mirror.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::BodyError;
use super::kept::Kept;
use crate::connection::RequestBody;
use crate::deadline::Deadline;
use crate::exchange::Exchange;
use crate::forward::hop::strip_trailers;
use crate::forward::tee::Tee;

/// A request's body on its way to a backend.
#[derive(Debug)]
pub(crate) enum UploadBody {
    /// There is none.
    Empty,
    /// Relayed as it comes.
    Streaming(Box<Streaming>),
    /// A mirror's copy.
    Copied(Rc<Tee>),
}

#[derive(Debug)]
pub(crate) struct Streaming {
    body: RequestBody,
    exchange: Rc<Exchange>,
    deadline: Deadline,
    idle: Duration,
    /// A mirror's copy.
    tee: Option<Rc<Tee>>,
    /// What went out on a stream that may be refused.
    kept: Option<Kept>,
}

impl UploadBody {
    /// A copy of it, made as it is relayed, of at most `most` bytes; `None` if it is known to have more.
    pub(crate) fn copied(&mut self, most: usize) -> Option<Self> {
        match self {
            Self::Streaming(streaming) => {
                if streaming.body.size_hint().lower() > most as u64 {
                    return None;
                }
                let tee = Tee::new(most);
                streaming.tee = Some(Rc::clone(&tee));
                Some(Self::Copied(tee))
            }
            Self::Empty | Self::Copied(_) => Some(Self::Empty),
        }
    }

    /// Keeps what goes out from now on, until it is [forgotten](Self::forget).
    pub(crate) fn keep(&mut self) {
        if let Self::Streaming(streaming) = self {
            streaming.kept.get_or_insert_default();
        }
    }

    /// Begins anew with what was kept; false: not all of it is there.
    pub(crate) fn rewind(&mut self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(streaming) => streaming.kept.as_mut().is_some_and(Kept::rewind),
            Self::Copied(_) => false,
        }
    }

    /// Keeps nothing any more.
    pub(crate) fn forget(&mut self) {
        if let Self::Streaming(streaming) = self {
            streaming.kept = None;
        }
    }

    /// Wraps a request's body; the listener's limit bounds the pauses of the client.
    pub(crate) fn new(body: RequestBody, exchange: &Rc<Exchange>) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let connection = &exchange.connection;
        let idle = connection.listener.with(|listener| listener.limits.body_idle_timeout);
        let deadline = connection.worker.deadlines.enter();
        deadline.set(Instant::now() + idle);
        exchange.upload.pending.set(true);
        Self::Streaming(Box::new(Streaming {
            body,
            exchange: Rc::clone(exchange),
            deadline,
            idle,
            tee: None,
            kept: None,
        }))
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if let Some(tee) = &self.tee {
            // Without effect on one that is whole.
            tee.give_up();
        }
    }
}

impl Streaming {
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.kept.as_ref().is_some_and(Kept::is_replaying)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(again) = self.kept.as_mut().and_then(Kept::replay) {
            return Poll::Ready(Some(Ok(again)));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                self.deadline.set(Instant::now() + self.idle);
                if let Some(trailers) = frame.trailers_mut() {
                    strip_trailers(trailers);
                }
                if let Some(tee) = &self.tee {
                    tee.copy(&frame);
                }
                if let Some(kept) = &mut self.kept {
                    kept.keep(&frame);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.exchange.upload.broken.set(true);
                Poll::Ready(Some(Err(BodyError::Upload(error))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.deadline.poll_passed(cx));
                self.exchange.upload.broken.set(true);
                Poll::Ready(Some(Err(BodyError::TimedOut)))
            }
        }
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Copied(tee) => tee.poll(cx).map_err(|()| BodyError::CopyGivenUp),
            Self::Streaming(streaming) => {
                let polled = streaming.poll(cx);
                let ended = match &polled {
                    Poll::Ready(None) => true,
                    Poll::Ready(Some(Ok(_))) => streaming.is_end_stream(),
                    _ => false,
                };
                if ended {
                    streaming.exchange.upload.pending.set(false);
                    if let Some(tee) = &streaming.tee {
                        tee.end();
                    }
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Copied(tee) => tee.is_done(),
            Self::Streaming(streaming) => streaming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Copied(_) => SizeHint::new(),
            Self::Streaming(streaming) => streaming.body.size_hint(),
        }
    }
}
