//! Whose certificate it is: its subject alternative names (RFC 5280 §4.2.1.6), and patterns of them. Pure.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::routes::HostPattern;

/// A subject alternative name by which peers are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectName {
    /// A host, in lower case; one of a whole zone begins with `*.`.
    Dns(String),
    /// A URI as it is written, such as a SPIFFE ID.
    Uri(String),
}

/// What a subject alternative name has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// A host.
    Dns(HostPattern),
    /// A URI,
    Uri(String),
    /// or the beginning of one.
    UriPrefix(String),
}

impl NamePattern {
    /// Whether `name` is such.
    #[must_use]
    pub fn matches(&self, name: &SubjectName) -> bool {
        match (self, name) {
            (Self::Dns(HostPattern::Exact(host)), SubjectName::Dns(name)) => host == name,
            (Self::Dns(HostPattern::Suffix(suffix)), SubjectName::Dns(name)) => {
                name.len() > suffix.len() && name.ends_with(&**suffix)
            }
            (Self::Uri(uri), SubjectName::Uri(name)) => uri == name,
            (Self::UriPrefix(prefix), SubjectName::Uri(name)) => name.starts_with(&**prefix),
            _ => false,
        }
    }

    /// Whether one of `patterns` matches one of `names`.
    #[must_use]
    pub fn any(patterns: &[Self], names: &[SubjectName]) -> bool {
        patterns.iter().any(|pattern| names.iter().any(|name| pattern.matches(name)))
    }
}

/// The names in a certificate that was verified; one that cannot be read has none.
#[must_use]
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<SubjectName> {
    parsed(certificate).map(|certificate| names(&certificate)).unwrap_or_default()
}

pub(super) fn parsed(certificate: &CertificateDer<'_>) -> Result<Certificate, String> {
    Certificate::from_der(certificate).map_err(|error| error.to_string())
}

pub(super) fn names(certificate: &Certificate) -> Vec<SubjectName> {
    let Ok(Some((_, SubjectAltName(names)))) = certificate.tbs_certificate().get_extension() else { return Vec::new() };
    let names = names.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(SubjectName::Dns(name.as_str().to_ascii_lowercase())),
        GeneralName::UniformResourceIdentifier(uri) => Some(SubjectName::Uri(uri.as_str().to_owned())),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(name: &str) -> SubjectName {
        SubjectName::Dns(name.to_owned())
    }

    fn uri(name: &str) -> SubjectName {
        SubjectName::Uri(name.to_owned())
    }

    #[test]
    fn a_pattern_matches_whole_names_of_its_kind() {
        let zone = NamePattern::Dns(HostPattern::Suffix(".mesh.test".to_owned()));
        assert!(zone.matches(&dns("a.mesh.test")) && zone.matches(&dns("b.a.mesh.test")));
        assert!(!zone.matches(&dns("mesh.test")) && !zone.matches(&dns("a.mesh.test.evil")));
        assert!(!zone.matches(&uri("https://a.mesh.test")));
        let host = NamePattern::Dns(HostPattern::Exact("a.mesh.test".to_owned()));
        assert!(host.matches(&dns("a.mesh.test")) && !host.matches(&dns("*.mesh.test")));
        let shop = NamePattern::UriPrefix("spiffe://mesh/ns/shop/".to_owned());
        assert!(shop.matches(&uri("spiffe://mesh/ns/shop/sa/web")) && !shop.matches(&uri("spiffe://mesh/ns/shopx")));
        let web = NamePattern::Uri("spiffe://mesh/web".to_owned());
        assert!(web.matches(&uri("spiffe://mesh/web")) && !web.matches(&uri("spiffe://mesh/web2")));
    }
}
