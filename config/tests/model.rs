//! Every field of the file reaches its place in the model, and from there the snapshot.

mod common;

use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use patchgate_config::compile;
use patchgate_config::load::{FileError, from_text, from_text_with};
use patchgate_config::model::{DEADLINE, Gates, Model, OnFail, OnWithdraw, Patch, Route, Stage};
use patchgate_config::rollout_table::RolloutTable;
use patchgate_config::routes::HostPattern;
use patchgate_config::snapshot::{
    AssignRule, Drain, Exposure, Fallback, Forwarded, HeaderPolicy, Hedge, Limits, LocalAnswer, OtlpProtocol,
    PathChange, Redirect, RequestMatch, Retry, RetryOn, Scheme, StickyKey, Timeouts,
};
use patchgate_config::tls::{NamePattern, SubjectName, TlsVersion};

fn model(name: &str) -> std::sync::Arc<Model> {
    let path = common::fixtures("good").into_iter().find(|path| path.ends_with(name)).expect("the fixture is there");
    from_text(name, &common::read(&path), &common::env).unwrap_or_else(|report| panic!("{report}")).model
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_listener_is_as_it_is_written() {
    let model = model("every-field.yaml");
    assert_eq!(model.workers.map(Into::into), Some(4_usize));
    let listener = &*model.listeners[0];
    assert_eq!((&*listener.name, listener.address.to_string()), ("edge", "[::1]:8082".to_owned()));
    assert_eq!(listener.trust.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "fd00::/8"]);
    assert!(listener.baggage && listener.assign);
    let limits = Limits {
        connections: 100,
        header_bytes: 32 << 10,
        header_count: 50,
        header_timeout: seconds(5),
        body_idle_timeout: seconds(60),
        idle_timeout: seconds(150),
        streams: 64,
    };
    assert_eq!(listener.limits, limits);
    let headers = HeaderPolicy {
        x_forwarded: Forwarded::Replace,
        forwarded: Forwarded::Append,
        via: false,
        request_id: false,
        expose_trace: true,
    };
    assert_eq!(listener.headers, headers);
}

#[test]
fn a_service_is_as_it_is_written() {
    let model = model("every-field.yaml");
    let service = &model.services[0];
    assert_eq!((&*service.name, &*service.version, service.may_mark), ("checkout", "1.10", false));
    let route = |host: HostPattern, prefix: &str, rewrite| Route { host, path_prefix: prefix.to_owned(), rewrite };
    let exact = |host: &str| HostPattern::Exact(host.to_owned());
    let routes = [
        route(exact("shop.example.com"), "/checkout", None),
        route(HostPattern::Suffix(".example.com".to_owned()), "/", None),
        route(exact("api.example.com"), "/v1/", Some(PathChange::Prefix("/v1".len(), "/internal".to_owned()))),
        route(exact("api.example.com"), "/ping", Some(PathChange::Full("/healthz".to_owned()))),
    ];
    assert_eq!(service.routes, routes);
    let endpoints: Vec<String> = service.endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["10.0.0.1:9001", "[fd00::1]:9001"]);
    let timeouts = Timeouts {
        connect: Duration::from_millis(250),
        first_byte: seconds(2),
        idle: seconds(30),
        total: seconds(300),
    };
    assert_eq!((service.fallback, service.timeouts), (Fallback::Stable, timeouts));
    assert_eq!(service.max_exposure.millionths(), 500_000);
    let retry = Retry {
        attempts: 3,
        budget: 0.1,
        on: vec![RetryOn::ConnectFailure, RetryOn::Reset, RetryOn::Status(StatusCode::SERVICE_UNAVAILABLE)],
        methods: vec![Method::GET],
        backoff: Duration::from_millis(10),
        backoff_max: Duration::from_secs(1),
    };
    assert_eq!(service.retry, Some(retry));
    assert_eq!(service.upgrades, ["websocket", "example/1"]);
    let methods = vec![Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
    assert_eq!(service.hedge, Some(Hedge { after: Some(Duration::from_millis(50)), budget: 0.1, methods }));
}

#[test]
fn a_rollout_is_as_it_is_written() {
    let model = model("every-field.yaml");
    let rollout = &model.rollouts[0];
    let [patch] = &*rollout.patches else { panic!("it is one") };
    let names = [&rollout.name, &patch.service, &patch.version, &rollout.group].map(|name| &**name);
    assert_eq!(names, ["checkout-fix", "checkout", "v2.1.3-alpha", "backend-canary"]);
    assert!(patch.pin_version && !patch.may_mark);
    let address = |text: &str| RequestMatch::Address(text.parse().expect("a range"));
    let force_stable = [RequestMatch::Cookie("vip".to_owned(), None), address("10.9.0.0/16")];
    assert_eq!(rollout.force_stable, force_stable);
    let assign = [
        AssignRule::Match(RequestMatch::Header(HeaderName::from_static("x-beta"), Some("1".to_owned()))),
        AssignRule::Match(RequestMatch::Cookie("beta".to_owned(), None)),
        AssignRule::Match(RequestMatch::Query("beta".to_owned(), Some("yes".to_owned()))),
        AssignRule::Match(address("10.1.2.3/32")),
        AssignRule::Percent(StickyKey::Header(HeaderName::from_static("x-user"))),
    ];
    assert_eq!(rollout.assign, assign);
    let stages = [
        Stage { exposure: Exposure::from_millionths(5_000), hold: Some(seconds(300)) },
        Stage { exposure: Exposure::from_millionths(500_000), hold: Some(seconds(3600)) },
        Stage { exposure: Exposure::ALL, hold: None },
    ];
    assert_eq!(rollout.stages, stages);
    assert_eq!(rollout.deadline, seconds(36 * 3600));
    assert_eq!(rollout.approval_above, Some(Exposure::from_millionths(250_000)));
    assert_eq!(rollout.on_withdraw, OnWithdraw::CutAfter(seconds(2)));
    let gates =
        Gates { error_rate_worse_by: Some(0.005), latency_p99_ratio: Some(1.2), consistency_at_least: Some(0.999) };
    assert_eq!((rollout.gates, rollout.on_fail), (gates, OnFail::Freeze));
}

#[test]
fn a_set_is_as_it_is_written() {
    let model = model("every-field.yaml");
    let rollout = &model.rollouts[1];
    assert_eq!((&*rollout.name, &*rollout.group), ("basket-fix", "basket-canary"));
    let patch = |service: &str, version: &str, endpoint: &str, pin_version, may_mark| Patch {
        service: service.into(),
        version: version.into(),
        endpoints: vec![endpoint.parse().expect("an address")],
        pin_version,
        may_mark,
    };
    let patches = [
        patch("checkout", "v2.1.4", "10.0.0.3:9001", true, false),
        patch("catalog", "v7.0.2", "10.0.0.4:9001", false, true),
    ];
    assert_eq!(rollout.patches, patches);
    assert_eq!((rollout.deadline, rollout.approval_above), (DEADLINE, None));
    assert_eq!(rollout.on_withdraw, OnWithdraw::CutAfter(Duration::ZERO));
}

#[test]
fn the_rest_is_as_it_is_written() {
    let model = model("every-field.yaml");
    let telemetry = &model.telemetry;
    assert_eq!(telemetry.service_name, "gate");
    assert_eq!((telemetry.sample_default, telemetry.sample_canary), (0.05, 1.0));
    assert!(telemetry.clear_random_flag && telemetry.access_log);
    assert_eq!(telemetry.response_marks_per_second, 5);
    let normal = telemetry.otlp.as_ref().expect("it is written");
    assert_eq!(
        (normal.endpoint.to_string(), normal.protocol),
        ("http://collector:4318/".to_owned(), OtlpProtocol::Grpc)
    );
    assert_eq!((normal.timeout, normal.queue_spans, normal.queue_bytes), (seconds(3), 1000, 1 << 20));
    let canary = telemetry.canary_otlp.as_ref().expect("it is written");
    assert_eq!(
        (canary.endpoint.to_string(), canary.protocol),
        ("http://127.0.0.1:5318/base".to_owned(), OtlpProtocol::Http)
    );
    assert_eq!(model.health.to_string(), "127.0.0.1:0");
    assert_eq!(model.drain, Drain { delay: Duration::ZERO, timeout: seconds(10) });
}

#[test]
fn the_canary_channel_has_the_normal_channels_collector_if_none_is_named() {
    let model = model("one-worker.yaml");
    assert!(model.telemetry.otlp.is_some());
    assert_eq!(model.telemetry.canary_otlp, model.telemetry.otlp);
}

#[test]
fn an_empty_trust_list_trusts_nobody_and_none_trusts_loopback() {
    let loopback = [127, 0, 0, 1].into();
    assert!(!model("trusts-nobody.yaml").listeners[0].trusts(loopback, &[]));
    assert!(model("least.yaml").listeners[0].trusts(loopback, &[]));
    assert!(!model("least.yaml").listeners[0].trusts([10, 0, 0, 1].into(), &[]));
}

#[test]
fn an_alias_is_what_its_anchor_is() {
    let model = model("aliases.yaml");
    assert_eq!(model.listeners[1].limits.connections, 10);
    assert_eq!(model.services[1].endpoints, model.services[0].endpoints);
}

#[test]
fn a_snapshot_has_what_the_model_has() {
    let model = model("every-field.yaml");
    let snapshot = compile(&model, &RolloutTable::from_model(&model), 3);
    assert_eq!((snapshot.revision, &snapshot.digest, snapshot.workers), (3, &model.digest, model.workers));
    assert_eq!((&snapshot.listeners, &snapshot.telemetry), (&model.listeners, &model.telemetry));
    assert_eq!((snapshot.health, snapshot.drain), (Some(model.health), model.drain));
    let rollout = &snapshot.rollouts[0];
    assert_eq!((&rollout.assign, &rollout.force_stable), (&model.rollouts[0].assign, &model.rollouts[0].force_stable));
    assert_eq!((rollout.pin_version, rollout.exposure.millionths()), (true, 5_000));
    assert!(!snapshot.backend(rollout.backend).may_mark);
}

#[test]
fn a_route_that_is_answered_here_is_as_it_is_written() {
    let model = model("every-field.yaml");
    let routes = &model.routes;
    let redirect = Redirect {
        scheme: Some(Scheme::Https),
        host: Some("new.example.com".to_owned()),
        port: Some(8443),
        path: Some(PathChange::prefix("/", "/old".to_owned())),
        status: StatusCode::PERMANENT_REDIRECT,
    };
    assert_eq!(routes[0].host, HostPattern::Exact("old.example.com".to_owned()));
    assert_eq!(routes[0].answer, LocalAnswer::Redirect(redirect));
    assert_eq!(routes[1].answer.status(), StatusCode::FOUND);
    let LocalAnswer::Direct(robots) = &routes[2].answer else { panic!("{:?}", routes[2]) };
    assert_eq!(
        (&robots.body[..], robots.content_type.as_bytes()),
        (&b"User-agent: *\nDisallow: /\n"[..], &b"text/plain"[..])
    );
    let LocalAnswer::Direct(gone) = &routes[3].answer else { panic!("{:?}", routes[3]) };
    assert_eq!((gone.status, gone.body.len()), (StatusCode::GONE, 0));
}

#[test]
fn tls_is_as_it_is_written() {
    let model = model("every-field.yaml");
    let listener = model.listeners[0].tls.as_deref().unwrap();
    assert_eq!(listener.min_version, TlsVersion::V1_3);
    let names = ["shop.example.com", "*.example.com"].map(|name| SubjectName::Dns(name.to_owned()));
    assert_eq!(listener.credentials[0].names, names);
    let client = listener.client.as_ref().unwrap();
    assert!(!client.required);
    assert_eq!(client.names, [NamePattern::Uri("spiffe://mesh/web".to_owned())]);
    assert!(model.listeners[0].trusts([192, 0, 2, 1].into(), &[SubjectName::Dns("a.mesh.example".to_owned())]));
    let backend = model.services[0].tls.as_deref().unwrap();
    assert_eq!(backend.names, [NamePattern::Dns(HostPattern::Suffix(".example.com".to_owned()))]);
    assert!(backend.credentials.is_some() && backend.server_name.is_some());
    let signing = model.mark_signing.as_deref().unwrap();
    assert_eq!((signing.ttl, signing.key.bytes()[0]), (seconds(600), 0x01));
    assert_eq!(model.listeners[0].mark_keys[0].bytes()[8..11], [0xab, 0xcd, 0xef]);
    let files: Vec<_> = model.files().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(files, ["web.crt", "web.crt", "web.crt", "web.key", "web.crt", "web.key", "mark.key", "mark.key"]);
}

#[test]
fn what_is_made_of_other_certificates_is_another_model() {
    let text = |key: &str| {
        let files = format!("certificate_file: tests/fixtures/tls/web.crt, private_key_file: {key}");
        format!(
            "listeners: [{{ name: web, address: 127.0.0.1:1, tls: {{ certificates: [{{ {files} }}] }} }}]\n\
             services: [{{ name: a, routes: [{{ path_prefix: / }}], stable: {{ version: v, endpoints: [127.0.0.1:2] }} }}]"
        )
    };
    let read = |file: &std::path::Path| std::fs::read(file).map_err(FileError::Unreadable);
    let with_a_line_more = |file: &std::path::Path| read(file).map(|bytes| [&b"\n"[..], &bytes].concat());
    let text = text("tests/fixtures/tls/web.key");
    let [one, same] = [(); 2].map(|()| from_text_with("f.yaml", &text, &common::env, &read).unwrap().model);
    let other = from_text_with("f.yaml", &text, &common::env, &with_a_line_more).unwrap().model;
    assert!(one == same && one != other);
}
