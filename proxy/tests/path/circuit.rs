//! Bounds on what a backend is given: who waits, and who is refused at once.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::client::{Client, Reply};
use patchgate_testkit::eventually;
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};

use super::{MARKED, Running, hot_fix, service};

/// A backend that answers one request for each word that it is given.
fn slow() -> (RawUpstream, mpsc::Sender<()>) {
    let (go, gone) = mpsc::channel();
    let gone = Arc::new(Mutex::new(gone));
    let upstream = RawUpstream::start(move |_, mut stream| {
        while read_head(&mut stream).is_some() {
            if gone.lock().unwrap().recv().is_err() {
                return;
            }
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    });
    (upstream, go)
}

fn gateway(stable: SocketAddr, fix: SocketAddr, policy: &str) -> Running {
    let policy = format!("timeouts: {{ first_byte: 20s }}\n    {policy}");
    Running::start(&(service(&[stable], &policy) + &hot_fix(fix)))
}

/// A request whose answer is not waited for.
fn send(gateway: &Running) -> Client {
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    client
}

fn started(gateway: &Running, attempts: u64) {
    eventually("the attempts", || (gateway.sum(Count::AttemptsStarted) == attempts).then_some(()));
}

/// Waits until so many requests do.
fn pending(gateway: &Running, count: usize) {
    eventually("the queue", || {
        let text = gateway.telemetry.metrics.encode().expect("metrics are text");
        let line = format!("patchgate_circuit_in_use{{backend=\"shop/stable\",limit=\"pending\"}} {count}\n");
        text.contains(&line).then_some(())
    });
}

fn is_overflow(reply: &Reply) -> bool {
    reply.status == 503 && reply.text().contains("overflow")
}

#[test]
fn what_is_over_the_bound_is_503_at_once_and_no_attempt() {
    let (upstream, go) = slow();
    let gateway = gateway(upstream.address, upstream.address, "circuit_breaker: { max_requests: 2 }");
    let mut held = [send(&gateway), send(&gateway)];
    started(&gateway, 2);
    assert!(is_overflow(&gateway.get("/", &[])));
    assert_eq!(gateway.sum(Count::AttemptsStarted), 2);
    assert_eq!(gateway.count(Count::Overflows, "requests"), 1);
    // Whichever of the two connections takes the first word.
    go.send(()).unwrap();
    go.send(()).unwrap();
    for client in &mut held {
        assert_eq!(client.reply().unwrap().text(), "ok");
    }
    go.send(()).unwrap();
    assert_eq!(gateway.get("/", &[]).text(), "ok");
}

#[test]
fn those_that_wait_have_their_turn_in_order_and_the_rest_does_not_wait() {
    let (upstream, go) = slow();
    let limits = "circuit_breaker: { max_requests: 1, max_pending_requests: 2 }";
    let gateway = gateway(upstream.address, upstream.address, limits);
    let mut first = send(&gateway);
    started(&gateway, 1);
    let mut waiting = Vec::new();
    for count in 1..=2 {
        waiting.push(send(&gateway));
        pending(&gateway, count);
    }
    assert!(is_overflow(&gateway.get("/", &[])));
    assert_eq!(gateway.sum(Count::AttemptsStarted), 1);
    assert_eq!(gateway.count(Count::Overflows, "pending"), 1);
    go.send(()).unwrap();
    assert_eq!(first.reply().unwrap().text(), "ok");
    for client in &mut waiting {
        go.send(()).unwrap();
        assert_eq!(client.reply().unwrap().text(), "ok");
    }
}

#[test]
fn a_client_that_leaves_the_queue_makes_room() {
    let (upstream, go) = slow();
    let limits = "circuit_breaker: { max_requests: 1, max_pending_requests: 1 }";
    let gateway = gateway(upstream.address, upstream.address, limits);
    let mut first = send(&gateway);
    started(&gateway, 1);
    let waiting = send(&gateway);
    pending(&gateway, 1);
    drop(waiting);
    eventually("its end", || (gateway.count(Count::Finished, "client_gone") == 1).then_some(()));
    let mut next = send(&gateway);
    pending(&gateway, 1);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(first.reply().unwrap().text(), "ok");
    assert_eq!(next.reply().unwrap().text(), "ok");
}

#[test]
fn a_hot_fix_that_is_full_takes_nothing_of_stables_room() {
    let ((fix, go), stable) = (slow(), Upstream::named("stable"));
    let gateway = gateway(stable.address, fix.address, "circuit_breaker: { max_requests: 1 }");
    let mut marked = gateway.client();
    let fields: String = MARKED.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    marked.send(format!("GET / HTTP/1.1\r\nhost: test\r\n{fields}\r\n")).unwrap();
    started(&gateway, 1);
    assert!(is_overflow(&gateway.get("/", MARKED)), "no flood of a hot-fix spills over into stable");
    assert_eq!(gateway.get("/", &[]).text(), "stable");
    go.send(()).unwrap();
    assert_eq!(marked.reply().unwrap().text(), "ok");
}

#[test]
fn connections_are_bounded_over_all_workers_idle_ones_too() {
    let (upstream, go) = slow();
    let gateway = gateway(upstream.address, upstream.address, "circuit_breaker: { max_connections: 1 }");
    let mut held = send(&gateway);
    started(&gateway, 1);
    assert!(is_overflow(&gateway.get("/", &[])));
    assert_eq!(gateway.count(Count::Overflows, "connections"), 1);
    go.send(()).unwrap();
    assert_eq!(held.reply().unwrap().text(), "ok");
    // The kept one serves whoever comes to its worker.
    go.send(()).unwrap();
    assert_eq!(held.get("/", &[]).unwrap().text(), "ok");
}

#[test]
fn retries_at_a_time_are_bounded() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = "retry: { attempts: 3, budget: 1.0 }\n    circuit_breaker: { max_retries: 0 }";
    let gateway = gateway(gone, gone, service);
    assert_eq!(gateway.get("/", &[]).status, 503);
    assert_eq!(gateway.sum(Count::AttemptsStarted), 1);
    assert_eq!(gateway.count(Count::RetriesRefused, "circuit"), 1);
}
