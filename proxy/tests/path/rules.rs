//! A service's rules on header fields, in both directions.

use bytes::Bytes;
use http::Response;
use patchgate_testkit::upstream::Upstream;

use super::Running;

fn gateway(backend: &Upstream) -> Running {
    Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{}"] }}
    headers:
      request:
        set: [{{ name: X-Env, value: prod }}, {{ name: x-new, value: "1" }}]
        append: [{{ name: x-hop, value: edge }}]
        remove: [x-debug]
      response:
        set: [{{ name: x-frame-options, value: DENY }}]
        append: [{{ name: x-served, value: gateway }}]
        remove: [Server, x-internal]
"#,
        backend.address
    ))
}

fn backend() -> Upstream {
    Upstream::start(|seen| {
        let told = ["x-env", "x-new", "x-hop", "x-debug"].map(|name| seen.header(name)).join("|");
        Response::builder()
            .header("server", "secret/1.0")
            .header("X-Internal", "a")
            .header("x-internal", "b")
            .header("x-frame-options", "ALLOWALL")
            .header("x-served", "backend")
            .body(Bytes::from(told))
            .unwrap()
    })
}

#[test]
fn fields_are_removed_set_and_appended_both_ways() {
    let backend = backend();
    let gateway = gateway(&backend);
    let reply = gateway.get("/", &[("x-env", "dev"), ("x-debug", "1"), ("X-Debug", "2")]);
    assert_eq!(reply.text(), "prod|1|edge|");
    let all = |name: &str| {
        let named = reply.headers.iter().filter(|(field, _)| field == name);
        named.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(all("server"), [""; 0]);
    assert_eq!(all("x-internal"), [""; 0]);
    assert_eq!(all("x-frame-options"), ["DENY"]);
    assert_eq!(all("x-served"), ["backend", "gateway"]);
}
