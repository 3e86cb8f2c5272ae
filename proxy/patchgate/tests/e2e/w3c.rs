//! The W3C's cases over real sockets, through one and through two gateways.
//!
//! One hop: client → gateway → echo, which keeps the header lines it got. Two hops: client → gateway → relay →
//! gateway → echo, where the relay calls back as often as it is asked to, with the trace context lines it received.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use patchgate_testkit::client::Client;
use patchgate_testkit::table::{PARENT, Row, TRACE, rows};
use patchgate_testkit::upstream::{RawUpstream, read_head};

use super::start;

const SUITE: &str = include_str!("../../../tests/data/w3c.tsv");

/// A gateway that marks nothing, samples nothing, and trusts its client.
fn plain(backend: SocketAddr) -> String {
    format!(
        r#"
workers: 1
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - {{ name: echo, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["{backend}"] }} }}
telemetry: {{ sampling: {{ default: 0 }} }}
health: {{ address: "127.0.0.1:0" }}
drain: {{ delay: 0s }}
"#
    )
}

type Heads = Arc<Mutex<Vec<String>>>;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Keeps every head it gets.
fn echo() -> (RawUpstream, Heads) {
    let heads = Heads::default();
    let kept = Arc::clone(&heads);
    let upstream = RawUpstream::start(move |_, mut stream: TcpStream| {
        while let Some(head) = read_head(&mut stream) {
            kept.lock().expect("nobody panics while keeping").push(head);
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    });
    (upstream, heads)
}

/// Calls `to` three times with the trace context lines of each request it gets, then answers.
fn relay(to: SocketAddr) -> RawUpstream {
    RawUpstream::start(move |_, mut stream: TcpStream| {
        while let Some(head) = read_head(&mut stream) {
            let context: String = trace_lines(&head).map(|line| format!("{line}\r\n")).collect();
            let mut client = Client::connect(to).expect("the second gateway listens");
            for _ in 0..3 {
                client
                    .send(format!("POST / HTTP/1.1\r\nhost: echo\r\ncontent-length: 0\r\n{context}\r\n"))
                    .expect("it reads");
                assert_eq!(client.reply().expect("it answers").status, 200);
            }
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    })
}

fn trace_lines(head: &str) -> impl Iterator<Item = &str> {
    head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        name == "traceparent" || name == "tracestate"
    })
}

/// Trace id, parent id and flags, and the list, as one head has them.
fn context(head: &str) -> (String, String, String, Option<String>) {
    let value = |wanted: &str| {
        let lines: Vec<&str> = trace_lines(head).filter(|line| line.to_ascii_lowercase().starts_with(wanted)).collect();
        assert!(lines.len() <= 1, "one {wanted} goes on: {lines:?}");
        lines.first().map(|line| line[wanted.len() + 1..].strip_prefix(' ').unwrap_or_default().to_owned())
    };
    let parent = value("traceparent").expect("a participant sends a traceparent");
    let [version, trace, span, flags] = parent.split('-').collect::<Vec<_>>()[..] else { panic!("{parent}") };
    assert_eq!((version, trace.len(), span.len()), ("00", 32, 16), "{parent}");
    (trace.to_owned(), span.to_owned(), flags.to_owned(), value("tracestate"))
}

/// Sends one case and returns the heads that the echo got for it.
fn send(client: &mut Client, row: &Row<'_>, heads: &Heads) -> Vec<String> {
    let mut request = b"POST / HTTP/1.1\r\nhost: echo\r\ncontent-length: 0\r\n".to_vec();
    for line in row.text("request").unwrap_or_default().split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        request.extend_from_slice(line);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    client.send(&request).expect("the gateway reads");
    assert_eq!(client.reply().expect("the gateway answers").status, 200, "{}", row.cell("case"));
    std::mem::take(&mut *heads.lock().expect("nobody panics while keeping"))
}

fn check(row: &Row<'_>, head: &str) {
    let case = row.cell("case");
    let (trace, span, flags, state) = context(head);
    match row.cell("trace") {
        "same" => assert_eq!(trace, TRACE, "{case}"),
        _ => assert!(trace != TRACE && trace != "0".repeat(32), "{case}: {trace}"),
    }
    assert!(span != PARENT && span != "0".repeat(16), "{case}");
    assert_eq!(flags, row.cell("flags"), "{case}");
    let wanted = row.text("tracestate").map(|text| String::from_utf8(text).expect("the suite's lists are text"));
    assert_eq!(state, wanted, "{case}");
}

#[test]
fn one_gateway_passes_every_case() {
    let (echo, heads) = echo();
    let gateway = start(&plain(echo.address));
    let mut client = Client::connect(gateway.address("web")).unwrap();
    let mut seen = 0;
    for row in rows(SUITE) {
        let got = send(&mut client, &row, &heads);
        assert_eq!(got.len(), 1, "{}", row.cell("case"));
        check(&row, &got[0]);
        seen += 1;
    }
    assert_eq!(seen, 83);
}

#[test]
fn two_gateways_pass_every_case_with_a_parent_id_for_each_call() {
    let (echo, heads) = echo();
    let second = start(&plain(echo.address));
    let relay = relay(second.address("web"));
    let first = start(&plain(relay.address));
    let mut client = Client::connect(first.address("web")).unwrap();
    for row in rows(SUITE) {
        let got = send(&mut client, &row, &heads);
        assert_eq!(got.len(), 3, "{}", row.cell("case"));
        got.iter().for_each(|head| check(&row, head));
        let spans: BTreeSet<String> = got.iter().map(|head| context(head).1).collect();
        assert_eq!(spans.len(), 3, "{}: each call has a parent id of its own", row.cell("case"));
        let traces: BTreeSet<String> = got.iter().map(|head| context(head).0).collect();
        assert_eq!(traces.len(), 1, "{}: all calls are of one trace", row.cell("case"));
    }
}
