//! `services[]` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::rate_limit::RateLimit;
use super::route::Route;
use super::scalar::{ByteSize, Duration, HedgeAfter, Percent, Share};
use super::tls::BackendTls;

/// What routes lead to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// Its name in logs and metrics.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// What is routed here.
    #[schemars(required, length(min = 1))]
    pub(crate) routes: Option<Vec<Route>>,
    /// The version in force.
    #[schemars(required)]
    pub(crate) stable: Option<Stable>,
    /// What a request gets whose hot-fix backend cannot be reached.
    #[schemars(extend("default" = "stable"))]
    pub(crate) fallback: Option<Fallback>,
    /// Bounds on a request's time.
    pub(crate) timeouts: Option<Timeouts>,
    /// Most of this service's requests that percent rules of all its rollouts together may give to patches.
    #[schemars(extend("default" = "100%"))]
    pub(crate) max_exposure: Option<Percent>,
    /// Which of a backend's endpoints a request goes to.
    pub(crate) load_balancing: Option<LoadBalancing>,
    /// When an endpoint that fails is left out. In force unless `max_ejected` is 0%.
    pub(crate) outlier_ejection: Option<OutlierEjection>,
    /// How endpoints, hot-fixes' too, are asked how they are. Absent: they are not.
    pub(crate) health_check: Option<HealthCheck>,
    /// If fewer of stable's endpoints can be used, all are, so that those few do not bear it all; 0%: never. Only with
    /// `health_check`.
    #[schemars(extend("default" = "50%"))]
    pub(crate) panic_threshold: Option<Percent>,
    /// How often it may be asked. Absent: as often as anybody likes.
    pub(crate) rate_limit: Option<RateLimit>,
    /// Bounds on what each backend, a hot-fix too, is given at a time by the whole process. Absent: none.
    pub(crate) circuit_breaker: Option<CircuitBreaker>,
    /// When a request is sent again. Absent: only what its backend cannot have acted on.
    pub(crate) retry: Option<Retry>,
    /// Protocols that a client may switch to (`upgrade`), by token; an empty list: none.
    #[schemars(extend("default" = ["websocket"]))]
    pub(crate) upgrades: Option<Vec<String>>,
    /// The protocol that backends speak, hot-fixes and mirrors too.
    #[schemars(extend("default" = "http1"))]
    pub(crate) protocol: Option<BackendProtocol>,
    /// Version of the PROXY protocol by which backends, hot-fixes too, are told each connection's client. Absent: they are
    /// not.
    pub(crate) proxy_protocol: Option<ProxyVersion>,
    /// How backends, hot-fixes too, are spoken to under TLS. Absent: plain text.
    pub(crate) tls: Option<BackendTls>,
    /// When a slow request is sent to a second endpoint of the same version. Absent: never.
    pub(crate) hedge: Option<Hedge>,
    /// Where a share of this service's requests is sent, too; the answers are thrown away.
    pub(crate) mirror: Option<Mirror>,
    /// Changes of header fields.
    pub(crate) headers: Option<HeaderRules>,
}

/// The version in force.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stable {
    /// The version it runs.
    #[schemars(required)]
    pub(crate) version: Option<String>,
    /// Its addresses, `IP:PORT` each.
    #[schemars(required, length(min = 1))]
    pub(crate) endpoints: Option<Vec<String>>,
    /// Whether marks in its responses are honoured.
    #[schemars(extend("default" = true))]
    pub(crate) may_mark: Option<bool>,
}

/// What a request gets whose hot-fix backend cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fallback {
    /// The stable backend.
    Stable,
    /// An error, 503.
    Fail,
}

/// The protocol that backends speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BackendProtocol {
    /// HTTP/1.1, a request at a time on a connection.
    Http1,
    /// HTTP/2 with prior knowledge, many requests on a connection; what gRPC needs.
    Http2,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Bounds on a request's time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// TCP connect to an endpoint.
    #[schemars(extend("default" = "1s"))]
    pub(crate) connect: Option<Duration>,
    /// From the request being sent to the response's head.
    #[schemars(extend("default" = "15s"))]
    pub(crate) first_byte: Option<Duration>,
    /// Longest pause between two pieces of a response body.
    #[schemars(extend("default" = "60s"))]
    pub(crate) idle: Option<Duration>,
    /// The whole request.
    #[schemars(extend("default" = "60s"))]
    pub(crate) total: Option<Duration>,
}

/// When a request is sent again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// Tries of one request, the first included.
    #[schemars(extend("default" = 2), range(min = 2, max = 10))]
    pub(crate) attempts: Option<u32>,
    /// Retries as a share of requests.
    #[schemars(extend("default" = 0.2))]
    pub(crate) budget: Option<Share>,
    /// What is retried: `connect_failure`, `refused_stream`, `reset`, or a status from 500 to 599.
    #[schemars(extend("default" = ["connect_failure", "refused_stream", "reset"]))]
    pub(crate) on: Option<Vec<String>>,
    /// Methods that are retried.
    #[schemars(extend("default" = ["GET", "HEAD", "OPTIONS", "TRACE"]))]
    pub(crate) methods: Option<Vec<String>>,
    /// Pauses before retries.
    pub(crate) backoff: Option<Backoff>,
}

/// Pauses before retries: each a random part of a time that doubles from retry to retry.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backoff {
    /// That time before the first retry.
    #[schemars(extend("default" = "25ms"))]
    pub(crate) base: Option<Duration>,
    /// The most that it grows to.
    #[schemars(extend("default" = "250ms"))]
    pub(crate) max: Option<Duration>,
}

/// When a slow request is sent to a second endpoint of the same version; the first acceptable answer wins.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hedge {
    /// How long the first response is waited for.
    #[schemars(extend("default" = "p95"))]
    pub(crate) after: Option<HedgeAfter>,
    /// Hedges as a share of a backend's requests.
    #[schemars(extend("default" = 0.05))]
    pub(crate) budget: Option<Share>,
    /// Methods that are hedged, and any with an `Idempotency-Key`; never a request with a body.
    #[schemars(extend("default" = ["GET", "HEAD", "OPTIONS", "TRACE"]))]
    pub(crate) methods: Option<Vec<String>>,
}

/// Which of a backend's endpoints a request goes to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadBalancing {
    /// By what one is chosen.
    #[schemars(extend("default" = "peak_ewma"))]
    pub(crate) policy: Option<Policy>,
    /// What sticks to an endpoint under `consistent_hash`: `cookie:NAME`, `header:NAME` or `address`.
    pub(crate) key: Option<String>,
}

/// By what an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Policy {
    /// The better of two that are drawn, by latency and requests in flight.
    PeakEwma,
    /// The better of two that are drawn, by requests in flight.
    LeastRequests,
    /// Each in its turn.
    RoundRobin,
    /// The same for the same key; when an endpoint goes, only its keys move.
    ConsistentHash,
}

/// When an endpoint that fails is left out. The last one never is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutlierEjection {
    /// So many failures in a row: no connection, a reset, no response in time, 502, 503 or 504.
    #[schemars(extend("default" = 5), range(min = 1))]
    pub(crate) consecutive_failures: Option<u32>,
    /// For how long; each further time in succession by as much longer, up to ten times.
    #[schemars(extend("default" = "30s"))]
    pub(crate) base: Option<Duration>,
    /// Most of a backend's endpoints at a time; 0% turns it off.
    #[schemars(extend("default" = "50%"))]
    pub(crate) max_ejected: Option<Percent>,
}

/// Bounds on what each backend is given at a time; what is over them is answered 503 at once. Absent: no bound.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CircuitBreaker {
    /// Connections, idle ones too.
    #[schemars(range(min = 1))]
    pub(crate) max_connections: Option<u32>,
    /// Requests.
    #[schemars(range(min = 1))]
    pub(crate) max_requests: Option<u32>,
    /// Requests that wait for their turn, first come, first served, once there are `max_requests`.
    #[schemars(extend("default" = 0))]
    pub(crate) max_pending_requests: Option<u32>,
    /// Retries by the policy `retry`.
    pub(crate) max_retries: Option<u32>,
}

/// How an endpoint is asked how it is: by one of `http`, `grpc` and `tcp`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthCheck {
    /// By a GET over HTTP/1.1.
    pub(crate) http: Option<HttpCheck>,
    /// By `grpc.health.v1.Health/Check`.
    pub(crate) grpc: Option<GrpcCheck>,
    /// By a connection.
    pub(crate) tcp: Option<TcpCheck>,
    /// From one check to the next; up to a tenth is added by chance.
    #[schemars(extend("default" = "5s"))]
    pub(crate) interval: Option<Duration>,
    /// Bound on one check.
    #[schemars(extend("default" = "1s"))]
    pub(crate) timeout: Option<Duration>,
    /// So many checks in a row have to pass until an unhealthy endpoint is healthy.
    #[schemars(extend("default" = 2), range(min = 1))]
    pub(crate) healthy_threshold: Option<u32>,
    /// So many have to fail until a healthy one is unhealthy. The first check of all decides alone.
    #[schemars(extend("default" = 3), range(min = 1))]
    pub(crate) unhealthy_threshold: Option<u32>,
}

/// A GET, and which answers are right.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpCheck {
    /// Path and query.
    #[schemars(extend("default" = "/"))]
    pub(crate) path: Option<String>,
    /// What `host` says. Absent: the endpoint's address.
    pub(crate) host: Option<String>,
    /// Statuses that are right: one, or `FROM-TO`.
    #[schemars(extend("default" = ["200-299"]), length(min = 1))]
    pub(crate) expected_statuses: Option<Vec<String>>,
}

/// A call of `grpc.health.v1.Health/Check`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrpcCheck {
    /// The service asked for. Absent: the server as a whole.
    pub(crate) service: Option<String>,
}

/// A connection, under TLS where the service has it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TcpCheck {}

/// Where a share of requests is sent, too. Mirrored requests carry `x-patchgate-shadow: 1`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mirror {
    /// Its addresses, `IP:PORT` each, asked in turn.
    #[schemars(required, length(min = 1))]
    pub(crate) endpoints: Option<Vec<String>>,
    /// Share of requests.
    #[schemars(extend("default" = "100%"))]
    pub(crate) percent: Option<Percent>,
    /// The longest body that is copied; a request with a longer one is not mirrored.
    #[schemars(extend("default" = "64KiB"))]
    pub(crate) max_body: Option<ByteSize>,
    /// Mirrors at a time, on each worker; further ones are left out.
    #[schemars(extend("default" = 64))]
    pub(crate) concurrency: Option<u32>,
    /// Methods that are mirrored.
    #[schemars(extend("default" = ["GET", "HEAD", "OPTIONS", "TRACE"]))]
    pub(crate) methods: Option<Vec<String>>,
    /// What their `host` says. Absent: what the client asked for.
    pub(crate) host: Option<String>,
    /// Bound on one mirror.
    #[schemars(extend("default" = "5s"))]
    pub(crate) timeout: Option<Duration>,
}

/// Changes of header fields.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderRules {
    /// Of requests, as backends get them.
    pub(crate) request: Option<HeaderChanges>,
    /// Of backends' responses, as clients get them.
    pub(crate) response: Option<HeaderChanges>,
}

/// Changes of a head's fields: first `remove`, then `set`, then `append`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderChanges {
    /// Fields that have this value, in place of what they had.
    pub(crate) set: Option<Vec<HeaderChange>>,
    /// Fields that have this value, behind what they had.
    pub(crate) append: Option<Vec<HeaderChange>>,
    /// Names of fields that go.
    pub(crate) remove: Option<Vec<String>>,
}

/// A field's name and value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderChange {
    /// Its name, in any case.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// Its value.
    #[schemars(required)]
    pub(crate) value: Option<String>,
}
