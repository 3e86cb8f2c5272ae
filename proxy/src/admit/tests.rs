//! Requests that pass and requests that do not.

use http::HeaderName;

use super::*;

fn judged(method: &str, target: &str, version: Version, lines: &[(&str, &str)]) -> Result<String, ProxyError> {
    let headers: HeaderMap = lines
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    admit(&method.parse().unwrap(), &target.parse().unwrap(), version, &headers, Names::in_head(&headers), 100)
        .map(|host| host.to_str().unwrap().to_owned())
}

fn get(lines: &[(&str, &str)]) -> Result<String, ProxyError> {
    judged("GET", "/", Version::HTTP_11, lines)
}

#[test]
fn one_valid_host_is_needed() {
    assert_eq!(get(&[("host", "a.com:80")]), Ok("a.com:80".to_owned()));
    assert_eq!(get(&[]), Err(ProxyError::HostMissing));
    assert_eq!(get(&[("host", "a"), ("host", "a")]), Err(ProxyError::HostAmbiguous));
    for bad in ["", "a b", "u@a", "a/b", "a:b", "a:123456", "a:1:2", "[::1", "[]", "[::1]x", "a#b", "a?b"] {
        assert_eq!(get(&[("host", bad)]), Err(ProxyError::HostMalformed), "{bad}");
    }
    for good in ["a", "A.com", "127.0.0.1:80", "[::1]", "[::1]:80", "a_b.c", "a:"] {
        assert_eq!(get(&[("host", good)]), Ok(good.to_owned()));
    }
}

#[test]
fn http_1_0_may_leave_the_host_out() {
    assert_eq!(judged("GET", "/", Version::HTTP_10, &[]), Ok(String::new()));
}

#[test]
fn the_targets_authority_wins_in_http_1_and_must_agree_in_http_2() {
    let lines = [("host", "b.com")];
    assert_eq!(judged("GET", "http://a.com/", Version::HTTP_11, &lines), Ok("a.com".to_owned()));
    assert_eq!(judged("GET", "http://a.com/", Version::HTTP_2, &lines), Err(ProxyError::HostAmbiguous));
    assert_eq!(judged("GET", "http://a.com/", Version::HTTP_2, &[("host", "A.com")]), Ok("a.com".to_owned()));
    assert_eq!(judged("GET", "http://u@a.com/", Version::HTTP_2, &[]), Err(ProxyError::HostMalformed));
}

#[test]
fn tunnels_odd_targets_versions_and_expectations_are_refused() {
    let host = [("host", "a")];
    assert_eq!(judged("CONNECT", "a:443", Version::HTTP_11, &host), Err(ProxyError::ConnectRefused));
    assert_eq!(judged("GET", "*", Version::HTTP_11, &host), Err(ProxyError::TargetMalformed));
    assert_eq!(judged("OPTIONS", "*", Version::HTTP_11, &host), Ok("a".to_owned()));
    assert_eq!(judged("GET", "/", Version::HTTP_09, &host), Err(ProxyError::VersionUnsupported));
    let lines = [("host", "a"), ("expect", "miracles")];
    assert_eq!(judged("GET", "/", Version::HTTP_11, &lines), Err(ProxyError::ExpectationFailed));
}

#[test]
fn routes_know_hosts_in_lower_case_without_port_and_trailing_dot() {
    for (host, routed) in [("A.Com:80", "a.com"), ("a.com.", "a.com"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")] {
        assert_eq!(route_host(&HeaderValue::from_static(host)), routed);
    }
}
