//! The trail of a request, stage by stage.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use patchgate_config::compile;
use patchgate_config::load::from_text;
use patchgate_config::rollout_table::RolloutTable;
use patchgate_config::snapshot::Snapshot;
use patchgate_proxy::explain::{Found, Question, RuleKind, Trail, explain};

const CONFIG: &str = r#"
listeners:
  - { name: edge, address: "127.0.0.1:0", assign: true, trust: { addresses: [10.0.0.0/8] } }
  - { name: mesh, address: "127.0.0.1:0", trust: { addresses: [10.0.0.0/8] } }
services:
  - name: checkout
    routes: [{ host: shop.example.com, path_prefix: /checkout }, { path_prefix: /pay }]
    stable: { version: v1, endpoints: ["127.0.0.1:9001", "127.0.0.1:9003"] }
  - name: search
    routes: [{ host: "*.example.com", path_prefix: /search }]
    stable: { version: v7, endpoints: ["127.0.0.1:9004"] }
    fallback: fail
routes:
  - { host: old.example.com, redirect: { host: shop.example.com, status: 301 } }
  - { path_prefix: /gone, direct_response: { status: 410, body: gone } }
rollouts:
  - name: npe-fix
    service: checkout
    version: v2
    group: lane
    endpoints: ["127.0.0.1:9002"]
    force_stable: [{ header: { name: x-tenant, equals: frozen } }]
    assign: [{ header: { name: x-beta, equals: "1" } }, { percent: { key: "cookie:uid" } }]
    stages: [{ percent: 25 }]
telemetry: { sampling: { default: 0.01 } }
"#;

const PARENT: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
const INSIDE: &str = "10.1.2.3";
const OUTSIDE: &str = "192.0.2.9";

fn compiled(config: &str) -> Snapshot {
    let loaded = from_text("test.yaml", config, &|_| None).unwrap_or_else(|error| panic!("{error}"));
    compile(&loaded.model, &RolloutTable::from_model(&loaded.model), 7)
}

fn snapshot() -> Snapshot {
    compiled(CONFIG)
}

fn question(listener: &str, client: &str, uri: &str, fields: &[(&str, &str)]) -> Question {
    let headers: HeaderMap = fields
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    Question {
        method: Method::GET,
        uri: uri.parse().unwrap(),
        headers,
        client: client.parse().unwrap(),
        listener: listener.to_owned(),
        random: Some(1 << 63),
    }
}

fn ask(listener: &str, client: &str, uri: &str, fields: &[(&str, &str)]) -> Trail {
    explain(&snapshot(), &question(listener, client, uri, fields)).unwrap()
}

const CHECKOUT_URL: &str = "http://shop.example.com/checkout/cart?a=1";

#[test]
fn a_listener_that_is_not_there_is_an_error_that_names_those_that_are() {
    let error = explain(&snapshot(), &question("wbe", INSIDE, "/", &[])).unwrap_err();
    assert_eq!(error.to_string(), "no listener is named \"wbe\"; the configuration has edge, mesh");
}

#[test]
fn what_is_refused_says_so_and_goes_no_further() {
    let trail = ask("edge", INSIDE, "/pay", &[]);
    let refused = trail.refused.unwrap();
    assert_eq!((refused.status, refused.code), (400, "host_missing"));
    assert!(trail.route.is_none() && trail.decision.is_none() && trail.sampling.is_none());
    let trail = ask("edge", INSIDE, "http://shop.example.com/elsewhere", &[]);
    assert_eq!(trail.refused.map(|refused| (refused.status, refused.code)), Some((404, "no_route")));
}

#[test]
fn a_route_is_told_by_its_host_pattern_prefix_and_service() {
    let cases = [
        (CHECKOUT_URL, ("shop.example.com", "/checkout", "checkout")),
        ("http://any.test/pay/now", ("*", "/pay", "checkout")),
        ("http://www.example.com/search", ("*.example.com", "/search", "search")),
    ];
    for (uri, expected) in cases {
        let route = ask("edge", INSIDE, uri, &[]).route.unwrap();
        assert_eq!(
            (route.host.as_str(), route.path_prefix.as_str(), route.service.as_deref().unwrap()),
            expected,
            "{uri}"
        );
    }
}

#[test]
fn what_a_route_answers_itself_is_told_without_a_decision() {
    let trail = ask("edge", INSIDE, "http://old.example.com/a?b", &[PARENT]);
    assert_eq!(trail.route.as_ref().map(|route| &route.service), Some(&None));
    let answer = trail.answer.unwrap();
    assert_eq!((answer.kind, answer.status), ("redirect", 301));
    assert_eq!(answer.location.as_deref(), Some("http://shop.example.com/a?b"));
    assert!(trail.refused.is_none() && trail.decision.is_none() && trail.upstream.is_none());
    assert!(trail.trace.unwrap().followed && trail.sampling.is_some());
    let answer = ask("edge", INSIDE, "http://any.test/gone", &[]).answer.unwrap();
    assert_eq!((answer.kind, answer.status, answer.location), ("direct_response", 410, None));
}

#[test]
fn a_rewritten_path_is_told() {
    let config = CONFIG.replace("{ path_prefix: /pay }", "{ path_prefix: /pay, rewrite: { path_prefix: /v1 } }");
    let trail = explain(&compiled(&config), &question("edge", INSIDE, "http://any.test/pay/now", &[])).unwrap();
    assert_eq!(trail.route.unwrap().rewritten.as_deref(), Some("/v1/now"));
    assert_eq!(ask("edge", INSIDE, CHECKOUT_URL, &[]).route.unwrap().rewritten, None);
}

#[test]
fn a_trusted_mark_is_followed_and_its_rules_are_told() {
    let marked = [PARENT, ("tracestate", "patch-group=lane,patch-version=v2")];
    let trail = ask("mesh", INSIDE, CHECKOUT_URL, &marked);
    assert_eq!((trail.revision, trail.listener.trusted_by.as_deref()), (7, Some("10.0.0.0/8")));
    let mark = trail.mark.unwrap();
    assert_eq!((mark.result, mark.group.as_deref(), mark.version.as_deref()), ("trusted", Some("lane"), Some("v2")));
    let rules: Vec<_> = trail.rules.iter().map(|rule| (rule.kind, rule.matched)).collect();
    assert_eq!(rules, [(RuleKind::Group, true), (RuleKind::ForceStable, false)]);
    let decision = trail.decision.unwrap();
    assert_eq!((decision.track, decision.reason, decision.assigned), ("canary", "mark", false));
    assert_eq!((decision.backend.as_str(), decision.version.as_str()), ("npe-fix", "v2"));
    assert_eq!(decision.endpoints, ["127.0.0.1:9002"]);
    assert_eq!(decision.fallback.as_deref(), Some("checkout/stable"));
    let sampling = trail.sampling.unwrap();
    assert_eq!((sampling.sampled, sampling.by, sampling.threshold.as_deref()), (true, "raised", Some("0")));
    assert_eq!((sampling.reason, sampling.channel), (Some("mark"), Some("canary")));
    // The low 56 bits of the trace id.
    assert_eq!(sampling.randomness, "ce929d0e0e4736");
    let upstream = trail.upstream.unwrap();
    assert!(upstream.traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{}", upstream.traceparent);
    assert!(upstream.traceparent.ends_with("-01") && !upstream.fresh_trace_id);
    assert_eq!(upstream.tracestate.as_deref(), Some("ot=th:0,patch-group=lane,patch-version=v2"));
}

#[test]
fn a_strangers_mark_is_told_and_not_followed() {
    let marked = [PARENT, ("tracestate", "patch-group=lane,patch-version=v2")];
    let trail = ask("mesh", OUTSIDE, CHECKOUT_URL, &marked);
    assert!(!trail.listener.trusted && trail.listener.trusted_by.is_none());
    assert_eq!(trail.mark.map(|mark| (mark.result, mark.group)), Some(("untrusted", None)));
    let trace = trail.trace.unwrap();
    assert_eq!((trace.traceparent.found, trace.followed, trace.linked), (Found::Valid, false, true));
    let upstream = trail.upstream.unwrap();
    assert!(upstream.fresh_trace_id && !upstream.traceparent.contains("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(upstream.tracestate, None);
}

#[test]
fn what_is_wrong_with_a_trace_context_is_named() {
    let fields = [("traceparent", "00-XYZ"), ("tracestate", "UPPER=1")];
    let trace = ask("mesh", INSIDE, CHECKOUT_URL, &fields).trace.unwrap();
    assert_eq!((trace.traceparent.found, trace.traceparent.code), (Found::Invalid, Some("length")));
    assert_eq!((trace.tracestate.found, trace.tracestate.code), (Found::Invalid, Some("bad_key")));
    assert_eq!(trace.traceparent.why.as_deref(), Some("traceparent of a wrong length"));
    let absent = ask("mesh", INSIDE, CHECKOUT_URL, &[]).trace.unwrap();
    assert_eq!((absent.traceparent.found, absent.tracestate.found), (Found::Absent, Found::Absent));
    // The mark is legal, but stands beside a traceparent that is not.
    let orphaned = [("traceparent", "00-XYZ"), ("tracestate", "patch-group=lane,patch-version=v2")];
    assert_eq!(ask("mesh", INSIDE, CHECKOUT_URL, &orphaned).mark.map(|mark| mark.result), Some("orphaned"));
}

#[test]
fn a_percentage_tells_key_bucket_exposure_and_outcome() {
    let outcomes: Vec<_> = (0..64)
        .map(|user| {
            let cookie = format!("uid=user-{user}");
            let trail = ask("edge", INSIDE, CHECKOUT_URL, &[("cookie", &cookie)]);
            let kinds: Vec<_> = trail.rules.iter().map(|rule| rule.kind).collect();
            assert_eq!(kinds, [RuleKind::ForceStable, RuleKind::Assign, RuleKind::Percent]);
            let percent = trail.rules[2].percent.clone().unwrap();
            assert_eq!(
                (percent.key.as_str(), percent.exposure, percent.control_from),
                ("cookie:uid", 250_000, 750_000)
            );
            assert_eq!(percent.value.as_deref(), Some(&cookie["uid=".len()..]));
            let expected = match percent.bucket {
                ..250_000 => "canary",
                750_000.. => "control",
                _ => "stable",
            };
            let track = trail.decision.unwrap().track;
            assert_eq!((percent.outcome, track), (expected, expected));
            assert_eq!(trail.rules[2].matched, expected == "canary");
            expected
        })
        .collect();
    for outcome in ["canary", "control", "stable"] {
        assert!(outcomes.contains(&outcome), "{outcome} among 64 users");
    }
}

#[test]
fn a_request_without_the_key_is_drawn_and_can_be_drawn_again() {
    let snapshot = snapshot();
    let asked = Question { random: None, ..question("edge", INSIDE, CHECKOUT_URL, &[]) };
    let first = explain(&snapshot, &asked).unwrap();
    let percent = first.rules.last().unwrap().percent.as_ref().unwrap();
    assert_eq!(percent.value, None);
    let random = u64::from_str_radix(&first.random, 16).unwrap();
    let again = explain(&snapshot, &Question { random: Some(random), ..asked }).unwrap();
    assert_eq!(again, first, "the same chance, the same answer");
}

#[test]
fn rules_that_are_not_come_to_are_not_told() {
    let beta = ask("edge", INSIDE, CHECKOUT_URL, &[("x-beta", "1")]);
    assert_eq!(beta.rules.last().map(|rule| (rule.kind, rule.matched)), Some((RuleKind::Assign, true)));
    assert_eq!(beta.rules[1].wants, "header x-beta equals \"1\"");
    assert_eq!(beta.upstream.unwrap().tracestate.as_deref(), Some("patch-group=lane,patch-version=v2,ot=th:0"));
    let frozen = ask("edge", INSIDE, CHECKOUT_URL, &[("x-beta", "1"), ("x-tenant", "frozen")]);
    assert_eq!(frozen.rules.len(), 1);
    assert_eq!(frozen.decision.map(|decision| decision.reason), Some("force_stable"));
    assert!(ask("mesh", INSIDE, CHECKOUT_URL, &[("x-beta", "1")]).rules.is_empty(), "no edge assigns nothing");
}

#[test]
fn a_service_that_fails_rather_than_falls_back_says_so() {
    let decision = ask("edge", INSIDE, "http://www.example.com/search", &[]).decision.unwrap();
    assert_eq!((decision.backend.as_str(), decision.fallback), ("search/stable", None));
}

#[test]
fn the_json_is_the_plain_data() {
    let trail = ask("edge", INSIDE, CHECKOUT_URL, &[("cookie", "uid=7")]);
    let json = serde_json::to_value(&trail).unwrap();
    assert_eq!(json["listener"]["name"], "edge");
    assert_eq!(json["rules"][2]["kind"], "percent");
    assert_eq!(json["trace"]["traceparent"]["found"], "absent");
    assert!(json["refused"].is_null());
}

#[test]
fn the_second_rollout_is_looked_at_after_the_first() {
    let second = r#"
  - { name: second, service: checkout, version: v3, group: other, endpoints: ["127.0.0.1:9005"], pin_version: true,
      assign: [{ query: { name: beta } }] }
telemetry:"#;
    let snapshot = compiled(&CONFIG.replace("\ntelemetry:", second));
    let rules = |question: &Question| -> Vec<(String, RuleKind, bool)> {
        let steps = explain(&snapshot, question).unwrap().rules;
        steps.into_iter().map(|rule| (rule.rollout, rule.kind, rule.matched)).collect()
    };
    let told = |rollout: &str, kind, matched| (rollout.to_owned(), kind, matched);
    let asked = question("edge", INSIDE, &format!("{CHECKOUT_URL}&beta"), &[]);
    assert_eq!(
        rules(&asked),
        [
            told("npe-fix", RuleKind::ForceStable, false),
            told("npe-fix", RuleKind::Assign, false),
            told("npe-fix", RuleKind::Percent, false),
            told("second", RuleKind::Assign, true),
        ]
    );
    let pinned =
        question("mesh", INSIDE, CHECKOUT_URL, &[PARENT, ("tracestate", "patch-group=other,patch-version=v9")]);
    assert_eq!(
        rules(&pinned),
        [
            told("npe-fix", RuleKind::Group, false),
            told("second", RuleKind::Group, true),
            told("second", RuleKind::Version, false),
        ]
    );
}
