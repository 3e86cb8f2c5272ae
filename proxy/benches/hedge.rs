//! What a hedge is worth: two endpoints that stall for 500 ms on every hundredth request, without hedges and with.
//! `cargo bench -p patchgate-proxy --bench hedge`

#![allow(clippy::unwrap_used, reason = "a benchmark that finds something amiss panics")]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use patchgate_config::compile;
use patchgate_config::load::from_text;
use patchgate_config::rollout_table::RolloutTable;
use patchgate_proxy::server::Proxy;
use patchgate_proxy::telemetry::Telemetry;
use patchgate_testkit::client::Client;
use patchgate_testkit::upstream::{RawUpstream, read_head};

const CLIENTS: usize = 32;
const REQUESTS: usize = 1_000;
const USUAL: Duration = Duration::from_millis(2);
const STALL: Duration = Duration::from_millis(500);

#[allow(clippy::disallowed_methods, reason = "an endpoint that takes its time")]
fn take(time: Duration) {
    std::thread::sleep(time);
}

fn endpoint(seen: &Arc<AtomicUsize>) -> RawUpstream {
    let seen = Arc::clone(seen);
    RawUpstream::start(move |_, mut stream| {
        while read_head(&mut stream).is_some() {
            let stalls = seen.fetch_add(1, Ordering::Relaxed) % 100 == 99;
            take(if stalls { STALL } else { USUAL });
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    })
}

/// Median and 99th percentile, and what the endpoints got for each request.
fn run(policy: &str) -> (Duration, Duration, f64) {
    let seen = Arc::new(AtomicUsize::new(0));
    let endpoints = [endpoint(&seen), endpoint(&seen)];
    let text = format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{}", "{}"] }}
    {policy}
telemetry: {{ sampling: {{ default: 0 }} }}
"#,
        endpoints[0].address, endpoints[1].address
    );
    let model = from_text("bench.yaml", &text, &|_| None).unwrap().model;
    let snapshot = Arc::new(compile(&model, &RolloutTable::from_model(&model), 1));
    let telemetry = Telemetry::start(2, &snapshot.telemetry).unwrap();
    let proxy = Proxy::start(snapshot, 2, &telemetry).unwrap();
    let address: SocketAddr = proxy.listening()[0].address;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address).unwrap();
                let ask = |_| {
                    let begun = Instant::now();
                    assert_eq!(client.get("/", &[]).unwrap().status, 200);
                    begun.elapsed()
                };
                (0..REQUESTS).map(ask).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut took: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    took.sort_unstable();
    let at = |percent: usize| took[took.len() * percent / 100];
    (at(50), at(99), seen.load(Ordering::Relaxed) as f64 / took.len() as f64)
}

fn main() {
    let (plain, hedged) = (run(""), run("hedge: { after: p95, budget: 5% }"));
    for (name, (p50, p99, load)) in [("without hedges", plain), ("with hedges", hedged)] {
        println!("{name:<15} p50 {p50:>8.1?}  p99 {p99:>8.1?}  requests to endpoints {:.1} %", load * 100.0);
    }
    println!("p99 falls to 1/{:.0}", plain.1.as_secs_f64() / hedged.1.as_secs_f64());
}
