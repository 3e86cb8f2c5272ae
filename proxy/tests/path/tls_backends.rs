//! TLS towards backends: whom we believe, what we show, and what a client learns when neither works out.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use patchgate_testkit::otlp::{Collector, attributes};
use patchgate_testkit::pki::{self, Authority, Flaw, Issued};
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};
use rustls::{HandshakeKind, ServerConfig};

use super::{Running, service};

/// What backends noted of their connections.
#[derive(Debug, Default)]
struct Noted {
    connections: AtomicUsize,
    resumed: AtomicUsize,
    hosts: Mutex<Vec<Option<String>>>,
    clients: AtomicUsize,
}

/// A backend under TLS that answers every request on a connection.
fn backend(config: ServerConfig) -> (RawUpstream, Arc<Noted>) {
    let noted = Arc::new(Noted::default());
    let (noting, config) = (Arc::clone(&noted), Arc::new(config));
    let upstream = RawUpstream::start(move |_, socket| {
        let Ok(mut stream) = pki::accept(socket, &config) else { return };
        noting.connections.fetch_add(1, Ordering::SeqCst);
        noting
            .resumed
            .fetch_add(usize::from(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)), Ordering::SeqCst);
        noting.clients.fetch_add(usize::from(stream.conn.peer_certificates().is_some()), Ordering::SeqCst);
        noting.hosts.lock().unwrap().push(stream.conn.server_name().map(ToOwned::to_owned));
        while let Some(head) = read_head(&mut stream) {
            let answer: &[u8] = match head.split(' ').nth(1) {
                Some("/cut") => b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf",
                Some("/close") => b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            };
            if stream.write_all(answer).is_err() || head.starts_with("GET /c") {
                // The socket closes without the alert that ends TLS.
                return;
            }
        }
    });
    (upstream, noted)
}

fn gateway(endpoint: SocketAddr, tls: &str, more: &str) -> Running {
    Running::start(&service(&[endpoint], &format!("tls: {{ {tls} }}\n    {more}")))
}

/// Status and text of an answer through a gateway whose `tls` trusts `authority`.
fn answer(authority: &Authority, own: &Issued, tls: &str) -> (u16, String) {
    let (upstream, _) = backend(Authority::server_config(own, None));
    let gateway = gateway(upstream.address, &format!("ca_file: \"{}\", {tls}", authority.file.display()), "");
    let reply = gateway.get("/", &[]);
    (reply.status, reply.text())
}

#[test]
fn a_backend_is_believed_if_its_certificate_is_what_it_should_be() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = (200, "ok".to_owned());
    let address = authority.server("address", &["127.0.0.1"]);
    let host = authority.server("host", &["shop.internal"]);
    let mesh = authority.server("mesh", &["spiffe://mesh/ns/shop/sa/web"]);
    assert_eq!(answer(&authority, &address, ""), good);
    assert_eq!(answer(&authority, &host, "server_name: shop.internal"), good);
    assert_eq!(answer(&authority, &mesh, "subject_alt_names: ['spiffe://mesh/ns/shop/*']"), good);
    assert_eq!(answer(&authority, &host, "server_name: x.test, subject_alt_names: ['*.internal']"), good);
    let names = ["127.0.0.1", "shop.internal"];
    let table = [
        (host.clone(), ""),
        (address, "server_name: shop.internal"),
        (mesh, "subject_alt_names: ['spiffe://mesh/ns/pay/*']"),
        (host, "subject_alt_names: ['internal']"),
        (other.server("other-authority", &names), ""),
        (authority.flawed_server("expired", &names, Flaw::Expired), ""),
        (authority.flawed_server("early", &names, Flaw::Early), ""),
        (authority.flawed_server("of-a-client", &names, Flaw::OtherUse), ""),
        (other.server("other-named", &names), "subject_alt_names: ['shop.internal']"),
        (authority.flawed_server("expired-named", &names, Flaw::Expired), "subject_alt_names: ['shop.internal']"),
    ];
    for (own, tls) in table {
        let (status, text) = answer(&authority, &own, tls);
        assert_eq!(status, 503, "{} {tls}", own.certificate.display());
        assert!(text.contains("upstream_tls_failed"), "{text}");
    }
}

#[test]
fn a_backend_without_tls_is_told_from_one_that_is_away() {
    let (authority, plain) = (Authority::new(), Upstream::named("plain"));
    let gateway = gateway(plain.address, &format!("ca_file: \"{}\"", authority.file.display()), "");
    assert!(gateway.get("/", &[]).text().contains("upstream_tls_failed"));
}

#[test]
fn connections_are_kept_and_sessions_resumed() {
    let authority = Authority::new();
    let own = authority.server("web", &["shop.internal"]);
    let (upstream, noted) = backend(Authority::server_config(&own, None));
    let tls = format!("ca_file: \"{}\", server_name: shop.internal", authority.file.display());
    let gateway = gateway(upstream.address, &tls, "");
    // A client's connection stays with one worker, and so does what it uses.
    let mut client = gateway.client();
    for _ in 0..5 {
        assert_eq!(client.get("/", &[]).unwrap().text(), "ok");
    }
    assert_eq!(noted.connections.load(Ordering::SeqCst), 1);
    for _ in 0..5 {
        assert_eq!(client.get("/close", &[]).unwrap().text(), "ok");
    }
    assert_eq!(client.get("/", &[]).unwrap().text(), "ok");
    let connections = noted.connections.load(Ordering::SeqCst);
    assert_eq!((connections, noted.resumed.load(Ordering::SeqCst)), (6, 5));
    assert!(noted.hosts.lock().unwrap().iter().all(|host| host.as_deref() == Some("shop.internal")));
}

#[test]
fn backends_that_ask_are_shown_our_certificate() {
    let authority = Authority::new();
    let own = authority.server("web", &["127.0.0.1"]);
    let (upstream, noted) = backend(Authority::server_config(&own, Some(&authority)));
    let ours = authority.client("gateway", &["gateway.test"]);
    let ca = authority.file.display();
    let certificate = format!(
        "certificate: {{ certificate_file: \"{}\", private_key_file: \"{}\" }}",
        ours.certificate.display(),
        ours.key.display()
    );
    let with = gateway(upstream.address, &format!("ca_file: \"{ca}\", {certificate}"), "");
    assert_eq!(with.get("/", &[]).text(), "ok");
    assert_eq!(noted.clients.load(Ordering::SeqCst), 1);
    let without = gateway(upstream.address, &format!("ca_file: \"{ca}\""), "");
    assert!(without.get("/", &[]).status >= 500);
}

#[test]
fn a_body_to_the_close_is_whole_only_if_tls_was_ended() {
    let authority = Authority::new();
    let (upstream, _) = backend(Authority::server_config(&authority.server("web", &["127.0.0.1"]), None));
    let gateway = gateway(upstream.address, &format!("ca_file: \"{}\"", authority.file.display()), "");
    let mut client = gateway.client();
    client.get("/cut", &[]).unwrap_err();
}

#[test]
fn the_proxy_protocol_comes_before_tls() {
    let authority = Authority::new();
    let config = Arc::new(Authority::server_config(&authority.server("web", &["127.0.0.1"]), None));
    let upstream = RawUpstream::start(move |_, mut socket| {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut socket, &mut byte).unwrap();
            line.extend(byte);
        }
        let mut stream = pki::accept(socket, &config).unwrap();
        read_head(&mut stream).unwrap();
        let told = String::from_utf8_lossy(&line).into_owned();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{told}", told.len()).unwrap();
    });
    let tls = format!("ca_file: \"{}\"", authority.file.display());
    let gateway = gateway(upstream.address, &tls, "proxy_protocol: v1");
    let told = gateway.get("/", &[]).text();
    assert!(told.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{told}");
}

#[test]
fn spans_tell_both_schemes() {
    let (authority, collector) = (Authority::new(), Collector::start());
    let (upstream, _) = backend(Authority::server_config(&authority.server("web", &["127.0.0.1"]), None));
    let telemetry =
        format!("telemetry: {{ sampling: {{ default: 1 }}, otlp: {{ endpoint: \"{}\" }} }}", collector.url());
    let tls = format!("ca_file: \"{}\"", authority.file.display());
    let mut gateway = gateway(upstream.address, &tls, &format!("upgrades: []\n{telemetry}"));
    assert_eq!(gateway.get("/x", &[]).text(), "ok");
    gateway.stop();
    let spans = collector.spans();
    let url = spans.iter().find_map(|span| attributes(span).get("url.full").cloned()).unwrap();
    assert_eq!(url, format!("https://{}/x", upstream.address));
    let scheme = spans.iter().find_map(|span| attributes(span).get("url.scheme").cloned()).unwrap();
    assert_eq!(scheme, "http");
}
