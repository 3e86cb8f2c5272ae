//! What is told of one exported request: a SERVER span and a CLIENT span for each attempt, by the semantic
//! conventions for HTTP.
//!
//! Built at the request's end from what its stages noted anyway; a request that is not exported builds nothing.

use std::borrow::Cow;
use std::time::Duration;

use http::{Method, Version};
use patchgate_config::snapshot::RolloutId;
use tokio::time::Instant;

use super::blocks::{EndpointBlocks, Told};
use super::clock::nanos;
use super::decide::{Exported, SamplingReason};
use super::otlp::{self, Attributes, Kind, Span, fixed, key};
use crate::error::ProxyError;
use crate::exchange::{Exchange, Facts, Finish, Sent};
use crate::grpc;
use crate::trust::{Edit, Mark, MarkEdit, OtEdit, SignatureEdit, Threshold, TraceState};

/// A request's end as the spans tell it.
pub(super) struct Ending {
    pub(super) finish: Finish,
    pub(super) at: Instant,
    /// From the request's begin.
    pub(super) duration: Duration,
    /// Wall clock at `at`, in nanoseconds since 1970.
    pub(super) wall: u64,
}

/// Appends the spans of a request; returns how many.
pub(super) fn encode(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    facts: &Facts,
    exported: Exported,
    ending: &Ending,
) -> usize {
    let trace_state = trace_state(facts, exported);
    server(out, exchange, facts, exported, ending, &trace_state);
    for (index, sent) in facts.sent.iter().enumerate() {
        client(out, exchange, facts, index, sent, ending, &trace_state);
    }
    1 + facts.sent.len()
}

fn server(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    facts: &Facts,
    exported: Exported,
    ending: &Ending,
    trace_state: &[u8],
) {
    let config = &exchange.snapshot.config;
    let route = facts.route.map(|route| config.routes.name(route));
    let method = known_method(&facts.method);
    let error = server_error(facts, ending.finish);
    let trace = &facts.trace;
    let span = Span {
        trace_id: trace.id.get(),
        span_id: trace.span.get(),
        parent: trace.parent.map(|parent| (parent.parent_id.get(), true)),
        flags: trace.flags.with_sampled(true).bits(),
        trace_state,
        name: route.map_or((method.name, ""), |route| (method.name_and_space, route)),
        kind: Kind::Server,
        start: ending.wall.saturating_sub(nanos(ending.duration)),
        end: ending.wall,
        failed: error.is_some(),
        link: trace.link.map(|link| (link.trace_id.get(), link.parent_id.get())),
    };
    otlp::span(out, &span, |attributes| {
        method_attributes(attributes, facts, method);
        attributes.encoded(match exchange.connection.is_tls {
            true => fixed!("url.scheme", "https"),
            false => fixed!("url.scheme", "http"),
        });
        attributes.text(key!("url.path"), facts.uri.path());
        if let Some(route) = route {
            attributes.text(key!("http.route"), route);
        }
        if let Some(answer) = facts.route.and_then(|route| config.routes.answer(route)) {
            attributes.text(key!("patchgate.answer"), answer.as_str());
        }
        if let Some(status) = facts.status {
            attributes.int(key!("http.response.status_code"), status.as_u16().into());
        }
        if let Some(status) = facts.grpc_status {
            attributes.encoded(fixed!("rpc.system", "grpc"));
            attributes.int(key!("rpc.grpc.status_code"), status.into());
        }
        if let Some(error) = error {
            attributes.text(key!("error.type"), error);
        }
        if let Some(authority) = &facts.authority {
            attributes.ascii(key!("server.address"), authority.as_bytes());
        }
        if let Some(agent) = &facts.user_agent {
            attributes.ascii(key!("user_agent.original"), agent.as_bytes());
        }
        attributes.ascii(key!("client.address"), exchange.connection.peer_value.as_bytes());
        attributes.encoded(match facts.version {
            Version::HTTP_10 => fixed!("network.protocol.version", "1.0"),
            Version::HTTP_2 => fixed!("network.protocol.version", "2"),
            _ => fixed!("network.protocol.version", "1.1"),
        });
        patch_attributes(attributes, exchange, facts, exported);
    });
}

fn patch_attributes(attributes: &mut Attributes<'_>, exchange: &Exchange, facts: &Facts, exported: Exported) {
    let (snapshot, config) = (&exchange.snapshot, &exchange.snapshot.config);
    let patch = patch_of(exchange, facts);
    if let Some(Patch::Marked(group, version)) = patch {
        attributes.text(key!("patch.group"), group);
        attributes.text(key!("patch.version"), version);
    }
    let told = Told {
        rollout: if let Some(Patch::Rollout(id)) = patch { Some(id) } else { None },
        decision: facts.decision.map(|decision| (decision.track, decision.reason)),
        sampling: exported.reason,
        parent_sampled: facts.trace.parent.map(|parent| parent.flags.sampled()),
    };
    match facts.served_by {
        Some(backend) => snapshot.blocks.backend(config, backend).told(&told, config, attributes),
        None => {
            told.write(config, attributes);
            if let Some(service) = facts.service {
                attributes.text(key!("patchgate.service"), &config.service(service).name);
            }
        }
    }
}

/// The patch that a request is about.
enum Patch<'a> {
    /// That of a rollout.
    Rollout(RolloutId),
    /// A group and a version.
    Marked(&'a str, &'a str),
}

/// What a request's response said, or what its trace state says, or the patch it is compared with.
fn patch_of<'a>(exchange: &'a Exchange, facts: &'a Facts) -> Option<Patch<'a>> {
    if let Some(mark) = &facts.response_mark {
        return Some(Patch::Marked(&mark.group, &mark.version));
    }
    let rollout = facts.decision.and_then(|decision| decision.rollout);
    // A request that is not raised has no mark to look for; one of this rollout's patch need not be parsed for it.
    if let Some(state) = facts.trace.state.as_ref().filter(|_| facts.trace.raised).map(|value| value.as_bytes())
        && !rollout.is_some_and(|id| exchange.snapshot.blocks.has_mark_of(&exchange.snapshot.config, id, state))
        && let Ok(state) = TraceState::parse([state])
        && let Some(mark) = state.mark().mark()
    {
        return Some(Patch::Marked(mark.group(), mark.version()));
    }
    // Control is compared with a patch without being marked.
    rollout.map(Patch::Rollout)
}

fn client(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    facts: &Facts,
    index: usize,
    sent: &Sent,
    ending: &Ending,
    trace_state: &[u8],
) {
    let method = known_method(&facts.method);
    let status_error = sent.status.filter(|status| status.is_client_error() || status.is_server_error());
    let error = sent.error.or(status_error.as_ref().map(|status| status.as_str()));
    let span = Span {
        trace_id: facts.trace.id.get(),
        span_id: sent.span.get(),
        parent: Some((facts.trace.span.get(), false)),
        flags: facts.trace.flags.with_sampled(true).bits(),
        trace_state,
        name: (method.name, ""),
        kind: Kind::Client,
        start: ending.unix_nanos(sent.started),
        end: sent.headers_at.map_or(ending.wall, |at| ending.unix_nanos(at)),
        failed: error.is_some(),
        link: None,
    };
    let config = &exchange.snapshot.config;
    let made;
    let endpoint = match exchange.snapshot.blocks.backend(config, sent.backend).endpoint(sent.endpoint) {
        Some(endpoint) => endpoint,
        None => {
            made = EndpointBlocks::new(config, config.backend(sent.backend), sent.endpoint);
            &made
        }
    };
    otlp::span(out, &span, |attributes| {
        method_attributes(attributes, facts, method);
        // The query is left out: it may carry what a collector must not keep.
        let rewrite = facts.route.and_then(|route| config.routes.rewrite(route));
        let path = rewrite.map_or(Cow::Borrowed(facts.uri.path()), |change| change.apply(facts.uri.path()));
        attributes.joined(key!("url.full"), &endpoint.url, &path);
        if let Some(status) = sent.status {
            attributes.int(key!("http.response.status_code"), status.as_u16().into());
        }
        if let Some(error) = error {
            attributes.text(key!("error.type"), error);
        }
        if index > 0 {
            attributes.int(key!("http.request.resend_count"), index as u64);
        }
        attributes.encoded(&endpoint.attempted);
    });
}

/// Our spans' own trace state: what backends got, and after a raise by the response what that makes of it.
fn trace_state(facts: &Facts, exported: Exported) -> Cow<'_, [u8]> {
    let sent = facts.trace.state.as_ref().map_or(&b""[..], |value| value.as_bytes());
    if exported.reason != SamplingReason::Response {
        return Cow::Borrowed(sent);
    }
    let Ok(state) = TraceState::parse((!sent.is_empty()).then_some(sent)) else { return Cow::Borrowed(sent) };
    let mark = facts.response_mark.as_ref().and_then(|mark| Mark::new(&mark.group, &mark.version).ok());
    let edit = Edit {
        mark: mark.map_or(MarkEdit::Keep, MarkEdit::Set),
        signature: SignatureEdit::Keep,
        ot: Threshold::from_probability(1.0).map_or(OtEdit::Keep, OtEdit::Threshold),
    };
    let mut out = bytes::BytesMut::new();
    state.write(&edit, &mut out);
    Cow::Owned(out.into())
}

fn server_error(facts: &Facts, finish: Finish) -> Option<&'static str> {
    match finish {
        Finish::Broken => Some("response_body_broken"),
        Finish::TimedOut => Some("response_body_timeout"),
        // A client that leaves is no error of the service.
        Finish::ClientGone => None,
        Finish::Complete => {
            if let Some(status) = facts.grpc_status.filter(|status| grpc::is_failure(*status)) {
                return Some(facts.error.map_or(grpc::name(status), ProxyError::code));
            }
            let status = facts.status.filter(|status| status.is_server_error())?;
            Some(facts.error.map_or_else(|| status_text(status.as_u16()), |error| error.code()))
        }
    }
}

/// The status as text for the usual ones; `5xx` stands for the others, to keep `error.type` low in cardinality.
const fn status_text(status: u16) -> &'static str {
    match status {
        500 => "500",
        501 => "501",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => "5xx",
    }
}

/// A method as spans tell it.
#[derive(Debug)]
struct KnownMethod {
    /// In a span's name.
    name: &'static str,
    /// The same before a route.
    name_and_space: &'static str,
    /// `http.request.method`.
    attribute: &'static [u8],
}

fn method_attributes(attributes: &mut Attributes<'_>, facts: &Facts, known: &KnownMethod) {
    attributes.encoded(known.attribute);
    if std::ptr::eq(known, &OTHER) {
        attributes.text(key!("http.request.method_original"), facts.method.as_str());
    }
}

/// What a method is told as that is not one of RFC 9110 or PATCH.
static OTHER: KnownMethod =
    KnownMethod { name: "HTTP", name_and_space: "HTTP ", attribute: fixed!("http.request.method", "_OTHER") };

/// The method if it is one of RFC 9110 or PATCH, else [`OTHER`].
fn known_method(method: &Method) -> &'static KnownMethod {
    macro_rules! known {
        ($name:literal) => {
            &KnownMethod {
                name: $name,
                name_and_space: concat!($name, " "),
                attribute: fixed!("http.request.method", $name),
            }
        };
    }
    match *method {
        Method::GET => known!("GET"),
        Method::POST => known!("POST"),
        Method::PUT => known!("PUT"),
        Method::DELETE => known!("DELETE"),
        Method::HEAD => known!("HEAD"),
        Method::OPTIONS => known!("OPTIONS"),
        Method::PATCH => known!("PATCH"),
        Method::TRACE => known!("TRACE"),
        Method::CONNECT => known!("CONNECT"),
        _ => &OTHER,
    }
}

// === impl Ending ===

impl Ending {
    /// A monotonic time told by the wall clock at the request's end, so that durations are true whatever that does.
    fn unix_nanos(&self, at: Instant) -> u64 {
        self.wall.saturating_sub(nanos(self.at.saturating_duration_since(at)))
    }
}
