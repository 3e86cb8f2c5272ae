//! What a route does beside leading to a service: another path for its backends, a redirect, a direct response.

use bytes::Bytes;
use http::Response;
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::client::Reply;
use patchgate_testkit::upstream::Upstream;

use super::Running;

fn gateway(backend: &Upstream) -> Running {
    Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes:
      - {{ path_prefix: / }}
      - {{ path_prefix: /api, rewrite: {{ path_prefix: /v1 }} }}
      - {{ path_prefix: /cut, rewrite: {{ path_prefix: / }} }}
      - {{ path_prefix: /one, rewrite: {{ path: /other }} }}
    stable: {{ version: v1, endpoints: ["{}"] }}
routes:
  - {{ path_prefix: /old, redirect: {{ path_prefix: /new, status: 308 }} }}
  - {{ path_prefix: /tls, redirect: {{ scheme: https }} }}
  - {{ path_prefix: /robots.txt, direct_response: {{ status: 200, body: "no robots\n", content_type: text/robots }} }}
  - {{ path_prefix: /none, direct_response: {{ status: 204 }} }}
"#,
        backend.address
    ))
}

/// Tells what it is asked for.
fn backend() -> Upstream {
    Upstream::start(|seen| Response::new(Bytes::from(seen.uri.to_string())))
}

#[test]
fn backends_get_the_path_that_the_route_says_and_the_query_as_it_came() {
    let backend = backend();
    let gateway = gateway(&backend);
    let cases = [
        ("/api", "/v1"),
        ("/api/a%2Fb/?x=1&y", "/v1/a%2Fb/?x=1&y"),
        ("/apis?x", "/apis?x"),
        ("/cut?q", "/?q"),
        ("/cut/a/b", "/a/b"),
        ("/one/a/b?q", "/other?q"),
    ];
    for (asked, expected) in cases {
        assert_eq!(gateway.get(asked, &[]).text(), expected, "{asked}");
    }
}

#[test]
fn a_redirect_leads_to_the_clients_own_url_with_its_parts_replaced() {
    let backend = backend();
    let gateway = gateway(&backend);
    let reply = gateway.get("/old/a?x=1&y", &[]);
    assert_eq!((reply.status, reply.header("location")), (308, Some("http://test/new/a?x=1&y")));
    assert_eq!((reply.header("content-length"), reply.header("content-type")), (Some("0"), None));
    assert_eq!(gateway.get("/tls/a", &[]).header("location"), Some("https://test/tls/a"));
    let behind_tls = [("x-forwarded-proto", "https")];
    assert_eq!(gateway.get("/old", &behind_tls).header("location"), Some("https://test/new"));
    assert_eq!(gateway.count(Count::LocalAnswers, "redirect"), 3);
    assert_eq!(gateway.count(Count::Commits, "local"), 3);
    assert_eq!(gateway.sum(Count::AttemptsStarted), 0);
}

#[test]
fn a_redirect_of_a_request_without_a_host_names_none() {
    let backend = backend();
    let gateway = gateway(&backend);
    let mut client = gateway.client();
    client.send("GET /old//evil.test/x HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(client.reply().unwrap().header("location"), Some("/new//evil.test/x"));
}

#[test]
fn a_direct_response_is_what_is_written() {
    let backend = backend();
    let gateway = gateway(&backend);
    let told = |reply: &Reply| {
        let header = |name| reply.header(name).map(str::to_owned);
        (reply.status, header("content-type"), header("content-length"), reply.text())
    };
    let (kind, length) = (Some("text/robots".to_owned()), Some("10".to_owned()));
    let mut client = gateway.client();
    let reply = client.get("/robots.txt", &[]).unwrap();
    assert_eq!(told(&reply), (200, kind.clone(), length.clone(), "no robots\n".to_owned()));
    client.send("HEAD /robots.txt HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(told(&client.reply_to("HEAD").unwrap()), (200, kind, length, String::new()));
    // The same connection goes on, also behind a body that nobody read.
    client.send("POST /none HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody").unwrap();
    assert_eq!(told(&client.reply().unwrap()), (204, None, None, String::new()));
    assert_eq!(client.get("/else", &[]).unwrap().text(), "/else");
    assert_eq!(gateway.count(Count::LocalAnswers, "direct_response"), 3);
}

#[test]
fn every_answer_of_a_route_is_finished_once() {
    let backend = backend();
    let mut gateway = gateway(&backend);
    for path in ["/old", "/robots.txt", "/none", "/"] {
        gateway.get(path, &[]);
    }
    gateway.stop();
    assert_eq!((gateway.sum(Count::Commits), gateway.sum(Count::Finished)), (4, 4));
    assert_eq!(gateway.count(Count::Finished, "complete"), 4);
}
