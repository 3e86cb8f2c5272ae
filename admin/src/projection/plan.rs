//! A rollout as the configuration knows it ⇄ its plan as the log keeps it.
//!
//! Two types on purpose: the log's form is for ever, the configuration's follows its users.

use std::time::Duration;

use http::HeaderName;
use patchgate_config::model;
use patchgate_config::snapshot::{AssignRule, Exposure, RequestMatch, StickyKey};

use crate::rollout::{Condition, Gates, Key, Millionths, Millis, OnFail, OnWithdraw, Patch, Plan, Rule, Stage};

/// A plan that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A header's name is none.
    #[error("`{0}` is not a header name")]
    Header(String),
    /// An address range is none.
    #[error("`{0}` is not an address range")]
    Range(String),
}

/// The plan of a configured rollout.
#[must_use]
pub fn plan_of(rollout: &model::Rollout) -> Plan {
    let gate = |share: Option<f64>| share.map(|share| Millionths((share * 1e6).round() as u32));
    Plan {
        group: rollout.group.to_string(),
        patches: rollout.patches.iter().map(patch_of).collect(),
        force_stable: rollout.force_stable.iter().map(condition_of).collect(),
        assign: rollout.assign.iter().map(rule_of).collect(),
        stages: rollout
            .stages
            .iter()
            .map(|stage| Stage { exposure: Millionths(stage.exposure.millionths()), hold_ms: stage.hold.map(millis) })
            .collect(),
        gates: Gates {
            error_rate_worse_by: gate(rollout.gates.error_rate_worse_by),
            latency_p99_ratio: gate(rollout.gates.latency_p99_ratio),
            consistency_at_least: gate(rollout.gates.consistency_at_least),
        },
        on_fail: match rollout.on_fail {
            model::OnFail::Rollback => OnFail::Rollback,
            model::OnFail::Freeze => OnFail::Freeze,
        },
        deadline_ms: millis(rollout.deadline),
        approval_above: rollout.approval_above.map(|above| Millionths(above.millionths())),
        on_withdraw: match rollout.on_withdraw {
            model::OnWithdraw::Finish => OnWithdraw::Finish,
            model::OnWithdraw::CutAfter(grace) => OnWithdraw::CutAfter(millis(grace)),
        },
    }
}

fn patch_of(patch: &model::Patch) -> Patch {
    Patch {
        service: patch.service.to_string(),
        version: patch.version.to_string(),
        endpoints: patch.endpoints.clone(),
        pin_version: patch.pin_version,
        may_mark: patch.may_mark,
    }
}

/// As a condition of the log.
pub(super) fn condition_of(condition: &RequestMatch) -> Condition {
    match condition {
        RequestMatch::Header(name, equals) => Condition::Header { name: name.to_string(), equals: equals.clone() },
        RequestMatch::Cookie(name, equals) => Condition::Cookie { name: name.clone(), equals: equals.clone() },
        RequestMatch::Query(name, equals) => Condition::Query { name: name.clone(), equals: equals.clone() },
        RequestMatch::Address(range) => Condition::Address(range.to_string()),
    }
}

fn rule_of(rule: &AssignRule) -> Rule {
    match rule {
        AssignRule::Match(condition) => Rule::Match(condition_of(condition)),
        AssignRule::Percent(StickyKey::Header(name)) => Rule::Percent(Key::Header(name.to_string())),
        AssignRule::Percent(StickyKey::Cookie(name)) => Rule::Percent(Key::Cookie(name.clone())),
        AssignRule::Percent(StickyKey::ClientAddress) => Rule::Percent(Key::Address),
        AssignRule::Percent(StickyKey::Random) => Rule::Percent(Key::Random),
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// The rollout that a plan is for; `force_stable` is what is in force now, which may differ from the plan's.
///
/// # Errors
/// If something of it cannot be served; plans made by [`plan_of`] always can.
pub fn model_of(name: &str, plan: &Plan, force_stable: &[Condition]) -> Result<model::Rollout, PlanError> {
    let gate = |share: Option<Millionths>| share.map(|share| f64::from(share.0) / 1e6);
    Ok(model::Rollout {
        name: name.into(),
        group: plan.group.as_str().into(),
        patches: plan
            .patches
            .iter()
            .map(|patch| model::Patch {
                service: patch.service.as_str().into(),
                version: patch.version.as_str().into(),
                endpoints: patch.endpoints.clone(),
                pin_version: patch.pin_version,
                may_mark: patch.may_mark,
            })
            .collect(),
        deadline: Duration::from_millis(plan.deadline_ms),
        approval_above: plan.approval_above.map(|above| Exposure::from_millionths(above.0)),
        on_withdraw: match plan.on_withdraw {
            OnWithdraw::Finish => model::OnWithdraw::Finish,
            OnWithdraw::CutAfter(grace) => model::OnWithdraw::CutAfter(Duration::from_millis(grace)),
        },
        force_stable: force_stable.iter().map(condition).collect::<Result<_, _>>()?,
        assign: plan.assign.iter().map(rule).collect::<Result<_, _>>()?,
        stages: plan
            .stages
            .iter()
            .map(|stage| model::Stage {
                exposure: Exposure::from_millionths(stage.exposure.0),
                hold: stage.hold_ms.map(Duration::from_millis),
            })
            .collect(),
        gates: model::Gates {
            error_rate_worse_by: gate(plan.gates.error_rate_worse_by),
            latency_p99_ratio: gate(plan.gates.latency_p99_ratio),
            consistency_at_least: gate(plan.gates.consistency_at_least),
        },
        on_fail: match plan.on_fail {
            OnFail::Rollback => model::OnFail::Rollback,
            OnFail::Freeze => model::OnFail::Freeze,
        },
    })
}

fn condition(condition: &Condition) -> Result<RequestMatch, PlanError> {
    Ok(match condition {
        Condition::Header { name, equals } => RequestMatch::Header(header(name)?, equals.clone()),
        Condition::Cookie { name, equals } => RequestMatch::Cookie(name.clone(), equals.clone()),
        Condition::Query { name, equals } => RequestMatch::Query(name.clone(), equals.clone()),
        Condition::Address(range) => RequestMatch::Address(range.parse().map_err(|_| PlanError::Range(range.clone()))?),
    })
}

fn rule(rule: &Rule) -> Result<AssignRule, PlanError> {
    Ok(match rule {
        Rule::Match(matched) => AssignRule::Match(condition(matched)?),
        Rule::Percent(Key::Header(name)) => AssignRule::Percent(StickyKey::Header(header(name)?)),
        Rule::Percent(Key::Cookie(name)) => AssignRule::Percent(StickyKey::Cookie(name.clone())),
        Rule::Percent(Key::Address) => AssignRule::Percent(StickyKey::ClientAddress),
        Rule::Percent(Key::Random) => AssignRule::Percent(StickyKey::Random),
    })
}

fn header(name: &str) -> Result<HeaderName, PlanError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| PlanError::Header(name.to_owned()))
}
