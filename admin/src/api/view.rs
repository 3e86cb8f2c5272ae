//! State → what people see of it. Pure, given the moment and the traffic.

use patchgate_config::model::Model;
use serde_json::Value;

use super::dto;
use crate::controller::World;
use crate::plane::Traffic;
use crate::projection::{drift, model_of};
use crate::rollout::Millis;
use crate::rollout::{Change, Millionths, Origin, Phase, Rollout, State, Wait, waits_for};
use crate::time::rfc3339;

/// What a view is made of, besides the rollout.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) state: &'a State,
    pub(super) world: &'a World,
    pub(super) model: &'a Model,
    pub(super) traffic: &'a [Traffic],
    pub(super) gateways: &'a [dto::Gateway],
    pub(super) now: Millis,
}

impl Scene<'_> {
    /// One rollout as people see it; `time_to_zero` is the data plane's.
    pub(super) fn rollout(&self, name: &str, rollout: &Rollout, time_to_zero: Option<f64>) -> dto::Rollout {
        let plan = &rollout.plan;
        dto::Rollout {
            name: name.to_owned(),
            version: rollout.version,
            state: rollout.phase.name().to_owned(),
            live: rollout.phase.is_live(),
            group: plan.group.clone(),
            patches: plan.patches.iter().map(|patch| self.patch(name, patch)).collect(),
            stages: self.stages(rollout),
            stage: rollout.phase.stage(),
            exposure_percent: percent(rollout.exposure()),
            waits_for: self.wait(name, rollout),
            deadline: (rollout.phase.is_live() && rollout.phase != Phase::Promoted)
                .then(|| rfc3339(rollout.deadline())),
            approval_above_percent: plan.approval_above.map(percent),
            approved_by: rollout.approved_by.as_ref().map(|actor| actor.name.clone()),
            created: change(&rollout.created),
            changed: change(&rollout.changed),
            origin: match &rollout.origin {
                Origin::Api => "api".to_owned(),
                Origin::File { digest } => format!("file {digest}"),
            },
            drift: drift(self.model, self.state)
                .into_iter()
                .find(|drift| drift.rollout == name)
                .map(|drift| drift.what),
            convergence: self.convergence(rollout.version),
            time_to_zero_canary_seconds: time_to_zero,
            definition: definition(name, rollout),
        }
    }

    fn patch(&self, name: &str, patch: &crate::rollout::Patch) -> dto::Patch {
        let ours = |traffic: &&Traffic| {
            traffic.service == patch.service && traffic.rollout.as_deref().is_none_or(|rollout| rollout == name)
        };
        dto::Patch {
            service: patch.service.clone(),
            version: patch.version.clone(),
            endpoints: patch.endpoints.iter().map(ToString::to_string).collect(),
            tracks: self.traffic.iter().filter(ours).map(|traffic| traffic.track.clone()).collect(),
        }
    }

    fn stages(&self, rollout: &Rollout) -> Vec<dto::Stage> {
        let held = match rollout.phase {
            Phase::Canary { since, held_ms, .. } => held_ms.saturating_add(self.now.saturating_sub(since)),
            Phase::Paused { held_ms, .. } => held_ms,
            _ => 0,
        };
        let stages = rollout.plan.stages.iter().zip(0u32..);
        stages
            .map(|(stage, index)| dto::Stage {
                percent: percent(stage.exposure),
                hold_ms: stage.hold_ms,
                held_ms: (rollout.phase.stage() == Some(index))
                    .then(|| stage.hold_ms.map_or(held, |hold| held.min(hold))),
            })
            .collect()
    }

    fn wait(&self, name: &str, rollout: &Rollout) -> Option<dto::Wait> {
        let context = self.world.at(self.now);
        let wait = |kind: &str, until, message| Some(dto::Wait { kind: kind.to_owned(), until, message });
        match waits_for(self.state, name, rollout, &context)? {
            Wait::Hold { until } => {
                let until = rfc3339(until);
                let message = format!("the next stage begins at {until}");
                wait("hold", Some(until), message)
            }
            Wait::Person if matches!(rollout.phase, Phase::Paused { .. }) => {
                wait("person", None, format!("`patchgate rollout resume {name}` goes on"))
            }
            Wait::Person => wait("person", None, format!("`patchgate rollout promote {name}` begins the next stage")),
            Wait::Refused(refusal) => wait(refusal.code(), None, refusal.to_string()),
        }
    }

    fn convergence(&self, version: u64) -> dto::Convergence {
        let applied = self.gateways.iter().filter(|gateway| gateway.sequence >= version).count();
        dto::Convergence { applied: count(applied), of: count(self.gateways.len()) }
    }
}

/// A rollout's definition, as people write it.
fn definition(name: &str, rollout: &Rollout) -> Value {
    match model_of(name, &rollout.plan, &rollout.force_stable) {
        Ok(model) => model.to_value(),
        Err(error) => serde_json::json!({ "unreadable": error.to_string() }),
    }
}

fn change(change: &Change) -> dto::Change {
    dto::Change {
        event: change.event.clone(),
        at: rfc3339(change.at_ms),
        by: change.by.name.clone(),
        reason: change.reason.clone(),
    }
}

pub(super) fn percent(share: Millionths) -> f64 {
    f64::from(share.0) / 10_000.0
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
