//! HTTP/2 backends that take no more, refuse, reset and answer early, byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::client::head;
use patchgate_testkit::http2::Http2Client;
use patchgate_testkit::upstream::RawUpstream;

use super::Running;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

/// `:status: 200` by HPACK's static table.
const OK: &[u8] = &[0x88];

/// A backend's side of one connection.
struct Peer(TcpStream);

impl Peer {
    /// Takes the preface and sends its settings.
    fn accept(mut stream: TcpStream) -> Option<Self> {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).ok()?;
        assert_eq!(preface, PREFACE);
        let mut peer = Self(stream);
        peer.send(SETTINGS, 0, 0, &[]);
        Some(peer)
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        // Whether the gateway still listens is for the test to find out.
        let _ = self.0.write_all(&frame);
    }

    fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    fn go_away(&mut self, last: u32) {
        self.send(GOAWAY, 0, 0, &[last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat());
    }

    fn answer(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, OK);
    }

    /// The next frame of this kind: its stream and flags.
    fn next(&mut self, kind: u8) -> Option<(u32, u8)> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).ok()?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.0.read_exact(&mut payload).ok()?;
            if head[3] == kind {
                return Some((u32::from_be_bytes([head[5], head[6], head[7], head[8]]), head[4]));
            }
        }
    }

    /// The next request's stream, once all of it came.
    fn request(&mut self) -> Option<u32> {
        let (stream, flags) = self.next(HEADERS)?;
        if flags & END_STREAM == 0 {
            while self.next(DATA)?.1 & END_STREAM == 0 {}
        }
        Some(stream)
    }
}

/// Does `first` with the first request of all, and answers all others. Counts requests and connections.
fn backend(first: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> (RawUpstream, Arc<[AtomicUsize; 2]>) {
    let counts = Arc::<[AtomicUsize; 2]>::default();
    let counted = Arc::clone(&counts);
    let upstream = RawUpstream::start(move |_, stream| {
        let Some(mut peer) = Peer::accept(stream) else { return };
        counted[1].fetch_add(1, Ordering::SeqCst);
        while let Some(stream) = peer.request() {
            match counted[0].fetch_add(1, Ordering::SeqCst) {
                0 => first(&mut peer, stream),
                _ => peer.answer(stream),
            }
        }
    });
    (upstream, counts)
}

fn seen(counts: &[AtomicUsize; 2]) -> [usize; 2] {
    [counts[0].load(Ordering::SeqCst), counts[1].load(Ordering::SeqCst)]
}

/// Requests that would not be sent again had a backend acted on them.
const POSTS: [(&str, &str, &str); 2] = [
    ("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n", "without a body", ""),
    ("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "with one", ""),
];

#[test]
fn what_goaway_refuses_is_sent_again_on_another_connection() {
    for (post, which, _) in POSTS {
        let (upstream, counts) = backend(|peer, _| peer.go_away(0));
        let mut gateway = Running::http2(upstream.address, "    retry: { attempts: 2 }");
        let mut client = gateway.client();
        client.send(post).unwrap();
        assert_eq!(client.reply().unwrap().status, 200, "{which}");
        assert_eq!(seen(&counts), [2, 2], "{which}");
        drop(client);
        gateway.stop();
        assert_eq!(gateway.count(Count::Retries, "refused_stream"), 1);
        assert_eq!(gateway.count(Count::Dropped, "retry"), 1);
        assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
    }
}

#[test]
fn a_refused_stream_is_sent_again_on_the_same_connection() {
    for (post, which, _) in POSTS {
        let (upstream, counts) = backend(|peer, stream| peer.reset(stream, REFUSED_STREAM));
        let mut gateway = Running::http2(upstream.address, "    retry: { on: [refused_stream] }");
        let mut client = gateway.client();
        client.send(post).unwrap();
        assert_eq!(client.reply().unwrap().status, 200, "{which}");
        assert_eq!(seen(&counts), [2, 1], "{which}");
        drop(client);
        gateway.stop();
        assert_eq!(gateway.count(Count::Retries, "refused_stream"), 1);
    }
}

#[test]
fn a_body_that_is_too_long_to_be_kept_is_not_sent_again() {
    let upstream = RawUpstream::start(move |_, stream| {
        let Some(mut peer) = Peer::accept(stream) else { return };
        // Windows of 1 MiB.
        peer.send(SETTINGS, 0, 0, &[0, 4, 0, 16, 0, 0]);
        peer.send(WINDOW_UPDATE, 0, 0, &[0, 16, 0, 0]);
        while let Some(stream) = peer.request() {
            peer.reset(stream, REFUSED_STREAM);
        }
    });
    let mut gateway = Running::http2(upstream.address, "    retry: { on: [refused_stream] }");
    let mut client = gateway.client();
    client.send(head("PUT", "/", &[("content-length", "65537")]) + "\r\n" + &"b".repeat(65_537)).unwrap();
    let reply = client.reply().unwrap();
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("upstream_refused"), "{}", reply.text());
    drop(client);
    gateway.stop();
    assert_eq!(gateway.count(Count::RetriesRefused, "body"), 1);
}

#[test]
fn without_a_policy_a_refusal_is_answered_and_goaway_on_a_kept_connection_is_none() {
    // As a backend that restarts: all streams above the first are refused, and it closes.
    let number = AtomicUsize::new(0);
    let upstream = RawUpstream::start(move |_, stream| {
        let Some(mut peer) = Peer::accept(stream) else { return };
        let first_connection = number.fetch_add(1, Ordering::SeqCst) == 0;
        let Some(stream) = peer.request() else { return };
        peer.answer(stream);
        while let Some(stream) = peer.request() {
            if first_connection {
                return peer.go_away(1);
            }
            peer.answer(stream);
        }
    });
    let gateway = Running::http2(upstream.address, "");
    let mut client = gateway.client();
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    client.send(POSTS[0].0).unwrap();
    assert_eq!(client.reply().unwrap().status, 200, "the POST on a kept connection");

    let refuses = RawUpstream::start(|_, stream| {
        let Some(mut peer) = Peer::accept(stream) else { return };
        while let Some(stream) = peer.request() {
            peer.reset(stream, REFUSED_STREAM);
        }
    });
    let gateway = Running::http2(refuses.address, "");
    let reply = gateway.get("/", &[]);
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("upstream_refused"), "{}", reply.text());
}

#[test]
fn a_backend_that_refuses_everything_gets_its_share_of_retries_and_no_more() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let upstream = RawUpstream::start(move |_, stream| {
        let Some(mut peer) = Peer::accept(stream) else { return };
        while let Some(stream) = peer.request() {
            counted.fetch_add(1, Ordering::SeqCst);
            peer.reset(stream, REFUSED_STREAM);
        }
    });
    let gateway = Running::http2(upstream.address, "    retry: { attempts: 3, budget: 0.2 }");
    let mut client = gateway.client();
    for _ in 0..200 {
        assert_eq!(client.get("/", &[]).unwrap().status, 503);
    }
    let load = seen.load(Ordering::SeqCst);
    // A fifth more, the reserve of 3, and one a second.
    assert!((240..=250).contains(&load), "{load} streams for 200 requests");
}

#[test]
fn streams_go_on_after_goaway_and_new_ones_have_a_new_connection() {
    let (upstream, counts) = {
        let counts = Arc::<[AtomicUsize; 2]>::default();
        let counted = Arc::clone(&counts);
        let upstream = RawUpstream::start(move |_, stream| {
            let Some(mut peer) = Peer::accept(stream) else { return };
            let nth = counted[1].fetch_add(1, Ordering::SeqCst);
            while let Some(stream) = peer.request() {
                counted[0].fetch_add(1, Ordering::SeqCst);
                match nth {
                    0 => {
                        peer.send(HEADERS, END_HEADERS, stream, OK);
                        peer.send(DATA, 0, stream, b"some");
                        peer.go_away(stream);
                        // Until somebody else was served elsewhere.
                        patchgate_testkit::eventually("the second request", || {
                            (counted[0].load(Ordering::SeqCst) > 1).then_some(())
                        });
                        peer.send(DATA, END_STREAM, stream, b" more");
                    }
                    _ => peer.answer(stream),
                }
            }
        });
        (upstream, counts)
    };
    let gateway = Running::http2(upstream.address, "");
    let mut client = Http2Client::connect(gateway.address());
    let (answer, _) = client.open(Request::get("http://test/").body(()).unwrap(), true);
    let (_, mut body) = client.wait(answer).unwrap().into_parts();
    assert_eq!(client.wait(body.data()).unwrap().unwrap(), "some");
    let (head, _) = client.call(Request::get("http://test/").body(bytes::Bytes::new()).unwrap(), None).unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(client.wait(body.data()).unwrap().unwrap(), " more");
    assert!(client.wait(body.data()).is_none(), "it is whole");
    assert_eq!(seen(&counts), [2, 2]);
}

#[test]
fn a_stream_that_is_reset_before_its_answer_is_sent_again_only_if_that_does_no_harm() {
    for (method, expected, streams) in [("GET", 200, 2), ("POST", 502, 1)] {
        let (upstream, counts) = backend(|peer, stream| peer.reset(stream, INTERNAL_ERROR));
        let gateway = Running::http2(upstream.address, "    retry: { on: [reset] }");
        let mut client = gateway.client();
        client.send(head(method, "/", &[("content-length", "0")]) + "\r\n").unwrap();
        let reply = client.reply().unwrap();
        assert_eq!(reply.status, expected, "{}", reply.text());
        assert_eq!(seen(&counts), [streams, 1], "{method}");
    }
}

#[test]
fn an_early_answer_is_relayed_and_the_rest_of_the_upload_not_waited_for() {
    let upstream = RawUpstream::start(|_, stream| {
        let Some(mut peer) = Peer::accept(stream) else { return };
        while let Some((stream, _)) = peer.next(HEADERS) {
            peer.answer(stream);
            peer.reset(stream, NO_ERROR);
        }
    });
    let mut gateway = Running::http2(upstream.address, "");
    for _ in 0..3 {
        let mut client = gateway.client();
        client.send(head("POST", "/", &[("content-length", "1000000")]) + "\r\nsome").unwrap();
        let reply = client.reply().unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    gateway.stop();
    assert_eq!(gateway.count(Count::Commits, "attempt"), 3);
}

#[test]
fn an_answer_that_http2_does_not_allow_is_none() {
    let literal = |name: &str, value: &str| {
        let mut line = vec![0, u8::try_from(name.len()).unwrap()];
        line.extend_from_slice(name.as_bytes());
        line.push(u8::try_from(value.len()).unwrap());
        line.extend_from_slice(value.as_bytes());
        line
    };
    let heads = [
        [OK.to_vec(), literal("connection", "close")].concat(),
        [OK.to_vec(), literal("Upper", "case")].concat(),
        [OK.to_vec(), literal("content-length", "0"), literal("content-length", "4")].concat(),
        [OK.to_vec(), literal("content-length", "4x")].concat(),
        [OK.to_vec(), literal("x-split", "a\r\nb: c")].concat(),
        literal("x-no", "status"),
    ];
    for fields in heads {
        let told = String::from_utf8_lossy(&fields).into_owned();
        let (upstream, _) = backend(move |peer, stream| peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &fields));
        let gateway = Running::http2(upstream.address, "");
        let mut client = gateway.client();
        client.send(POSTS[0].0).unwrap();
        let reply = client.reply().unwrap();
        assert_eq!(reply.status, 502, "{told}: {}", reply.text());
        assert!(reply.text().contains("upstream_malformed"), "{told}: {}", reply.text());
    }
}

#[test]
fn an_answer_longer_or_shorter_than_it_says_never_looks_whole() {
    for body in ["four and more", "fou"] {
        let (upstream, _) = backend(move |peer, stream| {
            let fields = [OK, b"\x00\x0econtent-length\x014"].concat();
            peer.send(HEADERS, END_HEADERS, stream, &fields);
            peer.send(DATA, END_STREAM, stream, body.as_bytes());
        });
        let gateway = Running::http2(upstream.address, "");
        let mut client = Http2Client::connect(gateway.address());
        let called = client.call(Request::get("http://test/").body(bytes::Bytes::new()).unwrap(), None);
        assert!(called.is_err(), "{body}: {called:?}");
    }
}
