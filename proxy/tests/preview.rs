//! What a change of exposure is said to do to the traffic of the last minutes.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

use patchgate_config::compile;
use patchgate_config::load::from_text;
use patchgate_config::rollout_table::RolloutTable;
use patchgate_config::snapshot::Snapshot;
use patchgate_proxy::preview::{Effect, preview};
use patchgate_proxy::rollout::Reason;
use patchgate_proxy::telemetry::traffic::{Rate, Rates, Sums};

/// Two services, and these rollouts.
fn snapshot(rollouts: &str) -> Snapshot {
    let config = format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - {{ name: shop, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["127.0.0.1:9001"] }} }}
  - {{ name: search, routes: [{{ path_prefix: /s }}], stable: {{ version: v1, endpoints: ["127.0.0.1:9002"] }} }}
rollouts: [{rollouts}]
"#
    );
    let loaded = from_text("test.yaml", &config, &|_| None).unwrap_or_else(|error| panic!("{error}"));
    compile(&loaded.model, &RolloutTable::from_model(&loaded.model), 1)
}

fn rollout(name: &str, percent: u32) -> String {
    format!(
        r#"{{ name: {name}, service: shop, version: v2, group: {name}, endpoints: ["127.0.0.1:9003"],
             assign: [{{ percent: {{}} }}], stages: [{{ percent: {percent} }}] }}"#
    )
}

/// `counts` requests of `backend` by reason.
fn rate(service: &str, backend: &str, track: &'static str, counts: &[(Reason, u64)]) -> Rate {
    let mut sums = Sums::default();
    for &(reason, count) in counts {
        sums.reasons.0[reason as usize] = count;
        sums.requests += count;
    }
    let (group, version) = (String::new(), String::new());
    Rate {
        service: service.into(),
        backend: backend.into(),
        track,
        group,
        version,
        sums,
        per_second: 0.0,
        error_ratio: 0.0,
        p50: 0.0,
        p99: 0.0,
    }
}

/// 1,000 requests of shop while `fix` has 10 %: 80 by percentage, 20 marked, 80 control, 720 default, 100 forced.
fn recent() -> Rates {
    let rows = vec![
        rate("shop", "fix", "canary", &[(Reason::Percent, 80), (Reason::Mark, 20)]),
        rate("shop", "shop/stable", "control", &[(Reason::Control, 80)]),
        rate("shop", "shop/stable", "stable", &[(Reason::Default, 720), (Reason::ForceStable, 100)]),
        rate("search", "search/stable", "stable", &[(Reason::Default, 9_000)]),
    ];
    Rates { seconds: 300.0, rows }
}

fn effects(now: &str, next: &str) -> Vec<Effect> {
    let told = preview(&snapshot(now), &snapshot(next), &recent());
    assert!((told.seconds - 300.0).abs() < f64::EPSILON);
    told.effects
}

/// Canary before and after, and what moves.
fn assert_shares(effect: &Effect, expected: [f64; 3]) {
    let found = [effect.canary_now, effect.canary_next, effect.moves];
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9), "{effect:?}");
}

#[test]
fn raising_moves_its_share_of_those_whom_percentages_choose() {
    let effects = effects(&rollout("fix", 10), &rollout("fix", 25));
    let [effect] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((effect.rollout.as_str(), effect.service.as_str(), effect.requests), ("fix", "shop", 1_000));
    assert!((effect.exposure_now - 0.10).abs() < 1e-9 && (effect.exposure_next - 0.25).abs() < 1e-9);
    // 880 of 1,000 were chosen among, and 15 % more of them are given the patch.
    assert_shares(effect, [0.1, 0.1 + 0.132, 0.132]);
}

#[test]
fn lowering_moves_them_back() {
    let effects = effects(&rollout("fix", 10), &rollout("fix", 5));
    assert_shares(&effects[0], [0.1, 0.1 - 0.044, 0.044]);
}

#[test]
fn nothing_moves_where_nothing_changes() {
    let effects = effects(&rollout("fix", 10), &rollout("fix", 10));
    assert_shares(&effects[0], [0.1, 0.1, 0.0]);
}

#[test]
fn a_withdrawal_moves_all_that_are_on_the_patch_marked_or_chosen() {
    let effects = effects(&rollout("fix", 10), "");
    assert_shares(&effects[0], [0.1, 0.0, 0.1]);
}

#[test]
fn a_new_rollout_takes_its_share_of_those_whom_percentages_choose() {
    let effects = effects(&rollout("fix", 10), &format!("{}, {}", rollout("fix", 10), rollout("new", 50)));
    assert_eq!(effects.len(), 2);
    assert_eq!(effects[1].rollout, "new");
    assert_shares(&effects[1], [0.0, 0.44, 0.44]);
}

#[test]
fn without_traffic_there_is_nothing_to_tell() {
    let none = Rates { seconds: 0.0, rows: vec![] };
    let told = preview(&snapshot(&rollout("fix", 10)), &snapshot(&rollout("fix", 25)), &none);
    assert_eq!(told.effects[0].requests, 0);
    assert_shares(&told.effects[0], [0.0, 0.0, 0.0]);
}
