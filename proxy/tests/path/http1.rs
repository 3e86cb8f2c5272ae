//! HTTP/1.1 connections: what follows what on them, and how they end.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;

use bytes::Bytes;
use http::Response;
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::upstream::{RawUpstream, Seen, Upstream, read_head};

use super::Running;

/// Answers with method, target and body of the request.
fn echo() -> Upstream {
    Upstream::start(|seen: Seen| {
        let text = format!("{} {} {}", seen.method, seen.uri, String::from_utf8_lossy(&seen.body));
        Response::new(Bytes::from(text))
    })
}

/// Answers every head with these bytes.
fn says(answer: &'static str) -> RawUpstream {
    RawUpstream::start(move |_, mut stream| {
        while read_head(&mut stream).is_some() {
            stream.write_all(answer.as_bytes()).unwrap();
        }
    })
}

#[test]
fn pipelined_requests_are_answered_one_after_the_other() {
    let upstream = echo();
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    let requests = "GET /1 HTTP/1.1\r\nhost: test\r\n\r\n\
        POST /2 HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\ntwo\
        POST /3 HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nth\r\n3;x=y\r\nree\r\n0\r\nx-end: 1\r\n\r\n\
        \r\nGET /4 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n\
        GET /5 HTTP/1.1\r\nhost: test\r\n\r\n";
    client.send(requests).unwrap();
    for expected in ["GET /1 ", "POST /2 two", "POST /3 three", "GET /4 "] {
        assert_eq!(client.reply().unwrap().text(), expected);
    }
    assert_eq!(client.rest().unwrap(), b"", "nothing behind the last");
    assert_eq!(upstream.requests(), 4);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_the_same_request() {
    let upstream = echo();
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    let request =
        "\r\nPOST /a HTTP/1.1\r\nHost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
    for _ in 0..2 {
        for byte in request.as_bytes() {
            client.send([*byte]).unwrap();
        }
        assert_eq!(client.reply().unwrap().text(), "POST /a abcd");
    }
}

#[test]
fn http_10_is_answered_in_its_own_terms() {
    let upstream = says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\n\r\n").unwrap();
    let text = String::from_utf8(client.rest().unwrap()).unwrap();
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && text.ends_with("\r\n\r\nbody"), "{text}");
    assert!(!text.contains("transfer-encoding") && text.contains("connection: close"), "{text}");

    let upstream = echo();
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap();
        let reply = client.reply().unwrap();
        assert_eq!((reply.text().as_str(), reply.header("connection")), ("GET /a ", Some("keep-alive")));
    }
    client.send("GET /b HTTP/1.0\r\n\r\n").unwrap();
    assert!(String::from_utf8(client.rest().unwrap()).unwrap().ends_with("GET /b "));
}

#[test]
fn a_body_that_breaks_off_is_reset_where_an_end_would_make_it_look_whole() {
    let upstream = RawUpstream::start(|_, mut stream| {
        read_head(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").unwrap();
    });
    let mut gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(client.rest().unwrap_err().kind(), ErrorKind::ConnectionReset);
    gateway.stop();
    assert_eq!(gateway.count(Count::Finished, "broken"), 1);
}

#[test]
fn trailers_reach_a_client_that_takes_them_announced_or_not() {
    let upstream = says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n");
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    let reply = client.get("/", &[("te", "trailers")]).unwrap();
    assert_eq!((reply.text().as_str(), reply.trailers.len()), ("ok", 1));
    assert_eq!(reply.trailers[0], ("grpc-status".to_owned(), "0".to_owned()));
    let reply = client.get("/", &[]).unwrap();
    assert_eq!((reply.text().as_str(), reply.trailers.len()), ("ok", 0));
}

#[test]
fn a_client_is_told_to_go_on_only_if_its_body_is_wanted() {
    let upstream = echo();
    let gateway = Running::plain(upstream.address);
    let expecting = "host: test\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    // Sent along with the head: it did not wait.
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\n{expecting}ok")).unwrap();
    assert_eq!(client.reply_to("POST").unwrap().status, 200);
    // Refused before anybody asked for it: the final answer is the first, and nothing can follow it.
    let mut client = gateway.client();
    client.send(format!("CONNECT test:80 HTTP/1.1\r\n{expecting}")).unwrap();
    let reply = client.reply_to("POST").unwrap();
    assert_eq!((reply.status, reply.closes()), (405, true));
    // HTTP/1.0 knows no interim responses.
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.0\r\n{expecting}")).unwrap();
    client.send("ok").unwrap();
    assert_eq!(client.reply_to("POST").unwrap().status, 200);
}

#[test]
fn an_expectation_that_cannot_be_met_is_417_and_reaches_no_backend() {
    let upstream = echo();
    let gateway = Running::plain(upstream.address);
    for expectation in ["a-miracle", "100-continue, a-miracle", ""] {
        let mut client = gateway.client();
        let fields = [("expect", expectation), ("content-length", "2")];
        client.send(patchgate_testkit::client::head("POST", "/", &fields) + "\r\n").unwrap();
        let reply = client.reply_to("POST").unwrap();
        assert_eq!((reply.status, reply.closes()), (417, true), "{expectation}");
    }
    assert_eq!(upstream.requests(), 0);
    assert_eq!(gateway.count(Count::BadRequests, "expectation_failed"), 3);
}

#[test]
fn a_body_nobody_wants_is_skipped_if_it_is_small_and_here() {
    let upstream = echo();
    let gateway = Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services: [{{ name: shop, routes: [{{ path_prefix: /shop }}], stable: {{ version: v1, endpoints: ["{}"] }} }}]
"#,
        upstream.address
    ));
    let mut client = gateway.client();
    client.send("POST /none HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbodyGET /shop HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let refused = client.reply().unwrap();
    assert_eq!((refused.status, refused.closes()), (404, false));
    assert_eq!(client.reply().unwrap().text(), "GET /shop ");
    // Too large, or not here: the connection ends, and what was meant as body is no request.
    let mut client = gateway.client();
    let head =
        "POST /none HTTP/1.1\r\nhost: test\r\ncontent-length: 9999\r\n\r\nGET /shop HTTP/1.1\r\nhost: test\r\n\r\n";
    client.send(head).unwrap();
    let refused = client.reply().unwrap();
    assert_eq!((refused.status, refused.closes()), (404, true));
    assert_eq!(client.rest().unwrap(), b"");
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn a_client_that_still_uploads_can_read_why_it_need_not() {
    let upstream = echo();
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 8000000\r\n\r\n").unwrap();
    // More than the sockets hold: it is taken off, or this would not return.
    for _ in 0..80 {
        client.send([b'x'; 100_000]).unwrap();
    }
    let reply = client.reply().unwrap();
    assert_eq!((reply.status, reply.closes()), (400, true));
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn what_is_no_request_is_answered_and_ends_the_connection() {
    let upstream = echo();
    let mut gateway = Running::plain(upstream.address);
    for (request, status) in [
        ("no http at all\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: test\r\nx-fold: a\r\n b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", 400),
        ("POST / HTTP/1.0\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ] {
        let mut client = gateway.client();
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        client.send(format!("{request}GET / HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.closes()), (status, true), "{request}");
        assert!(reply.header("date").is_some());
        assert_eq!(client.rest().unwrap(), b"");
    }
    assert_eq!(upstream.requests(), 4);
    gateway.stop();
    assert_eq!(gateway.count(Count::BadRequests, "malformed"), 4);
}

#[test]
fn a_request_with_both_framings_is_the_last_of_its_connection() {
    let upstream = echo();
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    let both = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    client.send(format!("{both}GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
    let reply = client.reply().unwrap();
    assert_eq!((reply.text().as_str(), reply.closes()), ("POST / ", true));
    assert_eq!(client.rest().unwrap(), b"");
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn a_client_that_leaves_while_its_backend_thinks_frees_the_backend() {
    let (tell, told) = mpsc::channel();
    let upstream = RawUpstream::start(move |_, mut stream| {
        if read_head(&mut stream).is_some() {
            let _ = tell.send(None);
            // Nothing more comes until the gateway closes the connection.
            let _ = tell.send(stream.read(&mut [0]).ok());
        }
    });
    let mut gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(told.recv().unwrap(), None, "it thinks");
    drop(client);
    assert_eq!(told.recv().unwrap(), Some(0));
    gateway.stop();
    assert_eq!(gateway.count(Count::Finished, "client_gone"), 1);
    assert_eq!(gateway.count(Count::Commits, "client_gone"), 1);
}

#[test]
fn a_slow_backend_slows_its_client() {
    let (hold, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let upstream = RawUpstream::start(move |_, mut stream| {
        read_head(&mut stream).unwrap();
        let _ = held.lock().unwrap().recv();
        let mut left = 64 << 20;
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            left -= stream.read(&mut buffer).unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    });
    let gateway = Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services: [{{ name: shop, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["{}"] }} }}]
"#,
        upstream.address
    ));
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", 64 << 20)).unwrap();
    let (sent, progress) = mpsc::channel();
    let uploading = std::thread::spawn(move || {
        for _ in 0..64 {
            client.send(vec![b'x'; 1 << 20]).unwrap();
            let _ = sent.send(());
        }
        client.reply().unwrap().text()
    });
    progress.recv().unwrap();
    // What the sockets and buffers between the two hold is far from all.
    let mut taken = 1;
    while progress.recv_timeout(std::time::Duration::from_millis(300)).is_ok() {
        taken += 1;
    }
    assert!(taken < 40, "{taken} MiB were taken for a backend that reads nothing");
    drop(hold);
    assert_eq!(uploading.join().unwrap(), "ok");
}
