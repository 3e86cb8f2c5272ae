//! What a backend reads of a client's head.

use proptest::prelude::*;

use super::*;
use crate::h1::KnownNames;

const POLICY: HeaderPolicy = HeaderPolicy {
    x_forwarded: Forwarded::Append,
    forwarded: Forwarded::Remove,
    via: true,
    request_id: true,
    expose_trace: false,
};

/// The fields as written, a line each.
fn rewritten(policy: &HeaderPolicy, trusted: bool, lines: &[(&'static str, &'static str)]) -> Vec<String> {
    let mut headers: HeaderMap =
        lines.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    let [host, peer, state, id] = ["shop.example.com", "::1", "a=1", "made"].map(HeaderValue::from_static);
    let values = || Values { is_tls: false, host: &host, peer: &peer, tracestate: Some(&state), request_id: Some(&id) };
    let found = Names::in_head(&headers);
    let rewrite = Rewrite { policy, found, trusted, version: Version::HTTP_2, values: values() };
    let rewritten = rewrite_request(&mut headers, &rewrite);
    let mut out = BytesMut::new();
    rewritten.write(&headers, &values(), Version::HTTP_2, &mut out);
    String::from_utf8(out.to_vec()).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn has(fields: &[String], line: &str) -> bool {
    fields.iter().any(|field| field == line)
}

fn values<'f>(fields: &'f [String], name: &str) -> Vec<&'f str> {
    fields.iter().filter_map(|field| field.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[test]
fn a_stranger_cannot_spoof_where_it_comes_from() {
    let fields = rewritten(&POLICY, false, &[("x-forwarded-for", "6.6.6.6"), ("x-request-id", "theirs")]);
    assert_eq!(values(&fields, "x-forwarded-for"), ["::1"]);
    assert_eq!(values(&fields, "x-request-id"), ["made"]);
}

#[test]
fn a_trusted_peer_is_appended_to() {
    let lines = [("x-forwarded-for", "10.0.0.1"), ("x-request-id", "theirs"), ("x-forwarded-proto", "https")];
    let fields = rewritten(&POLICY, true, &lines);
    assert_eq!(values(&fields, "x-forwarded-for"), ["10.0.0.1, ::1"]);
    assert_eq!(values(&fields, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&fields, "x-forwarded-host"), ["shop.example.com"]);
    assert_eq!(values(&fields, "x-request-id"), ["theirs"]);
}

#[test]
fn the_trace_context_and_the_host_are_ours_to_write() {
    let lines = [("host", "other"), ("tracestate", "b=2"), ("traceparent", "x"), ("expect", "100-continue")];
    let fields = rewritten(&POLICY, true, &lines);
    assert_eq!(values(&fields, "host"), ["shop.example.com"]);
    assert_eq!(values(&fields, "tracestate"), ["a=1"]);
    assert!(values(&fields, "traceparent").is_empty() && values(&fields, "expect").is_empty(), "{fields:?}");
}

#[test]
fn cookie_crumbs_become_one_line() {
    let fields = rewritten(&POLICY, true, &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
    assert_eq!(values(&fields, "cookie"), ["a=1; b=2; c=3"]);
}

#[test]
fn forwarded_quotes_an_ipv6_node() {
    let policy = HeaderPolicy { forwarded: Forwarded::Append, ..POLICY };
    let fields = rewritten(&policy, true, &[("forwarded", "for=10.0.0.1")]);
    let wanted = "for=10.0.0.1, for=\"[::1]\";host=\"shop.example.com\";proto=http";
    assert_eq!(values(&fields, "forwarded"), [wanted]);
}

#[test]
fn te_trailers_is_said_anew() {
    let fields = rewritten(&POLICY, true, &[("te", "trailers")]);
    assert!(has(&fields, "te: trailers") && has(&fields, "connection: te"), "{fields:?}");
    let fields = rewritten(&POLICY, true, &[("te", "gzip"), ("connection", "te, x-hop"), ("x-hop", "1")]);
    assert!(!fields.iter().any(|field| field.contains("te:") && field.starts_with("te")), "{fields:?}");
    assert!(values(&fields, "x-hop").is_empty() && values(&fields, "connection").is_empty(), "{fields:?}");
}

#[test]
fn absolute_form_becomes_origin_form() {
    assert_eq!(origin_form(&Uri::from_static("http://a.com/b?c")), "/b?c");
    assert_eq!(origin_form(&Uri::from_static("/b?c")), "/b?c");
    assert_eq!(origin_form(&Uri::from_static("http://a.com")), "/");
    assert_eq!(origin_form(&Uri::from_static("*")), "*");
}

/// The lines of a head as a connection holds them.
fn lines_of(text: &str) -> Lines {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let (_, fields) = httparse::parse_headers(text.as_bytes(), &mut fields).unwrap().unwrap();
    let mut lines = Lines::default();
    lines.note(text.as_ptr(), fields);
    lines.hold(bytes::Bytes::copy_from_slice(text.as_bytes()));
    lines
}

fn header_changes() -> impl Strategy<Value = HeaderChanges> {
    let name = || "[a-c]{1,2}".prop_map(|name| HeaderName::try_from(name).unwrap());
    let change = || (name(), "[a-z]{0,3}".prop_map(|value| HeaderValue::try_from(value).unwrap()));
    let set = prop::collection::hash_map(name(), change().prop_map(|(_, value)| value), 0..3);
    (prop::collection::vec(name(), 0..3), set, prop::collection::vec(change(), 0..3))
        .prop_map(|(remove, set, append)| HeaderChanges { remove, set: set.into_iter().collect(), append })
}

proptest! {
    #[test]
    fn clients_of_both_versions_are_told_the_same(
        fields in prop::collection::vec(
            prop_oneof![
                "[A-Ca-c]{1,2}: [a-z]{0,3}",
                "(Connection|connection): (close|keep-alive|a|B, c|date, Via|x-request-id|te, A)",
                "(Keep-Alive|Upgrade|TE|Trailer|Tracestate|Server-Timing|X-Request-Id|Date|Via|Set-Cookie): [a-z=]{1,5}",
                "Transfer-Encoding: chunked",
                "Content-Length: [0-9]",
            ],
            0..8,
        ),
        state in proptest::option::of(Just(HeaderValue::from_static("patch-group=a"))),
        traced in any::<bool>(),
        id in proptest::option::of(Just(HeaderValue::from_static("the-id"))),
        rules in proptest::option::of(header_changes()),
    ) {
        let text: String = fields.iter().map(|field| format!("{field}\r\n")).collect::<String>() + "\r\n";
        let lines = lines_of(&text);
        let span = crate::trust::traceparent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let exposed = || Exposed {
            tracestate: state.clone(),
            server_timing: traced.then_some(span),
            request_id: id.clone(),
        };
        let mut map = lines.to_map(&mut KnownNames::default(), 0).unwrap();
        rewrite_response(&mut map, exposed(), rules.as_ref());
        map.remove("content-length");
        let mut written = BytesMut::new();
        write_response(&lines, &exposed(), rules.as_ref(), &mut written);
        let written = lines_of(&format!("{}\r\n", std::str::from_utf8(&written).unwrap()));
        let written = written.to_map(&mut KnownNames::default(), 0).unwrap();
        prop_assert_eq!(written, map);
    }
}
