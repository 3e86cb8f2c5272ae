//! Configuration of patchgate, in three stages, each in its own module:
//!
//! 1. [`raw`]: the YAML as written, with the place of every value;
//! 2. [`validate`]: raw → [`model`], collecting every problem;
//! 3. [`compile`]: model and [`rollout_table`] → [`snapshot`], which [`publish`] hands to the data plane.
//!
//! The only IO is in [`load`].

pub mod publish;
pub mod routes;
pub mod snapshot;
