//! Conditions on a request's head, and the keys that make a percentage stick. Pure; nothing is decoded or allocated.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::COOKIE;
use patchgate_config::snapshot::{RequestMatch, StickyKey};

use super::decide::Input;

/// Whether a request meets a condition.
pub(super) fn matches(condition: &RequestMatch, input: &Input<'_>) -> bool {
    match condition {
        RequestMatch::Header(name, wanted) => {
            input.headers.get_all(name).iter().any(|value| is(value.as_bytes(), wanted.as_deref()))
        }
        RequestMatch::Cookie(name, wanted) => {
            cookie(input.headers, name).is_some_and(|value| is(value, wanted.as_deref()))
        }
        RequestMatch::Query(name, wanted) => {
            input.query.is_some_and(|query| parameter(query, name).is_some_and(|value| is(value, wanted.as_deref())))
        }
        RequestMatch::Address(range) => range.contains(&input.client.to_canonical()),
    }
}

/// Hands the key of a request to `hash`; `None` where it has none.
pub(crate) fn with_key<T>(key: &StickyKey, input: &Input<'_>, hash: impl FnOnce(&[u8]) -> T) -> Option<T> {
    with_key_of(key, input.headers, input.client, hash)
}

/// [`with_key`] of a request that is decided.
pub(crate) fn with_key_of<T>(
    key: &StickyKey,
    headers: &HeaderMap,
    client: IpAddr,
    hash: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    match key {
        StickyKey::Header(name) => headers.get(name).map(|value| hash(value.as_bytes())),
        StickyKey::Cookie(name) => cookie(headers, name).map(hash),
        StickyKey::ClientAddress => Some(match client.to_canonical() {
            IpAddr::V4(address) => hash(&address.octets()),
            IpAddr::V6(address) => hash(&address.octets()),
        }),
        StickyKey::Random => None,
    }
}

fn is(value: &[u8], wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| value == wanted.as_bytes())
}

/// The first cookie of that name (RFC 6265 §4.2.1).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers.get_all(COOKIE).iter().find_map(|line| {
        line.as_bytes().split(|&byte| byte == b';').find_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(value)
        })
    })
}

/// The first query parameter of that name, as written; one without `=` is empty.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q [u8]> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value.as_bytes())
    })
}
