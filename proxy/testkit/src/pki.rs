//! Certificates made on the spot, in files of a folder that is gone with them, and both ends of TLS.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// A client's end of a connection under TLS.
pub type ClientStream = StreamOwned<ClientConnection, TcpStream>;

/// A server's end of a connection under TLS.
pub type ServerStream = StreamOwned<ServerConnection, TcpStream>;

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate's file.
    pub file: PathBuf,
}

/// A certificate and its key, in files.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

/// What is to be wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It is not valid any more.
    Expired,
    /// It is not valid yet.
    Early,
    /// It is for servers, where a client shows it, and the reverse.
    OtherUse,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are legal");
        params.distinguished_name.push(DnType::CommonName, "the authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("it can be signed");
        let folder = TempDir::new().expect("the temporary folder is writable");
        let file = folder.path().join("ca.crt");
        std::fs::write(&file, certificate.pem()).expect("the temporary folder is writable");
        Self { folder, issuer: Issuer::new(params, key), file }
    }

    /// A certificate of a server, in the files `NAME.crt` and `NAME.key`; names with `://` are URIs.
    #[must_use]
    pub fn server(&self, name: &str, names: &[&str]) -> Issued {
        self.issue(name, names, ExtendedKeyUsagePurpose::ServerAuth, Flaw::None)
    }

    /// One of a client.
    #[must_use]
    pub fn client(&self, name: &str, names: &[&str]) -> Issued {
        self.issue(name, names, ExtendedKeyUsagePurpose::ClientAuth, Flaw::None)
    }

    /// One of a server with a flaw.
    #[must_use]
    pub fn flawed_server(&self, name: &str, names: &[&str], flaw: Flaw) -> Issued {
        self.issue(name, names, ExtendedKeyUsagePurpose::ServerAuth, flaw)
    }

    /// One of a client with a flaw.
    #[must_use]
    pub fn flawed_client(&self, name: &str, names: &[&str], flaw: Flaw) -> Issued {
        self.issue(name, names, ExtendedKeyUsagePurpose::ClientAuth, flaw)
    }

    fn issue(&self, file: &str, names: &[&str], purpose: ExtendedKeyUsagePurpose, flaw: Flaw) -> Issued {
        let name = |name: &&str| match (name.parse(), name.contains("://")) {
            (Ok(address), _) => SanType::IpAddress(address),
            (_, true) => SanType::URI((*name).try_into().expect("a URI is ASCII")),
            (_, false) => SanType::DnsName((*name).try_into().expect("a host is ASCII")),
        };
        let mut params = CertificateParams::new(Vec::new()).expect("no names are legal");
        params.distinguished_name.push(DnType::CommonName, file);
        params.subject_alt_names = names.iter().map(name).collect();
        params.use_authority_key_identifier_extension = true;
        match flaw {
            Flaw::None | Flaw::OtherUse => {}
            Flaw::Expired => params.not_after = date_time_ymd(2001, 1, 1),
            Flaw::Early => params.not_before = date_time_ymd(4000, 1, 1),
        }
        params.extended_key_usages = vec![match (flaw, purpose) {
            (Flaw::OtherUse, ExtendedKeyUsagePurpose::ServerAuth) => ExtendedKeyUsagePurpose::ClientAuth,
            (Flaw::OtherUse, _) => ExtendedKeyUsagePurpose::ServerAuth,
            (_, purpose) => purpose,
        }];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        let at = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        let issued = Issued { certificate: at("crt"), key: at("key") };
        std::fs::write(&issued.certificate, certificate.pem()).expect("the temporary folder is writable");
        std::fs::write(&issued.key, key.serialize_pem()).expect("the temporary folder is writable");
        issued
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.file) {
            roots.add(certificate).expect("an authority's certificate is one");
        }
        Arc::new(roots)
    }

    /// The settings of a client that trusts this authority and shows `own`.
    #[must_use]
    pub fn client_config(&self, own: Option<&Issued>) -> ClientConfig {
        let builder = client_builder(rustls::ALL_VERSIONS).with_root_certificates(self.roots());
        match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                builder.with_client_auth_cert(certificates(&own.certificate), key(own)).expect("they go together")
            }
        }
    }

    /// The same for one version of TLS.
    #[must_use]
    pub fn client_config_of(&self, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
        client_builder(&[version]).with_root_certificates(self.roots()).with_no_client_auth()
    }

    /// The settings of a server that shows `own` and, with `clients`, asks for certificates of that authority.
    #[must_use]
    pub fn server_config(own: &Issued, clients: Option<&Self>) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("the provider speaks TLS");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(authority.roots(), provider())
                    .build()
                    .expect("it has roots"),
            ),
        };
        builder.with_single_cert(certificates(&own.certificate), key(own)).expect("they go together")
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Connects to `to`, which is to be `name`, and shakes hands.
///
/// # Errors
/// What went wrong; a server may tell that its client is refused only when the client reads.
pub fn connect(to: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<ClientStream> {
    let name = ServerName::try_from(name.to_owned()).expect("a test asks for a name");
    let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
    socket.set_nodelay(true)?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Shakes hands with a client.
///
/// # Errors
/// What went wrong.
pub fn accept(socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<ServerStream> {
    let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn client_builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions);
    builder.expect("the provider speaks TLS")
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(file: &std::path::Path) -> Vec<CertificateDer<'static>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    read.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn key(own: &Issued) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(&own.key).unwrap_or_else(|error| panic!("{}: {error}", own.key.display()))
}
