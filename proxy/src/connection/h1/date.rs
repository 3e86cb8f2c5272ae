//! The `date` of answers whose backend told none (RFC 9110 §6.6.1): rendered once a second and worker.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use httpdate::HttpDate;

thread_local! {
    /// The second it is for, and the line.
    static LINE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Appends the line.
pub(super) fn write(out: &mut BytesMut) {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    LINE.with_borrow_mut(|(rendered, line)| {
        if *rendered != second || line.is_empty() {
            *rendered = second;
            *line = format!("date: {}\r\n", HttpDate::from(now));
        }
        out.extend_from_slice(line.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_form_of_the_standard_and_is_kept_for_its_second() {
        let mut out = BytesMut::new();
        write(&mut out);
        let length = out.len();
        assert_eq!(length, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len());
        let text = std::str::from_utf8(&out).unwrap();
        assert!(httpdate::parse_http_date(text["date: ".len()..].trim_end()).is_ok(), "{text}");
    }
}
