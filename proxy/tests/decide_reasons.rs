//! Every reason of the decision, in the order in which it asks for them.

#[path = "decide_world/mod.rs"]
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;

use patchgate_config::snapshot::{AssignRule, Exposure, RequestMatch, Rollout, Snapshot, StickyKey};
use patchgate_proxy::rollout::{Reason, Track};
use world::{CHECKOUT, MIDDLE, Request, SEARCH, header, rollout, when, world};

/// What is said of a request, and where it has to go: track, backend, rollout, reason, whether it is marked here.
type Case = (&'static str, Request, Track, &'static str, Option<&'static str>, Reason, bool);

fn snapshot() -> Snapshot {
    let first = Rollout {
        force_stable: vec![header("x-tenant", Some("frozen")), RequestMatch::Cookie("frozen".into(), None)],
        assign: vec![
            when(header("x-beta", Some("1"))),
            when(RequestMatch::Cookie("beta".into(), Some("yes".into()))),
            when(RequestMatch::Query("beta".into(), None)),
            when(RequestMatch::Address("10.1.0.0/16".parse().expect("a range"))),
            AssignRule::Percent(StickyKey::Random),
            when(header("x-late", None)),
        ],
        exposure: Exposure::from_millionths(100_000),
        ..rollout("first", CHECKOUT, "lane-a", "v1")
    };
    let second = Rollout {
        pin_version: true,
        force_stable: vec![header("x-tenant", Some("frozen-too"))],
        assign: vec![when(header("x-second", Some("1")))],
        ..rollout("second", CHECKOUT, "lane-b", "v2")
    };
    world(vec![first, second, rollout("elsewhere", SEARCH, "lane-c", "v3")])
}

fn request() -> Request {
    Request::new()
}

fn marked(group: &str, version: &str) -> Request {
    Request { mark: Some((group.to_owned(), version.to_owned())), ..request() }
}

fn beta() -> Request {
    request().header("x-beta", "1")
}

fn from(client: &str) -> Request {
    Request { client: client.parse::<IpAddr>().expect("an address"), ..request() }
}

fn query(query: &str) -> Request {
    Request { query: Some(query.to_owned()), ..request() }
}

fn drawn(random: u64) -> Request {
    Request { random, ..request() }
}

/// No edge: rules assign nothing here.
fn inside(request: Request) -> Request {
    Request { assign: false, ..request }
}

const STABLE: &str = "checkout/stable";
const FIRST: Option<&str> = Some("first");
const SECOND: Option<&str> = Some("second");

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    use Track::{Canary, Control, Stable};
    vec![
        // 1. The kill switch of the rollout that would decide.
        ("forced, though marked", marked("lane-a", "v1").header("x-tenant", "frozen"), Stable, STABLE, FIRST, Reason::ForceStable, false),
        ("forced inside, too", inside(marked("lane-a", "v1").header("cookie", "frozen=")), Stable, STABLE, FIRST, Reason::ForceStable, false),
        ("forced, though a rule fits", beta().header("x-tenant", "frozen"), Stable, STABLE, FIRST, Reason::ForceStable, false),
        ("forced, though drawn", drawn(0).header("x-tenant", "frozen"), Stable, STABLE, FIRST, Reason::ForceStable, false),
        ("forced by one of two values", request().header("x-tenant", "free").header("x-tenant", "frozen"), Stable, STABLE, FIRST, Reason::ForceStable, false),
        ("forced by the next rollout", request().header("x-tenant", "frozen-too"), Stable, STABLE, SECOND, Reason::ForceStable, false),
        ("forced by the next, the first assigns", beta().header("x-tenant", "frozen-too"), Canary, "first", FIRST, Reason::RuleHeader, true),
        ("forced by another than the mark's", marked("lane-a", "v1").header("x-tenant", "frozen-too"), Canary, "first", FIRST, Reason::Mark, false),
        ("unmarked inside there is nothing to force", inside(request().header("x-tenant", "frozen")), Stable, STABLE, None, Reason::Default, false),

        // 2. The mark.
        ("marked", marked("lane-a", "v1"), Canary, "first", FIRST, Reason::Mark, false),
        ("marked inside", inside(marked("lane-a", "v1")), Canary, "first", FIRST, Reason::Mark, false),
        ("marked with another version, not pinned", marked("lane-a", "v9"), Canary, "first", FIRST, Reason::Mark, false),
        ("marked with the pinned version", marked("lane-b", "v2"), Canary, "second", SECOND, Reason::Mark, false),
        ("marked with another than the pinned version", marked("lane-b", "v9"), Stable, STABLE, SECOND, Reason::MarkVersionPinned, false),
        ("pinned to a longer version", marked("lane-b", "v2.1"), Stable, STABLE, SECOND, Reason::MarkVersionPinned, false),
        ("forced before pinned", marked("lane-b", "v9").header("x-tenant", "frozen-too"), Stable, STABLE, SECOND, Reason::ForceStable, false),
        ("marked for another service", marked("lane-c", "v3"), Stable, STABLE, None, Reason::MarkOfAnotherService, false),
        ("marked for nobody", marked("lane-x", "v1"), Stable, STABLE, None, Reason::MarkOfAnotherService, false),
        ("groups are equal in case", marked("Lane-a", "v1"), Stable, STABLE, None, Reason::MarkOfAnotherService, false),
        ("marked for another service, a rule fits", marked("lane-c", "v3").header("x-beta", "1"), Stable, STABLE, None, Reason::MarkOfAnotherService, false),
        ("marked for another service, drawn", Request { random: 0, ..marked("lane-c", "v3") }, Stable, STABLE, None, Reason::MarkOfAnotherService, false),
        ("marked for the second, a rule of the first fits", marked("lane-b", "v2").header("x-beta", "1"), Canary, "second", SECOND, Reason::Mark, false),
        ("marked at the other service", Request { service: SEARCH, ..marked("lane-c", "v0") }, Canary, "elsewhere", Some("elsewhere"), Reason::Mark, false),

        // 3. The rules of an edge, in order.
        ("a header", beta(), Canary, "first", FIRST, Reason::RuleHeader, true),
        ("a header of another value", request().header("x-beta", "11"), Stable, STABLE, None, Reason::Default, false),
        ("one header of several", request().header("x-beta", "0").header("x-beta", "1"), Canary, "first", FIRST, Reason::RuleHeader, true),
        ("a header, but inside", inside(beta()), Stable, STABLE, None, Reason::Default, false),
        ("a cookie", request().header("cookie", "a=b; beta=yes"), Canary, "first", FIRST, Reason::RuleCookie, true),
        ("a cookie in a second line", request().header("cookie", "a=b").header("cookie", "beta=yes"), Canary, "first", FIRST, Reason::RuleCookie, true),
        ("a cookie of another value", request().header("cookie", "beta=no"), Stable, STABLE, None, Reason::Default, false),
        ("a cookie of a longer name", request().header("cookie", "beta2=yes; xbeta=yes"), Stable, STABLE, None, Reason::Default, false),
        ("a query", query("a=1&beta=0"), Canary, "first", FIRST, Reason::RuleQuery, true),
        ("a query without a value", query("beta"), Canary, "first", FIRST, Reason::RuleQuery, true),
        ("a query of a longer name", query("beta2=1&a=beta"), Stable, STABLE, None, Reason::Default, false),
        ("an address", from("10.1.2.3"), Canary, "first", FIRST, Reason::RuleAddress, true),
        ("an address written in IPv6", from("::ffff:10.1.2.3"), Canary, "first", FIRST, Reason::RuleAddress, true),
        ("an address outside", from("10.2.0.1"), Stable, STABLE, None, Reason::Default, false),
        ("two rules fit: the first in order is the reason", from("10.1.2.3").header("x-beta", "1"), Canary, "first", FIRST, Reason::RuleHeader, true),
        ("a rule before the percentage", Request { random: 0, ..beta() }, Canary, "first", FIRST, Reason::RuleHeader, true),
        ("a rule behind the percentage", request().header("x-late", ""), Canary, "first", FIRST, Reason::RuleHeader, true),
        ("the percentage before a rule", drawn(0).header("x-late", ""), Canary, "first", FIRST, Reason::Percent, true),
        ("the percentage", drawn(0), Canary, "first", FIRST, Reason::Percent, true),
        ("the percentage, but inside", inside(drawn(0)), Stable, STABLE, None, Reason::Default, false),
        ("a rule of the second", request().header("x-second", "1"), Canary, "second", SECOND, Reason::RuleHeader, true),
        ("the first before the second", beta().header("x-second", "1"), Canary, "first", FIRST, Reason::RuleHeader, true),

        // 4. Control.
        ("control", drawn(u64::MAX), Control, STABLE, FIRST, Reason::Control, false),
        ("control of the first, canary of the second", drawn(u64::MAX).header("x-second", "1"), Canary, "second", SECOND, Reason::RuleHeader, true),
        ("control, but a rule behind the percentage fits", drawn(u64::MAX).header("x-late", ""), Canary, "first", FIRST, Reason::RuleHeader, true),
        ("control of the first, forced by the second", drawn(u64::MAX).header("x-tenant", "frozen-too"), Stable, STABLE, SECOND, Reason::ForceStable, false),
        ("control, but inside", inside(drawn(u64::MAX)), Stable, STABLE, None, Reason::Default, false),

        // 5. Otherwise.
        ("otherwise", drawn(MIDDLE), Stable, STABLE, None, Reason::Default, false),
        ("a service whose rollout assigns nothing", Request { service: SEARCH, ..beta() }, Stable, "search/stable", None, Reason::Default, false),
    ]
}

#[test]
fn every_reason_is_given_in_the_order_of_the_design() {
    let snapshot = snapshot();
    for (says, request, track, backend, rollout, reason, assigned) in cases() {
        let found = request.decide(&snapshot);
        let backend_name = &*snapshot.backend(found.backend).name;
        let rollout_name = found.rollout.map(|id| &*snapshot.rollout(id).name);
        assert_eq!(
            (found.track, backend_name, rollout_name, found.reason, found.assigned),
            (track, backend, rollout, reason, assigned),
            "{says}"
        );
    }
}

#[test]
fn every_reason_occurs_and_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = cases().iter().map(|case| case.5.as_str()).collect();
    assert_eq!(names, Reason::ALL.iter().map(|reason| reason.as_str()).collect());
    assert_eq!(names.len(), Reason::ALL.len());
}

#[test]
fn all_reasons_are_in_the_order_of_their_index() {
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index, "{reason:?}");
    }
}

#[test]
fn a_percentage_without_its_key_is_drawn() {
    let keys = [StickyKey::Cookie("uid".into()), StickyKey::Header("x-user".parse().unwrap()), StickyKey::Random];
    for key in keys {
        let half = Exposure::from_millionths(500_000);
        let assign = vec![AssignRule::Percent(key.clone())];
        let snapshot = world(vec![Rollout { assign, exposure: half, ..rollout("r", CHECKOUT, "g", "v") }]);
        let track = |random| drawn(random).header("cookie", "other=1").decide(&snapshot).track;
        assert_eq!(
            [track(0), track(MIDDLE - 1), track(MIDDLE)],
            [Track::Canary, Track::Canary, Track::Control],
            "{key:?}"
        );
    }
}

#[test]
fn an_address_is_the_same_key_in_both_ways_of_writing_it() {
    let assign = vec![AssignRule::Percent(StickyKey::ClientAddress)];
    let half = Exposure::from_millionths(500_000);
    let snapshot = world(vec![Rollout { assign, exposure: half, ..rollout("r", CHECKOUT, "g", "v") }]);
    let tracks = |prefix: &str| -> Vec<Track> {
        (0..64).map(|host| from(&format!("{prefix}192.0.2.{host}")).decide(&snapshot).track).collect()
    };
    assert_eq!(tracks(""), tracks("::ffff:"));
    assert!(tracks("").contains(&Track::Canary) && tracks("").contains(&Track::Control));
}
