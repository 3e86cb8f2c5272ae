//! What a backend gets of a request's head, and a client of a response's.

use bytes::Bytes;
use http::Response;
use patchgate_testkit::upstream::{Seen, Upstream};

use super::Running;

/// Answers with the fields it got, a line each.
fn mirror() -> Upstream {
    Upstream::start(|seen: Seen| {
        let lines =
            seen.headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        let answer = Response::builder()
            .header("connection", "x-private")
            .header("x-private", "1")
            .header("keep-alive", "timeout=5")
            .header("x-public", "1");
        answer.body(Bytes::from(format!("{} {}\n{}", seen.method, seen.uri, lines.collect::<String>()))).unwrap()
    })
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

#[test]
fn hop_by_hop_fields_and_those_that_connection_names_stay_here() {
    let upstream = mirror();
    let gateway = Running::plain(upstream.address);
    let reply = gateway.get(
        "/a?b=c",
        &[("connection", "x-hop, keep-alive"), ("x-hop", "1"), ("keep-alive", "1"), ("te", "gzip"), ("x-end", "1")],
    );
    let got = reply.text();
    assert!(has(&got, "GET /a?b=c") && has(&got, "x-end: 1"), "{got}");
    for gone in ["x-hop", "keep-alive", "te", "connection"] {
        assert!(!got.lines().any(|line| line.starts_with(&format!("{gone}:"))), "{gone} in {got}");
    }
    assert_eq!(reply.header("x-public"), Some("1"));
    assert_eq!((reply.header("x-private"), reply.header("keep-alive")), (None, None));
}

#[test]
fn where_a_request_came_from_is_told_by_policy() {
    let upstream = mirror();
    let spoofed = [("x-forwarded-for", "6.6.6.6"), ("x-request-id", "theirs"), ("forwarded", "for=6.6.6.6")];
    let trusted = Running::plain(upstream.address).get("/", &spoofed);
    assert!(has(&trusted.text(), "x-forwarded-for: 6.6.6.6, 127.0.0.1"), "{}", trusted.text());
    assert!(has(&trusted.text(), "x-request-id: theirs") && has(&trusted.text(), "via: 1.1 patchgate"));
    assert_eq!(trusted.header("x-request-id"), Some("theirs"));

    let listener = "trust: { addresses: [] }, headers: { forwarded: append }";
    let stranger = Running::with(upstream.address, upstream.address, listener, "").get("/", &spoofed);
    let got = stranger.text();
    assert!(has(&got, "x-forwarded-for: 127.0.0.1") && !got.contains("6.6.6.6"), "{got}");
    assert!(has(&got, "forwarded: for=127.0.0.1;host=\"test\";proto=http"), "{got}");
    assert!(!got.contains("theirs") && stranger.header("x-request-id").is_some(), "{got}");

    let listener = "headers: { x_forwarded: remove, via: false, request_id: false }";
    let silent = Running::with(upstream.address, upstream.address, listener, "").get("/", &spoofed[..1]);
    assert!(!silent.text().contains("forwarded") && !silent.text().contains("via:"), "{}", silent.text());
    assert_eq!(silent.header("x-request-id"), None);
}

#[test]
fn the_targets_authority_is_the_host() {
    let upstream = mirror();
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    client.send("GET http://shop.example.com/a HTTP/1.1\r\nhost: other.example.com\r\n\r\n").unwrap();
    let got = client.reply().unwrap().text();
    assert!(has(&got, "GET /a") && has(&got, "host: shop.example.com"), "{got}");
}

#[test]
fn a_transfer_coding_that_is_not_undone_here_is_refused() {
    let upstream = mirror();
    let gateway = Running::plain(upstream.address);
    for codings in ["transfer-encoding: gzip, chunked", "transfer-encoding: gzip\r\ntransfer-encoding: chunked"] {
        let mut client = gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nhost: test\r\n{codings}\r\n\r\n0\r\n\r\n")).unwrap();
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.closes()), (501, true), "{codings}");
    }
    assert_eq!(upstream.requests(), 0);
}
