//! TLS towards clients.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

use super::names::{NamePattern, SubjectName, names_of};
use super::{Authorities, Credentials, TlsError, TlsVersion, provider, versions};

/// Protocols in the order in which we like them.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS of a listener. Equal if it was made of the same.
#[derive(Clone)]
pub struct ListenerTls {
    /// At least one; the first is for clients that name no host, or one that nobody knows.
    pub credentials: Vec<Credentials>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// How clients are known; `None`: they are not asked.
    pub client: Option<ClientAuth>,
    config: Arc<ServerConfig>,
}

/// How clients are known by their certificates.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientAuth {
    /// Who vouches for them.
    pub authorities: Authorities,
    /// Whether one without a certificate is refused.
    pub required: bool,
    /// One of a certificate's names must match one of these; empty: any name will do.
    pub names: Vec<NamePattern>,
}

/// Chooses the certificate by the host that a client names (RFC 6066 §3) and the signatures that it knows.
#[derive(Debug)]
struct Resolver {
    /// By host.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows the first label.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    default: Vec<Arc<CertifiedKey>>,
}

/// Asks for a chain to an authority, as is usual, and for a name.
#[derive(Debug)]
struct NamedClients {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<NamePattern>,
}

// === impl ListenerTls ===

impl ListenerTls {
    /// Makes it ready for handshakes.
    ///
    /// # Errors
    /// There is no certificate, or the parts do not go together.
    pub fn new(
        credentials: Vec<Credentials>,
        min_version: TlsVersion,
        client: Option<ClientAuth>,
    ) -> Result<Self, TlsError> {
        let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(min_version))
            .map_err(unusable)?;
        let builder = match &client {
            None => builder.with_no_client_auth(),
            Some(auth) => {
                let chain = WebPkiClientVerifier::builder_with_provider(Arc::clone(&auth.authorities.roots), provider);
                let chain = if auth.required { chain } else { chain.allow_unauthenticated() };
                let chain = chain.build().map_err(|error| TlsError::Unusable(error.to_string()))?;
                let verifier = NamedClients { chain, names: auth.names.clone() };
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Resolver::new(&credentials)?));
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        // Of this listener alone: a session must not be resumed where its client would have been refused.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(unusable)?;
        Ok(Self { credentials, min_version, client, config: Arc::new(config) })
    }

    /// What handshakes go by.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

impl fmt::Debug for ListenerTls {
    /// What it was made of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { credentials, min_version, client, .. } = self;
        let mut shown = f.debug_struct("ListenerTls");
        shown.field("credentials", credentials).field("min_version", min_version).field("client", client);
        shown.finish_non_exhaustive()
    }
}

impl PartialEq for ListenerTls {
    fn eq(&self, other: &Self) -> bool {
        self.credentials == other.credentials && self.min_version == other.min_version && self.client == other.client
    }
}

// === impl Resolver ===

impl Resolver {
    fn new(credentials: &[Credentials]) -> Result<Self, TlsError> {
        let default = credentials.first().ok_or(TlsError::NoCertificate)?;
        let mut resolver =
            Self { exact: HashMap::new(), wildcard: HashMap::new(), default: vec![Arc::clone(&default.certified)] };
        for Credentials { names, certified, .. } in credentials {
            if names == &default.names && !Arc::ptr_eq(certified, &default.certified) {
                // The same host with another kind of key.
                resolver.default.push(Arc::clone(certified));
            }
            for name in names {
                let SubjectName::Dns(name) = name else { continue };
                let (table, name) = match name.strip_prefix("*.") {
                    Some(zone) => (&mut resolver.wildcard, zone),
                    None => (&mut resolver.exact, &**name),
                };
                table.entry(name.to_owned()).or_default().push(Arc::clone(certified));
            }
        }
        Ok(resolver)
    }

    fn of_host(&self, host: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let host = host.to_ascii_lowercase();
        self.exact.get(&host).or_else(|| self.wildcard.get(host.split_once('.')?.1))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = hello.server_name().and_then(|host| self.of_host(host)).unwrap_or(&self.default);
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        keys.iter().find(fits).or(keys.first()).cloned()
    }
}

// === impl NamedClients ===

impl ClientCertVerifier for NamedClients {
    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(certificate, intermediates, now)?;
        if self.names.is_empty() || NamePattern::any(&self.names, &names_of(certificate)) {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
