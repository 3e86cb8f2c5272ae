//! Heads rewritten on the way: what patchgate removes, replaces and adds, in both directions.

use bytes::{Bytes, BytesMut};
use http::header::{COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE, VIA};
use http::{Uri, Version};
use patchgate_config::snapshot::{Forwarded, HeaderPolicy};

use super::hop;
use crate::trust::{TraceParent, append_server_timing};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

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
    /// Given to requests that bring none.
    pub(crate) request_id: Bytes,
}

/// Rewrites a request's head for the backend, all but the trace context, which each attempt has its own of.
/// Returns the request's id.
pub(crate) fn rewrite_request(headers: &mut HeaderMap, rewrite: Rewrite<'_>) -> Option<HeaderValue> {
    let removed = hop::strip(headers);
    if removed.te_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("te"));
    }
    // hyper answers `100-continue` itself when the backend takes the body.
    headers.remove(EXPECT);
    if rewrite.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    headers.insert(HOST, rewrite.host.clone());
    forwarded(headers, &rewrite);
    if rewrite.policy.via {
        headers.append(
            VIA,
            HeaderValue::from_static(match rewrite.version {
                Version::HTTP_2 => "2 patchgate",
                Version::HTTP_10 => "1.0 patchgate",
                _ => "1.1 patchgate",
            }),
        );
    }
    if rewrite.policy.request_id { request_id(headers, rewrite) } else { None }
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

fn forwarded(headers: &mut HeaderMap, rewrite: &Rewrite<'_>) {
    let policy = rewrite.policy;
    match policy.x_forwarded {
        Forwarded::Append if rewrite.trusted => {
            append_listed(headers, X_FORWARDED_FOR, rewrite.peer);
            if !headers.contains_key(X_FORWARDED_PROTO) {
                headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
            }
            if !headers.contains_key(X_FORWARDED_HOST) {
                headers.insert(X_FORWARDED_HOST, rewrite.host.clone());
            }
        }
        Forwarded::Append | Forwarded::Replace => {
            headers.insert(X_FORWARDED_FOR, rewrite.peer.clone());
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
            headers.insert(X_FORWARDED_HOST, rewrite.host.clone());
        }
        Forwarded::Remove => {
            headers.remove(X_FORWARDED_FOR);
            headers.remove(X_FORWARDED_PROTO);
            headers.remove(X_FORWARDED_HOST);
        }
    }
    match policy.forwarded {
        Forwarded::Remove => {
            headers.remove(FORWARDED);
        }
        Forwarded::Append if rewrite.trusted => {
            if let Some(element) = forwarded_element(rewrite) {
                append_listed(headers, FORWARDED, &element);
            }
        }
        Forwarded::Append | Forwarded::Replace => {
            headers.remove(FORWARDED);
            if let Some(element) = forwarded_element(rewrite) {
                headers.insert(FORWARDED, element);
            }
        }
    }
}

/// `for=…;host=…;proto=http` (RFC 7239 §4); an IPv6 address is quoted and bracketed (§6).
fn forwarded_element(rewrite: &Rewrite<'_>) -> Option<HeaderValue> {
    let peer = rewrite.peer.to_str().ok()?;
    let host = rewrite.host.to_str().ok()?;
    let node = if peer.contains(':') { format!("\"[{peer}]\"") } else { peer.to_owned() };
    HeaderValue::from_str(&format!("for={node};host=\"{host}\";proto=http")).ok()
}

/// Adds `element` at the end of a comma-separated field, as one line.
fn append_listed(headers: &mut HeaderMap, name: HeaderName, element: &HeaderValue) {
    let mut joined = BytesMut::new();
    for value in headers.get_all(&name) {
        joined.extend_from_slice(value.as_bytes());
        joined.extend_from_slice(b", ");
    }
    if joined.is_empty() {
        headers.insert(name, element.clone());
        return;
    }
    joined.extend_from_slice(element.as_bytes());
    if let Ok(joined) = HeaderValue::from_maybe_shared(joined.freeze()) {
        headers.insert(name, joined);
    }
}

fn request_id(headers: &mut HeaderMap, rewrite: Rewrite<'_>) -> Option<HeaderValue> {
    if rewrite.trusted
        && let Some(given) = headers.get(REQUEST_ID)
    {
        return Some(given.clone());
    }
    let made = HeaderValue::from_maybe_shared(rewrite.request_id).ok()?;
    headers.insert(REQUEST_ID, made.clone());
    Some(made)
}

/// The target as a backend of ours is asked for it: origin-form, or `*` (RFC 9112 §3.2).
pub(crate) fn origin_form(uri: &Uri) -> Uri {
    if uri.authority().is_none() && uri.scheme().is_none() {
        return uri.clone();
    }
    uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from)
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
    hop::strip(headers);
    headers.remove(TRACESTATE);
    if let Some(value) = exposed.tracestate {
        headers.insert(TRACESTATE, value);
    }
    if let Some(span) = exposed.server_timing {
        append_server_timing(headers, &span);
    }
    if let Some(value) = exposed.request_id {
        headers.insert(REQUEST_ID, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: HeaderPolicy = HeaderPolicy {
        x_forwarded: Forwarded::Append,
        forwarded: Forwarded::Remove,
        via: true,
        request_id: true,
        expose_trace: false,
    };

    fn rewritten(policy: &HeaderPolicy, trusted: bool, lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers: HeaderMap = lines
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let rewrite = Rewrite {
            policy,
            trusted,
            peer: &HeaderValue::from_static("::1"),
            host: &HeaderValue::from_static("shop.example.com"),
            version: Version::HTTP_2,
            request_id: Bytes::from_static(b"made"),
        };
        rewrite_request(&mut headers, rewrite);
        headers
    }

    #[test]
    fn a_stranger_cannot_spoof_where_it_comes_from() {
        let headers = rewritten(&POLICY, false, &[("x-forwarded-for", "6.6.6.6"), ("x-request-id", "theirs")]);
        assert_eq!(headers["x-forwarded-for"], "::1");
        assert_eq!(headers["x-request-id"], "made");
    }

    #[test]
    fn a_trusted_peer_is_appended_to() {
        let headers = rewritten(&POLICY, true, &[("x-forwarded-for", "10.0.0.1"), ("x-request-id", "theirs")]);
        assert_eq!(headers["x-forwarded-for"], "10.0.0.1, ::1");
        assert_eq!(headers["x-request-id"], "theirs");
    }

    #[test]
    fn cookie_crumbs_become_one_line() {
        let headers = rewritten(&POLICY, true, &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }

    #[test]
    fn forwarded_quotes_an_ipv6_node() {
        let policy = HeaderPolicy { forwarded: Forwarded::Append, ..POLICY };
        let headers = rewritten(&policy, true, &[("forwarded", "for=10.0.0.1")]);
        assert_eq!(headers["forwarded"], "for=10.0.0.1, for=\"[::1]\";host=\"shop.example.com\";proto=http");
    }

    #[test]
    fn te_trailers_is_said_anew() {
        let headers = rewritten(&POLICY, true, &[("te", "trailers")]);
        assert_eq!(
            (&headers["te"], &headers["connection"]),
            (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("te"))
        );
    }

    #[test]
    fn absolute_form_becomes_origin_form() {
        assert_eq!(origin_form(&Uri::from_static("http://a.com/b?c")), "/b?c");
        assert_eq!(origin_form(&Uri::from_static("/b?c")), "/b?c");
    }
}
