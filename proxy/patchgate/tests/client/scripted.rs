//! An admin API of one closure, and the binary under test run against it.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use patchgate_admin::api::dto::{Change, Convergence, Done, Patch, Rollout, Stage, Track, Wait};
use patchgate_testkit::upstream::{Seen, Upstream};
use serde::Serialize;
use serde_json::{Value, json};

/// A server that keeps what it was asked.
pub(crate) struct Api {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _server: Upstream,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Api {
    /// Answers each request as `answer` says; it gets the request's number, from 0.
    pub(crate) fn start(answer: impl Fn(usize, &Seen) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let server = Upstream::start(move |request| {
            let mut kept = kept.lock().unwrap();
            let response = answer(kept.len(), &request);
            kept.push(request);
            response
        });
        Self { url: format!("http://{}", server.address), seen, _server: server }
    }

    /// What it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Runs the binary against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        patchgate(&[arguments, &["--server", &self.url]].concat(), &[])
    }
}

/// The binary with these arguments, as `ann`, in an environment that says nothing else.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchgate"));
    command.args(arguments).env("USER", "ann").env("TERM", "xterm").stdin(Stdio::null());
    for name in ["PATCHGATE_SERVER", "PATCHGATE_TOKEN", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub(crate) fn patchgate(arguments: &[&str], environment: &[(&str, &dyn AsRef<OsStr>)]) -> Ended {
    let mut command = command(arguments);
    for (name, value) in environment {
        command.env(name, value.as_ref());
    }
    ended(command.output().expect("the binary under test was built"))
}

pub(crate) fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("the command line speaks UTF-8");
    Ended { code: output.status.code().expect("it ends by itself"), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn json_response(status: u16, body: &impl Serialize) -> Response<Bytes> {
    let body = Bytes::from(serde_json::to_vec(body).unwrap());
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}

/// A problem document; `more` are its further members.
pub(crate) fn problem(status: u16, code: &str, detail: &str, more: Value) -> Response<Bytes> {
    let mut body = json!({
        "type": "about:blank", "title": "no", "status": status, "code": code, "detail": detail, "request_id": "r42",
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let body = Bytes::from(body.to_string());
    Response::builder().status(status).header("content-type", "application/problem+json").body(body).unwrap()
}

/// A rollout in this state.
pub(crate) fn rollout(state: &str) -> Rollout {
    let change = |event: &str, reason: &str| Change {
        event: event.into(),
        at: "2026-01-31T03:14:15.926Z".into(),
        by: "ann".into(),
        reason: reason.into(),
    };
    let canary = matches!(state, "canary" | "paused");
    Rollout {
        name: "fix".into(),
        version: 7,
        state: state.into(),
        live: !matches!(state, "completed" | "aborted" | "rolled_back"),
        group: "backend-canary".into(),
        patches: vec![Patch {
            service: "shop".into(),
            version: "v2".into(),
            endpoints: vec!["10.0.0.2:80".into()],
            tracks: vec![Track {
                track: "canary".into(),
                backend: "shop-fix".into(),
                version: "v2".into(),
                requests_per_second: 3.0,
                error_percent: 0.5,
                p50_ms: None,
                p99_ms: Some(12.0),
            }],
        }],
        stages: vec![Stage { percent: 25.0, hold_ms: Some(60_000), held_ms: canary.then_some(30_000) }],
        stage: canary.then_some(0),
        exposure_percent: if canary { 25.0 } else { 0.0 },
        waits_for: canary.then(|| Wait { kind: "hold".into(), until: None, message: "the hold".into() }),
        deadline: None,
        approval_above_percent: None,
        approved_by: None,
        created: change("created", "NPE"),
        changed: change(if state == "canary" { "stage_entered" } else { state }, ""),
        origin: "api".into(),
        drift: None,
        convergence: Convergence { applied: 1, of: 1 },
        time_to_zero_canary_seconds: None,
        definition: json!({
            "name": "fix", "group": "backend-canary", "service": "shop", "version": "v2", "endpoints": ["10.0.0.2:80"],
            "stages": [{"percent": "25%", "hold": "1m"}],
        }),
    }
}

/// What an order did that left the rollout so.
pub(crate) fn done(rollout: Rollout) -> Done {
    Done { sequence: 1042, rollout, effect: Vec::new(), warnings: Vec::new() }
}

/// The body of a request, as JSON.
pub(crate) fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}
