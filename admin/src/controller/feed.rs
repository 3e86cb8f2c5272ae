//! The newest events for those who follow, and where each rollout's events are in the log.
//!
//! Nobody has a buffer of his own here: who follows asks for what comes after the last event he has. Who is too slow to
//! find it among the newest is told to begin anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use tokio::sync::watch;

use crate::api::dto;
use crate::rollout::Envelope;
use crate::store::Record;
use crate::time::rfc3339;

/// Events that are kept at hand.
pub(super) const NEWEST: usize = 4_096;

/// An event as it is sent to those who follow.
#[derive(Debug)]
pub struct Entry {
    /// The record it is from.
    pub record: Record,
    /// The event.
    pub envelope: Envelope,
    json: OnceLock<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Feed {
    kept: RwLock<Kept>,
    head: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    newest: VecDeque<Arc<Entry>>,
    by_rollout: BTreeMap<String, Vec<u64>>,
}

impl Entry {
    /// An event of the log.
    #[must_use]
    pub const fn new(record: Record, envelope: Envelope) -> Self {
        Self { record, envelope, json: OnceLock::new() }
    }

    /// As it is sent.
    #[must_use]
    pub fn dto(&self) -> dto::Event {
        let Self { record, envelope, .. } = self;
        dto::Event {
            sequence: record.sequence,
            at: rfc3339(envelope.clock.ms),
            kind: envelope.event.name().to_owned(),
            rollout: envelope.rollout.clone(),
            actor: envelope.actor.name.clone(),
            role: envelope.actor.role.as_str().to_owned(),
            reason: envelope.reason.clone(),
            command: envelope.command.clone(),
            hash: record.hash.to_string(),
            event: serde_json::to_value(&envelope.event).unwrap_or_default(),
        }
    }

    /// The same in JSON, made once for all who follow.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| serde_json::to_string(&self.dto()).unwrap_or_default())
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self { kept: RwLock::default(), head: watch::Sender::new(0) }
    }
}

impl Kept {
    fn keep(&mut self, record: &Record, envelope: &Envelope) {
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
        }
        self.newest.push_back(Arc::new(Entry::new(record.clone(), envelope.clone())));
    }
}

impl Feed {
    /// Adds the next event.
    pub(super) fn add(&self, record: &Record, envelope: &Envelope) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(rollout) = &envelope.rollout {
            match kept.by_rollout.get_mut(rollout) {
                Some(sequences) => sequences.push(record.sequence),
                None => drop(kept.by_rollout.insert(rollout.clone(), vec![record.sequence])),
            }
        }
        kept.keep(record, envelope);
    }

    /// Adds the next event, of whose place [`restore`](Self::restore) tells.
    pub(super) fn keep(&self, record: &Record, envelope: &Envelope) {
        self.kept.write().unwrap_or_else(PoisonError::into_inner).keep(record, envelope);
    }

    /// Where each rollout's events are, up to the newest one that was kept.
    pub(super) fn restore(&self, by_rollout: BTreeMap<String, Vec<u64>>) {
        self.kept.write().unwrap_or_else(PoisonError::into_inner).by_rollout = by_rollout;
    }

    /// What [`restore`](Self::restore) takes.
    pub(super) fn by_rollout(&self) -> BTreeMap<String, Vec<u64>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).by_rollout.clone()
    }

    /// Tells those who follow that there is something new.
    pub(super) fn tell(&self, head: u64) {
        self.head.send_replace(head);
    }

    /// Follows the sequence of the newest event.
    #[must_use]
    pub fn heads(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// At most `limit` events after `sequence`; `None`: they are not at hand any more.
    #[must_use]
    pub fn after(&self, sequence: u64, limit: usize) -> Option<Vec<Arc<Entry>>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let Some(oldest) = kept.newest.front().map(|entry| entry.record.sequence) else { return Some(Vec::new()) };
        let skip = usize::try_from((sequence + 1).checked_sub(oldest)?).unwrap_or(usize::MAX);
        Some(kept.newest.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Sequences of at most `limit` events of a rollout after `sequence`.
    #[must_use]
    pub fn of_rollout(&self, rollout: &str, sequence: u64, limit: usize) -> Vec<u64> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let sequences = kept.by_rollout.get(rollout).map_or(&[][..], Vec::as_slice);
        let first = sequences.partition_point(|&at| at <= sequence);
        sequences.iter().skip(first).take(limit).copied().collect()
    }
}
