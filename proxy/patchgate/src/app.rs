//! The gateway as a whole: configuration → snapshot → data plane, health and telemetry. Wiring, no logic.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use patchgate_config::compile;
use patchgate_config::model::Model;
use patchgate_config::rollout_table::RolloutTable;
use patchgate_config::snapshot::Snapshot;
use patchgate_proxy::server::{Proxy, ServeError};
use patchgate_proxy::telemetry::Telemetry;

use crate::control::{Control, Logged};
use crate::health::{self, Status};

/// After the drain, spans may take this long to reach their collector.
const FLUSH: Duration = Duration::from_secs(5);

const DAY: u64 = 24 * 3600;

/// A certificate that ends within so many seconds is warned of whenever a configuration is applied.
const ENDS_SOON: u64 = 14 * DAY;

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) proxy: Proxy,
    pub(crate) telemetry: Arc<Telemetry>,
    /// Where health is served.
    pub(crate) health: Option<SocketAddr>,
    /// Where rollouts are decided, unless they are declared once and for all.
    pub(crate) control: Option<Control>,
    /// Where health was configured to be, which may say port 0.
    configured_health: Option<SocketAddr>,
    status: Arc<Status>,
    workers: usize,
    revision: u64,
    model: Arc<Model>,
    rollouts: Rollouts,
}

/// Where the rollouts that are served come from.
#[derive(Debug)]
enum Rollouts {
    /// The configuration, each at its first stage: there is no control plane.
    Declared,
    /// The log.
    Logged(Logged),
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("the health listener cannot listen on {address}: {source}; set health.address to a free one")]
    Health { address: SocketAddr, source: io::Error },
    #[error("a thread could not be started: {0}")]
    Thread(#[source] io::Error),
}

impl Gateway {
    /// Starts serving `model` with the rollouts of the control plane's log, or, without one, with the model's own;
    /// nothing serves if this fails.
    #[tracing::instrument(name = "start", skip_all)]
    pub(crate) async fn start(model: &Arc<Model>, mut control: Option<Control>) -> Result<Self, StartError> {
        let rollouts = match &mut control {
            None => Rollouts::Declared,
            Some(control) => Rollouts::Logged(control.tables.borrow_and_update().clone()),
        };
        let snapshot = Arc::new(rollouts.compile(model, 1));
        let workers = snapshot.workers.map_or_else(cores, NonZeroUsize::get);
        let telemetry = Telemetry::start(workers, &snapshot.telemetry).map_err(StartError::Thread)?;
        let status = Arc::new(Status::default());
        let health = match snapshot.health {
            None => None,
            Some(address) => Some(
                health::serve(address, Arc::clone(&status), Arc::clone(&telemetry.metrics))
                    .await
                    .map_err(|source| StartError::Health { address, source })?,
            ),
        };
        let proxy = Proxy::start(Arc::clone(&snapshot), workers, &telemetry)?;
        telemetry.metrics.reload_applied(snapshot.revision, unix_seconds());
        status.serving();
        tell_certificates(model, &telemetry);
        let configured_health = snapshot.health;
        let mut gateway = Self {
            proxy,
            telemetry,
            health,
            control,
            configured_health,
            status,
            workers,
            revision: 1,
            model: Arc::clone(model),
            rollouts,
        };
        gateway.post();
        if let Some(control) = &mut gateway.control {
            control.begin(gateway.proxy.handle(), Arc::clone(&gateway.telemetry.metrics));
        }
        Ok(gateway)
    }

    /// Serves `model` from now on: all of it, or, with an error, nothing of it.
    #[tracing::instrument(name = "apply", skip_all)]
    pub(crate) fn apply(&mut self, model: &Arc<Model>) -> Result<(), ServeError> {
        let next = Arc::new(self.rollouts.compile(model, self.revision + 1));
        let prepared = self.proxy.prepare(&next)?;
        self.tell_what_needs_a_restart(&next, model);
        self.telemetry.apply(&next.telemetry);
        self.proxy.apply(Arc::clone(&next), prepared);
        self.revision = next.revision;
        self.model = Arc::clone(model);
        self.telemetry.metrics.reload_applied(next.revision, unix_seconds());
        tell_certificates(model, &self.telemetry);
        self.post();
        if let Some(control) = &self.control {
            control.configured(model);
        }
        Ok(())
    }

    /// Serves what the log says now.
    #[tracing::instrument(name = "follow", skip_all)]
    pub(crate) fn follow(&mut self, logged: Logged) -> Result<(), ServeError> {
        let is_served = matches!(&self.rollouts, Rollouts::Logged(served) if served.table == logged.table);
        let next = Rollouts::Logged(logged);
        if !is_served {
            let snapshot = Arc::new(next.compile(&self.model, self.revision + 1));
            let prepared = self.proxy.prepare(&snapshot)?;
            self.proxy.apply(Arc::clone(&snapshot), prepared);
            self.revision = snapshot.revision;
            self.telemetry.metrics.snapshot_published(self.revision);
        }
        self.rollouts = next;
        self.post();
        Ok(())
    }

    /// The file as it is now is not in force; `None`: it is again.
    pub(crate) fn rejected(&self, why: Option<String>) {
        if let Some(control) = &self.control {
            control.board.rejected(why);
        }
    }

    /// Tells the control plane what is in force.
    fn post(&self) {
        if let (Some(control), Rollouts::Logged(logged)) = (&self.control, &self.rollouts) {
            control.board.published(&self.proxy.snapshot(), logged.sequence);
        }
    }

    fn tell_what_needs_a_restart(&self, next: &Snapshot, model: &Model) {
        if self.model.admin != model.admin {
            tracing::warn!("the section `admin` changes with a restart only");
        }
        let workers = next.workers.map_or_else(cores, NonZeroUsize::get);
        if workers != self.workers {
            tracing::warn!(running = self.workers, configured = workers, "workers change with a restart only");
        }
        let running = self.configured_health;
        if running != next.health {
            tracing::warn!(?running, configured = ?next.health, "health.address changes with a restart only");
        }
    }

    /// Data-plane threads.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Revision of the snapshot in force.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// From now on the gateway is not ready, but serves on.
    pub(crate) fn turn_away(&self) {
        self.status.draining();
    }

    /// Ends: connections after the request they are at, then the spans. False if not all spans were shipped in time.
    #[tracing::instrument(name = "stop", skip_all)]
    pub(crate) async fn stop(self) -> bool {
        self.turn_away();
        let timeout = self.proxy.snapshot().drain.timeout;
        self.proxy.drain(timeout).await;
        self.telemetry.shutdown(FLUSH).await
    }
}

impl Rollouts {
    fn compile(&self, model: &Model, revision: u64) -> Snapshot {
        match self {
            Self::Declared => compile(model, &RolloutTable::from_model(model), revision),
            Self::Logged(logged) => compile(model, &logged.table, revision),
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Until when certificates are valid, and a warning of those that end soon.
fn tell_certificates(model: &Model, telemetry: &Telemetry) {
    let now = unix_seconds();
    let certificates = model.credentials().map(|own| {
        let ends = own.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let file = own.certificate_file.display().to_string();
        match ends.checked_sub(now) {
            None => tracing::warn!(file, "a certificate has expired"),
            Some(left) if left < ENDS_SOON => tracing::warn!(file, days = left / DAY, "a certificate ends soon"),
            Some(_) => {}
        }
        (file, ends)
    });
    telemetry.metrics.control.set_certificates(certificates.collect());
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
