//! The rollout decision: one pure, total function, with a reason for every outcome.

use std::net::IpAddr;

use http::HeaderMap;
use patchgate_config::snapshot::{AssignRule, BackendId, RequestMatch, Rollout, RolloutId, ServiceId, Snapshot};

use super::cohort::Bucket;
use super::matches::{matches, with_key};
use super::observe::{Look, Observer, Unobserved};

/// What the decision is taken on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Where the route leads.
    pub service: ServiceId,
    /// Group and version of a believed mark.
    pub mark: Option<(&'a str, &'a str)>,
    /// Whether rollout rules may mark requests here.
    pub assign: bool,
    /// The request's header fields.
    pub headers: &'a HeaderMap,
    /// The request's query.
    pub query: Option<&'a str>,
    /// The client's address.
    pub client: IpAddr,
    /// 64 random bits, for percentages without a key.
    pub random: u64,
}

/// Which of a service's versions a request is measured as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// The version in force.
    Stable,
    /// The patch.
    Canary,
    /// The slice of stable traffic that the patch is compared with.
    Control,
}

/// Why a request is on its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No mark, no rule, no share.
    Default,
    /// On a rollout's `force_stable` list.
    ForceStable,
    /// Its mark's group has a live rollout here.
    Mark,
    /// Its mark's group has no rollout here; the mark is for a service behind.
    MarkOfAnotherService,
    /// Its mark's group has a rollout here that is pinned to another version.
    MarkVersionPinned,
    /// A header rule.
    RuleHeader,
    /// A cookie rule.
    RuleCookie,
    /// A query rule.
    RuleQuery,
    /// An address rule.
    RuleAddress,
    /// The rollout's percentage.
    Percent,
    /// The control slice.
    Control,
}

/// Where a request goes, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What it is measured as.
    pub track: Track,
    /// Where it goes.
    pub backend: BackendId,
    /// The rollout that decided, also where it decided for stable.
    pub rollout: Option<RolloutId>,
    /// Why.
    pub reason: Reason,
    /// Whether it is marked here with the rollout's group and version.
    pub assigned: bool,
}

impl Track {
    /// All tracks, in the order of their index.
    pub const ALL: [Self; 3] = [Self::Stable, Self::Canary, Self::Control];

    /// The label in metrics, spans and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
            Self::Control => "control",
        }
    }
}

impl Reason {
    /// All reasons, in the order of their index.
    pub const ALL: [Self; 11] = [
        Self::Default,
        Self::ForceStable,
        Self::Mark,
        Self::MarkOfAnotherService,
        Self::MarkVersionPinned,
        Self::RuleHeader,
        Self::RuleCookie,
        Self::RuleQuery,
        Self::RuleAddress,
        Self::Percent,
        Self::Control,
    ];

    /// The stable code in spans, logs and `explain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::ForceStable => "force_stable",
            Self::Mark => "mark",
            Self::MarkOfAnotherService => "mark_of_another_service",
            Self::MarkVersionPinned => "mark_version_pinned",
            Self::RuleHeader => "rule_header",
            Self::RuleCookie => "rule_cookie",
            Self::RuleQuery => "rule_query",
            Self::RuleAddress => "rule_address",
            Self::Percent => "percent",
            Self::Control => "control",
        }
    }
}

/// Decides, in this order: the kill switch, the mark, the rules of an edge, the control slice, stable.
#[must_use]
pub fn decide(input: &Input<'_>, snapshot: &Snapshot) -> Decision {
    decide_observed(input, snapshot, &mut Unobserved)
}

/// [`decide`], telling an observer of everything it looks at, in order.
pub fn decide_observed(input: &Input<'_>, snapshot: &Snapshot, observer: &mut impl Observer) -> Decision {
    let service = snapshot.service(input.service);
    let stable =
        |reason, rollout| Decision { track: Track::Stable, backend: service.stable, rollout, reason, assigned: false };
    if let Some((group, version)) = input.mark {
        let named = service.rollouts.iter().find(|&&id| {
            let matched = *snapshot.rollout(id).group == *group;
            observer.look(id, Look::Group, matched);
            matched
        });
        let Some(&id) = named else { return stable(Reason::MarkOfAnotherService, None) };
        let rollout = snapshot.rollout(id);
        return if is_forced_stable(id, rollout, input, observer) {
            stable(Reason::ForceStable, Some(id))
        } else if is_pinned_to_another(id, rollout, version, observer) {
            stable(Reason::MarkVersionPinned, Some(id))
        } else {
            canary(id, rollout, Reason::Mark, false)
        };
    }
    if !input.assign {
        return stable(Reason::Default, None);
    }
    let mut control = None;
    for &id in &service.rollouts {
        let rollout = snapshot.rollout(id);
        if is_forced_stable(id, rollout, input, observer) {
            return stable(Reason::ForceStable, Some(id));
        }
        match assign(id, rollout, input, observer) {
            Assigned::Canary(reason) => return canary(id, rollout, reason, true),
            Assigned::Control => control = control.or(Some(id)),
            Assigned::Not => {}
        }
    }
    match control {
        Some(id) => Decision { track: Track::Control, ..stable(Reason::Control, Some(id)) },
        None => stable(Reason::Default, None),
    }
}

enum Assigned {
    Canary(Reason),
    Control,
    Not,
}

/// The rollout's rules in order; the first that assigns counts. Control is for those whom none assigns: else a greater
/// share, and with it a greater control slice, would take the patch from requests that a later rule gives it to.
fn assign(id: RolloutId, rollout: &Rollout, input: &Input<'_>, observer: &mut impl Observer) -> Assigned {
    let mut otherwise = Assigned::Not;
    for rule in &rollout.assign {
        match rule {
            AssignRule::Match(condition) => {
                let matched = matches(condition, input);
                observer.look(id, Look::Rule(condition), matched);
                if matched {
                    return Assigned::Canary(reason_of(condition));
                }
            }
            AssignRule::Percent(key) => {
                let keyed = with_key(key, input, |key| Bucket::of(&rollout.name, key));
                let bucket = keyed.unwrap_or(Bucket::from_hash(input.random));
                let canary = bucket.is_canary(rollout.exposure);
                observer.look(id, Look::Percent { key, bucket, keyed: keyed.is_some() }, canary);
                if canary {
                    return Assigned::Canary(Reason::Percent);
                }
                if bucket.is_control(rollout.exposure) {
                    otherwise = Assigned::Control;
                }
            }
        }
    }
    otherwise
}

fn canary(id: RolloutId, rollout: &Rollout, reason: Reason, assigned: bool) -> Decision {
    Decision { track: Track::Canary, backend: rollout.backend, rollout: Some(id), reason, assigned }
}

fn is_forced_stable(id: RolloutId, rollout: &Rollout, input: &Input<'_>, observer: &mut impl Observer) -> bool {
    rollout.force_stable.iter().any(|condition| {
        let matched = matches(condition, input);
        observer.look(id, Look::ForceStable(condition), matched);
        matched
    })
}

fn is_pinned_to_another(id: RolloutId, rollout: &Rollout, version: &str, observer: &mut impl Observer) -> bool {
    if !rollout.pin_version {
        return false;
    }
    let matched = *rollout.version == *version;
    observer.look(id, Look::Version, matched);
    !matched
}

const fn reason_of(condition: &RequestMatch) -> Reason {
    match condition {
        RequestMatch::Header(..) => Reason::RuleHeader,
        RequestMatch::Cookie(..) => Reason::RuleCookie,
        RequestMatch::Query(..) => Reason::RuleQuery,
        RequestMatch::Address(_) => Reason::RuleAddress,
    }
}
