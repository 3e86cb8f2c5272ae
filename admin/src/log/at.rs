//! Why was it 25 % at 14:03? The state at a moment, and who brought each rollout there.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rollout::{Change, Millionths, Phase, Rollout, State};

/// One rollout at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Its name.
    pub rollout: String,
    /// How far it was.
    #[serde(flatten)]
    pub phase: Phase,
    /// What percent rules gave the patch, in millionths.
    pub exposure: Millionths,
    /// What had brought it there: who, when, why.
    pub since: Change,
}

/// Every rollout of `state`, live ones first, each with what brought it to where it is.
#[must_use]
pub fn at(state: &State) -> Vec<Exposure> {
    let exposure = |(name, rollout): (&String, &Arc<Rollout>)| Exposure {
        rollout: name.clone(),
        phase: rollout.phase,
        exposure: rollout.exposure(),
        since: rollout.changed.clone(),
    };
    let mut all: Vec<_> = state.rollouts.iter().map(exposure).collect();
    all.sort_by_key(|exposure| !exposure.phase.is_live());
    all
}
