//! HTTP/2 towards clients: hyper's parser, a task a stream, frames gathered for one write a turn of the event loop.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use patchgate_config::snapshot::Limits;
use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::pulse::Pulse;
use super::watch::{Finding, TICK};
use super::wire::{Wire, WireIo};
use super::{Connection, Inbound, RequestBody};
use crate::body::ResponseBody;
use crate::names::Names;
use crate::respond::Unanswerable;
use crate::worker::LocalExecutor;

/// A client that was sent GOAWAY and does not answer is let go after this.
const GOAWAY_GRACE: Duration = Duration::from_secs(2);

/// Serves streams until the connection is over.
pub(super) async fn serve<S>(connection: &Rc<Connection>, wire: &Rc<Wire>, limits: &Limits, stack: S)
where
    S: Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable> + 'static,
    S::Future: 'static,
{
    let mut parser = http2::Builder::new(LocalExecutor);
    parser
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024);
    let mut parser = pin!(parser.serve_connection(WireIo(Rc::clone(wire)), request_service(connection, stack)));
    let tick = pin!(sleep(TICK));
    let mut pulse = Pulse::new(tick, connection, limits);
    let mut draining = pin!(connection.worker.draining());
    let mut going_away: Option<Instant> = None;
    let mut turn = Turn::default();
    poll_fn(|cx| {
        if going_away.is_none() && draining.as_mut().poll(cx).is_ready() {
            going_away = Some(Instant::now());
            parser.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = parser.as_mut().poll(cx) {
            note_end(connection, result.err().as_ref());
            return Poll::Ready(());
        }
        if turn.poll(wire, cx).is_ready() {
            return Poll::Ready(());
        }
        match pulse.poll(cx) {
            Poll::Ready(Finding::ReadTooSlow) => return Poll::Ready(()),
            Poll::Ready(Finding::Expired) => match going_away {
                None => {
                    going_away = Some(Instant::now());
                    parser.as_mut().graceful_shutdown();
                }
                // Told to go, nothing under way, and still here.
                Some(since) if since.elapsed() >= GOAWAY_GRACE => return Poll::Ready(()),
                Some(_) => {}
            },
            Poll::Ready(_) => {}
            Poll::Pending => return Poll::Pending,
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Sends gathered frames once the other tasks of this turn of the event loop had theirs added.
#[derive(Default)]
struct Turn {
    waited: bool,
}

impl Turn {
    /// Ready only when the socket failed.
    fn poll(&mut self, wire: &Wire, cx: &mut Context<'_>) -> Poll<()> {
        if !wire.has_gathered() {
            return Poll::Pending;
        }
        if !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match wire.poll_drain(cx) {
            Poll::Ready(Ok(())) => {
                self.waited = false;
                Poll::Pending
            }
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// hyper's view of the stack.
fn request_service<S>(
    connection: &Rc<Connection>,
    stack: S,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<ResponseBody>,
    Error = Unanswerable,
    Future = S::Future,
> + use<S>
where
    S: Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable>,
{
    let connection = Rc::clone(connection);
    let stack = RefCell::new(stack);
    hyper::service::service_fn(move |request: Request<Incoming>| {
        let traffic = &connection.traffic;
        traffic.requests.set(traffic.requests.get() + 1);
        let (head, body) = request.into_parts();
        let body = RequestBody::http2(body);
        stack.borrow_mut().call(Inbound {
            found: Names::in_head(&head.headers),
            head: Box::new(head),
            body,
            connection: Rc::clone(&connection),
        })
    })
}

/// Counts how a connection ended if its client broke the protocol; a client that just left is no error.
fn note_end(connection: &Connection, error: Option<&hyper::Error>) {
    let Some(error) = error else { return };
    let reason = if error.is_parse_too_large() {
        "head_too_large"
    } else if error.is_parse() {
        "malformed"
    } else {
        return;
    };
    connection.worker.telemetry.bad_request(reason);
}
