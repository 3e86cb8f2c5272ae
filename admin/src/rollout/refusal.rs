//! Why an order is not carried out. Each says what would help.

use super::Millis;
use super::command::Actor;
use super::plan::Millionths;

/// Why an order is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such rollout.
    #[error("there is no rollout `{name}`; `patchgate rollout list` shows what there is")]
    NotFound {
        /// The name asked for.
        name: String,
    },
    /// A live rollout has this name.
    #[error("rollout `{name}` is live ({state}); abort or complete it first, or choose another name")]
    NameTaken {
        /// The name.
        name: String,
        /// How far that one is.
        state: &'static str,
    },
    /// A live rollout patches the service in this group.
    #[error(
        "service `{service}` has group `{group}` in rollout `{other}` already; choose another group, or end `{other}`"
    )]
    GroupTaken {
        /// The service.
        service: String,
        /// The group.
        group: String,
        /// The rollout that has it.
        other: String,
    },
    /// The service's rollouts together would get more than they may.
    #[error(
        "service `{service}` would give {asked} to rollouts, but may give {cap} (taken: {}); \
         promote less, or end another", join(.others)
    )]
    ExposureCap {
        /// The service.
        service: String,
        /// What all of them would get.
        asked: Millionths,
        /// What they may get.
        cap: Millionths,
        /// The others, with what they have.
        others: Vec<(String, Millionths)>,
    },
    /// The configuration has no such service.
    #[error("the configuration has no service `{service}`; it has {}", known.join(", "))]
    UnknownService {
        /// The name asked for.
        service: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The transition is not in the table.
    #[error("rollout `{name}` is {state}: {command} is not possible; {help}")]
    WrongState {
        /// The rollout.
        name: String,
        /// How far it is.
        state: &'static str,
        /// What was asked.
        command: &'static str,
        /// What is possible.
        help: &'static str,
    },
    /// Nothing is to be done yet.
    #[error("rollout `{name}` is not due before {at} ms since 1970")]
    NotDue {
        /// The rollout.
        name: String,
        /// When it will be.
        at: Millis,
    },
    /// The next stage needs a second person.
    #[error(
        "rollout `{name}` needs a second person for {exposure} (above {above}): somebody other than `{creator}` runs \
         `patchgate rollout approve {name}`"
    )]
    ApprovalNeeded {
        /// The rollout.
        name: String,
        /// The share asked for.
        exposure: Millionths,
        /// The share above which it is needed.
        above: Millionths,
        /// Who cannot give it.
        creator: String,
    },
    /// Who created a rollout cannot be its second person.
    #[error("`{actor}` created rollout `{name}`; the second person must be another one")]
    OwnApproval {
        /// The rollout.
        name: String,
        /// Who asked.
        actor: String,
    },
    /// The rollout has changed since.
    #[error(
        "rollout `{name}` is at version {actual}, you sent {sent}: `{}` {event} it in the meantime; see \
         `patchgate rollout get {name}`", by.name
    )]
    VersionMismatch {
        /// The rollout.
        name: String,
        /// What was sent.
        sent: u64,
        /// What it is.
        actual: u64,
        /// Who changed it.
        by: Actor,
        /// How.
        event: String,
    },
    /// People must say why.
    #[error("a reason is asked for here; say why with --reason")]
    ReasonMissing,
    /// The plan contradicts itself.
    #[error("{what}")]
    Invalid {
        /// What is wrong, and what would be right.
        what: String,
    },
}

fn join(others: &[(String, Millionths)]) -> String {
    if others.is_empty() {
        return "none".to_owned();
    }
    others.iter().map(|(name, share)| format!("`{name}` {share}")).collect::<Vec<_>>().join(", ")
}

impl Refusal {
    /// Stable code for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "rollout_not_found",
            Self::NameTaken { .. } => "name_taken",
            Self::GroupTaken { .. } => "group_taken",
            Self::ExposureCap { .. } => "exposure_cap",
            Self::UnknownService { .. } => "unknown_service",
            Self::WrongState { .. } => "wrong_state",
            Self::NotDue { .. } => "not_due",
            Self::ApprovalNeeded { .. } => "approval_needed",
            Self::OwnApproval { .. } => "own_approval",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::ReasonMissing => "reason_missing",
            Self::Invalid { .. } => "invalid_rollout",
        }
    }
}
