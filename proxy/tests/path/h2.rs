//! HTTP/2 clients that do not play along, byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};

use super::Running;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// A connection that begins with these settings.
pub(super) fn connect(gateway: &Running, settings: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(PREFACE).unwrap();
    stream.write_all(&frame(4, 0, 0, settings)).unwrap();
    stream
}

/// HEADERS of `GET / HTTP/2` for host `test`, by HPACK's static table; other fields are literals (RFC 7541 §6.2.2).
pub(super) fn get(stream: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = b"\x82\x86\x84\x41\x04test".to_vec();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(1, 0x05, stream, &block)
}

#[test]
fn a_client_without_window_does_not_hold_a_backend_for_longer_than_the_limit() {
    let (closed, was_closed) = mpsc::channel();
    let upstream = RawUpstream::start(move |_, mut stream| {
        read_head(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nsome").unwrap();
        // The gateway lets go of the connection, however that looks from here.
        let _ = stream.read(&mut [0]);
        closed.send(()).unwrap();
    });
    let mut gateway = Running::with(upstream.address, upstream.address, "limits: { body_idle_timeout: 1s }", "");
    // SETTINGS_INITIAL_WINDOW_SIZE = 0, and no WINDOW_UPDATE ever.
    let mut client = connect(&gateway, &[0, 4, 0, 0, 0, 0]);
    client.write_all(&get(1, &[])).unwrap();
    was_closed.recv_timeout(Duration::from_secs(30)).expect("the backend's connection is closed");
    drop(client);
    gateway.stop();
    assert_eq!(gateway.count(Count::Finished, "timed_out"), 1);
    assert_eq!(gateway.count(Count::Commits, "attempt"), 1);
}

#[test]
fn a_client_that_ignores_goaway_is_let_go() {
    let upstream = Upstream::named("served");
    let gateway = Running::with(upstream.address, upstream.address, "limits: { idle_timeout: 1s }", "");
    // No PING is ever acknowledged.
    let mut client = connect(&gateway, &[]);
    let mut frames = Vec::new();
    client.read_to_end(&mut frames).expect("the connection ends");
    let goaway = frames.windows(5).any(|bytes| bytes[0] == 8 && bytes[1] == 7);
    assert!(goaway, "it was told before: {frames:?}");
}
