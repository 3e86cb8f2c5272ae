//! How a service's requests are spread over the endpoints of each of its backends: types of the model that the data
//! plane takes as they are.

use std::time::Duration;

use crate::snapshot::StickyKey;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Balancing {
    /// Which endpoint a request goes to.
    pub policy: Policy,
    /// When an endpoint that fails is left out.
    pub ejection: Ejection,
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

impl Default for Balancing {
    fn default() -> Self {
        Self { policy: Policy::PeakEwma, ejection: Ejection::default() }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self { consecutive_failures: 5, base: Duration::from_secs(30), max_ejected: 500_000 }
    }
}
