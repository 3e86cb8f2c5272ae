//! Floods of HTTP/2 frames by hand: each ends its own connection or is held up at it, and nobody else's request fails.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use patchgate_testkit::upstream::Upstream;

use super::Running;
use super::h2;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// `POST / HTTP/2` for host `test`, by HPACK's static table.
const POST: &[u8] = b"\x83\x86\x84\x41\x04test";

/// A flood that takes more than this, several times what the kernel holds for two sockets, was let through.
const MOST: usize = 64 << 20;

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A gateway that cuts who does not read for a second, and what counts its backend's requests.
fn gateway() -> (Running, Upstream) {
    let upstream = Upstream::named("served");
    let gateway = Running::with(upstream.address, upstream.address, "limits: { body_idle_timeout: 1s }", "");
    (gateway, upstream)
}

/// Sends what `next` makes, and reads nothing, until the gateway ends the connection; meanwhile another client's requests
/// are served.
fn flood(gateway: &Running, begin: &[u8], mut next: impl FnMut() -> Vec<u8> + Send) {
    let mut client = h2::connect(gateway, &[]);
    client.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    client.write_all(begin).unwrap();
    let mut other = gateway.client();
    std::thread::scope(|scope| {
        let flooding = scope.spawn(move || {
            let mut sent = 0;
            loop {
                let frames = next();
                match client.write_all(&frames) {
                    Ok(()) => sent += frames.len(),
                    Err(error) => break error.kind(),
                }
                assert!(sent < MOST, "it was let through");
            }
        });
        while !flooding.is_finished() {
            assert_eq!(other.get("/", &[]).unwrap().text(), "served");
        }
        let end = flooding.join().unwrap();
        assert!(matches!(end, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{end}");
    });
    assert_eq!(other.get("/", &[]).unwrap().text(), "served");
}

#[test]
fn a_rapid_reset_ends_its_connection_with_little_done_for_it() {
    // CVE-2023-44487
    let backend = Upstream::named("backend");
    let gateway = Running::plain(backend.address);
    let mut client = h2::connect(&gateway, &[]);
    client.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut streams = 0;
    let mut stream = 1;
    let ended = loop {
        let mut burst = Vec::new();
        for _ in 0..200 {
            burst.extend(frame(HEADERS, 0x05, stream, b"\x82\x86\x84\x41\x04test"));
            burst.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            stream += 2;
            streams += 1;
        }
        match client.write_all(&burst) {
            Ok(()) if streams < 1_000_000 => {}
            Ok(()) => break false,
            Err(_) => break true,
        }
    };
    assert!(ended, "{streams} streams were opened and reset");
    // As many as may be open at once, at the very most: others are gone before they are looked at.
    assert!(backend.requests() <= 128, "{} of {streams} reached the backend", backend.requests());
    assert_eq!(gateway.get("/", &[]).text(), "backend");
}

#[test]
fn a_head_without_end_ends_its_connection() {
    let (gateway, _upstream) = gateway();
    // A field's beginning in each frame, none of which is the last (CVE-2024-27316 and its kin).
    let begin = frame(HEADERS, 0x01, 1, POST);
    let mut field = b"\0\x06x-some\x7f\xf9\x7a".to_vec();
    field.resize(10 + 15_736, b'a');
    flood(&gateway, &begin, || frame(CONTINUATION, 0, 1, &field[..16_000.min(field.len())]));
    let (gateway, upstream) = self::gateway();
    flood(&gateway, &begin, || frame(CONTINUATION, 0, 1, b""));
    assert!(upstream.requests() > 0, "only the other client's");
}

#[test]
fn settings_that_are_not_acknowledged_to_anybody_hold_up_their_sender_alone() {
    let (gateway, _upstream) = gateway();
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(1000);
    flood(&gateway, b"", || settings.clone());
}

#[test]
fn pings_whose_answers_nobody_reads_hold_up_their_sender_alone() {
    let (gateway, _upstream) = gateway();
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(1000);
    flood(&gateway, b"", || pings.clone());
}

#[test]
fn empty_pieces_of_a_body_end_their_connection() {
    let (gateway, _upstream) = gateway();
    let begin = frame(HEADERS, 0x04, 1, POST);
    let pieces = frame(DATA, 0, 1, b"").repeat(1000);
    flood(&gateway, &begin, || pieces.clone());
}

#[test]
fn a_head_that_unfolds_to_more_than_is_taken_reaches_no_backend() {
    let upstream = Upstream::named("served");
    let gateway = Running::plain(upstream.address);
    let mut client: TcpStream = h2::connect(&gateway, &[]);
    // One field of 4,000 bytes put into the table, then named by a byte each time: 60 MiB.
    let mut block = b"\x82\x86\x84\x41\x04test\x40\x06x-some\x7f\xa1\x1e".to_vec();
    block.extend(vec![b'a'; 4000]);
    let begin = frame(HEADERS, 0x01, 1, &block);
    client.write_all(&begin).unwrap();
    client.write_all(&frame(CONTINUATION, 0x04, 1, &[0xbe; 15_000])).unwrap();
    client.write_all(&frame(PING, 0, 0, &[7; 8])).unwrap();
    // Whether the stream or the connection is refused: no piece of an answer by the backend.
    let mut got = vec![0; 64 * 1024];
    let mut end = 0;
    while let Ok(read @ 1..) = client.read(&mut got[end..]) {
        end += read;
        if got[..end].windows(8).any(|bytes| bytes == [7; 8]) {
            break;
        }
    }
    assert!(!got[..end].windows(6).any(|bytes| bytes == b"served"));
    assert_eq!(upstream.requests(), 0);
    assert_eq!(gateway.get("/", &[]).text(), "served");
}
