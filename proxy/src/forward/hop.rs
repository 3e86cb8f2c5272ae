//! Hop-by-hop fields: removed in both directions, so that nothing meant for one connection crosses to another
//! (RFC 9110 §7.6.1).

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};

use crate::names::Names;

/// Fields that `Connection` cannot remove: a client must not be able to strip what a backend decides by.
const PROTECTED: [&str; 15] = [
    "authorization",
    "baggage",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "host",
    "idempotency-key",
    "set-cookie",
    "traceparent",
    "tracestate",
    "via",
    "x-request-id",
];

/// The fields of [`Names::HOP_BY_HOP`].
static HOP_BY_HOP: [(Names, HeaderName); 9] = [
    (Names::CONNECTION, CONNECTION),
    (Names::TE, TE),
    (Names::TRANSFER_ENCODING, TRANSFER_ENCODING),
    (Names::KEEP_ALIVE, HeaderName::from_static("keep-alive")),
    (Names::PROXY_CONNECTION, HeaderName::from_static("proxy-connection")),
    (Names::UPGRADE, UPGRADE),
    (Names::PROXY_AUTHENTICATE, PROXY_AUTHENTICATE),
    (Names::PROXY_AUTHORIZATION, PROXY_AUTHORIZATION),
    (Names::HTTP2_SETTINGS, HeaderName::from_static("http2-settings")),
];

/// Removes hop-by-hop fields and those that `Connection` names, and `Content-Length` where `Transfer-Encoding` made it
/// void (RFC 9112 §6.1): what goes on is framed anew. `found`: the head's known fields.
pub(crate) fn strip(headers: &mut HeaderMap, found: Names) {
    let hop = found.and(Names::HOP_BY_HOP);
    if hop == Names::default() {
        return;
    }
    if hop.has(Names::CONNECTION) {
        strip_listed(headers);
    }
    if hop.has(Names::TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for (_, name) in HOP_BY_HOP.iter().filter(|(known, _)| hop.has(*known)) {
        headers.remove(name);
    }
}

/// Of trailers too nothing may cross that frames, routes or authenticates (RFC 9110 §6.5.1).
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers, Names::in_head(trailers));
    for name in ["content-length", "host", "authorization", "set-cookie", "cookie", "content-type", "content-encoding"]
    {
        trailers.remove(name);
    }
}

/// Removes what `Connection` names, unless protected.
pub(crate) fn strip_listed(headers: &mut HeaderMap) {
    for name in listed(headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes)) {
        headers.remove(name);
    }
}

/// What `Connection` fields of these values name, less what is protected or hop-by-hop anyway.
pub(crate) fn listed<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<HeaderName> {
    values
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty() && !token.eq_ignore_ascii_case(b"close"))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| PROTECTED.binary_search(&name.as_str()).is_err())
        .filter(|name| !Names::HOP_BY_HOP.has(Names::of(name)))
        .collect()
}

/// Whether `te` lists `trailers`: the sender takes trailer fields.
pub(crate) fn lists_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn left(lines: &[(&str, &str)]) -> Vec<String> {
        let mut map = headers(lines);
        let found = Names::in_head(&map);
        strip(&mut map, found);
        map.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn every_hop_by_hop_field_goes() {
        let names = [
            "connection",
            "te",
            "transfer-encoding",
            "keep-alive",
            "proxy-connection",
            "upgrade",
            "proxy-authenticate",
            "proxy-authorization",
            "http2-settings",
        ];
        let lines: Vec<_> = names.iter().map(|name| (*name, "x")).chain([("accept", "x")]).collect();
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
    fn te_trailers_is_told_from_te_gzip() {
        assert!(lists_trailers(&headers(&[("te", "gzip, Trailers")])));
        assert!(!lists_trailers(&headers(&[("te", "gzip")])));
    }

    #[test]
    fn the_fields_are_those_of_the_set() {
        let all = HOP_BY_HOP.iter().fold(Names::default(), |all, (known, name)| {
            assert_eq!(Names::of(name), *known, "{name}");
            all.with(*known)
        });
        assert_eq!(all, Names::HOP_BY_HOP);
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
