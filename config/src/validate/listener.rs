//! `listeners`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::files;
use super::names::unique;
use super::tls;
use super::values::{count, each, name, non_zero, not_empty, optional, range, required, room, seconds, socket};
use crate::load::Files;
use crate::mark_key::MarkKey;
use crate::problem::{Path, Problems};
use crate::raw;
use crate::rules;
use crate::snapshot::{Forwarded, HeaderPolicy, Limits, Listener};
use crate::tls::NamePattern;

/// Most keys of one listener.
const MAX_MARK_KEYS: usize = 4;

pub(super) fn listeners(
    list: Option<&[raw::Listener]>,
    lookup: Files<'_>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<Vec<Arc<Listener>>> {
    let Some(list) = list else {
        let help = "add `listeners: [{ name: web, address: 127.0.0.1:8080 }]`";
        problems.at(&rules::MISSING_FIELD, at, "`listeners` is missing: nothing would be served", help);
        return None;
    };
    unique("listeners", list.iter().map(|listener| listener.name.as_deref()), at, problems);
    let list = not_empty(list, at, "add a listener, such as { name: web, address: 127.0.0.1:8080 }", problems)?;
    each(list, at, problems, |raw, at, problems| listener(raw, lookup, at, problems))
}

fn listener(raw: &raw::Listener, lookup: Files<'_>, at: &Path<'_>, problems: &mut Problems) -> Option<Arc<Listener>> {
    let name = required(&raw.name, at, "name", "give the listener a name, such as web", problems)
        .and_then(|text| name(text, &at.key("name"), problems));
    let address = required(&raw.address, at, "address", "write IP:PORT, such as 127.0.0.1:8080", problems)
        .and_then(|text| socket(text, &at.key("address"), problems));
    let trust = trust(raw.trust.as_ref(), &at.key("trust"), problems);
    let tls = optional(raw.tls.as_ref(), |raw| tls::listener(raw, lookup, &at.key("tls"), problems));
    let identities = identities(raw, at, problems);
    let mark_keys = mark_keys(raw, lookup, &at.key("trust").key("mark_key_files"), problems);
    let proxy_protocol =
        optional(raw.proxy_protocol.as_ref(), |raw| proxy_protocol(raw, &at.key("proxy_protocol"), problems));
    let limits = limits(raw.limits.as_ref(), &at.key("limits"), problems);
    let carriers = raw.trust.as_ref().and_then(|trust| trust.carriers.as_deref()).unwrap_or_default();
    Some(Arc::new(Listener {
        name: name?.as_ref().to_owned(),
        address: address?,
        trust: trust?,
        identities: identities?,
        mark_keys: mark_keys?,
        tls: tls?,
        baggage: carriers.contains(&raw::Carrier::Baggage),
        assign: raw.assign.unwrap_or(false),
        proxy_protocol: proxy_protocol?,
        limits: limits?,
        headers: headers(raw.headers.as_ref()),
    }))
}

fn trust(raw: Option<&raw::Trust>, at: &Path<'_>, problems: &mut Problems) -> Option<Vec<IpNet>> {
    match raw.and_then(|trust| trust.addresses.as_deref()) {
        Some(ranges) => each(ranges, &at.key("addresses"), problems, |text, at, problems| range(text, at, problems)),
        None => Some(loopback().to_vec()),
    }
}

/// Keys of those whose marks are believed.
fn mark_keys(raw: &raw::Listener, lookup: Files<'_>, at: &Path<'_>, problems: &mut Problems) -> Option<Vec<MarkKey>> {
    let list = raw.trust.as_ref().and_then(|trust| trust.mark_key_files.as_deref()).unwrap_or_default();
    if list.len() > MAX_MARK_KEYS {
        let help = format!("name at most {MAX_MARK_KEYS}: each one is tried on each mark of a stranger");
        problems.at(&rules::OUT_OF_RANGE, at, format!("{} keys", list.len()), help);
        return None;
    }
    each(list, at, problems, |path, at, problems| files::mark_key(path, lookup, at, problems))
}

/// Names of clients whose certificates are asked for.
fn identities(raw: &raw::Listener, at: &Path<'_>, problems: &mut Problems) -> Option<Vec<NamePattern>> {
    let identities = raw.trust.as_ref().and_then(|trust| trust.identities.as_deref());
    let at = &at.key("trust");
    let is_asked = raw.tls.as_ref().is_some_and(|tls| tls.client_certificate.is_some());
    if identities.is_some() && !is_asked {
        let help = "add `tls.client_certificate` to the listener, or leave `identities` out";
        let message = "no client shows a certificate that it could be known by";
        problems.at(&rules::MISSING_FIELD, &at.key("identities"), message, help);
        return None;
    }
    tls::names(identities, &at.key("identities"), problems)
}

fn proxy_protocol(raw: &raw::ProxyProtocol, at: &Path<'_>, problems: &mut Problems) -> Option<Vec<IpNet>> {
    let help = "name the load balancers, such as `from: [10.0.0.0/8]`, or leave `proxy_protocol` out";
    let ranges = required(&raw.from, at, "from", help, problems)?;
    let ranges = not_empty(ranges, &at.key("from"), help, problems)?;
    each(ranges, &at.key("from"), problems, |text, at, problems| range(text, at, problems))
}

fn loopback() -> [IpNet; 2] {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    [IpNet::V4(v4), IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128))]
}

fn limits(raw: Option<&raw::Limits>, at: &Path<'_>, problems: &mut Problems) -> Option<Limits> {
    let default = raw::Limits::default();
    let raw = raw.unwrap_or(&default);
    let connections = count(raw.connections.map(u64::from), 20_000, &at.key("connections"), problems);
    let header_bytes = raw.header_bytes.map_or(64 << 10, |size| size.0);
    let header_bytes = room(header_bytes, &at.key("header_bytes"), "a request's head", problems);
    let header_count = count(raw.header_count.map(u64::from), 100, &at.key("header_count"), problems);
    let header_timeout = non_zero(raw.header_timeout, seconds(10), &at.key("header_timeout"), problems);
    let body_idle = non_zero(raw.body_idle_timeout, seconds(30), &at.key("body_idle_timeout"), problems);
    let idle = non_zero(raw.idle_timeout, seconds(75), &at.key("idle_timeout"), problems);
    let streams = count(raw.streams.map(u64::from), 128, &at.key("streams"), problems);
    Some(Limits {
        connections: usize::try_from(connections?).ok()?,
        header_bytes: usize::try_from(header_bytes?).ok()?,
        header_count: usize::try_from(header_count?).ok()?,
        header_timeout: header_timeout?,
        body_idle_timeout: body_idle?,
        idle_timeout: idle?,
        streams: u32::try_from(streams?).ok()?,
    })
}

fn headers(raw: Option<&raw::Headers>) -> HeaderPolicy {
    let default = raw::Headers::default();
    let raw = raw.unwrap_or(&default);
    HeaderPolicy {
        x_forwarded: raw.x_forwarded.map_or(Forwarded::Append, forwarded),
        forwarded: raw.forwarded.map_or(Forwarded::Remove, forwarded),
        via: raw.via.unwrap_or(true),
        request_id: raw.request_id.unwrap_or(true),
        expose_trace: raw.expose_trace.unwrap_or(false),
    }
}

const fn forwarded(raw: raw::Forwarded) -> Forwarded {
    match raw {
        raw::Forwarded::Append => Forwarded::Append,
        raw::Forwarded::Replace => Forwarded::Replace,
        raw::Forwarded::Remove => Forwarded::Remove,
    }
}
