//! `services[].routes[]` and `routes[]` as written.

use schemars::JsonSchema;
use serde::Deserialize;

/// A host and a path. The most specific host wins, then the longest prefix.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// `a.example.com`, or `*.example.com` for every host below; no port. Absent: any host.
    pub(crate) host: Option<String>,
    /// Beginning of the path, by whole segments: `/pay` is `/pay` and `/pay/now`, not `/payments`.
    #[schemars(extend("default" = "/"))]
    pub(crate) path_prefix: Option<String>,
    /// Another path under which backends are asked. Absent: the client's.
    pub(crate) rewrite: Option<Rewrite>,
}

/// Another path under which backends are asked; the query stays. One of the two.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rewrite {
    /// In place of the route's own prefix; `/` takes it away.
    pub(crate) path_prefix: Option<String>,
    /// In place of the whole path.
    pub(crate) path: Option<String>,
}

/// A route that patchgate answers itself, by a redirect or directly. One of the two.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalRoute {
    /// As of a service's route.
    pub(crate) host: Option<String>,
    /// As of a service's route.
    #[schemars(extend("default" = "/"))]
    pub(crate) path_prefix: Option<String>,
    /// Sends the client elsewhere.
    pub(crate) redirect: Option<Redirect>,
    /// Answers with this.
    pub(crate) direct_response: Option<DirectResponse>,
}

/// Where the client is sent: to its own URL with these parts replaced, at least one; the query stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redirect {
    /// `http` or `https`. Absent: that of the request.
    pub(crate) scheme: Option<Scheme>,
    /// A name or address, without port. Absent: that of the request.
    pub(crate) host: Option<String>,
    /// Absent: the request's, or the scheme's own if `scheme` or `host` is given.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: Option<u32>,
    /// In place of the route's own prefix; `/` takes it away. Not beside `path`.
    pub(crate) path_prefix: Option<String>,
    /// In place of the whole path.
    pub(crate) path: Option<String>,
    /// 301, 302, 303, 307 or 308; after 307 and 308 the method stays what it was.
    #[schemars(extend("default" = 302, "enum" = [301, 302, 303, 307, 308]))]
    pub(crate) status: Option<u32>,
}

/// A scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scheme {
    /// Plaintext.
    Http,
    /// TLS.
    Https,
}

/// An answer that is written here.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectResponse {
    /// From 200 to 599.
    #[schemars(required, range(min = 200, max = 599))]
    pub(crate) status: Option<u32>,
    /// At most 64 KiB. Absent: none.
    pub(crate) body: Option<String>,
    /// What the body is.
    #[schemars(extend("default" = "text/plain; charset=utf-8"))]
    pub(crate) content_type: Option<String>,
}
