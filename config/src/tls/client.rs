//! TLS towards backends.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::names::{NamePattern, names_of};
use super::{Authorities, Credentials, TlsError, TlsVersion, digest, provider, versions};

/// TLS of a service's backends. Equal if it was made of the same.
#[derive(Clone)]
pub struct BackendTls {
    /// Who vouches for backends.
    pub authorities: Authorities,
    /// What they are asked for (SNI), and what their certificates must name; `None`: the address of the endpoint.
    pub server_name: Option<ServerName<'static>>,
    /// In place of that, one of a certificate's names must match one of these, if there are any.
    pub names: Vec<NamePattern>,
    /// What we show to backends that ask.
    pub credentials: Option<Credentials>,
    config: Arc<ClientConfig>,
    http2_config: Arc<ClientConfig>,
    id: u128,
}

/// A text that is neither a host nor an address.
#[derive(Debug, thiserror::Error)]
#[error("it is neither a host nor an address")]
pub struct ServerNameError;

/// Asks for a chain to an authority, as is usual, and for one of our names in place of the host's.
#[derive(Debug)]
struct NamedServers {
    signatures: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    names: Vec<NamePattern>,
}

// === impl BackendTls ===

impl BackendTls {
    /// Makes it ready for handshakes.
    ///
    /// # Errors
    /// The parts do not go together.
    pub fn new(
        authorities: Authorities,
        server_name: Option<ServerName<'static>>,
        names: Vec<NamePattern>,
        credentials: Option<Credentials>,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let roots = Arc::clone(&authorities.roots);
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError::Unusable(error.to_string()))?;
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(TlsVersion::V1_2))
            .map_err(|error| TlsError::Unusable(error.to_string()))?;
        let builder = if names.is_empty() {
            builder.with_webpki_verifier(webpki)
        } else {
            let verifier = NamedServers { signatures: webpki, roots, algorithms, names: names.clone() };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        };
        let mut config = match &credentials {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let shown = SingleCertAndKey::from((*own.certified).clone());
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let http2_config = Arc::new(config.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let parts =
            format!("{:?}", (authorities.id(), &server_name, &names, credentials.as_ref().map(Credentials::ids)));
        let id = digest(parts.as_bytes());
        Ok(Self { authorities, server_name, names, credentials, config: Arc::new(config), http2_config, id })
    }

    /// The name of a host or an address.
    ///
    /// # Errors
    /// It is neither.
    pub fn server_name(text: &str) -> Result<ServerName<'static>, ServerNameError> {
        ServerName::try_from(text.to_owned()).map_err(|_| ServerNameError)
    }

    /// What handshakes go by.
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The same, for HTTP/2 alone.
    #[must_use]
    pub fn http2_config(&self) -> &Arc<ClientConfig> {
        &self.http2_config
    }

    /// Whom a handshake with the endpoint at `address` asks for.
    #[must_use]
    pub fn name_at(&self, address: IpAddr) -> ServerName<'static> {
        self.server_name.clone().unwrap_or_else(|| ServerName::IpAddress(address.into()))
    }

    /// Tells it from every other: connections made by one are of no use to another.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.id
    }
}

impl fmt::Debug for BackendTls {
    /// What it was made of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authorities, server_name, names, credentials, .. } = self;
        let mut shown = f.debug_struct("BackendTls");
        shown.field("authorities", authorities).field("server_name", server_name).field("names", names);
        shown.field("credentials", credentials).finish_non_exhaustive()
    }
}

impl PartialEq for BackendTls {
    fn eq(&self, other: &Self) -> bool {
        self.authorities == other.authorities
            && self.server_name == other.server_name
            && self.names == other.names
            && self.credentials == other.credentials
    }
}

// === impl NamedServers ===

impl ServerCertVerifier for NamedServers {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        if NamePattern::any(&self.names, &names_of(certificate)) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::NotValidForName.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}
