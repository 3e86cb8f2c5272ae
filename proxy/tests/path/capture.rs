//! Marks in responses, and what clients may see of the trace.

use bytes::Bytes;
use http::Response;
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::otlp::{Collector, attributes};
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};

use super::{MARKED, Running};

fn marking() -> Upstream {
    Upstream::start(|_| {
        let answer = Response::builder().header("tracestate", "patch-group=lane,patch-version=v9");
        answer.header("server-timing", "db;dur=5").body(Bytes::from("marked")).unwrap()
    })
}

#[test]
fn a_mark_in_a_response_raises_our_span_and_its_channel() {
    let (upstream, normal, canary) = (marking(), Collector::start(), Collector::start());
    let telemetry = format!(
        "telemetry: {{ sampling: {{ default: 0 }}, otlp: {{ endpoint: \"{}\" }}, canary: {{ otlp: {{ endpoint: \"{}\" }} }} }}",
        normal.url(),
        canary.url()
    );
    let mut gateway = Running::with(upstream.address, upstream.address, "", &telemetry);
    let reply = gateway.get("/", &[]);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("tracestate"), None, "a stable backend has no mark of its own to hand on");
    gateway.stop();
    assert!(normal.spans().is_empty());
    let spans = canary.spans();
    let server = spans.iter().find(|span| span.kind == 2).unwrap();
    let about = attributes(server);
    assert_eq!(about["patch.sampling.reason"], "response");
    assert_eq!((&*about["patch.group"], &*about["patch.version"]), ("lane", "v9"));
    assert_eq!(server.trace_state, "patch-group=lane,patch-version=v9,ot=th:0");
    assert_eq!(gateway.count(Count::ResponseMarks, "honoured"), 1);
}

#[test]
fn a_mark_in_trailers_counts_too() {
    let upstream = RawUpstream::start(|_, mut stream| {
        read_head(&mut stream).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: tracestate\r\n\r\n\
            2\r\nok\r\n0\r\ntracestate: patch-group=lane,patch-version=v9\r\n\r\n";
        std::io::Write::write_all(&mut stream, answer).unwrap();
    });
    let canary = Collector::start();
    let telemetry = format!("telemetry: {{ sampling: {{ default: 0 }}, otlp: {{ endpoint: \"{}\" }} }}", canary.url());
    let mut gateway = Running::with(upstream.address, upstream.address, "", &telemetry);
    assert_eq!(gateway.get("/", &[("te", "trailers")]).text(), "ok");
    gateway.stop();
    let spans = canary.spans();
    assert_eq!(attributes(spans.iter().find(|span| span.kind == 2).unwrap())["patch.sampling.reason"], "response");
}

#[test]
fn a_flood_of_marks_is_honoured_only_so_often() {
    let upstream = marking();
    let mut gateway =
        Running::with(upstream.address, upstream.address, "", "telemetry: { response_marks_per_second: 3 }");
    let mut client = gateway.client();
    for _ in 0..50 {
        client.get("/", &[]).unwrap();
    }
    gateway.stop();
    let (honoured, over) =
        (gateway.count(Count::ResponseMarks, "honoured"), gateway.count(Count::ResponseMarks, "over_rate"));
    assert_eq!(honoured + over, 50);
    // However slow the machine is, some of fifty in a row are in one second.
    assert!(over > 0 && honoured >= 3, "{honoured} honoured, {over} not");
}

#[test]
fn a_backend_that_may_not_mark_is_not_listened_to() {
    let upstream = marking();
    let mut gateway = Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - {{ name: shop, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["{}"], may_mark: false }} }}
"#,
        upstream.address
    ));
    assert_eq!(gateway.get("/", &[]).status, 200);
    gateway.stop();
    assert_eq!(gateway.sum(Count::ResponseMarks), 0);
}

#[test]
fn a_trusted_client_sees_mark_and_span_and_the_backends_own_timing() {
    let upstream = marking();
    let gateway = Running::with(upstream.address, upstream.address, "", "");
    let reply = gateway.get("/", MARKED);
    assert_eq!(reply.header("tracestate"), Some("patch-group=lane,patch-version=v2"), "the mark of what served");
    let timings: Vec<&str> =
        reply.headers.iter().filter(|(name, _)| name == "server-timing").map(|(_, value)| value.as_str()).collect();
    assert_eq!(timings[0], "db;dur=5");
    assert!(timings[1].starts_with("trace;desc=\"00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{timings:?}");
}

#[test]
fn an_untrusted_client_sees_neither_unless_configured() {
    let upstream = marking();
    for (headers, shown) in [("", false), ("headers: { expose_trace: true }", true)] {
        let listener = format!("trust: {{ addresses: [] }}, {headers}");
        let gateway = Running::with(upstream.address, upstream.address, &listener, "");
        let reply = gateway.get("/", &[]);
        let timings = reply.headers.iter().filter(|(name, _)| name == "server-timing").count();
        assert_eq!(timings, if shown { 2 } else { 1 }, "{listener}");
        assert_eq!(reply.header("tracestate"), None);
    }
}
