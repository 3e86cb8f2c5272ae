//! Who may reach the admin API, and what it has if nothing is said.

use std::path::PathBuf;

use patchgate_config::load::from_text;
use patchgate_config::model::{Admin, AdminLimits, Auth, Model, Store};

const REST: &str = r#"
listeners: [{ name: web, address: 127.0.0.1:0 }]
services: [{ name: shop, routes: [{}], stable: { version: v1, endpoints: ["127.0.0.1:9001"] } }]
"#;

/// The model with this `admin`, or rule and path of each error.
fn with(admin: &str) -> Result<std::sync::Arc<Model>, Vec<(&'static str, String)>> {
    match from_text("f.yaml", &format!("{REST}admin: {admin}\n"), &|_| None) {
        Ok(loaded) => {
            assert_eq!(loaded.report.diagnostics, [], "{admin}");
            Ok(loaded.model)
        }
        Err(report) => Err(report.diagnostics.into_iter().map(|found| (found.rule.id, found.path)).collect()),
    }
}

fn admin(text: &str) -> Admin {
    let model = with(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    model.admin.clone().expect("the section is written")
}

fn refused(admin: &str, rule: &str, path: &str) {
    assert_eq!(with(admin).expect_err(admin), [(rule, path.to_owned())], "{admin}");
}

#[test]
fn an_empty_section_has_every_default_and_none_is_none() {
    assert_eq!(admin("{}"), Admin::default());
    let model = from_text("f.yaml", REST, &|_| None).unwrap_or_else(|report| panic!("{report}")).model;
    assert_eq!(model.admin, None);
}

#[test]
fn it_is_as_it_is_written() {
    let written = admin(
        "{ address: 10.0.0.1:9911, store: { file: /data }, auth: tokens, tokens: /etc/tokens.json, require_reason: true,
           verify_every: 1h, limits: { body_bytes: 64KiB, requests_per_second: 5, watchers: 10 } }",
    );
    let expected = Admin {
        address: ([10, 0, 0, 1], 9911).into(),
        store: Store::File("/data".into()),
        auth: Auth::Tokens("/etc/tokens.json".into()),
        require_reason: true,
        verify_every: std::time::Duration::from_secs(3600),
        limits: AdminLimits { body_bytes: 64 << 10, requests_per_second: 5, watchers: 10 },
    };
    assert_eq!(written, expected);
}

#[test]
fn tokens_are_asked_for_where_they_are_named_and_lie_beside_the_log() {
    let tokens = |path: &str| Auth::Tokens(PathBuf::from(path));
    assert_eq!(admin("{ tokens: t.json }").auth, tokens("t.json"));
    assert_eq!(admin("{ auth: tokens }").auth, tokens("./patchgate-data/tokens.json"));
    assert_eq!(admin("{ auth: tokens, store: { file: /data } }").auth, tokens("/data/tokens.json"));
    assert_eq!(admin("{ auth: none }").auth, Auth::None);
}

#[test]
fn an_address_that_others_reach_needs_authentication() {
    for address in
        ["0.0.0.0:9901", "10.0.0.1:9901", "\"[::]:9901\"", "\"[2001:db8::1]:9901\"", "\"[::ffff:10.0.0.1]:9901\""]
    {
        refused(&format!("{{ address: {address} }}"), "admin-for-everyone", "admin.address");
        refused(&format!("{{ address: {address}, auth: none }}"), "admin-for-everyone", "admin.auth");
        for known in ["auth: tokens", "tokens: t.json"] {
            assert!(matches!(admin(&format!("{{ address: {address}, {known} }}")).auth, Auth::Tokens(_)));
        }
    }
    for address in ["127.0.0.1:9901", "127.1.2.3:9901", "\"[::1]:9901\"", "\"[::ffff:127.0.0.1]:9901\""] {
        assert_eq!(admin(&format!("{{ address: {address} }}")).auth, Auth::None, "{address}");
    }
    // What is meant to know callers is told of for what it is alone.
    refused("{ address: 0.0.0.0:9901, auth: token }", "invalid-value", "admin.auth");
    refused("{ address: 0.0.0.0:9901, tokens: [t.json] }", "wrong-type", "admin.tokens");
}

#[test]
fn to_know_nobody_and_to_name_tokens_is_a_contradiction() {
    refused("{ auth: none, tokens: t.json }", "exclusive-fields", "admin.auth");
}

#[test]
fn a_store_of_another_version_is_refused_and_not_replaced() {
    refused("{ store: { jetstream: { url: nats://n:4222, stream: s } } }", "not-available", "admin.store");
    refused("{ store: { jetstream: null } }", "not-available", "admin.store");
    refused("{ store: { jetstreem: {} } }", "invalid-value", "admin.store.jetstreem");
}

#[test]
fn the_default_address_is_taken_like_one_that_is_written() {
    let text = REST.replace("127.0.0.1:0", "127.0.0.1:9901");
    let errors = |admin: &str| match from_text("f.yaml", &format!("{text}{admin}"), &|_| None) {
        Ok(_) => Vec::new(),
        Err(report) => report.diagnostics.iter().map(|found| found.rule.id).collect(),
    };
    assert_eq!(errors("admin: {}\n"), ["address-in-use"]);
    assert!(errors("").is_empty());
}
