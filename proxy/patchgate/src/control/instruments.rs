//! What the control plane does → metrics. Until the data plane is there, there is nobody to tell.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use patchgate_admin::api;
use patchgate_admin::controller::{self, Controller};
use patchgate_admin::log;
use patchgate_admin::rollout::State;
use patchgate_proxy::telemetry::metrics::{LiveRollout, Metrics};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Instruments(OnceLock<Arc<Metrics>>);

impl Instruments {
    pub(super) fn begin(&self, metrics: Arc<Metrics>) {
        // It begins once.
        let _ = self.0.set(metrics);
    }

    pub(super) fn verified_at_start(&self) {
        if let Some(metrics) = self.0.get() {
            metrics.control.log_verified(unix_seconds());
        }
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
