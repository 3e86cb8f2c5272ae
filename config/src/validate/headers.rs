//! `services[].headers`.

use http::{HeaderName, HeaderValue};

use super::values::{each, required};
use crate::problem::{Path, Problems};
use crate::raw;
use crate::rules;
use crate::snapshot::{HeaderChanges, HeaderRules};

/// Fields that frame or route a message, belong to one connection, say what may be sent twice, or are patchgate's own.
const OURS: [&str; 29] = [
    "baggage",
    "connection",
    "content-length",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "sec-websocket-accept",
    "sec-websocket-key",
    "sec-websocket-version",
    "server-timing",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-patchgate-shadow",
    "x-request-id",
];

pub(super) fn header_rules(raw: &raw::HeaderRules, at: &Path<'_>, problems: &mut Problems) -> Option<HeaderRules> {
    let request = changes(raw.request.as_ref(), &at.key("request"), problems);
    let response = changes(raw.response.as_ref(), &at.key("response"), problems);
    Some(HeaderRules { request: request?, response: response? })
}

fn changes(raw: Option<&raw::HeaderChanges>, at: &Path<'_>, problems: &mut Problems) -> Option<HeaderChanges> {
    let Some(raw) = raw else { return Some(HeaderChanges::default()) };
    let remove = each(raw.remove.as_deref().unwrap_or_default(), &at.key("remove"), problems, |text, at, problems| {
        name(text, at, problems)
    });
    let set = each(raw.set.as_deref().unwrap_or_default(), &at.key("set"), problems, change);
    if let Some(set) = &set {
        for (nth, (name, _)) in set.iter().enumerate() {
            if set[..nth].iter().any(|(before, _)| before == name) {
                let help = "keep one of them, or append the second";
                problems.at(&rules::INVALID_VALUE, &at.key("set").index(nth), format!("`{name}` is set twice"), help);
            }
        }
    }
    let append = each(raw.append.as_deref().unwrap_or_default(), &at.key("append"), problems, change);
    Some(HeaderChanges { remove: remove?, set: set?, append: append? })
}

fn change(raw: &raw::HeaderChange, at: &Path<'_>, problems: &mut Problems) -> Option<(HeaderName, HeaderValue)> {
    let name = required(&raw.name, at, "name", "name the field", problems)
        .and_then(|text| name(text, &at.key("name"), problems));
    let value = required(&raw.value, at, "value", "give the field a value", problems)
        .and_then(|text| value(text, &at.key("value"), problems));
    Some((name?, value?))
}

fn name(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        let help = "write a name of letters, digits and -, such as x-env";
        problems.at(&rules::INVALID_VALUE, at, format!("`{text}` is not the name of a header field"), help);
        return None;
    };
    if OURS.contains(&name.as_str()) {
        let message = format!("`{name}` frames or routes a message, or is patchgate's own to write");
        problems.at(
            &rules::INVALID_VALUE,
            at,
            message,
            "leave it out; `listeners[].headers` says what patchgate writes",
        );
        return None;
    }
    Some(name)
}

fn value(text: &str, at: &Path<'_>, problems: &mut Problems) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(text).ok();
    if value.is_none() {
        let help = "write visible characters and blanks";
        problems.at(&rules::INVALID_VALUE, at, "this cannot be the value of a header field", help);
    }
    value
}
