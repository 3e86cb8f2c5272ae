//! The compiled, immutable configuration plus live rollouts: all that a request is served by.
//!
//! Built only by [`compile`](crate::compile()), published as one `Arc`, loaded once per request. Ids are plain
//! indexes into this snapshot's tables and mean nothing outside it.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::balance::Balancing;
use crate::mark_key::{MarkKey, MarkSigning};
use crate::routes::RouteTable;
use crate::tls::{BackendTls, ListenerTls, NamePattern, SubjectName};

mod policy;
mod route;

pub use policy::*;
pub use route::*;

/// Index into [`Snapshot::services`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub u32);

/// Index into [`Snapshot::backends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(pub u32);

/// Index into [`Snapshot::rollouts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RolloutId(pub u32);

/// Everything a request can ask of the configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts published snapshots of this process, from 1. Exported as `patchgate_snapshot_revision`.
    pub revision: u64,
    /// Hex digest of the configuration text this was compiled from.
    pub digest: String,
    /// Data-plane threads; `None`: one a core.
    pub workers: Option<NonZeroUsize>,
    /// Sockets to listen on.
    pub listeners: Vec<Arc<Listener>>,
    /// Host and path to service, or to an answer of our own.
    pub routes: RouteTable,
    /// What routes lead to.
    pub services: Vec<Service>,
    /// Stable and hot-fix backends of all services.
    pub backends: Vec<Backend>,
    /// Live rollouts.
    pub rollouts: Vec<Rollout>,
    /// Exporters and sampling.
    pub telemetry: Telemetry,
    /// How marks that go on are signed; `None`: not at all.
    pub mark_signing: Option<Arc<MarkSigning>>,
    /// Where `/livez`, `/readyz`, `/startupz` and `/metrics` are served.
    pub health: Option<SocketAddr>,
    /// How a stop goes on.
    pub drain: Drain,
}

/// A socket and its rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Name in logs and metrics.
    pub name: String,
    /// Address to bind.
    pub address: SocketAddr,
    /// Peers whose marks and trace contexts are believed.
    pub trust: Vec<IpNet>,
    /// Names of clients that are trusted wherever they are, by their certificates.
    pub identities: Vec<NamePattern>,
    /// Keys that sign marks which are believed from anybody.
    pub mark_keys: Vec<MarkKey>,
    /// Certificates, and how clients are known by theirs; `None`: plain text.
    pub tls: Option<Arc<ListenerTls>>,
    /// Whether a trusted peer may carry the mark in W3C `baggage` too.
    pub baggage: bool,
    /// Whether rollout rules may mark requests here (an edge).
    pub assign: bool,
    /// Peers whose connections begin with a header of the PROXY protocol; nobody else may connect then.
    pub proxy_protocol: Option<Vec<IpNet>>,
    /// Bounds on what a client may ask for.
    pub limits: Limits,
    /// Which request and response headers patchgate itself writes here.
    pub headers: HeaderPolicy,
}

impl Listener {
    /// Whether a client is trusted: by its address, or by one of the names in its certificate.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr, names: &[SubjectName]) -> bool {
        let peer = peer.to_canonical();
        self.trust.iter().any(|range| range.contains(&peer)) || NamePattern::any(&self.identities, names)
    }
}

/// Bounds on a client, all of them always on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, per listener.
    pub connections: usize,
    /// Size of a request's head in bytes (HTTP/2: of the decoded header list).
    pub header_bytes: usize,
    /// Header fields in a request.
    pub header_count: usize,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// Longest pause between two pieces of a request body, or of a client's reading of a response body.
    pub body_idle_timeout: Duration,
    /// A keep-alive connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// Concurrent streams on one HTTP/2 connection.
    pub streams: u32,
}

/// What happens to `forwarded` and `x-forwarded-*` of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// From a trusted peer the peer's address is appended; from anyone else the header is replaced.
    Append,
    /// Always replaced.
    Replace,
    /// Always removed, never written.
    Remove,
}

/// Headers that patchgate itself writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderPolicy {
    /// `x-forwarded-for`, `x-forwarded-proto`, `x-forwarded-host`.
    pub x_forwarded: Forwarded,
    /// RFC 7239 `forwarded`.
    pub forwarded: Forwarded,
    /// Whether `via: 1.1 patchgate` is appended (RFC 9110 §7.6.3).
    pub via: bool,
    /// Whether `x-request-id` is made where absent (a trusted peer's is kept) and returned to the client.
    pub request_id: bool,
    /// Whether untrusted clients also see `tracestate` and `server-timing: trace` in responses.
    pub expose_trace: bool,
}

/// What a route leads to.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// Where unmarked requests go.
    pub stable: BackendId,
    /// What happens when a hot-fix backend cannot be reached.
    pub fallback: Fallback,
    /// Bounds on a request's time.
    pub timeouts: Timeouts,
    /// Which of a backend's endpoints a request goes to.
    pub balancing: Arc<Balancing>,
    /// When a request is sent again; `None`: only what its backend cannot have acted on.
    pub retry: Option<Arc<Retry>>,
    /// Protocols that a client may switch to, by token in lower case.
    pub upgrades: Vec<http::HeaderValue>,
    /// How backends are spoken to under TLS; `None`: in plain text.
    pub tls: Option<Arc<BackendTls>>,
    /// How often it may be asked.
    pub rate_limit: Option<Arc<RateLimit>>,
    /// Bounds on what each of its backends is given at a time.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// When a slow request is sent to a second endpoint.
    pub hedge: Option<Arc<Hedge>>,
    /// The protocol that its backends speak.
    pub protocol: BackendProtocol,
    /// How backends are told each connection's client; `None`: not at all.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Where a share of its requests is sent, too.
    pub mirror: Option<Arc<Mirror>>,
    /// Changes of header fields.
    pub headers: Option<Arc<HeaderRules>>,
    /// Live rollouts of this service in the order of the configuration.
    pub rollouts: Vec<RolloutId>,
}

/// The protocol that a service's backends speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What a request gets whose hot-fix backend cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The stable backend; the mark is kept and the fallback counted.
    Stable,
    /// 503.
    Fail,
}

/// Bounds on a request's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP connect to an endpoint.
    pub connect: Duration,
    /// From the request being sent to the response head.
    pub first_byte: Duration,
    /// Longest pause between two pieces of a response body.
    pub idle: Duration,
    /// The whole request.
    pub total: Duration,
}

/// A named set of endpoints that run one version of a service.
#[derive(Debug)]
pub struct Backend {
    /// `SERVICE/stable`, the rollout's name, or `ROLLOUT/SERVICE` for a patch of a set: unique, used in metrics and logs.
    pub name: Arc<str>,
    /// The service it belongs to.
    pub service: ServiceId,
    /// The version it runs.
    pub version: Arc<str>,
    /// The group, for a hot-fix backend.
    pub group: Option<Arc<str>>,
    /// Its addresses, at least one.
    pub endpoints: Vec<SocketAddr>,
    /// Whether marks in its responses are honoured.
    pub may_mark: bool,
}

/// A patch of a live rollout as the data plane sees it.
#[derive(Debug)]
pub struct Rollout {
    /// The rollout's name, which the patches of a set share; also the salt of the percent hash.
    pub name: Arc<str>,
    /// The service it patches.
    pub service: ServiceId,
    /// The patch's version, a valid mark value.
    pub version: Arc<str>,
    /// The patch's group, a valid mark value.
    pub group: Arc<str>,
    /// The hot-fix backend.
    pub backend: BackendId,
    /// A mark must name this very version, too.
    pub pin_version: bool,
    /// Users or tenants that are never given the patch.
    pub force_stable: Vec<RequestMatch>,
    /// Rules of an edge, in order; the first that matches assigns.
    pub assign: Vec<AssignRule>,
    /// Share of requests that [`AssignRule::Percent`] gives the patch, in millionths, capped by the total exposure of
    /// the service; in a set the same for every patch, capped by that of each of its services.
    pub exposure: Exposure,
}

/// A share in millionths: 10,000 is 1 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Exposure(u32);

impl Exposure {
    /// Nobody.
    pub const NONE: Self = Self(0);
    /// Everybody.
    pub const ALL: Self = Self(1_000_000);

    /// A share of `millionths`, at most [`Self::ALL`].
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Self {
        if millionths > Self::ALL.0 { Self::ALL } else { Self(millionths) }
    }

    /// The share in millionths, 0 to 1,000,000.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

/// One rule by which an edge marks requests.
#[derive(Debug, Clone, PartialEq)]
pub enum AssignRule {
    /// Everything that matches is given the patch.
    Match(RequestMatch),
    /// The rollout's share of requests is given the patch, by a stable hash of the key.
    Percent(StickyKey),
}

/// A condition on a request's head.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestMatch {
    /// A header that equals a value, or (with `None`) is present.
    Header(HeaderName, Option<String>),
    /// A cookie that equals a value, or is present.
    Cookie(String, Option<String>),
    /// A query parameter that equals a value (as written in the target, not decoded), or is present.
    Query(String, Option<String>),
    /// A client address in a range.
    Address(IpNet),
}

/// What makes the percent choice stick to a user.
#[derive(Debug, Clone, PartialEq)]
pub enum StickyKey {
    /// A header's value.
    Header(HeaderName),
    /// A cookie's value.
    Cookie(String),
    /// The client's address.
    ClientAddress,
    /// Chosen anew for each request.
    Random,
}

/// Exporters and sampling.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// `service.name` of our spans.
    pub service_name: String,
    /// Share of root traces that are sampled, 0.0 to 1.0.
    pub sample_default: f64,
    /// Share of canary and control requests that are sampled, 0.0 to 1.0; 1.0 unless capped.
    pub sample_canary: f64,
    /// Whether the random flag is cleared for old SDKs that reject flags above 02.
    pub clear_random_flag: bool,
    /// The normal channel's collector.
    pub otlp: Option<Otlp>,
    /// The canary channel's collector; the same endpoint where none is named, but always a queue of its own.
    pub canary_otlp: Option<Otlp>,
    /// Response marks honoured per second and worker; above it they are counted and ignored.
    pub response_marks_per_second: u32,
    /// JSON lines, sampled like traces; off by default.
    pub access_log: bool,
}

/// An OTLP receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// Base URL, `http://HOST:PORT`; `/v1/traces` is appended for HTTP.
    pub endpoint: http::Uri,
    /// HTTP/protobuf or gRPC.
    pub protocol: OtlpProtocol,
    /// Spans that may wait; further ones are dropped and counted.
    pub queue_spans: usize,
    /// Bytes that may wait.
    pub queue_bytes: usize,
    /// Bound on one export.
    pub timeout: Duration,
}

/// How spans travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// HTTP/1.1 POST with a protobuf body.
    Http,
    /// gRPC over HTTP/2; needs the cargo feature `otlp-grpc`.
    Grpc,
}

/// How a stop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// From "not ready" to the first `Connection: close`: time for load balancers to look away.
    pub delay: Duration,
    /// From then to the hard end.
    pub timeout: Duration,
}

impl Snapshot {
    /// The service behind an id of this snapshot.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> &Service {
        &self.services[id.0 as usize]
    }

    /// The backend behind an id of this snapshot.
    #[must_use]
    pub fn backend(&self, id: BackendId) -> &Backend {
        &self.backends[id.0 as usize]
    }

    /// The rollout behind an id of this snapshot.
    #[must_use]
    pub fn rollout(&self, id: RolloutId) -> &Rollout {
        &self.rollouts[id.0 as usize]
    }
}
