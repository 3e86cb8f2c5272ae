//! Changes of rollouts: what is sent, and what becomes of an answer that is lost.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use http::Method;
use patchgate_testkit::upstream::{RawUpstream, read_head};
use serde_json::{Value, json};

use crate::scripted::{Api, body, done, json_response, patchgate, problem, rollout};

/// Version 7 when it is looked at, and everything that is asked for.
fn willing() -> Api {
    Api::start(|_, seen| match seen.method {
        Method::GET => json_response(200, &rollout("canary")),
        _ => json_response(200, &done(rollout("paused"))),
    })
}

#[test]
fn a_change_is_of_the_version_that_was_just_read() {
    for (verb, more, expected) in [
        ("pause", &[][..], json!({"reason": "why"})),
        ("resume", &[], json!({"reason": "why"})),
        ("approve", &[], json!({"reason": "why"})),
        ("complete", &[], json!({"reason": "why"})),
        ("promote", &[], json!({"reason": "why", "full": false})),
        ("promote", &["--full"], json!({"reason": "why", "full": true})),
    ] {
        let api = willing();
        let ended = api.run(&[&["rollout", verb, "fix", "--reason", "why"], more].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.out.starts_with("fix ") && ended.out.contains("at 1042: paused, stage 1 of 1, 25%"), "{ended:?}");
        let seen = api.seen();
        let [look, order] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((&look.method, look.uri.path()), (&Method::GET, "/v1/rollouts/fix"));
        assert_eq!((&order.method, order.uri.to_string()), (&Method::POST, format!("/v1/rollouts/fix/{verb}")));
        assert_eq!(order.header("if-match"), "\"7\"");
        assert_eq!(order.header("x-patchgate-actor"), "ann");
        assert_eq!(order.header("idempotency-key").len(), 32, "{order:?}");
        assert_eq!(order.header("content-type"), "application/json");
        assert_eq!(body(order), expected);
    }
}

#[test]
fn a_version_and_a_key_may_be_given() {
    let api = willing();
    let ended = api.run(&["rollout", "pause", "fix", "--if-version", "3", "--idempotency-key", "deploy-9"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let seen = api.seen();
    let [order] = &seen[..] else { panic!("nothing is looked at before: {seen:?}") };
    assert_eq!(order.header("if-match"), "\"3\"");
    assert_eq!(order.header("idempotency-key"), "deploy-9");
}

#[test]
fn two_orders_have_two_keys() {
    let api = willing();
    api.run(&["rollout", "abort", "fix"]);
    api.run(&["rollout", "abort", "fix"]);
    let keys: Vec<String> = api.seen().iter().map(|seen| seen.header("idempotency-key")).collect();
    assert!(matches!(&keys[..], [one, two] if one != two && !one.is_empty()), "{keys:?}");
}

#[test]
fn a_dry_run_changes_nothing_and_says_so() {
    let api = Api::start(|_, seen| match seen.method {
        Method::GET => json_response(200, &rollout("canary")),
        _ => json_response(
            200,
            &json!({"sequence": 0, "rollout": rollout("promoted"), "effect": [{
                "service": "shop", "requests_per_second": 10.0,
                "exposure_before_percent": 25.0, "exposure_after_percent": 100.0,
                "before_percent": 26.5, "after_percent": 98.0, "moves_percent": 71.5,
            }]}),
        ),
    });
    let ended = api.run(&["rollout", "promote", "fix", "--full", "--dry-run"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for part in ["25% → 100%", "26.5%", "98%", "71.5%", "dry run"] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    let seen = api.seen();
    assert_eq!(seen[1].uri.to_string(), "/v1/rollouts/fix/promote?dry_run=true");
    assert_eq!(seen[1].header("idempotency-key"), "", "the real order's key stays unused");
}

#[test]
fn an_abort_looks_at_nothing_before_and_tells_what_was_acknowledged() {
    let api = Api::start(|number, seen| {
        let mut rollout = rollout("aborted");
        // Two gateways, of which the second one follows with the third look.
        rollout.convergence.of = 2;
        rollout.convergence.applied = if number < 3 { 1 } else { 2 };
        match seen.method {
            Method::GET => json_response(200, &rollout),
            _ => json_response(200, &done(rollout)),
        }
    });
    let ended = api.run(&["rollout", "abort", "fix"]);
    assert_eq!((ended.code, &*ended.err), (0, ""));
    assert_eq!(ended.out, "fix aborted at 1042 by ann; canary share 0 on 2 of 2 gateways\n");
    let seen = api.seen();
    assert_eq!((&seen[0].method, seen[0].uri.path()), (&Method::POST, "/v1/rollouts/fix/abort"));
    assert_eq!(seen[0].header("if-match"), "");
    assert_eq!(seen.len(), 4, "one order, then looks");
}

#[test]
fn an_abort_does_not_wait_for_a_gateway_that_is_away() {
    let api = Api::start(|_, seen| {
        let mut rollout = rollout("aborted");
        rollout.convergence.of = 40;
        rollout.convergence.applied = 37;
        match seen.method {
            Method::GET => json_response(200, &rollout),
            _ => json_response(200, &done(rollout)),
        }
    });
    let ended = api.run(&["rollout", "abort", "fix"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("on 37 of 40 gateways so far; 3 still to follow"), "{ended:?}");
}

#[test]
fn who_was_faster_is_named() {
    let api = Api::start(|_, seen| match seen.method {
        Method::GET => {
            let mut rollout = rollout("paused");
            rollout.changed.by = "bob".into();
            json_response(200, &rollout)
        }
        _ => {
            let more = json!({"version": 7, "changed_by": "bob", "changed_event": "paused"});
            problem(412, "version_mismatch", "no", more)
        }
    });
    let ended = api.run(&["rollout", "promote", "fix", "--if-version", "6"]);
    assert_eq!(ended.code, 1);
    let told = "patchgate: error: rollout fix is at version 7, you sent 6 (bob paused it ";
    assert!(ended.err.starts_with(told), "{ended:?}");
    assert!(ended.err.ends_with(" ago): see patchgate rollout get fix\n"), "{ended:?}");
}

#[test]
fn force_stable_adds_to_what_is_there() {
    let api = Api::start(|_, seen| match seen.method {
        Method::GET => {
            let mut rollout = rollout("canary");
            rollout.definition["force_stable"] = json!([{"cookie": {"name": "old"}}]);
            json_response(200, &rollout)
        }
        _ => json_response(200, &done(rollout("canary"))),
    });
    let ended = api.run(&[
        "rollout",
        "force-stable",
        "fix",
        "--header",
        "x-tenant=acme",
        "--query",
        "debug",
        "--address",
        "10.1.0.0/16",
        "--reason",
        "acme asked",
    ]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let order = &api.seen()[1];
    assert_eq!((&order.method, order.uri.path()), (&Method::PUT, "/v1/rollouts/fix/force-stable"));
    assert_eq!(order.header("if-match"), "\"7\"");
    let expected = json!([
        {"cookie": {"name": "old"}}, {"header": {"name": "x-tenant", "equals": "acme"}},
        {"query": {"name": "debug"}}, {"address": "10.1.0.0/16"},
    ]);
    assert_eq!(body(order), json!({"force_stable": expected, "reason": "acme asked"}));
    assert_eq!(api.run(&["rollout", "force-stable", "fix", "--clear"]).code, 0);
    assert_eq!(body(&api.seen()[3])["force_stable"], json!([]));
    assert_eq!(api.run(&["rollout", "force-stable", "fix"]).code, 2, "nobody was named");
}

/// Reads a request whole; its header fields, with names in lower case, and its body.
fn request(stream: &mut TcpStream) -> (BTreeMap<String, String>, Vec<u8>) {
    let head = read_head(stream).expect("a request comes");
    let fields: BTreeMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = vec![0; fields.get("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    (fields, body)
}

fn answer(stream: &mut TcpStream, status: &str, kind: &str, fields: &str, body: &Value) {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{fields}content-length: {}\r\n", body.len());
    stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).unwrap();
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&sent);
    let server = RawUpstream::start(move |number, mut stream| {
        let request = request(&mut stream);
        kept.lock().unwrap().push(request);
        match number {
            // The connection ends.
            0 => {}
            // In the middle of the answer.
            1 => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").unwrap(),
            2 => {
                let body = json!({"type": "about:blank", "title": "no", "status": 503, "code": "unconfirmed",
                                  "detail": "the event log did not confirm", "request_id": "r1"});
                answer(&mut stream, "503 Service Unavailable", "application/problem+json", "retry-after: 0\r\n", &body);
            }
            _ => {
                let body = serde_json::to_value(done(rollout("aborted"))).unwrap();
                answer(&mut stream, "200 OK", "application/json", "", &body);
            }
        }
    });
    let url = format!("http://{}", server.address);
    let ended = patchgate(&["rollout", "abort", "fix", "--reason", "errors", "--server", &url], &[]);
    assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
    assert!(ended.out.starts_with("fix aborted at 1042"), "{ended:?}");
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 4);
    let key = &sent[0].0["idempotency-key"];
    assert!(!key.is_empty() && sent.iter().all(|(fields, _)| fields["idempotency-key"] == *key), "{sent:?}");
    assert!(sent.iter().all(|(_, body)| *body == sent[0].1), "and the same order each time");
}

#[test]
fn an_answer_that_stays_lost_is_not_confirmed() {
    let server = RawUpstream::start(|_, mut stream| {
        request(&mut stream);
    });
    let url = format!("http://{}", server.address);
    let ended =
        patchgate(&["rollout", "pause", "fix", "--if-version", "6", "--idempotency-key", "k9", "--server", &url], &[]);
    assert_eq!((ended.code, &*ended.out), (5, ""), "{ended:?}");
    assert!(ended.err.starts_with("patchgate: error: not confirmed: "), "{ended:?}");
    assert!(ended.err.contains("with --if-version 6 --idempotency-key k9 finds out"), "{ended:?}");
}

#[test]
fn what_the_log_refuses_is_tried_again_but_is_no_open_question() {
    let api = Api::start(|_, _| {
        let mut response = problem(503, "log_unwritable", "the event log refuses to be written", json!({}));
        response.headers_mut().insert("retry-after", 0.into());
        response
    });
    let ended = api.run(&["rollout", "abort", "fix"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("refuses to be written (request r42)"), "{ended:?}");
    let keys: Vec<String> = api.seen().iter().map(|seen| seen.header("idempotency-key")).collect();
    assert!(keys.len() > 1 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_refusal_is_told_with_its_parts_and_is_final() {
    let api = Api::start(|_, _| {
        let errors = json!([{"path": "stages[0].percent", "detail": "is over 100%; write at most 100%"}]);
        problem(422, "invalid_rollout", "the definition has errors", json!({ "errors": errors }))
    });
    let ended = api.run(&["rollout", "abort", "fix"]);
    assert_eq!(ended.code, 1);
    let expected = "patchgate: error: the definition has errors\n  stages[0].percent: is over 100%; write at most 100% \
                    (request r42)\n";
    assert_eq!(ended.err, expected);
    assert_eq!(api.seen().len(), 1);
}
