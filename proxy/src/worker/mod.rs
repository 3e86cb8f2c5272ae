//! One worker: a thread with its own runtime, sockets, pools and counters. A request never leaves it.
//!
//! What workers share is read-only (the snapshot), written once a connection (the listener's connection count) or
//! by one writer and read at a scrape (counters).

mod snapshot;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use patchgate_config::publish::CachedReader;
use patchgate_config::snapshot::Snapshot;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::deadline::Deadlines;
use crate::listener::{ListenerRef, key};
use crate::panics::PanicPool;
use crate::telemetry::WorkerTelemetry;
use crate::trust::{SpanId, TraceId};
use crate::upstream::Upstreams;
use crate::withdraw::Canaries;
pub(crate) use snapshot::WorkerSnapshot;

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
