//! Configuration of patchgate, in three stages, each in its own module:
//!
//! 1. `raw`: the YAML as written, with the place of every value;
//! 2. `validate`: raw → [`model`], collecting every problem, while `lint` collects the risks;
//! 3. [`compile()`]: model and [`rollout_table`] → [`snapshot`], which [`publish`] hands to the data plane.
//!
//! `write` is the way back from a rollout's model to the form that people write.
//! [`load`] runs the stages up to the model, and has the only IO. What it finds is a [`diagnostic::Report`], which
//! [`report`] renders.

pub mod load;

// 1 text → raw
mod expand;
mod near;
mod problem;
mod raw;
mod tree;

// 2 raw → model
mod lint;
pub mod mark_key;
pub mod model;
mod validate;
mod write;

// 3 model → snapshot
pub mod balance;
mod compile;
pub mod publish;
pub mod rollout_table;
pub mod routes;
pub mod snapshot;
pub mod tls;

// what was found
pub mod diagnostic;
pub mod report;
pub mod rules;

pub use compile::compile;
pub use expand::Env;
