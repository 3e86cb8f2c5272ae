//! What a route does beside leading to a service: another path for its backends, or an answer of our own.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

/// Another path in place of a request's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathChange {
    /// So many bytes at a path's begin go, up to a `/` or to its end; this, which begins with `/`, stands for them.
    Prefix(usize, String),
    /// This stands for all of it.
    Full(String),
}

impl PathChange {
    /// A change of the route's own prefix `from`.
    #[must_use]
    pub fn prefix(from: &str, to: String) -> Self {
        Self::Prefix(from.trim_end_matches('/').len(), to)
    }

    /// The path in place of `path`; both begin with `/`. What follows the prefix keeps its slashes, and what stands for
    /// the prefix adds none to them, as the Gateway API has it.
    #[must_use]
    pub fn apply<'a>(&'a self, path: &'a str) -> Cow<'a, str> {
        match self {
            Self::Full(full) => Cow::Borrowed(full),
            Self::Prefix(cut, to) => match path.get(*cut..).unwrap_or_default() {
                "" => Cow::Borrowed(to),
                rest => match to.trim_end_matches('/') {
                    "" => Cow::Borrowed(rest),
                    base => Cow::Owned(format!("{base}{rest}")),
                },
            },
        }
    }
}

/// An answer that needs no backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAnswer {
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The client gets this.
    Direct(DirectResponse),
}

impl LocalAnswer {
    /// The label in metrics, logs and spans.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Redirect(_) => "redirect",
            Self::Direct(_) => "direct_response",
        }
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Redirect(redirect) => redirect.status,
            Self::Direct(direct) => direct.status,
        }
    }
}

/// Where a client is sent: to its own URL with these parts replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `None`: that of the request.
    pub scheme: Option<Scheme>,
    /// In lower case, without port; `None`: that of the request.
    pub host: Option<String>,
    /// `None`: the request's, or the scheme's own if `scheme` or `host` is given.
    pub port: Option<u16>,
    /// `None`: that of the request.
    pub path: Option<PathChange>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// A scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plaintext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As URLs have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Its own port.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An answer that is written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectResponse {
    /// From 200 to 599.
    pub status: StatusCode,
    /// None of a status that has none.
    pub body: Bytes,
    /// What the body is.
    pub content_type: HeaderValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_replaced_as_the_gateway_api_says() {
        let cases = [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "/", "/bar"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "/", "/xyz", "/xyz/foo"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/foo//bar", "/foo", "/", "//bar"),
        ];
        for (path, from, to, expected) in cases {
            assert_eq!(PathChange::prefix(from, to.to_owned()).apply(path), expected, "{path}: {from} to {to}");
        }
        assert_eq!(PathChange::Full("/x".to_owned()).apply("/foo/bar"), "/x");
    }
}
