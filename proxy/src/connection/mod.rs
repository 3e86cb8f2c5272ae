//! One client connection: finds out its protocol, runs the parser, keeps the limits in time.
//!
//! A connection without requests keeps only its socket: parser and buffers are dropped after a quiet tick and made
//! anew at the next byte.

pub(crate) mod h1;
mod http2;
mod incoming;
mod pulse;
mod streams;
mod watch;
mod wire;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderValue, Response};
use patchgate_config::snapshot::Limits;
use patchgate_config::tls::SubjectName;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::listener::ListenerRef;
use crate::respond::Unanswerable;
use crate::socket::Socket;
use crate::worker::Worker;
pub(crate) use h1::Upload;
use h1::{Ended, HEAD_TIMEOUT};
pub(crate) use incoming::{Inbound, RequestBody, RequestBodyError};
pub(crate) use streams::Streams;
use watch::TICK;
pub(crate) use wire::Traffic;
use wire::Wire;

/// What every HTTP/2 connection with prior knowledge begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client's connection as its requests see it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: ListenerRef,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// Where it was accepted; `None` if it broke before anybody looked.
    pub(crate) local: Option<SocketAddr>,
    /// Whether it is under TLS.
    pub(crate) is_tls: bool,
    /// The names in the client's certificate, if it showed one that was verified.
    pub(crate) peer_names: Vec<SubjectName>,
    /// The client's address as `x-forwarded-for` has it.
    pub(crate) peer_value: HeaderValue,
    pub(crate) traffic: Rc<Traffic>,
    /// Responses that are watched one by one; HTTP/2 only.
    pub(crate) streams: Streams,
}

enum Protocol {
    Http1,
    Http2,
}

/// Serves `stream` until it ends.
pub(crate) async fn serve<S>(worker: Rc<Worker>, listener: ListenerRef, stream: Socket, peer: SocketAddr, stack: S)
where
    S: Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable> + Clone + 'static,
    S::Future: 'static,
{
    let local = stream.local_addr().ok();
    let (is_tls, peer_names) = (stream.is_tls(), stream.peer_names());
    let wire = Wire::new(stream);
    let connection = Rc::new(Connection {
        peer_value: HeaderValue::from_str(&peer.ip().to_canonical().to_string())
            .unwrap_or(HeaderValue::from_static("unknown")),
        worker,
        listener,
        peer,
        local,
        is_tls,
        peer_names,
        traffic: Rc::clone(&wire.traffic),
        streams: Streams::default(),
    });
    let limits = connection.listener.get().limits.clone();
    // Boxed, so that the buffers of one state are not room for the others: most connections rest most of the time.
    let Some(protocol) = Box::pin(detect(&connection, &wire, &limits)).await else { return };
    match protocol {
        Protocol::Http2 => Box::pin(http2::serve(&connection, &wire, &limits, stack)).await,
        Protocol::Http1 => {
            while let Ended::Quiet = Box::pin(h1::serve(&connection, &wire, &limits, stack.clone())).await {
                if !sleep_until_readable(&connection, &wire, &limits).await {
                    return wire.say_goodbye();
                }
            }
        }
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
        // Who comes in time is served, however late it is looked at.
        biased;
        readable = poll_fn(|cx| wire.poll_readable(cx)) => readable.is_ok(),
        () = tokio::time::sleep(limits.idle_timeout) => false,
        () = connection.worker.draining() => {
            // A client about to use the connection still can, for a tick: it is answered with `connection: close`.
            tokio::time::timeout(TICK * 2, poll_fn(|cx| wire.poll_readable(cx))).await.is_ok_and(|end| end.is_ok())
        }
    }
}
