//! The control plane at work: a thousand live rollouts, a thousand watchers, a hundred changes a second, and requests
//! beside it. A gateway process of its own, one worker; backend and load share the machine with it.
//!
//! Told are what a change takes from when it was due until it is acknowledged, whether every watcher got every event,
//! memory, CPU, and what a request takes without and with all that.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no result")]

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use patchgate_testkit::client::Client;
use patchgate_testkit::eventually;
use patchgate_testkit::process::Gateway;
use patchgate_testkit::upstream::Upstream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ROLLOUTS: usize = 1_000;
const WATCHERS: usize = 1_000;
const WRITERS: usize = 4;
const WRITES_A_SECOND: u32 = 100;
const CLIENTS: usize = 8;
const REQUESTS_A_SECOND: u32 = 1_000;
const PHASE: Duration = Duration::from_secs(20);

fn config(stable: SocketAddr, data: &str) -> String {
    let mut text = format!(
        "workers: 1\nlisteners: [{{ name: web, address: \"127.0.0.1:0\", assign: true }}]\n\
         admin: {{ address: \"127.0.0.1:0\", store: {{ file: {data} }}, limits: {{ requests_per_second: 100000 }} }}\n\
         health: {{ address: \"127.0.0.1:0\" }}\nservices:\n"
    );
    for service in 0..ROLLOUTS {
        let routes = format!("[{{ host: s{service}.test }}]");
        let stable = format!("{{ version: v1, endpoints: [\"{stable}\"] }}");
        writeln!(text, "  - {{ name: s{service}, routes: {routes}, stable: {stable} }}").unwrap();
    }
    text
}

/// An admin API over one kept connection.
struct Admin(Client, SocketAddr);

impl Admin {
    fn connect(to: SocketAddr) -> Self {
        Self(Client::connect(to).unwrap(), to)
    }

    fn post(&mut self, path: &str, version: Option<u64>, body: &Value) -> Value {
        let (body, version) =
            (body.to_string(), version.map_or_else(|| "*".to_owned(), |version| format!("\"{version}\"")));
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nif-match: {version}\r\n\
             content-length: {}\r\n\r\n",
            self.1,
            body.len()
        );
        self.0.send(head + &body).unwrap();
        let reply = self.0.reply().unwrap();
        assert!(matches!(reply.status, 200 | 201), "{path}: {}", reply.text());
        serde_json::from_slice(&reply.body).unwrap()
    }
}

fn rollout(service: usize, hot_fix: SocketAddr) -> Value {
    json!({ "rollout": {
        "name": format!("fix-{service}"), "service": format!("s{service}"), "version": "v2", "group": "canary",
        "endpoints": [hot_fix.to_string()], "assign": [{"percent": {"key": "random"}}],
        "stages": [{"percent": "10%"}, {"percent": "100%"}],
    }})
}

/// What was measured of many.
struct Times(Vec<Duration>);

impl Times {
    fn tell(mut self, what: &str) {
        self.0.sort_unstable();
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize];
        println!("{what}: {} of them, p50 {:.2?}, p99 {:.2?}, most {:.2?}", self.0.len(), at(0.5), at(0.99), at(1.0));
    }
}

/// Runs `each` so often a second for the phase, each at its time, however long those before it took; measured from that
/// time on.
fn paced(rate: f64, mut each: impl FnMut(usize)) -> Vec<Duration> {
    let begun = Instant::now();
    let mut times = Vec::new();
    for number in 0.. {
        let due = begun + Duration::from_secs_f64(number as f64 / rate);
        if due > begun + PHASE {
            break;
        }
        #[allow(clippy::disallowed_methods, reason = "a pace is time, not synchronisation")]
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        each(number);
        times.push(due.elapsed());
    }
    times
}

/// Requests to all services in turn.
fn requests(web: SocketAddr) -> Times {
    let client = |number: usize| {
        let mut client = Client::connect(web).unwrap();
        paced(f64::from(REQUESTS_A_SECOND) / CLIENTS as f64, |request| {
            let service = (request * CLIENTS + number) % ROLLOUTS;
            client.send(format!("GET / HTTP/1.1\r\nhost: s{service}.test\r\n\r\n")).unwrap();
            assert_eq!(client.reply().unwrap().status, 200);
        })
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        Times(clients.into_iter().flat_map(|client| client.join().unwrap()).collect())
    })
}

/// Pauses and resumes rollouts in turn.
fn writes(admin: SocketAddr) -> Times {
    let writer = |number: usize| {
        let mut admin = Admin::connect(admin);
        let own = ROLLOUTS / WRITERS;
        let mut versions = vec![None; own];
        paced(f64::from(WRITES_A_SECOND) / WRITERS as f64, |write| {
            let order = if (write / own).is_multiple_of(2) { "pause" } else { "resume" };
            let path = format!("/v1/rollouts/fix-{}/{order}", (write % own) * WRITERS + number);
            let done = admin.post(&path, versions[write % own], &json!({ "reason": "load" }));
            versions[write % own] = done["sequence"].as_u64();
        })
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|number| scope.spawn(move || writer(number))).collect();
        Times(writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect())
    })
}

/// What the watchers got.
#[derive(Debug, Default)]
struct Seen {
    connected: AtomicU64,
    events: AtomicU64,
    resyncs: AtomicU64,
}

async fn watch(admin: SocketAddr, seen: Arc<Seen>) {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let head = format!("GET /v1/events HTTP/1.1\r\nhost: {admin}\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut bytes, mut kept) = (vec![0; 64 << 10], 0);
    let count = |text: &[u8], what: &[u8]| text.windows(what.len()).filter(|window| *window == what).count() as u64;
    loop {
        let read = stream.read(&mut bytes[kept..]).await.unwrap();
        if read == 0 {
            return;
        }
        let text = &bytes[..kept + read];
        // What a line may begin with is kept for the next read.
        let whole = text.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
        seen.connected.fetch_add(count(&text[..whole], b"HTTP/1.1 200"), Ordering::Relaxed);
        seen.events.fetch_add(count(&text[..whole], b"event: event"), Ordering::Relaxed);
        seen.resyncs.fetch_add(count(&text[..whole], b"event: resync"), Ordering::Relaxed);
        let rest = whole..kept + read;
        kept = rest.len();
        bytes.copy_within(rest, 0);
    }
}

/// Resident memory in MiB, and CPU time so far.
fn cost(gateway: &Gateway) -> (u64, Duration) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")).unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.id())).unwrap().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    (resident.parse::<u64>().unwrap() >> 10, Duration::from_nanos(nanos.sum()))
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    let data = folder.path().join("data");
    let gateway = Gateway::start(env!("CARGO_BIN_EXE_patchgate"), &config(stable.address, data.to_str().unwrap()));
    let (web, admin) = (gateway.address("web"), gateway.address("admin"));

    let begun = Instant::now();
    let mut api = Admin::connect(admin);
    (0..ROLLOUTS).for_each(|service| drop(api.post("/v1/rollouts", None, &rollout(service, hot_fix.address))));
    println!("{ROLLOUTS} rollouts created one after the other: {:.2?}; {} MiB", begun.elapsed(), cost(&gateway).0);
    requests(web).tell("requests, control plane at rest");

    let seen = Arc::new(Seen::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    (0..WATCHERS).for_each(|_| drop(runtime.spawn(watch(admin, Arc::clone(&seen)))));
    eventually("all watchers", || (seen.connected.load(Ordering::Relaxed) == WATCHERS as u64).then_some(()));
    println!("{WATCHERS} watchers connected: {} MiB", cost(&gateway).0);
    let before = cost(&gateway).1;
    let (writes, requests) = std::thread::scope(|scope| {
        let writes = scope.spawn(|| writes(admin));
        let requests = requests(web);
        (writes.join().unwrap(), requests)
    });
    let (resident, cpu) = cost(&gateway);
    let events = (writes.0.len() * WATCHERS) as u64;
    let wanted = || seen.events.load(Ordering::Relaxed) >= events || seen.resyncs.load(Ordering::Relaxed) > 0;
    eventually("every event at every watcher", || wanted().then_some(()));
    writes.tell("changes, from when each was due until it was acknowledged");
    requests.tell("requests beside it");
    println!(
        "events at watchers: {} of {events}, told to begin anew: {}; {resident} MiB, {:.2} CPU s a second",
        seen.events.load(Ordering::Relaxed),
        seen.resyncs.load(Ordering::Relaxed),
        (cpu - before).as_secs_f64() / PHASE.as_secs_f64()
    );
    for metric in ["patchgate_change_served_seconds", "patchgate_log_append_seconds"] {
        let sum = |part: &str| gateway.sum(&format!("{metric}_{part}"), &[]);
        println!("{metric}: {} in {:.2} ms on average", sum("count"), sum("sum") * 1e3 / sum("count"));
    }
    println!("served within 100 ms: {}", gateway.sum("patchgate_change_served_seconds_bucket", &["le=\"0.1\""]));
}
