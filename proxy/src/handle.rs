//! The control plane's hold on a running data plane: looks at it and cuts a canary off, from any thread.
//!
//! Cheap to clone. It keeps no worker alive: after a drain it sees what was counted last, and a cut finds nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use patchgate_config::snapshot::Snapshot;
use tokio::sync::{mpsc, oneshot};

use crate::commands::Command;
use crate::panics::{PanicPool, PanicReport};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::{Canary, Metrics};
use crate::telemetry::recent::{Recent, RecentDecision};
use crate::telemetry::traffic::Traffic;
use crate::withdraw::Cut;

/// See the module.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: Arc<[mpsc::WeakUnboundedSender<Command>]>,
    metrics: Arc<Metrics>,
    recent: Arc<Recent>,
    panics: Arc<PanicPool>,
    history: Arc<Mutex<VecDeque<Arc<Snapshot>>>>,
}

/// Snapshots that are kept for the names of what was served by them.
const KEPT: usize = 16;

impl Handle {
    pub(crate) fn new(
        commands: Arc<[mpsc::WeakUnboundedSender<Command>]>,
        telemetry: &Telemetry,
        panics: &Arc<PanicPool>,
    ) -> Self {
        let (metrics, recent) = (Arc::clone(&telemetry.metrics), Arc::clone(&telemetry.recent));
        Self { commands, metrics, recent, panics: Arc::clone(panics), history: Arc::default() }
    }

    /// Keeps a snapshot that is published.
    pub(crate) fn published(&self, snapshot: &Arc<Snapshot>) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.len() == KEPT {
            history.pop_front();
        }
        history.push_back(Arc::clone(snapshot));
    }

    /// What is still known of the requests of a trace, newest first: each worker keeps its last 1,024. A trace that
    /// comes by several times, as on its way through several services, has as many.
    #[must_use]
    pub fn recent(&self, trace_id: u128) -> Vec<RecentDecision> {
        let found = self.recent.find(trace_id);
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = |revision| history.iter().find(|snapshot| snapshot.revision == revision);
        found.iter().map(|record| record.resolve(kept(record.revision).map(|snapshot| &**snapshot))).collect()
    }

    /// The least revision that a worker serves new requests from; 0 while one has none yet, or when all have ended.
    ///
    /// A worker takes a snapshot when it is published, not at its next request. Requests that are in flight stay with
    /// the snapshot that they began with.
    #[must_use]
    pub fn applied_revision(&self) -> u64 {
        self.metrics.applied_revision()
    }

    /// How the canary requests of the rollout of this name stand, over all workers and snapshots.
    ///
    /// Once [`applied_revision`](Self::applied_revision) has reached a snapshot that gives the rollout nothing, none
    /// in flight means that none will be.
    #[must_use]
    pub fn canary(&self, rollout: &str) -> Canary {
        self.metrics.canary(rollout)
    }

    /// Traffic so far; two reads and [`Traffic::since`] tell what happened between them.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.metrics.traffic()
    }

    /// The last panics in requests' tasks, newest first.
    #[must_use]
    pub fn panics(&self) -> Vec<PanicReport> {
        self.panics.recent()
    }

    /// Ends what is in flight on the rollout's hot-fix backend, on whatever snapshot: requests without an answer get
    /// 503, or go to stable where the fallback rules allow and the backend cannot have acted on them or may again;
    /// bodies under way break off visibly. Tells what every worker found; the answers are then on their way.
    ///
    /// It does not keep new requests away: publish a snapshot that does before.
    pub async fn cut(&self, rollout: &str) -> Cut {
        let rollout: Arc<str> = rollout.into();
        let told: Vec<_> = self.commands.iter().filter_map(|worker| cut_one(worker, &rollout)).collect();
        let mut sum = Cut::default();
        for cut in told {
            // An error is a worker that ended meanwhile, with all it had in flight.
            sum += cut.await.unwrap_or_default();
        }
        sum
    }
}

fn cut_one(worker: &mpsc::WeakUnboundedSender<Command>, rollout: &Arc<str>) -> Option<oneshot::Receiver<Cut>> {
    let (done, cut) = oneshot::channel();
    worker.upgrade()?.send(Command::Cut { rollout: Arc::clone(rollout), done }).ok()?;
    Some(cut)
}
