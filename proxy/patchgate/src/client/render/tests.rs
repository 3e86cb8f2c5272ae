//! Each text as it is seen: golden, in `tests/fixtures/cli`. `PATCHGATE_BLESS=1` writes them anew; read the difference
//! before committing it.

use std::path::Path;

use patchgate_admin::api::dto::{Change, Convergence, Done, Effect, Event, Events, Patch, Rollout, Stage, Track, Wait};
use patchgate_admin::log::at;
use patchgate_admin::rollout::{Actor, Envelope, Hlc, Millionths, Plan, Role, State};
use patchgate_admin::time::parse;
use serde_json::{Value, json};

use super::super::output::Style;
use super::{done, events, list, log, trail, tree};

const NOW: &str = "2026-01-31T03:20:00Z";

fn now() -> u64 {
    parse(NOW).unwrap()
}

/// A rollout of one service in the second of its three stages, with traffic.
pub(crate) fn example() -> Rollout {
    let change = |event: &str, at: &str, by: &str, reason: &str| Change {
        event: event.into(),
        at: at.into(),
        by: by.into(),
        reason: reason.into(),
    };
    let track = |name: &str, backend: &str, version: &str, rate, errors, p99| Track {
        track: name.into(),
        backend: backend.into(),
        version: version.into(),
        requests_per_second: rate,
        error_percent: errors,
        p50_ms: Some(3.2),
        p99_ms: p99,
    };
    Rollout {
        name: "checkout-npe-fix".into(),
        version: 1042,
        state: "canary".into(),
        live: true,
        group: "backend-canary".into(),
        patches: vec![Patch {
            service: "checkout".into(),
            version: "v2.1.3-alpha".into(),
            endpoints: vec!["10.0.0.2:8080".into(), "10.0.0.3:8080".into()],
            tracks: vec![
                track("stable", "checkout", "v2.1.2", 1204.5, 0.1, Some(48.0)),
                track("canary", "checkout-fix", "v2.1.3-alpha", 401.25, 0.0, Some(44.5)),
                track("control", "checkout", "v2.1.2", 400.0, 0.25, None),
            ],
        }],
        stages: vec![
            Stage { percent: 1.0, hold_ms: Some(300_000), held_ms: None },
            Stage { percent: 25.0, hold_ms: Some(600_000), held_ms: Some(180_000) },
            Stage { percent: 100.0, hold_ms: None, held_ms: None },
        ],
        stage: Some(1),
        exposure_percent: 25.0,
        waits_for: Some(Wait {
            kind: "hold".into(),
            until: Some("2026-01-31T03:27:00Z".into()),
            message: "stage 3 begins when the hold is over, or with `patchgate rollout promote checkout-npe-fix`"
                .into(),
        }),
        deadline: Some("2026-02-01T03:00:00Z".into()),
        approval_above_percent: Some(50.0),
        approved_by: None,
        created: change("created", "2026-01-31T03:10:00Z", "ann", "NPE in checkout"),
        changed: change("stage_entered", "2026-01-31T03:17:00Z", "controller", ""),
        origin: "api".into(),
        drift: None,
        convergence: Convergence { applied: 37, of: 40 },
        time_to_zero_canary_seconds: None,
        definition: json!({"name": "checkout-npe-fix"}),
    }
}

/// One that somebody has stopped, with everything that is told of an end.
fn ended() -> Rollout {
    let rollout = example();
    Rollout {
        name: "cart-fix".into(),
        version: 1050,
        state: "aborted".into(),
        live: false,
        stage: None,
        exposure_percent: 0.0,
        waits_for: None,
        approval_above_percent: None,
        changed: Change {
            event: "aborted".into(),
            at: "2026-01-31T03:19:48Z".into(),
            by: "bob".into(),
            reason: "errors\nin \u{1b}[31mcart".into(),
        },
        convergence: Convergence { applied: 1, of: 1 },
        time_to_zero_canary_seconds: Some(0.0421),
        patches: vec![Patch { service: "cart".into(), tracks: Vec::new(), ..rollout.patches[0].clone() }],
        ..rollout
    }
}

/// One that waits for a second person, of two services, at a stage without an end.
fn waiting() -> Rollout {
    let rollout = example();
    let patch = rollout.patches[0].clone();
    Rollout {
        name: "pay-fix".into(),
        state: "paused".into(),
        stage: Some(2),
        exposure_percent: 0.5,
        waits_for: Some(Wait {
            kind: "approval_needed".into(),
            until: None,
            message: "somebody other than `ann`".into(),
        }),
        drift: Some("the file differs from the log in stages".into()),
        approved_by: Some("eve".into()),
        patches: vec![patch.clone(), Patch { service: "pay".into(), tracks: Vec::new(), ..patch }],
        ..rollout
    }
}

fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cli").join(name);
    if std::env::var_os("PATCHGATE_BLESS").is_some() {
        std::fs::write(&path, found).expect("the fixtures can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{}", path.display());
}

#[test]
fn a_rollout_is_a_tree() {
    golden("get.txt", &tree::rollout(&example(), now(), Style::Plain));
    golden("get-ended.txt", &tree::rollout(&ended(), now(), Style::Plain));
    golden("get-waiting.txt", &tree::rollout(&waiting(), now(), Style::Plain));
    let marks_only = Rollout {
        stages: Vec::new(),
        stage: None,
        exposure_percent: 0.0,
        waits_for: None,
        deadline: None,
        ..example()
    };
    golden("get-marks-only.txt", &tree::rollout(&marks_only, now(), Style::Plain));
}

#[test]
fn colours_change_nothing_but_colours() {
    for rollout in [example(), ended(), waiting()] {
        let coloured = tree::rollout(&rollout, now(), Style::Coloured);
        assert!(coloured.contains("\x1b["), "{coloured}");
        let mut plain = String::new();
        let mut parts = coloured.split('\x1b');
        plain.push_str(parts.next().unwrap());
        parts.for_each(|part| plain.push_str(part.split_once('m').unwrap().1));
        assert_eq!(plain, tree::rollout(&rollout, now(), Style::Plain));
    }
}

#[test]
fn nothing_of_others_reaches_a_terminal_as_an_escape() {
    let text = tree::rollout(&ended(), now(), Style::Plain) + &tree::line(&ended());
    assert!(!text.contains('\x1b') && text.contains("errors in  [31mcart"), "{text}");
}

#[test]
fn a_change_is_one_line() {
    golden("get-lines.txt", &(tree::line(&example()) + &tree::line(&ended()) + &tree::line(&waiting())));
}

#[test]
fn a_list_begins_with_what_needs_somebody() {
    golden("list.txt", &list::rollouts(&[ended(), example(), waiting()], now(), Style::Plain));
    golden("list-empty.txt", &list::rollouts(&[], now(), Style::Plain));
}

#[test]
fn an_order_tells_what_it_did_or_would_do() {
    let effect = |service: &str, before_percent, after_percent| Effect {
        service: service.into(),
        requests_per_second: 1604.0,
        exposure_before_percent: before_percent,
        exposure_after_percent: after_percent,
        before_percent,
        after_percent,
        moves_percent: after_percent - before_percent,
    };
    let done = Done {
        sequence: 1042,
        rollout: example(),
        effect: vec![effect("checkout", 1.0, 25.0), effect("pay", 0.0, 0.125)],
        warnings: vec!["stages[0]: a hold of 1s is too short to see anything".into()],
    };
    golden("done.txt", &done::done(&done, "promoted", Style::Plain));
    golden("dry-run.txt", &done::dry(&done, Style::Plain));
}

fn plan() -> Value {
    json!({
        "group": "backend-canary",
        "patches": [{ "service": "checkout", "version": "v2.1.3-alpha", "endpoints": ["10.0.0.2:8080"],
                      "pin_version": false, "may_mark": false }],
        "assign": [{ "percent": { "cookie": "uid" } }],
        "stages": [{ "exposure": 10_000, "hold_ms": 300_000 }, { "exposure": 250_000 }],
        "on_fail": "rollback", "deadline_ms": 86_400_000, "on_withdraw": "finish",
    })
}

/// One event of every kind, a second apart.
fn every_event() -> Vec<Event> {
    let all = [
        ("ann", "NPE in checkout", json!({"type": "created", "plan": plan(), "origin": "api"})),
        ("ann", "NPE in checkout", json!({"type": "stage_entered", "stage": 0, "exposure": 10_000, "entry": "start"})),
        ("ann", "p99 looks odd", json!({"type": "paused", "stage": 0, "held_ms": 5})),
        ("bob", "it was the cache", json!({"type": "resumed", "stage": 0})),
        ("eve", "read the diff", json!({"type": "approved"})),
        ("bob", "acme asked", json!({"type": "force_stable_changed", "rules": [{"address": "10.1.0.0/16"}]})),
        ("controller", "", json!({"type": "stage_entered", "stage": 1, "exposure": 250_000, "entry": "hold_over"})),
        ("ann", "looks good", json!({"type": "promoted", "exposure": 1_000_000, "full": true})),
        ("ann", "out", json!({"type": "completed", "cause": "told"})),
        ("bob", "", json!({"type": "aborted"})),
        ("controller", "", json!({"type": "rolled_back", "cause": "deadline"})),
        (
            "mallory",
            "",
            json!({"type": "denied", "request": "POST /v1/x", "status": 403, "code": "role_missing", "more": 2}),
        ),
        ("system", "", json!({"type": "tokens_changed", "added": ["ci"], "revoked": []})),
        ("someone", "of a later version", json!({"type": "teleported"})),
    ];
    all.into_iter()
        .zip(1u64..)
        .map(|((actor, reason, event), sequence)| Event {
            sequence,
            at: format!("2026-01-31T03:14:{sequence:02}.000Z"),
            kind: event["type"].as_str().unwrap().to_owned(),
            rollout: Some("checkout-npe-fix".into()),
            actor: actor.into(),
            role: "operator".into(),
            reason: reason.into(),
            command: format!("c{sequence}"),
            hash: String::new(),
            event,
        })
        .collect()
}

#[test]
fn events_are_told_with_what_who_and_why() {
    golden("history.txt", &events::events(&every_event(), Style::Plain));
    let none = Events { items: Vec::new(), next: None, head: 0 };
    assert_eq!(events::events(&none.items, Style::Plain), "no events\n");
}

#[test]
fn a_moment_is_told_with_who_brought_it_about() {
    let mut state = State::default();
    for event in &every_event()[..3] {
        state.apply(&Envelope {
            v: Envelope::VERSION,
            clock: Hlc { ms: parse(&event.at).unwrap(), n: 0, node: "a".into() },
            cause: None,
            command: event.command.clone(),
            request: None,
            actor: Actor { name: event.actor.clone(), role: Role::Operator },
            reason: event.reason.clone(),
            rollout: event.rollout.clone(),
            event: serde_json::from_value(event.event.clone()).unwrap(),
        });
    }
    assert_eq!(state.rollouts["checkout-npe-fix"].exposure(), Millionths(10_000));
    golden("show-at.txt", &log::exposures(&at(&state), now(), state.sequence, Style::Plain));
    let _: Plan = serde_json::from_value(plan()).unwrap();
    golden("show-at-empty.txt", &log::exposures(&[], now(), 0, Style::Plain));
}

fn explained(explanation: &Value) -> String {
    trail::explanation(explanation, Style::Plain).unwrap()
}

#[test]
fn a_trail_is_a_story() {
    let mut trail = json!({
        "revision": 7, "random": "0123456789abcdef",
        "listener": {"name": "web", "trusted": true, "trusted_by": "127.0.0.0/8", "assigns": true},
        "refused": null,
        "route": {"host": "shop.example.com", "path_prefix": "/checkout", "service": "checkout"},
        "trace": {
            "traceparent": {"found": "valid", "code": null, "why": null},
            "tracestate": {"found": "invalid", "code": "key", "why": "a key is illegal"},
            "followed": true, "linked": false,
        },
        "mark": {"result": "trusted", "why": "a legal mark of a trusted peer", "group": "backend-canary", "version": "v1"},
        "rules": [
            {"rollout": "fix", "kind": "force_stable", "wants": "header x-tenant equals \"acme\"", "matched": false, "percent": null},
            {"rollout": "fix", "kind": "group", "wants": "backend-canary", "matched": true, "percent": null},
            {"rollout": "fix", "kind": "version", "wants": "v2", "matched": false, "percent": null},
            {"rollout": "fix", "kind": "assign", "wants": "cookie beta is present", "matched": false, "percent": null},
            {"rollout": "fix", "kind": "percent", "wants": "bucket < 250000", "matched": true, "percent": {
                "key": "cookie:uid", "value": "u7", "bucket": 104_200, "exposure": 250_000, "control_from": 750_000,
                "outcome": "canary"}},
            {"rollout": "other", "kind": "percent", "wants": "bucket < 0", "matched": false, "percent": {
                "key": "random", "value": null, "bucket": 5, "exposure": 0, "control_from": 1_000_000, "outcome": "stable"}},
        ],
        "decision": {"track": "canary", "reason": "percent", "rollout": "fix", "assigned": true, "backend": "checkout-fix",
            "version": "v2.1.3-alpha", "endpoints": ["10.0.0.2:8080"], "fallback": "checkout"},
        "sampling": {"sampled": true, "by": "raised", "threshold": "0", "ratio": 1.0, "randomness": "a", "reason": "canary",
            "channel": "canary"},
        "upstream": {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "fresh_trace_id": false,
            "tracestate": "patch-group=backend-canary,patch-version=v2.1.3-alpha"},
    });
    golden("explain.txt", &explained(&trail));
    for step in ["route", "trace", "mark", "decision", "sampling", "upstream"] {
        trail[step] = Value::Null;
    }
    trail["rules"] = json!([]);
    trail["listener"] = json!({"name": "web", "trusted": false, "trusted_by": null, "assigns": false});
    trail["refused"] = json!({"status": 404, "code": "no_route", "why": "no route matches"});
    golden("explain-refused.txt", &explained(&trail));
}

#[test]
fn a_recent_request_is_a_story_too() {
    golden(
        "explain-recent.txt",
        &explained(&json!({"recent": [
            {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "unix_millis": 1_769_829_255_926_u64, "revision": 7,
             "service": "checkout", "backend": "checkout-fix", "served_by": "checkout", "rollout": "fix", "track": "canary",
             "reason": "mark", "assigned": false, "status": 200, "sampled": true},
            {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "unix_millis": 1_769_829_254_000_u64, "revision": 7,
             "service": null, "backend": null, "served_by": null, "rollout": null, "track": null, "reason": null,
             "assigned": false, "status": null, "sampled": false},
        ]})),
    );
}

#[test]
fn an_explanation_of_another_time_has_no_story() {
    assert_eq!(trail::explanation(&json!({"steps": []}), Style::Plain), None);
    assert_eq!(trail::explanation(&json!([1]), Style::Plain), None);
}
