//! Rollouts that a configuration file declares: imported once, never applied again.
//!
//! The log decides what a rollout is. A file that says something else afterwards is told as drift, so that nobody has to
//! guess which of the two is in force.

use patchgate_config::model::Model;
use serde::Serialize;

use super::plan::plan_of;
use crate::rollout::{Actor, Command, Completion, Order, Origin, Patch, Phase, Plan, Role, Rollout, State};

/// How a file's rollout differs from the log's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The rollout.
    pub rollout: String,
    /// What differs, and what would make them alike.
    pub what: String,
}

/// The orders that import what `model` declares and the log does not know by name.
#[must_use]
pub fn imports(model: &Model, state: &State) -> Vec<Order> {
    let unknown = model.rollouts.iter().filter(|rollout| !state.rollouts.contains_key(&*rollout.name));
    let order = |rollout: &patchgate_config::model::Rollout| Order {
        id: format!("import:{}:{}", rollout.name, model.digest),
        rollout: rollout.name.to_string(),
        command: Command::Create {
            plan: Box::new(plan_of(rollout)),
            start: true,
            origin: Origin::File { digest: model.digest.clone() },
        },
        actor: Actor { name: "configuration".into(), role: Role::System },
        reason: "declared in the configuration file".into(),
        if_version: None,
    };
    unknown.map(order).collect()
}

/// The orders that complete what is promoted and what stable runs by now, as `model` says.
#[must_use]
pub fn completions(model: &Model, state: &State) -> Vec<Order> {
    let runs = |patch: &Patch| {
        let mut services = model.services.iter();
        services.any(|service| *service.name == *patch.service && *service.version == *patch.version)
    };
    let promoted = state.live().filter(|(_, rollout)| rollout.phase == Phase::Promoted);
    let done = promoted.filter(|(_, rollout)| rollout.plan.patches.iter().all(runs));
    let order = |(name, rollout): (&str, &Rollout)| Order {
        id: format!("complete:{name}:{}", rollout.version),
        rollout: name.to_owned(),
        command: Command::Complete { cause: Completion::StableVersion },
        actor: Actor { name: "configuration".into(), role: Role::System },
        reason: "stable runs the patch's version".into(),
        if_version: Some(rollout.version),
    };
    done.map(order).collect()
}

/// Where `model` and the log differ.
#[must_use]
pub fn drift(model: &Model, state: &State) -> Vec<Drift> {
    let declared = model.rollouts.iter().filter_map(|declared| {
        let what = match state.rollouts.get(&*declared.name) {
            None => "is declared in the file but could not be imported; see the log of the gateway".to_owned(),
            Some(rollout) => differs(&plan_of(declared), &rollout.plan)?,
        };
        Some(Drift { rollout: declared.name.to_string(), what })
    });
    let gone = state.live().filter(|(name, rollout)| {
        let is_declared = model.rollouts.iter().any(|declared| *declared.name == **name);
        matches!(rollout.origin, Origin::File { .. }) && !is_declared
    });
    let gone = gone.map(|(name, _)| Drift {
        rollout: name.to_owned(),
        what: "was imported from the file, which does not declare it any more, and is still live; abort or complete it"
            .to_owned(),
    });
    declared.chain(gone).collect()
}

fn differs(declared: &Plan, logged: &Plan) -> Option<String> {
    let parts = [
        ("group", declared.group != logged.group),
        ("patches", declared.patches != logged.patches),
        ("force_stable", declared.force_stable != logged.force_stable),
        ("assign", declared.assign != logged.assign),
        ("stages", declared.stages != logged.stages),
        ("gates", declared.gates != logged.gates || declared.on_fail != logged.on_fail),
        ("deadline", declared.deadline_ms != logged.deadline_ms),
        ("approval", declared.approval_above != logged.approval_above),
        ("on_withdraw", declared.on_withdraw != logged.on_withdraw),
    ];
    let different: Vec<&str> = parts.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    (!different.is_empty()).then(|| {
        format!(
            "the file differs from the log in {}; the log is in force: create a rollout of another name to change it",
            different.join(", ")
        )
    })
}
