//! What somebody wants: imperative, and not yet true.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Millis;
use super::event::{Completion, Origin, RollbackCause};
use super::plan::{Condition, Millionths, Plan};

/// A command with who gave it and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Tells this order from all others; the same again is the same order.
    pub id: String,
    /// The rollout's name.
    pub rollout: String,
    /// What is wanted.
    pub command: Command,
    /// Who wants it.
    pub actor: Actor,
    /// Why; may be empty.
    pub reason: String,
    /// The version that it was decided on; refused if that is not the latest.
    pub if_version: Option<u64>,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A new rollout.
    Create {
        /// What it is to do.
        plan: Box<Plan>,
        /// Whether its first stage begins at once.
        start: bool,
        /// Where it comes from.
        origin: Origin,
    },
    /// The next stage now, or everybody now.
    Promote {
        /// Skips all stages that are left.
        full: bool,
    },
    /// No further stage until resumed; exposure stays.
    Pause,
    /// On from where it was paused.
    Resume,
    /// The second person's yes.
    Approve,
    /// Other people who are never given the patch.
    ForceStable {
        /// All of them.
        rules: Vec<Condition>,
    },
    /// Back to stable, whatever it was at.
    Abort,
    /// Stable runs the patch: it is not needed any more.
    Complete {
        /// How that is known.
        cause: Completion,
    },
    /// The next stage, since the hold is over.
    Advance,
    /// Back to stable, by a verdict.
    RollBack {
        /// Which one.
        cause: RollbackCause,
    },
    /// Back to stable, since the deadline has passed.
    Expire,
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Actor {
    /// The token's or system part's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// What an actor may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Create, promote, pause, resume, abort, complete.
    Operator,
    /// Approve, besides.
    Approver,
    /// Everything.
    Admin,
    /// patchgate itself.
    System,
}

/// What a decision needs to know of the world outside the log.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The log's time.
    pub now: Millis,
    /// The configured services, each with the most that percent rules may take of it.
    pub services: BTreeMap<String, Millionths>,
    /// Whether people must say why.
    pub require_reason: bool,
}

impl Command {
    /// Its name in messages and in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Promote { .. } => "promote",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::ForceStable { .. } => "force-stable",
            Self::Abort => "abort",
            Self::Complete { .. } => "complete",
            Self::Advance => "advance",
            Self::RollBack { .. } => "roll-back",
            Self::Expire => "expire",
        }
    }
}

impl Actor {
    /// patchgate's own time-driven steps.
    #[must_use]
    pub fn controller() -> Self {
        Self { name: "controller".into(), role: Role::System }
    }
}

impl Role {
    /// Its name in tokens, events and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
            Self::System => "system",
        }
    }
}
