//! A worker of the data plane on a network that is a piece of memory: what the simulation is made of. Only with the
//! feature `simulation`; no part of the data plane.
//!
//! Run it on a current-thread runtime whose clock is paused: then what happens is a function of the seeds.

mod pipe;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use patchgate_config::publish::Publisher;
use patchgate_config::snapshot::Snapshot;

use crate::connection;
use crate::panics::PanicPool;
use crate::stack::stack;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;
use crate::worker::Worker;
pub use pipe::{Breaker, Link, Pipe, pipe};

type Dialing = Rc<dyn Fn(SocketAddr) -> Dialed>;

thread_local! {
    /// Who takes this thread's connections; `None`: the operating system.
    static DIALING: RefCell<Option<Dialing>> = const { RefCell::new(None) };
}

/// What becomes of a connection that is asked for.
#[derive(Debug)]
pub enum Dialed {
    /// It is refused after some time.
    Refused(Duration),
    /// Nobody ever answers.
    Silent,
    /// It is established after some time.
    Established(Duration, Pipe),
}

/// A worker, and what was recorded of it.
#[derive(Debug)]
pub struct Gateway {
    worker: Rc<Worker>,
    telemetry: Arc<Telemetry>,
    _publisher: Publisher,
}

pub(crate) fn dial(endpoint: SocketAddr) -> Option<Dialed> {
    let dialing = DIALING.with_borrow(Clone::clone)?;
    Some(dialing(endpoint))
}

impl Dialed {
    pub(crate) async fn established(self) -> io::Result<Pipe> {
        match self {
            Self::Silent => std::future::pending().await,
            Self::Refused(after) => {
                tokio::time::sleep(after).await;
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Self::Established(after, pipe) => {
                tokio::time::sleep(after).await;
                Ok(pipe)
            }
        }
    }
}

impl Gateway {
    /// A worker of this thread and runtime that serves `snapshot`, draws from `seed`, and connects to what `dialing`
    /// gives it.
    pub fn start(snapshot: Arc<Snapshot>, seed: u64, dialing: impl Fn(SocketAddr) -> Dialed + 'static) -> Self {
        DIALING.set(Some(Rc::new(dialing)));
        let telemetry = Telemetry::unshipped(1);
        let (publisher, reader) = patchgate_config::publish::channel(snapshot);
        let worker = Worker::new(reader.cached(), telemetry.worker(0).grow(), Arc::new(PanicPool::default()));
        worker.reseed(seed);
        tokio::task::spawn_local(Rc::clone(&worker.deadlines).run());
        Self { worker, telemetry, _publisher: publisher }
    }

    /// Serves a client's connection, until it ends.
    pub async fn serve(&self, client: Pipe, peer: SocketAddr) {
        let snapshot = self.worker.snapshot();
        let listener = self.worker.listener(&snapshot.config.listeners[0]);
        connection::serve(Rc::clone(&self.worker), listener, client.into(), peer, stack()).await;
    }

    /// Answers end their connections from now on.
    pub fn drain(&self) {
        self.worker.drain();
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.telemetry.metrics
    }

    /// What is still held though no request is in flight; empty, or there is a leak.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = self.worker.snapshot().leftovers();
        match self.worker.deadlines.len() {
            0 => {}
            held => left.push(format!("{held} deadlines")),
        }
        left
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The other thread-locals of a worker hold no state.
        DIALING.set(None);
    }
}

impl From<Pipe> for crate::socket::Socket {
    fn from(pipe: Pipe) -> Self {
        Self::Simulated(pipe)
    }
}
