//! One attempt: a connection, the request, the response head; and the commit of an attempt's response.

use std::rc::Rc;

use http::{HeaderMap, Method, Response, StatusCode, Version};
use patchgate_config::snapshot::{BackendId, Timeouts};
use tokio::time::Instant;

use super::headers::{Exposed, TRACESTATE, rewrite_response, write_response};
use super::outbound::Outbound;
use super::upgrade::Upgrade;
use crate::balance::{Outcome, Turn};
use crate::body::{Answer, Relayed, ResponseBody};
use crate::capture::{capture, capture_call};
use crate::commit::ledger::{Cause, End};
use crate::commit::{Committed, Contender};
use crate::error::ProxyError;
use crate::exchange::{Exchange, Sent};
use crate::names::Names;
use crate::upstream::{Channel, ConnectError, Lease, Pool, ResponseHead, SendError};

/// Fields that patchgate adds to a response's head: room for them is made at once.
const ADDED_LATER: usize = 4;

/// A backend's response head, not yet committed; its fields lie in its connection.
pub(super) struct Answered {
    status: StatusCode,
    answer: Answer,
    attempt: u8,
}

/// Why a backend brought no response.
pub(super) enum Failed {
    /// It never got the request, or may get it again: another can be tried.
    Unreachable(ProxyError),
    /// It may have acted on the request.
    Final(ProxyError),
}

/// One endpoint: a kept connection if there is one, a new one if that turns out to be stale.
pub(super) async fn on_endpoint(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    backend: BackendId,
    pool: &Rc<Pool>,
    timeouts: &Timeouts,
) -> Result<Answered, Failed> {
    if let Some(circuit) = exchange.snapshot.backend(backend).circuit() {
        // Boxed: not every request carries it along.
        Box::pin(circuit.enter(exchange, backend)).await.map_err(Failed::Final)?;
    }
    Turn::begin(exchange, backend, pool);
    // A connection that tells of one client is of no use to another.
    let mut kept = if outbound.tells_client.is_some() { None } else { pool.reuse() };
    loop {
        let attempt = begin(exchange, backend, pool);
        let mut lease = match kept.take() {
            Some(lease) => lease,
            // Boxed: rare, and large beside what every request carries along.
            None => Box::pin(connect(exchange, outbound, backend, attempt, pool, timeouts)).await?,
        };
        let error = match send(exchange, outbound, &mut lease, attempt, timeouts).await {
            Ok(ResponseHead { status, length, decoder, keep_alive }) => {
                Turn::end(exchange, Some(pool), outcome_of(status));
                let outgoing = outbound.unfinished().and_then(|outgoing| lease.channel.send_apart(outgoing));
                let keep_alive = keep_alive && outbound.tells_client.is_none();
                let answer = Answer { lease, length, decoder, keep_alive, outgoing, backend };
                return Ok(Answered { status, answer, attempt });
            }
            Err(SendError::NotSent) => {
                end(exchange, attempt, End::Failed, Some("stale_connection"));
                if lease.reused {
                    continue;
                }
                Turn::end(exchange, Some(pool), Outcome::Failed);
                return Err(Failed::Unreachable(ProxyError::ConnectFailed));
            }
            Err(SendError::Refused) => {
                end(exchange, attempt, End::Failed, Some(ProxyError::UpstreamRefused.code()));
                // It says nothing of the endpoint's health: one that restarts refuses, too.
                Turn::end(exchange, Some(pool), Outcome::Unknown);
                if !outbound.outgoing.rewind() {
                    return Err(Failed::Final(ProxyError::UpstreamRefused));
                }
                if lease.reused && !outbound.policy_has_refusals {
                    continue;
                }
                return Err(Failed::Unreachable(ProxyError::UpstreamRefused));
            }
            Err(SendError::Reset) => ProxyError::UpstreamReset,
            Err(SendError::Malformed(malformed)) => {
                tracing::debug!(endpoint = %pool.endpoint(), %malformed);
                ProxyError::UpstreamMalformed
            }
            Err(SendError::Upload) => ProxyError::BodyBroken,
        };
        end(exchange, attempt, End::Failed, Some(error.code()));
        let may_repeat = lease.may_be_stale() || !outbound.policy_has_resets;
        if error != ProxyError::UpstreamReset || !may_repeat || !outbound.repeat(&exchange.facts.borrow().method) {
            let by_client = error == ProxyError::BodyBroken;
            Turn::end(exchange, Some(pool), if by_client { Outcome::Unknown } else { Outcome::Failed });
            return Err(Failed::Final(error));
        }
    }
}

/// A backend that says that it cannot serve has failed; what else it says is of the request.
const fn outcome_of(status: StatusCode) -> Outcome {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Outcome::Failed,
        _ => Outcome::Succeeded,
    }
}

async fn connect(
    exchange: &Exchange,
    outbound: &Outbound,
    backend: BackendId,
    attempt: u8,
    pool: &Rc<Pool>,
    timeouts: &Timeouts,
) -> Result<Lease, Failed> {
    exchange.deadline.set(exchange.total_at.get());
    let place = exchange.snapshot.backend(backend).circuit().map(|circuit| circuit.connection(exchange)).transpose();
    let place = place.map_err(|error| {
        end(exchange, attempt, End::Failed, Some(error.code()));
        Turn::end(exchange, Some(pool), Outcome::Unknown);
        Failed::Final(error)
    })?;
    pool.connect(timeouts.connect, outbound.introduction(exchange), place).await.map_err(|error| {
        let error = match error {
            ConnectError::Failed => ProxyError::ConnectFailed,
            ConnectError::Tls => ProxyError::TlsFailed,
            ConnectError::TimedOut => ProxyError::ConnectTimeout,
        };
        end(exchange, attempt, End::Failed, Some(error.code()));
        Turn::end(exchange, Some(pool), Outcome::Failed);
        Failed::Unreachable(error)
    })
}

async fn send(
    exchange: &Rc<Exchange>,
    outbound: &mut Outbound,
    lease: &mut Lease,
    attempt: u8,
    timeouts: &Timeouts,
) -> Result<ResponseHead, SendError> {
    let (span, began) = {
        let facts = exchange.facts.borrow();
        let sent = &facts.sent[usize::from(attempt)];
        (sent.span, sent.started)
    };
    outbound.begin(exchange, &exchange.trace_parent(span), lease.channel.protocol());
    // A kept connection took no time to get.
    let sent_at = if lease.reused { began } else { Instant::now() };
    exchange.deadline.set((sent_at + timeouts.first_byte).min(exchange.total_at.get()));
    let to_head = exchange.facts.borrow().method == Method::HEAD;
    lease.channel.send(&mut outbound.outgoing, to_head).await
}

fn begin(exchange: &Exchange, backend: BackendId, pool: &Pool) -> u8 {
    let span = exchange.worker().new_span_id();
    exchange.worker().telemetry.attempt_started();
    let mut facts = exchange.facts.borrow_mut();
    // The first begins with the request: between the two nothing waits.
    let started = if facts.sent.is_empty() { exchange.started } else { Instant::now() };
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

impl Answered {
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) const fn attempt(&self) -> u8 {
        self.attempt
    }
}

/// Gives up an attempt for its answer's status: another follows. Its connection is closed, as its body was not read.
pub(super) fn discard(exchange: &Exchange, answered: Answered) {
    let mut facts = exchange.facts.borrow_mut();
    facts.attempts.end(answered.attempt, End::Failed);
    let sent = &mut facts.sent[usize::from(answered.attempt)];
    sent.headers_at = Some(Instant::now());
    sent.status = Some(answered.status);
    sent.error = Some("retried_status");
}

/// Gives up an attempt for another that ran beside it. Its connection is closed, as its body was not read.
pub(super) fn give_up(exchange: &Exchange, answered: Answered) {
    let mut facts = exchange.facts.borrow_mut();
    facts.attempts.lose(answered.attempt, Cause::Hedge);
    let sent = &mut facts.sent[usize::from(answered.attempt)];
    sent.headers_at = Some(Instant::now());
    sent.status = Some(answered.status);
    sent.error = Some("beaten");
}

/// Makes a response head the response of its request.
pub(super) fn commit(
    exchange: &Rc<Exchange>,
    answered: Answered,
    timeouts: &Timeouts,
    upgrade: Option<Box<Upgrade>>,
) -> Result<Committed<ResponseBody>, ProxyError> {
    let now = Instant::now();
    let Answered { status, mut answer, attempt } = answered;
    let backend = answer.backend;
    {
        let mut facts = exchange.facts.borrow_mut();
        let sent = &mut facts.sent[usize::from(attempt)];
        sent.headers_at = Some(now);
        sent.status = Some(status);
    }
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    let over_http2 = exchange.facts.borrow().version == Version::HTTP_2;
    let (fields, upgrade) = match &mut answer.lease.channel {
        Channel::Http1(connection) => {
            let lines = &connection.lines;
            let upgrade = upgrade.filter(|upgrade| switches && upgrade.is_confirmed(lines));
            // Of few responses a map is wanted.
            let fields = match over_http2 || lines.found().has(Names::TRACESTATE) {
                true => lines.to_map(&mut connection.names, ADDED_LATER),
                false => Ok(HeaderMap::new()),
            };
            (fields, upgrade)
        }
        Channel::Http2(stream) => (Ok(std::mem::take(&mut stream.fields)), None),
    };
    if switches && upgrade.is_none() {
        end(exchange, attempt, End::Failed, Some(ProxyError::UpstreamSwitched.code()));
        return Err(ProxyError::UpstreamSwitched);
    }
    let Ok(mut headers) = fields else {
        end(exchange, attempt, End::Failed, Some(ProxyError::UpstreamMalformed.code()));
        return Err(ProxyError::UpstreamMalformed);
    };
    if headers.contains_key(TRACESTATE) {
        capture(exchange, &headers, backend);
    }
    if over_http2 {
        capture_call(exchange, &headers);
    }
    let Ok(permit) = exchange.guard.try_commit(Contender::Attempt(attempt)) else {
        end(exchange, attempt, End::Lost, None);
        return Err(ProxyError::Abandoned);
    };
    if let Some(place) = &*exchange.canary.borrow() {
        place.committed(now);
    }
    let exposed = expose(exchange, backend);
    let config = &exchange.snapshot.config;
    let rules = config.service(config.backend(backend).service).headers.as_deref().map(|rules| &rules.response);
    let relayed = match &mut answer.lease.channel {
        Channel::Http1(connection) if !over_http2 => {
            headers.clear();
            let lines = &connection.lines;
            let ((), text) = exchange.worker().write(|out| write_response(lines, &exposed, rules, out));
            Relayed { text, dated: lines.found().has(Names::DATE), length: answer.length }
        }
        _ => {
            rewrite_response(&mut headers, exposed, rules);
            Relayed { length: answer.length, ..Relayed::default() }
        }
    };
    if let Channel::Http1(connection) = &mut answer.lease.channel {
        connection.lines.clear();
    }
    if !over_http2 {
        answer.decoder.leave_trailers_out();
    }
    let mut facts = exchange.facts.borrow_mut();
    if !over_http2 && exchange.worker().is_draining() {
        headers.insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    facts.attempts.end(attempt, End::Committed);
    facts.served_by = Some(backend);
    facts.status = Some(status);
    drop(facts);
    let body = match upgrade {
        None => ResponseBody::upstream(answer, relayed, now, timeouts.idle, Rc::clone(exchange)),
        Some(upgrade) => {
            let Upgrade { token, upload } = *upgrade;
            headers.insert(http::header::UPGRADE, token);
            ResponseBody::tunnel(answer, relayed, now, timeouts.idle, Rc::clone(exchange), upload)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(exchange.answer(permit, response))
}

/// What the client may see of the trace.
fn expose(exchange: &Exchange, backend: BackendId) -> Exposed {
    let connection = &exchange.connection;
    let shown = connection.listener.with(|listener| {
        listener.headers.expose_trace || listener.trusts(connection.peer.ip(), &connection.peer_names)
    });
    let facts = exchange.facts.borrow();
    Exposed {
        tracestate: shown.then(|| exchange.snapshot.mark_of(backend)).flatten(),
        server_timing: shown.then(|| exchange.trace_parent(facts.trace.span)),
        request_id: facts.request_id.clone(),
    }
}
