//! A service's policies: when its requests are sent again, to a second endpoint, or to a mirror, and what of
//! their heads is changed.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::{Exposure, StickyKey};

/// When a request is sent again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Tries of one request, the first included; at least 2.
    pub attempts: u32,
    /// Retries as a share of requests, above 0 and at most 1.
    pub budget: f64,
    /// What is retried.
    pub on: Vec<RetryOn>,
    /// Methods that are retried although a backend may have acted on the request.
    pub methods: Vec<Method>,
    /// The longest pause before the first retry; it doubles with each further one,
    pub backoff: Duration,
    /// up to this.
    pub backoff_max: Duration,
}

/// What is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// No endpoint takes a connection.
    ConnectFailure,
    /// An HTTP/2 stream that the backend did not begin to process.
    RefusedStream,
    /// A connection that ended before the response's head.
    Reset,
    /// A status from 500 to 599.
    Status(StatusCode),
}

/// How often a service may be asked, by everybody together and by each client.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    /// By everybody.
    pub all: Option<Rate>,
    /// By each client, and what makes it one.
    pub clients: Option<(Rate, StickyKey)>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many tokens come,
    pub requests: NonZeroU32,
    /// in this time; not zero.
    pub per: Duration,
    /// The most that there are.
    pub burst: NonZeroU32,
}

/// Bounds on what each backend of a service is given at a time, over all workers; `None`: there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Connections, idle ones too.
    pub max_connections: Option<u32>,
    /// Requests.
    pub max_requests: Option<u32>,
    /// Requests that wait for their turn once there are so many.
    pub max_pending_requests: u32,
    /// Retries by the policy.
    pub max_retries: Option<u32>,
}

/// When a slow request is sent to a second endpoint of the same version.
#[derive(Debug, Clone, PartialEq)]
pub struct Hedge {
    /// How long the first answer is waited for; `None`: the backend's live 95th percentile.
    pub after: Option<Duration>,
    /// Hedges as a share of a backend's requests, above 0 and at most 1.
    pub budget: f64,
    /// Methods that are hedged, of requests without a body.
    pub methods: Vec<Method>,
}

/// Where a share of a service's requests is sent, too; the answers are thrown away.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// Its addresses, at least one, asked in turn.
    pub endpoints: Vec<SocketAddr>,
    /// Share of requests.
    pub share: Exposure,
    /// The longest body that is copied, in bytes.
    pub max_body: usize,
    /// Mirrors at a time, on each worker; further ones are left out.
    pub concurrency: usize,
    /// Methods that are mirrored.
    pub methods: Vec<Method>,
    /// What `host` says.
    pub host: MirrorHost,
    /// Bound on one mirror.
    pub timeout: Duration,
}

/// What a mirrored request's `host` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorHost {
    /// What the client asked for.
    Preserve,
    /// This.
    Set(HeaderValue),
}

/// A service's changes of header fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// Of requests, as backends get them.
    pub request: HeaderChanges,
    /// Of backends' responses, as clients get them.
    pub response: HeaderChanges,
}

/// Changes of a head's fields, in this order. None concerns what frames or routes a message, or what patchgate writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Fields that go.
    pub remove: Vec<HeaderName>,
    /// Fields that have this value alone.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields that have this value, too.
    pub append: Vec<(HeaderName, HeaderValue)>,
}
