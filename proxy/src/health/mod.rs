//! Active health checks: endpoints are asked how they are, on a thread of their own, and workers leave out those that do
//! not say that they are well.
//!
//! No part of a request's way: what is found is one flag an endpoint ([`EndpointState`]), which outlives reloads.

mod probe;
mod verdict;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use patchgate_config::balance::HealthCheck;
use patchgate_config::snapshot::{ProxyVersion, Snapshot};
use patchgate_config::tls::BackendTls;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::balance::{EndpointState, Endpoints};
use probe::probe;
use verdict::Verdict;

/// Checks of one process.
#[derive(Debug)]
pub(crate) struct Prober {
    /// The endpoints to be checked from now on; closed, the thread ends.
    targets: mpsc::UnboundedSender<Vec<Target>>,
}

/// An endpoint that is checked, and how.
#[derive(Debug, Clone)]
struct Target {
    backend: Arc<str>,
    address: SocketAddr,
    tls: Option<Arc<BackendTls>>,
    proxy_protocol: Option<ProxyVersion>,
    check: Arc<HealthCheck>,
    state: Arc<EndpointState>,
}

/// An endpoint that is being checked.
struct Checked {
    target: Target,
    task: JoinHandle<()>,
}

impl Prober {
    /// Starts the thread, which checks nothing yet.
    ///
    /// # Errors
    /// That of the operating system.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (targets, mut told) = mpsc::unbounded_channel::<Vec<Target>>();
        std::thread::Builder::new().name("health-checks".to_owned()).spawn(move || {
            let runtime = Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default());
            let follow = async move {
                let mut checked = Vec::new();
                while let Some(targets) = told.recv().await {
                    follow(&mut checked, targets);
                }
            };
            match runtime {
                Ok(runtime) => runtime.block_on(follow),
                Err(error) => tracing::error!(%error, "health checks have no runtime"),
            }
        })?;
        Ok(Self { targets })
    }

    /// Checks what `snapshot` says from now on.
    pub(crate) fn follow(&self, snapshot: &Snapshot, endpoints: &Endpoints) {
        // A thread that is gone has panicked, which was told.
        let _ = self.targets.send(targets(snapshot, endpoints));
    }
}

fn targets(snapshot: &Snapshot, endpoints: &Endpoints) -> Vec<Target> {
    let checked = snapshot.backends.iter().filter_map(|backend| {
        let service = snapshot.service(backend.service);
        Some((backend, service, service.balancing.health_check.as_ref()?))
    });
    let targets = checked.flat_map(|(backend, service, check)| {
        backend.endpoints.iter().map(move |&address| Target {
            backend: Arc::clone(&backend.name),
            address,
            tls: service.tls.clone(),
            proxy_protocol: service.proxy_protocol,
            check: Arc::clone(check),
            state: endpoints.of(&backend.name, address),
        })
    });
    targets.collect()
}

/// Ends the checks that are asked for no more, goes on with those that are, and begins the others.
fn follow(checked: &mut Vec<Checked>, targets: Vec<Target>) {
    checked.retain(|known| {
        let goes_on = targets.iter().any(|target| target.is_same(&known.target));
        if !goes_on {
            known.task.abort();
            // Nobody asks it any more; if somebody asks otherwise, what is known of it still counts.
            if !targets.iter().any(|target| Arc::ptr_eq(&target.state, &known.target.state)) {
                known.target.state.set_healthy(true);
            }
        }
        goes_on
    });
    for target in targets {
        if !checked.iter().any(|known| known.target.is_same(&target)) {
            let task = tokio::task::spawn_local(check(target.clone()));
            checked.push(Checked { target, task });
        }
    }
}

/// Checks an endpoint again and again.
async fn check(target: Target) {
    let Target { backend, address, check, state, .. } = &target;
    let mut verdict = Verdict::new(state.is_healthy());
    // The first one soon, and not all at once.
    let mut next = Instant::now() + spread(check.interval.min(Duration::from_secs(1)));
    loop {
        sleep_until(next).await;
        let begun = Instant::now();
        let failure = match timeout(check.timeout, probe(&target)).await {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some("no answer in time".to_owned()),
        };
        state.checked(failure.is_none());
        if let Some(healthy) = verdict.note(failure.is_none(), check) {
            state.set_healthy(healthy);
            match healthy {
                true => tracing::info!(%backend, endpoint = %address, "healthy again"),
                false => {
                    let why = failure.unwrap_or_default();
                    tracing::warn!(%backend, endpoint = %address, why, "unhealthy: it is left out");
                }
            }
        }
        next = begun + check.interval + spread(check.interval / 10);
    }
}

/// A part of a time, by chance: gateways that start together do not ask together.
fn spread(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

impl Target {
    /// Whether it is the same endpoint, checked in the same way.
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
            && self.check == other.check
            && self.proxy_protocol == other.proxy_protocol
            && self.tls.as_ref().map(|tls| tls.id()) == other.tls.as_ref().map(|tls| tls.id())
    }
}
