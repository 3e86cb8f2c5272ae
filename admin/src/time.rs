//! Milliseconds since 1970 ⇄ RFC 3339.

use jiff::Timestamp;

use crate::rollout::Millis;

/// As `2026-01-31T03:14:15.926Z`. Moments that no calendar has are told as the last one there is.
#[must_use]
pub fn rfc3339(at: Millis) -> String {
    let timestamp = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    format!("{:.3}", timestamp.unwrap_or(Timestamp::MAX))
}

/// What [`rfc3339`] wrote, or any other RFC 3339 timestamp.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn parse(text: &str) -> Result<Millis, String> {
    let timestamp: Timestamp =
        text.parse().map_err(|error| format!("`{text}` is not a time ({error}); write 2026-01-31T03:14:15Z"))?;
    u64::try_from(timestamp.as_millisecond()).map_err(|_| format!("`{text}` is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_the_millisecond_and_read_back() {
        assert_eq!(rfc3339(1_769_829_255_926), "2026-01-31T03:14:15.926Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse("2026-01-31T04:14:15.926+01:00").unwrap(), 1_769_829_255_926);
        assert!(parse("yesterday").unwrap_err().contains("yesterday"));
        assert!(parse("1969-12-31T23:59:59Z").unwrap_err().contains("before 1970"));
        assert!(rfc3339(u64::MAX).starts_with("9999"));
    }
}
