//! A hundred thousand requests among random faults: every one is committed once and finished once, and every attempt
//! ends once, with a cause if it lost.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::client::Client;
use patchgate_testkit::upstream::{RawUpstream, read_head};

use super::{MARKED, Running};

const REQUESTS: u64 = 100_000;
const CLIENTS: u64 = 16;

/// A small generator of numbers for the faults (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % sides
    }
}

/// Answers most requests, and breaks off in every way there is.
fn faulty(seed: u64) -> RawUpstream {
    RawUpstream::start(move |number, mut stream| {
        let mut dice = Dice(seed + number as u64);
        while let Some(head) = read_head(&mut stream) {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if std::io::Read::read_exact(&mut stream, &mut body).is_err() {
                return;
            }
            let answer: &[u8] = match dice.roll(60) {
                0 => return,
                1 => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
                2 => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                3 => b"HTTP/1.1 2",
                4 => b"no http at all\r\n\r\n",
                5 => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
                6 => b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
                7 => b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end",
                8 => b"HTTP/1.1 200 OK\r\ntracestate: patch-group=a,patch-version=b\r\ncontent-length: 2\r\n\r\nok",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            };
            if stream.write_all(answer).is_err() || !answer.ends_with(b"ok") && !answer.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    })
}

/// Sends requests, and leaves in the middle of some.
fn misbehave(to: SocketAddr, seed: u64, sent: &AtomicU64) {
    let mut dice = Dice(seed);
    let mut connection: Option<Client> = None;
    while sent.fetch_add(1, Ordering::Relaxed) < REQUESTS {
        let Some(mut client) = connection.take().or_else(|| Client::connect(to).ok()) else { continue };
        let fields = if dice.roll(2) == 0 { MARKED } else { &[] };
        let outcome = match dice.roll(50) {
            0 => client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").map(|()| None),
            1 => client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\nhalf").map(|()| None),
            2 => client.send("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").and_then(|()| client.reply()).map(Some),
            3 => client
                .send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody")
                .and_then(|()| client.reply())
                .map(Some),
            _ => client.get("/", fields).map(Some),
        };
        if let Ok(Some(reply)) = outcome
            && !reply.closes()
        {
            connection = Some(client);
        }
    }
}

#[test]
fn every_request_is_committed_once_and_every_attempt_ends_once() {
    let (stable, hot_fix) = (faulty(1), faulty(1 << 32));
    let mut gateway = Running::with(stable.address, hot_fix.address, "", "");
    let (to, sent) = (gateway.address(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let sent = &sent;
            scope.spawn(move || misbehave(to, client << 40, sent));
        }
    });
    gateway.stop();
    let finished = gateway.sum(Count::Finished);
    assert!(finished > REQUESTS * 9 / 10, "{finished} of {REQUESTS} arrived");
    assert_eq!(gateway.sum(Count::Commits), finished);
    assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
    let losers = gateway.sum(Count::Attempts) - gateway.count(Count::Attempts, "committed");
    assert_eq!(gateway.sum(Count::Dropped), losers, "every loser has a cause");
    assert_eq!(gateway.count(Count::Commits, "attempt"), gateway.count(Count::Attempts, "committed"));
    // The faults happened: each kind of end was seen.
    for end in ["complete", "broken", "client_gone"] {
        assert!(gateway.count(Count::Finished, end) > 0, "{end}");
    }
    assert_eq!(gateway.sum(Count::Panics), 0);
}
