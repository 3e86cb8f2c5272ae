//! A change of protocol that a client asks for (RFC 9110 §7.8): what of it goes on, and whether the backend agreed. Pure.
//!
//! Only a token that the service lets through is forwarded, and only on a request without a body; any other upgrade is
//! ignored, as the standard has it, and the request goes on as the ordinary one that it also is.

use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Version};

use crate::connection::Upload;
use crate::h1::Lines;
use crate::names::Names;

/// See the module.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// The protocol, as the configuration has it.
    pub(super) token: HeaderValue,
    /// What the client sends behind its request.
    pub(super) upload: Upload,
}

impl Upgrade {
    /// The first protocol that a request asks for and may get.
    pub(super) fn asked(head: &Parts, allowed: &[HeaderValue], upload: Upload) -> Option<Box<Self>> {
        let mut connection = head.headers.get_all(CONNECTION).iter().flat_map(|value| list(value.as_bytes()));
        // Over HTTP/1.0 the field means nothing (RFC 9110 §7.8).
        if head.version != Version::HTTP_11 || !connection.any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
            return None;
        }
        let mut asked = head.headers.get_all(UPGRADE).iter().flat_map(|value| list(value.as_bytes()));
        let token =
            asked.find_map(|asked| allowed.iter().find(|token| token.as_bytes().eq_ignore_ascii_case(asked)))?;
        // RFC 6455 §4.1
        if token == "websocket" && head.method != Method::GET {
            return None;
        }
        Some(Box::new(Self { token: token.clone(), upload }))
    }

    /// Whether a response with these fields switches to this protocol and to no other.
    pub(super) fn is_confirmed(&self, lines: &Lines) -> bool {
        let mut named = lines.values(Names::UPGRADE).flat_map(list);
        let token = self.token.as_bytes();
        let mut connection = lines.values(Names::CONNECTION).flat_map(list);
        named.next().is_some_and(|named| named.eq_ignore_ascii_case(token))
            && named.next().is_none()
            && connection.any(|option| option.eq_ignore_ascii_case(b"upgrade"))
    }
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}
