//! Bodies both ways: streamed, whole, and never made to look so.

use std::io::{ErrorKind, Write};
use std::sync::mpsc;

use bytes::Bytes;
use http::Response;
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::eventually;
use patchgate_testkit::upstream::{RawUpstream, Seen, Upstream, read_head};

use super::Running;

#[test]
fn ten_mebibytes_go_through_unchanged_both_ways() {
    let upstream = Upstream::start(|seen: Seen| Response::new(seen.body));
    let gateway = Running::plain(upstream.address);
    let body: Vec<u8> = (0..10 << 20).map(|at: u32| (at % 251) as u8).collect();
    let mut client = gateway.client();
    let head = format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
    client.send(head).unwrap();
    client.send(&body).unwrap();
    let reply = client.reply().unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.body == body, "{} bytes came back", reply.body.len());
}

#[test]
fn a_chunk_is_relayed_when_it_comes_not_when_the_body_ends() {
    let (next, step) = mpsc::channel::<()>();
    let step = std::sync::Mutex::new(step);
    let upstream = RawUpstream::start(move |_, mut stream| {
        read_head(&mut stream).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-checksum\r\n\r\n5\r\nfirst\r\n")
            .unwrap();
        step.lock().unwrap().recv().unwrap();
        stream.write_all(b"6\r\nsecond\r\n0\r\nx-checksum: 7\r\n\r\n").unwrap();
    });
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\nte: trailers\r\n\r\n").unwrap();
    // Two readers of one connection: the head and the first chunk, then, once those were seen, the rest.
    let reader = std::thread::spawn(move || client.reply());
    eventually("the first chunk", || (gateway.telemetry.metrics.total(Count::Commits, 0) == 1).then_some(()));
    next.send(()).unwrap();
    let reply = reader.join().unwrap().unwrap();
    assert_eq!(reply.text(), "firstsecond");
    assert_eq!(reply.trailers, [("x-checksum".to_owned(), "7".to_owned())], "trailers are kept");
}

#[test]
fn a_response_body_that_breaks_off_never_looks_whole() {
    for framing in ["transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "content-length: 10\r\n\r\nhello"] {
        let upstream = RawUpstream::start(move |_, mut stream| {
            read_head(&mut stream).unwrap();
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}").as_bytes()).unwrap();
        });
        let mut gateway = Running::plain(upstream.address);
        let mut client = gateway.client();
        let error = client.get("/", &[]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
        gateway.stop();
        assert_eq!(gateway.count(Count::Finished, "broken"), 1, "{framing}");
        assert_eq!(gateway.count(Count::Commits, "attempt"), 1);
    }
}

#[test]
fn a_response_body_that_stalls_is_cut_and_counted() {
    let (hold, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let upstream = RawUpstream::start(move |_, mut stream| {
        read_head(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").unwrap();
        // Until the test ends.
        let _ = held.lock().unwrap().recv();
    });
    let mut gateway = Running::plain(upstream.address);
    assert!(gateway.client().get("/", &[]).is_err());
    drop(hold);
    gateway.stop();
    assert_eq!(gateway.count(Count::Finished, "timed_out"), 1);
}

#[test]
fn an_upload_that_breaks_off_is_no_success() {
    let upstream = Upstream::named("never whole");
    let mut gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhello").unwrap();
    eventually("the upload to begin", || (gateway.sum(Count::ConnectionsOpened) == 1).then_some(()));
    drop(client);
    gateway.stop();
    assert_eq!(gateway.count(Count::Attempts, "committed"), 0);
    assert_eq!(gateway.sum(Count::Finished), 1);
    assert_eq!(gateway.sum(Count::Commits), 1);
}

#[test]
fn an_answer_before_the_upload_ended_is_relayed_and_ends_the_connection_in_order() {
    let upstream = RawUpstream::start(|_, mut stream| {
        read_head(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig").unwrap();
        // Reads on as a lingering close does.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\nhello").unwrap();
    let reply = client.reply().unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (413, "big"));
}

#[test]
fn head_204_and_304_have_no_body_whatever_their_fields_say() {
    let upstream = RawUpstream::start(|_, mut stream| {
        while let Some(head) = read_head(&mut stream) {
            let answer = match head.split(' ').nth(1) {
                Some("/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                Some("/304") => "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: \"1\"\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    for (method, path, status) in [("HEAD", "/", 200), ("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/", 200)] {
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
        let reply = client.reply_to(method).unwrap();
        assert_eq!(reply.status, status, "{method} {path}");
        if method == "HEAD" {
            assert_eq!(reply.header("content-length"), Some("5"));
        }
    }
}

#[test]
fn interim_responses_do_not_end_a_request_and_expectations_are_met() {
    let upstream = RawUpstream::start(|_, mut stream| {
        let head = read_head(&mut stream).unwrap();
        assert!(!head.to_ascii_lowercase().contains("expect:"), "it was met here: {head}");
        let mut body = [0; 5];
        std::io::Read::read_exact(&mut stream, &mut body).unwrap();
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n").unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").unwrap();
        stream.write_all(&body).unwrap();
    });
    let gateway = Running::plain(upstream.address);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(client.reply_to("POST").unwrap().status, 100);
    client.send("hello").unwrap();
    assert_eq!(client.reply().unwrap().body, Bytes::from("hello"));
}
