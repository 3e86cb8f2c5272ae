//! The data plane as the control plane sees it.

use std::sync::Arc;

use patchgate_admin::api::dto;
use patchgate_admin::plane::{DataPlane, Traffic, Unexplained};
use patchgate_config::compile;
use patchgate_config::model::Model;
use patchgate_config::rollout_table::RolloutTable;
use patchgate_proxy::handle::Handle;
use patchgate_proxy::preview::preview;
use patchgate_proxy::telemetry::traffic::Rate;
use serde_json::Value;

use super::board::Board;
use super::traffic::Sampler;
use super::{change, explain};

/// See the module.
#[derive(Debug)]
pub(super) struct Plane {
    handle: Handle,
    board: Arc<Board>,
    traffic: Arc<Sampler>,
}

impl Plane {
    pub(super) fn new(handle: Handle, board: Arc<Board>, traffic: Arc<Sampler>) -> Self {
        Self { handle, board, traffic }
    }
}

impl DataPlane for Plane {
    fn gateways(&self) -> Vec<dto::Gateway> {
        let revision = self.handle.applied_revision();
        vec![dto::Gateway {
            name: self.board.node(),
            sequence: self.board.sequence_at(revision),
            revision,
            config: self.board.model().digest.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }]
    }

    fn traffic(&self) -> Vec<Traffic> {
        self.traffic.rates().rows.iter().map(traffic_of).collect()
    }

    fn time_to_zero(&self, rollout: &str) -> Option<f64> {
        self.board.time_to_zero(rollout)
    }

    fn explain(&self, question: &dto::Question) -> Result<Value, Unexplained> {
        explain::explain(&self.handle, &self.board, question)
    }

    fn effect(&self, rollout: &str, after: &RolloutTable) -> Vec<dto::Effect> {
        let Some(now) = self.board.snapshot() else { return Vec::new() };
        let next = compile(&self.board.model(), after, now.revision);
        let rates = self.traffic.minutes();
        let effects = preview(&now, &next, &rates).effects.into_iter().filter(|effect| effect.rollout == rollout);
        let effect = |effect: patchgate_proxy::preview::Effect| dto::Effect {
            requests_per_second: if rates.seconds > 0.0 { effect.requests as f64 / rates.seconds } else { 0.0 },
            before_percent: effect.canary_now * 100.0,
            after_percent: effect.canary_next * 100.0,
            moves_percent: effect.moves * 100.0,
            exposure_before_percent: effect.exposure_now * 100.0,
            exposure_after_percent: effect.exposure_next * 100.0,
            service: effect.service,
        };
        effects.map(effect).collect()
    }

    fn panics(&self) -> Vec<Value> {
        let reports = self.handle.panics();
        reports.iter().map(|report| serde_json::to_value(report).unwrap_or_default()).collect()
    }

    fn config(&self) -> dto::Config {
        self.board.config()
    }

    fn dry_run(&self, text: &str) -> dto::ConfigChange {
        change::dry_run(&self.board.model(), text)
    }

    fn model(&self) -> Arc<Model> {
        self.board.model()
    }

    fn drain(&self) {
        self.board.drain.notify_one();
    }
}

fn traffic_of(rate: &Rate) -> Traffic {
    // The backend of a rollout that patches several services is called ROLLOUT/SERVICE.
    let rollout = rate.backend.strip_suffix(&rate.service).and_then(|name| name.strip_suffix('/'));
    let rollout = (rate.track == "canary").then(|| rollout.unwrap_or(&rate.backend).to_owned());
    let millis = |seconds: f64| (rate.sums.requests > 0).then_some(seconds * 1e3);
    Traffic {
        service: rate.service.clone(),
        rollout,
        track: dto::Track {
            track: rate.track.to_owned(),
            backend: rate.backend.clone(),
            version: rate.version.clone(),
            requests_per_second: rate.per_second,
            error_percent: rate.error_ratio * 100.0,
            p50_ms: millis(rate.p50),
            p99_ms: millis(rate.p99),
        },
    }
}
