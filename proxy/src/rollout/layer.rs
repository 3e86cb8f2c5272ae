//! The layer that takes the decision and writes the trace context that goes on.

use bytes::Bytes;
use http::HeaderValue;
use http::header::USER_AGENT;
use patchgate_config::snapshot::{BackendId, Fallback, ServiceId, Snapshot};

use super::decide::{Decision, Input, decide};
use super::follow::{State, follow};
use crate::call::{Call, Decided, Routed};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::forward::headers::TRACESTATE;
use crate::step::step_layer;
use crate::trust::baggage::strip_mark;
use crate::trust::{Incoming, Mark, MarkResult};

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
    let (assign, baggage) = connection.listener.with(|listener| (listener.assign, listener.baggage));
    let (decision, state) = {
        let incoming = Incoming::read(&call.head.headers, trusted, baggage);
        let mark = incoming.mark();
        count(&call.exchange, &incoming, &mark);
        let input = Input {
            service: call.stage.route.service,
            mark: mark.mark().map(|mark| (mark.group(), mark.version())),
            assign,
            headers: &call.head.headers,
            query: call.head.uri.query(),
            client: connection.peer.ip(),
            random: connection.worker.random(),
        };
        let decision = decide(&input, &call.exchange.snapshot.config);
        let state = follow_trace(&call.exchange, &incoming, mark.mark(), &decision);
        (decision, state)
    };
    let headers = &mut call.head.headers;
    if !trusted {
        strip_mark(headers);
    }
    let state = match state {
        Written::Unchanged => headers.get(TRACESTATE).cloned(),
        Written::Empty => None,
        Written::Anew(bytes) => HeaderValue::from_maybe_shared(bytes).ok(),
    };
    let backend = decision.backend;
    let fallback = fallback(&call.exchange.snapshot.config, call.stage.route.service, backend);
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
    Ok(call.advance(|routed| Decided { admitted: routed.admitted, service: routed.route.service, backend, fallback }))
}

/// Takes down how the request's trace goes on, and writes its `tracestate` if that changes.
fn follow_trace(exchange: &Exchange, incoming: &Incoming<'_>, mark: Option<Mark<'_>>, decision: &Decision) -> Written {
    let mut facts = exchange.facts.borrow_mut();
    let trace = &mut facts.trace;
    let snapshot = &exchange.snapshot;
    let onward = follow(incoming, mark, decision, &snapshot.config, snapshot.thresholds, trace.id);
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
