//! Hedges: a late request is sent to a second endpoint, and the first acceptable answer is the answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};

use super::{MARKED, Running};

/// Against hangs; nothing is measured by it.
const LONG: Duration = Duration::from_secs(20);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";

/// What becomes of the first request, on whichever of two endpoints it comes.
#[derive(Clone, Copy)]
enum First {
    /// It has no answer until its connection ends.
    Stalls,
    /// It is answered with 200 once the second was answered.
    AnswersLate,
    /// Its connection ends once the second was answered.
    BreaksLate,
}

/// Two endpoints that answer all requests but the first alike.
struct Pair {
    endpoints: [RawUpstream; 2],
    /// Told when the connection of the first request ended.
    gone: Receiver<()>,
}

impl Pair {
    fn start(first: First, others: &'static [u8]) -> Self {
        let seen = Arc::new(AtomicUsize::new(0));
        let (tell_gone, gone) = channel();
        let (tell_answered, answered) = channel();
        let answered = Arc::new(Mutex::new(answered));
        let endpoint = || {
            let (seen, gone, told) = (Arc::clone(&seen), tell_gone.clone(), tell_answered.clone());
            let answered = Arc::clone(&answered);
            RawUpstream::start(move |_, stream| serve(stream, first, others, &seen, (&gone, &told, &answered)))
        };
        Self { endpoints: [endpoint(), endpoint()], gone }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.endpoints[0].address, self.endpoints[1].address]
    }
}

#[allow(clippy::disallowed_methods, reason = "an endpoint that takes its time")]
fn take(time: Duration) {
    std::thread::sleep(time);
}

fn serve(
    mut stream: TcpStream,
    first: First,
    others: &[u8],
    seen: &AtomicUsize,
    (gone, told, answered): (&Sender<()>, &Sender<()>, &Mutex<Receiver<()>>),
) {
    while read_head(&mut stream).is_some() {
        if seen.fetch_add(1, Ordering::SeqCst) > 0 {
            let _ = stream.write_all(others);
            let _ = told.send(());
            continue;
        }
        match first {
            First::Stalls => {
                // Ends when the gateway closes.
                while matches!(stream.read(&mut [0]), Ok(1..)) {}
                let _ = gone.send(());
                return;
            }
            First::AnswersLate | First::BreaksLate => {
                answered.lock().unwrap().recv_timeout(LONG).unwrap();
                // What is asserted holds in either order; this makes the telling one likely.
                take(Duration::from_millis(50));
                if matches!(first, First::BreaksLate) {
                    return;
                }
                let _ = stream.write_all(OK);
            }
        }
    }
}

fn gateway(endpoints: [SocketAddr; 2], policy: &str) -> Running {
    Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{}", "{}"] }}
    timeouts: {{ connect: 1s, first_byte: 2s, idle: 10s, total: 10s }}
    hedge: {{ {policy} }}
telemetry: {{ sampling: {{ default: 0 }} }}
"#,
        endpoints[0], endpoints[1]
    ))
}

#[test]
fn a_late_request_is_answered_by_a_second_endpoint_and_the_first_is_given_up_at_once() {
    let pair = Pair::start(First::Stalls, OK);
    let mut gateway = gateway(pair.addresses(), "after: 20ms, budget: 100%");
    assert_eq!(gateway.get("/", &[]).status, 200);
    pair.gone.recv_timeout(LONG).expect("its connection is closed");
    gateway.stop();
    assert_eq!((gateway.count(Count::Hedges, "won"), gateway.sum(Count::Hedges)), (1, 1));
    assert_eq!((gateway.count(Count::Attempts, "cancelled"), gateway.count(Count::Dropped, "hedge")), (1, 1));
    assert_eq!((gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts)), (2, 2));
    assert_eq!((gateway.sum(Count::Commits), gateway.sum(Count::Finished)), (1, 1));
}

#[test]
fn an_error_never_beats_an_answer_that_may_still_be_good() {
    let pair = Pair::start(First::AnswersLate, UNAVAILABLE);
    let mut gateway = gateway(pair.addresses(), "after: 20ms, budget: 100%");
    assert_eq!(gateway.get("/", &[]).status, 200);
    gateway.stop();
    assert_eq!((gateway.count(Count::Hedges, "won"), gateway.sum(Count::Hedges)), (0, 1));
    assert_eq!((gateway.count(Count::Attempts, "committed"), gateway.count(Count::Dropped, "hedge")), (1, 1));
    assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
}

#[test]
fn when_all_fail_an_answer_is_better_than_none() {
    let pair = Pair::start(First::BreaksLate, UNAVAILABLE);
    let mut gateway = gateway(pair.addresses(), "after: 20ms, budget: 100%");
    let reply = gateway.get("/", &[]);
    assert_eq!((reply.status, &*reply.text()), (503, "busy"));
    gateway.stop();
    assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
    assert_eq!((gateway.sum(Count::Commits), gateway.sum(Count::Finished)), (1, 1));
}

#[test]
fn what_is_not_safe_is_hedged_only_with_a_key_and_what_has_a_body_never() {
    let ask = |fields: &str, body: &str| {
        let pair = Pair::start(First::Stalls, OK);
        let gateway = gateway(pair.addresses(), "after: 20ms, budget: 100%");
        let mut client = gateway.client();
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n{fields}\r\n{body}");
        client.send(&head).unwrap();
        (client.reply().unwrap().status, gateway.sum(Count::Hedges))
    };
    assert_eq!(ask("", ""), (504, 0));
    assert_eq!(ask("idempotency-key: 7\r\n", ""), (200, 1));
    assert_eq!(ask("idempotency-key: 7\r\n", "hi"), (504, 0));
}

#[test]
fn nothing_is_hedged_while_all_is_slow() {
    let slow = || {
        RawUpstream::start(|_, mut stream| {
            while read_head(&mut stream).is_some() {
                take(Duration::from_millis(10));
                let _ = stream.write_all(OK);
            }
        })
    };
    let (one, two) = (slow(), slow());
    let mut gateway = gateway([one.address, two.address], "after: 1ms, budget: 5%");
    let mut client = gateway.client();
    for _ in 0..100 {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    gateway.stop();
    // The first hedge is earned by twenty requests, and by then it is known that all are late.
    assert_eq!(gateway.sum(Count::Hedges), 0);
    let refused = |reason| gateway.count(Count::HedgesRefused, reason);
    assert!(refused("budget") > 0 && refused("shifting") > 0, "{} {}", refused("budget"), refused("shifting"));
    // A worker that is held up may find the answer there before it finds it late.
    assert!((50..=100).contains(&(refused("budget") + refused("shifting"))));
}

#[test]
fn a_hedge_of_a_marked_request_asks_the_same_version() {
    let stable = Upstream::named("stable");
    let pair = Pair::start(First::Stalls, OK);
    let [one, two] = pair.addresses();
    let mut gateway = Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{}"] }}
    hedge: {{ after: 20ms, budget: 100% }}
rollouts:
  - {{ name: fix, service: shop, version: v2, group: lane, endpoints: ["{one}", "{two}"], stages: [{{ percent: 0 }}] }}
"#,
        stable.address
    ));
    assert_eq!(gateway.get("/", MARKED).text(), "ok");
    gateway.stop();
    assert_eq!((gateway.count(Count::Hedges, "won"), stable.requests()), (1, 0));
}
