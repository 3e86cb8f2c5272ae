//! `listeners[]` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{ByteSize, Duration};
use super::tls::ListenerTls;

/// A socket and its rules.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// Its name in logs and metrics.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// `IP:PORT` to listen on.
    #[schemars(required)]
    pub(crate) address: Option<String>,
    /// Whose marks and trace contexts are believed.
    pub(crate) trust: Option<Trust>,
    /// Whether this is an edge, where rollout rules may mark requests.
    #[schemars(extend("default" = false))]
    pub(crate) assign: Option<bool>,
    /// Certificates, and how clients are known by theirs. Absent: plain text.
    pub(crate) tls: Option<ListenerTls>,
    /// Whose connections begin with a header of the PROXY protocol, which says for whom they are. Absent: nobody's.
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    /// Bounds on what a client may ask for.
    pub(crate) limits: Option<Limits>,
    /// Which headers patchgate itself writes.
    pub(crate) headers: Option<Headers>,
}

/// Whose marks and trace contexts are believed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trust {
    /// Address ranges of trusted peers in CIDR form; an empty list trusts nobody.
    #[schemars(extend("default" = ["127.0.0.0/8", "::1/128"]))]
    pub(crate) addresses: Option<Vec<String>>,
    /// Subject alternative names of clients that are trusted wherever they are, by the certificates that
    /// `tls.client_certificate` asks for: `HOST`, `*.ZONE`, a URI, or the beginning of one with `*` behind it.
    pub(crate) identities: Option<Vec<String>>,
    /// Files with keys, 64 hexadecimal digits each. A mark that one of them signed is believed from anybody, with the trace
    /// context that it came in; several, so that keys can be replaced.
    pub(crate) mark_key_files: Option<Vec<String>>,
    /// Headers in which a trusted peer may carry the mark.
    #[schemars(extend("default" = ["tracestate"]))]
    pub(crate) carriers: Option<Vec<Carrier>>,
}

/// Whose connections begin with a header of the PROXY protocol, version 1 or 2.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyProtocol {
    /// Address ranges of load balancers in CIDR form. They must send the header; connections of all others are closed.
    #[schemars(required, length(min = 1))]
    pub(crate) from: Option<Vec<String>>,
}

/// A header that carries the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Carrier {
    /// W3C `tracestate`, always read.
    Tracestate,
    /// W3C `baggage` too.
    Baggage,
}

/// Bounds on a client.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Connections at a time.
    #[schemars(extend("default" = 20000))]
    pub(crate) connections: Option<u32>,
    /// Size of a request's head.
    #[schemars(extend("default" = "64KiB"))]
    pub(crate) header_bytes: Option<ByteSize>,
    /// Header fields in a request.
    #[schemars(extend("default" = 100))]
    pub(crate) header_count: Option<u32>,
    /// From the first byte of a head to its last.
    #[schemars(extend("default" = "10s"))]
    pub(crate) header_timeout: Option<Duration>,
    /// Longest pause between two pieces of a body.
    #[schemars(extend("default" = "30s"))]
    pub(crate) body_idle_timeout: Option<Duration>,
    /// A keep-alive connection without a request is closed after this.
    #[schemars(extend("default" = "75s"))]
    pub(crate) idle_timeout: Option<Duration>,
    /// Concurrent streams on one HTTP/2 connection.
    #[schemars(extend("default" = 128))]
    pub(crate) streams: Option<u32>,
}

/// Headers that patchgate itself writes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Headers {
    /// `x-forwarded-for`, `x-forwarded-proto`, `x-forwarded-host`.
    #[schemars(extend("default" = "append"))]
    pub(crate) x_forwarded: Option<Forwarded>,
    /// `forwarded` (RFC 7239).
    #[schemars(extend("default" = "remove"))]
    pub(crate) forwarded: Option<Forwarded>,
    /// Whether `via` is appended.
    #[schemars(extend("default" = true))]
    pub(crate) via: Option<bool>,
    /// Whether `x-request-id` is made where absent and returned to the client.
    #[schemars(extend("default" = true))]
    pub(crate) request_id: Option<bool>,
    /// Whether untrusted clients, too, see `tracestate` and `server-timing: trace` in responses.
    #[schemars(extend("default" = false))]
    pub(crate) expose_trace: Option<bool>,
}

/// What happens to a forwarding header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Forwarded {
    /// A trusted peer's is continued; anyone else's is replaced.
    Append,
    /// Always replaced.
    Replace,
    /// Always removed, never written.
    Remove,
}
