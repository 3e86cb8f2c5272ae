//! The layer that takes the decision and writes the trace context that goes on.

use bytes::Bytes;
use http::HeaderValue;
use http::header::USER_AGENT;
use patchgate_config::snapshot::Fallback;

use super::decide::{Decision, Input, decide};
use crate::call::{Call, Decided, Routed};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::forward::headers::TRACESTATE;
use crate::rollout::Track;
use crate::step::step_layer;
use crate::trust::baggage::strip_mark;
use crate::trust::{Edit, Incoming, Mark, MarkEdit, MarkResult, OtEdit, Randomness, SamplingInput, outgoing};

step_layer! {
    /// Decides the track. Total: every request has one.
    RolloutLayer, Rollout: Routed => Decided, enter
}

/// `tracestate` as it goes on.
enum State {
    /// As it came, or absent as it was.
    Unchanged,
    /// Written anew.
    Written(Bytes),
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
        State::Unchanged => headers.get(TRACESTATE).cloned(),
        State::Empty => None,
        State::Written(bytes) => HeaderValue::from_maybe_shared(bytes).ok(),
    };
    let snapshot = &call.exchange.snapshot.config;
    let service = snapshot.service(call.stage.route.service);
    let backend = decision.backend;
    let fallback = (backend != service.stable && service.fallback == Fallback::Stable).then_some(service.stable);
    let mut facts = call.exchange.facts.borrow_mut();
    facts.trace.state = state;
    facts.decision = Some(decision);
    if facts.trace.flags.sampled() {
        facts.user_agent = headers.get(USER_AGENT).cloned();
    }
    drop(facts);
    Ok(call.advance(|routed| Decided { admitted: routed.admitted, service: routed.route.service, backend, fallback }))
}

/// Sampling, flags and `tracestate` of the request's trace from here on.
fn follow_trace(exchange: &Exchange, incoming: &Incoming<'_>, mark: Option<Mark<'_>>, decision: &Decision) -> State {
    let mut facts = exchange.facts.borrow_mut();
    let trace = &mut facts.trace;
    if let Some(parent) = incoming.parent {
        trace.id = parent.trace_id;
    }
    trace.parent = incoming.parent;
    trace.link = incoming.link;
    trace.raised = mark.is_some() || decision.track != Track::Stable;
    let sampled = outgoing(&SamplingInput {
        parent: incoming.parent_sampling(),
        randomness: Randomness::of(trace.id, incoming.state.randomness()),
        raised: trace.raised,
        canary_threshold: exchange.snapshot.canary_threshold,
        default_threshold: exchange.snapshot.default_threshold,
        clear_random_flag: exchange.snapshot.config.telemetry.clear_random_flag,
    });
    trace.flags = sampled.flags;
    let assigned = decision.assigned.then_some(decision.rollout).flatten();
    let rollout = assigned.map(|id| exchange.snapshot.config.rollout(id));
    let assigned = rollout.and_then(|rollout| Mark::new(&rollout.group, &rollout.version).ok());
    let edit = Edit { mark: assigned.or(mark).map_or(MarkEdit::Keep, MarkEdit::Set), ot: sampled.ot };
    if incoming.state.unchanged(&edit) {
        return State::Unchanged;
    }
    if incoming.state.is_empty() && edit.mark == MarkEdit::Keep && !matches!(edit.ot, OtEdit::Threshold(_)) {
        return State::Empty;
    }
    match exchange.worker().write(|out| incoming.state.write(&edit, out)) {
        (true, written) => State::Written(written),
        (false, _) => State::Empty,
    }
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
