//! Which track a request is on, and why.
//!
//! [`decide`](decide::decide) is pure and total; the layer around it reads the trace context that the mark comes in
//! and writes the one that goes on.

pub mod cohort;
pub mod decide;
mod layer;
mod matches;

pub use decide::{Decision, Reason, Track};
pub(crate) use layer::RolloutLayer;
