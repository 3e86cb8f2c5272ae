//! What must hold for every event of a log, numbered. Checked by `log verify`, when a log is opened, and after each
//! append in builds with debug assertions; the tests drive them with random orders.

use super::event::{Envelope, Event, Exposed};
use super::plan::Millionths;
use super::state::{Phase, State};

/// An event that must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("R{number}: {what}")]
pub struct Violation {
    /// The invariant's number.
    pub number: u8,
    /// What is wrong with the event.
    pub what: String,
}

/// The invariants, by number.
pub const ALL: [(u8, &str); 8] = [
    (1, "an event's clock is later than that of every event before it"),
    (2, "an event names the newest event of its rollout as its cause, and its clock is later than its cause's"),
    (3, "an event about a rollout fits that rollout's state by the table of transitions"),
    (4, "exposure never rises without an event that says so, and is what that event says"),
    (5, "at an end exposure is 0, and nothing but a new creation changes the rollout again"),
    (6, "two live rollouts never share a service and a group"),
    (7, "a stage above the approval's share begins only after somebody other than the creator approved"),
    (8, "an event changes no rollout but its own"),
];

/// Whether `envelope` may follow `before`.
///
/// # Errors
/// The first invariant that it violates.
pub fn follows(before: &State, envelope: &Envelope) -> Result<(), Violation> {
    let violation = |number, what: String| Err(Violation { number, what });
    if before.sequence > 0 && envelope.clock <= before.clock {
        return violation(1, format!("clock {} does not follow {}", envelope.clock, before.clock));
    }
    let Some(name) = &envelope.rollout else {
        return match envelope.event {
            Event::Denied { .. } | Event::TokensChanged { .. } => Ok(()),
            _ => violation(3, format!("`{}` names no rollout", envelope.event.name())),
        };
    };
    let known = before.rollouts.get(name);
    if let Event::Created { plan, .. } = &envelope.event {
        if let Some(live) = known.filter(|rollout| rollout.phase.is_live()) {
            return violation(3, format!("`{name}` is created while it is {}", live.phase.name()));
        }
        let shares = |(_, other): &(&str, &super::Rollout)| {
            other.plan.group == plan.group
                && plan.patches.iter().any(|patch| other.plan.patches_service(&patch.service))
        };
        return match before.live().find(shares) {
            Some((other, _)) => violation(6, format!("`{name}` shares a service and group with `{other}`")),
            None => Ok(()),
        };
    }
    if matches!(envelope.event, Event::Denied { .. }) {
        return Ok(());
    }
    let Some(rollout) = known else {
        return violation(3, format!("`{}` of `{name}`, which does not exist", envelope.event.name()));
    };
    if envelope.cause != Some(rollout.version) || envelope.clock <= rollout.clock {
        let what = format!("`{name}` is at {}, the event's cause is {:?}", rollout.version, envelope.cause);
        return violation(2, what);
    }
    if !rollout.phase.is_live() {
        return violation(5, format!("`{}` of `{name}`, which is {}", envelope.event.name(), rollout.phase.name()));
    }
    if rollout.phase.after(&envelope.event, envelope.clock.ms).is_none() {
        return violation(3, format!("`{}` of `{name}`, which is {}", envelope.event.name(), rollout.phase.name()));
    }
    match &envelope.event {
        Event::StageEntered { stage, exposure, .. } if *exposure != rollout.plan.exposure_at(*stage) => {
            violation(4, format!("stage {stage} of `{name}` is planned at {}", rollout.plan.exposure_at(*stage)))
        }
        Event::Promoted { exposure, .. } if *exposure != Millionths::ALL => {
            violation(4, format!("`{name}` is promoted at {exposure}"))
        }
        Event::StageEntered { exposure, .. } | Event::Promoted { exposure, .. }
            if rollout.plan.needs_approval(*exposure) && rollout.approved_by.is_none() =>
        {
            violation(7, format!("{exposure} of `{name}` was not approved"))
        }
        Event::Approved if envelope.actor.name == rollout.created.by.name => {
            violation(7, format!("`{name}` was approved by its creator"))
        }
        _ => Ok(()),
    }
}

/// Whether `after` is `before` with `envelope` applied, as far as invariants go. For tests and debug builds: it looks
/// at every rollout.
///
/// # Errors
/// The first invariant that does not hold.
pub fn held(before: &State, envelope: &Envelope, after: &State) -> Result<(), Violation> {
    let violation = |number, what: String| Err(Violation { number, what });
    for (name, rollout) in &after.rollouts {
        let was = before.rollouts.get(name);
        if envelope.rollout.as_ref() != Some(name) {
            if was != Some(rollout) {
                return violation(8, format!("`{name}` changed by an event of {:?}", envelope.rollout));
            }
            continue;
        }
        let exposure_before = was.map_or(Millionths(0), |rollout| rollout.exposure());
        let fits = match envelope.event.exposed() {
            Exposed::Is(exposure) => rollout.exposure() == exposure,
            Exposed::Stays => rollout.exposure() == exposure_before,
        };
        // An event that does not fit changes nothing.
        if was != Some(rollout) && !fits {
            return violation(4, format!("`{name}` is at {} after `{}`", rollout.exposure(), envelope.event.name()));
        }
        if matches!(rollout.phase, Phase::Aborted | Phase::RolledBack | Phase::Completed)
            && rollout.exposure() != Millionths(0)
        {
            return violation(5, format!("`{name}` has ended at {}", rollout.exposure()));
        }
    }
    Ok(())
}
