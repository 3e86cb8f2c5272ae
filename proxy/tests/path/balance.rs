//! Which endpoint of several a request goes to, and which ones are left out.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::eventually;
use patchgate_testkit::upstream::{Upstream, named_answer};

use super::{Running, service};

fn config(endpoints: &[SocketAddr], more: &str) -> String {
    service(endpoints, more) + "telemetry: { sampling: { default: 0 } }\n"
}

fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}

#[test]
fn a_dead_endpoint_is_ejected_on_all_workers_and_stays_so_over_a_reload() {
    let live = Upstream::named("live");
    let config = config(&[dead(), live.address], "load_balancing: { policy: round_robin }");
    let mut gateway = Running::start(&config);
    for _ in 0..40 {
        assert_eq!(gateway.get("/", &[]).text(), "live");
    }
    eventually("the last to be counted", || (gateway.sum(Count::Attempts) == 45).then_some(()));
    assert_eq!((gateway.count(Count::Attempts, "failed"), gateway.sum(Count::Ejections)), (5, 1));
    let text = gateway.telemetry.metrics.encode().unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("patchgate_endpoint_ejected{")).collect();
    let shown = |end| lines.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!((shown("} 1"), shown("} 0")), (1, 1), "{lines:?}");
    gateway.apply(&config, 2);
    for _ in 0..40 {
        assert_eq!(gateway.get("/", &[]).text(), "live");
    }
    gateway.stop();
    assert_eq!((gateway.count(Count::Attempts, "failed"), gateway.sum(Count::Ejections)), (5, 1));
}

#[test]
fn an_ejected_endpoint_comes_back() {
    let live = Upstream::named("live");
    let address = dead();
    let more = "load_balancing: { policy: round_robin }\n    outlier_ejection: { consecutive_failures: 1, base: 20ms }";
    let gateway = Running::start(&config(&[address, live.address], more));
    eventually("an ejection", || {
        assert_eq!(gateway.get("/", &[]).text(), "live");
        (gateway.sum(Count::Ejections) > 0).then_some(())
    });
    let _back = Upstream::start_at(address, |_| named_answer("back"));
    eventually("its return", || (gateway.get("/", &[]).text() == "back").then_some(()));
}

#[test]
fn of_endpoints_that_all_fail_one_is_always_asked() {
    let bad = || Upstream::start(|_| Response::builder().status(503).body(Bytes::from_static(b"bad")).unwrap());
    let (one, other) = (bad(), bad());
    let more = "outlier_ejection: { consecutive_failures: 2, max_ejected: 100% }";
    let mut gateway = Running::start(&config(&[one.address, other.address], more));
    for _ in 0..30 {
        assert_eq!(gateway.get("/", &[]).text(), "bad");
    }
    gateway.stop();
    assert_eq!(gateway.sum(Count::Ejections), 1);
    assert_eq!(one.requests() + other.requests(), 30);
}

#[test]
fn a_slow_endpoint_gets_less_by_default() {
    let slow = Upstream::start(|_| {
        // Its slowness is what is measured.
        std::thread::park_timeout(Duration::from_millis(300));
        named_answer("slow")
    });
    let fast = Upstream::named("fast");
    let gateway = Running::start(&config(&[slow.address, fast.address], ""));
    let mut client = gateway.client();
    for _ in 0..100 {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    assert!(slow.requests() <= 30, "{} of 100", slow.requests());
    assert_eq!(slow.requests() + fast.requests(), 100);
}

#[test]
fn a_key_sticks_to_its_endpoint_on_every_worker() {
    let (a, b, c) = (Upstream::named("a"), Upstream::named("b"), Upstream::named("c"));
    let more = "load_balancing: { policy: consistent_hash, key: \"header:x-user\" }";
    let gateway = Running::start(&config(&[a.address, b.address, c.address], more));
    let mut used = HashSet::new();
    for user in 0..20 {
        let user = format!("user-{user}");
        let all: HashSet<_> = (0..6).map(|_| gateway.get("/", &[("x-user", &user)]).text()).collect();
        assert_eq!(all.len(), 1, "{user} was at {all:?}");
        used.extend(all);
    }
    assert!(used.len() > 1, "20 users are not all of one endpoint");
}
