//! What has happened: past tense, facts only, never edited. The catalogue in `docs/events.md` is made from these types.

use serde::{Deserialize, Serialize};

use super::Millis;
use super::clock::Hlc;
use super::command::Actor;
use super::plan::{Condition, Millionths, Plan};

/// An event with who, when and why: what one record of the log holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Envelope {
    /// Version of this form; older ones are upcast when read.
    pub v: u32,
    /// When. Later than everything before it in the log.
    pub clock: Hlc,
    /// The sequence of the event that this one was decided on: its rollout's newest. Absent for what has no past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    /// The order it belongs to. All events of one order are appended together.
    pub command: String,
    /// Digest of the request that carried the order, so that its key cannot be used for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Who.
    pub actor: Actor,
    /// Why; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The rollout that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// What.
    pub event: Event,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A rollout exists, at no exposure.
    Created {
        /// What it is to do.
        plan: Box<Plan>,
        /// Where it comes from.
        origin: Origin,
    },
    /// A stage began.
    StageEntered {
        /// Its index.
        stage: u32,
        /// What percent rules give the patch from now on.
        exposure: Millionths,
        /// Why now.
        entry: Entry,
    },
    /// No further stage begins by itself.
    Paused {
        /// The stage it is at.
        stage: u32,
        /// How much of its hold had passed.
        held_ms: Millis,
    },
    /// The hold goes on.
    Resumed {
        /// The stage it is at.
        stage: u32,
    },
    /// A second person said yes.
    Approved,
    /// Other people are never given the patch.
    ForceStableChanged {
        /// All of them.
        rules: Vec<Condition>,
    },
    /// Everybody whom percent rules can choose is given the patch.
    Promoted {
        /// What percent rules give the patch from now on.
        exposure: Millionths,
        /// Whether stages were skipped.
        full: bool,
    },
    /// The end: stable runs the patch.
    Completed {
        /// How that is known.
        cause: Completion,
    },
    /// The end: somebody stopped it.
    Aborted,
    /// The end: it was withdrawn.
    RolledBack {
        /// Why.
        cause: RollbackCause,
    },
    /// Somebody was not let do something.
    Denied {
        /// What was asked: method and path.
        request: String,
        /// The status of the answer.
        status: u16,
        /// The problem's code.
        code: String,
        /// How many like it were denied before, since the last of these events.
        more: u64,
    },
    /// The tokens that are accepted are others than before.
    TokensChanged {
        /// Names of the new ones.
        added: Vec<String>,
        /// Names of those no longer accepted.
        revoked: Vec<String>,
    },
}

/// Where a rollout comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The admin API.
    Api,
    /// The configuration file, imported once.
    File {
        /// Hex digest of the file as it was.
        digest: String,
    },
}

/// Why a stage begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first one, at creation.
    Start,
    /// The hold of the one before is over.
    HoldOver,
    /// Somebody promoted it.
    Promote,
}

/// How it is known that stable runs the patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// Somebody said so.
    Told,
    /// The configuration says that stable is at the patch's version.
    StableVersion,
}

/// Why a patch was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RollbackCause {
    /// A verdict on evidence.
    Verdict {
        /// What the evidence says.
        finding: String,
    },
    /// Nobody ended it in time.
    Deadline,
}

/// What an event does to a rollout's exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposed {
    /// It is this from now on.
    Is(Millionths),
    /// It stays as it was.
    Stays,
}

impl Envelope {
    /// The version that is written.
    pub const VERSION: u32 = 1;
}

impl Event {
    /// What the event says of its rollout's exposure.
    #[must_use]
    pub const fn exposed(&self) -> Exposed {
        match self {
            Self::StageEntered { exposure, .. } | Self::Promoted { exposure, .. } => Exposed::Is(*exposure),
            Self::Created { .. } | Self::Completed { .. } | Self::Aborted | Self::RolledBack { .. } => {
                Exposed::Is(Millionths(0))
            }
            Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::Approved
            | Self::ForceStableChanged { .. }
            | Self::Denied { .. }
            | Self::TokensChanged { .. } => Exposed::Stays,
        }
    }

    /// Its `type` in the log and in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::StageEntered { .. } => "stage_entered",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Approved => "approved",
            Self::ForceStableChanged { .. } => "force_stable_changed",
            Self::Promoted { .. } => "promoted",
            Self::Completed { .. } => "completed",
            Self::Aborted => "aborted",
            Self::RolledBack { .. } => "rolled_back",
            Self::Denied { .. } => "denied",
            Self::TokensChanged { .. } => "tokens_changed",
        }
    }
}
