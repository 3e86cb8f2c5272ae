//! Why a request was answered by patchgate itself: one enum by cause, with whose fault it is and what the client sees.

use http::StatusCode;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The client's.
    Downstream,
    /// The backend's.
    Upstream,
    /// Ours.
    Internal,
}

/// Why no response of a backend could be relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    /// HTTP/1.1 without `Host`.
    #[error("the request has no host")]
    HostMissing,
    /// More than one `Host`, or one that differs from `:authority`.
    #[error("the request names more than one host")]
    HostAmbiguous,
    /// A `Host` that is not an authority (RFC 3986 §3.2).
    #[error("the request's host is malformed")]
    HostMalformed,
    /// A request target in no form this method allows (RFC 9112 §3.2).
    #[error("the request target is malformed")]
    TargetMalformed,
    /// `CONNECT`: patchgate is no forward proxy.
    #[error("tunnels are not offered")]
    ConnectRefused,
    /// An `Expect` other than `100-continue` (RFC 9110 §10.1.1).
    #[error("the expectation cannot be met")]
    ExpectationFailed,
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    #[error("the transfer coding is not supported")]
    CodingUnsupported,
    /// A request version other than 1.0, 1.1 and 2.
    #[error("the HTTP version is not supported")]
    VersionUnsupported,
    /// More header fields than the listener allows.
    #[error("the request has too many header fields")]
    TooManyHeaders,
    /// No route of the configuration matches.
    #[error("no route matches")]
    NoRoute,
    /// The service, or this client, was asked too often; the seconds after which it may be asked again.
    #[error("asked too often")]
    RateLimited(u32),
    /// Checks say that no endpoint of the backend is well.
    #[error("no endpoint of the backend is healthy")]
    NoHealthyEndpoint,
    /// The backend is given as much as it may be.
    #[error("the backend is given as much as it may be")]
    Overflow,
    /// No endpoint of the backend took a connection.
    #[error("no endpoint of the backend could be reached")]
    ConnectFailed,
    /// No endpoint took a connection in time.
    #[error("connecting to the backend took too long")]
    ConnectTimeout,
    /// An endpoint took a connection, and no TLS could be agreed on: its certificate is not what it should be, or ours
    /// was refused.
    #[error("no TLS could be agreed on with the backend")]
    TlsFailed,
    /// The backend closed or reset the connection before a response head.
    #[error("the backend closed the connection without a response")]
    UpstreamReset,
    /// The backend did nothing about the request: it refused the stream, or took no more of them (RFC 9113 §8.7).
    #[error("the backend refused the request")]
    UpstreamRefused,
    /// The backend's response head could not be read as HTTP.
    #[error("the backend's response is malformed")]
    UpstreamMalformed,
    /// The backend switched protocols unasked (RFC 9110 §15.2.2).
    #[error("the backend switched protocols unasked")]
    UpstreamSwitched,
    /// No response head in time.
    #[error("the backend did not answer in time")]
    FirstByteTimeout,
    /// The whole request took too long.
    #[error("the request took too long")]
    TotalTimeout,
    /// The client's request body broke off or stalled.
    #[error("the request body broke off")]
    BodyBroken,
    /// The time to drain was over before a backend answered.
    #[error("the gateway is stopping")]
    Draining,
    /// The patch was withdrawn before its backend answered.
    #[error("the version that was asked is withdrawn")]
    Withdrawn,
    /// The winner of the commit gave its permit up without an answer.
    #[error("an answer was given up")]
    Abandoned,
    /// The request's task panicked.
    #[error("the request's task panicked")]
    Panicked,
}

impl ProxyError {
    /// A stable code: the client sees it, spans, logs and metrics carry it.
    #[must_use]
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::HostMissing => "host_missing",
            Self::HostAmbiguous => "host_ambiguous",
            Self::HostMalformed => "host_malformed",
            Self::TargetMalformed => "target_malformed",
            Self::ConnectRefused => "connect_refused",
            Self::ExpectationFailed => "expectation_failed",
            Self::CodingUnsupported => "coding_unsupported",
            Self::VersionUnsupported => "version_unsupported",
            Self::TooManyHeaders => "too_many_headers",
            Self::NoRoute => "no_route",
            Self::RateLimited(_) => "rate_limited",
            Self::NoHealthyEndpoint => "no_healthy_endpoint",
            Self::Overflow => "overflow",
            Self::ConnectFailed => "upstream_connect_failed",
            Self::TlsFailed => "upstream_tls_failed",
            Self::ConnectTimeout => "upstream_connect_timeout",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamRefused => "upstream_refused",
            Self::UpstreamMalformed => "upstream_malformed",
            Self::UpstreamSwitched => "upstream_switched",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::BodyBroken => "request_body_broken",
            Self::Draining => "draining",
            Self::Withdrawn => "withdrawn",
            Self::Abandoned => "abandoned",
            Self::Panicked => "panic",
        }
    }

    /// What the client is told.
    #[must_use]
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::HostMissing
            | Self::HostAmbiguous
            | Self::HostMalformed
            | Self::TargetMalformed
            | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::ConnectRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::CodingUnsupported => StatusCode::NOT_IMPLEMENTED,
            Self::VersionUnsupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoHealthyEndpoint
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::UpstreamRefused
            | Self::Overflow
            | Self::Draining
            | Self::Withdrawn => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamReset | Self::UpstreamMalformed | Self::UpstreamSwitched | Self::Abandoned => {
                StatusCode::BAD_GATEWAY
            }
            Self::ConnectTimeout | Self::FirstByteTimeout | Self::TotalTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub(crate) const fn origin(self) -> Origin {
        match self {
            Self::HostMissing
            | Self::HostAmbiguous
            | Self::HostMalformed
            | Self::TargetMalformed
            | Self::ConnectRefused
            | Self::ExpectationFailed
            | Self::CodingUnsupported
            | Self::VersionUnsupported
            | Self::TooManyHeaders
            | Self::NoRoute
            | Self::BodyBroken => Origin::Downstream,
            Self::NoHealthyEndpoint
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::ConnectTimeout
            | Self::UpstreamReset
            | Self::UpstreamRefused
            | Self::UpstreamMalformed
            | Self::UpstreamSwitched
            | Self::FirstByteTimeout
            | Self::TotalTimeout => Origin::Upstream,
            Self::RateLimited(_)
            | Self::Overflow
            | Self::Draining
            | Self::Withdrawn
            | Self::Abandoned
            | Self::Panicked => Origin::Internal,
        }
    }

    /// Seconds after which it may be tried again, if that is known (RFC 9110 §10.2.3).
    #[must_use]
    pub(crate) const fn retry_after(self) -> Option<u32> {
        match self {
            Self::RateLimited(seconds) => Some(seconds),
            Self::Overflow => Some(1),
            _ => None,
        }
    }

    /// Whether framing can no longer be trusted, so that the connection must end with this answer.
    #[must_use]
    pub(crate) const fn closes(self) -> bool {
        matches!(self.origin(), Origin::Downstream) && !matches!(self, Self::NoRoute)
    }
}
