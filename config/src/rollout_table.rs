//! The live rollouts as plain rows: the half of a snapshot that changes without the configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::Model;
use crate::snapshot::{AssignRule, Exposure, RequestMatch};

/// Live rollouts in order of precedence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RolloutTable {
    /// One a rollout.
    pub rows: Vec<Row>,
}

/// A live rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name; also the name of the hot-fix backend and the salt of the percent hash.
    pub name: Arc<str>,
    /// The name of the service it patches.
    pub service: Arc<str>,
    /// A legal mark value.
    pub version: Arc<str>,
    /// A legal mark value.
    pub group: Arc<str>,
    /// The hot-fix's addresses.
    pub endpoints: Vec<SocketAddr>,
    /// A mark must name this very version, too.
    pub pin_version: bool,
    /// Whether marks in the hot-fix's responses are honoured.
    pub may_mark: bool,
    /// Users or tenants that are never given the patch.
    pub force_stable: Vec<RequestMatch>,
    /// Rules of an edge, in order.
    pub assign: Vec<AssignRule>,
    /// What percent rules give the patch now, before the service's cap.
    pub exposure: Exposure,
}

impl RolloutTable {
    /// Every rollout of the model at its first stage; without stages nobody is chosen by percent.
    #[must_use]
    pub fn from_model(model: &Model) -> Self {
        let row = |rollout: &crate::model::Rollout| Row {
            name: Arc::clone(&rollout.name),
            service: Arc::clone(&rollout.service),
            version: Arc::clone(&rollout.version),
            group: Arc::clone(&rollout.group),
            endpoints: rollout.endpoints.clone(),
            pin_version: rollout.pin_version,
            may_mark: rollout.may_mark,
            force_stable: rollout.force_stable.clone(),
            assign: rollout.assign.clone(),
            exposure: rollout.stages.first().map_or(Exposure::NONE, |stage| stage.exposure),
        };
        Self { rows: model.rollouts.iter().map(row).collect() }
    }
}
