//! TLS of listeners and services: files are read and tried, so that one that cannot serve is told before it has to.

use std::sync::Arc;

use super::files;
use super::values::{each, host, not_empty, optional, required};
use crate::load::Files;
use crate::problem::{Path, Problems};
use crate::raw::tls as raw;
use crate::rules;
use crate::tls::{Authorities, BackendTls, ClientAuth, Credentials, ListenerTls, NamePattern, TlsVersion};

pub(super) fn listener(
    raw: &raw::ListenerTls,
    lookup: Files<'_>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<Arc<ListenerTls>> {
    let help = "add `certificates: [{ certificate_file: tls.crt, private_key_file: tls.key }]`";
    let list = required(&raw.certificates, at, "certificates", help, problems);
    let list = list.and_then(|list| not_empty(list, &at.key("certificates"), help, problems)).and_then(|list| {
        each(list, &at.key("certificates"), problems, |raw, at, problems| credentials(raw, lookup, at, problems))
    });
    let client = optional(raw.client_certificate.as_ref(), |raw| {
        let at = at.key("client_certificate");
        let authorities = authorities(&raw.ca_file, lookup, &at, problems);
        let names = names(raw.subject_alt_names.as_deref(), &at.key("subject_alt_names"), problems);
        Some(ClientAuth { authorities: authorities?, required: raw.required.unwrap_or(true), names: names? })
    });
    let min_version = match raw.min_version {
        None | Some(raw::TlsVersion::V1_2) => TlsVersion::V1_2,
        Some(raw::TlsVersion::V1_3) => TlsVersion::V1_3,
    };
    match ListenerTls::new(list?, min_version, client?) {
        Ok(tls) => Some(Arc::new(tls)),
        Err(error) => {
            problems.at(&rules::INVALID_CERTIFICATE, at, error.to_string(), "check the files that it names");
            None
        }
    }
}

pub(super) fn backend(
    raw: &raw::BackendTls,
    lookup: Files<'_>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<Arc<BackendTls>> {
    let authorities = authorities(&raw.ca_file, lookup, at, problems);
    let server_name = optional(raw.server_name.as_deref(), |text| match BackendTls::server_name(text) {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("`{text}` cannot be asked for: {error}");
            problems.at(&rules::INVALID_HOST, &at.key("server_name"), message, "write a host such as shop.internal");
            None
        }
    });
    let names = names(raw.subject_alt_names.as_deref(), &at.key("subject_alt_names"), problems);
    let own = optional(raw.certificate.as_ref(), |raw| credentials(raw, lookup, &at.key("certificate"), problems));
    match BackendTls::new(authorities?, server_name?, names?, own?) {
        Ok(tls) => Some(Arc::new(tls)),
        Err(error) => {
            problems.at(&rules::INVALID_CERTIFICATE, at, error.to_string(), "check the files that it names");
            None
        }
    }
}

fn credentials(
    raw: &raw::Credentials,
    lookup: Files<'_>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<Credentials> {
    let chain = files::named(&raw.certificate_file, "certificate_file", lookup, at, problems);
    let key = files::named(&raw.private_key_file, "private_key_file", lookup, at, problems);
    let (chain, key) = (chain?, key?);
    match Credentials::new((chain.0, &chain.1), (key.0, &key.1)) {
        Ok(credentials) => Some(credentials),
        Err((is_key, error)) => {
            let (field, path, help) = match is_key {
                true => ("private_key_file", &raw.private_key_file, "write the certificate's own key to it, as PEM"),
                false => {
                    ("certificate_file", &raw.certificate_file, "write the certificate and its chain to it, as PEM")
                }
            };
            unusable(path, &at.key(field), &error.to_string(), help, problems);
            None
        }
    }
}

fn authorities(raw: &Option<String>, lookup: Files<'_>, at: &Path<'_>, problems: &mut Problems) -> Option<Authorities> {
    let (path, pem) = files::named(raw, "ca_file", lookup, at, problems)?;
    match Authorities::new(path, &pem) {
        Ok(authorities) => Some(authorities),
        Err(error) => {
            unusable(
                raw,
                &at.key("ca_file"),
                &error.to_string(),
                "write the authorities' certificates to it, as PEM",
                problems,
            );
            None
        }
    }
}

fn unusable(path: &Option<String>, at: &Path<'_>, error: &str, help: &str, problems: &mut Problems) {
    let message = format!("`{}` cannot be used: {error}", path.as_deref().unwrap_or_default());
    problems.at(&rules::INVALID_CERTIFICATE, at, message, help);
}

/// Patterns of subject alternative names; none where there is no list.
pub(super) fn names(list: Option<&[String]>, at: &Path<'_>, problems: &mut Problems) -> Option<Vec<NamePattern>> {
    let Some(list) = list else { return Some(Vec::new()) };
    let list = not_empty(list, at, "name at least one, or leave the list out", problems)?;
    each(list, at, problems, |text, at, problems| {
        if !text.contains("://") {
            return host(text, at, problems).map(NamePattern::Dns);
        }
        let (uri, is_prefix) = text.strip_suffix('*').map_or((&**text, false), |prefix| (prefix, true));
        if uri.contains('*') || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
            let help = "write a URI such as spiffe://mesh/ns/shop/sa/web, or its beginning with `*` behind it";
            problems.at(&rules::INVALID_VALUE, at, format!("`{text}` is not a URI that a certificate can have"), help);
            return None;
        }
        Some(if is_prefix { NamePattern::UriPrefix(uri.to_owned()) } else { NamePattern::Uri(uri.to_owned()) })
    })
}
