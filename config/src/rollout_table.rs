//! The live rollouts as plain rows, one a patch: the half of a snapshot that changes without the configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::{Model, Rollout};
use crate::snapshot::{AssignRule, Exposure, RequestMatch};

/// Live rollouts in order of precedence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RolloutTable {
    /// One a patch.
    pub rows: Vec<Row>,
}

/// A patch of a live rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The rollout's name, which all its patches share; also the salt of the percent hash.
    pub name: Arc<str>,
    /// The name of the hot-fix backend: the rollout's, or `ROLLOUT/SERVICE` for a patch of a set.
    pub backend: Arc<str>,
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
    /// What percent rules give the patch now, before the services' caps; the same for all patches of a rollout.
    pub exposure: Exposure,
}

impl RolloutTable {
    /// Every rollout of the model at its first stage; without stages nobody is chosen by percent.
    #[must_use]
    pub fn from_model(model: &Model) -> Self {
        let mut table = Self::default();
        for rollout in &model.rollouts {
            table.add(rollout, rollout.stages.first().map_or(Exposure::NONE, |stage| stage.exposure));
        }
        table
    }

    /// Adds a rollout behind those that are there: a row for each of its patches, all at `exposure`.
    pub fn add(&mut self, rollout: &Rollout, exposure: Exposure) {
        let is_set = rollout.patches.len() > 1;
        self.rows.extend(rollout.patches.iter().map(|patch| Row {
            name: Arc::clone(&rollout.name),
            backend: match is_set {
                true => format!("{}/{}", rollout.name, patch.service).into(),
                false => Arc::clone(&rollout.name),
            },
            service: Arc::clone(&patch.service),
            version: Arc::clone(&patch.version),
            group: Arc::clone(&rollout.group),
            endpoints: patch.endpoints.clone(),
            pin_version: patch.pin_version,
            may_mark: patch.may_mark,
            force_stable: rollout.force_stable.clone(),
            assign: rollout.assign.clone(),
            exposure,
        }));
    }
}
