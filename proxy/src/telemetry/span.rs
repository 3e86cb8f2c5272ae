//! What is told of one exported request: a SERVER span and a CLIENT span for each attempt, by the semantic
//! conventions for HTTP.
//!
//! Built at the request's end from what its stages noted anyway; a request that is not exported builds nothing.

use std::time::SystemTime;

use http::{Method, Version};
use tokio::time::Instant;

use super::decide::{Exported, SamplingReason};
use super::otlp::{self, Attributes, Kind, Span};
use crate::exchange::{Exchange, Facts, Finish, Sent};
use crate::trust::{Edit, Mark, MarkEdit, OtEdit, Threshold, TraceState};

/// A request's end as the spans tell it.
pub(super) struct Ending {
    pub(super) finish: Finish,
    pub(super) at: Instant,
    /// Wall clock at `at`.
    pub(super) wall: SystemTime,
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
    let name = match route {
        Some(route) => format!("{} {route}", if method == "_OTHER" { "HTTP" } else { method }),
        None => if method == "_OTHER" { "HTTP" } else { method }.to_owned(),
    };
    let error = server_error(facts, ending.finish);
    let trace = &facts.trace;
    let span = Span {
        trace_id: trace.id.get(),
        span_id: trace.span.get(),
        parent: trace.parent.map(|parent| (parent.parent_id.get(), true)),
        flags: trace.flags.with_sampled(true).bits(),
        trace_state,
        name: &name,
        kind: Kind::Server,
        start: unix_nanos(ending, exchange.started),
        end: unix_nanos(ending, ending.at),
        failed: error.is_some(),
        link: trace.link.map(|link| (link.trace_id.get(), link.parent_id.get())),
    };
    otlp::span(out, &span, |attributes| {
        method_attributes(attributes, facts, method);
        attributes.text("url.scheme", "http");
        attributes.text("url.path", facts.uri.path());
        if let Some(route) = route {
            attributes.text("http.route", route);
        }
        if let Some(status) = facts.status {
            attributes.int("http.response.status_code", status.as_u16().into());
        }
        if let Some(error) = error {
            attributes.text("error.type", error);
        }
        if let Some(authority) = &facts.authority {
            attributes.ascii("server.address", authority.as_bytes());
        }
        if let Some(agent) = &facts.user_agent {
            attributes.ascii(USER_AGENT_ORIGINAL, agent.as_bytes());
        }
        attributes.ascii("client.address", exchange.connection.peer_value.as_bytes());
        attributes.text("network.protocol.version", protocol_version(facts.version));
        patch_attributes(attributes, exchange, facts, exported);
    });
}

const USER_AGENT_ORIGINAL: &str = "user_agent.original";

fn patch_attributes(attributes: &mut Attributes<'_>, exchange: &Exchange, facts: &Facts, exported: Exported) {
    if let Some((group, version)) = patch_of(exchange, facts) {
        attributes.text("patch.group", &group);
        attributes.text("patch.version", &version);
    }
    if let Some(decision) = &facts.decision {
        attributes.text("patch.track", decision.track.as_str());
        attributes.text("patch.decision", decision.reason.as_str());
    }
    attributes.text("patch.sampling.reason", exported.reason.as_str());
    if let Some(parent) = facts.trace.parent {
        attributes.bool("patch.sampling.parent_sampled", parent.flags.sampled());
    }
    if let Some(backend) = facts.served_by {
        attributes.text("patchgate.backend", &exchange.snapshot.config.backend(backend).name);
    }
    if let Some(service) = facts.service {
        attributes.text("patchgate.service", &exchange.snapshot.config.service(service).name);
    }
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
    let status_text = status_error.map(|status| status.as_str().to_owned());
    let error = sent.error.or(status_text.as_deref());
    let span = Span {
        trace_id: facts.trace.id.get(),
        span_id: sent.span.get(),
        parent: Some((facts.trace.span.get(), false)),
        flags: facts.trace.flags.with_sampled(true).bits(),
        trace_state,
        name: if method == "_OTHER" { "HTTP" } else { method },
        kind: Kind::Client,
        start: unix_nanos(ending, sent.started),
        end: unix_nanos(ending, sent.headers_at.unwrap_or(ending.at)),
        failed: error.is_some(),
        link: None,
    };
    let backend = exchange.snapshot.config.backend(sent.backend);
    otlp::span(out, &span, |attributes| {
        method_attributes(attributes, facts, method);
        // The query is left out: it may carry what a collector must not keep.
        attributes.text("url.full", &format!("http://{}{}", sent.endpoint, facts.uri.path()));
        attributes.text("server.address", &sent.endpoint.ip().to_string());
        attributes.int("server.port", sent.endpoint.port().into());
        if let Some(status) = sent.status {
            attributes.int("http.response.status_code", status.as_u16().into());
        }
        if let Some(error) = error {
            attributes.text("error.type", error);
        }
        if index > 0 {
            attributes.int("http.request.resend_count", index as u64);
        }
        attributes.text("network.protocol.version", "1.1");
        attributes.text("patchgate.backend", &backend.name);
        attributes.text("patch.version", &backend.version);
        if let Some(group) = &backend.group {
            attributes.text("patch.group", group);
        }
    });
}

/// The patch that a request is about: what its trace state says, or what its response said.
fn patch_of(exchange: &Exchange, facts: &Facts) -> Option<(String, String)> {
    if let Some(mark) = &facts.response_mark {
        return Some((mark.group.clone(), mark.version.clone()));
    }
    let state = facts.trace.state.as_ref().map(|value| value.as_bytes());
    if let Ok(state) = TraceState::parse(state)
        && let Some(mark) = state.mark().mark()
    {
        return Some((mark.group().to_owned(), mark.version().to_owned()));
    }
    // Control is compared with a patch without being marked.
    let rollout = exchange.snapshot.config.rollout(facts.decision?.rollout?);
    Some((rollout.group.to_string(), rollout.version.to_string()))
}

/// Our spans' own trace state: what backends got, and after a raise by the response what that makes of it.
fn trace_state(facts: &Facts, exported: Exported) -> Vec<u8> {
    let sent = facts.trace.state.as_ref().map_or(&b""[..], |value| value.as_bytes());
    if exported.reason != SamplingReason::Response {
        return sent.to_vec();
    }
    let Ok(state) = TraceState::parse((!sent.is_empty()).then_some(sent)) else { return sent.to_vec() };
    let mark = facts.response_mark.as_ref().and_then(|mark| Mark::new(&mark.group, &mark.version).ok());
    let edit = Edit {
        mark: mark.map_or(MarkEdit::Keep, MarkEdit::Set),
        ot: Threshold::from_probability(1.0).map_or(OtEdit::Keep, OtEdit::Threshold),
    };
    let mut out = bytes::BytesMut::new();
    state.write(&edit, &mut out);
    out.to_vec()
}

fn server_error(facts: &Facts, finish: Finish) -> Option<&'static str> {
    match finish {
        Finish::Broken => Some("response_body_broken"),
        Finish::TimedOut => Some("response_body_timeout"),
        // A client that leaves is no error of the service.
        Finish::ClientGone => None,
        Finish::Complete => {
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

fn method_attributes(attributes: &mut Attributes<'_>, facts: &Facts, known: &str) {
    attributes.text("http.request.method", known);
    if known == "_OTHER" {
        attributes.text("http.request.method_original", facts.method.as_str());
    }
}

/// The method if it is one of RFC 9110 or PATCH, else `_OTHER`.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}

const fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// Monotonic times told by the wall clock at the request's end, so that durations are true whatever it does.
fn unix_nanos(ending: &Ending, at: Instant) -> u64 {
    let wall = ending.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let then = wall.saturating_sub(ending.at.saturating_duration_since(at));
    u64::try_from(then.as_nanos()).unwrap_or(u64::MAX)
}
