//! What is read: forms of output, pages, history and the log.

use std::process::Stdio;

use patchgate_admin::api::dto::{Event, Events, Rollouts, Verified};
use serde_json::{Value, json};

use crate::scripted::{Api, command, json_response, patchgate, problem, rollout};

fn event(sequence: u64, at: &str, actor: &str, event: Value) -> Event {
    Event {
        sequence,
        at: at.into(),
        kind: event["type"].as_str().unwrap().into(),
        rollout: Some("fix".into()),
        actor: actor.into(),
        role: "operator".into(),
        reason: "because".into(),
        command: format!("c{sequence}"),
        hash: "00".into(),
        event,
    }
}

fn life() -> Vec<Event> {
    let plan = json!({
        "group": "g", "patches": [{"service": "shop", "version": "v2", "endpoints": ["10.0.0.2:80"], "pin_version": false,
        "may_mark": false}], "assign": [{"percent": "random"}], "stages": [{"exposure": 10_000}, {"exposure": 250_000}],
        "on_fail": "rollback", "deadline_ms": 86_400_000, "on_withdraw": "finish",
    });
    vec![
        event(1, "2026-01-31T14:00:00Z", "ann", json!({"type": "created", "plan": plan, "origin": "api"})),
        event(
            2,
            "2026-01-31T14:00:00Z",
            "ann",
            json!({"type": "stage_entered", "stage": 0, "exposure": 10_000, "entry": "start"}),
        ),
        event(
            3,
            "2026-01-31T14:02:00Z",
            "bob",
            json!({"type": "stage_entered", "stage": 1, "exposure": 250_000, "entry": "promote"}),
        ),
        event(4, "2026-01-31T14:10:00Z", "eve", json!({"type": "aborted"})),
    ]
}

/// Everything that can be read; events two a page.
fn full() -> Api {
    Api::start(|_, seen| match seen.uri.path() {
        "/v1/rollouts" => json_response(
            200,
            &Rollouts { items: vec![rollout("canary"), rollout("aborted")], next: None, sequence: 9 },
        ),
        "/v1/rollouts/fix" => json_response(200, &rollout("canary")),
        "/v1/rollouts/fix/history" | "/v1/events" => {
            let second = seen.uri.query().unwrap_or_default().contains("cursor=b%2F");
            let items = if second { life()[2..].to_vec() } else { life()[..2].to_vec() };
            json_response(200, &Events { items, next: (!second).then(|| "b/".into()), head: 4 })
        }
        "/v1/explain" => json_response(200, &json!({"listener": {"name": "web", "trusted": true, "assigns": true}})),
        "/v1/verify" => json_response(200, &verified(true)),
        path => problem(404, "not_found", path, json!({})),
    })
}

fn verified(matches_server: bool) -> Verified {
    serde_json::from_value(json!({
        "events": 4, "folded": {"sequence": 4, "head": "ab", "state_hash": "cd"}, "matches_server": matches_server,
        "took_ms": 3, "at": "2026-01-31T14:03:00Z",
    }))
    .unwrap()
}

#[test]
fn nothing_that_is_piped_has_escapes() {
    let api = full();
    for arguments in [
        &["rollout", "list"][..],
        &["rollout", "get", "fix"],
        &["rollout", "history", "fix"],
        &["rollout", "status", "fix"],
        &["explain", "/"],
        &["log", "show"],
        &["log", "verify"],
    ] {
        for format in ["table", "json", "yaml"] {
            let ended = api.run(&[arguments, &["-o", format]].concat());
            assert!(!ended.out.is_empty() && !ended.out.contains('\x1b'), "{arguments:?}: {ended:?}");
            assert!(!ended.err.contains('\x1b'), "{arguments:?}: {ended:?}");
        }
    }
}

#[test]
fn json_and_yaml_are_what_the_api_says() {
    let api = full();
    let json: Value = serde_json::from_str(&api.run(&["rollout", "get", "fix", "-o", "json"]).out).unwrap();
    assert_eq!(json, serde_json::to_value(rollout("canary")).unwrap());
    let yaml = api.run(&["rollout", "-o", "yaml", "get", "fix"]).out;
    assert!(yaml.contains("name: fix") && yaml.contains("  applied: 1"), "{yaml}");
    let list: Value = serde_json::from_str(&api.run(&["rollout", "list", "-o", "json"]).out).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_list_asks_for_the_live_ones_unless_all_are_wanted() {
    let api = full();
    api.run(&["rollout", "list"]);
    api.run(&["rollout", "list", "--live"]);
    api.run(&["rollout", "list", "-A"]);
    let queries: Vec<String> = api.seen().iter().map(|seen| seen.uri.query().unwrap().to_owned()).collect();
    assert!(queries[0].starts_with("state=live&") && queries[1] == queries[0], "{queries:?}");
    assert!(queries[2].starts_with("state=all&"), "{queries:?}");
}

#[test]
fn a_history_is_all_of_its_pages() {
    let api = full();
    let ended = api.run(&["rollout", "history", "fix"]);
    assert_eq!((ended.code, ended.out.lines().count()), (0, 5), "{ended:?}");
    assert!(ended.out.contains("stage 2 at 25%: promoted") && ended.out.contains("because"), "{ended:?}");
    assert_eq!(api.seen().len(), 2);
}

#[test]
fn the_log_tells_how_things_stood_and_who_brought_them_there() {
    let api = full();
    let ended = api.run(&["log", "show", "--at", "2026-01-31T14:03:00Z", "--rollout", "fix"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let line = ended.out.lines().last().unwrap();
    for part in ["fix", "canary", "25%", "2026-01-31T14:02:00.000Z", "3 stage_entered", "bob", "because"] {
        assert!(line.contains(part), "{part} in {ended:?}");
    }
    assert!(api.seen()[0].uri.query().unwrap().contains("rollout=fix"));
    let before = api.run(&["log", "show", "--at", "2026-01-31T13:00:00Z"]);
    assert!(before.out.contains("there was no rollout"), "{before:?}");
    let after: Value = serde_json::from_str(&api.run(&["log", "show", "--at", "1s", "-o", "json"]).out).unwrap();
    assert_eq!((&after[0]["state"], &after[0]["exposure"]), (&json!("aborted"), &json!(0)));
}

#[test]
fn a_log_that_is_not_what_the_server_serves_by_is_an_error() {
    let api = full();
    let ended = api.run(&["log", "verify"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("4 events folded in 3 ms") && ended.out.contains("cd"), "{ended:?}");
    let api = Api::start(|_, _| json_response(200, &verified(false)));
    let ended = api.run(&["log", "verify"]);
    assert!(ended.code == 1 && ended.err.contains("another state"), "{ended:?}");
    let api = Api::start(|_, _| problem(409, "log_damaged", "event 3 of the log: its hash", json!({})));
    let ended = api.run(&["log", "verify"]);
    assert!(ended.code == 1 && ended.err.contains("event 3 of the log"), "{ended:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let api = full();
    for arguments in
        [&["rollout", "list"][..], &["rollout", "get", "fix", "-o", "json"], &["completions", "bash"], &["man"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(arguments);
        command.env("PATCHGATE_SERVER", &api.url);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*told), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn names_are_taken_as_they_are_written() {
    let api = full();
    assert_eq!(api.run(&["rollout", "get", "a/b?c"]).code, 1);
    assert_eq!(api.seen()[0].uri.to_string(), "/v1/rollouts/a%2Fb%3Fc");
    let ended = patchgate(&["rollout", "get"], &[]);
    assert_eq!(ended.code, 2, "{ended:?}");
}
