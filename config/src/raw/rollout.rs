//! `rollouts[]` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{Duration, Percent};

/// The life of one patch.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollout {
    /// Its name; also the salt by which its percentage is spread.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// The service it patches.
    #[schemars(required)]
    pub(crate) service: Option<String>,
    /// The patch's version, 1 to 96 characters of `[A-Za-z0-9._+~/-]`.
    #[schemars(required)]
    pub(crate) version: Option<String>,
    /// The lane that the patch is tested in, 1 to 96 characters of `[A-Za-z0-9._+~/-]`.
    #[schemars(required)]
    pub(crate) group: Option<String>,
    /// The hot-fix's addresses, `IP:PORT` each.
    #[schemars(required, length(min = 1))]
    pub(crate) endpoints: Option<Vec<String>>,
    /// Whether a mark must name this very version, too.
    #[schemars(extend("default" = false))]
    pub(crate) pin_version: Option<bool>,
    /// Whether marks in the hot-fix's responses are honoured.
    #[schemars(extend("default" = true))]
    pub(crate) may_mark: Option<bool>,
    /// Users or tenants that are never given the patch.
    pub(crate) force_stable: Option<Vec<RequestRule>>,
    /// Rules by which an edge gives requests the patch, in order.
    pub(crate) assign: Option<Vec<AssignRule>>,
    /// Percentages on the way to everybody, rising. The first is acted on in this version.
    pub(crate) stages: Option<Vec<Stage>>,
    /// What stops the rollout. Accepted, but without effect in this version.
    pub(crate) gates: Option<Gates>,
    /// What happens when a gate fails. Accepted, but without effect in this version.
    #[schemars(extend("default" = "rollback"))]
    pub(crate) on_fail: Option<OnFail>,
}

/// A condition on a request's head.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RequestRule {
    /// A header.
    Header(Condition),
    /// A cookie.
    Cookie(Condition),
    /// A query parameter.
    Query(Condition),
    /// The client's address is in this range, in CIDR form.
    Address(String),
}

/// A rule by which an edge gives requests the patch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AssignRule {
    /// A header.
    Header(Condition),
    /// A cookie.
    Cookie(Condition),
    /// A query parameter.
    Query(Condition),
    /// The client's address is in this range, in CIDR form.
    Address(String),
    /// The stage's percentage.
    Percent(PercentRule),
}

/// A name, and the value it must have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// The header's, cookie's or parameter's name.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// Its value; absent: any.
    pub(crate) equals: Option<String>,
}

/// Who makes up the percentage; the stage says how many.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PercentRule {
    /// What makes the choice stick to a user: `cookie:NAME`, `header:NAME`, `address`, or `random` for none.
    #[schemars(extend("default" = "random", "pattern" = "^(cookie:.+|header:.+|address|random)$"))]
    pub(crate) key: Option<String>,
}

/// A percentage, and for how long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    /// Share of requests that percent rules give the patch.
    #[schemars(required)]
    pub(crate) percent: Option<Percent>,
    /// How long the stage lasts at least.
    pub(crate) hold: Option<Duration>,
}

/// What stops a rollout.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gates {
    /// The patch's error rate against stable's.
    pub(crate) error_rate: Option<ErrorRateGate>,
    /// The patch's 99th percentile of latency against stable's.
    pub(crate) latency_p99: Option<LatencyGate>,
    /// Consistent responses among those evaluated.
    pub(crate) consistency: Option<ConsistencyGate>,
}

/// The patch's error rate against stable's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorRateGate {
    /// By how much it may be higher.
    #[schemars(required)]
    pub(crate) worse_by: Option<Percent>,
}

/// The patch's latency against stable's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LatencyGate {
    /// How many times stable's it may be, from 1.
    #[schemars(required, range(min = 1, max = 100))]
    pub(crate) ratio: Option<f64>,
}

/// Consistent responses among those evaluated.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsistencyGate {
    /// How many there must be.
    #[schemars(required)]
    pub(crate) at_least: Option<Percent>,
}

/// What happens when a gate fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFail {
    /// The patch is withdrawn.
    Rollback,
    /// The rollout stays where it is until somebody decides.
    Freeze,
}
