//! What is in force, as the main thread tells the control plane's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use patchgate_admin::api::dto::Config;
use patchgate_admin::time::rfc3339;
use patchgate_config::model::Model;
use patchgate_config::rollout_table::RolloutTable;
use patchgate_config::snapshot::Snapshot;
use tokio::sync::Notify;

/// Published snapshots whose sequence is remembered.
const KEPT: usize = 64;

/// A table with the sequence of the log that it is made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Logged {
    pub(crate) sequence: u64,
    pub(crate) table: RolloutTable,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Board {
    posted: Mutex<Posted>,
    /// Somebody asked for an end.
    pub(crate) drain: Notify,
}

#[derive(Debug)]
struct Posted {
    node: String,
    file: String,
    model: Arc<Model>,
    snapshot: Option<Arc<Snapshot>>,
    since_ms: u64,
    last_error: Option<String>,
    /// Revisions, each with the sequence of the log that it serves.
    published: VecDeque<(u64, u64)>,
    /// Rollouts that were withdrawn since the start; with how long it took, once that is known.
    withdrawals: BTreeMap<String, Option<Duration>>,
}

impl Board {
    pub(super) fn new(file: &str, model: &Arc<Model>) -> Self {
        let posted = Posted {
            node: String::new(),
            file: file.to_owned(),
            model: Arc::clone(model),
            snapshot: None,
            since_ms: now_ms(),
            last_error: None,
            published: VecDeque::new(),
            withdrawals: BTreeMap::new(),
        };
        Self { posted: Mutex::new(posted), drain: Notify::new() }
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn named(&self, node: String) {
        self.posted().node = node;
    }

    /// A snapshot was published that serves the log up to `sequence`; or nothing had to be for it.
    pub(crate) fn published(&self, snapshot: &Arc<Snapshot>, sequence: u64) {
        let mut posted = self.posted();
        match posted.published.back_mut() {
            Some((revision, served)) if *revision == snapshot.revision => *served = sequence,
            _ => posted.published.push_back((snapshot.revision, sequence)),
        }
        if posted.published.len() > KEPT {
            posted.published.pop_front();
        }
        posted.snapshot = Some(Arc::clone(snapshot));
    }

    /// Another configuration is in force.
    pub(crate) fn configured(&self, model: &Arc<Model>) {
        let mut posted = self.posted();
        posted.model = Arc::clone(model);
        posted.since_ms = now_ms();
        posted.last_error = None;
    }

    /// The file as it is now is not in force; `None`: it is again.
    pub(crate) fn rejected(&self, why: Option<String>) {
        self.posted().last_error = why;
    }

    pub(super) fn node(&self) -> String {
        self.posted().node.clone()
    }

    pub(super) fn model(&self) -> Arc<Model> {
        Arc::clone(&self.posted().model)
    }

    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.posted().snapshot.clone()
    }

    /// The sequence that a gateway serves whose workers have all applied `revision`.
    pub(super) fn sequence_at(&self, revision: u64) -> u64 {
        let posted = self.posted();
        let applied = posted.published.iter().rev().find(|(published, _)| *published <= revision);
        applied.map_or(0, |(_, sequence)| *sequence)
    }

    /// A rollout is being withdrawn.
    pub(super) fn withdrawing(&self, rollout: &str) {
        self.posted().withdrawals.insert(rollout.to_owned(), None);
    }

    /// A rollout's hot-fix answers nobody any more, since so long after its withdrawal.
    pub(super) fn withdrawn(&self, rollout: &str, to_zero: Duration) {
        self.posted().withdrawals.insert(rollout.to_owned(), Some(to_zero));
    }

    pub(super) fn time_to_zero(&self, rollout: &str) -> Option<f64> {
        self.posted().withdrawals.get(rollout).copied().flatten().map(|to_zero| to_zero.as_secs_f64())
    }

    pub(super) fn config(&self) -> Config {
        let posted = self.posted();
        Config {
            file: posted.file.clone(),
            digest: posted.model.digest.clone(),
            revision: posted.snapshot.as_ref().map_or(0, |snapshot| snapshot.revision),
            since: rfc3339(posted.since_ms),
            last_error: posted.last_error.clone(),
            drift: Vec::new(),
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
