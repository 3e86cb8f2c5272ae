//! `rollout create` and `diff`: rollouts of files.

use std::path::PathBuf;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scripted::{Api, body, done, json_response, patchgate, problem, rollout};

const FIX: &str = r#"
name: fix
service: shop
version: ${FIX_VERSION}
group: backend-canary
endpoints: ["10.0.0.2:80"]
stages: [{ percent: 25, hold: 60s }]
"#;

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fix.yaml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn run(api: &Api, command: &str, text: &str, options: &[&str]) -> crate::scripted::Ended {
    let (_folder, path) = file(text);
    let arguments = ["rollout", command, "-f", path.to_str().unwrap(), "--server", &api.url];
    patchgate(&[&arguments[..], options].concat(), &[("FIX_VERSION", &"v2")])
}

fn willing() -> Api {
    Api::start(|_, seen| match seen.method {
        Method::GET => json_response(200, &rollout("canary")),
        _ => json_response(201, &done(rollout("canary"))),
    })
}

#[test]
fn a_file_is_created_with_its_variables_in_place() {
    let api = willing();
    let ended = run(&api, "create", FIX, &["--reason", "NPE"]);
    assert_eq!((ended.code, &*ended.out), (0, "fix created at 1042: canary, stage 1 of 1, 25%\n"), "{ended:?}");
    let sent = body(&api.seen()[0]);
    assert_eq!((&sent["reason"], &sent["start"]), (&json!("NPE"), &json!(true)));
    assert_eq!(sent["rollout"]["version"], "v2");
    assert_eq!(sent["rollout"]["stages"], json!([{"percent": "25%", "hold": "1m"}]));
    assert_eq!(sent["rollout"]["on_fail"], "rollback", "defaults are fixed when it is created");
    run(&api, "create", FIX, &["--start=false"]);
    assert_eq!(body(&api.seen()[1])["start"], json!(false));
}

#[test]
fn a_file_with_several_is_several_orders() {
    let api = willing();
    let several = format!(
        "rollouts:\n  - {{ name: a, service: shop, version: v2, group: a, endpoints: [\"10.0.0.2:80\"] }}\n{}",
        "  - { name: b, service: cart, version: v2, group: b, endpoints: [\"10.0.0.3:80\"] }\n"
    );
    let ended = run(&api, "create", &several, &["--idempotency-key", "deploy-9", "-o", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let documents: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 2);
    let keys: Vec<String> = api.seen().iter().map(|seen| seen.header("idempotency-key")).collect();
    assert_eq!(keys, ["deploy-9.1", "deploy-9.2"]);
}

#[test]
fn a_bad_file_is_told_with_every_place_and_not_sent() {
    let api = willing();
    let ended = run(&api, "create", &FIX.replace("percent: 25", "percent: 250").replace("group:", "grup:"), &[]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("fix.yaml:") && ended.err.contains("grup") && ended.err.contains("250"), "{ended:?}");
    assert_eq!(api.seen().len(), 0);
    let ended = api.run(&["rollout", "create", "-f", "/nonexistent/fix.yaml"]);
    assert!(ended.code == 1 && ended.err.contains("/nonexistent/fix.yaml"), "{ended:?}");
}

#[test]
fn a_diff_shows_what_means_something_else() {
    let api = willing();
    let ended = run(&api, "diff", FIX, &[]);
    assert!(ended.code == 0 && ended.out.starts_with("fix: no difference\n"), "{ended:?}");
    let ended = run(&api, "diff", &FIX.replace("hold: 60s", "hold: 5m"), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let has = |line: &str| ended.out.lines().any(|told| told.trim_end() == line);
    assert!(has("--- the log: fix at version 7") && has("-- hold: 1m") && has("+- hold: 5m"), "{}", ended.out);
    let changed = ended.out.lines().filter(|line| line.starts_with(['+', '-'])).count();
    assert_eq!(changed, 4, "two heads, one line for another: {}", ended.out);
    assert!(ended.out.contains("nothing was changed"), "{}", ended.out);
    let seen = api.seen();
    assert!(seen.iter().all(|seen| seen.method == Method::GET || seen.uri.query() == Some("dry_run=true")), "{seen:?}");
}

#[test]
fn a_diff_of_what_is_new_is_all_of_it() {
    let api = Api::start(|_, seen| match seen.method {
        Method::GET => problem(404, "rollout_not_found", "none", json!({})),
        _ => problem(409, "group_taken", "service `shop` has the group already", json!({})),
    });
    let ended = run(&api, "diff", FIX, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("--- the log: nothing") && ended.out.contains("+name: fix"), "{ended:?}");
    assert!(ended.out.contains("fix cannot be created: service `shop` has the group already"), "{ended:?}");
    let json: Value = serde_json::from_str(&run(&api, "diff", FIX, &["-o", "json"]).out).unwrap();
    assert_eq!(json["refused"], "service `shop` has the group already");
}
