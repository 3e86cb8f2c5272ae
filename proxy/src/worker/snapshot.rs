//! A snapshot with what one worker has resolved of it: pools, balancers, budgets, metrics.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;
use patchgate_config::snapshot::{BackendId, Hedge, Mirror, Retry, ServiceId, Snapshot};
use tokio::time::Instant;

use super::Worker;
use crate::balance::{Balancer, Order};
use crate::circuit::Circuit;
use crate::exchange::Exchange;
use crate::forward::Outbound;
use crate::forward::hedge::Hedging;
use crate::forward::mirror::Mirroring;
use crate::forward::retry::Budget;
use crate::rate_limit::RateLimits;
use crate::rollout::Track;
use crate::rollout::follow::Thresholds;
use crate::telemetry::metrics::{Series, SeriesKey};
use crate::telemetry::{Blocks, WorkerTelemetry};
use crate::upstream::{Pool, Upstreams};
use crate::withdraw::{Canaries, InFlight};

/// See the module.
#[derive(Debug)]
pub(crate) struct WorkerSnapshot {
    pub(crate) config: Arc<Snapshot>,
    pub(crate) thresholds: Thresholds,
    backends: Vec<BackendState>,
    /// Of the services that have a policy of retries.
    budgets: Budgets,
    /// By service, of those that may not be asked as often as anybody likes.
    rate_limits: Vec<Option<Arc<RateLimits>>>,
    /// By service, of those that have a mirror.
    mirrors: Vec<Option<Mirroring>>,
    /// What spans have in common.
    pub(crate) blocks: Blocks,
}

/// Budgets of retries by service; they stay over all snapshots, so that a change gives nobody more.
type Budgets = HashMap<Arc<str>, Rc<Budget>>;

/// A backend as one worker uses it.
#[derive(Debug)]
pub(crate) struct BackendState {
    pools: Vec<Rc<Pool>>,
    /// Of several.
    balancer: Option<Rc<Balancer>>,
    mark: OnceCell<Option<HeaderValue>>,
    series: [OnceCell<Arc<Series>>; 3],
    /// What its hedges go by, if its service hedges; stays over all snapshots.
    hedging: Option<Rc<Hedging>>,
    circuit: Option<Arc<Circuit>>,
    /// Requests in flight, for the hot-fix backend of a rollout.
    canary: Option<Rc<InFlight>>,
}

// === impl WorkerSnapshot ===

impl WorkerSnapshot {
    pub(super) fn new(
        config: Arc<Snapshot>,
        upstreams: &Upstreams,
        canaries: &Canaries,
        telemetry: &WorkerTelemetry,
        before: Option<&Self>,
    ) -> Self {
        let hedging = |name: &Arc<str>| before.and_then(|before| before.hedging(name)).unwrap_or_default();
        let backends = config.backends.iter().map(|backend| {
            let service = config.service(backend.service);
            BackendState {
                pools: upstreams.pools(service, &backend.endpoints),
                balancer: Balancer::new(backend, &service.balancing, telemetry.endpoints()),
                mark: OnceCell::new(),
                series: Default::default(),
                hedging: service.hedge.is_some().then(|| hedging(&backend.name)),
                circuit: service.circuit_breaker.map(|limits| telemetry.metrics().circuits.of(&backend.name, &limits)),
                canary: None,
            }
        });
        let mut backends: Vec<BackendState> = backends.collect();
        for rollout in &config.rollouts {
            backends[rollout.backend.0 as usize].canary = Some(canaries.of(&rollout.name, telemetry));
        }
        let retrying = config.services.iter().filter(|service| service.retry.is_some());
        let budget = |name: &Arc<str>| before.and_then(|before| before.budgets.get(name)).cloned().unwrap_or_default();
        let budgets = retrying.map(|service| (Arc::clone(&service.name), budget(&service.name))).collect();
        let mirrors = config.services.iter().map(|service| {
            let mirror = service.mirror.as_ref()?;
            Some(Mirroring::new(upstreams.pools(service, &mirror.endpoints)))
        });
        let rate_limits = config
            .services
            .iter()
            .map(|service| Some(telemetry.metrics().rate_limits.of(&service.name, service.rate_limit.as_deref()?)));
        Self {
            rate_limits: rate_limits.collect(),
            mirrors: mirrors.collect(),
            thresholds: Thresholds::of(&config.telemetry),
            blocks: Blocks::new(&config),
            config,
            backends,
            budgets,
        }
    }

    /// The mark of a hot-fix backend as `tracestate` of its responses; `None` for a stable one.
    pub(crate) fn mark_of(&self, id: BackendId) -> Option<HeaderValue> {
        let state = self.backend(id);
        let group = self.config.backend(id).group.as_ref()?;
        let value = state.mark.get_or_init(|| {
            let text = format!("patch-group={group},patch-version={}", self.config.backend(id).version);
            HeaderValue::from_str(&text).ok()
        });
        value.clone()
    }

    /// How often a service may be asked.
    pub(crate) fn rate_limits(&self, service: ServiceId) -> Option<&RateLimits> {
        self.rate_limits[service.0 as usize].as_deref()
    }

    /// A service's policy of retries, and its budget.
    pub(crate) fn retry(&self, service: ServiceId) -> Option<(&Retry, &Budget)> {
        let service = self.config.service(service);
        let policy = service.retry.as_deref()?;
        Some((policy, self.budgets.get(&service.name)?))
    }

    /// A service's policy of hedges, and what those of this backend go by.
    pub(crate) fn hedge(&self, service: ServiceId, backend: Option<BackendId>) -> Option<(&Hedge, &Hedging)> {
        let policy = self.config.service(service).hedge.as_deref()?;
        Some((policy, self.backend(backend?).hedging.as_deref()?))
    }

    /// A service's policy of mirrors, and its mirrors.
    pub(crate) fn mirror(&self, service: ServiceId) -> Option<(&Mirror, &Mirroring)> {
        let policy = self.config.service(service).mirror.as_deref()?;
        Some((policy, self.mirrors[service.0 as usize].as_ref()?))
    }

    /// What is still counted as in flight.
    #[cfg(feature = "simulation")]
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let pools = self.backends.iter().flat_map(|backend| &backend.pools);
        let busy =
            pools.filter(|pool| pool.load.outstanding() > 0.0).map(|pool| format!("load of {}", pool.endpoint()));
        let mirrors = self.mirrors.iter().flatten().filter(|mirroring| mirroring.in_flight() > 0);
        busy.chain(mirrors.map(|mirroring| format!("{} mirrors", mirroring.in_flight()))).collect()
    }

    /// What hedges of the backend of this name go by.
    fn hedging(&self, name: &Arc<str>) -> Option<Rc<Hedging>> {
        let nth = self.config.backends.iter().position(|backend| backend.name == *name)?;
        self.backends[nth].hedging.clone()
    }

    pub(crate) fn backend(&self, id: BackendId) -> &BackendState {
        &self.backends[id.0 as usize]
    }

    /// The metrics of one backend on one track, looked up at first need and then kept.
    pub(crate) fn series(&self, worker: &Worker, id: BackendId, track: Track) -> &Series {
        self.backend(id).series[track as usize].get_or_init(|| {
            let backend = self.config.backend(id);
            worker.telemetry.series(SeriesKey {
                service: self.config.service(backend.service).name.to_string(),
                backend: backend.name.to_string(),
                track: track.as_str(),
                patch_group: backend.group.as_deref().unwrap_or_default().to_owned(),
                patch_version: backend.version.to_string(),
            })
        })
    }
}

impl BackendState {
    /// Where its requests are entered while they are in flight; `None` for a stable one.
    pub(crate) fn canary(&self) -> Option<&Rc<InFlight>> {
        self.canary.as_ref()
    }

    /// Bounds on what it is given.
    pub(crate) fn circuit(&self) -> Option<&Circuit> {
        self.circuit.as_deref()
    }

    /// Its endpoints' pools in the order that this request tries them in.
    pub(crate) fn endpoints(&self, exchange: &Exchange, outbound: &Outbound) -> Order<'_> {
        let Some(balancer) = &self.balancer else { return Order::only(&self.pools) };
        let random = exchange.worker().random();
        balancer.order(&self.pools, Instant::now(), random, |key| outbound.sticky_hash(key, exchange))
    }

    /// The balancer and an endpoint's place in it, if there is more than one.
    pub(crate) fn turn_at(&self, pool: &Rc<Pool>) -> Option<(&Rc<Balancer>, usize)> {
        let balancer = self.balancer.as_ref()?;
        Some((balancer, self.pools.iter().position(|known| Rc::ptr_eq(known, pool))?))
    }
}
