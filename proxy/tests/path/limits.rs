//! Bounds on what a client may ask for.

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::client::Client;
use patchgate_testkit::eventually;
use patchgate_testkit::upstream::Upstream;

use super::Running;

fn limited(limits: &str) -> (Running, Upstream) {
    let upstream = Upstream::named("served");
    let listener = format!("limits: {{ {limits} }}");
    (Running::with(upstream.address, upstream.address, &listener, ""), upstream)
}

#[test]
fn a_head_that_is_too_long_is_431_and_one_that_just_fits_is_served() {
    let (gateway, upstream) = limited("header_bytes: 8KiB");
    let mut client = gateway.client();
    assert_eq!(client.get("/", &[("x-long", &"a".repeat(7000))]).unwrap().status, 200);
    let reply = gateway.get("/", &[("x-long", &"a".repeat(9000))]);
    assert_eq!(reply.status, 431);
    assert_eq!(upstream.requests(), 1);
    eventually("its count", || (gateway.count(Count::BadRequests, "head_too_large") == 1).then_some(()));
}

#[test]
fn too_many_fields_are_431() {
    let (gateway, upstream) = limited("header_count: 10");
    let fields: Vec<(&str, &str)> = vec![("x-some", "1"); 20];
    assert_eq!(gateway.get("/", &fields[..5]).status, 200);
    assert_eq!(gateway.get("/", &fields).status, 431);
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn a_head_that_trickles_is_cut_with_408() {
    let (gateway, _upstream) = limited("header_timeout: 1s");
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: te").unwrap();
    let reply = client.reply().unwrap();
    assert_eq!((reply.status, reply.closes()), (408, true));
    // The same after a first request on the connection.
    let mut client = gateway.client();
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    client.send("GET / HT").unwrap();
    assert_eq!(client.reply().unwrap().status, 408);
    assert_eq!(gateway.count(Count::BadRequests, "header_timeout"), 2);
}

#[test]
fn a_connection_without_requests_is_closed_and_one_with_them_survives_its_rests() {
    let (gateway, _upstream) = limited("idle_timeout: 2s");
    let mut idle = gateway.client();
    assert_eq!(idle.get("/", &[]).unwrap().status, 200);
    assert_eq!(idle.rest().unwrap(), b"");
    // Long enough for parser and buffers to have been dropped and made anew several times.
    let mut busy = gateway.client();
    for _ in 0..3 {
        assert_eq!(busy.get("/", &[]).unwrap().text(), "served");
        let quiet = std::time::Instant::now();
        eventually("a rest", || (quiet.elapsed().as_millis() > 1200).then_some(()));
    }
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let (mut gateway, _upstream) = limited("idle_timeout: 2s, header_timeout: 1s");
    assert_eq!(gateway.client().rest().unwrap(), b"");
    gateway.stop();
    assert_eq!(gateway.sum(Count::BadRequests), 0);
}

#[test]
fn connections_over_the_limit_are_closed_at_once_and_counted() {
    let (gateway, _upstream) = limited("connections: 2");
    let mut first = gateway.client();
    let mut second = gateway.client();
    assert_eq!((first.get("/", &[]).unwrap().status, second.get("/", &[]).unwrap().status), (200, 200));
    let mut third = Client::connect(gateway.address()).unwrap();
    assert!(third.get("/", &[]).is_err());
    assert_eq!(gateway.sum(Count::ConnectionsRefused), 1);
    drop(first);
    eventually("a free place", || gateway.client().get("/", &[]).ok());
}

#[test]
fn an_upload_that_stalls_is_cut() {
    let (mut gateway, _upstream) = limited("body_idle_timeout: 1s");
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhello").unwrap();
    let reply = client.reply().unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("request_body_broken") && reply.closes(), "{}", reply.text());
    gateway.stop();
    assert_eq!(gateway.count(Count::BadRequests, "request_body_broken"), 1);
}
