//! Whose marks and traces are believed.

use bytes::Bytes;
use http::Response;
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::otlp::Collector;
use patchgate_testkit::upstream::{Seen, Upstream};

use super::{MARKED, Running};

fn tells(name: &'static str) -> Upstream {
    Upstream::start(move |seen: Seen| {
        let told =
            format!("{name}|{}|{}|{}", seen.header("traceparent"), seen.header("tracestate"), seen.header("baggage"));
        Response::new(Bytes::from(told))
    })
}

#[test]
fn a_strangers_mark_picks_no_backend_and_its_trace_is_only_linked() {
    let (stable, hot_fix, collector) = (tells("stable"), tells("hot-fix"), Collector::start());
    let telemetry =
        format!("telemetry: {{ sampling: {{ default: 1 }}, otlp: {{ endpoint: \"{}\" }} }}", collector.url());
    let mut gateway = Running::with(stable.address, hot_fix.address, "trust: { addresses: [] }", &telemetry);
    let got = gateway.get("/", MARKED).text();
    let parts: Vec<&str> = got.split('|').collect();
    assert_eq!(parts[0], "stable");
    assert!(!parts[1].contains("4bf92f3577b34da6a3ce929d0e0e4736"), "a new trace: {got}");
    assert_eq!(parts[2], "ot=th:0", "of the list nothing is left");
    gateway.stop();
    assert_eq!(gateway.count(Count::Marks, "untrusted"), 1);
    let spans = collector.spans();
    let server = spans.iter().find(|span| span.kind == 2).unwrap();
    assert!(server.parent_span_id.is_empty());
    assert_eq!(server.links[0].trace_id[..2], [0x4b, 0xf9]);
}

/// A folder with the key file that its path names.
fn key_file(digit: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("mark.key");
    std::fs::write(&path, digit.repeat(64) + "\n").unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn a_mark_that_an_edge_signed_is_believed_by_a_gateway_that_trusts_nobody() {
    let (stable, hot_fix) = (tells("stable"), tells("hot-fix"));
    let ((_one, key), (_other, other)) = (key_file("a"), key_file("b"));
    let inner = |key: &str| {
        let listener = format!("trust: {{ addresses: [], mark_key_files: [\"{key}\"] }}");
        Running::with(stable.address, hot_fix.address, &listener, "")
    };
    let (knows, strange) = (inner(&key), inner(&other));
    for (inner, wanted) in [(&knows, "hot-fix"), (&strange, "stable")] {
        let signs = format!("trace: {{ sign_marks: {{ key_file: \"{key}\" }} }}");
        let edge = Running::with(inner.address(), inner.address(), "", &signs);
        let got = edge.get("/", MARKED).text();
        let parts: Vec<&str> = got.split('|').collect();
        assert_eq!(parts[0], wanted, "{got}");
        let goes_on = wanted == "hot-fix";
        assert_eq!(parts[1].contains("4bf92f3577b34da6a3ce929d0e0e4736"), goes_on, "{got}");
        // The signature goes on, too: for whoever comes next.
        assert_eq!(parts[2].contains("patch-sig=1:"), goes_on, "{got}");
        // Without a mark nothing is signed.
        assert!(!edge.get("/", &[MARKED[0]]).text().contains("patch-sig"));
    }
    assert_eq!(knows.count(Count::Marks, "signed"), 1);
    assert_eq!(strange.count(Count::Marks, "bad_signature"), 1);
}

#[test]
fn a_trusted_mark_picks_the_hot_fix_and_is_sampled() {
    let (stable, hot_fix) = (tells("stable"), tells("hot-fix"));
    let gateway = Running::with(stable.address, hot_fix.address, "", "");
    let got = gateway.get("/", MARKED).text();
    let parts: Vec<&str> = got.split('|').collect();
    assert_eq!(parts[0], "hot-fix");
    assert!(parts[1].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && parts[1].ends_with("-01"), "{got}");
    assert!(!parts[1].contains("00f067aa0ba902b7"), "a parent id of our own");
    assert_eq!(parts[2], "ot=th:0,patch-group=lane,patch-version=v2");
}

#[test]
fn a_dotted_mark_is_read_and_handed_on_in_its_legal_form() {
    let (stable, hot_fix) = (tells("stable"), tells("hot-fix"));
    let gateway = Running::with(stable.address, hot_fix.address, "", "");
    let got = gateway.get("/", &[MARKED[0], ("tracestate", "a=1,patch.version=v2,patch.group=lane")]).text();
    assert!(got.starts_with("hot-fix|") && got.contains("|patch-group=lane,patch-version=v2,ot=th:0,a=1|"), "{got}");
}

#[test]
fn baggage_carries_a_mark_only_where_it_is_asked_to() {
    let (stable, hot_fix) = (tells("stable"), tells("hot-fix"));
    let baggage = [("baggage", "user=7,patch.group=lane,patch.version=v2")];
    let deaf = Running::with(stable.address, hot_fix.address, "", "");
    assert!(deaf.get("/", &baggage).text().starts_with("stable|"));
    let carriers = "trust: { carriers: [tracestate, baggage] }";
    let hears = Running::with(stable.address, hot_fix.address, carriers, "");
    let got = hears.get("/", &baggage).text();
    assert!(got.starts_with("hot-fix|") && got.contains("|patch-group=lane,patch-version=v2,ot=th:0|"), "{got}");
    let stranger = "trust: { addresses: [], carriers: [tracestate, baggage] }";
    let wary = Running::with(stable.address, hot_fix.address, stranger, "");
    let got = wary.get("/", &baggage).text();
    assert!(got.starts_with("stable|") && got.ends_with("|user=7"), "{got}");
}

#[test]
fn a_strangers_baggage_loses_its_mark_even_where_nobody_reads_it() {
    let (stable, hot_fix) = (tells("stable"), tells("hot-fix"));
    let gateway = Running::with(stable.address, hot_fix.address, "trust: { addresses: [] }", "");
    let got = gateway.get("/", &[("baggage", "user=7,patch.group=lane,patch.version=v2")]).text();
    assert!(got.ends_with("|user=7"), "{got}");
}
