//! What a model and its rows become.

use super::*;
use crate::load::from_text;

const TWO_SERVICES: &str = r#"
listeners: [{ name: web, address: 127.0.0.1:0 }]
services:
  - { name: shop, routes: [{ path_prefix: /shop }], stable: { version: v1, endpoints: ["127.0.0.1:1"] }, max_exposure: 60% }
  - { name: cart, routes: [{}], stable: { version: v7, endpoints: ["127.0.0.1:2"], may_mark: false } }
rollouts:
  - { name: a, service: cart, version: v8, group: g, endpoints: ["127.0.0.1:3"], stages: [{ percent: 5 }, { percent: 50 }], assign: [{ percent: {} }] }
  - { name: b, service: shop, version: v2, group: g, endpoints: ["127.0.0.1:4"], stages: [{ percent: 40 }], assign: [{ percent: {} }] }
  - { name: c, service: shop, version: v3, group: h, endpoints: ["127.0.0.1:5"], stages: [{ percent: 50 }] }
  - { name: d, service: shop, version: v4, group: i, endpoints: ["127.0.0.1:6"], stages: [{ percent: 50 }], assign: [{ percent: {} }] }
  - { name: e, service: shop, version: v5, group: j, endpoints: ["127.0.0.1:7"], assign: [{ percent: {} }] }
"#;

fn model(text: &str) -> Arc<Model> {
    from_text("f.yaml", text, &|_| None).unwrap_or_else(|report| panic!("{report}")).model
}

fn snapshot() -> Snapshot {
    let model = model(TWO_SERVICES);
    compile(&model, &RolloutTable::from_model(&model), 7)
}

#[test]
fn ids_lead_to_what_they_name() {
    let snapshot = snapshot();
    assert_eq!(snapshot.revision, 7);
    for (index, service) in snapshot.services.iter().enumerate() {
        let stable = snapshot.backend(service.stable);
        assert_eq!(stable.service.0 as usize, index);
        assert_eq!(*stable.name, format!("{}/stable", service.name));
        assert_eq!(stable.group, None);
        for &id in &service.rollouts {
            let rollout = snapshot.rollout(id);
            let hotfix = snapshot.backend(rollout.backend);
            assert_eq!((rollout.service.0 as usize, hotfix.service.0 as usize), (index, index));
            assert_eq!((&hotfix.name, hotfix.group.as_ref()), (&rollout.name, Some(&rollout.group)));
        }
    }
    let cart = snapshot.routes.find("any", "/else").unwrap();
    assert_eq!(&*snapshot.service(cart.service.unwrap()).name, "cart");
    let shop = snapshot.routes.find("any", "/shop/1").unwrap();
    assert_eq!(&*snapshot.service(shop.service.unwrap()).name, "shop");
}

#[test]
fn a_service_keeps_its_rollouts_in_the_files_order() {
    let snapshot = snapshot();
    let names: Vec<&str> = snapshot.services[0].rollouts.iter().map(|&id| &*snapshot.rollout(id).name).collect();
    assert_eq!(names, ["b", "c", "d", "e"]);
}

#[test]
fn percent_rules_share_the_services_exposure_in_order() {
    let exposures: Vec<u32> = snapshot().rollouts.iter().map(|rollout| rollout.exposure.millionths()).collect();
    // a: its first stage; b: its own 40 %; c: no percent rule; d: the 20 % that b left of 60 %; e: no stage.
    assert_eq!(exposures, [50_000, 400_000, 0, 200_000, 0]);
}

/// Two sets and two rollouts of one patch; `shop` gives percent rules 60 %, `cart` all.
const SETS: &str = r#"
  - { name: a, group: g, stages: [{ percent: 30 }], assign: [{ percent: {} }], patches: [
      { service: cart, version: v8, endpoints: ["127.0.0.1:3"] }, { service: shop, version: v2, endpoints: ["127.0.0.1:4"] } ] }
  - { name: b, service: cart, version: v9, group: h, endpoints: ["127.0.0.1:5"], stages: [{ percent: 20 }], assign: [{ percent: {} }] }
  - { name: c, group: i, stages: [{ percent: 40 }], assign: [{ percent: {} }], patches: [
      { service: shop, version: v3, endpoints: ["127.0.0.1:6"] }, { service: cart, version: v10, endpoints: ["127.0.0.1:7"] } ] }
  - { name: d, service: cart, version: v11, group: j, endpoints: ["127.0.0.1:8"], stages: [{ percent: 90 }], assign: [{ percent: {} }] }
"#;

fn with_sets() -> Arc<Model> {
    let services = TWO_SERVICES.split_once("rollouts:").map_or("", |(services, _)| services);
    model(&format!("{services}rollouts:{SETS}"))
}

/// Backend and exposure of each rollout, in the snapshot's order.
fn granted(snapshot: &Snapshot) -> Vec<(&str, u32)> {
    let granted = snapshot.rollouts.iter();
    granted.map(|rollout| (&*snapshot.backend(rollout.backend).name, rollout.exposure.millionths() / 10_000)).collect()
}

#[test]
fn the_patches_of_a_set_are_granted_the_same_and_each_service_pays_for_it() {
    let model = with_sets();
    let snapshot = compile(&model, &RolloutTable::from_model(&model), 1);
    let expected = [
        ("a/cart", 30),
        ("a/shop", 30),
        ("b", 20),
        // Asks for 40 %; shop has 30 % left, cart 50 %.
        ("c/shop", 30),
        ("c/cart", 30),
        // Cart has given 30, 20 and 30 %.
        ("d", 20),
    ];
    assert_eq!(granted(&snapshot), expected);
    let names: Vec<&str> = snapshot.rollouts.iter().map(|rollout| &*rollout.name).collect();
    assert_eq!(names, ["a", "a", "b", "c", "c", "d"], "the salt is the rollout's");
}

#[test]
fn a_set_is_granted_what_the_services_at_hand_leave_and_keeps_its_names() {
    let model = with_sets();
    let mut table = RolloutTable::from_model(&model);
    // A gateway of another service of the set: shop is not here, and does not count.
    for row in table.rows.iter_mut().filter(|row| *row.service == *"shop") {
        row.service = "elsewhere".into();
    }
    let snapshot = compile(&model, &table, 1);
    assert_eq!(granted(&snapshot), [("a/cart", 30), ("b", 20), ("c/cart", 40), ("d", 10)]);
}

#[test]
fn rows_that_nothing_can_be_served_by_are_left_out() {
    let model = model(TWO_SERVICES);
    let mut table = RolloutTable::from_model(&model);
    let row = table.rows[0].clone();
    table.rows = vec![
        Row { service: "gone".into(), ..row.clone() },
        Row { endpoints: Vec::new(), ..row.clone() },
        row.clone(),
        Row { name: "later".into(), ..row.clone() },
        Row { group: "other".into(), ..row },
    ];
    let snapshot = compile(&model, &table, 1);
    assert_eq!(snapshot.rollouts.len(), 1);
    assert_eq!(&*snapshot.rollouts[0].name, "a");
    assert_eq!(snapshot.backends.len(), 3);
}

#[test]
fn the_same_file_has_the_same_digest_and_another_one_another() {
    assert_eq!(model(TWO_SERVICES).digest, model(TWO_SERVICES).digest);
    assert_ne!(model(TWO_SERVICES).digest, model(&format!("{TWO_SERVICES}\n")).digest);
    assert_eq!(snapshot().digest.len(), 32);
}
