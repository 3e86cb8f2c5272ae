//! TLS as written, of listeners and of services.

use schemars::JsonSchema;
use serde::Deserialize;

/// TLS towards clients. Without it a listener is served in plain text.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerTls {
    /// Certificates by the hosts in them; the first is also for clients that name none, or an unknown one.
    #[schemars(required, length(min = 1))]
    pub(crate) certificates: Option<Vec<Credentials>>,
    /// The oldest version spoken.
    #[schemars(extend("default" = "1.2"))]
    pub(crate) min_version: Option<TlsVersion>,
    /// How clients are known by their certificates (mutual TLS). Absent: they are not asked for one.
    pub(crate) client_certificate: Option<ClientCertificate>,
}

/// A certificate and its key. Both files are read again when they change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// PEM: the certificate, and behind it those that lead to its authority.
    #[schemars(required)]
    pub(crate) certificate_file: Option<String>,
    /// PEM: the certificate's private key.
    #[schemars(required)]
    pub(crate) private_key_file: Option<String>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// How clients are known by their certificates.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCertificate {
    /// PEM: the authorities that vouch for clients.
    #[schemars(required)]
    pub(crate) ca_file: Option<String>,
    /// Whether clients without a certificate are refused.
    #[schemars(extend("default" = true))]
    pub(crate) required: Option<bool>,
    /// Subject alternative names, one of which a client's certificate must have: `HOST`, `*.ZONE`, a URI, or the beginning
    /// of one with `*` behind it. Absent: any.
    #[schemars(length(min = 1))]
    pub(crate) subject_alt_names: Option<Vec<String>>,
}

/// TLS towards backends, hot-fixes too. Without it they are spoken to in plain text.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackendTls {
    /// PEM: the authorities that vouch for backends.
    #[schemars(required)]
    pub(crate) ca_file: Option<String>,
    /// The host that backends are asked for (SNI) and that their certificates must name. Absent: the endpoint's address.
    pub(crate) server_name: Option<String>,
    /// Subject alternative names, one of which a backend's certificate must have, in place of `server_name`: `HOST`,
    /// `*.ZONE`, a URI, or the beginning of one with `*` behind it.
    #[schemars(length(min = 1))]
    pub(crate) subject_alt_names: Option<Vec<String>>,
    /// What we show to backends that ask for a certificate.
    pub(crate) certificate: Option<Credentials>,
}
