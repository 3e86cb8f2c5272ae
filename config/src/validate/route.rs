//! `services[].routes` and `routes`.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::values::{each, host, path_prefix, required};
use crate::model::{LocalRoute, Route};
use crate::problem::{Path, Problems};
use crate::raw;
use crate::routes::HostPattern;
use crate::rules;
use crate::snapshot::{DirectResponse, LocalAnswer, PathChange, Redirect, Scheme};

/// Longest body of a direct response: every worker keeps it, and every client is sent it at once.
const MAX_BODY: usize = 64 << 10;

/// Statuses whose responses have no body (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
const BODILESS: [u32; 3] = [204, 205, 304];

pub(super) fn route(raw: &raw::Route, at: &Path<'_>, problems: &mut Problems) -> Option<Route> {
    let place = place(raw.host.as_deref(), raw.path_prefix.as_deref(), at, problems);
    let rewrite = raw.rewrite.as_ref().map(|rewrite| {
        let at = at.key("rewrite");
        let change = path_change(&rewrite.path_prefix, &rewrite.path, raw.path_prefix.as_deref(), &at, problems)?;
        if change.is_none() {
            let help = "write `path_prefix: /new` for the route's prefix, or `path: /new` for the whole path";
            problems.at(&rules::MISSING_FIELD, &at, "`rewrite` says no path", help);
        }
        change
    });
    let (host, path_prefix) = place?;
    Some(Route {
        host,
        path_prefix,
        rewrite: match rewrite {
            Some(rewrite) => Some(rewrite?),
            None => None,
        },
    })
}

pub(super) fn local(list: &[raw::LocalRoute], at: &Path<'_>, problems: &mut Problems) -> Option<Vec<LocalRoute>> {
    each(list, at, problems, |raw, at, problems| {
        let place = place(raw.host.as_deref(), raw.path_prefix.as_deref(), at, problems);
        let answer = match (&raw.redirect, &raw.direct_response) {
            (Some(raw_redirect), None) => {
                redirect(raw_redirect, raw.path_prefix.as_deref(), &at.key("redirect"), problems)
                    .map(LocalAnswer::Redirect)
            }
            (None, Some(direct)) => {
                direct_response(direct, &at.key("direct_response"), problems).map(LocalAnswer::Direct)
            }
            (Some(_), Some(_)) => {
                let message = "`redirect` and `direct_response` exclude each other";
                problems.at(&rules::EXCLUSIVE_FIELDS, &at.key("direct_response"), message, "keep one of the two");
                None
            }
            (None, None) => {
                let help = "add `redirect` or `direct_response`; a route to a service stands in `services[].routes`";
                problems.at(&rules::MISSING_FIELD, at, "the route has no answer", help);
                None
            }
        };
        let (host, path_prefix) = place?;
        Some(LocalRoute { host, path_prefix, answer: answer? })
    })
}

fn place(
    pattern: Option<&str>,
    prefix: Option<&str>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<(HostPattern, String)> {
    let host = match pattern {
        Some(text) => host(text, &at.key("host"), problems),
        None => Some(HostPattern::Any),
    };
    let prefix = path_prefix(prefix.unwrap_or("/"), &at.key("path_prefix"), problems);
    Some((host?, prefix?))
}

/// The outer `None`: an error.
fn path_change(
    prefix: &Option<String>,
    full: &Option<String>,
    own: Option<&str>,
    at: &Path<'_>,
    problems: &mut Problems,
) -> Option<Option<PathChange>> {
    match (prefix, full) {
        (None, None) => Some(None),
        (Some(text), None) => {
            let to = path_prefix(text, &at.key("path_prefix"), problems)?;
            Some(Some(PathChange::prefix(own.unwrap_or("/"), to)))
        }
        (None, Some(text)) => Some(Some(PathChange::Full(path_prefix(text, &at.key("path"), problems)?))),
        (Some(_), Some(_)) => {
            let message = "`path_prefix` and `path` exclude each other";
            problems.at(&rules::EXCLUSIVE_FIELDS, &at.key("path"), message, "keep one of the two");
            None
        }
    }
}

fn redirect(raw: &raw::Redirect, own: Option<&str>, at: &Path<'_>, problems: &mut Problems) -> Option<Redirect> {
    let host = raw.host.as_ref().map(|text| match host(text, &at.key("host"), problems)? {
        HostPattern::Exact(host) => Some(host),
        HostPattern::Suffix(_) | HostPattern::Any => {
            let message = format!("`{text}` is no one host");
            problems.at(
                &rules::INVALID_HOST,
                &at.key("host"),
                message,
                "write the host to go to, such as a.example.com",
            );
            None
        }
    });
    let port = raw.port.map(|port| {
        let good = u16::try_from(port).ok().filter(|&port| port > 0);
        if good.is_none() {
            problems.at(
                &rules::OUT_OF_RANGE,
                &at.key("port"),
                format!("{port} is no port"),
                "write one from 1 to 65535",
            );
        }
        good
    });
    let path = path_change(&raw.path_prefix, &raw.path, own, at, problems);
    let status = raw.status.unwrap_or(302);
    let known = matches!(status, 301 | 302 | 303 | 307 | 308).then(|| u16::try_from(status).ok()).flatten();
    let known = known.and_then(|status| StatusCode::from_u16(status).ok());
    if known.is_none() {
        let help =
            "write 301 or 308 for good, 302 or 307 for now (307 and 308 keep the method), or 303 to go on by GET";
        problems.at(&rules::INVALID_VALUE, &at.key("status"), format!("{status} is no redirect to elsewhere"), help);
    }
    let redirect = Redirect {
        scheme: raw.scheme.map(|scheme| match scheme {
            raw::Scheme::Http => Scheme::Http,
            raw::Scheme::Https => Scheme::Https,
        }),
        host: match host {
            Some(host) => Some(host?),
            None => None,
        },
        port: match port {
            Some(port) => Some(port?),
            None => None,
        },
        path: path?,
        status: known?,
    };
    if redirect.scheme.is_none() && redirect.host.is_none() && redirect.port.is_none() && redirect.path.is_none() {
        let help = "say what is other there: `scheme`, `host`, `port`, `path_prefix` or `path`";
        problems.at(&rules::MISSING_FIELD, at, "the redirect leads to where the request came from", help);
        return None;
    }
    Some(redirect)
}

fn direct_response(raw: &raw::DirectResponse, at: &Path<'_>, problems: &mut Problems) -> Option<DirectResponse> {
    let status = required(&raw.status, at, "status", "write a status from 200 to 599", problems).copied();
    let good = status.filter(|status| (200..=599).contains(status)).and_then(|status| u16::try_from(status).ok());
    let good = good.and_then(|status| StatusCode::from_u16(status).ok());
    if let (Some(status), None) = (status, good) {
        let message = format!("{status} is not the status of a final response");
        problems.at(&rules::OUT_OF_RANGE, &at.key("status"), message, "write a status from 200 to 599");
    }
    let body = raw.body.as_deref().unwrap_or_default();
    if body.len() > MAX_BODY {
        let message = format!("a body of {} bytes", body.len());
        problems.at(
            &rules::OUT_OF_RANGE,
            &at.key("body"),
            message,
            "write at most 64 KiB; a backend has room for more",
        );
        return None;
    }
    if let Some(status) = status
        && BODILESS.contains(&status)
        && !body.is_empty()
    {
        let message = format!("a response with status {status} has no body");
        problems.at(&rules::EXCLUSIVE_FIELDS, &at.key("body"), message, "leave the body out, or write another status");
        return None;
    }
    let content_type = raw.content_type.as_deref().unwrap_or("text/plain; charset=utf-8");
    let legal = !content_type.is_empty() && content_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let content_type = HeaderValue::from_str(content_type).ok().filter(|_| legal);
    if content_type.is_none() {
        let help = "write a media type, such as text/html; charset=utf-8";
        problems.at(&rules::INVALID_VALUE, &at.key("content_type"), "this is not a media type", help);
    }
    Some(DirectResponse { status: good?, body: Bytes::copy_from_slice(body.as_bytes()), content_type: content_type? })
}
