//! What an explanation says is what happens: the same requests, told and sent.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use patchgate_proxy::explain::{Question, explain};
use patchgate_testkit::upstream::{Seen, Upstream};

use super::{MARKED, Running};

fn tells(name: &'static str) -> Upstream {
    Upstream::start(move |seen: Seen| {
        let traceparent = seen.header("traceparent");
        Response::new(Bytes::from(format!(
            "{name} {} {}",
            &traceparent[traceparent.len() - 2..],
            seen.header("tracestate")
        )))
    })
}

const TRACED: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

#[test]
fn backend_flags_and_tracestate_are_those_that_were_told() {
    let (stable, hot_fix) = (tells("shop/stable"), tells("fix"));
    let requests: &[&[(&str, &str)]] = &[
        &[],
        MARKED,
        &[TRACED],
        &[TRACED, ("tracestate", "congo=1,ot=th:8;rv:80000000000000,rojo=2")],
        &[TRACED, ("tracestate", "patch.group=lane,patch.version=v2,congo=1")],
        &[TRACED, ("tracestate", "patch-group=other,patch-version=v2")],
        &[TRACED, ("tracestate", "patch-group=lane")],
        &[("traceparent", "00-no"), ("tracestate", "patch-group=lane,patch-version=v2")],
        &[TRACED, ("tracestate", "NO=1,patch-group=lane,patch-version=v2")],
        &[("x-beta", "1")],
        &[("x-beta", "1"), TRACED, ("tracestate", "congo=1")],
    ];
    for trust in ["[127.0.0.0/8]", "[]"] {
        let listener = format!("trust: {{ addresses: {trust} }}, assign: true");
        let gateway = Running::edge(stable.address, hot_fix.address, &listener);
        let snapshot = gateway.snapshot();
        for fields in requests {
            let mut headers: HeaderMap = fields
                .iter()
                .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
                .collect();
            headers.insert("host", HeaderValue::from_static("test"));
            let question = Question {
                method: Method::GET,
                uri: "/".parse().unwrap(),
                headers,
                client: [127, 0, 0, 1].into(),
                listener: "web".to_owned(),
                random: None,
            };
            let trail = explain(&snapshot, &question).unwrap();
            let (decision, upstream) = (trail.decision.unwrap(), trail.upstream.unwrap());
            let flags = &upstream.traceparent[upstream.traceparent.len() - 2..];
            let told = format!("{} {flags} {}", decision.backend, upstream.tracestate.unwrap_or_default());
            assert_eq!(told, gateway.get("/", fields).text(), "{trust} {fields:?}");
        }
    }
}
