//! Why a request goes where it goes: the trail of a request that nobody sent.
//!
//! Beside the request path, made of its own parts: admission, routing, trust, the decision (watched by an observer) and
//! sampling are the functions that requests go through. It sends nothing, counts nothing and changes nothing; given
//! the random bits it is pure.

mod rules;
mod trail;

use std::net::IpAddr;
use std::time::SystemTime;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use patchgate_config::snapshot::{Listener, LocalAnswer, ServiceId, Snapshot};

use crate::admit::admit;
use crate::error::ProxyError;
use crate::names::Names;
use crate::rollout::decide::{Input, decide_observed};
use crate::rollout::follow::{Onward, State, Thresholds, follow};
use crate::rollout::{Decision, Track, fallback};
use crate::route::{is_secure, location, look_up};
use crate::telemetry::channel::Channel;
use crate::telemetry::decide::{Sampling, decide as exported};
use crate::trust::tracestate::TRACESTATE;
use crate::trust::{
    Basis, Incoming, MarkResult, SpanId, ThresholdField, TraceId, TraceParent, Vouching, traceparent::TRACEPARENT,
};
use rules::Rules;
pub use trail::{
    AnswerStep, DecisionStep, Found, HeaderStep, ListenerStep, MarkStep, PercentStep, Refusal, RouteStep, RuleKind,
    RuleStep, SamplingStep, TraceStep, Trail, UpstreamStep,
};

/// A request that might come.
#[derive(Debug, Clone)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its target; the host is that of an absolute one, else of the `host` field.
    pub uri: Uri,
    /// Its header fields.
    pub headers: HeaderMap,
    /// The peer's address.
    pub client: IpAddr,
    /// The name of the listener that it comes to.
    pub listener: String,
    /// What stands for chance: percentages without a key, ids of a new trace. `None`: drawn.
    pub random: Option<u64>,
}

/// A question that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no listener is named {asked:?}; the configuration has {known}")]
pub struct UnknownListener {
    /// What was asked for.
    pub asked: String,
    /// The names there are.
    pub known: String,
}

/// Tells what would become of a request.
///
/// # Errors
/// There is no such listener.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Result<Trail, UnknownListener> {
    let found = snapshot.listeners.iter().find(|listener| listener.name == question.listener);
    let listener = found.ok_or_else(|| UnknownListener {
        asked: question.listener.clone(),
        known: snapshot.listeners.iter().map(|listener| listener.name.as_str()).collect::<Vec<_>>().join(", "),
    })?;
    let random = question.random.unwrap_or_else(|| fastrand::u64(..));
    let trusted_by = listener.trust.iter().find(|range| range.contains(&question.client.to_canonical()));
    let trail = Trail {
        revision: snapshot.revision,
        random: format!("{random:016x}"),
        listener: ListenerStep {
            name: listener.name.clone(),
            trusted: listener.trusts(question.client, &[]),
            trusted_by: trusted_by.map(ToString::to_string),
            assigns: listener.assign,
        },
        refused: None,
        route: None,
        answer: None,
        trace: None,
        mark: None,
        rules: Vec::new(),
        decision: None,
        sampling: None,
        upstream: None,
    };
    Ok(match arrive(snapshot, listener, question) {
        Err(error) => Trail { refused: Some(refusal(error)), ..trail },
        Ok((service, route, answer)) => {
            let trail = Trail { route: Some(route), answer, ..trail };
            go_on(snapshot, listener, question, service, random, trail)
        }
    })
}

/// Admission and routing.
fn arrive(
    snapshot: &Snapshot,
    listener: &Listener,
    question: &Question,
) -> Result<(Option<ServiceId>, RouteStep, Option<AnswerStep>), ProxyError> {
    let Question { method, uri, headers, .. } = question;
    let found = Names::in_head(headers);
    let authority = admit(method, uri, Version::HTTP_11, headers, found, listener.limits.header_count)?;
    let found = look_up(snapshot, Some(&authority), uri.path()).ok_or(ProxyError::NoRoute)?;
    // A route's name is its host pattern, empty for any, and its prefix.
    let name = snapshot.routes.name(found.route);
    let (host, path_prefix) = name.split_at(name.find('/').unwrap_or(name.len()));
    let route = RouteStep {
        host: if host.is_empty() { "*".to_owned() } else { host.to_owned() },
        path_prefix: path_prefix.to_owned(),
        service: found.service.map(|service| snapshot.service(service).name.to_string()),
        rewritten: snapshot.routes.rewrite(found.route).map(|change| change.apply(uri.path()).into_owned()),
    };
    let answer = snapshot.routes.answer(found.route).map(|answer| AnswerStep {
        kind: answer.as_str(),
        status: answer.status().as_u16(),
        location: match answer {
            LocalAnswer::Redirect(redirect) => {
                let secure = is_secure(headers, listener.trusts(question.client, &[]), listener.tls.is_some());
                Some(location(redirect, secure, Some(&authority), uri))
            }
            LocalAnswer::Direct(_) => None,
        },
    });
    Ok((found.service, route, answer))
}

/// Trust, decision and sampling.
fn go_on(
    snapshot: &Snapshot,
    listener: &Listener,
    question: &Question,
    service: Option<ServiceId>,
    random: u64,
    trail: Trail,
) -> Trail {
    let headers = &question.headers;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let vouching = Vouching { keys: &listener.mark_keys, now };
    let incoming = Incoming::read_vouched(headers, trail.listener.trusted, listener.baggage, vouching);
    let mark = incoming.mark();
    let decided = service.map(|service| {
        let input = Input {
            service,
            mark: mark.mark().map(|mark| (mark.group(), mark.version())),
            assign: listener.assign,
            headers,
            query: question.uri.query(),
            client: question.client,
            random,
        };
        let mut rules = Rules { snapshot, input: &input, steps: Vec::new() };
        let decision = decide_observed(&input, snapshot, &mut rules);
        (service, decision, rules.steps)
    });
    let decision = decided.as_ref().map(|(_, decision, _)| decision);
    let mut ids = fastrand::Rng::with_seed(random);
    let fresh = TraceId::from_random(ids.u128(..));
    let thresholds = Thresholds::of(&snapshot.telemetry);
    let onward = follow(&incoming, mark.mark(), decision, snapshot, thresholds, fresh, now);
    let attempt = SpanId::from_random(ids.u64(..));
    Trail {
        trace: Some(trace_step(headers, &incoming)),
        mark: Some(mark_step(&mark)),
        sampling: Some(sampling_step(&incoming, &onward, decision)),
        upstream: decision.map(|_| upstream_step(headers, &incoming, &onward, attempt)),
        decision: decided.as_ref().map(|(service, decision, _)| decision_step(snapshot, *service, decision)),
        rules: decided.map(|(_, _, rules)| rules).unwrap_or_default(),
        ..trail
    }
}

fn refusal(error: ProxyError) -> Refusal {
    Refusal { status: error.status().as_u16(), code: error.code(), why: error.to_string() }
}

fn trace_step(headers: &HeaderMap, incoming: &Incoming<'_>) -> TraceStep {
    let step = |name, code: Option<&'static str>, why: Option<String>| {
        let found = match (headers.contains_key(name), code) {
            (false, _) => Found::Absent,
            (true, None) => Found::Valid,
            (true, Some(_)) => Found::Invalid,
        };
        HeaderStep { found, code, why }
    };
    let (invalid, rejected) = (incoming.invalid, incoming.rejected);
    TraceStep {
        traceparent: step(&TRACEPARENT, invalid.map(|why| why.as_str()), invalid.map(|why| why.to_string())),
        tracestate: step(&TRACESTATE, rejected.map(|why| why.as_str()), rejected.map(|why| why.to_string())),
        followed: incoming.parent.is_some(),
        linked: incoming.link.is_some(),
    }
}

fn mark_step(result: &MarkResult<'_>) -> MarkStep {
    let why = match result {
        MarkResult::None => "the request has no mark",
        MarkResult::Trusted(_) => "a legal mark of a trusted peer",
        MarkResult::Signed(_) => "a legal mark, signed by a key of trust.mark_key_files",
        MarkResult::Untrusted => "the peer may not mark: its address is in no range of trust.addresses",
        MarkResult::BadSignature => "no key of trust.mark_key_files signed this mark on this trace",
        MarkResult::Expired => "the signature's time is over",
        MarkResult::Orphaned => "the tracestate is dropped with its traceparent, which is absent or invalid",
        MarkResult::Malformed => "group or version is missing or has an illegal value",
    };
    let mark = result.mark();
    MarkStep {
        result: result.as_str(),
        why,
        group: mark.map(|mark| mark.group().to_owned()),
        version: mark.map(|mark| mark.version().to_owned()),
    }
}

fn decision_step(snapshot: &Snapshot, service: ServiceId, decision: &Decision) -> DecisionStep {
    let backend = snapshot.backend(decision.backend);
    let fallback = fallback(snapshot, service, decision.backend);
    DecisionStep {
        track: decision.track.as_str(),
        reason: decision.reason.as_str(),
        rollout: decision.rollout.map(|id| snapshot.rollout(id).name.to_string()),
        assigned: decision.assigned,
        backend: backend.name.to_string(),
        version: backend.version.to_string(),
        endpoints: backend.endpoints.iter().map(ToString::to_string).collect(),
        fallback: fallback.map(|id| snapshot.backend(id).name.to_string()),
    }
}

fn sampling_step(incoming: &Incoming<'_>, onward: &Onward<'_>, decision: Option<&Decision>) -> SamplingStep {
    let (by, threshold) = match onward.basis {
        Basis::Raised(threshold) => ("raised", Some(threshold)),
        Basis::Root(threshold) => ("root", threshold),
        Basis::Parent(parent) => match parent.threshold {
            ThresholdField::Present(threshold) => ("parent", Some(threshold)),
            ThresholdField::Absent | ThresholdField::Malformed => ("parent", None),
        },
    };
    let exported = exported(Sampling {
        sampled: onward.flags.sampled(),
        raised: onward.raised,
        control: decision.is_some_and(|decision| decision.track == Track::Control),
        parent: incoming.parent.is_some(),
        response_mark: false,
    });
    SamplingStep {
        sampled: onward.flags.sampled(),
        by,
        threshold: threshold.map(|threshold| threshold.to_string()),
        ratio: threshold.map(|threshold| threshold.probability()),
        randomness: onward.randomness.to_string(),
        reason: exported.map(|exported| exported.reason.as_str()),
        channel: exported.map(|exported| match exported.channel {
            Channel::Normal => "normal",
            Channel::Canary => "canary",
        }),
    }
}

fn upstream_step(headers: &HeaderMap, incoming: &Incoming<'_>, onward: &Onward<'_>, attempt: SpanId) -> UpstreamStep {
    let parent = TraceParent { trace_id: onward.id, parent_id: attempt, flags: onward.flags };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let tracestate = match onward.state(incoming) {
        State::Unchanged => headers.get(&TRACESTATE).map(HeaderValue::as_bytes).map(text),
        State::Empty => None,
        State::Edited => {
            let mut written = BytesMut::new();
            incoming.state.write(&onward.edit, &mut written).then(|| text(&written))
        }
    };
    UpstreamStep { traceparent: text(&parent.encode()), fresh_trace_id: incoming.parent.is_none(), tracestate }
}
