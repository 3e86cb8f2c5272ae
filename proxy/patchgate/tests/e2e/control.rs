//! The control plane and the configuration file, and the end of requests that a withdrawal does not wait for.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use patchgate_testkit::client::Client;
use patchgate_testkit::eventually;
use patchgate_testkit::upstream::Upstream;
use serde_json::json;

use super::admin::{Admin, config, folded, rollout};
use super::start;

#[test]
fn what_the_file_declares_is_imported_once_and_differs_visibly_ever_after() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    let declare = |version: &str, percent: u32| {
        let mut fix = rollout("fix", hot_fix.address);
        fix["stages"] = json!([{ "percent": percent }]);
        let config = config(stable.address, &data).replace("v2.1.2", version);
        format!("{config}rollouts: [{fix}]\n")
    };
    let gateway = start(&declare("v2.1.2", 10));
    let admin = Admin::of(&gateway, "ann");
    let imported = admin.get("/v1/rollouts/fix");
    assert_eq!((&imported["state"], &imported["exposure_percent"]), (&"canary".into(), &10.0.into()));
    let digest = admin.get("/v1/config")["digest"].as_str().unwrap().to_owned();
    let history = admin.get("/v1/rollouts/fix/history");
    assert_eq!(history["items"][0]["event"]["origin"]["file"]["digest"], digest, "the event names the file's hash");
    assert_eq!(history["items"][0]["actor"], "configuration");

    // Another share in the file: shown, not applied.
    gateway.rewrite(&declare("v2.1.2", 50));
    gateway.wait_for("configuration reloaded");
    let drift = eventually("the drift", || admin.get("/v1/rollouts/fix")["drift"].as_str().map(str::to_owned));
    assert!(drift.contains("stages"), "{drift}");
    assert_eq!(admin.get("/v1/config")["drift"][0]["rollout"], "fix");
    assert_eq!(admin.get("/v1/rollouts/fix")["exposure_percent"], 10.0);
    assert_eq!(folded(&data).state().sequence, 2);

    // Promoted, and stable becomes the patch's version: that is its completion.
    let promoted = admin.ask("POST", "/v1/rollouts/fix/promote", &[("if-match", "*")], r#"{"full":true}"#).unwrap();
    assert_eq!(promoted.body["rollout"]["state"], "promoted", "{promoted:?}");
    gateway.rewrite(&declare("v2.1.3", 10));
    eventually("its completion", || (admin.get("/v1/rollouts/fix")["state"] == "completed").then_some(()));

    // A new process imports nothing again.
    let before = folded(&data).state().sequence;
    drop(gateway);
    let gateway = start(&declare("v2.1.3", 10));
    let after = Admin::of(&gateway, "ann").get("/v1/state-hash");
    assert_eq!(after["sequence"], before);
}

#[test]
fn a_withdrawal_ends_what_takes_longer_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let stable = Upstream::named("stable");
    // Never answers: every request of the hot-fix is in flight for good.
    let hot_fix = Upstream::start(|_| loop_for_ever());
    let gateway = start(&config(stable.address, &folder.path().join("data")));
    let admin = Admin::of(&gateway, "ann");
    let mut fix = rollout("fix", hot_fix.address);
    fix["on_withdraw"] = json!({ "cut_after": "200ms" });
    assert_eq!(admin.create(&fix).status, 201);
    eventually("the rollout to be served", || {
        (admin.get("/v1/rollouts/fix")["convergence"]["applied"] == 1).then_some(())
    });

    let mut client = Client::connect(gateway.address("web")).unwrap();
    let marked = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n\
                  tracestate: patch-group=backend-canary,patch-version=v2.1.3\r\n";
    client.send(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n{marked}\r\n")).unwrap();
    eventually("the request at the hot-fix", || (hot_fix.requests() > 0).then_some(()));

    let aborted = admin.ask("POST", "/v1/rollouts/fix/abort", &[], "{}").unwrap();
    assert_eq!(aborted.status, 200, "{aborted:?}");
    // What was sent and is not idempotent is not sent again, so its client is told.
    let reply = client.reply().unwrap();
    assert_eq!(reply.status, 503, "{}", reply.text());
    eventually("the end of it", || admin.get("/v1/rollouts/fix")["time_to_zero_canary_seconds"].as_f64());
    gateway.wait_for("requests cut");
}

fn loop_for_ever() -> Response<Bytes> {
    std::thread::park_timeout(Duration::from_secs(120));
    Response::new(Bytes::new())
}
