//! How a service's requests are spread over the endpoints of each of its backends: types of the model that the data
//! plane takes as they are.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::snapshot::StickyKey;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Balancing {
    /// Which endpoint a request goes to.
    pub policy: Policy,
    /// When an endpoint that fails is left out.
    pub ejection: Ejection,
    /// How endpoints are asked how they are; `None`: they are not.
    pub health_check: Option<Arc<HealthCheck>>,
    /// Of stable's endpoints, in millionths: if fewer can be used, all are; 0: then none is.
    pub panic_threshold: u32,
}

/// Which endpoint a request goes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// The better of two that are drawn, by latency and requests in flight.
    PeakEwma,
    /// The better of two that are drawn, by requests in flight.
    LeastRequests,
    /// Each in its turn.
    RoundRobin,
    /// The same for the same key for as long as it can be used; without a key as [`LeastRequests`](Self::LeastRequests).
    ConsistentHash(StickyKey),
}

/// When an endpoint that fails is left out, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// So many failures in a row, at least 1.
    pub consecutive_failures: u32,
    /// How long the first time; each further time in succession by as much longer.
    pub base: Duration,
    /// Most of a backend's endpoints at a time in millionths; 0: none is ever left out.
    pub max_ejected: u32,
}

/// How an endpoint is asked how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: CheckKind,
    /// From one check to the next, to which up to a tenth is added by chance.
    pub interval: Duration,
    /// Bound on one check.
    pub timeout: Duration,
    /// So many checks in a row have to pass until an unhealthy endpoint is healthy, at least 1.
    pub healthy_threshold: u32,
    /// So many have to fail until a healthy one is unhealthy, at least 1; but the first check of all decides alone.
    pub unhealthy_threshold: u32,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Whether a connection is taken, and TLS agreed on where the service has it.
    Tcp,
    /// A GET over HTTP/1.1.
    Http(HttpCheck),
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service asked for; empty: the server as a whole.
        service: String,
    },
}

/// A GET, and which answers are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// Path and query.
    pub path: String,
    /// What `host` says; `None`: the endpoint's address.
    pub host: Option<HeaderValue>,
    /// Statuses that are right.
    pub statuses: Vec<RangeInclusive<u16>>,
}

impl HttpCheck {
    /// Whether `status` is right.
    #[must_use]
    pub fn expects(&self, status: StatusCode) -> bool {
        self.statuses.iter().any(|range| range.contains(&status.as_u16()))
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
        }
    }
}

impl Default for Balancing {
    fn default() -> Self {
        Self { policy: Policy::PeakEwma, ejection: Ejection::default(), health_check: None, panic_threshold: 500_000 }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self { consecutive_failures: 5, base: Duration::from_secs(30), max_ejected: 500_000 }
    }
}
