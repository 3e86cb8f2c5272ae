//! What is sent again, and what never is.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};

use super::{MARKED, Running};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers the first request of each connection, and cuts the connection at the second, unanswered. Counts requests.
fn cuts_the_second() -> (RawUpstream, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let upstream = RawUpstream::start(move |_, mut stream| {
        read_head(&mut stream).unwrap();
        counted.fetch_add(1, Ordering::SeqCst);
        stream.write_all(OK).unwrap();
        if read_head(&mut stream).is_some() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let _ = stream.shutdown(Shutdown::Both);
    });
    (upstream, seen)
}

#[test]
fn a_get_on_a_stale_connection_is_sent_again_and_booked() {
    let (upstream, seen) = cuts_the_second();
    let mut gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    for _ in 0..4 {
        assert_eq!(client.get("/", &[]).unwrap().text(), "ok");
    }
    assert!(seen.load(Ordering::SeqCst) > 4, "some were sent twice");
    gateway.stop();
    assert_eq!(gateway.count(Count::Attempts, "committed"), 4);
    assert!(gateway.count(Count::Attempts, "failed") >= 1);
    assert_eq!(gateway.count(Count::Dropped, "retry"), gateway.count(Count::Attempts, "failed"));
    assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
}

#[test]
fn a_post_that_was_sent_is_never_sent_again() {
    let (upstream, seen) = cuts_the_second();
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    let post = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    client.send(post).unwrap();
    assert_eq!(client.reply().unwrap().status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 2, "the GET and one POST");
}

#[test]
fn a_backend_that_always_resets_is_tried_a_bounded_number_of_times() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let upstream = RawUpstream::start(move |_, mut stream| {
        if read_head(&mut stream).is_some() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let gateway = Running::plain(upstream.address);
    let reply = gateway.get("/", &[]);
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("upstream_reset"), "{}", reply.text());
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[test]
fn a_dead_endpoint_is_passed_over_for_a_live_one() {
    let live = Upstream::named("live");
    let dead = dead();
    let mut gateway = Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - {{ name: shop, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["{dead}", "{}"] }}, load_balancing: {{ policy: round_robin }} }}
"#,
        live.address
    ));
    for _ in 0..6 {
        assert_eq!(gateway.get("/", &[]).text(), "live");
    }
    gateway.stop();
    assert!(gateway.count(Count::Dropped, "retry") >= 2, "the dead one had its turns");
}

#[test]
fn no_endpoint_at_all_is_503_and_a_silent_one_504() {
    let gateway = Running::plain(dead());
    let reply = gateway.get("/", &[]);
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("upstream_connect_failed"), "{}", reply.text());
    let silent = RawUpstream::start(|_, mut stream| while read_head(&mut stream).is_some() {});
    let mut gateway = Running::plain(silent.address);
    let reply = gateway.get("/", &[]);
    assert_eq!(reply.status, 504);
    assert!(reply.text().contains("first_byte_timeout"), "{}", reply.text());
    gateway.stop();
    assert_eq!(gateway.count(Count::Commits, "timeout"), 1);
    assert_eq!(gateway.count(Count::Attempts, "cancelled"), 1);
    assert_eq!(gateway.count(Count::Dropped, "timeout"), 1);
}

#[test]
fn a_fallback_is_booked_as_one() {
    let stable = Upstream::named("stable");
    let mut gateway = Running::with(stable.address, dead(), "", "");
    assert_eq!(gateway.get("/", MARKED).text(), "stable");
    gateway.stop();
    assert_eq!((gateway.sum(Count::Fallbacks), gateway.count(Count::Dropped, "fallback")), (1, 1));
}

/// An address that refuses connections.
pub(super) fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}
