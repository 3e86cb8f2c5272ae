//! A rollout that is written back is the rollout that was read, in JSON and in YAML.

mod common;

use std::time::Duration;

use patchgate_config::load::{from_text, rollout};
use patchgate_config::model::{Gates, OnFail, OnWithdraw, Patch, Rollout, Stage};
use patchgate_config::snapshot::{AssignRule, Exposure, RequestMatch, StickyKey};
use proptest::prelude::*;
use proptest::{collection, option};
use serde_json::json;

fn read_back(text: &str) -> Rollout {
    rollout("text", text, None, None).unwrap_or_else(|report| panic!("{text}\n{report}")).rollout
}

/// A file may have references to variables; here none has a value.
fn read_file(text: &str) -> Rollout {
    rollout("file", text, Some(&|_| None), None).unwrap_or_else(|report| panic!("{text}\n{report}")).rollout
}

/// Lengths of time that a text can have.
fn duration(least: u64) -> impl Strategy<Value = Duration> {
    const YEAR: u64 = 366 * 24 * 3600 * 1000;
    prop_oneof![least..=YEAR, least..=100_000, Just(3_600_000), Just(YEAR)].prop_map(Duration::from_millis)
}

fn exposure() -> impl Strategy<Value = Exposure> {
    prop_oneof![0..=1_000_000_u32, (0..=100_u32).prop_map(|percent| percent * 10_000)]
        .prop_map(Exposure::from_millionths)
}

fn share() -> impl Strategy<Value = f64> {
    (0..=1_000_000_u32).prop_map(|millionths| f64::from(millionths) / 1e6)
}

/// Any text, and those that YAML reads as something else where they stand without quotes.
fn text() -> impl Strategy<Value = String> {
    const TRAPS: &[&str] = &[
        "~", "null", "true", "1.10", "0x1", "- a", "a: b", "# c", "*a", "${HOME}", "$${", "$$${A}", "#${", " a ",
        "it's", "\"", "\\",
    ];
    // A long one is a candidate for several lines.
    prop_oneof!["\\PC{1,16}", "([a-z'\"#:]{1,9} |\\$\\{){20,40}", prop::sample::select(TRAPS).prop_map(str::to_owned)]
        .prop_filter("a value is some text without control characters", |text| {
            !text.is_empty() && !text.chars().any(char::is_control)
        })
}

fn request_match() -> impl Strategy<Value = RequestMatch> {
    let address = prop_oneof![
        (any::<[u8; 4]>(), 0..=32_u8).prop_map(|(address, bits)| ipnet::IpNet::new(address.into(), bits)),
        (any::<[u8; 16]>(), 0..=128_u8).prop_map(|(address, bits)| ipnet::IpNet::new(address.into(), bits)),
    ];
    prop_oneof![
        (header_name(), option::of(text())).prop_map(|(name, equals)| RequestMatch::Header(name, equals)),
        (cookie_name(), option::of(text())).prop_map(|(name, equals)| RequestMatch::Cookie(name, equals)),
        ("[!-~&&[^&=#]]{1,12}", option::of(text())).prop_map(|(name, equals)| RequestMatch::Query(name, equals)),
        address.prop_map(|range| RequestMatch::Address(range.expect("as many bits as there are").trunc())),
    ]
}

fn header_name() -> impl Strategy<Value = http::HeaderName> {
    "[a-z][a-z0-9-]{0,12}".prop_map(|name| name.parse().expect("a header's name"))
}

fn cookie_name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}"
}

fn assign_rule() -> impl Strategy<Value = AssignRule> {
    let key = prop_oneof![
        header_name().prop_map(StickyKey::Header),
        cookie_name().prop_map(StickyKey::Cookie),
        Just(StickyKey::ClientAddress),
        Just(StickyKey::Random),
    ];
    prop_oneof![request_match().prop_map(AssignRule::Match), key.prop_map(AssignRule::Percent)]
}

fn mark() -> impl Strategy<Value = String> {
    prop_oneof!["[A-Za-z0-9._+~/-]{1,96}", Just("1.10".to_owned()), Just("~".to_owned()), Just("null".to_owned())]
}

fn patches() -> impl Strategy<Value = Vec<Patch>> {
    let endpoint = (any::<std::net::IpAddr>(), 1..=u16::MAX).prop_map(std::net::SocketAddr::from);
    let patch = ("[A-Za-z0-9._-]{1,20}", mark(), collection::vec(endpoint, 1..4), any::<(bool, bool)>());
    let patch = patch.prop_map(|(service, version, endpoints, (pin_version, may_mark))| Patch {
        service: service.into(),
        version: version.into(),
        endpoints,
        pin_version,
        may_mark,
    });
    collection::vec(patch, 1..4).prop_map(|mut patches| {
        patches.sort_by(|a, b| a.service.cmp(&b.service));
        patches.dedup_by(|a, b| a.service == b.service);
        patches
    })
}

fn stages() -> impl Strategy<Value = Vec<Stage>> {
    let percents = collection::btree_set(exposure(), 0..5);
    (percents, collection::vec(option::of(duration(1)), 5)).prop_map(|(percents, holds)| {
        percents.into_iter().zip(holds).map(|(exposure, hold)| Stage { exposure, hold }).collect()
    })
}

fn any_rollout() -> impl Strategy<Value = Rollout> {
    let approval = option::of((0..1_000_000_u32).prop_map(Exposure::from_millionths));
    let on_withdraw = prop_oneof![Just(OnWithdraw::Finish), duration(0).prop_map(OnWithdraw::CutAfter)];
    let gates = (option::of(share()), option::of(1.0..=100.0_f64), option::of(share())).prop_map(
        |(error_rate_worse_by, latency_p99_ratio, consistency_at_least)| Gates {
            error_rate_worse_by,
            latency_p99_ratio,
            consistency_at_least,
        },
    );
    let rules = (collection::vec(request_match(), 0..3), collection::vec(assign_rule(), 0..4));
    let plan = (stages(), duration(1), approval, on_withdraw);
    let on_fail = prop_oneof![Just(OnFail::Rollback), Just(OnFail::Freeze)];
    ("[A-Za-z0-9._-]{1,20}", mark(), patches(), rules, plan, gates, on_fail).prop_map(
        |(name, group, patches, (force_stable, assign), plan, gates, on_fail)| {
            let (stages, deadline, approval_above, on_withdraw) = plan;
            Rollout {
                name: name.into(),
                group: group.into(),
                patches,
                force_stable,
                assign,
                stages,
                deadline,
                approval_above,
                on_withdraw,
                gates,
                on_fail,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_rollout_is_read_back_as_it_was(rollout in any_rollout()) {
        let value = rollout.to_value();
        for text in [value.to_string(), format!("{value:#}")] {
            let read = read_back(&text);
            prop_assert_eq!(&read, &rollout, "{}", text);
            prop_assert_eq!(read.to_value(), value.clone());
        }
        let file = rollout.to_yaml();
        let read = read_file(&file);
        prop_assert_eq!(&read, &rollout, "{}", file);
    }
}

#[test]
fn rollouts_of_files_are_read_back_as_they_were() {
    for path in common::fixtures("good") {
        let loaded =
            from_text("f.yaml", &common::read(&path), &common::env).unwrap_or_else(|report| panic!("{report}"));
        for rollout in loaded.model.rollouts.clone() {
            assert_eq!(read_back(&rollout.to_value().to_string()), rollout, "{}", path.display());
        }
    }
}

#[test]
fn it_is_written_as_people_write_it_with_every_default() {
    let text = "{ name: fix, service: shop, version: 1.10, group: canary, endpoints: [10.0.0.2:80], stages: [{ percent: 0.5, \
                hold: 90s }, { percent: 100 }], assign: [{ percent: {} }], approval: { above: 25 }, gates: { error_rate: { \
                worse_by: 1 } } }";
    let expected = json!({
        "name": "fix",
        "service": "shop",
        "version": "1.10",
        "group": "canary",
        "endpoints": ["10.0.0.2:80"],
        "pin_version": false,
        "may_mark": true,
        "assign": [{ "percent": { "key": "random" } }],
        "stages": [{ "percent": "0.5%", "hold": "1m30s" }, { "percent": "100%" }],
        "deadline": "7d",
        "approval": { "above": "25%" },
        "on_withdraw": "finish",
        "gates": { "error_rate": { "worse_by": "1%" } },
        "on_fail": "rollback",
    });
    assert_eq!(read_back(text).to_value(), expected);
}

#[test]
fn a_set_is_written_as_a_set_and_one_patch_in_short() {
    let patch =
        json!({ "service": "a", "version": "v", "endpoints": ["10.0.0.2:80"], "pin_version": true, "may_mark": true });
    let other =
        json!({ "service": "b", "version": "v", "endpoints": ["[::1]:80"], "pin_version": false, "may_mark": true });
    let set = read_back(&json!({ "name": "n", "group": "g", "patches": [patch, other] }).to_string()).to_value();
    assert_eq!(set["patches"], json!([patch, other]));
    assert!(set.get("service").is_none());
    let one = read_back(&json!({ "name": "n", "group": "g", "patches": [patch] }).to_string()).to_value();
    assert_eq!((&one["service"], &one["pin_version"]), (&json!("a"), &json!(true)));
    assert!(one.get("patches").is_none());
}
