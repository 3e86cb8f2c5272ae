//! Heads rewritten on the way: what patchgate removes, replaces and adds, in both directions.
//!
//! Fields stay where the parser put them; what is replaced is left out and what is added is written behind, when the
//! head is written for an attempt or for an HTTP/1.1 client. For HTTP/2 a response's fields are changed in a map.

use bytes::BytesMut;
use http::header::{COOKIE, FORWARDED, HeaderMap, HeaderName, HeaderValue, TE, VIA};
use http::{Uri, Version};
use patchgate_config::snapshot::{Forwarded, HeaderChanges, HeaderPolicy};

use super::{hop, rules};
use crate::h1::{Lines, write_line};
use crate::names::Names;
use crate::trust::{TraceParent, append_server_timing};

pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Fields of ours, at most.
const ADDED: usize = 9;

/// What the request's head is rewritten by.
pub(crate) struct Rewrite<'a> {
    pub(crate) policy: &'a HeaderPolicy,
    /// The known fields it came with.
    pub(crate) found: Names,
    /// Whether the peer's own forwarding fields are believed.
    pub(crate) trusted: bool,
    pub(crate) version: Version,
    pub(crate) values: Values<'a>,
}

/// The values of fields that patchgate writes, where they lie.
pub(crate) struct Values<'a> {
    /// Whether the client's connection is under TLS.
    pub(crate) is_tls: bool,
    /// The one authority the request is for.
    pub(crate) host: &'a HeaderValue,
    /// The client's address as text.
    pub(crate) peer: &'a HeaderValue,
    /// `tracestate` as it goes on.
    pub(crate) tracestate: Option<&'a HeaderValue>,
    pub(crate) request_id: Option<&'a HeaderValue>,
}

/// How a request's head is written: the client's fields but for some, and some of ours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rewritten {
    pub(crate) left_out: Names,
    pub(crate) added: Names,
    /// A list with the client's own elements in front of ours.
    x_forwarded_for: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
}

impl Rewritten {
    /// Ours in place of the client's.
    fn replace(&mut self, field: Names) {
        self.left_out = self.left_out.with(field);
        self.added = self.added.with(field);
    }

    fn leave_out(&mut self, fields: Names) {
        self.left_out = self.left_out.with(fields);
    }

    /// Appends the fields of a head, a line each: `host` first (RFC 9112 §3.2), then our others, the client's, and
    /// `via` last, since that is a list in the order of the hops.
    pub(crate) fn write(&self, headers: &HeaderMap, values: &Values<'_>, version: Version, out: &mut BytesMut) {
        line(out, "host", values.host);
        if self.added.has(Names::TE) {
            out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
        }
        if let Some(state) = values.tracestate {
            line(out, "tracestate", state);
        }
        if self.added.has(Names::X_FORWARDED_FOR) {
            line(out, "x-forwarded-for", self.x_forwarded_for.as_ref().unwrap_or(values.peer));
        }
        if self.added.has(Names::X_FORWARDED_PROTO) {
            out.extend_from_slice(match values.is_tls {
                true => b"x-forwarded-proto: https\r\n".as_slice(),
                false => b"x-forwarded-proto: http\r\n",
            });
        }
        if self.added.has(Names::X_FORWARDED_HOST) {
            line(out, "x-forwarded-host", values.host);
        }
        if let Some(forwarded) = &self.forwarded {
            line(out, "forwarded", forwarded);
        }
        if let (true, Some(id)) = (self.added.has(Names::X_REQUEST_ID), values.request_id) {
            line(out, "x-request-id", id);
        }
        for (name, value) in headers {
            if !self.left_out.has(Names::of(name)) {
                line(out, name.as_str(), value);
            }
        }
        if self.added.has(Names::VIA) {
            out.extend_from_slice(match version {
                Version::HTTP_2 => b"via: 2 patchgate\r\n",
                Version::HTTP_10 => b"via: 1.0 patchgate\r\n",
                _ => b"via: 1.1 patchgate\r\n",
            });
        }
    }

    /// The same fields for a stream: a map, and without `host`, which is a pseudo-field there.
    pub(crate) fn to_map(&self, headers: &HeaderMap, values: &Values<'_>, version: Version) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(headers.len() + ADDED);
        let mut ours = |field, name, value: &HeaderValue| {
            if self.added.has(field) {
                map.insert(name, value.clone());
            }
        };
        ours(Names::TE, TE, &HeaderValue::from_static("trailers"));
        ours(Names::X_FORWARDED_FOR, X_FORWARDED_FOR, self.x_forwarded_for.as_ref().unwrap_or(values.peer));
        ours(
            Names::X_FORWARDED_PROTO,
            X_FORWARDED_PROTO,
            &HeaderValue::from_static(if values.is_tls { "https" } else { "http" }),
        );
        ours(Names::X_FORWARDED_HOST, X_FORWARDED_HOST, values.host);
        if let Some(id) = values.request_id {
            ours(Names::X_REQUEST_ID, REQUEST_ID, id);
        }
        map.extend(values.tracestate.map(|state| (TRACESTATE, state.clone())));
        map.extend(self.forwarded.as_ref().map(|forwarded| (FORWARDED, forwarded.clone())));
        for (name, value) in headers {
            if !self.left_out.has(Names::of(name)) {
                map.append(name, value.clone());
            }
        }
        if self.added.has(Names::VIA) {
            map.append(
                VIA,
                HeaderValue::from_static(match version {
                    Version::HTTP_2 => "2 patchgate",
                    Version::HTTP_10 => "1.0 patchgate",
                    _ => "1.1 patchgate",
                }),
            );
        }
        map
    }
}

fn line(out: &mut BytesMut, name: &str, value: &HeaderValue) {
    write_line(out, name.as_bytes(), value.as_bytes());
}

/// Decides how a request's head is written for the backend, all but `traceparent`, which each attempt has its own of,
/// and the framing of the body.
pub(crate) fn rewrite_request(headers: &mut HeaderMap, rewrite: &Rewrite<'_>) -> Rewritten {
    let found = rewrite.found;
    let mut rewritten = Rewritten::default();
    // Expectations are met by the client's parser when the body is asked for; framing and context are written anew.
    rewritten.leave_out(Names::HOP_BY_HOP.with(Names::EXPECT).with(Names::CONTENT_LENGTH));
    rewritten.leave_out(Names::HOST.with(Names::TRACEPARENT).with(Names::TRACESTATE));
    if found.has(Names::CONNECTION) {
        hop::strip_listed(headers);
    }
    if found.has(Names::TE) && hop::lists_trailers(headers) {
        rewritten.added = rewritten.added.with(Names::TE);
    }
    if rewrite.version == Version::HTTP_2 && found.has(Names::COOKIE) {
        join_cookies(headers);
    }
    x_forwarded(headers, found, rewrite, &mut rewritten);
    forwarded(headers, rewrite, &mut rewritten);
    if rewrite.policy.via {
        rewritten.added = rewritten.added.with(Names::VIA);
    }
    if rewrite.policy.request_id && !(rewrite.trusted && found.has(Names::X_REQUEST_ID)) {
        rewritten.replace(Names::X_REQUEST_ID);
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
        Forwarded::Remove => return rewritten.leave_out(ALL),
    };
    if believed.has(Names::X_FORWARDED_FOR) {
        rewritten.x_forwarded_for = Some(appended(headers, &X_FORWARDED_FOR, rewrite.values.peer));
    }
    rewritten.replace(Names::X_FORWARDED_FOR);
    for field in [Names::X_FORWARDED_PROTO, Names::X_FORWARDED_HOST] {
        if !believed.has(field) {
            rewritten.replace(field);
        }
    }
}

fn forwarded(headers: &HeaderMap, rewrite: &Rewrite<'_>, rewritten: &mut Rewritten) {
    rewritten.leave_out(Names::FORWARDED);
    if rewrite.policy.forwarded == Forwarded::Remove {
        return;
    }
    let believed = rewrite.policy.forwarded == Forwarded::Append && rewrite.trusted;
    rewritten.forwarded = forwarded_element(&rewrite.values).map(|element| match believed {
        true => appended(headers, &FORWARDED, &element),
        false => element,
    });
}

/// `for=…;host=…;proto=…` (RFC 7239 §4); an IPv6 address is quoted and bracketed (§6).
fn forwarded_element(values: &Values<'_>) -> Option<HeaderValue> {
    let peer = values.peer.to_str().ok()?;
    let host = values.host.to_str().ok()?;
    let node = if peer.contains(':') { format!("\"[{peer}]\"") } else { peer.to_owned() };
    let scheme = if values.is_tls { "https" } else { "http" };
    HeaderValue::from_str(&format!("for={node};host=\"{host}\";proto={scheme}")).ok()
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

/// Rewrites a response's fields for an HTTP/2 client. `exposed` as [`write_response`] has it.
pub(crate) fn rewrite_response(headers: &mut HeaderMap, exposed: Exposed, rules: Option<&HeaderChanges>) {
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
    if let Some(mut value) = exposed.request_id {
        // As with `server-timing`: no other response has it.
        value.set_sensitive(true);
        headers.insert(REQUEST_ID, value);
    }
    if let Some(rules) = rules {
        rules::apply(rules, headers);
    }
}

/// Appends a response's fields for an HTTP/1.1 client, all but those that frame the message: the backend's, copied
/// from where they lie, less what stays here, and ours.
pub(crate) fn write_response(lines: &Lines, exposed: &Exposed, rules: Option<&HeaderChanges>, out: &mut BytesMut) {
    let mut left_out = Names::HOP_BY_HOP.with(Names::CONTENT_LENGTH).with(Names::TRACESTATE);
    if exposed.request_id.is_some() {
        left_out = left_out.with(Names::X_REQUEST_ID);
    }
    let listed = match lines.found().has(Names::CONNECTION) {
        true => hop::listed(lines.values(Names::CONNECTION)),
        false => Vec::new(),
    };
    lines.write(out, |known, name| {
        let is_listed = |listed: &HeaderName| listed.as_str().as_bytes().eq_ignore_ascii_case(name);
        let stays = !left_out.has(known) && !listed.iter().any(is_listed);
        stays && rules.is_none_or(|rules| rules::keeps(rules, name))
    });
    if let Some(state) = &exposed.tracestate {
        line(out, "tracestate", state);
    }
    if let Some(span) = &exposed.server_timing {
        out.extend_from_slice(b"server-timing: trace;desc=\"");
        out.extend_from_slice(&span.encode());
        out.extend_from_slice(b"\"\r\n");
    }
    if let Some(id) = &exposed.request_id {
        line(out, "x-request-id", id);
    }
    if let Some(rules) = rules {
        rules::write(rules, out);
    }
}

#[cfg(test)]
mod tests;
