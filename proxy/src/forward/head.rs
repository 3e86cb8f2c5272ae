//! A request's head as bytes, written anew for each attempt: only the parent id differs.

use bytes::BytesMut;
use http::{HeaderMap, Method, Uri};

use super::headers::{Rewritten, origin_form};
use super::names::Names;
use crate::trust::TraceParent;
use crate::upstream::Framing;

/// See the module.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) rewritten: Rewritten,
    pub(super) framing: Framing,
}

impl Head {
    /// Appends the head, with the empty line behind it.
    pub(super) fn write(&self, parent: &TraceParent, out: &mut BytesMut) {
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.extend_from_slice(b" ");
        out.extend_from_slice(origin_form(&self.uri).as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        write_fields(&self.headers, &self.rewritten, out);
        out.extend_from_slice(b"traceparent: ");
        out.extend_from_slice(&parent.encode());
        out.extend_from_slice(b"\r\n");
        self.framing.write(&self.method, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the client's fields and ours, a line each.
pub(super) fn write_fields(headers: &HeaderMap, rewritten: &Rewritten, out: &mut BytesMut) {
    let kept = headers.iter().filter(|(name, _)| !rewritten.left_out.has(Names::of(name)));
    let kept = kept.map(|(name, value)| (name.as_str(), value));
    let added = rewritten.added.iter().map(|(name, value)| (*name, value));
    let via = rewritten.via.iter().map(|value| ("via", value));
    for (name, value) in added.chain(kept).chain(via) {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        out.reserve(name.len() + value.len() + 4);
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}
