//! One worker: a thread with its own runtime, sockets, pools and counters. A request never leaves it.
//!
//! What workers share is read-only (the snapshot), written once a connection (the listener's connection count) or
//! by one writer and read at a scrape (counters).

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderValue;
use patchgate_config::publish::CachedReader;
use patchgate_config::snapshot::{BackendId, Hedge, Mirror, Retry, ServiceId, Snapshot};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::balance::{Balancer, Order};
use crate::deadline::Deadlines;
use crate::exchange::Exchange;
use crate::forward::Outbound;
use crate::forward::hedge::Hedging;
use crate::forward::mirror::Mirroring;
use crate::forward::retry::Budget;
use crate::listener::{ListenerRef, key};
use crate::panics::PanicPool;
use crate::rollout::Track;
use crate::rollout::follow::Thresholds;
use crate::telemetry::metrics::{Series, SeriesKey};
use crate::telemetry::{Blocks, WorkerTelemetry};
use crate::trust::{SpanId, TraceId};
use crate::upstream::{Pool, Upstreams};
use crate::withdraw::{Canaries, InFlight};

/// A worker's own state. Lives in an `Rc`: nothing here crosses threads.
#[derive(Debug)]
pub(crate) struct Worker {
    reader: RefCell<CachedReader>,
    snapshot: RefCell<Rc<WorkerSnapshot>>,
    listeners: RefCell<Vec<(String, ListenerRef)>>,
    pub(crate) upstreams: Upstreams,
    pub(crate) canaries: Canaries,
    pub(crate) telemetry: WorkerTelemetry,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) panics: Arc<PanicPool>,
    random: RefCell<fastrand::Rng>,
    /// Headers that we write are cut from here: one allocation serves many.
    scratch: RefCell<BytesMut>,
    response_marks: ResponseMarks,
    stop: Stop,
}

/// Marks in responses that are still honoured this second.
#[derive(Debug)]
struct ResponseMarks {
    /// When the second began.
    begun: Cell<Option<Instant>>,
    left: Cell<u32>,
}

/// How far a stop has come.
#[derive(Debug, Default)]
struct Stop {
    draining: Cell<bool>,
    /// The time to drain is over: what is not committed is answered 503.
    over: Cell<bool>,
    told: Notify,
    connections: Cell<usize>,
    last_closed: Notify,
}

/// A snapshot with what this worker has resolved of it.
#[derive(Debug)]
pub(crate) struct WorkerSnapshot {
    pub(crate) config: Arc<Snapshot>,
    pub(crate) thresholds: Thresholds,
    backends: Vec<BackendState>,
    /// Of the services that have a policy of retries.
    budgets: Budgets,
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
    /// Requests in flight, for the hot-fix backend of a rollout.
    canary: Option<Rc<InFlight>>,
}

/// Runs HTTP/2 streams on the worker's own runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

// === impl Worker ===

impl Worker {
    pub(crate) fn new(mut reader: CachedReader, telemetry: WorkerTelemetry, panics: Arc<PanicPool>) -> Rc<Self> {
        let (upstreams, canaries) = (Upstreams::default(), Canaries::default());
        let snapshot = WorkerSnapshot::new(Arc::clone(reader.load()), &upstreams, &canaries, &telemetry, None);
        telemetry.serves(snapshot.config.revision);
        Rc::new(Self {
            reader: RefCell::new(reader),
            snapshot: RefCell::new(Rc::new(snapshot)),
            listeners: RefCell::default(),
            upstreams,
            canaries,
            telemetry,
            deadlines: Rc::default(),
            panics,
            random: RefCell::new(fastrand::Rng::new()),
            scratch: RefCell::default(),
            response_marks: ResponseMarks { begun: Cell::new(None), left: Cell::new(0) },
            stop: Stop::default(),
        })
    }

    /// The snapshot in force. A request asks once and keeps what it got.
    pub(crate) fn snapshot(&self) -> Rc<WorkerSnapshot> {
        let mut reader = self.reader.borrow_mut();
        let latest = reader.load();
        let mut current = self.snapshot.borrow_mut();
        if !Arc::ptr_eq(latest, &current.config) {
            let before = Some(&**current);
            let next =
                WorkerSnapshot::new(Arc::clone(latest), &self.upstreams, &self.canaries, &self.telemetry, before);
            let latest = reader.load();
            *current = Rc::new(next);
            self.upstreams.reconcile(latest);
            self.canaries.tidy();
            self.follow_listeners(latest);
            self.telemetry.serves(latest.revision);
        }
        Rc::clone(&current)
    }

    /// The handle to a listener's rules, under its key.
    pub(crate) fn listener(&self, listener: &Arc<patchgate_config::snapshot::Listener>) -> ListenerRef {
        let mut listeners = self.listeners.borrow_mut();
        let key = self::key(listener);
        listeners.retain(|(known, _)| *known != key);
        // The snapshot may have moved on since the socket was bound.
        let config = Arc::clone(&self.snapshot.borrow().config);
        let latest = config.listeners.iter().find(|listener| self::key(listener) == key);
        let handle = ListenerRef::new(Arc::clone(latest.unwrap_or(listener)));
        listeners.push((key, handle.clone()));
        handle
    }

    fn follow_listeners(&self, snapshot: &Snapshot) {
        for (known, handle) in self.listeners.borrow().iter() {
            if let Some(listener) = snapshot.listeners.iter().find(|listener| key(listener) == *known) {
                handle.set(Arc::clone(listener));
            }
        }
    }

    pub(crate) fn random(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    /// Draws from `seed` from now on.
    #[cfg(feature = "simulation")]
    pub(crate) fn reseed(&self, seed: u64) {
        self.random.borrow_mut().seed(seed);
    }

    pub(crate) fn new_trace_id(&self) -> TraceId {
        TraceId::from_random(self.random.borrow_mut().u128(..))
    }

    pub(crate) fn new_span_id(&self) -> SpanId {
        SpanId::from_random(self.random())
    }

    /// Lets `write` write into the worker's scratch and cuts off what it wrote.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut BytesMut) -> T) -> (T, bytes::Bytes) {
        let mut scratch = self.scratch.borrow_mut();
        if scratch.capacity() < 1024 {
            scratch.reserve(8 * 1024);
        }
        let out = write(&mut scratch);
        (out, scratch.split().freeze())
    }

    /// Whether one more mark in a response is honoured this second.
    pub(crate) fn take_response_mark(&self) -> bool {
        let marks = &self.response_marks;
        let now = Instant::now();
        if marks.begun.get().is_none_or(|begun| now.duration_since(begun) >= Duration::from_secs(1)) {
            marks.begun.set(Some(now));
            marks.left.set(self.snapshot.borrow().config.telemetry.response_marks_per_second);
        }
        let left = marks.left.get();
        marks.left.set(left.saturating_sub(1));
        left > 0
    }

    pub(crate) fn connection_opened(&self) {
        self.stop.connections.set(self.stop.connections.get() + 1);
        self.telemetry.connection_opened();
    }

    pub(crate) fn connection_closed(&self) {
        self.stop.connections.set(self.stop.connections.get() - 1);
        self.telemetry.connection_closed();
        if self.stop.connections.get() == 0 {
            self.stop.last_closed.notify_waiters();
        }
    }

    /// Ready once no connection is open.
    pub(crate) async fn no_connections(&self) {
        while self.stop.connections.get() > 0 {
            self.stop.last_closed.notified().await;
        }
    }

    /// From now on answers end their connections.
    pub(crate) fn drain(&self) {
        self.stop.draining.set(true);
        self.stop.told.notify_waiters();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stop.draining.get()
    }

    /// Ready once a drain has begun.
    pub(crate) async fn draining(&self) {
        if !self.is_draining() {
            self.stop.told.notified().await;
        }
    }

    /// Answers all that is not committed yet.
    pub(crate) fn end_drain(&self) {
        self.stop.over.set(true);
        self.deadlines.pass_all();
    }

    pub(crate) fn is_drain_over(&self) -> bool {
        self.stop.over.get()
    }
}

// === impl WorkerSnapshot ===

impl WorkerSnapshot {
    fn new(
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
        Self {
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
