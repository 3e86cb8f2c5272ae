//! `rollout status`: a script goes on by its exit code.

use crate::scripted::{Api, json_response, problem, rollout};
use serde_json::json;

/// The exit code for a rollout that passes through these states, one a look, and stays at the last.
fn code(states: &[&'static str], options: &[&str]) -> i32 {
    let states = states.to_vec();
    let api = Api::start(move |number, _| json_response(200, &rollout(states[number.min(states.len() - 1)])));
    let ended = api.run(&[&["rollout", "status", "fix"], options].concat());
    assert!(ended.out.contains("fix: "), "{ended:?}");
    ended.code
}

#[test]
fn the_exit_code_tells_how_it_stands() {
    for (state, expected) in [
        ("promoted", 0),
        ("completed", 0),
        ("rolled_back", 2),
        ("aborted", 2),
        ("canary", 3),
        ("pending", 3),
        ("paused", 4),
    ] {
        assert_eq!(code(&[state], &[]), expected, "{state}");
        assert_eq!(code(&[state], &["--wait", "--timeout", "0s"]), expected, "{state} with --wait");
    }
}

#[test]
fn until_says_what_ends_well() {
    for (state, until, expected) in [
        ("paused", "paused", 0),
        ("promoted", "paused", 0),
        ("completed", "paused", 0),
        ("aborted", "paused", 2),
        ("promoted", "completed", 3),
        ("completed", "completed", 0),
        ("paused", "completed", 4),
    ] {
        assert_eq!(code(&[state], &["--until", until]), expected, "{state} until {until}");
    }
}

#[test]
fn waiting_ends_with_what_comes() {
    assert_eq!(code(&["pending", "canary", "canary", "promoted"], &["--wait"]), 0);
    assert_eq!(code(&["canary", "rolled_back"], &["--wait"]), 2);
    assert_eq!(code(&["canary", "paused"], &["--wait"]), 4);
    assert_eq!(code(&["canary", "promoted", "completed"], &["--wait", "--until", "completed"]), 0);
    assert_eq!(code(&["canary"], &["--wait", "--timeout", "50ms"]), 3);
}

#[test]
fn each_change_is_told_once() {
    let api = Api::start(|number, _| json_response(200, &rollout(if number < 2 { "canary" } else { "promoted" })));
    let ended = api.run(&["rollout", "status", "fix", "--wait"]);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert!(
        matches!(lines[..], [first, second] if first.contains("canary") && second.contains("promoted")),
        "{ended:?}"
    );
}

#[test]
fn a_server_that_is_away_for_a_moment_is_waited_for() {
    let api = Api::start(|number, _| match number {
        0 => json_response(200, &rollout("canary")),
        1..8 => problem(503, "log_unwritable", "the log is away", json!({})),
        _ => json_response(200, &rollout("promoted")),
    });
    let ended = api.run(&["rollout", "status", "fix", "--wait"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.err.matches("trying again").count(), 1, "{ended:?}");
}

#[test]
fn what_is_not_there_is_an_error_and_not_a_state() {
    let api = Api::start(|_, _| problem(404, "rollout_not_found", "there is no rollout `fix`", json!({})));
    let ended = api.run(&["rollout", "status", "fix", "--wait"]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.err, "patchgate: error: there is no rollout `fix` (request r42)\n");
}
