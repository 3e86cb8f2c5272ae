//! What travels over the wire, version 1: additions only. The command line reads the very same types.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

mod system;

pub use system::{Config, ConfigChange, Drift, FieldError, Gateway, Gateways, Problem, StateHash, Verified, WhoAmI};

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

const fn yes() -> bool {
    true
}
