//! `services[].rate_limit` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::Duration;

/// How often a service may be asked: a request over it is answered 429, with `retry-after`. Held for the whole process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateLimit {
    /// Requests of all clients together in the time `per`. Absent: not counted.
    #[schemars(range(min = 1))]
    pub(crate) requests: Option<u32>,
    /// That time.
    #[schemars(extend("default" = "1s"))]
    pub(crate) per: Option<Duration>,
    /// Most requests at once. Absent: as many as `requests`.
    #[schemars(range(min = 1))]
    pub(crate) burst: Option<u32>,
    /// Requests of each client. Absent: not counted.
    pub(crate) clients: Option<ClientRate>,
}

/// How often each client may ask.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientRate {
    /// What makes a client: `address` (of IPv6 the first 64 bits), `header:NAME` or `cookie:NAME`. Those without it are
    /// counted as one.
    #[schemars(extend("default" = "address"))]
    pub(crate) key: Option<String>,
    /// Requests in the time `per`.
    #[schemars(required, range(min = 1))]
    pub(crate) requests: Option<u32>,
    /// That time.
    #[schemars(extend("default" = "1s"))]
    pub(crate) per: Option<Duration>,
    /// Most requests at once. Absent: as many as `requests`.
    #[schemars(range(min = 1))]
    pub(crate) burst: Option<u32>,
}
