//! What spans tell of a request, attribute by attribute, as a collector decodes it.

use std::net::TcpListener;

use bytes::Bytes;
use http::Response;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use patchgate_testkit::otlp::Collector;
use patchgate_testkit::upstream::Upstream;

use super::{MARKED, Running};

/// A gateway that samples everything, and its collector.
fn sampled(stable: std::net::SocketAddr, hot_fix: std::net::SocketAddr, listener: &str) -> (Running, Collector) {
    let collector = Collector::start();
    let telemetry =
        format!("telemetry: {{ sampling: {{ default: 1 }}, otlp: {{ endpoint: \"{}\" }} }}", collector.url());
    (Running::with(stable, hot_fix, listener, &telemetry), collector)
}

/// The attributes in order of their keys, each once, texts in quotes; `but` are left out.
fn told(span: &Span, but: &[&str]) -> Vec<String> {
    let mut told: Vec<String> = span
        .attributes
        .iter()
        .filter(|pair| !but.contains(&&*pair.key))
        .map(|pair| match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
            Value::StringValue(text) => format!("{}={text:?}", pair.key),
            Value::IntValue(number) => format!("{}={number}", pair.key),
            Value::BoolValue(truth) => format!("{}={truth}", pair.key),
            other => panic!("{}: {other:?}", pair.key),
        })
        .collect();
    told.sort();
    told
}

/// The spans of the one request that a gateway had: SERVER first, then its attempts in order.
fn spans_of(mut gateway: Running, collector: &Collector) -> Vec<Span> {
    gateway.stop();
    let mut spans = collector.spans();
    spans.sort_by_key(|span| (span.kind, span.start_time_unix_nano));
    for span in &spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(span.end_time_unix_nano >= 1_500_000_000_000_000_000, "nanoseconds since 1970");
    }
    spans
}

#[test]
fn a_marked_request_is_told_in_full() {
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    let (gateway, collector) = sampled(stable.address, hot_fix.address, "");
    let fields: Vec<_> = MARKED.iter().copied().chain([("user-agent", "test/1.0 caf\u{e9}")]).collect();
    assert_eq!(gateway.get("/pay/now?secret=1", &fields).status, 200);
    let port = hot_fix.address.port();
    let spans = spans_of(gateway, &collector);
    let [server, client] = &*spans else { panic!("{spans:#?}") };
    assert_eq!(
        told(server, &[]),
        [
            "client.address=\"127.0.0.1\"",
            "http.request.method=\"GET\"",
            "http.response.status_code=200",
            "http.route=\"/\"",
            "network.protocol.version=\"1.1\"",
            "patch.decision=\"mark\"",
            "patch.group=\"lane\"",
            "patch.sampling.parent_sampled=false",
            "patch.sampling.reason=\"mark\"",
            "patch.track=\"canary\"",
            "patch.version=\"v2\"",
            "patchgate.backend=\"fix\"",
            "patchgate.service=\"shop\"",
            "server.address=\"test\"",
            "url.path=\"/pay/now\"",
            "url.scheme=\"http\"",
            "user_agent.original=\"test/1.0 caf\u{e9}\"",
        ]
    );
    assert_eq!((&*server.name, server.kind, server.flags), ("GET /", 2, 0x301));
    assert_eq!(server.trace_state, "ot=th:0,patch-group=lane,patch-version=v2");
    assert_eq!(server.parent_span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert!(server.status.is_none() && server.links.is_empty());
    assert_eq!(
        told(client, &[]),
        [
            "http.request.method=\"GET\"".to_owned(),
            "http.response.status_code=200".to_owned(),
            "network.protocol.version=\"1.1\"".to_owned(),
            "patch.group=\"lane\"".to_owned(),
            "patch.version=\"v2\"".to_owned(),
            "patchgate.backend=\"fix\"".to_owned(),
            "server.address=\"127.0.0.1\"".to_owned(),
            format!("server.port={port}"),
            format!("url.full=\"http://127.0.0.1:{port}/pay/now\""),
        ]
    );
    assert_eq!((&*client.name, client.kind, client.flags), ("GET", 3, 0x101));
    assert_eq!(client.trace_state, server.trace_state);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(client.trace_id, server.trace_id);
    assert!(client.start_time_unix_nano >= server.start_time_unix_nano);
    assert!(client.end_time_unix_nano <= server.end_time_unix_nano);
}

#[test]
fn marks_are_told_as_they_are_sent_on() {
    let version = |state: &str, listener: &str| {
        let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
        let (gateway, collector) = sampled(stable.address, hot_fix.address, listener);
        gateway.get("/", &[MARKED[0], ("tracestate", state)]);
        let spans = spans_of(gateway, &collector);
        told(&spans[0], &[]).into_iter().filter(|pair| pair.starts_with("patch.")).collect::<Vec<_>>()
    };
    let marked = |group: &str, version: &str, decision: &str, track: &str| {
        vec![
            format!("patch.decision=\"{decision}\""),
            format!("patch.group=\"{group}\""),
            "patch.sampling.parent_sampled=false".to_owned(),
            "patch.sampling.reason=\"mark\"".to_owned(),
            format!("patch.track=\"{track}\""),
            format!("patch.version=\"{version}\""),
        ]
    };
    let lane_v2 = marked("lane", "v2", "mark", "canary");
    assert_eq!(version("a=1,patch-group=lane,patch-version=v2,b=2", ""), lane_v2, "in the middle");
    assert_eq!(version("a=1,patch-group=lane,patch-version=v2", ""), lane_v2, "at the end");
    assert_eq!(version("patch-version=v2,x=1,patch-group=lane", ""), lane_v2, "apart");
    assert_eq!(version("patch.version=v2,patch.group=lane", ""), lane_v2, "dotted");
    assert_eq!(
        version("xpatch-group=lane,patch-version=v22,patch-group=lane", ""),
        marked("lane", "v22", "mark", "canary"),
        "another key that ends alike, another version that begins alike"
    );
    assert_eq!(
        version("patch-group=elsewhere,patch-version=v7", ""),
        marked("elsewhere", "v7", "mark_of_another_service", "stable")
    );
    let untrusted = version("patch-group=lane,patch-version=v2", "trust: { addresses: [] }");
    assert_eq!(untrusted, ["patch.decision=\"default\"", "patch.sampling.reason=\"root\"", "patch.track=\"stable\""]);
}

#[test]
fn a_method_of_its_own_and_a_path_that_is_long() {
    let upstream = Upstream::start(|_| Response::builder().status(404).body(Bytes::new()).unwrap());
    let (gateway, collector) = sampled(upstream.address, upstream.address, "");
    let path = format!("/{}", "x".repeat(5000));
    let mut client = gateway.client();
    client.send(format!("BREW {path} HTTP/1.1\r\nhost: test:8080\r\n\r\n")).unwrap();
    assert_eq!(client.reply().unwrap().status, 404);
    drop(client);
    let spans = spans_of(gateway, &collector);
    let [server, client] = &*spans else { panic!("{spans:#?}") };
    let server_told = told(server, &["url.path"]);
    assert!(server_told.contains(&"http.request.method=\"_OTHER\"".to_owned()), "{server_told:?}");
    assert!(server_told.contains(&"http.request.method_original=\"BREW\"".to_owned()), "{server_told:?}");
    assert!(server_told.contains(&"server.address=\"test:8080\"".to_owned()), "{server_told:?}");
    assert!(told(server, &[]).contains(&format!("url.path={:?}", &path[..4096])));
    assert_eq!((&*server.name, server.status.is_none()), ("HTTP /", true), "a client's fault is none of ours");
    let url = format!("http://{}{path}", upstream.address);
    let client_told = told(client, &[]);
    assert!(client_told.contains(&format!("url.full={:?}", &url[..4096])));
    assert!(client_told.contains(&"error.type=\"404\"".to_owned()), "{client_told:?}");
    assert!(client_told.contains(&"http.request.method_original=\"BREW\"".to_owned()), "{client_told:?}");
    assert_eq!((&*client.name, client.status.as_ref().unwrap().code), ("HTTP", 2));
}

#[test]
fn a_backend_that_is_away_has_an_attempt_of_its_own() {
    let stable = Upstream::start(|_| Response::builder().status(503).body(Bytes::new()).unwrap());
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (gateway, collector) = sampled(stable.address, away, "");
    assert_eq!(gateway.get("/", MARKED).status, 503);
    let spans = spans_of(gateway, &collector);
    let [server, first, second] = &*spans else { panic!("{spans:#?}") };
    let server_told = told(server, &[]);
    for expected in ["error.type=\"503\"", "patchgate.backend=\"shop/stable\"", "patch.track=\"canary\""] {
        assert!(server_told.contains(&expected.to_owned()), "{expected}: {server_told:?}");
    }
    assert_eq!(server.status.as_ref().unwrap().code, 2);
    let with_port = |port: u16, more: &[&str]| {
        let mut all: Vec<String> = more.iter().map(|&pair| pair.to_owned()).collect();
        all.extend([
            "http.request.method=\"GET\"".to_owned(),
            "network.protocol.version=\"1.1\"".to_owned(),
            "server.address=\"127.0.0.1\"".to_owned(),
            format!("server.port={port}"),
            format!("url.full=\"http://127.0.0.1:{port}/\""),
        ]);
        all.sort();
        all
    };
    let of_first = [
        "error.type=\"upstream_connect_failed\"",
        "patch.group=\"lane\"",
        "patch.version=\"v2\"",
        "patchgate.backend=\"fix\"",
    ];
    assert_eq!(told(first, &[]), with_port(away.port(), &of_first));
    let of_second = [
        "error.type=\"503\"",
        "http.request.resend_count=1",
        "http.response.status_code=503",
        "patch.version=\"v1\"",
        "patchgate.backend=\"shop/stable\"",
    ];
    assert_eq!(told(second, &[]), with_port(stable.address.port(), &of_second));
    assert!(first.status.is_some() && second.status.is_some());
}

#[test]
fn a_request_without_route_has_a_server_span_only() {
    let stable = Upstream::named("stable");
    let collector = Collector::start();
    let mut gateway = Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services: [{{ name: shop, routes: [{{ path_prefix: /shop }}], stable: {{ version: v1, endpoints: ["{}"] }} }}]
telemetry: {{ sampling: {{ default: 1 }}, otlp: {{ endpoint: "{}" }} }}
"#,
        stable.address,
        collector.url()
    ));
    assert_eq!(gateway.get("/elsewhere", &[]).status, 404);
    assert_eq!(gateway.get("/shop/1", &[]).status, 200);
    gateway.stop();
    let names: Vec<_> = collector.spans().iter().map(|span| (span.kind, span.name.clone())).collect();
    assert_eq!(names, [(2, "GET /shop".to_owned()), (3, "GET".to_owned())], "sampling is decided after the route");
}
