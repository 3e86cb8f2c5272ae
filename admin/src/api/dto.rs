//! What travels over the wire, version 1: additions only. The command line reads the very same types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A rollout as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rollout {
    /// Its name.
    pub name: String,
    /// Sequence of its newest event; the `ETag` is this number in quotes, and `If-Match` compares it.
    pub version: u64,
    /// `pending`, `canary`, `paused`, `promoted`, `completed`, `rolled_back` or `aborted`.
    pub state: String,
    /// Whether it is not at an end.
    pub live: bool,
    /// The group that marks name.
    pub group: String,
    /// What it patches.
    pub patches: Vec<Patch>,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
    /// Index of the stage that it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u32>,
    /// What percent rules give the patch now, in percent.
    pub exposure_percent: f64,
    /// What its next stage waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Wait>,
    /// When it falls back to stable unless it is promoted or ended (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Stages above this need a second person, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_above_percent: Option<f64>,
    /// Who has approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Its creation.
    pub created: Change,
    /// What was done to it last.
    pub changed: Change,
    /// `api`, or `file` with the digest of the configuration that declared it.
    pub origin: String,
    /// How the configuration file differs from it, if it declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<String>,
    /// Which gateways serve it as it is.
    pub convergence: Convergence,
    /// From its withdrawal to the last response of the hot-fix, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_zero_canary_seconds: Option<f64>,
    /// Its definition, as an entry of the configuration's `rollouts`; what `rollout create` takes.
    #[schema(value_type = Object)]
    pub definition: Value,
}

/// A hot-fix of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Patch {
    /// The service.
    pub service: String,
    /// The version that the hot-fix runs.
    pub version: String,
    /// Its addresses.
    pub endpoints: Vec<String>,
    /// What its requests look like on each track, over the last seconds; absent without traffic.
    pub tracks: Vec<Track>,
}

/// Traffic of one service on one track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Track {
    /// `stable`, `canary` or `control`.
    pub track: String,
    /// The backend that serves it.
    pub backend: String,
    /// The version that runs there.
    pub version: String,
    /// Requests a second.
    pub requests_per_second: f64,
    /// Share of requests that failed (status 500 and above), in percent.
    pub error_percent: f64,
    /// Median of the time to the end of the response, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 99th percentile of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// What percent rules give the patch.
    pub percent: f64,
    /// How long it lasts; absent: until somebody promotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
    /// How much of the hold has passed, of the stage that it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ms: Option<u64>,
}

/// What the next stage waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Wait {
    /// `hold`, `person`, or the code of what refuses it, such as `approval_needed`.
    pub kind: String,
    /// When the hold is over (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// In words, with what helps.
    pub message: String,
}

/// What was done, by whom, when and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The event's type.
    pub event: String,
    /// When (RFC 3339).
    pub at: String,
    /// Who.
    pub by: String,
    /// Why; empty if nobody said.
    pub reason: String,
}

/// Which gateways serve a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Convergence {
    /// Gateways that have applied the rollout's newest event.
    pub applied: u32,
    /// Gateways there are.
    pub of: u32,
}

/// A page of rollouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rollouts {
    /// By name.
    pub items: Vec<Rollout>,
    /// Cursor of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Sequence of the log that this is the state of.
    pub sequence: u64,
}

/// A new rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// As an entry of the configuration's `rollouts`.
    #[schema(value_type = Object)]
    pub rollout: Value,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Whether its first stage begins at once.
    #[serde(default = "yes")]
    pub start: bool,
}

/// A change of a rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A promotion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Skips all stages that are left.
    #[serde(default)]
    pub full: bool,
}

/// Who is never given the patch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForceStable {
    /// All of them, as a rollout's `force_stable`.
    #[schema(value_type = Vec<Object>)]
    pub force_stable: Vec<Value>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// An order that was carried out, or would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Sequence of its last event; 0 for a dry run.
    pub sequence: u64,
    /// The rollout afterwards.
    pub rollout: Rollout,
    /// What it would move, of a dry run: share of each service's traffic of the last minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effect: Vec<Effect>,
    /// Risks of the definition, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What a change would move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Effect {
    /// The service.
    pub service: String,
    /// Its requests over the last minutes, a second.
    pub requests_per_second: f64,
    /// Share of them that percent rules give the hot-fix now, in percent.
    pub exposure_before_percent: f64,
    /// Share that they would give.
    pub exposure_after_percent: f64,
    /// Share that the hot-fix got, by marks and rules of all kinds.
    pub before_percent: f64,
    /// Share that it would get, by estimate.
    pub after_percent: f64,
    /// Share that would go to another backend than now, at most.
    pub moves_percent: f64,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the log; the `id` of a stream.
    pub sequence: u64,
    /// When (RFC 3339).
    pub at: String,
    /// Its type, such as `stage_entered`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The rollout that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// Who.
    pub actor: String,
    /// What the actor may do.
    pub role: String,
    /// Why; empty if nobody said.
    pub reason: String,
    /// The order it belongs to.
    pub command: String,
    /// Hash of it and all before it, in hex.
    pub hash: String,
    /// What happened, as in docs/events.md.
    #[schema(value_type = Object)]
    pub event: Value,
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// Oldest first.
    pub items: Vec<Event>,
    /// Cursor of the next page; absent at the end of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Sequence of the newest event of the log.
    pub head: u64,
}

/// A request to explain: one that might come, or one that came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Its method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Its URL, `http://HOST/PATH?QUERY`, or `/PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its header fields, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The client's address; absent: 127.0.0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The listener's name; absent: the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// Instead of all of these: the trace id of a recent request, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Sequence of the log that all its workers serve.
    pub sequence: u64,
    /// Revision of the snapshot that all its workers serve.
    pub revision: u64,
    /// Digest of its configuration.
    pub config: String,
    /// Its version.
    pub version: String,
}

/// All gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gateways {
    /// By name.
    pub items: Vec<Gateway>,
    /// Sequence of the log.
    pub sequence: u64,
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Config {
    /// The file.
    pub file: String,
    /// Its digest.
    pub digest: String,
    /// Revision of the snapshot in force.
    pub revision: u64,
    /// Since when (RFC 3339).
    pub since: String,
    /// Why the file as it is now is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How the file's rollouts differ from the log's.
    pub drift: Vec<Drift>,
}

/// How a file's rollout differs from the log's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// The rollout.
    pub rollout: String,
    /// In words, with what helps.
    pub what: String,
}

/// What another configuration would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// Whether it would be taken.
    pub valid: bool,
    /// Its errors and risks, one a line each as `patchgate check` tells them.
    pub problems: Vec<String>,
    /// What would differ: `+ service cart`, `- listener web`, `~ service shop: endpoints`.
    pub changes: Vec<String>,
}

/// The log's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateHash {
    /// Sequence of the newest event.
    pub sequence: u64,
    /// The chain's hash there, in hex.
    pub head: String,
    /// BLAKE3 of the folded state, in hex.
    pub state_hash: String,
}

/// What folding the log anew found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verified {
    /// Events that were folded.
    pub events: u64,
    /// The head and state that the log folds to.
    pub folded: StateHash,
    /// Whether that is what the server has in memory at that sequence.
    pub matches_server: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// When (RFC 3339).
    pub at: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The token's name, or what the client calls itself where no token is asked for.
    pub name: String,
    /// `viewer`, `operator`, `approver` or `admin`.
    pub role: String,
    /// Patterns of the services that this goes for.
    pub services: Vec<String>,
}

/// Why a request was not answered as it wished (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`, or a URI that names the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// Stable code for programs.
    pub code: String,
    /// This very case, with what helps.
    pub detail: String,
    /// The request, as logged.
    pub request_id: String,
    /// Problems of the body, each with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What else a program may need, such as `version` and `changed_by` of a 412.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: BTreeMap<String, Value>,
}

/// A problem of the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where, as a path.
    pub path: String,
    /// What, and what would be right.
    pub detail: String,
}

const fn yes() -> bool {
    true
}
