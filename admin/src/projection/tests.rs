use patchgate_config::load;

use super::*;
use crate::rollout::{Command, Origin};

const FILE: &str = r#"
listeners: [{ name: web, address: 127.0.0.1:8080 }]
services:
  - { name: shop, routes: [{ path_prefix: / }], stable: { version: v1, endpoints: [127.0.0.1:9001] } }
  - { name: cart, routes: [{ path_prefix: /cart }], stable: { version: v1, endpoints: [127.0.0.1:9003] } }
rollouts:
  - name: fix
    group: g
    patches:
      - { service: shop, version: v2, endpoints: [127.0.0.1:9002], pin_version: true }
      - { service: cart, version: v3, endpoints: ["[::1]:9004"], may_mark: false }
    force_stable: [{ header: { name: X-Vip } }, { address: 10.0.0.0/8 }]
    assign:
      - cookie: { name: beta, equals: "1" }
      - query: { name: try }
      - percent: { key: "cookie:uid" }
    stages: [{ percent: 1.5%, hold: 5m }, { percent: 100% }]
    gates: { error_rate: { worse_by: 0.5% }, latency_p99: { ratio: 1.2 }, consistency: { at_least: 99.9% } }
    on_fail: freeze
    deadline: 3h
    approval: { above: 50% }
"#;

fn model(text: &str) -> std::sync::Arc<patchgate_config::model::Model> {
    load::from_text("test.yaml", text, &|_| None).unwrap_or_else(|report| panic!("{report:?}")).model
}

#[test]
fn a_configured_rollout_survives_the_log_unchanged() {
    let model = model(FILE);
    let declared = &model.rollouts[0];
    let plan = plan_of(declared);
    assert_eq!(model_of("fix", &plan, &plan.force_stable).unwrap(), *declared);
    let stored = serde_json::to_string(&plan).unwrap();
    assert!(!stored.contains('.') || !stored.contains("1.2"), "whole numbers only: {stored}");
    assert_eq!(serde_json::from_str::<crate::rollout::Plan>(&stored).unwrap(), plan);
}

#[test]
fn what_a_file_declares_is_imported_once_and_then_only_compared() {
    let first = model(FILE);
    let mut state = State::default();
    let orders = imports(&first, &state);
    let [order] = &orders[..] else { panic!("{orders:?}") };
    let Command::Create { origin, .. } = &order.command else { panic!("{order:?}") };
    assert_eq!(*origin, Origin::File { digest: first.digest.clone() });
    assert_eq!(drift(&first, &state).len(), 1, "declared, and not there");

    crate::controller::tests::apply(&mut state, order, 5_000);
    assert!(imports(&first, &state).is_empty());
    assert_eq!(drift(&first, &state), []);
    let table = table(&state);
    assert_eq!(table, RolloutTable::from_model(&first));

    let later = model(&FILE.replace("1.5%", "2%").replace("on_fail: freeze", "on_fail: rollback"));
    assert!(imports(&later, &state).is_empty(), "never applied silently");
    let [differs] = &drift(&later, &state)[..] else { panic!("one drift") };
    assert!(differs.what.contains("stages, gates"), "{differs:?}");

    let gone = model(FILE.split("rollouts:").next().unwrap());
    assert!(drift(&gone, &state)[0].what.contains("still live"));
}

#[test]
fn what_is_not_served_has_no_row() {
    let model = model(FILE);
    let mut state = State::default();
    let order = &imports(&model, &state)[0];
    crate::controller::tests::apply(&mut state, order, 5_000);
    let abort = crate::rollout::Order { command: Command::Abort, if_version: None, ..order.clone() };
    crate::controller::tests::apply(&mut state, &abort, 6_000);
    assert_eq!(table(&state), RolloutTable::default());
}
