//! Control plane of patchgate: every change of a rollout is an event, and every event can be replayed.
//!
//! A command's way, each step in its own module:
//!
//! 1. [`api`]: who asks, and for what;
//! 2. [`controller`]: orders in, one after the other; [`rollout`] turns each into events, or a refusal, and is pure;
//! 3. [`store`]: events → a log that is on disk before anybody is told;
//!    [`log`] folds it, proves it and looks back in it;
//! 4. [`projection`]: log → state → the rollout table that a snapshot is compiled with.

pub mod api;
pub mod clock;
pub mod controller;
pub mod log;
pub mod projection;
pub mod rollout;
pub mod store;
pub mod time;
pub mod tokens;
