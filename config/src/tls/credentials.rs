//! A certificate with its chain and its key.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;

use super::names::{SubjectName, names, parsed};
use super::{TlsError, digest, provider};

/// A certificate with its chain and its key. Equal if both were read from the same files and these held the same.
#[derive(Clone)]
pub struct Credentials {
    /// Where the chain was read, the certificate first.
    pub certificate_file: PathBuf,
    /// Where the key was read.
    pub private_key_file: PathBuf,
    /// Whose certificate it is.
    pub names: Vec<SubjectName>,
    /// When it ends to be valid.
    pub not_after: SystemTime,
    pub(super) certified: Arc<CertifiedKey>,
    digests: [u128; 2],
}

impl Credentials {
    /// Those of two PEM texts, `chain` and `key`, each with its file.
    ///
    /// # Errors
    /// What is wrong, and whether it is the key's file.
    pub fn new(chain: (PathBuf, &[u8]), key: (PathBuf, &[u8])) -> Result<Self, (bool, TlsError)> {
        let digests = [digest(chain.1), digest(key.1)];
        let (chain_pem, key_pem) = (chain.1, key.1);
        let certificates = CertificateDer::pem_slice_iter(chain_pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|_| (false, TlsError::Pem))?;
        let leaf = certificates.first().ok_or((false, TlsError::NoCertificate))?;
        let leaf = parsed(leaf).map_err(|error| (false, TlsError::Certificate(error)))?;
        let private = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| match error {
            pem::Error::NoItemsFound => (true, TlsError::NoPrivateKey),
            _ => (true, TlsError::Pem),
        })?;
        let certified = CertifiedKey::from_der(certificates, private, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => (true, TlsError::OtherKey),
            rustls::Error::InvalidCertificate(error) => (false, TlsError::Certificate(error.to_string())),
            error => (true, TlsError::Key(error)),
        })?;
        Ok(Self {
            certificate_file: chain.0,
            private_key_file: key.0,
            names: names(&leaf),
            not_after: SystemTime::UNIX_EPOCH + leaf.tbs_certificate().validity().not_after.to_unix_duration(),
            certified: Arc::new(certified),
            digests,
        })
    }

    pub(super) fn ids(&self) -> [u128; 2] {
        self.digests
    }
}

impl fmt::Debug for Credentials {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("certificate_file", &self.certificate_file)
            .field("private_key_file", &self.private_key_file)
            .field("names", &self.names)
            .field("digests", &self.digests)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.digests == other.digests
            && self.certificate_file == other.certificate_file
            && self.private_key_file == other.private_key_file
    }
}
