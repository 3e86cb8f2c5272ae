//! Any bytes that a client sends to a whole gateway, over a connection that is a piece of memory and in virtual time: no
//! panic, an answer for each request, an end of each attempt, nothing left over, and nothing but HTTP on the way back.
//!
//! The first byte chooses the protocol and how many bytes come at a time; behind it is HTTP/1.1, or frames of HTTP/2.

#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use patchgate_config::compile;
use patchgate_config::load::from_text;
use patchgate_config::rollout_table::RolloutTable;
use patchgate_config::snapshot::Snapshot;
use patchgate_proxy::simulation::{Dialed, Gateway, Link, Pipe, pipe};
use patchgate_proxy::telemetry::metrics::{Count, FAMILIES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// No limit in time is longer.
const LONG: Duration = Duration::from_secs(600);

static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    let text = r#"
listeners: [{ name: web, address: "127.0.0.1:0", assign: true, limits: { header_bytes: 2KiB } }]
services:
  - name: shop
    routes: [{ path_prefix: / }]
    stable: { version: v1, endpoints: ["10.0.0.1:80", "10.0.0.2:80"] }
    retry: { attempts: 3, "on": [connect_failure, reset, "503"] }
    mirror: { endpoints: ["10.0.2.1:80"], percent: 50% }
    upgrades: [websocket, example]
rollouts: [{ name: fix, service: shop, version: v2, group: lane, endpoints: ["10.0.1.1:80"] }]
telemetry: { sampling: { default: 0 } }
"#;
    let loaded = from_text("fuzz.yaml", text, &|_| None).expect("the text has no errors");
    Arc::new(compile(&loaded.model, &RolloutTable::from_model(&loaded.model), 1))
});

fn link(piece: usize) -> Link {
    Link { delay: 1, piece, room: 64 * 1024, seed: 7 }
}

/// A backend that reads what comes and answers each head that it sees.
fn dial(_: SocketAddr) -> Dialed {
    let (ours, theirs) = pipe(&link(4096));
    tokio::task::spawn_local(backend(theirs));
    Dialed::Established(Duration::ZERO, ours)
}

async fn backend(mut stream: Pipe) {
    let (mut read, mut room) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut room).await {
        read.extend_from_slice(&room[..count]);
        while let Some(end) = read.windows(4).position(|at| at == b"\r\n\r\n") {
            let head: Vec<u8> = read.drain(..end + 4).collect();
            let switches = head.windows(10).any(|at| at == b"\nupgrade: ");
            let answer: &[u8] = match switches {
                true => b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
                false => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            };
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

async fn run(input: &[u8]) -> (Vec<u8>, Gateway) {
    let gateway = Gateway::start(Arc::clone(&SNAPSHOT), 7, dial);
    let (kind, bytes) = input.split_first().unwrap_or((&0, &[]));
    let (mut client, served) = pipe(&link(usize::from(kind >> 1).max(1)));
    let mut answers = Vec::new();
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    tokio::join!(gateway.serve(served, peer), async {
        if kind & 1 == 1 && client.write_all(PREFACE).await.is_err() {
            return;
        }
        // A gateway that refuses may close before it has read all.
        if client.write_all(bytes).await.is_ok() {
            let _ = client.shutdown().await;
        }
        let _ = client.read_to_end(&mut answers).await;
    });
    tokio::time::sleep(LONG).await;
    (answers, gateway)
}

/// Whole frames only, or what was cut off by a reset.
fn is_http2(mut bytes: &[u8]) -> bool {
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if *kind > 9 || length > 16_384 {
            return false;
        }
        bytes = rest.get(length..).unwrap_or_default();
    }
    true
}

fuzz_target!(|input: &[u8]| {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build_local(LocalOptions::default());
    let (answers, gateway) = runtime.expect("a runtime without IO").block_on(run(input));
    let sum = |count: Count| -> u64 {
        (0..FAMILIES[count as usize].values.len()).map(|nth| gateway.metrics().total(count, nth)).sum()
    };
    assert_eq!(sum(Count::Panics), 0, "a panic");
    assert_eq!(sum(Count::Commits), sum(Count::Finished), "an answer for each request");
    assert_eq!(sum(Count::AttemptsStarted), sum(Count::Attempts), "an end for each attempt");
    assert_eq!(gateway.leftovers(), Vec::<String>::new());
    let is_http = answers.starts_with(b"HTTP/1.") || is_http2(&answers);
    assert!(answers.is_empty() || is_http, "{}", answers.escape_ascii());
});
