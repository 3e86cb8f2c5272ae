//! Mirrors: a share of requests goes to other endpoints, too, and whatever becomes of that, the request is served.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};

use super::Running;

/// Against hangs; nothing is measured by it.
const LONG: Duration = Duration::from_secs(20);

fn gateway(stable: SocketAddr, mirror: SocketAddr, policy: &str) -> Running {
    Running::start(&format!(
        r#"
workers: 1
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{stable}"] }}
    mirror: {{ endpoints: ["{mirror}"], {policy} }}
telemetry: {{ sampling: {{ default: 0 }} }}
"#
    ))
}

#[test]
fn a_mirror_gets_the_request_with_its_body_and_says_that_it_is_one() {
    let stable = Upstream::named("stable");
    let (tell, told) = channel();
    let mirror = Upstream::start(move |seen| {
        let fields = (seen.header("x-patchgate-shadow"), seen.header("host"), seen.header("content-length"));
        let _ = tell.send((fields, seen.body.clone()));
        Response::new(Bytes::from("thrown away"))
    });
    let gateway = gateway(stable.address, mirror.address, "percent: 100%, methods: [POST], host: shadow.example.com");
    let mut client = gateway.client();
    client.send("POST /cart HTTP/1.1\r\nhost: shop\r\ncontent-length: 5\r\n\r\nhello").unwrap();
    assert_eq!(client.reply().unwrap().text(), "stable");
    let ((shadow, host, length), body) = told.recv_timeout(LONG).expect("the mirror is asked");
    assert_eq!((&*shadow, &*host, &*length, &*body), ("1", "shadow.example.com", "5", &b"hello"[..]));
    assert_eq!(gateway.sum(Count::AttemptsStarted), 1, "a mirror is no attempt");
}

#[test]
fn a_mirror_that_never_answers_holds_up_nobody_and_takes_its_places_alone() {
    let stable = Upstream::named("stable");
    let mirror = RawUpstream::start(|_, mut stream| while matches!(stream.read(&mut [0; 64]), Ok(1..)) {});
    let gateway = gateway(stable.address, mirror.address, "percent: 100%, concurrency: 2, timeout: 60s");
    // One connection has one worker.
    let mut client = gateway.client();
    for _ in 0..10 {
        assert_eq!(client.get("/", &[]).unwrap().text(), "stable");
    }
    assert_eq!(gateway.count(Count::MirrorsRefused, "concurrency"), 8);
    assert_eq!(gateway.sum(Count::Commits), 10);
}

#[test]
fn a_body_that_is_too_long_is_relayed_and_not_mirrored() {
    let stable = Upstream::named("stable");
    let (tell, told) = channel();
    let mirror = RawUpstream::start(move |_, mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let _ = tell.send(all);
    });
    let mut gateway = gateway(stable.address, mirror.address, "percent: 100%, methods: [POST], max_body: 1KiB");
    let mut client = gateway.client();
    let body = "x".repeat(4096);
    client.send(format!("POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 4096\r\n\r\n{body}")).unwrap();
    assert_eq!(client.reply().unwrap().text(), "stable");
    assert_eq!(gateway.count(Count::MirrorsRefused, "body"), 1, "its length is known");
    client
        .send(format!("POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n1000\r\n{body}\r\n0\r\n\r\n"))
        .unwrap();
    assert_eq!(client.reply().unwrap().text(), "stable");
    let got = told.recv_timeout(LONG).expect("its connection is closed");
    assert!(!got.ends_with(b"0\r\n\r\n"), "it never looks whole");
    gateway.stop();
    assert_eq!((gateway.count(Count::Mirrors, "given_up"), gateway.sum(Count::Mirrors)), (1, 1));
}

#[test]
fn a_mirror_that_fails_or_is_not_there_changes_nothing() {
    let stable = Upstream::named("stable");
    let broken = RawUpstream::start(|_, mut stream| {
        let _ = read_head(&mut stream);
        let _ = stream.write_all(b"no http at all\r\n\r\n");
    });
    let nobody = {
        let upstream = Upstream::named("nobody");
        let address = upstream.address;
        upstream.kill();
        address
    };
    for mirror in [broken.address, nobody] {
        let mut gateway = gateway(stable.address, mirror, "percent: 100%");
        let mut client = gateway.client();
        for _ in 0..5 {
            assert_eq!(client.get("/", &[]).unwrap().text(), "stable");
        }
        gateway.stop();
        assert_eq!((gateway.sum(Count::Commits), gateway.sum(Count::AttemptsStarted)), (5, 5));
        assert_eq!(gateway.count(Count::Mirrors, "answered"), 0);
    }
}

#[test]
fn a_method_that_is_not_safe_is_mirrored_by_name_alone() {
    let (stable, mirror) = (Upstream::named("stable"), Upstream::named("mirror"));
    let gateway = gateway(stable.address, mirror.address, "percent: 100%");
    let mut client = gateway.client();
    client.send("DELETE / HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    assert_eq!(client.reply().unwrap().text(), "stable");
    assert_eq!((gateway.count(Count::MirrorsRefused, "method"), mirror.requests()), (1, 0));
}

#[test]
fn a_request_for_a_tunnel_is_not_mirrored_and_that_is_counted_as_such() {
    let (stable, mirror) = (Upstream::named("stable"), Upstream::named("mirror"));
    let gateway = gateway(stable.address, mirror.address, "percent: 100%");
    gateway.get("/", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    assert_eq!((gateway.count(Count::MirrorsRefused, "upgrade"), mirror.requests()), (1, 0));
    assert_eq!(gateway.count(Count::MirrorsRefused, "body"), 0);
}
