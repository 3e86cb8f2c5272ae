//! What gRPC asks of a proxy: its calls are known, their deadlines kept and passed on, answers of our own told in its
//! words, and how a call ended is seen
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). Pure.
//!
//! Messages are a body as any other; nothing here looks into them.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::error::ProxyError;

pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Status codes, from 0 on (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
pub(crate) const STATUSES: usize = NAMES.len();
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub(crate) const UNKNOWN: u8 = 2;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const DATA_LOSS: u8 = 15;
const UNAUTHENTICATED: u8 = 16;

/// A deadline's units, the finest first, in nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// The most digits of a deadline.
const DIGITS: usize = 8;

/// Whether a request, or a response, is gRPC's by its `content-type`. That of gRPC-Web is another.
pub(crate) fn is_grpc(fields: &HeaderMap) -> bool {
    let kind = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let after = kind.get(.."application/grpc".len()).filter(|begin| begin.eq_ignore_ascii_case(b"application/grpc"));
    after.is_some() && matches!(kind.get("application/grpc".len()), None | Some(b'+' | b';' | b' '))
}

/// The deadline that a client sets; `None`: none, or not by the rules, which is the backend's to judge.
pub(crate) fn timeout(fields: &HeaderMap) -> Option<Duration> {
    let mut all = fields.get_all(TIMEOUT).iter();
    let only = all.next().filter(|_| all.next().is_none())?;
    parse(only.as_bytes())
}

/// 1 to 8 digits and a unit.
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (_, nanos) = UNITS.iter().find(|(known, _)| known == unit)?;
    let count = std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
    // 99,999,999 hours are more nanoseconds than 64 bits hold, but not more seconds.
    Some(match nanos / 1_000_000_000 {
        0 => Duration::from_nanos(count * nanos),
        seconds => Duration::from_secs(count * seconds),
    })
}

/// What is left of a deadline, in the finest unit that has the digits for it; rounded down, so that no hop adds to it.
pub(crate) fn format(left: Duration) -> HeaderValue {
    let most = 10_u128.pow(DIGITS as u32) - 1;
    let text = UNITS.iter().find_map(|&(unit, nanos)| {
        let count = left.as_nanos() / u128::from(nanos);
        (count <= most).then(|| format!("{count}{}", char::from(unit)))
    });
    text.and_then(|text| HeaderValue::from_str(&text).ok()).unwrap_or(HeaderValue::from_static("99999999H"))
}

/// The status of a call, by its trailers or by a response that has nothing else.
pub(crate) fn status(fields: &HeaderMap) -> Option<u8> {
    let text = fields.get(STATUS)?.to_str().ok()?;
    Some(text.parse().ok().filter(|status| usize::from(*status) < STATUSES).unwrap_or(UNKNOWN))
}

/// A status's name.
pub(crate) fn name(status: u8) -> &'static str {
    NAMES.get(usize::from(status)).copied().unwrap_or("UNKNOWN")
}

/// Whether a status is the fault of who answers: what OpenTelemetry's conventions for RPC count as a server's error.
pub(crate) const fn is_failure(status: u8) -> bool {
    matches!(status, UNKNOWN | DEADLINE_EXCEEDED | UNIMPLEMENTED | INTERNAL | UNAVAILABLE | DATA_LOSS)
}

/// What a client is told in place of our answer's status: that of gRPC's own mapping
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>), but for requests that took too long: to
/// UNAVAILABLE clients may send a call again, and these a backend may have acted on.
pub(crate) const fn status_of(error: ProxyError) -> u8 {
    match error {
        ProxyError::FirstByteTimeout | ProxyError::TotalTimeout => DEADLINE_EXCEEDED,
        error => match error.status() {
            StatusCode::BAD_REQUEST => INTERNAL,
            StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
            StatusCode::FORBIDDEN => PERMISSION_DENIED,
            StatusCode::NOT_FOUND => UNIMPLEMENTED,
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => UNAVAILABLE,
            _ => UNKNOWN,
        },
    }
}

/// An answer of our own: a head, which is all of it.
pub(crate) fn answer(error: ProxyError) -> Response<()> {
    let mut response = Response::new(());
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(STATUS, HeaderValue::from(u16::from(status_of(error))));
    // Our texts need no percent-encoding.
    if let Ok(message) = HeaderValue::from_str(&format!("{error} ({})", error.code())) {
        fields.insert(MESSAGE, message);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn grpc_is_known_by_its_content_type_and_grpc_web_is_none() {
        for kind in ["application/grpc", "application/grpc+proto", "Application/GRPC;charset=utf-8"] {
            assert!(is_grpc(&fields(CONTENT_TYPE, kind)), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpc-web+proto", "application/grp", "text/plain", ""] {
            assert!(!is_grpc(&fields(CONTENT_TYPE, kind)), "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn a_deadline_is_up_to_eight_digits_and_a_unit() {
        let table = [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("0S", Some(Duration::ZERO)),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("1500m", Some(Duration::from_millis(1_500))),
            ("007u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("100000000n", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("1s", None),
            ("1h", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            (" 1S", None),
            ("1 S", None),
            ("1S ", None),
            ("1Su", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
        let mut twice = fields(TIMEOUT, "1S");
        assert_eq!(timeout(&twice), Some(Duration::from_secs(1)));
        twice.append(TIMEOUT, HeaderValue::from_static("2S"));
        assert_eq!(timeout(&twice), None);
    }

    #[test]
    fn what_is_left_of_a_deadline_is_never_more_and_hardly_less() {
        for (left, expected) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_millis(1_500), "1500000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(7 * 24 * 3_600), "604800S"),
            (Duration::MAX, "99999999H"),
        ] {
            let text = format(left);
            assert_eq!(text, expected);
            assert!(parse(text.as_bytes()).is_some_and(|read| read <= left));
        }
    }

    #[test]
    fn our_answers_are_of_a_status_that_clients_know_what_to_do_about() {
        for (error, status) in [
            (ProxyError::ConnectFailed, 14),
            (ProxyError::ConnectTimeout, 14),
            (ProxyError::UpstreamRefused, 14),
            (ProxyError::UpstreamReset, 14),
            (ProxyError::Draining, 14),
            (ProxyError::FirstByteTimeout, 4),
            (ProxyError::TotalTimeout, 4),
            (ProxyError::NoRoute, 12),
            (ProxyError::HostMalformed, 13),
            (ProxyError::Panicked, 2),
        ] {
            let answer = answer(error);
            assert_eq!((answer.status(), super::status(answer.headers())), (StatusCode::OK, Some(status)), "{error}");
            let message = answer.headers()[MESSAGE].as_bytes();
            assert!(message.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'%'), "{error}");
        }
    }

    #[test]
    fn a_status_that_nobody_knows_is_unknown() {
        for (text, expected) in [("0", Some(0)), ("16", Some(16)), ("17", Some(2)), ("x", Some(2)), ("-1", Some(2))] {
            assert_eq!(status(&fields(STATUS, text)), expected, "{text}");
        }
        assert_eq!(status(&HeaderMap::new()), None);
    }
}
