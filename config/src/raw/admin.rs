//! `admin` as written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::scalar::{ByteSize, Duration};

/// The admin API and its event log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    /// `IP:PORT` to listen on. One that is not of loopback needs authentication.
    #[schemars(extend("default" = "127.0.0.1:9901"))]
    pub(crate) address: Option<String>,
    /// Where the event log lives.
    #[schemars(extend("default" = { "file": "./patchgate-data" }))]
    pub(crate) store: Option<Store>,
    /// How callers are known. Absent: by `tokens` where these are named, else not at all, which only a loopback address
    /// may do.
    pub(crate) auth: Option<Auth>,
    /// The file of the tokens' hashes; naming it turns `auth: tokens` on. Absent: `tokens.json` in the store's directory.
    pub(crate) tokens: Option<String>,
    /// Whether every change must come with its reason.
    #[schemars(extend("default" = false))]
    pub(crate) require_reason: Option<bool>,
    /// How often the whole event log is replayed and compared with what is in force.
    #[schemars(extend("default" = "24h"))]
    pub(crate) verify_every: Option<Duration>,
    /// Bounds on what a caller may ask for.
    pub(crate) limits: Option<AdminLimits>,
}

/// Where the event log lives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Store {
    /// A data directory on this machine.
    File(String),
    /// Known, so that it is refused for what it is.
    #[schemars(skip)]
    Jetstream(IgnoredAny),
}

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auth {
    /// By a bearer token, of which the hash is kept.
    Tokens,
    /// Not at all.
    None,
}

/// Bounds on what a caller may ask for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminLimits {
    /// Size of a request's body.
    #[schemars(extend("default" = "1MiB"))]
    pub(crate) body_bytes: Option<ByteSize>,
    /// Requests a second of one caller.
    #[schemars(extend("default" = 50))]
    pub(crate) requests_per_second: Option<u32>,
    /// Callers that follow events at a time.
    #[schemars(extend("default" = 2000))]
    pub(crate) watchers: Option<u32>,
}
