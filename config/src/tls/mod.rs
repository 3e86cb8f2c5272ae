//! TLS of listeners and backends: what their files hold, checked, and made ready for handshakes.
//!
//! Made when a configuration is read, so that one whose certificates cannot serve is refused as a whole. Does no IO:
//! the bytes come from [`load`](crate::load).

mod authorities;
mod client;
mod credentials;
mod names;
mod server;

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use thiserror::Error;

pub use authorities::Authorities;
pub use client::{BackendTls, ServerNameError};
pub use credentials::Credentials;
pub use names::{NamePattern, SubjectName, names_of};
pub use server::{ClientAuth, ListenerTls};

/// A version of TLS; older ones are not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Why a file's content cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// It has no PEM block `CERTIFICATE`.
    #[error("it holds no certificate")]
    NoCertificate,
    /// It has no private key.
    #[error("it holds no private key")]
    NoPrivateKey,
    /// A PEM block is damaged.
    #[error("a PEM block in it is damaged")]
    Pem,
    /// A certificate is damaged.
    #[error("it holds a certificate that cannot be read: {0}")]
    Certificate(String),
    /// The key is of another certificate.
    #[error("its key is not that of the certificate")]
    OtherKey,
    /// The key cannot be used.
    #[error("it holds a private key that cannot be used: {0}")]
    Key(rustls::Error),
    /// No configuration could be made of it all.
    #[error("no handshake could be made with it: {0}")]
    Unusable(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// All that we speak.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

fn versions(from: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match from {
        TlsVersion::V1_2 => &VERSIONS,
        TlsVersion::V1_3 => &VERSIONS[..1],
    }
}

/// Tells contents apart; no defence against someone who wants two to look alike, who could as well replace the file.
fn digest(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}
