//! What the controller knows from the configuration.

use std::collections::BTreeMap;

use patchgate_config::model::Model;

use crate::rollout::{Context, Millionths, Millis};

/// What the configuration says that decisions depend on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct World {
    /// Services, each with the most that percent rules may take of it.
    pub services: BTreeMap<String, Millionths>,
    /// Whether people must say why.
    pub require_reason: bool,
}

impl World {
    /// As `model` says.
    #[must_use]
    pub fn of(model: &Model, require_reason: bool) -> Self {
        let cap = |service: &patchgate_config::model::Service| {
            (service.name.to_string(), Millionths(service.max_exposure.millionths()))
        };
        Self { services: model.services.iter().map(cap).collect(), require_reason }
    }

    /// At a moment.
    #[must_use]
    pub fn at(&self, now: Millis) -> Context {
        Context { now, services: self.services.clone(), require_reason: self.require_reason }
    }
}
