//! Heads rewritten on the way: what patchgate removes, replaces and adds, in both directions.
//!
//! A request's fields stay where the client's parser put them; what is replaced is left out and what is added is
//! written behind, when the head is written for an attempt. A response's fields go to the client's parser, so they are
//! changed in place.

use bytes::{Bytes, BytesMut};
use http::header::{COOKIE, FORWARDED, HeaderMap, HeaderName, HeaderValue};
use http::{Uri, Version};
use patchgate_config::snapshot::{Forwarded, HeaderPolicy};
use smallvec::SmallVec;

use super::hop;
use super::names::Names;
use crate::trust::{TraceParent, append_server_timing};

pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What the request's head is rewritten by.
pub(crate) struct Rewrite<'a> {
    pub(crate) policy: &'a HeaderPolicy,
    /// Whether the peer's own forwarding fields are believed.
    pub(crate) trusted: bool,
    /// The client's address as text.
    pub(crate) peer: &'a HeaderValue,
    /// The one authority this request is for.
    pub(crate) host: &'a HeaderValue,
    pub(crate) version: Version,
    /// `tracestate` as it goes on.
    pub(crate) tracestate: Option<HeaderValue>,
    /// Makes an id for requests that bring none.
    pub(crate) new_request_id: &'a dyn Fn() -> Bytes,
}

/// How a request's head is written: its own fields but for some, and some more.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) left_out: Names,
    /// Written in front of what the client sent, `host` first (RFC 9112 §3.2).
    pub(crate) added: SmallVec<[(&'static str, HeaderValue); 10]>,
    /// Written behind: `via` is a list in the order of the hops.
    pub(crate) via: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
}

impl Rewritten {
    /// Writes the field in place of those the client sent.
    fn replace(&mut self, known: Names, name: &'static str, value: HeaderValue) {
        self.left_out = self.left_out.with(known);
        self.added.push((name, value));
    }
}

/// Rewrites a request's head for the backend, all but `traceparent`, which each attempt has its own of, and the
/// framing of the body.
pub(crate) fn rewrite_request(headers: &mut HeaderMap, rewrite: &Rewrite<'_>) -> Rewritten {
    let found = Names::in_head(headers);
    let mut rewritten = Rewritten {
        // Expectations are met by the client's parser when the body is asked for; framing is written anew.
        left_out: Names::HOP_BY_HOP.with(Names::EXPECT).with(Names::TRACEPARENT).with(Names::CONTENT_LENGTH),
        ..Rewritten::default()
    };
    if found.has(Names::CONNECTION) {
        hop::strip_listed(headers);
    }
    rewritten.replace(Names::HOST, "host", rewrite.host.clone());
    if found.has(Names::TE) && hop::lists_trailers(headers) {
        rewritten.added.push(("te", HeaderValue::from_static("trailers")));
        rewritten.added.push(("connection", HeaderValue::from_static("te")));
    }
    if rewrite.version == Version::HTTP_2 && found.has(Names::COOKIE) {
        join_cookies(headers);
    }
    rewritten.left_out = rewritten.left_out.with(Names::TRACESTATE);
    if let Some(state) = &rewrite.tracestate {
        rewritten.added.push(("tracestate", state.clone()));
    }
    x_forwarded(headers, found, rewrite, &mut rewritten);
    forwarded(headers, rewrite, &mut rewritten);
    if rewrite.policy.via {
        let via = match rewrite.version {
            Version::HTTP_2 => "2 patchgate",
            Version::HTTP_10 => "1.0 patchgate",
            _ => "1.1 patchgate",
        };
        rewritten.via = Some(HeaderValue::from_static(via));
    }
    if rewrite.policy.request_id {
        request_id(headers, found, rewrite, &mut rewritten);
    }
    rewritten
}

/// HTTP/2 may split `cookie` into crumbs; HTTP/1.1 knows one field only (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = BytesMut::from(first.as_bytes());
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(joined.freeze()) {
        headers.insert(COOKIE, joined);
    }
}

fn x_forwarded(headers: &HeaderMap, found: Names, rewrite: &Rewrite<'_>, rewritten: &mut Rewritten) {
    const ALL: Names = Names::X_FORWARDED_FOR.with(Names::X_FORWARDED_PROTO).with(Names::X_FORWARDED_HOST);
    let believed = match rewrite.policy.x_forwarded {
        Forwarded::Append if rewrite.trusted => found.and(ALL),
        Forwarded::Append | Forwarded::Replace => Names::default(),
        Forwarded::Remove => {
            rewritten.left_out = rewritten.left_out.with(ALL);
            return;
        }
    };
    let client = match believed.has(Names::X_FORWARDED_FOR) {
        true => appended(headers, &X_FORWARDED_FOR, rewrite.peer),
        false => rewrite.peer.clone(),
    };
    rewritten.replace(Names::X_FORWARDED_FOR, "x-forwarded-for", client);
    if !believed.has(Names::X_FORWARDED_PROTO) {
        rewritten.replace(Names::X_FORWARDED_PROTO, "x-forwarded-proto", HeaderValue::from_static("http"));
    }
    if !believed.has(Names::X_FORWARDED_HOST) {
        rewritten.replace(Names::X_FORWARDED_HOST, "x-forwarded-host", rewrite.host.clone());
    }
}

fn forwarded(headers: &HeaderMap, rewrite: &Rewrite<'_>, rewritten: &mut Rewritten) {
    let element = match rewrite.policy.forwarded {
        Forwarded::Remove => {
            rewritten.left_out = rewritten.left_out.with(Names::FORWARDED);
            return;
        }
        Forwarded::Append | Forwarded::Replace => forwarded_element(rewrite),
    };
    let Some(element) = element else { return };
    let value = match rewrite.policy.forwarded == Forwarded::Append && rewrite.trusted {
        true => appended(headers, &FORWARDED, &element),
        false => element,
    };
    rewritten.replace(Names::FORWARDED, "forwarded", value);
}

/// `for=…;host=…;proto=http` (RFC 7239 §4); an IPv6 address is quoted and bracketed (§6).
fn forwarded_element(rewrite: &Rewrite<'_>) -> Option<HeaderValue> {
    let peer = rewrite.peer.to_str().ok()?;
    let host = rewrite.host.to_str().ok()?;
    let node = if peer.contains(':') { format!("\"[{peer}]\"") } else { peer.to_owned() };
    HeaderValue::from_str(&format!("for={node};host=\"{host}\";proto=http")).ok()
}

/// The field's lines as one list with `element` at its end.
fn appended(headers: &HeaderMap, name: &HeaderName, element: &HeaderValue) -> HeaderValue {
    let mut joined = BytesMut::new();
    for value in headers.get_all(name) {
        joined.extend_from_slice(value.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(element.as_bytes());
    // Legal values joined by legal characters are legal.
    HeaderValue::from_maybe_shared(joined.freeze()).unwrap_or_else(|_| element.clone())
}

fn request_id(headers: &HeaderMap, found: Names, rewrite: &Rewrite<'_>, rewritten: &mut Rewritten) {
    if rewrite.trusted
        && found.has(Names::X_REQUEST_ID)
        && let Some(given) = headers.get(REQUEST_ID)
    {
        rewritten.request_id = Some(given.clone());
        return;
    }
    if let Ok(made) = HeaderValue::from_maybe_shared((rewrite.new_request_id)()) {
        rewritten.request_id = Some(made.clone());
        rewritten.replace(Names::X_REQUEST_ID, "x-request-id", made);
    }
}

/// The target as a backend of ours is asked for it: origin-form, or `*` (RFC 9112 §3.2).
pub(crate) fn origin_form(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |target| match target.as_str() {
        "" => "/",
        target => target,
    })
}

/// What a response's head is given for its client.
pub(crate) struct Exposed {
    /// `tracestate` with the mark of the backend that served.
    pub(crate) tracestate: Option<HeaderValue>,
    /// Our span, for `server-timing: trace;desc="…"`.
    pub(crate) server_timing: Option<TraceParent>,
    /// The request's id.
    pub(crate) request_id: Option<HeaderValue>,
}

/// Rewrites a response's head for the client.
pub(crate) fn rewrite_response(headers: &mut HeaderMap, exposed: Exposed) {
    let found = Names::in_head(headers);
    hop::strip(headers, found);
    match exposed.tracestate {
        Some(value) => {
            headers.insert(TRACESTATE, value);
        }
        None if found.has(Names::TRACESTATE) => {
            headers.remove(TRACESTATE);
        }
        None => {}
    }
    if let Some(span) = exposed.server_timing {
        append_server_timing(headers, &span);
    }
    if let Some(value) = exposed.request_id {
        headers.insert(REQUEST_ID, value);
    }
}

#[cfg(test)]
mod tests;
