//! Rollouts by themselves, as `rollout create` and the admin API are given them.

use patchgate_config::diagnostic::Report;
use patchgate_config::load::{self, LoadError, LoadedRollout, from_text, rollout, rollout_file, rollouts};
use patchgate_config::model::{Model, OnWithdraw};

const ENTRY: &str = r#"
name: checkout-fix
service: checkout
version: v2
group: canary
endpoints: ["10.0.0.2:9001"]
stages: [{ percent: 25%, hold: 5m }, { percent: 100 }]
on_withdraw: { cut_after: 2s }
"#;

const SERVICES: &str = r#"
listeners: [{ name: web, address: 127.0.0.1:0 }]
services:
  - { name: checkout, routes: [{}], stable: { version: v1, endpoints: ["10.0.0.1:9001"] }, max_exposure: 60% }
  - { name: cart, routes: [{ host: cart }], stable: { version: v1, endpoints: ["10.0.0.3:9001"] }, fallback: fail }
"#;

fn env(name: &str) -> Option<String> {
    (name == "PORT").then(|| "8082".to_owned())
}

fn model() -> std::sync::Arc<Model> {
    from_text("f.yaml", SERVICES, &env).unwrap_or_else(|report| panic!("{report}")).model
}

fn good(text: &str) -> LoadedRollout {
    rollout("body", text, None, Some(&model())).unwrap_or_else(|report| panic!("{report}"))
}

fn bad(text: &str) -> Report {
    rollout("body", text, None, Some(&model())).expect_err(text)
}

/// Rule and path of each finding.
fn found(report: &Report) -> Vec<(&str, &str)> {
    report.diagnostics.iter().map(|found| (found.rule.id, &*found.path)).collect()
}

#[test]
fn an_entry_means_what_it_means_in_the_configuration() {
    let indented = ENTRY.trim().replace('\n', "\n    ");
    let whole = format!("{SERVICES}rollouts:\n  - {indented}\n");
    let whole = from_text("f.yaml", &whole, &env).unwrap_or_else(|report| panic!("{report}"));
    let alone = good(ENTRY);
    assert_eq!(alone.rollout, whole.model.rollouts[0]);
    let list = rollouts("f.yaml", &format!("rollouts: [{{{}}}]", one_line(ENTRY)), None, None);
    assert_eq!(list.unwrap_or_else(|report| panic!("{report}")).rollouts, whole.model.rollouts);
}

fn one_line(entry: &str) -> String {
    entry.trim().replace('\n', ", ")
}

#[test]
fn json_is_read_as_it_is_sent() {
    let body = serde_json::json!({
        "name": "checkout-fix",
        "service": "checkout",
        "version": "v2",
        "group": "canary",
        "endpoints": ["10.0.0.2:9001"],
        "pin_version": null,
        "stages": [{ "percent": 25, "hold": "5m" }, { "percent": "100%" }],
        "on_withdraw": { "cut_after": "2s" },
    });
    let tabs = serde_json::to_string_pretty(&body).unwrap().replace("  ", "\t");
    for text in [body.to_string(), format!("{body:#}"), tabs, format!("{body:#}\n").replace('\n', "\r\n")] {
        assert_eq!(good(&text).rollout, good(ENTRY).rollout, "{text}");
    }
}

#[test]
fn json_texts_are_those_of_json() {
    let text = |value: &str| {
        let rule = format!(r#"[{{ "cookie": {{ "name": "uid", "equals": "{value}" }} }}]"#);
        format!(
            r#"{{ "name": "n", "service": "cart", "version": "v", "group": "g", "endpoints": ["10.0.0.9:1"], "assign": {rule} }}"#
        )
    };
    for (written, meant) in [(r"a\/b", "a/b"), (r"\u00e9 \\ \u0022", "é \\ \""), (r"\ud83d\ude00!", "😀!")] {
        let assign = format!("{:?}", good(&text(written)).rollout.assign);
        assert!(assign.contains(&format!("{meant:?}")), "{written}: {assign}");
    }
}

#[test]
fn every_problem_is_told_at_once_under_its_path_in_the_text() {
    let report = bad(
        "{ name: a b, service: chekout, versoin: v2, group: canary, endpoints: [10.0.0.2], stages: [{ percent: 250 }] }",
    );
    let errors = [
        ("invalid-name", "name"),
        ("missing-field", "version"),
        ("rollout-without-gates", ""),
        ("unknown-field", "versoin"),
        ("unknown-service", "service"),
        ("invalid-address", "endpoints[0]"),
        ("invalid-value", "stages[0].percent"),
    ];
    let mut found = found(&report);
    found.sort_unstable();
    let mut errors = errors.to_vec();
    errors.sort_unstable();
    assert_eq!(found, errors, "{report}");
    assert!(report.to_string().contains("did you mean `checkout`?"), "{report}");
}

#[test]
fn a_text_that_is_no_rollout_is_refused_for_that_alone() {
    assert_eq!(found(&bad("just text")), [("wrong-type", "")]);
    assert_eq!(found(&bad("[]")), [("wrong-type", "")]);
    assert_eq!(found(&bad("{ name")).first().map(|found| found.0), Some("yaml-syntax"));
    let missing = bad("");
    assert!(found(&missing).contains(&("missing-field", "name")), "{missing}");
}

#[test]
fn a_body_is_one_rollout_and_no_list() {
    let report = bad(&format!("rollouts: [{{{}}}]", one_line(ENTRY)));
    assert!(found(&report).contains(&("unknown-field", "rollouts")), "{report}");
}

#[test]
fn a_list_is_told_of_with_its_indexes_and_checked_as_one() {
    let entry = one_line(ENTRY);
    let text = format!("rollouts: [{{{entry}}}, {{{entry}}}]");
    let report = rollouts("f.yaml", &text, None, Some(&model())).unwrap_err();
    let errors = found(&report);
    assert!(errors.contains(&("duplicate-name", "rollouts[1].name")), "{report}");
    assert!(errors.contains(&("rollout-conflict", "rollouts[1].group")), "{report}");
    let report = rollouts("f.yaml", "rollouts: []", None, None).unwrap_err();
    assert_eq!(found(&report), [("empty-list", "rollouts")]);
    let report = rollouts("f.yaml", "rollouts: [1]", None, None).unwrap_err();
    assert_eq!(found(&report), [("wrong-type", "rollouts[0]")]);
}

#[test]
fn services_are_asked_for_only_where_they_are_known() {
    let elsewhere = ENTRY.replace("service: checkout", "service: elsewhere");
    assert!(found(&bad(&elsewhere)).contains(&("unknown-service", "service")));
    let loaded = rollout("body", &elsewhere, None, None).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(&*loaded.rollout.patches[0].service, "elsewhere");
}

#[test]
fn risks_that_lie_in_the_services_are_told() {
    let text = "{ name: n, group: g, assign: [{ percent: { key: address } }], stages: [{ percent: 80 }], patches: [\
                { service: checkout, version: v, endpoints: [10.0.0.1:9001] },\
                { service: cart, version: v, endpoints: [10.0.0.9:1] }] }";
    let report = good(text).report;
    let risks = [
        ("rollout-without-gates", ""),
        ("exposure-over-100", "stages"),
        ("hotfix-endpoint-is-stable", "patches[0].endpoints[0]"),
        ("hotfix-without-fallback", "patches[1].service"),
    ];
    assert_eq!(found(&report), risks, "{report}");
}

#[test]
fn variables_are_replaced_only_if_an_environment_is_given() {
    let text = ENTRY.replace("version: v2", "version: v${PORT}");
    let loaded = rollout("f.yaml", &text, Some(&env), None).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(&*loaded.rollout.patches[0].version, "v8082");
    assert!(found(&bad(&text)).contains(&("unmarkable-value", "version")));
    let report = rollout("f.yaml", &ENTRY.replace("v2", "${UNSET}"), Some(&env), None).unwrap_err();
    assert!(found(&report).contains(&("env-unset", "version")), "{report}");
}

#[test]
fn a_file_is_loaded_under_its_path_or_named_as_unreadable() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("fix.yaml");
    std::fs::write(&path, ENTRY).unwrap();
    let loaded = rollout_file(&path, Some(&env), None).unwrap();
    assert_eq!(loaded.report.file, path.display().to_string());
    assert_eq!(loaded.rollouts[0].on_withdraw, OnWithdraw::CutAfter(std::time::Duration::from_secs(2)));
    let error = rollout_file(folder.path(), None, None).unwrap_err();
    assert!(matches!(error, LoadError::NotAFile { .. }), "{error}");
    std::fs::write(&path, "name: x").unwrap();
    assert!(matches!(rollout_file(&path, None, None), Err(load::LoadError::Invalid(_))));
}
