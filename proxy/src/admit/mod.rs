//! Whether a request is one at all: what the parsers let through and a proxy must not.
//!
//! Pure. Gives the one authority the request is for, which routing and the backend both go by, so that the two can
//! never disagree (RFC 9112 §3.2, RFC 9113 §8.3.1).

use std::borrow::Cow;

use http::header::{EXPECT, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Method, Uri, Version};

use crate::call::{Admitted, Call};
use crate::error::ProxyError;
use crate::names::Names;
use crate::step::step_layer;

step_layer! {
    /// Refuses what is no acceptable request.
    AdmitLayer, Admit: () => Admitted, enter
}

fn enter(call: Call<()>) -> Result<Call<Admitted>, ProxyError> {
    let head = &call.head;
    let connection = &call.exchange.connection;
    let (trusted, limit) = connection
        .listener
        .with(|listener| (listener.trusts(connection.peer.ip(), &connection.peer_names), listener.limits.header_count));
    let authority = admit(&head.method, &head.uri, head.version, &head.headers, call.found, limit)?;
    call.exchange.facts.borrow_mut().authority = Some(authority);
    Ok(call.advance(|()| Admitted { trusted }))
}

/// The authority of an acceptable request of at most `limit` header fields, as `Host` is to carry it.
///
/// # Errors
/// What is wrong with the request.
pub(crate) fn admit(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    found: Names,
    limit: usize,
) -> Result<HeaderValue, ProxyError> {
    if !matches!(version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2) {
        return Err(ProxyError::VersionUnsupported);
    }
    if method == Method::CONNECT {
        return Err(ProxyError::ConnectRefused);
    }
    let path = uri.path();
    if !(path.starts_with('/') || (path == "*" && method == Method::OPTIONS)) {
        return Err(ProxyError::TargetMalformed);
    }
    if found.has(Names::EXPECT)
        && let Some(expect) = headers.get(EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(ProxyError::ExpectationFailed);
    }
    // The parser undoes `chunked`; another coding would have to be undone here, or go on without being told
    // (RFC 9112 §6.1).
    let chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if found.has(Names::TRANSFER_ENCODING) && !headers.get_all(TRANSFER_ENCODING).iter().all(chunked) {
        return Err(ProxyError::CodingUnsupported);
    }
    let authority = authority(uri, version, headers)?;
    // The client's parser counts for HTTP/1.1 only, and not below a hundred.
    if headers.len() > limit {
        return Err(ProxyError::TooManyHeaders);
    }
    Ok(authority)
}

fn authority(uri: &Uri, version: Version, headers: &HeaderMap) -> Result<HeaderValue, ProxyError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(ProxyError::HostAmbiguous);
    }
    if let Some(host) = host
        && !is_authority(host.as_bytes())
    {
        return Err(ProxyError::HostMalformed);
    }
    match (uri.authority(), host) {
        (Some(target), host) => {
            if version == Version::HTTP_2 && host.is_some_and(|host| !same(target, host)) {
                return Err(ProxyError::HostAmbiguous);
            }
            // The target's authority wins over `Host` (RFC 9112 §3.2.2).
            if !is_authority(target.as_str().as_bytes()) {
                return Err(ProxyError::HostMalformed);
            }
            HeaderValue::from_str(target.as_str()).map_err(|_| ProxyError::HostMalformed)
        }
        (None, Some(host)) => Ok(host.clone()),
        // HTTP/1.0 knows no `Host`; towards the backend an empty one says so (RFC 9110 §7.2).
        (None, None) if version == Version::HTTP_10 => Ok(HeaderValue::from_static("")),
        (None, None) => Err(ProxyError::HostMissing),
    }
}

fn same(target: &Authority, host: &HeaderValue) -> bool {
    target.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
}

/// Whether `text` is a host with an optional port (RFC 3986 §3.2.2, without user information).
fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match text.first() {
        None => return false,
        Some(b'[') => {
            let Some(end) = text.iter().position(|&byte| byte == b']') else { return false };
            let address = &text[1..end];
            if address.is_empty() || !address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
            {
                return false;
            }
            (&b"x"[..], &text[end + 1..])
        }
        Some(_) => {
            let colon = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
            (&text[..colon], &text[colon..])
        }
    };
    !host.is_empty() && host.iter().all(|&byte| HOST_BYTE[usize::from(byte)]) && is_port(port)
}

fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Unreserved, sub-delims and `%` of RFC 3986 §3.2.2, and `_`, which real host names have.
static HOST_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=%";
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = true;
        at += 1;
    }
    table
};

/// A host as routes know it: lower case, without port and trailing dot.
pub(crate) fn route_host(authority: &HeaderValue) -> Cow<'_, str> {
    // `is_authority` let only ASCII through.
    let text = authority.to_str().unwrap_or_default();
    let host = match text.rfind(':') {
        Some(colon) if text[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()) => &text[..colon],
        _ => text,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[cfg(test)]
mod tests;
