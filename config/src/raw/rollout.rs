//! `rollouts[]` as written, and as it is written back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalar::{Duration, Percent};
use crate::problem::Path;

/// The life of a patch, or of a set of patches that only work together.
///
/// One patch is written in short: `service`, `version` and `endpoints` beside the name. A set has them in each entry of
/// `patches` instead.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["service", "version", "endpoints"], "not": { "required": ["patches"] } },
    { "required": ["patches"], "not": { "anyOf": [
        { "required": ["service"] },
        { "required": ["version"] },
        { "required": ["endpoints"] },
        { "required": ["pin_version"] },
        { "required": ["may_mark"] }
    ] } }
]))]
pub(crate) struct Rollout {
    /// Its name; also the salt by which its percentage is spread.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// The service it patches.
    pub(crate) service: Option<String>,
    /// The patch's version, 1 to 96 characters of `[A-Za-z0-9._+~/-]`.
    pub(crate) version: Option<String>,
    /// The lane that the patches are tested in, 1 to 96 characters of `[A-Za-z0-9._+~/-]`.
    #[schemars(required)]
    pub(crate) group: Option<String>,
    /// The hot-fix's addresses, `IP:PORT` each.
    #[schemars(length(min = 1))]
    pub(crate) endpoints: Option<Vec<String>>,
    /// Whether a mark must name this very version, too.
    #[schemars(extend("default" = false))]
    pub(crate) pin_version: Option<bool>,
    /// Whether marks in the hot-fix's responses are honoured.
    #[schemars(extend("default" = true))]
    pub(crate) may_mark: Option<bool>,
    /// The patches of a set, each of another service. They share the group, and every stage is that of all of them.
    #[schemars(length(min = 1))]
    pub(crate) patches: Option<Vec<Patch>>,
    /// Users or tenants that are never given the patch.
    pub(crate) force_stable: Option<Vec<RequestRule>>,
    /// Rules by which an edge gives requests the patch, in order.
    pub(crate) assign: Option<Vec<AssignRule>>,
    /// Percentages on the way to everybody, rising.
    pub(crate) stages: Option<Vec<Stage>>,
    /// How long the rollout may take from its creation. One that is neither promoted nor ended by then falls back to
    /// stable.
    #[schemars(extend("default" = "7d"))]
    pub(crate) deadline: Option<Duration>,
    /// When a second person is asked. Absent: never.
    pub(crate) approval: Option<Approval>,
    /// What becomes of the patch's requests that are in flight when the rollout is withdrawn.
    #[schemars(extend("default" = "finish"))]
    pub(crate) on_withdraw: Option<OnWithdraw>,
    /// What stops the rollout. Accepted, but without effect in this version.
    pub(crate) gates: Option<Gates>,
    /// What happens when a gate fails. Accepted, but without effect in this version.
    #[schemars(extend("default" = "rollback"))]
    pub(crate) on_fail: Option<OnFail>,
}

/// A hot-fix of one service.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    /// The service it patches.
    #[schemars(required)]
    pub(crate) service: Option<String>,
    /// Its version, 1 to 96 characters of `[A-Za-z0-9._+~/-]`.
    #[schemars(required)]
    pub(crate) version: Option<String>,
    /// The hot-fix's addresses, `IP:PORT` each.
    #[schemars(required, length(min = 1))]
    pub(crate) endpoints: Option<Vec<String>>,
    /// Whether a mark must name this very version, too.
    #[schemars(extend("default" = false))]
    pub(crate) pin_version: Option<bool>,
    /// Whether marks in the hot-fix's responses are honoured.
    #[schemars(extend("default" = true))]
    pub(crate) may_mark: Option<bool>,
}

/// A patch, whichever way it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PatchRef<'r> {
    pub(crate) service: &'r Option<String>,
    pub(crate) version: &'r Option<String>,
    pub(crate) endpoints: &'r Option<Vec<String>>,
    pub(crate) pin_version: Option<bool>,
    pub(crate) may_mark: Option<bool>,
}

/// A condition on a request's head.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// The header's, cookie's or parameter's name.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// Its value; absent: any.
    pub(crate) equals: Option<String>,
}

/// Who makes up the percentage; the stage says how many.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PercentRule {
    /// What makes the choice stick to a user: `cookie:NAME`, `header:NAME`, `address`, or `random` for none.
    #[schemars(extend("default" = "random", "pattern" = "^(cookie:.+|header:.+|address|random)$"))]
    pub(crate) key: Option<String>,
}

/// A percentage, and for how long.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    /// Share of requests that percent rules give the patch.
    #[schemars(required)]
    pub(crate) percent: Option<Percent>,
    /// How long the stage lasts at least. Absent: until somebody promotes the rollout.
    pub(crate) hold: Option<Duration>,
}

/// When a second person is asked.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// Stages above this percentage begin only when somebody else than who asks for them approves.
    #[schemars(required)]
    pub(crate) above: Option<Percent>,
}

/// What becomes of the patch's requests that are in flight when the rollout is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnWithdraw {
    /// They are served to their end.
    Finish,
    /// They are cut off after this time; `0s`: at once.
    CutAfter(Duration),
}

/// What stops a rollout.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorRateGate {
    /// By how much it may be higher.
    #[schemars(required)]
    pub(crate) worse_by: Option<Percent>,
}

/// The patch's latency against stable's.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LatencyGate {
    /// How many times stable's it may be, from 1.
    #[schemars(required, range(min = 1, max = 100))]
    pub(crate) ratio: Option<f64>,
}

/// Consistent responses among those evaluated.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsistencyGate {
    /// How many there must be.
    #[schemars(required)]
    pub(crate) at_least: Option<Percent>,
}

/// What happens when a gate fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFail {
    /// The patch is withdrawn.
    Rollback,
    /// The rollout stays where it is until somebody decides.
    Freeze,
}

impl Rollout {
    /// The fields of one patch that are written in short, in the schema's order.
    pub(crate) fn in_short(&self) -> impl Iterator<Item = &'static str> {
        [
            ("service", self.service.is_some()),
            ("version", self.version.is_some()),
            ("endpoints", self.endpoints.is_some()),
            ("pin_version", self.pin_version.is_some()),
            ("may_mark", self.may_mark.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
    }

    /// Visits every patch with its place; that of one written in short is the rollout's, `at`.
    pub(crate) fn each_patch<'r>(&'r self, at: &Path<'_>, mut visit: impl FnMut(PatchRef<'r>, &Path<'_>)) {
        let Some(patches) = &self.patches else {
            if self.in_short().next().is_some() {
                let Self { service, version, endpoints, pin_version, may_mark, .. } = self;
                visit(PatchRef { service, version, endpoints, pin_version: *pin_version, may_mark: *may_mark }, at);
            }
            return;
        };
        let list = at.key("patches");
        for (index, patch) in patches.iter().enumerate() {
            let Patch { service, version, endpoints, pin_version, may_mark } = patch;
            let patch = PatchRef { service, version, endpoints, pin_version: *pin_version, may_mark: *may_mark };
            visit(patch, &list.index(index));
        }
    }
}
