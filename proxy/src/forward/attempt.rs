//! One attempt: a connection, the request, the response head; and the commit of an attempt's response.

use std::rc::Rc;

use http::{Response, StatusCode, Version};
use hyper::body::Incoming;
use patchgate_config::snapshot::{BackendId, Timeouts};
use tokio::time::Instant;

use super::headers::{Exposed, rewrite_response};
use super::outbound::Outbound;
use crate::body::ResponseBody;
use crate::capture::capture;
use crate::commit::ledger::End;
use crate::commit::{Committed, Contender};
use crate::error::ProxyError;
use crate::exchange::{Exchange, Sent};
use crate::upstream::{ConnectError, Lease, Pool};

/// A backend's response head, not yet committed.
pub(super) struct Answered {
    response: Response<Incoming>,
    lease: Lease,
    backend: BackendId,
    attempt: u8,
}

/// Why a backend brought no response.
pub(super) enum Failed {
    /// It never got the request, or may get it again: another can be tried.
    Unreachable(ProxyError),
    /// It may have acted on the request.
    Final(ProxyError),
}

/// Why a request put on a connection has no response.
enum Unanswered {
    /// The connection was closed before anything was written.
    NotSent,
    /// The connection ended without a response head.
    Reset(ProxyError),
}

/// One endpoint: a kept connection if there is one, a new one if that turns out to be stale.
pub(super) async fn on_endpoint(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backend: BackendId,
    pool: &Rc<Pool>,
    timeouts: Timeouts,
) -> Result<Answered, Failed> {
    let mut kept = pool.reuse();
    loop {
        let attempt = begin(exchange, backend, pool);
        let mut lease = match kept.take() {
            Some(lease) => lease,
            // Boxed: rare, and large beside what every request carries along.
            None => Box::pin(connect(exchange, attempt, pool, timeouts)).await?,
        };
        match send(exchange, outbound, &mut lease, attempt, timeouts).await {
            Ok(response) => return Ok(Answered { response, lease, backend, attempt }),
            Err(Unanswered::NotSent) => {
                end(exchange, attempt, End::Failed, Some("stale_connection"));
                if !lease.reused {
                    return Err(Failed::Unreachable(ProxyError::ConnectFailed));
                }
            }
            Err(Unanswered::Reset(error)) => {
                end(exchange, attempt, End::Failed, Some(error.code()));
                if error != ProxyError::UpstreamReset || !outbound.repeat() {
                    return Err(Failed::Final(error));
                }
            }
        }
    }
}

async fn connect(exchange: &Exchange, attempt: u8, pool: &Rc<Pool>, timeouts: Timeouts) -> Result<Lease, Failed> {
    exchange.deadline.set(exchange.total_at.get());
    pool.connect(timeouts.connect).await.map_err(|error| {
        let error = match error {
            ConnectError::Failed => ProxyError::ConnectFailed,
            ConnectError::TimedOut => ProxyError::ConnectTimeout,
        };
        end(exchange, attempt, End::Failed, Some(error.code()));
        Failed::Unreachable(error)
    })
}

async fn send(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    lease: &mut Lease,
    attempt: u8,
    timeouts: Timeouts,
) -> Result<Response<Incoming>, Unanswered> {
    if !lease.sender.is_ready() && lease.sender.ready().await.is_err() {
        return Err(Unanswered::NotSent);
    }
    let span = exchange.facts.borrow().sent[usize::from(attempt)].span;
    let request = outbound.take(exchange.worker(), &exchange.trace_parent(span));
    exchange.deadline.set((Instant::now() + timeouts.first_byte).min(exchange.total_at.get()));
    lease.sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
        Some(request) => {
            outbound.restore(request);
            Unanswered::NotSent
        }
        None => Unanswered::Reset(classify(exchange, error.error())),
    })
}

fn classify(exchange: &Exchange, error: &hyper::Error) -> ProxyError {
    if exchange.upload.broken.get() {
        ProxyError::BodyBroken
    } else if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() {
        ProxyError::UpstreamMalformed
    } else {
        ProxyError::UpstreamReset
    }
}

fn begin(exchange: &Exchange, backend: BackendId, pool: &Pool) -> u8 {
    let span = exchange.worker().new_span_id();
    let started = Instant::now();
    let mut facts = exchange.facts.borrow_mut();
    facts.sent.push(Sent {
        span,
        backend,
        endpoint: pool.endpoint(),
        started,
        headers_at: None,
        status: None,
        error: None,
    });
    facts.attempts.start()
}

fn end(exchange: &Exchange, attempt: u8, how: End, error: Option<&'static str>) {
    let mut facts = exchange.facts.borrow_mut();
    facts.attempts.end(attempt, how);
    facts.sent[usize::from(attempt)].error = error;
}

/// Makes a response head the response of its request.
pub(super) fn commit(
    exchange: &Rc<Exchange>,
    answered: Answered,
    timeouts: Timeouts,
) -> Result<Committed<ResponseBody>, ProxyError> {
    let Answered { response, lease, backend, attempt } = answered;
    let status = response.status();
    {
        let mut facts = exchange.facts.borrow_mut();
        let sent = &mut facts.sent[usize::from(attempt)];
        sent.headers_at = Some(Instant::now());
        sent.status = Some(status);
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        // Nothing here forwards an upgrade, so none can have been asked for.
        end(exchange, attempt, End::Failed, Some(ProxyError::UpstreamSwitched.code()));
        return Err(ProxyError::UpstreamSwitched);
    }
    capture(exchange, response.headers(), backend);
    let Ok(permit) = exchange.guard.try_commit(Contender::Attempt(attempt)) else {
        end(exchange, attempt, End::Lost, None);
        return Err(ProxyError::Abandoned);
    };
    let (mut head, body) = response.into_parts();
    // hyper speaks the client's version.
    head.version = Version::HTTP_11;
    let exposed = expose(exchange, backend);
    rewrite_response(&mut head.headers, exposed);
    let mut facts = exchange.facts.borrow_mut();
    if facts.version != Version::HTTP_2 && exchange.worker().is_draining() {
        head.headers.insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    facts.attempts.end(attempt, End::Committed);
    facts.served_by = Some(backend);
    facts.status = Some(status);
    drop(facts);
    let body = ResponseBody::upstream(body, lease, backend, timeouts.idle, Rc::clone(exchange));
    Ok(exchange.answer(permit, Response::from_parts(head, body)))
}

/// What the client may see of the trace.
fn expose(exchange: &Exchange, backend: BackendId) -> Exposed {
    let connection = &exchange.connection;
    let shown =
        connection.listener.with(|listener| listener.headers.expose_trace || listener.trusts(connection.peer.ip()));
    let facts = exchange.facts.borrow();
    Exposed {
        tracestate: shown.then(|| exchange.snapshot.mark_of(backend)).flatten(),
        server_timing: shown.then(|| exchange.trace_parent(facts.trace.span)),
        request_id: facts.request_id.clone(),
    }
}
