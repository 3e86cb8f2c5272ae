//! Stage 2's result: the configuration with every default in place and every value checked, still declarative.
//!
//! Only a file without errors has one. What the data plane takes as it is, is of [`snapshot`](crate::snapshot)'s types.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::balance::Balancing;
use crate::mark_key::MarkSigning;
use crate::routes::HostPattern;
use crate::snapshot::{
    AssignRule, BackendProtocol, CircuitBreaker, Drain, Exposure, Fallback, HeaderRules, Hedge, Listener, LocalAnswer,
    Mirror, PathChange, ProxyVersion, RateLimit, RequestMatch, Retry, Telemetry, Timeouts,
};
use crate::tls::{BackendTls, Credentials};

/// How long a rollout may take unless it says so.
pub const DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A configuration without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Hex digest of the file as written: equal on every gateway that was given the same file.
    pub digest: String,
    /// Data-plane threads; `None`: one a core.
    pub workers: Option<NonZeroUsize>,
    /// At least one.
    pub listeners: Vec<Arc<Listener>>,
    /// At least one.
    pub services: Vec<Service>,
    /// Routes that are answered here.
    pub routes: Vec<LocalRoute>,
    /// In order of precedence.
    pub rollouts: Vec<Rollout>,
    /// Exporters and sampling.
    pub telemetry: Telemetry,
    /// How marks that go on are signed; `None`: not at all.
    pub mark_signing: Option<Arc<MarkSigning>>,
    /// The admin API; `None`: the file has no such section.
    pub admin: Option<Admin>,
    /// Where the health endpoints are served.
    pub health: SocketAddr,
    /// How a stop goes on.
    pub drain: Drain,
}

impl Model {
    /// Certificates with their keys, of listeners and services.
    pub fn credentials(&self) -> impl Iterator<Item = &Credentials> {
        let listeners = self.listeners.iter().filter_map(|listener| listener.tls.as_deref());
        let services = self.services.iter().filter_map(|service| service.tls.as_deref());
        listeners.flat_map(|tls| &tls.credentials).chain(services.filter_map(|tls| tls.credentials.as_ref()))
    }

    /// Files that it was made of besides its own: certificates, keys, authorities.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let clients = self.listeners.iter().filter_map(|listener| listener.tls.as_ref()?.client.as_ref());
        let services = self.services.iter().filter_map(|service| service.tls.as_deref());
        let authorities = clients.map(|auth| &auth.authorities).chain(services.map(|tls| &tls.authorities));
        let own = self.credentials().flat_map(|own| [&*own.certificate_file, &*own.private_key_file]);
        let keys = self.listeners.iter().flat_map(|listener| &listener.mark_keys);
        let keys = keys.chain(self.mark_signing.as_ref().map(|signing| &signing.key)).map(|key| &*key.file);
        authorities.map(|authorities| &*authorities.file).chain(own).chain(keys)
    }
}

/// What routes lead to.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// At least one.
    pub routes: Vec<Route>,
    /// The version that stable runs.
    pub version: Arc<str>,
    /// Stable's addresses, at least one.
    pub endpoints: Vec<SocketAddr>,
    /// Whether marks in stable's responses are honoured.
    pub may_mark: bool,
    /// What a request gets whose hot-fix backend cannot be reached.
    pub fallback: Fallback,
    /// Bounds on a request's time.
    pub timeouts: Timeouts,
    /// Most that the percent rules of all its rollouts together may take.
    pub max_exposure: Exposure,
    /// Which of a backend's endpoints a request goes to.
    pub balancing: Balancing,
    /// When a request is sent again; `None`: only what its backend cannot have acted on.
    pub retry: Option<Retry>,
    /// Protocols that a client may switch to, by token in lower case.
    pub upgrades: Vec<String>,
    /// The protocol that its backends speak.
    pub protocol: BackendProtocol,
    /// How backends are told each connection's client; `None`: not at all.
    pub proxy_protocol: Option<ProxyVersion>,
    /// How backends are spoken to under TLS; `None`: in plain text.
    pub tls: Option<Arc<BackendTls>>,
    /// How often it may be asked.
    pub rate_limit: Option<Arc<RateLimit>>,
    /// Bounds on what each of its backends is given at a time.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// When a slow request is sent to a second endpoint.
    pub hedge: Option<Hedge>,
    /// Where a share of its requests is sent, too.
    pub mirror: Option<Mirror>,
    /// Changes of header fields.
    pub headers: Option<HeaderRules>,
}

/// A host and a path prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The host.
    pub host: HostPattern,
    /// Begins with `/`.
    pub path_prefix: String,
    /// What backends get in place of the client's path.
    pub rewrite: Option<PathChange>,
}

/// A route that is answered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRoute {
    /// The host.
    pub host: HostPattern,
    /// Begins with `/`.
    pub path_prefix: String,
    /// With what.
    pub answer: LocalAnswer,
}

/// The life of a patch, or of a set of patches, as it is planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Its name; also the salt of the percent hash.
    pub name: Arc<str>,
    /// The group that marks name; a legal mark value.
    pub group: Arc<str>,
    /// At least one, each of another service.
    pub patches: Vec<Patch>,
    /// Users or tenants that are never given the patch.
    pub force_stable: Vec<RequestMatch>,
    /// Rules of an edge, in order.
    pub assign: Vec<AssignRule>,
    /// Rising; none: the patch is reached by marks and rules alone.
    pub stages: Vec<Stage>,
    /// From its creation; not zero. One that is neither promoted nor ended by then falls back to stable.
    pub deadline: Duration,
    /// Stages above this need a second person; `None`: no stage does.
    pub approval_above: Option<Exposure>,
    /// What becomes of the patch's requests that are in flight when the rollout is withdrawn.
    pub on_withdraw: OnWithdraw,
    /// Not in force yet.
    pub gates: Gates,
    /// Not in force yet.
    pub on_fail: OnFail,
}

/// A hot-fix of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The service's name.
    pub service: Arc<str>,
    /// A legal mark value.
    pub version: Arc<str>,
    /// The hot-fix's addresses, at least one.
    pub endpoints: Vec<SocketAddr>,
    /// A mark must name this very version, too.
    pub pin_version: bool,
    /// Whether marks in the hot-fix's responses are honoured.
    pub may_mark: bool,
}

/// A percentage, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Share of requests that percent rules give the patch.
    pub exposure: Exposure,
    /// How long the stage lasts at least, not zero; `None`: until somebody promotes the rollout.
    pub hold: Option<Duration>,
}

/// What becomes of the patch's requests that are in flight when the rollout is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnWithdraw {
    /// They are served to their end.
    Finish,
    /// They are cut off after this time; zero: at once.
    CutAfter(Duration),
}

/// What stops a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Gates {
    /// How much higher than stable's the error rate may be, from 0 to 1.
    pub error_rate_worse_by: Option<f64>,
    /// How many times stable's 99th percentile the patch's may be.
    pub latency_p99_ratio: Option<f64>,
    /// Least share of consistent responses, from 0 to 1.
    pub consistency_at_least: Option<f64>,
}

/// What happens when a gate fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFail {
    /// The patch is withdrawn.
    Rollback,
    /// The rollout stays where it is.
    Freeze,
}

/// The admin API and its event log; [`Default`]: as an empty section is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens; of loopback, unless callers are known.
    pub address: SocketAddr,
    /// Where the event log lives.
    pub store: Store,
    /// How callers are known.
    pub auth: Auth,
    /// Whether every change must come with its reason.
    pub require_reason: bool,
    /// How often the whole log is replayed and compared with what is in force; not zero.
    pub verify_every: Duration,
    /// Bounds on what a caller may ask for.
    pub limits: AdminLimits,
}

/// Where the event log lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A data directory; a relative one is of the working directory.
    File(PathBuf),
}

/// How callers of the admin API are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// By a bearer token, whose hash is in this file.
    Tokens(PathBuf),
}

/// Bounds on a caller of the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminLimits {
    /// Size of a request's body.
    pub body_bytes: usize,
    /// Requests a second of one caller, from 1.
    pub requests_per_second: u32,
    /// Callers that follow events at a time, from 1.
    pub watchers: u32,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9901)),
            store: Store::File(PathBuf::from("./patchgate-data")),
            auth: Auth::None,
            require_reason: false,
            verify_every: Duration::from_secs(24 * 3600),
            limits: AdminLimits { body_bytes: 1 << 20, requests_per_second: 50, watchers: 2000 },
        }
    }
}
