//! Texts of arguments → values. Each error says what would be right.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use patchgate_admin::rollout::Millis;
use patchgate_admin::time;

/// A name, and the value it must have; `None`: any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Itself.
    At(Millis),
    /// As long ago.
    Ago(Duration),
}

/// Longest idempotency key.
const MAX_KEY: usize = 128;

/// `30s`, `10m`, `1h 30m`, `90d`; a day has 24 hours.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let help = || format!("`{text}` is not a time span; write one such as 30s, 10m or 1h30m");
    let span: Span = text.parse().map_err(|_| help())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| help())?;
    Duration::try_from(duration).map_err(|_| format!("`{text}` goes back in time; leave the sign out"))
}

/// An RFC 3339 time, or how long ago.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(ago) = duration(text) {
        return Ok(Moment::Ago(ago));
    }
    time::parse(text).map(Moment::At).map_err(|error| format!("{error}, or how long ago, such as 2h"))
}

/// `NAME=VALUE`, or `NAME`.
pub(crate) fn field(text: &str) -> Result<Field, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == ':') {
        return Err(format!("`{text}` has no name; write NAME=VALUE, or NAME for any value"));
    }
    Ok(Field { name: name.to_owned(), value })
}

/// `NAME: VALUE`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err(format!("`{text}` is no header field; write 'NAME: VALUE'")),
    }
}

/// 32 hex digits, not all zero; also out of a whole traceparent.
pub(crate) fn trace_id(text: &str) -> Result<String, String> {
    let id = match *text.split('-').collect::<Vec<_>>() {
        [_, id, _, _] => id,
        _ => text,
    };
    let id = id.to_ascii_lowercase();
    let legal =
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0');
    legal.then_some(id).ok_or_else(|| format!("`{text}` is no trace id; write its 32 hex digits"))
}

/// What may name an order.
pub(crate) fn key(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_KEY || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("a key has 1 to {MAX_KEY} visible ASCII characters, without spaces"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_read_as_people_write_them() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("1h30m", 5_400), ("1h 30m", 5_400), ("90d", 90 * 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "30", "soon", "1month", "10 parsecs", "s"] {
            assert!(duration(text).unwrap_err().contains("such as 30s"), "{text}");
        }
        assert!(duration("-5m").unwrap_err().contains("back in time"));
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("2026-01-31T03:14:15.926Z"), Ok(Moment::At(1_769_829_255_926)));
        assert_eq!(moment("2h"), Ok(Moment::Ago(Duration::from_secs(7_200))));
        let error = moment("yesterday").unwrap_err();
        assert!(error.contains("yesterday") && error.contains("2h"), "{error}");
    }

    #[test]
    fn fields_and_headers_are_split_at_their_first_sign() {
        assert_eq!(field("x-tenant=a=b"), Ok(Field { name: "x-tenant".into(), value: Some("a=b".into()) }));
        assert_eq!(field("beta"), Ok(Field { name: "beta".into(), value: None }));
        assert_eq!(field("beta="), Ok(Field { name: "beta".into(), value: Some(String::new()) }));
        assert!(field("=1").is_err() && field("x-tenant: acme").is_err() && field("").is_err());
        assert_eq!(header("host: a:80"), Ok(("host".into(), "a:80".into())));
        assert_eq!(header("x-empty:"), Ok(("x-empty".into(), String::new())));
        assert!(header("x-beta=1").unwrap_err().contains("'NAME: VALUE'"));
    }

    #[test]
    fn a_trace_id_is_found_in_a_traceparent_too() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_id(id).as_deref(), Ok(id));
        assert_eq!(trace_id(&id.to_uppercase()).as_deref(), Ok(id));
        assert_eq!(trace_id(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(), Ok(id));
        for wrong in ["", "4bf9", &"0".repeat(32), &"g".repeat(32)] {
            assert!(trace_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_can_stand_in_a_header_field() {
        assert_eq!(key("deploy-42/abort").as_deref(), Ok("deploy-42/abort"));
        assert!(key("").is_err() && key("a b").is_err() && key("ä").is_err() && key(&"k".repeat(129)).is_err());
    }
}
