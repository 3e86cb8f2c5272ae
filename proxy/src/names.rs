//! The header fields that patchgate does something about, as a set: one look over a head's names, then bit tests.

use http::header::{HeaderMap, HeaderName};

/// A set of known fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Names(u32);

macro_rules! names {
    ($($name:ident = $text:literal,)*) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "used as positions of bits only")]
        enum Position { $($name),* }

        impl Names {
            $(#[doc = concat!("`", $text, "`")] pub(crate) const $name: Self = Self(1 << Position::$name as u32);)*

            /// The set of this one field; empty if it is none of the known.
            pub(crate) fn of(name: &HeaderName) -> Self {
                match name.as_str() {
                    $($text => Self::$name,)*
                    _ => Self(0),
                }
            }

            /// The set of the field of this name, which may be in any case; empty if it is none of the known.
            pub(crate) fn of_text(name: &[u8]) -> Self {
                // Length and beginning tell the known names apart, and nearly all others from them.
                match key(name) {
                    $(keys::$name if name.eq_ignore_ascii_case($text.as_bytes()) => Self::$name,)*
                    _ => Self(0),
                }
            }
        }

        mod keys {
            $(pub(super) const $name: (usize, [u8; 2]) = super::key($text.as_bytes());)*
        }

        #[cfg(test)]
        const TEXTS: &[&str] = &[$($text),*];
    };
}

names! {
    CONNECTION = "connection",
    TE = "te",
    TRANSFER_ENCODING = "transfer-encoding",
    KEEP_ALIVE = "keep-alive",
    PROXY_CONNECTION = "proxy-connection",
    UPGRADE = "upgrade",
    PROXY_AUTHENTICATE = "proxy-authenticate",
    PROXY_AUTHORIZATION = "proxy-authorization",
    HTTP2_SETTINGS = "http2-settings",
    CONTENT_LENGTH = "content-length",
    COOKIE = "cookie",
    DATE = "date",
    EXPECT = "expect",
    FORWARDED = "forwarded",
    HOST = "host",
    TRACEPARENT = "traceparent",
    TRACESTATE = "tracestate",
    VIA = "via",
    X_FORWARDED_FOR = "x-forwarded-for",
    X_FORWARDED_HOST = "x-forwarded-host",
    X_FORWARDED_PROTO = "x-forwarded-proto",
    X_REQUEST_ID = "x-request-id",
}

/// A name's length, and its first two letters in lower case, which few share.
const fn key(name: &[u8]) -> (usize, [u8; 2]) {
    match name {
        [first, second, ..] => (name.len(), [first.to_ascii_lowercase(), second.to_ascii_lowercase()]),
        _ => (name.len(), [0; 2]),
    }
}

impl Names {
    /// Fields meant for one connection (RFC 9110 §7.6.1, and what practice adds).
    pub(crate) const HOP_BY_HOP: Self = Self::CONNECTION
        .with(Self::TE)
        .with(Self::TRANSFER_ENCODING)
        .with(Self::KEEP_ALIVE)
        .with(Self::PROXY_CONNECTION)
        .with(Self::UPGRADE)
        .with(Self::PROXY_AUTHENTICATE)
        .with(Self::PROXY_AUTHORIZATION)
        .with(Self::HTTP2_SETTINGS);

    /// Fields that say something about the message or its connection.
    pub(crate) const ABOUT_MESSAGE: Self =
        Self::CONTENT_LENGTH.with(Self::TRANSFER_ENCODING).with(Self::CONNECTION).with(Self::EXPECT).with(Self::TE);

    /// The known fields of a head.
    pub(crate) fn in_head(headers: &HeaderMap) -> Self {
        headers.keys().fold(Self(0), |found, name| found.with(Self::of(name)))
    }

    /// Both sets.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether one of `other` is in this set.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_set_of_its_known_names() {
        let headers: HeaderMap = ["te", "x-some", "host"]
            .into_iter()
            .map(|name| (HeaderName::from_static(name), http::HeaderValue::from_static("1")))
            .collect();
        let found = Names::in_head(&headers);
        assert_eq!(found, Names::TE.with(Names::HOST));
        assert!(found.has(Names::HOP_BY_HOP) && !found.has(Names::COOKIE));
        assert_eq!(found.and(Names::HOP_BY_HOP), Names::TE);
    }

    #[test]
    fn every_known_name_is_found_by_its_text() {
        for &name in TEXTS {
            let expected = Names::of(&HeaderName::from_static(name));
            assert_ne!(expected, Names(0), "{name}");
            assert_eq!(Names::of_text(name.to_ascii_uppercase().as_bytes()), expected);
        }
    }

    #[test]
    fn a_name_is_the_same_in_whatever_case() {
        for text in ["Content-Length", "te", "X-REQUEST-ID", "x-some", "dat", ""] {
            let lower = text.to_ascii_lowercase();
            let expected = HeaderName::from_bytes(lower.as_bytes()).map_or(Names(0), |name| Names::of(&name));
            assert_eq!(Names::of_text(text.as_bytes()), expected, "{text}");
        }
    }
}
