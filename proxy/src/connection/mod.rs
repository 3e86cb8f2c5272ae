//! One client connection: finds out its protocol, runs the parser, keeps the limits in time.
//!
//! A connection without requests keeps only its socket: parser and buffers (some 20 KiB) are dropped after a quiet
//! tick and made anew at the next byte.

mod streams;
mod watch;
mod wire;

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use patchgate_config::snapshot::Limits;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tower::util::MapFuture;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::listener::ListenerRef;
use crate::respond::Unanswerable;
use crate::worker::{LocalExecutor, Worker};
pub(crate) use streams::Streams;
use watch::{Finding, TICK, Watch};
pub(crate) use wire::Traffic;
use wire::{Wire, WireIo};

/// What every HTTP/2 connection with prior knowledge begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Told to a client whose request head does not end.
const HEAD_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A client's connection as its requests see it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: ListenerRef,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// The client's address as `x-forwarded-for` has it.
    pub(crate) peer_value: HeaderValue,
    pub(crate) traffic: Rc<Traffic>,
    /// Responses that are watched one by one; HTTP/2 only.
    pub(crate) streams: Streams,
}

/// A request with the connection it came on: what the stack is given.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) request: Request<Incoming>,
    pub(crate) connection: Rc<Connection>,
}

/// A client that was sent GOAWAY and does not answer is let go after this.
const GOAWAY_GRACE: Duration = Duration::from_secs(2);

/// Header fields that hyper's parser takes if not told otherwise.
const PARSER_HEADERS: usize = 100;

enum Protocol {
    Http1,
    Http2,
}

/// How a parser's run ended.
enum Ended {
    /// The connection is over.
    Closed,
    /// Nothing to do for now; these bytes were read and not used.
    Quiet(Bytes),
}

/// Serves `stream` until it ends.
pub(crate) async fn serve<S>(worker: Rc<Worker>, listener: ListenerRef, stream: TcpStream, peer: SocketAddr, stack: S)
where
    S: Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable> + Clone + 'static,
    S::Future: 'static,
{
    let wire = Wire::new(stream);
    let connection = Rc::new(Connection {
        peer_value: HeaderValue::from_str(&peer.ip().to_canonical().to_string())
            .unwrap_or(HeaderValue::from_static("unknown")),
        worker,
        listener,
        peer,
        traffic: Rc::clone(&wire.traffic),
        streams: Streams::default(),
    });
    let limits = connection.listener.get().limits.clone();
    let Some(protocol) = detect(&connection, &wire, &limits).await else { return };
    match protocol {
        Protocol::Http2 => Box::pin(serve_http2(&connection, &wire, &limits, stack)).await,
        Protocol::Http1 => loop {
            match Box::pin(serve_http1(&connection, &wire, &limits, stack.clone())).await {
                Ended::Closed => return,
                Ended::Quiet(unused) if unused.is_empty() => {
                    if !sleep_until_readable(&connection, &wire, &limits).await {
                        return;
                    }
                }
                Ended::Quiet(unused) => wire.put_back(unused),
            }
        },
    }
}

/// Waits for the first bytes and tells the protocol from them; `None`: the connection is over.
async fn detect(connection: &Connection, wire: &Wire, limits: &Limits) -> Option<Protocol> {
    let mut first = [0u8; 1024];
    // That a socket is readable is a hint only: a new one is said to be, whatever is there.
    let mut read = loop {
        if !sleep_until_readable(connection, wire, limits).await {
            return None;
        }
        match wire.try_read(&mut first) {
            Ok(0) => return None,
            Ok(read) => break read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    };
    let sniff = async {
        loop {
            let compared = read.min(PREFACE.len());
            if first[..compared] != PREFACE[..compared] {
                return Some(Protocol::Http1);
            }
            if compared == PREFACE.len() {
                return Some(Protocol::Http2);
            }
            match wire.try_read(&mut first[read..]) {
                Ok(0) => return None,
                Ok(more) => read += more,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    poll_fn(|cx| wire.poll_readable(cx)).await.ok()?;
                }
                Err(_) => return None,
            }
        }
    };
    let Ok(protocol) = tokio::time::timeout(limits.header_timeout, sniff).await else {
        connection.worker.telemetry.bad_request("header_timeout");
        wire.say(HEAD_TIMEOUT);
        return None;
    };
    wire.put_back(Bytes::copy_from_slice(&first[..read]));
    protocol
}

/// Waits, with neither parser nor buffers, for the client's next byte; false: the connection is to be closed.
async fn sleep_until_readable(connection: &Connection, wire: &Wire, limits: &Limits) -> bool {
    tokio::select! {
        readable = poll_fn(|cx| wire.poll_readable(cx)) => readable.is_ok(),
        () = tokio::time::sleep(limits.idle_timeout) => false,
        () = connection.worker.draining() => {
            // A client about to use the connection still can, for a tick: it is answered with `connection: close`.
            tokio::time::timeout(TICK * 2, poll_fn(|cx| wire.poll_readable(cx))).await.is_ok_and(|end| end.is_ok())
        }
    }
}

async fn serve_http1<S>(connection: &Rc<Connection>, wire: &Rc<Wire>, limits: &Limits, stack: S) -> Ended
where
    S: Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable> + 'static,
    S::Future: 'static,
{
    let mut parser = http1::Builder::new();
    parser.max_header_size(limits.header_bytes).header_read_timeout(None);
    // Up to hyper's own limit the count is `admit`'s: set, it has the parser clear tables on the heap for every head.
    if limits.header_count > PARSER_HEADERS {
        parser.max_headers(limits.header_count);
    }
    // hyper's buffer also holds what waits to be written; the head's own limit is the one above.
    parser.max_buf_size(limits.header_bytes.max(64 * 1024));
    let mut parser = parser.serve_connection(WireIo(Rc::clone(wire)), request_service(connection, stack));
    let ended = {
        let mut tick = std::pin::pin!(tokio::time::sleep(TICK));
        let mut watch = Watch::new(Instant::now(), &wire.traffic);
        poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut parser).poll(cx) {
                note_end(connection, result.err().as_ref());
                return Poll::Ready(Finding::Expired);
            }
            poll_watch(cx, tick.as_mut(), &mut watch, connection, limits)
        })
        .await
    };
    match ended {
        Finding::Quiet => Ended::Quiet(parser.into_parts().read_buf),
        Finding::HeadTooSlow => {
            connection.worker.telemetry.bad_request("header_timeout");
            wire.say(HEAD_TIMEOUT);
            Ended::Closed
        }
        Finding::ReadTooSlow | Finding::Expired | Finding::Fine => Ended::Closed,
    }
}

async fn serve_http2<S>(connection: &Rc<Connection>, wire: &Rc<Wire>, limits: &Limits, stack: S)
where
    S: Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable> + 'static,
    S::Future: 'static,
{
    wire.gather();
    let mut parser = http2::Builder::new(LocalExecutor);
    parser
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024);
    // Boxed: hyper moves a stream's future several times until it is first polled.
    let service = request_service(connection, MapFuture::new(stack, Box::pin));
    let mut parser = std::pin::pin!(parser.serve_connection(WireIo(Rc::clone(wire)), service));
    let mut tick = std::pin::pin!(tokio::time::sleep(TICK));
    let mut watch = Watch::new(Instant::now(), &wire.traffic);
    let mut draining = std::pin::pin!(connection.worker.draining());
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
        // Heads are hyper's business here: frames other than requests come at any time.
        wire.traffic.head_open.set(false);
        match poll_watch(cx, tick.as_mut(), &mut watch, connection, limits) {
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

/// Looks at the watch when it is time; ready with anything that ends the parser's run.
fn poll_watch(
    cx: &mut Context<'_>,
    mut tick: Pin<&mut Sleep>,
    watch: &mut Watch,
    connection: &Connection,
    limits: &Limits,
) -> Poll<Finding> {
    while tick.as_mut().poll(cx).is_ready() {
        let now = Instant::now();
        connection.streams.cut_stalled(now, limits.body_idle_timeout);
        match watch.look(now, &connection.traffic, limits, connection.worker.is_draining()) {
            Finding::Fine => tick.as_mut().reset(now + TICK),
            finding => {
                tick.as_mut().reset(now + TICK);
                return Poll::Ready(finding);
            }
        }
    }
    Poll::Pending
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
    hyper::service::service_fn(move |request| {
        let traffic = &connection.traffic;
        traffic.head_open.set(false);
        traffic.requests.set(traffic.requests.get() + 1);
        stack.borrow_mut().call(Inbound { request, connection: Rc::clone(&connection) })
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
