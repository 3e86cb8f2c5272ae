//! A hot-fix at three in the morning, from its creation to its proof: real processes, real traffic, and nothing but the
//! commands that a person types.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use patchgate_admin::api::dto::{Done, Event, Events, Rollout, StateHash, Verified};
use patchgate_testkit::client::{self, Client};
use patchgate_testkit::eventually;
use patchgate_testkit::process::Gateway;
use patchgate_testkit::upstream::Upstream;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::admin::config;
use super::start;

/// Users, each with a cookie of its own.
const USERS: usize = 400;

/// What the bad hot-fix answers once it is broken.
const BROKEN: u16 = 500;

/// The command line of one person, towards one gateway.
struct Person<'a> {
    name: &'a str,
    server: String,
}

impl<'a> Person<'a> {
    fn of(name: &'a str, gateway: &Gateway) -> Self {
        Self { name, server: format!("http://{}", gateway.address("admin")) }
    }

    /// Exit code, standard output, standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(super::BINARY);
        command.args(arguments).args(["--server", &self.server]).env("USER", self.name).env_remove("PATCHGATE_TOKEN");
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// What a person reads.
    fn reads(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }

    /// What a machine reads.
    fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let out = self.reads(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {out}"))
    }

    fn rollout(&self) -> Rollout {
        self.json(&["rollout", "get", "npe-fix"])
    }
}

fn fix(hot_fix: &Upstream) -> String {
    format!(
        r#"
name: npe-fix
service: shop
version: v2.1.3
group: backend-canary
endpoints: ["{}"]
assign: [{{ percent: {{ key: "cookie:uid" }} }}]
stages: [{{ percent: 1% }}, {{ percent: 25%, hold: 1h }}, {{ percent: 100% }}]
"#,
        hot_fix.address
    )
}

/// One request of each user: how many the hot-fix answered, and with which statuses besides 200.
fn everybody(gateway: &Gateway) -> (usize, Vec<u16>) {
    let mut connection = Client::connect(gateway.address("web")).unwrap();
    let (mut canary, mut failed) = (0, Vec::new());
    for user in 0..USERS {
        let reply = connection.get("/checkout", &[("cookie", &format!("uid=user-{user}"))]).unwrap();
        canary += usize::from(reply.header("x-backend") == Some("hot-fix"));
        if reply.status != 200 {
            failed.push(reply.status);
        }
    }
    (canary, failed)
}

/// The hot-fix: fine, until it is broken.
fn hot_fix(broken: &Arc<AtomicBool>, served: &Arc<AtomicUsize>) -> Upstream {
    let (broken, served) = (Arc::clone(broken), Arc::clone(served));
    Upstream::start(move |_| {
        served.fetch_add(1, Ordering::SeqCst);
        let status = if broken.load(Ordering::SeqCst) { BROKEN } else { 200 };
        Response::builder().status(status).header("x-backend", "hot-fix").body(Bytes::from_static(b"hot-fix")).unwrap()
    })
}

#[test]
fn a_hot_fix_at_three_in_the_morning() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("fix.yaml");
    let (broken, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stable, hot_fix) = (Upstream::named("stable"), hot_fix(&broken, &served));
    std::fs::write(&file, fix(&hot_fix)).unwrap();
    let file = file.to_str().unwrap();
    let mut gateway = start(&config(stable.address, &data));
    let ann = Person::of("ann", &gateway);

    // Nobody has the patch. It is looked at, then created, and its first stage begins.
    assert_eq!(everybody(&gateway), (0, vec![]));
    assert!(ann.reads(&["rollout", "diff", "-f", file]).contains("npe-fix"));
    let created: Done = ann.json(&["rollout", "create", "-f", file, "--reason", "NPE in checkout"]);
    assert_eq!((&*created.rollout.state, created.rollout.exposure_percent), ("canary", 1.0));
    converged(&ann);
    let (at_one, failed) = everybody(&gateway);
    assert!((1..USERS / 10).contains(&at_one), "1 % of {USERS} users is {at_one}");
    assert!(failed.is_empty(), "{failed:?}");

    // Paused, it stays as it is: the same users, no further stage by itself.
    let paused: Done = ann.json(&["rollout", "pause", "npe-fix", "--reason", "let us look at the traces"]);
    assert_eq!((&*paused.rollout.state, paused.rollout.exposure_percent), ("paused", 1.0));
    assert_eq!(everybody(&gateway), (at_one, vec![]));

    // Why does one user have it, and another not? What is told is what happens.
    let told = |user: usize| {
        let header = format!("cookie: uid=user-{user}");
        let url = format!("http://{}/checkout", gateway.address("web"));
        let trail: Value = ann.json(&["explain", "--header", &header, &url]);
        trail["decision"]["track"].as_str().unwrap_or_else(|| panic!("{trail:#}")).to_owned()
    };
    let has = |user: usize| {
        let reply = client::get(gateway.address("web"), "/checkout", &[("cookie", &format!("uid=user-{user}"))]);
        reply.header("x-backend") == Some("hot-fix")
    };
    let lucky = (0..USERS).find(|&user| has(user)).unwrap();
    let other = (0..USERS).find(|&user| !has(user)).unwrap();
    assert_eq!((&*told(lucky), told(other) == "canary"), ("canary", false));

    // It looks good: on to a quarter of the users. Whoever had it keeps it.
    let promoted: Done = ann.json(&["rollout", "promote", "npe-fix", "--reason", "no NPE in an hour"]);
    assert_eq!((&*promoted.rollout.state, promoted.rollout.exposure_percent), ("canary", 25.0));
    converged(&ann);
    let (at_quarter, failed) = everybody(&gateway);
    assert!((USERS / 6..USERS / 3).contains(&at_quarter), "25 % of {USERS} users is {at_quarter}");
    assert!(failed.is_empty(), "{failed:?}");
    assert!(has(lucky));

    // Then it breaks. The errors are seen beside the stable ones, and the patch is taken from everybody.
    broken.store(true, Ordering::SeqCst);
    let (hurt, failed) = everybody(&gateway);
    assert_eq!(failed, vec![BROKEN; hurt]);
    eventually("the errors to be told", || {
        everybody(&gateway);
        let tracks = ann.rollout().patches.remove(0).tracks;
        let of = |name: &str| tracks.iter().find(|track| track.track == name).map(|track| track.error_percent);
        (of("canary")? > 10.0 && of("stable")? == 0.0).then_some(())
    });
    let said = ann.reads(&["rollout", "abort", "npe-fix", "--reason", "500s from the fix"]);
    let aborted = ann.rollout();
    assert_eq!((&*aborted.state, aborted.exposure_percent), ("aborted", 0.0));
    assert!(said.contains(&aborted.version.to_string()), "the sequence that confirms it: {said}");
    converged(&ann);
    let before = served.load(Ordering::SeqCst);
    assert_eq!(everybody(&gateway), (0, vec![]));
    assert_eq!(served.load(Ordering::SeqCst), before, "nothing went to the hot-fix");
    // The bar of the issue is a second; the product's own clock says how long it was.
    let to_zero = eventually("the time to zero", || ann.rollout().time_to_zero_canary_seconds);
    assert!(to_zero < 1.0, "{to_zero} s to the last answer of the hot-fix");
    assert_eq!(gateway.sum("patchgate_time_to_zero_canary_seconds_count", &[]), 1.0);
    // Create, pause, promote, abort; no two of them so close that they are measured as one.
    let served = || gateway.sum("patchgate_change_served_seconds_count", &[]) == 4.0;
    eventually("the fourth change to be measured", || served().then_some(()));
    assert_eq!(ann.run(&["rollout", "status", "npe-fix"]).0, 2, "CI sees by the exit code that it failed");

    // In the morning: who did what, and why.
    let history: Events = ann.json(&["rollout", "history", "npe-fix"]);
    let told: Vec<_> = history.items.iter().map(|event| (&*event.kind, &*event.actor, &*event.reason)).collect();
    assert_eq!(
        told,
        [
            ("created", "ann", "NPE in checkout"),
            ("stage_entered", "ann", "NPE in checkout"),
            ("paused", "ann", "let us look at the traces"),
            ("stage_entered", "ann", "no NPE in an hour"),
            ("aborted", "ann", "500s from the fix"),
        ]
    );
    let words = ann.reads(&["rollout", "history", "npe-fix"]);
    assert!(words.contains("500s from the fix") && words.contains("ann"), "{words}");

    // The log is whole, says what the server serves by, and can be proved to somebody else.
    let before = verified(&ann);
    let proof: Value = ann.json(&["log", "prove", "--data", data.to_str().unwrap()]);
    assert_eq!(proof["last"], before.sequence, "{proof:#}");
    assert_eq!(proof["state_hash"], before.state_hash, "{proof:#}");

    // And the next process knows all of it.
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    let gateway = start(&config(stable.address, &data));
    let bob = Person::of("bob", &gateway);
    assert_eq!(verified(&bob), before);
    let after: Events = bob.json(&["rollout", "history", "npe-fix"]);
    assert_eq!(hashes(&after.items), hashes(&history.items));
    assert_eq!(everybody(&gateway), (0, vec![]));
}

/// Waits until every gateway serves the rollout as it is.
fn converged(person: &Person<'_>) {
    eventually("the gateway to serve it", || {
        let convergence = person.rollout().convergence;
        (convergence.applied == convergence.of).then_some(())
    });
}

/// The log's head, once the server has replayed the log and found that it serves by it.
fn verified(person: &Person<'_>) -> StateHash {
    let verified: Verified = person.json(&["log", "verify"]);
    assert!(verified.matches_server, "{verified:?}");
    verified.folded
}

fn hashes(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.hash).collect()
}
