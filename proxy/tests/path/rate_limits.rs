//! How often a service may be asked, by everybody and by each client.

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::upstream::Upstream;

use super::{Running, service};

fn config(upstream: &Upstream, limit: &str) -> String {
    service(&[upstream.address], limit)
}

fn statuses(gateway: &Running, fields: &[(&str, &str)], times: usize) -> Vec<u16> {
    (0..times).map(|_| gateway.get("/", fields).status).collect()
}

#[test]
fn a_burst_is_served_and_what_is_over_it_is_429_with_a_time_to_come_back() {
    let upstream = Upstream::named("stable");
    let gateway = Running::start(&config(&upstream, "rate_limit: { requests: 1, per: 1h, burst: 3 }"));
    assert_eq!(statuses(&gateway, &[], 4), [200, 200, 200, 429]);
    let mut client = gateway.client();
    for _ in 0..2 {
        let reply = client.get("/", &[]).unwrap();
        assert_eq!(reply.status, 429);
        let seconds: u32 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((3_500..=3_600).contains(&seconds), "{seconds}");
        assert!(reply.text().contains("rate_limited") && !reply.closes(), "{reply:?}");
    }
    assert_eq!(upstream.requests(), 3);
    assert_eq!(gateway.count(Count::RateLimited, "service"), 3);
    assert_eq!(gateway.count(Count::Commits, "local"), 3);
}

#[test]
fn each_client_has_a_bucket_of_its_own() {
    let upstream = Upstream::named("stable");
    let limit = "rate_limit: { clients: { key: \"header:x-user\", requests: 1, per: 1h, burst: 2 } }";
    let gateway = Running::start(&config(&upstream, limit));
    for user in ["ann", "bob"] {
        assert_eq!(statuses(&gateway, &[("x-user", user)], 3), [200, 200, 429]);
    }
    // Whoever does not say who he is is one with all who do not.
    assert_eq!(statuses(&gateway, &[], 3), [200, 200, 429]);
    assert_eq!(gateway.count(Count::RateLimited, "client"), 3);
}

#[test]
fn who_asks_too_often_takes_nothing_from_the_others() {
    let upstream = Upstream::named("stable");
    let limit = "rate_limit: { requests: 1, per: 1h, burst: 4, \
                 clients: { key: \"header:x-user\", requests: 1, per: 1h, burst: 2 } }";
    let gateway = Running::start(&config(&upstream, limit));
    assert_eq!(statuses(&gateway, &[("x-user", "ann")], 5), [200, 200, 429, 429, 429]);
    assert_eq!(statuses(&gateway, &[("x-user", "bob")], 2), [200, 200]);
    assert_eq!(statuses(&gateway, &[("x-user", "eve")], 1), [429]);
    assert_eq!(gateway.count(Count::RateLimited, "service"), 1);
}

#[test]
fn clients_are_their_addresses_unless_something_else_is_said() {
    let upstream = Upstream::named("stable");
    let gateway = Running::start(&config(&upstream, "rate_limit: { clients: { requests: 1, per: 1h } }"));
    assert_eq!(statuses(&gateway, &[], 2), [200, 429]);
}

#[test]
fn a_bucket_stays_over_a_reload_for_as_long_as_its_policy_does() {
    let upstream = Upstream::named("stable");
    let limit = "rate_limit: { requests: 1, per: 1h }";
    let mut gateway = Running::start(&config(&upstream, limit));
    assert_eq!(statuses(&gateway, &[], 2), [200, 429]);
    gateway.apply(&config(&upstream, &format!("fallback: fail\n    {limit}")), 2);
    assert_eq!(statuses(&gateway, &[], 1), [429]);
    gateway.apply(&config(&upstream, "rate_limit: { requests: 2, per: 1h }"), 3);
    assert_eq!(statuses(&gateway, &[], 3), [200, 200, 429]);
}
