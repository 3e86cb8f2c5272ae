//! Stage 3: model and live rollouts → [`Snapshot`]. Pure and total: the same input gives the same snapshot, and there
//! are no errors left to report.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::Model;
use crate::rollout_table::{RolloutTable, Row};
use crate::routes::RouteTable;
use crate::snapshot::{AssignRule, Backend, BackendId, Exposure, Rollout, RolloutId, Service, ServiceId, Snapshot};

/// Compiles what a request is served by.
///
/// A row is left out if nothing could be served by it: its service is not in the model, it has no endpoint, or an
/// earlier row has its service and group.
#[must_use]
pub fn compile(model: &Model, table: &RolloutTable, revision: u64) -> Snapshot {
    let mut compiler = Compiler::of_services(model);
    for row in &table.rows {
        compiler.add(row);
    }
    let routes = model.services.iter().zip(0..).flat_map(|(service, id)| {
        service.routes.iter().map(move |route| (route.host.clone(), route.path_prefix.clone(), ServiceId(id)))
    });
    Snapshot {
        revision,
        digest: model.digest.clone(),
        workers: model.workers,
        listeners: model.listeners.clone(),
        routes: RouteTable::build(routes),
        services: compiler.services,
        backends: compiler.backends,
        rollouts: compiler.rollouts,
        telemetry: model.telemetry.clone(),
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

    fn add(&mut self, row: &Row) {
        let Some(&service) = self.ids.get(&*row.service) else { return };
        let at = service.0 as usize;
        let taken = self.services[at].rollouts.iter().any(|id| self.rollouts[id.0 as usize].group == row.group);
        if taken || row.endpoints.is_empty() {
            return;
        }
        let backend = BackendId(self.backends.len() as u32);
        self.backends.push(Backend {
            name: Arc::clone(&row.name),
            service,
            version: Arc::clone(&row.version),
            group: Some(Arc::clone(&row.group)),
            endpoints: row.endpoints.clone(),
            may_mark: row.may_mark,
        });
        self.services[at].rollouts.push(RolloutId(self.rollouts.len() as u32));
        let exposure = self.exposure(row, at);
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

    /// The row's own exposure, or what the rows before it left. One without a percent rule takes none.
    fn exposure(&mut self, row: &Row, service: usize) -> Exposure {
        if !row.assign.iter().any(|rule| matches!(rule, AssignRule::Percent(_))) {
            return Exposure::NONE;
        }
        let granted = row.exposure.millionths().min(self.left[service]);
        self.left[service] -= granted;
        Exposure::from_millionths(granted)
    }
}

#[cfg(test)]
mod tests;
