//! The real binary as a process of its own, among real clients, backends, collectors and signals.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

mod admin;
mod cli;
mod control;
mod drain;
mod fallback;
mod kill;
mod main_job;
mod openapi;
mod operators;
mod outage;
mod reload;
mod story;
mod strict;
mod tls;
mod w3c;

use std::net::SocketAddr;

use patchgate_testkit::process::Gateway;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_patchgate");

/// A group and a version as the tests' rollout has them.
const GROUP: &str = "backend-canary";
const VERSION: &str = "v2.1.3-alpha";

/// A trace that is not sampled, marked for the tests' rollout.
const MARKED: &[(&str, &str)] = &[
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
    ("tracestate", "patch-group=backend-canary,patch-version=v2.1.3-alpha,vendor=1"),
];

/// One service with a hot-fix; `more` is further top-level text.
fn config(stable: SocketAddr, hot_fix: SocketAddr, more: &str) -> String {
    format!(
        r#"
workers: 2
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v2.1.2, endpoints: ["{stable}"] }}
    timeouts: {{ connect: 1s, first_byte: 5s, total: 20s }}
rollouts:
  - name: shop-fix
    service: shop
    version: {VERSION}
    group: {GROUP}
    endpoints: ["{hot_fix}"]
    stages: [{{ percent: 0 }}]
health: {{ address: "127.0.0.1:0" }}
drain: {{ delay: 200ms, timeout: 10s }}
{more}
"#
    )
}

/// Starts the binary with a configuration.
fn start(config: &str) -> Gateway {
    Gateway::start(BINARY, config)
}
