//! Hop-by-hop fields: removed in both directions, so that nothing meant for one connection crosses to another
//! (RFC 9110 §7.6.1).
//!
//! One pass over the names finds what is there; most requests have at most one such field.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields that `Connection` cannot remove: a client must not be able to strip what a backend decides by.
const PROTECTED: [&str; 14] = [
    "authorization",
    "baggage",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "idempotency-key",
    "set-cookie",
    "traceparent",
    "tracestate",
    "via",
    "x-request-id",
];

/// What hop-by-hop fields said, now that they are gone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Removed {
    /// `te` listed `trailers`: the sender takes trailer fields.
    pub(crate) te_trailers: bool,
    /// There was a `transfer-encoding`.
    pub(crate) transfer_encoding: bool,
}

/// Removes hop-by-hop fields and those that `Connection` names, and `Content-Length` where `Transfer-Encoding` made it
/// void (RFC 9112 §6.1): hyper frames what goes on anew.
pub(crate) fn strip(headers: &mut HeaderMap) -> Removed {
    let mut removed = Removed::default();
    let mut found = [false; 9];
    for name in headers.keys() {
        if let Some(index) = hop_index(name) {
            found[index] = true;
        }
    }
    if found == [false; 9] {
        return removed;
    }
    if found[0] {
        strip_listed(headers);
    }
    if found[1] {
        removed.te_trailers = lists_trailers(headers);
    }
    if found[2] {
        removed.transfer_encoding = true;
        headers.remove(CONTENT_LENGTH);
    }
    for (index, found) in found.into_iter().enumerate() {
        if found {
            headers.remove(&HOP[index]);
        }
    }
    removed
}

/// Of trailers too nothing may cross that frames, routes or authenticates (RFC 9110 §6.5.1).
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers);
    for name in ["content-length", "host", "authorization", "set-cookie", "cookie", "content-type", "content-encoding"]
    {
        trailers.remove(name);
    }
}

static HOP: [HeaderName; 9] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    UPGRADE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HTTP2_SETTINGS,
];

fn hop_index(name: &HeaderName) -> Option<usize> {
    // By length first: it tells nearly all other names apart without comparing them.
    let candidates: &[usize] = match name.as_str().len() {
        2 => &[1],
        7 => &[5],
        10 => &[0, 3],
        14 => &[8],
        16 => &[4],
        17 => &[2],
        18 => &[6],
        19 => &[7],
        _ => return None,
    };
    candidates.iter().copied().find(|&index| HOP[index] == *name)
}

fn strip_listed(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim().to_ascii_lowercase())
        .filter(|token| !matches!(token.as_str(), "" | "close" | "keep-alive"))
        .filter(|token| PROTECTED.binary_search(&token.as_str()).is_err())
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| hop_index(name).is_none())
        .collect();
    for name in listed {
        headers.remove(name);
    }
}

fn lists_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn left(lines: &[(&str, &str)]) -> Vec<String> {
        let mut map = headers(lines);
        strip(&mut map);
        map.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn every_hop_by_hop_field_goes() {
        let lines: Vec<_> = HOP.iter().map(|name| (name.as_str(), "x")).chain([("accept", "x")]).collect();
        assert_eq!(left(&lines), ["accept"]);
    }

    #[test]
    fn listed_fields_go_unless_protected() {
        assert_eq!(
            left(&[
                ("connection", "X-Secret, close, host , tracestate"),
                ("x-secret", "1"),
                ("host", "a"),
                ("tracestate", "b=1")
            ]),
            ["host", "tracestate"]
        );
    }

    #[test]
    fn a_content_length_beside_transfer_encoding_is_void() {
        assert!(left(&[("transfer-encoding", "chunked"), ("content-length", "5")]).is_empty());
    }

    #[test]
    fn te_trailers_is_remembered_and_te_gzip_is_not() {
        assert!(strip(&mut headers(&[("te", "gzip, Trailers")])).te_trailers);
        assert!(!strip(&mut headers(&[("te", "gzip")])).te_trailers);
    }

    #[test]
    fn protected_names_are_sorted_for_the_search() {
        assert!(PROTECTED.is_sorted());
    }

    #[test]
    fn trailers_lose_what_frames_or_routes() {
        let mut map = headers(&[("content-length", "3"), ("host", "a"), ("grpc-status", "0")]);
        strip_trailers(&mut map);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status"]);
    }
}
