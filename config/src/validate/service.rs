//! `services`.

use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode};

use super::balance::{balancing, circuit_breaker};
use super::headers::header_rules;
use super::names::unique;
use super::rate_limit::rate_limit;
use super::route::route;
use super::tls;
use super::values::{count, each, endpoints, name, non_zero, not_empty, optional, required, room, seconds, text};
use crate::load::Files;
use crate::model::Service;
use crate::problem::{Path, Problems};
use crate::raw;
use crate::raw::scalar::{HedgeAfter, Share};
use crate::rules;
use crate::snapshot::{
    BackendProtocol, CircuitBreaker, Exposure, Fallback, HeaderRules, Hedge, Mirror, MirrorHost, ProxyVersion, Retry,
    RetryOn, Timeouts,
};

/// Pause before the first retry, and the most that it grows to.
const BACKOFF: Duration = Duration::from_millis(25);
const BACKOFF_MAX: Duration = Duration::from_millis(250);

/// Most tries of one request.
const MAX_ATTEMPTS: u32 = 10;

pub(super) fn services(
    list: Option<&[raw::Service]>,
    files: Files<'_>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<Vec<Service>> {
    let help = "add a service with `name`, `routes` and `stable`";
    let Some(list) = list else {
        problems.at(&rules::MISSING_FIELD, at, "`services` is missing: there is nowhere to lead requests", help);
        return None;
    };
    unique("services", list.iter().map(|service| service.name.as_deref()), at, problems);
    each(not_empty(list, at, help, problems)?, at, problems, |raw, at, problems| service(raw, files, at, problems))
}

fn service(raw: &raw::Service, files: Files<'_>, at: &Path<'_>, problems: &mut Problems) -> Option<Service> {
    let name = required(&raw.name, at, "name", "give the service a name", problems)
        .and_then(|text| name(text, &at.key("name"), problems));
    let help = "add `routes: [{ path_prefix: / }]` for everything, or name hosts and prefixes";
    let routes = required(&raw.routes, at, "routes", help, problems)
        .and_then(|list| not_empty(list, &at.key("routes"), help, problems))
        .and_then(|list| each(list, &at.key("routes"), problems, route));
    let stable = required(&raw.stable, at, "stable", "add `stable: { version: v1, endpoints: [IP:PORT] }`", problems)
        .and_then(|raw| stable(raw, &at.key("stable"), problems));
    let timeouts = timeouts(raw.timeouts.as_ref(), &at.key("timeouts"), problems);
    let balancing = balancing(raw, at, problems);
    let rates = optional(raw.rate_limit.as_ref(), |raw| rate_limit(raw, &at.key("rate_limit"), problems));
    let breaker =
        optional(raw.circuit_breaker.as_ref(), |raw| circuit_breaker(raw, &at.key("circuit_breaker"), problems));
    let retry = optional(raw.retry.as_ref(), |raw| retry(raw, &at.key("retry"), problems));
    let upgrades = match &raw.upgrades {
        Some(list) => each(list, &at.key("upgrades"), problems, |token, at, problems| upgrade(token, at, problems)),
        None => Some(vec!["websocket".to_owned()]),
    };
    let hedge = optional(raw.hedge.as_ref(), |raw| hedge(raw, &at.key("hedge"), problems));
    let mirror = optional(raw.mirror.as_ref(), |raw| mirror(raw, &at.key("mirror"), problems));
    let headers = optional(raw.headers.as_ref(), |raw| header_rules(raw, &at.key("headers"), problems));
    let protocol = protocol(raw, at, problems);
    let tls = optional(raw.tls.as_ref(), |raw| tls::backend(raw, files, &at.key("tls"), problems));
    let (version, endpoints) = stable?;
    Some(Service {
        name: name?,
        routes: routes?,
        version,
        endpoints,
        may_mark: raw.stable.as_ref().and_then(|stable| stable.may_mark).unwrap_or(true),
        fallback: match raw.fallback {
            None | Some(raw::Fallback::Stable) => Fallback::Stable,
            Some(raw::Fallback::Fail) => Fallback::Fail,
        },
        timeouts: timeouts?,
        max_exposure: raw.max_exposure.map_or(Exposure::ALL, |percent| Exposure::from_millionths(percent.0)),
        balancing: balancing?,
        retry: retry?,
        upgrades: upgrades?,
        protocol: protocol?,
        proxy_protocol: raw.proxy_protocol.map(|version| match version {
            raw::ProxyVersion::V1 => ProxyVersion::V1,
            raw::ProxyVersion::V2 => ProxyVersion::V2,
        }),
        tls: tls?,
        rate_limit: rates?.map(Arc::new),
        // Bounds that bound nothing are none.
        circuit_breaker: breaker?.filter(|breaker| *breaker != CircuitBreaker::default()),
        hedge: hedge?,
        mirror: mirror?,
        // Rules that change nothing are none.
        headers: headers?.filter(|rules| *rules != HeaderRules::default()),
    })
}

fn protocol(raw: &raw::Service, at: &Path<'_>, problems: &mut Problems) -> Option<BackendProtocol> {
    let http2 = raw.protocol == Some(raw::BackendProtocol::Http2);
    if http2 && raw.proxy_protocol.is_some() {
        let message = "a connection of HTTP/2 carries many clients' requests; `proxy_protocol` can tell of one only";
        let help = "leave one of the two out; x-forwarded-for tells of the client in either protocol";
        problems.at(&rules::INVALID_VALUE, &at.key("proxy_protocol"), message, help);
        return None;
    }
    Some(if http2 { BackendProtocol::Http2 } else { BackendProtocol::Http1 })
}

/// A protocol that a tunnel can carry. One that is HTTP itself, or what HTTP runs on, would carry requests past all rules.
fn upgrade(token: &str, at: &Path<'_>, problems: &mut Problems) -> Option<String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
    let lower = token.to_ascii_lowercase();
    if token.is_empty() || !token.bytes().all(legal) {
        let message = format!("`{token}` is no upgrade token");
        problems.at(&rules::INVALID_VALUE, at, message, "write a protocol's name, such as websocket");
        return None;
    }
    if matches!(lower.split('/').next(), Some("h2c" | "h2" | "http" | "tls")) {
        let message = format!("`{token}` would carry requests past routes, trust and rollouts");
        problems.at(&rules::INVALID_VALUE, at, message, "leave it out; HTTP/2 is spoken without an upgrade");
        return None;
    }
    Some(lower)
}

type Stable = (std::sync::Arc<str>, Vec<std::net::SocketAddr>);

fn stable(raw: &raw::Stable, at: &Path<'_>, problems: &mut Problems) -> Option<Stable> {
    let version = required(&raw.version, at, "version", "name the version that stable runs", problems)
        .and_then(|version| text(version, &at.key("version"), "the version", problems));
    let endpoints = required(&raw.endpoints, at, "endpoints", "name at least one IP:PORT", problems)
        .and_then(|list| endpoints(list, &at.key("endpoints"), problems));
    Some((version?, endpoints?))
}

fn timeouts(raw: Option<&raw::Timeouts>, at: &Path<'_>, problems: &mut Problems) -> Option<Timeouts> {
    let default = raw::Timeouts::default();
    let raw = raw.unwrap_or(&default);
    let connect = non_zero(raw.connect, seconds(1), &at.key("connect"), problems);
    let first_byte = non_zero(raw.first_byte, seconds(15), &at.key("first_byte"), problems);
    let idle = non_zero(raw.idle, seconds(60), &at.key("idle"), problems);
    let total = non_zero(raw.total, seconds(60), &at.key("total"), problems);
    Some(Timeouts { connect: connect?, first_byte: first_byte?, idle: idle?, total: total? })
}

fn retry(raw: &raw::Retry, at: &Path<'_>, problems: &mut Problems) -> Option<Retry> {
    let attempts = raw.attempts.unwrap_or(2);
    let attempts = (2..=MAX_ATTEMPTS).contains(&attempts).then_some(attempts);
    if attempts.is_none() {
        let message = "attempts count the first one, too";
        let help = format!("write a number from 2 to {MAX_ATTEMPTS}, or leave `retry` out");
        problems.at(&rules::OUT_OF_RANGE, &at.key("attempts"), message, help);
    }
    let budget = budget(raw.budget, 0.2, at, problems);
    let on = match &raw.on {
        Some(list) => not_empty(list, &at.key("on"), "name what is retried, or leave `retry` out", problems)
            .and_then(|list| each(list, &at.key("on"), problems, retry_on)),
        None => Some(vec![RetryOn::ConnectFailure, RetryOn::RefusedStream, RetryOn::Reset]),
    };
    let methods = methods(raw.methods.as_deref(), &at.key("methods"), problems);
    let (nothing, at) = (raw::Backoff::default(), at.key("backoff"));
    let raw = raw.backoff.as_ref().unwrap_or(&nothing);
    let base = non_zero(raw.base, BACKOFF, &at.key("base"), problems);
    let max = non_zero(raw.max, BACKOFF_MAX.max(base.unwrap_or(BACKOFF)), &at.key("max"), problems);
    if let (Some(base), Some(max)) = (base, max)
        && max < base
    {
        let help = "write a `max` that is at least `base`";
        problems.at(&rules::OUT_OF_RANGE, &at.key("max"), "the pause would be longer than its most", help);
        return None;
    }
    Some(Retry { attempts: attempts?, budget: budget?, on: on?, methods: methods?, backoff: base?, backoff_max: max? })
}

fn retry_on(raw: &String, at: &Path<'_>, problems: &mut Problems) -> Option<RetryOn> {
    let status = || raw.parse::<StatusCode>().ok().filter(StatusCode::is_server_error).map(RetryOn::Status);
    let on = match &**raw {
        "connect_failure" => Some(RetryOn::ConnectFailure),
        "refused_stream" => Some(RetryOn::RefusedStream),
        "reset" => Some(RetryOn::Reset),
        _ => status(),
    };
    if on.is_none() {
        let help = "write connect_failure, refused_stream, reset, or a status from 500 to 599";
        problems.at(&rules::INVALID_VALUE, at, format!("`{raw}` is nothing that can be retried"), help);
    }
    on
}

/// Methods of a policy; those that are safe, where it names none.
fn methods(list: Option<&[String]>, at: &Path<'_>, problems: &mut Problems) -> Option<Vec<Method>> {
    let Some(list) = list else { return Some(vec![Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE]) };
    let list = not_empty(list, at, "name methods, or leave the policy out", problems)?;
    each(list, at, problems, method)
}

fn method(raw: &String, at: &Path<'_>, problems: &mut Problems) -> Option<Method> {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PUT,
        Method::DELETE,
        Method::POST,
        Method::PATCH,
    ];
    let method = known.into_iter().find(|method| method.as_str() == raw);
    if method.is_none() {
        let help = "write an HTTP method in upper case, such as GET";
        problems.at(&rules::INVALID_VALUE, at, format!("`{raw}` is not a method that can be sent twice"), help);
    }
    method
}

fn hedge(raw: &raw::Hedge, at: &Path<'_>, problems: &mut Problems) -> Option<Hedge> {
    let budget = budget(raw.budget, 0.05, at, problems);
    let methods = methods(raw.methods.as_deref(), &at.key("methods"), problems);
    let after = match raw.after.unwrap_or(HedgeAfter::P95) {
        HedgeAfter::P95 => None,
        HedgeAfter::Delay(delay) => Some(non_zero(Some(delay), seconds(1), &at.key("after"), problems)?),
    };
    Some(Hedge { after, budget: budget?, methods: methods? })
}

fn mirror(raw: &raw::Mirror, at: &Path<'_>, problems: &mut Problems) -> Option<Mirror> {
    let addresses = required(&raw.endpoints, at, "endpoints", "name at least one IP:PORT", problems)
        .and_then(|list| endpoints(list, &at.key("endpoints"), problems));
    let max_body = room(raw.max_body.map_or(64 << 10, |size| size.0), &at.key("max_body"), "a copied body", problems);
    let concurrency = count(raw.concurrency.map(u64::from), 64, &at.key("concurrency"), problems);
    let methods = methods(raw.methods.as_deref(), &at.key("methods"), problems);
    let timeout = non_zero(raw.timeout, seconds(5), &at.key("timeout"), problems);
    let host = match &raw.host {
        None => MirrorHost::Preserve,
        Some(text) => match text.parse::<Authority>().ok().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            Some(host) => MirrorHost::Set(host),
            None => {
                let help = "write HOST or HOST:PORT, such as shadow.example.com";
                problems.at(&rules::INVALID_VALUE, &at.key("host"), format!("`{text}` is not a host"), help);
                return None;
            }
        },
    };
    Some(Mirror {
        endpoints: addresses?,
        share: raw.percent.map_or(Exposure::ALL, |percent| Exposure::from_millionths(percent.0)),
        max_body: usize::try_from(max_body?).ok()?,
        concurrency: usize::try_from(concurrency?).ok()?,
        methods: methods?,
        host,
        timeout: timeout?,
    })
}

fn budget(raw: Option<Share>, default: f64, at: &Path<'_>, problems: &mut Problems) -> Option<f64> {
    let budget = raw.map_or(default, |share| share.0);
    if budget > 0.0 {
        return Some(budget);
    }
    let help = "write a share above 0, or leave the block out";
    problems.at(&rules::OUT_OF_RANGE, &at.key("budget"), "a budget of 0 allows nothing", help);
    None
}
