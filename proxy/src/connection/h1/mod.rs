//! HTTP/1.1 towards clients: requests strictly one after the other, each served and answered before the next is read
//! (ADR 007).
//!
//! One task a connection reads heads, polls the stack, and writes answers; a request's body is read by whoever
//! forwards it. Whatever leaves a doubt where the next request begins ends the connection, and so does a client that
//! shuts its side while it is served.

mod answer;
mod date;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod head;
mod inlet;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::Response;
use http_body::Body;
use patchgate_config::snapshot::Limits;
use tokio::time::sleep;
use tower_service::Service;

use super::pulse::Pulse;
use super::watch::{Finding, TICK};
use super::wire::Wire;
use super::{Connection, Inbound, RequestBody};
use crate::body::{Relayed, ResponseBody};
use crate::h1::{Encoder, Framing, RelayError};
use crate::names::Names;
use crate::respond::Unanswerable;
use answer::Plan;
use head::{Asked, Bounds, Head, Refusal};
use inlet::{Inlet, NoHead};
pub(crate) use inlet::{Upload, UploadError};

/// Told to a client whose request head does not end.
pub(super) const HEAD_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// For so long, and so many bytes, a client that still sends is listened to after its last answer, which a reset would
/// take from it (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// How a connection's run of requests ended.
pub(super) enum Ended {
    /// The connection is over.
    Closed,
    /// There was none for a while: all of this can be dropped until the next byte.
    Quiet,
}

/// What follows an answer.
enum Next {
    Request,
    /// Nothing: the connection is to be closed.
    Close,
    /// Nothing: it must be closed at once, with whatever is on its way.
    Cut,
}

/// One connection's run of requests.
struct Run<'a> {
    connection: &'a Rc<Connection>,
    wire: &'a Rc<Wire>,
    inlet: Rc<Inlet>,
    pulse: Pulse<'a>,
    bounds: Bounds,
}

/// Serves requests until there is none for a while, or the connection is over.
pub(super) async fn serve<S>(connection: &Rc<Connection>, wire: &Rc<Wire>, limits: &Limits, mut stack: S) -> Ended
where
    S: Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable>,
{
    let tick = pin!(sleep(TICK));
    let mut run = Run {
        connection,
        wire,
        inlet: Inlet::new(wire, &wire.take_prefix()),
        pulse: Pulse::new(tick, connection, limits),
        bounds: Bounds { bytes: limits.header_bytes, fields: limits.header_count },
    };
    loop {
        let head = match poll_fn(|cx| run.poll_head(cx)).await {
            Ok(head) => head,
            Err(Idle::Quiet) => return Ended::Quiet,
            Err(Idle::Closed) => {
                wire.say_goodbye();
                return Ended::Closed;
            }
            Err(Idle::HeadTooSlow) => {
                connection.worker.telemetry.bad_request("header_timeout");
                wire.say(HEAD_TIMEOUT);
                wire.say_goodbye();
                return Ended::Closed;
            }
            Err(Idle::Refused(refusal)) => {
                run.refuse(refusal).await;
                return Ended::Closed;
            }
        };
        let asked = head.asked;
        let answered = {
            let mut work = pin!(run.call(&mut stack, head));
            poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(answered) => Poll::Ready(answered.ok()),
                Poll::Pending if run.poll_lost(cx).is_ready() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        let Some(response) = answered else { return Ended::Closed };
        match run.relay(asked, response).await {
            Next::Request => {}
            Next::Close => {
                if run.inlet.has_more() {
                    run.linger().await;
                }
                wire.say_goodbye();
                return Ended::Closed;
            }
            Next::Cut => return Ended::Closed,
        }
    }
}

/// Why there is no request.
enum Idle {
    Quiet,
    Closed,
    HeadTooSlow,
    Refused(Refusal),
}

impl Run<'_> {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Idle>> {
        if let Poll::Ready(read) = self.inlet.poll_head(cx, self.bounds) {
            return Poll::Ready(read.map_err(|none| match none {
                NoHead::Closed => Idle::Closed,
                NoHead::Refused(refusal) => Idle::Refused(refusal),
            }));
        }
        self.pulse.poll(cx).map(|finding| {
            Err(match finding {
                Finding::Quiet => Idle::Quiet,
                Finding::HeadTooSlow => Idle::HeadTooSlow,
                Finding::ReadTooSlow | Finding::Expired | Finding::Fine => Idle::Closed,
            })
        })
    }

    fn call<S>(&self, stack: &mut S, head: Head) -> S::Future
    where
        S: Service<Inbound>,
    {
        let traffic = &self.connection.traffic;
        traffic.requests.set(traffic.requests.get() + 1);
        let body = match self.inlet.upload() {
            Some(upload) => RequestBody::Http1(upload),
            None if head.found.has(Names::UPGRADE) => RequestBody::Upgrade(self.inlet.what_follows()),
            None => RequestBody::None,
        };
        stack.call(Inbound { head: head.parts, found: head.found, body, connection: Rc::clone(self.connection) })
    }

    /// Ready once nobody is there to be answered.
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.inlet.poll_gone(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            // Anything else the watch finds is for a connection without a request.
            if ready!(self.pulse.poll(cx)) == Finding::ReadTooSlow {
                return Poll::Ready(());
            }
        }
    }

    /// Writes an answer as its body comes.
    async fn relay(&mut self, asked: Asked, response: Response<ResponseBody>) -> Next {
        let (head, mut body) = response.into_parts();
        let open = poll_fn(|cx| Poll::Ready(self.inlet.drain(cx) || self.inlet.is_held())).await;
        let plan = Plan::new(asked, &head, body.size_hint().exact(), open);
        let interim = self.inlet.settle_interim();
        let relayed = std::mem::take(&mut body.relayed);
        let ((), text) = self.connection.worker.write(|out| {
            out.extend_from_slice(interim);
            answer::write(out, asked, &head, &relayed, plan, date::write);
        });
        drop((head, relayed));
        let mut encoder = Encoder::new(plan.framing);
        encoder.head(text);
        if !asked.takes_trailers {
            encoder.leave_trailers_out();
        }
        let relayed = poll_fn(|cx| {
            if let Poll::Ready(relayed) =
                encoder.poll_relay(cx, &mut body, |cx, pieces| self.wire.poll_write(cx, pieces))
            {
                return Poll::Ready(relayed);
            }
            self.poll_lost(cx).map(|()| Err(RelayError::Io))
        })
        .await;
        if let Err(error) = relayed {
            if error == RelayError::Body && plan.framing == Framing::ToClose {
                // An orderly end would make it look whole.
                self.wire.reset_on_close();
            }
            return Next::Cut;
        }
        // Ends the request's story, and lets go of its upload.
        drop(body);
        if plan.persistent && poll_fn(|cx| Poll::Ready(self.inlet.drain(cx))).await {
            return Next::Request;
        }
        Next::Close
    }

    /// Answers what is no request.
    async fn refuse(&mut self, refusal: Refusal) {
        self.connection.worker.telemetry.bad_request(refusal.reason());
        let mut head = Response::new(());
        *head.status_mut() = refusal.status();
        let (head, ()) = head.into_parts();
        let asked = Asked::default();
        let plan = Plan::new(asked, &head, Some(0), false);
        let mut text = BytesMut::new();
        answer::write(&mut text, asked, &head, &Relayed::default(), plan, date::write);
        self.wire.say(&text);
        self.linger().await;
    }

    /// Ends the connection in a way that lets the client read its last answer.
    async fn linger(&mut self) {
        let mut most = LINGER_BYTES;
        let discarded = async {
            if poll_fn(|cx| self.wire.poll_shutdown(cx)).await.is_ok() {
                poll_fn(|cx| self.inlet.poll_discard(cx, &mut most)).await;
            }
        };
        // A client that neither reads nor ends is left alone with its loss.
        let _ = tokio::time::timeout(LINGER, discarded).await;
    }
}
