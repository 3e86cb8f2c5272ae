//! The workers together: started on sockets that are bound already, told of reloads and of the end.
//!
//! The control plane's side. Nothing here is on a request's way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use patchgate_config::publish::{Publisher, Reader};
use patchgate_config::snapshot::{Listener, Snapshot};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

use crate::balance::Endpoints;
use crate::commands::{Command, work};
use crate::handle::Handle;
use crate::health::Prober;
use crate::listener::{BoundListener, key};
use crate::panics::PanicPool;
use crate::telemetry::Telemetry;
use crate::worker::Worker;

/// Events that a worker handles before it asks the kernel for more: few, so that accepts and reads stay fair.
const EVENT_INTERVAL: u32 = 61;

/// A running data plane.
#[derive(Debug)]
pub struct Proxy {
    workers: Vec<WorkerHandle>,
    publisher: Publisher,
    listening: Vec<Listening>,
    handle: Handle,
    prober: Prober,
    endpoints: Arc<Endpoints>,
    /// Panics in requests' tasks.
    pub panics: Arc<PanicPool>,
}

/// A listener and where it really listens, which tells port 0's outcome.
#[derive(Debug, Clone)]
pub struct Listening {
    /// As configured.
    pub listener: Arc<Listener>,
    /// As bound.
    pub address: SocketAddr,
}

#[derive(Debug)]
struct WorkerHandle {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

/// Why a data plane could not start or follow a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address could not be bound.
    #[error("listener {name} cannot listen on {address}: {source}")]
    Bind {
        /// The listener.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A thread or its runtime could not be made.
    #[error("a thread could not be started: {0}")]
    Worker(#[source] io::Error),
}

/// Sockets of a new configuration, bound and not yet served.
#[derive(Debug)]
pub struct Prepared {
    opened: Vec<(Listening, Vec<BoundListener>)>,
    /// Their keys.
    closed: Vec<String>,
}

// === impl Proxy ===

impl Proxy {
    /// Binds the snapshot's listeners and starts the workers.
    ///
    /// # Errors
    /// When an address cannot be bound or a thread not be started; nothing serves then.
    pub fn start(snapshot: Arc<Snapshot>, workers: usize, telemetry: &Arc<Telemetry>) -> Result<Self, ServeError> {
        check_descriptors(&snapshot);
        let (publisher, reader) = patchgate_config::publish::channel(Arc::clone(&snapshot));
        let panics = Arc::new(PanicPool::default());
        let opened =
            snapshot.listeners.iter().map(|listener| open(listener, workers, true)).collect::<Result<Vec<_>, _>>()?;
        let workers = (0..workers)
            .map(|index| spawn(index, &reader, telemetry, &panics).map_err(ServeError::Worker))
            .collect::<Result<Vec<_>, _>>()?;
        let prober = Prober::start().map_err(ServeError::Worker)?;
        let endpoints = Arc::clone(&telemetry.metrics.endpoints);
        prober.follow(&snapshot, &endpoints);
        let commands = workers.iter().map(|worker| worker.commands.downgrade()).collect();
        let handle = Handle::new(commands, telemetry, &panics);
        handle.published(&snapshot);
        let mut proxy = Self { workers, publisher, listening: Vec::new(), handle, prober, endpoints, panics };
        proxy.serve(Prepared { opened, closed: Vec::new() });
        Ok(proxy)
    }

    /// The listeners in force.
    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// What others hold of this data plane, on whatever thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.publisher.current()
    }

    /// Binds what `next` listens on and the snapshot in force does not.
    ///
    /// # Errors
    /// When an address cannot be bound; nothing has changed then.
    pub fn prepare(&self, next: &Snapshot) -> Result<Prepared, ServeError> {
        let kept = |listener: &Listener| self.listening.iter().any(|old| key(&old.listener) == key(listener));
        let goes_on = |old: &Listening| next.listeners.iter().any(|new| key(new) == key(&old.listener));
        let closed = self.listening.iter().filter(|old| !goes_on(old)).map(|old| key(&old.listener)).collect();
        let opened = next
            .listeners
            .iter()
            .filter(|listener| !kept(listener))
            .map(|listener| {
                // A port that we hold ourselves may be shared: one address of it gives way to another.
                let ours = self.listening.iter().any(|old| old.address.port() == listener.address.port());
                open(listener, self.workers.len(), !ours)
            })
            .collect::<Result<_, _>>()?;
        Ok(Prepared { opened, closed })
    }

    /// Puts `next` in force: one swap, seen by every request that begins after it.
    pub fn apply(&mut self, next: Arc<Snapshot>, prepared: Prepared) {
        for listening in &mut self.listening {
            if let Some(new) = next.listeners.iter().find(|new| key(new) == key(&listening.listener)) {
                listening.listener = Arc::clone(new);
            }
        }
        self.handle.published(&next);
        self.prober.follow(&next, &self.endpoints);
        self.publisher.publish(next);
        self.tell(|| Command::Refresh);
        self.serve(prepared);
    }

    fn serve(&mut self, prepared: Prepared) {
        for closed in prepared.closed {
            self.listening.retain(|listening| key(&listening.listener) != closed);
            tracing::info!(listener = closed, "no longer listening");
            self.tell(|| Command::Close { listener: closed.clone() });
        }
        for (listening, shares) in prepared.opened {
            tracing::info!(listener = listening.listener.name, address = %listening.address, "listening");
            self.listening.push(listening);
            for (worker, share) in self.workers.iter().zip(shares) {
                // A worker that is gone has panicked outside any request; its end is reported at the drain.
                let _ = worker.commands.send(Command::Listen(share));
            }
        }
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            let _ = worker.commands.send(command());
        }
    }

    /// Stops accepting, ends every connection after the request it is at, answers what `timeout` leaves with 503,
    /// and waits for the workers.
    pub async fn drain(self, timeout: Duration) {
        let mut ends = Vec::new();
        for worker in &self.workers {
            let (done, end) = oneshot::channel();
            let _ = worker.commands.send(Command::Drain { timeout, done });
            ends.push(end);
        }
        for end in ends {
            // An error is a worker that is gone already.
            let _ = end.await;
        }
        for worker in self.workers {
            drop(worker.commands);
            if tokio::task::spawn_blocking(|| worker.thread.join()).await.is_ok_and(|joined| joined.is_err()) {
                tracing::error!("a worker ended by a panic outside any request");
            }
        }
    }
}

/// Lets the process have as many descriptors as it may, and says so if that is less than its listeners promise.
fn check_descriptors(snapshot: &Snapshot) {
    let allowed = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(allowed) => allowed,
        Err(error) => return tracing::warn!(%error, "the limit of open files cannot be raised"),
    };
    // A client's connection, and one to a backend for it.
    let wanted: u64 = snapshot.listeners.iter().map(|listener| 2 * listener.limits.connections as u64).sum();
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "fewer files may be open than limits.connections ask for: raise `ulimit -Hn`, or lower limits.connections"
        );
    }
}

fn open(listener: &Arc<Listener>, workers: usize, alone: bool) -> Result<(Listening, Vec<BoundListener>), ServeError> {
    match BoundListener::bind(listener, workers, alone) {
        Ok((address, shares)) => Ok((Listening { listener: Arc::clone(listener), address }, shares)),
        Err(source) => Err(ServeError::Bind { name: listener.name.clone(), address: listener.address, source }),
    }
}

fn spawn(
    index: usize,
    reader: &Reader,
    telemetry: &Arc<Telemetry>,
    panics: &Arc<PanicPool>,
) -> io::Result<WorkerHandle> {
    let (commands, mut inbox) = mpsc::unbounded_channel();
    let (reader, telemetry, panics) = (reader.cached(), telemetry.worker(index), Arc::clone(panics));
    let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .event_interval(EVENT_INTERVAL)
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(async move {
                let worker = Worker::new(reader, telemetry.grow(), panics);
                work(worker, &mut inbox).await;
            }),
            Err(error) => tracing::error!(%error, "a worker has no runtime"),
        }
    })?;
    Ok(WorkerHandle { commands, thread })
}
