//! Stage 3: model and live rollouts → [`Snapshot`]. Pure and total: the same input gives the same snapshot, and there
//! are no errors left to report.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::HeaderValue;

use crate::model::Model;
use crate::rollout_table::{RolloutTable, Row};
use crate::routes::{End, RouteTable};
use crate::snapshot::{AssignRule, Backend, BackendId, Exposure, Rollout, RolloutId, Service, ServiceId, Snapshot};

/// Compiles what a request is served by.
///
/// A row is left out if nothing could be served by it: its service is not in the model, it has no endpoint, or an
/// earlier row patches the same service in the same group or rollout.
#[must_use]
pub fn compile(model: &Model, table: &RolloutTable, revision: u64) -> Snapshot {
    let mut compiler = Compiler::of_services(model);
    let rows = compiler.servable(&table.rows);
    let mut sets: HashMap<&str, Vec<(&Row, ServiceId)>> = HashMap::new();
    for &(row, service) in &rows {
        sets.entry(&row.name).or_default().push((row, service));
    }
    let mut granted = HashMap::new();
    for (row, service) in rows {
        let name = &*row.name;
        let exposure = *granted.entry(name).or_insert_with(|| compiler.grant(&sets[name]));
        compiler.add(row, service, exposure);
    }
    let routes = model.services.iter().zip(0..).flat_map(|(service, id)| {
        service.routes.iter().map(move |route| {
            let end = End::Service(ServiceId(id), route.rewrite.clone());
            (route.host.clone(), route.path_prefix.clone(), end)
        })
    });
    let local = model
        .routes
        .iter()
        .map(|route| (route.host.clone(), route.path_prefix.clone(), End::Local(Box::new(route.answer.clone()))));
    Snapshot {
        revision,
        digest: model.digest.clone(),
        workers: model.workers,
        listeners: model.listeners.clone(),
        routes: RouteTable::build(routes.chain(local)),
        services: compiler.services,
        backends: compiler.backends,
        rollouts: compiler.rollouts,
        telemetry: model.telemetry.clone(),
        mark_signing: model.mark_signing.clone(),
        health: Some(model.health),
        drain: model.drain,
    }
}

struct Compiler<'m> {
    ids: HashMap<&'m str, ServiceId>,
    services: Vec<Service>,
    backends: Vec<Backend>,
    rollouts: Vec<Rollout>,
    /// What percent rules may still take of each service, in millionths.
    left: Vec<u32>,
}

impl<'m> Compiler<'m> {
    /// Every service with its stable backend.
    fn of_services(model: &'m Model) -> Self {
        let ids = model.services.iter().zip(0..).map(|(service, id)| (&*service.name, ServiceId(id))).collect();
        let services = model.services.iter().zip(0..).map(|(service, id)| Service {
            name: Arc::clone(&service.name),
            stable: BackendId(id),
            fallback: service.fallback,
            timeouts: service.timeouts,
            balancing: Arc::new(service.balancing.clone()),
            retry: service.retry.clone().map(Arc::new),
            hedge: service.hedge.clone().map(Arc::new),
            tls: service.tls.clone(),
            protocol: service.protocol,
            rate_limit: service.rate_limit.clone(),
            circuit_breaker: service.circuit_breaker,
            proxy_protocol: service.proxy_protocol,
            mirror: service.mirror.clone().map(Arc::new),
            headers: service.headers.clone().map(Arc::new),
            upgrades: service.upgrades.iter().filter_map(|token| HeaderValue::from_str(token).ok()).collect(),
            rollouts: Vec::new(),
        });
        let backends = model.services.iter().zip(0..).map(|(service, id)| Backend {
            name: format!("{}/stable", service.name).into(),
            service: ServiceId(id),
            version: Arc::clone(&service.version),
            group: None,
            endpoints: service.endpoints.clone(),
            may_mark: service.may_mark,
        });
        Self {
            ids,
            services: services.collect(),
            backends: backends.collect(),
            rollouts: Vec::new(),
            left: model.services.iter().map(|service| service.max_exposure.millionths()).collect(),
        }
    }

    /// The rows that something can be served by, each with its service.
    fn servable<'t>(&self, rows: &'t [Row]) -> Vec<(&'t Row, ServiceId)> {
        let mut taken = HashSet::new();
        let servable = rows.iter().filter_map(|row| {
            let service = *self.ids.get(&*row.service)?;
            let (group, name) = ((service, Claim::Group(&row.group)), (service, Claim::Rollout(&row.name)));
            if row.endpoints.is_empty() || taken.contains(&group) || taken.contains(&name) {
                return None;
            }
            taken.extend([group, name]);
            Some((row, service))
        });
        servable.collect()
    }

    /// Takes from the services of one rollout what percent rules give each of its patches: what the rollout asks for, or
    /// the least that the rollouts before it left of any of them. One without a percent rule takes nothing.
    fn grant(&mut self, patches: &[(&Row, ServiceId)]) -> Exposure {
        let has_percent = |row: &Row| row.assign.iter().any(|rule| matches!(rule, AssignRule::Percent(_)));
        let asked = patches.iter().map(|(row, _)| if has_percent(row) { row.exposure.millionths() } else { 0 });
        let left = patches.iter().map(|(_, service)| self.left[service.0 as usize]);
        let granted = asked.chain(left).min().unwrap_or(0);
        for (_, service) in patches {
            self.left[service.0 as usize] -= granted;
        }
        Exposure::from_millionths(granted)
    }

    fn add(&mut self, row: &Row, service: ServiceId, exposure: Exposure) {
        let backend = BackendId(self.backends.len() as u32);
        self.backends.push(Backend {
            name: Arc::clone(&row.backend),
            service,
            version: Arc::clone(&row.version),
            group: Some(Arc::clone(&row.group)),
            endpoints: row.endpoints.clone(),
            may_mark: row.may_mark,
        });
        self.services[service.0 as usize].rollouts.push(RolloutId(self.rollouts.len() as u32));
        self.rollouts.push(Rollout {
            name: Arc::clone(&row.name),
            service,
            version: Arc::clone(&row.version),
            group: Arc::clone(&row.group),
            backend,
            pin_version: row.pin_version,
            force_stable: row.force_stable.clone(),
            assign: row.assign.clone(),
            exposure,
        });
    }
}

/// What a service can have one row of.
#[derive(PartialEq, Eq, Hash)]
enum Claim<'r> {
    Group(&'r str),
    Rollout(&'r str),
}

#[cfg(test)]
mod tests;
