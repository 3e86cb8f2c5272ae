//! Connections that begin with a header of the PROXY protocol: whose they are, and what is closed.

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::upstream::Upstream;

use super::h2;
use super::{MARKED, Running};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const V1: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n";

/// Answers whom the request is for and where it was decided to go.
fn backend(name: &'static str) -> Upstream {
    Upstream::start(move |seen| http::Response::new(format!("{name} {}", seen.header("x-forwarded-for")).into()))
}

fn gateway(stable: &Upstream, hot_fix: &Upstream, listener: &str) -> Running {
    let listener = format!("proxy_protocol: {{ from: [127.0.0.0/8] }}, {listener}");
    Running::with(stable.address, hot_fix.address, &listener, "")
}

/// A header of version 2 for 192.0.2.7.
fn v2(command: u8, more: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, 0x11]);
    header.extend(u16::try_from(12 + more.len()).unwrap().to_be_bytes());
    header.extend([192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80]);
    header.extend(more);
    header
}

#[test]
fn the_client_is_the_headers_for_as_long_as_the_connection_lasts() {
    let stable = backend("stable");
    let gateway = gateway(&stable, &stable, "");
    for header in [V1.as_bytes().to_vec(), v2(0x21, b""), v2(0x21, &[4, 0, 1, 9])] {
        let mut client = gateway.client();
        client.send([&header[..], REQUEST.as_bytes()].concat()).unwrap();
        assert_eq!(client.reply().unwrap().text(), "stable 192.0.2.7");
        assert_eq!(client.get("/", &[]).unwrap().text(), "stable 192.0.2.7");
    }
    assert_eq!(gateway.count(Count::ProxyHeaders, "client"), 3);
}

#[test]
fn a_header_that_comes_byte_by_byte_is_the_same_header() {
    let stable = backend("stable");
    let gateway = gateway(&stable, &stable, "");
    for header in [V1.as_bytes().to_vec(), v2(0x21, &[4, 0, 1, 9])] {
        let mut client = gateway.client();
        for byte in [&header[..], REQUEST.as_bytes()].concat() {
            client.send([byte]).unwrap();
        }
        assert_eq!(client.reply().unwrap().text(), "stable 192.0.2.7");
    }
}

#[test]
fn a_connection_that_is_the_load_balancers_own_is_its_peers() {
    let stable = backend("stable");
    let gateway = gateway(&stable, &stable, "");
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, b"")] {
        let mut client = gateway.client();
        client.send([&header[..], REQUEST.as_bytes()].concat()).unwrap();
        assert_eq!(client.reply().unwrap().text(), "stable 127.0.0.1");
    }
    assert_eq!(gateway.count(Count::ProxyHeaders, "own"), 2);
}

#[test]
fn marks_are_believed_by_the_clients_address_and_not_by_the_load_balancers() {
    let (stable, hot_fix) = (backend("stable"), backend("hot-fix"));
    let told = |gateway: &Running| {
        let mut client = gateway.client();
        client.send(V1).unwrap();
        client.get("/", MARKED).unwrap().text()
    };
    assert_eq!(told(&gateway(&stable, &hot_fix, "")), "stable 192.0.2.7");
    let trusting = gateway(&stable, &hot_fix, "trust: { addresses: [192.0.2.0/24] }");
    assert_eq!(told(&trusting), "hot-fix 192.0.2.7");
}

#[test]
fn http_2_may_follow() {
    use std::io::{Read, Write};
    let stable = backend("stable");
    let gateway = gateway(&stable, &stable, "");
    let mut stream = std::net::TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    stream.write_all(V1.as_bytes()).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    stream.write_all(&h2::get(1, &[])).unwrap();
    let mut got = Vec::new();
    let body = b"stable 192.0.2.7";
    while !got.windows(body.len()).any(|part| part == body) {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).unwrap();
        assert_ne!(read, 0, "it ended without the answer");
        got.extend_from_slice(&piece[..read]);
    }
}

#[test]
fn what_is_no_header_is_closed_without_a_word_and_reaches_nobody() {
    let stable = backend("stable");
    let gateway = gateway(&stable, &stable, "limits: { header_timeout: 1s }");
    let mut wrong_sum = v2(0x21, &[3, 0, 4, 1, 2, 3, 4]);
    wrong_sum.extend_from_slice(REQUEST.as_bytes());
    let mut long = v2(0x21, b"");
    long[14..16].copy_from_slice(&5000u16.to_be_bytes());
    let refused = [
        REQUEST.as_bytes().to_vec(),
        format!("PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n{REQUEST}").into_bytes(),
        format!("PROXY UNKNOWN {}\r\n{REQUEST}", "x".repeat(107)).into_bytes(),
        [&v2(0x22, b"")[..], REQUEST.as_bytes()].concat(),
        wrong_sum,
        long,
    ];
    for bytes in &refused {
        let mut client = gateway.client();
        // It may be closed before all is sent, and what it did not read makes that a reset.
        let _ = client.send(bytes);
        assert_eq!(client.rest().unwrap_or_default(), b"", "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(gateway.count(Count::ProxyHeaders, "malformed"), refused.len() as u64);
    for begun in [&V1[..20], ""] {
        let mut client = gateway.client();
        client.send(begun).unwrap();
        assert_eq!(client.rest().unwrap(), b"");
    }
    assert_eq!(gateway.count(Count::ProxyHeaders, "timeout"), 2);
    assert_eq!(stable.requests(), 0);
}

#[test]
fn whoever_is_no_load_balancer_is_closed_whatever_it_says() {
    let stable = backend("stable");
    let gateway = Running::with(stable.address, stable.address, "proxy_protocol: { from: [10.0.0.0/8] }", "");
    let mut client = gateway.client();
    let _ = client.send(format!("{V1}{REQUEST}"));
    assert_eq!(client.rest().unwrap_or_default(), b"");
    assert_eq!((gateway.count(Count::ProxyHeaders, "stranger"), stable.requests()), (1, 0));
}

#[test]
fn a_backend_is_told_of_each_client_on_a_connection_of_its_own() {
    use patchgate_testkit::upstream::{RawUpstream, read_head};
    use std::io::{Read, Write};
    let backend = RawUpstream::start(|number, mut stream| {
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        let told = if &begin[..6] == b"PROXY " {
            let mut line = begin.to_vec();
            while !line.ends_with(b"\r\n") {
                line.push(0);
                let last = line.len() - 1;
                stream.read_exact(&mut line[last..]).unwrap();
            }
            String::from_utf8(line).unwrap()
        } else {
            let mut rest = [0; 4 + 12];
            stream.read_exact(&mut rest).unwrap();
            format!("{:?}", &rest[..12])
        };
        let head = read_head(&mut stream).unwrap();
        assert!(head.starts_with("GET /"), "{head}");
        let body = format!("{number} {}", told.trim_end());
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        // Nothing more comes on it.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
    let config = |version| {
        format!(
            r#"
listeners: [{{ name: web, address: "127.0.0.1:0", proxy_protocol: {{ from: [127.0.0.0/8] }} }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{}"] }}
    proxy_protocol: {version}
"#,
            backend.address
        )
    };
    let gateway = Running::start(&config("v1"));
    let port = gateway.address().port();
    let mut client = gateway.client();
    client.send(V1).unwrap();
    for number in 0..2 {
        let told = client.get("/", &[]).unwrap().text();
        assert_eq!(told, format!("{number} PROXY TCP4 192.0.2.7 127.0.0.1 12345 {port}"));
    }
    let gateway = Running::start(&config("v2"));
    let mut client = gateway.client();
    client.send(V1).unwrap();
    assert_eq!(client.get("/", &[]).unwrap().text(), "2 [33, 17, 0, 12, 192, 0, 2, 7, 127, 0, 0, 1]");
}
