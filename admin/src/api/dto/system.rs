//! Wire types about the gateway, the log and errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

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
