//! The request path in this process, between raw clients and scripted backends: one file a behaviour.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

mod balance;
mod bodies;
mod capture;
mod circuit;
mod conformance;
mod explain;
mod faults;
mod floods;
mod grpc;
mod h2;
mod haproxy;
mod headers;
mod health;
mod hedges;
mod http1;
mod http2_backends;
mod http2_refusals;
mod limits;
mod listeners;
mod mirrors;
mod policy;
mod proxy_protocol;
mod rate_limits;
mod recent;
mod retry;
mod routes;
mod rules;
mod spans;
mod tls;
mod tls_backends;
mod trust;
mod upgrades;
mod withdraw;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use patchgate_config::compile;
use patchgate_config::load::from_text;
use patchgate_config::rollout_table::RolloutTable;
use patchgate_config::snapshot::Snapshot;
use patchgate_proxy::handle::Handle;
use patchgate_proxy::server::Proxy;
use patchgate_proxy::telemetry::Telemetry;
use patchgate_proxy::telemetry::metrics::{Count, FAMILIES};
use patchgate_testkit::client::{Client, Reply};

/// A trace that is not sampled, marked for the tests' rollout.
const MARKED: &[(&str, &str)] = &[
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
    ("tracestate", "patch-group=lane,patch-version=v2"),
];

/// A data plane that ends when it is dropped.
struct Running {
    proxy: Option<Proxy>,
    telemetry: Arc<Telemetry>,
}

/// The snapshot of a configuration.
fn snapshot(config: &str) -> Arc<Snapshot> {
    snapshot_of(config, 1)
}

fn snapshot_of(config: &str, revision: u64) -> Arc<Snapshot> {
    let loaded = from_text("test.yaml", config, &|_| None).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(compile(&loaded.model, &RolloutTable::from_model(&loaded.model), revision))
}

/// A configuration of one service at these endpoints, with `more` fields; top-level ones may follow.
fn service(endpoints: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
    format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: [{}] }}
    {more}
"#,
        endpoints.join(", ")
    )
}

/// A hot-fix of that service, of group `lane` and version `v2`.
fn hot_fix(endpoint: SocketAddr) -> String {
    format!(
        "rollouts: [{{ name: fix, service: shop, version: v2, group: lane, endpoints: [\"{endpoint}\"], \
         stages: [{{ percent: 0 }}] }}]\n"
    )
}

impl Running {
    fn start(config: &str) -> Self {
        let snapshot = snapshot(config);
        let telemetry = Telemetry::start(2, &snapshot.telemetry).expect("a test has threads");
        let proxy = Proxy::start(snapshot, 2, &telemetry).unwrap_or_else(|error| panic!("{error}"));
        Self { proxy: Some(proxy), telemetry }
    }

    /// One service with a hot-fix of group `lane` and version `v2`; `listener` and `more` are further YAML.
    fn with(stable: SocketAddr, hot_fix: SocketAddr, listener: &str, more: &str) -> Self {
        Self::start(&format!(
            r#"
listeners: [{{ name: web, address: "127.0.0.1:0", {listener} }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{stable}"] }}
    timeouts: {{ connect: 1s, first_byte: 2s, idle: 2s, total: 4s }}
rollouts:
  - {{ name: fix, service: shop, version: v2, group: lane, endpoints: ["{hot_fix}"], stages: [{{ percent: 0 }}] }}
{more}
"#
        ))
    }

    /// As [`with`](Self::with), and the hot-fix is given to whoever sends `x-beta: 1`; nothing is sampled by chance.
    fn edge(stable: SocketAddr, hot_fix: SocketAddr, listener: &str) -> Self {
        Self::start(&format!(
            r#"
listeners: [{{ name: web, address: "127.0.0.1:0", {listener} }}]
services:
  - {{ name: shop, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["{stable}"] }} }}
rollouts:
  - name: fix
    service: shop
    version: v2
    group: lane
    endpoints: ["{hot_fix}"]
    assign: [{{ header: {{ name: x-beta, equals: "1" }} }}]
telemetry: {{ sampling: {{ default: 0 }} }}
"#
        ))
    }

    /// One service whose backend speaks HTTP/2, with further lines of its YAML.
    fn http2(stable: SocketAddr, service: &str) -> Self {
        Self::start(&format!(
            r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    protocol: http2
    stable: {{ version: v1, endpoints: ["{stable}"] }}
    timeouts: {{ connect: 1s, first_byte: 2s, idle: 2s, total: 4s }}
{service}
"#
        ))
    }

    /// The snapshot in force.
    fn snapshot(&self) -> Arc<Snapshot> {
        self.proxy.as_ref().expect("it runs").snapshot()
    }

    /// One service without a hot-fix.
    fn plain(stable: SocketAddr) -> Self {
        Self::with(stable, stable, "", "")
    }

    /// Serves another configuration, as this revision.
    fn apply(&mut self, config: &str, revision: u64) {
        let next = snapshot_of(config, revision);
        let proxy = self.proxy.as_mut().expect("it runs");
        let prepared = proxy.prepare(&next).unwrap_or_else(|error| panic!("{error}"));
        proxy.apply(next, prepared);
    }

    /// The control plane's hold on it.
    fn handle(&self) -> Handle {
        self.proxy.as_ref().expect("it runs").handle()
    }

    fn address(&self) -> SocketAddr {
        self.proxy.as_ref().map(|proxy| proxy.listening()[0].address).expect("it runs")
    }

    fn client(&self) -> Client {
        Client::connect(self.address()).expect("it listens")
    }

    fn get(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.client().get(path, fields).expect("it answers")
    }

    /// A counter's value under a label.
    fn count(&self, count: Count, label: &str) -> u64 {
        let nth = FAMILIES[count as usize].values.iter().position(|value| *value == label);
        self.telemetry.metrics.total(count, nth.unwrap_or_else(|| panic!("{count:?} has no {label}")))
    }

    /// A counter's sum.
    fn sum(&self, count: Count) -> u64 {
        (0..FAMILIES[count as usize].values.len()).map(|nth| self.telemetry.metrics.total(count, nth)).sum()
    }

    /// Ends the data plane, so that every request is finished and every span shipped.
    fn stop(&mut self) {
        if let Some(proxy) = self.proxy.take() {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a test has threads");
            runtime.block_on(async {
                proxy.drain(Duration::from_secs(10)).await;
                self.telemetry.shutdown(Duration::from_secs(10)).await;
            });
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
