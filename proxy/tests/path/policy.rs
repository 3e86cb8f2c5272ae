//! A service's policy of retries: what is sent again, to whom, how often, and at what price.

use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};

use super::Running;

/// A gateway whose service has these endpoints and this policy.
fn gateway(endpoints: &[SocketAddr], policy: &str) -> Running {
    let endpoints: Vec<_> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
    Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: [{}] }}
    timeouts: {{ connect: 1s, first_byte: 2s, idle: 2s, total: 4s }}
    load_balancing: {{ policy: round_robin }}
    retry: {{ {policy}, backoff: {{ base: 1ms, max: 2ms }} }}
telemetry: {{ sampling: {{ default: 0 }} }}
"#,
        endpoints.join(", ")
    ))
}

fn answers(status: u16) -> Upstream {
    Upstream::start(move |_| Response::builder().status(status).body(Bytes::from(status.to_string())).unwrap())
}

/// Reads each request and closes the connection; counts them.
fn resets() -> (RawUpstream, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let upstream = RawUpstream::start(move |_, mut stream| {
        read_head(&mut stream).unwrap();
        counted.fetch_add(1, Ordering::SeqCst);
        let _ = stream.shutdown(Shutdown::Both);
    });
    (upstream, seen)
}

/// Nobody listens there.
fn nobody() -> SocketAddr {
    let upstream = answers(200);
    let address = upstream.address;
    upstream.kill();
    address
}

#[test]
fn a_status_is_retried_on_another_endpoint_and_booked() {
    let (bad, good) = (answers(503), answers(200));
    let mut gateway = gateway(&[bad.address, good.address], r#"attempts: 2, budget: 100%, "on": ["503"]"#);
    let mut client = gateway.client();
    for _ in 0..20 {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    assert!((1..=20).contains(&bad.requests()), "{} went to the bad one first", bad.requests());
    assert_eq!(good.requests(), 20);
    gateway.stop();
    let retried = bad.requests() as u64;
    assert_eq!(gateway.count(Count::Retries, "status"), retried);
    assert_eq!(gateway.count(Count::Dropped, "retry"), retried);
    assert_eq!((gateway.count(Count::Attempts, "failed"), gateway.count(Count::Attempts, "committed")), (retried, 20));
    assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
    assert_eq!(gateway.sum(Count::Commits), 20);
}

#[test]
fn the_last_answer_is_the_answer_when_none_is_good() {
    let bad = answers(503);
    let gateway = gateway(&[bad.address], r#"attempts: 3, budget: 100%, "on": ["503"]"#);
    let reply = gateway.get("/", &[]);
    assert_eq!((reply.status, &*reply.text(), bad.requests()), (503, "503", 3));
    assert_eq!((gateway.count(Count::Retries, "status"), gateway.count(Count::RetriesRefused, "attempts")), (2, 1));
}

#[test]
fn a_status_that_the_policy_does_not_name_is_the_answer() {
    let bad = answers(502);
    let gateway = gateway(&[bad.address], r#"attempts: 3, "on": ["503", reset]"#);
    assert_eq!((gateway.get("/", &[]).status, bad.requests()), (502, 1));
    assert_eq!((gateway.sum(Count::Retries), gateway.sum(Count::RetriesRefused)), (0, 0));
}

#[test]
fn what_is_not_safe_is_sent_again_only_with_a_key_or_by_name() {
    let bad = answers(503);
    let policy = r#"attempts: 2, budget: 100%, "on": ["503"]"#;
    let by_default = gateway(&[bad.address], policy);
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n{fields}\r\n");
    let ask = |gateway: &Running, request: &str| {
        let before = bad.requests();
        let mut client = gateway.client();
        client.send(request).unwrap();
        assert_eq!(client.reply().unwrap().status, 503);
        bad.requests() - before
    };
    assert_eq!(ask(&by_default, &post("")), 1);
    assert_eq!(by_default.count(Count::RetriesRefused, "method"), 1);
    assert_eq!(ask(&by_default, &post("idempotency-key: 7\r\n")), 2);
    let by_name = gateway(&[bad.address], &format!("{policy}, methods: [GET, POST]"));
    assert_eq!(ask(&by_name, &post("")), 2);
    // What was sent of a body is gone.
    let with_body = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(ask(&by_name, with_body), 1);
    assert_eq!(by_name.count(Count::RetriesRefused, "body"), 1);
}

#[test]
fn resets_are_retried_within_the_policy_alone() {
    let (bad, seen) = resets();
    let gateway = gateway(&[bad.address], r#"attempts: 3, budget: 100%, "on": [reset]"#);
    assert_eq!(gateway.get("/", &[]).status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    assert_eq!(gateway.count(Count::Retries, "reset"), 2);
}

#[test]
fn endpoints_that_take_no_connection_are_tried_again_with_any_method_and_its_body() {
    let dead = nobody();
    let gateway = gateway(&[dead], r#"attempts: 3, budget: 100%, "on": [connect_failure]"#);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi").unwrap();
    assert_eq!(client.reply().unwrap().status, 503);
    assert_eq!(gateway.count(Count::Retries, "connect_failure"), 2);
    assert_eq!(gateway.sum(Count::AttemptsStarted), 3);
}

#[test]
fn a_backend_that_fails_entirely_gets_its_budget_more_and_no_more() {
    const REQUESTS: usize = 1_000;
    let bad = answers(503);
    let mut gateway = gateway(&[bad.address], r#"attempts: 10, budget: 20%, "on": ["503"]"#);
    let mut client = gateway.client();
    let begun = std::time::Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/", &[]).unwrap().status, 503);
    }
    let seconds = begun.elapsed().as_secs() as usize;
    gateway.stop();
    // A fifth, and of each of two workers the reserve of three and one a second.
    let most = REQUESTS + REQUESTS / 5 + 2 * (3 + 1 + seconds);
    assert!((REQUESTS + REQUESTS / 5..=most).contains(&bad.requests()), "{} requests, at most {most}", bad.requests());
    assert!(gateway.count(Count::RetriesRefused, "budget") > 0);
    assert_eq!(gateway.sum(Count::Commits), REQUESTS as u64);
    assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
}
