//! What a rollout is to do, fixed at its creation. Whole numbers only: these are bytes that are hashed.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Millis;

/// A share in millionths, 0 to 1,000,000: 10,000 is 1 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Millionths(pub u32);

/// One group, the services it patches, and the way to everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Plan {
    /// The lane, a legal mark value.
    pub group: String,
    /// At least one, each of another service. They change together or not at all.
    pub patches: Vec<Patch>,
    /// Who is never given the patch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub force_stable: Vec<Condition>,
    /// Rules of an edge, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assign: Vec<Rule>,
    /// Rising; none: marks and rules alone reach the patch until it is promoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// What stops it.
    #[serde(default)]
    pub gates: Gates,
    /// What happens when a gate fails.
    pub on_fail: OnFail,
    /// From its creation to the moment when it falls back to stable unless it is promoted or ended.
    pub deadline_ms: Millis,
    /// Stages above this share need a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_above: Option<Millionths>,
    /// What happens to requests in flight when the patch is withdrawn.
    pub on_withdraw: OnWithdraw,
}

/// A hot-fix of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Patch {
    /// The service.
    pub service: String,
    /// A legal mark value.
    pub version: String,
    /// The hot-fix's addresses, at least one.
    #[cfg_attr(test, schema(value_type = Vec<String>))]
    pub endpoints: Vec<SocketAddr>,
    /// A mark must name this very version, too.
    pub pin_version: bool,
    /// Whether marks in its responses are honoured.
    pub may_mark: bool,
}

/// A condition on a request's head. Absent `equals`: any value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// A header field.
    Header {
        /// Its name, lower case.
        name: String,
        /// Its value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        equals: Option<String>,
    },
    /// A cookie.
    Cookie {
        /// Its name.
        name: String,
        /// Its value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        equals: Option<String>,
    },
    /// A query parameter.
    Query {
        /// Its name.
        name: String,
        /// Its value, as written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        equals: Option<String>,
    },
    /// The client's address is in this range, in CIDR form.
    Address(String),
}

/// How an edge gives requests the patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Everything that matches.
    Match(Condition),
    /// The stage's share, by a stable hash of the key.
    Percent(Key),
}

/// What makes the share stick to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// A header's value.
    Header(String),
    /// A cookie's value.
    Cookie(String),
    /// The client's address.
    Address,
    /// Nothing: each request anew.
    Random,
}

/// A share, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Stage {
    /// What percent rules give the patch.
    pub exposure: Millionths,
    /// After this the next stage begins by itself; absent: when somebody promotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<Millis>,
}

/// What stops a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Gates {
    /// How much higher than stable's the error rate may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate_worse_by: Option<Millionths>,
    /// How many times stable's 99th percentile the patch's may be, in millionths: 1,200,000 is 1.2 times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p99_ratio: Option<Millionths>,
    /// Least share of consistent responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency_at_least: Option<Millionths>,
}

/// What happens when a gate fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// The patch is withdrawn.
    Rollback,
    /// The rollout is paused.
    Freeze,
}

/// What happens to requests that the hot-fix is still at when it is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnWithdraw {
    /// They finish.
    Finish,
    /// They have this long, in milliseconds, and are then cut.
    CutAfter(Millis),
}

impl Millionths {
    /// Everybody.
    pub const ALL: Self = Self(1_000_000);
}

impl Plan {
    /// Whether a share of requests is chosen at all.
    #[must_use]
    pub fn has_percent(&self) -> bool {
        self.assign.iter().any(|rule| matches!(rule, Rule::Percent(_)))
    }

    /// What percent rules give the patch at `stage`; without stages nothing.
    #[must_use]
    pub fn exposure_at(&self, stage: u32) -> Millionths {
        self.stages.get(stage as usize).map_or(Millionths(0), |stage| stage.exposure)
    }

    /// How long `stage` lasts by itself.
    #[must_use]
    pub fn hold_at(&self, stage: u32) -> Option<Millis> {
        self.stages.get(stage as usize).and_then(|stage| stage.hold_ms)
    }

    /// Whether a stage with this share needs a second person.
    #[must_use]
    pub fn needs_approval(&self, exposure: Millionths) -> bool {
        self.approval_above.is_some_and(|above| exposure > above)
    }

    /// Whether it patches `service`.
    #[must_use]
    pub fn patches_service(&self, service: &str) -> bool {
        self.patches.iter().any(|patch| patch.service == service)
    }
}

impl std::fmt::Display for Millionths {
    /// In percent, without trailing zeros: `2.5%`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let rest = format!("{rest:04}");
        write!(f, "{whole}.{}%", rest.trim_end_matches('0'))
    }
}
