//! Stage 1: the file exactly as it is written.
//!
//! Every field is optional here, so that the next stage can report what is missing together with all else. The doc
//! comments are what the JSON Schema shows to the people who write these files.

mod admin;
mod listener;
mod rate_limit;
pub(crate) mod read;
mod rollout;
mod route;
pub(crate) mod scalar;
mod service;
mod telemetry;
pub(crate) mod tls;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use admin::{Admin, AdminLimits, Auth, Store};
pub(crate) use listener::{Carrier, Forwarded, Headers, Limits, Listener, ProxyProtocol, Trust};
pub(crate) use rate_limit::{ClientRate, RateLimit};
pub(crate) use rollout::{
    Approval, AssignRule, Condition, ConsistencyGate, ErrorRateGate, Gates, LatencyGate, OnFail, OnWithdraw, Patch,
    PatchRef, PercentRule, RequestRule, Rollout, Stage,
};
pub(crate) use route::{DirectResponse, LocalRoute, Redirect, Route, Scheme};
use scalar::{Duration, Workers};
pub(crate) use service::{
    BackendProtocol, Backoff, CircuitBreaker, Fallback, HeaderChange, HeaderChanges, HeaderRules, HealthCheck, Hedge,
    HttpCheck, LoadBalancing, Mirror, OutlierEjection, Policy, ProxyVersion, Retry, Service, Stable, Timeouts,
};
pub(crate) use telemetry::{Otlp, Protocol, RandomFlag, SignMarks, Telemetry, Trace};

/// The configuration of patchgate. `${NAME}` and `${NAME:-default}` anywhere in the file are replaced by environment
/// variables; `$${` is a literal `${`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "patchgate configuration")]
pub(crate) struct Config {
    /// Data-plane threads: `auto` for one a core, or a number.
    #[schemars(extend("default" = "auto"))]
    pub(crate) workers: Option<Workers>,
    /// Sockets to listen on. Plaintext ones take HTTP/1.1 and HTTP/2 (prior knowledge) on one port.
    #[schemars(required, length(min = 1))]
    pub(crate) listeners: Option<Vec<Listener>>,
    /// What routes lead to.
    #[schemars(required, length(min = 1))]
    pub(crate) services: Option<Vec<Service>>,
    /// Routes that patchgate answers itself: redirects and direct responses. They are found as the services' are.
    pub(crate) routes: Option<Vec<LocalRoute>>,
    /// Hot-fixes under test, in order of precedence.
    pub(crate) rollouts: Option<Vec<Rollout>>,
    /// Exporters and sampling.
    pub(crate) telemetry: Option<Telemetry>,
    /// How trace contexts are written.
    pub(crate) trace: Option<Trace>,
    /// The admin API and its event log.
    pub(crate) admin: Option<Admin>,
    /// `/livez`, `/readyz`, `/startupz` and `/metrics`: no secrets, no writes.
    pub(crate) health: Option<Health>,
    /// How a stop goes on.
    pub(crate) drain: Option<Drain>,
}

/// Rollouts in a file of their own.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollouts {
    pub(crate) rollouts: Option<Vec<Rollout>>,
}

/// The health endpoints.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    /// `IP:PORT` to listen on.
    #[schemars(extend("default" = "127.0.0.1:9902"))]
    pub(crate) address: Option<String>,
}

/// How a stop goes on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drain {
    /// From "not ready" to the first `Connection: close`: time for load balancers to look away.
    #[schemars(extend("default" = "5s"))]
    pub(crate) delay: Option<Duration>,
    /// From then to the hard end.
    #[schemars(extend("default" = "30s"))]
    pub(crate) timeout: Option<Duration>,
}
