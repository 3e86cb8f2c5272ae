//! `services[].load_balancing`, `outlier_ejection`, `health_check` and `circuit_breaker`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::{Authority, PathAndQuery};

use super::rollout::sticky_key;
use super::values::{count, each, non_zero, not_empty, optional, required};
use crate::balance::{Balancing, CheckKind, Ejection, HealthCheck, HttpCheck, Policy};
use crate::problem::{Path, Problems};
use crate::raw;
use crate::rules;
use crate::snapshot::{CircuitBreaker, StickyKey};

/// Longest name of a service that is asked for: its length is one byte of a varint.
const MAX_GRPC_SERVICE: usize = 100;

pub(super) fn balancing(raw: &raw::Service, at: &Path<'_>, problems: &mut Problems) -> Option<Balancing> {
    let policy = match &raw.load_balancing {
        Some(raw) => policy(raw, &at.key("load_balancing"), problems),
        None => Some(Policy::PeakEwma),
    };
    let ejection = match &raw.outlier_ejection {
        Some(raw) => ejection(raw, &at.key("outlier_ejection"), problems),
        None => Some(Ejection::default()),
    };
    let health_check = optional(raw.health_check.as_ref(), |raw| health_check(raw, &at.key("health_check"), problems));
    let panic_threshold = raw.panic_threshold.map_or(Balancing::default().panic_threshold, |percent| percent.0);
    let health_check = health_check?.map(Arc::new);
    Some(Balancing { policy: policy?, ejection: ejection?, health_check, panic_threshold })
}

fn policy(raw: &raw::LoadBalancing, at: &Path<'_>, problems: &mut Problems) -> Option<Policy> {
    let policy = match raw.policy {
        Some(raw::Policy::ConsistentHash) => {
            let help = "write cookie:NAME, header:NAME or address";
            let key = required(&raw.key, at, "key", help, problems)?;
            let key = sticky_key(Some(key), &at.key("key"), problems)?;
            if key == StickyKey::Random {
                problems.at(&rules::INVALID_VALUE, &at.key("key"), "nothing sticks to a random key", help);
                return None;
            }
            return Some(Policy::ConsistentHash(key));
        }
        None | Some(raw::Policy::PeakEwma) => Policy::PeakEwma,
        Some(raw::Policy::LeastRequests) => Policy::LeastRequests,
        Some(raw::Policy::RoundRobin) => Policy::RoundRobin,
    };
    if raw.key.is_some() {
        let help = "write `policy: consistent_hash`, or leave `key` out";
        problems.at(&rules::INVALID_VALUE, &at.key("key"), "only consistent_hash has a key", help);
        return None;
    }
    Some(policy)
}

/// Bounds on a backend.
pub(super) fn circuit_breaker(
    raw: &raw::CircuitBreaker,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<CircuitBreaker> {
    if raw.max_pending_requests.is_some_and(|most| most > 0) && raw.max_requests.is_none() {
        let message = "without `max_requests` no request ever waits";
        let at = at.key("max_pending_requests");
        problems.at(&rules::MISSING_FIELD, &at, message, "add `max_requests`, or leave it out");
        return None;
    }
    for (name, most) in [("max_connections", raw.max_connections), ("max_requests", raw.max_requests)] {
        count(most.map(u64::from), 1, &at.key(name), problems)?;
    }
    Some(CircuitBreaker {
        max_connections: raw.max_connections,
        max_requests: raw.max_requests,
        max_pending_requests: raw.max_pending_requests.unwrap_or(0),
        max_retries: raw.max_retries,
    })
}

fn health_check(raw: &raw::HealthCheck, at: &Path<'_>, problems: &mut Problems) -> Option<HealthCheck> {
    let default = HealthCheck::default();
    let kind = match (&raw.http, &raw.grpc, &raw.tcp) {
        (Some(raw), None, None) => http_check(raw, &at.key("http"), problems).map(CheckKind::Http),
        (None, Some(raw), None) => {
            let service = raw.service.clone().unwrap_or_default();
            let fits = service.len() <= MAX_GRPC_SERVICE && service.bytes().all(|byte| byte.is_ascii_graphic());
            if !fits {
                let help = format!("write a name such as shop.Cart, of at most {MAX_GRPC_SERVICE} characters");
                let at = at.key("grpc");
                problems.at(
                    &rules::INVALID_VALUE,
                    &at.key("service"),
                    format!("`{service}` is no service's name"),
                    help,
                );
            }
            fits.then_some(CheckKind::Grpc { service })
        }
        (None, None, Some(_)) => Some(CheckKind::Tcp),
        (None, None, None) => {
            let help = "write `http: { path: /healthz }`, `grpc: {}` or `tcp: {}`";
            problems.at(&rules::MISSING_FIELD, at, "nothing says how endpoints are checked", help);
            None
        }
        _ => {
            let help = "keep one of `http`, `grpc` and `tcp`";
            problems.at(&rules::EXCLUSIVE_FIELDS, at, "endpoints are checked in one way", help);
            None
        }
    };
    let interval = non_zero(raw.interval, default.interval, &at.key("interval"), problems);
    let timeout = non_zero(raw.timeout, default.timeout, &at.key("timeout"), problems);
    let healthy = u64::from(default.healthy_threshold);
    let healthy = count(raw.healthy_threshold.map(u64::from), healthy, &at.key("healthy_threshold"), problems);
    let unhealthy = u64::from(default.unhealthy_threshold);
    let unhealthy = count(raw.unhealthy_threshold.map(u64::from), unhealthy, &at.key("unhealthy_threshold"), problems);
    Some(HealthCheck {
        kind: kind?,
        interval: interval?,
        timeout: timeout?,
        healthy_threshold: u32::try_from(healthy?).ok()?,
        unhealthy_threshold: u32::try_from(unhealthy?).ok()?,
    })
}

fn http_check(raw: &raw::HttpCheck, at: &Path<'_>, problems: &mut Problems) -> Option<HttpCheck> {
    let path = raw.path.as_deref().unwrap_or("/");
    let legal = path.starts_with('/') && path.parse::<PathAndQuery>().is_ok_and(|parsed| parsed.as_str() == path);
    if !legal {
        let help = "write a path such as /healthz, percent-encoded, with a query if it needs one";
        problems.at(&rules::INVALID_VALUE, &at.key("path"), format!("`{path}` cannot be asked for"), help);
    }
    let host = optional(raw.host.as_deref(), |text| {
        let host = text.parse::<Authority>().ok().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        if host.is_none() {
            let help = "write HOST or HOST:PORT, such as shop.internal";
            problems.at(&rules::INVALID_VALUE, &at.key("host"), format!("`{text}` is not a host"), help);
        }
        host
    });
    let statuses = match &raw.expected_statuses {
        None => Some(vec![200..=299]),
        Some(list) => not_empty(list, &at.key("expected_statuses"), "write 200-299, or leave it out", problems)
            .and_then(|list| each(list, &at.key("expected_statuses"), problems, statuses)),
    };
    legal.then_some(HttpCheck { path: path.to_owned(), host: host?, statuses: statuses? })
}

/// A status, or a range of them.
fn statuses(text: &String, at: &Path<'_>, problems: &mut Problems) -> Option<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let range = status(from).zip(status(to)).filter(|(from, to)| from <= to);
    if range.is_none() {
        let help = "write a status from 100 to 599, or two as FROM-TO";
        problems.at(&rules::INVALID_VALUE, at, format!("`{text}` is no status"), help);
    }
    range.map(|(from, to)| from..=to)
}

fn ejection(raw: &raw::OutlierEjection, at: &Path<'_>, problems: &mut Problems) -> Option<Ejection> {
    let default = Ejection::default();
    let failures = raw.consecutive_failures.unwrap_or(default.consecutive_failures);
    if failures == 0 {
        let help = "write a number from 1; `max_ejected: 0%` leaves no endpoint out";
        problems.at(&rules::OUT_OF_RANGE, &at.key("consecutive_failures"), "0 failures are no reason", help);
    }
    let base = non_zero(raw.base, default.base, &at.key("base"), problems);
    let max_ejected = raw.max_ejected.map_or(default.max_ejected, |percent| percent.0);
    (failures > 0).then_some(Ejection { consecutive_failures: failures, base: base?, max_ejected })
}
