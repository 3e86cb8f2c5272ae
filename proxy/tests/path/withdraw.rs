//! A withdrawal: what is in flight is counted to its end, and cut off where that is asked for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_proxy::withdraw::Cut;
use patchgate_testkit::client::{Client, head};
use patchgate_testkit::eventually;
use patchgate_testkit::otlp::{Collector, attributes};
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};
use socket2::{Domain, Socket, Type};

use super::{MARKED, Running};

const FALL_BACK: &str = "";
const FAIL: &str = ", fallback: fail";

/// A gateway whose canary requests wait as long as they like; `service` is more YAML of the service.
fn gateway(stable: SocketAddr, hot_fix: SocketAddr, service: &str, more: &str) -> Running {
    Running::start(&config(stable, service, &rollout(hot_fix), more))
}

fn config(stable: SocketAddr, service: &str, rollouts: &str, more: &str) -> String {
    format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{stable}"] }}
    timeouts: {{ connect: 60s, first_byte: 60s, idle: 60s, total: 60s }}{}
rollouts: [{rollouts}]
{more}
"#,
        service.replace(", ", "\n    ")
    )
}

fn rollout(hot_fix: SocketAddr) -> String {
    format!(r#"{{ name: fix, service: shop, version: v2, group: lane, endpoints: ["{hot_fix}"] }}"#)
}

/// Reads requests and never answers.
fn silent() -> RawUpstream {
    RawUpstream::start(|_, mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
}

/// Reads requests and never answers; tells of each whose head it has.
fn telling() -> (RawUpstream, mpsc::Receiver<()>) {
    let (arrived, arrivals) = mpsc::channel();
    let upstream = RawUpstream::start(move |_, mut stream| {
        if read_head(&mut stream).is_some() {
            arrived.send(()).unwrap();
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    (upstream, arrivals)
}

/// Begins an answer with this head and piece of body, and goes on only to see the connection end.
fn begins(answer: &'static [u8]) -> RawUpstream {
    RawUpstream::start(move |_, mut stream| {
        read_head(&mut stream).unwrap();
        stream.write_all(answer).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
}

/// Sends a marked request and leaves it in flight.
fn send(gateway: &Running, method: &str, body: &str) -> Client {
    let mut client = gateway.client();
    let length = body.len().to_string();
    let mut fields = MARKED.to_vec();
    if !body.is_empty() {
        fields.push(("content-length", &length));
    }
    client.send(head(method, "/", &fields) + "\r\n" + body).unwrap();
    client
}

fn in_flight(gateway: &Running) -> u64 {
    gateway.handle().canary("fix").in_flight
}

fn wait_for(gateway: &Running, requests: u64) {
    eventually("canary requests in flight", || (in_flight(gateway) == requests).then_some(()));
}

fn cut(gateway: &Running) -> Cut {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(gateway.handle().cut("fix"))
}

#[test]
fn a_request_is_counted_until_it_ends_and_its_commit_is_timed() {
    let (answer, answers) = mpsc::channel::<()>();
    let answers = std::sync::Mutex::new(answers);
    let hot_fix = RawUpstream::start(move |_, mut stream| {
        while read_head(&mut stream).is_some() {
            answers.lock().unwrap().recv().unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        }
    });
    let stable = Upstream::named("stable");
    let gateway = gateway(stable.address, hot_fix.address, FALL_BACK, "");
    assert_eq!(gateway.handle().canary("fix"), Default::default());
    assert_eq!(gateway.get("/", &[]).text(), "stable");
    assert_eq!(gateway.handle().canary("fix"), Default::default(), "stable requests are none");
    let before = std::time::Instant::now();
    let mut client = send(&gateway, "GET", "");
    wait_for(&gateway, 1);
    assert_eq!(gateway.handle().canary("fix").last_commit, None);
    answer.send(()).unwrap();
    assert_eq!(client.reply().unwrap().text(), "ok");
    wait_for(&gateway, 0);
    let last = gateway.handle().canary("fix").last_commit.unwrap();
    assert!(before <= last && last <= std::time::Instant::now());
}

#[test]
fn a_request_that_fell_back_is_no_canary_any_more() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let stable = silent();
    let gateway = gateway(stable.address, dead, FALL_BACK, "");
    let _client = send(&gateway, "GET", "");
    eventually("the fallback", || (gateway.sum(Count::Fallbacks) == 1).then_some(()));
    wait_for(&gateway, 0);
    assert_eq!(cut(&gateway), Cut::default());
}

#[test]
fn idle_workers_take_a_snapshot_when_it_is_published_and_old_requests_still_count() {
    let (stable, hot_fix) = (Upstream::named("stable"), silent());
    let mut gateway = gateway(stable.address, hot_fix.address, FAIL, "");
    eventually("the first snapshot", || (gateway.handle().applied_revision() == 1).then_some(()));
    let mut client = send(&gateway, "GET", "");
    wait_for(&gateway, 1);
    // The rollout is in no snapshot any more, and nobody sends a request.
    gateway.apply(&config(stable.address, FAIL, "", ""), 2);
    eventually("the new snapshot", || (gateway.handle().applied_revision() == 2).then_some(()));
    assert_eq!(in_flight(&gateway), 1, "on the old snapshot");
    // And once more: what was resolved of the first snapshot has to be kept for it.
    gateway.apply(&config(stable.address, FAIL, "", ""), 3);
    eventually("the new snapshot", || (gateway.handle().applied_revision() == 3).then_some(()));
    assert_eq!(cut(&gateway), Cut { unanswered: 1, broken: 0 });
    assert_eq!(client.reply().unwrap().status, 503);
    wait_for(&gateway, 0);
}

#[test]
fn what_was_sent_and_is_not_idempotent_is_answered_503_and_told_as_withdrawn() {
    let (stable, (hot_fix, arrivals), spans) = (Upstream::named("stable"), telling(), Collector::start());
    let telemetry = format!("telemetry: {{ otlp: {{ endpoint: \"{}\" }} }}", spans.url());
    let mut gateway = gateway(stable.address, hot_fix.address, FALL_BACK, &telemetry);
    let mut client = send(&gateway, "POST", "hello");
    arrivals.recv().unwrap();
    assert_eq!(cut(&gateway), Cut { unanswered: 1, broken: 0 });
    let reply = client.reply().unwrap();
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("(withdrawn)"), "{}", reply.text());
    assert_eq!(stable.requests(), 0);
    gateway.stop();
    assert_eq!(gateway.count(Count::Commits, "withdrawn"), 1);
    assert_eq!(gateway.count(Count::Withdrawn, "answered"), 1);
    assert_eq!((gateway.count(Count::Attempts, "cancelled"), gateway.count(Count::Dropped, "withdrawn")), (1, 1));
    assert_eq!((gateway.sum(Count::Finished), gateway.sum(Count::AttemptsStarted)), (1, 1));
    let errors: Vec<_> = spans.spans().iter().map(|span| attributes(span)["error.type"].clone()).collect();
    assert_eq!(errors, ["withdrawn", "withdrawn"], "the server's span and the attempt's");
}

#[test]
fn what_is_idempotent_goes_to_stable() {
    let (stable, (hot_fix, arrivals)) = (Upstream::named("stable"), telling());
    let mut gateway = gateway(stable.address, hot_fix.address, FALL_BACK, "");
    let mut client = send(&gateway, "GET", "");
    arrivals.recv().unwrap();
    cut(&gateway);
    assert_eq!(client.reply().unwrap().text(), "stable");
    assert_eq!(in_flight(&gateway), 0);
    // The connection goes on.
    assert_eq!(client.get("/", &[]).unwrap().text(), "stable");
    drop(client);
    gateway.stop();
    assert_eq!((gateway.count(Count::Withdrawn, "fallback"), gateway.sum(Count::Fallbacks)), (1, 1));
    assert_eq!((gateway.count(Count::Attempts, "cancelled"), gateway.count(Count::Dropped, "withdrawn")), (1, 1));
    assert_eq!((gateway.count(Count::Commits, "attempt"), gateway.sum(Count::Commits)), (2, 2));
}

#[test]
fn a_service_that_fails_rather_than_falls_back_is_not_sent_elsewhere() {
    let (stable, hot_fix) = (Upstream::named("stable"), silent());
    let gateway = gateway(stable.address, hot_fix.address, FAIL, "");
    let mut client = send(&gateway, "GET", "");
    wait_for(&gateway, 1);
    cut(&gateway);
    assert_eq!(client.reply().unwrap().status, 503);
    assert_eq!(stable.requests(), 0);
}

#[test]
fn what_was_not_sent_goes_to_stable_with_its_body_whatever_it_is() {
    let stable = Upstream::start(|seen| http::Response::new(seen.body));
    // Its queue holds one connection and nobody accepts: the next waits for its handshake.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _held = TcpStream::connect(address).unwrap();
    let gateway = gateway(stable.address, address, FALL_BACK, "");
    let mut client = send(&gateway, "POST", "hello");
    wait_for(&gateway, 1);
    assert_eq!(cut(&gateway), Cut { unanswered: 1, broken: 0 });
    assert_eq!(client.reply().unwrap().text(), "hello");
    assert_eq!(gateway.count(Count::Withdrawn, "fallback"), 1);
}

#[test]
fn a_body_under_way_breaks_off_visibly() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
    ] {
        let (stable, hot_fix, spans) = (Upstream::named("stable"), begins(answer), Collector::start());
        let telemetry = format!("telemetry: {{ otlp: {{ endpoint: \"{}\" }} }}", spans.url());
        let mut gateway = gateway(stable.address, hot_fix.address, FALL_BACK, &telemetry);
        let mut client = send(&gateway, "GET", "");
        eventually("the commit", || (gateway.count(Count::Commits, "attempt") == 1).then_some(()));
        assert_eq!(cut(&gateway), Cut { unanswered: 0, broken: 1 });
        assert_eq!(in_flight(&gateway), 0, "at once");
        let error = client.reply().expect_err("no body that looks whole");
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        gateway.stop();
        assert_eq!((gateway.count(Count::Finished, "broken"), gateway.sum(Count::Finished)), (1, 1));
        assert_eq!(gateway.count(Count::Withdrawn, "broken"), 1);
        let traffic = gateway.telemetry.metrics.traffic();
        let (_, sums) = traffic.rows.iter().find(|(key, _)| key.track == "canary").unwrap();
        assert_eq!((sums.requests, sums.errors), (1, 1), "a whole answer it was not");
        let told = spans.spans();
        let attempt = told.iter().find(|span| span.kind == 3).unwrap();
        assert_eq!(attributes(attempt)["error.type"], "withdrawn");
    }
}

#[test]
fn a_body_that_nobody_reads_lets_go_of_its_backend() {
    let (closed, was_closed) = mpsc::channel();
    let hot_fix = RawUpstream::start(move |_, mut stream| {
        read_head(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
        closed.send(()).unwrap();
    });
    let stable = Upstream::named("stable");
    let gateway = gateway(stable.address, hot_fix.address, FALL_BACK, "");
    let _client = send(&gateway, "GET", "");
    eventually("the commit", || (gateway.count(Count::Commits, "attempt") == 1).then_some(()));
    assert_eq!(cut(&gateway), Cut { unanswered: 0, broken: 1 });
    was_closed.recv_timeout(Duration::from_secs(30)).expect("the backend's connection is closed");
    assert_eq!(in_flight(&gateway), 0);
}

#[test]
fn a_stream_under_way_is_reset_and_its_connection_goes_on() {
    let hot_fix = begins(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
    let stable = Upstream::named("stable");
    let gateway = gateway(stable.address, hot_fix.address, FALL_BACK, "");
    let mut client = super::h2::connect(&gateway, &[]);
    client.write_all(&super::h2::get(1, MARKED)).unwrap();
    eventually("the commit", || (gateway.count(Count::Commits, "attempt") == 1).then_some(()));
    assert_eq!(cut(&gateway), Cut { unanswered: 0, broken: 1 });
    client.write_all(&super::h2::get(3, &[])).unwrap();
    let (mut reset, mut answered) = (false, false);
    while !(reset && answered) {
        let mut head = [0; 9];
        client.read_exact(&mut head).expect("the connection goes on");
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        client.read_exact(&mut payload).unwrap();
        let (kind, flags, stream) = (head[3], head[4], head[8]);
        assert!(!(stream == 1 && kind == 0 && flags & 1 != 0), "it must not look whole");
        reset |= kind == 3 && stream == 1;
        answered |= kind == 0 && stream == 3 && payload.starts_with(b"stable");
    }
}

#[test]
fn others_are_left_alone() {
    let (next, step) = mpsc::channel::<()>();
    let step = std::sync::Mutex::new(step);
    let stable = RawUpstream::start(move |_, mut stream| {
        read_head(&mut stream).unwrap();
        step.lock().unwrap().recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").unwrap();
    });
    let (fix, other) = (silent(), silent());
    let other = format!(
        r#"{}, {{ name: other, service: shop, version: v3, group: lane-b, endpoints: ["{}"] }}"#,
        rollout(fix.address),
        other.address
    );
    let gateway = Running::start(&config(stable.address, FAIL, &other, ""));
    let mut to_stable = gateway.client();
    to_stable.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut to_other = gateway.client();
    let marked_other = [MARKED[0], ("tracestate", "patch-group=lane-b,patch-version=v3")];
    to_other.send(head("GET", "/", &marked_other) + "\r\n").unwrap();
    let mut to_fix = send(&gateway, "GET", "");
    wait_for(&gateway, 1);
    eventually("the other", || (gateway.handle().canary("other").in_flight == 1).then_some(()));
    assert_eq!(cut(&gateway), Cut { unanswered: 1, broken: 0 });
    assert_eq!(to_fix.reply().unwrap().status, 503);
    next.send(()).unwrap();
    assert_eq!(to_stable.reply().unwrap().text(), "fine");
    assert_eq!(gateway.handle().canary("other").in_flight, 1);
}

#[test]
fn a_handle_outlives_its_data_plane() {
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("fix"));
    let mut gateway = gateway(stable.address, hot_fix.address, FALL_BACK, "");
    assert_eq!(gateway.get("/", MARKED).text(), "fix");
    let handle = gateway.handle();
    gateway.stop();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(handle.cut("fix")), Cut::default());
    assert_eq!((handle.applied_revision(), handle.canary("fix").in_flight), (0, 0));
}
