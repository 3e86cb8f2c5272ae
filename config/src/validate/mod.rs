//! Stage 2: raw → [`model`](crate::model). Collects every problem, and never stops at the first.
//!
//! Each function takes a piece as written and its path, notes what is wrong with it, and returns the piece's model if
//! nothing is. There is a whole model only if there is no error anywhere.

mod admin;
mod balance;
mod files;
mod headers;
mod listener;
mod names;
mod rate_limit;
mod rollout;
mod route;
mod service;
mod telemetry;
mod tls;
mod values;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::load::Files;
use crate::model::{Admin, Model, Rollout};
use crate::problem::{Path, Problems};
use crate::raw::scalar::Workers;
use crate::raw::{self, Config};
use crate::rules;
use crate::snapshot::Drain;
use names::Addresses;
use values::{non_zero, optional, seconds, socket};

/// Most data-plane threads.
const MAX_WORKERS: u32 = 1024;

/// Checks all of `config`. `services_cut`: a service could not be read, so a reference to it proves nothing.
pub(crate) fn validate(
    config: &Config,
    digest: String,
    services_cut: bool,
    files: Files<'_>,
    problems: &mut Problems,
) -> Option<Model> {
    let root = Path::ROOT;
    let workers = workers(config.workers, problems);
    let listeners = listener::listeners(config.listeners.as_deref(), files, &root.key("listeners"), problems);
    let services = service::services(config.services.as_deref(), files, &root.key("services"), problems);
    let routes = route::local(config.routes.as_deref().unwrap_or_default(), &root.key("routes"), problems);
    let names = service_names(config).filter(|_| !services_cut);
    let rollouts = self::rollouts(config.rollouts.as_deref().unwrap_or_default(), names.as_deref(), problems);
    let telemetry =
        telemetry::telemetry(config.telemetry.as_ref(), config.trace.as_ref(), &root.key("telemetry"), problems);
    let signing = config.trace.as_ref().and_then(|trace| trace.sign_marks.as_ref());
    let signing =
        optional(signing, |raw| telemetry::signing(raw, files, &root.key("trace").key("sign_marks"), problems));
    let admin = optional(config.admin.as_ref(), |admin| admin::admin(admin, &root.key("admin"), problems));
    let health = health(config.health.as_ref(), &root.key("health"), problems);
    let drain = drain(config.drain.as_ref(), &root.key("drain"), problems);
    addresses(config, problems);
    Some(Model {
        digest,
        workers: workers?,
        listeners: listeners?,
        services: services?,
        routes: routes?,
        rollouts: rollouts?,
        telemetry: telemetry?,
        mark_signing: signing?.map(Arc::new),
        admin: admin?,
        health: health?,
        drain: drain?,
    })
}

/// Checks the list `rollouts` of a file that may have nothing else. `services`: whom a rollout may patch, if known.
pub(crate) fn rollouts(
    list: &[raw::Rollout],
    services: Option<&[&str]>,
    problems: &mut Problems,
) -> Option<Vec<Rollout>> {
    let at = Path::ROOT.key("rollouts");
    names::references(list, services, &at, problems);
    rollout::rollouts(list, &at, problems)
}

/// `None`: where a service has no name yet, or there is none, it may be the one that is meant.
fn service_names(config: &Config) -> Option<Vec<&str>> {
    let services = config.services.as_deref().filter(|services| !services.is_empty())?;
    services.iter().map(|service| service.name.as_deref()).collect()
}

/// The outer `None`: an error.
fn workers(workers: Option<Workers>, problems: &mut Problems) -> Option<Option<NonZeroUsize>> {
    match workers.unwrap_or(Workers::Auto) {
        Workers::Auto => Some(None),
        Workers::Count(count) if (1..=MAX_WORKERS).contains(&count) => Some(NonZeroUsize::new(count as usize)),
        Workers::Count(count) => {
            let help = format!("write `auto`, or a number from 1 to {MAX_WORKERS}");
            problems.at(&rules::OUT_OF_RANGE, &Path::ROOT.key("workers"), format!("{count} workers"), help);
            None
        }
    }
}

fn health(health: Option<&raw::Health>, at: &Path<'_>, problems: &mut Problems) -> Option<SocketAddr> {
    match health.and_then(|health| health.address.as_deref()) {
        Some(address) => socket(address, &at.key("address"), problems),
        None => Some(SocketAddr::from(names::DEFAULT_HEALTH)),
    }
}

fn drain(drain: Option<&raw::Drain>, at: &Path<'_>, problems: &mut Problems) -> Option<Drain> {
    let timeout = drain.and_then(|drain| drain.timeout);
    Some(Drain {
        // No wait is a choice; no time to end in is not.
        delay: drain.and_then(|drain| drain.delay).map_or(seconds(5), |delay| delay.0),
        timeout: non_zero(timeout, seconds(30), &at.key("timeout"), problems)?,
    })
}

/// Each address is listened on once, whoever listens.
fn addresses(config: &Config, problems: &mut Problems) {
    let root = Path::ROOT;
    let mut taken = Addresses::default();
    let list = root.key("listeners");
    for (index, listener) in config.listeners.iter().flatten().enumerate() {
        let owner = listener.name.as_deref().map_or("a listener".to_owned(), |name| format!("listener `{name}`"));
        taken.take(listener.address.as_deref(), owner, &list.index(index).key("address"), problems);
    }
    if let Some(admin) = &config.admin {
        let default = Admin::default().address.to_string();
        let address = admin.address.as_deref().unwrap_or(&default);
        taken.take(Some(address), "admin".to_owned(), &root.key("admin").key("address"), problems);
    }
    let health = config.health.as_ref().and_then(|health| health.address.as_deref());
    let default = SocketAddr::from(names::DEFAULT_HEALTH).to_string();
    let owner = "health".to_owned();
    taken.take(Some(health.unwrap_or(&default)), owner, &root.key("health").key("address"), problems);
}
