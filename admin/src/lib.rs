//! Control plane of patchgate: every change of a rollout is an event, and every event can be replayed.
//!
//! A command's way, each step in its own module:
//!
//! 1. `api`: who asks, and for what;
//! 2. [`rollout`]: command → events, or a refusal; pure;
//! 3. [`store`]: events → a log that is on disk before anybody is told;
//! 4. `projection`: log → state → the rollout table that a snapshot is compiled with.

pub mod rollout;
pub mod store;
