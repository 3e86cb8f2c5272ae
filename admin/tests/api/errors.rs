//! Every answer that is not as wished is a problem document.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::world::{limits, rollout, serve, serve_with};

#[tokio::test]
async fn every_kind_of_error_is_a_problem_document_with_a_code() {
    let api = serve().await;
    api.with_rollout("fix").await;
    let large = json!({ "reason": "x".repeat(100 << 10) });
    let cases = [
        (api.get("/nowhere").await, 404, "not_found"),
        (api.get("/v1/rollouts/none").await, 404, "rollout_not_found"),
        (api.post("/v1/rollouts/none/pause", &[("if-match", "*")], json!({})).await, 404, "rollout_not_found"),
        (api.ask("DELETE", "/v1/rollouts/fix", &[], &json!({})).await, 405, "method_not_allowed"),
        (api.ask("PATCH", "/v1/rollouts/fix/pause", &[], &json!({})).await, 405, "method_not_allowed"),
        (api.post("/v1/rollouts/fix/pause", &[("if-match", "*")], large).await, 413, "body_too_large"),
        (api.post("/v1/rollouts/fix/pause", &[("if-match", "*")], json!({ "raeson": "x" })).await, 422, "invalid_body"),
        (api.post("/v1/rollouts/fix/resume", &[("if-match", "*")], json!({})).await, 409, "wrong_state"),
        (api.get("/v1/rollouts?limit=0").await, 400, "invalid_limit"),
        (api.get("/v1/rollouts?limit=many").await, 400, "invalid_query"),
        (api.get("/v1/rollouts?colour=red").await, 400, "invalid_query"),
        (api.get("/v1/rollouts?cursor=s3").await, 400, "invalid_cursor"),
        (api.get("/v1/events?cursor=nfix").await, 400, "invalid_cursor"),
        (api.get("/v1/rollouts/%ff").await, 400, "bad_request"),
        (api.post("/v1/rollouts", &[], json!({ "rollout": rollout("fix") })).await, 409, "name_taken"),
        (api.post("/v1/explain", &[], json!({})).await, 422, "invalid_question"),
        (api.post("/v1/explain", &[], json!({ "trace": "00" })).await, 404, "not_found"),
        (api.post("/v1/rollouts/fix/abort?dry_run=maybe", &[], json!({})).await, 400, "invalid_query"),
        (
            api.post("/v1/rollouts/fix/abort", &[("idempotency-key", "a b")], json!({})).await,
            400,
            "invalid_idempotency_key",
        ),
    ];
    for (answer, status, code) in cases {
        assert_eq!((answer.status.as_u16(), answer.problem()), (status, code), "{:?}", answer.body);
    }
    let text = |kind: &str, body: &'static str| {
        Request::post("/v1/rollouts").header("content-type", kind).body(Body::from(body)).unwrap()
    };
    let unsupported = api.send(text("text/plain", "{}")).await;
    assert_eq!((unsupported.status.as_u16(), unsupported.problem()), (415, "unsupported_media_type"));
    let malformed = api.send(text("application/json", "{")).await;
    assert_eq!((malformed.status.as_u16(), malformed.problem()), (400, "malformed_json"));
}

#[tokio::test]
async fn the_largest_numbers_are_no_defect() {
    let api = serve().await;
    api.with_rollout("fix").await;
    let most = u64::MAX;
    for path in [
        format!("/v1/events?from={most}"),
        format!("/v1/events?cursor=s{most}"),
        format!("/v1/rollouts/fix/history?cursor=s{most}"),
    ] {
        assert_eq!(api.get(&path).await.ok()["items"], json!([]), "{path}");
    }
    let stale = api.post("/v1/rollouts/fix/pause", &[("if-match", &format!("\"{most}\""))], json!({})).await;
    assert_eq!(stale.problem(), "version_mismatch");
}

#[tokio::test]
async fn a_rollout_with_errors_tells_all_of_them_with_their_places() {
    let api = serve().await;
    let mut bad = rollout("fix");
    bad["service"] = json!("shoop");
    bad["stages"] = json!([{ "percent": "20%" }, { "percent": "5%" }]);
    bad["colour"] = json!("red");
    let answer = api.post("/v1/rollouts", &[], json!({ "rollout": bad })).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (422, "invalid_rollout"));
    let errors: Vec<&str> =
        answer.body["errors"].as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect();
    assert!(errors.contains(&"colour") && errors.contains(&"stages[1].percent"), "{errors:?}");
    assert!(answer.body["errors"].to_string().contains("shoop"), "{}", answer.body);
}

#[tokio::test]
async fn conflicts_name_the_other_rollout() {
    let api = serve().await;
    let of_cart = |name: &str, group: &str, percent: &str| {
        let mut rollout = rollout(name);
        rollout["service"] = json!("cart");
        rollout["group"] = json!(group);
        rollout["stages"] = json!([{ "percent": percent }]);
        json!({ "rollout": rollout })
    };
    api.post("/v1/rollouts", &[], of_cart("one", "g", "20%")).await.ok();
    let same_group = api.post("/v1/rollouts", &[], of_cart("two", "g", "1%")).await;
    assert_eq!((same_group.status.as_u16(), same_group.problem()), (409, "group_taken"));
    assert_eq!(same_group.body["other"], "one");
    let too_much = api.post("/v1/rollouts", &[], of_cart("two", "h", "11%")).await;
    assert_eq!((too_much.status.as_u16(), too_much.problem()), (409, "exposure_cap"));
    assert!(too_much.body["detail"].as_str().unwrap().contains("`one` 20%"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let api = serve().await;
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/v1/rollouts").header("content-type", "application/json");
    let answer = api.send(request.body(endless).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (408, "slow_body"));
}

#[tokio::test]
async fn a_defect_is_a_500_that_says_nothing_of_itself_and_the_next_request_is_served() {
    let api = serve().await;
    let answer = api.post("/v1/explain", &[], json!({ "url": "/panic" })).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (500, "internal"));
    assert!(!answer.body.to_string().contains("asked to"));
    api.post("/v1/explain", &[], json!({ "url": "/fine" })).await.ok();
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_ask_again() {
    let api = serve_with(
        patchgate_admin::api::Auth::open(),
        patchgate_config::model::AdminLimits { requests_per_second: 1, ..limits() },
    )
    .await;
    let mut last = None;
    for _ in 0..3 {
        last = Some(api.get("/v1/whoami").await);
    }
    let last = last.unwrap();
    assert_eq!((last.status.as_u16(), last.problem()), (429, "rate_limited"));
    assert_eq!(last.headers["retry-after"], "1");
}

#[tokio::test]
async fn the_openapi_document_is_the_one_beside_the_code() {
    let api = serve().await;
    let served = api.get("/openapi.json").await.ok();
    assert_eq!(served["openapi"], "3.1.0");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    if std::env::var_os("PATCHGATE_BLESS").is_some() {
        std::fs::write(path, patchgate_admin::api::openapi()).unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(kept == served, "docs/openapi.json is old; PATCHGATE_BLESS=1 writes it anew");
}
