//! Creating, looking, changing.

use serde_json::{Value, json};

use crate::world::{rollout, serve};

#[tokio::test]
async fn a_rollout_is_created_watched_promoted_and_stopped_and_its_history_says_who_and_why() {
    let api = serve().await;
    let created = api
        .post("/v1/rollouts", &[("x-patchgate-actor", "ann")], json!({ "rollout": rollout("fix"), "reason": "NPE" }))
        .await;
    assert_eq!(created.status, 201);
    assert_eq!(created.headers["location"], "/v1/rollouts/fix");
    assert_eq!(created.headers["etag"], "\"2\"");
    assert_eq!(created.body["sequence"], 2);

    let seen = api.get("/v1/rollouts/fix").await;
    assert_eq!(seen.headers["etag"], "\"2\"");
    let seen = seen.ok();
    assert_eq!((&seen["state"], &seen["exposure_percent"]), (&json!("canary"), &json!(1.0)));
    assert_eq!(seen["patches"][0]["tracks"][0]["requests_per_second"], 40.0);
    assert_eq!(seen["convergence"], json!({ "applied": 1, "of": 1 }));
    assert_eq!(seen["waits_for"]["kind"], "person");
    assert!(seen["waits_for"]["message"].as_str().unwrap().contains("patchgate rollout promote fix"));

    let by_bob = [("if-match", "\"2\""), ("x-patchgate-actor", "bob")];
    let promoted = api.post("/v1/rollouts/fix/promote", &by_bob, json!({ "reason": "looks well" })).await.ok();
    assert_eq!(promoted["rollout"]["exposure_percent"], 20.0);
    let aborted = api.post("/v1/rollouts/fix/abort", &[("x-patchgate-actor", "eve")], json!({})).await.ok();
    assert_eq!((&aborted["rollout"]["state"], &aborted["sequence"]), (&json!("aborted"), &json!(4)));

    let history = api.get("/v1/rollouts/fix/history").await.ok();
    let story = history["items"].as_array().unwrap().iter();
    let story: Vec<_> =
        story.map(|event| (event["type"].as_str().unwrap(), event["actor"].as_str().unwrap())).collect();
    assert_eq!(story, [("created", "ann"), ("stage_entered", "ann"), ("stage_entered", "bob"), ("aborted", "eve")]);
    assert_eq!(history["items"][0]["reason"], "NPE");
}

#[tokio::test]
async fn a_change_needs_the_version_that_was_seen_and_a_stale_one_tells_who_was_first() {
    let api = serve().await;
    api.with_rollout("fix").await;
    let without = api.post("/v1/rollouts/fix/pause", &[], json!({})).await;
    assert_eq!((without.status.as_u16(), without.problem()), (428, "if_match_missing"));
    api.post("/v1/rollouts/fix/pause", &[("if-match", "\"2\""), ("x-patchgate-actor", "bob")], json!({})).await.ok();
    let stale = api.post("/v1/rollouts/fix/promote", &[("if-match", "\"2\"")], json!({})).await;
    assert_eq!((stale.status.as_u16(), stale.problem()), (412, "version_mismatch"));
    assert_eq!((&stale.body["version"], &stale.body["changed_by"]), (&json!(3), &json!("bob")));
    assert!(stale.body["detail"].as_str().unwrap().contains("patchgate rollout get fix"));
    let resumed = api.post("/v1/rollouts/fix/resume", &[("if-match", "*")], json!({})).await;
    let odd = api.post("/v1/rollouts/fix/resume", &[("if-match", "three")], json!({})).await;
    assert_eq!((odd.status.as_u16(), odd.problem()), (400, "invalid_if_match"));
    let seen = axum::http::Request::get("/v1/rollouts/fix").header("if-none-match", &resumed.headers["etag"]);
    let unchanged = api.send(seen.body("".into()).unwrap()).await;
    assert_eq!(unchanged.status, 304);
}

#[tokio::test]
async fn the_same_key_does_it_once_and_another_request_may_not_use_it() {
    let api = serve().await;
    let key = [("idempotency-key", "k-1")];
    let body = json!({ "rollout": rollout("fix"), "reason": "NPE" });
    let first = api.post("/v1/rollouts", &key, body.clone()).await;
    let again = api.post("/v1/rollouts", &key, body.clone()).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(first.body["sequence"], again.body["sequence"]);
    let other = json!({ "rollout": rollout("fix"), "reason": "another" });
    let reused = api.post("/v1/rollouts", &key, other).await;
    assert_eq!((reused.status.as_u16(), reused.problem()), (422, "idempotency_key_reused"));
    let by_another = [("idempotency-key", "k-1"), ("x-patchgate-actor", "bob")];
    assert_eq!(api.post("/v1/rollouts", &by_another, body).await.problem(), "idempotency_key_reused");
    let ask = [("if-match", "\"2\""), ("idempotency-key", "k-2")];
    api.post("/v1/rollouts/fix/pause", &ask, json!({})).await.ok();
    let replayed = api.post("/v1/rollouts/fix/pause", &ask, json!({})).await;
    assert_eq!(replayed.headers["idempotent-replayed"], "true");
    replayed.ok();
}

#[tokio::test]
async fn a_dry_run_tells_what_would_move_and_changes_nothing() {
    let api = serve().await;
    let dry = api.post("/v1/rollouts?dry_run=true", &[], json!({ "rollout": rollout("fix") })).await.ok();
    assert_eq!(dry["sequence"], 0);
    assert_eq!(
        (&dry["effect"][0]["service"], &dry["effect"][0]["exposure_after_percent"]),
        (&json!("shop"), &json!(1.0))
    );
    assert_eq!(api.controller.state().sequence, 0);
    api.with_rollout("fix").await;
    let dry = api.post("/v1/rollouts/fix/promote?dry_run=true", &[], json!({ "full": true })).await.ok();
    assert_eq!(dry["effect"][0]["exposure_after_percent"], 100.0);
    assert_eq!(api.controller.state().sequence, 2);
}

#[tokio::test]
async fn what_a_rollout_was_made_of_can_be_created_again() {
    let api = serve().await;
    api.with_rollout("fix").await;
    let changed = json!({ "force_stable": [{ "header": { "name": "x-vip" } }], "reason": "vip" });
    api.ask("PUT", "/v1/rollouts/fix/force-stable", &[("if-match", "\"2\"")], &changed).await.ok();
    let seen = api.get("/v1/rollouts/fix").await.ok();
    assert_eq!(seen["definition"]["force_stable"][0]["header"]["name"], "x-vip");
    api.post("/v1/rollouts/fix/abort", &[], json!({})).await.ok();
    let again = api.post("/v1/rollouts", &[], json!({ "rollout": seen["definition"] })).await.ok();
    assert_eq!(again["rollout"]["definition"], seen["definition"]);
    let bad = json!({ "force_stable": [{ "header": { "name": "x vip" } }] });
    let bad = api.ask("PUT", "/v1/rollouts/fix/force-stable", &[("if-match", "*")], &bad).await;
    assert_eq!(bad.problem(), "invalid_force_stable");
    assert_eq!(bad.body["errors"][0]["path"], "force_stable[0].header.name");
}

#[tokio::test]
async fn two_operators_at_once_exactly_one_wins_each_version() {
    let api = serve().await;
    api.with_rollout("fix").await;
    for round in 0..25 {
        let seen = api.get("/v1/rollouts/fix").await;
        let etag = seen.headers["etag"].to_str().unwrap().to_owned();
        let verb = if round % 2 == 0 { "pause" } else { "resume" };
        let path = format!("/v1/rollouts/fix/{verb}");
        let (ann, bob) = (
            [("if-match", &*etag), ("x-patchgate-actor", "ann")],
            [("if-match", &*etag), ("x-patchgate-actor", "bob")],
        );
        let (one, two) = tokio::join!(api.post(&path, &ann, json!({})), api.post(&path, &bob, json!({})));
        let mut codes = [one.status.as_u16(), two.status.as_u16()];
        codes.sort_unstable();
        assert_eq!(codes, [200, 412]);
    }
}

#[tokio::test]
async fn pages_hold_every_rollout_and_every_event_once() {
    let api = serve().await;
    for n in 0..7 {
        let body = json!({ "rollout": rollout(&format!("r{n}")), "start": false });
        api.post("/v1/rollouts", &[], body).await.ok();
    }
    api.post("/v1/rollouts/r3/abort", &[], json!({})).await.ok();
    let mut names = Vec::new();
    let mut path = "/v1/rollouts?limit=3".to_owned();
    loop {
        let page = api.get(&path).await.ok();
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/rollouts?limit=3&cursor={next}");
    }
    assert_eq!(names, ["r0", "r1", "r2", "r3", "r4", "r5", "r6"]);
    assert_eq!(api.get("/v1/rollouts?state=live").await.ok()["items"].as_array().unwrap().len(), 6);

    let mut sequences = Vec::new();
    let mut path = "/v1/events?limit=3".to_owned();
    loop {
        let page = api.get(&path).await.ok();
        sequences.extend(page["items"].as_array().unwrap().iter().map(|item| item["sequence"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/events?limit=3&cursor={next}");
    }
    assert_eq!(sequences, (1..=8).collect::<Vec<_>>());
    let aborted = api.get("/v1/events?type=aborted").await.ok();
    assert_eq!(aborted["items"][0]["rollout"], "r3");
    assert_eq!(api.get("/v1/events?rollout=r5&from=2").await.ok()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_log_verifies_against_the_state_in_force() {
    let api = serve().await;
    api.with_rollout("fix").await;
    let hash: Value = api.get("/v1/state-hash").await.ok();
    let verified = api.post("/v1/verify", &[], json!({})).await.ok();
    assert_eq!(verified["folded"], hash);
    assert_eq!((&verified["matches_server"], &verified["events"]), (&json!(true), &json!(2)));
    let last = api.store.read(2, 1).await.unwrap().pop().unwrap();
    assert_eq!(hash["head"], last.hash.to_string());
}
