//! Times as people say them.

use patchgate_admin::rollout::Millis;
use patchgate_admin::time::parse;

/// Units, the largest first: its sign, and how many seconds it has.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// How long: `3m`, `1h 5m`; below a second in milliseconds.
pub(crate) fn span(ms: Millis) -> String {
    if ms < 1_000 && ms > 0 {
        return format!("{ms}ms");
    }
    let seconds = ms / 1_000;
    let first = UNITS.iter().position(|(_, size)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let (sign, size) = UNITS[first];
    let rest = UNITS.get(first + 1).map(|(sign, smaller)| (sign, seconds % size / smaller));
    match rest {
        Some((next, rest)) if rest > 0 => format!("{}{sign} {rest}{next}", seconds / size),
        _ => format!("{}{sign}", seconds / size),
    }
}

/// How long ago: `12s ago`, or `now`.
pub(crate) fn ago(at: Millis, now: Millis) -> String {
    match now.saturating_sub(at) {
        0..1_000 => "now".to_owned(),
        ms => format!("{} ago", span(ms)),
    }
}

/// The same of an RFC 3339 time; one that is none is told as it is.
pub(crate) fn ago_text(at: &str, now: Millis) -> String {
    parse(at).map_or_else(|_| at.to_owned(), |at| ago(at, now))
}

/// From now on: `in 7m`, or how long ago.
pub(crate) fn until_text(at: &str, now: Millis) -> String {
    match parse(at) {
        Ok(at) if at > now => format!("in {}", span(at - now)),
        Ok(at) => ago(at, now),
        Err(_) => at.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (ms, expected) in [
            (0, "0s"),
            (7, "7ms"),
            (1_999, "1s"),
            (60_000, "1m"),
            (192_000, "3m 12s"),
            (3_600_000, "1h"),
            (3_659_000, "1h"),
            (90_000_000, "1d 1h"),
            (u64::MAX, "213503982334d 14h"),
        ] {
            assert_eq!(span(ms), expected);
        }
    }

    #[test]
    fn moments_are_told_from_now() {
        assert_eq!(ago(1_000, 13_000), "12s ago");
        assert_eq!(ago(13_000, 1_000), "now", "another machine's clock may be ahead");
        assert_eq!(until_text("1970-01-01T00:07:00Z", 0), "in 7m");
        assert_eq!(until_text("1970-01-01T00:07:00Z", 480_000), "1m ago");
        assert_eq!(ago_text("soon", 0), "soon");
    }
}
