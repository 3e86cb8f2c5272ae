//! Where a redirect leads. Pure.
//!
//! Always a whole URL where the request names its host, so that no path can be taken for a host.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use patchgate_config::snapshot::{Redirect, Scheme};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether the client's own connection is one of TLS: as somebody tells who is believed, else as this one `is_tls`.
pub(crate) fn is_secure(headers: &HeaderMap, trusted: bool, is_tls: bool) -> bool {
    let told = headers.get(X_FORWARDED_PROTO).filter(|_| trusted);
    told.map_or(is_tls, |value| value.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// The target of a redirect of a request for `authority` and `uri`.
pub(crate) fn location(redirect: &Redirect, secure: bool, authority: Option<&HeaderValue>, uri: &Uri) -> String {
    let path = redirect.path.as_ref().map_or(uri.path().into(), |change| change.apply(uri.path()));
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let (own_host, own_port) = split(authority.and_then(|value| value.to_str().ok()).unwrap_or_default());
    let host = redirect.host.as_deref().unwrap_or(own_host);
    if host.is_empty() {
        // HTTP/1.0 without a host: a path that begins with two slashes would name one.
        let rest = path.trim_start_matches(['/', '\\']);
        return format!("/{rest}{query}");
    }
    let scheme = redirect.scheme.unwrap_or(if secure { Scheme::Https } else { Scheme::Http });
    let moved = redirect.scheme.is_some() || redirect.host.is_some();
    let port = redirect.port.or(own_port.filter(|_| !moved)).filter(|port| *port != scheme.port());
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{path}{query}", scheme.as_str())
}

/// Host and port of an authority that was admitted.
fn split(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use patchgate_config::snapshot::PathChange;

    use super::*;

    const NOTHING: Redirect = Redirect { scheme: None, host: None, port: None, path: None, status: StatusCode::FOUND };

    fn to(redirect: &Redirect, authority: &str, uri: &str) -> String {
        let authority = (!authority.is_empty()).then(|| HeaderValue::from_str(authority).unwrap());
        location(redirect, false, authority.as_ref(), &uri.parse().unwrap())
    }

    #[test]
    fn what_is_not_replaced_is_the_requests() {
        let https = Redirect { scheme: Some(Scheme::Https), ..NOTHING };
        assert_eq!(to(&https, "a.test:8080", "/p?q=1&r"), "https://a.test/p?q=1&r");
        let port = Redirect { port: Some(8443), ..https.clone() };
        assert_eq!(to(&port, "a.test:8080", "/"), "https://a.test:8443/");
        assert_eq!(to(&Redirect { port: Some(443), ..https }, "[::1]:8080", "/"), "https://[::1]/");
        let path = Redirect { path: Some(PathChange::prefix("/old", "/new".to_owned())), ..NOTHING };
        assert_eq!(to(&path, "a.test:8080", "/old/x?q"), "http://a.test:8080/new/x?q");
        assert_eq!(to(&path, "a.test:80", "/old"), "http://a.test/new");
        let host = Redirect { host: Some("b.test".to_owned()), ..NOTHING };
        assert_eq!(to(&host, "a.test:8080", "/x"), "http://b.test/x");
    }

    #[test]
    fn a_believed_x_forwarded_proto_keeps_the_scheme() {
        let headers = HeaderMap::from_iter([(X_FORWARDED_PROTO, HeaderValue::from_static("HTTPS"))]);
        assert!(is_secure(&headers, true, false));
        assert!(!is_secure(&headers, false, false) && !is_secure(&HeaderMap::new(), true, false));
        assert!(is_secure(&HeaderMap::new(), true, true) && is_secure(&HeaderMap::new(), false, true));
        let path = Redirect { path: Some(PathChange::Full("/new".to_owned())), ..NOTHING };
        let authority = HeaderValue::from_static("a.test");
        assert_eq!(location(&path, true, Some(&authority), &Uri::from_static("/old")), "https://a.test/new");
    }

    #[test]
    fn no_path_becomes_a_host() {
        let cut = Redirect { path: Some(PathChange::prefix("/go", "/".to_owned())), ..NOTHING };
        assert_eq!(to(&cut, "a.test", "/go//evil.test/x"), "http://a.test//evil.test/x");
        for path in ["/go//evil.test/x", "/go/\\evil.test/x", "/go/\\/evil.test/x"] {
            assert_eq!(to(&cut, "", path), "/evil.test/x", "{path}");
        }
    }
}
