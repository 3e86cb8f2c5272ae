//! What the control plane asks of the data plane: an interface, so that neither knows the other.

use std::fmt;
use std::sync::Arc;

use patchgate_config::model::Model;
use patchgate_config::rollout_table::RolloutTable;
use serde_json::Value;

use crate::api::dto::{Config, ConfigChange, Effect, Gateway, Question, Track};

/// One service's traffic on one track.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// The service.
    pub service: String,
    /// The rollout that the track belongs to; absent for stable.
    pub rollout: Option<String>,
    /// What its requests look like.
    pub track: Track,
}

/// A question that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing any more, or never was.
    #[error("{0}")]
    NotFound(String),
}

/// The data plane of this process.
pub trait DataPlane: Send + Sync + fmt::Debug {
    /// The gateways that serve, with what they have applied.
    fn gateways(&self) -> Vec<Gateway>;

    /// Traffic of the last seconds.
    fn traffic(&self) -> Vec<Traffic>;

    /// From the withdrawal of a rollout to the last response of its hot-fix, in seconds; `None` until it is known.
    fn time_to_zero(&self, rollout: &str) -> Option<f64>;

    /// Why a request goes where it goes, or went where it went.
    ///
    /// # Errors
    /// If the question makes no sense, or the trace is not known.
    fn explain(&self, question: &Question) -> Result<Value, Unexplained>;

    /// What `after` would move of a rollout's traffic, by the last minutes'.
    fn effect(&self, rollout: &str, after: &RolloutTable) -> Vec<Effect>;

    /// Panics of requests, the newest first.
    fn panics(&self) -> Vec<Value>;

    /// The configuration in force, without drift.
    fn config(&self) -> Config;

    /// What a configuration would change.
    fn dry_run(&self, text: &str) -> ConfigChange;

    /// The configuration in force.
    fn model(&self) -> Arc<Model>;

    /// Stops taking requests.
    fn drain(&self);
}
