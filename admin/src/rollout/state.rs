//! All rollouts as the log tells of them. [`State::apply`] is total and the same on every machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Millis;
use super::clock::Hlc;
use super::command::Actor;
use super::event::{Envelope, Event, Exposed, Origin};
use super::plan::{Condition, Millionths, Plan};

/// What the log says, up to one of its records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The record it is at.
    pub sequence: u64,
    /// That record's clock.
    pub clock: Hlc,
    /// The newest rollout of each name, live or ended.
    pub rollouts: BTreeMap<String, Arc<Rollout>>,
}

/// One rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Sequence of its newest event: what `If-Match` compares.
    pub version: u64,
    /// Clock of that event.
    pub clock: Hlc,
    /// What it is to do.
    pub plan: Arc<Plan>,
    /// Who is never given the patch, now.
    pub force_stable: Vec<Condition>,
    /// Where it comes from.
    pub origin: Origin,
    /// How far it is.
    pub phase: Phase,
    /// Who has approved the stages that need it.
    pub approved_by: Option<Actor>,
    /// Its creation.
    pub created: Change,
    /// What was done to it last.
    pub changed: Change,
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Phase {
    /// Created, not begun: nobody is given the patch, marked or not.
    Pending,
    /// At a stage.
    Canary {
        /// Its index.
        stage: u32,
        /// Since when its hold runs.
        since: Millis,
        /// How much of the hold had passed before.
        held_ms: Millis,
    },
    /// At a stage whose hold stands still.
    Paused {
        /// Its index.
        stage: u32,
        /// How much of the hold had passed.
        held_ms: Millis,
    },
    /// Everybody.
    Promoted,
    /// Ended: stable runs the patch.
    Completed,
    /// Ended: withdrawn.
    RolledBack,
    /// Ended: stopped.
    Aborted,
}

/// What was done, by whom, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The event's place in the log.
    pub sequence: u64,
    /// Its name.
    pub event: String,
    /// When.
    pub at_ms: Millis,
    /// Who.
    pub by: Actor,
    /// Why; may be empty.
    pub reason: String,
}

// === impl State ===

impl State {
    /// The state after the next record, which is `envelope`. An event that does not fit changes nothing but the place
    /// in the log; [`invariants::follows`](super::invariants::follows) tells whether it fits.
    pub fn apply(&mut self, envelope: &Envelope) {
        self.sequence += 1;
        self.clock = envelope.clock.clone();
        let Some(name) = &envelope.rollout else { return };
        let next = match (&envelope.event, self.rollouts.get(name)) {
            (Event::Created { plan, origin }, before) if before.is_none_or(|before| !before.phase.is_live()) => {
                self.created(envelope, plan, origin)
            }
            (_, Some(before)) => match before.phase.after(&envelope.event, envelope.clock.ms) {
                Some(phase) => self.changed(envelope, before, phase),
                None => return,
            },
            (_, None) => return,
        };
        // What an event says of exposure is what is true afterwards, or it does not fit.
        if matches!(envelope.event.exposed(), Exposed::Is(exposure) if exposure != next.exposure()) {
            return;
        }
        self.rollouts.insert(name.clone(), Arc::new(next));
    }

    fn created(&self, envelope: &Envelope, plan: &Plan, origin: &Origin) -> Rollout {
        let change = Change::of(self.sequence, envelope);
        Rollout {
            version: self.sequence,
            clock: envelope.clock.clone(),
            plan: Arc::new(plan.clone()),
            force_stable: plan.force_stable.clone(),
            origin: origin.clone(),
            phase: Phase::Pending,
            approved_by: None,
            created: change.clone(),
            changed: change,
        }
    }

    fn changed(&self, envelope: &Envelope, before: &Rollout, phase: Phase) -> Rollout {
        let mut next = before.clone();
        next.version = self.sequence;
        next.clock = envelope.clock.clone();
        next.phase = phase;
        next.changed = Change::of(self.sequence, envelope);
        match &envelope.event {
            Event::Approved => next.approved_by = Some(envelope.actor.clone()),
            Event::ForceStableChanged { rules } => next.force_stable.clone_from(rules),
            _ => {}
        }
        next
    }

    /// Rollouts that are not at an end, by name.
    pub fn live(&self) -> impl Iterator<Item = (&str, &Rollout)> {
        let all = self.rollouts.iter().map(|(name, rollout)| (name.as_str(), &**rollout));
        all.filter(|(_, rollout)| rollout.phase.is_live())
    }

    /// BLAKE3 of the state as JSON: equal wherever the same log was folded.
    #[must_use]
    pub fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        serde_json::to_writer(&mut hasher, self).expect("maps have string keys, and a hasher takes all");
        hasher.finalize()
    }
}

// === impl Rollout ===

impl Rollout {
    /// What percent rules give the patch now.
    #[must_use]
    pub fn exposure(&self) -> Millionths {
        match self.phase {
            Phase::Canary { stage, .. } | Phase::Paused { stage, .. } => self.plan.exposure_at(stage),
            Phase::Promoted => Millionths::ALL,
            Phase::Pending | Phase::Completed | Phase::RolledBack | Phase::Aborted => Millionths(0),
        }
    }

    /// What it takes of each of its services: nothing where no rule chooses by percent.
    #[must_use]
    pub fn taken(&self) -> Millionths {
        if self.plan.has_percent() { self.exposure() } else { Millionths(0) }
    }

    /// When it falls back to stable unless it is promoted or ended.
    #[must_use]
    pub fn deadline(&self) -> Millis {
        self.created.at_ms.saturating_add(self.plan.deadline_ms)
    }
}

// === impl Phase ===

impl Phase {
    /// The phase after `event` at `at`; `None`: the event does not fit.
    #[must_use]
    pub fn after(self, event: &Event, at: Millis) -> Option<Self> {
        let canary = |stage, since, held_ms| Some(Self::Canary { stage, since, held_ms });
        match (event, self) {
            (_, Self::Completed | Self::RolledBack | Self::Aborted) | (Event::Created { .. }, _) => None,
            (Event::Aborted, _) => Some(Self::Aborted),
            (Event::RolledBack { .. }, _) => Some(Self::RolledBack),
            (Event::ForceStableChanged { .. }, phase) => Some(phase),
            (_, Self::Promoted) => matches!(event, Event::Completed { .. }).then_some(Self::Completed),
            (Event::Completed { .. }, _) => None,
            (Event::Approved, phase) => Some(phase),
            (Event::Promoted { .. }, _) => Some(Self::Promoted),
            (Event::StageEntered { stage: 0, .. }, Self::Pending) => canary(0, at, 0),
            (
                Event::StageEntered { stage, .. },
                Self::Canary { stage: before, .. } | Self::Paused { stage: before, .. },
            ) if before.checked_add(1) == Some(*stage) => canary(*stage, at, 0),
            (Event::Paused { stage, held_ms }, Self::Canary { stage: now, .. }) if *stage == now => {
                Some(Self::Paused { stage: now, held_ms: *held_ms })
            }
            (Event::Resumed { stage }, Self::Paused { stage: now, held_ms }) if *stage == now => {
                canary(now, at, held_ms)
            }
            _ => None,
        }
    }

    /// Whether it is not at an end.
    #[must_use]
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Completed | Self::RolledBack | Self::Aborted)
    }

    /// Whether the patch can be reached at all: by marks, rules or percent.
    #[must_use]
    pub const fn is_served(self) -> bool {
        matches!(self, Self::Canary { .. } | Self::Paused { .. } | Self::Promoted)
    }

    /// The stage it is at.
    #[must_use]
    pub const fn stage(self) -> Option<u32> {
        match self {
            Self::Canary { stage, .. } | Self::Paused { stage, .. } => Some(stage),
            _ => None,
        }
    }

    /// Its name in messages, metrics and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Canary { .. } => "canary",
            Self::Paused { .. } => "paused",
            Self::Promoted => "promoted",
            Self::Completed => "completed",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
        }
    }
}

// === impl Change ===

impl Change {
    fn of(sequence: u64, envelope: &Envelope) -> Self {
        Self {
            sequence,
            event: envelope.event.name().to_owned(),
            at_ms: envelope.clock.ms,
            by: envelope.actor.clone(),
            reason: envelope.reason.clone(),
        }
    }
}
