//! State → what the data plane is compiled with, and the configuration's rollouts → what is not in the log yet.

mod import;
mod plan;

use patchgate_config::rollout_table::RolloutTable;
use patchgate_config::snapshot::Exposure;

pub use import::{Drift, completions, drift, imports};
pub use plan::{PlanError, model_of, plan_of};

use crate::rollout::{Rollout, State};

/// The rows of every rollout that is served, the oldest first: it has precedence.
///
/// A plan of the log that this version cannot read any more is left out, and told.
#[must_use]
pub fn table(state: &State) -> RolloutTable {
    let mut served: Vec<(&str, &Rollout)> = state.live().filter(|(_, rollout)| rollout.phase.is_served()).collect();
    served.sort_by_key(|(_, rollout)| rollout.created.sequence);
    let mut table = RolloutTable::default();
    for (name, rollout) in served {
        match model_of(name, &rollout.plan, &rollout.force_stable) {
            Ok(model) => table.add(&model, Exposure::from_millionths(rollout.exposure().0)),
            Err(error) => tracing::error!(rollout = name, %error, "a rollout of the log is not served"),
        }
    }
    table
}

#[cfg(test)]
mod tests;
