//! Which track a request is on, and why.
//!
//! [`decide`](decide::decide) is pure and total, and so is what becomes of the trace; the layer around both reads the
//! trace context that the mark comes in and writes the one that goes on.

pub mod cohort;
pub mod decide;
pub(crate) mod follow;
mod layer;
mod matches;
pub mod observe;

pub use decide::{Decision, Reason, Track};
pub(crate) use layer::{RolloutLayer, fallback, trace_on};
pub(crate) use matches::{with_key, with_key_of};
