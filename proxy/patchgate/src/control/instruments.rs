//! What the control plane does → metrics. Until the data plane is there, there is nobody to tell.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use patchgate_admin::api;
use patchgate_admin::controller::{self, Controller};
use patchgate_admin::log;
use patchgate_admin::rollout::State;
use patchgate_proxy::handle::Handle;
use patchgate_proxy::telemetry::metrics::{LiveRollout, Metrics};

use super::board::Board;

/// How often it is looked whether a change is served by now: at first, and after a second.
const LOOK: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Instruments(OnceLock<Arc<Metrics>>);

impl Instruments {
    pub(super) fn begin(&self, metrics: Arc<Metrics>) {
        // It begins once.
        let _ = self.0.set(metrics);
    }
}

impl controller::Observe for Instruments {
    fn appended(&self, took: Duration, _: usize) {
        if let Some(metrics) = self.0.get() {
            metrics.control.log_append.observe(took);
        }
    }

    fn append_failed(&self) {
        if let Some(metrics) = self.0.get() {
            metrics.control.log_append_failed();
        }
    }
}

impl api::Observe for Instruments {
    fn answered(&self, route: &str, status: u16) {
        let known = api::policies().map(|(_, path, _)| path).find(|path| *path == route);
        if let Some(metrics) = self.0.get() {
            metrics.control.admin_request(known.unwrap_or("unknown"), status);
        }
    }
}

impl log::Observe for Instruments {
    fn verified(&self, events: Option<u64>, _: Duration) {
        let Some(metrics) = self.0.get() else { return };
        match events {
            Some(_) => metrics.control.log_verified(unix_seconds()),
            None => metrics.control.log_verify_failed(),
        }
    }
}

/// Keeps the figures about rollouts up with the log.
pub(super) async fn follow(controller: Controller, metrics: Arc<Metrics>) {
    let mut states = controller.states();
    loop {
        let state = Arc::clone(&states.borrow_and_update());
        metrics.control.set_rollouts(live(&state));
        // Relaxed: a statistic.
        metrics.control.log_sequence.store(state.sequence, Ordering::Relaxed);
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// Measures how long a change takes to be served by every worker; of changes that come meanwhile, the last one's.
pub(super) async fn measure(controller: Controller, handle: Handle, board: Arc<Board>, metrics: Arc<Metrics>) {
    let mut states = controller.states();
    // What the start served is no change.
    states.mark_unchanged();
    while states.changed().await.is_ok() {
        let (sequence, at) = {
            let state = states.borrow_and_update();
            (state.sequence, state.clock.ms)
        };
        let began = Instant::now();
        while board.sequence_at(handle.applied_revision()) < sequence {
            tokio::time::sleep(LOOK[usize::from(began.elapsed() > Duration::from_secs(1))]).await;
        }
        let took = controller.clock().now().saturating_sub(at);
        metrics.control.change_served.observe(Duration::from_millis(took));
    }
}

fn live(state: &State) -> Vec<LiveRollout> {
    let told = state.live().map(|(name, rollout)| {
        let exposure = f64::from(rollout.exposure().0) / 1e6;
        LiveRollout {
            name: name.to_owned(),
            state: rollout.phase.name(),
            exposures: rollout.plan.patches.iter().map(|patch| (patch.service.clone(), exposure)).collect(),
        }
    });
    told.collect()
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
