//! The layer that takes the decision and writes the trace context that goes on.

use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;
use http::header::USER_AGENT;
use http::request::Parts;
use patchgate_config::snapshot::{BackendId, Fallback, ServiceId, Snapshot};

use super::decide::{Decision, Input, decide};
use super::follow::{State, follow};
use crate::call::{Call, Decided, Routed};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::forward::headers::TRACESTATE;
use crate::step::step_layer;
use crate::trust::baggage::strip_mark;
use crate::trust::{Incoming, Mark, MarkResult, Vouching};

step_layer! {
    /// Decides the track. Total: every request has one.
    RolloutLayer, Rollout: Routed => Decided, enter
}

/// `tracestate` as it goes on.
enum Written {
    /// As it came, or absent as it was.
    Unchanged,
    /// Other than it came.
    Anew(Bytes),
    /// To be left out.
    Empty,
}

fn enter(mut call: Call<Routed>) -> Result<Call<Decided>, ProxyError> {
    let connection = &call.exchange.connection;
    let trusted = call.stage.admitted.trusted;
    let service = call.stage.service;
    let assign = connection.listener.with(|listener| listener.assign);
    let config = &call.exchange.snapshot.config;
    let (decision, state) = trace_on(&call.exchange, &call.head, trusted, |head, mark| {
        let input = Input {
            service,
            mark: mark.map(|mark| (mark.group(), mark.version())),
            assign,
            headers: &head.headers,
            query: head.uri.query(),
            client: connection.peer.ip(),
            random: connection.worker.random(),
        };
        Some(decide(&input, config))
    });
    let decision = decision.expect("the closure takes one");
    let headers = &mut call.head.headers;
    if !trusted {
        strip_mark(headers);
    }
    let backend = decision.backend;
    let fallback = fallback(config, service, backend);
    let mut facts = call.exchange.facts.borrow_mut();
    facts.trace.state = state;
    facts.decision = Some(decision);
    if facts.trace.flags.sampled() {
        facts.user_agent = headers.get(USER_AGENT).cloned();
    }
    drop(facts);
    if let Some(in_flight) = call.exchange.snapshot.backend(backend).canary() {
        *call.exchange.canary.borrow_mut() = Some(in_flight.enter(&call.exchange));
    }
    Ok(call.advance(|routed| Decided { admitted: routed.admitted, service, backend, fallback }))
}

/// Reads the trace context and the mark of a request, has `decide` decide, if there is something to decide, and takes
/// down how the trace goes on. The decision, and `tracestate` as it goes on.
pub(crate) fn trace_on(
    exchange: &Exchange,
    head: &Parts,
    trusted: bool,
    decide: impl FnOnce(&Parts, Option<Mark<'_>>) -> Option<Decision>,
) -> (Option<Decision>, Option<HeaderValue>) {
    let now = unix_seconds(exchange);
    let incoming = exchange.connection.listener.with(|listener| {
        let vouching = Vouching { keys: &listener.mark_keys, now };
        Incoming::read_vouched(&head.headers, trusted, listener.baggage, vouching)
    });
    let mark = incoming.mark();
    count(exchange, &incoming, &mark);
    let decision = decide(head, mark.mark());
    let state = match follow_trace(exchange, &incoming, mark.mark(), decision.as_ref(), now) {
        Written::Unchanged => head.headers.get(TRACESTATE).cloned(),
        Written::Empty => None,
        Written::Anew(bytes) => HeaderValue::from_maybe_shared(bytes).ok(),
    };
    (decision, state)
}

/// Takes down how the request's trace goes on, and writes its `tracestate` if that changes.
fn follow_trace(
    exchange: &Exchange,
    incoming: &Incoming<'_>,
    mark: Option<Mark<'_>>,
    decision: Option<&Decision>,
    now: u64,
) -> Written {
    let mut facts = exchange.facts.borrow_mut();
    let trace = &mut facts.trace;
    let snapshot = &exchange.snapshot;
    let onward = follow(incoming, mark, decision, &snapshot.config, snapshot.thresholds, trace.id, now);
    trace.id = onward.id;
    trace.parent = incoming.parent;
    trace.link = incoming.link;
    trace.raised = onward.raised;
    trace.flags = onward.flags;
    match onward.state(incoming) {
        State::Unchanged => Written::Unchanged,
        State::Empty => Written::Empty,
        State::Edited => match exchange.worker().write(|out| incoming.state.write(&onward.edit, out)) {
            (true, written) => Written::Anew(written),
            (false, _) => Written::Empty,
        },
    }
}

/// The wall clock, where signatures are looked at or made.
fn unix_seconds(exchange: &Exchange) -> u64 {
    let signs = exchange.snapshot.config.mark_signing.is_some();
    if !signs && exchange.connection.listener.with(|listener| listener.mark_keys.is_empty()) {
        return 0;
    }
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Where a request may go instead, if the decided backend cannot be reached.
pub(crate) fn fallback(snapshot: &Snapshot, service: ServiceId, decided: BackendId) -> Option<BackendId> {
    let service = snapshot.service(service);
    (decided != service.stable && service.fallback == Fallback::Stable).then_some(service.stable)
}

fn count(exchange: &Exchange, incoming: &Incoming<'_>, mark: &MarkResult<'_>) {
    let telemetry = &exchange.worker().telemetry;
    telemetry.mark(mark);
    if let Some(rejected) = incoming.rejected {
        telemetry.tracestate_rejected(rejected);
    }
    if let Some(invalid) = incoming.invalid {
        telemetry.traceparent_invalid(invalid);
    }
}
