//! The last decisions by trace id, with the names of the snapshot that they were taken by.

use std::time::{SystemTime, UNIX_EPOCH};

use patchgate_proxy::telemetry::recent::RecentDecision;
use patchgate_testkit::eventually;
use patchgate_testkit::upstream::Upstream;

use super::{MARKED, Running};

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;

/// As many records of the tests' trace as these; the last of a request is written when its client has the answer.
fn recent(gateway: &Running, count: usize) -> Vec<RecentDecision> {
    eventually("the record", || {
        let found = gateway.handle().recent(TRACE);
        (found.len() == count).then_some(found)
    })
}

#[test]
fn a_request_is_found_by_its_trace_with_all_that_was_decided() {
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("fix"));
    let gateway = Running::with(stable.address, hot_fix.address, "", "");
    let before = unix_millis();
    assert_eq!(gateway.get("/", MARKED).status, 200);
    let found = recent(&gateway, 1).remove(0);
    assert_eq!((found.trace_id.as_str(), found.revision), ("4bf92f3577b34da6a3ce929d0e0e4736", 1));
    assert_eq!((found.service.as_deref(), found.rollout.as_deref()), (Some("shop"), Some("fix")));
    assert_eq!((found.backend.as_deref(), found.served_by.as_deref()), (Some("fix"), Some("fix")));
    assert_eq!((found.track, found.reason, found.status), (Some("canary"), Some("mark"), Some(200)));
    assert!(found.sampled && !found.assigned);
    // A millisecond is lost to each rounding.
    assert!((before - 1..=unix_millis() + 1).contains(&found.unix_millis), "{}", found.unix_millis);
    assert!(gateway.handle().recent(TRACE + 1).is_empty());
}

#[test]
fn a_fallback_names_both_backends() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let stable = Upstream::named("stable");
    let gateway = Running::with(stable.address, dead, "", "");
    assert_eq!(gateway.get("/", MARKED).text(), "stable");
    let found = recent(&gateway, 1).remove(0);
    assert_eq!((found.backend.as_deref(), found.served_by.as_deref()), (Some("fix"), Some("shop/stable")));
    assert_eq!(found.track, Some("canary"));
}

#[test]
fn names_are_those_of_the_snapshot_that_served_as_long_as_it_is_kept() {
    let config = |name: &str, address| {
        format!(
            r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services: [{{ name: {name}, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["{address}"] }} }}]
"#
        )
    };
    let stable = Upstream::named("stable");
    let mut gateway = Running::start(&config("first", stable.address));
    let traced = &MARKED[..1];
    assert_eq!(gateway.get("/", traced).status, 200);
    recent(&gateway, 1);
    for revision in 2..=16 {
        gateway.apply(&config("later", stable.address), revision);
    }
    eventually("the new snapshot", || (gateway.handle().applied_revision() == 16).then_some(()));
    assert_eq!(gateway.get("/", traced).status, 200);
    let found = recent(&gateway, 2);
    let told: Vec<_> = found.iter().map(|found| (found.revision, found.service.as_deref())).collect();
    assert_eq!(told, [(16, Some("later")), (1, Some("first"))], "newest first");
    gateway.apply(&config("later", stable.address), 17);
    let told: Vec<_> = recent(&gateway, 2).into_iter().map(|found| (found.service, found.reason)).collect();
    assert_eq!(told, [(Some("later".to_owned()), Some("default")), (None, Some("default"))]);
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}
