//! Certificate authorities of a file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{TlsError, digest};

/// Certificate authorities. Equal if they were read from the same file and it held the same.
#[derive(Clone)]
pub struct Authorities {
    /// Where they were read.
    pub file: PathBuf,
    pub(super) roots: Arc<RootCertStore>,
    digest: u128,
}

impl Authorities {
    /// Those of PEM text.
    ///
    /// # Errors
    /// There is none in it, or one is damaged.
    pub fn new(file: PathBuf, pem: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| TlsError::Pem)?;
            roots.add(certificate).map_err(|error| TlsError::Certificate(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        Ok(Self { file, roots: Arc::new(roots), digest: digest(pem) })
    }

    pub(super) fn id(&self) -> u128 {
        self.digest
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, digest, .. } = self;
        f.debug_struct("Authorities").field("file", file).field("digest", digest).finish_non_exhaustive()
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.digest == other.digest
    }
}
