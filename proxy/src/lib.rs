//! The data plane, in the order of a request's way:
//!
//! 1. [`listener`] accepts on a worker's own socket;
//! 2. [`connection`] reads requests off it (HTTP/1.1, HTTP/2), within limits;
//! 3. [`trust`] reads the trace context and the mark, if the peer is believed;
//! 4. [`route`] finds the service;
//! 5. [`rollout`] decides stable, canary or control, with a reason;
//! 6. [`upstream`] lends a connection to an endpoint;
//! 7. [`forward`] sequences the attempts;
//! 8. [`commit`] lets exactly one of all who could answer do so;
//! 9. [`capture`] reads the mark in the response;
//! 10. [`telemetry`] records it all, once, at the end.
//!
//! [`server`] ties the workers together, [`stack`] is the way itself in one function. What the control plane asks of
//! the data plane is beside the way: [`explain`] tells what would become of a request, [`handle`] looks at those in
//! flight and cuts a canary off, [`preview`] tells what a change would move.

#[cfg(panic = "abort")]
compile_error!("patchgate answers a request whose task panics with 500: build with panic = \"unwind\"");

pub mod handle;
pub mod server;
mod stack;

mod call;
mod commands;
mod deadline;
mod error;
mod exchange;
mod flat;
mod h1;
mod names;
pub mod panics;
mod respond;
#[cfg(feature = "simulation")]
pub mod simulation;
mod socket;
mod step;
mod tunnel;
mod worker;

// 1 listener
mod listener;

// 2 connection
mod admit;
mod connection;

// 3 trust
pub mod trust;

// 4 route
mod rate_limit;
mod route;

// 5 rollout
pub mod rollout;

// 6 upstream
mod balance;
mod circuit;
mod health;
mod upstream;

// 7 forward
mod body;
mod forward;

// 8 commit
pub mod commit;
pub mod withdraw;

// 9 capture
mod capture;
mod grpc;

// 10 telemetry
pub mod telemetry;

// Beside the way
pub mod explain;
pub mod preview;
#[cfg(feature = "fuzzing")]
pub use connection::h1::fuzzing;
