//! What holds of every decision, and of the shares of many: total, sticky, monotone, independent, exact.
//!
//! The counts are of fixed keys, so they come out the same each time; their bounds are those of a fair draw.

#[path = "decide_world/mod.rs"]
mod world;

use http::{HeaderName, HeaderValue};
use patchgate_config::snapshot::{
    AssignRule, Exposure, RequestMatch, Rollout, RolloutId, ServiceId, Snapshot, StickyKey,
};
use patchgate_proxy::rollout::cohort::Bucket;
use patchgate_proxy::rollout::{Decision, Reason, Track};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use world::{CHECKOUT, Request, SEARCH, header, rollout, when, world};

const MILLION: u32 = 1_000_000;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2_048))]

    #[test]
    fn every_request_has_a_backend_of_its_service(rollouts in vec(rollouts(), 0..4), request in request()) {
        let snapshot = world(rollouts);
        let decision = request.decide(&snapshot);
        assert_sound(&snapshot, &request, &decision);
        prop_assert_eq!(request.decide(&snapshot), decision, "nothing else decides");
    }

    #[test]
    fn raising_the_percentage_takes_nobodys_canary_away(
        rollouts in vec(rollouts(), 1..3), raised in exposure(), request in request(),
    ) {
        // Where rules decide, which is where a percentage can say anything.
        let request = Request { service: CHECKOUT, mark: None, assign: true, ..request };
        let rules_only = |rollout| Rollout { service: CHECKOUT, force_stable: vec![], ..rollout };
        let mut snapshot = world(rollouts.into_iter().map(rules_only).collect());
        let was = request.decide(&snapshot);
        let exposure = &mut snapshot.rollouts[0].exposure;
        *exposure = raised.max(*exposure);
        let is = request.decide(&snapshot);
        if was.track == Track::Canary {
            prop_assert_eq!(is.track, Track::Canary);
            if was.rollout == Some(RolloutId(0)) {
                prop_assert_eq!(is.rollout, was.rollout);
            }
        }
    }

    #[test]
    fn a_mark_is_followed_whatever_the_percentages(
        rollouts in vec(rollouts(), 1..4), other in exposure(), request in request(), mark in ("[ghi]", "[vw]"),
    ) {
        let request = Request { mark: Some(mark), ..request };
        let mut snapshot = world(rollouts);
        let was = request.decide(&snapshot);
        snapshot.rollouts[0].exposure = other;
        prop_assert_eq!(request.decide(&snapshot), was);
    }

    #[test]
    fn a_user_is_where_the_key_says_whatever_else_the_request_is(
        user in "[ -~]{0,40}", exposure in exposure(), a in request(), b in request(),
    ) {
        let key = StickyKey::Header(HeaderName::from_static("x-user"));
        let snapshot = world(vec![percent("r", key, exposure)]);
        let tracks = [a, b].map(|request| {
            let mut request = Request { service: CHECKOUT, mark: None, assign: true, ..request };
            request.headers.insert("x-user", HeaderValue::from_str(&user).unwrap());
            request.decide(&snapshot).track
        });
        prop_assert_eq!(tracks[0], tracks[1]);
    }

    #[test]
    fn canary_and_control_are_disjoint_at_any_exposure(hash in any::<u64>(), exposure in exposure()) {
        let bucket = Bucket::from_hash(hash);
        prop_assert!(!(bucket.is_canary(exposure) && bucket.is_control(exposure)));
        prop_assert!(bucket.number() < MILLION);
    }
}

#[test]
fn control_has_as_many_buckets_as_canary_as_far_as_there_is_room() {
    for millionths in [0, 1, 10_000, 250_000, 499_999, 500_000, 500_001, 750_000, 999_999, MILLION] {
        let exposure = Exposure::from_millionths(millionths);
        let (mut canary, mut control) = (0, 0);
        for bucket in all_buckets() {
            canary += u32::from(bucket.is_canary(exposure));
            control += u32::from(bucket.is_control(exposure));
        }
        assert_eq!((canary, control), (millionths, millionths.min(MILLION - millionths)));
    }
}

#[test]
fn of_a_million_users_the_share_is_the_exposure() {
    for millionths in [10_000, 250_000] {
        let snapshot = world(vec![by_user("checkout-npe-fix", Exposure::from_millionths(millionths))]);
        let (mut canary, mut control) = (0, 0);
        for user in 0..MILLION {
            match decide_for(user, &snapshot).track {
                Track::Canary => canary += 1,
                Track::Control => control += 1,
                Track::Stable => {}
            }
        }
        assert_fair(canary, MILLION, millionths);
        assert_fair(control, MILLION, millionths);
    }
}

#[test]
fn stable_users_stay_stable_until_the_percentage_reaches_them() {
    let snapshots: Vec<Snapshot> = [0, 10_000, 50_000, 250_000, 1_000_000]
        .map(|millionths| world(vec![by_user("r", Exposure::from_millionths(millionths))]))
        .into();
    for user in 0..20_000 {
        let is_canary: Vec<bool> =
            snapshots.iter().map(|snapshot| decide_for(user, snapshot).track == Track::Canary).collect();
        assert!(is_canary.is_sorted(), "user {user}: {is_canary:?}");
        assert_eq!((is_canary[0], is_canary[4]), (false, true));
    }
}

#[test]
fn two_rollouts_choose_their_users_independently() {
    // Ten by ten tables of the same users in two rollouts.
    for (a, b) in [("checkout-npe-fix", "search-latency"), ("fix-1", "fix-2"), ("r", "s"), ("", "a")] {
        let mut counts = [[0_u32; 10]; 10];
        let users = 200_000;
        for user in 0..users {
            let tenth = |salt| (Bucket::of(salt, format!("user-{user}").as_bytes()).number() / 100_000) as usize;
            counts[tenth(a)][tenth(b)] += 1;
        }
        let expected = f64::from(users) / 100.0;
        let of = |count: u32| (f64::from(count) - expected).powi(2) / expected;
        let chi_square: f64 = counts.iter().flatten().copied().map(of).sum();
        // A fair draw of 99 degrees (the margins are not fitted) exceeds 160 about once in 10,000 times; one whose
        // rollouts shared their users would be in the hundreds of thousands.
        assert!(chi_square < 160.0, "{a} and {b}: {chi_square}");
    }
}

#[test]
fn one_users_rollouts_share_no_more_than_chance() {
    let snapshot = world(vec![
        by_user("first", Exposure::from_millionths(300_000)),
        Rollout { service: SEARCH, ..by_user("second", Exposure::from_millionths(250_000)) },
    ]);
    let users = 100_000;
    let both = (0..users)
        .filter(|&user| {
            let at = |service| decide_at(service, user, &snapshot).track == Track::Canary;
            at(CHECKOUT) && at(SEARCH)
        })
        .count();
    assert_fair(both as u32, users, 75_000);
}

/// Within four standard deviations of the binomial distribution.
fn assert_fair(found: u32, of: u32, millionths: u32) {
    let share = f64::from(millionths) / f64::from(MILLION);
    let expected = f64::from(of) * share;
    let deviation = (expected * (1.0 - share)).sqrt();
    assert!((f64::from(found) - expected).abs() < 4.0 * deviation, "{found} of {of} at {share}");
}

fn assert_sound(snapshot: &Snapshot, request: &Request, decision: &Decision) {
    let service = snapshot.service(request.service);
    assert_eq!(snapshot.backend(decision.backend).service, request.service);
    let rollout = decision.rollout.map(|id| {
        assert!(service.rollouts.contains(&id));
        snapshot.rollout(id)
    });
    match (decision.track, rollout) {
        (Track::Canary, Some(rollout)) => assert_eq!(decision.backend, rollout.backend),
        (Track::Canary, None) => panic!("a canary of no rollout"),
        (Track::Stable | Track::Control, _) => assert_eq!(decision.backend, service.stable),
    }
    assert_eq!(decision.track == Track::Control, decision.reason == Reason::Control);
    assert_eq!(decision.assigned, decision.track == Track::Canary && decision.reason != Reason::Mark);
    assert!(request.assign || !(decision.assigned || decision.track == Track::Control));
    assert!(request.mark.is_none() || !(decision.assigned || decision.track == Track::Control));
}

/// One hash for each bucket.
fn all_buckets() -> impl Iterator<Item = Bucket> {
    (0..u64::from(MILLION)).map(|number| {
        let bucket = Bucket::from_hash((number << 32).div_ceil(u64::from(MILLION)) << 32);
        assert_eq!(u64::from(bucket.number()), number);
        bucket
    })
}

fn percent(name: &str, key: StickyKey, exposure: Exposure) -> Rollout {
    Rollout { assign: vec![AssignRule::Percent(key)], exposure, ..rollout(name, CHECKOUT, "g", "v") }
}

fn by_user(name: &str, exposure: Exposure) -> Rollout {
    percent(name, StickyKey::Cookie("uid".into()), exposure)
}

fn decide_for(user: u32, snapshot: &Snapshot) -> Decision {
    decide_at(CHECKOUT, user, snapshot)
}

fn decide_at(service: ServiceId, user: u32, snapshot: &Snapshot) -> Decision {
    Request { service, ..Request::new() }.header("cookie", &format!("uid=user-{user}")).decide(snapshot)
}

// What is tried: few names and values, so that requests and rules meet.

fn exposure() -> impl Strategy<Value = Exposure> {
    prop_oneof![0..=MILLION, Just(0), Just(500_000), Just(MILLION)].prop_map(Exposure::from_millionths)
}

fn services() -> impl Strategy<Value = ServiceId> {
    prop_oneof![3 => Just(CHECKOUT), 1 => Just(SEARCH)]
}

fn rollouts() -> impl Strategy<Value = Rollout> {
    let names = ("[rst]", services(), "[gh]", "[vw]");
    (names, any::<bool>(), vec(condition(), 0..2), vec(rule(), 0..4), exposure()).prop_map(
        |((name, service, group, version), pin_version, force_stable, assign, exposure)| Rollout {
            pin_version,
            force_stable,
            assign,
            exposure,
            ..rollout(&name, service, &group, &version)
        },
    )
}

fn rule() -> impl Strategy<Value = AssignRule> {
    prop_oneof![
        condition().prop_map(when),
        prop_oneof![
            Just(StickyKey::Header(HeaderName::from_static("x-a"))),
            Just(StickyKey::Cookie("a".into())),
            Just(StickyKey::ClientAddress),
            Just(StickyKey::Random),
        ]
        .prop_map(AssignRule::Percent),
    ]
}

fn condition() -> impl Strategy<Value = RequestMatch> {
    let wanted = || option::of("[01]");
    prop_oneof![
        wanted().prop_map(|wanted| header("x-a", wanted.as_deref())),
        ("[ab]", wanted()).prop_map(|(name, wanted)| RequestMatch::Cookie(name, wanted)),
        ("[ab]", wanted()).prop_map(|(name, wanted)| RequestMatch::Query(name, wanted)),
        prop_oneof![Just("10.0.0.0/30"), Just("::/0"), Just("10.0.0.1/32")]
            .prop_map(|range| RequestMatch::Address(range.parse().expect("a range"))),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let field = prop_oneof![
        ("[01]").prop_map(|value| ("x-a", value.into_bytes())),
        "([ab]=[01]|[ab]|;|=| ){1,4}".prop_map(|value| ("cookie", value.into_bytes())),
        vec(any::<u8>(), 0..8).prop_map(|value| ("cookie", value)),
    ];
    let client = prop_oneof![
        (0..6_u8).prop_map(|host| [10, 0, 0, host].into()),
        any::<u128>().prop_map(|bits| std::net::Ipv6Addr::from(bits).into()),
    ];
    let query = option::of("([ab]=[01]|[ab]|&|=|%41){0,4}");
    (services(), option::of(("[ghi]", "[vw]")), any::<bool>(), vec(field, 0..3), query, client, any::<u64>()).prop_map(
        |(service, mark, assign, fields, query, client, random)| {
            let mut request = Request { service, mark, assign, query, client, random, ..Request::new() };
            for (name, value) in fields {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    request.headers.append(name, value);
                }
            }
            request
        },
    )
}
