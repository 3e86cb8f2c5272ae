//! Mark → route → hot-fix backend → commit once → sampled trace, with real clients and real collectors.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use patchgate_testkit::otlp::{Collector, attributes};
use patchgate_testkit::upstream::Upstream;
use patchgate_testkit::{client, eventually, tools};

use super::{GROUP, MARKED, VERSION, config, start};

/// A real collector, and what it prints of the spans it gets.
struct Rotel {
    child: Child,
    http: SocketAddr,
    grpc: SocketAddr,
    printed: Arc<Mutex<String>>,
}

impl Rotel {
    fn start() -> Self {
        let (http, grpc) = (free(), free());
        let folder = std::env::temp_dir().join(format!("rotel-{}-{}", std::process::id(), http.port()));
        let mut child = Command::new(tools::rotel())
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &http.to_string(), "--otlp-grpc-endpoint", &grpc.to_string()])
            .arg("--pid-file")
            .arg(folder.with_extension("pid"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the collector is a program of this machine");
        let printed = Arc::new(Mutex::new(String::new()));
        for stream in [
            child.stdout.take().map(|out| Box::new(out) as Box<dyn std::io::Read + Send>),
            child.stderr.take().map(|err| Box::new(err) as Box<dyn std::io::Read + Send>),
        ] {
            let kept = Arc::clone(&printed);
            std::thread::spawn(move || {
                for line in stream.into_iter().flat_map(|stream| BufReader::new(stream).lines()).map_while(Result::ok) {
                    let mut printed = kept.lock().expect("nobody panics while printing");
                    printed.push_str(&line);
                    printed.push('\n');
                }
            });
        }
        let rotel = Self { child, http, grpc, printed };
        for address in [rotel.http, rotel.grpc] {
            eventually("the collector to listen", || TcpStream::connect(address).ok());
        }
        rotel
    }

    fn printed(&self) -> String {
        self.printed.lock().expect("nobody panics while printing").clone()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody has at the moment, for a program that cannot tell which it chose.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}

fn curl(url: &str, arguments: &[&str]) -> String {
    let output = Command::new(tools::debian("curl", "curl"))
        .args(["-sS", "-i", "--max-time", "20"])
        .args(arguments)
        .arg(url)
        .output()
        .expect("curl is a program of this machine");
    assert!(output.status.success(), "curl {url}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn marked_requests_reach_the_hot_fix_and_each_channel_its_own_real_collector() {
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    let (normal, canary) = (Rotel::start(), Rotel::start());
    let telemetry = format!(
        "telemetry: {{ sampling: {{ default: 1.0 }}, otlp: {{ endpoint: \"http://{}\" }}, canary: {{ otlp: {{ endpoint: \
         \"http://{}\" }} }} }}",
        normal.http, canary.http
    );
    let mut gateway = start(&config(stable.address, hot_fix.address, &telemetry));
    let url = format!("http://{}/cart", gateway.address("web"));

    let unmarked = curl(&url, &[]);
    assert!(unmarked.starts_with("HTTP/1.1 200") && unmarked.ends_with("stable"), "{unmarked}");
    let parent = format!("{}: {}", MARKED[0].0, MARKED[0].1);
    let state = format!("{}: {}", MARKED[1].0, MARKED[1].1);
    let marked = curl(&url, &["-H", &parent, "-H", &state]);
    assert!(marked.starts_with("HTTP/1.1 200") && marked.ends_with("hot-fix"), "{marked}");
    assert!(marked.contains(&format!("tracestate: patch-group={GROUP},patch-version={VERSION}")), "{marked}");
    assert!(marked.contains("server-timing: trace;desc=\"00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{marked}");
    let over_h2 = curl(&url, &["--http2-prior-knowledge", "-H", &parent, "-H", &state]);
    assert!(over_h2.starts_with("HTTP/2 200") && over_h2.ends_with("hot-fix"), "{over_h2}");

    gateway.signal("TERM");
    assert!(gateway.wait().success());
    let canary = canary.printed();
    assert!(canary.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{canary}");
    assert!(canary.contains(&format!("patch-group={GROUP}")) && canary.contains("th:0"), "{canary}");
    let normal = normal.printed();
    assert!(normal.contains("GET /") && !normal.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{normal}");
}

// A build without the feature has no such test, rather than one that passes without testing.
#[cfg(feature = "otlp-grpc")]
#[test]
fn spans_go_by_grpc_too() {
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    let collector = Rotel::start();
    let telemetry = format!("telemetry: {{ otlp: {{ endpoint: \"http://{}\", protocol: grpc }} }}", collector.grpc);
    let mut gateway = start(&config(stable.address, hot_fix.address, &telemetry));
    assert_eq!(client::get(gateway.address("web"), "/", MARKED).text(), "hot-fix");
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    assert!(collector.printed().contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{}", collector.printed());
}

#[test]
fn many_streams_of_a_real_h2_client_are_all_answered() {
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    let gateway = start(&config(stable.address, hot_fix.address, ""));
    let output = Command::new(tools::debian("h2load", "nghttp2-client"))
        .args(["-n", "4000", "-c", "4", "-m", "16"])
        .args(MARKED.iter().flat_map(|(name, value)| ["-H".to_owned(), format!("{name}: {value}")]))
        .arg(format!("http://{}/", gateway.address("web")))
        .output()
        .expect("h2load is a program of this machine");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{printed}");
    assert!(printed.contains("status codes: 4000 2xx"), "{printed}");
    assert_eq!((stable.requests(), hot_fix.requests()), (0, 4000));
    let finished = gateway.sum("patchgate_requests_finished_total", &[]);
    assert_eq!((finished, gateway.sum("patchgate_commits_total", &["attempt"])), (4000.0, 4000.0));
}

#[test]
fn the_spans_of_a_marked_request_tell_its_whole_story() {
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    let collector = Collector::start();
    let telemetry = format!("telemetry: {{ service_name: shop-gate, otlp: {{ endpoint: \"{}\" }} }}", collector.url());
    let mut gateway = start(&config(stable.address, hot_fix.address, &telemetry));
    let reply = client::get(gateway.address("web"), "/cart?token=secret", MARKED);
    assert_eq!(reply.status, 200);
    gateway.signal("TERM");
    assert!(gateway.wait().success());

    let spans = collector.spans();
    // The control plane's own spans are of other traces.
    let trace: Vec<_> = spans.iter().filter(|span| span.trace_id[0] == 0x4b).collect();
    let [server, client] = trace[..] else { panic!("{spans:#?}") };
    assert_eq!((server.kind, client.kind), (2, 3));
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(server.trace_state, format!("ot=th:0,patch-group={GROUP},patch-version={VERSION},vendor=1"));
    let about = attributes(server);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/cart"),
        ("patch.group", GROUP),
        ("patch.version", VERSION),
        ("patch.track", "canary"),
        ("patch.decision", "mark"),
        ("patch.sampling.reason", "mark"),
        ("patch.sampling.parent_sampled", "false"),
    ] {
        assert_eq!(about.get(key).map(String::as_str), Some(value), "{key} in {about:#?}");
    }
    assert!(!format!("{spans:?}").contains("secret"), "a query may hold secrets");
    assert!(spans.iter().any(|span| span.name == "start"), "the control plane has spans of its own");
}
