//! Which orders were carried out, so that the same order again does nothing and says the same.

use std::collections::{HashMap, VecDeque};

use crate::rollout::{Actor, Envelope, Millis, Role};
use crate::store::Sequence;

/// Orders are remembered for a day,
const KEPT_MS: Millis = 24 * 60 * 60 * 1_000;

/// and at most this many.
const KEPT: usize = 100_000;

/// Orders of the last day. Derived from the log alone.
#[derive(Debug, Default)]
pub(super) struct Past {
    by_id: HashMap<String, Carried>,
    /// With the time and place of each one's first event.
    order: VecDeque<(Millis, Sequence, String)>,
}

/// An order that was carried out.
#[derive(Debug)]
struct Carried {
    /// Sequence of its last event.
    sequence: Sequence,
    actor: Actor,
    request: Option<String>,
}

impl Past {
    /// Notes that the record at `sequence` is `envelope`.
    pub(super) fn note(&mut self, sequence: Sequence, envelope: &Envelope) {
        // Notes and refusals have ids of their own that nobody sends again.
        if envelope.rollout.is_none() || envelope.actor.role == Role::System {
            return;
        }
        match self.by_id.get_mut(&envelope.command) {
            Some(carried) => carried.sequence = sequence,
            None => {
                let carried = Carried { sequence, actor: envelope.actor.clone(), request: envelope.request.clone() };
                self.by_id.insert(envelope.command.clone(), carried);
                self.order.push_back((envelope.clock.ms, sequence, envelope.command.clone()));
            }
        }
        let old = envelope.clock.ms.saturating_sub(KEPT_MS);
        while self.order.front().is_some_and(|(at, ..)| *at < old || self.order.len() > KEPT)
            && let Some((.., id)) = self.order.pop_front()
        {
            self.by_id.remove(&id);
        }
    }

    /// The first record of the oldest order that is remembered.
    pub(super) fn from(&self) -> Option<Sequence> {
        self.order.front().map(|(_, sequence, _)| *sequence)
    }

    /// Where the order with this id ended in the log; `Err`: the id was another request's or another actor's.
    pub(super) fn find(&self, id: &str, actor: &Actor, request: Option<&str>) -> Option<Result<Sequence, ()>> {
        let carried = self.by_id.get(id)?;
        let same = carried.request.as_deref() == request && carried.actor.name == actor.name;
        Some(if same { Ok(carried.sequence) } else { Err(()) })
    }
}
